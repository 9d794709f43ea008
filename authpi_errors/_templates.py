"""What is the same for every error of a kind, rendered once.

Most errors have a description, and perhaps a reference, a delay or an entity tag: these are put
between what a template has. The result is the same, to the byte, as careful rendering gives; an
error that holds more than that, or something odd, is left to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

import orjson
from starlette.exceptions import HTTPException
from starlette.types import Message

from authpi_errors import _headers
from authpi_errors._exceptions import (
    AuthPIError,
    ErrorOptions,
    FieldError,
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
from authpi_errors._rendering import MOST_ITEMS, NOBODY, Asked, ErrorResponse, render
from authpi_errors._settled import GONE
from authpi_errors._validation import InvalidFields, is_list
from authpi_errors.codes import ErrorCode

__all__ = ["Messages", "Templates"]

Messages = tuple[Message, Message]
"""The start and the body of a response."""

_JSON: Final = (b"content-type", b"application/json")
# What a template's headers leave to the error.
_FILLED: Final = frozenset((b"content-type", b"content-length", b"retry-after"))
_FILLABLE: Final = frozenset(
    ("code", "description", "fields", "headers", "records", "reference", "retry_after")
)
# Headers that are members of the body, too.
_IN_BODY: Final = frozenset(("etag", "retry-after"))
# Applications can make classes and codes without end.
_MOST: Final = 1024
_STATUS_TYPES: Final = (int, HTTPStatus)


class Templates:
    """The templates of an application.

    Args:
        registry: What codes mean.
    """

    def __init__(self, registry: ErrorRegistry) -> None:
        self._registry = registry
        self._plain: dict[type, _Plain] = {}
        # By the identity of a code, which is kept so that nothing else takes it.
        self._filled: dict[tuple[type, int], tuple[ErrorCode, _Template | None]] = {}
        self._server_error: _Template | None = None
        # Of errors with challenges, or with headers of their own: most say what others have said.
        self._said: dict[tuple[object, ...], tuple[Header, ...]] = {}

    def plain(self, exc: BaseException) -> Messages | None:
        """Answer an exception that says nothing but which error it is, and perhaps a text.

        Args:
            exc: What was raised.

        Returns:
            The start and the body of the answer to a request, of any method but HEAD, made anew for
            it; `None` if there is more to it, if nobody expected the exception, or if it is the
            server's error, which has a reference. This method does not raise.
        """
        try:
            return (self._plain.get(type(exc)) or self._learn(type(exc)))(exc)
        except Exception:
            # Careful rendering finds out what is wrong, and leaves it out.
            return None

    def unexpected(self, exc: BaseException) -> _Template | None:
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
            plain = (None if _is_departure(cls) else self._plain_of(cls)) or _nothing
        except Exception:
            # Its class can't be looked at.
            plain = _nothing
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
        return None if made is None else lambda _: made.plain(make())

    def _plain_of_http(self) -> _Plain:
        """Give what answers an `HTTPException` that has a status and a text."""
        by_status: dict[int, _Template | None] = {}

        def plain(exc: HTTPException) -> Messages | None:
            status = exc.status_code
            if type(status) not in _STATUS_TYPES or not 400 <= status < 500:
                return None
            if status not in by_status:
                by_status[status] = self._template_with(self._registry.code_for(status))
            template = by_status[status]
            if template is None or exc.headers is not None or type(exc.detail) is not str:
                return None
            return template.plain_with(description_of(exc.detail, status))

        return plain

    def _template_of(self, cls: type[AuthPIError]) -> _Template | None:
        """Make the template of a class, for errors of the client."""
        template = self._template(cls, cls.code)
        return template if template is not None and template.is_plain else None

    def _template_with(self, code: ErrorCode) -> _Template | None:
        """Make the template of a code, for errors of the client."""
        error = error_with(code)
        template = self._template(type(error), error.code)
        return template if template is not None and template.is_plain else None

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

    def _template(self, cls: type[AuthPIError], code: ErrorCode) -> _Template | None:
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
        fillable = _FILLABLE
        if has_tag:
            fillable |= {"current_etag"}
        elif cls.challenge is InsufficientScopeError.challenge:
            fillable |= {"scope"}
        response = render(bare, self._registry, NOBODY)
        return _Template(cls, bare.code, response, fillable, self._headers_of)

    def _headers_of(
        self,
        template: _Template,
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
            raise _OddError
        known = _varying(response)
        _keep(self._said, key, known, _MOST_SAID)
        return known


class _Stranger(Asked):
    """A request without credentials."""

    __slots__ = ()

    def has_credentials(self) -> bool:
        return False


_STRANGER: Final = _Stranger()
_Plain = Callable[[Any], Messages | None]
_HeadersOf = Callable[..., tuple[Header, ...]]
# These hang on nothing but the arguments, and on `challenges` and `scope`.
_CHALLENGES: Final = (
    AuthPIError.challenge,
    InsufficientScopeError.challenge,
    SessionExpiredError.challenge,
    UnauthorizedClientError.challenge,
)
_MOST_SAID: Final = 64
_LONGEST_TEXT: Final = 500
_OPTIONS: Final = ("description", *(name for name in ErrorOptions.__annotations__))


def _is_departure(cls: type) -> bool:
    """Say whether an exception tells that there is nobody to be answered."""
    return issubclass(cls, GONE)


def _is_single(cls: type) -> bool:
    """Say whether an exception is an `Exception`, and no group of others."""
    return issubclass(cls, Exception) and not issubclass(cls, BaseExceptionGroup)


def _nothing(exc: BaseException) -> None:
    del exc


def _unexpected(exc: BaseException) -> None:
    del exc


class _Template:
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
        self._varying_headers = _varying(response)
        self._is_retryable = code.is_retryable()
        self._fillable = fillable
        self._headers_of = headers_of
        self._is_challenged = code.status == 401 or cls.challenge is not AuthPIError.challenge
        self.is_plain = not self._is_challenged and code.status < 500

    def plain(self, error: AuthPIError) -> Messages | None:
        """Answer an error that has no reference."""
        given = error.__dict__
        if not given:
            return self._messages(self._body, self._headers)
        if len(given) == 1 and "description" in given:
            body = self._head + _text(given["description"]) + self._tail
            return self._messages(body, self._headers)
        filled = None if "code" in given else self._fill(given)
        return None if filled is None else self._messages(filled[0], filled[1])

    def plain_with(self, description: str | None) -> Messages:
        """Answer an error that has a description, or not even that."""
        if description is None:
            return self._messages(self._body, self._headers)
        return self._messages(self._head + _text(description) + self._tail, self._headers)

    def plain_without(self, exc: BaseException) -> Messages:
        """Answer an exception of which nothing but its type gets out."""
        del exc
        return self._messages(self._body, self._headers)

    def plain_with_reference(self, reference: str) -> Messages:
        """Answer an exception of which nothing gets out, with a reference."""
        return self._messages(self._until_reference + _text(reference) + self._tail, self._headers)

    def _messages(self, body: bytes, headers: tuple[Header, ...]) -> Messages:
        size = len(body)
        digits = _DIGITS[size] if size < _MOST_DIGITS else b"%d" % size
        return (
            {
                "type": "http.response.start",
                "status": self._status,
                # A list of their own: middleware outside appends to it.
                "headers": [_JSON, (b"content-length", digits), *headers],
            },
            {"type": "http.response.body", "body": body},
        )

    def fill(self, given: Mapping[str, Any], asked: Asked) -> ErrorResponse | None:
        """Answer an error of which these attributes are set; `None` if one is odd."""
        filled = self._fill(given, asked)
        if filled is None:
            return None
        body, headers, reference = filled
        length = (b"content-length", b"%d" % len(body))
        return ErrorResponse(
            self._status, (_JSON, length, *headers), body, self.code.value, reference
        )

    def _fill(
        self, given: Mapping[str, Any], asked: Asked | None = None
    ) -> tuple[bytes, tuple[Header, ...], str | None] | None:
        """Give the body, the headers after the length, and the reference."""
        if not self._fillable.issuperset(given):
            return None
        description: str | None = given.get("description")
        retry_after: int | None = given.get("retry_after")
        reference: str | None = given.get("reference")
        fields: object = given.get("fields")
        tag: str | None = given.get("current_etag")

        headers = self._varying_headers
        if self._is_challenged or "headers" in given:
            headers = self._headers_of_its_own(given, asked)
        head = self._head + (self._description if description is None else _text(description))
        if retry_after is None:
            retry_after = self.code.retry_after
        if retry_after is not None:
            if type(retry_after) is not int or not 0 <= retry_after < 2**31:
                raise _OddError
            digits = _DIGITS[retry_after] if retry_after < _MOST_DIGITS else b"%d" % retry_after
            headers = ((b"retry-after", digits), *headers)
            body = b',"retryable":true,"retry_after":' + digits
        else:
            body = b',"retryable":true' if self._is_retryable else b',"retryable":false'
        if fields is not None and fields != ():
            body += b',"fields":' + _fields(fields)
        if tag is not None:
            headers = ((b"etag", _tag(tag)), *headers)
            encoded = orjson.dumps(tag)
            body = b'%b,"current_etag":%b,"currentETag":%b' % (body, encoded, encoded)
        if reference is None and asked is not None:
            # Asked for once: what is odd has been found by now.
            reference = asked.reference(self._status)
        if reference is not None:
            head += b',"reference":' + _text(reference)
        return head + body + b"}", headers, reference

    def _headers_of_its_own(
        self, given: Mapping[str, Any], asked: Asked | None
    ) -> tuple[Header, ...]:
        """Give the headers of an error that has challenges, or headers of its own."""
        if asked is None:
            raise _OddError
        description = _said(given.get("description", self.code.description))
        scope = _said(given.get("scope", ""))
        headers: Mapping[str, str] = given.get("headers", {})
        said = tuple([(_said(name), _said(value)) for name, value in headers.items()])
        if any(name.lower() in _IN_BODY for name, _ in said):
            raise _OddError
        has_credentials = self._status != 401 or asked.has_credentials()
        return self._headers_of(self, description, scope, said, has_credentials)


def _varying(response: ErrorResponse) -> tuple[Header, ...]:
    """Give the headers that an error does not fill in."""
    return tuple(field for field in response.headers if field[0] not in _FILLED)


class _OddError(Exception):
    """Something that careful rendering has to look at."""


def _text(text: object) -> bytes:
    if type(text) is not str or not text or text.isspace():
        raise _OddError
    return orjson.dumps(text)


# Most bodies are short, and most delays.
_MOST_DIGITS: Final = 512
_DIGITS: Final = tuple(b"%d" % number for number in range(_MOST_DIGITS))


def _said(text: object) -> str:
    """Take a text that is worth to be remembered."""
    if type(text) is not str or len(text) > _LONGEST_TEXT:
        raise _OddError
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
        raise _OddError
    return orjson.dumps(fields)


def _is_plain_field(item: object) -> bool:
    return (
        type(item) is FieldError
        and type(item.field) is str
        and type(item.code) is str
        and type(item.message) is str
    )


def _tag(tag: object) -> bytes:
    if type(tag) is not str or not _headers.is_entity_tag(tag):
        raise _OddError
    return tag.encode("latin-1")


def _keep(cache: dict[Any, Any], key: object, value: object, most: int = _MOST) -> None:
    if len(cache) >= most:
        cache.clear()
    cache[key] = value
