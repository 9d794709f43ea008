"""What came out of an application: what is to be answered, and what a crash stands for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import anyio
import pytest
from starlette.types import Receive, Scope, Send

from authpi_errors import ErrorMiddleware, ErrorRecord
from authpi_errors._raised import cause_of_crash, is_failure, is_to_be_answered
from tests.test_asgi_properties import http, served
from tests.test_nested import SecretiveError

TOO_LATE = "Caught handled exception, but response already started."


def caused(exc: BaseException, cause: BaseException | None) -> BaseException:
    """Give an exception as `raise exc from cause` makes it."""
    exc.__cause__ = cause
    return exc


def test_a_crash_stands_for_what_starlette_could_not_handle() -> None:
    cause = ValueError("secret")
    assert cause_of_crash(caused(RuntimeError(TOO_LATE), cause)) is cause


@pytest.mark.parametrize(
    "exc",
    [
        pytest.param(caused(RuntimeError(TOO_LATE), None), id="without a cause"),
        pytest.param(caused(RuntimeError("Other."), ValueError()), id="another text"),
        pytest.param(caused(ValueError(TOO_LATE), ValueError()), id="another type"),
    ],
)
def test_anything_else_stands_for_itself(exc: BaseException) -> None:
    assert cause_of_crash(exc) is exc


CANCELLED = asyncio.CancelledError
ANSWERED: dict[str, tuple[Callable[[], BaseException], bool]] = {
    "an exception": (ValueError, True),
    "the end of the process": (SystemExit, True),
    "an interrupt": (KeyboardInterrupt, True),
    "the end of a generator": (GeneratorExit, False),
    "a cancellation from further in": (CANCELLED, True),
    "a group": (lambda: ExceptionGroup("", [ValueError(), OSError()]), True),
    "a group with an interrupt": (lambda: BaseExceptionGroup("", [KeyboardInterrupt()]), True),
    "a group with a cancellation": (lambda: BaseExceptionGroup("", [CANCELLED()]), True),
    "a group with the end of a generator": (
        lambda: BaseExceptionGroup("", [ValueError(), BaseExceptionGroup("", [GeneratorExit()])]),
        False,
    ),
}


@pytest.mark.parametrize(("make", "is_answered"), ANSWERED.values(), ids=ANSWERED)
def test_somebody_waits_for_an_answer(make: Callable[[], BaseException], is_answered: bool) -> None:
    async def ask() -> bool:
        return is_to_be_answered(make())

    assert asyncio.run(ask()) is is_answered


ENDS = {
    "the end of the process",
    "an interrupt",
    "the end of a generator",
    "a group with an interrupt",
    "a group with the end of a generator",
}


@pytest.mark.parametrize("name", ANSWERED)
def test_what_ends_the_process_is_no_failure(name: str) -> None:
    async def ask() -> bool:
        return is_failure(ANSWERED[name][0]())

    assert asyncio.run(ask()) is (name not in ENDS)


@pytest.mark.parametrize("make", [CANCELLED, lambda: BaseExceptionGroup("", [CANCELLED()])])
def test_nobody_waits_where_the_request_is_cancelled(make: Callable[[], BaseException]) -> None:
    found: list[bool] = []

    async def serve() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            found.append(is_to_be_answered(make()))

    async def cancel() -> None:
        task = asyncio.create_task(serve())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(cancel())
    assert found == [False]


def test_a_cancellation_is_the_requests_where_there_is_no_task_of_asyncios() -> None:
    async def ask() -> bool:
        return is_to_be_answered(CANCELLED())

    assert anyio.run(ask, backend="trio") is False
    assert is_to_be_answered(CANCELLED()) is False


class UntoldError(RuntimeError):
    """One that does not say what it is."""

    def __str__(self) -> str:
        raise LookupError


@pytest.mark.parametrize("exc", [UntoldError(), SecretiveError(), LookupError()], ids=repr)
def test_exception_that_is_no_crash_or_does_not_say_so_stands_for_itself(exc: Exception) -> None:
    assert cause_of_crash(exc) is exc


@pytest.mark.parametrize("make", [UntoldError, SecretiveError])
def test_exception_that_does_not_tell_is_answered_and_told(make: type[Exception]) -> None:
    told: list[ErrorRecord] = []

    async def fail(scope: Scope, receive: Receive, send: Send) -> None:
        raise make

    ours = served(ErrorMiddleware(fail, on_error=told.append), http())
    assert isinstance(ours.raised, make)
    assert [message.get("status") for message in ours.sent] == [500, None]
    assert [record.status for record in told] == [500]
