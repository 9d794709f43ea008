"""What the boundaries of one request tell each other: which error responses are decided about.

Kept in the scope of the connection, which middleware hands on or copies.
"""

from __future__ import annotations

from typing import Final

from starlette.datastructures import Headers
from starlette.types import Scope

__all__ = ["enter", "is_anything_settled", "is_settled", "settle"]

_KEY: Final = "authpi_errors.settled"

# What tells one response from another that middleware has put in its place.
_Mark = tuple[int, str | None, str | None]


def enter(scope: Scope) -> bool:
    """Begin the list of a connection, and say whether there was none: is this the outermost?"""
    if _KEY in scope:
        return False
    scope[_KEY] = []
    return True


def settle(scope: Scope, status: int, headers: Headers) -> None:
    """Note that a response is to stay as it is."""
    settled: list[_Mark] | None = scope.get(_KEY)
    if settled is not None:
        settled.append(_mark(status, headers))


def is_settled(scope: Scope, status: int, headers: Headers) -> bool:
    """Say whether a response has been decided about further in."""
    settled: list[_Mark] = scope.get(_KEY, [])
    return _mark(status, headers) in settled


def is_anything_settled(scope: Scope) -> bool:
    """Say whether a WebSocket has its answer from further in: it gets only one."""
    return bool(scope.get(_KEY))


def _mark(status: int, headers: Headers) -> _Mark:
    return status, headers.get("content-type"), headers.get("content-length")
