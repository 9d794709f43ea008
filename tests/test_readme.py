"""The README and its recipes are true: the code runs, the answers are real, the commands are CI's.

The `python` blocks of one section run in order and share their names; the next heading starts anew.
An `http` block is a request to the section's `app`, and the response: the status, the headers shown
and the JSON body are compared with the real ones. A member that is `"…"` may have any value.
"""

from __future__ import annotations

import configparser
import doctest
import importlib
import json
import pkgutil
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import ANY

import pytest
from starlette.testclient import TestClient
from starlette.types import ASGIApp

import authpi_errors
from authpi_errors.codes import CODES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
RECIPES = (ROOT / "RECIPES.md").read_text("utf-8")


class Block(NamedTuple):
    section: str
    kind: str
    line: int
    text: str


def blocks(markdown: str) -> list[Block]:
    """Find the fenced blocks, each with the heading above it."""
    found: list[Block] = []
    title = ""
    parts = re.finditer(r"^#+ ([^\n]+)|^```(\w*)\n(.*?)^```$", markdown, re.MULTILINE | re.DOTALL)
    for part in parts:
        heading, kind, text = part.groups()
        title = heading or title
        if not heading:
            found.append(Block(title, kind, markdown.count("\n", 0, part.start()) + 1, text))
    return found


def run(section: Iterable[Block]) -> dict[str, Any]:
    """Execute the code of a section, compare the exchanges that it shows, and give its names."""
    names: dict[str, Any] = {"__name__": "readme"}
    for block in section:
        if block.kind == "python":
            # The empty lines make a traceback point at the line in the README.
            code = compile("\n" * block.line + block.text, "README.md", "exec", dont_inherit=True)
            exec(code, names)
        elif block.kind == "http":
            compare(names["app"], block.text)
    return names


def compare(app: ASGIApp, exchange: str) -> None:
    """Send the request of an exchange and compare what comes back."""
    asked, answered = exchange.split("\nHTTP/1.1 ")
    (method, path), headers, content = message(asked)
    (status, *_), shown_headers, shown_body = message(answered)
    client = TestClient(app, raise_server_exceptions=False)
    response = client.request(method, path, headers=headers, content=content)
    body = json.loads(shown_body, object_hook=open_ended)
    assert response.status_code == int(status)
    assert {name: response.headers.get(name) for name in shown_headers} == shown_headers
    assert response.json() == body
    assert list(response.json()) == list(body)


def message(text: str) -> tuple[list[str], dict[str, str], str]:
    head, _, body = text.strip().partition("\n\n")
    start, *fields = head.splitlines()
    return start.split(), dict(field.split(": ", 1) for field in fields), body


def open_ended(members: dict[str, object]) -> dict[str, object]:
    return {name: ANY if value == "…" else value for name, value in members.items()}


SECTIONS: dict[str, list[Block]] = {}
for _page, _text in {"README": README, "RECIPES": RECIPES}.items():
    for _block in blocks(_text):
        SECTIONS.setdefault(f"{_page}: {_block.section}", []).append(_block)


@pytest.mark.parametrize("title", SECTIONS)
def test_code_and_answers_of_the_section_are_true(title: str) -> None:
    run(SECTIONS[title])


@pytest.mark.parametrize("page", [README, RECIPES], ids=["README", "RECIPES"])
def test_every_block_is_found_and_none_is_json_that_nobody_checks(page: str) -> None:
    assert len(blocks(page)) == page.count("```") / 2
    # What patches other libraries for good runs by itself: `py`, in tests/test_recipes_operations.
    assert {block.kind for block in blocks(page)} <= {"python", "py", "http", "sh", "text"}


def test_every_recipe_is_in_the_table_of_contents() -> None:
    headings = re.findall(r"^## (.*)", RECIPES, re.MULTILINE)
    linked = re.findall(r"\]\(#([\w-]+)\)", RECIPES)
    assert linked == [heading.lower().replace(" ", "-") for heading in headings]


def test_table_of_codes_is_that_of_the_package() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \|", README, re.MULTILINE)
    assert rows == [(code.value, str(code.status)) for code in CODES.values()]


def test_commands_are_those_of_ci_and_tox() -> None:
    demo, tests = re.findall(r"^python3 -m venv .*", README, re.MULTILINE)
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini", "utf-8")
    env = tox["testenv:demo"]
    assert f"'.[{env['extras']}]' && .venv/bin/{env['commands'].strip()}" in demo
    assert tests in (ROOT / ".ci" / "run").read_text("utf-8").splitlines()


@pytest.mark.parametrize(
    "module", [module.name for module in pkgutil.iter_modules(authpi_errors.__path__)]
)
def test_examples_in_docstrings_are_true(module: str) -> None:
    results = doctest.testmod(importlib.import_module(f"authpi_errors.{module}"))
    assert not results.failed


SAMPLE = """\
# First
```python
from starlette.responses import JSONResponse
answer = JSONResponse({"error": "gone", "reference": "r1"}, 410, {"Allow": "GET"})
```
Text.
```python
async def app(scope, receive, send):
    await answer(scope, receive, send)
```
```http
POST /users
Content-Type: application/json

{"name": "Ada"}

HTTP/1.1 410 Gone
Allow: GET

{"error": "gone", "reference": "…"}
```
## Second
```python
assert "answer" not in globals()
```
"""


def test_true_sample_passes() -> None:
    first, also_first, exchange, second = blocks(SAMPLE)
    run([first, also_first, exchange])
    run([second])
    assert (second.section, second.kind, second.line) == ("Second", "python", 23)


@pytest.mark.parametrize(
    ("true", "false"),
    [
        pytest.param("410 Gone", "404 Not Found", id="status"),
        pytest.param("Allow: GET", "Allow: PUT", id="header"),
        pytest.param("Allow: GET\n\n", "Allow: GET\nVary: Origin\n\n", id="missing header"),
        pytest.param('"gone", "reference": "…"', '"", "reference": "…"', id="member"),
        pytest.param('"…"}', '"…", "retryable": false}', id="missing member"),
        pytest.param(
            '"error": "gone", "reference": "…"', '"reference": "…", "error": "gone"', id="order"
        ),
        pytest.param("answer = ", "assert not ", id="code"),
    ],
)
def test_untrue_sample_fails(true: str, false: str) -> None:
    assert true in SAMPLE
    with pytest.raises(AssertionError):
        run(blocks(SAMPLE.replace(true, false))[:3])
