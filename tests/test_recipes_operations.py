"""The recipes for operators, with the real libraries: Sentry, OpenTelemetry, Prometheus, logs."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from fastapi import FastAPI, HTTPException
from fastapi.testclient import TestClient
from opentelemetry import trace
from opentelemetry.instrumentation.asgi import (  # pyright: ignore[reportMissingTypeStubs]
    OpenTelemetryMiddleware as ContribTelemetry,
)
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client import CollectorRegistry, Counter, generate_latest
from pythonjsonlogger.json import JsonFormatter
from starlette.middleware.opentelemetry import OpenTelemetryMiddleware as StarletteTelemetry
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from authpi_errors import ErrorRecord, NotFoundError, ServerError, install
from tests.test_readme import SECTIONS, run


def application(app: FastAPI | None = None, **options: Any) -> FastAPI:
    """Make an application that fails in each way."""
    app = app or FastAPI()
    install(app, **options)
    add_routes(app)
    return app


def add_routes(app: FastAPI) -> None:
    """Add routes that fail in each way."""

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


def code_of(recipe: str) -> dict[str, Any]:
    """Run the first block of a recipe, and give the names of its code."""
    code = SECTIONS[f"RECIPES: {recipe}"][:1]
    return run(code)


def run_alone(program: str, environment: Mapping[str, str], **names: object) -> object:
    """Run a program in a process of its own, and give what it says."""
    names["ROOT"] = str(Path(__file__).parent.parent)
    head = "".join(f"{name} = {value!r}\n" for name, value in names.items())
    process = subprocess.run(
        [sys.executable, "-c", head + program],
        check=True,
        capture_output=True,
        env={**os.environ, **environment},
        timeout=60,
    )
    said: object = json.loads(process.stdout)
    return said


def get(app: ASGIApp, path: str) -> dict[str, Any]:
    """Give the body of an answer."""
    client = TestClient(app, raise_server_exceptions=False)
    body: dict[str, Any] = client.get(path).json()
    return body


# --- Sentry

# Its integrations take over methods of Starlette's classes, for as long as the process lives.
SENTRY = """
import json, sys
import sentry_sdk
from sentry_sdk.transport import Transport
from starlette.middleware.base import BaseHTTPMiddleware

sys.path.append(ROOT)
from tests.test_recipes_operations import add_routes, get

events = []


class Kept(Transport):
    def capture_envelope(self, envelope):
        events.append(envelope.get_event())


async def dispatch(request, call_next):
    return await call_next(request)


exec(RECIPE)
sentry_sdk.get_client().transport = Kept()
for each in app, mounted:
    add_routes(each)
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


def sentry_recipe(*, reraise: bool) -> str:
    """Give the code of the recipe; with what it says of `reraise`, if that is off."""
    code = "".join(block.text for block in SECTIONS["RECIPES: Sentry"])
    if reraise:
        return code
    assert code.count("    # if record") == code.count("install(app, ") == 1
    code = code.replace("    # if record", "    if record")
    return code.replace("on_error=tag)", "on_error=tag, reraise=False)")


@pytest.mark.parametrize("mount", ["", "/mounted"], ids=["alone", "mounted"])
@pytest.mark.parametrize("reraise", [True, False])
def test_sentry_gets_one_event_for_a_bug_and_none_for_an_expected_error(
    reraise: bool, mount: str
) -> None:
    paths = ["/users/7", "/users/x", "/busy", "/upstream", "/nowhere", "/broken/a"]
    seen = run_alone(
        SENTRY,
        {"SENTRY_DSN": "https://key@sentry.example/1"},
        RECIPE=sentry_recipe(reraise=reraise),
        PATHS=[mount + path for path in paths],
    )
    # Behind the middleware Sentry takes for new what it has taken in the mounted application.
    times = 2 if mount and reraise else 1
    assert seen == [
        ["not_found", []],
        ["invalid_request", []],
        ["server_error", []],
        ["server_error", []],
        ["not_found", []],
        ["server_error", times * [["ZeroDivisionError", True]]],
    ]


# --- OpenTelemetry


@pytest.fixture
def telemetry() -> Iterator[dict[str, Any]]:
    """Run the recipe, and give the names of its code."""
    names = code_of("OpenTelemetry")
    yield names
    names["logger"].removeHandler(names["handler"])
    names["logger"].setLevel(logging.NOTSET)


Traced = Callable[[TracerProvider, bool], ASGIApp]


def by_fastapi(provider: TracerProvider, reraise: bool) -> ASGIApp:
    return application(FastAPI(telemetry={"tracer_provider": provider}), reraise=reraise)


def by_starlette_inside(provider: TracerProvider, reraise: bool) -> ASGIApp:
    app = application(reraise=reraise)
    app.add_middleware(StarletteTelemetry, tracer_provider=provider)
    return app


def by_starlette_around(provider: TracerProvider, reraise: bool) -> ASGIApp:
    return StarletteTelemetry(application(reraise=reraise), tracer_provider=provider)


def by_contrib_after(provider: TracerProvider, reraise: bool) -> ASGIApp:
    app = application(reraise=reraise)
    FastAPIInstrumentor.instrument_app(app, tracer_provider=provider)
    return app


def by_contrib_before(provider: TracerProvider, reraise: bool) -> ASGIApp:
    app = FastAPI()
    FastAPIInstrumentor.instrument_app(app, tracer_provider=provider)
    return application(app, reraise=reraise)


def by_contrib_around(provider: TracerProvider, reraise: bool) -> ASGIApp:
    return ContribTelemetry(application(reraise=reraise), tracer_provider=provider)


