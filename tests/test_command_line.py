"""The command line: what it prints, and how it exits; `check` on services that are running."""

from __future__ import annotations

import asyncio
import base64
import html
import json
import os
import pty
import re
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import tomllib
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import (
    AbstractAsyncContextManager,
    ExitStack,
    asynccontextmanager,
    closing,
    contextmanager,
    suppress,
)
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, unquote

import httpx2
import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from authpi_errors import ErrorCode, ErrorRegistry, install
from authpi_errors._cli import cli
from authpi_errors._service import explain
from authpi_errors.codes import CODES
from examples import core_api as core_api_folder
from examples.core_api import create_app, demo
from examples.core_api.serving import serving

BASIC = "Basic " + base64.b64encode(":".join(demo.FULL.pair).encode()).decode()
RANDOM = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def call(*arguments: str) -> Result:
    """Run a command in a thread: on Python 3.11, coverage loses track of who calls asyncio.run."""
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(CliRunner().invoke, cli, arguments, catch_exceptions=False).result()


def read(*arguments: str) -> tuple[int, dict[str, Any]]:
    """Run a check; give its exit status, and the JSON that it prints."""
    result = call("check", *arguments, "--json")
    return result.exit_code, json.loads(result.stdout)


def sentence(*arguments: str) -> str:
    """The one line on standard error of a check that can't be done."""
    result = call(*arguments)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert result.stderr.count("\n") == 1
    return result.stderr.removeprefix("Error: ").rstrip("\n")


# An application that is named as module:app


registry = ErrorRegistry(
    codes=[
        ErrorCode("not_found", 404, "Gone | fishing.", retryable=True, retry_after=5),
        ErrorCode("quota_exhausted", 402, "The plan's quota is used up."),
    ]
)


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., str]:
    """Make things known by names such as `named:thing`."""

    def name(thing: object) -> str:
        module = type(sys)("named")
        vars(module)["thing"] = thing
        monkeypatch.setitem(sys.modules, "named", module)
        return "named:thing"

    return name


# codes


def test_codes_are_a_table_of_eighty_columns() -> None:
    result = call("codes")
    assert result.exit_code == 0
    assert not [line for line in result.stdout.splitlines() if len(line) > 80]
    words = set(result.stdout.split())
    assert set(CODES) <= words
    assert {str(code.status) for code in CODES.values()} <= words


def test_codes_as_json() -> None:
    assert json.loads(call("codes", "--json").stdout) == [
        {
            "code": code.value,
            "status": code.status,
            "retryable": code.is_retryable(),
            "description": code.description,
        }
        for code in CODES.values()
    ]


def test_codes_as_markdown() -> None:
    lines = call("codes", "--markdown").stdout.splitlines()
    assert lines[:2] == ["| code | status | retryable | description |", "| --- | --- | --- | --- |"]
    assert [line.split("`")[1] for line in lines[2:]] == list(CODES)
    assert "| `usage_limit_exceeded` | 429 | yes |" in "\n".join(lines)


def test_codes_of_a_registry_are_shown_as_it_has_them(named: Callable[..., str]) -> None:
    thing = named(registry)
    found = {item["code"]: item for item in json.loads(call("codes", thing, "--json").stdout)}
    assert set(found) == {*CODES, "quota_exhausted"}
    assert found["not_found"]["retry_after"] == 5
    assert "retry_after" not in found["conflict"]
    assert "| `not_found` | 404 | yes | 5 s | Gone \\| fishing. |" in (
        call("codes", thing, "--markdown").stdout
    )
    text = call("codes", thing).stdout
    assert "retry after" in text
    assert re.search(r"not_found +404 +yes +5 s +Gone \| fishing\.", text)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("registry", "The registry is named as in package.module:registry.", id="word"),
        pytest.param(
            "nowhere.at_all:registry",
            "nowhere.at_all:registry can't be imported: "
            "ModuleNotFoundError: No module named 'nowhere'",
            id="no such module",
        ),
        pytest.param(
            "json:registry",
            "json:registry can't be imported: "
            "AttributeError: module 'json' has no attribute 'registry'",
            id="not in the module",
        ),
        pytest.param(
            "json:dumps",
            "json:dumps is not an ErrorRegistry, but an object of type function.",
            id="something else",
        ),
    ],
)
def test_a_registry_that_is_none_gets_a_sentence(name: str, expected: str) -> None:
    assert sentence("codes", name) == expected
    assert sentence("check", "http://127.0.0.1:1", "--registry", name) == expected


