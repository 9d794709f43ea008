"""FastAPI's documents: what is really sent, and all that the user has written."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Body, Depends, FastAPI, HTTPException, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import APIKeyHeader, HTTPBearer, OAuth2PasswordBearer
from openapi_spec_validator import validate
from pydantic import BaseModel
from starlette.testclient import TestClient

from authpi_errors import (
    AuthPIError,
    ConflictError,
    ErrorCode,
    ErrorRegistry,
    InsufficientScopeError,
    InvalidContentTypeError,
    InvalidRequestError,
    NotFoundError,
    PreconditionFailedError,
    SessionExpiredError,
    install,
)
from authpi_errors._exceptions import ERRORS
from authpi_errors.codes import CODES
from authpi_errors.compliance import Response, check
from authpi_errors.fastapi import error_responses
from authpi_errors.openapi import Declarable, amended
from tests.documents import (
    REGISTRIES,
    NewUser,
    Object,
    QuotaExhaustedError,
    StepUpError,
    at,
    mistakes,
    nothing,
    operation,
    plain,
    schemas_of,
    statuses,
    take_id,
    take_user,
)


class FieldError(BaseModel):
    """A model of the user's that has one of our names."""

    where: str


class AuthPINotFoundError(BaseModel):
    """Another."""

    what: str


class TakenNames(BaseModel):
    field: FieldError
    missing: AuthPINotFoundError


bearer = HTTPBearer()
oauth = OAuth2PasswordBearer("token", scopes={"users": "All users."})
api_key = APIKeyHeader(name="X-Key", auto_error=False)


def with_routers() -> FastAPI:
    inner = APIRouter(prefix="/inner", responses=error_responses("conflict"))
    inner.add_api_route("/{user_id}", take_id, responses=error_responses(PreconditionFailedError))
    outer = APIRouter(prefix="/outer", responses=error_responses("access_denied"))
    outer.include_router(inner)
    app = FastAPI(responses=error_responses("usage_limit_exceeded"))
    app.include_router(outer)
    return app


def secured() -> FastAPI:
    app = FastAPI()
    app.add_api_route("/bearer", nothing, dependencies=[Depends(bearer)])
    app.add_api_route("/oauth", nothing, dependencies=[Security(oauth, scopes=["users"])])
    app.add_api_route("/key", nothing, dependencies=[Depends(api_key)])
    app.add_api_route("/open", nothing)
    return app


def with_webhooks() -> FastAPI:
    app = FastAPI()
    app.webhooks.add_api_route("created", take_user, methods=["POST"])
    app.webhooks.add_api_route(
        "deleted", take_user, methods=["POST"], responses=error_responses("not_found")
    )
    return app


def with_callbacks() -> FastAPI:
    callbacks = APIRouter()
    callbacks.add_api_route("{$request.body#/url}", take_user, methods=["POST"], name="done")
    app = FastAPI()
    app.post("/jobs", callbacks=callbacks.routes)(nothing)
    return app


def with_taken_names() -> FastAPI:
    app = FastAPI()
    app.add_api_route("/taken", nothing, response_model=TakenNames)
    app.add_api_route(
        "/missing", nothing, responses=error_responses(ErrorCode("Not.found", 404, "N."))
    )
    app.add_api_route("/users/{user_id}", take_id)
    return app


def with_own_responses() -> FastAPI:
    app = FastAPI()
    own: dict[int | str, Object] = {
        400: {"description": "Mine.", "model": NewUser},
        422: {"description": "Also mine."},
        "default": {"description": "Mine, too."},
    }
    app.add_api_route("/own/{user_id}", take_user, methods=["PUT"], responses=own)
    range_: dict[int | str, Object] = {"4XX": {"description": "All mine."}}
    app.add_api_route("/range/{user_id}", take_id, responses=range_, dependencies=[Depends(bearer)])
    return app


def with_own_codes() -> FastAPI:
    app = FastAPI(responses=error_responses(StepUpError))
    app.add_api_route("/{user_id}", take_id, responses=error_responses(QuotaExhaustedError))
    return app


APPS = [
    plain,
    with_routers,
    secured,
    with_webhooks,
    with_callbacks,
    with_taken_names,
    with_own_responses,
    with_own_codes,
    FastAPI,
]


def document_of(make: Callable[[], FastAPI], registry: ErrorRegistry | None = None) -> Object:
    app = make()
    install(app, registry=registry)
    return app.openapi()


@pytest.mark.parametrize("make", APPS)
@pytest.mark.parametrize("registry", REGISTRIES)
def test_document_is_valid(make: Callable[[], FastAPI], registry: ErrorRegistry) -> None:
    validate(document_of(make, registry))


