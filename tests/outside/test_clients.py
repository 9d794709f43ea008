"""Clients that are generated from the Core API's document: their types know the codes."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from openapi_spec_validator import validate

from examples.core_api import create_app, demo
from examples.core_api.serving import serving

HERE = Path(__file__).parent
TOOLS = Path(sys.executable).parent


def tool(path: str | None, name: str) -> str:
    """The path of a program; where it is missing the test is skipped, but not in CI."""
    if path is None:
        assert "CI" not in os.environ, f"{name} is missing"
        pytest.skip(f"{name} is missing")
    return path


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    # Also where Python does not look into the folder of a script: with PYTHONSAFEPATH.
    env = {**os.environ, "PYTHONPATH": str(cwd)}
    return subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, timeout=300, check=False
    )


def checked(*command: str | Path, cwd: Path) -> str:
    """What a program prints that has succeeded."""
    done = run(*command, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def marked(source: Path) -> set[int]:
    """The numbers of the lines with `mistake` in a comment."""
    lines = source.read_text().splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith(" mistake")}


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Core API's document, in a file."""
    folder = tmp_path_factory.mktemp("document")
    file = folder / "core_api.json"
    file.write_text(json.dumps(create_app(folder / "core.sqlite3").openapi()))
    return file


def test_document_is_valid(document: Path) -> None:
    validate(json.loads(document.read_text()))


# TypeScript


@pytest.fixture(scope="module")
def typescript(document: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with types that openapi-typescript has made, and programs that use them."""
    npm = tool(shutil.which("npm"), "npm")
    folder = tmp_path_factory.mktemp("typescript")
    for file in (HERE / "typescript").iterdir():
        shutil.copy(file, folder)
    checked(npm, "ci", "--no-audit", "--no-fund", cwd=folder)
    generate = folder / "node_modules/.bin/openapi-typescript"
    checked(generate, document, "--output", "core_api.ts", cwd=folder)
    return folder


def tsc(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    compiler = folder / "node_modules/.bin/tsc"
    options = ("--strict", "--noEmit", "--pretty", "false", "--target", "es2022")
    return run(
        compiler,
        *options,
        "--moduleResolution",
        "bundler",
        "--module",
        "esnext",
        program,
        cwd=folder,
    )


def test_typescript_narrows_on_the_code(typescript: Path) -> None:
    done = tsc(typescript, "narrows.ts")
    assert done.returncode == 0, done.stdout


def test_typescript_refuses_mistakes(typescript: Path) -> None:
    done = tsc(typescript, "mistakes.ts")
    refused = re.findall(r"^mistakes\.ts\((\d+),\d+\): error", done.stdout, re.MULTILINE)
    assert {int(number) for number in refused} == marked(typescript / "mistakes.ts"), done.stdout


# Python


@pytest.fixture(scope="module")
def python(document: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a client that openapi-python-client has made, and programs that use it."""
    generate = tool(shutil.which("openapi-python-client", path=TOOLS), "openapi-python-client")
    folder = tmp_path_factory.mktemp("python")
    for file in (HERE / "python").iterdir():
        shutil.copy(file, folder)
    checked(
        *(generate, "generate", "--path", document, "--meta", "none"),
        *("--config", "generator.yaml", "--output-path", "core_api_client", "--fail-on-warning"),
        cwd=folder,
    )
    return folder


def mypy(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    return run(TOOLS / "mypy", "--strict", "--cache-dir", ".mypy_cache", program, cwd=folder)


def test_python_narrows_on_the_code(python: Path) -> None:
    done = mypy(python, "narrows.py")
    assert done.returncode == 0, done.stdout


def test_python_refuses_mistakes(python: Path) -> None:
    done = mypy(python, "mistakes.py")
    refused = re.findall(r"^mistakes\.py:(\d+): error", done.stdout, re.MULTILINE)
    assert {int(number) for number in refused} == marked(python / "mistakes.py"), done.stdout


def test_python_reads_what_the_server_sends(python: Path, tmp_path: Path) -> None:
    token = base64.b64encode(":".join(demo.FULL.pair).encode()).decode()
    with serving(create_app(tmp_path / "core.sqlite3"), tmp_path / "log") as url:
        said = checked(sys.executable, "narrows.py", url, token, demo.ACCOUNT, cwd=python)
    assert said.splitlines() == [
        "done",
        "fetch",
        "correct header.if-match",
        "not_found",
        "ask for access",
        "sign in",
    ]
