"""The boundary: what goes wrong below it leaves it as an AuthPI error.

It passes through first. Only when an exception or an error response arrives does it ask what that
means, render it, and send it, unless a response has started. What nobody expected is raised again,
so that the server logs it.
"""

from __future__ import annotations

from collections.abc import Awaitable
from logging import ERROR
from typing import Self

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from authpi_errors._content_type import media_type_of
from authpi_errors._cors import Cors, has_passed_cors, mounted_in, through
from authpi_errors._defaults import has_handler_for_everything, may_have_answered, settle_handlers
from authpi_errors._exceptions import AuthPIError, ServerError
from authpi_errors._foreign import (
    LONGEST_BODY,
    ForeignResponse,
    error_of_detail,
    foreign_error,
    may_be_foreign,
)
from authpi_errors._handlers import add_handlers
from authpi_errors._layers import layers
from authpi_errors._messages import answer, send_all
from authpi_errors._mounted import answering_for_mounted
from authpi_errors._place import find_place, replace_default_errors
from authpi_errors._raised import cause_of_crash, is_departure, is_to_be_answered
from authpi_errors._rendering import ErrorResponse
from authpi_errors._reported import announce
from authpi_errors._reporting import log
from authpi_errors._responding import Responder, notify
from authpi_errors._sending import Sending, WebSocketSending, drop
from authpi_errors._settled import (
    SETTLED,
    has_departed,
    is_first,
    is_settled,
    note_departure,
    settle,
)
from authpi_errors._template import Messages

__all__ = ["Boundary"]


