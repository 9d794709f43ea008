"""What applications raise.

::

    AuthPIError
    ├── InvalidRequestError         400  invalid_request
    ├── InvalidContentTypeError     415  invalid_content_type     supported=
    ├── AccessDeniedError           403  access_denied
    ├── InsufficientScopeError      403  insufficient_scope       scope=
    ├── SessionExpiredError         401  session_expired          challenges=
    ├── UnauthorizedClientError     401  unauthorized_client      challenges=
    ├── NotFoundError               404  not_found
    ├── ConflictError               409  conflict
    ├── PreconditionFailedError     412  precondition_failed      current_etag=
    ├── UsageLimitExceededError     429  usage_limit_exceeded
    └── ServerError                 500  server_error

An error keeps what it was given as it was given: what can't be sent is found out when it is
rendered, so that no mistake in an error hides the error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Final, TypedDict, Unpack

from authpi_errors import codes
from authpi_errors._challenges import Challenge
from authpi_errors._headers import entity_tag, is_media_range
from authpi_errors.codes import ErrorCode

__all__ = [
    "ERRORS",
    "AccessDeniedError",
    "AuthPIError",
    "ConflictError",
    "ErrorOptions",
    "FieldError",
    "InsufficientScopeError",
    "InvalidContentTypeError",
    "InvalidRequestError",
    "NotFoundError",
    "PreconditionFailedError",
    "ServerError",
    "SessionExpiredError",
    "UnauthorizedClientError",
    "UsageLimitExceededError",
    "error_with",
]


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field of a request: an item of the body's `fields`.

    Attributes:
        field: Where it is. A field of the body by its path, such as `"user.email"` or `"items.0"`;
            another behind its place, such as `"query.limit"` or `"header.x-request-id"`.
        code: What kind of mistake it is, for programs, such as `"missing"`.
        message: The same for a person.
    """

    field: str
    code: str
    message: str


class _MoreOptions(TypedDict, total=False):
    """The options that few errors have."""

    status: int | None
    retryable: bool | None
    reference: str | None
    fields: Iterable[FieldError]
    headers: Mapping[str, str] | None
    extra: Mapping[str, object] | None


class ErrorOptions(_MoreOptions, total=False):
    """The options that every error takes; `AuthPIError` says what they mean."""

    retry_after: float | timedelta | None


class AuthPIError(Exception):
    """An error of AuthPI's contract. Raise one of its subclasses, or one of your own.

    Without a code of its own, raised as it is with a status, it has the code of that status.

    Args:
        description: `error_description`, for a person. Without it the code's own is sent.
        status: Another HTTP status than the code's, 400 to 599. The code stays; so it should be of
            the same class, 4xx or 5xx.
        retryable: Whether the same request may succeed later, unchanged. Without it, an error that
            says when to come back is retryable; else the code decides, else the status. Unchanged,
            what has failed with a 412 will fail again. Of a limit that never ends, say so with a
            code of your own: AuthPI's is retryable.
        retry_after: Seconds, or a `timedelta`, until it is worth to repeat the request; rounded up
            to whole seconds, sent as `Retry-After` and in the body.
        reference: An id by which this error is found in the server's logs.
        fields: What is wrong with which field, for validation errors: a 400 or a 422.
        headers: Further response headers. `Cache-Control` replaces what would be sent by default;
            the challenges of `WWW-Authenticate` are merged with those that the application offers.
        extra: Further members of the body, of JSON's types, dates and times, enums and UUIDs. They
            come last and can't replace the contract's.

    Example:
        >>> class QuotaExhaustedError(AuthPIError):
        ...     code = ErrorCode("quota_exhausted", 402, "The plan's quota is used up.")
        >>> str(QuotaExhaustedError())
        "The plan's quota is used up."
    """

    code: ErrorCode = codes.SERVER_ERROR

    # Defaults of the class, for subclasses whose `__init__` does not call this one.
    description: str | None = None
    status: int | None = None
    retryable: bool | None = None
    retry_after: float | timedelta | None = None
    reference: str | None = None
    fields: Iterable[FieldError] = ()
    headers: Mapping[str, str] | None = None
    extra: Mapping[str, object] | None = None

    def __init_subclass__(cls) -> None:
        """Refuse a subclass without a usable code, when it is defined."""
        super().__init_subclass__()
        if not isinstance(cls.code, ErrorCode):
            raise TypeError(
                f"{cls.__qualname__}.code is {cls.code!r}: make it an ErrorCode, as in "
                "code = ErrorCode('quota_exhausted', 402, 'The plan is used up.')."
            )

    def __init__(
        self,
        description: str | None = None,
        *,
        retry_after: float | timedelta | None = None,
        **options: Unpack[_MoreOptions],
    ) -> None:
        # `BaseException.__new__` has the arguments. What is not given is not set: the class has it,
        # and an error of which nothing is set is made and answered soonest.
        if description is not None:
            self.description = description
        if retry_after is not None:
            self.retry_after = retry_after
        if options:
            _set_options(self, options)

    def __str__(self) -> str:
        """Give the description, or what the code says."""
        return self.code.description if self.description is None else self.description

    def header_fields(self, method: str) -> Mapping[str, str | None]:
        """Give the headers that only this error has, in answer to a request with `method`.

        What was given and can't be sent stands in it by its name, with `None`.
        """
        del method
        return {}

    def challenge(self, offered: Sequence[Challenge], description: str) -> Sequence[Challenge]:
        """Give the challenges that only this error has, made of those that are offered."""
        del offered, description
        return ()


