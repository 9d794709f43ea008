"""Exception handlers for Starlette: inside an application, where exceptions are still known."""

from __future__ import annotations

import logging
import secrets
import sys
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from functools import partial
from inspect import iscoroutinefunction
from typing import Any, Final, cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import HTTPConnection
from starlette.routing import Router
from starlette.types import ASGIApp, ExceptionHandler, Message, Receive, Scope, Send

from authpi_errors._challenges import has_credentials
from authpi_errors._content_type import unreadable_body
from authpi_errors._cors import cors_of_routes, through
from authpi_errors._exceptions import AuthPIError
from authpi_errors._messages import answer
from authpi_errors._registry import ErrorRegistry
from authpi_errors._rendering import Asked, ErrorResponse, render
from authpi_errors._routing import allowed_methods, is_routed
from authpi_errors._settled import settle
from authpi_errors._validation import InvalidInputError, is_request_validation_error

__all__ = [
    "Handler",
    "add_handlers",
    "has_handler_for_everything",
    "is_answered_by_user",
    "logger",
    "respond_to",
    "settle_handlers",
]

logger: Final = logging.getLogger("authpi_errors")

# Starlette's handler for an HTTPException is a method of this class.
_STARLETTE: Final = ExceptionMiddleware(Router())


class Handler:
    """Answers the exceptions that the registry expects, as a Starlette exception handler.

    Args:
        registry: What the exceptions mean.
        default: The handler whose place this one takes. It still answers an `HTTPException` that
            is no error, such as a redirect.
        ignore: Types of exceptions that pass.
        notice: Called before each answer.
    """

    def __init__(
        self,
        registry: ErrorRegistry,
        default: Callable[[Any, Exception], Awaitable[ASGIApp]],
        ignore: tuple[type[BaseException], ...] = (),
        notice: Callable[[], None] | None = None,
    ) -> None:
        self.registry = registry
        self._ignore = ignore
        self._default = default
        self.notice = notice

    async def handle(self, connection: HTTPConnection, exc: Exception) -> ASGIApp:
        """Give an ASGI application that answers `exc`; raise it again if that is not for here."""
        if self.notice is not None:
            self.notice()
        scope: Scope = connection.scope
        error = self.registry.find(exc)
        if scope["type"] != "http" or isinstance(exc, self._ignore):
            # The boundary knows how far a WebSocket has come, and lets pass what is to pass.
            raise exc
        if error is None:
            if not _is_no_error(exc):
                raise exc
            return await self._default(connection, exc)
        response = respond_to(exc, error, self.registry, scope)
        respond = partial(_respond, response)
        if type(exc) is HTTPException and "app_root_path" in scope and not is_routed(scope):
            # What the router of a mount turns away has left the middleware of the mount behind.
            return through(cors_of_routes(scope), respond)
        return respond


def _is_no_error(exc: Exception) -> bool:
    """Say whether an exception is an `HTTPException` with a status that is not an error."""
    status: object = getattr(exc, "status_code", None)
    return isinstance(exc, HTTPException) and isinstance(status, int) and 200 <= status < 400


async def _respond(response: ErrorResponse, scope: Scope, receive: Receive, send: Send) -> None:
    del receive
    start, body = answer(response, scope)
    settle(scope, start)
    await send(start)
    await send(body)


class _AskedOf(Asked):
    """The request of a scope."""

    __slots__ = ("_scope",)

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    @property
    def method(self) -> str:
        method: str = self._scope.get("method", "GET")
        return method

    def has_credentials(self) -> bool:
        return has_credentials(self._scope)

    def allowed_methods(self) -> Iterable[str]:
        return allowed_methods(self._scope)

    def reference(self, status: int) -> str | None:
        return secrets.token_hex(16) if status >= 500 else None


def respond_to(
    exc: BaseException | None,
    error: AuthPIError,
    registry: ErrorRegistry,
    scope: Scope,
    *,
    raised_again: bool = False,
) -> ErrorResponse:
    """Render an answer, and log what it does not say.

    Args:
        exc: The exception that is answered, if it is one.
        error: The error that it means.
        registry: What that error's code means.
        scope: The connection's scope.
        raised_again: Whether the server will see and log the exception itself.
    """
    if isinstance(error, InvalidInputError):
        error = unreadable_body(error.records, scope) or error
    response = render(error, registry, _AskedOf(scope))
    if response.dropped:
        logger.warning("Left out of %s: %s", response.code, ", ".join(response.dropped))
    if response.status >= 500:
        if exc is not None:
            with suppress(Exception):
                exc.add_note(f"reference: {response.reference}")
        if not raised_again:
            logger.error(
                "Answered %d %s, reference %s",
                response.status,
                response.code,
                response.reference,
                exc_info=exc,
            )
    return response


