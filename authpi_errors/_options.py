"""What a user can decide about the answers of an application, checked where it is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from starlette.types import Scope

from authpi_errors._configuration import checked_flag, checked_function
from authpi_errors._foreign import ForeignResponse
from authpi_errors._registry import ErrorRegistry
from authpi_errors._reporting import Hook

__all__ = ["Options"]


@dataclass(frozen=True, slots=True)
class Options:
    """The options of `install` and of `ErrorMiddleware`, which say what they mean.

    Raises:
        ValueError: One of them is not usable; the message says what to change.
    """

    registry: ErrorRegistry | None = None
    reraise: bool = True
    rewrite: Callable[[ForeignResponse], bool] | None = None
    ignore: tuple[type[BaseException], ...] = ()
    on_error: Hook | None = None
    make_reference: Callable[[Scope], str] | None = None
    always_refer: bool = False

    def __post_init__(self) -> None:
        """Refuse what would fail when an error is to be answered."""
        if not _are_exceptions(self.ignore):
            raise ValueError(f"ignore is {self.ignore!r}: use a tuple of exception types.")
        for name in ("reraise", "always_refer"):
            checked_flag(name, getattr(self, name))
        for name in ("rewrite", "on_error", "make_reference"):
            function: object = getattr(self, name)
            if function is not None:
                checked_function(name, function, may_be_async=name == "on_error")


def _are_exceptions(ignore: object) -> bool:
    # `isinstance` fails on anything else.
    return isinstance(ignore, tuple) and all(
        isinstance(cls, type) and issubclass(cls, BaseException)
        for cls in cast("tuple[object, ...]", ignore)
    )
