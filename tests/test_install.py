"""`install`: what it adds, when it may be called, and what it says when it can't work."""

import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from copy import copy
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any, cast

import pytest
from fastapi import FastAPI
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, format_trace_id
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, Router, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from authpi_errors import (
    ErrorMiddleware,
    ErrorRecord,
    ErrorRegistry,
    NotFoundError,
    ServerError,
    install,
)
from authpi_errors._layers import layers
from tests.exchanges import Exchange, exchange, protocol_faults
from tests.exchanges import Request as AskedFor

ORIGIN = {"origin": "https://app.example"}


async def missing(request: Request) -> Response:
    raise NotFoundError


async def broken(request: Request) -> Response:
    raise ZeroDivisionError


async def fine(request: Request) -> Response:
    return PlainTextResponse("fine")


ROUTES = [Route("/missing", missing), Route("/broken", broken), Route("/fine", fine)]


def application() -> Starlette:
    return Starlette(routes=ROUTES)


def client(app: ASGIApp) -> TestClient:
    return TestClient(app, raise_server_exceptions=False)


def code(app: ASGIApp, path: str) -> str:
    value: str = client(app).get(path, headers=ORIGIN).json()["error"]
    return value


class RaisingMiddleware:
    """Middleware that fails before it passes anything on."""

    def __init__(self, app: ASGIApp, error: Exception) -> None:
        self.app = app
        self.error = error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise self.error


@pytest.mark.parametrize("make", [Starlette, FastAPI])
def test_routes_middleware_and_handlers_may_come_later(make: Callable[[], Starlette]) -> None:
    app = make()
    install(app, registry=ErrorRegistry(exceptions={ZeroDivisionError: "conflict"}))
    app.router.routes.extend(ROUTES)
    app.add_middleware(CORSMiddleware, allow_origins=["*"])
    app.add_exception_handler(NotFoundError, lambda request, exc: PlainTextResponse("mine", 404))
    assert code(app, "/broken") == "conflict"
    assert client(app).get("/missing").text == "mine"


def test_an_unexpected_error_passes_the_applications_cors_middleware() -> None:
    app = application()
    install(app)
    app.add_middleware(CORSMiddleware, allow_origins=["*"])
    response = client(app).get("/broken", headers=ORIGIN)
    assert response.json()["error"] == "server_error"
    assert response.headers["access-control-allow-origin"] == "*"


def test_cors_middleware_adds_its_headers_each_time_to_what_is_raised_outside_of_it() -> None:
    app = application()
    install(app)
    app.add_middleware(CORSMiddleware, allow_origins=["*"])
    app.add_middleware(RaisingMiddleware, error=NotFoundError())
    for _ in range(3):
        response = client(app).get("/fine", headers=ORIGIN)
        assert response.status_code == 404
        assert response.headers.get_list("access-control-allow-origin") == ["*"]


@pytest.mark.parametrize(
    ("error", "status"),
    [(NotFoundError(), 404), (RuntimeError(), 500)],
    ids=["expected", "unexpected"],
)
def test_what_middleware_raises_is_answered(error: Exception, status: int) -> None:
    app = application()
    app.add_middleware(RaisingMiddleware, error=error)
    install(app)
    response = client(app).get("/fine")
    assert (response.status_code, response.headers["content-type"]) == (status, "application/json")


def test_what_a_dispatch_function_raises_is_answered() -> None:
    async def dispatch(request: Request, call_next: RequestResponseEndpoint) -> Response:
        await call_next(request)
        raise NotFoundError

    app = application()
    app.add_middleware(BaseHTTPMiddleware, dispatch=dispatch)
    install(app)
    assert code(app, "/fine") == "not_found"


@pytest.mark.parametrize("status", [401, 404], ids=["careful", "short"])
@pytest.mark.parametrize("path", ["/api/raises", "/api/missing"])
def test_cors_middleware_of_a_mount_adds_its_headers_once(path: str, status: int) -> None:
    async def succeed(request: Request) -> Response:
        return Response()

    async def fail(request: Request) -> Response:
        raise HTTPException(status)

    mount = Mount(
        "/api",
        routes=[Route("/", succeed), Route("/raises", fail)],
        middleware=[Middleware(CORSMiddleware, allow_origins=["https://a.example"])],
    )
    app = Starlette(routes=[mount])
    install(app)
    client = TestClient(app, headers={"Origin": "https://a.example"})
    success, error = client.get("/api/").headers, client.get(path).headers
    for name in ("access-control-allow-origin", "vary"):
        assert error.get_list(name) == success.get_list(name)


