"""FastAPI's validation errors: which field is wrong and how, and nothing of what was sent."""

import sys
import uuid
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo

import pytest
from fastapi import Body, FastAPI, Form
from fastapi.exceptions import RequestValidationError, ResponseValidationError
from pydantic import (
    AfterValidator,
    AnyUrl,
    BaseModel,
    ByteSize,
    Field,
    ImportString,
    Json,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import PydanticCustomError, PydanticKnownError
from pydantic_core.core_schema import ErrorType
from starlette.testclient import TestClient

from authpi_errors import AuthPIError, ErrorRegistry, FieldError, InvalidRequestError, install
from authpi_errors._validation import (
    _COUNTED,
    _MESSAGES,
    _SAFE_KINDS,
    _SAID,
    _UNSAFE_KINDS,
    MOST_FIELDS,
    fields_error,
    is_list,
    is_mapping,
    is_request_validation_error,
    records_of,
)

SECRET = "s3cret-input"
JSON = {"content-type": "application/json"}
INTEGER = "Input should be a valid integer"


def error_of(exc: Exception) -> AuthPIError:
    """Give what FastAPI's error means, without text of the user's."""
    return fields_error(records_of(exc))


class Colour(Enum):
    """Something to choose from."""

    RED = "red"


class Pet(BaseModel):
    """A member of a union with tags."""

    kind: Literal["cat"]


class Tree(BaseModel):
    """Another."""

    kind: Literal["oak"]


def field_error(record: object) -> FieldError:
    """Turn a record into what is sent of it."""
    (field,) = fields_error([record]).fields
    return field


def own_check(value: str) -> str:
    """Fail as an application's own validator does, with the input in its message."""
    raise ValueError(f"Not {value}.")


def of_pydantic(kind: Any, value: object) -> list[dict[str, Any]]:
    """Give pydantic's records of what is wrong with a value."""
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(kind).validate_python(value)
    return [{**error} for error in caught.value.errors()]


@pytest.mark.parametrize(
    ("location", "path"),
    [
        pytest.param(("body", "user", "email"), "user.email", id="body: the field by its name"),
        pytest.param(("body", "items", 3, "price"), "items.3.price", id="an item of a list"),
        pytest.param(("body",), "body", id="the whole body"),
        pytest.param(("query", "limit"), "query.limit", id="query: behind its place"),
        pytest.param(("header", "x-a"), "header.x-a", id="header"),
        pytest.param(["path", "user_id"], "path.user_id", id="a list for a location"),
        pytest.param((), "", id="nowhere"),
        pytest.param(None, "", id="no location"),
        pytest.param("query", "", id="a string for a location"),
        pytest.param(("query", object(), None, "a"), "query.a", id="parts that are no names"),
        pytest.param(("query", "a" * 1_000), "query." + "a" * 194, id="a long name is cut"),
        pytest.param(("body", "a" * 1_000), "a" * 200, id="body: a long name is cut"),
        pytest.param(("body", ""), "", id="body: a name without letters"),
    ],
)
def test_location_becomes_a_path(location: object, path: str) -> None:
    assert field_error({"loc": location, "type": "missing", "msg": "Field required"}).field == path


def test_location_with_a_number_that_python_does_not_write_is_no_failure() -> None:
    error = {"loc": ("body", 10**5_000), "type": "missing", "msg": "Field required"}
    assert len(list(error_of(RequestValidationError([error])).fields)) == 1


@pytest.mark.parametrize(
    ("kind", "message", "sent"),
    [
        pytest.param("missing", "Field required", "Field required", id="a message of the schema"),
        pytest.param("uuid_parsing", SECRET, "Input should be a valid UUID", id="a stand-in"),
        pytest.param("value_error", SECRET, "The value is not valid here", id="an own validator"),
        pytest.param("missing", 5, "The value is not valid here", id="no text"),
        pytest.param("missing", None, "The value is not valid here", id="no message"),
    ],
)
def test_message_is_one_of_the_schema(kind: str, message: object, sent: str) -> None:
    assert field_error({"loc": ("query", "a"), "type": kind, "msg": message}).message == sent


def test_message_of_one_kind_is_not_known_of_another() -> None:
    for kind, sent in (
        ("missing", "Field required"),
        ("value_error", "The value is not valid here"),
        ("missing", "Field required"),
    ):
        assert field_error({"loc": (), "type": kind, "msg": "Field required"}).message == sent


@pytest.mark.parametrize(
    "kind", [None, "", 5, ["missing"], object()], ids=lambda kind: repr(kind)[:9]
)
def test_kind_that_is_none_is_invalid(kind: object) -> None:
    assert field_error({"loc": ("query", "a"), "type": kind}).code == "invalid"


@pytest.mark.parametrize("record", [None, "missing", 5, ["loc"]], ids=repr)
def test_record_that_is_none_is_invalid(record: object) -> None:
    assert field_error(record) == FieldError("", "invalid", "The value is not valid here")


@pytest.mark.parametrize(
    ("location", "message"),
    [
        pytest.param(("body", 7), "The body is not valid JSON at character 7", id="with a place"),
        pytest.param(("body",), "The body is not valid JSON", id="without"),
        pytest.param(("body", "x"), "The body is not valid JSON", id="with a place that is none"),
        pytest.param(None, "The body is not valid JSON", id="without a location"),
    ],
)
def test_malformed_json_says_where(location: object, message: str) -> None:
    record = {"loc": location, "type": "json_invalid", "msg": "JSON decode error"}
    error = field_error({**record, "ctx": {"error": SECRET}})
    assert error == FieldError("body", "json_invalid", message)


class Settings(BaseModel):
    """Fields that are JSON in a string."""

    settings: Json[Any] = None
    several: list[Json[Any]] = []


def test_malformed_json_in_a_field_is_that_fields_mistake() -> None:
    app = FastAPI()
    install(app)

    @app.post("/body")
    def read_body(body: Settings) -> None: ...

    @app.post("/form")
    def read_form(settings: Annotated[Json[Any], Form()]) -> None: ...

    @app.post("/whole")
    def read_whole(body: Annotated[Json[Any], Body()]) -> None: ...

    @app.get("/query")
    def read_query(f: Json[Any]) -> None: ...

    client = TestClient(app)
    responses = {
        "settings": client.post("/body", json={"settings": "{bad"}),
        "several.1": client.post("/body", json={"several": ["{}", "{bad"]}),
        "form": client.post("/form", data={"settings": "{bad"}),
        "body": client.post("/whole", json="{bad"),
        "query.f": client.get("/query", params={"f": "{bad"}),
    }
    for field, response in responses.items():
        assert response.json()["fields"] == [
            {
                "field": "settings" if field == "form" else field,
                "code": "json_invalid",
                "message": "Input should be valid JSON",
            }
        ]
    (field,) = client.post("/body", content="{bad", headers=JSON).json()["fields"]
    assert (field["field"], field["message"]) == (
        "body",
        "The body is not valid JSON at character 1",
    )


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(bool, id="bool"),
        pytest.param(int, id="int"),
        pytest.param(float, id="float"),
        pytest.param(Decimal, id="Decimal"),
        pytest.param(date, id="date"),
        pytest.param(datetime, id="datetime"),
        pytest.param(time, id="time"),
        pytest.param(timedelta, id="timedelta"),
        pytest.param(uuid.UUID, id="UUID"),
        pytest.param(AnyUrl, id="URL"),
        pytest.param(Colour, id="enum"),
        pytest.param(Literal["red"], id="literal"),
        pytest.param(list[int], id="list"),
        pytest.param(set[int], id="set"),
        pytest.param(dict[str, int], id="dict"),
        pytest.param(tuple[int, int], id="tuple"),
        pytest.param(Pet, id="model"),
        pytest.param(bytes | int, id="union"),
        pytest.param(Annotated[str, Field(max_length=3)], id="longest string"),
        pytest.param(Annotated[str, Field(min_length=99)], id="shortest string"),
        pytest.param(Annotated[str, Field(pattern="^a$")], id="pattern"),
    ],
)
def test_input_that_is_refused_is_not_repeated(kind: Any) -> None:
    records = of_pydantic(kind, SECRET if kind != bytes | int else [SECRET])
    assert SECRET not in repr([field_error(record) for record in records])


