"""What operators learn of an error: records in the log, tracebacks, references, the hook."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import io
import logging
import sys
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import anyio
import pytest
from starlette.concurrency import run_in_threadpool
from starlette.types import Scope

from authpi_errors._configuration import is_async
from authpi_errors._rendering import ErrorResponse
from authpi_errors._reported import note_reference, reported_reference, was_reported
from authpi_errors._reporting import (
    ErrorRecord,
    Hook,
    Reporter,
    logger,
)
from tests.test_routing import FLAT, scope_of

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
NOT_FOUND = ErrorResponse(404, (), b"", "not_found")
SERVER_ERROR = ErrorResponse(500, (), b"", "server_error", TRACE_ID)
SCOPE: dict[str, Any] = {"type": "http", "method": "GET", "path": "/secret", "headers": []}


class Clock:
    """A clock that stands still."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, "authpi_errors")
    return caplog


def divide() -> None:
    raise ZeroDivisionError("a secret")


def look_up() -> None:
    raise LookupError("a secret")


def raised(function: Callable[[], object] = divide) -> BaseException:
    """Give what a function raises, with its traceback."""
    found: list[BaseException] = []
    try:
        function()
    except BaseException as exc:
        found.append(exc)
    return found.pop()


def report(
    reporter: Reporter,
    response: ErrorResponse = SERVER_ERROR,
    exc: BaseException | None = None,
    *,
    scope: Scope = SCOPE,
    is_unexpected: bool = True,
    raised_again: bool = False,
) -> ErrorRecord | None:
    scope.pop("authpi_errors.reported", None)
    return reporter.report(
        response.code,
        response.status,
        response.reference,
        scope,
        exc,
        is_unexpected=is_unexpected and exc is not None,
        raised_again=raised_again,
    )


def attributes(record: logging.LogRecord) -> dict[str, object]:
    """Give what a record has beyond what every record has."""
    known = vars(logging.makeLogRecord({})).keys() | {"message", "asctime"}
    return {name: value for name, value in vars(record).items() if name not in known}


# --- One record for each error


@pytest.mark.parametrize(
    ("response", "level"),
    [
        (ErrorResponse(400, (), b"", "invalid_request"), logging.INFO),
        (ErrorResponse(499, (), b"", "invalid_request"), logging.INFO),
        (ErrorResponse(500, (), b"", "server_error"), logging.ERROR),
        (ErrorResponse(503, (), b"", "server_error"), logging.ERROR),
    ],
)
def test_level_is_by_the_status(
    response: ErrorResponse, level: int, log: pytest.LogCaptureFixture
) -> None:
    report(Reporter(), response)
    assert [(record.name, record.levelno) for record in log.records] == [("authpi_errors", level)]


@pytest.mark.parametrize(
    ("response", "exc", "message"),
    [
        pytest.param(NOT_FOUND, None, "Answered GET with 404 not_found", id="sent"),
        pytest.param(
            NOT_FOUND,
            LookupError("a secret"),
            "Answered GET with 404 not_found: LookupError",
            id="raised",
        ),
        pytest.param(
            SERVER_ERROR,
            anyio.BrokenResourceError(),
            f"Answered GET with 500 server_error, reference {TRACE_ID}: anyio.BrokenResourceError",
            id="with a reference",
        ),
    ],
)
def test_message_says_what_was_answered(
    response: ErrorResponse,
    exc: Exception | None,
    message: str,
    log: pytest.LogCaptureFixture,
) -> None:
    report(Reporter(), response, exc)
    assert log.messages == [message]


def test_record_has_what_formatters_pick_up(log: pytest.LogCaptureFixture) -> None:
    report(Reporter(), SERVER_ERROR, LookupError(), scope=scope_of(FLAT, "/users/7"))
    assert log.messages == [
        f"Answered GET /users/{{user_id}} with 500 server_error, reference {TRACE_ID}: LookupError"
    ]
    assert attributes(log.records[0]) == {
        "code": "server_error",
        "status": 500,
        "method": "GET",
        "route": "/users/{user_id}",
        "reference": TRACE_ID,
        "exception_type": "LookupError",
    }


