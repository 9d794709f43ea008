"""The boundary: what goes wrong below it leaves it as an AuthPI error.

It passes through first. Only when an exception arrives does it ask the registry what the exception
means, render that, and send it, unless a response has started. What nobody expected is raised
again, so that the server logs it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from authpi_errors._exceptions import AuthPIError, ServerError
from authpi_errors._handlers import add_handlers, respond_to
from authpi_errors._messages import answer
from authpi_errors._registry import ErrorRegistry
from authpi_errors._sending import SENDINGS, Sending, send_all

__all__ = ["ErrorMiddleware"]

# The client has gone: there is nobody to answer, and nothing went wrong here.
_GONE: Final = (ClientDisconnect, WebSocketDisconnect)


class ErrorMiddleware:
    """ASGI middleware that answers exceptions from below with AuthPI errors.

    It can stand in three places: `app.add_middleware(ErrorMiddleware)`, a `Middleware` in a list of
    them, and around any ASGI application. Where a Starlette or FastAPI application is below or
    around it, it also takes the place of the framework's default exception handlers; handlers that
    the user has set stay. `install` covers more.

    Args:
        app: The ASGI application below.
        registry: What exceptions and statuses mean. Without it: AuthPI's codes alone.
        reraise: Whether what nobody expected is raised again after it is answered, so that the
            server logs it and test clients see it. If not, the logger `authpi_errors` gets it.
    """

    def __init__(
        self, app: ASGIApp, *, registry: ErrorRegistry | None = None, reraise: bool = True
    ) -> None:
        self.app = app
        self.registry = ErrorRegistry() if registry is None else registry
        self.reraise = reraise
        self._application: Starlette | None = None
        self._prepared = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection. Scopes without a client, such as `lifespan`, pass through."""
        kind = scope["type"]
        if kind not in SENDINGS:
            await self.app(scope, receive, send)
            return
        if not self._prepared:
            self._prepare(scope)
        sending = SENDINGS[kind](send)
        try:
            await self.app(scope, receive, sending.send)
        except Exception as exc:
            error = None if isinstance(exc, _GONE) else self.registry.find(exc)
            if sending.started or (error is None and self._is_left_alone(scope, exc)):
                await sending.release()
                raise
            await self._answer(scope, sending, exc, error)
            if error is None and self.reraise:
                raise
        if sending.held:
            await sending.release()

    async def _answer(
        self, scope: Scope, sending: Sending, exc: Exception, error: AuthPIError | None
    ) -> None:
        response = respond_to(
            exc,
            ServerError() if error is None else error,
            self.registry,
            scope,
            raised_again=error is None and self.reraise,
        )
        sending.held = []
        await send_all(answer(response, scope, accepted=sending.accepted), sending.forward)

    def _is_left_alone(self, scope: Scope, exc: Exception) -> bool:
        """Say whether an exception that nobody expected is not for here to answer.

        A client that has gone gets no answer. A user's handler for `Exception` runs in Starlette's
        outermost middleware, and so does its debugger, which is for browsers.
        """
        if isinstance(exc, _GONE):
            return True
        application = self._application
        if application is None:
            return False
        handlers = application.exception_handlers
        if 500 in handlers or Exception in handlers:
            return True
        return application.debug and "text/html" in Headers(scope=scope).get("accept", "")

    def _prepare(self, scope: Scope) -> None:
        """Find the application that this is around, or a part of, at the first connection.

        Only by then are all of the user's own exception handlers known.
        """
        self._prepared = True
        for layer in _layers(self.app):
            if isinstance(layer, Starlette):
                self._adopt(layer, layer.middleware_stack)
                return
            if isinstance(layer, ExceptionMiddleware):
                around = scope.get("app")
                if isinstance(around, Starlette):
                    self._adopt(around, layer)
                return

    def _adopt(self, application: Starlette, stack: object) -> None:
        """Handle the exceptions of an application whose middleware is built, or is still to be."""
        self._application = application
        for layer in _layers(stack):
            if isinstance(layer, ExceptionMiddleware):
                add_handlers(application, layer, self.registry)
                return
        add_handlers(application, application, self.registry)


def _layers(app: object) -> Iterator[object]:
    """Walk down a stack of middleware, each of which has what is below it in `app`."""
    for _ in range(100):
        if app is None:
            return
        yield app
        app = getattr(app, "app", None)
