"""Three ways in, two frameworks, one contract, for what goes wrong in a route."""

import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import fastapi
import pytest
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from authpi_errors import (
    AuthPIError,
    ErrorCode,
    ErrorMiddleware,
    ErrorRegistry,
    NotFoundError,
    PreconditionFailedError,
    UsageLimitExceededError,
    install,
)


class TakenError(Exception):
    """What a database driver would raise."""


class StillTakenError(TakenError):
    """A subclass of what is mapped."""


class StaleError(Exception):
    """What maps to one of our classes."""


class BusyError(Exception):
    """What maps to a function."""


class QuotaExhaustedError(AuthPIError):
    """A code of the application's own, which no registry knows."""

    code = ErrorCode("quota_exhausted", 402, "The plan's quota is used up.")


class TeapotError(Exception):
    """What the application handles itself."""


def busy(exc: BusyError) -> AuthPIError:
    return UsageLimitExceededError(retry_after=exc.args[0])


REGISTRY = ErrorRegistry(
    exceptions={TakenError: "conflict", StaleError: PreconditionFailedError, BusyError: busy},
    statuses={499: "invalid_request"},
)

SECRET = "the password is hunter2"


async def own_error(request: Request) -> Response:
    raise NotFoundError("No user 5.")


def own_error_in_thread(request: Request) -> Response:
    raise NotFoundError("No user 5.")


async def own_code(request: Request) -> Response:
    raise QuotaExhaustedError


async def mapped_to_code(request: Request) -> Response:
    raise StillTakenError(SECRET)


async def mapped_to_class(request: Request) -> Response:
    raise StaleError(SECRET)


async def mapped_to_function(request: Request) -> Response:
    raise BusyError(1.2)


async def unexpected(request: Request) -> Response:
    raise RuntimeError(SECRET)


def unexpected_in_thread(request: Request) -> Response:
    raise RuntimeError(SECRET)


async def string_detail(request: Request) -> Response:
    raise HTTPException(409, "Taken.", {"Retry-After": "7", "X-Mine": "yes"})


async def status_alone(request: Request) -> Response:
    raise HTTPException(499)


async def no_content(request: Request) -> Response:
    raise HTTPException(204, headers={"X-Mine": "yes"})


async def not_modified(request: Request) -> Response:
    raise HTTPException(304, headers={"ETag": '"1"'})


async def redirect(request: Request) -> Response:
    raise HTTPException(307, headers={"Location": "/elsewhere"})


async def unauthorized(request: Request) -> Response:
    raise HTTPException(401)


async def teapot(request: Request) -> Response:
    raise TeapotError


async def fine(request: Request) -> Response:
    return PlainTextResponse("fine")


ENDPOINTS: Mapping[str, Callable[[Request], Any]] = {
    "/own-error": own_error,
    "/own-error-in-thread": own_error_in_thread,
    "/own-code": own_code,
    "/mapped-to-code": mapped_to_code,
    "/mapped-to-class": mapped_to_class,
    "/mapped-to-function": mapped_to_function,
    "/unexpected": unexpected,
    "/unexpected-in-thread": unexpected_in_thread,
    "/string-detail": string_detail,
    "/status-alone": status_alone,
    "/no-content": no_content,
    "/not-modified": not_modified,
    "/redirect": redirect,
    "/unauthorized": unauthorized,
    "/teapot": teapot,
    "/fine": fine,
}


async def handle_teapot(request: Request, exc: Exception) -> Response:
    return JSONResponse({"short": "and stout"}, 418)


def starlette_application() -> Starlette:
    return Starlette(
        routes=[Route(path, endpoint) for path, endpoint in ENDPOINTS.items()],
        exception_handlers={TeapotError: handle_teapot},
    )


def before_the_handler() -> None:
    raise NotFoundError("No user 5.")


async def around_the_handler() -> AsyncIterator[None]:
    yield
    raise NotFoundError("No user 5.")


async def translating() -> AsyncIterator[None]:
    try:
        yield
    except LookupError as exc:
        raise NotFoundError("No user 5.") from exc


