"""Errors that are answered outside of `CORSMiddleware` go out through it all the same.

A browser shows a page nothing of a response without CORS headers, neither its code nor its status.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute, Host, Mount, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from authpi_errors._layers import attribute, layers
from authpi_errors._routing import does_path_decide, matched_routes

__all__ = [
    "Cors",
    "cors_of",
    "cors_of_routes",
    "has_passed_cors",
    "mounted_in",
    "through",
]


def mounted_in(app: object, seen: set[int] | None = None) -> Iterator[object]:
    """Walk through what is mounted in an application, at any depth: middleware and applications."""
    seen = set() if seen is None else seen
    for route in _routes_in(app):
        # A router that FastAPI includes stays one, and can get routes later.
        router: object = attribute(route, "original_router")
        for layer in layers(route.app if isinstance(route, Mount | Host) else router):
            if id(layer) not in seen:
                seen.add(id(layer))
                yield layer
                yield from mounted_in(layer, seen)


def _routes_in(app: object) -> list[Any]:
    # What is mounted can be anybody's, whose `routes` is something else.
    with suppress(Exception):
        routes: Any = getattr(app, "routes", ())
        return list(routes)
    return []


def cors_of(app: object) -> list[CORSMiddleware]:
    """Find the CORS middleware in a stack, and in the application at its end, outermost first."""
    found: list[CORSMiddleware] = []
    for layer in layers(app):
        if isinstance(layer, CORSMiddleware):
            found.append(layer)
        elif isinstance(layer, Starlette):
            found += cors_of(layer.middleware_stack) or _made(layer)
        elif isinstance(layer, Router):
            found += cors_of(layer.middleware_stack)
    return found


def _made(application: Starlette) -> list[CORSMiddleware]:
    """Make the CORS middleware of an application whose stack is hidden, or could not be built.

    The latter is so if the constructor of one of its middlewares raises.
    """
    made: list[CORSMiddleware] = []
    for cls, args, kwargs in application.user_middleware:
        if isinstance(cls, type) and issubclass(cls, CORSMiddleware):
            with suppress(Exception):
                made.append(cls(application, *args, **kwargs))
    return made


def cors_of_routes(scope: Scope, inside: object = None) -> list[CORSMiddleware]:
    """Find the CORS middleware of the mounts and the route that a request takes.

    Args:
        scope: The scope of the request, after routing.
        inside: A mounted application: of its mount, and of those around that, nothing is found.
    """
    routes = matched_routes(scope)
    mounts = [n for n, route in enumerate(routes, 1) if _holds(route, inside)]
    return _cors_in(routes[max(mounts, default=0) :])


def _holds(route: BaseRoute, application: object) -> bool:
    return any(layer is application for layer in layers(attribute(route, "app")))


def _cors_in(routes: Iterable[BaseRoute]) -> list[CORSMiddleware]:
    return [cors for route in routes for cors in cors_of(attribute(route, "app"))]


# Paths of mounts can have parameters, and so any number of values, of any length.
_MOST_KNOWN: Final = 1024
_LONGEST_KNOWN: Final = 200


class Cors:
    """Finds the CORS middleware between a boundary and the endpoint of a request.

    Args:
        below: What the boundary is around.

    Attributes:
        application: The application that is below the boundary, if there is one.
    """

    __slots__ = ("_below", "_known", "_of_stack", "application")

    def __init__(self, below: ASGIApp) -> None:
        self.application: Starlette | None = None
        self._below = below
        self._of_stack: list[CORSMiddleware] | None = None
        # By the identity of what serves a request, which is kept so that nothing else takes it.
        self._known: dict[tuple[int, int, object, object], tuple[list[CORSMiddleware], object]] = {}

    def of(self, scope: Scope) -> list[CORSMiddleware]:
        """Find the CORS middleware that a request passes, the outermost first."""
        if self._of_stack is None:
            # Where middleware can't be built, nothing of it is below; the application knows of it.
            self._of_stack = cors_of(self._below) or cors_of(self.application)
        of_routes = self.of_routes(scope) if "router" in scope else None
        return self._of_stack + of_routes if of_routes else self._of_stack

    def of_routes(self, scope: Scope) -> list[CORSMiddleware]:
        """Find the CORS middleware of the mounts and the route that a request takes.

        To find it is to route a request anew, so it is remembered.
        """
        try:
            router, route = scope["router"], scope["route"]
            root_path, method = scope["root_path"], scope["method"]
            # Mounts move the root path, and one route can be behind several; a 405 has one, too.
            key = id(router), id(route), root_path, method
        except KeyError:
            return cors_of_routes(scope)
        known = self._known.get(key)
        if known is None:
            routes = matched_routes(scope)
            known = _cors_in(routes), (router, route)
            # Below a mount, what has gone no further shares its route, wherever it was bound for.
            is_leaf = not isinstance(route, Mount | Host)
            is_short = len(root_path) + len(method) <= _LONGEST_KNOWN
            if is_leaf and is_short and does_path_decide(scope, routes):
                if len(self._known) >= _MOST_KNOWN:
                    self._known.clear()
                self._known[key] = known
        return known[0]


def has_passed_cors(headers: Headers) -> bool:
    """Say whether CORS middleware has let a page read a response already.

    One that has not may have come through some of it: there can be more, further in.
    """
    return "access-control-allow-origin" in headers


def through(cors: Sequence[CORSMiddleware], respond: ASGIApp) -> ASGIApp:
    """Put an answer into CORS middleware that a success would have passed, the outermost first."""
    for middleware in reversed(cors):
        outer = copy.copy(middleware)
        outer.app = respond
        respond = outer
    return _without_preflight(respond) if cors else respond


def _without_preflight(app: ASGIApp) -> ASGIApp:
    """Hide that a request is a preflight: CORS middleware would answer it, and not the error."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope).mutablecopy()
        del headers["access-control-request-method"]
        await app({**scope, "headers": headers.raw}, receive, send)

    return call
