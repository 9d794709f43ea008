"""What documents say of each code: its schema, with an example; its headers; its response.

All is pure, and made of the tables below. `Components` gives what is made its names.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from authpi_errors._exceptions import FieldError, PreconditionFailedError, error_with
from authpi_errors._registry import ErrorRegistry
from authpi_errors._rendering import render
from authpi_errors.codes import (
    CODES,
    INSUFFICIENT_SCOPE,
    INVALID_REQUEST,
    SERVER_ERROR,
    ErrorCode,
)

__all__ = ["GENERAL", "Components", "Object", "reference"]

Object = dict[str, Any]
"""An object of a document."""

GENERAL: Final = "AuthPIError"
"""The name of the schema, and of the response, with any error."""

_FIELD_ERROR: Final = "FieldError"
_JSON: Final = "application/json"
_ENTITY_TAG: Final = '"1709139700000"'
_REFERENCE: Final = "7f3c2a91b04d5e68"


def reference(section: str, name: str) -> Object:
    """Give the Reference Object for a component: OpenAPI 3.1, 4.8.23."""
    return {"$ref": f"#/components/{section}/{name}"}


# Members of an error

_CURRENT_ETAG: Final = {
    "type": "string",
    "description": "The entity tag of the current version, as in ETag.",
}
_MEMBERS: Final[Mapping[str, Object]] = {
    "error": {"type": "string", "description": "The code of the error, for programs."},
    "error_description": {"type": "string", "description": "What happened, for a person."},
    "reference": {"type": "string", "description": "Finds this error in the server's logs."},
    "retryable": {
        "type": "boolean",
        "description": "Whether the same request may succeed later, unchanged.",
    },
    "retry_after": {
        "type": "integer",
        "minimum": 0,
        "description": "Seconds to wait before that, as in Retry-After.",
    },
    "fields": {
        "type": "array",
        "items": reference("schemas", _FIELD_ERROR),
        "description": "What is wrong with which field.",
    },
    "current_etag": _CURRENT_ETAG,
    "currentETag": _CURRENT_ETAG,
}
_COMMON: Final = ("error", "error_description", "reference", "retryable", "retry_after")
_REQUIRED: Final = ("error", "error_description", "retryable")
# The members that only errors of these statuses and codes have.
_OWN_MEMBERS: Final[Mapping[int | str, tuple[str, ...]]] = {
    400: ("fields",),
    422: ("fields",),
    INVALID_REQUEST.value: ("fields",),
    412: ("current_etag", "currentETag"),
}

_FIELD_ERROR_SCHEMA: Final[Object] = {
    "title": _FIELD_ERROR,
    "description": "What is wrong with one field of a request.",
    "type": "object",
    "properties": {
        "field": {
            "type": "string",
            "description": "Where it is: a field of the body by its path, such as user.email; "
            "another behind its place, such as query.limit.",
        },
        "code": {"type": "string", "description": "The kind of mistake, for programs."},
        "message": {"type": "string", "description": "The same for a person."},
    },
    "required": ["field", "code", "message"],
}


# Headers of an error


def _header(name: str, description: str, example: object, *, required: bool = False) -> Object:
    schema = {"type": "integer", "minimum": 0} if isinstance(example, int) else {"type": "string"}
    header = {"description": description, "schema": schema, "example": example}
    return {"name": name, "header": {**header, "required": True} if required else header}


# Of two with one name the later counts: every 401 has a challenge.
_HEADERS: Final[Mapping[str, Object]] = {
    "CacheControl": _header(
        "Cache-Control", "Errors are not to be stored.", "no-store", required=True
    ),
    "ScopeChallenge": _header(
        "WWW-Authenticate",
        "The scope that the token lacks (RFC 6750, 3).",
        'Bearer error="insufficient_scope", scope="users:write"',
    ),
    "Challenge": _header(
        "WWW-Authenticate",
        "How to authenticate (RFC 9110, 11.6.1).",
        'Bearer realm="api"',
        required=True,
    ),
    "Allow": _header("Allow", "The methods that the resource takes.", "GET, HEAD", required=True),
    "CurrentETag": _header("ETag", "The entity tag of the current version.", _ENTITY_TAG),
    "Accept": _header("Accept", "The media types that are supported.", _JSON),
    "RetryAfter": _header("Retry-After", "Seconds to wait before the next request.", 30),
}
# The headers that only errors of these statuses and codes have.
_OWN_HEADERS: Final[Mapping[int | str, str]] = {
    401: "Challenge",
    INSUFFICIENT_SCOPE.value: "ScopeChallenge",
    405: "Allow",
    412: "CurrentETag",
    415: "Accept",
}
# What is not retryable may still be so in one case: a resource that is being changed.
_WORTH_WAITING: Final = frozenset({409, 423})


class Components:
    """The components for the codes of a registry, and for further ones."""

    def __init__(self, registry: ErrorRegistry, further: Iterable[ErrorCode] = ()) -> None:
        """Give each code a meaning, where the registry's word comes first, and a name."""
        self._registry = registry
        self._codes = dict(registry.codes)
        for code in further:
            self._codes.setdefault(code.value, code)
        self._names = _names(self._codes)

    def shared(self) -> Object:
        """Give what responses refer to, as a Components Object: OpenAPI 3.1, 4.8.7."""
        schemas = {_FIELD_ERROR: _FIELD_ERROR_SCHEMA, GENERAL: _general_schema()}
        for code in self._codes.values():
            schemas[self._names[code.value]] = _schema(self._names[code.value], code)
        made = {
            "headers": {name: entry["header"] for name, entry in _HEADERS.items()},
            "schemas": schemas,
            "responses": {GENERAL: _general_response()},
        }
        return copy.deepcopy(made)

    def by_name(self) -> dict[str, Object]:
        """Give the Response Object of each code, by the name of its component."""
        return {self._names[code.value]: self._response([code]) for code in self._codes.values()}

    def by_status(self, codes: Iterable[ErrorCode]) -> dict[str, Object]:
        """Give the Response Objects of some codes, which `Components` was given, by status."""
        groups: dict[str, dict[str, ErrorCode]] = {}
        for code in (_meant(code, self._registry) for code in codes):
            groups.setdefault(str(code.status), {}).setdefault(code.value, code)
        return {status: self._response([*group.values()]) for status, group in groups.items()}

    def _response(self, group: Sequence[ErrorCode]) -> Object:
        """Describe the response that has one of some codes, all of one status."""
        own = {name for code in group for name in _header_names(code)}
        return {
            "description": _description(group),
            "headers": _header_references(name for name in _HEADERS if name in own),
            "content": {_JSON: {"schema": self._union([code.value for code in group])}},
        }

    def _union(self, codes: Sequence[str]) -> Object:
        """Give the schema that one of some codes has; `error` says which."""
        choices = {code: reference("schemas", self._names[code]) for code in codes}
        if len(choices) == 1:
            return choices[codes[0]]
        mapping = {code: choice["$ref"] for code, choice in choices.items()}
        discriminator = {"propertyName": "error", "mapping": mapping}
        return {"oneOf": list(choices.values()), "discriminator": discriminator}


