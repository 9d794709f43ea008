"""The recipes for operators, with the real libraries: Sentry, OpenTelemetry, Prometheus, logs."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from fastapi import FastAPI, HTTPException
from fastapi.testclient import TestClient
from opentelemetry import trace
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client import CollectorRegistry, Counter, generate_latest
from pythonjsonlogger.json import JsonFormatter
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from authpi_errors import ErrorRecord, NotFoundError, ServerError, install

Hook = Callable[[ErrorRecord], Awaitable[None]]


def application(on_error: Hook | None = None, **options: Any) -> FastAPI:
    """Make an application that fails in each way."""
    app = FastAPI()
    install(app, on_error=on_error, **options)

    @app.get("/users/{user_id}")
    async def read_user(user_id: int) -> None:
        raise NotFoundError

    @app.get("/busy")
    async def busy() -> None:
        raise ServerError(status=503)

    @app.get("/upstream")
    async def upstream() -> None:
        raise HTTPException(502)

    @app.get("/broken/{what}")
    async def broken(what: str) -> None:
        raise ZeroDivisionError(what)

    @app.get("/returned")
    async def returned() -> PlainTextResponse:
        return PlainTextResponse("Something is wrong.", 500)

    return app


def get(app: ASGIApp, path: str) -> dict[str, Any]:
    """Give the body of an answer."""
    client = TestClient(app, raise_server_exceptions=False)
    body: dict[str, Any] = client.get(path).json()
    return body


# --- Sentry

# Its integrations take over methods of Starlette's classes, for as long as the process lives.
SENTRY = """
import sentry_sdk
from sentry_sdk.integrations.fastapi import FastApiIntegration
from sentry_sdk.integrations.logging import ignore_logger
from sentry_sdk.integrations.starlette import StarletteIntegration

from authpi_errors import ErrorRecord

sentry_sdk.init(
    # An HTTPException of 500 and more is an answer, and no bug.
    integrations=[
        StarletteIntegration(failed_request_status_codes=set()),
        FastApiIntegration(failed_request_status_codes=set()),
    ],
)
ignore_logger("authpi_errors")  # it would be the same event once more


async def tag(record: ErrorRecord) -> None:
    sentry_sdk.set_tag("reference", record.reference)
    if record.is_unexpected and not RERAISE:
        sentry_sdk.capture_exception(record.exception)
"""

DRIVER = """
import json, sys
from sentry_sdk.transport import Transport
from starlette.middleware.base import BaseHTTPMiddleware

sys.path.insert(0, TESTS)
from test_recipes_operations import application, get

events = []


class Kept(Transport):
    def capture_envelope(self, envelope):
        events.append(envelope.get_event())


client = sentry_sdk.get_client()
client.transport = Kept()
app = application(tag, reraise=RERAISE)


async def dispatch(request, call_next):
    return await call_next(request)


app.add_middleware(BaseHTTPMiddleware, dispatch=dispatch)
seen = []
for path in PATHS:
    body = get(app, path)
    told = [
        [event["exception"]["values"][-1]["type"], event["tags"]["reference"] == body["reference"]]
        for event in events
    ]
    seen.append([body["error"], told])
    events.clear()