class Boundary:
    """Passes an application's messages on, and answers what goes wrong in it.

    Args:
        app: The ASGI application below.
        responder: Makes the answers.
    """

    def __init__(self, app: ASGIApp, responder: Responder) -> None:
        self._shown = app
        self._below = app
        # What serves a connection: until it is prepared, that is its first one.
        self._serve: ASGIApp = self._serve_first
        self._responder = responder
        self.registry = responder.registry
        self._options = responder.options
        self._application: Starlette | None = None
        self._is_inside = False
        self._cors = Cors(app)
        self._has_catch_all = False

    @property
    def app(self) -> ASGIApp:
        """What this is around. Instrumentation may put something of its own in between."""
        return self._shown

    @app.setter
    def app(self, app: ASGIApp) -> None:
        self._shown = self._below = app
        application = self._cors.application
        self._cors = Cors(app)
        self._cors.application = application
        self._serve = self._serve_first if self._application is None else self._serve_mounted

    def __deepcopy__(self, memo: object) -> Self:
        """Stay what it is in a scope that middleware copies."""
        return self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection. Scopes without a client, such as `lifespan`, pass through."""
        if scope["type"] != "http":
            await self._call_other(scope, receive, send)
            return
        if SETTLED not in scope:
            scope[SETTLED] = [self]
        connection = scope, receive, send, self
        # Sends what comes after the start of the response. Each name that is shared with `watch`
        # costs every request something: two are enough.
        forward: Send | None = None

        # A plain function: a success costs no coroutine more, and nothing is kept of it.
        def watch(message: Message) -> Awaitable[None]:
            nonlocal forward
            if forward is None:
                scope, _, send, _ = connection
                if message["type"] != "http.response.start":
                    return send(message)
                forward = (
                    send
                    if 200 <= message["status"] < 400
                    else Sending(*connection)
                    if not is_settled(scope, message)
                    else send
                    if message["status"] < 500
                    else _once(send)
                )
            return forward(message)

        try:
            await self._serve(scope, receive, watch)
        except BaseException as exc:
            # What tasks that were left behind still send is dropped, once this is answered.
            before, forward = forward, drop
            messages = self._answer_shortly(exc, scope) if before is None else None
            if messages is None:
                is_over = await self._answer(exc, _sending(connection, before))
            else:
                start, body = messages
                await send(start)
                await send(body)
                is_over = start["status"] < 500 or not self._options.reraise
            if not is_over:
                raise
            return
        if forward is not send:
            await self._complete(_sending(connection, forward))

    async def _serve_first(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._prepare(scope)
        await self._serve(scope, receive, send)

    def _answer_shortly(self, exc: BaseException, scope: Scope) -> Messages | None:
        """Answer an exception before which nothing was sent, where nobody else is to be asked.

        Returns:
            The messages of the answer, which are to be sent now; `None` if there is more to it. An
            error of the server's is one that nobody expected.
        """
        settled: list[object] = scope.get(SETTLED) or [self]
        if len(settled) > 1 or self._cors.of(scope):
            return None
        responder, reraise = self._responder, self._options.reraise
        messages = responder.plain(exc, scope)
        if messages is None and not self._is_left_alone(exc, scope):
            messages = responder.unexpected(exc, scope, raised_again=reraise)
            # Where this is the first, even below middleware that filters scopes, nobody is told.
            if messages is not None and settled[0] is not self:
                announce(exc, scope, raised_again=reraise)
        if messages is not None:
            settle(scope, messages[0])
        return messages

    async def _call_other(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            await self._below(scope, receive, send)
            return
        scope.setdefault(SETTLED, [self])
        sending = WebSocketSending(scope, receive, send, self)
        try:
            await self._serve(scope, sending.receive_and_note, sending)
        except BaseException as exc:
            if not await self._answer(exc, sending):
                raise
        else:
            if sending.started or not sending.accepted:
                await self._complete(sending)

    async def _complete(self, sending: Sending) -> None:
        """Decide about what is held back, or answer where the application has not."""
        if sending.held:
            await sending.finish()
        elif not sending.started and not has_departed(sending.scope):
            log(ERROR, "The application has ended without a response")
            await self.substitute(500, None, sending)
        scope = sending.scope
        self._responder.reporter.log_lost(None, scope, is_outermost=self.is_outermost(scope))
        await notify(scope)

    async def _answer(self, exc: BaseException, sending: Sending) -> bool:
        """Answer an exception, if nobody has yet, and say whether that is the end of it."""
        scope = sending.scope
        is_outermost = self.is_outermost(scope)
        self._responder.reporter.log_lost(exc, scope, is_outermost=is_outermost)
        is_over = await self._answer_or_release(exc, sending)
        await notify(scope, exc, is_outermost=is_outermost)
        return is_over

    async def _answer_or_release(self, exc: BaseException, sending: Sending) -> bool:
        held = sending.held
        if self.is_ignored(exc):
            await sending.release()
            return False
        if is_departure(exc, sending.scope):
            sending.replace()
            note_departure(sending.scope)
            # Middleware further out counts on the exception.
            return self.is_outermost(sending.scope)
        is_answered = bool(held) and may_have_answered(sending.scope.get("app"))
        if is_answered or not is_to_be_answered(exc):
            await sending.release()
            return False
        known = cause_of_crash(exc) if held else exc
        error = self.registry.find(known)
        if sending.started or (error is None and self._is_left_alone(exc, sending.scope)):
            return False
        is_over = error is not None or (isinstance(exc, Exception) and not self._options.reraise)
        response = self._responder.respond(
            known,
            ServerError() if error is None else error,
            sending.scope,
            is_unexpected=error is None,
            raised_again=not is_over,
        )
        if error is None and not self.is_outermost(sending.scope):
            announce(exc, sending.scope, raised_again=not is_over)
        await self._send(response, sending)
        return is_over

    def _is_left_alone(self, exc: BaseException, scope: Scope) -> bool:
        """Say whether what nobody expected is somebody else's to answer.

        A user's handler for `Exception` runs in Starlette's outermost middleware, and so does its
        debugger, which is for browsers and takes the place of that handler.
        """
        application = self._application
        if application is None or not self._is_inside or not isinstance(exc, Exception):
            return False
        if application.debug:
            return "text/html" in Headers(scope=scope).get("accept", "")
        return self._has_catch_all

    async def _send(
        self, response: ErrorResponse, sending: Sending, has_passed: bool = False
    ) -> None:
        """Send an answer, through the CORS middleware on its way unless it has passed that."""
        scope, forward = sending.scope, sending.replace()
        messages = answer(response, scope, accepted=sending.accepted)
        settle(scope, messages[0])
        cors = [] if has_passed else self._cors.of(scope)
        if cors:

            async def respond(scope: Scope, receive: Receive, send: Send) -> None:
                del scope, receive
                await send_all(messages, send)

            await through(cors, respond)(scope, sending.receive, forward)
        else:
            await send_all(messages, forward)

    def is_outermost(self, scope: Scope) -> bool:
        """Say whether there is no other boundary further out, around this connection."""
        return is_first(scope, self)

    def is_ignored(self, exc: BaseException | None) -> bool:
        """Say whether an exception is left to the framework, and so is its answer."""
        ignored = self._options.ignore
        return exc is not None and isinstance(cause_of_crash(exc), ignored)

    def is_last(self, scope: Scope) -> bool:
        """Say whether nobody further out answers what is left to the framework."""
        return not self._is_inside and self.is_outermost(scope)

    def may_rewrite(self, headers: Headers, body: bytes | bytearray) -> bool:
        """Say whether a response that begins so may have to be rewritten."""
        if self._options.rewrite is None:
            return may_be_foreign(headers, body)
        # An event stream can stay open for hours; anything else is the user's to decide.
        return len(body) <= LONGEST_BODY and media_type_of(headers) != "text/event-stream"

    async def rewrite(self, response: ForeignResponse, sending: Sending) -> bool:
        """Send an answer in the place of a response, or say that it is to stay as it is."""
        if not self._is_to_be_rewritten(response):
            return False
        error = foreign_error(response, self.registry)
        await self._send_error(error, sending, has_passed_cors(response.headers))
        return True

    def _is_to_be_rewritten(self, response: ForeignResponse) -> bool:
        if self._options.rewrite is None:
            return response.is_foreign
        try:
            return self._options.rewrite(response)
        except Exception as exc:
            self._responder.reporter.log_failure("rewrite", exc)
            return response.is_foreign

    async def substitute(self, status: int, detail: object, sending: Sending) -> None:
        """Send an answer in the place of what the application has sent."""
        await self._send_error(error_of_detail(status, detail, self.registry), sending)

    async def _send_error(
        self, error: AuthPIError, sending: Sending, has_passed: bool = False
    ) -> None:
        response = self._responder.respond(None, error, sending.scope)
        await self._send(response, sending, has_passed)

    def _prepare(self, scope: Scope) -> None:
        """Find the application that this is around, or a part of, at the first connection.

        Only by then are all of the user's own exception handlers known.
        """
        self._serve = self._serve_mounted
        place = find_place(self._below, scope)
        if place is None:
            return
        application, target = place.application, place.target
        if not self._options.ignore:
            replace_default_errors(application, self)
        self.adopt(application, is_inside=place.is_inside)
        add_handlers(application, target or application, self._responder)
        settle_handlers(application, target)

    def adopt(self, application: Starlette, *, is_inside: bool) -> None:
        """Say which application this is a part of, or around.

        Args:
            application: The application.
            is_inside: Whether this is a part of it, below its outermost middleware.
        """
        self._serve = self._serve_mounted
        self._application = application
        self._is_inside = is_inside
        self._cors.application = None if is_inside else application
        # It is built into the application's middleware, once.
        self._has_catch_all = has_handler_for_everything(application)

    async def _serve_mounted(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Not before the first connection: while an application starts, others can be mounted in it.
        mounted = self._mounted()
        for layer in mounted:
            if isinstance(layer, Starlette):
                settle_handlers(layer)
        self._serve = answering_for_mounted(mounted, self._below, self._responder)
        await self._serve(scope, receive, send)

    def _mounted(self) -> list[object]:
        """Find what is mounted below, middleware and applications."""
        around = [self._application, *layers(self._below)]
        return [each for layer in around for each in mounted_in(layer)]


def _once(send: Send) -> Send:
    """Send one response. Middleware may answer once more what was answered, and raised again."""
    starts = 0

    def send_once(message: Message) -> Awaitable[None]:
        nonlocal starts
        starts += message["type"] == "http.response.start"
        return send(message) if starts < 2 else drop(message)

    return send_once


def _sending(connection: tuple[Scope, Receive, Send, Boundary], forward: Send | None) -> Sending:
    """Give what has been sent of an answer, or begin with it."""
    if isinstance(forward, Sending):
        return forward
    return Sending(*connection, started=forward is not None)
