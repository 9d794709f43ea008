"""What mounted applications leave to their default handlers is answered inside them.

Their middleware sees the answer, then, as it would see that of a default handler.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, cast

from starlette.applications import Starlette
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from authpi_errors._defaults import (
    ANSWERING,
    DEFAULTS,
    WITHOUT_DEFAULT,
    asking,
    is_asking,
    is_default,
    is_invalid_request,
    is_ours,
)
from authpi_errors._exceptions import AuthPIError
from authpi_errors._handlers import HANDLED, is_no_error, make_handler
from authpi_errors._layers import layers
from authpi_errors._raised import cause_of_unread_body, is_departure
from authpi_errors._responding import Responder
from authpi_errors._settled import Handler, settled_response

__all__ = ["answering_for_mounted"]


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
    uncovered = [app for app in mounted if isinstance(app, Starlette) and not _is_covered(app)]
    if not uncovered:
        return below
    for app in uncovered:
        _ask(app, responder)
    answer = _answering(responder)

    def serve(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        scope[ANSWERING] = answer
        return below(scope, receive, send)

    return serve


def _is_covered(application: Starlette) -> bool:
    """Say whether an application has handlers that a boundary of its own has put there."""
    handler = application.exception_handlers.get(AuthPIError)
    return is_ours(handler) and not is_asking(handler)


def _ask(application: Starlette, responder: Responder) -> None:
    """Have a mounted application ask, before it does what it does by default."""
    present = dict(application.exception_handlers)
    invalid = {key: present[key] for key in filter(is_invalid_request, present)}
    # What nobody has a handler for ends in a crash.
    unhandled = dict.fromkeys((AuthPIError, *responder.registry.exceptions))
    for key, default in {**unhandled, **DEFAULTS, **invalid}.items():
        handler = present.get(key, default)
        # Whoever handles a base of it handles it, too; one for Exception comes last.
        bases = [base for base in key.__mro__[1:] if base is not Exception]
        if (
            key is not Exception
            and not is_asking(handler)
            and (key not in present or is_default(handler))
            and not any(base in present or base in DEFAULTS for base in bases)
        ):
            asks: Any = WITHOUT_DEFAULT if handler is None else asking(handler)
            application.add_exception_handler(key, asks)
            for layer in layers(application.middleware_stack):
                if isinstance(layer, ExceptionMiddleware) and HANDLED not in vars(layer):
                    layer.add_exception_handler(key, asks)


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
            or is_no_error(exc)
            or is_departure(cause_of_unread_body(exc), scope)
        )
        return cast("ASGIApp", await (default if is_left else ours)(connection, exc))

    return answer
