"""An error becomes a response: its status, its headers, its body. The wire format lives here.

Rendering never fails. What an application put into an error and can't be sent is left out, and
named in `ErrorResponse.dropped`; the code always gets through.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from enum import Enum
from itertools import islice
from typing import Any, Final, TypeVar
from uuid import UUID

import orjson

from authpi_errors import _headers
from authpi_errors._challenges import Challenge, merge, parse_challenges, scheme_of_token
from authpi_errors._exceptions import (
    MOST_ITEMS,
    AuthPIError,
    FieldError,
    InsufficientScopeError,
)
from authpi_errors._headers import Header
from authpi_errors._registry import ErrorRegistry
from authpi_errors.codes import ErrorCode, is_error_status

__all__ = ["NOBODY", "Asked", "ErrorResponse", "render"]

# The contract's members. Those that an application adds come after them and replace none.
_MEMBERS: Final = frozenset(
    (
        "error",
        "error_description",
        "reference",
        "retryable",
        "retry_after",
        "fields",
        "current_etag",
        "currentETag",
    )
)

# What describes or frames a body is ours to say, since the body is.
_FRAMING: Final = frozenset(
    (b"content-encoding", b"content-length", b"content-type", b"transfer-encoding")
)

# RFC 6749, 5.1 and 5.2: what is said of credentials is not to be stored.
_NO_STORE: Final = (b"cache-control", b"no-store")
_JSON: Final = (b"content-type", b"application/json")

_T = TypeVar("_T")


@dataclass(slots=True)
class ErrorResponse:
    """An error as it is sent.

    Attributes:
        status: The HTTP status.
        headers: The headers as ASGI has them, names in lower case.
        body: The JSON document, in bytes.
        code: The value of `error` in it.
        reference: The value of `reference` in it, if it has one.
        dropped: What the error held that could not be sent, by name and without the values.
    """

    status: int
    headers: tuple[Header, ...]
    body: bytes
    code: str
    reference: str | None = None
    dropped: tuple[str, ...] = ()


class Asked:
    """What rendering asks about the request that is answered, each only where it matters.

    This one knows of no request.
    """

    __slots__ = ()

    @property
    def method(self) -> str:
        """The request's method."""
        return "GET"

    def has_credentials(self) -> bool:
        """Say whether the request has credentials, for the challenges of a 401."""
        return True

    def allowed_methods(self) -> Iterable[str]:
        """List methods that the request's path takes, for `Allow` on a 405."""
        return ()

    def reference(self, status: int) -> str | None:
        """Give the reference of an error that has none, if one with this status is to have it."""
        del status
        return None


NOBODY: Final = Asked()


def render(error: AuthPIError, registry: ErrorRegistry, asked: Asked = NOBODY) -> ErrorResponse:
    """Render an error in AuthPI's contract.

    Args:
        error: The error, whatever has been put into it.
        registry: What the error's code means, and which challenges a 401 offers.
        asked: The request that is answered.

    Returns:
        The response. This function does not raise.
    """
    parts = _Parts(error)
    code = registry.code_of(error)
    status = parts.read("status", _status) or code.status
    description = parts.text("description") or _default_description(code, status, registry)
    given = parts.headers()
    retry_after = _retry_after(parts, code, status, given)

    members: dict[str, object] = {"error": code.value, "error_description": description}
    reference = parts.text("reference")
    if reference is None:
        reference = asked.reference(status)
    if reference is not None:
        members["reference"] = reference
    members["retryable"] = _retryable(parts, code, status, retry_after)
    if retry_after is not None:
        members["retry_after"] = retry_after
    fields = parts.read("fields", parts.fields)
    if fields:
        members["fields"] = fields

    own = [] if retry_after is None else [(b"retry-after", b"%d" % retry_after)]
    own += parts.own_headers(asked.method)
    if status == 405:
        own.append(_allow(given, asked.allowed_methods()))
    if status == 412:
        given = list(parts.with_entity_tags(given))
        members.update(_current_etag([*own, *given]))
    body = orjson.dumps({**members, **(parts.read("extra", parts.extra) or {})})

    names = {b"retry-after", *(name for name, _ in own)}
    given = [field for field in given if field[0] not in names]
    headers = [] if b"cache-control" in dict(given) else [_NO_STORE]
    said = [value.decode("latin-1") for name, value in given if name == b"www-authenticate"]
    headers += parts.challenges(registry, status, description, said, asked)
    given = [field for field in given if field[0] != b"www-authenticate"]
    framing = _JSON, (b"content-length", b"%d" % len(body))
    return ErrorResponse(
        status,
        (*framing, *headers, *given, *own),
        body,
        code.value,
        reference,
        tuple(parts.dropped),
    )


