"""FastAPI: what endpoints declare, and the preconditions that they read."""

import copy
import logging
import pickle
import re
from collections.abc import Callable
from typing import Any
from unittest.mock import AsyncMock

import pytest
from fastapi import APIRouter, FastAPI, UploadFile
from hypothesis import example, given, settings
from hypothesis import strategies as st
from openapi_spec_validator import validate
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.routing import Mount
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from authpi_errors import (
    AuthPIError,
    ErrorCode,
    ErrorRecord,
    ErrorRegistry,
    InvalidRequestError,
    NotFoundError,
    PreconditionFailedError,
    install,
)
from authpi_errors.conditional import IfMatch
from authpi_errors.fastapi import (
    IfMatchHeader,
    IfNoneMatchHeader,
    RequiredIfMatchHeader,
    error_responses,
)
from tests.passing import pass_on

CURRENT = '"1709139700000"'
TRIED = settings(deadline=None, max_examples=300, derandomize=True, database=None)

Object = dict[str, Any]
Responses = dict[int | str, Object]


class QuotaExhaustedError(AuthPIError):
    code = ErrorCode("quota_exhausted", 402, "The plan's quota is used up.")


def endpoint() -> None: ...


def described(
    route: Responses,
    *,
    router: Responses | None = None,
    included: Responses | None = None,
    application: Responses | None = None,
    registry: ErrorRegistry | None = None,
) -> dict[str, list[str]]:
    """The schemas of each status of a route, and what its status says if it has no schema."""
    api_router = APIRouter(responses=router)
    api_router.add_api_route("/", endpoint, responses=route)
    app = FastAPI(responses=application)
    app.include_router(api_router, responses=included)
    install(app, registry=registry)
    document = app.openapi()
    validate(document)
    found: Object = document["paths"]["/"]["get"]["responses"]
    del found["200"], found["default"]
    return {status: _schemas(response) for status, response in found.items()}


def _schemas(response: Object) -> list[str]:
    if "content" not in response:
        return [response["description"]]
    schema = response["content"]["application/json"]["schema"]
    return [each["$ref"].rpartition("/")[2] for each in schema.get("oneOf", [schema])]


# Declarations


@pytest.mark.parametrize("error", ["not_found", QuotaExhaustedError, QuotaExhaustedError.code])
def test_declaration_has_a_status_and_a_description_for_fastapi(error: Any) -> None:
    code = ErrorRegistry().codes.get(error, QuotaExhaustedError.code)
    assert error_responses(error)[code.status]["description"] == code.description


def test_declarations_have_the_statuses_of_their_codes() -> None:
    declared = error_responses("not_found", PreconditionFailedError, QuotaExhaustedError)
    assert set(declared) == {404, 412, 402}


def test_declarations_can_be_copied() -> None:
    declared = error_responses("access_denied", "insufficient_scope")
    for copied in (copy.deepcopy(declared), pickle.loads(pickle.dumps(declared))):
        assert copied == declared
        assert described(copied) == {"403": ["AccessDeniedError", "InsufficientScopeError"]}


def test_route_declares_codes_classes_and_codes_of_its_own() -> None:
    declared = error_responses("not_found", PreconditionFailedError, QuotaExhaustedError)
    assert described(declared) == {
        "402": ["QuotaExhaustedError"],
        "404": ["NotFoundError"],
        "412": ["PreconditionFailedError"],
    }


def test_what_application_routers_and_routes_declare_adds_up() -> None:
    found = described(
        error_responses("not_found"),
        router=error_responses("conflict"),
        included=error_responses("precondition_failed"),
        application=error_responses("usage_limit_exceeded"),
    )
    assert list(found) == ["404", "409", "412", "429"]


def test_codes_of_one_status_add_up_as_well() -> None:
    found = described(
        error_responses("insufficient_scope"), router=error_responses("access_denied")
    )
    assert found == {"403": ["AccessDeniedError", "InsufficientScopeError"]}


def test_code_that_is_declared_twice_is_there_once() -> None:
    found = described(error_responses("not_found"), router=error_responses("not_found"))
    assert found == {"404": ["NotFoundError"]}


