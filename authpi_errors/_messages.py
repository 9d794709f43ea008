"""A response becomes the ASGI messages that answer an HTTP request or a WebSocket handshake."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from starlette.types import Message, Scope, Send

from authpi_errors._rendering import ErrorResponse

__all__ = ["answer", "can_deny", "send_all", "sendable_close"]

# RFC 6455, 7.4.1.
_POLICY_VIOLATION: Final = 1008
_INTERNAL_ERROR: Final = 1011
# RFC 6455, 5.5: a control frame has 125 bytes, two of which are the close code.
_LONGEST_REASON: Final = 123


def answer(response: ErrorResponse, scope: Scope, *, accepted: bool = False) -> list[Message]:
    """Give the messages that send `response`, in their order.

    Args:
        response: What to send.
        scope: The scope of the connection, `http` or `websocket`.
        accepted: Whether a WebSocket has been accepted; it can only be closed then.

    Returns:
        The start and the body of an HTTP response, the same as the denial of a WebSocket where the
        server can, or a `websocket.close`.
    """
    # A fresh list each time: middleware outside appends to it.
    headers = list(response.headers)
    is_http = scope["type"] == "http"
    if is_http or (not accepted and can_deny(scope)):
        kind = "http.response" if is_http else "websocket.http.response"
        # HEAD gets the headers that GET would, and no body: RFC 9110, 9.3.2.
        body = b"" if scope.get("method") == "HEAD" else response.body
        return [
            {"type": f"{kind}.start", "status": response.status, "headers": headers},
            {"type": f"{kind}.body", "body": body},
        ]
    return [
        {
            "type": "websocket.close",
            "code": _POLICY_VIOLATION if response.status < 500 else _INTERNAL_ERROR,
            "reason": response.code[:_LONGEST_REASON],
        }
    ]


def sendable_close(message: Message) -> Message:
    """Mend a `websocket.close` that servers fail on, after which the client learns nothing."""
    code, reason = message.get("code", 1000), message.get("reason") or ""
    encoded = str(reason).encode(errors="replace")
    is_known = isinstance(code, int) and code in _CLOSE_CODES
    if is_known and len(encoded) <= _LONGEST_REASON:
        return message
    return {
        **message,
        "code": code if is_known else _POLICY_VIOLATION,
        "reason": encoded[:_LONGEST_REASON].decode(errors="ignore"),
    }


# RFC 6455, 7.4: what its registry has for endpoints to send, and what applications may define.
_CLOSE_CODES: Final = frozenset((1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)))


def can_deny(scope: Scope) -> bool:
    """Say whether a WebSocket's server can send an HTTP response instead of accepting it.

    ASGI calls that the extension `websocket.http.response`.
    """
    return "websocket.http.response" in (scope.get("extensions") or {})


async def send_all(messages: Iterable[Message], send: Send) -> None:
    """Send messages in their order."""
    for message in messages:
        await send(message)
