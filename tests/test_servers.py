"""Errors on the wire of every server: what a test client mends, or can't see."""

import asyncio
import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any, Literal

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from authpi_errors import ErrorMiddleware, ErrorRecord, install
from authpi_errors._reporting import Hook
from tests.passing import BASE
from tests.served import CODES, LIMIT, application, both
from tests.serving import SERVERS, Served, Server, in_thread, uvicorn_with
from tests.wire import Answer, Client, Headers, Http1, Http2, talk

# RFC 9110, 5.6.2.
TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9a-z]+")


@pytest.fixture(scope="module", params=SERVERS)
def name(request: pytest.FixtureRequest) -> str:
    server: str = request.param
    return server


@pytest.fixture(scope="module")
def server(name: str) -> Server:
    return SERVERS[name]


@pytest.fixture(scope="module")
def served(server: Server) -> Iterator[Served]:
    with server.serve("tests.served:both") as serving:
        yield serving


@pytest.fixture
def connect(server: Server, served: Served) -> Callable[[], Client]:
    """Open connections whose server may take a second to say nothing more."""
    return lambda: (Http2 if server.http2 else Http1)(served.port, timeout=1)


@pytest.fixture
def client(server: Server, served: Served) -> Iterator[Client]:
    with (Http2 if server.http2 else Http1)(served.port) as connection:
        yield connection


def error_of(answer: Answer) -> dict[str, Any]:
    """Check what holds for every error on the wire, and give its body."""
    assert answer.complete
    assert answer.surplus == b""
    assert answer.value("content-type") == "application/json"
    assert answer.value("content-length") == str(len(answer.body))
    assert answer.value("transfer-encoding") is None
    assert answer.value("set-cookie") is None
    assert all(TOKEN.fullmatch(name) for name, _ in answer.headers)
    body: dict[str, Any] = json.loads(answer.body)
    assert body.get("retry_after") == (
        None if (seconds := answer.value("retry-after")) is None else int(seconds)
    )
    return body


def until(check: Callable[[], bool]) -> bool:
    """Wait a while for what another thread or process does."""
    deadline = time.monotonic() + 10
    while not (done := check()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return done


def check_that_it_is_usable(client: Client) -> None:
    """Check that a connection has another request served, and has nothing left over."""
    answer = client.last("/fine")
    assert (answer.status, answer.body, answer.surplus) == (200, b"fine", b"")


@pytest.mark.parametrize("prefix", ["", "/mounted"], ids=["in a route", "in a mounted application"])
@pytest.mark.parametrize("code", CODES)
def test_every_code_arrives_and_the_connection_stays_usable(
    code: str, prefix: str, client: Client
) -> None:
    answer = client.request("GET", f"{prefix}/codes/{code}")
    body = error_of(answer)
    assert (body["error"], answer.status) == (code, CODES[code]().code.status)
    assert (answer.value("www-authenticate") is None) == (
        code not in {"session_expired", "unauthorized_client", "insufficient_scope"}
    )
    assert answer.value("etag") == body.get("current_etag")
    check_that_it_is_usable(client)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/mounted/nowhere", 404),
        ("DELETE", "/fine", 405),
        ("GET", "/validated?limit=x", 400),
    ],
)
def test_what_the_framework_refuses_is_an_error_and_the_connection_stays_usable(
    method: str, path: str, status: int, client: Client
) -> None:
    answer = client.request(method, path)
    assert answer.status == status
    assert error_of(answer)["error"] == ("not_found" if status == 404 else "invalid_request")
    assert (answer.value("allow") is None) == (status != 405)
    check_that_it_is_usable(client)


@pytest.mark.parametrize("code", CODES)
def test_middleware_outside_refuses_with_every_code(code: str, client: Client) -> None:
    answer = client.request("GET", "/fine", [("x-refuse", code)])
    assert (error_of(answer)["error"], answer.status) == (code, CODES[code]().code.status)
    check_that_it_is_usable(client)


def test_headers_that_cannot_be_sent_are_left_out_and_the_rest_arrives(client: Client) -> None:
    answer = client.request("GET", "/odd-headers")
    assert answer.status == 503
    body = error_of(answer)
    assert (body["error"], body["retry_after"]) == ("server_error", 5)
    assert answer.value("x-fine") == "yes"
    check_that_it_is_usable(client)


@pytest.mark.parametrize("path", ["/codes/not_found", "/codes/session_expired", "/nowhere"])
def test_head_has_no_body_and_the_connection_stays_usable(path: str, client: Client) -> None:
    head = client.request("HEAD", path)
    assert head.status in {401, 404}
    assert head.complete
    assert head.body + head.surplus == b""
    assert head.value("content-type") == "application/json"
    check_that_it_is_usable(client)


