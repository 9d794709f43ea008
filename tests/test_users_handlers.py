"""Exception handlers of the user's: what they answer stays, and what they don't is answered."""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from asgiref.sync import markcoroutinefunction
from fastapi import FastAPI
from fastapi.exception_handlers import (
    http_exception_handler,
    request_validation_exception_handler,
)
from fastapi.exceptions import RequestValidationError
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException, WebSocketException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from authpi_errors import ErrorMiddleware, ErrorRegistry, NotFoundError, install
from tests.passing import BASE, Around, Copying
from tests.test_asgi_properties import is_same, served, websocket


class StaleError(Exception):
    """What the user's handler knows."""


class BrokenError(Exception):
    """What nobody knows."""


def installed(app: Starlette) -> ASGIApp:
    install(app)
    return app


def added(app: Starlette) -> ASGIApp:
    app.add_middleware(ErrorMiddleware)
    return app


def mounted(app: Starlette) -> ASGIApp:
    return installed(Starlette(routes=[Mount("/", app)]))


def mounted_behind_middleware(app: Starlette) -> ASGIApp:
    around = Starlette(routes=[Mount("/", app)], middleware=[BASE])
    return installed(around)


def mounted_and_wrapped(app: Starlette) -> ASGIApp:
    return ErrorMiddleware(Starlette(routes=[Mount("/", app)]))


Way = Callable[[Starlette], ASGIApp]
WAYS = pytest.mark.parametrize(
    "way",
    [installed, added, ErrorMiddleware, mounted, mounted_behind_middleware, mounted_and_wrapped],
)
FRAMEWORKS = pytest.mark.parametrize("framework", [Starlette, FastAPI])


def get(app: ASGIApp, path: str = "/") -> tuple[int, str, str]:
    response = TestClient(app, raise_server_exceptions=False).get(path)
    return response.status_code, response.headers["content-type"].partition(";")[0], response.text


# What they answer stays.


async def lines() -> AsyncIterator[str]:
    yield "7;no such user\n"
    yield "8;no such user\n"


def in_text(exc: Exception) -> Response:
    return PlainTextResponse("stale", 422)


def in_detail(exc: Exception) -> Response:
    return JSONResponse({"detail": "stale"}, 422)


def with_a_plain_500(exc: Exception) -> Response:
    return PlainTextResponse("Internal Server Error", 500)


def in_a_stream(exc: Exception) -> Response:
    return StreamingResponse(lines(), 422, media_type="text/plain")


ANSWERS: dict[Callable[[Exception], Response], tuple[int, str, str]] = {
    in_text: (422, "text/plain", "stale"),
    in_detail: (422, "application/json", '{"detail":"stale"}'),
    with_a_plain_500: (500, "text/plain", "Internal Server Error"),
    in_a_stream: (422, "text/plain", "7;no such user\n8;no such user\n"),
}


def asynchronous(make: Callable[[Exception], Response]) -> Any:
    async def handle(request: Request, exc: Exception) -> Response:
        return make(exc)

    return handle


def in_a_thread(make: Callable[[Exception], Response]) -> Any:
    def handle(request: Request, exc: Exception) -> Response:
        return make(exc)

    return handle


@pytest.mark.parametrize("make", ANSWERS)
@pytest.mark.parametrize("handler", [asynchronous, in_a_thread])
@pytest.mark.parametrize("key", [StaleError, HTTPException, 404, Exception, 500])
@FRAMEWORKS
@WAYS
def test_what_a_handler_answers_stays(
    way: Way,
    framework: type[Starlette],
    key: int | type[Exception],
    handler: Callable[..., Any],
    make: Callable[[Exception], Response],
) -> None:
    async def fail(request: Request) -> Response:
        if key in {Exception, 500}:
            raise BrokenError
        raise StaleError if key is StaleError else HTTPException(404)

    app = framework(routes=[Route("/", fail)], exception_handlers={key: handler(make)})
    served = way(app)
    for _ in range(2):
        assert get(served) == ANSWERS[make]


@pytest.mark.parametrize(
    "way", [ErrorMiddleware, mounted, mounted_behind_middleware, mounted_and_wrapped]
)
def test_handler_of_an_application_that_has_served_before_keeps_its_answer(way: Way) -> None:
    async def fail(request: Request) -> Response:
        raise StaleError

    app = Starlette(
        routes=[Route("/", fail)], exception_handlers={StaleError: asynchronous(in_a_stream)}
    )
    assert get(app) == ANSWERS[in_a_stream]
    assert get(way(app)) == ANSWERS[in_a_stream]


