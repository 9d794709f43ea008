"""Mounted applications: what they leave to their default handlers, or to whoever is around."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn
from unittest.mock import AsyncMock

import anyio
import httpx2
import pytest
from fastapi import FastAPI, Form
from starlette.applications import Starlette
from starlette.exceptions import HTTPException, WebSocketException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from authpi_errors import (
    ErrorCode,
    ErrorMiddleware,
    ErrorRegistry,
    ForeignResponse,
    InvalidRequestError,
    NotFoundError,
    install,
)
from tests.passing import BASE

SECRET = "hunter2"
ORIGIN = "https://app.example"
GZIP = Middleware(GZipMiddleware)
CORS = Middleware(CORSMiddleware, allow_origins=[ORIGIN])


class QuotaError(HTTPException):
    """What the registry maps, with a text that is for the log."""

    def __init__(self) -> None:
        super().__init__(429, SECRET)


class ClosedError(WebSocketException):
    """The same for a WebSocket."""

    def __init__(self) -> None:
        super().__init__(1013, SECRET)


class LegacyError(LookupError):
    """What a team has raised for years."""


class OldLegacyError(LegacyError):
    """What it has raised before."""


REGISTRY = ErrorRegistry(
    codes=[ErrorCode("quota_exhausted", 402, "The plan's quota is used up.")],
    exceptions={
        QuotaError: "quota_exhausted",
        ClosedError: "quota_exhausted",
        OldLegacyError: "not_found",
        LegacyError: "not_found",
    },
)

Around = Callable[..., ASGIApp]


def covering(options: dict[str, Any]) -> dict[str, Any]:
    return {"registry": REGISTRY, **options}


def installed(mounted: ASGIApp, *middleware: Middleware, **options: Any) -> ASGIApp:
    app = Starlette(routes=[Mount("/v1", mounted)], middleware=middleware)
    install(app, **covering(options))
    return app


def with_middleware(mounted: ASGIApp, *middleware: Middleware, **options: Any) -> ASGIApp:
    app = FastAPI(middleware=middleware)
    app.mount("/v1", mounted)
    app.add_middleware(ErrorMiddleware, **covering(options))
    return app


def wrapped(mounted: ASGIApp, *middleware: Middleware, **options: Any) -> ASGIApp:
    app = Starlette(routes=[Mount("/v1", mounted)], middleware=middleware)
    return ErrorMiddleware(app, **covering(options))


AROUND = pytest.mark.parametrize("around", [installed, with_middleware, wrapped])
MOUNTED = pytest.mark.parametrize("mounted", [Starlette, FastAPI])


def raising(exc: Exception) -> Callable[[Request], NoReturn]:
    def endpoint(request: Request) -> NoReturn:
        raise exc

    return endpoint


def one(mounted: type[Starlette], exc: Exception, *middleware: Middleware) -> Starlette:
    """An application that can do nothing but raise this."""
    return mounted(routes=[Route("/it", raising(exc))], middleware=middleware)


def get(app: ASGIApp, path: str = "/v1/it", **headers: str) -> httpx2.Response:
    client = TestClient(app, raise_server_exceptions=False, follow_redirects=False)
    return client.get(path, headers=headers)


@AROUND
@MOUNTED
@pytest.mark.parametrize("middleware", [(), (BASE,), (GZIP, BASE)], ids=["bare", "base", "gzip"])
def test_what_is_mapped_is_answered_as_it_is_mapped(
    around: Around, mounted: type[Starlette], middleware: tuple[Middleware, ...]
) -> None:
    for exc, status in ((QuotaError(), 402), (OldLegacyError(SECRET), 404)):
        for app in (
            around(one(mounted, exc, *middleware)),
            around(one(mounted, exc), *middleware),
        ):
            response = get(app)
            assert response.status_code == status
            assert SECRET.encode() not in response.content


@AROUND
@MOUNTED
@pytest.mark.parametrize("accepts", [False, True])
@pytest.mark.parametrize("exc", [QuotaError(), ClosedError()])
def test_what_is_mapped_is_so_in_a_websocket(
    around: Around, mounted: type[Starlette], accepts: bool, exc: Exception
) -> None:
    async def endpoint(socket: WebSocket) -> None:
        if accepts:
            await socket.accept()
        raise exc

    client = TestClient(around(mounted(routes=[WebSocketRoute("/it", endpoint)])))
    if accepts:
        with client.websocket_connect("/v1/it") as socket, pytest.raises(WebSocketDisconnect) as e:
            socket.receive_text()
        assert e.value.reason == "quota_exhausted"
    else:
        with pytest.raises(WebSocketDenialResponse) as denied:
            client.websocket_connect("/v1/it").__enter__()
        assert denied.value.json()["error"] == "quota_exhausted"


@AROUND
@MOUNTED
def test_what_is_not_mapped_closes_a_websocket_as_it_says(
    around: Around, mounted: type[Starlette]
) -> None:
    async def endpoint(socket: WebSocket) -> None:
        await socket.accept()
        raise WebSocketException(4001, "Come back with a token.")

    client = TestClient(around(mounted(routes=[WebSocketRoute("/it", endpoint)])))
    with client.websocket_connect("/v1/it") as socket, pytest.raises(WebSocketDisconnect) as closed:
        socket.receive_text()
    assert (closed.value.code, closed.value.reason) == (4001, "Come back with a token.")


@AROUND
@MOUNTED
@pytest.mark.parametrize("exc", [NotFoundError("No user 7."), HTTPException(404, "No user 7.")])
def test_an_error_is_answered_below_middleware_that_would_hide_it(
    around: Around, mounted: type[Starlette], exc: Exception
) -> None:
    for app in (around(one(mounted, exc), GZIP, BASE), around(one(mounted, exc, GZIP, BASE))):
        response = get(app)
        assert (response.status_code, response.json()["error"]) == (404, "not_found")
        assert b"No user 7." in response.content


@AROUND
@MOUNTED
def test_a_long_detail_is_answered_too(around: Around, mounted: type[Starlette]) -> None:
    response = get(around(one(mounted, HTTPException(404, "x" * 100_000))))
    assert (response.status_code, response.json()["error"]) == (404, "not_found")


@AROUND
def test_an_error_in_a_body_that_is_read_is_answered(around: Around) -> None:
    mounted = FastAPI()

    @mounted.post("/it")
    async def take(a: str = Form()) -> None: ...

    def stopping(app: ASGIApp) -> ASGIApp:
        async def receive_nothing() -> Message:
            raise InvalidRequestError("Too long.")

        async def call(scope: Scope, receive: Receive, send: Send) -> None:
            await app(scope, receive_nothing, send)

        return call

    mounted.add_middleware(stopping)
    response = TestClient(around(mounted)).post("/v1/it", data={"a": "b"})
    assert response.json()["error_description"] == "Too long."


@AROUND
@MOUNTED
@pytest.mark.parametrize("options", [{}, {"ignore": (HTTPException,)}])
def test_a_redirect_stays_one(
    around: Around, mounted: type[Starlette], options: dict[str, Any]
) -> None:
    moved = HTTPException(307, headers={"Location": "/v2"})
    response = get(around(one(mounted, moved), **options))
    assert (response.status_code, response.headers["location"]) == (307, "/v2")


@AROUND
@pytest.mark.parametrize(
    ("mounted", "left"), [(Starlette, b"mine"), (FastAPI, b'{"detail":"mine"}')]
)
def test_what_is_ignored_is_left_to_the_mounted_application(
    around: Around, mounted: type[Starlette], left: bytes
) -> None:
    app = around(one(mounted, HTTPException(404, "mine")), ignore=(HTTPException,))
    assert get(app).content == left


@AROUND
@MOUNTED
def test_rewrite_is_asked_about_what_is_not_mapped(
    around: Around, mounted: type[Starlette]
) -> None:
    def leave(response: ForeignResponse) -> bool:
        return response.status != 404

    assert "mine" in get(around(one(mounted, HTTPException(404, "mine")), rewrite=leave)).text
    conflict = get(around(one(mounted, HTTPException(409)), rewrite=leave))
    assert conflict.json()["error"] == "conflict"
    assert get(around(one(mounted, QuotaError()), rewrite=leave)).status_code == 402


@AROUND
@MOUNTED
@pytest.mark.parametrize("exc", [NotFoundError(), OldLegacyError(), QuotaError()])
def test_the_users_handler_is_asked_first(
    around: Around, mounted: type[Starlette], exc: Exception
) -> None:
    base = type(exc).__mro__[1]
    app = one(mounted, exc)

    async def answer(request: Request, exc: Exception) -> Response:
        return PlainTextResponse("mine", 410)

    app.add_exception_handler(base, answer)
    response = get(around(app))
    assert (response.status_code, response.content) == (410, b"mine")


def with_cors(app: ASGIApp) -> ASGIApp:
    return CORSMiddleware(app, allow_origins=[ORIGIN])


def assert_not_found_for_others(app: ASGIApp, path: str) -> None:
    response = get(app, path, Origin=ORIGIN)
    assert response.json()["error"] == "not_found"
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert response.headers.get_list("vary") == ["Origin"]


@AROUND
@MOUNTED
def test_headers_for_other_origins_are_there_once(around: Around, mounted: type[Starlette]) -> None:
    for app in (
        around(one(mounted, NotFoundError(), CORS)),
        around(with_cors(one(mounted, NotFoundError()))),
    ):
        for path in ("/v1/it", "/v1/nowhere"):
            assert_not_found_for_others(app, path)


@AROUND
@MOUNTED
def test_headers_for_other_origins_are_there_once_in_what_is_mounted_in_itself(
    around: Around, mounted: type[Starlette]
) -> None:
    app = one(mounted, NotFoundError())
    app.mount("/again", with_cors(app))
    for path in ("/v1/again/it", "/v1/again/nowhere"):
        assert_not_found_for_others(around(app), path)


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    raise NotFoundError


def refusing(app: ASGIApp) -> ASGIApp:
    return refuse


@AROUND
@MOUNTED
def test_headers_for_other_origins_are_there_where_middleware_raises(
    around: Around, mounted: type[Starlette]
) -> None:
    refused = mounted(middleware=[Middleware(refusing)])
    assert_not_found_for_others(around(with_cors(refused)), "/v1/it")
    within = mounted(routes=[Mount("/in", refuse, middleware=[CORS])])
    assert_not_found_for_others(around(within), "/v1/in/it")


@MOUNTED
def test_by_itself_it_answers_by_itself(mounted: type[Starlette]) -> None:
    for exc, status in ((QuotaError(), 429), (NotFoundError(), 500), (LegacyError(), 500)):
        app = one(mounted, exc)
        for _ in range(2):
            assert get(app, "/it").status_code == status
            get(installed(app))


@MOUNTED
def test_each_application_around_has_its_own_registry(mounted: type[Starlette]) -> None:
    apps = [one(mounted, exc) for exc in (QuotaError(), LegacyError())]
    for app, statuses in zip(apps, [(402, 429), (404, 500)], strict=True):
        assert get(installed(app)).status_code == statuses[0]
        assert get(installed(app, registry=None)).status_code == statuses[1]
        assert get(installed(app)).status_code == statuses[0]


def add_middleware(app: Starlette) -> None:
    app.add_middleware(ErrorMiddleware)


@MOUNTED
@pytest.mark.parametrize("served", [False, True])
@pytest.mark.parametrize("own", [install, add_middleware])
def test_a_boundary_of_its_own_is_nearer(
    mounted: type[Starlette], own: Callable[..., None], served: bool
) -> None:
    for exc, status in ((QuotaError(), 429), (LegacyError(), 500), (NotFoundError(), 404)):
        app = one(mounted, exc)
        around = installed(app)
        if served:
            get(around, "/elsewhere")
        own(app)
        response = get(around)
        assert (response.status_code, response.headers["content-type"]) == (
            status,
            "application/json",
        )


@MOUNTED
def test_what_its_own_boundary_ignores_is_left_to_it(mounted: type[Starlette]) -> None:
    app = one(mounted, HTTPException(404, "mine"))
    around = installed(app)
    get(around, "/elsewhere")
    install(app, ignore=(HTTPException,))
    assert b"error_description" not in get(around).content


@AROUND
@MOUNTED
def test_what_is_mapped_for_everything_is_no_bug_of_the_mounted_application(
    around: Around, mounted: type[Starlette]
) -> None:
    registry = ErrorRegistry(exceptions={Exception: "not_found"})
    assert get(around(one(mounted, ValueError(SECRET)), registry=registry)).status_code == 404


@AROUND
def test_a_client_that_goes_while_it_uploads_is_nobodys_error(
    around: Around, caplog: pytest.LogCaptureFixture
) -> None:
    mounted, handler = FastAPI(), AsyncMock()
    mounted.add_exception_handler(Exception, handler)

    @mounted.post("/it")
    async def take(a: str = Form()) -> None: ...

    receive, send = AsyncMock(return_value={"type": "http.disconnect"}), AsyncMock()
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/it",
        "query_string": b"",
        "headers": [(b"content-type", b"application/x-www-form-urlencoded")],
    }
    anyio.run(around(mounted), scope, receive, send)
    assert (send.mock_calls, handler.mock_calls, caplog.records) == ([], [], [])
