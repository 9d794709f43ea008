"""Nothing that somebody outside can write breaks what reads it: `fuzz.py`, target after target."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).with_name("fuzz.py")
TARGETS = (
    "conditional headers challenge foreign validation detail reference compliance configuration"
).split()

# What the fuzzer has to notice: a decision that differs from the grammar's, and a slow one.
PLANTED = {
    "another result": """
from authpi_errors import conditional
conditional._MEMBER = conditional.re.compile('"[^"]*"')
""",
    "a time that grows faster than the input": """
from authpi_errors import conditional
conditional._MEMBERS = conditional.re.compile(conditional._MEMBERS.pattern + "|[^x]*[^x]*x")
fuzz.LONG, fuzz.SECONDS = 20_000, 0.05
""",
}

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None and sys.version_info >= (3, 14),
    reason="Atheris has no wheel for this Python",
)


def fuzz(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run the fuzzer in a folder of its own. It says how often it ran at its end."""
    if importlib.util.find_spec("atheris") is None:
        message = "There is no Atheris: install the extra `endurance`."
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="backslashreplace",
        check=False,
    )


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_from_outside_breaks(
    target: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    total: Any = request.config.getoption("--fuzz-seconds")
    seconds = round(total / len(TARGETS))
    done = fuzz(tmp_path, str(PROGRAM), target, "--seconds", str(seconds))
    assert done.returncode == 0, done.stdout[-5000:]
    runs = re.search(r"^Done (\d+) runs", done.stdout, re.MULTILINE)
    assert runs is not None
    assert int(runs[1]) > 100 * seconds


def test_every_target_is_fuzzed(tmp_path: Path) -> None:
    assert f"{{{','.join(TARGETS)}}}" in fuzz(tmp_path, str(PROGRAM), "--help").stdout


@pytest.mark.parametrize("bug", PLANTED)
def test_a_bug_is_found(bug: str, tmp_path: Path) -> None:
    start = f"import sys; sys.path.append({str(PROGRAM.parent)!r}); import fuzz"
    code = f"{start}{PLANTED[bug]}fuzz.main(['conditional', '--seconds', '20'])"
    done = fuzz(tmp_path, "-c", code)
    assert done.returncode != 0
    assert "AssertionError" in done.stdout
    (found,) = tmp_path.glob("fuzz-*/*-*")
    again = fuzz(tmp_path, "-c", f"{start}{PLANTED[bug]}fuzz.main(['conditional', {str(found)!r}])")
    assert again.returncode != 0
    assert fuzz(tmp_path, str(PROGRAM), "conditional", str(found)).returncode == 0
