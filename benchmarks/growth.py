"""What grows with the application: the table of mapped exceptions, and how deep their types are.

The cost of an error is to depend on neither; the memory that an application takes, on the table
alone, and little.
"""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from authpi_errors import ErrorMiddleware, ErrorRegistry, NotFoundError, install
from benchmarks import exchange
from benchmarks.contenders import Contender
from benchmarks.goals import Goal, Row
from benchmarks.situations import CHANGING, SITUATIONS

__all__ = ["GROWING", "GROWTH_GOALS", "memory"]

MAPPINGS = (1, 10, 100, 1_000, 10_000)
LEVELS = 10
# How many applications are made to find out what one of them takes.
_APPLICATIONS = 100

MappedExceptions = Sequence[type[Exception]]


@cache
def _exceptions(number: int) -> MappedExceptions:
    return [type(f"Mapped{index}Error", (Exception,), {}) for index in range(number)]


@cache
def _deep(levels: int) -> type[Exception]:
    """Make an exception type that is so many levels below the only one that is mapped."""
    cls = _exceptions(1)[0]
    for level in range(levels):
        cls = type(f"Level{level}Error", (cls,), {})
    return cls


def _registry(mappings: int) -> ErrorRegistry:
    return ErrorRegistry(exceptions=dict.fromkeys(_exceptions(mappings), "not_found"))


def _alone(raised: Callable[[], type[Exception]], mappings: int) -> ASGIApp:
    cls = raised()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise cls

    return ErrorMiddleware(app, registry=_registry(mappings))


def _application(raised: Callable[[], type[Exception]]) -> Starlette:
    cls = raised()

    async def endpoint(request: Request) -> Response:
        raise cls

    return Starlette(routes=[Route("/", endpoint)])


def _installed(raised: Callable[[], type[Exception]], mappings: int) -> ASGIApp:
    app = _application(raised)
    install(app, registry=_registry(mappings))
    return app


_MAKERS = {"ASGI": _alone, "Starlette": _installed}


def _way(what: str, mappings: int) -> str:
    return f"{what}, {mappings:,} mappings"


_OWN, _MAPPED, _DEEP = "own error", "the last mapped exception", f"{LEVELS} levels deep"


def _growing() -> Sequence[Contender]:
    cases: list[tuple[str, Callable[[], type[Exception]], int]] = [
        *((_OWN, lambda: NotFoundError, number) for number in (0, *MAPPINGS)),
        *((_MAPPED, lambda number=number: _exceptions(number)[-1], number) for number in MAPPINGS),
        (_DEEP, partial(_deep, LEVELS), 1),
    ]
    return [
        Contender(framework, _way(what, number), CHANGING, partial(make, raised, number))
        for framework, make in _MAKERS.items()
        for what, raised, number in cases
    ]


GROWING: Mapping[str, Contender] = {contender.name: contender for contender in _growing()}


def _goal(framework: str, way: str, beside: str, limit: float) -> Goal:
    names = [f"{framework}: {each}: {CHANGING}" for each in (way, beside)]
    return Goal(f"growth, {framework}, {way}, beside {beside}", limit, names[0], (names[1],))


GROWTH_GOALS = tuple(
    goal
    for framework in _MAKERS
    for goal in (
        _goal(framework, _way(_OWN, MAPPINGS[-1]), _way(_OWN, 0), 1.02),
        _goal(framework, _way(_MAPPED, MAPPINGS[-1]), _way(_MAPPED, 1), 1.02),
        _goal(framework, _way(_DEEP, 1), _way(_MAPPED, 1), 1.06),
    )
)


def memory() -> list[Row]:
    """Measure what an application and a mapping take, in KiB, once they have served an error."""
    registry = _registry(0)
    bare = _traced(_serving, _APPLICATIONS)
    with_ours = _traced(lambda: _serving(registry), _APPLICATIONS)
    none = _traced(lambda: _serving(_registry(0)), 1)
    largest = _traced(lambda: _serving(_registry(MAPPINGS[-1])), 1)
    return [
        Row("memory, an application", (with_ours - bare) / 1024 / _APPLICATIONS, 4.0, "KiB"),
        Row("memory, a mapping", (largest - none) / 1024 / MAPPINGS[-1], 0.6, "KiB"),
    ]


def _serving(registry: ErrorRegistry | None = None) -> ASGIApp:
    """Make an application, and have it build what it builds at its first request."""
    app = _application(lambda: NotFoundError)
    if registry is not None:
        install(app, registry=registry)
    asyncio.run(_ask(app))
    return app


async def _ask(app: ASGIApp) -> None:
    await exchange.ask(app, SITUATIONS[CHANGING].request)


def _traced(make: Callable[[], object], number: int) -> int:
    """Give the bytes that so many of something take.

    Now and then a table of Python's own, such as that of interned strings, grows meanwhile: the
    least of three is right.
    """
    return min(_traced_once(make, number) for _ in range(3))


def _traced_once(make: Callable[[], object], number: int) -> int:
    # What the first of all needs is there by then.
    kept = [make()]
    gc.collect()
    tracemalloc.start()
    kept += [make() for _ in range(number)]
    gc.collect()
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return taken