def _set_options(error: AuthPIError, options: _MoreOptions) -> None:
    for name, value in options.items():
        if name not in _MoreOptions.__annotations__:
            raise TypeError(
                f"{type(error).__qualname__}() got an unexpected keyword argument {name!r}: all "
                f"errors take {', '.join(ErrorOptions.__annotations__)}."
            )
        if value is not None:
            setattr(error, name, value)


class InvalidRequestError(AuthPIError):
    """400: a parameter is missing or not supported, or the request is malformed."""

    code = codes.INVALID_REQUEST


class InvalidContentTypeError(AuthPIError):
    """415: the request's `Content-Type` is not supported.

    Args:
        description: See `AuthPIError`, also for the options.
        supported: The media types that are, for `Accept` (RFC 9110, 15.5.16), and for
            `Accept-Patch` (RFC 5789, 2.2) or `Accept-Post` after a PATCH or POST.
    """

    code = codes.INVALID_CONTENT_TYPE
    supported: Iterable[str] = ()

    def __init__(
        self,
        description: str | None = None,
        *,
        supported: Iterable[str] = (),
        **options: Unpack[ErrorOptions],
    ) -> None:
        super().__init__(description, **options)
        if supported is not InvalidContentTypeError.supported:
            self.supported = supported

    def header_fields(self, method: str) -> Mapping[str, str | None]:
        """List what is supported."""
        given = list(_words(self.supported))
        supported = [media_range for media_range in given if is_media_range(media_range)]
        names = ("accept", _ACCEPT_BY_METHOD.get(method)) if supported else ()
        fields: dict[str, str | None] = {
            name: ", ".join(supported) for name in names if name is not None
        }
        return fields if len(supported) == len(given) else {**fields, "supported": None}


_ACCEPT_BY_METHOD: Final = {"PATCH": "accept-patch", "POST": "accept-post"}


class AccessDeniedError(AuthPIError):
    """403: a valid request, but refused."""

    code = codes.ACCESS_DENIED


class InsufficientScopeError(AuthPIError):
    """403: the token lacks a scope. Sent with the challenge of RFC 6750, 3.

    Args:
        description: See `AuthPIError`, also for the options.
        scope: The scope that is needed: one string with spaces between, or several.
    """

    code = codes.INSUFFICIENT_SCOPE
    scope: Iterable[str] = ()

    def __init__(
        self,
        description: str | None = None,
        *,
        scope: Iterable[str] = (),
        **options: Unpack[ErrorOptions],
    ) -> None:
        super().__init__(description, **options)
        if scope is not InsufficientScopeError.scope:
            self.scope = scope

    def challenge(self, offered: Sequence[Challenge], description: str) -> Sequence[Challenge]:
        """Ask for the scope in each scheme that takes tokens; in `Bearer` where none is offered."""
        parameters = {"error": "insufficient_scope", "error_description": description}
        # RFC 6749, 3.3: one space between the words.
        scope = " ".join(" ".join(_words(self.scope)).split())
        if scope:
            parameters["scope"] = scope
        schemes = [challenge for challenge in offered if challenge.takes_tokens]
        return [
            challenge.with_parameters(parameters) for challenge in schemes or [Challenge("Bearer")]
        ]