def test_what_a_handler_has_answered_is_not_rewritten() -> None:
    async def fail(request: Request) -> Response:
        raise NotFoundError("No user 5.")

    app = Starlette(routes=[Route("/", fail)])
    install(app, rewrite=lambda _: True)
    assert TestClient(app).get("/").json()["error_description"] == "No user 5."


def test_a_websocket_is_denied_also_where_nobody_listens() -> None:
    async def fail(websocket: WebSocket) -> None:
        raise NotFoundError

    app = Starlette(routes=[WebSocketRoute("/", fail)])
    install(app)
    with pytest.raises(WebSocketDenialResponse) as denied, ExitStack() as stack:
        stack.enter_context(TestClient(app).websocket_connect("/"))
    assert denied.value.status_code == 404


def test_calling_it_twice_changes_nothing() -> None:
    app = application()
    install(app)
    install(app)
    assert code(app, "/missing") == "not_found"
    assert app.user_middleware == []


async def hear(record: ErrorRecord) -> None: ...


def test_calling_it_twice_with_the_same_arguments_changes_nothing() -> None:
    app = application()
    for _ in range(2):
        install(app, on_error=hear, make_reference=str, always_refer=True)
    assert code(app, "/missing") == "not_found"


@pytest.mark.parametrize(
    "options",
    [
        {"registry": ErrorRegistry()},
        {"reraise": False},
        {"rewrite": bool},
        {"ignore": (KeyError,)},
        {"on_error": hear},
        {"make_reference": str},
        {"always_refer": True},
    ],
    ids=lambda options: next(iter(options)),
)
def test_calling_it_twice_with_other_arguments_is_an_error(options: dict[str, Any]) -> None:
    app = application()
    install(app)
    with pytest.raises(RuntimeError, match="call it once"):
        install(app, **options)


@pytest.mark.parametrize("app", [None, Router(), FastAPI, ErrorMiddleware(Starlette())])
def test_anything_but_an_application_of_starlettes_is_refused(app: Any) -> None:
    with pytest.raises(ValueError, match="use a Starlette or FastAPI application"):
        install(app)


def test_what_was_refused_can_be_given_again() -> None:
    app = application()
    with pytest.raises(ValueError, match="use an ErrorRegistry"):
        install(app, registry=cast("ErrorRegistry", "registry"))
    install(app)
    assert client(app).get("/nowhere").json()["error"] == "not_found"


def test_after_the_first_request_it_is_an_error() -> None:
    app = application()
    client(app).get("/fine")
    with pytest.raises(RuntimeError, match="after the application was started"):
        install(app)


def test_the_list_of_the_users_middleware_stays_as_it_was() -> None:
    app = application()
    app.add_middleware(CORSMiddleware)
    before = list(app.user_middleware)
    install(app)
    client(app).get("/fine")
    assert app.user_middleware == before


def test_the_list_stays_as_it_was_when_building_fails() -> None:
    def refuse(app: ASGIApp) -> ASGIApp:
        raise ValueError("not configured")

    app = application()
    app.user_middleware.append(Middleware(refuse))
    install(app)
    with pytest.raises(ValueError, match="not configured"):
        TestClient(app).get("/fine")
    assert len(app.user_middleware) == 1


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyError])
def test_middleware_that_can_not_be_made_at_first_is_made_once_when_it_can(
    error: type[Exception],
) -> None:
    made: list[ASGIApp] = []
    ready = False

    class Pool(BaseHTTPMiddleware):
        def __init__(self, app: ASGIApp) -> None:
            if not ready:
                raise ConnectionError
            super().__init__(app)
            made.append(self)

        async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
            return await call_next(request)

    async def answer(request: Request, exc: Exception) -> Response:
        return PlainTextResponse("As the user says it.", 404)

    async def fail(request: Request) -> Response:
        raise error

    app = Starlette(routes=[Route("/", fail)], exception_handlers={KeyError: answer})
    install(app)
    app.add_middleware(Pool)
    client = TestClient(app, raise_server_exceptions=False)
    for _ in range(2):
        assert client.get("/").json()["error"] == "server_error"
    ready = True
    for _ in range(3):
        assert client.get("/").status_code == (404 if error is KeyError else 500)
        assert ("As the user" in client.get("/").text) == (error is KeyError)
    assert len(made) == 1