class _Parts:
    """What an error holds, read part by part: any of it can fail, and takes nothing else along."""

    def __init__(self, error: AuthPIError) -> None:
        self._error = error
        self.dropped: list[str] = []

    def read(self, name: str, convert: Callable[[Any], _T]) -> _T | None:
        """Convert an attribute of the error; `None` where there is none, or where that fails."""
        try:
            value = getattr(self._error, name)
            return None if value is None else convert(value)
        except Exception:
            self.dropped.append(name)
            return None

    def text(self, name: str) -> str | None:
        """Read a text that has something to say."""
        text = self.read(name, _exact_text)
        return self._sendable(name, text) if text and text.strip() else None

    def _sendable(self, name: str, text: str) -> str:
        """Put question marks where UTF-8 has no bytes: for lone surrogates."""
        sendable = text.encode("utf-8", "replace").decode("utf-8")
        if sendable != text:
            self.dropped.append(f"lone surrogates in {name}")
        return sendable

    def fields(self, items: Iterable[object]) -> list[dict[str, str]]:
        """Read the field errors, each by itself."""
        if isinstance(items, str | bytes):
            raise TypeError
        fields: list[dict[str, str]] = []
        try:
            for index, item in enumerate(islice(items, MOST_ITEMS)):
                name = f"fields[{index}]"
                if isinstance(item, FieldError) and _are_texts(item):
                    texts = {"field": item.field, "code": item.code, "message": item.message}
                    fields.append({key: self._sendable(name, texts[key]) for key in texts})
                else:
                    self.dropped.append(name)
        except Exception:
            self.dropped.append("fields")
        return fields

    def headers(self) -> list[Header]:
        """Encode the headers that the application gave."""
        return self.read("headers", lambda headers: list(self._headers(headers.items()))) or []

    def _headers(self, headers: Iterable[tuple[object, object]]) -> Iterator[Header]:
        for name, value in headers:
            header = _headers.encode(name, value)
            # An empty challenge is none.
            if header is None or header[0] in _FRAMING or header == (b"www-authenticate", b""):
                self.dropped.append(f"header {_shown(name)}")
            else:
                yield header

    def own_headers(self, method: str) -> Iterator[Header]:
        """Encode the headers that the error has by what it is; those that were given give way."""
        fields: Mapping[str, str | None] = (
            self.read("header_fields", lambda make: make(method)) or {}
        )
        for name, value in fields.items():
            header = None if value is None else _headers.encode(name, value)
            if header is None:
                self.dropped.append(name)
            else:
                yield header

    def with_entity_tags(self, given: Iterable[Header]) -> Iterator[Header]:
        """Quote entity tags, and leave out what can't be one."""
        for name, value in given:
            tag = _headers.entity_tag(value.decode("latin-1")) if name == b"etag" else None
            if tag is not None:
                yield name, tag.encode("latin-1")
            elif name == b"etag":
                self.dropped.append("header 'etag'")
            else:
                yield name, value

    def challenges(
        self,
        registry: ErrorRegistry,
        status: int,
        description: str,
        lines: list[str],
        asked: Asked,
    ) -> list[Header]:
        """Encode the challenges. RFC 9110, 15.5.2: a 401 has one, whatever the error.

        What the application gave as headers comes first, and stays as it is if it can't be read.
        """
        said, unread = _read_challenges(lines)
        offered = registry.challenges
        if lines and not registry.challenges_given:
            # Nobody but the application has said what the schemes are.
            offered = tuple(said)
        ours = self.read("challenge", lambda make: self._challenges(make(offered, description)))
        if not ours and status == 401:
            ours = list(offered)
        if ours and status == 401 and not asked.has_credentials():
            # RFC 6750, 3.1.
            ours = [challenge.without_error() for challenge in ours]
        taken = {(scheme_of_token(line) or "").lower() for line in unread}
        merged = (
            str(challenge)
            for challenge in merge(said, ours or ())
            if challenge.parameters or challenge.scheme.lower() not in taken
        )
        return [(b"www-authenticate", line.encode("latin-1")) for line in (*unread, *merged)]

    def _challenges(self, challenges: Iterable[object]) -> list[Challenge]:
        found = list(challenges)
        usable = [challenge for challenge in found if isinstance(challenge, Challenge)]
        if len(usable) < len(found):
            lacks_scope = isinstance(self._error, InsufficientScopeError)
            self.dropped.append("scope" if lacks_scope else "challenges")
        return usable

    def extra(self, extra: Mapping[str, object]) -> dict[str, object]:
        """Read the members that the application adds, as far as JSON can say them."""
        added: dict[str, object] = {}
        for name, value in extra.items():
            try:
                if not isinstance(name, str) or name in _MEMBERS:
                    raise TypeError
                added.update(_plain({_exact_text(name): value}))
            except Exception:
                self.dropped.append(f"extra {_shown(name)}")
        return added


