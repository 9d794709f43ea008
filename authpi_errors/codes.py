"""The codes of AuthPI's errors: what a client reads in the member `error`.

A code is a frozen record, `ErrorCode`: its name, the status it goes with, and what it says when
nobody says more. Applications add their own beside the eleven of AuthPI. A status that has no code
of its own falls back to one of the eleven: see `fallback`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, TypeGuard

__all__ = [
    "ACCESS_DENIED",
    "CODES",
    "CONFLICT",
    "INSUFFICIENT_SCOPE",
    "INVALID_CONTENT_TYPE",
    "INVALID_REQUEST",
    "NOT_FOUND",
    "PRECONDITION_FAILED",
    "SERVER_ERROR",
    "SESSION_EXPIRED",
    "UNAUTHORIZED_CLIENT",
    "USAGE_LIMIT_EXCEEDED",
    "ErrorCode",
    "fallback",
    "is_error_status",
    "status_of_close",
]

# The characters of an OAuth error code, less the space: RFC 6749, 5.2 and RFC 6750, 3.
_CODE_NAME: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")

# The statuses after which the same request may succeed, unchanged: AuthPI's clients repeat on them.
_RETRYABLE_STATUSES: Final = frozenset({408, 429, 502, 503, 504})


def is_error_status(status: object) -> TypeGuard[int]:
    """Say whether `status` is an HTTP error status: an integer from 400 to 599 (RFC 9110, 15)."""
    return isinstance(status, int) and 400 <= status <= 599


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """One code of the contract, or one of an application's own.

    Attributes:
        value: The code as it stands in `error`, such as `"not_found"`.
        status: The HTTP status that goes with it, 400 to 599. A single error may take another.
        description: What `error_description` says when the error has no description of its own.
            Clients' developers read it: say what happened and what to do.
        retryable: Whether the same request may succeed later, unchanged. `None` leaves it to the
            status: 408, 429, 502, 503 and 504 are retryable.
        retry_after: Seconds to wait before a repetition, for errors that do not know better.

    Raises:
        ValueError: A part is not usable; the message says which and what it should be.

    Example:
        >>> ErrorCode("quota_exhausted", 402, "The plan's quota is used up.").status
        402
    """

    value: str
    status: int
    description: str
    retryable: bool | None = None
    retry_after: int | None = None

    def __post_init__(self) -> None:
        """Refuse what could not be sent, while the application is being built."""
        name = self.value
        if not isinstance(name, str) or not _CODE_NAME.fullmatch(name):
            raise ValueError(
                f"The error code {name!r} is not usable: use a word such as 'quota_exhausted', in "
                "printable ASCII without spaces, quotes and backslashes."
            )
        if not is_error_status(self.status):
            raise ValueError(
                f"The error code {name!r} has the status {self.status!r}: use an integer from 400 "
                "to 599."
            )
        if not isinstance(self.description, str) or not _is_sendable(self.description):
            raise ValueError(
                f"The error code {name!r} has the description {self.description!r}: use a sentence "
                "for the developers of clients."
            )
        if not isinstance(self.retryable, bool | None):
            raise ValueError(
                f"The error code {name!r} has retryable={self.retryable!r}: use True, False, or "
                "None to follow the status."
            )
        if self.status == 412 and self.retryable:
            raise ValueError(
                f"The error code {name!r} has the status 412 and retryable=True: leave retryable "
                "out, since the same request will fail again."
            )
        self._check_retry_after()

    def _check_retry_after(self) -> None:
        seconds = self.retry_after
        if seconds is None:
            return
        if not isinstance(seconds, int) or isinstance(seconds, bool) or not 0 <= seconds < 2**31:
            raise ValueError(
                f"The error code {self.value!r} has retry_after={seconds!r}: use whole seconds, "
                "from 0 to 2147483647."
            )
        if not self.is_retryable():
            raise ValueError(
                f"The error code {self.value!r} is not retryable, but has retry_after={seconds}: "
                "leave retry_after out, or set retryable=True."
            )

    def is_retryable(self, status: int | None = None) -> bool:
        """Say whether an error of this code with `status` (or the code's own) may be repeated.

        What has failed with a 412 fails again, whatever the code.
        """
        if self.retryable is not None and status != 412:
            return self.retryable
        return (self.status if status is None else status) in _RETRYABLE_STATUSES


def _is_sendable(text: str) -> bool:
    """Say whether `text` has something to say and is Unicode that UTF-8 can encode."""
    try:
        return bool(text.strip()) and bool(text.encode())
    except UnicodeEncodeError:
        return False


INVALID_REQUEST: Final = ErrorCode(
    "invalid_request",
    400,
    "The request is malformed, or a parameter is missing or not supported. Correct it before "
    "sending it again.",
)
INVALID_CONTENT_TYPE: Final = ErrorCode(
    "invalid_content_type",
    415,
    "The content type of the request is not supported here. Send the body as a media type that "
    "is, as Accept lists them where it is given, and name it in Content-Type.",
)
ACCESS_DENIED: Final = ErrorCode(
    "access_denied",
    403,
    "The request was understood and refused: these credentials do not permit it. Ask for access, "
    "or use other credentials.",
)
INSUFFICIENT_SCOPE: Final = ErrorCode(
    "insufficient_scope",
    403,
    "The access token lacks a scope that this request needs. Get a token with that scope, as "
    "WWW-Authenticate names it where it is given.",
)
SESSION_EXPIRED: Final = ErrorCode(
    "session_expired",
    401,
    "The session has expired. Authenticate again, then repeat the request.",
)
UNAUTHORIZED_CLIENT: Final = ErrorCode(
    "unauthorized_client",
    401,
    "Authentication is needed, or this client may not do that. Authenticate in a way that "
    "WWW-Authenticate names, with credentials that are valid here.",
)
NOT_FOUND: Final = ErrorCode(
    "not_found",
    404,
    "There is nothing at this address. Check the path and the identifiers in it.",
)
CONFLICT: Final = ErrorCode(
    "conflict",
    409,
    "The request conflicts with the state of the resource: it exists already, or was changed "
    "since. Fetch its current state and decide anew.",
)
PRECONDITION_FAILED: Final = ErrorCode(
    "precondition_failed",
    412,
    "The resource is no longer the version that the request named. Fetch it, apply the change to "
    "what it is now, and send its current ETag in If-Match.",
)
USAGE_LIMIT_EXCEEDED: Final = ErrorCode(
    "usage_limit_exceeded",
    429,
    "A usage limit is exceeded. Wait before the next request, as long as Retry-After says where "
    "it is given.",
    retryable=True,
)
SERVER_ERROR: Final = ErrorCode(
    "server_error",
    500,
    "The server met an unexpected condition; the request is not at fault. If it persists, report "
    "it with the reference, where there is one.",
)

CODES: Final[Mapping[str, ErrorCode]] = MappingProxyType(
    {
        code.value: code
        for code in (
            INVALID_REQUEST,
            INVALID_CONTENT_TYPE,
            ACCESS_DENIED,
            INSUFFICIENT_SCOPE,
            SESSION_EXPIRED,
            UNAUTHORIZED_CLIENT,
            NOT_FOUND,
            CONFLICT,
            PRECONDITION_FAILED,
            USAGE_LIMIT_EXCEEDED,
            SERVER_ERROR,
        )
    }
)
"""AuthPI's eleven codes, by their names."""

# Statuses whose code is not that of their hundred.
_FALLBACKS: Final = {
    401: UNAUTHORIZED_CLIENT,
    403: ACCESS_DENIED,
    404: NOT_FOUND,
    409: CONFLICT,
    410: NOT_FOUND,
    412: PRECONDITION_FAILED,
    415: INVALID_CONTENT_TYPE,
    423: CONFLICT,
    429: USAGE_LIMIT_EXCEEDED,
}

# What a fallback says for a status that means something more definite than its code.
_DESCRIPTIONS: Final = {
    402: "Payment is required before this request can be served.",
    405: "The resource does not take this method. Use one that the Allow header lists.",
    406: "The resource has no representation that the request's Accept headers permit.",
    408: "The request did not arrive in time. Send it again.",
    410: "The resource was here, but is gone for good. Remove references to it.",
    411: "The request has no Content-Length, and needs one.",
    413: "The body of the request is too large. Send less at a time.",
    414: "The address of the request is too long. Move parameters into the body.",
    416: "The requested range lies outside the resource. Content-Range gives its length.",
    417: "The expectation in the request's Expect header can't be met.",
    421: "This server does not answer for the authority that the request names.",
    422: "The request is well formed, but what it asks for can't be done. Correct its content.",
    423: "The resource is locked. Try again when it has been released.",
    426: "The server wants another protocol, as the Upgrade header says.",
    428: "The request must be conditional. Fetch the resource and send its ETag in If-Match.",
    431: "The headers of the request are too large. Send fewer or shorter ones.",
    451: "The resource is withheld for legal reasons.",
    501: "The server does not support what the request needs.",
    502: "A server behind this one gave an invalid answer. Try again later.",
    503: "The service is unavailable for now. Try again later.",
    504: "A server behind this one did not answer in time. Try again later.",
}


def fallback(status: int) -> ErrorCode:
    """Give the code for a status that nobody gave a code.

    Args:
        status: An HTTP error status, 400 to 599.

    Returns:
        A record with AuthPI's code for that status, the status itself, and a description for it.

    Example:
        >>> fallback(405).value, fallback(405).status, fallback(503).value
        ('invalid_request', 405, 'server_error')
    """
    code = _FALLBACKS.get(status, INVALID_REQUEST if status < 500 else SERVER_ERROR)
    if status == code.status:
        return code
    return replace(code, status=status, description=_DESCRIPTIONS.get(status, code.description))


def status_of_close(code: int) -> int:
    """Give the HTTP status of an error for which a WebSocket is closed with `code`.

    Example:
        >>> status_of_close(1008), status_of_close(1011), status_of_close(1013)
        (403, 500, 503)
    """
    return _STATUS_OF_CLOSE.get(code, 403)


# The close codes of RFC 6455, 7.4.1 and its registry that put it to the server.
_STATUS_OF_CLOSE: Final = {1011: 500, 1012: 503, 1013: 503}
