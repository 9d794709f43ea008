"""What the routes of an application say of a request: who takes it, and with which methods.

They are the user's, and only asked for advice: nothing here raises on their account.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from types import UnionType
from typing import Any, Final, NamedTuple, cast

from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.routing import BaseRoute, Host, Match, Mount, Route, Router, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from authpi_errors._headers import is_token
from authpi_errors._layers import attribute, layers

__all__ = [
    "Routes",
    "allowed_methods",
    "does_path_decide",
    "is_lost",
    "is_nested",
    "is_reached",
    "is_routed",
    "matched_routes",
]

# RFC 9110, 9, RFC 5789, and QUERY, which Starlette knows.
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY")


def matched_routes(scope: Scope) -> list[BaseRoute]:
    """Give the routes that a request takes, from the outermost to the one that serves it.

    Args:
        scope: The scope of the request, after routing.

    Returns:
        Mounts and hosts, and last the route that takes the path and the method, if there is one.
    """
    return _matched(_routes_of(scope), _outside(scope))


def _outside(scope: Scope) -> Scope:
    """Give a scope as it was before routing: mounts move the root path."""
    root_path = scope.get("app_root_path", scope.get("root_path", ""))
    return {**scope, "root_path": root_path, _WAY: (_routes_of(scope),)}


def _inside(scope: Scope, child_scope: Scope, routes: Sequence[BaseRoute]) -> Scope:
    """Give a scope as it is for the routes in a mount or a host."""
    return {**scope, **child_scope, _WAY: (*scope[_WAY], routes)}


# Where such a scope has the routes that were asked so far: a mount can know its application.
_WAY: Final = "authpi_errors.way"


def _matched(routes: Iterable[BaseRoute], scope: Scope) -> list[BaseRoute]:
    for route in routes:
        match, child_scope = _match(route, scope)
        if match is Match.FULL:
            effective = list(_effective([route]))
            if effective != [route]:
                return _matched(effective, scope)
            inner = _routes_in(route, scope)
            return [route, *_matched(inner, _inside(scope, child_scope, inner))]
    return []


def _routes_in(route: BaseRoute, scope: Scope) -> Sequence[BaseRoute]:
    """Give the routes that are in a mount or a host, as far as they are Starlette's."""
    return _known_routes_in(route, scope[_WAY]) or ()


def _known_routes_in(
    route: BaseRoute, way: Iterable[Sequence[BaseRoute]]
) -> Sequence[BaseRoute] | None:
    """Give the routes that are in a mount or a host; `None` if nobody knows of any.

    Args:
        route: The mount or the host; any other route has none in it.
        way: The routes that lead to it: those around a mount are not in it.
    """
    if not _is_a(route, Mount | Host):
        return None
    # A mount looks no further than to what it was given, which may be middleware.
    for layer in layers(attribute(route, "app")):
        if isinstance(layer, Starlette | Router):
            around = any(layer.routes is routes for routes in way)
            return None if around else layer.routes
    routes: object = attribute(route, "routes")
    return cast("list[BaseRoute]", routes) if isinstance(routes, list) and routes else None


def _is_a(route: BaseRoute, kind: type[BaseRoute] | UnionType) -> bool:
    """Say of which kind a route is; FastAPI tells that of one in an included router."""
    return isinstance(getattr(route, "original_route", route), kind)


def _effective(routes: Iterable[BaseRoute]) -> Iterator[BaseRoute]:
    """Give the routes, and in the place of FastAPI's included routers the routes in them."""
    fastapi_routing: Any = sys.modules.get("fastapi.routing")
    flatten = getattr(fastapi_routing, "iter_route_contexts", None)
    for route in routes:
        if flatten is None or isinstance(route, Host) or hasattr(route, "path_format"):
            yield route
        else:
            yield from flatten([route])


def _match(route: BaseRoute, scope: Scope) -> tuple[Match, Scope]:
    try:
        return route.matches(scope)
    except Exception:
        return Match.NONE, {}


def is_routed(scope: Scope) -> bool:
    """Say whether a request has an endpoint that serves it; else a router has turned it away."""
    return _serving(scope) is not None


