"""The ASGI messages of an answer: for HTTP, and for a WebSocket before and after it is accepted."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from starlette.types import Message

from authpi_errors import (
    AuthPIError,
    ErrorCode,
    ErrorRegistry,
    NotFoundError,
    ServerError,
    UnauthorizedClientError,
)
from authpi_errors._messages import answer, send_all
from authpi_errors._rendering import ErrorResponse, render

NOT_FOUND = render(NotFoundError(), ErrorRegistry())
WEBSOCKET: dict[str, Any] = {"type": "websocket", "path": "/"}
DENIABLE: dict[str, Any] = {**WEBSOCKET, "extensions": {"websocket.http.response": {}}}


def http(method: str) -> dict[str, Any]:
    """Give the scope of a request."""
    return {"type": "http", "method": method, "path": "/"}


def of_code(name: str, status: int) -> ErrorResponse:
    """Render an error with a code of its own."""
    error = AuthPIError()
    error.code = ErrorCode(name, status, "Something.")
    return render(error, ErrorRegistry())


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "get"])
def test_request_is_answered_with_a_start_and_a_body(method: str) -> None:
    assert answer(NOT_FOUND, http(method)) == [
        {"type": "http.response.start", "status": 404, "headers": list(NOT_FOUND.headers)},
        {"type": "http.response.body", "body": NOT_FOUND.body},
    ]


def test_head_is_answered_with_the_headers_of_get_and_no_body() -> None:
    start, end = answer(NOT_FOUND, http("HEAD"))
    assert start == answer(NOT_FOUND, http("GET"))[0]
    assert end["body"] == b""


@pytest.mark.parametrize("scope", [http("GET"), DENIABLE], ids=["HTTP", "WebSocket"])
def test_headers_are_a_fresh_list_each_time(scope: dict[str, Any]) -> None:
    answer(NOT_FOUND, scope)[0]["headers"].append((b"x-a", b"b"))
    assert answer(NOT_FOUND, scope)[0]["headers"] == list(NOT_FOUND.headers)


def test_websocket_is_denied_with_the_whole_answer_where_the_server_can() -> None:
    response = render(UnauthorizedClientError(), ErrorRegistry())
    assert answer(response, DENIABLE) == [
        {
            "type": "websocket.http.response.start",
            "status": 401,
            "headers": list(response.headers),
        },
        {"type": "websocket.http.response.body", "body": response.body},
    ]


@pytest.mark.parametrize(
    ("scope", "accepted"),
    [
        pytest.param(WEBSOCKET, False, id="before it is accepted, no extensions"),
        pytest.param({**WEBSOCKET, "extensions": {}}, False, id="before, an empty table of them"),
        pytest.param({**WEBSOCKET, "extensions": None}, False, id="before, None for them"),
        pytest.param({**WEBSOCKET, "extensions": {"tls": {}}}, False, id="before, another one"),
        pytest.param(WEBSOCKET, True, id="after it is accepted"),
        pytest.param(DENIABLE, True, id="after it is accepted, with the extension"),
    ],
)
def test_websocket_is_closed(scope: dict[str, Any], accepted: bool) -> None:
    assert answer(NOT_FOUND, scope, accepted=accepted) == [
        {"type": "websocket.close", "code": 1008, "reason": "not_found"}
    ]


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, 1008), (499, 1008), (500, 1011), (599, 1011)],
)
def test_websocket_is_closed_for_the_client_or_for_the_server(status: int, code: int) -> None:
    assert answer(of_code("a", status), WEBSOCKET)[0]["code"] == code


def test_reason_says_nothing_but_the_code() -> None:
    response = render(ServerError("secret"), ErrorRegistry())
    assert answer(response, WEBSOCKET, accepted=True)[0]["reason"] == "server_error"


@pytest.mark.parametrize(("length", "sent"), [(123, 123), (124, 123), (1_000, 123)])
def test_reason_fits_into_a_control_frame(length: int, sent: int) -> None:
    reason = answer(of_code("a" * length, 400), WEBSOCKET)[0]["reason"]
    assert len(reason.encode()) == sent


@pytest.mark.parametrize("accepted", [False, True])
@pytest.mark.parametrize("scope", [WEBSOCKET, DENIABLE], ids=["plain", "deniable"])
def test_no_message_of_http_goes_to_a_websocket(scope: dict[str, Any], accepted: bool) -> None:
    messages = answer(NOT_FOUND, scope, accepted=accepted)
    assert all(message["type"].startswith("websocket.") for message in messages)


def test_messages_are_sent_in_their_order() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    anyio.run(send_all, answer(NOT_FOUND, http("GET")), send)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
