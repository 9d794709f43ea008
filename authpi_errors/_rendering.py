"""An error becomes a response: its status, its headers, its body. The wire format lives here.

Rendering never fails. What an application put into an error and can't be sent is left out, and
named in `ErrorResponse.dropped`; the code always gets through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

import orjson

from authpi_errors import _headers
from authpi_errors._exceptions import AuthPIError, FieldError
from authpi_errors._headers import Header
from authpi_errors._registry import ErrorRegistry
from authpi_errors.codes import ErrorCode, is_error_status

__all__ = ["ErrorResponse", "render"]

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
    {b"content-encoding", b"content-length", b"content-type", b"transfer-encoding"}
)


# RFC 6749, 5.1 and 5.2: what is said of credentials is not to be stored.
_NO_STORE: Final = (b"cache-control", b"no-store")


@dataclass(frozen=True, slots=True)
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


def render(
    error: AuthPIError,
    registry: ErrorRegistry,
    *,
    method: str = "GET",
    make_reference: Callable[[], str] | None = None,
) -> ErrorResponse:
    """Render an error in AuthPI's contract.

    Args:
        error: The error, whatever has been put into it.
        registry: What the error's code means, and which challenges a 401 offers.
        method: The method of the request that is answered.
        make_reference: Makes the reference of a 5xx that has none.

    Returns:
        The response. This function does not raise.
    """
    try:
        return _render(error, registry, method, make_reference)
    except Exception:
        return _salvage(error, registry, method, make_reference)


def _salvage(
    error: AuthPIError,
    registry: ErrorRegistry,
    method: str,
    make_reference: Callable[[], str] | None,
) -> ErrorResponse:
    """Render as much of an error as can be: put it together anew, and leave out what fails."""
    bare = AuthPIError()
    bare.code = type(error).code
    response = _render(bare, registry, method, make_reference)
    copy = AuthPIError.__new__(type(error))
    failed: list[str] = []
    for name, value in vars(error).items():
        setattr(copy, name, value)
        try:
            response = _render(copy, registry, method, make_reference)
        except Exception:
            delattr(copy, name)
            failed.append(name)
    return replace(response, dropped=(*response.dropped, *failed))


def _render(
    error: AuthPIError,
    registry: ErrorRegistry,
    method: str,
    make_reference: Callable[[], str] | None,
) -> ErrorResponse:
    dropped: list[str] = []
    code = registry.code_of(error)
    status = _status(error, code, dropped)
    description = _text("description", error.description, dropped)
    if description is None:
        description = _default_description(code, status, registry)
    given = list(_given_headers(error, dropped))
    retry_after = _retry_after(error, code, dict(given).get(b"retry-after"), dropped)

    members: dict[str, object] = {"error": code.value, "error_description": description}
    reference = _text("reference", error.reference, dropped)
    if reference is None and status >= 500 and make_reference is not None:
        reference = make_reference()
    if reference is not None:
        members["reference"] = reference
    members["retryable"] = _retryable(error, code, status, retry_after, dropped)
    if retry_after is not None:
        members["retry_after"] = retry_after
    fields = list(_fields(error, dropped))
    if fields:
        members["fields"] = fields
    members.update(_own(error.members(), dropped))
    body = _dump(members, error.extra, dropped)

    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    headers += _own_headers(error, method, retry_after, dropped)
    ours = {b"retry-after", *(name for name, _ in headers)}
    given = [field for field in given if field[0] not in ours]
    taken = {name for name, _ in given}
    if b"cache-control" not in taken:
        headers.append(_NO_STORE)
    if b"www-authenticate" not in taken:
        headers += _challenges(error, status, description, registry)
    return ErrorResponse(status, (*headers, *given), body, code.value, reference, tuple(dropped))


def _status(error: AuthPIError, code: ErrorCode, dropped: list[str]) -> int:
    if error.status is None:
        return code.status
    if is_error_status(error.status):
        return int(error.status)
    dropped.append("status")
    return code.status


def _default_description(code: ErrorCode, status: int, registry: ErrorRegistry) -> str:
    """Say what the code says, or what the status says where that is more: 413 beside 400."""
    if status == code.status:
        return code.description
    other = registry.code_for(status)
    return other.description if other.value == code.value else code.description


def _text(name: str, text: object, dropped: list[str]) -> str | None:
    """Take a text that has something to say; what UTF-8 has no bytes for is replaced."""
    if text is None:
        return None
    if not isinstance(text, str):
        dropped.append(name)
        return None
    sendable = _sendable(text)
    if sendable != text:
        dropped.append(f"lone surrogates in {name}")
    return sendable if sendable.strip() else None


def _sendable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _retry_after(
    error: AuthPIError, code: ErrorCode, header: bytes | None, dropped: list[str]
) -> int | None:
    """Find the one value of `retry_after` and `Retry-After`, in whole seconds."""
    given: object = error.retry_after
    if given is None and header is not None:
        given = header.decode("latin-1")
    default = None if error.retryable is False else code.retry_after
    if given is None:
        return default
    # To say when to come back, and that it does not help, is a contradiction.
    seconds = None if error.retryable is False else _headers.delay_seconds(given)
    if seconds is None:
        dropped.append("retry_after")
        return default
    return seconds


def _retryable(
    error: AuthPIError, code: ErrorCode, status: int, retry_after: int | None, dropped: list[str]
) -> bool:
    retryable: object = error.retryable
    if isinstance(retryable, bool):
        return retryable
    if retryable is not None:
        dropped.append("retryable")
    # To say when to come back is to say that it can help.
    return retry_after is not None or code.is_retryable(status)


def _fields(error: AuthPIError, dropped: list[str]) -> Iterator[dict[str, str]]:
    for index, item in enumerate(error.fields):
        parts = (item.field, item.code, item.message) if isinstance(item, FieldError) else ()
        if parts and all(isinstance(part, str) for part in parts):
            field, code, message = map(_sendable, parts)
            yield {"field": field, "code": code, "message": message}
        else:
            dropped.append(f"fields[{index}]")


def _own(parts: Mapping[str, str | None], dropped: list[str]) -> Iterator[tuple[str, str]]:
    """Give what an error's class adds, as far as it can be sent."""
    for name, value in parts.items():
        if value is None:
            dropped.append(name)
        else:
            yield name, value


