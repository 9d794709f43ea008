"""`ErrorMiddleware`: the boundary, for users to put where they want it."""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import ASGIApp, Scope

from authpi_errors._boundary import Boundary
from authpi_errors._foreign import ForeignResponse
from authpi_errors._options import Options
from authpi_errors._registry import ErrorRegistry
from authpi_errors._reporting import Hook
from authpi_errors._responding import Responder

__all__ = ["ErrorMiddleware"]


class ErrorMiddleware(Boundary):
    """ASGI middleware that answers what goes wrong below it with AuthPI errors.

    It can stand in three places: `app.add_middleware(ErrorMiddleware)`, a `Middleware` in a list of
    them, and around any ASGI application. Where a Starlette or FastAPI application is below or
    around it, it also takes the place of the framework's default exception handlers; handlers that
    the user has set stay. Right below Starlette's outermost middleware, which would answer with a
    plain 500 and has nothing left to do then, it takes that one's place too. `install` covers more.

    Args:
        app: The ASGI application below.
        registry: What exceptions and statuses mean. Without it: AuthPI's codes alone.
        reraise: Whether what nobody expected is raised again after it is answered, so that the
            server logs it and test clients see it. If not, the logger `authpi_errors` gets it.
        rewrite: Says of an error response that something else has made whether it becomes an
            AuthPI error. Without it, `ForeignResponse.is_foreign` does.
        ignore: Types of exceptions that are left to the framework, and to whoever wants them
            further out.
        on_error: Called with an `ErrorRecord` for each error, once its response is out.
            Asynchronous or not; what it raises is logged, and changes nothing.
        make_reference: Makes the reference of an error from the scope of its connection. Without
            it: the trace id of OpenTelemetry's active span, else that of `traceparent`, else
            `x-request-id`, else 32 fresh hexadecimal digits.
        always_refer: Whether each error has a reference, and not only those of the server.

    Raises:
        ValueError: An option is not usable; the message says what to change. What `add_middleware`
            is given, Starlette looks at when the application starts.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        registry: ErrorRegistry | None = None,
        reraise: bool = True,
        rewrite: Callable[[ForeignResponse], bool] | None = None,
        ignore: tuple[type[BaseException], ...] = (),
        on_error: Hook | None = None,
        make_reference: Callable[[Scope], str] | None = None,
        always_refer: bool = False,
    ) -> None:
        if not callable(app):
            raise ValueError(f"ErrorMiddleware was given {app!r}: use an ASGI application.")
        options = Options(
            registry, reraise, rewrite, ignore, on_error, make_reference, always_refer
        )
        super().__init__(app, Responder(options))
