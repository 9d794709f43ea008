"""FastAPI applications that are mounted: what they find wrong with a request, however long."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import ANY

import pytest
from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route, Router
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from authpi_errors import (
    ErrorMiddleware,
    ErrorRecord,
    ErrorRegistry,
    ForeignResponse,
    NotFoundError,
    install,
)
from authpi_errors._reporting import Hook
from tests.passing import BASE

SECRET = "hunter2"
ORIGIN = "https://app.example"


class Document(BaseModel):
    title: str
    text: str


def documents(*middleware: Middleware) -> FastAPI:
    """A FastAPI application in which a document without a title is not valid."""
    app = FastAPI(middleware=middleware)

    @app.post("/documents")
    async def create(document: Document) -> None: ...

    return app


GZIP = Middleware(GZipMiddleware)
CORS = Middleware(CORSMiddleware, allow_origins=[ORIGIN])


def installed(mounted: ASGIApp) -> ASGIApp:
    app = Starlette(routes=[Mount("/v1", mounted)])
    install(app)
    return app


def installed_behind_middleware(mounted: ASGIApp) -> ASGIApp:
    app = Starlette(
        routes=[Mount("/v1", mounted)],
        middleware=[BASE],
    )
    install(app)
    return app


def with_middleware(mounted: ASGIApp) -> ASGIApp:
    app = FastAPI()
    app.mount("/v1", mounted)
    app.add_middleware(ErrorMiddleware)
    return app


def wrapped(mounted: ASGIApp) -> ASGIApp:
    return ErrorMiddleware(Starlette(routes=[Mount("/v1", mounted)]))


def twice_mounted(mounted: ASGIApp) -> ASGIApp:
    app = Starlette(routes=[Mount("", Starlette(routes=[Mount("/v1", mounted)]))])
    install(app)
    return app


AROUND = pytest.mark.parametrize(
    "around",
    [installed, installed_behind_middleware, with_middleware, wrapped, twice_mounted],
)


def post(app: ASGIApp, size: int, path: str = "/v1/documents") -> tuple[int, dict[str, str], str]:
    client = TestClient(app, raise_server_exceptions=False)
    response = client.post(
        path, json={"text": SECRET + "x" * size}, headers={"Origin": ORIGIN, "Accept": "*/*"}
    )
    return response.status_code, dict(response.headers), response.text


@AROUND
@pytest.mark.parametrize("size", [0, 1_000, 100_000])
@pytest.mark.parametrize(
    "middleware",
    [(), (GZIP,), (BASE,), (GZIP, BASE), (CORS, GZIP)],
    ids=["bare", "gzip", "base", "gzip-base", "cors-gzip"],
)
def test_nothing_of_an_invalid_request_comes_back(
    around: Callable[[ASGIApp], ASGIApp], middleware: tuple[Middleware, ...], size: int
) -> None:
    status, headers, text = post(around(documents(*middleware)), size)
    assert (status, headers["content-type"]) == (400, "application/json")
    assert '"error":"invalid_request"' in text
    assert '"fields":[{"field":"title","code":"missing",' in text
    assert SECRET not in text
    assert headers.get("access-control-allow-origin") == (ORIGIN if CORS in middleware else None)


@AROUND
def test_mounted_application_that_has_served_before_is_covered(
    around: Callable[[ASGIApp], ASGIApp],
) -> None:
    mounted = documents(GZIP)
    assert post(mounted, 1_000, "/documents")[0] == 422
    assert post(around(mounted), 1_000)[0] == 400


def test_mounted_application_served_by_itself_answers_by_itself() -> None:
    mounted = documents()
    assert post(installed(mounted), 0)[0] == 400
    status, _, text = post(mounted, 0, "/documents")
    assert (status, SECRET in text) == (422, True)


def test_each_application_around_answers_with_its_own_registry() -> None:
    mounted = documents(GZIP)
    told: list[tuple[str, ErrorRecord]] = []

    def around(name: str, registry: ErrorRegistry | None) -> ASGIApp:
        app = Starlette(routes=[Mount("/v1", mounted)])

        async def tell(record: ErrorRecord) -> None:
            told.append((name, record))

        install(app, registry=registry, on_error=tell)
        return app

    plain = around("plain", None)
    mapping = around(
        "mapping", ErrorRegistry(exceptions={RequestValidationError: lambda _: NotFoundError()})
    )
    for _ in range(2):
        assert post(plain, 1_000)[0] == 400
        assert post(mapping, 1_000)[0] == 404
    assert [(name, record.code) for name, record in told] == [
        ("plain", "invalid_request"),
        ("mapping", "not_found"),
    ] * 2
    assert {record.route for _, record in told} == {"/v1/documents"}


def test_nearest_application_around_answers() -> None:
    innermost = documents(GZIP)
    between = Starlette(routes=[Mount("/inner", innermost)])
    told: list[str] = []

    async def tell(record: ErrorRecord) -> None:
        told.append(record.code)

    install(between, on_error=tell)
    app = Starlette(routes=[Mount("/v1", between)])
    install(app)
    assert post(app, 1_000, "/v1/inner/documents")[0] == 400
    assert told == ["invalid_request"]


def test_nearest_middleware_answers_in_its_own_way() -> None:
    mounted = documents(GZIP)
    told: list[str] = []

    async def tell(record: ErrorRecord) -> None:
        told.append(record.code)

    mounted.add_middleware(ErrorMiddleware, on_error=tell)
    assert post(installed(mounted), 1_000)[0] == 400
    assert told == ["invalid_request"]


def test_handler_of_the_mounted_application_keeps_its_answer() -> None:
    mounted = documents()

    @mounted.exception_handler(RequestValidationError)
    async def handle(request: Request, exc: Exception) -> Response:
        return PlainTextResponse("The user's own", 422)

    status, _, text = post(installed(mounted), 0)
    assert (status, text) == (422, "The user's own")


def test_what_the_nearest_application_leaves_stays() -> None:
    async def refuse(request: Request) -> Response:
        return PlainTextResponse("No.", 403)

    app = Starlette(routes=[Route("/", refuse)])
    install(app, rewrite=lambda response: False)
    around = Starlette(routes=[Mount("/", app)])
    install(around)
    response = TestClient(around).get("/")
    assert (response.status_code, response.text) == (403, "No.")


def test_rewrite_is_asked_about_what_a_mounted_application_answers() -> None:
    asked: list[int] = []

    def rewrite(response: object) -> bool:
        asked.append(getattr(response, "status", 0))
        return False

    app = Starlette(routes=[Mount("/v1", documents())])
    install(app, rewrite=rewrite)
    assert post(app, 0)[0] == 422
    assert asked == [422]


@pytest.mark.parametrize("ignored", [RequestValidationError, Exception])
def test_mounted_application_answers_what_the_one_around_ignores(ignored: type) -> None:
    app = Starlette(routes=[Mount("/v1", documents(GZIP))])
    install(app, ignore=(ignored,))
    status, _, text = post(app, 1_000)
    assert (status, '"detail"' in text) == (422, True)


@pytest.mark.parametrize("ignored", [RequestValidationError, Exception])
def test_mounted_application_that_is_hidden_answers_what_the_one_around_ignores(
    ignored: type,
) -> None:
    app = Starlette(routes=[Mount("/v1", hiding(documents()))])
    install(app, ignore=(ignored,))
    status, _, text = post(app, 1_000)
    assert (status, '"detail"' in text) == (422, True)


def leave(response: ForeignResponse) -> bool:
    return False


def telling(name: str, told: list[str]) -> Hook:
    async def tell(record: ErrorRecord) -> None:
        told.append(f"{name}: {record.code}")

    return tell


def test_application_that_is_mounted_while_the_one_around_starts_is_covered() -> None:
    @asynccontextmanager
    async def start(app: Starlette) -> AsyncGenerator[None]:
        app.mount("/v1", documents())
        yield

    app = Starlette(lifespan=start)
    install(app)
    with TestClient(app) as client:
        described = client.get("/v1/openapi.json").json()
        assert post(app, 100_000)[0] == 400
    assert "422" not in described["paths"]["/documents"]["post"]["responses"]


def hiding(below: ASGIApp) -> ASGIApp:
    """Middleware that doesn't keep what is below it."""

    async def pass_on(scope: Scope, receive: Receive, send: Send) -> None:
        await below(scope, receive, send)

    return pass_on


