"""An error becomes a response, and operators learn of it.

Handlers and boundaries of one application share a `Responder`, so that what it has learnt is learnt
once: templates, routes, and which exceptions come in storms.
"""

from __future__ import annotations

from collections.abc import Iterable
from logging import ERROR, WARNING
from typing import Final

from anyio import move_on_after
from starlette.types import Scope

from authpi_errors._challenges import has_credentials
from authpi_errors._content_type import unreadable_body
from authpi_errors._exceptions import AuthPIError
from authpi_errors._options import Options
from authpi_errors._raised import is_to_be_answered
from authpi_errors._registry import ErrorRegistry, registry_of
from authpi_errors._rendering import Asked, ErrorResponse
from authpi_errors._reported import note_reference, note_report, reported_reference, was_reported
from authpi_errors._reporting import ErrorRecord, Reporter, log, logger
from authpi_errors._routing import allowed_methods
from authpi_errors._template import Messages
from authpi_errors._templates import Templates, nothing
from authpi_errors._validation import InvalidInputError

__all__ = ["Responder", "notify"]


class Responder:
    """Responds to errors, as the options of an application say.

    Args:
        options: The options.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.registry = registry_of(options.registry)
        # A registry of another class can decide otherwise.
        self._may_be_short = options.on_error is None and type(self.registry) is ErrorRegistry
        self._templates = Templates(self.registry, options.ignore)
        self.reporter = Reporter(on_error=options.on_error, make_reference=options.make_reference)
        self._always_refers = options.always_refer
        is_plain = self._may_be_short and not options.always_refer
        # The shortest way, and most errors take it: no reference, and nobody to be told.
        self.plain = self._templates.plain if is_plain else nothing

    def unexpected(
        self, exc: BaseException, scope: Scope, *, raised_again: bool
    ) -> Messages | None:
        """Answer an HTTP request that ends in an exception that nobody expected, and log that.

        Args:
            exc: What was raised.
            scope: The scope of the request.
            raised_again: Whether the server will see and log the exception itself.

        Returns:
            The messages of the answer; `None` if there is more to be done.
        """
        if not self._may_be_short or scope["method"] == "HEAD":
            return None
        template = self._templates.unexpected(exc)
        if template is None:
            return None
        reference = self.reporter.reference(scope)
        note_reference(exc, reference)
        code = template.code
        if logger.isEnabledFor(ERROR):
            self.reporter.report(
                code.value,
                code.status,
                reference,
                scope,
                exc,
                is_unexpected=True,
                raised_again=raised_again,
            )
        else:
            note_report(scope, code.status, reference, is_told=False)
        return template.plain_with_reference(reference)

    def respond(
        self,
        exc: BaseException | None,
        error: AuthPIError,
        scope: Scope,
        *,
        is_unexpected: bool = False,
        raised_again: bool = False,
    ) -> ErrorResponse:
        """Render an answer, and log it, unless it is in the place of one that was logged.

        Args:
            exc: The exception that is answered, if it is one.
            error: The error that it means.
            scope: The connection's scope.
            is_unexpected: Whether nobody expected the exception.
            raised_again: Whether the server will see and log the exception itself.
        """
        if isinstance(error, InvalidInputError):
            error = unreadable_body(error.records, scope) or error
        asked = _Request(scope, exc, self.reporter, self._always_refers)
        response = self._templates.render(error, asked)
        if response.dropped:
            left_out = {"left_out_of": response.code, "left_out": ", ".join(response.dropped)}
            log(WARNING, "Left out of %(left_out_of)s: %(left_out)s", left_out)
        is_repeated = was_reported(scope, response.status, exc)
        if is_repeated and self.reporter.has_told(scope):
            return response
        if exc is not None and response.reference is not None:
            note_reference(exc, response.reference)
        record = self.reporter.report(
            response.code,
            response.status,
            response.reference,
            scope,
            exc,
            is_unexpected=is_unexpected,
            raised_again=raised_again,
            is_repeated=is_repeated,
        )
        if record is not None:
            scope.setdefault(_UNTOLD, []).append((self.reporter, record))
        return response


# Where a scope has the records that no hook was told of, until it is, and whose they are.
_UNTOLD: Final = "authpi_errors.untold"

# For how many seconds a connection that is cancelled waits for hooks.
_PATIENCE: Final = 1.0


async def notify(
    scope: Scope, exc: BaseException | None = None, *, is_outermost: bool = True
) -> None:
    """Tell a hook of an error that was sent, unless it was told: once what sends it has ended.

    While an application sends, it would be a part of that: a `StreamingResponse` is cancelled once
    it is out.

    Args:
        scope: The scope of the connection.
        exc: What the application has raised, if anything.
        is_outermost: Whether there is no boundary further out that could do it.
    """
    untold: list[tuple[Reporter, ErrorRecord]] | None = scope.get(_UNTOLD)
    if not untold:
        return
    is_cancelled = exc is not None and not is_to_be_answered(exc)
    if is_cancelled and not is_outermost:
        # It may be middleware that has cancelled what is further in.
        return
    # What came before the last was never sent.
    reporter, record = untold[-1]
    untold.clear()
    with move_on_after(_PATIENCE if is_cancelled else None, shield=is_cancelled):
        await reporter.notify(record)


class _Request(Asked):
    """The request of a scope.

    Args:
        scope: The scope.
        exc: What was raised, if anything was.
        reporter: Makes references.
        always_refers: Whether each error is to have one.
    """

    __slots__ = ("_always_refers", "_exc", "_reporter", "_scope")

    def __init__(
        self, scope: Scope, exc: BaseException | None, reporter: Reporter, always_refers: bool
    ) -> None:
        self._scope = scope
        self._exc = exc
        self._reporter = reporter
        self._always_refers = always_refers

    @property
    def method(self) -> str:
        method: str = self._scope.get("method", "GET")
        return method

    def has_credentials(self) -> bool:
        return has_credentials(self._scope)

    def allowed_methods(self) -> Iterable[str]:
        return allowed_methods(self._scope)

    def reference(self, status: int) -> str | None:
        if status < 500 and not self._always_refers:
            return None
        known = reported_reference(self._scope, status, self._exc)
        return known or self._reporter.reference(self._scope)