def test_record_has_every_attribute_also_where_there_is_nothing_to_say(
    log: pytest.LogCaptureFixture,
) -> None:
    report(Reporter(), NOT_FOUND)
    assert attributes(log.records[0]) == {
        "code": "not_found",
        "status": 404,
        "method": "GET",
        "route": None,
        "reference": None,
        "exception_type": None,
    }


@pytest.mark.parametrize(
    ("scope", "method"),
    [
        pytest.param(SCOPE, "GET", id="request"),
        pytest.param({"type": "websocket", "path": "/"}, "WEBSOCKET", id="WebSocket"),
        pytest.param({"type": "http"}, "", id="none"),
        pytest.param({**SCOPE, "method": "X" * 33}, "X" * 32, id="long"),
    ],
)
def test_method(scope: Scope, method: str, log: pytest.LogCaptureFixture) -> None:
    record = report(Reporter(on_error=print), scope=scope)
    assert record is not None
    assert record.method == method
    assert attributes(log.records[0])["method"] == method


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a\r\nb", r"a\r\nb"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\x00b", r"a\x00b"),
        ("a\u2028b", r"a\u2028b"),
        ("a\u202eb", r"a\u202eb"),
        ("a\udc80b", r"a\udc80b"),
        ("100% %s %(x)s", "100% %s %(x)s"),
        ("Größe", "Größe"),
    ],
)
def test_text_cannot_break_a_line(text: str, escaped: str, log: pytest.LogCaptureFixture) -> None:
    odd: type[Exception] = type(
        text.replace("\x00", "\x01").replace("\udc80", ""), (Exception,), {}
    )
    response = ErrorResponse(500, (), b"", text, text)
    report(Reporter(), response, odd(), scope={**SCOPE, "method": text}, raised_again=True)
    (message,) = log.messages
    assert message.startswith(f"Answered {escaped} with 500 {escaped}, reference {escaped}: ")
    assert message.isprintable()
    assert all(str(value).isprintable() for value in attributes(log.records[0]).values())


def test_record_tells_no_secrets(log: pytest.LogCaptureFixture) -> None:
    scope = {**SCOPE, "query_string": b"secret", "headers": [(b"authorization", b"secret")]}
    record = report(
        Reporter(on_error=print), SERVER_ERROR, raised(), scope=scope, raised_again=True
    )
    said = [*log.messages, str(attributes(log.records[0])), repr(record)]
    assert not [text for text in said if "secret" in text]


@pytest.mark.parametrize("response", [NOT_FOUND, SERVER_ERROR], ids=["404", "500"])
def test_nothing_is_worked_out_where_nobody_asks(
    response: ErrorResponse, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "authpi_errors")
    assert report(Reporter(), response, raised(), scope={}) is None
    assert caplog.records == []


def test_hook_gets_a_record_also_where_the_log_gets_none(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "authpi_errors")
    exc = LookupError()
    scope = scope_of(FLAT, "/users/7")
    record = report(Reporter(on_error=print), NOT_FOUND, exc, scope=scope)
    assert record is not None
    assert record.exception is exc
    assert record.scope is scope
    assert (record.code, record.status, record.route) == ("not_found", 404, "/users/{user_id}")
    assert (record.exception_type, record.is_unexpected) == ("LookupError", True)
    assert caplog.records == []


def test_records_can_be_collected_in_sets(log: pytest.LogCaptureFixture) -> None:
    reporter = Reporter(on_error=print)
    assert len({report(reporter), report(reporter)}) == 2


def noted(exc: BaseException, reference: str) -> BaseException:
    note_reference(exc, reference)
    return exc


@pytest.mark.parametrize("hook", [print, None])
@pytest.mark.parametrize("level", [logging.DEBUG, logging.CRITICAL])
@pytest.mark.parametrize(
    ("status", "exc", "expected"),
    [
        pytest.param(500, None, True, id="the same status"),
        pytest.param(503, None, False, id="another status"),
        pytest.param(500, LookupError(), False, id="another exception"),
        pytest.param(500, noted(LookupError(), TRACE_ID), True, id="the same exception"),
        pytest.param(500, noted(LookupError(), "a"), False, id="one of another request"),
    ],
)
def test_what_is_sent_in_the_place_of_an_error_was_reported(
    *,
    status: int,
    exc: Exception | None,
    expected: bool,
    level: int,
    hook: Hook | None,
    log: pytest.LogCaptureFixture,
) -> None:
    log.set_level(level, "authpi_errors")
    scope = dict(SCOPE)
    report(Reporter(on_error=hook), SERVER_ERROR, scope=scope)
    assert was_reported(scope, status, exc) is expected
    assert reported_reference(scope, status, exc) == (TRACE_ID if expected else None)


