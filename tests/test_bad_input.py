"""Errors that can't be sent as they are, on a real server: the test client would not notice."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from authpi_errors import (
    AuthPIError,
    ConflictError,
    FieldError,
    InsufficientScopeError,
    InvalidContentTypeError,
    InvalidRequestError,
    NotFoundError,
    PreconditionFailedError,
    SessionExpiredError,
    UsageLimitExceededError,
    install,
)


class ForgetfulError(AuthPIError):
    """One whose author forgot to call the base class."""

    code = NotFoundError.code

    def __init__(self, user: str) -> None:
        self.user = user


def circle() -> dict[str, Any]:
    members: dict[str, Any] = {}
    members["self"] = members
    return members


def deep() -> object:
    value: object = []
    for _ in range(100_000):
        value = [value]
    return value


SPLIT = "x\r\nset-cookie: stolen=1"
RAISED: dict[str, tuple[int, str, Callable[[], Exception]]] = {
    "an object": (404, "not_found", lambda: NotFoundError(extra={"it": object()})),
    "a huge integer": (409, "conflict", lambda: ConflictError(extra={"it": 2**70})),
    "a circle": (409, "conflict", lambda: ConflictError(extra=circle())),
    "a deep list": (409, "conflict", lambda: ConflictError(extra={"it": deep()})),
    "a lone surrogate": (404, "not_found", lambda: NotFoundError("No \ud800.")),
    "a surrogate in a field": (
        400,
        "invalid_request",
        lambda: InvalidRequestError(fields=[FieldError("a\udfff", "b", "c")]),
    ),
    "a line break in a header": (
        404,
        "not_found",
        lambda: NotFoundError(headers={"X-Note": SPLIT}),
    ),
    "a line break in a header's name": (
        404,
        "not_found",
        lambda: NotFoundError(headers={SPLIT: "x"}),
    ),
    "a header outside of latin-1": (404, "not_found", lambda: NotFoundError(headers={"X": "€"})),
    "a line break in an etag": (
        412,
        "precondition_failed",
        lambda: PreconditionFailedError(current_etag=f'"{SPLIT}"'),
    ),
    "a line break in a scope": (
        403,
        "insufficient_scope",
        lambda: InsufficientScopeError(scope=SPLIT),
    ),
    "a line break in a media type": (
        415,
        "invalid_content_type",
        lambda: InvalidContentTypeError(supported=["text/plain", SPLIT]),
    ),
    "a challenge's description in Greek": (
        401,
        "session_expired",
        lambda: SessionExpiredError('Συνεδρία "έληξε".\r\n'),
    ),
    "a status of 99": (404, "not_found", lambda: NotFoundError(status=99)),
    "a status of 1000": (404, "not_found", lambda: NotFoundError(status=1000)),
    "a delay below zero": (
        429,
        "usage_limit_exceeded",
        lambda: UsageLimitExceededError(retry_after=-1),
    ),
    "an endless delay": (
        429,
        "usage_limit_exceeded",
        lambda: UsageLimitExceededError(retry_after=float("inf")),
    ),
    "a delay that is no number": (
        429,
        "usage_limit_exceeded",
        lambda: UsageLimitExceededError(retry_after=float("nan")),
    ),
    "another length of the body": (
        404,
        "not_found",
        lambda: NotFoundError(headers={"Content-Length": "1", "Transfer-Encoding": "chunked"}),
    ),
    "a forgetful class": (404, "not_found", lambda: ForgetfulError("ada")),
    "an HTTPException with numbers for headers": (
        503,
        "server_error",
        lambda: HTTPException(503, headers={"Retry-After": 5}),  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
    ),
    "an HTTPException with a split header": (
        404,
        "not_found",
        lambda: HTTPException(404, headers={"X-Note": SPLIT}),
    ),
    "an HTTPException with bytes": (
        400,
        "invalid_request",
        lambda: HTTPException(400, b"\xff"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ),
    "an HTTPException with a status of 600": (500, "server_error", lambda: HTTPException(600)),
}


def endpoint(make: Callable[[], Exception]) -> Callable[[Request], Any]:
    async def fail(request: Request) -> Response:
        raise make()

    return fail


def application() -> Starlette:
    app = Starlette(
        routes=[
            Route(f"/{number}", endpoint(make))
            for number, (_, _, make) in enumerate(RAISED.values())
        ]
    )
    install(app)
    return app


@pytest.fixture(scope="module", params=["h11", "httptools"])
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    implementation: Literal["h11", "httptools"] = request.param
    config = uvicorn.Config(application(), http=implementation, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join()


@pytest.mark.parametrize("name", RAISED)
def test_whatever_is_put_into_an_error_the_client_gets_a_valid_answer(name: str, port: int) -> None:
    status, code, _ = RAISED[name]
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", f"/{list(RAISED).index(name)}")
    response = connection.getresponse()
    content = response.read()
    connection.close()
    body = json.loads(content)
    assert (response.status, body["error"]) == (status, code)
    assert response.getheader("content-type") == "application/json"
    assert response.getheader("content-length") == str(len(content))
    assert response.getheader("set-cookie") is None
    assert response.getheader("transfer-encoding") is None
    assert ("retry_after" in body) == (response.getheader("retry-after") is not None)
