"""Documents of OpenAPI for tests: applications that make them, and what is in them."""

from typing import Any

import pytest
from fastapi import FastAPI
from openapi_schema_validator import OAS31Validator
from pydantic import BaseModel

from authpi_errors import (
    AuthPIError,
    ErrorCode,
    ErrorRegistry,
    InsufficientScopeError,
    ServerError,
)

Object = dict[str, Any]


class QuotaExhaustedError(AuthPIError):
    code = ErrorCode("quota_exhausted", 402, "The plan's quota is used up.")


class StepUpError(InsufficientScopeError):
    code = ErrorCode("step_up", 403, "Sign in with a second factor.")


class NewUser(BaseModel):
    name: str


REGISTRY = ErrorRegistry(
    codes=[QuotaExhaustedError.code, ErrorCode("not_found", 410, "It was here, and is gone.")],
    exceptions={
        LookupError: "conflict",
        OSError: QuotaExhaustedError,
        ValueError: lambda _: ServerError(),
    },
)
REGISTRIES = [
    pytest.param(ErrorRegistry(), id="AuthPI's codes"),
    pytest.param(REGISTRY, id="an application's"),
]


def nothing() -> None: ...


def take_id(user_id: int) -> None: ...


def take_user(user_id: int, user: NewUser) -> None: ...


def plain() -> FastAPI:
    app = FastAPI()
    app.add_api_route("/nothing", nothing)
    app.add_api_route("/users/{user_id}", take_id)
    app.add_api_route("/users/{user_id}", take_user, methods=["PUT"])
    return app


def by_hand(given: Object, parts: Object) -> Object:
    return {
        "openapi": "3.1.0",
        "info": {"title": "By hand", "version": "1"},
        "paths": {"/users": {"get": {"responses": given}}},
        "components": parts,
    }


def operation(document: Object, path: str, method: str = "get") -> Object:
    found: Object = document["paths"][path][method]
    return found


def statuses(document: Object, path: str, method: str = "get") -> list[str]:
    return list(operation(document, path, method)["responses"])


def schemas_of(response: Object) -> list[str]:
    """The names of the schemas that a response can have."""
    schema = response["content"]["application/json"]["schema"]
    return [each["$ref"].rpartition("/")[2] for each in schema.get("oneOf", [schema])]


def at(document: Object, value: Object) -> Object:
    """What an object refers to, or the object itself."""
    for name in value["$ref"].split("/")[1:] if "$ref" in value else ():
        document = document[name]
        value = document
    return value


def mistakes(document: Object, schema: Object, body: object) -> list[str]:
    """What a body has that a schema, which is a part of a document, does not allow."""
    validator: Any = OAS31Validator({"components": document["components"], **schema})
    return [mistake.message for mistake in validator.iter_errors(body)]
