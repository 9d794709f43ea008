"""What the soak's server serves: every kind of success and error, and an account of itself."""

import asyncio
import gc
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from authpi_errors import (
    AccessDeniedError,
    AuthPIError,
    ErrorMiddleware,
    NotFoundError,
    PreconditionFailedError,
    SessionExpiredError,
    UsageLimitExceededError,
    install,
)

PIECE = b"x" * 8_192
PIECES = 64
ERRORS: Mapping[str, Callable[[], AuthPIError]] = {
    "not_found": NotFoundError,
    "session_expired": SessionExpiredError,
    "usage_limit_exceeded": lambda: UsageLimitExceededError(retry_after=7),
    "precondition_failed": lambda: PreconditionFailedError(current_etag='"1709139700000"'),
}

answers: Counter[str] = Counter()
"""How often each path was answered with each status."""
logged: Counter[str] = Counter()
"""How often a traceback was logged, with and without the reference."""


records: Counter[str] = Counter()
"""How often the library has logged an error with each status."""


# A log of all that is counted here would fill a disk.


class Records(logging.Handler):
    """Counts the errors that the library says it has answered."""

    def emit(self, record: logging.LogRecord) -> None:
        records[str(vars(record)["status"])] += 1


class Tracebacks(logging.Handler):
    """Counts the tracebacks of the server."""

    def emit(self, record: logging.LogRecord) -> None:
        exc = record.exc_info[1] if record.exc_info else None
        notes: list[str] = getattr(exc, "__notes__", [])
        has_reference = any(note.startswith("reference: ") for note in notes)
        logged[f"{type(exc).__name__} {'with' if has_reference else 'without'} reference"] += 1


async def fine(request: Request) -> Response:
    return JSONResponse({"data": {"id": request.query_params.get("id")}})


async def body(request: Request) -> Response:
    return JSONResponse(len(await request.body()))


async def fail(request: Request) -> Response:
    make = ERRORS[request.path_params["code"]]
    raise make()


async def fail_slowly(request: Request) -> Response:
    await asyncio.sleep(0.02)
    raise NotFoundError


async def break_down(request: Request) -> Response:
    raise LookupError("a bug")


async def group(request: Request) -> Response:
    raise ExceptionGroup("both", [AccessDeniedError(), NotFoundError()])


async def refuse(request: Request) -> Response:
    raise HTTPException(418, "No coffee.", {"X-Pot": "tea"})


async def plain(request: Request) -> Response:
    return PlainTextResponse("It is gone.", 410)


async def large(request: Request) -> Response:
    raise AuthPIError(status=409, extra={"more": "x" * len(PIECE) * PIECES})


async def pieces() -> AsyncIterator[bytes]:
    for _ in range(PIECES):
        yield PIECE


async def stream(request: Request) -> Response:
    return StreamingResponse(pieces(), media_type="text/plain")


async def broken_pieces() -> AsyncIterator[bytes]:
    yield PIECE
    raise LookupError("in a stream")


async def broken_stream(request: Request) -> Response:
    return StreamingResponse(broken_pieces(), media_type="text/plain")


async def validated(number: int) -> int:
    return number


async def refused(websocket: WebSocket) -> None:
    raise AccessDeniedError


async def ended(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("hello")
    raise SessionExpiredError


def _is_ours(thing: object) -> bool:
    kind = type(thing)
    return str(kind.__module__).startswith("authpi_errors") or issubclass(kind, AuthPIError)


async def account(request: Request) -> Response:
    """Say what there is: of tasks, of the library's objects, of requests."""
    gc.collect()
    ours = Counter(type(thing).__qualname__ for thing in gc.get_objects() if _is_ours(thing))
    found = {"tasks": len(asyncio.all_tasks()), "objects": ours, "answers": answers}
    return JSONResponse({**found, "logged": logged, "records": records})


inner = Starlette(routes=[Route("/bug", break_down), Route("/codes/{code}", fail)])
api = FastAPI(max_body_size=1_000)
install(api)
for path, endpoint in {
    "/account": account,
    "/broken-stream": broken_stream,
    "/bug": break_down,
    "/codes/{code}": fail,
    "/fine": fine,
    "/group": group,
    "/large": large,
    "/plain": plain,
    "/refused": refuse,
    "/slow": fail_slowly,
    "/stream": stream,
}.items():
    api.add_route(path, endpoint)
api.add_route("/body", body, methods=["POST"])
api.add_api_route("/validated", validated)
api.add_api_websocket_route("/websocket/refused", refused)
api.add_api_websocket_route("/websocket/ended", ended)
api.router.routes.append(Mount("/mounted", inner))
api.router.routes.append(Mount("/wrapped", ErrorMiddleware(inner)))


def counted(served: ASGIApp) -> ASGIApp:
    """Count what goes to the server, whatever becomes of it there."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        def watch(message: Message) -> Any:
            if message["type"].endswith("http.response.start"):
                answers[f"{scope['path']} {message['status']}"] += 1
            return send(message)

        await served(scope, receive, watch)

    return call


app = counted(api)
for name, handler in {
    "authpi_errors": Records(),
    "uvicorn.error": Tracebacks(logging.ERROR),
}.items():
    logging.getLogger(name).addHandler(handler)
    logging.getLogger(name).propagate = False
logging.getLogger("authpi_errors").setLevel(logging.INFO)