def test_a_module_that_exits_is_not_imported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "exits_at_once.py").write_text(
        "print('Hello.')\nraise SystemExit('No settings.')\n"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    result = call("codes", "exits_at_once:registry")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "exits_at_once:registry can't be imported: SystemExit: No settings." in result.stderr


# check, on the Core API


@pytest.fixture(scope="module")
def core_api(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[str, Path]]:
    """The Core API on a real server, and its database."""
    folder = tmp_path_factory.mktemp("core_api")
    with serving(create_app(folder / "core.sqlite3"), folder / "server.log") as url:
        yield url, folder / "core.sqlite3"


def contents(database: Path) -> list[str]:
    """All that a database holds."""
    with closing(sqlite3.connect(database)) as connection:
        return list(connection.iterdump())


@pytest.mark.parametrize(
    ("options", "successes"),
    [
        pytest.param([], 0, id="without credentials"),
        pytest.param(["--header", f"Authorization: {BASIC}"], 1, id="with an API key"),
        pytest.param(
            ["-H", f"Authorization: Bearer {demo.SESSION.token}"], 1, id="with an access token"
        ),
        pytest.param(
            ["-H", f"Authorization: Bearer {demo.EXPIRED_SESSION.token}"], 0, id="that expired"
        ),
    ],
)
def test_nothing_is_found_on_the_core_api(
    core_api: tuple[str, Path], options: Sequence[str], successes: int
) -> None:
    url, database = core_api
    before = contents(database)
    status, report = read(url, *options)
    assert report["violations"] == []
    assert (status, report["compliant"], report["service"]) == (0, True, url)
    assert report["requests"] - report["errors"] == successes
    assert report["requests"] > (25 if options else 15)
    assert contents(database) == before


def test_a_compliant_service_gets_one_line(core_api: tuple[str, Path]) -> None:
    url, _ = core_api
    result = call("check", url, "-H", f"Authorization: {BASIC}")
    assert (result.exit_code, result.stderr) == (0, "")
    note, summary = result.stdout.splitlines()
    assert note == "Note: Not an error, so not checked: 200 GET /v1/me (no parameters)."
    assert re.fullmatch(rf"{url}: \d+ requests, \d+ errors, no violations\.", summary)


def test_what_is_behind_authentication_is_said_to_be_open(core_api: tuple[str, Path]) -> None:
    url, _ = core_api
    (note,) = read(url)[1]["notes"]
    assert note.startswith("Some operations want credentials")


def test_credentials_that_are_refused_are_said_to_be(core_api: tuple[str, Path]) -> None:
    url, _ = core_api
    (note,) = read(url, "-H", "Authorization: Bearer tok_unknown")[1]["notes"]
    assert re.match(r"The given credentials were refused \d+ times with 401: nothing behind", note)


# check, on plain FastAPI


class User(BaseModel):
    """A user."""

    name: str


async def create_user(user: User) -> None:
    """Creates a user; nobody comes so far."""


async def read_user(user_id: int) -> None:
    """Reads a user; nobody comes so far."""


async def read_team(team_id: str) -> User:
    """Reads a team, if there is one."""
    raise HTTPException(404, f"No team {team_id}.")


async def read_me(token: Annotated[object, Depends(HTTPBearer())]) -> User:
    """Reads who has the token."""
    return User(name="Ada")


def plain() -> FastAPI:
    """Plain FastAPI."""
    app = FastAPI()
    app.post("/users")(create_user)
    app.get("/users/{user_id}")(read_user)
    app.get("/teams/{team_id}")(read_team)
    app.get("/me")(read_me)
    return app


PLAIN = {
    (404, "GET /<random> (no such path)", "cache-control"),
    (404, "GET /<random> (no such path)", "members"),
    (404, "HEAD /<random> (no such path)", "cache-control"),
    (405, "PROPFIND /openapi.json (no such method)", "cache-control"),
    (405, "PROPFIND /openapi.json (no such method)", "members"),
    (405, "PROPFIND /users/{user_id} (no such method)", "cache-control"),
    (405, "PROPFIND /users/{user_id} (no such method)", "members"),
    (405, "PROPFIND /teams/{team_id} (no such method)", "cache-control"),
    (405, "PROPFIND /teams/{team_id} (no such method)", "members"),
    (405, "PROPFIND /me (no such method)", "cache-control"),
    (405, "PROPFIND /me (no such method)", "members"),
    (422, "POST /users (malformed JSON)", "cache-control"),
    (422, "POST /users (malformed JSON)", "members"),
    (422, "POST /users (no such content type)", "cache-control"),
    (422, "POST /users (no such content type)", "members"),
    (422, "GET /users/{user_id} (random names)", "cache-control"),
    (422, "GET /users/{user_id} (random names)", "members"),
    (404, "GET /teams/{team_id} (random names)", "cache-control"),
    (404, "GET /teams/{team_id} (random names)", "members"),
    (401, "GET /me (without credentials)", "cache-control"),
    (401, "GET /me (without credentials)", "members"),
    (200, "GET /me (invalid credentials)", "refusal"),
}


def findings(report: dict[str, Any]) -> set[tuple[int | None, str, str]]:
    """The violations, without their texts."""
    return {
        (item["status"], f"{item['method']} {item['path']} ({item['what']})", item["rule"])
        for item in report["violations"]
    }


def test_plain_fastapi_gets_a_list(tmp_path: Path) -> None:
    with serving(plain(), tmp_path / "server.log") as url:
        status, report = read(url)
    assert findings(report) == PLAIN
    assert (status, report["compliant"], report["requests"], report["errors"]) == (1, False, 12, 11)


def test_in_process_the_list_is_the_same(named: Callable[..., str]) -> None:
    status, report = read(named(plain))
    assert (status, findings(report)) == (1, PLAIN)
    assert report["service"] == "named:thing"


def test_with_the_library_the_list_is_empty(named: Callable[..., str]) -> None:
    app = plain()
    install(app)
    assert findings(read(named(app))[1]) == {
        # What this application does, whatever the form of its errors: any token is good for it.
        (200, "GET /me (invalid credentials)", "refusal")
    }


def test_the_list_as_text(named: Callable[..., str]) -> None:
    result = call("check", named(plain()))
    assert (result.exit_code, result.stderr) == (1, "")
    lines = result.stdout.splitlines()
    assert not [line for line in lines if len(line) > 80 or line.endswith(" ")]
    start = lines.index("members")
    assert lines[start + 3 : start + 12] == [
        "    404  GET       /<random>                    no such path",
        "    405  PROPFIND  /openapi.json                no such method",
        "    405  PROPFIND  /users/{user_id}             no such method",
        "    405  PROPFIND  /teams/{team_id}             no such method",
        "    405  PROPFIND  /me                          no such method",
        "    422  POST      /users                       malformed JSON",
        "                   and 4 more (--json has all)",
        "",
        "refusal",
    ]
    assert lines[-1] == "named:thing: 12 requests, 11 errors, 22 violations of 3 rules."


def test_codes_of_the_application_are_known_by_its_registry(
    named: Callable[..., str], tmp_path: Path
) -> None:
    async def fail(request: Request) -> Response:
        error = {"error": "own_code", "error_description": "No.", "retryable": False}
        return JSONResponse(error, 418, {"cache-control": "no-store"})

    app = Starlette(routes=[Route("/{path:path}", fail)])
    with serving(app, tmp_path / "server.log") as url:
        assert {rule for _, _, rule in findings(read(url)[1])} == {"code"}
        known = named(ErrorRegistry(codes=[ErrorCode("own_code", 418, "No.")]))
        assert read(url, "--registry", known)[0] == 0


# What is asked: nothing that could change anything


def operation(*, has_body: bool = False, is_protected: bool = False) -> dict[str, Any]:
    """An operation of a document."""
    schema = {"type": "object", "required": ["name"]}
    content = {"application/json": {"schema": schema}}
    return {
        **({"requestBody": {"required": True, "content": content}} if has_body else {}),
        **({"security": [{"token": []}]} if is_protected else {}),
    }


METHODS = ("get", "head", "options", "trace", "put", "post", "patch", "delete")
DOCUMENT: dict[str, Any] = {
    "openapi": "3.0.3",
    "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    "servers": [{"url": "/v1"}],
    "paths": {
        **{
            f"/{kind}{suffix}": {
                method: operation(has_body="body" in kind, is_protected="protected" in kind)
                for method in METHODS
            }
            for kind in ("open", "open-body", "protected", "protected-body")
            for suffix in ("", "/{item_id}", "/{item_id}/things/{thing_id}")
        },
        "/read-only": {"get": operation(), "head": operation()},
        "/write-only": {"post": operation()},
        "/delete-only/{item_id}": {"delete": operation(has_body=True)},
    },
}


class Recorder:
    """An application that does whatever it is asked to, and writes it down."""

    def __init__(self, document: dict[str, Any], status: int = 200) -> None:
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self._document = document
        self._status = status

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request, or starts and stops."""
        if scope["type"] == "lifespan":
            await Starlette()(scope, receive, send)
            return
        request = Request(scope, receive)
        body = await request.body()
        self.requests.append((request.method, request.url.path, dict(request.headers), body))
        is_document = request.url.path == "/openapi.json" and request.method == "GET"
        response: Response = JSONResponse(self._document) if is_document else Response()
        response.status_code = 200 if is_document else self._status
        await response(scope, receive, send)


@pytest.mark.parametrize("status", [200, 404], ids=["does everything", "does nothing"])
@pytest.mark.parametrize(
    "options",
    [
        [],
        ["-H", "Authorization: Bearer tok_good"],
        ["-H", "Authorization: Bearer tok_good", "-H", "content-type: text/plain"],
    ],
)
def test_no_request_can_change_anything(
    named: Callable[..., str], options: list[str], status: int
) -> None:
    app = Recorder(DOCUMENT, status)
    assert call("check", named(app), *options).exit_code == 1
    (_, document_path, *_), *requests = app.requests
    assert document_path == "/openapi.json"
    assert len(requests) > 20
    for method, path, headers, body in requests:
        template = RANDOM.sub("{}", path)
        assert template.startswith("/v1/")
        if method in ("GET", "HEAD"):
            assert body == b""
        elif method == "PROPFIND":
            assert (template, body) == ("/v1/read-only", b"")
        else:
            assert method in ("POST", "PUT", "PATCH")
            assert "body" in template
            assert body == b"{"
            assert headers["content-type"].startswith("application/")
        known = ("/v1/open", "/v1/protected", "/v1/read-only", "/v1/{}")
        assert template.startswith(known)


def test_a_service_that_does_what_it_should_refuse_is_reported(named: Callable[..., str]) -> None:
    status, report = read(named(Recorder(DOCUMENT)))
    refusals = {
        (item["method"], item["what"]) for item in report["violations"] if item["rule"] == "refusal"
    }
    assert status == 1
    assert refusals == {
        ("GET", "without credentials"),
        ("GET", "invalid credentials"),
        *((method, "malformed JSON") for method in ("POST", "PUT", "PATCH")),
        *((method, "no such content type") for method in ("POST", "PUT", "PATCH")),
        *((method, "without credentials") for method in ("POST", "PUT", "PATCH")),
    }


def test_a_service_that_knows_every_path_is_said_to(named: Callable[..., str]) -> None:
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "paths": {f"/{n}/{{id}}": {"get": {}} for n in range(3)},
    }
    result = call("check", named(Recorder(document)))
    assert (result.exit_code, result.stderr) == (
        2,
        "Error: No request was answered with an error: there was nothing to check.\n",
    )
    assert result.stdout.split()[:7] == "Note: Not an error, so not checked:".split()
    assert "200 GET /<random> (no such path)" in " ".join(result.stdout.split())
    assert ", and 6 more." in " ".join(result.stdout.split())


def test_redirects_are_not_followed_and_cookies_not_kept(tmp_path: Path) -> None:
    seen: list[Request] = []

    async def elsewhere(request: Request) -> Response:
        seen.append(request)
        response = RedirectResponse("/elsewhere")
        response.set_cookie("sid", "1")
        return response

    with serving(Starlette(routes=[Route("/{path:path}", elsewhere)]), tmp_path / "log") as url:
        assert call("check", url).exit_code == 2
    assert [request.url.path for request in seen if request.url.path == "/elsewhere"] == []
    assert [request.headers.get("cookie") for request in seen] == [None, None, None]


# The document


def test_a_document_elsewhere_is_read_from_a_file(
    named: Callable[..., str], tmp_path: Path
) -> None:
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps({"openapi": "3.1.0", "paths": {"/users/{user_id}": {"get": {}}}}))
    _, report = read(named(plain()), "--openapi", str(file))
    assert {item["path"] for item in report["violations"]} == {"/<random>", "/users/{user_id}"}


def test_credentials_go_to_no_other_host(tmp_path: Path) -> None:
    mine, other = Recorder({}, 404), Recorder({"openapi": "3.1.0"}, 404)
    option = ("-H", "Authorization: Bearer tok_good")
    with serving(mine, tmp_path / "mine.log") as url, serving(other, tmp_path / "log") as elsewhere:
        call("check", url, "--openapi", f"{elsewhere}/openapi.json", *option)
        call("check", elsewhere, *option)
    assert {headers["authorization"] for *_, headers, _ in mine.requests} == {"Bearer tok_good"}
    # The check of the other one has them; the first request is not one of it.
    sent = [headers.get("authorization") for *_, headers, _ in other.requests]
    assert sent[0] is None
    assert set(sent[1:]) == {"Bearer tok_good"}


@pytest.mark.parametrize(
    ("header", "is_credential"),
    [
        ("Authorization: Bearer tok_old", True),
        ("X-API-Key: key_old", True),
        ("X-Tenant: acme", False),
    ],
)
def test_credentials_are_given_in_the_headers_that_the_library_knows(
    named: Callable[..., str], header: str, *, is_credential: bool
) -> None:
    async def refuse(request: Request) -> Response:
        headers = {"Cache-Control": "no-store", "WWW-Authenticate": "Bearer"}
        body = {"error": "session_expired", "error_description": "Expired.", "retryable": False}
        return JSONResponse(body, 401, headers)

    app = FastAPI()
    app.get("/me")(read_me)
    app.add_route("/{path:path}", refuse)
    _, report = read(named(app), "-H", header)
    found = {rule for _, what, rule in findings(report) if "no such path" in what}
    assert found == ({"invalid-token"} if is_credential else set())


def test_headers_are_read_from_a_file_too(named: Callable[..., str], tmp_path: Path) -> None:
    file = tmp_path / "headers"
    file.write_text("Authorization: Bearer tok_good\n\nX-Tenant: acme\n")
    app = Recorder(DOCUMENT, 404)
    call("check", named(app), "-H", f"@{file}", "-H", "Host: api.example")
    _, _, headers, _ = app.requests[1]
    assert (headers["authorization"], headers["x-tenant"]) == ("Bearer tok_good", "acme")
    # Without credentials there are no headers but Host.
    bare = [headers for *_, headers, _ in app.requests if "authorization" not in headers]
    assert bare
    assert {(each["host"], each.get("x-tenant")) for each in bare} == {("api.example", None)}


@pytest.mark.parametrize(
    ("response", "fault"),
    [
        pytest.param(Response(status_code=404), "the answer is 404", id="none"),
        pytest.param(Response("<html>"), "it is not JSON", id="a page"),
        pytest.param(Response("[" * 100_000), "it is not JSON", id="too deep"),
        pytest.param(JSONResponse([]), "it doesn't say that it is one", id="no object"),
        pytest.param(
            JSONResponse({"swagger": "2.0"}), "it doesn't say that it is one", id="Swagger"
        ),
    ],
)
def test_without_a_document_a_random_path_is_asked(
    named: Callable[..., str], response: Response, fault: str
) -> None:
    app = FastAPI(openapi_url=None)
    install(app)
    app.router.routes.append(Route("/openapi.json", response))
    status, report = read(named(app))
    assert (status, report["requests"]) == (0, 2)
    place = "http://localhost/openapi.json"
    (note,) = report["notes"]
    assert note == (
        f"There is no OpenAPI 3 document in JSON at {place}: {fault}. "
        "Only a random path was tried; --openapi names the place."
    )
    assert sentence("check", named(app), "--openapi", place) == (
        f"--openapi names no OpenAPI 3 document in JSON: {fault}."
    )


@pytest.mark.parametrize(
    ("server", "path", "is_missed"),
    [
        pytest.param("/", "/users", False, id="there"),
        pytest.param("/api", "/users", True, id="elsewhere"),
        pytest.param("/api", "/users/{user_id}", False, id="elsewhere, perhaps: names are random"),
    ],
)
def test_paths_that_seem_to_begin_elsewhere_are_said_to(
    named: Callable[..., str], tmp_path: Path, *, server: str, path: str, is_missed: bool
) -> None:
    app = plain()
    install(app)
    file = tmp_path / "openapi.json"
    file.write_text(
        json.dumps(
            {
                "openapi": "3.1.0",
                "servers": [{"url": server}],
                "paths": {path: {"post": operation(has_body=True), "get": {}}},
            }
        )
    )
    status, report = read(named(app), "--openapi", str(file))
    assert (status, report["violations"]) == (0, [])
    expected = "perhaps they don't begin at http://localhost/api. The URL to check says where"
    assert [expected in note for note in report["notes"]] == [True] * is_missed


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        pytest.param(
            "/no/such/file",
            "--openapi names no OpenAPI 3 document in JSON: No such file or directory.",
            id="no file",
        ),
        pytest.param("http://[::1", "The URL is not valid.", id="no URL"),
        pytest.param(
            "ftp://localhost/x", "ftp://localhost can't be asked: UnsupportedProtocol.", id="FTP"
        ),
    ],
)
def test_a_document_that_is_nowhere_gets_a_sentence(place: str, expected: str) -> None:
    assert sentence("check", "http://127.0.0.1:1", "--openapi", place) == expected


# Services that are none


@contextmanager
def listening(serve: Callable[[socket.socket], object]) -> Generator[str]:
    """Listen on a free port, and give `host:port`."""
    done = threading.Event()

    def run() -> None:
        while not done.is_set():
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                serve(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        place = f"127.0.0.1:{listener.getsockname()[1]}"
        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield place
        finally:
            done.set()
            with suppress(OSError):
                socket.create_connection(listener.getsockname()).close()
            thread.join()


def says(*pieces: bytes) -> Callable[[socket.socket], None]:
    """Reads a request, and answers with these bytes."""

    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        for piece in pieces:
            connection.sendall(piece)

    return serve


def is_silent(connection: socket.socket) -> None:
    """Reads, until the client has enough."""
    while connection.recv(65536):
        pass


def goes_on(connection: socket.socket) -> None:
    """Sends a body without an end."""
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b"x" * 2**20)


NO_HTTP = "http://{} gave no whole HTTP answer: does something else than HTTP listen there?"


@pytest.mark.parametrize(
    ("serve", "scheme", "expected"),
    [
        pytest.param(says(), "http", NO_HTTP, id="closes the connection"),
        pytest.param(says(b"SSH-2.0-OpenSSH_9.2\r\n"), "http", NO_HTTP, id="SSH"),
        pytest.param(says(b"-ERR unknown command\r\n"), "http", NO_HTTP, id="Redis"),
        pytest.param(
            says(b"HTTP/1.1 404 Not Found\r\ncontent-length: 9\r\n\r\nNot"),
            "http",
            NO_HTTP,
            id="a body cut short",
        ),
        pytest.param(
            says(b"HTTP/1.1 404 Not Found\r\ncontent-encoding: gzip\r\n\r\nNot"),
            "http",
            NO_HTTP,
            id="a body that can't be decoded",
        ),
        pytest.param(
            is_silent,
            "http",
            "http://{} gave no whole answer within 0.3 seconds: --timeout allows more.",
            id="says nothing",
        ),
        pytest.param(
            goes_on, "http", "http://{} sent more than 16 MiB, and went on.", id="never ends"
        ),
        pytest.param(
            says(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            "https",
            "https://{} doesn't speak TLS: perhaps its address begins with http://.",
            id="no TLS",
        ),
    ],
)
def test_what_is_no_service_gets_a_sentence(
    serve: Callable[[socket.socket], object], scheme: str, expected: str
) -> None:
    timeout = "10" if serve is goes_on else "0.3"
    with listening(serve) as place:
        found = sentence("check", f"{scheme}://{place}", "--timeout", timeout)
    assert found == expected.format(place)


def make_certificate(file: Path) -> None:
    """Write a certificate for 127.0.0.1 that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Core API")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file.write_bytes(secret + certificate.public_bytes(serialization.Encoding.PEM))


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    file = tmp_path / "server.pem"
    make_certificate(file)
    return file


def over_tls(
    certificate: Path, serve: Callable[[socket.socket], object]
) -> Callable[[socket.socket], None]:
    """Serve over TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def serve_encrypted(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as encrypted:
            serve(encrypted)

    return serve_encrypted


def test_a_certificate_that_nobody_vouches_for_gets_a_sentence(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve = over_tls(certificate, says(b"HTTP/1.1 204 No Content\r\n\r\n"))
    with listening(serve) as place:
        distrusted = sentence("check", f"https://{place}")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        trusted = call("check", f"https://{place}")
    assert re.fullmatch(
        rf"The certificate of https://{place} is not valid: self.signed certificate\. "
        r"SSL_CERT_FILE names what to trust\.",
        distrusted,
    )
    assert "the answer is 204" in " ".join(trusted.stdout.split())


def test_a_service_that_is_slow_over_tls_is_not_said_to_lack_it(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with listening(over_tls(certificate, is_silent)) as place:
        found = sentence("check", f"https://{place}", "--timeout", "0.3")
    assert found == (
        f"https://{place} gave no whole answer within 0.3 seconds: --timeout allows more."
    )


@pytest.mark.parametrize(
    ("name", "value", "cause"),
    [
        pytest.param("SSL_CERT_FILE", "/nowhere", "FileNotFoundError", id="no certificates"),
        pytest.param("SSL_CERT_FILE", __file__, "SSLError", id="something else"),
        pytest.param("HTTP_PROXY", "ftp://tok_good@a", "ValueError", id="no proxy"),
        pytest.param("HTTP_PROXY", "http://tok_good@a:b", "InvalidURL", id="no URL"),
    ],
)
def test_an_environment_that_keeps_from_asking_gets_a_sentence(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, cause: str
) -> None:
    monkeypatch.setenv(name, value)
    assert sentence("check", "http://localhost:1") == (
        f"The environment keeps from asking ({cause}): check SSL_CERT_FILE, SSL_CERT_DIR, and what "
        "names a proxy, such as HTTPS_PROXY and ALL_PROXY."
    )


@pytest.mark.parametrize("seconds", ["nan", "inf", "0"])
def test_a_time_that_is_none_is_refused(seconds: str) -> None:
    result = call("check", "http://localhost:1", "--timeout", seconds)
    assert result.exit_code == 2
    assert "Invalid value for '--timeout'" in result.stderr


# No name server needs to be asked for a name of more than 255 characters (RFC 1035, 2.3.4).
TOO_LONG = "a" * 256
NO_TARGET = (
    "check takes a URL with its scheme, such as http://localhost:8000, or an application, such as "
    "package.module:app."
)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param("localhost:8000", NO_TARGET, id="no scheme"),
        pytest.param("ftp://localhost", NO_TARGET, id="another scheme"),
        pytest.param("http://", NO_TARGET, id="no host"),
        pytest.param("http://[::1", NO_TARGET, id="no address"),
        pytest.param("http://localhost:99999", NO_TARGET, id="no port"),
        pytest.param("tok_good", NO_TARGET, id="a word"),
        pytest.param("", NO_TARGET, id="nothing"),
        pytest.param(
            "http://ada:tok_good@localhost",
            "The URL has no place for credentials and queries: use --header.",
            id="credentials",
        ),
        pytest.param(
            "http://localhost?key=tok_good",
            "The URL has no place for credentials and queries: use --header.",
            id="a query",
        ),
        pytest.param(
            f"http://{TOO_LONG}",
            f"The name {TOO_LONG} leads nowhere: check its spelling, or the network.",
            id="no such host",
        ),
        pytest.param(
            "nowhere:app",
            "nowhere:app can't be imported: ModuleNotFoundError: No module named 'nowhere'",
            id="no such module",
        ),
        pytest.param(
            "json:__name__",
            "json:__name__ is not an ASGI application, but an object of type str.",
            id="no application",
        ),
        pytest.param(
            "json:JSONDecoder",
            "json:JSONDecoder is not an ASGI application, but an object of type type.",
            id="a class",
        ),
        pytest.param(
            "json:application",
            "json:application can't be imported: "
            "AttributeError: module 'json' has no attribute 'application'",
            id="nothing in the module",
        ),
    ],
)
def test_what_can_not_be_checked_gets_a_sentence(target: str, expected: str) -> None:
    assert sentence("check", target) == expected


def test_a_port_where_nothing_listens_gets_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "openapi.json"
    file.write_text('{"openapi": "3.1.0"}')
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        expected = f"Nothing listens at {url}: is the service running there?"
        assert sentence("check", url) == expected
        assert sentence("check", url, "--openapi", str(file)) == expected


def test_a_host_whose_addresses_all_fail_gets_one_sentence() -> None:
    failures = [ConnectionRefusedError(f"{address} refused") for address in ("::1", "127.0.0.1")]
    failure = OSError("All connection attempts failed")
    failure.__cause__ = ExceptionGroup("multiple connection attempts failed", failures)
    assert explain(failure, httpx2.URL("http://ada:tok_good@localhost:1/path"), 10) == (
        "Nothing listens at http://localhost:1: is the service running there?"
    )


@pytest.mark.parametrize(
    ("count", "arguments"),
    [
        pytest.param(0, [], id="none"),
        pytest.param(3, ["-H", "Authorization:", "Bearer", "tok_good", "http://a"], id="no quotes"),
    ],
)
def test_one_service_is_checked(count: int, arguments: list[str]) -> None:
    assert sentence("check", *arguments) == (
        f"check takes one URL or MODULE:APP, and got {count}: a header needs quotes, as in "
        "--header 'Name: value'."
    )


# Applications in this process


class _Unstable:
    """An application whose requests end as told."""

    def __init__(self, do: Callable[[Send], Any]) -> None:
        self._do = do

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request."""
        if scope["type"] == "lifespan":
            raise SystemError("What is that?")
        await self._do(send)


async def _fails(send: Send) -> None:
    raise ValueError("tok_good")


async def _exits(send: Send) -> None:
    raise SystemExit(0)


async def _is_cancelled(send: Send) -> None:
    raise asyncio.CancelledError


async def _is_left(send: Send) -> None:
    raise GeneratorExit


async def _exits_in_a_group(send: Send) -> None:
    raise BaseExceptionGroup("several", [SystemExit()])


async def _says_nothing(send: Send) -> None:
    await send({"type": "http.response.start", "status": 404, "headers": []})


async def _leaves_off(send: Send) -> None:
    await _says_nothing(send)
    await send({"type": "http.response.body", "body": b'{"error"', "more_body": True})


async def _hangs(send: Send) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("do", "expected"),
    [
        pytest.param(_fails, {"client-error"}, id="raises"),
        pytest.param(_exits, {"client-error"}, id="exits"),
        pytest.param(_exits_in_a_group, {"client-error"}, id="exits, in a group"),
        pytest.param(_is_cancelled, {"client-error"}, id="is cancelled"),
        pytest.param(_is_left, {"client-error"}, id="is left"),
        pytest.param(_says_nothing, {"json"}, id="says nothing"),
        pytest.param(_leaves_off, {"json"}, id="leaves off"),
    ],
)
def test_an_application_that_fails_is_reported(
    named: Callable[..., str], do: Callable[[Send], Any], expected: set[str]
) -> None:
    status, report = read(named(_Unstable(do)))
    assert status == 1
    assert expected <= {item["rule"] for item in report["violations"]}
    assert "content-length" not in {
        item["rule"] for item in report["violations"] if item["status"] == 404
    }