async def watching() -> AsyncIterator[None]:
    try:
        yield
    except NotFoundError as error:
        error.headers = {"X-Seen": "by the dependency"}
        raise


def fastapi_application() -> FastAPI:
    app = FastAPI(exception_handlers={TeapotError: handle_teapot})
    for path, endpoint in ENDPOINTS.items():
        app.add_api_route(path, endpoint, response_model=None)

    @app.get("/dict-detail")
    async def dict_detail() -> None:
        raise fastapi.HTTPException(400, {"hint": "read the manual"})

    @app.get("/list-detail")
    async def list_detail() -> None:
        raise fastapi.HTTPException(400, ["one", "two"])

    @app.get("/at-its-word")
    async def at_its_word() -> None:
        raise fastapi.HTTPException(
            409, {"error": "seat_taken", "error_description": "12A is taken.", "seat": "12A"}
        )

    @app.get("/dependency", dependencies=[Depends(before_the_handler)])
    async def dependency() -> None: ...

    @app.get("/yield-dependency", dependencies=[Depends(around_the_handler, scope="function")])
    async def yield_dependency() -> None: ...

    @app.get("/translating-dependency", dependencies=[Depends(translating)])
    async def translating_dependency() -> None:
        raise LookupError(SECRET)

    @app.get("/seen-by-dependency", dependencies=[Depends(watching)])
    async def seen_by_dependency() -> None:
        raise NotFoundError("No user 5.")

    @app.post("/validated")
    async def validated(limit: int, name: Annotated[str, fastapi.Body(embed=True)]) -> None: ...

    return app


Way = Callable[[Starlette], ASGIApp]


def by_install(app: Starlette) -> ASGIApp:
    install(app, registry=REGISTRY)
    return app


def by_add_middleware(app: Starlette) -> ASGIApp:
    app.add_middleware(ErrorMiddleware, registry=REGISTRY)
    return app


def by_middleware_list(app: Starlette) -> ASGIApp:
    app.user_middleware = [Middleware(ErrorMiddleware, registry=REGISTRY)]
    return app


def by_wrapping(app: Starlette) -> ASGIApp:
    return ErrorMiddleware(app, registry=REGISTRY)


ways = pytest.mark.parametrize(
    "way", [by_install, by_add_middleware, by_middleware_list, by_wrapping]
)
frameworks = pytest.mark.parametrize("make", [starlette_application, fastapi_application])


def client(app: ASGIApp) -> TestClient:
    return TestClient(app, raise_server_exceptions=False, follow_redirects=False)


@dataclass(frozen=True)
class Case:
    """A request to one of the endpoints, and what its answer holds."""

    path: str
    status: int
    code: str
    members: Mapping[str, object] = field(default_factory=dict[str, object])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    method: str = "GET"


NO_USER = {"error_description": "No user 5."}
IN_BOTH = [
    Case("/own-error", 404, "not_found", NO_USER),
    Case("/own-error-in-thread", 404, "not_found", NO_USER),
    Case("/own-code", 402, "quota_exhausted"),
    Case("/mapped-to-code", 409, "conflict", {"retryable": False}),
    Case("/mapped-to-class", 412, "precondition_failed"),
    Case(
        "/mapped-to-function",
        429,
        "usage_limit_exceeded",
        {"retry_after": 2},
        {"retry-after": "2"},
    ),
    Case("/unexpected", 500, "server_error"),
    Case("/unexpected-in-thread", 500, "server_error"),
    Case(
        "/string-detail",
        409,
        "conflict",
        {"error_description": "Taken.", "retry_after": 7},
        {"retry-after": "7", "x-mine": "yes"},
    ),
    Case("/status-alone", 499, "invalid_request"),
    Case("/unauthorized", 401, "unauthorized_client", {}, {"www-authenticate": "Bearer"}),
    Case("/nowhere", 404, "not_found"),
    Case("/fine", 405, "invalid_request", method="DELETE"),
]
IN_FASTAPI = [
    Case("/dict-detail", 400, "invalid_request", {"detail": {"hint": "read the manual"}}),
    Case("/list-detail", 400, "invalid_request", {"detail": ["one", "two"]}),
    Case(
        "/at-its-word",
        409,
        "seat_taken",
        {"error_description": "12A is taken.", "seat": "12A"},
    ),
    Case("/dependency", 404, "not_found", NO_USER),
    Case("/yield-dependency", 404, "not_found", NO_USER),
    Case("/translating-dependency", 404, "not_found", NO_USER),
    Case("/seen-by-dependency", 404, "not_found", NO_USER, {"x-seen": "by the dependency"}),
    Case("/validated", 400, "invalid_request", method="POST"),
]


