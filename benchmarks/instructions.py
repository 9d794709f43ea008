"""How many machine instructions a request costs, with the library and without.

    python benchmarks/instructions.py

Runs each contender under valgrind's callgrind, twice, with a different number of requests: the
difference is what the requests cost, without the start of Python. Counts repeat to a fraction of a
per cent on the same build of Python. Needs valgrind, starlette and fastapi.
"""

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, cast

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Scope

from authpi_errors import ErrorMiddleware, NotFoundError, install

FEW, MANY = 200, 1200

Endpoint = Callable[[Request], Awaitable[Response]]


async def succeed(request: Request) -> Response:
    return PlainTextResponse("fine")


async def raise_theirs(request: Request) -> Response:
    raise HTTPException(404)


async def raise_ours(request: Request) -> Response:
    raise NotFoundError


async def raise_ours_with_a_text(request: Request) -> Response:
    raise NotFoundError(f"There is no user {id(request)}.")


def starlette(endpoint: Endpoint) -> Starlette:
    return Starlette(routes=[Route("/", endpoint)])


def fastapi(endpoint: Endpoint) -> FastAPI:
    app = FastAPI(openapi_url=None)
    app.add_route("/", endpoint)
    return app


def alone(app: Starlette) -> ASGIApp:
    return app


def by_middleware(app: Starlette) -> ASGIApp:
    app.add_middleware(ErrorMiddleware)
    return app


def by_install(app: Starlette) -> ASGIApp:
    install(app)
    return app


CONTENDERS: dict[str, tuple[Callable[[], ASGIApp], int]] = {
    "Starlette, success": (lambda: alone(starlette(succeed)), 200),
    "Starlette, success, add_middleware": (lambda: by_middleware(starlette(succeed)), 200),
    "Starlette, success, install": (lambda: by_install(starlette(succeed)), 200),
    "Starlette, HTTPException(404)": (lambda: alone(starlette(raise_theirs)), 404),
    "Starlette, HTTPException(404), install": (lambda: by_install(starlette(raise_theirs)), 404),
    "Starlette, NotFoundError(), install": (lambda: by_install(starlette(raise_ours)), 404),
    "Starlette, NotFoundError(text), install": (
        lambda: by_install(starlette(raise_ours_with_a_text)),
        404,
    ),
    "FastAPI, success": (lambda: alone(fastapi(succeed)), 200),
    "FastAPI, success, install": (lambda: by_install(fastapi(succeed)), 200),
    "FastAPI, HTTPException(404)": (lambda: alone(fastapi(raise_theirs)), 404),
    "FastAPI, NotFoundError(), install": (lambda: by_install(fastapi(raise_ours)), 404),
}


def serve(app: ASGIApp, requests: int, status: int) -> None:
    """Run requests, without an event loop: nothing in them waits."""
    statuses: list[int] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    for _ in range(requests):
        scope: Scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
        try:
            cast(Coroutine[Any, Any, None], app(scope, receive, send)).send(None)
        except StopIteration:
            continue
        raise RuntimeError("the application waited for something")
    if statuses != [status] * requests:
        raise RuntimeError(f"expected {requests} times {status}, got {set(statuses)}")


def counted(name: str, requests: int) -> int:
    """Count the instructions of a fresh Python that serves requests."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable]
    command += [__file__, "--serve", name, "--requests", str(requests)]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    found = re.search(r"Collected : (\d+)", run.stderr)
    if run.returncode or found is None:
        raise SystemExit(run.stderr)
    return int(found[1])


def main() -> None:
    parser = argparse.ArgumentParser(description="Count the instructions of a request.")
    parser.add_argument("--serve", choices=CONTENDERS, help="serve one contender, uncounted")
    parser.add_argument("--requests", type=int, default=FEW, help="how many to serve")
    parser.add_argument("--only", default="", help="a part of the names of those to count")
    options = parser.parse_args()
    if options.serve:
        make, status = CONTENDERS[options.serve]
        serve(make(), options.requests, status)
        return
    print(f"Python {sys.version.split()[0]}, instructions per request")
    for name in CONTENDERS:
        if options.only in name:
            each = (counted(name, MANY) - counted(name, FEW)) / (MANY - FEW)
            print(f"{each:12,.0f}  {name}", flush=True)


if __name__ == "__main__":
    main()
