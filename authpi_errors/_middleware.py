"""The boundary: what goes wrong below it leaves it as an AuthPI error.

It passes through first. Only when an exception or an error response arrives does it ask what that
means, render it, and send it, unless a response has started. What nobody expected is raised again,
so that the server logs it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from authpi_errors._cors import cors_of, cors_of_routes, layers, through
from authpi_errors._exceptions import AuthPIError, ServerError
from authpi_errors._foreign import (
    LONGEST_BODY,
    ForeignResponse,
    foreign_error,
    may_be_foreign,
)
from authpi_errors._handlers import (
    add_handlers,
    has_handler_for_everything,
    logger,
    respond_to,
    settle_handlers,
)
from authpi_errors._messages import answer, send_all
from authpi_errors._registry import ErrorRegistry, is_group, leaves
from authpi_errors._rendering import ErrorResponse
from authpi_errors._sending import Sending, WebSocketSending
from authpi_errors._settled import is_settled, settle

__all__ = ["ErrorMiddleware"]

# The client has gone: there is nobody to answer, and nothing went wrong here.
_GONE: Final = (ClientDisconnect, WebSocketDisconnect)


class ErrorMiddleware:
    """ASGI middleware that answers what goes wrong below it with AuthPI errors.

    It can stand in three places: `app.add_middleware(ErrorMiddleware)`, a `Middleware` in a list of
    them, and around any ASGI application. Where a Starlette or FastAPI application is below or
    around it, it also takes the place of the framework's default exception handlers; handlers that
    the user has set stay. `install` covers more.

    Args:
        app: The ASGI application below.
        registry: What exceptions and statuses mean. Without it: AuthPI's codes alone.
        reraise: Whether what nobody expected is raised again after it is answered, so that the
            server logs it and test clients see it. If not, the logger `authpi_errors` gets it.
        rewrite: Says of an error response that something else has made whether it becomes an
            AuthPI error. Without it, `ForeignResponse.is_foreign` does.
        ignore: Types of exceptions that pass, unanswered, to whoever wants them further out.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        registry: ErrorRegistry | None = None,
        reraise: bool = True,
        rewrite: Callable[[ForeignResponse], bool] | None = None,
        ignore: tuple[type[BaseException], ...] = (),
    ) -> None:
        self.app = app
        self.registry = ErrorRegistry() if registry is None else registry
        self.reraise = reraise
        self._rewrite = rewrite
        self._ignore = checked_ignore(ignore)
        self._application: Starlette | None = None
        self._is_inside = False
        self.is_outermost = True
        self._prepared = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection. Scopes without a client, such as `lifespan`, pass through."""
        if scope["type"] != "http":
            await self._call_other(scope, receive, send)
            return
        if not self._prepared:
            self._prepare(scope)
        started = False
        sending: Sending | None = None

        # A plain function: a success costs no coroutine more, and nothing is kept of it.
        def watch(message: Message) -> Awaitable[None]:
            nonlocal started, sending
            if sending is not None:
                return sending.send(message)
            if not started and message["type"] == "http.response.start":
                if message["status"] >= 400 and not is_settled(scope, message):
                    sending = Sending(scope, receive, send, self)
                    return sending.send(message)
                started = True
            return send(message)

        try:
            await self.app(scope, receive, watch)
        except BaseException as exc:
            sending = sending or Sending(scope, receive, send, self, started=started)
            if not await self._answer(exc, sending):
                raise
        if not started:
            await self._complete(sending or Sending(scope, receive, send, self))

    async def _call_other(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            await self.app(scope, receive, send)
            return
        if not self._prepared:
            self._prepare(scope)
        sending = WebSocketSending(scope, receive, send, self)
        try:
            await self.app(scope, receive, sending.send)
        except BaseException as exc:
            if not await self._answer(exc, sending):
                raise
        else:
            if sending.held:
                await sending.finish()

    async def _complete(self, sending: Sending) -> None:
        """Decide about what is held back, or answer where the application has not."""
        if sending.held:
            await sending.finish()
        elif not sending.started:
            logger.error("The application has ended without a response")
            await self.substitute(500, None, sending)

    async def _answer(self, exc: BaseException, sending: Sending) -> bool:
        """Answer an exception, if nobody has yet, and say whether that is the end of it."""
        if isinstance(exc, _GONE):
            sending.replace()
            # Middleware further out counts on the exception.
            return self.is_outermost
        is_answered = bool(sending.held) and has_handler_for_everything(sending.scope)
        if is_answered or isinstance(exc, self._ignore) or not _is_to_be_answered(exc):
            await sending.release()
            return False
        known = _cause_of_crash(exc) if sending.held else exc
        error = self.registry.find(known)
        if sending.started or (error is None and self._is_left_alone(exc, sending.scope)):
            await sending.release()
            return False
        is_over = error is not None or (isinstance(exc, Exception) and not self.reraise)
        response = respond_to(
            known,
            ServerError() if error is None else error,
            self.registry,
            sending.scope,
            raised_again=not is_over,
        )
        await self._send(response, sending)
        return is_over

    def _is_left_alone(self, exc: BaseException, scope: Scope) -> bool:
        """Say whether what nobody expected is somebody else's to answer.

        A user's handler for `Exception` runs in Starlette's outermost middleware, and so does its
        debugger, which is for browsers.
        """
        application = self._application
        if application is None or not self._is_inside or not isinstance(exc, Exception):
            return False
        if has_handler_for_everything({"app": application}):
            return True
        return application.debug and "text/html" in Headers(scope=scope).get("accept", "")

    async def _send(self, response: ErrorResponse, sending: Sending) -> None:
        headers = Headers(raw=list(response.headers))
        forward = sending.replace()

        async def respond(scope: Scope, receive: Receive, send: Send) -> None:
            del receive
            messages = answer(response, scope, accepted=sending.accepted)
            settle(sending.scope, {"headers": [], "status": response.status, **messages[0]})
            await send_all(messages, send)

        if sending.scope["type"] == "http" and not _has_passed_cors(headers):
            call = through(self._cors(sending.scope), respond)
            await call(sending.scope, sending.receive, forward)
        else:
            await respond(sending.scope, sending.receive, forward)

    def _cors(self, scope: Scope) -> list[CORSMiddleware]:
        """Find the CORS middleware that a success would have passed on its way to here."""
        is_outside = self._application is not None and not self._is_inside
        return cors_of(self._application if is_outside else self.app) + cors_of_routes(scope)

    def may_rewrite(self, headers: Headers, body: bytes | bytearray) -> bool:
        """Say whether a response that begins so may have to be rewritten."""
        if self._rewrite is None:
            return may_be_foreign(headers, body)
        # An event stream can stay open for hours; anything else is the user's to decide.
        event_stream = headers.get("content-type", "").startswith("text/event-stream")
        return len(body) <= LONGEST_BODY and not event_stream

    async def rewrite(self, response: ForeignResponse, sending: Sending) -> bool:
        """Send an answer in the place of a response, or say that it is to stay as it is."""
        if not self._is_to_be_rewritten(response):
            return False
        await self._send_error(foreign_error(response, self.registry), sending)
        return True

    def _is_to_be_rewritten(self, response: ForeignResponse) -> bool:
        if self._rewrite is None:
            return response.is_foreign
        try:
            return self._rewrite(response)
        except Exception:
            logger.exception(
                "The function given for `rewrite` failed; the response is decided on "
                "as if there were none"
            )
            return response.is_foreign

    async def substitute(self, status: int, detail: str | None, sending: Sending) -> None:
        """Send an answer in the place of what the application has sent."""
        await self._send_error(self.registry.error_for(status, detail), sending)

    async def _send_error(self, error: AuthPIError, sending: Sending) -> None:
        await self._send(respond_to(None, error, self.registry, sending.scope), sending)

    def _prepare(self, scope: Scope) -> None:
        """Find the application that this is around, or a part of, at the first connection.

        Only by then are all of the user's own exception handlers known.
        """
        self._prepared = True
        application: object = scope.get("app")
        target: ExceptionMiddleware | None = None
        is_inside = True
        for layer in layers(self.app):
            if isinstance(layer, ErrorMiddleware):
                layer.is_outermost = False
            if isinstance(layer, Starlette):
                application, is_inside = layer, False
                target = _exception_middleware(layer)
                break
            if isinstance(layer, ExceptionMiddleware):
                target = layer
                break
        if isinstance(application, Starlette) and (target is not None or not is_inside):
            self.adopt(application, is_inside=is_inside)
            add_handlers(application, target or application, self.registry, self._ignore)
            if target is not None:
                settle_handlers(application, target)

    def adopt(self, application: Starlette, *, is_inside: bool, is_outermost: bool = True) -> None:
        """Say which application this is a part of, or around.

        Args:
            application: The application.
            is_inside: Whether this is a part of it, below its outermost middleware.
            is_outermost: Whether there is no other boundary further out.
        """
        self.is_outermost = is_outermost
        self._prepared = True
        self._application = application
        self._is_inside = is_inside


def _exception_middleware(application: Starlette) -> ExceptionMiddleware | None:
    """Find where the handlers of an application are, once it has its middleware."""
    if application.middleware_stack is None:
        # As the application does at its first request, which this is.
        with suppress(Exception):
            application.middleware_stack = application.build_middleware_stack()
    found = (
        layer
        for layer in layers(application.middleware_stack)
        if isinstance(layer, ExceptionMiddleware)
    )
    return next(found, None)


def checked_ignore(ignore: tuple[type[BaseException], ...]) -> tuple[type[BaseException], ...]:
    """Refuse what `isinstance` would fail on, when an error is to be answered."""
    if isinstance(ignore, tuple) and all(
        isinstance(cls, type) and issubclass(cls, BaseException) for cls in ignore
    ):
        return ignore
    raise ValueError(f"ignore is {ignore!r}: use a tuple of exception types.")


def _cause_of_crash(exc: BaseException) -> BaseException:
    """Find what a mounted application has raised after its plain 500.

    Starlette can't handle it then, and raises an exception of its own in the place of it.
    """
    cause = exc.__cause__
    if isinstance(exc, RuntimeError) and str(exc).startswith(_TOO_LATE) and cause is not None:
        return cause
    return exc


_TOO_LATE: Final = "Caught handled exception, but response already started"


def _is_to_be_answered(exc: BaseException) -> bool:
    """Say whether something that is no `Exception` still leaves somebody who waits for an answer.

    What ends the process does. A cancellation does not, unless it came out of something that the
    application awaited while nobody cancelled the request.
    """
    return all(
        isinstance(leaf, Exception | SystemExit | KeyboardInterrupt)
        or (isinstance(leaf, asyncio.CancelledError) and not _is_cancelled())
        for leaf in (leaves(exc) if is_group(exc) else (exc,))
    )


def _is_cancelled() -> bool:
    """Say whether the request itself is cancelled. On another loop than asyncio's it has to be."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return True
    return task is None or task.cancelling() > 0


def _has_passed_cors(headers: Headers) -> bool:
    varies = headers.get("vary", "").lower()
    return "access-control-allow-origin" in headers or "origin" in varies