def test_head_of_a_route_that_takes_it_has_the_headers_of_get(client: Client) -> None:
    got, head = client.request("GET", "/codes/conflict"), client.request("HEAD", "/codes/conflict")
    assert [pair for pair in head.headers if pair[0] != "date"] == [
        pair for pair in got.headers if pair[0] != "date"
    ]


def test_a_body_over_the_limit_is_refused_and_the_connection_stays_in_order(
    client: Client,
) -> None:
    answer = client.request("POST", "/body", (), b"x" * (LIMIT + 1))
    assert (answer.status, error_of(answer)["error"]) == (413, "invalid_request")
    check_that_it_is_usable(client)


def test_a_body_within_the_limit_is_read(client: Client) -> None:
    answer = client.request("POST", "/body", (), b"x" * LIMIT)
    assert (answer.status, answer.body) == (200, str(LIMIT).encode())


UNEXPECTED: dict[str, tuple[str, Headers]] = {
    "in a route": ("/unexpected/{}", []),
    "in a mounted application": ("/mounted/unexpected/{}", []),
    "in middleware outside": ("/fine", [("x-fail", "{}")]),
}


@pytest.mark.parametrize("where", UNEXPECTED)
def test_what_nobody_expected_is_answered_without_details_and_logged_once(
    where: str, client: Client, server: Server, served: Served
) -> None:
    path, headers = UNEXPECTED[where]
    why = f"bug-{time.monotonic_ns()}"
    answer = client.request(
        "GET", path.format(why), [(key, value.format(why)) for key, value in headers]
    )
    assert answer.status == 500
    body = error_of(answer)
    assert body["error"] == "server_error"
    assert why not in answer.body.decode()
    assert until(lambda: why in served.log())
    with Http1(served.port) as other:
        check_that_it_is_usable(other)
    log = served.log()
    assert log.count(f"RuntimeError: {why}") == 1
    assert log.count(f"reference: {body['reference']}") == server.notes
    assert log.count(f" with 500 server_error, reference {body['reference']}: RuntimeError\n") == 1
    # The server has logged the traceback: there is none with the record.
    assert f"{body['reference']}: RuntimeError\nTraceback" not in log


def test_after_a_bug_the_server_keeps_the_connection_in_order_or_closes_it(
    client: Client, server: Server
) -> None:
    answer = client.request("GET", "/unexpected/kept")
    assert (answer.status, error_of(answer)["error"]) == (500, "server_error")
    if server.keeps:
        check_that_it_is_usable(client)
    else:
        assert client.rest() == b""


def test_what_is_the_clients_fault_is_not_logged(client: Client, served: Served) -> None:
    before = served.log()
    for code in set(CODES) - {"server_error"}:
        assert error_of(client.request("GET", f"/codes/{code}"))["error"] == code
        assert error_of(client.request("GET", f"/mounted/codes/{code}"))["error"] == code
    assert error_of(client.request("GET", "/nowhere"))["error"] == "not_found"
    check_that_it_is_usable(client)
    assert served.log() == before


@pytest.mark.parametrize("path", ["/codes/server_error", "/mounted/codes/server_error"])
def test_a_500_that_was_raised_on_purpose_is_logged_once_with_its_reference(
    path: str, client: Client, served: Served
) -> None:
    reference = error_of(client.request("GET", path))["reference"]
    check_that_it_is_usable(client)
    route = path.replace("server_error", "{code}")
    answered = f"Answered GET {route} with 500 server_error, reference {reference}: "
    before, record, after = served.log().partition(
        f"{answered}authpi_errors._exceptions.ServerError\n"
    )
    assert record
    assert reference not in before + after
    assert not after.startswith("Traceback")


def test_without_reraise_the_connection_stays_usable_and_the_library_logs(
    client: Client, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One that has not seen this exception yet. A server in a process of its own has such a one.
    monkeypatch.setattr("tests.served.quiet", application(reraise=False))
    first, second = (
        error_of(client.request("GET", "/quiet/unexpected/told"))["reference"] for _ in range(2)
    )
    check_that_it_is_usable(client)
    answered = "Answered GET /unexpected/{why} with 500 server_error, reference "
    log = served.log()
    assert log.count(f"{answered}{first}: RuntimeError\nTraceback (most recent call last):\n") == 1
    assert log.count(f"\nRuntimeError: told\nreference: {first}\n") == 1
    again = rf"{re.escape(answered + second)}: RuntimeError at \S+served\.py:\d+, again: 1 without"
    assert len(re.findall(again, log)) == 1
    # In the record and in the note on the exception; there, in the record alone.
    assert (log.count(first), log.count(second)) == (2, 1)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/refused", 403, "access_denied"),
        ("/broken-before", 500, "server_error"),
        ("/nowhere", 404, "not_found"),
    ],
    ids=["that the route refuses", "whose route fails", "that has no route"],
)
def test_a_websocket_is_denied(
    path: str, status: int, code: str, server: Server, served: Served
) -> None:
    denied = talk(served.port, path).denied
    assert denied is not None
    if server.denies:
        assert (denied.status, error_of(denied)["error"]) == (status, code)
    else:
        assert denied.status == 403


