"""What came out of an application: whether it is to be answered, and what it stands for."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Scope

from authpi_errors._exceptions import AuthPIError
from authpi_errors._registry import is_group, leaves
from authpi_errors._settled import GONE

__all__ = [
    "cause_of_crash",
    "cause_of_unread_body",
    "exc_info_of",
    "is_cancelled",
    "is_departure",
    "is_failure",
    "is_to_be_answered",
    "shows",
    "type_name",
]


def is_departure(exc: BaseException, scope: Scope) -> bool:
    """Say whether an exception tells that the client of this connection has gone.

    A request that sends to somebody else's WebSocket, and finds that gone, still has its client.
    """
    gone = ClientDisconnect if scope["type"] == "http" else GONE
    return all(isinstance(leaf, gone) for leaf in (leaves(exc) if is_group(exc) else (exc,)))


def is_to_be_answered(exc: BaseException) -> bool:
    """Say whether something that is no `Exception` still leaves somebody who waits for an answer.

    What ends the process does. A cancellation does not, unless it came out of something that the
    application awaited while nobody cancelled the request.
    """
    return _is_made_of((Exception, SystemExit, KeyboardInterrupt), exc)


def is_failure(exc: BaseException) -> bool:
    """Say whether an exception tells of a failure: not the end of the process or of the request."""
    return _is_made_of((Exception,), exc)


def _is_made_of(types: tuple[type[BaseException], ...], exc: BaseException) -> bool:
    """Say whether an exception is of these types, or a cancellation that nobody asked for."""
    return all(
        isinstance(leaf, types) or (isinstance(leaf, asyncio.CancelledError) and not is_cancelled())
        for leaf in (leaves(exc) if is_group(exc) else (exc,))
    )


def is_cancelled() -> bool:
    """Say whether the request itself is cancelled. On another loop than asyncio's it has to be."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return True
    return task is None or task.cancelling() > 0


def cause_of_crash(exc: BaseException) -> BaseException:
    """Find what a mounted application has raised after its plain 500.

    Starlette can't handle it then, and raises an exception of its own in the place of it.
    """
    try:
        is_late = isinstance(exc, RuntimeError) and str(exc).startswith(_TOO_LATE)
        cause = exc.__cause__ if is_late else None
    except Exception:
        # It does not tell.
        return exc
    return exc if cause is None else cause


def cause_of_unread_body(exc: Exception) -> Exception:
    """Find why a body could not be read, where somebody has said so.

    FastAPI raises a 400 of its own from whatever that was.
    """
    cause = exc.__cause__
    if not isinstance(exc, HTTPException) or not isinstance(cause, ClientDisconnect | AuthPIError):
        return exc
    # A detail of the user's can be anything, and refuse to be compared.
    return cause if type(exc.detail) is str and exc.detail == _UNREAD else exc


_UNREAD: Final = "There was an error parsing the body"
_TOO_LATE: Final = "Caught handled exception, but response already started"


def shows(exc: BaseException, other: BaseException) -> bool:
    """Say whether what is printed for an exception has the traceback of another one, too."""
    waiting: list[BaseException | None] = [exc]
    seen: set[int] = set()
    while waiting:
        each = waiting.pop()
        if each is other:
            return True
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            waiting += _shown_with(each)
    return False


def _shown_with(exc: BaseException) -> list[BaseException | None]:
    try:
        shown = [exc.__cause__]
        if exc.__cause__ is None and not exc.__suppress_context__:
            shown.append(exc.__context__)
    except Exception:
        # It hides them.
        return []
    return [*leaves(exc), *shown] if is_group(exc) else shown


def type_name(value: object) -> str:
    """Give the name of an exception's type, with its module unless that is `builtins`."""
    cls = type(value)
    try:
        name = cls.__qualname__
        return name if cls.__module__ == "builtins" else f"{cls.__module__}.{name}"
    except Exception:
        # Of a metaclass that does not tell it.
        return type.__repr__(cls)


def exc_info_of(
    exc: BaseException,
) -> tuple[type[BaseException], BaseException, TracebackType | None] | None:
    """Give what `logging` takes for an exception, unless that hides its traceback."""
    try:
        return type(exc), exc, exc.__traceback__
    except Exception:
        return None