def is_lost(scope: Scope) -> bool:
    """Say whether no route takes a request, as far as routes are known: its router turned it away.

    What is mounted and no application of Starlette's decides by itself.
    """
    routes = matched_routes(scope)
    if not routes or not _is_a(routes[-1], Mount | Host):
        return not routes
    way = _asked(scope, routes[:-1])
    if _known_routes_in(routes[-1], way) is not None:
        return True
    # Middleware may hide an application that has got the request, and knew of no route either.
    application = scope.get("app")
    is_hidden = isinstance(application, Starlette) and not any(
        application.routes is each for each in way
    )
    return is_hidden and scope.get("endpoint") is attribute(routes[-1], "app")


def is_reached(scope: Scope) -> bool:
    """Say whether a request has got as far as to the endpoint that serves it."""
    route = _serving(scope)
    return route is not None and getattr(route, "endpoint", None) is scope.get("endpoint")


def _serving(scope: Scope) -> BaseRoute | None:
    routes = matched_routes(scope)
    return routes[-1] if routes and not _is_a(routes[-1], Mount | Host) else None


def is_nested(scope: Scope) -> bool:
    """Say whether a mount, or a host, may have taken a request, as far as its router got."""
    return "app_root_path" in scope or ("route" in scope and _has_host(_routes_of(scope)))


def _has_host(routes: Iterable[BaseRoute]) -> bool:
    # Most applications have none. One in a router that FastAPI includes is not seen here.
    return any(isinstance(route, Host) for route in routes)


def does_path_decide(scope: Scope, routes: Iterable[BaseRoute]) -> bool:
    """Say whether a request takes these routes for its path and its method alone.

    A host has a say in that, and so may what a route of the user's asks.
    """
    asked = _asked(scope, routes)
    with suppress(Exception):
        return all(map(_asks_path, _effective(route for among in asked for route in among)))
    # An included router that has something else for a route.
    return False


def _asked(scope: Scope, routes: Iterable[BaseRoute]) -> list[Sequence[BaseRoute]]:
    """Give the routes among which those that a request takes were found."""
    asked = [_routes_of(scope)]
    for route in routes:
        asked.append(_known_routes_in(route, asked) or ())
    return asked


def _asks_path(route: BaseRoute) -> bool:
    original: BaseRoute = getattr(route, "original_route", route)
    matches = type(original).matches
    return matches in _OF_PATHS or matches.__module__ == "fastapi.routing"


# How Starlette's routes find out; those of FastAPI that are no routers do so, too.
_OF_PATHS: Final = (Route.matches, Mount.matches, WebSocketRoute.matches)


def _routes_of(scope: Scope) -> Sequence[BaseRoute]:
    """Give the routes of the outermost router."""
    router = scope.get("router")
    return router.routes if isinstance(router, Router) else ()


def allowed_methods(scope: Scope) -> list[str]:
    """List the methods that the path of a request takes, for `Allow` (RFC 9110, 10.2.1).

    Starlette's own 405 names those of the first route of a path, and no other's.
    """
    named = sorted(set(_named(_routes_of(scope), _outside(scope))).difference(_METHODS))
    allowed = [method for method in (*_METHODS, *named) if _takes({**scope, "method": method})]
    return allowed or _methods_of_files(scope)


def _methods_of_files(scope: Scope) -> list[str]:
    """Give what static files and FastAPI's `frontend` take, if a request has come to them.

    They are no routes, and older versions of Starlette do not say it.
    """
    found: object = scope.get("fastapi")
    is_frontend = isinstance(found, dict) and "frontend_path" in found
    is_static = issubclass(type(scope.get("endpoint")), StaticFiles)
    return ["GET", "HEAD"] if is_frontend or is_static else []


def _named(routes: Iterable[BaseRoute], scope: Scope) -> Iterator[str]:
    """Give the methods that routes of a path name, whichever of them comes first."""
    for route in routes:
        match, child_scope = _match(route, scope)
        if match is Match.NONE:
            continue
        effective = list(_effective([route]))
        if effective != [route]:
            yield from _named(effective, scope)
            continue
        methods: object = getattr(route, "methods", None)
        if isinstance(methods, set):
            yield from filter(is_token, cast("set[object]", methods))
        inner = _routes_in(route, scope)
        yield from _named(inner, _inside(scope, child_scope, inner))