def _status(status: int) -> int:
    if not is_error_status(status):
        raise ValueError
    return int(status)


def _exact_text(text: object) -> str:
    """Take the text out of a string, past what a subclass makes of it."""
    if not isinstance(text, str):
        raise TypeError
    return str.__str__(text)


def _are_texts(item: FieldError) -> bool:
    return all(isinstance(part, str) for part in (item.field, item.code, item.message))


def _default_description(code: ErrorCode, status: int, registry: ErrorRegistry) -> str:
    """Say what the code says, or what the status says where that is more: 413 beside 400."""
    if status == code.status:
        return code.description
    other = registry.code_for(status)
    return other.description if other.value == code.value else code.description


def _retry_after(parts: _Parts, code: ErrorCode, status: int, given: list[Header]) -> int | None:
    """Find the one value of `retry_after` and `Retry-After`, in whole seconds."""
    is_ruled_out = parts.read("retryable", lambda retryable: retryable is False)
    seconds = parts.read("retry_after", _delay)
    header = dict(given).get(b"retry-after")
    if seconds is None and header is not None:
        seconds = _headers.delay_seconds(header.decode("latin-1"))
        if seconds is None:
            parts.dropped.append("retry_after")
    if is_ruled_out and seconds is not None:
        # To say when to come back, and that it does not help, is a contradiction.
        parts.dropped.append("retry_after")
        return None
    if seconds is None and not is_ruled_out and status != 412:
        return code.retry_after
    return seconds


def _delay(delay: object) -> int:
    seconds = _headers.delay_seconds(delay)
    if seconds is None:
        raise ValueError
    return seconds


def _retryable(parts: _Parts, code: ErrorCode, status: int, retry_after: int | None) -> bool:
    retryable = parts.read("retryable", _boolean)
    if retryable is not None:
        return retryable
    # To say when to come back is to say that it can help.
    return retry_after is not None or code.is_retryable(status)


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _allow(given: list[Header], allowed: Iterable[str]) -> Header:
    """Add what is allowed to what is said to be. RFC 9110, 15.5.6: a 405 has it, even empty."""
    said = dict(given).get(b"allow", b"").decode("latin-1").split(",")
    methods = dict.fromkeys(method.strip() for method in (*said, *allowed) if method.strip())
    return b"allow", ", ".join(methods).encode("latin-1")


def _current_etag(headers: list[Header]) -> dict[str, str]:
    """Repeat the entity tag of a 412 under both names that AuthPI's clients read."""
    tags = [value.decode("latin-1") for name, value in headers if name == b"etag"]
    return dict.fromkeys(("current_etag", "currentETag"), tags[0]) if tags else {}


def _read_challenges(lines: list[str]) -> tuple[list[Challenge], list[str]]:
    """Read challenges that stand in headers; give those that can't be read, too."""
    said: list[Challenge] = []
    unread: list[str] = []
    for line in lines:
        challenges = parse_challenges(line)
        if challenges is None:
            unread.append(line)
        else:
            said += challenges
    return said, unread


def _plain(member: dict[str, object]) -> dict[str, object]:
    """Make a member of JSON's types alone: of others, orjson can end the whole process.

    Raises:
        Exception: JSON has no word for it.
    """
    plain: dict[str, object] = _DECODER.decode(
        json.dumps(member, allow_nan=False, default=_jsonable)
    )
    orjson.dumps(plain)
    return plain


def _integer(digits: str) -> object:
    """Read an integer; orjson writes those of more than 64 bits only as they stand."""
    number = int(digits)
    if number.bit_length() < 64:
        return number
    # Clients read it as a double, and some refuse a whole body with one that is infinite.
    if len(digits) > sys.float_info.max_10_exp:
        raise ValueError
    return orjson.Fragment(digits)


_DECODER: Final = json.JSONDecoder(parse_int=_integer)


def _jsonable(value: object) -> object:
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, UUID):
        return str(value)
    raise TypeError


def _shown(name: object) -> str:
    """Show a name in a log, in one short line."""
    if isinstance(name, str):
        return ascii(str.__str__(name))[:80]
    return ascii(name)[:80] if type(name) is bytes else type(name).__name__
