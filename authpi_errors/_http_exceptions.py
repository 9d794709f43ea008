"""Starlette's `HTTPException` as an error of the contract."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from starlette.exceptions import HTTPException

from authpi_errors._exceptions import (
    AuthPIError,
    FieldError,
    PreconditionFailedError,
    error_with,
)
from authpi_errors._validation import is_list, is_mapping
from authpi_errors.codes import ErrorCode, fallback, is_error_status

__all__ = ["http_error"]


def http_error(
    exc: HTTPException, codes: Mapping[str, ErrorCode], code_for: Callable[[int], ErrorCode]
) -> AuthPIError | None:
    """Take over what an `HTTPException` says.

    Args:
        exc: The exception. FastAPI's can have any object for its detail.
        codes: The codes that are known, by name.
        code_for: Gives the code of a status.

    Returns:
        The error; `None` if the exception's status, such as a redirect's, is not that of an error.
    """
    if not is_error_status(exc.status_code):
        return None
    status = int(exc.status_code)
    detail: object = exc.detail
    error = _from_members(detail, status, codes) or _from_detail(detail, code_for(status))
    error.status = status
    error.headers = exc.headers
    if isinstance(error, PreconditionFailedError) and error.current_etag is None:
        error.current_etag = _header(exc.headers, "etag")
    return error


def _from_detail(detail: object, code: ErrorCode) -> AuthPIError:
    error = error_with(code)
    if isinstance(detail, str):
        # Starlette's default, whose words differ between versions of Python.
        is_default = detail == http.client.responses.get(code.status, "")
        error.description = None if is_default else detail
    elif detail is not None:
        error.extra = {"detail": detail}
    return error


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
    tags = [members.pop(tag, None) for tag in ("current_etag", "currentETag")]
    if isinstance(error, PreconditionFailedError):
        error.current_etag = tags[0] or tags[1]
    error.extra = members
    return error


def _fields(fields: object) -> list[Any]:
    """Read `fields`; what is none of it stays as it is, to be left out when it is rendered."""
    items = fields if is_list(fields) else ()
    return [_field(item) if is_mapping(item) else item for item in items]


def _field(item: Mapping[str, Any]) -> FieldError:
    parts: Iterator[Any] = map(item.get, ("field", "code", "message"))
    return FieldError(*parts)


def _header(headers: object, name: str) -> str | None:
    for key, value in headers.items() if is_mapping(headers) else ():
        if isinstance(key, str) and key.lower() == name:
            return str(value)
    return None
