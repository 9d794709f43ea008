"""How the time that something takes grows with what it is given."""

import time
import timeit
from collections.abc import Callable
from typing import Final, TypeVar

import pytest

__all__ = ["case", "is_linear"]

T = TypeVar("T")

# What takes no longer than this, in seconds of the processor, is quick enough however it grows.
QUICK: Final = 0.1

# A machine can be slow for a moment. What is quadratic is never quick.
ATTEMPTS: Final = 3


def is_linear(read: Callable[[T], object], make: Callable[[int], T], size: int) -> bool:
    """Say whether the time to read something grows no faster than what is read.

    Four times as much is to take four times as long, and not sixteen. That is so on slow machines,
    too, and where lines are traced.

    Args:
        read: Reads it.
        make: Makes something to read of a size.
        size: The size that is to be read in time.
    """

    def seconds(size: int) -> float:
        made = make(size)
        # Without the collection of garbage, which takes as long as all that lives.
        return timeit.timeit(lambda: read(made), timer=time.process_time, number=1)

    return any(seconds(size) < 8 * seconds(size // 4) + QUICK for _ in range(ATTEMPTS))


def case(make: Callable[[int], object], *, name: str) -> object:
    """Give a case for what makes something of a size."""
    return pytest.param(make, id=name)
