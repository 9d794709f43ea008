"""What handlers and boundaries tell those further out: which error responses are decided about.

Kept in the scope of the connection, in a list that the outermost boundary puts there: a copy of the
scope, which middleware may pass on, has the same list.
"""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import ClientDisconnect
from starlette.types import Message, Scope
from starlette.websockets import WebSocketDisconnect

__all__ = [
    "GONE",
    "SETTLED",
    "has_departed",
    "is_anything_settled",
    "is_settled",
    "note_departure",
    "settle",
]

# The client has gone: there is nobody to answer, and nothing went wrong here.
GONE: Final = (ClientDisconnect, WebSocketDisconnect)

SETTLED: Final = "authpi_errors.settled"
"""Where a scope has the starts of the responses that are decided about."""

# Stands among them where the client has gone.
_DEPARTURE: Final[Message] = {"type": "http.disconnect"}

# What tells one response from another that middleware has put in its place.
_MARKS: Final = frozenset((b"content-type", b"content-length"))


def settle(scope: Scope, start: Message) -> None:
    """Note that the response with this start is to stay as it is."""
    settled: list[Message] | None = scope.get(SETTLED)
    if settled is None:
        scope[SETTLED] = [start]
    else:
        settled.append(start)


def is_settled(scope: Scope, start: Message) -> bool:
    """Say whether the response with this start has been decided about further in."""
    settled: list[Message] | None = scope.get(SETTLED)
    if not settled:
        return False
    if settled[-1] is start:
        return True
    headers = start.get("headers", _NOTHING)
    for known in settled:
        # Most often nothing in between has touched it.
        if headers is known.get("headers"):
            return True
    return any(_mark(start) == _mark(known) for known in settled)


def is_anything_settled(scope: Scope) -> bool:
    """Say whether a WebSocket has its answer from further in: it gets only one."""
    return any(start is not _DEPARTURE for start in scope.get(SETTLED, ()))


def note_departure(scope: Scope) -> None:
    """Note that the client has gone: there is nobody to answer any more."""
    settle(scope, _DEPARTURE)


def has_departed(scope: Scope) -> bool:
    """Say whether further in the client was found to have gone."""
    return _DEPARTURE in scope.get(SETTLED, ())


_NOTHING: Final[list[Message]] = []


def _mark(start: Message) -> tuple[object, ...]:
    headers: list[tuple[Any, Any]] | None = start.get("headers")
    if type(headers) is not list:
        # ASGI allows headers that can be read only once: nobody but the server is to read them.
        return (start,)
    found = {bytes(name).lower(): bytes(value) for name, value in headers}
    return start.get("status"), *(found.get(name) for name in _MARKS)
