"""Exception handlers for Starlette: inside an application, where exceptions are still known."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final, cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import HTTPConnection
from starlette.routing import Mount
from starlette.types import ASGIApp, ExceptionHandler, Message, Receive, Scope, Send

from authpi_errors._cors import cors_of_routes, through
from authpi_errors._defaults import (
    DEFAULTS,
    WITHOUT_DEFAULT,
    is_default,
    is_invalid_request,
    made_here,
    unasked,
)
from authpi_errors._exceptions import AuthPIError
from authpi_errors._messages import answer
from authpi_errors._raised import cause_of_unread_body, is_departure
from authpi_errors._rendering import ErrorResponse
from authpi_errors._responding import Responder, notify
from authpi_errors._routing import is_nested, is_reached, is_routed
from authpi_errors._settled import settle, settled_response, settling

__all__ = ["HANDLED", "add_handlers", "is_no_error", "make_handler"]

HANDLED: Final = "authpi_errors.handled"
"""Where an ExceptionMiddleware has that a boundary has put its handlers into it."""

# What a scope has for a route that is a mount: FastAPI says nothing of those, nor of Starlette's.
_NO_ROUTES: Final = (Mount, type(None))


def make_handler(
    responder: Responder,
    default: Callable[[Any, Exception], Awaitable[ASGIApp]] | None,
    notice: Callable[[], None] | None = None,
) -> Callable[[HTTPConnection, Exception], Awaitable[ASGIApp]]:
    """Make what answers the exceptions that the registry expects, as a Starlette exception handler.

    It gives an ASGI application that answers; what is not for it to answer it raises again.

    Args:
        responder: Answers the exceptions.
        default: The handler whose place this one takes. It still answers an `HTTPException` that
            is no error, such as a redirect, and one that is to be ignored. `None` in a mounted
            application.
        notice: Called before the first answer.
    """

    @made_here
    async def handle(connection: HTTPConnection, exc: Exception) -> ASGIApp:
        nonlocal notice
        if notice is not None:
            notice()
            notice = None
        scope: Scope = connection.scope
        # What comes out of a mount before its routes are asked, or from its router, has left the
        # middleware of the mount behind.
        is_of_mount = "app_root_path" in scope and isinstance(scope.get("route"), _NO_ROUTES)
        is_of_router = type(exc) is HTTPException and is_nested(scope)
        if scope["type"] == "http" and not (is_of_mount or is_of_router):
            messages = responder.plain(exc, scope)
            if messages is not None:
                return partial(_send, messages)
        if isinstance(exc, responder.options.ignore):
            return await _left(connection, exc, default)
        exc = cause_of_unread_body(exc)
        if scope["type"] != "http" or is_departure(exc, scope):
            # The boundary knows how far a WebSocket has come, and what to do without a client.
            raise exc
        error = responder.registry.find(exc)
        if error is None:
            if default is None or not is_no_error(exc):
                raise exc
            return await default(connection, exc)
        respond = partial(_send_and_notify, responder.respond(exc, error, scope))
        has_left = is_of_mount and not is_reached(scope)
        if has_left or (is_of_router and not is_routed(scope)):
            # A mounted application's own middleware comes after this.
            return through(cors_of_routes(scope, scope.get("app")), respond)
        return respond

    return handle


async def _left(
    connection: HTTPConnection,
    exc: Exception,
    default: Callable[[Any, Exception], Awaitable[ASGIApp]] | None,
) -> ASGIApp:
    """Leave an exception to what would have answered it without this library."""
    if default is None or not isinstance(exc, HTTPException):
        raise exc
    return settled_response(await default(connection, exc))


def is_no_error(exc: Exception) -> bool:
    """Say whether an exception is an `HTTPException` with a status that is not an error."""
    status: object = getattr(exc, "status_code", None)
    return isinstance(exc, HTTPException) and isinstance(status, int) and 200 <= status < 400


async def _send(messages: Sequence[Message], scope: Scope, receive: Receive, send: Send) -> None:
    del receive
    start, body = messages
    settle(scope, start)
    await send(start)
    await send(body)


async def _send_and_notify(
    response: ErrorResponse, scope: Scope, receive: Receive, send: Send
) -> None:
    await _send(answer(response, scope), scope, receive, send)
    await notify(scope)


def add_handlers(
    application: Starlette,
    target: Starlette | ExceptionMiddleware,
    responder: Responder,
    notice: Callable[[], None] | None = None,
) -> None:
    """Take the place of the framework's default exception handlers; those of the user's stay.

    Args:
        application: The application whose exception handlers are looked at.
        target: What takes the new ones: the application itself, or, once its middleware is built,
            the `ExceptionMiddleware` in it.
        responder: Answers the exceptions.
        notice: See `make_handler`.
    """
    present = application.exception_handlers
    default: Any = unasked(present.get(HTTPException))
    taken_over = default if is_default(default) else DEFAULTS[HTTPException]
    # Starlette asks a handler for a response, and of that only to be an ASGI application. That it
    # is asynchronous, Starlette finds out at each exception: soonest of a function.
    handler = cast("ExceptionHandler", make_handler(responder, taken_over, notice))
    ours = [HTTPException, AuthPIError, *responder.registry.exceptions]
    ours += filter(is_invalid_request, present)
    ours += (key for key in present if present[key] is WITHOUT_DEFAULT)
    for key in ours:
        # One for Exception would run in Starlette's outermost middleware, outside all others.
        if key is Exception or (key in present and not is_default(present[key])):
            continue
        is_ignored = issubclass(key, responder.options.ignore)
        is_left = is_ignored and key in present and key is not HTTPException
        target.add_exception_handler(key, settling(present[key]) if is_left else handler)
    vars(target)[HANDLED] = True
