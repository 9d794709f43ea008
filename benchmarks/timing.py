"""How long a request takes, where instructions can't be counted.

Clocks are noisy, so all contenders take turns, in many short rounds, and of each contender the
fastest round counts: what slows a round down is never the contender's merit. Only the ratios mean
something.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping

from starlette.types import ASGIApp

from benchmarks.contenders import Contender, check
from benchmarks.exchange import quiet, serve

__all__ = ["time_all"]

ROUNDS, REQUESTS = 40, 100


def time_all(
    contenders: Iterable[Contender], rounds: int = ROUNDS, requests: int = REQUESTS
) -> Mapping[str, float | str]:
    """Time a request to each contender.

    Returns:
        By name: nanoseconds, or why it could not be timed.
    """
    with quiet():
        return asyncio.run(_time_all(contenders, rounds, requests))


async def _time_all(
    contenders: Iterable[Contender], rounds: int, requests: int
) -> Mapping[str, float | str]:
    results: dict[str, float | str] = {}
    running: list[tuple[Contender, ASGIApp]] = []
    for contender in contenders:
        if contender.lacks is not None:
            results[contender.name] = contender.lacks
            continue
        app = contender.make()
        problems = await check(contender, app)
        if problems:
            results[contender.name] = f"wrong answer: {', '.join(problems)}"
            continue
        running.append((contender, app))
    for _ in range(rounds):
        for contender, app in running:
            start = time.perf_counter_ns()
            await serve(app, contender.asks, requests)
            cost = (time.perf_counter_ns() - start) / requests
            best = results.get(contender.name, cost)
            results[contender.name] = min(cost, best) if isinstance(best, float) else cost
    return results
