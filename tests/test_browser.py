"""What a page of another origin can read of an error: in a real browser, over real sockets."""

import json
import os
import queue
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from authpi_errors import (
    ErrorMiddleware,
    PreconditionFailedError,
    UsageLimitExceededError,
    install,
)
from tests.served import CODES
from tests.serving import in_thread, uvicorn_with

ETAG = '"1709139700000"'

# Runs in the page: asks for everything, and brings what it could read to the page's own server.
SCRIPT = """
async function read(url, options) {
    try {
        const response = await fetch(url, options);
        const text = await response.text();
        let body = null;
        try { body = JSON.parse(text); } catch (error) {}
        return {
            status: response.status,
            error: (body && body.error) || null,
            etag: response.headers.get("ETag"),
            retryAfter: response.headers.get("Retry-After"),
            text,
        };
    } catch (error) {
        return {failed: String(error)};
    }
}
async function readAll(questions) {
    const findings = [];
    for (const [url, options] of questions) findings.push(await read(url, options));
    await fetch("/findings", {method: "POST", body: JSON.stringify(findings)});
}
"""


class Failing:
    """Middleware that raises what the query asks for."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        query: bytes = scope.get("query_string", b"")
        if query == b"fail":
            raise RuntimeError("in middleware")
        if query == b"refuse":
            raise UsageLimitExceededError(retry_after=7)
        await self.app(scope, receive, send)


def add_cors(app: Starlette) -> None:
    app.add_middleware(
        CORSMiddleware,
        allow_origins=["*"],
        allow_methods=["*"],
        allow_headers=["If-Match"],
        expose_headers=["ETag", "Retry-After"],
    )


def add_outside(app: Starlette) -> None:
    app.add_middleware(Failing)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1"])


def add_ours(app: Starlette) -> None:
    app.add_middleware(ErrorMiddleware)


Step = Callable[[Starlette], None]
EVERYWHERE: Mapping[str, tuple[Step, ...]] = {
    "install, then CORS": (install, add_cors, add_outside),
    "CORS, then install": (add_cors, add_outside, install),
    "CORS, then install, then the rest": (add_cors, install, add_outside),
}
INSIDE: Mapping[str, tuple[Step, ...]] = {
    "add_middleware, then CORS": (add_ours, add_cors),
    "CORS, then add_middleware": (add_cors, add_ours),
}
WITHOUT = "nothing but CORS"
STEPS: Mapping[str, tuple[Step, ...]] = {**EVERYWHERE, **INSIDE, WITHOUT: (add_cors,)}


async def fine(request: Request) -> Response:
    return PlainTextResponse("fine", headers={"ETag": ETAG, "Retry-After": "1"})


async def raising(request: Request) -> Response:
    make = CODES[request.path_params["code"]]
    raise make()


async def broken(request: Request) -> Response:
    raise RuntimeError("in a route")


async def update(request: Request) -> Response:
    assert request.headers["if-match"] == '"0"'
    raise PreconditionFailedError(current_etag=ETAG)


def application(steps: tuple[Step, ...]) -> Starlette:
    app = FastAPI()
    app.add_route("/fine", fine)
    app.add_route("/codes/{code}", raising)
    app.add_route("/broken", broken)
    app.add_route("/update", update, methods=["PUT"])
    app.mount("/mounted", Starlette(routes=[Route("/broken", broken)]))
    for step in steps:
        step(app)
    return app


# What the page asks for: a name, the host and the path, the method, and headers.
QUESTIONS: Mapping[str, tuple[str, str, str, Mapping[str, str]]] = {
    **{code: ("127.0.0.1", f"/codes/{code}", "GET", {}) for code in CODES},
    "success": ("127.0.0.1", "/fine", "GET", {}),
    "bug": ("127.0.0.1", "/broken", "GET", {}),
    "bug in a mounted application": ("127.0.0.1", "/mounted/broken", "GET", {}),
    "no route": ("127.0.0.1", "/nowhere", "GET", {}),
    "wrong method": ("127.0.0.1", "/fine", "DELETE", {}),
    "update after a preflight": ("127.0.0.1", "/update", "PUT", {"If-Match": '"0"'}),
    "refused host": ("localhost", "/fine", "GET", {}),
    "bug outside CORS": ("127.0.0.1", "/fine?fail", "GET", {}),
    "error outside CORS": ("127.0.0.1", "/fine?refuse", "GET", {}),
}

Findings = Mapping[tuple[str, str], Mapping[str, Any]]


def chromium() -> str:
    """Find the browser. On a machine that tests for others it must be there."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None and os.environ.get("CI"):
        pytest.fail("There is no Chromium on PATH: install Debian's package chromium.")
    if path is None:
        pytest.skip("There is no Chromium on PATH, such as that of Debian's package chromium.")
    return path