def test_without_a_hook_there_is_no_record_to_keep(log: pytest.LogCaptureFixture) -> None:
    assert report(Reporter()) is None


def test_log_that_fails_costs_nobody_the_answer(
    log: pytest.LogCaptureFixture, log_that_fails: None
) -> None:
    report(Reporter(), exc=raised())
    assert log.records == []


def test_record_factory_may_set_the_same_attributes(log: pytest.LogCaptureFixture) -> None:
    def make(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = logging.LogRecord(*args, **kwargs)
        record.reference = "of the factory"
        return record

    before = logging.getLogRecordFactory()
    logging.setLogRecordFactory(make)
    try:
        report(Reporter())
    finally:
        logging.setLogRecordFactory(before)
    assert attributes(log.records[0])["reference"] == TRACE_ID


# --- Tracebacks, and storms of them


def has_traceback(record: logging.LogRecord) -> bool:
    return record.exc_info is not None


def test_unexpected_exception_is_logged_with_its_traceback(log: pytest.LogCaptureFixture) -> None:
    report(Reporter(), exc=raised())
    assert log.messages == [
        f"Answered GET with 500 server_error, reference {TRACE_ID}: ZeroDivisionError"
    ]
    assert "in divide" in log.text


def test_what_the_server_logs_is_not_logged_twice(log: pytest.LogCaptureFixture) -> None:
    report(Reporter(), exc=raised(), raised_again=True)
    assert [has_traceback(record) for record in log.records] == [False]


def test_expected_error_has_no_traceback(log: pytest.LogCaptureFixture) -> None:
    report(Reporter(), exc=raised(), is_unexpected=False)
    assert [has_traceback(record) for record in log.records] == [False]


def test_in_a_storm_there_is_one_traceback_and_then_a_line_each(
    log: pytest.LogCaptureFixture,
) -> None:
    reporter = Reporter(clock=Clock())
    for _ in range(3):
        report(reporter, exc=raised())
    line = divide.__code__.co_firstlineno + 1
    first = f"Answered GET with 500 server_error, reference {TRACE_ID}: ZeroDivisionError"
    assert log.messages == [
        first,
        f"{first} at {__file__}:{line}, again: 1 without a traceback",
        f"{first} at {__file__}:{line}, again: 2 without a traceback",
    ]
    assert [has_traceback(record) for record in log.records] == [True, False, False]
    assert [attributes(record).get("count") for record in log.records] == [None, 1, 2]
    assert {record.levelno for record in log.records} == {logging.ERROR}


def test_what_is_raised_again_is_no_part_of_a_storm(log: pytest.LogCaptureFixture) -> None:
    reporter = Reporter(clock=Clock())
    for raised_again in (True, False, True, False):
        report(reporter, exc=raised(), raised_again=raised_again)
    assert [has_traceback(record) for record in log.records] == [False, True, False, False]
    assert [attributes(record).get("count") for record in log.records] == [None, None, None, 1]


@pytest.mark.parametrize(
    ("later", "with_traceback"),
    [pytest.param(59.9, False, id="within it"), pytest.param(60.0, True, id="after it")],
)
def test_traceback_comes_once_in_an_interval(
    later: float, with_traceback: bool, log: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    reporter = Reporter(clock=clock)
    report(reporter, exc=raised())
    clock.now += 30
    report(reporter, exc=raised())
    clock.now += later - 30
    report(reporter, exc=raised())
    assert [has_traceback(record) for record in log.records] == [True, False, with_traceback]
    assert attributes(log.records[-1]).get("count") == (None if with_traceback else 2)


def again() -> None:
    raise ZeroDivisionError


def either(cls: type[Exception]) -> None:
    raise cls


def group() -> None:
    raise ExceptionGroup("several", [ZeroDivisionError()])


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(again, id="the same type from another line"),
        pytest.param(look_up, id="another type from another line"),
        pytest.param(partial(either, ZeroDivisionError), id="of another function"),
        pytest.param(group, id="a group of what was never raised"),
    ],
)
def test_exceptions_of_another_kind_have_their_own_traceback(
    other: Callable[[], object], log: pytest.LogCaptureFixture
) -> None:
    reporter = Reporter(clock=Clock())
    for function in (divide, other, divide, other):
        report(reporter, exc=raised(function))
    assert [has_traceback(record) for record in log.records] == [True, True, False, False]


