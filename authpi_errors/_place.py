"""Where a boundary stands: which application it is around, or a part of."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.types import ASGIApp, Scope

from authpi_errors._layers import layers

__all__ = ["Place", "find_place", "replace_default_errors", "without_default_errors"]


@dataclass(frozen=True, slots=True)
class Place:
    """A place in an application, or around it.

    Attributes:
        application: The application.
        target: Where its exception handlers are, if its middleware is built and shows it.
        is_inside: Whether the place is below the application's outermost middleware.
    """

    application: Starlette
    target: ExceptionMiddleware | None
    is_inside: bool


def find_place(below: ASGIApp, scope: Scope) -> Place | None:
    """Find the place of a boundary; `None` if no application is known there.

    Args:
        below: The ASGI application that the boundary is around.
        scope: The scope of a connection.
    """
    around: object = scope.get("app")
    for layer in layers(below):
        if isinstance(layer, Starlette):
            return Place(layer, _exception_middleware(layer), is_inside=False)
        if isinstance(layer, ExceptionMiddleware) and isinstance(around, Starlette):
            return Place(around, layer, is_inside=True)
    return None


def _exception_middleware(application: Starlette) -> ExceptionMiddleware | None:
    """Find where the handlers of an application are, once it has its middleware."""
    if application.middleware_stack is None:
        # As the application does at its first request, which this is.
        with suppress(Exception):
            application.middleware_stack = application.build_middleware_stack()
    found = (
        layer
        for layer in layers(application.middleware_stack)
        if isinstance(layer, ExceptionMiddleware)
    )
    return next(found, None)


def replace_default_errors(application: Starlette, boundary: ASGIApp) -> None:
    """Leave out an application's outermost middleware, where nothing is left for it to do.

    That is so if the boundary is right below it, and answers all that is raised further down.
    """
    stack = application.middleware_stack
    if stack is None:
        return
    stack = without_default_errors(stack)
    # What FastAPI puts in between raises nothing of its own.
    others = (layer for layer in layers(stack) if not type(layer).__module__.startswith("fastapi."))
    if next(others, None) is boundary:
        application.middleware_stack = stack


def without_default_errors(stack: ASGIApp) -> ASGIApp:
    """Leave out Starlette's outermost middleware, if all it would do is done by a boundary.

    That is to answer with a plain 500, and to raise again.
    """
    if not isinstance(stack, ServerErrorMiddleware) or stack.handler is not None or stack.debug:
        return stack
    # A subclass does something else.
    return stack.app if type(stack) is ServerErrorMiddleware else stack
