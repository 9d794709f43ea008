"""An error response that someone else made: is it the framework's, and what does it mean?

Rewritten is what is clearly a framework's: plain text, nothing at all, FastAPI's `{"detail": …}`.
What an application wrote for its clients (HTML, JSON, a stream) stays, and so does what came from a
server behind it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import Headers
from starlette.types import Scope

from authpi_errors._content_type import media_type_of
from authpi_errors._exceptions import AuthPIError
from authpi_errors._registry import ErrorRegistry
from authpi_errors._validation import is_list, is_mapping

__all__ = [
    "LONGEST_BODY",
    "ForeignResponse",
    "error_of_detail",
    "foreign_error",
    "may_be_foreign",
]

LONGEST_BODY: Final = 65_536
"""How many bytes of a body are looked at. A framework's errors are shorter."""

_LONGEST_DESCRIPTION: Final = 200

# What FastAPI's default handlers write, up to where it differs.
_DETAIL: Final = b'{"detail":'

# What described the old body, or the resource that it represented (RFC 9110, 8).
_OF_THE_BODY: Final = frozenset(
    {
        "accept-ranges",
        "content-digest",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-length",
        "content-location",
        "content-md5",
        "content-range",
        "content-type",
        "etag",
        "last-modified",
        "repr-digest",
        "trailer",
        "transfer-encoding",
    }
)
# RFC 9110, 15.5.17 and 15.5.13 give these a meaning in an error.
_KEPT_WITH: Final = {416: "content-range", 412: "etag"}


@dataclass(frozen=True, slots=True)
class ForeignResponse:
    """An error response that something other than this library has made.

    Attributes:
        scope: The scope of the request.
        status: The HTTP status, 400 to 599.
        headers: The headers.
        body: The body, in bytes; no longer than 65,536.
    """

    scope: Scope
    status: int
    headers: Headers
    body: bytes

    @property
    def is_foreign(self) -> bool:
        """Whether the library would rewrite it: what is to be decided otherwise, or not."""
        if not may_be_foreign(self.headers, self.body):
            return False
        if self.media_type == "application/json":
            return _detail(self.body) is not None
        return self.media_type != "" or _is_text(self.body)

    @property
    def media_type(self) -> str:
        """The media type of the body, in lower case and without parameters."""
        return media_type_of(self.headers)


def may_be_foreign(headers: Headers, body: bytes | bytearray) -> bool:
    """Say whether a response with these headers, and a body that begins so, may be a framework's.

    Args:
        headers: The headers.
        body: What there is of the body so far.
    """
    if len(body) > LONGEST_BODY or _announced(headers) > LONGEST_BODY:
        return False
    # A framework leaves Date to the server; a gateway adds Via (RFC 9110, 6.6.1 and 7.6.3).
    if any(name in headers for name in ("content-encoding", "date", "via")):
        return False
    match media_type_of(headers):
        case "text/plain":
            return True
        case "application/json":
            start = b"".join(bytes(body[:64]).split(None, 2)[:2])[: len(_DETAIL)]
            return _DETAIL.startswith(start)
        case "":
            # Starlette's `Response` has no type for a text; what else has none shows what it is.
            return not body.lstrip().startswith((b"<", b"{", b"["))
        case _:
            return False


def foreign_error(response: ForeignResponse, registry: ErrorRegistry) -> AuthPIError:
    """Give the error that says in the contract what a response says.

    Args:
        response: The response, of any kind.
        registry: What its status means.
    """
    error = _error(response, registry)
    kept_with = _KEPT_WITH.get(response.status)
    error.headers = Headers(
        raw=[
            (name, value)
            for name, value in response.headers.raw
            if name.decode("latin-1") not in _OF_THE_BODY or name.decode("latin-1") == kept_with
        ]
    )
    return error


def _error(response: ForeignResponse, registry: ErrorRegistry) -> AuthPIError:
    if response.media_type == "application/json":
        detail = _detail(response.body)
        if response.status == 422:
            return error_of_detail(response.status, detail, registry)
        return registry.error_for(response.status, detail)
    text = _text(response) if response.media_type in ("text/plain", "") else None
    return registry.error_for(response.status, text)


def error_of_detail(status: int, detail: object, registry: ErrorRegistry) -> AuthPIError:
    """Give the error that a detail of FastAPI's stands for: a text, or what pydantic has found."""
    if is_list(detail) and _are_validation_errors(detail):
        return registry.fields_error(detail)
    return registry.error_for(status, detail)


def _detail(body: bytes) -> object:
    """Read FastAPI's `detail`, if the body is that and nothing else."""
    try:
        document: object = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document["detail"] if is_mapping(document) and set(document) == {"detail"} else None


def _are_validation_errors(details: Sequence[object]) -> bool:
    return all(is_mapping(item) and {"loc", "msg", "type"} <= set(item) for item in details)


def _is_text(body: bytes) -> bool:
    try:
        return not _CONTROLS.search(body.decode())
    except UnicodeDecodeError:
        return False


# Those that no text has: C0 but for tabs and the ends of lines, DEL, C1.
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def _text(response: ForeignResponse) -> str | None:
    """Take over a short text that was written for clients. A server's failure is nobody's."""
    try:
        text = response.body.decode().strip()
    except UnicodeDecodeError:
        return None
    if response.status >= 500 or not text.isprintable() or len(text) > _LONGEST_DESCRIPTION:
        return None
    return text


def _announced(headers: Headers) -> int:
    length = headers.get("content-length", "")
    return int(length) if length.isdecimal() and len(length) < 20 else 0
