"""A response becomes the ASGI messages that answer an HTTP request or a WebSocket handshake."""

from __future__ import annotations

from typing import Final

from starlette.types import Message, Scope

from authpi_errors._rendering import ErrorResponse

__all__ = ["answer"]

# RFC 6455, 7.4.1. There is no close code for "try again later" that all servers know.
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
        server can (ASGI's extension `websocket.http.response`), or a `websocket.close`.
    """
    if scope["type"] == "http":
        return _http(response, "http.response", head=scope["method"] == "HEAD")
    if not accepted and "websocket.http.response" in (scope.get("extensions") or {}):
        return _http(response, "websocket.http.response", head=False)
    return [
        {
            "type": "websocket.close",
            "code": _POLICY_VIOLATION if response.status < 500 else _INTERNAL_ERROR,
            "reason": response.code[:_LONGEST_REASON],
        }
    ]


def _http(response: ErrorResponse, kind: str, *, head: bool) -> list[Message]:
    """HEAD gets the headers that GET would, and no body: RFC 9110, 9.3.2."""
    return [
        # A fresh list each time: middleware outside appends to it.
        {"type": f"{kind}.start", "status": response.status, "headers": list(response.headers)},
        {"type": f"{kind}.body", "body": b"" if head else response.body},
    ]
