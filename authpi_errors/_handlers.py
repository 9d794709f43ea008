"""Exception handlers for Starlette: inside an application, where exceptions are still known."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from types import CodeType
from typing import Any, Final, TypeGuard, cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException, WebSocketException
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import HTTPConnection
from starlette.routing import Mount, Router
from starlette.types import ASGIApp, ExceptionHandler, Message, Receive, Scope, Send

from authpi_errors._cors import cors_of_routes, layers, through
from authpi_errors._exceptions import AuthPIError
from authpi_errors._messages import answer
from authpi_errors._raised import cause_of_unread_body, is_departure
from authpi_errors._rendering import ErrorResponse
from authpi_errors._responding import Responder, notify
from authpi_errors._routing import is_nested, is_reached, is_routed
from authpi_errors._settled import Handler, settle, settled_response, settling
from authpi_errors._validation import is_request_validation_error

__all__ = [
    "add_handlers",
    "answering_for_mounted",
    "has_handler_for_everything",
    "is_answered_by_user",
    "make_handler",
    "settle_handlers",
]

# Starlette's handler for an HTTPException is a method of this class.
_STARLETTE: Final = ExceptionMiddleware(Router())

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
            application, inside all of whose middleware the answer is given.
        notice: Called before the first answer.
    """

    async def handle(connection: HTTPConnection, exc: Exception) -> ASGIApp:
        nonlocal notice
        if notice is not None:
            notice()
            notice = None
        scope: Scope = connection.scope
        # What comes out of a mount before its routes are asked, or from its router, has left the
        # middleware of the mount behind.
        is_of_mount = (
            "app_root_path" in scope
            and default is not None
            and isinstance(scope.get("route"), _NO_ROUTES)
        )
        is_of_router = type(exc) is HTTPException and default is not None and is_nested(scope)
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
            if default is None or not _is_no_error(exc):
                raise exc
            return await default(connection, exc)
        respond = partial(_send_and_notify, responder.respond(exc, error, scope))
        has_left = is_of_mount and not is_reached(scope)
        if has_left or (is_of_router and not is_routed(scope)):
            return through(cors_of_routes(scope), respond)
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


def _is_no_error(exc: Exception) -> bool:
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


def has_handler_for_everything(application: object) -> bool:
    """Say whether an application has an exception handler of the user's for what is unexpected.

    It runs outside of all others, and the exception is raised again after it.
    """
    return isinstance(application, Starlette) and _is_users(application, (500, Exception))


def _is_users(application: Starlette, keys: Iterable[object]) -> bool:
    """Say whether the first of the application's handlers for `keys` has been set by the user."""
    handlers = application.exception_handlers
    handler = next((handlers[key] for key in keys if key in handlers), None)
    return handler is not None and not _is_default(handler) and not _is_ours(handler)


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
    default: Any = _unasked(present.get(HTTPException))
    taken_over = default if _is_default(default) else _STARLETTE.http_exception
    # Starlette asks a handler for a response, and of that only to be an ASGI application. That it
    # is asynchronous, Starlette finds out at each exception: soonest of a function.
    handler = cast("ExceptionHandler", make_handler(responder, taken_over, notice))
    ours = [HTTPException, AuthPIError, *responder.registry.exceptions]
    ours += filter(_is_invalid_request, present)
    ours += (key for key in present if present[key] is _ASKING)
    for key in ours:
        # One for Exception would run in Starlette's outermost middleware, outside all others.
        if key is Exception or (key in present and not _is_default(present[key])):
            continue
        is_ignored = issubclass(key, responder.options.ignore)
        is_left = is_ignored and key in present and key is not HTTPException
        target.add_exception_handler(key, settling(present[key]) if is_left else handler)
    vars(target)[_HANDLED] = True


# Where an ExceptionMiddleware has that a boundary has put its handlers into it.
_HANDLED: Final = "authpi_errors.handled"


