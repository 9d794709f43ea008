"""`install`: what it adds, when it may be called, and what it says when it can't work."""

import logging
from collections.abc import Callable

import pytest
from fastapi import FastAPI
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from authpi_errors import ErrorRegistry, NotFoundError, install

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


def test_calling_it_twice_changes_nothing() -> None:
    app = application()
    install(app)
    install(app)
    assert code(app, "/missing") == "not_found"
    assert app.user_middleware == []


@pytest.mark.parametrize("other", [True, False], ids=["registry", "reraise"])
def test_calling_it_twice_with_other_arguments_is_an_error(other: bool) -> None:
    app = application()
    install(app)
    registry = ErrorRegistry() if other else None
    with pytest.raises(RuntimeError, match="call it once"):
        install(app, registry=registry, reraise=other)


def test_after_the_first_request_it_is_an_error() -> None:
    app = application()
    client(app).get("/fine")
    with pytest.raises(RuntimeError, match="after the application's first request"):
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


def test_tracing_of_the_application_is_not_put_off() -> None:
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    app = FastAPI()
    app.router.routes.extend(ROUTES)
    install(app)
    FastAPIInstrumentor.instrument_app(app, tracer_provider=provider)
    assert code(app, "/broken") == "server_error"
    assert code(app, "/missing") == "not_found"
    served = [span for span in spans.get_finished_spans() if span.kind is SpanKind.SERVER]
    assert [(span.attributes or {})["http.status_code"] for span in served] == [500, 404]


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


def test_it_says_nothing_when_its_middleware_was_built(caplog: pytest.LogCaptureFixture) -> None:
    app = application()
    install(app)
    with caplog.at_level(logging.DEBUG, "authpi_errors"):
        code(app, "/missing")
    assert caplog.messages == []
