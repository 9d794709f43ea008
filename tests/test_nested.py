"""Boundaries in boundaries: an error is answered once and reported once, and a client that has gone
is no error of anybody's.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, cast

import anyio
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from authpi_errors import ErrorMiddleware, ErrorRecord, NotFoundError, install
from authpi_errors._options import Options
from authpi_errors._reporting import logger
from authpi_errors._responding import Responder, notify
from authpi_errors._sending import drop
from authpi_errors._settled import SETTLED
from tests.passing import BASE, Copying
from tests.test_asgi_properties import Application, Server, http, served, websocket


@dataclass
class Watch:
    """What is told of errors: all boundaries of a nesting have this hook, asynchronous or not."""

    told: list[ErrorRecord] = field(default_factory=list[ErrorRecord])

    async def __call__(self, record: ErrorRecord) -> None:
        self.told.append(record)

    def wrap(self, app: ASGIApp) -> ASGIApp:
        return ErrorMiddleware(app, on_error=self)

    def add(self, app: Starlette) -> Starlette:
        app.add_middleware(ErrorMiddleware, on_error=self)
        return app

    def install(self, app: Starlette) -> Starlette:
        install(app, on_error=self)
        return app


@dataclass
class Telling:
    """An object with a hook that is a method: each time that it is asked for, another one."""

    told: list[ErrorRecord] = field(default_factory=list[ErrorRecord])

    async def tell(self, record: ErrorRecord) -> None:
        self.told.append(record)


class Passing:
    """Middleware of the user's, which has nothing to do with errors."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


def starlette(app: ASGIApp) -> Starlette:
    return Starlette(routes=[Mount("/", app)])


def with_cors(app: ASGIApp) -> Starlette:
    return Starlette(routes=[Mount("/", app)], middleware=[Middleware(CORSMiddleware)])


def copying(app: ASGIApp) -> Starlette:
    return Starlette(routes=[Mount("/", app)], middleware=[Middleware(Copying)])


class Expecting:
    """Middleware that takes it for a bug when nothing is sent, as `BaseHTTPMiddleware` does."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_anything_sent = scope["type"] != "http"

        async def watch(message: Message) -> None:
            nonlocal is_anything_sent
            is_anything_sent = True
            await send(message)

        await self.app(scope, receive, watch)
        assert is_anything_sent


def behind(app: ASGIApp) -> Starlette:
    return Starlette(routes=[Mount("/", app)], middleware=[Middleware(Expecting)])


class Filtering:
    """Middleware that passes on what it knows of a scope, and nothing else."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        known = {name: value for name, value in scope.items() if "authpi" not in name}
        await self.app(known, receive, send)


def built(app: Starlette) -> Starlette:
    """An application whose middleware is built, as by its first request."""
    app.middleware_stack = app.build_middleware_stack()
    return app


def with_more(app: Starlette, mounted: ASGIApp) -> Starlette:
    """An application in which something is mounted when it has started."""
    built(app).mount("/", mounted)
    return app


def fastapi(app: ASGIApp) -> FastAPI:
    return FastAPI(routes=[Mount("/", app)])


