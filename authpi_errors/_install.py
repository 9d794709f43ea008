"""`install`: every error of an application, wherever in its stack it comes from."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from logging import ERROR
from typing import Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from authpi_errors._boundary import Boundary
from authpi_errors._defaults import has_handler_for_everything, settle_handlers
from authpi_errors._foreign import ForeignResponse
from authpi_errors._handlers import add_handlers
from authpi_errors._options import Options
from authpi_errors._place import without_default_errors
from authpi_errors._registry import ErrorRegistry
from authpi_errors._reporting import Hook, log
from authpi_errors._responding import Responder
from authpi_errors.openapi import describe

__all__ = ["install"]


def install(
    app: Starlette,
    *,
    registry: ErrorRegistry | None = None,
    reraise: bool = True,
    rewrite: Callable[[ForeignResponse], bool] | None = None,
    ignore: tuple[type[BaseException], ...] = (),
    on_error: Hook | None = None,
    make_reference: Callable[[Scope], str] | None = None,
    always_refer: bool = False,
) -> None:
    """Make every error of a Starlette or FastAPI application an AuthPI error.

    Call it once, anywhere between making the application and its start: before or after routes,
    middleware and exception handlers are added. It does three things:

    - takes the place of the framework's default exception handlers; the user's own stay;
    - puts an `ErrorMiddleware` inside all of the application's middleware, so that CORS and the
      like see a response, to which they add their headers;
    - puts another around the whole, for what goes wrong in the middleware itself, and for what it
      answers.

    Mounted applications are covered with it, from the first connection on; until then their own
    documents, as a script exports them, are FastAPI's.

    Args:
        app: The application. It is changed in place.
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
        RuntimeError: The application has been started, or has served a request, already; or has
            been given to `install` before, with other arguments.
        ValueError: An option is not usable; the message says what to change.
    """
    if not isinstance(app, Starlette):
        raise ValueError(
            f"install() was given {app!r}: use a Starlette or FastAPI application. Put an "
            "ErrorMiddleware around any other."
        )
    options = Options(registry, reraise, rewrite, ignore, on_error, make_reference, always_refer)
    installed: _Installed | None = vars(app).get(_INSTALLED)
    if installed is not None:
        if options != installed.options:
            raise RuntimeError(
                "install() was given this application before, with other arguments: call it once."
            )
        return
    if app.middleware_stack is not None:
        raise RuntimeError(
            "install() came after the application was started, or after its first request, when "
            "its middleware had been built: call it where the application is made."
        )
    installed = vars(app)[_INSTALLED] = _Installed(app, options)
    add_handlers(app, app, installed.responder, installed.notice)
    describe(app, registry=installed.responder.registry)
    app.build_middleware_stack = installed.build  # type: ignore[method-assign]


# Where an application has what `install` has done to it.
_INSTALLED: Final = "authpi_errors.installed"


class _Installed:
    """Builds an application's middleware, at its first request, with a boundary on either side."""

    def __init__(self, app: Starlette, options: Options) -> None:
        self.options = options
        self.responder = Responder(options)
        self._app = app
        self._build = app.build_middleware_stack
        # Another library that builds the stack puts middleware of its own into it.
        self._is_alone = "build_middleware_stack" not in vars(app)
        self._silent = False

    def build(self) -> ASGIApp:
        """Build the middleware as the application does, with ours innermost and outermost."""
        self._silent = True
        users = dict(self._app.exception_handlers)
        settle_handlers(self._app)
        try:
            stack = self._build_inner()
            if not self.options.ignore:
                stack = without_default_errors(stack)
        except Exception as exc:
            # An answer needs a boundary.
            stack = partial(self._fail, exc)
        finally:
            # Whoever looks one up finds what the user has set.
            self._app.exception_handlers.update(users)
        return _Outermost(stack, self.responder, self._app)

    async def _fail(self, exc: Exception, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive, send
        # As without this, Starlette builds anew at the next request, and keeps what succeeds.
        self._app.middleware_stack = None
        raise exc

    def _build_inner(self) -> ASGIApp:
        app = self._app
        if self._is_alone and not app.user_middleware and not has_handler_for_everything(app):
            # Nothing is between the two boundaries: one is enough.
            return self._build()
        innermost = Middleware(_Innermost, self.responder, self._app)
        self._app.user_middleware.append(innermost)
        try:
            return self._build()
        finally:
            self._app.user_middleware.remove(innermost)

    def notice(self) -> None:
        """Say, once, that `build` was not called: then there is no boundary."""
        if not self._silent:
            self._silent = True
            log(
                ERROR,
                "install() covers only a part of the application: its build_middleware_stack was "
                "replaced afterwards by something that does not call what was there. Call "
                "install() after that.",
            )


class _Innermost(Boundary):
    """Stands inside all of an application's middleware."""

    def __init__(self, app: ASGIApp, responder: Responder, application: Starlette) -> None:
        super().__init__(app, responder)
        self.adopt(application, is_inside=True)

    def is_outermost(self, scope: Scope) -> bool:
        """Say no: there is one outside of the application's middleware."""
        # Also below middleware that passes on a scope without what was noted in it.
        del scope
        return False


class _Around(Boundary):
    """Stands outside all of an application's middleware."""

    def __init__(self, app: ASGIApp, responder: Responder, application: Starlette) -> None:
        super().__init__(app, responder)
        self.adopt(application, is_inside=False)

    def _mounted(self) -> list[object]:
        mounted = super()._mounted()
        for app in mounted:
            if isinstance(app, Starlette):
                describe(app, registry=self.registry)
        return mounted


class _Outermost(_Around, ServerErrorMiddleware):
    """Stands where others look for Starlette's outermost middleware, and does its work.

    Instrumentation that finds something else there gives up, and what it finds it may throw away
    and go on with `app`: OpenTelemetry's does so. For that there is another boundary, in which
    nothing is called unless somebody puts something around it there.
    """

    def __init__(self, app: ASGIApp, responder: Responder, application: Starlette) -> None:
        _Around.__init__(self, app, responder, application)
        ServerErrorMiddleware.__init__(self, _Around(app, responder, application))
        self._below = app