def test_documents_are_described_behind_middleware_that_hides_them() -> None:
    app = Starlette(routes=[Mount("/v1", documents())], middleware=[Middleware(hiding)])
    install(app)
    described = TestClient(app).get("/v1/openapi.json").json()
    assert "422" not in described["paths"]["/documents"]["post"]["responses"]
    assert post(app, 100_000)[0] == 400


def router_that_is_wrapped(mounted: ASGIApp, on_error: Hook) -> ASGIApp:
    return ErrorMiddleware(Router(routes=[Mount("/v1", mounted)]), on_error=on_error)


def mount_with_middleware(mounted: ASGIApp, on_error: Hook) -> ASGIApp:
    middleware = [Middleware(ErrorMiddleware, on_error=on_error)]
    return Router(
        routes=[Mount("/", routes=[Mount("/v1", mounted)], middleware=middleware)],
    )


@pytest.mark.parametrize("make", [router_that_is_wrapped, mount_with_middleware])
def test_boundary_without_an_application_around_it_answers_too(
    make: Callable[[ASGIApp, Hook], ASGIApp],
) -> None:
    told: list[str] = []
    app = make(documents(), telling("near", told))
    assert post(app, 100_000)[0] == 400
    around = Starlette(routes=[Mount("/m", app)])
    install(around, on_error=telling("far", told))
    assert post(around, 100_000, "/m/v1/documents")[0] == 400
    assert told == ["near: invalid_request"] * 2


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"rewrite": leave}, id="rewrite"),
        pytest.param({"ignore": (RequestValidationError,)}, id="ignore"),
        pytest.param({"ignore": (Exception,)}, id="ignore-base"),
    ],
)
def test_options_of_the_nearest_application_around_count(options: dict[str, Any]) -> None:
    told: list[str] = []
    between = Starlette(routes=[Mount("/v1", documents(GZIP))])
    install(between, on_error=telling("near", told), **options)
    app = Starlette(routes=[Mount("/m", between)])
    install(app, on_error=telling("far", told))
    alone = post(between, 1_000)
    assert post(app, 1_000, "/m/v1/documents")[0] == alone[0] == 422
    assert told == []


