"""What has been sent of the answer to one connection, and what is held back of it."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import Final

from starlette.types import Message, Send

__all__ = ["SENDINGS", "Sending", "send_all"]

# How many messages of a response are held back at most. Starlette's own 500 has two.
_MOST_HELD: Final = 16


async def send_all(messages: Iterable[Message], send: Send) -> None:
    """Send messages in their order."""
    for message in messages:
        await send(message)


class Sending:
    """The answer to one HTTP request.

    A mounted or wrapped application that fails sends a plain 500 of its own, and raises only then.
    Such a response is held back until it is clear whether an exception follows: the exception knows
    more.

    Attributes:
        forward: Sends to the client, past what is observed here.
        held: The messages that are held back.
        started: Whether something has been sent that can't be taken back.
        accepted: Whether this is a WebSocket that has been accepted.
    """

    __slots__ = ("accepted", "forward", "held", "started")

    def __init__(self, forward: Send) -> None:
        self.forward = forward
        self.held: list[Message] = []
        self.started = False
        self.accepted = False

    def send(self, message: Message) -> Awaitable[None]:
        """Observe a message on its way: no coroutine of its own while all goes well."""
        if self.started:
            return self.forward(message)
        if self.held or message["type"] == "http.response.start":
            if self.held or message["status"] == 500:
                return self._hold(message)
            self.started = True
        return self.forward(message)

    async def _hold(self, message: Message) -> None:
        if not self.held:
            # ASGI allows headers that can be read only once.
            message = {**message, "headers": list(message.get("headers", ()))}
        self.held.append(message)
        if not _is_plain(self.held[0]) or len(self.held) > _MOST_HELD:
            await self.release()

    async def release(self) -> None:
        """Send what is held back."""
        self.started = True
        await send_all(self.held, self.forward)
        self.held = []


def _is_plain(start: Message) -> bool:
    """Say whether a response is plain text, as Starlette's own 500 is."""
    return any(
        bytes(name).lower() == b"content-type" and bytes(value).lower().startswith(b"text/plain")
        for name, value in start["headers"]
    )


class _WebSocketSending(Sending):
    """The answer to one WebSocket: accepted and closed, or denied."""

    __slots__ = ()

    def send(self, message: Message) -> Awaitable[None]:
        kind = message["type"]
        if kind == "websocket.accept":
            self.accepted = True
        elif kind != "websocket.send":
            # A close, or a denial: no other answer can follow.
            self.started = True
        return self.forward(message)


SENDINGS: Final[dict[str, type[Sending]]] = {"http": Sending, "websocket": _WebSocketSending}
"""By the type of the scope: the connections that can be answered."""
