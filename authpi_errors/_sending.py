"""What has been sent of the answer to one connection, and what is held back of it."""

from __future__ import annotations

import sys
from collections.abc import Awaitable
from typing import Any, Final, Protocol

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from authpi_errors._content_type import media_type_of
from authpi_errors._defaults import is_answered_by_user, may_have_answered
from authpi_errors._foreign import ForeignResponse
from authpi_errors._messages import can_deny, send_all, sendable_close
from authpi_errors._raised import cause_of_unread_body, is_departure
from authpi_errors._routing import is_lost
from authpi_errors._settled import (
    forget,
    has_departed,
    is_answer_to_nobody,
    is_closed,
    is_settled,
    note_departure,
    settle,
)
from authpi_errors._validation import is_list
from authpi_errors.codes import is_error_status, status_of_close

__all__ = ["Judge", "Sending", "WebSocketSending", "drop"]

# How many messages are held back: of a body in pieces, each can be empty.
_MOST_HELD: Final = 1000

# The messages that bring a body, or name a file that is one.
_BODIES: Final = ("http.response.body", "http.response.pathsend", "http.response.zerocopysend")


class Judge(Protocol):
    """Decides about the error responses of others. A boundary does."""

    def is_outermost(self, scope: Scope) -> bool:
        """Say whether there is no other boundary further out, around this connection."""
        ...

    def is_ignored(self, exc: BaseException | None) -> bool:
        """Say whether an exception is left to the framework, and so is its answer."""
        ...

    def is_last(self, scope: Scope) -> bool:
        """Say whether nobody further out answers what is left to the framework."""
        ...

    def may_rewrite(self, headers: Headers, body: bytes | bytearray) -> bool:
        """Say whether a response that begins so may have to be rewritten."""
        ...

    async def rewrite(self, response: ForeignResponse, sending: Sending) -> bool:
        """Send an answer in the place of a response, or say that it is to stay as it is."""
        ...

    async def substitute(self, status: int, detail: object, sending: Sending) -> None:
        """Send an answer in the place of what the application has sent."""
        ...


class Sending:
    """The answer to one HTTP request, from the moment on that it is not a success.

    It is an ASGI `send`.

    An error response that may be a framework's is held back until its body is complete, and then
    rewritten. One that looks as Starlette's plain 500 is held back until the application ends: a
    mounted or wrapped application sends such a 500 when it fails, and raises the exception only
    then, which knows more.

    Attributes:
        scope: The scope of the connection.
        receive: Receives from the client.
        forward: Sends to the client, past what is observed here.
        held: The messages that are held back.
        started: Whether something has been sent that can't be taken back.
        accepted: Whether this is a WebSocket that has been accepted.
    """

    __slots__ = (
        "_body",
        "_is_complete",
        "_is_crash",
        "_judge",
        "_replaced",
        "accepted",
        "forward",
        "held",
        "receive",
        "scope",
        "started",
    )

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        forward: Send,
        judge: Judge,
        *,
        started: bool = False,
    ) -> None:
        self.scope = scope
        self.receive = receive
        self.forward = forward
        self.held: list[Message] = []
        self.started = started
        self.accepted = False
        self._replaced = False
        self._judge = judge

    def __call__(self, message: Message) -> Awaitable[None]:
        """Pass a message on, or hold it back."""
        if self.started:
            return drop(message) if self._replaced else self.forward(message)
        return self._hold_more(message) if self.held else self._hold(message)

    async def _hold(self, start: Message) -> None:
        """Hold back the start of an error response, if it may be a framework's."""
        if self._tells_of_departure(start):
            note_departure(self.scope, start)
            # Middleware further out counts on a response.
            if self._judge.is_outermost(self.scope):
                self.replace()
                return
            self.started = True
            await self.forward(start)
            return
        if not is_error_status(start["status"]):
            # Servers fail on it, after they have marked the response as started.
            await self._judge.substitute(500, None, self)
            return
        if not isinstance(start.get("headers"), list):
            # ASGI allows headers that can be read only once, and none.
            start = {**start, "headers": list(start.get("headers", ()))}
        self.held.append(start)
        self._body = bytearray()
        self._is_complete = False
        # What is raised where no handler runs, Starlette answers.
        is_users = is_answered_by_user(self.scope) and not self._is_starlettes_500(start)
        is_ignored = self._judge.is_ignored(sys.exception())
        is_left = is_users or (is_ignored and self._judge.is_last(self.scope))
        self._is_crash = not is_left and self._is_certain_crash(start)
        may_stay = is_users or is_ignored or not self._judge.may_rewrite(_headers_of(start), b"")
        if may_stay and not self._is_crash:
            await self.release()

    async def _hold_more(self, message: Message) -> None:
        if self._is_crash:
            # It is never sent, and can be long: a debugger's page is.
            return
        self.held.append(message)
        kind: str = message["type"]
        if not kind.endswith(_BODIES):
            # Something that belongs to the response: it goes where that goes.
            return
        self._body += message.get("body", b"")
        self._is_complete = not message.get("more_body", False)
        headers = _headers_of(self.held[0])
        if len(self.held) > _MOST_HELD or not self._judge.may_rewrite(headers, self._body):
            await self.release()
        elif self._is_complete and not self._may_be_a_crash():
            await self.finish()

    def _tells_of_departure(self, start: Message) -> bool:
        """Say whether a mounted FastAPI answers that the client has gone."""
        if self.scope["type"] != "http":
            return False
        exc = sys.exception()
        return is_answer_to_nobody(self.scope, start) or (
            isinstance(exc, Exception) and is_departure(cause_of_unread_body(exc), self.scope)
        )

    def _is_certain_crash(self, start: Message) -> bool:
        """Say whether Starlette answers an exception by itself, in its debugger at any length."""
        if sys.exception() is None or may_have_answered(self.scope.get("app")):
            return False
        return self._is_starlettes_500(start) or _is_bare_500(start)

    def _may_be_a_crash(self) -> bool:
        """Say whether an exception may follow: Starlette raises what it has answered with a 500."""
        if may_have_answered(self.scope.get("app")):
            return sys.exception() is not None
        return self._is_starlettes_500(self.held[0])

    def _is_starlettes_500(self, start: Message) -> bool:
        """Say whether a response looks as Starlette's outermost middleware answers exceptions."""
        # A debugger says more. What is compressed in between has no length any more.
        is_debugged = getattr(self.scope.get("app"), "debug", False)
        is_short = _headers_of(start).get("content-length") in _LENGTHS_OF_500
        return _is_plain_500(start) and (is_debugged or is_short)

    async def finish(self) -> None:
        """Decide about what is held back, now that no more of it comes."""
        start = self.held[0]
        if self._is_crash:
            await self._judge.substitute(500, None, self)
            return
        if self._is_complete:
            response = ForeignResponse(
                self.scope, int(start["status"]), _headers_of(start), bytes(self._body)
            )
            if await self._judge.rewrite(response, self):
                return
        await self.release()

    async def release(self) -> None:
        """Send what is held back, as it is; of a crash nothing: somebody else answers it."""
        held, self.held = self.held, []
        if held and self._is_crash:
            return
        self.started = True
        if held:
            settle(self.scope, held[0])
        await send_all(held, self.forward)

    def replace(self) -> Send:
        """Drop what is held back and all that follows; give what sends the answer instead."""
        self.held = []
        self.started = self._replaced = True
        return self.forward