@pytest.mark.parametrize(
    "way", [ErrorMiddleware, mounted, mounted_behind_middleware, mounted_and_wrapped]
)
@pytest.mark.parametrize("key", [Exception, 500])
def test_what_a_handler_for_everything_answers_is_raised_again(way: Way, key: Any) -> None:
    async def fail(request: Request) -> Response:
        raise BrokenError

    app = Starlette(routes=[Route("/", fail)], exception_handlers={key: asynchronous(in_a_stream)})
    assert get(app) == ANSWERS[in_a_stream]
    served = way(app)
    assert get(served) == ANSWERS[in_a_stream]
    with pytest.raises(BrokenError):
        TestClient(served).get("/")


@pytest.mark.parametrize("make", [in_text, in_detail, with_a_plain_500])
@pytest.mark.parametrize("key", [Exception, 500])
def test_what_a_handler_for_everything_answers_stays_where_it_is_not_found(
    key: Any, make: Callable[[Exception], Response]
) -> None:
    async def fail(request: Request) -> Response:
        raise BrokenError

    app = Starlette(routes=[Route("/", fail)], exception_handlers={key: asynchronous(make)})

    async def hide(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)

    assert get(ErrorMiddleware(hide)) == ANSWERS[make]


class Hidden(Starlette):
    """An application whose middleware is hidden, as by what traces it from the outside."""

    def build_middleware_stack(self) -> ASGIApp:
        stack = super().build_middleware_stack()

        async def hide(scope: Scope, receive: Receive, send: Send) -> None:
            await stack(scope, receive, send)

        return hide