@pytest.mark.parametrize("value", [{"kind": SECRET}, {}], ids=["a wrong tag", "no tag"])
def test_tag_that_is_refused_is_not_repeated(value: dict[str, str]) -> None:
    records = of_pydantic(Annotated[Pet | Tree, Field(discriminator="kind")], value)
    assert [field_error(record).message for record in records] not in (
        [record["msg"] for record in records],
        ["The value is not valid here"],
    )


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("missing", "there is no account for {token}"),
        ("missing", "Field required: {token}"),
        ("literal_error", "Input should be other than {token}"),
        ("greater_than", "Input should be greater than {token}"),
        ("string_too_short", "{token} is too short"),
        ("too_short", "{token} has too few"),
        ("uuid_parsing", "{token}"),
        ("json_invalid", "{token}"),
    ],
)
def test_own_text_under_one_of_pydantics_names_is_not_repeated(kind: Any, text: Any) -> None:
    def refuse(value: str) -> str:
        raise PydanticCustomError(kind, text, {"token": value})

    for _ in range(2):
        records = of_pydantic(Annotated[str, AfterValidator(refuse)], SECRET)
        assert SECRET in repr(records)
        assert SECRET not in repr([field_error(record) for record in records])


def test_pydantics_own_text_is_left_out_where_pydantic_can_not_be_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    record = {"loc": ("query", "a"), "type": "greater_than", "msg": "", "ctx": {"gt": 71}}
    record["msg"] = "Input should be greater than 71"
    monkeypatch.delitem(sys.modules, "pydantic_core")
    assert field_error(record).message == "The value is not valid here"
    monkeypatch.undo()
    assert field_error(record).message == "Input should be greater than 71"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        pytest.param(Annotated[int, Field(gt=3)], 1, id="an integer"),
        pytest.param(Annotated[int, Field(gt=2**70)], 1, id="a long integer"),
        pytest.param(Annotated[float, Field(gt=1e30)], 1, id="a long float"),
        pytest.param(Annotated[float, Field(multiple_of=0.5)], 0.2, id="a fraction"),
        pytest.param(Annotated[Decimal, Field(lt=Decimal("1.50"))], 4, id="a Decimal"),
        pytest.param(Annotated[date, Field(gt=date(2020, 1, 1))], date(2019, 1, 1), id="a date"),
        pytest.param(
            Annotated[timedelta, Field(le=timedelta(days=1))], timedelta(days=2), id="a timedelta"
        ),
        pytest.param(Annotated[str, Field(min_length=2)], "a", id="a length"),
        pytest.param(Annotated[str, Field(pattern="^a'$")], "b", id="a pattern"),
        pytest.param(Colour, "blue", id="members of an enum"),
        pytest.param(Literal["a", 1], "b", id="literals"),
        pytest.param(date, "2020", id="a format"),
        pytest.param(Pet, 3, id="a class"),
    ],
)
def test_what_pydantic_says_of_the_schema_is_shown(kind: Any, value: object) -> None:
    records = of_pydantic(kind, value)
    for _ in range(2):
        assert [field_error(record).message for record in records] == [records[0]["msg"]]


