"""What the routes of an application say of a request: who takes it, and with which methods."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from starlette.routing import BaseRoute, Host, Match, Mount, Router
from starlette.types import Scope

__all__ = ["allowed_methods", "is_routed", "matched_routes"]

# RFC 9110, 9, RFC 5789, and QUERY, which Starlette knows.
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY")


def matched_routes(scope: Scope) -> list[BaseRoute]:
    """Give the routes that a request takes, from the outermost to the one that serves it.

    Args:
        scope: The scope of the request, after routing.

    Returns:
        Mounts and hosts, and last the route that takes the path and the method, if there is one.
    """
    router = scope.get("router")
    if not isinstance(router, Router):
        return []
    # Mounts move the root path; `app_root_path` is what it was outside of them.
    root_path = scope.get("app_root_path", scope.get("root_path", ""))
    return _matched(router.routes, {**scope, "root_path": root_path})


def _matched(routes: Iterable[BaseRoute], scope: Scope) -> list[BaseRoute]:
    for route in routes:
        match, child_scope = _match(route, scope)
        if match is Match.FULL:
            inner = route.routes if isinstance(route, Mount | Host) else ()
            return [route, *_matched(inner or (), {**scope, **child_scope})]
    return []


def _match(route: BaseRoute, scope: Scope) -> tuple[Match, Scope]:
    try:
        return route.matches(scope)
    except Exception:
        # A route or a convertor of the user's: it is only asked for advice.
        return Match.NONE, {}


def is_routed(scope: Scope) -> bool:
    """Say whether a request has an endpoint that serves it; else a router has turned it away."""
    routes = matched_routes(scope)
    return bool(routes) and not isinstance(routes[-1], Mount | Host)


def allowed_methods(scope: Scope) -> list[str]:
    """List the methods that the path of a request takes, for `Allow` (RFC 9110, 10.2.1).

    Starlette's own 405 names those of the first route of a path, and no other's.
    """
    return [method for method in _METHODS if is_routed({**scope, "method": method})]