def test_an_application_that_hangs_is_not_waited_for(named: Callable[..., str]) -> None:
    assert sentence("check", named(_Unstable(_hangs)), "--timeout", "0.1") == (
        "http://localhost gave no whole answer within 0.1 seconds: --timeout allows more."
    )


async def _goes_on(send: Send) -> None:
    """Sends a body without an end."""
    await _says_nothing(send)
    while True:
        await send({"type": "http.response.body", "body": b"x" * 2**20, "more_body": True})


def test_a_body_without_an_end_is_left(named: Callable[..., str]) -> None:
    assert sentence("check", named(_Unstable(_goes_on))) == (
        "http://localhost sent more than 16 MiB, and went on."
    )


def test_an_application_in_this_process_has_no_document_elsewhere(
    named: Callable[..., str],
) -> None:
    name = named(plain())
    assert sentence("check", name, "--openapi", "https://docs.example.com/openapi.json") == (
        "An application in this process is asked alone: --openapi takes a file, or a URL that "
        "begins with http://localhost."
    )
    _, report = read(name, "--openapi", "http://localhost/openapi.json")
    assert report["requests"] > 2


def test_a_request_without_an_answer_is_a_violation(named: Callable[..., str]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/openapi.json" and scope["method"] == "HEAD":
            await asyncio.Event().wait()
        await Response(status_code=404)(scope, receive, send)

    assert (None, "HEAD /<random> (no such path)", "answer") in findings(
        read(named(app), "--timeout", "0.1")[1]
    )
    assert "--- " in call("check", named(app), "--timeout", "0.1").stdout


def test_without_headers_a_request_has_no_credentials(named: Callable[..., str]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
        await Response(status_code=401, headers=headers)(scope, receive, send)

    for options, is_found in (([], True), (["-H", "X-Tenant: acme"], False)):
        _, report = read(named(app), *options)
        assert ("challenge-error" in {item["rule"] for item in report["violations"]}) is is_found


async def stream_events(request: Request) -> Response:
    """Answers with a stream that never ends."""

    async def events() -> AsyncGenerator[bytes]:
        yield b"data: 1\n\n"
        await asyncio.Event().wait()

    return StreamingResponse(events(), media_type="text/event-stream")


@pytest.mark.parametrize("is_served", [False, True], ids=["in process", "on a server"])
def test_a_stream_without_an_end_is_left(
    named: Callable[..., str], tmp_path: Path, is_served: bool
) -> None:
    app = Starlette(routes=[Route("/events/{id}", stream_events)])
    install(app)
    file = tmp_path / "openapi.json"
    file.write_text('{"openapi": "3.1.0", "paths": {"/events/{id}": {"get": {}}}}')
    with ExitStack() as stack:
        service = (
            stack.enter_context(serving(app, tmp_path / "server.log")) if is_served else named(app)
        )
        status, report = read(service, "--openapi", str(file), "--timeout", "5")
    assert (status, report["violations"]) == (0, [])
    assert report["notes"] == ["Not an error, so not checked: 200 GET /events/{id} (random names)."]


@pytest.mark.parametrize("more_body", [False, True], ids=["at once", "in pieces"])
def test_a_document_without_a_length_is_read(named: Callable[..., str], *, more_body: bool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/openapi.json":
            await Response(status_code=404)(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        document = b'{"openapi": "3.1.0", "paths": {"/users/{id}": {"get": {}}}}'
        for piece in (document[:20], document[20:]) if more_body else (document,):
            await send({"type": "http.response.body", "body": piece, "more_body": more_body})
        if more_body:
            await send({"type": "http.response.body"})

    paths = {item["path"] for item in read(named(app))[1]["violations"]}
    assert "/users/{id}" in paths


def test_an_application_is_started_and_stopped(named: Callable[..., str]) -> None:
    events: list[str] = []

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[dict[str, str]]:
        events.append("started")
        yield {"name": "Ada"}
        events.append("stopped")

    async def read_state(request: Request) -> Response:
        events.append(request.state.name)
        sys.stdout.write("Written by the application.")
        raise HTTPException(404)

    app = Starlette(routes=[Route("/{path:path}", read_state)], lifespan=lifespan)
    install(app)
    status, report = read(named(app))
    assert (status, report["violations"]) == (0, [])
    assert events == ["started", "Ada", "Ada", "Ada", "stopped"]


async def _raises_at_start(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "lifespan.startup.failed"})


async def _exits_at_start(scope: Scope, receive: Receive, send: Send) -> None:
    raise SystemExit(0)


def _no_disk(app: Starlette) -> AbstractAsyncContextManager[None]:
    raise OSError("no disk")


@pytest.mark.parametrize(
    ("app", "reason"),
    [
        pytest.param(Starlette(lifespan=_no_disk), "OSError: no disk", id="raises"),
        pytest.param(_raises_at_start, "no reason given", id="says nothing"),
        pytest.param(_exits_at_start, "it exits", id="exits"),
    ],
)
def test_an_application_that_does_not_start_gets_a_sentence(
    named: Callable[..., str], app: ASGIApp, reason: str
) -> None:
    assert sentence("check", named(app)) == f"The application doesn't start: {reason}."


async def _never_starts(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.Event().wait()


async def _never_stops(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve all but the end."""
    if scope["type"] == "http":
        await Response(status_code=404)(scope, receive, send)
        return
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await asyncio.Event().wait()


def test_a_start_that_hangs_is_not_waited_for(named: Callable[..., str]) -> None:
    assert sentence("check", named(_never_starts), "--timeout", "0.1") == (
        "The application doesn't start within 0.1 seconds: --timeout allows more."
    )


def test_a_stop_that_hangs_is_not_waited_for(
    named: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    status, report = read(named(_never_stops), "--timeout", "0.1")
    assert (status, report["requests"], len(report["violations"])) == (1, 2, 6)
    assert report["notes"][-1] == (
        "The application doesn't stop within 0.1 seconds: --timeout allows more."
    )
    # Nor does asyncio complain.
    assert caplog.records == []


def test_a_stop_that_hangs_hides_no_failure(named: Callable[..., str], tmp_path: Path) -> None:
    assert (
        sentence(
            "check",
            named(_never_stops),
            "--timeout",
            "0.1",
            "--openapi",
            str(tmp_path / "none.json"),
        )
        == "--openapi names no OpenAPI 3 document in JSON: No such file or directory."
    )


def _make(*settings: str) -> FastAPI:
    """Makes a plain application."""
    return plain()


class _Maker:
    """Makes plain applications."""

    def __call__(self) -> FastAPI:
        """Makes one."""
        return plain()

    def make(self, *settings: str) -> FastAPI:
        """Makes one, with settings."""
        return _make(*settings)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(partial(plain), id="partial"),
        pytest.param(partial(_Maker().make, "debug"), id="partial, with arguments"),
        pytest.param(_Maker(), id="an object"),
        pytest.param(_Maker().make, id="a method"),
        pytest.param(_make, id="a function that takes anything"),
    ],
)
def test_what_can_be_called_without_arguments_makes_an_application(
    named: Callable[..., str], make: Callable[..., FastAPI]
) -> None:
    assert findings(read(named(make))[1]) == PLAIN


class _Wrapper:
    """An application that leaves to another what it takes."""

    async def __call__(self, *arguments: Any) -> None:
        """Serves a request."""
        await plain()(*arguments)


class _Unreadable(_Wrapper):
    """One of which Python can't say what it takes."""

    __signature__ = 5


def _configure(settings: str) -> None: ...


@pytest.mark.parametrize(
    "app",
    [_Wrapper(), _Unreadable(), partial(_Unreadable())],
    ids=["anything", "unknown", "unknown, in part"],
)
def test_an_application_may_take_anything(named: Callable[..., str], app: ASGIApp) -> None:
    assert findings(read(named(app))[1]) == PLAIN


@pytest.mark.parametrize(
    "thing",
    [
        pytest.param(_configure, id="needs an argument"),
        pytest.param(lambda: _configure, id="makes what needs an argument"),
    ],
)
def test_what_takes_something_else_is_no_application(
    named: Callable[..., str], thing: object
) -> None:
    assert sentence("check", named(thing)) == (
        "named:thing is no ASGI application, which takes scope, receive and send; nor does it make "
        "one without arguments."
    )


def test_what_making_an_application_prints_is_no_result(named: Callable[..., str]) -> None:
    def make() -> FastAPI:
        sys.stdout.write("Written while it is made.")
        return plain()

    assert findings(read(named(make))[1]) == PLAIN


def test_a_function_that_exits_makes_no_application(named: Callable[..., str]) -> None:
    assert sentence("check", named(lambda: sys.exit(0))) == (
        "named:thing makes no application: SystemExit: 0"
    )


def test_a_function_that_makes_no_application_gets_a_sentence(named: Callable[..., str]) -> None:
    def make(settings: str = "") -> FastAPI:
        raise KeyError("SETTINGS")

    assert sentence("check", named(make)) == (
        "named:thing makes no application: KeyError: 'SETTINGS'"
    )


def test_an_async_function_makes_no_application(named: Callable[..., str]) -> None:
    async def make() -> None: ...

    assert sentence("check", named(make)) == (
        "named:thing is not an ASGI application, but an object of type coroutine."
    )


async def _is_interrupted(send: Send) -> None:
    raise KeyboardInterrupt


def test_an_interruption_is_no_verdict(named: Callable[..., str]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise KeyboardInterrupt

    for interrupted in (app, _Unstable(_is_interrupted)):
        result = call("check", named(interrupted))
        assert (result.exit_code, result.output) == (130, "")


# Credentials change no verdict, and are never printed


@pytest.mark.parametrize(
    "header",
    [
        pytest.param("Accept: application/json", id="a media type"),
        pytest.param("X-Tenant: not_found", id="a code"),
        pytest.param("X-Debug: true", id="a word of JSON"),
        pytest.param("X-None: a", id="a letter"),
        pytest.param('Cookie: sid="users"', id="a path"),
        pytest.param("Authorization: Basic dGVzdDplcnJvcg==", id="a password that is a member"),
    ],
)
def test_what_stands_in_a_right_answer_by_chance_is_no_violation(
    named: Callable[..., str], header: str
) -> None:
    app = FastAPI()
    app.get("/users/{user_id}")(read_user)
    install(app)
    status, report = read(named(app), "-H", header)
    assert (status, report["requests"], report["violations"]) == (0, 5, [])


def test_of_credentials_that_are_cut_off_nothing_is_printed(named: Callable[..., str]) -> None:
    token = "secret" * 40
    output = call("check", named(echo(f"{token}.", {})), "-H", f"X-Key: {token}").output
    assert "error: ***." in output
    assert "secret" not in output


def echo(text: str, headers: dict[str, str]) -> ASGIApp:
    """An application that gives back what it got, in every place that a report could quote."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            content: dict[str, Any] = {"error": text, "error_description": text, text: text}
            content |= {"retryable": text, "fields": [{text: text}]}
            response: Response = JSONResponse(content, 401, headers)
            if scope["path"] == "/openapi.json":
                paths: dict[str, Any] = {f"/{text}/{{id}}": {"get": {}}}
                response = JSONResponse({"openapi": "3.1.0", "paths": paths})
            await response(scope, receive, send)

    return app


FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "as JSON": json.dumps,
    "in a URL": quote,
    "in HTML": html.escape,
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize(
    ("header", "secret"),
    [
        pytest.param("Authorization: Bearer tok/good+secret=", "tok/good+secret=", id="a token"),
        pytest.param(f"Authorization: {BASIC}", demo.FULL.secret, id="a password"),
        pytest.param(f"Authorization: {BASIC}", BASIC, id="all of Basic"),
        pytest.param("Authorization: Basic YTp6cQ==", "zq", id="a short password"),
        pytest.param("Cookie: theme=dark; sid=ses_secret", "ses_secret", id="a cookie"),
        pytest.param("X-Api-Key: key_secret", "key_secret", id="a key"),
        pytest.param('X-Api-Key: it\'s_"a_key"', 'it\'s_"a_key"', id="a key with quotes"),
        pytest.param("Authorization: Basic no base 64", "no base 64", id="no Basic"),
    ],
)
@pytest.mark.parametrize("as_json", [[], ["--json"]], ids=["text", "JSON"])
def test_credentials_that_a_service_gives_back_are_not_printed(
    named: Callable[..., str],
    header: str,
    secret: str,
    form: Callable[[str], str],
    as_json: list[str],
) -> None:
    text = form(secret)
    challenge = {"www-authenticate": text, "retry-after": text, "allow": text}
    result = call("check", named(echo(text, challenge)), "-H", header, *as_json)
    assert result.exit_code == 1
    assert "**" in result.stdout
    assert not re.search(rf"(?<!\w){re.escape(secret)}(?!\w)", result.output.replace("\\", ""))
    assert text not in result.output


TOKEN = "tok/good+<secret>=="


def escaped(text: str, characters: str, form: str = r"\u{:04x}") -> str:
    """Escape some characters of a text, each in a form."""
    return "".join(form.format(ord(each)) if each in characters else each for each in text)


ESCAPED: dict[str, str] = {
    "Gson": escaped(TOKEN, "=<>"),
    ".NET": escaped(TOKEN, "+<>", r"\u{:04X}"),
    "PHP": TOKEN.replace("/", r"\/"),
    "every character": escaped(TOKEN, TOKEN),
    "JSON in JSON": escaped(TOKEN, "=+", r"\\u{:04x}"),
    "a URL": escaped(TOKEN, "=+", "%{:02x}"),
    "HTML by numbers": escaped(TOKEN, "=+/<>", "&#{};"),
    "HTML by numbers in JSON": escaped(TOKEN, "=+/<>", r"\u0026#x{:X};"),
    "a URL in JSON": escaped(TOKEN, "=+/<>", r"\u0025{:X}"),
}


@pytest.mark.parametrize("text", ESCAPED.values(), ids=ESCAPED)
@pytest.mark.parametrize("as_json", [[], ["--json"]], ids=["text", "JSON"])
def test_credentials_that_a_service_gives_back_escaped_are_not_printed(
    named: Callable[..., str], text: str, as_json: list[str]
) -> None:
    body = f'{{"error": "no {text}", "error_description": "x", "retryable": false}}'
    document = f'{{"openapi": "3.1.0", "paths": {{"/{text}/{{id}}": {{"get": {{}}}}}}}}'

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        is_document = scope["path"] == "/openapi.json" and scope["method"] == "GET"
        response = Response(document) if is_document else Response(body, 404)
        await response(scope, receive, send)

    result = call("check", named(app), "-H", f"Authorization: Bearer {TOKEN}", *as_json)
    assert result.exit_code == 1
    assert re.search(r"error: no\s+\*\*", result.stdout)
    assert "/**" in result.stdout
    assert "good" not in html.unescape(unquote(result.output))


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["http://127.0.0.1:1", "-H", "tok_good"], id="no name"),
        pytest.param(["http://127.0.0.1:1", "-H", "X-Key: tok_good\u00e9"], id="beyond ASCII"),
        pytest.param(["http://127.0.0.1:1", "-H", "X-Key: tok_good\r\nX: 1"], id="two lines"),
        pytest.param(["http://127.0.0.1:1", "-H", "@/no/tok_good"], id="no file"),
        pytest.param(["http://127.0.0.1:1", "-H", "X-Key: tok_good"], id="no service"),
        pytest.param(["http://127.0.0.1:1", "--heade=tok_good"], id="no option"),
        pytest.param(["-H", "Authorization:", "Bearer tok_good"], id="no quotes"),
        pytest.param(["http://tok_good@[::1", "-H", "X-Key: tok_good"], id="no URL"),
    ],
)
def test_credentials_are_not_in_messages(arguments: list[str]) -> None:
    result = call("check", *arguments)
    assert result.exit_code == 2
    assert "Error: " in result.output
    assert "tok_good" not in result.output


def test_nothing_from_a_service_reaches_the_terminal_as_a_command(
    named: Callable[..., str],
) -> None:
    paths: dict[str, Any] = {"/\u009b[red]\u202e{x}": {"get": {}}, "/[b]": {"get": {}}}
    app = Recorder({"openapi": "3.1.0", "paths": paths}, 404)
    output = call("check", named(app)).output
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", output)


def test_nothing_in_a_registry_reaches_the_terminal_as_a_command(
    named: Callable[..., str],
) -> None:
    text = call("codes", named(ErrorRegistry(codes=[ErrorCode("gone", 410, "G\x1b[2J.")]))).output
    assert "G\\x1b[2J." in text
    assert "\x1b" not in text


def test_without_standard_output_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert cli.main(["codes", "--json"], standalone_mode=False) is None


def test_what_an_encoding_lacks_is_escaped(named: Callable[..., str]) -> None:
    name = named(ErrorRegistry(codes=[ErrorCode("gone", 410, "Ö → B.")]))
    for options in ([], ["--markdown"]):
        result = CliRunner(charset="cp1252").invoke(cli, ["codes", name, *options])
        assert (result.exit_code, "Ö \\u2192 B." in result.stdout) == (0, True)


# The program


def environment(tmp_path: Path) -> dict[str, str]:
    """What a program needs that runs in another folder: the coverage of its parent too."""
    return {**os.environ, "COLUMNS": "80", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def test_the_program_explains_itself(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "authpi_errors", "--help"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=environment(tmp_path)
    )
    assert done.stdout.startswith("Usage: authpi-errors [OPTIONS] COMMAND")
    assert done.stderr == ""


@pytest.mark.parametrize("command", ["check", "codes"])
def test_help_has_every_option(command: str) -> None:
    text = call(command, "--help").stdout
    assert not [line for line in text.splitlines() if len(line) > 80]
    for parameter in cli.commands[command].params:
        assert set(parameter.opts) <= set(re.split(r"[\s,]+", text)) | {parameter.name}
    if command == "check":
        assert {"0", "1", "2", "130"} <= set(text.split())


def test_the_program_finds_an_application_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "here.py").write_text("from fastapi import FastAPI\napp = FastAPI()\n")
    script = f"import sys; sys.path[:] = {[*filter(None, sys.path)]!r}; "
    script += "from authpi_errors.__main__ import main; main()"
    command = [sys.executable, "-c", script, "check", "here:app", "--json"]
    for value, status in (("", 1), ("1", 2)):
        variables = {**os.environ, "PYTHONSAFEPATH": value}
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, check=False, env=variables
        )
        assert done.returncode == status, done.stderr


@pytest.mark.parametrize(
    ("missing", "needs"),
    [
        pytest.param(["click"], "click", id="click"),
        pytest.param(["rich", "httpx2"], "httpx2 and rich", id="two"),
    ],
)
def test_without_the_extra_it_says_what_to_install(missing: list[str], needs: str) -> None:
    script = (
        f"import sys; sys.path[:] = {[*filter(None, sys.path)]!r}; "
        f"sys.modules.update(dict.fromkeys({missing!r})); "
        "import runpy; runpy.run_module('authpi_errors', run_name='__main__')"
    )
    command = [sys.executable, "-c", script, "codes"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (f"The command line needs {needs}: pip install 'authpi-errors[cli]'\n")


def test_on_a_terminal_progress_is_shown_beside_the_result(
    core_api: tuple[str, Path], tmp_path: Path
) -> None:
    url, _ = core_api
    controller, terminal = pty.openpty()
    command = [sys.executable, "-m", "authpi_errors", "check", url, "--json"]
    variables = {**environment(tmp_path), "TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=terminal, env=variables
    ) as process:
        os.close(terminal)
        shown = b""
        # The other end of a terminal that was closed is an error, on Linux.
        with suppress(OSError):
            while piece := os.read(controller, 65536):
                shown += piece
        assert process.stdout is not None
        report = json.loads(process.stdout.read())
    os.close(controller)
    assert (process.returncode, report["violations"]) == (0, [])
    assert re.search(rb"\d+/\d\d", shown)
    assert b"GET /v1/me" in shown


def test_the_script_is_the_program() -> None:
    root = Path(core_api_folder.__file__).parent.parent.parent
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["scripts"] == {"authpi-errors": "authpi_errors.__main__:main"}
    needed = {requirement.split(">")[0] for requirement in project["optional-dependencies"]["cli"]}
    assert needed == {"click", "httpx2", "rich"}