def by_hand(provider: TracerProvider, reraise: bool) -> ASGIApp:
    app, tracer = application(reraise=reraise), provider.get_tracer("tests")

    async def traced(scope: Scope, receive: Receive, send: Send) -> None:
        with tracer.start_as_current_span("request", kind=SpanKind.SERVER):
            await app(scope, receive, send)

    return traced


def server_span(exporter: InMemorySpanExporter) -> ReadableSpan:
    (span,) = [span for span in exporter.get_finished_spans() if span.kind is SpanKind.SERVER]
    return span


def trace_id(span: ReadableSpan) -> str:
    context = span.get_span_context()
    assert context is not None
    return trace.format_trace_id(context.trace_id)


Said = tuple[str, StatusCode, set[str]]


def said(span: ReadableSpan) -> Said:
    """Give the type of the error, the status and the exceptions of a span."""
    exceptions = {str((event.attributes or {})["exception.type"]) for event in span.events}
    return str((span.attributes or {})["error.type"]), span.status.status_code, exceptions


EXPECTED = "authpi_errors._exceptions.ServerError"
OUTCOMES: dict[str, Said] = {
    # An error of the client, no route, an expected 503, a 500 that is returned, a bug.
    "/users/7": ("not_found", StatusCode.UNSET, set()),
    "/nowhere": ("not_found", StatusCode.UNSET, set()),
    "/busy": ("server_error", StatusCode.ERROR, {EXPECTED}),
    "/returned": ("server_error", StatusCode.ERROR, set()),
    "/broken/a": ("server_error", StatusCode.ERROR, {"ZeroDivisionError"}),
}


@pytest.mark.parametrize("path", OUTCOMES)
@pytest.mark.parametrize("reraise", [True, False])
@pytest.mark.parametrize(
    "traced",
    [
        pytest.param(by_fastapi, id="FastAPI's own"),
        pytest.param(by_starlette_inside, id="Starlette's middleware"),
        pytest.param(by_starlette_around, id="Starlette's middleware around it"),
        pytest.param(by_contrib_after, id="contrib's"),
        pytest.param(by_contrib_before, id="contrib's, before install"),
        pytest.param(by_contrib_around, id="contrib's middleware around it"),
        pytest.param(by_hand, id="a span by hand"),
    ],
)
def test_span_says_what_went_wrong(
    traced: Traced, reraise: bool, path: str, telemetry: dict[str, Any]
) -> None:
    body = get(traced(telemetry["provider"], reraise), path)
    span = server_span(telemetry["exporter"])
    assert said(span) == OUTCOMES[path]
    is_ours = body["error"] == "server_error"
    assert body.get("reference") == (trace_id(span) if is_ours else None)


# The convention is chosen once in a process.
CONVENTION = """
import json, sys

sys.path.append(ROOT)
from tests.test_recipes_operations import (
    OUTCOMES, by_contrib_after, code_of, get, said, server_span
)

names, seen = code_of("OpenTelemetry"), {}
app = by_contrib_after(names["provider"], RERAISE)
for path in OUTCOMES:
    names["exporter"].clear()
    get(app, path)
    error_type, status, exceptions = said(server_span(names["exporter"]))
    seen[path] = error_type, status.value, sorted(exceptions)
print(json.dumps(seen))
"""


@pytest.mark.parametrize("reraise", [True, False])
@pytest.mark.parametrize("convention", ["http", "http/dup"])
def test_span_says_so_in_each_convention_of_contrib(convention: str, reraise: bool) -> None:
    seen = run_alone(CONVENTION, {"OTEL_SEMCONV_STABILITY_OPT_IN": convention}, RERAISE=reraise)
    assert seen == {
        path: [error_type, status.value, sorted(exceptions)]
        for path, (error_type, status, exceptions) in OUTCOMES.items()
    }


def test_span_is_exported_with_all_else_that_it_has(telemetry: dict[str, Any]) -> None:
    plain = InMemorySpanExporter()
    telemetry["provider"].add_span_processor(SimpleSpanProcessor(plain))
    get(by_fastapi(telemetry["provider"], reraise=True), "/broken/a")
    before, after = (
        json.loads(server_span(exporter).to_json()) for exporter in (plain, telemetry["exporter"])
    )
    assert before["attributes"].pop("error.type") == "ZeroDivisionError"
    assert after["attributes"].pop("error.type") == "server_error"
    assert after == before
    assert server_span(telemetry["exporter"]).instrumentation_scope is not None


def test_exporter_of_the_recipe_passes_on_the_rest(telemetry: dict[str, Any]) -> None:
    assert telemetry["provider"].force_flush()
    telemetry["provider"].shutdown()
    get(by_fastapi(telemetry["provider"], reraise=True), "/busy")
    assert not telemetry["exporter"].get_finished_spans()


def test_other_records_of_the_logger_say_nothing_on_a_span(telemetry: dict[str, Any]) -> None:
    tracer = telemetry["provider"].get_tracer("tests")
    with tracer.start_as_current_span("any", kind=SpanKind.SERVER):
        logging.getLogger("authpi_errors").warning("Left out of not_found: extra 'a'")
    assert not server_span(telemetry["exporter"]).attributes


# --- Prometheus


def test_prometheus_counts_errors_by_code_and_route() -> None:
    registry = CollectorRegistry()
    errors = Counter(
        "http_errors", "Errors by code and route.", ["code", "route"], registry=registry
    )

    async def count(record: ErrorRecord) -> None:
        errors.labels(record.code, record.route or "").inc()

    app = application(on_error=count)
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