@pytest.mark.parametrize("make", APPS)
def test_document_has_nothing_of_fastapis_errors(make: Callable[[], FastAPI]) -> None:
    text = json.dumps(document_of(make))
    assert "HTTPValidationError" not in text
    assert "x-authpi" not in text


@pytest.mark.parametrize("make", APPS)
@pytest.mark.parametrize("registry", REGISTRIES)
def test_amending_twice_is_amending_once(
    make: Callable[[], FastAPI], registry: ErrorRegistry
) -> None:
    document = document_of(make, registry)
    assert amended(document, registry) == document


@pytest.mark.parametrize("make", APPS)
def test_document_is_left_unchanged(make: Callable[[], FastAPI]) -> None:
    document = make().openapi()
    before = copy.deepcopy(document)
    amended(document)
    assert document == before


@pytest.mark.parametrize("make", APPS)
def test_all_that_is_not_about_errors_stays(make: Callable[[], FastAPI]) -> None:
    before, after = make().openapi(), document_of(make)
    for path, item in before["paths"].items():
        for method, described in item.items():
            found = operation(after, path, method)
            assert found["responses"]["200"] == described["responses"]["200"]
            for part in described.keys() - {"responses", "callbacks"}:
                assert found[part] == described[part]
    schemas = before.get("components", {}).get("schemas", {})
    for name in schemas.keys() - {"HTTPValidationError", "ValidationError"}:
        assert after["components"]["schemas"][name] == schemas[name]


def test_operations_have_the_errors_that_come_with_what_they_take() -> None:
    document = document_of(plain)
    assert statuses(document, "/nothing") == ["200", "default"]
    assert statuses(document, "/users/{user_id}") == ["200", "400", "default"]
    assert statuses(document, "/users/{user_id}", "put") == ["200", "400", "415", "default"]
    described = operation(document, "/users/{user_id}", "put")["responses"]
    assert schemas_of(described["400"]) == ["InvalidRequestError"]
    assert schemas_of(described["415"]) == ["InvalidContentTypeError"]


@pytest.mark.parametrize(
    ("media_type", "is_implied"),
    [
        ("application/json", True),
        ("application/JSON", True),
        ("application/ld+json; charset=utf-8", True),
        ("application/x-ndjson", False),
        ("text/json", False),
        ("application/octet-stream", False),
    ],
)
def test_415_is_implied_where_fastapi_reads_json(media_type: str, *, is_implied: bool) -> None:
    app = FastAPI()

    @app.post("/events")
    async def record(event: Annotated[dict[str, int], Body(media_type=media_type)]) -> None: ...

    install(app)
    headers = {"content-type": media_type.replace("json", "other").replace("JSON", "other")}
    refused = TestClient(app).post("/events", content=b"{}", headers=headers)
    assert (refused.status_code == 415) == is_implied
    assert ("415" in statuses(app.openapi(), "/events", "post")) == is_implied


def test_415_is_implied_where_one_of_several_bodies_is_json() -> None:
    app = FastAPI()
    other: Object = {"requestBody": {"content": {"application/xml": {}}}}

    @app.post("/events", openapi_extra=other)
    async def record(event: Annotated[dict[str, int], Body()]) -> None: ...

    install(app)
    content = operation(app.openapi(), "/events", "post")["requestBody"]["content"]
    assert content.keys() == {"application/json", "application/xml"}
    assert "415" in statuses(app.openapi(), "/events", "post")


def test_default_refers_to_a_response_with_any_error() -> None:
    document = document_of(plain)
    reference = operation(document, "/nothing")["responses"]["default"]
    assert reference == {"$ref": "#/components/responses/AuthPIError"}
    assert schemas_of(at(document, reference)) == ["AuthPIError"]


@pytest.mark.parametrize("path", ["/bearer", "/oauth", "/key"])
def test_operation_with_a_security_scheme_has_401_and_403(path: str) -> None:
    described = operation(document_of(secured), path)["responses"]
    assert list(described) == ["200", "401", "403", "default"]
    assert schemas_of(described["401"]) == ["UnauthorizedClientError", "SessionExpiredError"]
    assert schemas_of(described["403"]) == ["AccessDeniedError", "InsufficientScopeError"]


def test_operation_without_one_has_neither() -> None:
    assert statuses(document_of(secured), "/open") == ["200", "default"]


def test_security_of_the_whole_document_counts_where_an_operation_says_nothing() -> None:
    document: Object = secured().openapi() | {"security": [{"HTTPBearer": []}]}
    operation(document, "/key")["security"] = []
    described = amended(document)
    assert statuses(described, "/open") == ["200", "401", "403", "default"]
    assert statuses(described, "/key") == ["200", "default"]


