"""The CORS middleware of routes: found once for what serves a request, and not kept without end."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route, Router
from starlette.testclient import TestClient

from authpi_errors import ErrorMiddleware, ErrorRecord, NotFoundError
from authpi_errors._cors import KnownCors


async def endpoint(request: Request) -> None: ...


WITH_CORS = Mount(
    "/{tenant}/api", routes=[Route("/", endpoint)], middleware=[Middleware(CORSMiddleware)]
)
ROUTER = Starlette(routes=[WITH_CORS, Route("/", endpoint)]).router


def scope(path: str, root_path: str = "") -> dict[str, Any]:
    """Make the scope of a request, after routing."""
    return {
        "type": "http",
        "method": "GET",
        "path": path,
        "app_root_path": "",
        "root_path": root_path,
        "router": ROUTER,
        "endpoint": endpoint,
    }


def test_one_endpoint_may_be_behind_cors_middleware_or_not() -> None:
    known = KnownCors()
    for _ in range(2):
        assert len(known.of_routes(scope("/a/api/", "/a/api"))) == 1
        assert not known.of_routes(scope("/"))


def test_a_method_that_a_route_does_not_take_stays_outside_of_its_middleware() -> None:
    router = Router([Route("/", endpoint, middleware=[Middleware(CORSMiddleware)])])
    known = KnownCors()
    for _ in range(2):
        assert len(known.of_routes({**scope("/"), "router": router})) == 1
        assert not known.of_routes({**scope("/"), "router": router, "method": "POST"})


def test_a_request_that_nothing_serves_is_not_remembered() -> None:
    lost = scope("/a/api/")
    del lost["endpoint"]
    assert len(KnownCors().of_routes(lost)) == 1


def test_what_is_remembered_has_an_end() -> None:
    known = KnownCors()
    found = [known.of_routes(scope(f"/{n}/api/", f"/{n}/api")) for n in range(1_500)]
    assert all(len(cors) == 1 for cors in found)
    # The last was made anew after the first ones were forgotten.
    assert known.of_routes(scope("/1499/api/", "/1499/api")) is found[1_499]
    assert known.of_routes(scope("/0/api/", "/0/api")) is not found[0]


def listen(record: ErrorRecord) -> None:
    """Listen to what becomes of errors."""


@pytest.mark.parametrize("error", [NotFoundError, RuntimeError])
@pytest.mark.parametrize("on_error", [None, listen], ids=["nobody listens", "somebody listens"])
def test_cors_middleware_in_a_bare_router_adds_its_headers(
    error: type[Exception], on_error: Any
) -> None:
    async def fail(request: Request) -> Response:
        raise error

    cors = Middleware(CORSMiddleware, allow_origins=["https://a.example"])
    router = Router([Mount("/api", routes=[Route("/", fail)], middleware=[cors])])
    app = ErrorMiddleware(router, on_error=on_error)
    client = TestClient(app, raise_server_exceptions=False, headers={"Origin": "https://a.example"})
    assert client.get("/api/").headers["access-control-allow-origin"] == "https://a.example"


@pytest.mark.parametrize("make", [Starlette, FastAPI])
@pytest.mark.parametrize("error", [NotFoundError, RuntimeError])
@pytest.mark.parametrize("on_error", [None, listen], ids=["nobody listens", "somebody listens"])
def test_cors_middleware_between_a_boundary_and_an_application_adds_its_headers(
    make: type[Starlette], error: type[Exception], on_error: Any
) -> None:
    async def fail(request: Request) -> Response:
        raise error

    application = make(routes=[Route("/", fail)])
    outer = CORSMiddleware(application, allow_origins=["https://a.example"])
    app = ErrorMiddleware(outer, on_error=on_error)
    client = TestClient(app, raise_server_exceptions=False, headers={"Origin": "https://a.example"})
    for _ in range(2):
        headers = client.get("/").headers
        assert headers.get_list("access-control-allow-origin") == ["https://a.example"]
        assert headers["vary"] == "Origin"


def test_cors_middleware_on_either_side_of_an_application_adds_to_an_error_once() -> None:
    async def fail(request: Request) -> Response:
        raise RuntimeError

    inner = Middleware(CORSMiddleware, allow_origins=["*"], expose_headers=["X-Inner"])
    application = Starlette(routes=[Route("/", fail)], middleware=[inner])
    outer = CORSMiddleware(application, allow_origins=["*"], expose_headers=["X-Outer"])
    client = TestClient(ErrorMiddleware(outer), raise_server_exceptions=False)
    for _ in range(2):
        headers = client.get("/", headers={"Origin": "https://a.example"}).headers
        assert headers.get_list("access-control-allow-origin") == ["*"]
        assert headers["access-control-expose-headers"] == "X-Outer"
