"""Which exceptions come again and again: they are counted, and nothing of them is kept."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from threading import Lock
from types import TracebackType
from typing import Final

from authpi_errors._raised import exc_info_of, type_name
from authpi_errors._registry import is_group, leaves

__all__ = ["Storms"]


class Storms:
    """Counts exceptions of a kind: its type, and the line that raised it.

    Args:
        clock: Gives the time in seconds.
    """

    __slots__ = ("_clock", "_lock", "_seen")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = Lock()
        # When each was first seen, and how often: from the one that is to be forgotten first.
        self._seen: dict[_Kind, tuple[float, int]] = {}

    def count(self, exc: BaseException) -> tuple[int, str]:
        """Say how many of that kind have come before, and which line raised it.

        Of a group, the kind that is in it and came least counts.
        """
        kinds = _kinds(exc)
        _, file, line = kinds[0]
        return min([self._count(kind) for kind in kinds]), f"{file}:{line}"

    def _count(self, kind: _Kind) -> int:
        """Count one more of a kind, or of too many kinds."""
        with self._lock:
            now = self._clock()
            self._forget(now - _INTERVAL)
            if kind not in self._seen and len(self._seen) >= _MOST_KINDS:
                kind = _OTHERS
            since, count = self._seen.get(kind, (now, 0))
            self._seen[kind] = since, count + 1
            return count

    def _forget(self, before: float) -> None:
        while self._seen:
            oldest = next(iter(self._seen))
            if self._seen[oldest][0] > before:
                return
            del self._seen[oldest]


_Kind = tuple[str, str, int]

# For how many seconds a kind is remembered, from its first exception on.
_INTERVAL: Final = 60.0

# Code that is made while a program runs has places without end.
_MOST_KINDS: Final = 256
_OTHERS: Final[_Kind] = ("", "", 0)

# A group can have thousands, and most often all failed alike.
_MOST_LEAVES: Final = 16


def _kinds(exc: BaseException) -> list[_Kind]:
    """Give the kinds of an exception: of a group, those of the first that are in it."""
    if not is_group(exc):
        return [_kind(exc, exc)]
    return list(dict.fromkeys(_kind(leaf, exc) for leaf in islice(leaves(exc), _MOST_LEAVES)))


def _kind(exc: BaseException, raised: BaseException) -> _Kind:
    """Give the type and the place of an exception, which may never have been raised by itself."""
    traceback = _traceback(exc) or _traceback(raised)
    if traceback is None:
        return type_name(exc), "", 0
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return type_name(exc), traceback.tb_frame.f_code.co_filename, traceback.tb_lineno


def _traceback(exc: BaseException) -> TracebackType | None:
    exc_info = exc_info_of(exc)
    return None if exc_info is None else exc_info[2]
