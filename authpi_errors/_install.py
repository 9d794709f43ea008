"""`install`: every error of an application, wherever in its stack it comes from."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.types import ASGIApp

from authpi_errors._handlers import add_handlers, logger
from authpi_errors._middleware import ErrorMiddleware
from authpi_errors._registry import ErrorRegistry

__all__ = ["install"]


def install(app: Starlette, *, registry: ErrorRegistry | None = None, reraise: bool = True) -> None:
    """Make every error of a Starlette or FastAPI application an AuthPI error.

    Call it once, anywhere between making the application and its first request: before or after
    routes, middleware and exception handlers are added. It does three things:

    - takes the place of the framework's default exception handlers; the user's own stay;
    - puts an `ErrorMiddleware` inside all of the application's middleware, so that CORS and the
      like see a response, to which they add their headers;
    - puts another around the whole, for what goes wrong in the middleware itself.

    Args:
        app: The application. It is changed in place.
        registry: What exceptions and statuses mean. Without it: AuthPI's codes alone.
        reraise: Whether what nobody expected is raised again after it is answered, so that the
            server logs it and test clients see it. If not, the logger `authpi_errors` gets it.

    Raises:
        RuntimeError: The application has served a request already; or has been given to `install`
            before, with other arguments.
    """
    installed = _installed(app)
    if installed is not None:
        if (installed.registry, installed.reraise) != (registry or installed.registry, reraise):
            raise RuntimeError(
                "install() was given this application before, with another registry or reraise: "
                "call it once."
            )
        return
    if app.middleware_stack is not None:
        raise RuntimeError(
            "install() came after the application's first request, when its middleware had been "
            "built: call it where the application is made."
        )
    installed = _Installed(app, ErrorRegistry() if registry is None else registry, reraise)
    add_handlers(app, app, installed.registry, installed.notice)
    app.build_middleware_stack = installed.build  # type: ignore[method-assign]


def _installed(app: Starlette) -> _Installed | None:
    """Find what an earlier call has left; another library can have taken `build` over since."""
    for handler in app.exception_handlers.values():
        notice = getattr(handler, "notice", None)
        owner = getattr(notice, "__self__", None)
        if isinstance(owner, _Installed):
            return owner
    return None


class _Installed:
    """Builds an application's middleware, at its first request, with a boundary on either side."""

    def __init__(self, app: Starlette, registry: ErrorRegistry, reraise: bool) -> None:
        self.registry = registry
        self.reraise = reraise
        self._app = app
        self._build = app.build_middleware_stack
        self._silent = False

    def build(self) -> ASGIApp:
        """Build the middleware as the application does, with ours innermost and outermost."""
        self._silent = True
        innermost = Middleware(ErrorMiddleware, registry=self.registry, reraise=self.reraise)
        self._app.user_middleware.append(innermost)
        try:
            stack = self._build()
        finally:
            self._app.user_middleware.remove(innermost)
        return ErrorMiddleware(stack, registry=self.registry, reraise=self.reraise)

    def notice(self) -> None:
        """Say, once, that `build` was not called: then there is no boundary."""
        if not self._silent:
            self._silent = True
            logger.error(
                "install() covers only a part of the application: its build_middleware_stack was "
                "replaced afterwards by something that does not call what was there. Call "
                "install() after that."
            )
