"""Middleware that does nothing, in the ways in which that is done."""

from __future__ import annotations

from typing import Final

from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send


async def pass_on(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Have a request answered, in a task of its own."""
    return await call_next(request)


BASE: Final = Middleware(BaseHTTPMiddleware, dispatch=pass_on)
"""Runs what is below it in a task, and takes it for a bug when nothing is sent."""


class Around:
    """Keeps what is below it in `app`, as middleware does."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


class Copying:
    """Passes on a scope of its own, as middleware that takes a prefix off the path may."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app({**scope}, receive, send)
