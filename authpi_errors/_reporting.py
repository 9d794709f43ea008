"""What operators learn of an error: a record in the log, and a call of their hook.

Neither can get in the way of the answer: what fails here is logged, as far as that is possible.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import Any, Final

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar
from starlette.types import Scope

from authpi_errors._configuration import is_async
from authpi_errors._raised import exc_info_of, is_failure, type_name
from authpi_errors._reference import reference_of
from authpi_errors._reported import last_report, note_report, take_lost
from authpi_errors._routing import Routes
from authpi_errors._storms import Storms

__all__ = [
    "ErrorRecord",
    "Hook",
    "Reporter",
    "log",
    "logger",
]

logger: Final = logging.getLogger("authpi_errors")


@dataclass(frozen=True, slots=True, eq=False)
class ErrorRecord:
    """An error that was answered, as `on_error` gets it.

    Attributes:
        code: The value of `error` in the body.
        status: The HTTP status.
        method: The method of the request, at most 32 characters; `"WEBSOCKET"` for a WebSocket.
        route: The template of the path, such as `"/users/{user_id}"`, with the prefixes of mounts
            and routers; `None` where no route took the request. Never the path itself.
        reference: The value of `reference` in the body, if it has one.
        exception: What was raised; `None` where the application has sent an error response.
        is_unexpected: Whether nobody expected the exception: it is a bug, and the client was told
            nothing but `server_error`.
        scope: The scope of the connection. It holds the client's headers and query: take care of
            what you pass on.
    """

    code: str
    status: int
    method: str
    route: str | None
    reference: str | None
    exception: BaseException | None = field(repr=False)
    is_unexpected: bool
    scope: Scope = field(repr=False)

    @property
    def exception_type(self) -> str | None:
        """The name of the exception's type, with its module unless that is `builtins`."""
        return None if self.exception is None else type_name(self.exception)


Hook = Callable[[ErrorRecord], object]
"""A function for `on_error`, asynchronous or not."""