def is_answered_by_user(scope: Scope) -> bool:
    """Say whether the response that is being sent comes from an exception handler of the user's.

    Starlette sends the response of a handler while the exception is still being handled.
    """
    exc = sys.exception()
    application = scope.get("app")
    if exc is None or not isinstance(application, Starlette):
        return False
    keys: list[object] = [cls for cls in type(exc).__mro__ if cls is not Exception]
    if isinstance(exc, HTTPException):
        keys.insert(0, exc.status_code)
    return _is_users(application, keys)


def has_handler_for_everything(scope: Scope) -> bool:
    """Say whether the application has an exception handler of the user's for what is unexpected.

    It runs outside of all others, and the exception is raised again after it.
    """
    application = scope.get("app")
    return isinstance(application, Starlette) and _is_users(application, (500, Exception))


def _is_users(application: Starlette, keys: Iterable[object]) -> bool:
    """Say whether the first of the application's handlers for `keys` has been set by the user."""
    handlers = application.exception_handlers
    handler = next((handlers[key] for key in keys if key in handlers), None)
    is_ours = isinstance(getattr(handler, "__self__", None), Handler)
    return handler is not None and not _is_default(handler) and not is_ours


def add_handlers(
    application: Starlette,
    target: Starlette | ExceptionMiddleware,
    registry: ErrorRegistry,
    ignore: tuple[type[BaseException], ...],
    notice: Callable[[], None] | None = None,
) -> None:
    """Take the place of the framework's default exception handlers; those of the user's stay.

    Args:
        application: The application whose exception handlers are looked at.
        target: What takes the new ones: the application itself, or, once its middleware is built,
            the `ExceptionMiddleware` in it.
        registry: What the exceptions mean.
        ignore: See `Handler`.
        notice: See `Handler`.
    """
    present = application.exception_handlers
    default: Any = present.get(HTTPException)
    taken_over = default if _is_default(default) else _STARLETTE.http_exception
    handler = Handler(registry, taken_over, ignore, notice)
    # Starlette asks a handler for a response, and of that only to be an ASGI application. That it
    # is asynchronous, Starlette finds out at each exception: soonest of a method.
    starlette_handler = cast("ExceptionHandler", handler.handle)
    ours = [HTTPException, AuthPIError, *registry.exceptions]
    ours += [key for key in present if isinstance(key, type) and is_request_validation_error(key)]
    for key in ours:
        # One for Exception would run in Starlette's outermost middleware, outside all others.
        if key is not Exception and (key not in present or _is_default(present[key])):
            target.add_exception_handler(key, starlette_handler)


def settle_handlers(application: Starlette, target: ExceptionMiddleware) -> None:
    """Have it noted that what the user's own exception handlers answer is theirs.

    Args:
        application: The application whose exception handlers are looked at.
        target: Where they run.
    """
    for key, handler in application.exception_handlers.items():
        if key not in (Exception, 500) and _is_users(application, (key,)):
            target.add_exception_handler(key, cast("ExceptionHandler", _settling(handler)))


def _settling(handler: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Wrap a handler, which runs in a thread if it is not asynchronous, and stays so."""
    if _is_async(handler):

        async def handle(connection: HTTPConnection, exc: Exception) -> ASGIApp | None:
            return _settled_response(await handler(connection, exc))

        return handle

    def handle_in_thread(connection: HTTPConnection, exc: Exception) -> ASGIApp | None:
        return _settled_response(handler(connection, exc))

    return handle_in_thread


def _is_async(handler: object) -> bool:
    """Say whether calling `handler` gives a coroutine, as Starlette finds out."""
    while isinstance(handler, partial):
        handler = handler.func
    return iscoroutinefunction(handler) or iscoroutinefunction(type(handler).__call__)


def _settled_response(response: ASGIApp | None) -> ASGIApp | None:
    if response is None:
        return None

    async def respond(scope: Scope, receive: Receive, send: Send) -> None:
        def settling(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                settle(scope, message)
            return send(message)

        await response(scope, receive, settling)

    return respond


def _is_default(handler: object) -> bool:
    """Say whether a handler is one that FastAPI sets by itself."""
    return getattr(handler, "__module__", None) == "fastapi.exception_handlers"