@pytest.mark.parametrize("key", [404, "404"])
def test_status_that_the_user_describes_on_the_route_is_the_users(key: int | str) -> None:
    own: Responses = {key: {"description": "Mine.", "content": {"text/plain": {}}}}
    declared = error_responses("not_found")
    app = FastAPI(responses=declared)
    app.add_api_route("/", endpoint, responses=own)
    install(app)
    found: Object = app.openapi()["paths"]["/"]["get"]["responses"]["404"]
    assert found["description"] == "Mine."
    assert list(found["content"]) == ["text/plain"]


def test_users_description_beside_a_declaration_replaces_it() -> None:
    own: Responses = {404: {"description": "Mine."}}
    assert described(error_responses("not_found", "conflict") | own) == {
        "404": ["Mine."],
        "409": ["ConflictError"],
    }


def test_code_that_the_registry_replaces_shows_as_replaced() -> None:
    registry = ErrorRegistry(
        codes=[
            ErrorCode("not_found", 410, "It is gone."),
            ErrorCode("quota_exhausted", 429, "Used up for this month.", retry_after=60),
        ]
    )
    declared = error_responses("not_found", QuotaExhaustedError, "conflict")
    assert described(declared, registry=registry) == {
        "409": ["ConflictError"],
        "410": ["NotFoundError"],
        "429": ["QuotaExhaustedError"],
    }


def test_code_of_a_registry_is_declared_by_its_name() -> None:
    registry = ErrorRegistry(codes=[QuotaExhaustedError.code], exceptions={KeyError: "conflict"})
    declared = error_responses("quota_exhausted", KeyError, registry=registry)
    assert described(declared) == {"402": ["QuotaExhaustedError"], "409": ["ConflictError"]}


def test_declaration_without_install_leaves_a_valid_document() -> None:
    app = FastAPI(responses=error_responses("not_found", QuotaExhaustedError))
    app.add_api_route("/", endpoint, responses=error_responses("access_denied"))
    document = app.openapi()
    validate(document)
    assert list(document["paths"]["/"]["get"]["responses"]) == ["200", "404", "402", "403"]


# Preconditions

app = FastAPI()
install(app)


@app.put("/optional")
def change(if_match: IfMatchHeader) -> None:
    if_match.check(CURRENT, resource="User 7")


@app.put("/required/{number}")
def change_in_any_case(if_match: RequiredIfMatchHeader, number: int) -> None:
    if_match.check(CURRENT, resource=f"User {number}")


@app.put("/new")
def create(if_none_match: IfNoneMatchHeader) -> None:
    if_none_match.check(CURRENT, resource="User 7")


@pytest.mark.parametrize(
    ("path", "headers", "expected"),
    [
        ("/optional", [], (200, "")),
        ("/optional", [("If-Match", CURRENT)], (200, "")),
        ("/optional", [("If-Match", "*")], (200, "")),
        ("/optional", [("If-Match", '"1"')], (412, "precondition_failed")),
        ("/optional", [("If-Match", '"1"'), ("If-Match", CURRENT)], (200, "")),
        ("/optional", [("If-Match", "1")], (400, "invalid_request")),
        ("/required/7", [], (428, "invalid_request")),
        ("/required/x", [], (428, "invalid_request")),
        ("/required/x", [("If-Match", CURRENT)], (400, "invalid_request")),
        ("/required/7", [("If-Match", CURRENT)], (200, "")),
        ("/required/7", [("If-Match", '"1"')], (412, "precondition_failed")),
        ("/required/7", [("If-Match", "1")], (400, "invalid_request")),
        ("/new", [], (200, "")),
        ("/new", [("If-None-Match", "*")], (412, "precondition_failed")),
        ("/new", [("If-None-Match", '"1"')], (200, "")),
        (
            "/new",
            [("If-None-Match", '"1"'), ("If-None-Match", CURRENT)],
            (412, "precondition_failed"),
        ),
    ],
)
def test_precondition_is_read(
    path: str, headers: list[tuple[str, str]], expected: tuple[int, str]
) -> None:
    response = TestClient(app).put(path, headers=headers)
    body: Object = response.json() or {}
    assert (response.status_code, body.get("error", "")) == expected