print(json.dumps(seen))
"""


@pytest.mark.parametrize("reraise", [True, False])
def test_sentry_gets_one_event_for_a_bug_and_none_for_an_expected_error(reraise: bool) -> None:
    names = {
        "RERAISE": reraise,
        "TESTS": str(Path(__file__).parent),
        "PATHS": ["/users/7", "/users/x", "/busy", "/upstream", "/nowhere", "/broken/a"],
    }
    head = "".join(f"{name} = {value!r}\n" for name, value in names.items())
    process = subprocess.run(
        [sys.executable, "-c", head + SENTRY + DRIVER],
        check=True,
        capture_output=True,
        env={**os.environ, "SENTRY_DSN": "https://key@sentry.example/1"},
        timeout=60,
    )
    assert json.loads(process.stdout) == [
        ["not_found", []],
        ["invalid_request", []],
        ["server_error", []],
        ["server_error", []],
        ["not_found", []],
        ["server_error", [["ZeroDivisionError", True]]],
    ]


# --- OpenTelemetry


class SpanHandler(logging.Handler):
    """Says on the active span what went wrong.

    A record is logged before the response is sent. Instrumentation ends its span with the response,
    and `on_error` comes after that.
    """

    def emit(self, record: logging.LogRecord) -> None:
        span, error = trace.get_current_span(), vars(record)
        if "code" in error:
            span.set_attribute("error.type", error["code"])
            if error["status"] >= 500:
                span.set_status(StatusCode.ERROR)
                if (exc := sys.exception()) is not None:
                    span.record_exception(exc)


async def name_error(record: ErrorRecord) -> None:
    """Say the same on a span that outlasts the response, such as one of your own middleware."""
    span = trace.get_current_span()
    span.set_attribute("error.type", record.code)
    if record.status >= 500:
        span.set_status(StatusCode.ERROR)
        if record.exception is not None:
            span.record_exception(record.exception)


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def provider(spans: InMemorySpanExporter) -> TracerProvider:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return provider


def server_span(spans: InMemorySpanExporter) -> ReadableSpan:
    (span,) = [span for span in spans.get_finished_spans() if span.kind is SpanKind.SERVER]
    return span


def trace_id(span: ReadableSpan) -> str:
    context = span.get_span_context()
    assert context is not None
    return trace.format_trace_id(context.trace_id)


@contextmanager
def handling(handler: logging.Handler) -> Generator[None, None, None]:
    """Have the logger write to a handler."""
    logger = logging.getLogger("authpi_errors")
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def said(spans: InMemorySpanExporter) -> tuple[object, object, tuple[object, ...]]:
    """Give the type of the error, the status and the exceptions of the one span of a server."""
    span = server_span(spans)
    exceptions = tuple((event.attributes or {})["exception.type"] for event in span.events)
    return (span.attributes or {})["error.type"], span.status.status_code, exceptions


EXPECTED = "authpi_errors._exceptions.ServerError"
OUTCOMES = [
    pytest.param("/users/7", ("not_found", StatusCode.UNSET, ()), id="an error of the client"),
    pytest.param("/nowhere", ("not_found", StatusCode.UNSET, ()), id="no route"),
    pytest.param("/busy", ("server_error", StatusCode.ERROR, (EXPECTED,)), id="an expected 503"),
    pytest.param("/returned", ("server_error", StatusCode.ERROR, ()), id="a 500 that is returned"),
    pytest.param(
        "/broken/a", ("server_error", StatusCode.ERROR, ("ZeroDivisionError",)), id="a bug"
    ),
]


@pytest.mark.parametrize(("path", "outcome"), OUTCOMES)
def test_instrumented_span_says_what_went_wrong(
    path: str,
    outcome: object,
    spans: InMemorySpanExporter,
    provider: TracerProvider,
) -> None:
    app = application()
    FastAPIInstrumentor.instrument_app(app, tracer_provider=provider)
    with handling(SpanHandler()):
        body = get(app, path)
    assert said(spans) == outcome
    is_ours = body["error"] == "server_error"
    assert body.get("reference") == (trace_id(server_span(spans)) if is_ours else None)


@pytest.mark.parametrize(("path", "outcome"), OUTCOMES)
def test_span_around_the_application_says_what_went_wrong(
    path: str,
    outcome: object,
    spans: InMemorySpanExporter,
    provider: TracerProvider,
) -> None:
    app = application(name_error, reraise=False)
    tracer = provider.get_tracer("tests")

    async def traced(scope: Scope, receive: Receive, send: Send) -> None:
        with tracer.start_as_current_span("request", kind=SpanKind.SERVER):
            await app(scope, receive, send)

    body = get(traced, path)
    assert said(spans) == outcome
    is_ours = body["error"] == "server_error"
    assert body.get("reference") == (trace_id(server_span(spans)) if is_ours else None)


def test_other_records_of_the_logger_say_nothing_on_a_span(
    spans: InMemorySpanExporter, provider: TracerProvider
) -> None:
    tracer = provider.get_tracer("tests")
    with handling(SpanHandler()), tracer.start_as_current_span("any", kind=SpanKind.SERVER):
        logging.getLogger("authpi_errors").warning("Left out of not_found: extra 'a'")
    assert not server_span(spans).attributes


# --- Prometheus


def test_prometheus_counts_errors_by_code_and_route() -> None:
    registry = CollectorRegistry()
    errors = Counter(
        "http_errors", "Errors by code and route.", ["code", "route"], registry=registry
    )

    async def count(record: ErrorRecord) -> None:
        errors.labels(record.code, record.route or "").inc()

    app = application(count)
    for path in (
        "/users/7",
        "/users/8",
        "/users/x",
        "/broken/a",
        "/broken/b",
        "/upstream",
        "/nowhere",
    ):
        get(app, path)
    text = generate_latest(registry).decode()
    assert [line for line in text.splitlines() if line.startswith("http_errors_total")] == [
        'http_errors_total{code="not_found",route="/users/{user_id}"} 2.0',
        'http_errors_total{code="invalid_request",route="/users/{user_id}"} 1.0',
        'http_errors_total{code="server_error",route="/broken/{what}"} 2.0',
        'http_errors_total{code="server_error",route="/upstream"} 1.0',
        'http_errors_total{code="not_found",route=""} 1.0',
    ]


# --- Logs


def structlog_formatter() -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_log_level, structlog.stdlib.ExtraAdder()],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
    )


@pytest.mark.parametrize(
    ("formatter", "message", "exception"),
    [
        pytest.param(structlog_formatter(), "event", "exception", id="structlog"),
        pytest.param(JsonFormatter(), "message", "exc_info", id="python-json-logger"),
    ],
)
def test_lines_of_json_have_the_attributes(
    formatter: logging.Formatter, message: str, exception: str
) -> None:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter)
    app = application(reraise=False)
    with handling(handler):
        get(app, "/users/7")
        reference = get(app, "/broken/a")["reference"]
        get(app, "/broken/a")
    expected, bug, again = (json.loads(line) for line in out.getvalue().splitlines())
    assert expected[message].startswith("Answered GET /users/{user_id} with 404 not_found: ")
    attributes = {
        "code": "server_error",
        "status": 500,
        "method": "GET",
        "route": "/broken/{what}",
        "reference": reference,
        "exception_type": "ZeroDivisionError",
    }
    assert {name: bug[name] for name in attributes} == attributes
    assert "Traceback" in bug[exception]
    assert again["count"] == 1
    assert exception not in again