def test_it_works_beside_another_library_that_builds_the_stack() -> None:
    app = application()
    install(app)
    build = app.build_middleware_stack
    built: list[ASGIApp] = []

    def build_and_note() -> ASGIApp:
        built.append(build())
        return built[0]

    app.build_middleware_stack = build_and_note  # type: ignore[method-assign]
    install(app)
    assert code(app, "/broken") == "server_error"
    assert isinstance(built[0], ServerErrorMiddleware)


def test_it_says_once_that_its_middleware_was_not_built(caplog: pytest.LogCaptureFixture) -> None:
    app = application()
    build = app.build_middleware_stack
    install(app)
    app.build_middleware_stack = build  # type: ignore[method-assign]
    with caplog.at_level(logging.ERROR, "authpi_errors"):
        assert code(app, "/missing") == "not_found"
        assert code(app, "/missing") == "not_found"
    (message,) = caplog.messages
    assert "Call install() after that." in message


def test_a_filter_of_the_log_that_fails_then_changes_nothing(log_that_fails: None) -> None:
    app = application()
    build = app.build_middleware_stack
    install(app)
    app.build_middleware_stack = build  # type: ignore[method-assign]
    assert code(app, "/missing") == "not_found"


def test_it_says_nothing_of_itself_when_its_middleware_was_built(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = application()
    install(app)
    with caplog.at_level(logging.DEBUG, "authpi_errors"):
        code(app, "/missing")
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert record.getMessage() == (
        "Answered GET /missing with 404 not_found: authpi_errors._exceptions.NotFoundError"
    )


class PassingMiddleware:
    """Middleware that does nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


async def dispatch(request: Request, call_next: RequestResponseEndpoint) -> Response:
    return await call_next(request)


class RefusingMiddleware(PassingMiddleware):
    """Middleware that lets nobody in, and counts who wants to."""

    asked = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked += 1
        await PlainTextResponse("Not you.", 403)(scope, receive, send)


# Without middleware of the user's there is one boundary, else there are two.
around = pytest.mark.parametrize(
    "middleware",
    [
        pytest.param([], id="no middleware"),
        pytest.param([Middleware(PassingMiddleware)], id="middleware"),
        pytest.param([Middleware(BaseHTTPMiddleware, dispatch=dispatch)], id="a dispatch function"),
    ],
)


@dataclass
class Outcome:
    """What comes of one request.

    Attributes:
        seen: What was sent, and raised.
        told: What `on_error` got.
        logged: What is in the log.
    """

    seen: Exchange
    told: list[ErrorRecord]
    logged: list[logging.LogRecord]

    @property
    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.seen.body)
        return body

    @property
    def references(self) -> set[str | None]:
        """The references in the body, in the log, and that the hook got."""
        logged = [vars(record)["reference"] for record in self.logged]
        return {self.body.get("reference"), *logged, *(record.reference for record in self.told)}


Outcomes = Callable[..., Awaitable[Outcome]]


@pytest.fixture
def outcome_of(
    caplog: pytest.LogCaptureFixture,
) -> Outcomes:
    """Give a function that installs, and serves a request."""

    async def outcome(
        app: Starlette,
        path: str,
        accept: str = "application/json",
        then: Callable[[Any], None] | None = None,
        **options: Any,
    ) -> Outcome:
        told: list[ErrorRecord] = []

        async def tell(record: ErrorRecord) -> None:
            told.append(record)

        install(app, on_error=tell, **options)
        if then is not None:
            then(app)
        request = AskedFor(path=path, headers={"accept": accept})
        with caplog.at_level(logging.DEBUG, "authpi_errors"):
            seen = await exchange(app, request)
        assert not protocol_faults(request, seen)
        return Outcome(seen, told, list(caplog.records))

    return outcome


class Raising:
    """An endpoint that raises the same exception again and again."""

    def __init__(self, exc: Exception) -> None:
        self.exc = exc

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise self.exc


def raising(exc: Exception, middleware: Sequence[Middleware], **options: Any) -> Starlette:
    """Make an application of which `/fails` raises an exception."""
    return Starlette(routes=[Route("/fails", Raising(exc))], middleware=middleware, **options)


@around
@pytest.mark.parametrize(
    ("error", "status", "level"),
    [
        pytest.param(HTTPException(409, "Taken."), 409, logging.INFO, id="an HTTPException"),
        pytest.param(HTTPException(503), 503, logging.ERROR, id="an HTTPException of 503"),
        pytest.param(NotFoundError(), 404, logging.INFO, id="an error of the client's"),
        pytest.param(ServerError(status=503), 503, logging.ERROR, id="an error of the server's"),
    ],
)
@pytest.mark.parametrize("always_refer", [False, True], ids=["by default", "always_refer"])
async def test_an_expected_error_is_answered_logged_and_told_of_once(
    *,
    error: Exception,
    status: int,
    level: int,
    always_refer: bool,
    middleware: list[Middleware],
    outcome_of: Outcomes,
) -> None:
    error = copy(error)
    found = await outcome_of(raising(error, middleware), "/fails", always_refer=always_refer)
    assert (found.seen.status, found.seen.raised) == (status, None)
    (record,) = found.logged
    assert (record.levelno, record.exc_info) == (level, None)
    (told,) = found.told
    assert (told.status, told.exception, told.is_unexpected) == (status, error, False)
    assert told.route == vars(record)["route"] == "/fails"
    (reference,) = found.references
    assert (reference is not None) == (always_refer or status >= 500)
    notes = [] if reference is None else [f"reference: {reference}"]
    assert getattr(error, "__notes__", []) == notes


@around
async def test_a_bug_is_answered_logged_and_told_of_once_and_raised_again(
    middleware: list[Middleware], outcome_of: Outcomes
) -> None:
    bug = ValueError("secret")
    found = await outcome_of(raising(bug, middleware), "/fails")
    # Nothing is left of Starlette's "Internal Server Error".
    assert found.seen.status == 500
    assert found.seen.header("content-type") == ["application/json"]
    assert found.body["error"] == "server_error"
    assert found.seen.raised is bug
    (record,) = found.logged
    assert (record.levelno, record.exc_info) == (logging.ERROR, None)
    (told,) = found.told
    assert (told.exception, told.is_unexpected, told.route) == (bug, True, "/fails")
    (reference,) = found.references
    assert bug.__notes__ == [f"reference: {reference}"]


@around
async def test_without_reraise_a_bug_is_logged_once_with_its_traceback(
    middleware: list[Middleware], outcome_of: Outcomes
) -> None:
    bug = ValueError("secret")
    found = await outcome_of(raising(bug, middleware), "/fails", reraise=False)
    assert (found.seen.status, found.seen.raised) == (500, None)
    (record,) = found.logged
    assert record.exc_info is not None
    assert record.exc_info[1] is bug
    assert [told.exception for told in found.told] == [bug]
    (reference,) = found.references
    assert bug.__notes__ == [f"reference: {reference}"]


@pytest.mark.parametrize("error", [NotFoundError(), ValueError()], ids=["expected", "unexpected"])
async def test_what_middleware_raises_is_logged_and_told_of_once(
    error: Exception, outcome_of: Outcomes
) -> None:
    middleware = [Middleware(PassingMiddleware), Middleware(RaisingMiddleware, error=error)]
    found = await outcome_of(raising(KeyError(), middleware), "/fails")
    assert [told.exception for told in found.told] == [error]
    assert len(found.logged) == 1
    assert len(found.references) == 1
    assert found.seen.raised is (error if isinstance(error, ValueError) else None)


@around
@pytest.mark.parametrize("reraise", [True, False], ids=["raised again", "not raised again"])
async def test_a_browser_gets_the_debugger(
    reraise: bool, middleware: list[Middleware], outcome_of: Outcomes
) -> None:
    bug = ValueError("told to developers")
    app = raising(bug, middleware, debug=True)
    found = await outcome_of(app, "/fails", accept="text/html", reraise=reraise)
    assert found.seen.status == 500
    assert found.seen.header("content-type") == ["text/html; charset=utf-8"]
    assert b"told to developers" in found.seen.body
    assert found.seen.raised is bug
    # It is no answer of ours.
    assert (found.told, found.logged) == ([], [])


@around
@pytest.mark.parametrize("accept", ["application/json", "text/plain", "*/*"])
async def test_other_clients_do_not_get_the_debugger(
    accept: str, middleware: list[Middleware], outcome_of: Outcomes
) -> None:
    bug = ValueError("told to developers")
    found = await outcome_of(raising(bug, middleware, debug=True), "/fails", accept=accept)
    assert found.body["error"] == "server_error"
    assert b"told to developers" not in found.seen.body
    assert found.seen.raised is bug
    assert [len(found.told), len(found.logged), len(found.references)] == [1, 1, 1]


@around
@pytest.mark.parametrize("key", [Exception, 500])
@pytest.mark.parametrize("reraise", [True, False], ids=["raised again", "not raised again"])
async def test_what_the_users_handler_for_everything_answers_is_the_users(
    *,
    key: Any,
    reraise: bool,
    middleware: list[Middleware],
    outcome_of: Outcomes,
) -> None:
    async def handle(request: Request, exc: Exception) -> Response:
        return PlainTextResponse("Mine.", 500)

    bug = ValueError()
    app = raising(bug, middleware, exception_handlers={key: handle})
    found = await outcome_of(app, "/fails", reraise=reraise)
    assert (found.seen.body, found.seen.raised) == (b"Mine.", bug)
    assert (found.told, found.logged) == ([], [])


@around
async def test_beside_a_handler_for_everything_expected_errors_are_answered(
    middleware: list[Middleware], outcome_of: Outcomes
) -> None:
    async def handle(request: Request, exc: Exception) -> None: ...

    error = NotFoundError()
    app = raising(error, middleware, exception_handlers={Exception: handle})
    found = await outcome_of(app, "/fails")
    assert (found.body["error"], found.seen.raised) == ("not_found", None)
    assert [told.exception for told in found.told] == [error]


@around
async def test_a_response_that_is_rewritten_is_logged_and_told_of_once(
    middleware: list[Middleware], outcome_of: Outcomes
) -> None:
    async def upstream(request: Request) -> Response:
        return PlainTextResponse("Bad Gateway", 502)

    app = Starlette(routes=[Route("/returned", upstream)], middleware=middleware)
    found = await outcome_of(app, "/returned")
    assert (found.seen.status, found.body["error"]) == (502, "server_error")
    (record,) = found.logged
    (told,) = found.told
    assert (told.exception, vars(record)["exception_type"]) == (None, None)
    assert len(found.references) == 1


@around
@pytest.mark.parametrize("error", [NotFoundError, ValueError], ids=["expected", "unexpected"])
async def test_what_a_mounted_application_raises_is_logged_and_told_of_once(
    error: type[Exception],
    middleware: list[Middleware],
    outcome_of: Outcomes,
) -> None:
    exc = error()
    app = Starlette(
        routes=[Mount("/mounted", raising(exc, [Middleware(PassingMiddleware)]))],
        middleware=middleware,
    )
    found = await outcome_of(app, "/mounted/fails")
    (told,) = found.told
    assert (told.exception, told.route) == (exc, "/mounted/fails")
    assert [len(found.logged), len(found.references)] == [1, 1]


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def instrument(spans: InMemorySpanExporter) -> Callable[[FastAPI], None]:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return partial(FastAPIInstrumentor.instrument_app, tracer_provider=provider)


def check_span(spans: InMemorySpanExporter, status: int, references: set[str | None]) -> None:
    """Check that the span of a request has its status, and is the reference of a server's error."""
    (span,) = [span for span in spans.get_finished_spans() if span.kind is SpanKind.SERVER]
    assert (span.attributes or {})["http.status_code"] == status
    if status >= 500:
        context = span.get_span_context()
        assert context is not None
        assert references == {format_trace_id(context.trace_id)}


@around
@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize(
    ("error", "status"),
    [
        pytest.param(NotFoundError(), 404, id="an expected error"),
        pytest.param(ServerError(status=503), 503, id="an error of the server's"),
        pytest.param(ValueError("secret"), 500, id="a bug"),
    ],
)
async def test_opentelemetry_can_instrument_it_before_or_after(
    *,
    order: str,
    error: Exception,
    status: int,
    middleware: list[Middleware],
    instrument: Callable[[FastAPI], None],
    spans: InMemorySpanExporter,
    outcome_of: Outcomes,
) -> None:
    error = copy(error)
    app = FastAPI(routes=[Route("/fails", Raising(error))], middleware=middleware)
    if order == "before":
        instrument(app)
    found = await outcome_of(app, "/fails", then=instrument if order == "after" else None)
    assert found.seen.status == status
    assert found.seen.header("content-type") == ["application/json"]
    assert found.seen.raised is (error if isinstance(error, ValueError) else None)
    assert [len(found.told), len(found.logged), len(found.references)] == [1, 1, 1]
    check_span(spans, status, found.references)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        pytest.param(NotFoundError(), 404, id="an expected error"),
        pytest.param(ValueError("secret"), 500, id="a bug"),
    ],
)
async def test_opentelemetry_sees_what_middleware_raises_where_it_instruments_after(
    error: Exception,
    status: int,
    instrument: Callable[[FastAPI], None],
    spans: InMemorySpanExporter,
    outcome_of: Outcomes,
) -> None:
    app = FastAPI(middleware=[Middleware(RaisingMiddleware, copy(error))])
    found = await outcome_of(app, "/fails", then=instrument)
    assert found.seen.status == status
    check_span(spans, status, found.references)