@pytest.mark.parametrize("handlers", [{}, {Exception: asynchronous(in_text)}], ids=["none", "one"])
@pytest.mark.parametrize("make", [Starlette, Hidden])
def test_error_is_out_before_a_background_task_runs(make: type[Starlette], handlers: Any) -> None:
    events: list[str] = []

    async def refuse(request: Request) -> Response:
        return PlainTextResponse("No.", 403, background=BackgroundTask(events.append, "task"))

    app = ErrorMiddleware(make(routes=[Route("/", refuse)], exception_handlers=handlers))

    async def note(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_and_note(message: Message) -> None:
            events.append(message["type"])
            await send(message)

        await app(scope, receive, send_and_note)

    assert get(note)[:2] == (403, "application/json")
    assert events == ["http.response.start", "http.response.body", "task"]


@WAYS
def test_what_a_handler_for_everything_is_not_asked_about_is_answered(way: Way) -> None:
    app = Starlette(exception_handlers={Exception: asynchronous(in_text)})
    status, media_type, _ = get(way(app))
    assert (status, media_type) == (404, "application/json")


def test_what_a_handler_answers_stays_below_middleware_that_hides_the_stack() -> None:
    async def fail(request: Request) -> Response:
        raise StaleError

    def hiding(app: ASGIApp) -> ASGIApp:
        async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
            await app(scope, receive, send)

        return middleware

    middleware = [Middleware(hiding), Middleware(ErrorMiddleware), BASE]
    handlers: Any = {StaleError: asynchronous(in_text)}
    app = Starlette(routes=[Route("/", fail)], middleware=middleware, exception_handlers=handlers)
    assert get(app) == ANSWERS[in_text]


@pytest.mark.parametrize("make", [in_text, in_detail])
@pytest.mark.parametrize("key", [StaleError, Exception])
def test_what_a_handler_answers_stays_in_what_is_mounted_after_the_first_request(
    key: type[Exception], make: Callable[[Exception], Response]
) -> None:
    async def fail(request: Request) -> Response:
        raise StaleError

    app = Starlette()
    install(app)
    assert get(app)[0] == 404
    handlers: Any = {key: asynchronous(make)}
    app.mount("/", Starlette(routes=[Route("/", fail)], exception_handlers=handlers))
    assert get(app) == ANSWERS[make]


@pytest.mark.parametrize("way", [installed, added, ErrorMiddleware])
def test_who_looks_up_a_handler_finds_the_users_own(way: Way) -> None:
    async def fail(request: Request) -> Response:
        raise StaleError

    handlers: Any = {StaleError: asynchronous(in_text), Exception: asynchronous(in_detail)}
    app = Starlette(routes=[Route("/", fail)], exception_handlers=handlers)
    served = way(app)
    assert get(served) == ANSWERS[in_text]
    found: Any = app.exception_handlers
    assert all(found[key] is handler for key, handler in handlers.items())


def test_handler_of_a_mounted_application_can_be_asked_by_others() -> None:
    async def fail(request: Request) -> Response:
        raise StaleError

    handlers: Any = {StaleError: asynchronous(in_text)}
    app = Starlette(routes=[Route("/", fail)], exception_handlers=handlers)
    assert get(mounted(app)) == ANSWERS[in_text]
    handler: Any = app.exception_handlers[StaleError]
    for request in Request({"type": "http"}), None:
        response = asyncio.run(handler(request, StaleError()))
        sent: list[Message] = []

        async def send(message: Message, sent: list[Message] = sent) -> None:
            sent.append(message)

        asyncio.run(response({"type": "http"}, None, send))
        assert [message.get("status", message.get("body")) for message in sent] == [422, b"stale"]


@WAYS
def test_what_a_handler_answers_stays_that_is_marked_as_asynchronous(way: Way) -> None:
    async def fail(request: Request) -> Response:
        raise StaleError

    @markcoroutinefunction
    def handle(request: Request, exc: Exception) -> Awaitable[Response]:
        answered: Awaitable[Response] = asynchronous(in_text)(request, exc)
        return answered

    handlers: Any = {StaleError: handle}
    app = Starlette(routes=[Route("/", fail)], exception_handlers=handlers)
    assert get(way(app)) == ANSWERS[in_text]


@WAYS
def test_what_a_handler_answers_without_a_response_class_stays(way: Way) -> None:
    async def fail(request: Request) -> Response:
        raise StaleError

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await in_a_stream(StaleError())(scope, receive, send)

    async def handle(request: Request, exc: Exception) -> ASGIApp:
        return answer

    handlers: Any = {StaleError: handle}
    app = Starlette(routes=[Route("/", fail)], exception_handlers=handlers)
    assert get(way(app)) == ANSWERS[in_a_stream]


@pytest.mark.parametrize("outer", [[], [BASE]], ids=["none", "base"])
@pytest.mark.parametrize("inner", [[], [BASE]], ids=["none", "base"])
@FRAMEWORKS
def test_handler_for_everything_answers_what_a_mounted_application_raises(
    framework: type[Starlette], inner: list[Middleware], outer: list[Middleware]
) -> None:
    async def fail(request: Request) -> Response:
        raise BrokenError

    handlers: Any = {Exception: asynchronous(in_text)}
    sub = framework(routes=[Route("/", fail)], middleware=inner)
    app = framework(routes=[Mount("/", sub)], middleware=outer, exception_handlers=handlers)
    assert get(added(app)) == ANSWERS[in_text]


class Wrapping(Response):
    """A response that is another one, and has nothing of its own."""

    def __init__(self, inner: Response) -> None:
        self.inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.inner(scope, receive, send)


class Late(PlainTextResponse):
    """A response that is written when it is sent, as from a template."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.body = self.render("stale")
        self.init_headers()
        await super().__call__(scope, receive, send)


@pytest.mark.parametrize(
    "make", [lambda: Wrapping(in_text(StaleError())), lambda: Late("", 422)], ids=["wraps", "late"]
)
@pytest.mark.parametrize("middleware", [[], [BASE]], ids=["none", "base"])
@WAYS
def test_what_a_handler_answers_with_a_response_of_its_own_stays(
    way: Way, middleware: list[Middleware], make: Callable[[], Response]
) -> None:
    async def fail(request: Request) -> Response:
        raise StaleError

    handlers: Any = {StaleError: asynchronous(lambda exc: make())}
    routes = [Route("/", fail)]
    app = Starlette(routes=routes, middleware=middleware, exception_handlers=handlers)
    assert get(way(app)) == ANSWERS[in_text]


# What is raised where they don't run is answered.


def knowing(framework: type[Starlette], *keys: Any, **options: Any) -> Starlette:
    """Make an application with handlers, whose middleware raises what they know."""
    handlers: Any = dict.fromkeys(keys, asynchronous(in_text))
    return framework(exception_handlers=handlers, **options)


@pytest.mark.parametrize(
    ("exc", "status", "code"),
    [
        pytest.param(HTTPException(401), 401, "unauthorized_client", id="http"),
        pytest.param(NotFoundError(), 404, "not_found", id="ours"),
        pytest.param(StaleError(), 500, "server_error", id="unknown"),
    ],
)
@pytest.mark.parametrize("debug", [False, True])
@FRAMEWORKS
@WAYS
def test_what_middleware_raises_is_answered_though_there_is_a_handler_for_it(
    *, way: Way, framework: type[Starlette], debug: bool, exc: Exception, status: int, code: str
) -> None:
    async def refuse(request: Request, call_next: RequestResponseEndpoint) -> Response:
        raise exc

    middleware = [Middleware(BaseHTTPMiddleware, dispatch=refuse)]
    known = HTTPException, NotFoundError, StaleError
    app = knowing(framework, *known, middleware=middleware, debug=debug)
    response = get(way(app))
    assert response[:2] == (status, "application/json")
    assert f'"error":"{code}"' in response[2]


@pytest.mark.parametrize("length", [1, 100_000])
@pytest.mark.parametrize(
    ("handlers", "expected"),
    [
        pytest.param({}, (500, "application/json"), id="none"),
        pytest.param({Exception: asynchronous(in_text)}, (422, "text/plain"), id="one"),
    ],
)
def test_nothing_of_a_debuggers_page_gets_out(
    handlers: Any, expected: tuple[int, str], length: int
) -> None:
    async def fail(request: Request) -> Response:
        raise BrokenError("secret" * length)

    app = Starlette(debug=True, routes=[Route("/", fail)])
    around = Starlette(routes=[Mount("/", Copying(app))], exception_handlers=handlers)
    response = get(installed(around))
    assert response[:2] == expected
    assert "secret" not in response[2]


@pytest.mark.parametrize("always_refer", [False, True])
def test_what_middleware_raises_is_answered_where_a_handler_for_everything_is_hidden(
    always_refer: bool,
) -> None:
    async def refuse(request: Request, call_next: RequestResponseEndpoint) -> Response:
        raise NotFoundError

    app = Hidden(
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=refuse)],
        exception_handlers={Exception: asynchronous(in_text)},
    )
    app.add_middleware(ErrorMiddleware, always_refer=always_refer)
    assert get(app)[:2] == (404, "application/json")


@FRAMEWORKS
@WAYS
def test_what_a_handler_raises_again_is_answered(way: Way, framework: type[Starlette]) -> None:
    async def leave(request: Request, exc: Exception) -> Response:
        raise exc

    response = get(way(framework(exception_handlers={404: leave})))
    assert response[:2] == (404, "application/json")
    assert '"error":"not_found"' in response[2]


# FastAPI's own are none of the user's, and what is made of them is.


def traced(handler: Callable[[Any, Any], Awaitable[Response]]) -> Any:
    @functools.wraps(handler)
    async def handle(request: Request, exc: Exception) -> Response:
        response = await handler(request, exc)
        response.headers["X-Trace"] = "1"
        return response

    return handle


def numbers(**options: Any) -> FastAPI:
    app = FastAPI(**options)

    @app.get("/numbers/{number}")
    async def read(number: int) -> None:
        raise HTTPException(409, "Taken.")

    return app


@WAYS
def test_handler_that_wraps_fastapis_own_is_the_users(way: Way) -> None:
    handlers = {
        HTTPException: traced(http_exception_handler),
        RequestValidationError: traced(request_validation_exception_handler),
    }
    client = TestClient(way(numbers(exception_handlers=handlers)))
    for path, status in ("/none", 404), ("/numbers/7", 409), ("/numbers/x", 422):
        response = client.get(path)
        assert (response.status_code, response.headers["x-trace"]) == (status, "1")
        assert "detail" in response.json()


@WAYS
def test_handlers_are_the_users_where_there_is_no_fastapi(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "fastapi.exception_handlers")
    app = Starlette(exception_handlers={404: asynchronous(in_text)})
    assert get(way(app)) == ANSWERS[in_text]


# What is ignored is the framework's.


@pytest.mark.parametrize("make", [Starlette, FastAPI, numbers])
@pytest.mark.parametrize("ignored", [HTTPException, Exception])
@pytest.mark.parametrize("way", [install, ErrorMiddleware])
def test_what_is_ignored_is_answered_as_without_the_library(
    way: Callable[..., Any], ignored: type[Exception], make: Callable[[], Starlette]
) -> None:
    app = make()
    served: ASGIApp = way(app, ignore=(ignored,)) or app
    for path in "/", "/numbers/7":
        assert get(served, path) == get(make(), path)


@pytest.mark.parametrize("ignored", [RequestValidationError, Exception])
@pytest.mark.parametrize("way", [install, ErrorMiddleware])
def test_ignored_validation_error_is_answered_as_without_the_library(
    way: Callable[..., Any], ignored: type[Exception]
) -> None:
    app = numbers()
    served: ASGIApp = way(app, ignore=(ignored,)) or app
    assert get(served, "/numbers/x") == get(numbers(), "/numbers/x")
    # What is not ignored is ours.
    if ignored is RequestValidationError:
        assert '"error":"conflict"' in get(served, "/numbers/7")[2]


@pytest.mark.parametrize("exc", [HTTPException(403, "no"), WebSocketException(3001, "no")])
@pytest.mark.parametrize("denial", [True, False])
@FRAMEWORKS
@pytest.mark.parametrize("way", [install, ErrorMiddleware])
def test_websocket_that_is_refused_by_what_is_ignored_is_so_as_without_the_library(
    *, way: Callable[..., Any], framework: type[Starlette], denial: bool, exc: Exception
) -> None:
    async def refuse(socket: WebSocket) -> None:
        raise exc

    bare, app = (framework(routes=[WebSocketRoute("/", refuse)]) for _ in range(2))
    ours: ASGIApp = way(app, ignore=(type(exc),)) or app
    scope = websocket(denial=denial)
    assert is_same(served(ours, dict(scope)), served(bare, scope))


@pytest.mark.parametrize("way", [install, ErrorMiddleware])
def test_ignored_exception_without_a_handler_is_raised(way: Callable[..., Any]) -> None:
    async def fail(request: Request) -> Response:
        raise StaleError

    app = Starlette(routes=[Route("/", fail)])
    registry = ErrorRegistry(exceptions={StaleError: "conflict"})
    served: ASGIApp = way(app, ignore=(StaleError,), registry=registry) or app
    with pytest.raises(StaleError):
        TestClient(served).get("/")


# A handler for everything answers where it runs, and nowhere else.


async def answer_everything(request: Request, exc: Exception) -> Response:
    return JSONResponse({"detail": "mine"}, 500)


class FailingAfter:
    """Middleware that fails once the response is known."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def fail(message: Message) -> None:
            raise BrokenError("secret")

        await self.app(scope, receive, fail)


async def succeed(request: Request) -> Response:
    return Response()


async def break_down(request: Request) -> Response:
    raise BrokenError("secret")


AROUND = pytest.mark.parametrize("way", [installed, added, ErrorMiddleware])
JSON_500 = (500, "application/json")


@AROUND
@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("of_mount", [False, True])
def test_handler_of_a_mounted_application_answers_nothing_that_fails_around_it(
    *, of_mount: bool, debug: bool, way: Way
) -> None:
    inner = Starlette(
        routes=[Route("/", succeed)], exception_handlers={Exception: answer_everything}
    )
    app = Starlette(
        debug=debug,
        routes=[Mount("/", FailingAfter(inner) if of_mount else inner)],
        middleware=[] if of_mount else [Middleware(FailingAfter)],
    )
    status, media_type, text = get(way(app))
    assert (status, media_type) == JSON_500
    assert '"server_error"' in text


@pytest.mark.parametrize("middleware", [[], [BASE]], ids=["alone", "behind middleware"])
@pytest.mark.parametrize(
    ("around", "debug"),
    [
        pytest.param(Around, False, id="mounted"),
        pytest.param(Around, True, id="mounted, with a debugger"),
        pytest.param(Copying, False, id="behind a copy of the scope"),
    ],
)
@pytest.mark.parametrize(
    ("way", "expected"),
    [(installed, '"mine"'), (added, '"mine"'), (ErrorMiddleware, '"server_error"')],
)
def test_handler_for_everything_answers_what_fails_in_a_mounted_application(
    way: Way,
    expected: str,
    around: Callable[[ASGIApp], ASGIApp],
    middleware: list[Middleware],
    *,
    debug: bool,
) -> None:
    inner = Starlette(debug=debug, routes=[Route("/", break_down)])
    app = Starlette(
        routes=[Mount("/", around(inner))],
        middleware=middleware,
        exception_handlers={Exception: answer_everything},
    )
    status, media_type, text = get(way(app))
    assert (status, media_type) == JSON_500
    assert expected in text


@AROUND
@pytest.mark.parametrize("key", [500, Exception])
def test_debugger_that_takes_the_place_of_a_handler_is_for_browsers(key: Any, way: Way) -> None:
    app = Starlette(
        debug=True, routes=[Route("/", break_down)], exception_handlers={key: answer_everything}
    )
    status, media_type, text = get(way(app))
    assert (status, media_type) == JSON_500
    assert '"server_error"' in text


class SpecialError(StaleError):
    """What is left to the framework, although its base is mapped."""


def given(app: Starlette, way: Way, **options: Any) -> ASGIApp:
    """Put the library into an application, or around it, with options."""
    if way is installed:
        install(app, **options)
    elif way is added:
        app.add_middleware(ErrorMiddleware, **options)
    else:
        return ErrorMiddleware(app, **options)
    return app


@AROUND
@pytest.mark.parametrize("handlers", [{}, {Exception: answer_everything}], ids=["none", "one"])
def test_ignored_exception_of_a_mounted_application_is_left_to_it(
    handlers: dict[Any, Any], way: Way
) -> None:
    async def fail(request: Request) -> Response:
        raise SpecialError("secret")

    inner = Starlette(routes=[Route("/", fail)])
    around = Starlette(routes=[Mount("/", inner)], exception_handlers=handlers)
    registry = ErrorRegistry(exceptions={StaleError: "conflict"})
    app = given(around, way, registry=registry, ignore=(SpecialError,))
    # Wrapped, it is known when the application has answered.
    if handlers and way is not ErrorMiddleware:
        assert get(app) == (500, "application/json", '{"detail":"mine"}')
    else:
        assert get(app) == (500, "text/plain", "Internal Server Error")


@AROUND
def test_ignored_exception_has_the_answer_that_the_framework_gives(way: Way) -> None:
    app = given(Starlette(routes=[Route("/", break_down)]), way, ignore=(BrokenError,))
    assert get(app) == (500, "text/plain", "Internal Server Error")


async def send_on_in_pieces(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Read a body, as middleware that logs it does, and send it on without its length."""
    response: Any = await call_next(request)
    pieces = [piece async for piece in response.body_iterator]
    headers = {name: value for name, value in response.headers.items() if name != "content-length"}

    async def again() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    return StreamingResponse(again(), response.status_code, headers)


@pytest.mark.parametrize("make", [in_text, in_detail])
@pytest.mark.parametrize("way", [installed, added, mounted])
def test_answer_that_middleware_sends_on_without_its_length_stays(
    way: Way, make: Callable[[Exception], Response]
) -> None:
    async def fail(request: Request) -> Response:
        raise StaleError

    app = Starlette(
        routes=[Route("/", fail)],
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=send_on_in_pieces)],
        exception_handlers={StaleError: asynchronous(make)},
    )
    assert get(way(app)) == ANSWERS[make]


class Translated(PlainTextResponse):
    """A response that decides when it is sent what it says."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("nichts geht", 418)(scope, receive, send)


class Sender:
    """A way to be sent that says nothing of itself."""

    __module__: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("nichts geht", 418)(scope, receive, send)


class Odd(PlainTextResponse):
    """A response whose way to be sent is no function."""

    __call__: Any = Sender()


@WAYS
@pytest.mark.parametrize("key", [Exception, BrokenError])
@pytest.mark.parametrize("cls", [Translated, Odd])
def test_response_that_sends_itself_otherwise_stays(
    cls: type[PlainTextResponse], key: Any, way: Way
) -> None:
    async def handle(request: Request, exc: Exception) -> Response:
        return cls("nothing works", 500)

    app = Starlette(routes=[Route("/", break_down)], exception_handlers={key: handle})
    assert get(way(app)) == (418, "text/plain", "nichts geht")


@AROUND
def test_debugger_of_an_application_that_is_hidden_is_for_browsers(way: Way) -> None:
    inner = Starlette(
        debug=True,
        routes=[Route("/", break_down)],
        exception_handlers={Exception: answer_everything},
    )

    async def hide(scope: Scope, receive: Receive, send: Send) -> None:
        await inner(scope, receive, send)

    status, media_type, text = get(way(Starlette(routes=[Mount("/", hide)])))
    assert (status, media_type) == JSON_500
    assert "secret" not in text


@pytest.mark.parametrize("media_type", [None, "text/plain"])
@pytest.mark.parametrize("path", ["/socket", "/mounted/socket"])
@pytest.mark.parametrize("way", [installed, added, ErrorMiddleware])
def test_denial_of_a_handler_around_a_mount_stays(
    way: Way, path: str, media_type: str | None
) -> None:
    async def fail(websocket: WebSocket) -> None:
        raise StaleError

    async def handle(websocket: WebSocket, exc: Exception) -> Response:
        return Response("Mine.", 418, media_type=media_type)

    routes = [WebSocketRoute("/socket", fail)]
    handlers: dict[Any, Any] = {StaleError: handle}
    app = Starlette(
        routes=[Mount("/mounted", Starlette(routes=routes)), *routes],
        exception_handlers=handlers,
    )
    scope = {**websocket(denial=True), "path": path, "raw_path": path.encode()}
    start, body = served(way(app), scope).sent
    assert (start["status"], body["body"]) == (418, b"Mine.")


async def close_with_its_own_code(websocket: WebSocket, exc: Exception) -> None:
    await websocket.close(4000)


async def deny(websocket: WebSocket, exc: Exception) -> Response:
    return PlainTextResponse("stale", 409)


@pytest.mark.parametrize("handle", [close_with_its_own_code, deny])
@pytest.mark.parametrize("is_accepted", [False, True])
@pytest.mark.parametrize("way", [installed, ErrorMiddleware])
def test_websocket_that_a_mounted_application_has_answered_is_answered_once(
    way: Way, handle: Any, *, is_accepted: bool
) -> None:
    async def fail(socket: WebSocket) -> None:
        if is_accepted:
            await socket.send({"type": "websocket.accept"})
        raise StaleError

    inner = installed(Starlette(routes=[WebSocketRoute("/", fail)]))
    app = way(Starlette(routes=[Mount("/", inner)], exception_handlers={StaleError: handle}))
    ours = served(app, websocket(denial=True))
    # It refuses what comes after the end.
    assert ours.raised is None
    kinds = [message["type"] for message in ours.sent]
    if is_accepted:
        assert kinds == ["websocket.accept", "websocket.close"]
    else:
        assert kinds == ["websocket.http.response.start", "websocket.http.response.body"]


@AROUND
@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("around", [Around, Copying])
def test_handler_that_comes_too_late_answers_nothing(
    around: Callable[[ASGIApp], ASGIApp], way: Way, *, debug: bool
) -> None:
    inner = Starlette(debug=debug, routes=[Route("/", break_down)])
    app = Starlette(debug=debug, routes=[Route("/fine", succeed), Mount("/", around(inner))])
    served_by = way(app)
    assert TestClient(served_by).get("/fine").status_code == 200
    # Starlette has built its middleware by now.
    app.add_exception_handler(Exception, answer_everything)
    status, media_type, text = get(served_by)
    assert (status, media_type) == JSON_500
    assert "secret" not in text


@AROUND
def test_answer_of_a_handler_that_clears_the_traceback_stays(way: Way) -> None:
    async def clear(request: Request, exc: Exception) -> Response:
        exc.__traceback__ = None
        return in_text(exc)

    inner = Starlette(routes=[Route("/", break_down)], exception_handlers={BrokenError: clear})

    async def hide(scope: Scope, receive: Receive, send: Send) -> None:
        await inner(scope, receive, send)

    assert get(way(Starlette(routes=[Mount("/", hide)]))) == ANSWERS[in_text]


@AROUND
@pytest.mark.parametrize("debug", [False, True])
def test_handler_of_the_application_around_answers_nothing_that_crashes_in_a_mounted_one(
    way: Way, *, debug: bool
) -> None:
    inner = Starlette(debug=debug, routes=[Route("/", break_down)])
    app = Starlette(
        routes=[Mount("/", Copying(inner))],
        exception_handlers={BrokenError: answer_everything},
    )
    status, media_type, text = get(way(app))
    assert (status, media_type) == JSON_500
    assert '"server_error"' in text