def test_code_that_was_replaced_is_implied_as_it_is_now() -> None:
    registry = ErrorRegistry(codes=[ErrorCode("invalid_request", 422, "Not like this.")])
    described = operation(document_of(plain, registry), "/users/{user_id}")["responses"]
    assert list(described) == ["200", "422", "default"]
    assert described["422"]["description"] == "Not like this."


def test_what_the_user_wrote_stays() -> None:
    before, after = with_own_responses().openapi(), document_of(with_own_responses)
    own = operation(before, "/own/{user_id}", "put")["responses"]
    found = operation(after, "/own/{user_id}", "put")["responses"]
    assert {status: found[status] for status in own} == own
    assert found.keys() - own.keys() == {"415"}
    assert statuses(after, "/range/{user_id}") == ["200", "4XX", "default"]


def test_validation_schemas_stay_where_the_user_refers_to_them() -> None:
    app = plain()
    reference = {"$ref": "#/components/schemas/HTTPValidationError"}
    own: dict[int | str, Object] = {
        422: {"description": "Mine.", "content": {"application/json": {"schema": reference}}}
    }
    app.add_api_route("/own/{user_id}", take_id, responses=own)
    before, after = app.openapi(), amended(app.openapi())
    for name in ("HTTPValidationError", "ValidationError"):
        assert after["components"]["schemas"][name] == before["components"]["schemas"][name]
    assert "422" in statuses(after, "/own/{user_id}")
    assert "422" not in statuses(after, "/users/{user_id}")


def test_validation_schemas_stay_where_a_discriminator_names_them() -> None:
    document = plain().openapi()
    mapping = {"invalid": "#/components/schemas/ValidationError"}
    mine: Object = {"oneOf": [], "discriminator": {"propertyName": "kind", "mapping": mapping}}
    document["components"]["schemas"]["Mine"] = mine
    schemas = amended(document)["components"]["schemas"]
    assert "ValidationError" in schemas
    assert "HTTPValidationError" not in schemas


def test_schemas_of_the_users_that_only_have_their_names_stay() -> None:
    own: Object = {"title": "ValidationError", "type": "object", "properties": {"mine": {}}}
    document = plain().openapi()
    document["components"]["schemas"]["ValidationError"] = own
    document["components"]["schemas"]["HTTPValidationError"] = {"type": "string"}
    schemas = amended(document)["components"]["schemas"]
    assert schemas["ValidationError"] == own
    assert schemas["HTTPValidationError"] == {"type": "string"}


def test_validation_schemas_go_whichever_members_fastapi_gives_them() -> None:
    document = plain().openapi()
    del document["components"]["schemas"]["ValidationError"]["properties"]["ctx"]
    schemas = amended(document)["components"]["schemas"]
    assert not {"HTTPValidationError", "ValidationError"} & schemas.keys()


def test_names_that_are_taken_are_left_to_the_user() -> None:
    document = document_of(with_taken_names)
    schemas = document["components"]["schemas"]
    assert schemas["FieldError"]["properties"].keys() == {"where"}
    assert schemas["AuthPINotFoundError"]["properties"].keys() == {"what"}
    assert schemas["AuthPIFieldError"]["properties"].keys() == {"field", "code", "message"}
    fields = schemas["InvalidRequestError"]["properties"]["fields"]
    assert fields["items"] == {"$ref": "#/components/schemas/AuthPIFieldError"}
    response = operation(document, "/missing")["responses"]["404"]
    assert schemas_of(response) == ["AuthPIAuthPINotFoundError"]


def test_response_that_has_the_name_of_the_default_is_left_to_the_user() -> None:
    mine = {"description": "Mine."}
    document = plain().openapi() | {"components": {"responses": {"AuthPIError": mine}}}
    found = amended(document)
    assert found["components"]["responses"]["AuthPIError"] == mine
    default = operation(found, "/nothing")["responses"]["default"]
    assert schemas_of(at(found, default)) == ["AuthPIError"]


def test_webhooks_and_callbacks_get_only_what_is_declared_for_them() -> None:
    hooks = document_of(with_webhooks)["webhooks"]
    assert list(hooks["created"]["post"]["responses"]) == ["200"]
    assert list(hooks["deleted"]["post"]["responses"]) == ["200", "404"]
    (callback,) = operation(document_of(with_callbacks), "/jobs", "post")["callbacks"].values()
    assert list(callback["{$request.body#/url}"]["post"]["responses"]) == ["200"]