class Reporter:
    """Reports the errors of one application.

    Args:
        on_error: Called with the record of each error, once its response is out. One that is not
            asynchronous runs in a thread of those that are kept for hooks, with the context of
            the request.
        make_reference: Makes the reference of an error from the scope of its connection. Without
            it, `reference_of` does.
        clock: Gives the time in seconds.
    """

    __slots__ = ("_is_async", "_make_reference", "_on_error", "_routes", "_storms")

    def __init__(
        self,
        *,
        on_error: Hook | None = None,
        make_reference: Callable[[Scope], str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on_error = on_error
        self._is_async = is_async(on_error)
        self._make_reference = make_reference
        self._routes = Routes()
        self._storms = Storms(clock)

    def reference(self, scope: Scope) -> str:
        """Give the reference of an error, which the user's function may make."""
        return self._users_reference(scope) or reference_of(scope)

    def _users_reference(self, scope: Scope) -> str | None:
        if self._make_reference is None:
            return None
        try:
            reference: object = self._make_reference(scope)
        except Exception as exc:
            self.log_failure("make_reference", exc)
            return None
        if isinstance(reference, str) and reference.strip() and reference.isprintable():
            return str.__str__(reference)
        message = (
            "The function given for `%(option)s` has to give a text that can be printed, and gave "
            "a %(given)s that is none: another reference takes its place"
        )
        given = _clean(type_name(reference))
        log(logging.WARNING, message, {"option": "make_reference", "given": given})
        return None

    def report(
        self,
        code: str,
        status: int,
        reference: str | None,
        scope: Scope,
        exc: BaseException | None,
        *,
        is_unexpected: bool,
        raised_again: bool,
        is_repeated: bool = False,
    ) -> ErrorRecord | None:
        """Log an error: above 499 as an error, else as information. Call it once for each.

        Args:
            code: The value of `error` in the answer.
            status: Its HTTP status.
            reference: Its reference, if it has one.
            scope: The scope of the connection, after routing.
            exc: What was raised, if anything was.
            is_unexpected: Whether nobody expected that.
            raised_again: Whether it will be raised again, so that the server logs its traceback.
            is_repeated: Whether somebody further in has logged it.

        Returns:
            The record for `notify`; `None` if there is no hook.
        """
        note_report(scope, status, reference, is_told=self._on_error is not None)
        level = _level(status)
        is_logged = logger.isEnabledFor(level) and not is_repeated
        if not is_logged and self._on_error is None:
            return None
        method, route = _method(scope), self._routes.template(scope)
        if is_logged:
            attributes = {
                "code": _clean(code),
                "status": status,
                "method": _clean(method),
                "route": _clean(route),
                "reference": _clean(reference),
                "exception_type": None if exc is None else _clean(type_name(exc)),
            }
            traceback_of = exc if is_unexpected and not raised_again else None
            self._log(level, _sentence(attributes), attributes, traceback_of)
        if self._on_error is None:
            return None
        return ErrorRecord(code, status, method, route, reference, exc, is_unexpected, scope)

    def _log(
        self, level: int, message: str, attributes: dict[str, Any], exc: BaseException | None
    ) -> None:
        """Log a message, and the traceback of an exception unless that is one of many."""
        if exc is not None:
            count, place = self._storms.count(exc)
            if count > 0:
                exc, message = None, message + _AGAIN
                attributes.update(place=_clean(place), count=count)
        _emit(level, message, attributes, exc)

    def has_told(self, scope: Scope) -> bool:
        """Say whether a hook, if there is one, is told of the last error that was reported."""
        _, _, is_told = last_report(scope)
        return self._on_error is None or is_told

    async def notify(self, record: ErrorRecord) -> None:
        """Call the user's hook. What it raises is logged, and changes nothing."""
        if self._on_error is None:
            return
        try:
            if self._is_async:
                result = self._on_error(record)
            else:
                result = await to_thread.run_sync(self._on_error, record, limiter=_hook_threads())
            if isawaitable(result):
                await result
        except BaseException as exc:
            if not is_failure(exc):
                raise
            self.log_failure("on_error", exc)

    def log_lost(self, exc: BaseException | None, scope: Scope, *, is_outermost: bool) -> None:
        """Log the exceptions that were to be raised again, if another came in their place.

        Args:
            exc: What came, if anything did.
            scope: The scope of the connection.
            is_outermost: Whether nobody further out waits for them.
        """
        for lost, reference in take_lost(exc, scope, is_outermost=is_outermost):
            if logger.isEnabledFor(logging.ERROR):
                attributes = {
                    "reference": _clean(reference),
                    "exception_type": _clean(type_name(lost)),
                }
                self._log(logging.ERROR, _LOST, attributes, lost)

    def log_failure(self, option: str, exc: BaseException) -> None:
        """Log what a function of the user's has raised: the traceback too, if it is the first.

        Args:
            option: The name of the option that the function was given for.
            exc: What it has raised.
        """
        if not logger.isEnabledFor(logging.ERROR):
            return
        message = "The function given for `%(option)s` failed: %(exception_type)s"
        attributes = {"option": option, "exception_type": _clean(type_name(exc))}
        self._log(logging.ERROR, message, attributes, exc)


def _hook_threads() -> CapacityLimiter:
    """Give what limits the threads of hooks: not those that sync endpoints wait for."""
    limiter = _HOOK_THREADS.get(None)
    if limiter is None:
        limiter = CapacityLimiter(_MOST_THREADS)
        _HOOK_THREADS.set(limiter)
    return limiter


# As many as anyio has for all else. A limiter belongs to one event loop.
_MOST_THREADS: Final = 40
_HOOK_THREADS: Final[RunVar[CapacityLimiter]] = RunVar("authpi_errors.hook_threads")


def _level(status: int) -> int:
    return logging.ERROR if status >= 500 else logging.INFO


def _method(scope: Scope) -> str:
    # The client's, who can make it as long as a server allows. RFC 9110, 16.1: none is so long.
    return "WEBSOCKET" if scope["type"] == "websocket" else str(scope.get("method", ""))[:32]


def _sentence(attributes: dict[str, Any]) -> str:
    """Say what was answered, as far as it is known; `logging` puts in the values."""
    message = "Answered %(method)s"
    if attributes["route"] is not None:
        message += " %(route)s"
    message += " with %(status)d %(code)s"
    if attributes["reference"] is not None:
        message += ", reference %(reference)s"
    if attributes["exception_type"] is not None:
        message += ": %(exception_type)s"
    return message


_LOST: Final = (
    "What was answered with reference %(reference)s was lost on its way to the server: "
    "%(exception_type)s"
)

# Takes the place of a traceback.
_AGAIN: Final = " at %(place)s, again: %(count)d without a traceback"


def log(level: int, message: str, attributes: dict[str, Any] | None = None) -> None:
    """Log what is no error that was answered.

    Args:
        level: The level.
        message: The message.
        attributes: What the message names in the way of `%(name)s`; the record has them, too.
    """
    if logger.isEnabledFor(level):
        _emit(level, message, attributes or {})


def _emit(
    level: int, message: str, attributes: dict[str, Any], exc: BaseException | None = None
) -> None:
    """Log a record. What filters and handlers of the user's raise does not reach the client."""
    exc_info = None if exc is None else exc_info_of(exc)
    args = (attributes,) if attributes else ()
    with suppress(Exception):
        record = logger.makeRecord(logger.name, level, __file__, 0, message, args, exc_info)
        # A factory of the user's may have set one of these already: `extra` would refuse that.
        record.__dict__.update(attributes)
        logger.handle(record)


def _clean(text: str | None) -> str | None:
    """Escape what could break a line of a log, or hide a part of it."""
    if text is None or text.isprintable():
        return text
    return text.encode("unicode_escape").decode("ascii")