Nesting = Callable[[Watch, ASGIApp], ASGIApp]
NESTINGS: Final[dict[str, Nesting]] = {
    "wrapped twice": lambda watch, app: watch.wrap(Passing(watch.wrap(app))),
    "wrapped twice around Starlette": lambda watch, app: watch.wrap(watch.wrap(starlette(app))),
    "added twice": lambda watch, app: watch.add(watch.add(starlette(app))),
    "added and wrapped": lambda watch, app: watch.wrap(watch.add(starlette(app))),
    "added twice and wrapped": lambda watch, app: watch.wrap(watch.add(watch.add(with_cors(app)))),
    "added and wrapped further out": lambda watch, app: watch.wrap(
        Passing(watch.add(fastapi(app)))
    ),
    "added and wrapped twice": lambda watch, app: watch.wrap(
        watch.wrap(Passing(watch.add(starlette(app))))
    ),
    "installed and wrapped": lambda watch, app: watch.wrap(watch.install(starlette(app))),
    "installed on FastAPI and wrapped": lambda watch, app: watch.wrap(
        Passing(watch.install(fastapi(app)))
    ),
    "installed on both sides and wrapped": lambda watch, app: watch.wrap(
        watch.install(with_cors(app))
    ),
    "installed and added": lambda watch, app: watch.add(watch.install(with_cors(app))),
    "installed around one that is mounted": lambda watch, app: watch.install(
        starlette(watch.wrap(app))
    ),
    "installed on both sides of a mount": lambda watch, app: watch.install(
        starlette(watch.install(starlette(app)))
    ),
    "installed on both sides of a mount behind middleware": lambda watch, app: watch.install(
        behind(watch.install(starlette(app)))
    ),
    "installed on one side of a mount behind middleware, and wrapped on the other": (
        lambda watch, app: watch.install(behind(watch.wrap(app)))
    ),
    "installed around one that is mounted behind middleware, to which it is added": (
        lambda watch, app: watch.install(behind(watch.add(starlette(app))))
    ),
    "wrapped around one that is mounted behind middleware": lambda watch, app: watch.wrap(
        behind(watch.install(starlette(app)))
    ),
    "wrapped on both sides of a mount behind middleware": lambda watch, app: watch.wrap(
        behind(watch.wrap(app))
    ),
    "installed on both sides of a mount behind middleware, and built before": lambda watch, app: (
        watch.install(behind(built(watch.install(starlette(app)))))
    ),
    "wrapped twice around middleware that copies": lambda watch, app: watch.wrap(
        Copying(watch.wrap(app))
    ),
    "installed around middleware that copies": lambda watch, app: watch.install(copying(app)),
    "installed and wrapped around middleware that copies": lambda watch, app: watch.wrap(
        Copying(watch.install(copying(app)))
    ),
    "installed on both sides of a mount behind middleware that copies": (
        lambda watch, app: watch.install(copying(watch.install(starlette(app))))
    ),
    "installed behind middleware, and on what is mounted later": lambda watch, app: with_more(
        watch.install(Starlette(middleware=[Middleware(Expecting)])), watch.install(starlette(app))
    ),
    "installed, added and wrapped": lambda watch, app: watch.wrap(
        watch.add(watch.install(starlette(app)))
    ),
}
NESTED = pytest.mark.parametrize("nest", NESTINGS.values(), ids=NESTINGS)
DEPARTURES = pytest.mark.parametrize(
    ("scope", "gone"),
    [
        pytest.param(http(), ClientDisconnect(), id="http"),
        pytest.param(http(), ExceptionGroup("", [ClientDisconnect()]), id="http-group"),
        *(
            pytest.param(websocket(denial=denial), gone, id=f"websocket-{denial}-{type(gone)}")
            for denial in (True, False)
            for gone in (ClientDisconnect(), WebSocketDisconnect(1001))
        ),
    ],
)
START: Final[Message] = {"type": "http.response.start", "status": 404, "headers": []}
BODY: Final[Message] = {"type": "http.response.body"}
ACCEPT: Final[Message] = {"type": "websocket.accept"}
BUG: Final = RuntimeError("secret")


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Give what the library has logged."""
    return [record.message for record in caplog.records if record.name == "authpi_errors"]


@pytest.fixture(autouse=True)
def everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "authpi_errors")


@DEPARTURES
@NESTED
@pytest.mark.parametrize("sent", [(), (START,)], ids=["before", "within"])
def test_client_that_has_gone_is_nobodys_error(
    nest: Nesting,
    scope: Scope,
    gone: Exception,
    sent: Sequence[Message],
    caplog: pytest.LogCaptureFixture,
) -> None:
    watch = Watch()
    app = nest(watch, Application(sent if scope["type"] == "http" else (), gone))
    # At the first connection a boundary finds out where it is.
    for _ in range(2):
        server = served(app, dict(scope))
        assert (server.sent, server.raised) == ([], None)
    assert (watch.told, messages(caplog)) == ([], [])


class Leaving:
    """An application that finds its client gone, and leaves what it sends with to others."""

    def __init__(self, message: Message) -> None:
        self.message = message
        self.sends: list[Send] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.sends.append(send)
        raise WebSocketDisconnect

    async def send_late(self) -> None:
        for send in self.sends:
            await send(self.message)


@NESTED
@pytest.mark.parametrize("message", [ACCEPT, {"type": "websocket.close"}], ids=["accept", "close"])
def test_what_is_still_sent_to_a_client_that_has_gone_is_dropped(
    nest: Nesting, message: Message, caplog: pytest.LogCaptureFixture
) -> None:
    watch, leaving = Watch(), Leaving(message)
    server = served(nest(watch, leaving), websocket(denial=True))
    asyncio.run(leaving.send_late())
    assert (server.sent, server.raised) == ([], None)
    assert (watch.told, messages(caplog)) == ([], [])


def departing(mounted: bool = False) -> Starlette:
    app = Starlette()
    install(app)
    if mounted:
        # Under a prefix, too.
        app.mount("/api", app)
    app.mount("/", Application((), ClientDisconnect()))
    return app


@pytest.mark.parametrize("path", ["/", "/api/", "/api/api/"])
def test_client_that_has_gone_is_nobodys_error_in_an_application_that_is_mounted_in_itself(
    path: str,
) -> None:
    app = departing(mounted=True)
    for _ in range(2):
        server = served(app, {**http(), "path": path})
        assert (server.sent, server.raised) == ([], None)


def test_application_that_is_mounted_elsewhere_is_still_one_by_itself() -> None:
    app = departing()
    around = starlette(app)
    install(around)
    for each in (app, around, app, starlette(app)):
        server = served(each, http())
        assert (server.sent, server.raised) == ([], None)


class Unread:
    """An application that finds its client gone, and answers as FastAPI does."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            raise HTTPException(400, "There was an error parsing the body") from ClientDisconnect()
        except HTTPException:
            await PlainTextResponse("", 400)(scope, receive, send)


