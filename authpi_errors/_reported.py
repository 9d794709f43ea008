"""What a scope, and an exception, say of an error that was reported: another answer may take over.

It is said to handlers and boundaries further out, so that an error is logged and told once, with
one reference.
"""

from __future__ import annotations

from asyncio import CancelledError
from typing import Final

from starlette.types import Message, Scope

from authpi_errors._raised import shows
from authpi_errors._settled import SETTLED, settle

__all__ = [
    "announce",
    "has_reference",
    "last_report",
    "note_reference",
    "note_report",
    "reported_reference",
    "take_lost",
    "was_reported",
]

Report = tuple[int | None, str | None, bool]
"""The status of an error, its reference, and whether a hook is told, if its application has one."""

_NOTHING: Final[Report] = None, None, False

# Where an exception has the note with its last reference.
_NOTED: Final = "authpi_errors.noted"

# Where a scope has the last report.
_REPORTED: Final = "authpi_errors.reported"

# Beside it, for a bug, among what copies of the scope share: the exception, on its way further out.
_RAISED: Final = "authpi_errors.raised"


def note_report(scope: Scope, status: int, reference: str | None, *, is_told: bool) -> None:
    """Note that an error was reported, in whose place another answer may be sent."""
    scope[_REPORTED] = status, reference, is_told


def last_report(scope: Scope) -> Report:
    """Give what was noted last, if anything was."""
    report: Report | None = scope.get(_REPORTED)
    if report is not None:
        return report
    # It may have been in a copy of the scope.
    announced = _announced(scope)
    return announced[-1][_REPORTED] if announced else _NOTHING


def note_reference(exc: BaseException, reference: str) -> None:
    """Add a note with the reference of an error.

    It takes the place of that of an earlier request: one exception can be raised again and again.
    """
    text = f"reference: {reference}"
    try:
        attributes = exc.__dict__
        if _NOTED in attributes and attributes[_NOTED] in exc.__notes__:
            exc.__notes__.remove(attributes[_NOTED])
        exc.add_note(text)
        attributes[_NOTED] = text
    except Exception:
        return


def has_reference(exc: BaseException, reference: str | None) -> bool:
    """Say whether an exception has a note with this reference, as the last one."""
    try:
        noted: object = exc.__dict__.get(_NOTED)
    except Exception:
        return False
    return reference is not None and noted == f"reference: {reference}"


def was_reported(scope: Scope, status: int, exc: BaseException | None) -> bool:
    """Say whether an answer is in the place of another, which was reported, to the same error.

    Starlette's limit of a body puts a 413 of its own in the place of one that was raised, and
    middleware puts plain text there.
    """
    reported, reference, _ = last_report(scope)
    return reported == status and (exc is None or has_reference(exc, reference))


def reported_reference(scope: Scope, status: int, exc: BaseException | None) -> str | None:
    """Give the reference of what was reported already, if it was."""
    _, reference, _ = last_report(scope)
    return reference if was_reported(scope, status, exc) else None


def announce(exc: BaseException, scope: Scope, *, raised_again: bool) -> None:
    """Tell boundaries further out of a bug that was reported, and whether it comes to them."""
    settle(scope, {_REPORTED: last_report(scope), _RAISED: exc if raised_again else None})


def take_lost(
    exc: BaseException | None, scope: Scope, *, is_outermost: bool
) -> list[tuple[BaseException, str | None]]:
    """Take the bugs that were on their way further out, and in whose place another exception came.

    Args:
        exc: What came, if anything did.
        scope: The scope of the connection.
        is_outermost: Whether nobody further out waits for them.

    Returns:
        The exceptions, and their references. Nobody is told of them again.
    """
    lost: list[tuple[BaseException, str | None]] = []
    for noted in _announced(scope):
        bug, (_, reference, _) = noted[_RAISED], noted[_REPORTED]
        if bug is not None and _is_lost(bug, exc):
            lost.append((bug, reference))
        elif not is_outermost:
            continue
        # Its traceback has the scope, which has it: they would wait for each other.
        noted[_RAISED] = None
    return lost


def _is_lost(bug: BaseException, exc: BaseException | None) -> bool:
    # Who swallows an exception has taken care of it; a task group takes a cancellation for its own.
    return isinstance(bug, CancelledError) if exc is None else not shows(exc, bug)


def _announced(scope: Scope) -> list[Message]:
    return [noted for noted in scope.get(SETTLED, ())[1:] if _REPORTED in noted]
