"""Requests are made and answered in process: what is measured is the application alone."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Generator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message, Scope

__all__ = ["Answer", "Request", "ask", "quiet", "serve"]

# What a client such as curl or httpx sends.
_HEADERS = [
    (b"host", b"127.0.0.1:8000"),
    (b"user-agent", b"benchmark"),
    (b"accept", b"*/*"),
]


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of an application, again and again."""

    path: str = "/"
    body: bytes = b""

    @property
    def scope(self) -> Scope:
        """The scope that a server would make of it: complete, and new each time."""
        headers = [*_HEADERS]
        if self.body:
            headers += [
                (b"content-type", b"application/json"),
                (b"content-length", b"%d" % len(self.body)),
            ]
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "POST" if self.body else "GET",
            "scheme": "http",
            "path": self.path,
            "raw_path": self.path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": headers,
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 8000),
            "state": {},
        }


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the response, and the exception that came after it."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes
    raised: Exception | None = None


async def ask(app: ASGIApp, request: Request) -> Answer:
    """Make one request, and give all of what comes back."""
    messages: list[MutableMapping[str, Any]] = []

    async def send(message: Message) -> None:
        messages.append(message)

    raised: Exception | None = None
    try:
        await app(request.scope, _receiving(request), send)
    except Exception as exc:
        raised = exc
    if not messages:
        raise AssertionError("no response was sent") from raised
    start, *bodies = messages
    body = b"".join(message.get("body", b"") for message in bodies)
    return Answer(start["status"], dict(start["headers"]), body, raised)


async def serve(app: ASGIApp, request: Request, requests: int) -> int:
    """Make requests with as little of our own as can be, and count the responses by status.

    Returns:
        The status of all responses; or 0, if they differ in it or are not as many as the requests.
    """
    scope, receive = request.scope, _receiving(request)
    statuses: list[int] = []

    async def send(message: Message) -> None:
        if "status" in message:
            statuses.append(message["status"])

    for _ in range(requests):
        try:
            await app(dict(scope), receive, send)
        except Exception:  # noqa: S112
            # An unexpected exception is raised again; a server would log it.
            continue
    return statuses[0] if len(statuses) == requests and len(set(statuses)) == 1 else 0


@contextmanager
def quiet() -> Generator[None]:
    """Turn logging off meanwhile: what an application does with its logs is measured by itself."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _receiving(request: Request) -> Callable[[], Awaitable[Message]]:
    async def receive() -> Message:
        return {"type": "http.request", "body": request.body, "more_body": False}

    return receive