def _names(codes: Iterable[str]) -> dict[str, str]:
    """Name codes as their classes would be named, and each otherwise."""
    names: dict[str, str] = {}
    for code in codes:
        words = re.findall(r"[A-Za-z0-9]+", code)
        name = "".join(word[:1].upper() + word[1:] for word in words).removesuffix("Error")
        name += "Error"
        while name in {*names.values(), GENERAL, _FIELD_ERROR}:
            name = f"AuthPI{name}"
        names[code] = name
    return names


def _meant(code: ErrorCode, registry: ErrorRegistry) -> ErrorCode:
    """Give what a code means in an application that has this registry."""
    standard, replaced = CODES.get(code.value), registry.codes.get(code.value)
    if replaced is None or replaced is standard:
        return code
    # One of AuthPI's codes with another status is meant so: 428 for `invalid_request`. So is one of
    # the registry's own that it gives to another status.
    is_own = registry.statuses.get(code.status) == code.value
    usual = replaced if is_own else standard
    return code if usual is not None and usual.status != code.status else replaced


# Schemas


def _schema(name: str, code: ErrorCode) -> Object:
    members = _members(*_COMMON, *_own_members(code))
    members["error"]["const"] = code.value
    return _error_schema(name, code.description, members, _example(code))


def _general_schema() -> Object:
    description = "Any error. More members may follow those that are listed."
    members = _members(*_MEMBERS)
    members["error"]["examples"] = list(CODES)
    return _error_schema(GENERAL, description, members, _example(SERVER_ERROR))


def _error_schema(name: str, description: str, members: Object, example: Object) -> Object:
    return {
        "title": name,
        "description": description,
        "type": "object",
        "properties": members,
        "required": list(_REQUIRED),
        "examples": [example],
    }


def _own_members(code: ErrorCode) -> Iterator[str]:
    for key in (code.status, code.value):
        yield from _OWN_MEMBERS.get(key, ())


def _members(*names: str) -> Object:
    return {name: dict(_MEMBERS[name]) for name in names}


def _example(code: ErrorCode) -> Object:
    """Give what is really sent, of an error that has what errors of its status have."""
    error = error_with(code)
    if isinstance(error, PreconditionFailedError):
        error.current_etag = _ENTITY_TAG
    if "fields" in _own_members(code):
        error.fields = [FieldError("query.limit", "less_than_equal", "At most 100.")]
    if code.status == 429:
        error.retry_after = code.retry_after or 30
    if code.status >= 500:
        error.reference = _REFERENCE
    example: Object = json.loads(render(error, ErrorRegistry()).body)
    return example


# Responses


def _header_names(code: ErrorCode) -> Iterator[str]:
    yield "CacheControl"
    for key in (code.status, code.value):
        if key in _OWN_HEADERS:
            yield _OWN_HEADERS[key]
    if code.is_retryable() or code.status in _WORTH_WAITING:
        yield "RetryAfter"


def _header_references(names: Iterable[str]) -> Object:
    return {_HEADERS[name]["name"]: reference("headers", name) for name in names}


def _description(group: Sequence[ErrorCode]) -> str:
    """Say what the codes mean, in Markdown's list where there are several."""
    if len(group) == 1:
        return group[0].description
    return "\n".join(f"- `{code.value}`: {code.description}" for code in group)


def _general_response() -> Object:
    return {
        "description": "Any other error, in the same form: `error` says which.",
        "headers": _header_references(["CacheControl"]),
        "content": {_JSON: {"schema": reference("schemas", GENERAL)}},
    }