@contextmanager
def browsing(url: str) -> Generator[None]:
    """Have a headless Chromium open a page. What it has to say is with the test's output."""
    path = chromium()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        options = "headless no-sandbox disable-gpu disable-quic no-first-run disable-breakpad "
        options += "disable-background-networking disable-component-update disable-sync"
        process = subprocess.Popen(
            [
                path,
                *(f"--{option}" for option in options.split()),
                f"--user-data-dir={folder}",
                url,
            ],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(20)


def page(questions: list[tuple[str, Mapping[str, Any]]], findings: queue.Queue[Any]) -> Starlette:
    async def show(request: Request) -> Response:
        return HTMLResponse(
            f"<!doctype html><script>{SCRIPT} readAll({json.dumps(questions)})</script>"
        )

    async def keep(request: Request) -> Response:
        findings.put(await request.json())
        return Response()

    return Starlette(routes=[Route("/", show), Route("/findings", keep, methods=["POST"])])


@pytest.fixture(scope="module")
def findings() -> Iterator[Findings]:
    """Let one page ask all applications everything."""
    chromium()
    run = uvicorn_with("h11")
    found: queue.Queue[Any] = queue.Queue()
    with ExitStack() as stack:
        ports = {
            name: stack.enter_context(in_thread(run, application(steps))).port
            for name, steps in STEPS.items()
        }
        names = [(name, question) for name in STEPS for question in QUESTIONS]
        questions: list[tuple[str, Mapping[str, Any]]] = []
        for name, question in names:
            host, path, method, headers = QUESTIONS[question]
            options = {"method": method, "headers": headers}
            questions.append((f"http://{host}:{ports[name]}{path}", options))
        port = stack.enter_context(in_thread(run, page(questions, found))).port
        stack.enter_context(browsing(f"http://127.0.0.1:{port}/"))
        answers = found.get(timeout=60)
        yield dict(zip(names, answers, strict=True))


every_way = pytest.mark.parametrize("way", [*EVERYWHERE, *INSIDE])


@every_way
@pytest.mark.parametrize("code", CODES)
def test_a_page_reads_the_code_the_etag_and_the_delay_of_every_error(
    code: str, way: str, findings: Findings
) -> None:
    expected = CODES[code]()
    finding = findings[way, code]
    assert finding.get("failed") is None
    assert (finding["status"], finding["error"]) == (expected.code.status, code)
    assert finding["etag"] == getattr(expected, "current_etag", None)
    delay = expected.retry_after
    assert finding["retryAfter"] == (None if delay is None else str(delay))


@every_way
@pytest.mark.parametrize(
    ("question", "status", "code"),
    [
        ("bug", 500, "server_error"),
        ("bug in a mounted application", 500, "server_error"),
        ("no route", 404, "not_found"),
        ("wrong method", 405, "invalid_request"),
    ],
)
def test_a_page_reads_what_nobody_raised_on_purpose(
    question: str, status: int, code: str, way: str, findings: Findings
) -> None:
    finding = findings[way, question]
    assert finding.get("failed") is None
    assert (finding["status"], finding["error"]) == (status, code)


@every_way
def test_a_page_reads_the_current_etag_of_an_update_that_came_too_late(
    way: str, findings: Findings
) -> None:
    finding = findings[way, "update after a preflight"]
    assert finding.get("failed") is None
    assert (finding["status"], finding["error"]) == (412, "precondition_failed")
    assert finding["etag"] == ETAG


@pytest.mark.parametrize("way", EVERYWHERE)
@pytest.mark.parametrize(
    ("question", "status", "code", "delay"),
    [
        ("refused host", 400, "invalid_request", None),
        ("bug outside CORS", 500, "server_error", None),
        ("error outside CORS", 429, "usage_limit_exceeded", "7"),
    ],
)
def test_a_page_reads_what_middleware_outside_answers(
    *, question: str, status: int, code: str, delay: str | None, way: str, findings: Findings
) -> None:
    finding = findings[way, question]
    assert finding.get("failed") is None
    assert (finding["status"], finding["error"]) == (status, code)
    assert finding["retryAfter"] == delay


@pytest.mark.parametrize("way", STEPS)
def test_a_page_reads_a_success_with_and_without_the_library(way: str, findings: Findings) -> None:
    finding = findings[way, "success"]
    assert (finding["status"], finding["text"]) == (200, "fine")
    assert (finding["etag"], finding["retryAfter"]) == (ETAG, "1")


def test_without_the_library_a_page_cannot_read_a_500(findings: Findings) -> None:
    assert findings[WITHOUT, "bug"] == {"failed": "TypeError: Failed to fetch"}


def test_without_the_library_a_page_reads_no_code_of_a_404(findings: Findings) -> None:
    finding = findings[WITHOUT, "no route"]
    assert (finding["status"], finding["error"]) == (404, None)


def test_where_tests_must_not_be_left_out_a_missing_browser_fails_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="install Debian's package chromium"):
        chromium()


def test_elsewhere_a_missing_browser_skips_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no Chromium"):
        chromium()