def test_document_that_someone_made_by_hand_is_amended_where_it_can_be() -> None:
    document: Object = {
        "openapi": "3.1.0",
        "paths": {"/": {"summary": "S", "get": {}, "put": None}, "/x": 1},
    }
    described = amended(document)
    assert statuses(described, "/") == ["default"]
    assert described["paths"]["/x"] == 1


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param({"components": None}, id="no components"),
        pytest.param({"components": {"schemas": None}}, id="no schemas"),
        pytest.param({"components": {"schemas": {"ValidationError": True}}}, id="no object"),
        pytest.param(
            {
                "components": {
                    "schemas": {"ValidationError": {"title": "ValidationError", "properties": None}}
                }
            },
            id="no properties",
        ),
        pytest.param({"paths": {}, "components": {"schemas": None}}, id="no paths"),
        pytest.param({"paths": {"/": {"get": {"responses": None}}}}, id="no responses"),
    ],
)
def test_document_with_anything_in_it_is_amended_where_it_can_be(parts: Object) -> None:
    document: Object = {"openapi": "3.1.0", "paths": {"/": {"get": {}}}, **parts}
    described = amended(document)
    assert not described["paths"] or statuses(described, "/") == ["default"]


def test_document_that_was_yaml_is_amended() -> None:
    document: Object = plain().openapi()
    operation(document, "/users/{user_id}", "put")["requestBody"]["content"][5] = {}
    document["info"]["x-since"] = date(2026, 1, 1)
    document["info"][None] = 1
    described = amended(document)
    assert statuses(described, "/users/{user_id}", "put") == ["200", "400", "415", "default"]
    assert "ValidationError" not in described["components"]["schemas"]


def test_statuses_that_are_numbers_are_amended() -> None:
    own = {"description": "All is well."}
    document = {"openapi": "3.1.0", "paths": {"/": {"get": {"responses": {200: own}}}}}
    described = amended(document)
    assert statuses(described, "/") == ["200", "default"]
    assert amended(described) == described


def test_what_an_operation_takes_may_stand_elsewhere() -> None:
    body: Object = {"content": {"application/json": {}}}
    document: Object = {
        "openapi": "3.1.0",
        "paths": {
            "/{a}": {"parameters": [{"in": "path", "name": "a"}], "get": {}},
            "/": {"post": {"requestBody": {"$ref": "#/components/requestBodies/User"}}},
            "/nowhere": {"post": {"requestBody": {"$ref": "#/components/none/User"}}},
            "/elsewhere": {"post": {"requestBody": {"$ref": "users.json"}}},
        },
        "components": {"requestBodies": {"User": body}},
    }
    described = amended(document)
    assert statuses(described, "/{a}") == ["400", "default"]
    assert statuses(described, "/", "post") == ["400", "415", "default"]
    assert statuses(described, "/nowhere", "post") == ["default"]
    assert statuses(described, "/elsewhere", "post") == ["400", "default"]


# What is sent, and what the document says of it

LOGIN = ErrorCode("login_required", 401, "Log in.")
FORBIDDEN = ErrorCode("not_yours", 410, "It is not yours.")
UNPROCESSABLE = ErrorCode("unprocessable", 422, "It can't be processed.")


class UnprocessableError(AuthPIError):
    code = UNPROCESSABLE


def test_body_that_can_not_be_taken_apart_has_the_code_of_its_status() -> None:
    registry = ErrorRegistry(
        codes=[ErrorCode("malformed", 400, "It is malformed.")], statuses={400: "malformed"}
    )
    described = operation(document_of(plain, registry), "/users/{user_id}", "put")["responses"]
    assert schemas_of(described["400"]) == ["InvalidRequestError", "MalformedError"]


def in_conflict(exc: RequestValidationError) -> AuthPIError:
    return ConflictError()


@pytest.mark.parametrize("target", ["conflict", UnprocessableError, in_conflict])
def test_another_type_of_body_is_not_valid_as_the_registry_has_it(target: Any) -> None:
    app = plain()
    install(app, registry=ErrorRegistry(exceptions={RequestValidationError: target}))
    sent = TestClient(app).put("/users/1", content=b"x", headers={"content-type": "text/plain"})
    assert sent.status_code in (409, 422)
    assert "415" not in statuses(app.openapi(), "/users/{user_id}", "put")


def test_code_whose_status_the_registry_replaces_is_described_by_the_new_one() -> None:
    registry = ErrorRegistry(codes=[replace(QuotaExhaustedError.code, status=429)])
    app = FastAPI()
    app.add_api_route("/", nothing, responses=error_responses(QuotaExhaustedError))
    install(app, registry=registry)
    assert statuses(app.openapi(), "/") == ["200", "429", "default"]


