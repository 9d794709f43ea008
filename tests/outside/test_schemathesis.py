"""Schemathesis makes requests from the Core API's document, and looks for answers that differ."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from examples.core_api import create_app, demo
from examples.core_api.serving import serving

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
SECONDS = 60


def command() -> str:
    """The program; where it is missing the test is skipped, but not in CI."""
    path = shutil.which("schemathesis", path=Path(sys.executable).parent)
    if path is None:
        assert "CI" not in os.environ, "schemathesis is missing"
        pytest.skip("schemathesis is missing")
    return path


def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    with serving(create_app(tmp_path / "core.sqlite3"), log) as url:
        done = subprocess.run(
            [
                *(command(), "--config-file", CONFIGURATION, "run", f"{url}/openapi.json"),
                *("--auth", ":".join(demo.FULL.pair), "--checks", "all"),
                *("--max-time", str(SECONDS), "--seed", "1", "--no-color"),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=3 * SECONDS,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    tried = re.search(r"(\d+) generated, \d+ passed", done.stdout)
    assert tried is not None
    assert int(tried.group(1)) > 100
    assert "Traceback" not in log.read_text()