@pytest.mark.parametrize("gone", [Application((), ClientDisconnect()), Unread()])
def test_client_that_has_gone_is_nobodys_error_behind_middleware_that_filters(
    gone: ASGIApp,
) -> None:
    app = behind(gone)
    app.add_middleware(Filtering)
    install(app)
    server = served(app, http())
    assert (server.sent, server.raised) == ([], None)


async def without_a_client() -> Message:
    return {"type": "http.disconnect"}


@pytest.mark.parametrize("middleware", [[], [BASE]], ids=["none", "base"])
@pytest.mark.parametrize("gone", [Application((), ClientDisconnect()), Unread()])
@pytest.mark.parametrize("way", [install, ErrorMiddleware])
def test_client_is_answered_though_a_request_of_the_applications_own_lost_its_client(
    way: Callable[[Starlette], ASGIApp | None], gone: ASGIApp, middleware: list[Middleware]
) -> None:
    async def ask(request: Request) -> Response:
        part = {**request.scope, "path": "/part/"}
        with suppress(ClientDisconnect):
            await request.app(part, without_a_client, drop)
        return PlainTextResponse("", 502)

    app = Starlette(routes=[Route("/", ask), Mount("/part", gone)], middleware=middleware)
    server = served(way(app) or app, http())
    assert server.sent[0]["status"] == 502


def test_websocket_is_closed_though_a_request_that_it_serves_lost_its_client() -> None:
    async def serve(socket: WebSocket) -> None:
        await socket.accept()
        await app({**http(), SETTLED: socket.scope[SETTLED]}, without_a_client, drop)
        raise BUG

    gone = Mount("/", Application((), ClientDisconnect()))
    app = Starlette(routes=[WebSocketRoute("/rpc", serve), gone])
    install(app, reraise=False)
    with TestClient(app).websocket_connect("/rpc") as socket:
        assert socket.receive()["type"] == "websocket.close"


def test_scope_that_is_used_again_is_a_new_connection() -> None:
    scope = http()
    app = ErrorMiddleware(Application((), ClientDisconnect()))
    for _ in range(2):
        server = served(app, scope)
        assert (server.sent, server.raised) == ([], None)


def test_websocket_that_serves_requests_keeps_nothing_of_them() -> None:
    kept: list[int] = []

    async def serve_each(socket: WebSocket) -> None:
        await socket.accept()
        async for _ in socket.iter_text():
            await app({**http(), SETTLED: socket.scope[SETTLED]}, socket.receive, drop)
            kept.append(len(socket.scope[SETTLED]))
            await socket.send_text("")

    app = Starlette(routes=[WebSocketRoute("/rpc", serve_each)])
    install(app)
    with TestClient(app).websocket_connect("/rpc") as socket:
        for _ in range(100):
            socket.send_text("")
            socket.receive_text()
    assert kept[2] < kept[-1] < 20


class Cascade:
    """Middleware that has a second application answer, whatever a first one says."""

    def __init__(self, first: ASGIApp, second: ASGIApp) -> None:
        self.first = first
        self.second = second

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.first({**scope}, receive, drop)
        await self.second({**scope}, receive, send)