def _given_headers(error: AuthPIError, dropped: list[str]) -> Iterator[Header]:
    """Encode the headers that the application gave."""
    for name, value in (error.headers or {}).items():
        header = _headers.encode(name, value)
        if header is None or header[0] in _FRAMING:
            dropped.append(f"header {_shown(name)}")
        else:
            yield header


def _own_headers(
    error: AuthPIError, method: str, retry_after: int | None, dropped: list[str]
) -> Iterator[Header]:
    """Encode the headers that the error has by what it is; the application's give way to them."""
    if retry_after is not None:
        yield b"retry-after", b"%d" % retry_after
    for name, value in _own(error.header_fields(method), dropped):
        header = _headers.encode(name, value)
        if header is not None:
            yield header


def _challenges(
    error: AuthPIError, status: int, description: str, registry: ErrorRegistry
) -> list[Header]:
    offered = registry.challenges
    challenges = error.challenge(offered, description)
    # RFC 9110, 15.5.2: a 401 has a challenge, whatever the error.
    if not challenges and status == 401:
        challenges = offered
    fields = (_headers.encode("www-authenticate", str(challenge)) for challenge in challenges)
    return [field for field in fields if field is not None]


def _dump(
    members: dict[str, object], extra: Mapping[str, object] | None, dropped: list[str]
) -> bytes:
    """Write the document, without those of the extra members that JSON can't say."""
    added: dict[str, object] = {}
    for name, value in (extra or {}).items():
        if isinstance(name, str) and name not in _MEMBERS:
            added[name] = value
        else:
            dropped.append(f"extra {_shown(name)}")
    try:
        return orjson.dumps({**members, **added})
    except orjson.JSONEncodeError:
        for name, value in added.items():
            try:
                orjson.dumps({name: value})
            except orjson.JSONEncodeError:
                dropped.append(f"extra {_shown(name)}")
            else:
                members[name] = value
        return orjson.dumps(members)


def _shown(name: object) -> str:
    """Show a name in a log: never raises, never breaks the line."""
    return ascii(name)[:80] if isinstance(name, str | bytes) else type(name).__name__
