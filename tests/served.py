"""What the servers serve in the tests: a subprocess imports it by its name."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Self

import anyio
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from authpi_errors import (
    AccessDeniedError,
    AuthPIError,
    ConflictError,
    InsufficientScopeError,
    InvalidContentTypeError,
    InvalidRequestError,
    NotFoundError,
    PreconditionFailedError,
    ServerError,
    SessionExpiredError,
    UnauthorizedClientError,
    UsageLimitExceededError,
    install,
)

__all__ = ["CODES", "LIMIT", "app", "quiet"]

SPLIT = "x\r\nset-cookie: stolen=1"
LIMIT = 1000

CODES: Mapping[str, Callable[[], AuthPIError]] = {
    "invalid_request": InvalidRequestError,
    "invalid_content_type": lambda: InvalidContentTypeError(supported=["application/json"]),
    "access_denied": AccessDeniedError,
    "insufficient_scope": lambda: InsufficientScopeError(scope="users:read"),
    "session_expired": SessionExpiredError,
    "unauthorized_client": UnauthorizedClientError,
    "not_found": NotFoundError,
    "conflict": lambda: ConflictError(retry_after=2),
    "precondition_failed": lambda: PreconditionFailedError(current_etag='"1709139700000"'),
    "usage_limit_exceeded": lambda: UsageLimitExceededError(retry_after=30),
    "server_error": ServerError,
}


class Failing:
    """Middleware that raises what a header asks for."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: list[tuple[bytes, bytes]] = scope.get("headers", [])
        for name, value in headers:
            if name == b"x-fail":
                raise RuntimeError(value.decode())
            if name == b"x-refuse":
                make = CODES[value.decode()]
                raise make()
        await self.app(scope, receive, send)


async def fine(request: Request) -> Response:
    return PlainTextResponse("fine")


async def code(request: Request) -> Response:
    make = CODES[request.path_params["code"]]
    raise make()


async def unexpected(request: Request) -> Response:
    raise RuntimeError(request.path_params["why"])


async def odd_headers(request: Request) -> Response:
    headers: dict[str, Any] = {
        "Retry-After": 5,
        "X-Fine": "yes",
        "X-Split": SPLIT,
        SPLIT: "x",
        "X-Greek": "Ω",
        "X Space": "x",
    }
    raise HTTPException(503, "Odd.", headers)


async def numbers() -> AsyncIterator[bytes]:
    yield b"1"
    yield b"2"
    # What was sent is on its way before it fails.
    await anyio.sleep(0.05)
    raise RuntimeError("the stream broke")


async def breaking(request: Request) -> Response:
    return StreamingResponse(numbers(), media_type="text/plain")


async def body(request: Request) -> Response:
    return JSONResponse(len(await request.body()))


class Endless:
    """A body without an end. No generator: trio wants those to be closed."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        await anyio.sleep(0.02)
        return b"more" * 1000


async def stream(request: Request) -> Response:
    return StreamingResponse(Endless(), media_type="text/plain")


async def refused(websocket: WebSocket) -> None:
    raise AccessDeniedError("Not you.")


async def broken_before(websocket: WebSocket) -> None:
    raise RuntimeError("before accept")


async def ended(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("hello")
    raise SessionExpiredError


async def broken_after(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("hello")
    raise RuntimeError("after accept")


async def validated(limit: int) -> None: ...


def application(*, reraise: bool) -> FastAPI:
    made = FastAPI(max_body_size=LIMIT)
    install(made, reraise=reraise)
    made.add_middleware(Failing)
    made.add_route("/fine", fine)
    made.add_route("/codes/{code}", code)
    made.add_route("/unexpected/{why}", unexpected)
    made.add_route("/odd-headers", odd_headers)
    made.add_route("/breaking", breaking)
    made.add_route("/body", body, methods=["POST"])
    made.add_route("/stream", stream)
    made.add_api_route("/validated", validated)
    made.mount(
        "/mounted",
        Starlette(routes=[Route("/codes/{code}", code), Route("/unexpected/{why}", unexpected)]),
    )
    made.add_api_websocket_route("/refused", refused)
    made.add_api_websocket_route("/broken-before", broken_before)
    made.add_api_websocket_route("/ended", ended)
    made.add_api_websocket_route("/broken-after", broken_after)
    return made


app = application(reraise=True)
quiet = application(reraise=False)


async def both(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve the two, the second one under `/quiet`."""
    path: str = scope.get("path", "")
    if path.startswith("/quiet/"):
        await quiet({**scope, "path": path.removeprefix("/quiet")}, receive, send)
    else:
        await app(scope, receive, send)