def test_websocket_that_another_application_has_denied_before_is_denied() -> None:
    first = Starlette()
    install(first)
    app = Starlette(routes=[Mount("/", Cascade(first, Starlette()))])
    install(app)
    with pytest.raises(WebSocketDenialResponse) as raised:
        TestClient(app).websocket_connect("/rooms").__enter__()
    # What routes there are below is not known.
    assert raised.value.json()["error"] == "access_denied"


@dataclass
class Seen:
    """What becomes of an error: what is sent, what is raised, and who is told."""

    sent: list[str]
    raised: BaseException | None
    codes: list[str]
    logged: int


def see(nest: Nesting, app: ASGIApp, scope: Scope, caplog: pytest.LogCaptureFixture) -> Seen:
    watch = Watch()
    nested = nest(watch, app)
    served(nested, dict(scope))
    watch.told.clear()
    caplog.clear()
    server = served(nested, dict(scope))
    logged = [line for line in messages(caplog) if line.startswith("Answered")]
    sent = [message["type"] for message in server.sent]
    return Seen(sent, server.raised, [record.code for record in watch.told], len(logged))


ANSWER: Final = ["http.response.start", "http.response.body"]
DENIAL: Final = [f"websocket.{kind}" for kind in ANSWER]


@NESTED
@pytest.mark.parametrize(
    ("app", "code", "raised"),
    [
        pytest.param(Application((), NotFoundError()), "not_found", None, id="expected"),
        pytest.param(Application((), BUG), "server_error", BUG, id="unexpected"),
        pytest.param(Application([START, BODY]), "not_found", None, id="sent"),
        pytest.param(Application(()), "server_error", None, id="nothing is sent"),
    ],
)
def test_error_is_answered_and_reported_once(
    nest: Nesting,
    app: ASGIApp,
    code: str,
    raised: BaseException | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert see(nest, app, http(), caplog) == Seen(ANSWER, raised, [code], 1)


@NESTED
@pytest.mark.parametrize(
    ("denial", "accepted", "sent"),
    [
        pytest.param(True, False, DENIAL, id="denied"),
        pytest.param(False, False, ["websocket.close"], id="closed"),
        pytest.param(True, True, ["websocket.accept", "websocket.close"], id="accepted"),
    ],
)
def test_error_of_a_websocket_is_answered_and_reported_once(
    nest: Nesting, denial: bool, accepted: bool, sent: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    app = Application([ACCEPT] if accepted else (), NotFoundError())
    seen = see(nest, app, websocket(denial=denial), caplog)
    assert seen == Seen(sent, None, ["not_found"], 1)


@NESTED
def test_client_that_goes_while_the_body_is_read_is_nobodys_error(
    nest: Nesting, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "http.disconnect"
        raise ClientDisconnect

    server, nested = Server(), nest(Watch(), app)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def serve() -> None:
        await nested(http(), receive, server.send)

    asyncio.run(serve())
    assert (server.sent, messages(caplog)) == ([], [])


class TeapotError(Exception):
    """Something that the user's own handler answers."""


async def answer_for_itself(request: Request, exc: Exception) -> Response:
    return PlainTextResponse("short and stout", 418)


@pytest.mark.parametrize("middleware", [[], [Middleware(Copying)]], ids=["none", "copies"])
def test_answer_of_the_users_own_handler_stays(middleware: list[Middleware]) -> None:
    async def brew(request: Request) -> Response:
        raise TeapotError

    app = Starlette(
        routes=[Route("/", brew)],
        exception_handlers={TeapotError: answer_for_itself},
        # That runs the rest in a task of its own, where the exception can't be seen from outside.
        middleware=[*middleware, BASE],
    )
    install(app)
    response = TestClient(app).get("/")
    assert (response.status_code, response.text) == (418, "short and stout")


class Refusing:
    """Middleware that fails on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def refuse(message: Message) -> None:
            raise RuntimeError

        await self.app(scope, receive, refuse)


class InText:
    """Middleware that puts text in the place of each answer, and tells nothing of it further in."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def replace(message: Message) -> None:
            if message["type"] == "http.response.start":
                await PlainTextResponse("Sorry.", message["status"])(scope, receive, send)

        await self.app(scope, receive, replace)


def test_of_two_errors_the_one_that_is_sent_is_told_once() -> None:
    async def fail(request: Request) -> Response:
        raise NotFoundError

    watch = Watch()
    app = Starlette(
        routes=[Route("/", fail, middleware=[Middleware(Refusing)])],
        middleware=[Middleware(InText)],
    )
    install(app, on_error=watch)
    response = TestClient(app, raise_server_exceptions=False).get("/")
    assert (response.status_code, response.json()["error"]) == (500, "server_error")
    assert [record.status for record in watch.told] == [500]


async def word(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Say sorry, whatever the answer was."""
    return PlainTextResponse("Sorry.", (await call_next(request)).status_code)


WORDING: Final = Middleware(BaseHTTPMiddleware, dispatch=word)


def reference_in(server: Server) -> str | None:
    """Read the reference that the client gets."""
    document: dict[str, Any] = json.loads(server.sent[1]["body"])
    return document.get("reference")


def test_bug_has_one_reference_also_where_the_log_is_turned_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logger, "disabled", True)
    bug = RuntimeError()
    app = Starlette(routes=[Mount("/", Application((), bug))], middleware=[WORDING])
    install(app)
    reference = reference_in(served(app, http()))
    assert bug.__notes__ == [f"reference: {reference}"]


@pytest.mark.parametrize("reraise", [True, False])
def test_bug_is_reported_once_where_a_copy_of_the_scope_is_passed_on(
    reraise: bool, caplog: pytest.LogCaptureFixture
) -> None:
    telling, bug = Telling(), RuntimeError()
    routes = [Mount("/", Application((), bug))]
    app = Starlette(routes=routes, middleware=[WORDING, Middleware(Copying)])
    install(app, on_error=telling.tell, reraise=reraise)
    reference = reference_in(served(app, http()))
    assert bug.__notes__ == [f"reference: {reference}"]
    assert [record.reference for record in telling.told] == [reference]
    assert len(messages(caplog)) == 1


@pytest.mark.parametrize("error", [NotFoundError(), RuntimeError()], ids=["expected", "a bug"])
@pytest.mark.parametrize("is_shared", [True, False], ids=["one hook", "two hooks"])
def test_hook_of_the_nearest_application_is_told_also_where_middleware_words_its_answer(
    error: Exception, is_shared: bool
) -> None:
    inner, outer = Telling(), Telling()
    mounted = Starlette(routes=[Mount("/", Application((), error))])
    install(mounted, on_error=inner.tell)
    app = Starlette(routes=[Mount("/", mounted, middleware=[WORDING])])
    install(app, on_error=inner.tell if is_shared else outer.tell)
    served(app, http())
    assert ([record.exception for record in inner.told], outer.told) == ([error], [])


# A client that says nothing.
silent: Final = cast("Receive", anyio.sleep_forever)


async def fail(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Fail on a response, where it stops waiting for the rest of what is further in."""
    await call_next(request)
    raise LookupError


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_hook_is_told_of_what_is_sent_where_middleware_fails_on_an_error(backend: str) -> None:
    told: list[ErrorRecord] = []
    app = Starlette(
        routes=[Mount("/", PlainTextResponse("", 502))],
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=fail)],
    )
    install(app, on_error=told.append)

    async def serve() -> None:
        with pytest.raises(LookupError):
            await app(http(), silent, Server().send)

    anyio.run(serve, backend=backend)
    assert [record.status for record in told] == [500]


class Waiting:
    """An application that answers, and then has something else to do."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("", 502)(scope, receive, send)
        await anyio.sleep_forever()


class HangingHook(Telling):
    async def tell(self, record: ErrorRecord) -> None:
        await super().tell(record)
        await anyio.sleep_forever()


class SlowHook(Telling):
    async def tell(self, record: ErrorRecord) -> None:
        await anyio.sleep(0.01)
        await super().tell(record)


@pytest.mark.parametrize("hook", [HangingHook, SlowHook])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_connection_that_is_cancelled_does_not_wait_long_for_a_hook(
    backend: str, hook: Callable[[], Telling], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("authpi_errors._responding._PATIENCE", 0.2)
    telling = hook()
    app = ErrorMiddleware(Waiting(), on_error=telling.tell)

    async def serve() -> None:
        with anyio.fail_after(10), anyio.move_on_after(0.01):
            await app(http(), silent, Server().send)

    anyio.run(serve, backend=backend)
    assert [record.status for record in telling.told] == [502]


def test_hook_is_told_of_a_denial_in_the_place_of_which_a_websocket_is_closed() -> None:
    telling = Telling()
    denial: Message = {"type": "websocket.http.response.start", "status": 404}
    app = ErrorMiddleware(Application([ACCEPT, denial]), on_error=telling.tell)
    server = served(app, websocket(denial=True))
    assert [message["type"] for message in server.sent] == ["websocket.accept", "websocket.close"]
    assert [record.status for record in telling.told] == [404]


class BugError(Exception):
    """A bug, which tells whether it is still kept."""


class Raising:
    """Middleware that raises something else in the place of a bug."""

    def __init__(self, app: ASGIApp, make: Callable[[BaseException], BaseException | None]) -> None:
        self.app = app
        self.make = make

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found: list[BaseException] = []
        try:
            await self.app(scope, receive, send)
        except BugError as bug:
            found.append(bug)
        other = self.make(found.pop())
        if other is not None:
            raise other


class Swallowing(Passing):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(BugError):
            await self.app(scope, receive, send)


def itself(bug: BaseException) -> BaseException:
    return bug


def nothing(bug: BaseException) -> None:
    return None


def expected(bug: BaseException) -> BaseException:
    return NotFoundError()


def caused(bug: BaseException) -> BaseException:
    other = LookupError()
    other.__cause__ = bug
    return other


def in_context(bug: BaseException, *, suppressed: bool = False) -> BaseException:
    other = LookupError()
    other.__context__ = bug
    other.__suppress_context__ = suppressed
    return other


def grouped(bug: BaseException) -> BaseException:
    return BaseExceptionGroup("", [LookupError(), caused(bug)])


def circular(bug: BaseException) -> BaseException:
    other = in_context(LookupError())
    cast("BaseException", other.__context__).__context__ = other
    return other


class SecretiveError(Exception):
    """One that does not tell what it came from."""

    def __getattribute__(self, name: str) -> Any:
        if name == "__cause__":
            raise LookupError
        return super().__getattribute__(name)


@pytest.mark.parametrize("sends", [True, False], ids=["answered", "swallowed"])
@pytest.mark.parametrize(
    ("make", "tracebacks"),
    [
        pytest.param(itself, 0, id="itself"),
        pytest.param(nothing, 0, id="nothing"),
        pytest.param(LookupError, 1, id="another one"),
        pytest.param(expected, 1, id="one that is expected"),
        pytest.param(ClientDisconnect, 1, id="the client's departure"),
        pytest.param(caused, 0, id="one that it caused"),
        pytest.param(in_context, 0, id="one in its context"),
        pytest.param(partial(in_context, suppressed=True), 1, id="one that hides its context"),
        pytest.param(grouped, 0, id="a group"),
        pytest.param(circular, 1, id="one that is its own context"),
        pytest.param(SecretiveError, 1, id="one that hides its cause"),
    ],
)
@pytest.mark.parametrize("level", [logging.ERROR, logging.CRITICAL])
def test_bug_in_whose_place_another_exception_is_raised_is_logged_with_its_traceback(
    *,
    make: Callable[[BaseException], BaseException | None],
    tracebacks: int,
    sends: bool,
    level: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(level, "authpi_errors")

    async def fail(scope: Scope, receive: Receive, send: Send) -> None:
        raise BugError

    async def hold_back(scope: Scope, receive: Receive, send: Send) -> None:
        await ErrorMiddleware(fail)(scope, receive, send if sends else drop)

    app = ErrorMiddleware(Passing(ErrorMiddleware(Raising(Passing(hold_back), make))))
    served(app, http())
    logged = [record for record in caplog.records if record.exc_info]
    assert [record.exc_info and record.exc_info[0] for record in logged] == (
        [BugError] * tracebacks if level == logging.ERROR else []
    )


@pytest.mark.parametrize("between", [Passing, Swallowing])
def test_nothing_keeps_a_bug(between: Callable[[ASGIApp], ASGIApp]) -> None:
    kept: list[weakref.ref[BugError]] = []

    async def fail(scope: Scope, receive: Receive, send: Send) -> None:
        bug = BugError()
        kept.append(weakref.ref(bug))
        try:
            raise bug
        finally:
            del bug

    async def serve() -> None:
        app = ErrorMiddleware(between(ErrorMiddleware(fail)))
        with suppress(BugError):
            await app(http(), silent, Server().send)

    gc.disable()
    try:
        asyncio.run(serve())
        assert [bug() for bug in kept] == [None]
    finally:
        gc.enable()


def test_hook_that_was_told_further_out_is_not_told_again() -> None:
    telling = Telling()
    responder = Responder(Options(on_error=telling.tell))
    scope = http()
    responder.respond(None, NotFoundError(), scope)

    async def tell() -> None:
        await notify(scope)
        await notify(scope)

    asyncio.run(tell())
    assert [record.code for record in telling.told] == ["not_found"]