def _takes(scope: Scope) -> bool:
    """Say whether something serves a request with the method in this scope."""
    route = _serving(scope)
    if getattr(route, "methods", None):
        return True
    # A route that leaves the choice to its endpoint, which is known only of Starlette's class.
    endpoint: object = getattr(route, "endpoint", None)
    if not isinstance(endpoint, type) or not issubclass(endpoint, HTTPEndpoint):
        return False
    names = ("get", "head") if scope["method"] == "HEAD" else (scope["method"].lower(),)
    return any(hasattr(endpoint, name) for name in names)


class Routes:
    """Finds the templates of paths, in an application that can have hundreds of routes.

    To match them all takes as long as to route a request anew. But a request's endpoint is known,
    and it has one route, most often; which ones it has is remembered.
    """

    def __init__(self) -> None:
        # By the identity of routes and endpoint, which are kept so that nothing else takes it.
        self._known: dict[tuple[int, int], _Candidates] = {}

    def template(self, scope: Scope) -> str | None:
        """Give the template of the path that a request was routed by.

        Args:
            scope: The scope of the connection, after routing.

        Returns:
            The template, with the prefixes of mounts and of FastAPI's included routers, and without
            convertors; `None` if no route took the request.
        """
        router, endpoint = scope.get("router"), scope.get("endpoint")
        if not isinstance(router, Router) or endpoint is None:
            return None
        with suppress(Exception):
            return self._among(router.routes, _outside(scope), endpoint)
        return None

    def _among(self, routes: Sequence[BaseRoute], scope: Scope, endpoint: object) -> str | None:
        key = id(routes), id(endpoint)
        known = self._known.get(key)
        if known is not None:
            if known.template is not None and known.size == len(routes):
                return known.template
            template = self._first(known.routes, scope, endpoint)
            if template is not None:
                return template
        # There are routes that have been added since, perhaps.
        if len(self._known) >= _MOST_CANDIDATES:
            self._known.clear()
        known = self._known[key] = _Candidates.of(routes, endpoint)
        return self._first(known.routes, scope, endpoint)

    def _first(self, routes: Iterable[BaseRoute], scope: Scope, endpoint: object) -> str | None:
        other: BaseRoute | None = None
        for route in routes:
            match, child_scope = route.matches(scope)
            if match is Match.FULL:
                return self._of(route, scope, child_scope, endpoint)
            if match is Match.PARTIAL and other is None:
                # It takes another method, and answers 405.
                other = route
        return None if other is None else self._of(other, scope, {}, endpoint)

    def _of(
        self, route: BaseRoute, scope: Scope, child_scope: Scope, endpoint: object
    ) -> str | None:
        # A host is no part of the path.
        own: str | None = "" if _is_a(route, Host) else getattr(route, "path_format", None)
        inner = _routes_in(route, scope)
        if own is None or not inner:
            return own or None
        if getattr(route, "app", None) is endpoint:
            # None of its routes has taken the request any further.
            return None
        rest = self._among(inner, _inside(scope, child_scope, inner), endpoint)
        return None if rest is None else own.removesuffix("/{path}") + rest


class _Candidates(NamedTuple):
    """The routes that an endpoint can have been reached by, in their order.

    Attributes:
        routes: These routes.
        template: Of the one that it must have been; `None` if that depends on the path.
        size: How many routes there were to choose from.
        kept: What is not to be forgotten.
    """

    routes: tuple[BaseRoute, ...]
    template: str | None
    size: int
    kept: tuple[object, object]

    @classmethod
    def of(cls, routes: Sequence[BaseRoute], endpoint: object) -> _Candidates:
        """Choose from routes."""
        effective = tuple(_effective(routes))
        found = tuple(
            route for route in effective if getattr(route, "endpoint", None) in (None, endpoint)
        )
        # An included router can get another route and nobody sees it here; a mount, more still.
        is_only = len(found) == 1 and effective == tuple(routes) and hasattr(found[0], "endpoint")
        template = getattr(found[0], "path_format", None) if is_only else None
        return cls(found, template, len(routes), (routes, endpoint))


# Applications can make endpoints without end.
_MOST_CANDIDATES: Final = 1024
