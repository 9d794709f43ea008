"""All origins of errors in one application, for a server: a header says which is meant."""

from functools import cache

from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.origins import ORIGINS, REGISTRY, YES, Cors, Way, applied

__all__ = ["app", "cors_of"]


def cors_of(index: int) -> Cors:
    """Say where an origin's application has CORS."""
    return "CORS added before" if ORIGINS[index].cors else "no CORS"


@cache
def _application(index: int) -> ASGIApp:
    origin = ORIGINS[index]
    way: Way = "install" if origin.covered["install"] == YES else "wrapping"
    site = origin.build(origin.frameworks[-1])
    return applied(way, site, cors_of(index), registry=REGISTRY)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve the application of the origin that `x-origin` gives by its number."""
    if scope["type"] == "lifespan":
        await Starlette()(scope, receive, send)
        return
    headers: list[tuple[bytes, bytes]] = list(scope["headers"])
    (index,) = [int(value) for name, value in headers if name == b"x-origin"]
    await _application(index)(scope, receive, send)