class _AuthenticationError(AuthPIError):
    """What the two codes of a 401 share.

    Args:
        description: See `AuthPIError`, also for the options.
        challenges: What `WWW-Authenticate` offers instead of what the application offers.
    """

    challenges: Iterable[Challenge] = ()

    def __init__(
        self,
        description: str | None = None,
        *,
        challenges: Iterable[Challenge] = (),
        **options: Unpack[ErrorOptions],
    ) -> None:
        super().__init__(description, **options)
        if challenges is not _AuthenticationError.challenges:
            self.challenges = challenges

    def challenge(self, offered: Sequence[Challenge], description: str) -> Sequence[Challenge]:
        """Give the challenges as they are: RFC 6750, 3.1 has no `error` for this."""
        del description
        return tuple(self.challenges) or offered


class SessionExpiredError(_AuthenticationError):
    """401: authentication is needed, the session has expired. Options: `challenges`."""

    code = codes.SESSION_EXPIRED

    def challenge(self, offered: Sequence[Challenge], description: str) -> Sequence[Challenge]:
        """Tell token schemes that the token is invalid: RFC 6750, 3.1 has no word for expired."""
        parameters = {"error": "invalid_token", "error_description": description}
        return [
            challenge.with_parameters(parameters) if challenge.takes_tokens else challenge
            for challenge in super().challenge(offered, description)
        ]


class UnauthorizedClientError(_AuthenticationError):
    """401: authentication is needed, or this client may not do that. Options: `challenges`."""

    code = codes.UNAUTHORIZED_CLIENT


class NotFoundError(AuthPIError):
    """404: there is no such resource or page."""

    code = codes.NOT_FOUND


class ConflictError(AuthPIError):
    """409: conflicts with the resource's state.

    Where waiting helps, such as for a request that is still being processed, give `retry_after`:
    then the error is retryable.
    """

    code = codes.CONFLICT


class PreconditionFailedError(AuthPIError):
    """412: `If-Match` does not match the current entity tag.

    Args:
        description: See `AuthPIError`, also for the options.
        current_etag: The current entity tag, quoted as in `ETag`. It goes into that header and
            into the body, there under both names that AuthPI's clients read.
    """

    code = codes.PRECONDITION_FAILED
    current_etag: str | None = None

    def __init__(
        self,
        description: str | None = None,
        *,
        current_etag: str | None = None,
        **options: Unpack[ErrorOptions],
    ) -> None:
        # Most have no options, and then there is nothing else to do.
        if options:
            super().__init__(description, **options)
        elif description is not None:
            self.description = description
        if current_etag is not None:
            self.current_etag = current_etag

    def header_fields(self, method: str) -> Mapping[str, str | None]:
        """Name the current entity tag."""
        del method
        if self.current_etag is None:
            return {}
        tag = entity_tag(self.current_etag)
        return {"current_etag": None} if tag is None else {"etag": tag}


class UsageLimitExceededError(AuthPIError):
    """429: a usage limit is exceeded. `retry_after` says when to come back."""

    code = codes.USAGE_LIMIT_EXCEEDED


class ServerError(AuthPIError):
    """500: unexpected. What is raised on purpose is answered, and not raised again."""

    code = codes.SERVER_ERROR


def _words(words: Iterable[str] | None) -> Iterable[str]:
    """Take one string for one word, and nothing for none, as people will."""
    return (words,) if isinstance(words, str) else words or ()


ERRORS: Final[Mapping[str, type[AuthPIError]]] = MappingProxyType(
    {
        error.code.value: error
        for error in (
            InvalidRequestError,
            InvalidContentTypeError,
            AccessDeniedError,
            InsufficientScopeError,
            SessionExpiredError,
            UnauthorizedClientError,
            NotFoundError,
            ConflictError,
            PreconditionFailedError,
            UsageLimitExceededError,
            ServerError,
        )
    }
)
"""The class of each of AuthPI's codes."""


def error_with(code: ErrorCode) -> AuthPIError:
    """Make an error that has `code`, of the code's own class where there is one."""
    otherwise = PreconditionFailedError if code.status == 412 else AuthPIError
    error = ERRORS.get(code.value, otherwise)()
    error.code = code
    return error
