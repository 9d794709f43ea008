"""What handlers and boundaries tell those further out: which error responses are decided about.

Beside these stand the departure of the client, and bugs that are on their way further out. All that
is kept in the scope of the connection, in a list that the outermost boundary puts there and that
begins with it: a copy of the scope, which middleware may pass on, has the same list.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import CodeType
from typing import Any, Final, cast

from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

__all__ = [
    "GONE",
    "SETTLED",
    "Handler",
    "forget",
    "has_departed",
    "is_answer_to_nobody",
    "is_closed",
    "is_first",
    "is_settled",
    "is_settling",
    "note_departure",
    "settle",
    "settled_response",
    "settling",
]

Handler = Callable[[Any, Any], Any]
"""An exception handler, asynchronous or not."""

# The client has gone: there is nobody to answer, and nothing went wrong here.
GONE: Final = (ClientDisconnect, WebSocketDisconnect)

SETTLED: Final = "authpi_errors.settled"
"""Where a scope has the outermost boundary, and after it what boundaries are told."""


def is_first(scope: Scope, boundary: object) -> bool:
    """Say whether no boundary came to a connection before this one."""
    return scope.get(SETTLED, (boundary,))[0] is boundary


def settle(scope: Scope, start: Message) -> None:
    """Note that the response with this start is to stay as it is."""
    try:
        scope[SETTLED].append(start)
    except KeyError:
        scope[SETTLED] = [None, start]


def is_settled(scope: Scope, start: Message) -> bool:
    """Say whether the response with this start has been decided about further in."""
    try:
        settled: list[Any] = scope[SETTLED]
    except KeyError:
        return False
    if settled[-1] is start:
        return True
    responses = [_as_written(known) for known in settled[1:]]
    headers = start.get("headers", _NOTHING)
    for known in responses:
        # Most often nothing in between has touched it.
        if headers is known.get("headers"):
            return True
    return any(_is_same(start, known) for known in responses)


def note_departure(scope: Scope, answer: Message | None = None) -> None:
    """Note that the client has gone: there is nobody to answer any more.

    Args:
        scope: The scope of the connection.
        answer: The start of what the application answers all the same.
    """
    settle(scope, {"type": f"{scope['type']}.disconnect", "answer": answer})


def is_closed(scope: Scope) -> bool:
    """Say whether a WebSocket was closed further in, before it was accepted."""
    return any(start.get("type") == "websocket.close" for start in scope.get(SETTLED, ())[1:])


def forget(scope: Scope) -> None:
    """Forget all but the last responses: a WebSocket can stay open for days, and serve others."""
    del scope.get(SETTLED, [])[1:-_MOST]


def has_departed(scope: Scope) -> bool:
    """Say whether further in the client was found to have gone."""
    return _departures(scope) != []


def is_answer_to_nobody(scope: Scope, start: Message) -> bool:
    """Say whether the response with this start was one already when the client had gone.

    Another one has somebody who waits for it: a request that an application makes to itself, with
    a copy of the scope, can have a client of its own.
    """
    answers = [departure["answer"] for departure in _departures(scope) if departure["answer"]]
    return is_settled({SETTLED: [None, *answers]}, start)


def _departures(scope: Scope) -> list[Message]:
    # A WebSocket can serve requests, and outlasts them.
    kind = f"{scope['type']}.disconnect"
    return [noted for noted in scope.get(SETTLED, ())[1:] if noted.get("type") == kind]


# What a response says of itself before it is sent.
_STATED: Final = frozenset(("status_code", "raw_headers"))

# A request has one, or a few.
_MOST: Final = 16

_NOTHING: Final[list[Message]] = []


def _as_written(start: Message) -> Message:
    """Give a start as it is by now: a response may write its headers when it is sent."""
    response = start.get("response")
    if response is None:
        return start
    return {"status": response.status_code, "headers": response.raw_headers}


def _is_same(start: Message, known: Message) -> bool:
    """Say whether one start comes from another, by what both say of the response."""
    if start is known:
        return True
    found, before = _headers_of(start), _headers_of(known)
    if found is None or before is None or start.get("status") != known.get("status"):
        return False
    # Middleware that sends a body on in pieces takes its length away.
    known_length = before.get(b"content-length")
    is_as_long = found.get(b"content-length", known_length) == known_length
    return is_as_long and found.get(b"content-type") == before.get(b"content-type")


def _headers_of(start: Message) -> dict[bytes, bytes] | None:
    headers: list[tuple[Any, Any]] | None = start.get("headers")
    if type(headers) is not list:
        # ASGI allows headers that can be read only once: nobody but the server is to read them.
        return None
    return {bytes(name).lower(): bytes(value) for name, value in headers}


def settling(handler: Handler) -> Handler:
    """Have it noted that what an exception handler of the user's answers is to stay as it is.

    One that is not asynchronous runs in a thread, and stays so. What is made here counts as the
    user's: what the library answers with is made in another module.
    """
    if is_settling(handler):
        return handler
    # As Starlette finds it out, which differs between Pythons.
    if BackgroundTask(handler, None, None).is_async:

        async def handle(connection: HTTPConnection, exc: Exception) -> ASGIApp | None:
            return _settled(await handler(connection, exc), connection)

        return handle

    def handle_in_thread(connection: HTTPConnection, exc: Exception) -> ASGIApp | None:
        return _settled(handler(connection, exc), connection)

    return handle_in_thread


def is_settling(handler: object) -> bool:
    """Say whether what a handler answers is noted: one that `settling` gave."""
    code: CodeType | None = getattr(handler, "__code__", None)
    return code is not None and code.co_filename == settling.__code__.co_filename


def _settled(response: ASGIApp | None, connection: object) -> ASGIApp | None:
    scope: object = getattr(connection, "scope", None)
    # One of the user's may only be a wrapper around another.
    if (
        isinstance(response, Response)
        and isinstance(scope, dict)
        and vars(response).keys() >= _STATED
        # One that sends itself otherwise is known when it is sent.
        and str(getattr(type(response).__call__, "__module__", "")).startswith("starlette.")
    ):
        # It stays what it is: others may ask for it, too. It is known again by its headers.
        settle(cast("Scope", scope), {"response": response})
        return response
    # A handler of a WebSocket's may have closed it.
    return None if response is None else settled_response(response)


def settled_response(response: ASGIApp) -> ASGIApp:
    """Have it noted that a response is to stay as it is, from whichever task it is sent."""

    async def respond(scope: Scope, receive: Receive, send: Send) -> None:
        def send_settled(message: Message) -> Awaitable[None]:
            if message["type"].endswith(".start"):
                settle(scope, message)
            return send(message)

        await response(scope, receive, send_settled)

    return respond