def own_handler(app: FastAPI) -> None:
    @app.exception_handler(RequestValidationError)
    def answer(request: Request, exc: RequestValidationError) -> JSONResponse:
        return JSONResponse({"detail": []}, 422)


def forbid() -> None:
    raise HTTPException(403, "Not yours.")


@pytest.mark.parametrize(
    ("registry", "prepare", "path", "status", "others"),
    [
        pytest.param(
            ErrorRegistry(codes=[LOGIN], statuses={401: "login_required"}),
            None,
            "/me",
            "401",
            ["200", "403", "default"],
            id="a status",
        ),
        pytest.param(
            ErrorRegistry(codes=[FORBIDDEN], statuses={403: "not_yours"}),
            None,
            "/forbidden",
            "403",
            ["200", "401", "default"],
            id="a status, with a code of another",
        ),
        pytest.param(
            ErrorRegistry(
                codes=[UNPROCESSABLE], exceptions={RequestValidationError: "unprocessable"}
            ),
            None,
            "/users/x",
            "422",
            ["200", "default"],
            id="what is not valid, to a code",
        ),
        pytest.param(
            ErrorRegistry(exceptions={RequestValidationError: UnprocessableError}),
            None,
            "/users/x",
            "422",
            ["200", "default"],
            id="what is not valid, to a class",
        ),
        pytest.param(
            ErrorRegistry(exceptions={RequestValidationError: lambda _: UnprocessableError()}),
            None,
            "/users/x",
            "default",
            ["200"],
            id="what is not valid, to a function",
        ),
        pytest.param(
            None,
            own_handler,
            "/users/x",
            "422",
            ["200", "default"],
            id="what is not valid, to a handler of the user's",
        ),
    ],
)
def test_what_is_mapped_is_what_the_document_says(
    registry: ErrorRegistry | None,
    prepare: Callable[[FastAPI], None] | None,
    path: str,
    status: str,
    others: list[str],
) -> None:
    app = FastAPI()
    app.add_api_route("/me", nothing, dependencies=[Depends(bearer)])
    app.add_api_route("/forbidden", nothing, dependencies=[Depends(forbid), Depends(api_key)])
    app.add_api_route("/users/{user_id}", take_id)
    if prepare is not None:
        prepare(app)
    install(app, registry=registry)
    document = app.openapi()
    described = operation(document, path.replace("x", "{user_id}"))["responses"]
    assert described.keys() == {status, *others}
    response = TestClient(app).get(path)
    assert status in (str(response.status_code), "default")
    schema = at(document, described[status])["content"]["application/json"]["schema"]
    assert not mistakes(document, schema, response.json())


MADE: dict[str, Callable[[], AuthPIError]] = {
    **ERRORS,
    "invalid_content_type": lambda: InvalidContentTypeError(supported=["text/csv"]),
    "precondition_failed": lambda: PreconditionFailedError(current_etag='"7"'),
    "field errors": lambda: InvalidRequestError(fields=[]),
    "another status": lambda: InvalidRequestError(status=428),
    "a retry": lambda: NotFoundError(retry_after=1.5, reference="r"),
    "a scope": lambda: InsufficientScopeError(scope="users"),
    "more members": lambda: NotFoundError(extra={"shard": 4}),
    "an own code": QuotaExhaustedError,
    "an own code with a challenge": StepUpError,
    "a session": lambda: SessionExpiredError("Sign in.", challenges=[]),
}
DECLARED = (*CODES, QuotaExhaustedError, StepUpError)


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("declared", [DECLARED, ()], ids=["declared", "not declared"])
def test_what_is_sent_is_what_the_document_says(
    name: str, declared: tuple[Declarable, ...]
) -> None:
    app = FastAPI()
    install(app)

    @app.get("/", responses=error_responses(*declared))
    def fail() -> None:
        error = MADE[name]()
        raise error

    response = TestClient(app).get("/")
    document = app.openapi()
    described = operation(document, "/")["responses"]
    entry = at(document, described.get(str(response.status_code), described["default"]))
    assert (str(response.status_code) in described) == bool(declared and name != "another status")
    schema = entry["content"]["application/json"]["schema"]
    assert not mistakes(document, schema, response.json())
    for header, reference in entry["headers"].items():
        required = at(document, reference).get("required", False)
        assert header in response.headers or not required
    sent = Response(response.status_code, response.headers.multi_items(), response.content)
    assert not check(sent, ErrorRegistry(codes=[QuotaExhaustedError.code, StepUpError.code]))