@pytest.mark.parametrize(
    ("path", "name", "required", "versions"),
    [
        ("/optional", "If-Match", False, "that may be changed"),
        ("/required/{number}", "If-Match", True, "that may be changed"),
        ("/new", "If-None-Match", False, "that are not wanted"),
    ],
)
def test_document_has_the_header(path: str, name: str, required: bool, versions: str) -> None:
    parameters = app.openapi()["paths"][path]["put"]["parameters"]
    (header,) = [each for each in parameters if each["in"] == "header"]
    assert header["name"] == name
    assert header["required"] == required
    assert header["schema"]["type"] == "string"
    assert "default" not in header["schema"]
    assert f"The entity tags of the versions {versions}" in header["description"]


def test_document_is_valid() -> None:
    validate(app.openapi())


def pattern() -> str:
    (parameter,) = app.openapi()["paths"]["/optional"]["put"]["parameters"]
    found: str = parameter["schema"]["pattern"]
    return found


def is_accepted(field: str) -> bool:
    request = Request({"type": "http", "headers": [(b"if-match", field.encode("latin-1"))]})
    try:
        IfMatch.of(request)
    except InvalidRequestError:
        return False
    return True


@TRIED
@given(st.text(alphabet='*W/"a\xff\x7f ,\t', max_size=12))
@example("")
@example("*")
@example(' \t*"')
@example('W/"a" , "\xff",,')
def test_pattern_of_the_document_is_what_is_accepted(field: str) -> None:
    assert bool(re.search(pattern(), field)) == is_accepted(field)


# A body that can't be read: FastAPI raises a 400 of its own in the place of what has happened.


def uploads() -> FastAPI:
    app = FastAPI()

    @app.post("/documents")
    async def create(document: dict[str, Any]) -> None: ...

    @app.post("/files")
    async def upload(file: UploadFile) -> None: ...

    return app


def uploads_mounted() -> Starlette:
    return Starlette(routes=[Mount("/", uploads())])


def uploads_mounted_behind_middleware() -> Starlette:
    app = uploads_mounted()
    app.add_middleware(BaseHTTPMiddleware, dispatch=pass_on)
    return app


UPLOADS = pytest.mark.parametrize(
    "make", [uploads, uploads_mounted, uploads_mounted_behind_middleware]
)
UPLOADED = pytest.mark.parametrize(
    ("path", "content_type", "body"),
    [
        ("/documents", b"application/json", b"{"),
        ("/files", b"multipart/form-data; boundary=x", b"--x\r\n"),
    ],
)


class Limit:
    """Middleware that reads no more of a body than it likes."""

    def __init__(self, app: ASGIApp, error: Exception) -> None:
        self.app = app
        self.error = error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def refuse() -> Message:
            raise self.error

        await self.app(scope, refuse, send)


@UPLOADED
@UPLOADS
async def test_client_that_goes_while_it_uploads_is_nobodys_error(
    make: Callable[[], Starlette],
    path: str,
    content_type: bytes,
    body: bytes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[ErrorRecord] = []
    app = make()
    registry = ErrorRegistry(exceptions={ClientDisconnect: "conflict"})
    install(app, on_error=told.append, registry=registry)
    parts: list[Message] = [{"type": "http.request", "body": body, "more_body": True}]
    send = AsyncMock()

    async def receive() -> Message:
        return parts.pop() if parts else {"type": "http.disconnect"}

    scope: Scope = {"type": "http", "method": "POST", "path": path, "root_path": ""}
    scope.update(query_string=b"", headers=[(b"content-type", content_type)])
    with caplog.at_level(logging.INFO):
        await app(scope, receive, send)
    send.assert_not_called()
    assert (told, caplog.messages) == ([], [])


@pytest.mark.parametrize(
    ("error", "status"),
    [
        pytest.param(InvalidRequestError("Too long.", status=413), 413, id="ours"),
        pytest.param(RuntimeError(), 400, id="unknown"),
        pytest.param(HTTPException(413), 413, id="http"),
    ],
)
def test_middleware_can_refuse_to_read_a_body(error: Exception, status: int) -> None:
    app = uploads()
    app.add_middleware(Limit, error=error)
    install(app)
    response = TestClient(app).post("/documents", json={})
    assert (response.status_code, response.json()["error"]) == (status, "invalid_request")


def test_what_a_400_was_raised_from_does_not_answer_for_it() -> None:
    app = FastAPI()

    @app.get("/")
    async def read() -> None:
        raise HTTPException(400, "Mine.") from NotFoundError()

    install(app)
    assert TestClient(app).get("/").json()["error_description"] == "Mine."
