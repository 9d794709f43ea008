"""What a scope says of a reported error, to whoever is further out and may answer again."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Scope

from authpi_errors._reported import (
    announce,
    has_reference,
    last_report,
    note_reference,
    note_report,
    take_lost,
)
from authpi_errors._settled import SETTLED
from tests.test_registry import EvasiveError

NOTHING = None, None, False


def scope_of_a_connection() -> Scope:
    return {"type": "http", SETTLED: [object()]}


def test_last_report_is_the_one_that_was_noted_last() -> None:
    scope = scope_of_a_connection()
    assert last_report(scope) == NOTHING
    note_report(scope, 500, "a", is_told=True)
    note_report(scope, 413, None, is_told=False)
    assert last_report(scope) == (413, None, False)


def test_report_in_a_copy_of_the_scope_is_known_further_out_once_it_is_announced() -> None:
    scope = scope_of_a_connection()
    copy = dict(scope)
    note_report(copy, 500, "a", is_told=True)
    assert last_report(scope) == NOTHING
    announce(LookupError(), copy, raised_again=True)
    assert last_report(scope) == (500, "a", True)


@pytest.mark.parametrize("is_outermost", [False, True])
def test_bug_is_lost_once_where_another_exception_came_in_its_place(is_outermost: bool) -> None:
    scope = scope_of_a_connection()
    note_report(scope, 500, "a", is_told=True)
    bug = LookupError()
    announce(bug, scope, raised_again=True)
    assert take_lost(OSError(), scope, is_outermost=is_outermost) == [(bug, "a")]
    assert take_lost(OSError(), scope, is_outermost=is_outermost) == []


def test_bug_that_arrives_is_not_lost_and_waits_for_nobody_at_the_outermost() -> None:
    scope = scope_of_a_connection()
    note_report(scope, 500, "a", is_told=True)
    bug = LookupError()
    announce(bug, scope, raised_again=True)
    assert take_lost(bug, scope, is_outermost=False) == []
    assert take_lost(bug, scope, is_outermost=True) == []
    # It was taken: what comes now takes nothing's place.
    assert take_lost(OSError(), scope, is_outermost=True) == []


def test_bug_that_arrives_at_a_boundary_can_be_lost_further_out() -> None:
    scope = scope_of_a_connection()
    note_report(scope, 500, "a", is_told=True)
    bug = LookupError()
    announce(bug, scope, raised_again=True)
    assert take_lost(bug, scope, is_outermost=False) == []
    assert take_lost(OSError(), scope, is_outermost=True) == [(bug, "a")]


def test_bug_that_is_not_raised_again_is_never_lost() -> None:
    scope = scope_of_a_connection()
    note_report(scope, 500, "a", is_told=True)
    announce(LookupError(), scope, raised_again=False)
    assert take_lost(OSError(), scope, is_outermost=True) == []


def test_cancellation_is_lost_where_nothing_came_in_its_place() -> None:
    scope = scope_of_a_connection()
    note_report(scope, 500, "a", is_told=True)
    bug = asyncio.CancelledError()
    announce(bug, scope, raised_again=True)
    assert take_lost(None, scope, is_outermost=False) == [(bug, "a")]


def test_bug_that_middleware_swallows_is_its_own() -> None:
    scope = scope_of_a_connection()
    note_report(scope, 500, "a", is_told=True)
    announce(LookupError(), scope, raised_again=True)
    assert take_lost(None, scope, is_outermost=True) == []


@pytest.mark.parametrize(
    ("exc", "reference", "expected"),
    [
        pytest.param(ValueError(), "a", True, id="the same"),
        pytest.param(ValueError(), "b", False, id="another"),
        pytest.param(ValueError(), None, False, id="none"),
        pytest.param(EvasiveError(), "a", False, id="an exception that takes none"),
    ],
)
def test_the_reference_that_was_noted_is_known(
    exc: Exception, reference: str | None, expected: bool
) -> None:
    note_reference(exc, "a")
    assert has_reference(exc, reference) is expected