def named(case: Case) -> str:
    return f"{case.method} {case.path}"


def check(app: ASGIApp, case: Case) -> None:
    response = client(app).request(case.method, case.path)
    assert response.status_code == case.status
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    body = response.json()
    assert list(body)[:2] == ["error", "error_description"]
    assert body["error"] == case.code
    assert {name: body.get(name) for name in case.members} == case.members
    assert {name: response.headers.get(name) for name in case.headers} == case.headers
    assert SECRET not in response.text


@ways
@frameworks
@pytest.mark.parametrize("case", IN_BOTH, ids=named)
def test_both_frameworks_answer_in_the_contract(
    case: Case, make: Callable[[], Starlette], way: Way
) -> None:
    check(way(make()), case)


@ways
@pytest.mark.parametrize("case", IN_FASTAPI, ids=named)
def test_fastapi_answers_in_the_contract(case: Case, way: Way) -> None:
    check(way(fastapi_application()), case)


@ways
@frameworks
def test_a_405_lists_the_methods_that_are_allowed(make: Callable[[], Starlette], way: Way) -> None:
    response = client(way(make())).delete("/fine")
    assert set(response.headers["allow"].split(", ")) >= {"GET"}


@ways
@frameworks
@pytest.mark.parametrize("path", ["/no-content", "/not-modified", "/redirect"])
def test_an_http_exception_that_is_no_error_is_the_frameworks(
    path: str, make: Callable[[], Starlette], way: Way
) -> None:
    ours, bare = client(way(make())).get(path), client(make()).get(path)
    assert (ours.status_code, ours.content) == (bare.status_code, bare.content)
    assert ours.headers == bare.headers


@ways
@frameworks
def test_a_success_is_left_as_it_is(make: Callable[[], Starlette], way: Way) -> None:
    ours, bare = client(way(make())).get("/fine"), client(make()).get("/fine")
    assert (ours.status_code, ours.content) == (bare.status_code, bare.content)
    assert ours.headers == bare.headers


@ways
@frameworks
def test_the_users_own_handler_keeps_what_is_its(make: Callable[[], Starlette], way: Way) -> None:
    response = client(way(make())).get("/teapot")
    assert (response.status_code, response.json()) == (418, {"short": "and stout"})


@ways
@frameworks
@pytest.mark.parametrize("key", [HTTPException, 409], ids=["by class", "by status"])
def test_a_users_handler_for_http_exceptions_stays(
    key: Any, make: Callable[[], Starlette], way: Way
) -> None:
    app = make()
    ours = way(app)
    app.add_exception_handler(key, handle_teapot)
    assert client(ours).get("/string-detail").json() == {"short": "and stout"}


@ways
@frameworks
@pytest.mark.parametrize("key", [Exception, 500], ids=["for Exception", "for 500"])
def test_a_users_handler_for_everything_answers_what_nobody_expected(
    key: Any, make: Callable[[], Starlette], way: Way
) -> None:
    app = make()
    ours = way(app)
    app.add_exception_handler(key, handle_teapot)
    assert client(ours).get("/unexpected").json() == {"short": "and stout"}
    assert client(ours).get("/own-error").json()["error"] == "not_found"


@ways
@frameworks
def test_head_has_the_headers_of_get_and_no_body(make: Callable[[], Starlette], way: Way) -> None:
    app = way(make())
    got, head = client(app).get("/nowhere"), client(app).head("/nowhere")
    assert head.status_code == 404
    assert head.content == b""
    assert head.headers == got.headers


