"""FastAPI's validation errors as `invalid_request` with `fields`.

Works on what the error says of itself, without importing FastAPI or pydantic. No input value gets
out: neither `input` nor `ctx`, nor a message that was made of the input, nor one that a validator
of the application's has written, unless that is allowed. (What a validator puts into a
`PydanticKnownError` looks like pydantic's own.)
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeGuard, overload

from authpi_errors._exceptions import AuthPIError, FieldError, InvalidRequestError

__all__ = [
    "InvalidFields",
    "InvalidInputError",
    "describe",
    "fields_error",
    "is_list",
    "is_mapping",
    "is_request_validation_error",
    "members_of",
    "records_of",
    "request_validation_error",
]

MOST_FIELDS: Final = 100
"""How many fields an answer names. A request can have any number wrong."""

_LONGEST_PATH: Final = 200
_CLASSES: Final = frozenset({"RequestValidationError", "WebSocketRequestValidationError"})

# Kinds of pydantic's whose message, if it is pydantic's, consists of what the schema says, and of
# nothing else.
_SAFE_KINDS: Final = frozenset(
    """
    missing extra_forbidden json_type none_required
    bool_type bool_parsing int_type int_parsing int_parsing_size int_from_float
    float_type float_parsing finite_number multiple_of
    greater_than greater_than_equal less_than less_than_equal
    string_type string_sub_type string_unicode string_pattern_mismatch
    string_too_short string_too_long bytes_type bytes_too_short bytes_too_long
    dict_type list_type tuple_type set_type frozen_set_type iterable_type mapping_type
    model_type model_attributes_type dataclass_type dataclass_exact_type
    literal_error enum date_type date_parsing date_from_datetime_inexact date_past date_future
    time_type time_parsing datetime_type datetime_parsing datetime_object_invalid
    datetime_past datetime_future timezone_naive timezone_aware
    time_delta_type time_delta_parsing is_instance_of is_subclass_of callable_type
    decimal_type decimal_parsing decimal_max_digits decimal_max_places decimal_whole_digits
    uuid_type uuid_version url_type url_too_long url_scheme
    """.split()
)
# The others of pydantic's own: of these no message is shown, since some are made of the input.
_UNSAFE_KINDS: Final = frozenset(
    """
    arguments_type byte_size_unit bytes_invalid_encoding complex_str_parsing complex_type
    counter_type datetime_from_date_parsing default_factory_not_called deque_type ellipsis_error
    fraction_parsing fraction_type frozen_dict_type frozen_field frozen_instance
    get_attribute_error import_error invalid_key iteration_error missing_argument
    missing_keyword_only_argument missing_positional_only_argument missing_sentinel_error
    multiple_argument_values named_tuple_type needs_python_object no_such_attribute
    ordered_dict_type recursion_depth_exceeded recursion_loop set_item_not_hashable
    string_not_ascii timezone_offset unexpected_keyword_argument
    unexpected_positional_argument zoneinfo_str
    """.split()
)
# What those say instead that would echo the input.
_MESSAGES: Final = {
    "json_invalid": "Input should be valid JSON",
    "uuid_parsing": "Input should be a valid UUID",
    "url_parsing": "Input should be a valid URL",
    "url_syntax_violation": "Input should be a valid URL",
    "date_from_datetime_parsing": "Input should be a valid date",
    "union_tag_invalid": "Input should have one of the tags that are expected here",
    "union_tag_not_found": "Input should have a tag that says what it is",
}
# What FastAPI says of a body. Of a field that is JSON in a string, pydantic says another thing.
_MALFORMED_BODY: Final = "JSON decode error"
# A union would be made anew each time that it is asked.
_LISTS: Final = (list, tuple)
# What these say ends with how many items there were.
_COUNTED: Final = ("too_long", "too_short")
_COUNT: Final = ", not "
# What pydantic says of JSON that it has read itself: there are no arguments in it.
_OF_JSON: Final = frozenset(
    {
        "Input should be a valid array",
        "Input should be a valid duration",
        "Input should be an object",
        "Input should be null",
    }
)
# These say a number, or something else that can be compared, as it is.
_COMPARED: Final = frozenset(
    ("greater_than", "greater_than_equal", "less_than", "less_than_equal", "multiple_of")
)
# Messages that were found to be pydantic's, each with its kind: it is asked once for each.
_SAID: Final[dict[str, str]] = {}
# Schemas can be made without end.
_MOST_SAID: Final = 1024
_DEFAULT_MESSAGE: Final = "The value is not valid here"
_DEFAULT_KIND: Final = "invalid"
# What pydantic puts before the text of an exception that a validator has raised.
_PREFIXES: Final = {"value_error": "Value error, ", "assertion_error": "Assertion failed, "}


class InvalidFields(Sequence[FieldError]):
    """What is wrong with a request, as it is sent; each becomes a `FieldError` when asked for.

    Args:
        members: The items of the body's `fields`.
    """

    __slots__ = ("members",)

    def __init__(self, members: Sequence[Mapping[str, str]]) -> None:
        self.members = members

    def __len__(self) -> int:
        """Count the fields."""
        return len(self.members)

    @overload
    def __getitem__(self, index: int) -> FieldError: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[FieldError]: ...

    def __getitem__(self, index: int | slice) -> FieldError | Sequence[FieldError]:
        """Give a field, or several."""
        if isinstance(index, slice):
            return InvalidFields(self.members[index])
        return FieldError(**self.members[index])

    def __repr__(self) -> str:
        """Show the fields."""
        return repr(list(self))


class InvalidInputError(InvalidRequestError):
    """What FastAPI has found wrong with a request. Keeps the records that `fields` were made of."""

    records: Sequence[object] = ()


def is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    """Say whether a value from outside is a mapping."""
    # To ask an abstract class takes its time.
    return type(value) is dict or isinstance(value, Mapping)


def is_list(value: object) -> TypeGuard[Sequence[Any]]:
    """Say whether a value from outside is a list or a tuple."""
    return type(value) is tuple or isinstance(value, _LISTS)


def is_request_validation_error(cls: type) -> bool:
    """Say whether `cls` is FastAPI's `RequestValidationError`, or its sister for WebSockets."""
    return cls.__module__ == "fastapi.exceptions" and cls.__name__ in _CLASSES