def test_another_type_from_the_same_line_is_another_kind(log: pytest.LogCaptureFixture) -> None:
    reporter = Reporter(clock=Clock())
    for cls in (LookupError, OSError, LookupError):
        report(reporter, exc=raised(partial(either, cls)))
    assert [has_traceback(record) for record in log.records] == [True, True, False]


def in_tasks(*functions: Callable[[], object]) -> None:
    """Call each function in a task of its own, which all fail at once."""

    async def call(function: Callable[[], object]) -> None:
        function()

    async def serve() -> None:
        async with asyncio.TaskGroup() as tasks:
            for function in functions:
                tasks.create_task(call(function))

    asyncio.run(serve())


def nested(function: Callable[[], object]) -> None:
    raise ExceptionGroup("outer", [ExceptionGroup("inner", [cast("Exception", raised(function))])])


@pytest.mark.parametrize("around", [in_tasks, nested])
def test_bug_in_a_group_is_of_the_kind_that_it_is_without_one(
    around: Callable[..., object], log: pytest.LogCaptureFixture
) -> None:
    reporter = Reporter(clock=Clock())
    for function in (divide, look_up, divide):
        report(reporter, exc=raised(partial(around, function)))
    report(reporter, exc=raised(look_up))
    assert [has_traceback(record) for record in log.records] == [True, True, False, False]
    line = divide.__code__.co_firstlineno + 1
    assert log.messages[2].endswith(
        f"ExceptionGroup at {__file__}:{line}, again: 1 without a traceback"
    )


def test_group_has_a_traceback_if_one_of_its_exceptions_is_new(
    log: pytest.LogCaptureFixture,
) -> None:
    reporter = Reporter(clock=Clock())
    for functions in ([divide, divide], [divide, look_up], [look_up, divide], [look_up, again]):
        report(reporter, exc=raised(partial(in_tasks, *functions)))
    assert [has_traceback(record) for record in log.records] == [True, True, False, True]


