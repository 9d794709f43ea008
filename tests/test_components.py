"""What documents say of each code: its schema, its headers, its response."""

import pytest
from openapi_spec_validator import validate

from authpi_errors import (
    ErrorCode,
    ErrorRegistry,
    NotFoundError,
)
from authpi_errors.codes import NOT_FOUND, fallback
from authpi_errors.openapi import Declarable, components, responses
from tests.documents import REGISTRIES, REGISTRY, StepUpError, by_hand, mistakes, schemas_of


@pytest.mark.parametrize("registry", REGISTRIES)
def test_what_is_written_by_hand_is_a_valid_document(registry: ErrorRegistry) -> None:
    validate(by_hand(responses(*registry.codes, registry=registry), components(registry)))


@pytest.mark.parametrize("registry", REGISTRIES)
def test_each_code_has_one_schema_with_the_code_as_a_constant(registry: ErrorRegistry) -> None:
    schemas = components(registry)["schemas"]
    errors = [schema["properties"]["error"] for name, schema in schemas.items() if "Auth" in name]
    constants = [
        schema["properties"]["error"]["const"]
        for name, schema in schemas.items()
        if name not in ("AuthPIError", "FieldError")
    ]
    assert [error.get("const") for error in errors] == [None]
    assert sorted(constants) == sorted(registry.codes)


@pytest.mark.parametrize("registry", REGISTRIES)
def test_example_of_each_schema_fits_it(registry: ErrorRegistry) -> None:
    parts = components(registry)
    for schema in parts["schemas"].values():
        for example in schema.get("examples", []):
            assert not mistakes({"components": parts}, schema, example)


def test_schema_says_what_the_registry_says() -> None:
    schema = components(REGISTRY)["schemas"]["NotFoundError"]
    (example,) = schema["examples"]
    assert schema["description"] == example["error_description"] == "It was here, and is gone."


@pytest.mark.parametrize(
    ("name", "members"),
    [
        ("NotFoundError", set[str]()),
        ("InvalidRequestError", {"fields"}),
        ("PreconditionFailedError", {"current_etag", "currentETag"}),
        ("AuthPIError", {"fields", "current_etag", "currentETag"}),
    ],
)
def test_schema_has_the_members_of_its_errors(name: str, members: set[str]) -> None:
    schema = components()["schemas"][name]
    common = {"error", "error_description", "reference", "retryable", "retry_after"}
    assert schema["properties"].keys() == common | members
    assert schema["required"] == ["error", "error_description", "retryable"]


def test_code_of_validation_errors_has_fields_whatever_its_status() -> None:
    replaced = ErrorRegistry(codes=[ErrorCode("invalid_request", 418, "No coffee.")])
    schema = components(replaced)["schemas"]["InvalidRequestError"]
    assert "fields" in schema["properties"]
    assert "fields" in schema["examples"][0]


def test_examples_have_what_their_errors_have() -> None:
    examples = {name: each.get("examples") for name, each in components()["schemas"].items()}
    assert examples["PreconditionFailedError"][0]["current_etag"] == '"1709139700000"'
    assert examples["InvalidRequestError"][0]["fields"][0]["field"] == "query.limit"
    assert examples["UsageLimitExceededError"][0]["retry_after"] == 30
    assert "reference" in examples["ServerError"][0]
    assert "reference" not in examples["NotFoundError"][0]


@pytest.mark.parametrize(
    ("code", "headers"),
    [
        ("not_found", set[str]()),
        ("access_denied", set[str]()),
        ("insufficient_scope", {"WWW-Authenticate"}),
        ("session_expired", {"WWW-Authenticate"}),
        ("unauthorized_client", {"WWW-Authenticate"}),
        ("conflict", {"Retry-After"}),
        ("usage_limit_exceeded", {"Retry-After"}),
        ("precondition_failed", {"ETag"}),
        ("invalid_content_type", {"Accept"}),
        (fallback(405), {"Allow"}),
        (fallback(503), {"Retry-After"}),
    ],
)
def test_response_has_the_headers_of_its_errors(code: Declarable, headers: set[str]) -> None:
    (response,) = responses(code).values()
    assert response["headers"].keys() == {"Cache-Control"} | headers


