"""What Starlette's `HTTPException` says, as an error of the contract."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, cast

from authpi_errors._exceptions import (
    AuthPIError,
    FieldError,
    PreconditionFailedError,
    error_with,
)
from authpi_errors._validation import is_list, is_mapping
from authpi_errors.codes import ErrorCode, fallback

__all__ = ["description_of", "error_of"]


def error_of(
    status: int,
    detail: object,
    codes: Mapping[str, ErrorCode],
    code_for: Callable[[int], ErrorCode],
) -> AuthPIError:
    """Take over what an `HTTPException`, or the response that was made of one, says.

    Args:
        status: Its status, 400 to 599.
        detail: Its detail. FastAPI takes any object.
        codes: The codes that are known, by name.
        code_for: Gives the code of a status.
    """
    code = code_for(status)
    try:
        error = _from_members(detail, status, codes) or _from_detail(detail, code)
    except Exception:
        # An object that does not bear to be looked at: rendering leaves it out, and names it.
        error = error_with(code)
        error.extra = {"detail": detail}
    if error.code.status != status:
        error.status = status
    return error


def _from_detail(detail: object, code: ErrorCode) -> AuthPIError:
    error = error_with(code)
    if isinstance(detail, str):
        error.description = description_of(detail, code.status)
    elif detail is not None:
        error.extra = {"detail": detail}
    return error


# RFC 9110, 15.5, renamed these; Python did so in 3.13.
_RENAMED: Final = {
    413: ("Content Too Large", "Request Entity Too Large"),
    414: ("URI Too Long", "Request-URI Too Long"),
    416: ("Range Not Satisfiable", "Requested Range Not Satisfiable"),
    422: ("Unprocessable Content", "Unprocessable Entity"),
}


def description_of(detail: str, status: int) -> str | None:
    """Take a detail for a description, unless it is what Starlette says by default.

    That is the status' phrase, whose words differ between versions of Python.
    """
    is_default = detail == http.client.responses.get(status, "")
    return None if is_default or detail in _RENAMED.get(status, ()) else detail


def _from_members(
    detail: object, status: int, codes: Mapping[str, ErrorCode]
) -> AuthPIError | None:
    """Take a detail at its word that has `error` and `error_description`."""
    if not is_mapping(detail):
        return None
    members = dict(detail)
    name, description = members.pop("error", None), members.pop("error_description", None)
    if not isinstance(name, str) or not isinstance(description, str):
        return None
    try:
        code = codes.get(name) or ErrorCode(name, status, fallback(status).description)
    except ValueError:
        return None
    error = error_with(code)
    error.description = description
    error.retryable = members.pop("retryable", None)
    error.retry_after = members.pop("retry_after", None)
    error.reference = members.pop("reference", None)
    error.fields = _fields(members.pop("fields", ()))
    if isinstance(error, PreconditionFailedError):
        tags = [members.pop(tag, None) for tag in ("current_etag", "currentETag")]
        error.current_etag = tags[0] or tags[1]
    error.extra = members
    return error


def _fields(fields: object) -> Iterable[FieldError]:
    """Read `fields`; what is none of it stays as it is, to be left out when it is rendered."""
    if not is_list(fields):
        return cast("Iterable[FieldError]", fields)
    return [_field(item) if is_mapping(item) else item for item in fields]


def _field(item: Mapping[str, Any]) -> FieldError:
    parts: Iterator[Any] = map(item.get, ("field", "code", "message"))
    return FieldError(*parts)