@ways
@frameworks
def test_what_nobody_expected_is_raised_again_with_its_reference(
    make: Callable[[], Starlette], way: Way
) -> None:
    app = way(make())
    reference = client(app).get("/unexpected").json()["reference"]
    assert reference
    with pytest.raises(RuntimeError, match="hunter2") as caught:
        TestClient(app).get("/unexpected")
    (note,) = caught.value.__notes__
    assert note.startswith("reference: ")
    assert len(note) > len("reference: ")


@ways
@frameworks
@pytest.mark.parametrize("path", ["/own-error", "/mapped-to-code", "/string-detail", "/nowhere"])
def test_what_is_expected_is_not_raised_again(
    path: str, make: Callable[[], Starlette], way: Way
) -> None:
    assert TestClient(way(make())).get(path).status_code in {404, 409}


@ways
@pytest.mark.parametrize(
    ("request_parts", "fields"),
    [
        (
            {"params": {"limit": SECRET}, "json": {"name": "x"}},
            [("query.limit", "int_parsing")],
        ),
        ({"params": {"limit": 1}, "json": {"name": {"a": SECRET}}}, [("name", "string_type")]),
        ({"json": {}}, [("query.limit", "missing"), ("name", "missing")]),
        (
            {"params": {"limit": 1}, "content": '{"name": hunter2}'},
            [("body", "json_invalid")],
        ),
        (
            {"params": {"limit": 1}, "content": '{"name": ["\\ud800"]}'},
            [("name", "string_type")],
        ),
        ({"params": {"limit": 1}, "content": '{"name": NaN}'}, [("name", "string_type")]),
    ],
    ids=["query", "body", "missing", "malformed JSON", "lone surrogate", "not a number"],
)
def test_a_validation_error_names_fields_and_no_input(
    request_parts: dict[str, Any], fields: list[tuple[str, str]], way: Way
) -> None:
    headers = {"content-type": "application/json"}
    response = client(way(fastapi_application())).post(
        "/validated", headers=headers, **request_parts
    )
    body = response.json()
    assert (response.status_code, body["error"]) == (400, "invalid_request")
    assert [(item["field"], item["code"]) for item in body["fields"]] == fields
    assert all(list(item) == ["field", "code", "message"] for item in body["fields"])
    assert "hunter2" not in response.text


@ways
def test_a_users_handler_for_validation_errors_stays(way: Way) -> None:
    app = fastapi_application()
    app.add_exception_handler(fastapi.exceptions.RequestValidationError, handle_teapot)
    assert client(way(app)).post("/validated").json() == {"short": "and stout"}


@pytest.fixture
def silent_server(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG, "authpi_errors"):
        yield caplog


@frameworks
@pytest.mark.parametrize("way", ["install", "middleware", "wrapping"])
def test_without_reraise_the_library_logs_what_nobody_expected(
    way: str, make: Callable[[], Starlette], silent_server: pytest.LogCaptureFixture
) -> None:
    app = make()
    ours: ASGIApp = app
    if way == "install":
        install(app, reraise=False)
    elif way == "middleware":
        app.add_middleware(ErrorMiddleware, reraise=False)
    else:
        ours = ErrorMiddleware(app, reraise=False)
    response = TestClient(ours).get("/unexpected")
    assert response.json()["error"] == "server_error"
    (record,) = silent_server.records
    assert record.exc_info is not None
    assert "hunter2" in str(record.exc_info[1])
    assert response.json()["reference"] in "".join(getattr(record.exc_info[1], "__notes__", ()))


@ways
@frameworks
def test_a_browser_keeps_the_debuggers_page(make: Callable[[], Starlette], way: Way) -> None:
    app = make()
    app.debug = True
    response = client(way(app)).get("/unexpected", headers={"accept": "text/html"})
    assert response.status_code == 500
    assert response.headers["content-type"].startswith("text/html")


@ways
@frameworks
def test_another_client_gets_no_traceback_from_a_debugged_application(
    make: Callable[[], Starlette], way: Way
) -> None:
    app = make()
    app.debug = True
    check(way(app), Case("/unexpected", 500, "server_error"))