class WebSocketSending(Sending):
    """The answer to one WebSocket: accepted and closed, or denied.

    One that is closed before it is accepted is denied by the server, with a 403 without a body.
    Where the server can deny it with a response, that is what it gets.
    """

    __slots__ = ()

    async def receive_and_note(self) -> Message:
        """Receive for the application, and note when the client has gone."""
        message = await self.receive()
        forget(self.scope)
        if message["type"] == "websocket.disconnect":
            note_departure(self.scope)
        return message

    def replace(self) -> Send:
        """Drop all that follows; what goes to a client that has gone, servers fail on."""
        forward = super().replace()
        return drop if has_departed(self.scope) else forward

    def __call__(self, message: Message) -> Awaitable[None]:
        """Pass a message on, hold it back, or answer in the place of it."""
        if self.started or self.accepted:
            return self._send_more(message)
        if self.held:
            return self._hold_more(message)
        kind: str = message["type"]
        if kind in ("websocket.accept", "websocket.send"):
            # Middleware further out may have accepted it.
            self.accepted = True
        elif kind == "websocket.close":
            return self._close(message)
        elif kind == "websocket.http.response.start":
            if message["status"] >= 400:
                return self._hold_denial(message)
            self.started = True
        return self.forward(message)

    def _send_more(self, message: Message) -> Awaitable[None]:
        kind: str = message["type"]
        if not self.started:
            # A mounted FastAPI answers exceptions in these ways, whatever has been sent. Servers
            # fail on both.
            if kind == "websocket.http.response.start":
                return self._judge.substitute(message["status"], None, self)
            if is_list(message.get("reason")):
                return self._close(message)
        is_close = kind == "websocket.close"
        if self.started and (is_close or kind == "websocket.http.response.start"):
            # Somebody further in has answered, and somebody else does so again.
            self._replaced = True
        if is_close:
            self.started = True
            message = sendable_close(message)
        return drop(message) if self._replaced else self.forward(message)

    async def _close(self, message: Message) -> None:
        is_left = is_answered_by_user(self.scope) or self._judge.is_ignored(sys.exception())
        if is_left or is_closed(self.scope):
            self.started = True
            await self.forward(message)
            return
        code: int = message.get("code", 1000)
        reason: object = message.get("reason")
        # A router closes what it has no route for, and gives no reason.
        may_be_lost = "router" in self.scope and code == 1000 and not reason
        status = 404 if may_be_lost and is_lost(self.scope) else status_of_close(code)
        # FastAPI gives a list of what it has found wrong.
        is_detail = isinstance(reason, str) or is_list(reason)
        await self._judge.substitute(status, reason if reason and is_detail else None, self)

    async def _hold_denial(self, start: Message) -> None:
        if self._judge.is_ignored(sys.exception()) or is_settled(self.scope, start):
            self.started = True
            await self.forward(start)
        elif can_deny(self.scope):
            await self._hold(start)
        else:
            # Starlette denies with a response without asking whether the server can send it.
            await self._judge.substitute(start["status"], None, self)


def _headers_of(start: Message) -> Headers:
    """Read headers as lenient servers do: names in upper case, and any kind of bytes."""
    raw: list[tuple[Any, Any]] = start["headers"]
    return Headers(raw=[(bytes(name).lower(), bytes(value)) for name, value in raw])


def _is_plain_500(start: Message) -> bool:
    return start["status"] == 500 and media_type_of(_headers_of(start)) == "text/plain"


def _is_bare_500(start: Message) -> bool:
    """Say whether a plain 500 has no other headers than Starlette's debugger sends."""
    return _is_plain_500(start) and set(_headers_of(start)) <= {"content-type", "content-length"}


# "Internal Server Error" has 21 bytes.
_LENGTHS_OF_500: Final = ("21", None)


async def drop(message: Message) -> None:
    """Send nothing."""
    del message