def test_what_pydantic_says_of_json_is_shown() -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(dict[str, int]).validate_json("[]")
    assert [field_error(record).message for record in caught.value.errors()] == [
        "Input should be an object"
    ]


def test_messages_are_not_remembered_without_end() -> None:
    for number in range(2_000):
        error = PydanticKnownError("greater_than", {"gt": number})
        record = {"type": error.type, "msg": error.message(), "ctx": error.context}
        assert field_error(record).message == error.message()
    assert len(_SAID) <= 1024


def test_message_of_an_own_validator_is_not_repeated() -> None:
    records = of_pydantic(Annotated[str, AfterValidator(own_check)], SECRET)
    assert SECRET in repr(records)
    assert SECRET not in repr([field_error(record) for record in records])


def test_validation_error_lists_its_fields() -> None:
    records = [
        {"loc": ("query", "limit"), "type": "int_type", "msg": INTEGER, "input": SECRET},
        {"loc": ("body", "a"), "type": "missing", "msg": "Field required", "input": {"b": SECRET}},
    ]
    error = error_of(RequestValidationError(records, body={"b": SECRET}))
    assert isinstance(error, InvalidRequestError)
    assert list(error.fields) == [
        FieldError("query.limit", "int_type", INTEGER),
        FieldError("a", "missing", "Field required"),
    ]
    assert "`fields`" in str(error.description)


