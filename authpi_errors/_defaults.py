"""Whose an exception handler is: the framework's by default, the user's, or this library's.

The library takes the place of defaults; what is the user's stays.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from types import CodeType
from typing import Any, Final, TypeGuard, TypeVar, cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException, WebSocketException
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import HTTPConnection
from starlette.routing import Router
from starlette.types import ASGIApp, Scope

from authpi_errors._layers import layers
from authpi_errors._settled import Handler, is_settling, settling
from authpi_errors._validation import is_request_validation_error, request_validation_error

__all__ = [
    "ANSWERING",
    "DEFAULTS",
    "WITHOUT_DEFAULT",
    "asking",
    "has_handler_for_everything",
    "has_handler_for_invalid_requests",
    "is_answered_by_user",
    "is_asking",
    "is_default",
    "is_invalid_request",
    "is_ours",
    "made_here",
    "may_have_answered",
    "settle_handlers",
    "unasked",
]

# Starlette's own handlers are methods of this class.
_STARLETTE: Final = ExceptionMiddleware(Router())

DEFAULTS: Final[dict[Any, Any]] = {
    HTTPException: _STARLETTE.http_exception,
    WebSocketException: _STARLETTE.websocket_exception,
}
"""What Starlette has by default for its own exceptions, by their types."""

ANSWERING: Final = "authpi_errors.answering"
"""Where a scope has what answers in the place of a mounted application's default handlers."""

_AnyHandler = TypeVar("_AnyHandler", bound=Handler)

# The code of the handlers that are made here: what wraps one for the user can have all else of it.
_CODES: Final[set[CodeType]] = set()

# Where a handler that asks has the default whose place it takes.
_DEFAULT: Final = "authpi_errors.default"


def made_here(handler: _AnyHandler) -> _AnyHandler:
    """Have a handler known as one of this library's."""
    _CODES.add(cast("Any", handler).__code__)
    return handler


def is_ours(handler: object) -> bool:
    """Say whether a handler is one of this library's."""
    code: object = getattr(handler, "__code__", None)
    return isinstance(code, CodeType) and code in _CODES


def is_default(handler: object) -> bool:
    """Say whether a handler is one that FastAPI sets by itself, or asks a boundary before it.

    It is looked for: what wraps one for the user can have its name, and that of its module.
    """
    if is_asking(handler):
        return True
    name: object = getattr(handler, "__name__", None)
    module = sys.modules.get("fastapi.exception_handlers")
    return isinstance(name, str) and getattr(module, name, None) is handler


def asking(default: Handler | None) -> Handler:
    """Make a handler that leaves the answer to the nearest boundary further out, if there is one.

    It counts as the default: one that is further in takes its place.
    """

    @made_here
    async def handle(connection: HTTPConnection, exc: Exception) -> ASGIApp:
        answer = connection.scope.get(ANSWERING)
        if answer is not None:
            return cast("ASGIApp", await answer(connection, exc, default))
        if default is None:
            raise exc
        return cast("ASGIApp", await default(connection, exc))

    vars(handle)[_DEFAULT] = default
    return handle


WITHOUT_DEFAULT: Final = asking(None)
"""What asks about exceptions that have no default handler: there can be many such types."""


def is_asking(handler: object) -> bool:
    """Say whether a handler leaves its answers to the nearest boundary further out."""
    return is_ours(handler) and hasattr(handler, _DEFAULT)


def unasked(handler: object) -> object:
    """Give the default that a handler has which asks; any other is what it is."""
    return getattr(handler, _DEFAULT) if is_asking(handler) else handler


def is_invalid_request(key: object) -> TypeGuard[type[Exception]]:
    """Say whether a handler's key is an exception of FastAPI's for what is not valid."""
    return isinstance(key, type) and is_request_validation_error(key)


def is_answered_by_user(scope: Scope) -> bool:
    """Say whether the response that is being sent comes from an exception handler of the user's.

    Starlette sends the response of a handler while the exception is still being handled.
    """
    _, exc, traceback = sys.exc_info()
    application = scope.get("app")
    if exc is None or not isinstance(application, Starlette):
        return False
    # A handler may have cleared the traceback; then it is none of that middleware's.
    if traceback is not None and traceback.tb_frame.f_code is _OUTERMOST:
        # What no handler has answered, perhaps in another application, which is mounted in this.
        return False
    keys: list[object] = [cls for cls in type(exc).__mro__ if cls is not Exception]
    if isinstance(exc, HTTPException):
        keys.insert(0, exc.status_code)
    return _is_users(application, keys)


# In which frame Starlette's outermost middleware answers an exception.
_OUTERMOST: Final = ServerErrorMiddleware.__call__.__code__


def has_handler_for_everything(application: object) -> bool:
    """Say whether an application has an exception handler of the user's for what is unexpected.

    It runs outside of all others, and the exception is raised again after it.
    """
    return isinstance(application, Starlette) and _is_users(application, (500, Exception))


def has_handler_for_invalid_requests(application: Starlette) -> bool:
    """Say whether an exception handler of the user's answers requests that are not valid."""
    return _is_users(application, (request_validation_error(),))


def may_have_answered(application: object) -> bool:
    """Say whether a handler of the user's for what is unexpected may have answered, unnoticed.

    That is so where middleware hides the application, and `settle_handlers` has not come to it.
    """
    # A debugger takes the place of the handler.
    if not isinstance(application, Starlette) or application.debug:
        return False
    for layer in layers(application.middleware_stack):
        if isinstance(layer, ServerErrorMiddleware):
            return layer.handler is not None and not is_settling(layer.handler)
        if isinstance(layer, ExceptionMiddleware):
            # There is none around it that would run the handler.
            return False
    return has_handler_for_everything(application)


def _is_users(application: Starlette, keys: Iterable[object]) -> bool:
    """Say whether the first of the application's handlers for `keys` has been set by the user."""
    handlers = application.exception_handlers
    handler = next((handlers[key] for key in keys if key in handlers), None)
    return handler is not None and not is_default(handler) and not is_ours(handler)


def settle_handlers(application: Starlette, target: ExceptionMiddleware | None = None) -> None:
    """Have it noted that what the user's own exception handlers answer is theirs.

    Args:
        application: The application. If its middleware is built, that has handlers of its own.
        target: Where they run, if that is known: other middleware can hide it.
    """
    handlers = application.exception_handlers
    settled: dict[Any, Any] = {
        key: settling(handler)
        for key, handler in handlers.items()
        if _is_users(application, (key,))
    }
    if application.middleware_stack is None:
        handlers.update(settled)
    for layer in (*layers(application.middleware_stack), target):
        if isinstance(layer, ExceptionMiddleware):
            for key in settled.keys() - {500, Exception}:
                layer.add_exception_handler(key, settled[key])
        elif isinstance(layer, ServerErrorMiddleware) and layer.handler is not None:
            layer.handler = settling(layer.handler)
