"""Errors without end: what they leave behind, and what it costs to log the same one each time.

python -m benchmarks.storms
"""

from __future__ import annotations

import asyncio
import gc
import http.client
import logging
import os
import socket
import statistics
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from authpi_errors import install
from benchmarks.contenders import CONTENDERS, INSTALL
from benchmarks.exchange import Request as Asked
from benchmarks.exchange import quiet, serve
from benchmarks.goals import Row
from benchmarks.situations import CHANGING, PRECONDITION, RATE_LIMIT, UNEXPECTED

__all__ = ["connections", "leftovers", "logging_cost"]

ERRORS = 200_000
_SITUATIONS = (CHANGING, PRECONDITION, RATE_LIMIT, UNEXPECTED)
_BATCH = 1_000
_ROUNDS, _PER_ROUND = 15, 200


def leftovers(errors: int = ERRORS) -> list[Row]:
    """Raise errors of four kinds, and look for what they have left in memory.

    The cycle collector is off meanwhile: what it would have had to find is counted at the end, and
    until then takes memory.
    """
    apps = [CONTENDERS[f"Starlette: {INSTALL}: {name}"].make() for name in _SITUATIONS]
    each = errors // len(apps)
    with quiet(), _without_collector():
        _storm(apps, 2_000)
        before = _resident()
        _storm(apps, each)
        resident = _resident() - before
        cyclic = gc.collect()
        tracemalloc.start()
        _storm(apps, 2_000)
        traced_before, _ = tracemalloc.get_traced_memory()
        _storm(apps, each)
        traced, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    total = f"{each * len(apps):,} errors"
    return [
        Row(f"{total}, traced", (traced - traced_before) / errors, 0.005, "B a request"),
        Row(f"{total}, resident", resident / 1024, 256, "KiB"),
        Row(f"{total}, for the cycle collector", cyclic, 0, "objects"),
    ]


def _storm(apps: list[ASGIApp], requests: int) -> None:
    async def run() -> None:
        for app in apps:
            for _ in range(requests // _BATCH):
                # The statuses of a batch are ours, not theirs: few at a time.
                await serve(app, Asked(), _BATCH)

    asyncio.run(run())


def _resident() -> int:
    """Give the resident memory of this process, in bytes. Linux only."""
    pages = Path("/proc/self/statm").read_text("ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def logging_cost() -> list[Row]:
    """Time one unexpected exception again and again, with its logging on, and off."""
    app = _failing()
    costs: dict[bool, list[float]] = {True: [], False: []}
    with _logging_to_nowhere():
        for _ in range(_ROUNDS):
            for is_on, found in costs.items():
                logging.disable(logging.NOTSET if is_on else logging.CRITICAL)
                start = time.perf_counter_ns()
                asyncio.run(_serve(app))
                found.append((time.perf_counter_ns() - start) / 1_000 / _PER_ROUND)
        logging.disable(logging.NOTSET)
    on, off = statistics.median(costs[True]), statistics.median(costs[False])
    return [Row("one bug again and again, logging on", on - off, 25, "µs more", (on, off))]


async def _serve(app: ASGIApp) -> None:
    await serve(app, Asked(), _PER_ROUND)


def _failing() -> Starlette:
    async def endpoint(request: Request) -> Response:
        raise RuntimeError("a bug")

    app = Starlette(routes=[Route("/", endpoint)])
    install(app, reraise=False)
    return app


def connections(requests: int = 1_000) -> list[Row]:
    """Ask a real server for the same bug again and again, and count connections that it closes."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(_failing(), log_config=None, access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    with quiet():
        thread = threading.Thread(target=partial(server.run, sockets=[listener]))
        thread.start()
        try:
            closed = _closed(listener.getsockname()[1], requests)
        finally:
            server.should_exit = True
            thread.join()
    return [Row("one bug again and again, on uvicorn", closed, 0, "connections closed")]


def _closed(port: int, requests: int) -> int:
    client = http.client.HTTPConnection("127.0.0.1", port)
    closed = 0
    for _ in range(requests):
        client.request("GET", "/")
        response = client.getresponse()
        if response.status != 500:
            raise RuntimeError(f"status {response.status}")
        response.read()
        closed += client.sock is None
    client.close()
    return closed


@contextmanager
def _without_collector() -> Generator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def _logging_to_nowhere() -> Generator[None]:
    """Log as applications do, with time and traceback, but to where nothing is kept."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        handler = logging.StreamHandler(nowhere)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
        logging.getLogger().addHandler(handler)
        try:
            yield
        finally:
            logging.getLogger().removeHandler(handler)


_MEASURES: tuple[Callable[[], list[Row]], ...] = (logging_cost, connections, leftovers)


def main() -> None:
    print(f"Python {sys.version.split()[0]}")
    for measure in _MEASURES:
        for row in measure():
            print(row, flush=True)


if __name__ == "__main__":
    main()