def answering_for_mounted(
    mounted: Iterable[object],
    below: ASGIApp,
    responder: Responder,
) -> ASGIApp:
    """Answer what mounted applications leave to their default handlers, or to whoever is around.

    By itself FastAPI answers what is not valid with what the client has sent, and an exception that
    the registry knows goes out with its own text, or as a crash. Once that is long, or compressed
    by middleware, it can't be rewritten any more.

    Args:
        mounted: The middleware and the applications that are mounted.
        below: What serves a connection to the application around them.
        responder: Answers for them.

    Returns:
        What serves a connection now.
    """
    # One with a boundary of its own has its own answers.
    asking = [app for app in mounted if isinstance(app, Starlette) and not _is_covered(app)]
    if not asking:
        return below
    for app in asking:
        _ask(app, responder)
    answer = _answering(responder)

    def serve(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        scope[_ANSWERING] = answer
        return below(scope, receive, send)

    return serve


# Where a scope has what answers in the place of a mounted application's default handlers.
_ANSWERING: Final = "authpi_errors.answering"


def _is_covered(application: Starlette) -> bool:
    """Say whether an application has handlers that a boundary of its own has put there."""
    handler = application.exception_handlers.get(AuthPIError)
    return _is_ours(handler) and not _is_asking(handler)


def _ask(application: Starlette, responder: Responder) -> None:
    """Have a mounted application ask, before it does what it does by default."""
    present = dict(application.exception_handlers)
    invalid = {key: present[key] for key in filter(_is_invalid_request, present)}
    # What nobody has a handler for ends in a crash.
    unhandled = dict.fromkeys((AuthPIError, *responder.registry.exceptions))
    for key, default in {**unhandled, **_DEFAULTS, **invalid}.items():
        handler = present.get(key, default)
        # Whoever handles a base of it handles it, too; one for Exception comes last.
        bases = [base for base in key.__mro__[1:] if base is not Exception]
        if (
            key is not Exception
            and not _is_asking(handler)
            and (key not in present or _is_default(handler))
            and not any(base in present or base in _DEFAULTS for base in bases)
        ):
            asking = cast("ExceptionHandler", _ASKING if handler is None else _asking(handler))
            application.add_exception_handler(key, asking)
            for layer in layers(application.middleware_stack):
                if isinstance(layer, ExceptionMiddleware) and _HANDLED not in vars(layer):
                    layer.add_exception_handler(key, asking)


_DEFAULTS: Final[dict[Any, Any]] = {
    HTTPException: _STARLETTE.http_exception,
    WebSocketException: _STARLETTE.websocket_exception,
}


def _answering(responder: Responder) -> Callable[..., Awaitable[ASGIApp]]:
    """Make what answers in the place of a default handler, which it gets as its last argument."""
    options, registry = responder.options, responder.registry
    ours = make_handler(responder, None)

    async def answer(
        connection: HTTPConnection, exc: Exception, default: Handler | None
    ) -> ASGIApp:
        scope = connection.scope
        is_http = scope["type"] == "http"
        if default is not None and is_http and isinstance(exc, options.ignore):
            return settled_response(await default(connection, exc))
        if default is None or registry.base_of(type(exc)) in registry.exceptions:
            return await ours(connection, exc)
        is_left = (
            not is_http
            # A `rewrite` of the user's is to be asked about each answer.
            or options.rewrite is not None
            or _is_no_error(exc)
            or is_departure(cause_of_unread_body(exc), scope)
        )
        return cast("ASGIApp", await (default if is_left else ours)(connection, exc))

    return answer


def _asking(default: Handler | None) -> Handler:
    """Make a handler that leaves the answer to the nearest boundary further out, if there is one.

    It counts as the default: one that is further in takes its place.
    """

    async def handle(connection: HTTPConnection, exc: Exception) -> ASGIApp:
        answer = connection.scope.get(_ANSWERING)
        if answer is not None:
            return cast("ASGIApp", await answer(connection, exc, default))
        if default is None:
            raise exc
        return cast("ASGIApp", await default(connection, exc))

    vars(handle)[_DEFAULT] = default
    return handle


# Where a handler that asks has the default whose place it takes.
_DEFAULT: Final = "authpi_errors.default"

# For what has no default, and there can be many such types.
_ASKING: Final = _asking(None)


def _is_asking(handler: object) -> bool:
    return _is_ours(handler) and hasattr(handler, _DEFAULT)


def _unasked(handler: object) -> object:
    """Give the default that a handler has which asks; any other is what it is."""
    return getattr(handler, _DEFAULT) if _is_asking(handler) else handler


def _is_invalid_request(key: object) -> TypeGuard[type[Exception]]:
    """Say whether a handler's key is an exception of FastAPI's for what is not valid."""
    return isinstance(key, type) and is_request_validation_error(key)


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


def _is_ours(handler: object) -> bool:
    """Say whether a handler is one that was made here; what wraps it has its name, too."""
    code: CodeType | None = getattr(handler, "__code__", None)
    return code is not None and code.co_filename == make_handler.__code__.co_filename


def _is_default(handler: object) -> bool:
    """Say whether a handler is one that FastAPI sets by itself, or asks a boundary before it.

    It is looked for: what wraps one for the user can have its name, and that of its module.
    """
    if _is_asking(handler):
        return True
    name: object = getattr(handler, "__name__", None)
    module = sys.modules.get("fastapi.exception_handlers")
    return isinstance(name, str) and getattr(module, name, None) is handler
