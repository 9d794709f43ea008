"""FastAPI applications that are mounted: what they find wrong with a request, however long."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import pytest
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from authpi_errors import ErrorMiddleware, ErrorRecord, ErrorRegistry, NotFoundError, install

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


async def pass_on(request: Request, call_next: RequestResponseEndpoint) -> Response:
    return await call_next(request)


GZIP = Middleware(GZipMiddleware)
BASE = Middleware(BaseHTTPMiddleware, dispatch=pass_on)
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