def test_what_was_never_raised_is_of_the_line_of_its_group(log: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise ExceptionGroup("", [ValueError("secret")])

    reporter = Reporter(clock=Clock())
    for _ in range(2):
        report(reporter, exc=raised(fail))
    line = fail.__code__.co_firstlineno + 1
    assert f" at {__file__}:{line}, again: 1 " in log.messages[1]


def test_of_a_large_group_some_are_looked_at(log: pytest.LogCaptureFixture) -> None:
    reporter = Reporter(clock=Clock())
    for function in (divide, look_up):
        report(reporter, exc=raised(partial(in_tasks, *[divide] * 100, function)))
    assert [has_traceback(record) for record in log.records] == [True, False]


def test_line_is_the_innermost(log: pytest.LogCaptureFixture) -> None:
    def through() -> None:
        divide()

    reporter = Reporter(clock=Clock())
    report(reporter, exc=raised())
    report(reporter, exc=raised(through))
    assert [has_traceback(record) for record in log.records] == [True, False]


def generated(name: str) -> Callable[[], object]:
    """Give code from a file that never was."""
    code = compile("raise ZeroDivisionError", name, "exec")
    return partial(exec, code, {})


def test_kinds_beyond_a_limit_share_a_traceback(log: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    reporter = Reporter(clock=clock)
    for number in range(1000):
        report(reporter, exc=raised(generated(f"<{number}>")))
    with_traceback = [has_traceback(record) for record in log.records]
    assert with_traceback == [True] * 257 + [False] * 743
    assert log.messages[-1].endswith("ZeroDivisionError at <999>:1, again: 743 without a traceback")
    report(reporter, exc=raised(generated("<0>")))
    assert attributes(log.records[-1])["count"] == 1

    clock.now += 60
    report(reporter, exc=raised(generated("<999>")))
    assert has_traceback(log.records[-1])


def test_only_what_is_old_is_forgotten(log: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    reporter = Reporter(clock=clock)
    for function in (divide, look_up):
        report(reporter, exc=raised(function))
        clock.now += 30
    for function in (divide, look_up):
        report(reporter, exc=raised(function))
    assert [has_traceback(record) for record in log.records] == [True, True, True, False]


@contextmanager
def written() -> Generator[io.StringIO, None, None]:
    """Have records written as text, and kept nowhere else."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield out
    finally:
        logger.removeHandler(handler)
        logger.propagate = True


def test_no_exception_is_kept() -> None:
    class OwnError(Exception):
        pass

    def fail() -> None:
        raise OwnError

    reporter = Reporter()
    exc = raised(fail)
    kept = weakref.ref(exc)
    gc.disable()
    try:
        with written():
            report(reporter, exc=exc)
            report(reporter, exc=exc)
        del exc
        assert kept() is None
    finally:
        gc.enable()


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise ValueError


def raise_unspeakable() -> None:
    raise UnspeakableError


def recurse() -> None:
    recurse()


@pytest.mark.parametrize(
    ("exc", "said"),
    [
        pytest.param(ZeroDivisionError("never raised"), "never raised", id="without a traceback"),
        pytest.param(raised(raise_unspeakable), "str() failed", id="without a text"),
        pytest.param(raised(recurse), "more times", id="of a recursion"),
        pytest.param(raised(group), "ZeroDivisionError", id="a group"),
        pytest.param(raised(partial(sys.exit, "goodbye")), "goodbye", id="an exit"),
    ],
)
def test_odd_exceptions_are_logged(
    exc: BaseException, said: str, log: pytest.LogCaptureFixture
) -> None:
    reporter = Reporter()
    report(reporter, exc=exc)
    assert said in log.text
    report(reporter, exc=exc)
    assert log.messages[-1].endswith("again: 1 without a traceback")


def test_names_of_files_cannot_break_a_line(log: pytest.LogCaptureFixture) -> None:
    reporter = Reporter()
    for _ in range(2):
        report(reporter, exc=raised(generated("<a\nb>")))
    assert r"at <a\nb>:1" in log.messages[-1]


def test_several_threads_may_report() -> None:
    reporter = Reporter(clock=Clock())

    def storm() -> None:
        for number in range(300):
            report(reporter, exc=raised(generated(f"<{number}>")))

    threads = [threading.Thread(target=storm) for _ in range(4)]
    with written() as out:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    said = out.getvalue()
    assert said.count("Answered") == 1200
    assert said.count("Traceback") == 257


# --- References


def test_reference_is_found_without_a_function_of_the_users() -> None:
    scope = {**SCOPE, "headers": [(b"x-request-id", b"a")]}
    assert Reporter().reference(scope) == "a"


def test_reference_is_made_by_a_function_of_the_users(log: pytest.LogCaptureFixture) -> None:
    def make(scope: Scope) -> str:
        return f"{scope['method']} 7 ä"

    assert Reporter(make_reference=make).reference(SCOPE) == "GET 7 ä"
    assert log.records == []


class Numbers(list[str]):
    """A function that is a list, and so false while it is empty."""

    def __call__(self, scope: Scope) -> str:
        return f"{len(self)} left"


def test_a_function_that_is_false_makes_references_too() -> None:
    assert Reporter(make_reference=Numbers()).reference(SCOPE) == "0 left"


class Text(str):
    __slots__ = ()


def test_reference_is_a_plain_text() -> None:
    assert type(Reporter(make_reference=lambda scope: Text("a")).reference(SCOPE)) is str


@pytest.mark.parametrize(
    ("made", "named"),
    [
        (None, "NoneType"),
        (7, "int"),
        (b"a", "bytes"),
        ("", "str"),
        (" ", "str"),
        ("a\r\nb", "str"),
        ("a\udc80", "str"),
    ],
)
def test_reference_that_cannot_be_sent_is_not_taken(
    made: Any, named: str, log: pytest.LogCaptureFixture
) -> None:
    scope = {**SCOPE, "headers": [(b"x-request-id", b"a")]}
    assert Reporter(make_reference=lambda scope: made).reference(scope) == "a"
    (record,) = log.records
    assert record.levelno == logging.WARNING
    assert f"gave a {named} that is none:" in record.getMessage()


def test_function_for_references_may_fail(log: pytest.LogCaptureFixture) -> None:
    def fail(scope: Scope) -> str:
        raise LookupError

    reporter = Reporter(make_reference=fail, clock=Clock())
    assert reporter.reference(SCOPE) != reporter.reference(SCOPE)
    first = "The function given for `make_reference` failed: LookupError"
    assert log.messages[0] == first
    assert log.messages[1].startswith(f"{first} at {__file__}:")
    assert [has_traceback(record) for record in log.records] == [True, False]


# --- The hook

REQUEST: contextvars.ContextVar[str] = contextvars.ContextVar("REQUEST")


class Seen:
    """What a hook has been given, where."""

    def __init__(self) -> None:
        self.records: list[ErrorRecord] = []
        self.requests: list[str] = []
        self.threads: list[threading.Thread] = []

    def note(self, record: ErrorRecord) -> None:
        self.records.append(record)
        self.requests.append(REQUEST.get())
        self.threads.append(threading.current_thread())

    async def note_soon(self, record: ErrorRecord) -> None:
        await asyncio.sleep(0)
        self.note(record)

    def give_awaitable(self, record: ErrorRecord) -> Awaitable[None]:
        return self.note_soon(record)


class CallableSeen(Seen):
    def __call__(self, record: ErrorRecord) -> None:
        self.note(record)


class AsyncSeen(Seen):
    async def __call__(self, record: ErrorRecord) -> None:
        await self.note_soon(record)


def notify(hook: Hook | None, exc: BaseException | None = None) -> ErrorRecord:
    """Have a hook called, within a request."""
    reporter = Reporter(on_error=hook)
    record = report(Reporter(on_error=print), NOT_FOUND, exc)
    assert record is not None

    async def serve() -> None:
        REQUEST.set("of the request")
        await reporter.notify(record)

    asyncio.run(serve())
    return record


def hooks() -> Iterator[Any]:
    one, two, three, four, five, six = Seen(), Seen(), Seen(), CallableSeen(), AsyncSeen(), Seen()
    yield pytest.param(one, one.note, False, id="function")
    yield pytest.param(two, two.note_soon, True, id="asynchronous function")
    yield pytest.param(three, partial(three.note_soon), True, id="partial")
    yield pytest.param(four, four, False, id="callable object")
    yield pytest.param(five, partial(five), True, id="callable object, asynchronous")
    yield pytest.param(six, six.give_awaitable, True, id="function that gives an awaitable")


@pytest.mark.parametrize(("seen", "hook", "on_loop"), [*hooks()])
def test_hook_is_called_with_the_record_in_the_context_of_the_request(
    seen: Seen, hook: Hook, on_loop: bool
) -> None:
    record = notify(hook)
    assert seen.records == [record]
    assert seen.requests == ["of the request"]
    assert (seen.threads == [threading.current_thread()]) is on_loop


def test_hook_that_blocks_does_not_stall_the_loop() -> None:
    released = threading.Event()

    def block(record: ErrorRecord) -> None:
        assert released.wait(10)

    async def serve() -> None:
        record = report(reporter)
        assert record is not None
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(reporter.notify(record))
            await asyncio.sleep(0.01)
            released.set()

    reporter = Reporter(on_error=block)
    asyncio.run(serve())


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_hook_takes_no_thread_from_what_an_application_runs_in_threads(backend: str) -> None:
    released, requests = threading.Event(), list[str]()

    def block(record: ErrorRecord) -> None:
        requests.append(REQUEST.get())
        assert released.wait(10)

    reporter = Reporter(on_error=block)

    async def serve() -> None:
        REQUEST.set("of the request")
        record = report(reporter)
        assert record is not None
        anyio.to_thread.current_default_thread_limiter().total_tokens = 1
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(reporter.notify, record)
            try:
                await anyio.wait_all_tasks_blocked()
                with anyio.fail_after(5):
                    await run_in_threadpool(released.set)
            finally:
                released.set()

    for _ in range(2):
        requests.clear()
        released.clear()
        anyio.run(serve, backend=backend)
        assert requests == ["of the request"] * 2


def test_hooks_take_a_limited_number_of_threads() -> None:
    lock, running = threading.Lock(), [0, 0]
    as_many = threading.Barrier(40, timeout=30)

    def hook(record: ErrorRecord) -> None:
        with lock:
            running[0] += 1
            running[1] = max(running)
        as_many.wait()
        time.sleep(0.01)
        with lock:
            running[0] -= 1

    async def serve() -> None:
        reporter = Reporter(on_error=hook)
        record = report(reporter)
        assert record is not None
        async with anyio.create_task_group() as tasks:
            for _ in range(80):
                tasks.start_soon(reporter.notify, record)

    anyio.run(serve)
    assert running == [0, 40]


def test_without_a_hook_nothing_is_called() -> None:
    notify(None)


async def fail(record: ErrorRecord) -> None:
    raise OSError("a secret")


def fail_in_thread(record: ErrorRecord) -> None:
    raise StopIteration


async def await_cancelled(record: ErrorRecord) -> None:
    task = asyncio.create_task(asyncio.sleep(60))
    task.cancel()
    await task


async def raise_group(record: ErrorRecord) -> None:
    raise BaseExceptionGroup("several", [OSError(), asyncio.CancelledError()])


def give_failing(record: ErrorRecord) -> Awaitable[None]:
    return fail(record)


@pytest.mark.parametrize(
    ("hook", "named"),
    [
        pytest.param(fail, "OSError", id="asynchronous"),
        pytest.param(fail_in_thread, "RuntimeError", id="in a thread"),
        pytest.param(give_failing, "OSError", id="later"),
        pytest.param(
            await_cancelled, "asyncio.exceptions.CancelledError", id="awaits what is cancelled"
        ),
        pytest.param(raise_group, "BaseExceptionGroup", id="a group"),
        pytest.param(lambda: None, "TypeError", id="other arguments"),
    ],
)
def test_hook_may_fail(hook: Any, named: str, log: pytest.LogCaptureFixture) -> None:
    log.clear()
    notify(hook)
    record = log.records[-1]
    assert record.getMessage() == f"The function given for `on_error` failed: {named}"
    assert record.levelno == logging.ERROR
    assert has_traceback(record)


def test_log_that_is_turned_off_is_not_told_either(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "authpi_errors")
    with written() as out:
        notify(fail)
        Reporter(make_reference=lambda _: "").reference(SCOPE)
    assert out.getvalue() == ""


def test_hook_that_fails_in_a_storm_is_logged_in_a_line(log: pytest.LogCaptureFixture) -> None:
    reporter = Reporter(on_error=fail, clock=Clock())
    record = report(reporter)
    assert record is not None
    log.clear()
    for _ in range(2):
        asyncio.run(reporter.notify(record))
    assert [has_traceback(record) for record in log.records] == [True, False]
    assert log.messages[1].endswith("again: 1 without a traceback")


def test_cancellation_of_the_request_passes_through_the_hook() -> None:
    async def wait(record: ErrorRecord) -> None:
        await asyncio.sleep(60)

    async def serve() -> None:
        record = report(reporter)
        assert record is not None
        task = asyncio.create_task(reporter.notify(record))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    reporter = Reporter(on_error=wait)
    asyncio.run(serve())


@pytest.mark.parametrize("cls", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_process_passes_through_the_hook(cls: type[BaseException]) -> None:
    async def leave(record: ErrorRecord) -> None:
        raise cls

    with pytest.raises(cls):
        notify(leave)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        pytest.param(fail, True, id="asynchronous function"),
        pytest.param(fail_in_thread, False, id="function"),
        pytest.param(partial(partial(fail)), True, id="partial of a partial"),
        pytest.param(partial(fail_in_thread), False, id="partial of a function"),
        pytest.param(AsyncSeen(), True, id="callable object, asynchronous"),
        pytest.param(CallableSeen(), False, id="callable object"),
        pytest.param(AsyncSeen().note_soon, True, id="method"),
        pytest.param(AsyncSeen, False, id="class"),
        pytest.param(None, False, id="none"),
    ],
)
def test_asynchronous_functions_are_known(function: object, expected: bool) -> None:
    assert is_async(function) is expected
