"""An answer of which only the error's own is missing, and what fills it in.

A description, a reference, a delay, an entity tag or fields are put between bytes that are the same
for every error of a code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import orjson
from starlette.types import Message, Scope

from authpi_errors._challenges import has_credentials
from authpi_errors._exceptions import MOST_ITEMS, AuthPIError, FieldError
from authpi_errors._headers import Header, is_entity_tag
from authpi_errors._rendering import Asked, ErrorResponse
from authpi_errors._validation import InvalidFields, is_list
from authpi_errors.codes import ErrorCode

__all__ = ["FILLABLE", "Messages", "OddError", "Template", "varying"]

Messages = tuple[Message, Message]
"""The start and the body of a response."""

FILLABLE: Final = frozenset(
    ("code", "description", "fields", "headers", "records", "reference", "retry_after")
)
"""The attributes that an error of any class can have of its own."""

_HeadersOf = Callable[..., tuple[Header, ...]]
_JSON: Final = (b"content-type", b"application/json")
# What a template's headers leave to the error.
_FILLED: Final = frozenset((b"content-type", b"content-length", b"retry-after"))
# Headers that are members of the body, too.
_IN_BODY: Final = frozenset(("etag", "retry-after"))
_LONGEST_TEXT: Final = 500


class Template:
    """What is the same for every error of a code.

    Args:
        cls: The class of the errors.
        code: The code.
        response: An answer without anything of its own.
        fillable: What the errors can have of their own.
        headers_of: Gives the headers of an error that an error does not fill in.
    """

    def __init__(
        self,
        cls: type[AuthPIError],
        code: ErrorCode,
        response: ErrorResponse,
        fillable: frozenset[str],
        headers_of: _HeadersOf,
    ) -> None:
        self.cls = cls
        self.code = code
        self._status = code.status
        # Copies: what orjson gives keeps some 4 KiB for as long as it lives.
        self._body = bytes(memoryview(response.body))
        self._head = b'{"error":' + orjson.dumps(code.value) + b',"error_description":'
        self._description = bytes(memoryview(orjson.dumps(code.description)))
        self._until_reference = self._head + self._description + b',"reference":'
        self._tail = self._body[len(self._head) + len(self._description) :]
        # After the type and the length.
        self._headers = response.headers[2:]
        self._varying_headers = varying(response)
        self._retryable = b',"retryable":true' if code.is_retryable() else b',"retryable":false'
        self._fillable = fillable
        self._headers_of = headers_of
        self._asks_for_credentials = code.status == 401
        self.is_challenged = (
            self._asks_for_credentials or cls.challenge is not AuthPIError.challenge
        )

    def plain(self, error: AuthPIError, scope: Scope) -> Messages | None:
        """Answer an error that has no reference."""
        given = error.__dict__
        if not self.is_challenged:
            if not given:
                return self._messages(self._body, self._headers)
            if len(given) == 1 and "description" in given:
                body = self._head + _text(given["description"]) + self._tail
                return self._messages(body, self._headers)
        if "code" in given:
            return None
        with_credentials = not self._asks_for_credentials or has_credentials(scope)
        body, headers, _ = self._fill(given, with_credentials)
        return self._messages(body, headers)

    def plain_with(self, description: str | None) -> Messages:
        """Answer an error that has a description, or not even that."""
        if description is None:
            return self._messages(self._body, self._headers)
        return self._messages(self._head + _text(description) + self._tail, self._headers)

    def until_fields(self, description: str) -> bytes:
        """Begin the body of an error that has a description and fields."""
        return self._head + _text(description) + self._tail[:-1] + b',"fields":'

    def plain_with_fields(self, start: bytes, members: Sequence[Mapping[str, str]]) -> Messages:
        """Answer an error whose body begins like that, with the items of its `fields`."""
        return self._messages(start + orjson.dumps(members) + b"}", self._headers)

    def plain_without(self, exc: BaseException, scope: Scope) -> Messages:
        """Answer an exception of which nothing but its type gets out."""
        del exc, scope
        return self._messages(self._body, self._headers)

    def plain_with_reference(self, reference: str) -> Messages:
        """Answer an exception of which nothing gets out, with a reference."""
        return self._messages(self._until_reference + _text(reference) + self._tail, self._headers)

    def _messages(self, body: bytes, headers: tuple[Header, ...]) -> Messages:
        size = len(body)
        length = _LENGTHS[size] if size < _MOST_DIGITS else (b"content-length", b"%d" % size)
        return (
            {
                "type": "http.response.start",
                "status": self._status,
                # A list of their own: middleware outside appends to it.
                "headers": [_JSON, length, *headers],
            },
            {"type": "http.response.body", "body": body},
        )

    def fill(self, given: Mapping[str, Any], asked: Asked) -> ErrorResponse | None:
        """Answer an error of which these attributes are set; `None` if one is odd."""
        with_credentials = not self._asks_for_credentials or asked.has_credentials()
        body, headers, reference = self._fill(given, with_credentials, asked)
        length = (b"content-length", b"%d" % len(body))
        return ErrorResponse(
            self._status, (_JSON, length, *headers), body, self.code.value, reference
        )

    def _fill(
        self, given: Mapping[str, Any], with_credentials: bool, asked: Asked | None = None
    ) -> tuple[bytes, tuple[Header, ...], str | None]:
        """Give the body, the headers after the length, and the reference."""
        if not self._fillable.issuperset(given):
            raise OddError
        headers = self._varying_headers
        if self.is_challenged or "headers" in given:
            headers = self._headers_of_its_own(given, with_credentials)
        description: str | None = given.get("description")
        text = self._description if description is None else _text(description)
        own_delay: int | None = given.get("retry_after")
        retry_after = self.code.retry_after if own_delay is None else own_delay
        if retry_after is not None:
            if type(retry_after) is not int or not 0 <= retry_after < 2**31:
                raise OddError
            digits = _DIGITS[retry_after] if retry_after < _MOST_DIGITS else b"%d" % retry_after
            headers += ((b"retry-after", digits),)
            parts = [self._head, text, b',"retryable":true,"retry_after":', digits]
        else:
            parts = [self._head, text, self._retryable]
        # What few have is looked for before it is asked for: that costs less.
        if "fields" in given:
            parts += b',"fields":', _fields(given["fields"])
        if "current_etag" in given and (tag := given["current_etag"]) is not None:
            headers += ((b"etag", _tag(tag)),)
            encoded = orjson.dumps(tag)
            parts += b',"current_etag":', encoded, b',"currentETag":', encoded
        reference: str | None = None
        if "reference" in given:
            reference = given["reference"]
        if reference is None and asked is not None:
            # Asked for once: what is odd has been found by now.
            reference = asked.reference(self._status)
        if reference is not None:
            parts[2:2] = b',"reference":', _text(reference)
        parts.append(b"}")
        return b"".join(parts), headers, reference

    def _headers_of_its_own(
        self, given: Mapping[str, Any], with_credentials: bool
    ) -> tuple[Header, ...]:
        """Give the headers of an error that has challenges, or headers of its own."""
        description = _said(given.get("description", self.code.description))
        scope = _said(given.get("scope", ""))
        headers: Mapping[str, str] = given.get("headers", {})
        said = tuple([(_said(name), _said(value)) for name, value in headers.items()])
        names = {name.lower() for name, _ in said}
        # A field that is there twice, such as Set-Cookie, is for careful rendering.
        if len(names) < len(said) or not _IN_BODY.isdisjoint(names):
            raise OddError
        return self._headers_of(self, description, scope, said, with_credentials)


def varying(response: ErrorResponse) -> tuple[Header, ...]:
    """Give the headers that an error does not fill in."""
    return tuple(field for field in response.headers if field[0] not in _FILLED)


class OddError(Exception):
    """Something that careful rendering has to look at."""


def _text(text: object) -> bytes:
    if type(text) is not str or not text or text.isspace():
        raise OddError
    return orjson.dumps(text)


# Most bodies are short, and most delays.
_MOST_DIGITS: Final = 512
_DIGITS: Final = tuple(b"%d" % number for number in range(_MOST_DIGITS))
_LENGTHS: Final = tuple((b"content-length", digits) for digits in _DIGITS)


def _said(text: object) -> str:
    """Take a text that is worth to be remembered."""
    if type(text) is not str or len(text) > _LONGEST_TEXT:
        raise OddError
    return text


def _fields(fields: object) -> bytes:
    if type(fields) is InvalidFields and fields:
        return orjson.dumps(fields.members)
    if (
        not is_list(fields)
        # A subclass can say that it holds something else.
        or type(fields) not in (list, tuple)
        or not 0 < len(fields) <= MOST_ITEMS
        or not all(map(_is_plain_field, fields))
    ):
        raise OddError
    return orjson.dumps(fields)


def _is_plain_field(item: object) -> bool:
    return (
        type(item) is FieldError
        and type(item.field) is str
        and type(item.code) is str
        and type(item.message) is str
    )


def _tag(tag: object) -> bytes:
    if type(tag) is str and is_entity_tag(tag):
        return tag.encode("latin-1")
    raise OddError
