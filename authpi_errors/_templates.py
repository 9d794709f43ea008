"""What is the same for every error of a kind, rendered once.

Most errors have a description, and perhaps a reference, a delay or an entity tag: these are put
between what a template has. The result is the same, to the byte, as careful rendering gives; an
error that holds more than that, or something odd, is left to it.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from logging import INFO
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.types import Scope

from authpi_errors._content_type import unreadable_body
from authpi_errors._exceptions import (
    AuthPIError,
    ErrorOptions,
    InsufficientScopeError,
    PreconditionFailedError,
    ServerError,
    SessionExpiredError,
    UnauthorizedClientError,
    error_with,
)
from authpi_errors._headers import Header
from authpi_errors._http_exceptions import description_of
from authpi_errors._registry import ErrorRegistry, Target
from authpi_errors._rendering import NOBODY, Asked, ErrorResponse, render
from authpi_errors._reporting import logger
from authpi_errors._settled import GONE
from authpi_errors._template import FILLABLE, Messages, OddError, Template, varying
from authpi_errors._validation import (
    MOST_FIELDS,
    InvalidInputError,
    describe,
    is_request_validation_error,
    members_of,
    records_of,
)
from authpi_errors.codes import ErrorCode

__all__ = ["Templates", "nothing"]

# Applications can make classes and codes without end.
_MOST: Final = 1024
_STATUS_TYPES: Final = (int, HTTPStatus)


class Templates:
    """The templates of an application.

    Args:
        registry: What codes mean.
        ignored: Types of exceptions that are not answered.
    """

    def __init__(
        self, registry: ErrorRegistry, ignored: tuple[type[BaseException], ...] = ()
    ) -> None:
        self._registry = registry
        # Those of a client that has gone may tell that there is nobody to be answered.
        self._unanswered: tuple[type, ...] = (*GONE, *ignored)
        self._plain: dict[type, _Plain] = {}
        # By the identity of a code, which is kept so that nothing else takes it.
        self._filled: dict[tuple[type, int], tuple[ErrorCode, Template | None]] = {}
        self._server_error: Template | None = None
        # Of errors with challenges, or with headers of their own: most say what others have said.
        self._said: dict[tuple[object, ...], tuple[Header, ...]] = {}

    def plain(self, exc: BaseException, scope: Scope) -> Messages | None:
        """Answer an exception that says little but which error it is.

        Args:
            exc: What was raised.
            scope: The scope of the HTTP request.

        Returns:
            The start and the body of the answer, made anew for it; `None` if there is more to it,
            if nobody expected the exception, if it is the server's error, which has a reference, if
            it is to be logged, or if the method is HEAD. This method does not raise.
        """
        if logger.isEnabledFor(INFO) or scope["method"] == "HEAD":
            return None
        try:
            return (self._plain.get(type(exc)) or self._learn(type(exc)))(exc, scope)
        except Exception:
            # Careful rendering finds out what is wrong, and leaves it out.
            return None

    def unexpected(self, exc: BaseException) -> Template | None:
        """Give the template for an exception, if nobody expected it.

        Args:
            exc: What was raised.

        Returns:
            The template of a server's error, which has a reference; `None` if the exception is
            expected, a group, or no `Exception`, or if there is no such template. This method does
            not raise.
        """
        try:
            plain = self._plain.get(type(exc)) or self._learn(type(exc))
        except Exception:
            return None
        return self._server_error if plain is _unexpected else None

    def _learn(self, cls: type) -> _Plain:
        try:
            plain = (None if issubclass(cls, self._unanswered) else self._plain_of(cls)) or nothing
        except Exception:
            # Its class can't be looked at.
            plain = nothing
        _keep(self._plain, cls, plain)
        return plain

    def _plain_of(self, cls: type) -> _Plain | None:
        base = self._registry.base_of(cls)
        if base is None and _is_single(cls):
            if self._server_error is None:
                template = self._template(ServerError, ServerError.code)
                if template is not None and template.code.status >= 500:
                    self._server_error = template
            return _unexpected
        target = None if base is None else self._registry.exceptions.get(base)
        if target is not None:
            return self._plain_of_target(target)
        if base is HTTPException:
            return self._plain_of_http()
        if base is not None and is_request_validation_error(base):
            return self._plain_of_invalid()
        template = self._template_of(cls) if base is AuthPIError else None
        return None if template is None else template.plain

    def _plain_of_target(self, target: Target) -> _Plain | None:
        """Give what answers an exception that is mapped; a function can make anything of it."""
        if isinstance(target, str):
            template = self._template_with(self._registry.codes[target])
            return None if template is None else template.plain_without
        if not isinstance(target, type):
            return None
        make, made = target, self._template_of(target)
        return None if made is None else lambda _, scope: made.plain(make(), scope)

    def _plain_of_http(self) -> _Plain:
        """Give what answers an `HTTPException` that has a status and a text."""
        by_status: dict[int, Template | None] = {}

        def plain(exc: HTTPException, scope: Scope) -> Messages | None:
            del scope
            status = exc.status_code
            if type(status) not in _STATUS_TYPES or not 400 <= status < 500:
                return None
            if status not in by_status:
                by_status[status] = self._template_with(self._registry.code_for(status))
            template = by_status[status]
            # One that was raised from another exception can stand for that.
            if template is None or exc.headers is not None or exc.__cause__ is not None:
                return None
            if type(exc.detail) is not str:
                return None
            return template.plain_with(description_of(exc.detail, status))

        return plain

    def _plain_of_invalid(self) -> _Plain | None:
        """Give what answers FastAPI's error for a request that is not valid."""
        template = self._template_of(InvalidInputError)
        if template is None or template.is_challenged:
            return None
        start = template.until_fields(describe(MOST_FIELDS))
        with_custom_text = self._registry.validator_messages

        def plain(exc: BaseException, scope: Scope) -> Messages | None:
            records = records_of(exc)
            if not 0 < len(records) <= MOST_FIELDS or unreadable_body(records, scope) is not None:
                return None
            members = members_of(records, with_custom_text=with_custom_text)
            return template.plain_with_fields(start, members)

        return plain

    def _template_of(self, cls: type[AuthPIError]) -> Template | None:
        """Make the template of a class, for errors of the client."""
        template = self._template(cls, cls.code)
        return template if template is not None and template.code.status < 500 else None

    def _template_with(self, code: ErrorCode) -> Template | None:
        """Make the template of a code, for errors of the client without challenges."""
        error = error_with(code)
        template = self._template(type(error), error.code)
        if template is None or template.is_challenged or template.code.status >= 500:
            return None
        return template

    def render(self, error: AuthPIError, asked: Asked) -> ErrorResponse:
        """Render an error: as `render` does, and with the same result.

        Args:
            error: The error, whatever has been put into it.
            asked: The request that is answered.

        Returns:
            The response. This method does not raise.
        """
        return self._fill(error, asked) or render(error, self._registry, asked)

    def _fill(self, error: AuthPIError, asked: Asked) -> ErrorResponse | None:
        try:
            cls, code = type(error), error.code
            key = cls, id(code)
            if key not in self._filled:
                _keep(self._filled, key, (code, self._template(cls, code)))
            template = self._filled[key][1]
            return None if template is None else template.fill(error.__dict__, asked)
        except Exception:
            return None

    def _template(self, cls: type[AuthPIError], code: ErrorCode) -> Template | None:
        """Make a template, unless the class puts more into an answer than that can have."""
        has_tag = cls.header_fields is PreconditionFailedError.header_fields
        is_plain = (
            (has_tag or cls.header_fields is AuthPIError.header_fields)
            and cls.challenge in _CHALLENGES
            and all(getattr(cls, name, ()) == () for name in ("challenges", "scope"))
            and cls.__getattribute__ is AuthPIError.__getattribute__
            and getattr(cls, "current_etag", None) is None
            and all(getattr(cls, name) is getattr(AuthPIError, name) for name in _OPTIONS)
        )
        bare = AuthPIError()
        bare.code = code if code is not cls.code else self._registry.code_of(cls.__new__(cls))
        status = bare.code.status
        # What a 405 says hangs on the request; the body of a 412 alone has the entity tag.
        if not is_plain or status == 405 or (has_tag and status != 412):
            return None
        fillable = FILLABLE
        if has_tag:
            fillable |= {"current_etag"}
        elif cls.challenge is InsufficientScopeError.challenge:
            fillable |= {"scope"}
        response = render(bare, self._registry, NOBODY)
        return Template(cls, bare.code, response, fillable, self._headers_of)

    def _headers_of(
        self,
        template: Template,
        description: str,
        scope: str,
        headers: tuple[tuple[str, str], ...],
        has_credentials: bool,
    ) -> tuple[Header, ...]:
        key = template, description, scope, headers, has_credentials
        known = self._said.get(key)
        if known is not None:
            return known
        error = template.cls.__new__(template.cls)
        vars(error).update(code=template.code, description=description, headers=dict(headers))
        if scope:
            vars(error).update(scope=scope)
        response = render(error, self._registry, NOBODY if has_credentials else _STRANGER)
        if response.dropped:
            raise OddError
        known = varying(response)
        _keep(self._said, key, known, _MOST_SAID)
        return known


class _Stranger(Asked):
    """A request without credentials."""

    __slots__ = ()

    def has_credentials(self) -> bool:
        return False


_STRANGER: Final = _Stranger()
_Plain = Callable[[Any, Scope], Messages | None]
# These hang on nothing but the arguments, and on `challenges` and `scope`.
_CHALLENGES: Final = (
    AuthPIError.challenge,
    InsufficientScopeError.challenge,
    SessionExpiredError.challenge,
    UnauthorizedClientError.challenge,
)
_MOST_SAID: Final = 64
_OPTIONS: Final = ("description", *(name for name in ErrorOptions.__annotations__))


def _is_single(cls: type) -> bool:
    """Say whether an exception is an `Exception`, and no group of others."""
    return issubclass(cls, Exception) and not issubclass(cls, BaseExceptionGroup)


def nothing(exc: BaseException, scope: Scope) -> None:
    """Answer nothing."""
    del exc, scope


def _unexpected(exc: BaseException, scope: Scope) -> None:
    del exc, scope


def _keep(cache: dict[Any, Any], key: object, value: object, most: int = _MOST) -> None:
    if len(cache) >= most:
        cache.clear()
    cache[key] = value