def test_validation_error_with_very_many_fields_names_the_first() -> None:
    records = [{"loc": ("body", i), "type": "missing", "msg": "Field required"} for i in range(500)]
    error = error_of(RequestValidationError(records))
    assert len(list(error.fields)) == MOST_FIELDS
    assert "500 fields are wrong" in str(error.description)


@pytest.mark.parametrize(("count", "are_left_out"), [(MOST_FIELDS, False), (MOST_FIELDS + 1, True)])
def test_fields_are_said_to_be_left_out_where_they_are(count: int, are_left_out: bool) -> None:
    records = [
        {"loc": ("body", i), "type": "missing", "msg": "Field required"} for i in range(count)
    ]
    error = error_of(RequestValidationError(records))
    assert len(list(error.fields)) == MOST_FIELDS
    assert (f"{count} fields are wrong" in str(error.description)) is are_left_out


@pytest.mark.parametrize(
    "errors",
    [
        pytest.param(5, id="a number"),
        pytest.param(lambda: None, id="a function that gives None"),
        pytest.param(lambda: "missing", id="a function that gives a string"),
    ],
)
def test_validation_error_that_lists_nothing_has_no_fields(errors: object) -> None:
    exc = RequestValidationError([])
    exc.errors = errors  # type: ignore[method-assign, assignment]  # pyright: ignore[reportAttributeAccessIssue]
    assert not list(error_of(exc).fields)


def test_validation_error_without_fields_does_not_speak_of_them() -> None:
    app = FastAPI()
    install(app)

    @app.get("/")
    def refuse() -> None:
        raise RequestValidationError([])

    answer = TestClient(app).get("/").json()
    assert answer["error"] == "invalid_request"
    assert "fields" not in answer["error_description"]


def test_exception_without_errors_has_no_fields() -> None:
    assert not list(error_of(ValueError()).fields)


@pytest.mark.parametrize(
    ("cls", "is_one"),
    [
        (RequestValidationError, True),
        (ResponseValidationError, False),
        (ValidationError, False),
        (ValueError, False),
        (type("RequestValidationError", (Exception,), {}), False),
    ],
)
def test_only_fastapis_request_validation_error_is_one(cls: type, is_one: bool) -> None:
    assert is_request_validation_error(cls) is is_one


@pytest.mark.parametrize(
    ("value", "mapping", "sequence"),
    [
        pytest.param({}, True, False, id="a dict"),
        pytest.param(MappingProxyType[str, str]({}), True, False, id="another mapping"),
        pytest.param([], False, True, id="a list"),
        pytest.param((), False, True, id="a tuple"),
        pytest.param("a", False, False, id="a string"),
        pytest.param(b"a", False, False, id="bytes"),
        pytest.param(None, False, False, id="None"),
    ],
)
def test_value_from_outside_is_a_mapping_a_list_or_neither(
    value: object, mapping: bool, sequence: bool
) -> None:
    assert (is_mapping(value), is_list(value)) == (mapping, sequence)


def test_record_may_be_any_mapping() -> None:
    record: Mapping[str, object] = MappingProxyType({"loc": ("query", "a"), "type": "missing"})
    assert field_error(record).field == "query.a"


def own_assertion(value: str) -> str:
    """Fail as a validator with `assert` does."""
    raise AssertionError("Not that.")