def test_what_a_handler_around_the_librarys_own_answers_stays_as_it_is() -> None:
    app = application()
    install(app)
    present: Any = app.exception_handlers[HTTPException]

    @wraps(present)
    async def handle(request: Request, exc: Exception) -> Response:
        return JSONResponse({"detail": "mine"}, 404)

    app.add_exception_handler(HTTPException, handle)
    assert client(app).get("/nowhere").json() == {"detail": "mine"}


def test_an_attribute_of_the_users_can_have_the_librarys_name() -> None:
    app: Any = application()
    app.authpi_errors = ErrorRegistry()
    install(app)
    assert code(app, "/missing") == "not_found"


# What others put inside of a boundary


def add(app: Starlette) -> None:
    app.add_middleware(ErrorMiddleware)


def outermost(app: Starlette) -> Any:
    return app.middleware_stack


def added(app: Starlette) -> Any:
    return next(layer for layer in layers(app.middleware_stack) if type(layer) is ErrorMiddleware)


PutInside = Callable[[Starlette, Callable[[ASGIApp], ASGIApp]], ASGIApp]


@pytest.fixture(params=["at once", "after a request"])
def is_served(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "after a request")


@pytest.fixture(params=[(install, outermost), (add, added)], ids=["install", "add_middleware"])
def put_inside(request: pytest.FixtureRequest, is_served: bool) -> PutInside:
    """Give a function that puts something inside the boundary of an application."""
    prepare, boundary = request.param

    def put(app: Starlette, make: Callable[[ASGIApp], ASGIApp]) -> ASGIApp:
        if app.middleware_stack is None:
            prepare(app)
            # It is built at the first request.
            app.middleware_stack = app.build_middleware_stack()
            if is_served:
                assert code(app, "/missing") == "not_found"
        layer = boundary(app)
        inside: ASGIApp = make(layer.app)
        layer.app = inside
        return inside

    return put


