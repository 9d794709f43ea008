"""`install`: every error of an application, wherever in its stack it comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from authpi_errors._foreign import ForeignResponse
from authpi_errors._handlers import add_handlers, logger
from authpi_errors._middleware import ErrorMiddleware, checked_ignore
from authpi_errors._registry import ErrorRegistry

__all__ = ["install"]


def install(
    app: Starlette,
    *,
    registry: ErrorRegistry | None = None,
    reraise: bool = True,
    rewrite: Callable[[ForeignResponse], bool] | None = None,
    ignore: tuple[type[BaseException], ...] = (),
) -> None:
    """Make every error of a Starlette or FastAPI application an AuthPI error.

    Call it once, anywhere between making the application and its first request: before or after
    routes, middleware and exception handlers are added. It does three things:

    - takes the place of the framework's default exception handlers; the user's own stay;
    - puts an `ErrorMiddleware` inside all of the application's middleware, so that CORS and the
      like see a response, to which they add their headers;
    - puts another around the whole, for what goes wrong in the middleware itself, and for what it
      answers.

    Mounted applications are covered with it.

    Args:
        app: The application. It is changed in place.
        registry: What exceptions and statuses mean. Without it: AuthPI's codes alone.
        reraise: Whether what nobody expected is raised again after it is answered, so that the
            server logs it and test clients see it. If not, the logger `authpi_errors` gets it.
        rewrite: Says of an error response that something else has made whether it becomes an
            AuthPI error. Without it, `ForeignResponse.is_foreign` does.
        ignore: Types of exceptions that pass, unanswered, to whoever wants them further out.

    Raises:
        RuntimeError: The application has served a request already; or has been given to `install`
            before, with other arguments.
        ValueError: `ignore` holds something else than types of exceptions.
    """
    options = _Options(registry, reraise, rewrite, ignore)
    installed = _installed(app)
    if installed is not None:
        if options != installed.options:
            raise RuntimeError(
                "install() was given this application before, with other arguments: call it once."
            )
        return
    if app.middleware_stack is not None:
        raise RuntimeError(
            "install() came after the application's first request, when its middleware had been "
            "built: call it where the application is made."
        )
    installed = _Installed(app, options)
    add_handlers(app, app, installed.registry, ignore, installed.notice)
    app.build_middleware_stack = installed.build  # type: ignore[method-assign]


def _installed(app: Starlette) -> _Installed | None:
    """Find what an earlier call has left; another library can have taken `build` over since."""
    for handler in app.exception_handlers.values():
        notice = getattr(getattr(handler, "__self__", None), "notice", None)
        owner = getattr(notice, "__self__", None)
        if isinstance(owner, _Installed):
            return owner
    return None


@dataclass(frozen=True, slots=True)
class _Options:
    """The options of `install`, as they were given."""

    registry: ErrorRegistry | None
    reraise: bool
    rewrite: Callable[[ForeignResponse], bool] | None
    ignore: tuple[type[BaseException], ...]

    def __post_init__(self) -> None:
        checked_ignore(self.ignore)


class _Installed:
    """Builds an application's middleware, at its first request, with a boundary on either side."""

    def __init__(self, app: Starlette, options: _Options) -> None:
        self.options = options
        self.registry = ErrorRegistry() if options.registry is None else options.registry
        self._app = app
        self._build = app.build_middleware_stack
        self._silent = False

    def build(self) -> ASGIApp:
        """Build the middleware as the application does, with ours innermost and outermost."""
        self._silent = True
        try:
            stack = self._build_inner()
        except Exception:
            # Starlette builds anew at every request, and so does this: an answer needs a boundary.
            stack = self._build_and_call
        return _Outermost(self._boundary(stack, is_inside=False))

    async def _build_and_call(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._build_inner()(scope, receive, send)

    def _build_inner(self) -> ASGIApp:
        innermost = Middleware(self._boundary, is_inside=True)
        self._app.user_middleware.append(innermost)
        try:
            return self._build()
        finally:
            self._app.user_middleware.remove(innermost)

    def _boundary(self, app: ASGIApp, *, is_inside: bool) -> ErrorMiddleware:
        boundary = ErrorMiddleware(
            app,
            registry=self.registry,
            reraise=self.options.reraise,
            rewrite=self.options.rewrite,
            ignore=self.options.ignore,
        )
        boundary.adopt(self._app, is_inside=is_inside, is_outermost=not is_inside)
        return boundary

    def notice(self) -> None:
        """Say, once, that `build` was not called: then there is no boundary."""
        if not self._silent:
            self._silent = True
            logger.error(
                "install() covers only a part of the application: its build_middleware_stack was "
                "replaced afterwards by something that does not call what was there. Call "
                "install() after that."
            )


class _Outermost(ServerErrorMiddleware):
    """Hands on to the boundary, and stands where others look for Starlette's outermost middleware.

    Instrumentation that finds something else there gives up; OpenTelemetry's does so for FastAPI.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)