def request_validation_error() -> type[Exception] | None:
    """Give FastAPI's `RequestValidationError`, if FastAPI is there."""
    module = sys.modules.get("fastapi.exceptions")
    return getattr(module, "RequestValidationError", None)


def fields_error(errors: Sequence[object], *, with_custom_text: bool = False) -> AuthPIError:
    """Turn a list of pydantic's error records into `InvalidRequestError` with its `fields`.

    Args:
        errors: The records.
        with_custom_text: Whether the text of an application's own validators is shown.
    """
    # With none there is nothing that `fields` would list.
    error = InvalidInputError(describe(len(errors)) if errors else None)
    error.fields = InvalidFields(members_of(errors, with_custom_text=with_custom_text))
    error.records = errors
    return error


def records_of(exc: BaseException) -> Sequence[object]:
    """Give pydantic's error records, as FastAPI's `RequestValidationError` has them."""
    errors = getattr(exc, "errors", None)
    found: object = errors() if callable(errors) else ()
    return found if is_list(found) else ()


def describe(count: int) -> str:
    """Say of a request that so many of its fields are wrong."""
    if count > MOST_FIELDS:
        return (
            f"The request is not valid: {count} fields are wrong. The first {MOST_FIELDS} are "
            "listed; correct them and send it again to see the others."
        )
    return "The request is not valid. Correct what `fields` lists and send it again."


def members_of(errors: Sequence[object], *, with_custom_text: bool) -> list[dict[str, str]]:
    """Turn pydantic's error records into the items of a body's `fields`, as many as it names."""
    return [_members(record, with_custom_text) for record in errors[:MOST_FIELDS]]


def _members(error: object, with_custom_text: bool) -> dict[str, str]:
    if not is_mapping(error):
        return {"field": "", "code": _DEFAULT_KIND, "message": _DEFAULT_MESSAGE}
    kind: object = error.get("type")
    message: object = error.get("msg")
    location: object = error.get("loc")
    location = location if is_list(location) else ()
    if type(message) is str and type(kind) is str and _SAID.get(message) == kind:
        # Most often.
        return {"field": _path(location), "code": kind, "message": message}
    kind = kind if isinstance(kind, str) and kind else _DEFAULT_KIND
    if message == _MALFORMED_BODY and kind == "json_invalid":
        return {"field": "body", "code": kind, "message": _malformed_json(location)}
    message = _message(kind, message, error.get("ctx"), with_custom_text)
    return {"field": _path(location), "code": kind, "message": message}


def _message(kind: str, message: object, context: object, with_custom_text: bool) -> str:
    if isinstance(message, str):
        if kind in _SAFE_KINDS and _is_pydantics(kind, message, context):
            if len(_SAID) >= _MOST_SAID:
                _SAID.clear()
            _SAID[message] = kind
            return message
        if kind in _COUNTED and _is_pydantics(kind, message, context):
            return message.partition(_COUNT)[0]
        if with_custom_text and kind not in _UNSAFE_KINDS and kind not in _MESSAGES:
            return message.removeprefix(_PREFIXES.get(kind, ""))
    return _MESSAGES.get(kind, _DEFAULT_MESSAGE)


def _is_pydantics(kind: str, message: str, context: object) -> bool:
    """Say whether pydantic itself says this of a mistake.

    What an application's own validator raises can have the name of one of pydantic's kinds.
    """
    known_error: Any = getattr(sys.modules.get("pydantic_core"), "PydanticKnownError", None)
    with suppress(Exception):
        return (
            message in _OF_JSON or message == known_error(kind, _arguments(kind, context)).message()
        )
    return False


def _arguments(kind: str, context: object) -> dict[str, object] | None:
    """Give what a message is made of, so that pydantic writes it as it did."""
    if not is_mapping(context):
        return None
    if kind not in _COMPARED:
        return {**context}
    # Of a Decimal, or a long integer, it would take a float.
    return {
        name: value if isinstance(value, float) else str(value) for name, value in context.items()
    }


def _path(location: Sequence[object]) -> str:
    """Write a location as a path: the body's fields by name, others behind their place."""
    if len(location) == 2 and location[0] == "body" and type(location[1]) is str:
        # Most often.
        return location[1][:_LONGEST_PATH]
    place, *names = location or ("",)
    if place != "body" or not names:
        names = [place, *names]
    return ".".join(filter(None, map(_name, names)))[:_LONGEST_PATH]


def _name(name: object) -> str:
    if isinstance(name, str):
        return name
    # An index. Python does not convert any number of digits.
    return str(name) if isinstance(name, int) and abs(name) < 2**63 else ""


def _malformed_json(location: Sequence[object]) -> str:
    """FastAPI gives the position of the mistake as the second part of the location."""
    position = location[1] if len(location) > 1 and isinstance(location[1], int) else None
    where = "" if position is None else f" at character {position}"
    return f"The body is not valid JSON{where}"