def test_what_is_put_inside_a_boundary_is_called(
    put_inside: PutInside,
) -> None:
    app = application()
    put_inside(app, PassingMiddleware)
    assert code(app, "/missing") == "not_found"
    assert client(app).get("/fine").status_code == 200
    refusing = put_inside(app, RefusingMiddleware)
    assert isinstance(refusing, RefusingMiddleware)
    assert code(app, "/fine") == "access_denied"
    assert refusing.asked == 1


def test_the_users_handlers_stay_outside_of_what_is_put_there(
    put_inside: PutInside,
) -> None:
    async def handle(request: Request, exc: Exception) -> Response:
        return PlainTextResponse("mine", 500)

    app = application()
    app.add_exception_handler(Exception, handle)
    put_inside(app, PassingMiddleware)
    assert client(app).get("/broken").text == "mine"


def test_cors_that_is_put_inside_a_boundary_has_its_headers_on_bugs(
    put_inside: PutInside,
) -> None:
    app = application()
    put_inside(app, partial(CORSMiddleware, allow_origins=["*"]))
    for path in ("/broken", "/missing", "/fine"):
        headers = client(app).get(path, headers=ORIGIN).headers
        assert headers.get_list("access-control-allow-origin") == ["*"]


def test_an_error_inside_of_what_others_have_put_there_is_told_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = application()
    told: list[ErrorRecord] = []
    install(app, on_error=told.append)
    app.middleware_stack = stack = app.build_middleware_stack()
    assert isinstance(stack, ServerErrorMiddleware)
    stack.app = PassingMiddleware(stack.app)
    assert code(app, "/broken") == "server_error"
    assert (len(told), len(caplog.records)) == (1, 1)