def own_kind(value: str) -> str:
    """Fail with a kind of one's own."""
    raise PydanticCustomError("not_funny", "Not funny.")


@pytest.mark.parametrize(
    ("check", "code", "message"),
    [
        (own_check, "value_error", f"Not {SECRET}."),
        (own_assertion, "assertion_error", "Not that."),
        (own_kind, "not_funny", "Not funny."),
    ],
)
@pytest.mark.parametrize("allowed", [True, False])
def test_text_of_an_own_validator_is_shown_where_it_is_allowed(
    check: Any, code: str, message: str, allowed: bool
) -> None:
    app = FastAPI()
    install(app, registry=ErrorRegistry(validator_messages=allowed))

    @app.get("/")
    def read(name: Annotated[str, AfterValidator(check)]) -> None: ...

    (field,) = TestClient(app).get("/", params={"name": SECRET}).json()["fields"]
    assert field["code"] == code
    assert (field["message"] == message) is allowed
    assert allowed or message not in field["message"]


def test_pydantics_own_messages_stay_as_they_are_where_text_is_allowed() -> None:
    records = [
        {"loc": ("body", "a"), "type": kind, "msg": SECRET}
        for kind in ("url_parsing", "get_attribute_error", "string_not_ascii")
    ]
    error = fields_error(records, with_custom_text=True)
    assert SECRET not in repr(error.fields)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (ImportString, SECRET),
        (ByteSize, f"7 {SECRET}"),
        (ZoneInfo, SECRET),
    ],
)
def test_pydantics_own_messages_do_not_repeat_the_input_where_text_is_allowed(
    kind: Any, value: str
) -> None:
    (record,) = of_pydantic(kind, value)
    (field,) = fields_error([record], with_custom_text=True).fields
    assert field.message == "The value is not valid here"


def test_how_many_items_were_sent_is_not_said() -> None:
    records = [
        *of_pydantic(Annotated[list[int], Field(min_length=5)], [1, 2, 3]),
        *of_pydantic(Annotated[list[int], Field(max_length=2)], [1, 2, 3]),
    ]
    messages = [field.message for field in fields_error(records).fields]
    assert messages == [
        "List should have at least 5 items after validation",
        "List should have at most 2 items after validation",
    ]


def test_every_kind_that_pydantic_has_is_known() -> None:
    known = {*_SAFE_KINDS, *_UNSAFE_KINDS, *_COUNTED, *_MESSAGES, "value_error", "assertion_error"}
    assert set(get_args(ErrorType)) <= known


def test_pydantics_error_in_a_handler_is_a_server_error_unless_it_is_mapped() -> None:
    statuses: list[int] = []
    for registry in (ErrorRegistry(), ErrorRegistry(exceptions={ValidationError: "conflict"})):
        app = FastAPI()
        install(app, registry=registry)

        @app.get("/")
        def read() -> None:
            TypeAdapter(int).validate_python(SECRET)

        response = TestClient(app, raise_server_exceptions=False).get("/")
        assert SECRET not in response.text
        statuses.append(response.status_code)
    assert statuses == [500, 409]


def test_two_registries_show_text_if_one_does() -> None:
    records = [{"loc": ("query", "a"), "type": "value_error", "msg": "Value error, Odd."}]
    merged = ErrorRegistry(validator_messages=True) | ErrorRegistry()
    assert list(merged.fields_error(records).fields) == [
        FieldError("query.a", "value_error", "Odd.")
    ]


def test_fields_are_made_when_they_are_asked_for() -> None:
    records = [
        {"loc": ("body", name), "type": "missing", "msg": "Field required"} for name in "abc"
    ]
    fields = ErrorRegistry().fields_error(records).fields
    assert isinstance(fields, Sequence)
    assert [field.field for field in fields] == ["a", "b", "c"]
    assert (len(fields), fields[-1].field) == (3, "c")
    assert [field.field for field in fields[1:]] == ["b", "c"]
    assert repr(fields) == repr([field_error(record) for record in records])