def test_lacking_scope_that_is_a_401_has_the_challenge_of_every_401() -> None:
    replaced = ErrorRegistry(codes=[ErrorCode("insufficient_scope", 401, "A scope is missing.")])
    response = responses("insufficient_scope", registry=replaced)["401"]
    challenge = response["headers"]["WWW-Authenticate"]
    assert challenge == {"$ref": "#/components/headers/Challenge"}


def test_header_that_is_always_there_is_required() -> None:
    headers = components()["headers"]
    required = {name for name, header in headers.items() if header.get("required")}
    assert required == {"CacheControl", "Challenge", "Allow"}


def test_codes_with_one_status_are_a_union_that_error_tells_apart() -> None:
    response = responses("access_denied", "not_found", StepUpError, "access_denied")["403"]
    assert schemas_of(response) == ["AccessDeniedError", "StepUpError"]
    assert response["content"]["application/json"]["schema"]["discriminator"] == {
        "propertyName": "error",
        "mapping": {
            "access_denied": "#/components/schemas/AccessDeniedError",
            "step_up": "#/components/schemas/StepUpError",
        },
    }
    assert response["description"].endswith("\n- `step_up`: Sign in with a second factor.")


def test_declaration_of_an_error_that_the_registry_has_replaced_follows_it() -> None:
    given = responses("not_found", NotFoundError, NOT_FOUND, registry=REGISTRY)
    assert {status: each["description"] for status, each in given.items()} == {
        "410": "It was here, and is gone."
    }


def test_own_words_for_a_code_that_the_registry_has_not_replaced_are_kept() -> None:
    given = responses(ErrorCode("not_found", 404, "There is no such user."))
    assert given["404"]["description"] == "There is no such user."


def test_code_with_another_status_keeps_it() -> None:
    replaced = ErrorRegistry(codes=[ErrorCode("invalid_request", 422, "Not like this.")])
    given = responses(fallback(428), fallback(423), registry=replaced)
    assert {status: schemas_of(each) for status, each in given.items()} == {
        "428": ["InvalidRequestError"],
        "423": ["ConflictError"],
    }


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("io_error", "IoError"),
        ("quota.exhausted-2x", "QuotaExhausted2xError"),
        ("Not_Found", "AuthPINotFoundError"),
        ("auth_PI", "AuthPIAuthPIError"),
        ("field", "AuthPIFieldError"),
        ("!", "Error"),
        ("error", "Error"),
    ],
)
def test_schema_is_named_as_a_class_would_be(code: str, name: str) -> None:
    parts = components(errors=[ErrorCode(code, 402, "It is so.")])
    assert parts["schemas"][name]["properties"]["error"]["const"] == code
    validate(by_hand({"402": {"$ref": f"#/components/responses/{name}"}}, parts))


def test_schemas_of_codes_with_one_name_are_told_apart() -> None:
    codes = [ErrorCode(code, 402, "It is so.") for code in ("Not_Found", "Not.Found", "NotFound")]
    schemas = components(errors=codes)["schemas"]
    for count, code in enumerate(("not_found", "Not_Found", "Not.Found", "NotFound")):
        schema = schemas[f"{'AuthPI' * count}NotFoundError"]
        assert schema["properties"]["error"]["const"] == code


def test_schema_of_one_code_does_not_take_another() -> None:
    document = {"components": components()}
    schema = {"$ref": "#/components/schemas/NotFoundError"}
    (example,) = document["components"]["schemas"]["ConflictError"]["examples"]
    assert mistakes(document, schema, example) == ["'not_found' was expected"]


def test_what_the_user_changes_is_the_users() -> None:
    before = components()
    changed = components()
    for section in changed.values():
        for component in section.values():
            component["description"] = "Mine."
            component.get("properties", {}).clear()
    assert components() == before