@pytest.mark.parametrize(
    ("path", "code", "reason"),
    [("/ended", 1008, "session_expired"), ("/broken-after", 1011, "server_error")],
    ids=["an error of ours", "a bug"],
)
def test_a_websocket_that_was_accepted_is_closed(
    path: str, code: int, reason: str, server: Server, served: Served
) -> None:
    result = talk(served.port, path)
    assert (result.denied, result.texts) == (None, ["hello"])
    # The server's own close, where it doesn't take the application's.
    assert (result.code, result.reason) == ((code, reason) if server.closes else (1011, ""))


@pytest.mark.parametrize("prefix", ["", "/quiet"], ids=["raised again", "not raised again"])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("POST", "/body", b"some"), ("GET", "/stream", b"")],
    ids=["while it sends the request", "while it gets the response"],
)
def test_a_client_that_leaves_is_no_error_of_ours(
    *,
    method: str,
    path: str,
    body: bytes,
    prefix: str,
    connect: Callable[[], Client],
    served: Served,
) -> None:
    before = served.log().count("Answered ")
    with connect() as client:
        client.part(method, prefix + path, body)
        time.sleep(0.05)
    with connect() as client:
        check_that_it_is_usable(client)
    assert served.log().count("Answered ") == before


# After this one daphne looks after no application any more.
def test_a_stream_that_breaks_is_seen_to_be_broken_and_nothing_is_added_to_it(
    connect: Callable[[], Client], served: Served
) -> None:
    before = served.log().count("RuntimeError: the stream broke")
    with connect() as client:
        answer = client.request("GET", "/breaking")
    assert (answer.status, answer.body, answer.surplus) == (200, b"12", b"")
    assert not answer.complete
    assert until(lambda: served.log().count("RuntimeError: the stream broke") == before + 1)


@pytest.mark.parametrize("http", ["h11", "httptools"])
@pytest.mark.parametrize(
    "sent",
    [b"no request at all\r\n\r\n", b"GET / HTTP/1.1\r\nhost: x\r\nbad name: x\r\n\r\n"],
    ids=["a malformed request line", "a malformed header"],
)
def test_what_uvicorn_answers_without_the_application_is_its_own(
    sent: bytes, http: Literal["h11", "httptools"]
) -> None:
    with (
        in_thread(uvicorn_with(http), both) as served,
        socket.create_connection(("127.0.0.1", served.port), 10) as connection,
    ):
        connection.sendall(sent)
        head, _, body = b"".join(iter(partial(connection.recv, 65536), b"")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"application/json" not in head
    assert body == b"Invalid HTTP request received."


def streaming(way: str, hook: Hook, middleware: list[Middleware]) -> Starlette:
    """An application that streams an error: Starlette cancels that once it is out."""

    async def stream(request: Request) -> Response:
        return StreamingResponse(iter(("Bad ", "gateway")), 502, media_type="text/plain")

    app = Starlette(routes=[Route("/", stream)], middleware=middleware)
    if way == "install":
        install(app, on_error=hook)
    else:
        app.add_middleware(ErrorMiddleware, on_error=hook)
    return app


@pytest.mark.parametrize("middleware", [[], [BASE]], ids=["alone", "in a task"])
@pytest.mark.parametrize("way", ["install", "add_middleware"])
def test_a_hook_is_told_of_an_error_that_is_streamed(
    way: str, middleware: list[Middleware]
) -> None:
    told: list[int] = []

    async def tell(record: ErrorRecord) -> None:
        await asyncio.sleep(0.05)
        told.append(record.status)

    def tell_in_thread(record: ErrorRecord) -> None:
        time.sleep(0.05)
        told.append(record.status)

    for hook in (tell, tell_in_thread):
        with (
            in_thread(uvicorn_with("h11"), streaming(way, hook, middleware)) as served,
            Http1(served.port) as client,
        ):
            assert error_of(client.request("GET", "/"))["error"] == "server_error"
    assert told == [502, 502]


@pytest.mark.parametrize("name", ["granian", "daphne"])
def test_a_server_that_does_not_start_says_why(name: str) -> None:
    with ExitStack() as stack, pytest.raises(RuntimeError, match=r"has no attribute|not have"):
        stack.enter_context(SERVERS[name].serve("tests.served:nothing"))
