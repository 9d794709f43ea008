"""What one would write without a library: raw applications, handlers with orjson, a middleware.

They answer with the same members and the same headers as the library.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import cast

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from benchmarks.situations import DESCRIPTIONS, UNEXPECTED, UNROUTED, Situation

__all__ = [
    "ByHandError",
    "PassOn",
    "TryExcept",
    "add_handlers",
    "catching",
    "ready_response",
    "sending",
]


class ByHandError(Exception):
    """An application's own exception: what its handler needs, and no more."""

    def __init__(
        self,
        status: int,
        error: str,
        description: str,
        *,
        retryable: bool = False,
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, object] | None = None,
    ) -> None:
        self.status = status
        self.error = error
        self.description = description
        self.retryable = retryable
        self.headers = headers or {}
        self.members = members or {}


def _respond(exc: ByHandError) -> Response:
    body = {
        "error": exc.error,
        "error_description": exc.description,
        "retryable": exc.retryable,
        **exc.members,
    }
    headers = {"cache-control": "no-store", **exc.headers}
    return Response(orjson.dumps(body), exc.status, headers, "application/json")


def _respond_to_bug(exc: Exception) -> Response:
    reference = secrets.token_hex(16)
    # The server logs the traceback with its notes: else the reference would refer to nothing.
    exc.add_note(f"reference: {reference}")
    body = {
        "error": "server_error",
        "error_description": DESCRIPTIONS[UNEXPECTED],
        "reference": reference,
        "retryable": False,
    }
    headers = {"cache-control": "no-store"}
    return Response(orjson.dumps(body), 500, headers, "application/json")


async def _handle(request: Request, exc: Exception) -> Response:
    return _respond(cast("ByHandError", exc))


async def _handle_http_exception(request: Request, exc: Exception) -> Response:
    return _respond(ByHandError(404, "not_found", DESCRIPTIONS[UNROUTED]))


async def _handle_bug(request: Request, exc: Exception) -> Response:
    return _respond_to_bug(exc)


def add_handlers(app: Starlette) -> None:
    """Add exception handlers: for the application's own, the framework's, and for bugs.

    The one for bugs runs in Starlette's outermost middleware, which raises the exception again.
    """
    app.add_exception_handler(ByHandError, _handle)
    app.add_exception_handler(HTTPException, _handle_http_exception)
    app.add_exception_handler(Exception, _handle_bug)


class TryExcept(BaseHTTPMiddleware):
    """What is often written first: one try, one except. A bug it answers is not raised again."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Answer what the application raises."""
        try:
            return await call_next(request)
        except ByHandError as exc:
            return _respond(exc)
        except Exception as exc:
            return _respond_to_bug(exc)


class PassOn:
    """Middleware that does nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on."""
        await self.app(scope, receive, send)


def _ready(situation: Situation) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Encode the answer to a situation: its headers, its body."""
    members = situation.members or {"fine": True}
    body = orjson.dumps(
        {name: "0" * 32 if isinstance(value, type) else value for name, value in members.items()}
    )
    length = b"%d" % len(body)
    framing = [(b"content-type", b"application/json"), (b"content-length", length)]
    return [*framing, *situation.headers.items()], body


def ready_response(situation: Situation) -> Response:
    """Make a response once, which an endpoint can return again and again: a framework's floor."""
    headers, body = _ready(situation)
    texts = {name.decode(): value.decode() for name, value in headers}
    return Response(body, situation.status, texts)


def sending(situation: Situation) -> ASGIApp:
    """Make a raw application that sends ready bytes: the limit of what can be done."""
    status = situation.status
    headers, body = _ready(situation)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


class _RawError(Exception):
    """What a raw application raises."""


def catching(situation: Situation) -> ASGIApp:
    """Make a raw application that raises, catches, and sends ready bytes.

    What stands for something unexpected it raises again, as the library does.
    """
    status = situation.status
    headers, body = _ready(situation)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            raise _RawError
        except _RawError:
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})
            if status == 500:
                raise

    return app