def test_application_with_middleware_that_has_served_before_answers_for_itself() -> None:
    told: list[str] = []
    mounted = documents()
    mounted.add_middleware(ErrorMiddleware, on_error=telling("near", told))
    assert post(mounted, 100_000, "/documents")[0] == 400
    app = Starlette(routes=[Mount("/v1", mounted)])
    install(app, on_error=telling("far", told))
    assert post(app, 100_000)[0] == 400
    assert post(mounted, 100_000, "/documents")[0] == 400
    assert told == ["near: invalid_request"] * 3


class Micro:
    """An application of another framework, in which routes are something else."""

    def __init__(self, routes: object) -> None:
        self._routes = routes

    @property
    def routes(self) -> object:
        if isinstance(self._routes, Exception):
            raise self._routes
        return self._routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("small")(scope, receive, send)


@AROUND
@pytest.mark.parametrize("routes", [print, None, 7, ["/"], {"/": print}, RuntimeError()])
def test_anything_can_be_mounted(around: Callable[[ASGIApp], ASGIApp], routes: object) -> None:
    client = TestClient(around(Micro(routes)))
    assert [client.get("/v1/").text for _ in range(2)] == ["small"] * 2


class Guard:
    """Middleware that takes care of crashes."""

    def __init__(self, app: ASGIApp, crashes: list[BaseException | None]) -> None:
        self.app = app
        self.crashes = crashes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.app(scope, receive, send)
        finally:
            self.crashes.append(sys.exception())


async def accepted(socket: WebSocket) -> None:
    await socket.accept()


def rooms(crashes: list[BaseException | None], *, accepts: bool) -> FastAPI:
    """An application with a WebSocket that needs a number, before it is accepted or after."""
    app = FastAPI(middleware=[Middleware(Guard, crashes=crashes)])

    @app.websocket("/rooms", dependencies=[Depends(accepted)] if accepts else [])
    async def enter(socket: WebSocket, number: int) -> None: ...

    return app


def around_with_a_handler(mounted: ASGIApp) -> ASGIApp:
    # Were it called, nobody would answer.
    handlers: dict[Any, Any] = {WebSocketRequestValidationError: print}
    app = FastAPI(exception_handlers=handlers)
    app.mount("/v1", mounted)
    install(app)
    return app


SOCKETS_AROUND = pytest.mark.parametrize(
    "around", [installed, with_middleware, wrapped, around_with_a_handler]
)


@SOCKETS_AROUND
def test_what_is_wrong_with_a_handshake_is_answered_below_the_middleware_around_it(
    around: Callable[[ASGIApp], ASGIApp],
) -> None:
    crashes: list[BaseException | None] = []
    client = TestClient(around(rooms(crashes, accepts=False)))
    with pytest.raises(WebSocketDenialResponse) as raised:
        client.websocket_connect(f"/v1/rooms?number={SECRET}").__enter__()
    assert raised.value.status_code == 400
    assert raised.value.json()["fields"] == [
        {"field": "query.number", "code": "int_parsing", "message": ANY}
    ]
    assert SECRET not in raised.value.text
    assert crashes == [None]


@SOCKETS_AROUND
def test_websocket_that_is_accepted_is_closed_with_a_reason_that_can_be_sent(
    around: Callable[[ASGIApp], ASGIApp],
) -> None:
    crashes: list[BaseException | None] = []
    client = TestClient(around(rooms(crashes, accepts=True)))
    with client.websocket_connect(f"/v1/rooms?number={SECRET}") as socket:
        message = socket.receive()
    assert (message["type"], message["code"]) == ("websocket.close", 1008)
    assert message["reason"].startswith("invalid_request")
    assert SECRET not in message["reason"]
    assert crashes == [None]


def test_nothing_is_kept_of_applications_around() -> None:
    mounted = documents()
    app = installed(mounted)
    assert post(app, 0)[0] == 400
    before = mounted.exception_handlers[RequestValidationError]
    assert post(installed(mounted), 0)[0] == 400
    assert mounted.exception_handlers[RequestValidationError] is before
    known = weakref.ref(app)
    del app
    gc.collect()
    assert known() is None
