"""The boundary in raw ASGI: what it sends, and what it leaves alone."""

import asyncio
import copy
import json
import logging
import re
from collections.abc import AsyncGenerator, Callable, Iterable, MutableMapping
from contextlib import ExitStack, asynccontextmanager, suppress
from functools import partial
from typing import Any, NamedTuple, Self, cast

import anyio
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketClose, WebSocketDisconnect

from authpi_errors import (
    AccessDeniedError,
    AuthPIError,
    ConflictError,
    ErrorCode,
    ErrorMiddleware,
    ErrorRecord,
    ErrorRegistry,
    ForeignResponse,
    NotFoundError,
    ServerError,
    install,
)
from authpi_errors._reporting import Hook
from authpi_errors._sending import drop
from tests import test_registry
from tests.passing import Around, pass_on

START: Message = {"type": "http.response.start", "status": 200, "headers": []}
BODY: Message = {"type": "http.response.body", "body": b"fine"}


def scope_of(kind: str = "http", **parts: Any) -> Scope:
    scope: Scope = {"type": kind, "path": "/", "headers": [], "extensions": {}}
    if kind == "http":
        scope["method"] = "GET"
    return {**scope, **parts}


async def sent_by(app: ASGIApp, scope: Scope | None = None) -> list[Message]:
    """Run one connection that does not fail; give what was sent."""
    messages, failure = await outcome(app, scope)
    assert failure is None
    return messages


async def outcome(
    app: ASGIApp, scope: Scope | None = None
) -> tuple[list[Message], BaseException | None]:
    messages: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        messages.append(message)

    try:
        await app(scope or scope_of(), receive, send)
    except BaseException as exc:
        return messages, exc
    return messages, None


def raising(exc: BaseException, *before: Message) -> ASGIApp:
    """An application that sends some messages and then raises."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in before:
            await send(message)
        raise exc

    return app


def body_of(messages: Iterable[Message]) -> dict[str, Any]:
    """Read the one body among messages."""
    (body,) = (message["body"] for message in messages if "body" in message)
    document: dict[str, Any] = json.loads(body)
    return document


def body_of_bytes(messages: Iterable[Message]) -> bytes:
    return b"".join(message.get("body", b"") for message in messages)


def kinds(messages: Iterable[Message]) -> list[str]:
    return [message["type"] for message in messages]


PLAIN_500 = (
    {
        "type": "http.response.start",
        "status": 500,
        "headers": [(b"content-type", b"text/plain; charset=utf-8")],
    },
    {"type": "http.response.body", "body": b"Internal Server Error"},
)


async def test_an_expected_error_is_answered_and_goes_no_further() -> None:
    start, body = await sent_by(ErrorMiddleware(raising(NotFoundError())))
    assert start["status"] == 404
    assert b'"not_found"' in body["body"]


async def test_an_unexpected_exception_is_answered_and_raised_again() -> None:
    cause = RuntimeError("secret")
    messages, failure = await outcome(ErrorMiddleware(raising(cause)))
    assert failure is cause
    assert [messages[0]["status"], b"secret" in messages[1]["body"]] == [500, False]


async def test_the_same_objects_pass_when_all_goes_well() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(BODY)

    start, body = await sent_by(ErrorMiddleware(app))
    assert start is START
    assert body is BODY


async def test_lifespan_passes_through_as_it_is() -> None:
    seen: list[object] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend([scope, receive, send])

    async def receive() -> Message: ...  # type: ignore[empty-body]

    async def send(message: Message) -> None: ...

    scope = {"type": "lifespan"}
    await ErrorMiddleware(app)(scope, receive, send)
    assert seen == [scope, receive, send]


async def test_an_error_in_lifespan_is_not_answered() -> None:
    cause = RuntimeError("no database")
    messages, failure = await outcome(ErrorMiddleware(raising(cause)), {"type": "lifespan"})
    assert (messages, failure) == ([], cause)


@pytest.mark.parametrize("error", [NotFoundError(), RuntimeError()], ids=["expected", "unexpected"])
async def test_once_the_response_has_started_nothing_more_is_sent(error: Exception) -> None:
    messages, failure = await outcome(ErrorMiddleware(raising(error, START)))
    assert (messages, failure) == ([START], error)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit()], ids=["interrupt", "exit"])
async def test_what_ends_the_process_passes_once_the_client_has_its_answer(
    error: BaseException,
) -> None:
    messages, failure = await outcome(ErrorMiddleware(raising(error)))
    assert [message.get("status") for message in messages] == [500, None]
    assert failure is error


async def test_a_client_that_has_gone_is_not_answered() -> None:
    assert await sent_by(ErrorMiddleware(raising(ClientDisconnect()))) == []


async def test_middleware_further_out_learns_that_the_client_has_gone() -> None:
    learned: list[Exception] = []

    class Learning(Passing):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await self.app(scope, receive, send)
            except ClientDisconnect as exc:
                learned.append(exc)
                raise

    gone = ClientDisconnect()
    app = ErrorMiddleware(Learning(ErrorMiddleware(raising(gone))))
    assert await sent_by(app) == []
    assert learned == [gone]


async def test_a_plain_500_gives_way_to_the_exception_behind_it() -> None:
    messages = await sent_by(ErrorMiddleware(raising(NotFoundError(), *PLAIN_500)))
    assert [message.get("status") for message in messages] == [404, None]


def sending(*messages: Message) -> ASGIApp:
    """An application that sends some messages."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return app


async def test_a_plain_500_without_an_exception_is_rewritten_in_the_end() -> None:
    start, body = await sent_by(ErrorMiddleware(sending(*PLAIN_500)))
    assert start["status"] == 500
    assert json.loads(body["body"])["error"] == "server_error"


async def test_what_starlette_raises_after_a_plain_500_stands_for_its_cause() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await sending(*PLAIN_500)(scope, receive, send)
        late = "Caught handled exception, but response already started."
        raise RuntimeError(late) from NotFoundError()

    start, _ = await sent_by(ErrorMiddleware(app))
    assert start["status"] == 404


async def test_another_exception_after_a_plain_500_stands_for_itself() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await sending(*PLAIN_500)(scope, receive, send)
        raise RuntimeError("a bug") from NotFoundError()

    messages, failure = await outcome(ErrorMiddleware(app))
    assert messages[0]["status"] == 500
    assert isinstance(failure, RuntimeError)


async def test_a_500_of_another_kind_is_not_held_back() -> None:
    start: Message = {
        "type": "http.response.start",
        "status": 500,
        "headers": iter([(b"Content-Type", b"text/html")]),
    }
    cause = NotFoundError()
    messages, failure = await outcome(ErrorMiddleware(raising(cause, start)))
    assert failure is cause
    assert messages[0]["headers"] == [(b"Content-Type", b"text/html")]


async def test_a_long_plain_500_is_not_held_back_for_ever() -> None:
    more = [{"type": "http.response.body", "body": b"x" * 1024, "more_body": True}] * 65
    cause = NotFoundError()
    messages, failure = await outcome(ErrorMiddleware(raising(cause, PLAIN_500[0], *more)))
    assert (len(messages), failure) == (66, cause)


async def test_a_plain_500_of_empty_pieces_is_not_held_back_for_ever() -> None:
    more = [{"type": "http.response.body", "more_body": True}] * 1100
    cause = NotFoundError()
    messages, failure = await outcome(ErrorMiddleware(raising(cause, PLAIN_500[0], *more)))
    assert (len(messages), failure) == (1101, cause)


async def test_informational_messages_do_not_start_the_response() -> None:
    hint: Message = {"type": "http.response.early_hint", "links": []}
    messages = await sent_by(ErrorMiddleware(raising(NotFoundError(), hint)))
    assert kinds(messages) == [hint["type"], "http.response.start", "http.response.body"]


async def test_what_could_not_be_sent_is_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    error = NotFoundError(extra={"secret": object()})
    with caplog.at_level(logging.WARNING, "authpi_errors"):
        await sent_by(ErrorMiddleware(raising(error)))
    assert caplog.messages == ["Left out of not_found: extra 'secret'"]


@pytest.mark.parametrize(
    ("app", "status"),
    [
        pytest.param(raising(NotFoundError(extra={"secret": object()})), 404, id="left out"),
        pytest.param(sending(*PLAIN_500), 500, id="a function that fails"),
        pytest.param(sending(), 500, id="no response"),
    ],
)
async def test_a_filter_of_the_log_that_fails_changes_nothing(
    app: ASGIApp, status: int, log_that_fails: None
) -> None:
    start, _ = await sent_by(ErrorMiddleware(app, rewrite=lambda _: bool(1 / 0)))
    assert start["status"] == status


async def test_a_server_error_that_is_raised_on_purpose_is_in_the_log_without_a_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    error = ServerError(status=503, retry_after=5)
    with caplog.at_level(logging.DEBUG, "authpi_errors"):
        messages = await sent_by(ErrorMiddleware(raising(error)))
    (record,) = caplog.records
    reference = body_of(messages)["reference"]
    assert record.getMessage() == (
        f"Answered GET with 503 server_error, reference {reference}: "
        "authpi_errors._exceptions.ServerError"
    )
    assert (record.levelno, record.exc_info) == (logging.ERROR, None)
    assert (vars(record)["reference"], error.__notes__) == (reference, [f"reference: {reference}"])


async def test_the_traceback_of_what_is_raised_again_is_left_for_the_server_to_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cause = RuntimeError("secret")
    with caplog.at_level(logging.DEBUG, "authpi_errors"):
        messages, failure = await outcome(ErrorMiddleware(raising(cause)))
    (record,) = caplog.records
    reference = body_of(messages)["reference"]
    assert record.getMessage() == (
        f"Answered GET with 500 server_error, reference {reference}: RuntimeError"
    )
    assert (record.levelno, record.exc_info) == (logging.ERROR, None)
    assert failure is cause
    assert (vars(record)["reference"], cause.__notes__) == (reference, [f"reference: {reference}"])


async def test_the_traceback_of_what_is_not_raised_again_is_logged_with_its_reference(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cause = RuntimeError("secret")
    with caplog.at_level(logging.DEBUG, "authpi_errors"):
        messages = await sent_by(ErrorMiddleware(raising(cause), reraise=False))
    (record,) = caplog.records
    reference = body_of(messages)["reference"]
    assert record.getMessage() == (
        f"Answered GET with 500 server_error, reference {reference}: RuntimeError"
    )
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert record.exc_info[1] is cause
    assert (vars(record)["reference"], cause.__notes__) == (reference, [f"reference: {reference}"])


async def test_an_error_of_the_clients_is_information_without_a_reference(
    caplog: pytest.LogCaptureFixture,
) -> None:
    error = NotFoundError()
    with caplog.at_level(logging.INFO, "authpi_errors"):
        messages = await sent_by(ErrorMiddleware(raising(error)))
    (record,) = caplog.records
    assert record.getMessage() == (
        "Answered GET with 404 not_found: authpi_errors._exceptions.NotFoundError"
    )
    assert (record.levelno, record.exc_info) == (logging.INFO, None)
    assert vars(record)["reference"] is None
    assert "reference" not in body_of(messages)
    assert not hasattr(error, "__notes__")


async def test_an_exception_that_takes_no_notes_is_answered_all_the_same() -> None:
    class StubbornError(Exception):
        def add_note(self, note: str, /) -> None:
            raise TypeError

    messages, failure = await outcome(ErrorMiddleware(raising(StubbornError())))
    assert isinstance(failure, StubbornError)
    assert messages[0]["status"] == 500


async def test_headers_are_fresh_for_each_response() -> None:
    app = ErrorMiddleware(raising(NotFoundError()))
    first = (await sent_by(app))[0]["headers"]
    first.append((b"x-added-outside", b"1"))
    second = (await sent_by(app))[0]["headers"]
    assert (b"x-added-outside", b"1") not in second


async def test_an_exception_group_of_expected_errors_is_answered_by_the_first() -> None:
    group = ExceptionGroup("tasks", [AccessDeniedError(), NotFoundError()])
    start, _ = await sent_by(ErrorMiddleware(raising(group)))
    assert start["status"] == 403


DENIAL: dict[str, Any] = {"websocket.http.response": {}}


async def test_a_websocket_is_denied_with_the_http_response_where_the_server_can() -> None:
    messages = await sent_by(
        ErrorMiddleware(raising(AccessDeniedError())), scope_of("websocket", extensions=DENIAL)
    )
    assert kinds(messages) == ["websocket.http.response.start", "websocket.http.response.body"]
    assert messages[0]["status"] == 403


@pytest.mark.parametrize("extensions", [{}, None], ids=["without it", "without any"])
async def test_a_websocket_is_closed_where_the_server_can_do_no_more(extensions: object) -> None:
    messages = await sent_by(
        ErrorMiddleware(raising(AccessDeniedError())),
        scope_of("websocket", extensions=extensions),
    )
    assert messages == [{"type": "websocket.close", "code": 1008, "reason": "access_denied"}]


async def test_an_accepted_websocket_is_closed() -> None:
    accept = {"type": "websocket.accept"}
    said = {"type": "websocket.send", "text": "hello"}
    messages, failure = await outcome(
        ErrorMiddleware(raising(RuntimeError(), accept, said)),
        scope_of("websocket", extensions=DENIAL),
    )
    assert isinstance(failure, RuntimeError)
    assert messages[2:] == [{"type": "websocket.close", "code": 1011, "reason": "server_error"}]


CLOSE: Message = {"type": "websocket.close", "code": 1000}


async def test_a_websocket_that_is_closed_gets_no_other_answer() -> None:
    error = NotFoundError()
    messages, failure = await outcome(ErrorMiddleware(raising(error, CLOSE)), scope_of("websocket"))
    assert messages == [{"type": "websocket.close", "code": 1008, "reason": "access_denied"}]
    assert failure is error


async def test_a_websocket_that_is_denied_gets_no_other_answer() -> None:
    error = RuntimeError()
    start: Message = {"type": "websocket.http.response.start", "status": 302, "headers": []}
    messages, failure = await outcome(
        ErrorMiddleware(raising(error, start)), scope_of("websocket", extensions=DENIAL)
    )
    assert (kinds(messages), failure) == ([start["type"]], error)


@pytest.mark.parametrize(("code", "status"), [(1000, 403), (1008, 403), (1011, 500), (1013, 503)])
async def test_a_websocket_that_is_closed_before_it_is_accepted_is_denied(
    code: int, status: int
) -> None:
    close = {"type": "websocket.close", "code": code, "reason": "Not today."}
    messages = await sent_by(
        ErrorMiddleware(sending(close, CLOSE)), scope_of("websocket", extensions=DENIAL)
    )
    assert kinds(messages) == ["websocket.http.response.start", "websocket.http.response.body"]
    assert messages[0]["status"] == status
    assert json.loads(messages[1]["body"])["error_description"] == "Not today."


def hiding(app: ASGIApp) -> ASGIApp:
    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)

    return call


@pytest.mark.parametrize("framework", [Starlette, FastAPI])
@pytest.mark.parametrize(
    ("path", "status"),
    [
        pytest.param("/routed/1008", 403, id="route"),
        pytest.param("/routed/1013", 503, id="route, for a while"),
        pytest.param("/routed/1000", 403, id="route, without a code"),
        pytest.param("/mounted/1008", 403, id="mounted application"),
        pytest.param("/mounted/1013", 503, id="mounted application, for a while"),
        pytest.param("/mounted/1000", 403, id="mounted application, without a code"),
        pytest.param("/routes/1000", 403, id="route in a mount"),
        pytest.param("/behind/1000", 403, id="route in an application behind middleware"),
        pytest.param("/behind/", 404, id="no route in an application behind middleware"),
        pytest.param("/hidden/1000", 403, id="route in an application that is hidden"),
        pytest.param("/hidden/", 404, id="no route in an application that is hidden"),
        pytest.param("/routes/", 404, id="no route in a mount"),
        pytest.param("/", 404, id="no route"),
    ],
)
async def test_a_websocket_is_not_found_where_no_route_takes_it(
    path: str, status: int, framework: type[Starlette]
) -> None:
    async def close(scope: Scope, receive: Receive, send: Send) -> None:
        await WebSocketClose(int(scope["path"][-4:]))(scope, receive, send)

    async def close_routed(websocket: WebSocket) -> None:
        await websocket.close(websocket.path_params["code"])

    routed = WebSocketRoute("/{code:int}", close_routed)
    app = framework(
        routes=[
            WebSocketRoute("/routed/{code:int}", close_routed),
            Mount("/mounted", close),
            Mount("/routes", routes=[routed]),
            Mount("/behind", Around(framework(routes=[routed]))),
            Mount("/hidden", hiding(framework(routes=[routed]))),
        ]
    )
    scope = scope_of("websocket", path=path, extensions=DENIAL)
    start, _ = await sent_by(ErrorMiddleware(app), scope)
    assert start["status"] == status


async def test_a_denial_in_plain_text_is_rewritten() -> None:
    start: Message = {"type": "websocket.http.response.start", "status": 400}
    body = {"type": "websocket.http.response.body"}
    messages = await sent_by(
        ErrorMiddleware(sending(start, body)), scope_of("websocket", extensions=DENIAL)
    )
    assert kinds(messages) == [start["type"], body["type"]]
    assert json.loads(messages[1]["body"])["error"] == "invalid_request"


async def test_a_denial_that_the_server_can_not_send_becomes_a_close() -> None:
    start: Message = {"type": "websocket.http.response.start", "status": 400, "headers": []}
    body = {"type": "websocket.http.response.body", "body": b"no"}
    messages = await sent_by(ErrorMiddleware(sending(start, body)), scope_of("websocket"))
    assert messages == [{"type": "websocket.close", "code": 1008, "reason": "invalid_request"}]


@pytest.mark.parametrize("accepted", [True, False], ids=["accepted", "before it is accepted"])
async def test_a_websocket_client_that_has_gone_is_not_answered(accepted: bool) -> None:
    before: list[Message] = [{"type": "websocket.accept"}] if accepted else []
    app = ErrorMiddleware(raising(WebSocketDisconnect(1001), *before))
    assert await sent_by(app, scope_of("websocket")) == before


async def refuse(websocket: WebSocket) -> None:
    raise HTTPException(403, "Not you.")


async def refuse_late(websocket: WebSocket) -> None:
    await websocket.accept()
    raise HTTPException(403, "Not you.")


async def refuse_later(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.close()
    raise HTTPException(403, "Not you.")


def websocket_application() -> Starlette:
    return Starlette(
        routes=[
            WebSocketRoute("/refuse", refuse),
            WebSocketRoute("/late", refuse_late),
            WebSocketRoute("/later", refuse_later),
        ]
    )


@pytest.mark.parametrize("place", ["inside", "outside"])
@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/refuse", ["websocket.http.response.start", "websocket.http.response.body"]),
        ("/late", ["websocket.accept", "websocket.close"]),
        ("/later", ["websocket.accept", "websocket.close"]),
    ],
)
async def test_an_http_exception_in_a_websocket_does_not_break_the_protocol(
    path: str, sent: list[str], place: str
) -> None:
    app = websocket_application()
    ours: ASGIApp = app
    if place == "inside":
        app.add_middleware(ErrorMiddleware)
    else:
        ours = ErrorMiddleware(app)
    messages, _ = await outcome(ours, scope_of("websocket", path=path, extensions=DENIAL))
    assert kinds(messages) == sent


class Passing:
    """Middleware that keeps what is below it under the usual name."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


class Hiding:
    """Middleware that shows nobody what is below it."""

    def __init__(self, app: ASGIApp) -> None:
        self._below = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._below(scope, receive, send)


async def fail(request: Request) -> Response:
    raise HTTPException(409, "Taken.")


async def crash(request: Request) -> Response:
    return Response(status_code=1 // 0)


def application() -> Starlette:
    return Starlette(routes=[Route("/", fail)])


async def test_the_application_is_found_below_other_middleware() -> None:
    app = ErrorMiddleware(Passing(Passing(application())))
    _, body = await sent_by(app)
    assert b'"conflict"' in body["body"]


async def test_the_handlers_are_found_below_other_middleware() -> None:
    app = application()
    app.add_middleware(Passing)
    app.add_middleware(ErrorMiddleware)
    _, body = await sent_by(app)
    assert b'"conflict"' in body["body"]


def crashing(app: Starlette, **options: Any) -> Starlette:
    """An application with a bug behind `/`, and ours as its outermost middleware."""
    app.add_route("/", crash)
    app.add_middleware(ErrorMiddleware, make_reference=lambda _: "r", **options)
    return app


async def handle_all(request: Request, exc: Exception) -> Response:
    return PlainTextResponse("own", 500)


def behind(middleware: Callable[[ASGIApp], ASGIApp], app: Starlette) -> Starlette:
    app.add_middleware(middleware)
    return app


@pytest.mark.parametrize(
    ("app", "has_less"),
    [
        (crashing(Starlette()), True),
        (crashing(FastAPI()), True),
        (crashing(Starlette(), reraise=False), True),
        (crashing(FastAPI(max_body_size=10)), False),
        (crashing(Starlette(), ignore=(LookupError,)), False),
        (crashing(Starlette(), ignore=(ZeroDivisionError,)), False),
        (crashing(Starlette(exception_handlers={Exception: handle_all})), False),
        (crashing(Starlette(debug=True)), False),
        (behind(Passing, crashing(Starlette())), False),
    ],
    ids=[
        "Starlette",
        "FastAPI",
        "not raised again",
        "a limit of bodies",
        "something is ignored",
        "the bug is ignored",
        "a handler of the user's",
        "the debugger",
        "middleware outside",
    ],
)
async def test_starlettes_outermost_middleware_is_left_out_where_nothing_is_left_for_it(
    app: Starlette, has_less: bool
) -> None:
    html = scope_of(headers=[(b"accept", b"text/html")])
    outcomes = [await outcome(app, dict(html)) for _ in range(3)]
    # A page of the debugger shows who has called, which is another at first.
    gists = [
        (start["status"], body["body"][:100], type(failure)) for (start, body), failure in outcomes
    ]
    assert gists == gists[:1] * 3
    assert isinstance(app.middleware_stack, ServerErrorMiddleware) is not has_less


class Watching(ServerErrorMiddleware):
    """An outermost middleware that does more than Starlette's."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["seen"] += 1
        await super().__call__(scope, receive, send)


class WatchedStarlette(Starlette):
    """An application with an outermost middleware of its own."""

    def build_middleware_stack(self) -> ASGIApp:
        stack = super().build_middleware_stack()
        assert isinstance(stack, ServerErrorMiddleware)
        return Watching(stack.app)


def add(app: Starlette) -> None:
    app.add_middleware(ErrorMiddleware)


@pytest.mark.parametrize("cover", [install, add])
async def test_an_outermost_middleware_of_the_users_stays(cover: Callable[..., None]) -> None:
    app = WatchedStarlette(routes=[Route("/", fail)])
    cover(app)
    state = {"seen": 0}
    for _ in range(3):
        await sent_by(app, scope_of(state=state))
    assert state == {"seen": 3}


async def test_an_application_that_has_served_already_can_be_wrapped() -> None:
    app = application()
    await sent_by(app)
    _, body = await sent_by(ErrorMiddleware(app))
    assert b'"conflict"' in body["body"]


async def test_what_the_handlers_of_a_hidden_application_answer_is_rewritten() -> None:
    _, body = await sent_by(ErrorMiddleware(Hiding(application())))
    assert json.loads(body["body"])["error_description"] == "Taken."


async def test_what_exception_handling_outside_of_an_application_answers_is_rewritten() -> None:
    app = ErrorMiddleware(ExceptionMiddleware(raising(HTTPException(409, "Taken."))))
    _, body = await sent_by(app)
    assert json.loads(body["body"])["error_description"] == "Taken."


async def test_an_application_that_can_not_be_built_is_answered_for_each_time() -> None:
    def refuse(app: ASGIApp) -> ASGIApp:
        raise ValueError("not configured")

    app = ErrorMiddleware(Starlette(middleware=[Middleware(refuse)]))
    for _ in range(2):
        messages, failure = await outcome(app)
        assert body_of(messages)["error"] == "server_error"
        assert isinstance(failure, ValueError)


async def test_an_endless_chain_of_middleware_does_not_hold_up_the_request() -> None:
    async def respond(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("fine")(scope, receive, send)

    circle = Passing(respond)
    vars(respond)["app"] = circle
    _, body = await sent_by(ErrorMiddleware(circle))
    assert body["body"] == b"fine"


async def test_the_registry_decides_what_an_exception_means() -> None:
    registry = ErrorRegistry(exceptions={LookupError: "not_found"})
    start, _ = await sent_by(ErrorMiddleware(raising(KeyError()), registry=registry))
    assert start["status"] == 404


def test_by_default_the_codes_are_authpis_alone() -> None:
    assert not ErrorMiddleware(raising(KeyError())).registry.exceptions


async def test_a_connection_that_breaks_while_it_is_answered_shows_both_failures() -> None:
    async def receive() -> Message: ...  # type: ignore[empty-body]

    async def send(message: MutableMapping[str, Any]) -> None:
        raise OSError("gone")

    cause = NotFoundError()
    with pytest.raises(OSError, match="gone") as caught:
        await ErrorMiddleware(raising(cause))(scope_of(), receive, send)
    assert caught.value.__context__ is cause


TEAPOT: tuple[Message, ...] = (
    {"type": "http.response.start", "status": 418, "headers": [(b"content-type", b"text/html")]},
    {"type": "http.response.body", "body": b"<h1>short</h1>"},
)


async def test_a_function_can_have_any_error_response_rewritten() -> None:
    seen: list[ForeignResponse] = []

    def rewrite(response: ForeignResponse) -> bool:
        seen.append(response)
        return True

    start, body = await sent_by(ErrorMiddleware(sending(*TEAPOT), rewrite=rewrite))
    (response,) = seen
    assert (response.status, response.body, response.is_foreign) == (418, b"<h1>short</h1>", False)
    assert response.headers["content-type"] == "text/html"
    assert (start["status"], json.loads(body["body"])["error"]) == (418, "invalid_request")


async def test_a_function_can_keep_any_error_response() -> None:
    messages = await sent_by(ErrorMiddleware(sending(*PLAIN_500), rewrite=lambda _: False))
    assert messages == list(PLAIN_500)


class Breaker:
    """Middleware that answers what it knows in plain text."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.app(scope, receive, send)
        except ConnectionError:
            response = PlainTextResponse("away", 500, headers={"Retry-After": "9"})
            await response(scope, receive, send)


async def test_a_function_is_asked_about_a_500_that_answers_an_exception() -> None:
    async def fail(request: Request) -> Response:
        raise ConnectionError

    def application() -> Starlette:
        return Starlette(routes=[Route("/", fail)], middleware=[Middleware(Breaker)])

    asked: list[bytes] = []

    def rewrite(response: ForeignResponse) -> bool:
        asked.append(response.body)
        return False

    for _ in range(2):
        messages = await sent_by(ErrorMiddleware(application(), rewrite=rewrite))
        assert body_of_bytes(messages) == b"away"
    assert asked == [b"away"] * 2
    messages = await sent_by(ErrorMiddleware(application()))
    assert body_of(messages)["error"] == "server_error"
    assert body_of(messages)["retry_after"] == 9


async def test_what_a_task_in_the_background_raises_is_no_cause_of_a_500_before_it() -> None:
    async def fail(request: Request) -> Response:
        task = BackgroundTask(partial(ask, NotFoundError()))
        return PlainTextResponse("It failed.", 500, background=task)

    async def ask(error: Exception) -> None:
        raise error

    app = Starlette(routes=[Route("/", fail)])
    install(app)
    messages, _ = await outcome(app)
    assert (messages[0]["status"], body_of(messages)["error"]) == (500, "server_error")


async def test_a_function_that_fails_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def rewrite(response: ForeignResponse) -> bool:
        raise ZeroDivisionError

    app = ErrorMiddleware(sending(*PLAIN_500), rewrite=rewrite)
    with caplog.at_level(logging.ERROR, "authpi_errors"):
        for _ in range(2):
            assert body_of(await sent_by(app))["error"] == "server_error"
    failure = "The function given for `rewrite` failed: ZeroDivisionError"
    first, second = (record for record in caplog.records if "rewrite" in record.getMessage())
    assert (first.getMessage(), first.exc_info is None) == (failure, False)
    assert second.getMessage().startswith(f"{failure} at {__file__}:")
    assert second.exc_info is None


@pytest.mark.parametrize("media_type", [b"text/event-stream", b"Text/Event-Stream;charset=utf-8"])
async def test_an_event_stream_is_not_held_back_for_a_function(media_type: bytes) -> None:
    start: Message = {
        "type": "http.response.start",
        "status": 503,
        "headers": [(b"content-type", media_type)],
    }
    app = ErrorMiddleware(raising(RuntimeError(), start), rewrite=lambda _: True)
    messages, _ = await outcome(app)
    assert messages == [start]


@pytest.mark.parametrize("error", [LookupError(), NotFoundError(), SystemExit()])
async def test_what_is_ignored_passes_unanswered(error: BaseException) -> None:
    app = ErrorMiddleware(
        raising(error, *PLAIN_500), ignore=(LookupError, NotFoundError, SystemExit)
    )
    assert await outcome(app) == (list(PLAIN_500), error)


def tell() -> None:
    """Tell, and ask for nothing."""


async def ask(about: object) -> None:
    """Take time to answer."""


@pytest.mark.parametrize("app", [None, "app", 5])
def test_what_is_no_application_is_refused(app: Any) -> None:
    with pytest.raises(ValueError, match="use an ASGI application"):
        ErrorMiddleware(app)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(partial(install, Starlette()), id="install"),
        pytest.param(partial(ErrorMiddleware, sending()), id="ErrorMiddleware"),
    ],
)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        *(
            ({"ignore": ignore}, f"ignore is {ignore!r}: use a tuple of exception types.")
            for ignore in (LookupError, (5,), [LookupError], (LookupError, int))
        ),
        *(
            ({name: "x.y"}, f"{name} is 'x.y': use a function, or a callable object.")
            for name in ("rewrite", "on_error", "make_reference")
        ),
        *(
            (
                {name: tell},
                (
                    f"{name} is {tell!r}, which can't be called with one argument: use a function "
                    "that takes one."
                ),
            )
            for name in ("rewrite", "on_error", "make_reference")
        ),
        *(
            ({name: ask}, f"{name} is {ask!r}, which is asynchronous: use a plain function.")
            for name in ("rewrite", "make_reference")
        ),
        *(
            ({name: value}, f"{name} is {value!r}: use True or False.")
            for name in ("reraise", "always_refer")
            for value in ("no", 1, None)
        ),
        *(
            ({"registry": registry}, f"The registry is {registry!r}: use an ErrorRegistry.")
            for registry in ("x", 5, ErrorRegistry)
        ),
    ],
    ids=lambda given: "" if isinstance(given, str) else next(iter(given)),
)
def test_an_option_that_would_fail_later_is_refused_when_the_application_is_built(
    options: dict[str, Any], message: str, make: Callable[..., object]
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make(**options)


@pytest.mark.parametrize("status", [-1, 0, 99, 100, 199, 600, 999])
async def test_a_status_that_servers_fail_on_becomes_a_500(status: int) -> None:
    start: Message = {"type": "http.response.start", "status": status, "headers": []}
    messages = await sent_by(ErrorMiddleware(sending(start, BODY)))
    assert [message.get("status") for message in messages] == [500, None]


async def test_an_application_that_ends_without_a_response_is_answered_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR, "authpi_errors"):
        start, _ = await sent_by(ErrorMiddleware(sending()))
    assert start["status"] == 500
    assert caplog.messages[0] == "The application has ended without a response"


@pytest.mark.parametrize("extensions", [{}, DENIAL])
async def test_a_websocket_that_is_neither_accepted_nor_closed_is_answered_for(
    extensions: object,
) -> None:
    scope = scope_of("websocket", extensions=extensions)
    messages = await sent_by(ErrorMiddleware(sending()), scope)
    if extensions:
        assert messages[0]["status"] == 500
    else:
        assert messages == [{"type": "websocket.close", "code": 1011, "reason": "server_error"}]


@pytest.mark.parametrize(
    ("sent", "code", "reason"),
    [
        pytest.param({}, None, None, id="as-it-is"),
        pytest.param({"code": 4009, "reason": "mine"}, 4009, "mine", id="own"),
        pytest.param({"code": 1008, "reason": "ä" * 62}, 1008, "ä" * 61, id="long"),
        pytest.param({"code": 403, "reason": "mine"}, 1008, "mine", id="status"),
        pytest.param({"code": 1005}, 1008, "", id="reserved"),
        pytest.param({"code": 1014}, 1014, None, id="the last that is known"),
        pytest.param({"code": 1015}, 1008, "", id="the next"),
        pytest.param({"code": 2999}, 1008, "", id="before those of applications"),
        pytest.param({"code": 3000}, 3000, None, id="the first of them"),
        pytest.param({"code": 4999}, 4999, None, id="the last of them"),
        pytest.param({"code": 5000}, 1008, "", id="beyond them"),
        pytest.param({"code": None, "reason": "\ud800"}, 1008, "?", id="odd"),
    ],
)
async def test_a_websocket_is_closed_as_servers_can(
    sent: Message, code: int | None, reason: str | None
) -> None:
    accept: Message = {"type": "websocket.accept"}
    app = ErrorMiddleware(sending(accept, {"type": "websocket.close", **sent}))
    _, close = await sent_by(app, scope_of("websocket"))
    assert (close.get("code"), close.get("reason")) == (code, reason)


async def test_an_error_response_that_ends_early_is_let_go_as_it_is() -> None:
    assert await sent_by(ErrorMiddleware(sending(PLAIN_500[0]))) == [PLAIN_500[0]]


async def test_what_comes_with_a_rewritten_body_goes_with_it() -> None:
    trailers: Message = {"type": "http.response.trailers", "headers": []}
    start: Message = {**PLAIN_500[0], "status": 404}
    messages = await sent_by(ErrorMiddleware(sending(start, trailers, PLAIN_500[1], trailers)))
    assert kinds(messages) == ["http.response.start", "http.response.body"]


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_a_cancellation_of_another_loop_is_not_answered() -> None:
    messages, failure = await outcome(ErrorMiddleware(raising(asyncio.CancelledError())))
    assert messages == []
    assert isinstance(failure, asyncio.CancelledError)


async def test_a_message_that_nobody_knows_is_no_answer_to_a_websocket() -> None:
    unknown = {"type": "websocket.unknown"}
    messages = await sent_by(
        ErrorMiddleware(raising(AccessDeniedError(), unknown)), scope_of("websocket")
    )
    assert kinds(messages) == ["websocket.unknown", "websocket.close"]


async def test_a_denial_that_ends_early_is_let_go_as_it_is() -> None:
    start: Message = {"type": "websocket.http.response.start", "status": 403, "headers": []}
    messages = await sent_by(
        ErrorMiddleware(sending(start)), scope_of("websocket", extensions=DENIAL)
    )
    assert messages == [start]


async def test_a_crash_that_is_hushed_up_is_a_server_error() -> None:
    class Hushing(Passing):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            with suppress(HTTPException, ZeroDivisionError):
                await self.app(scope, receive, send)

    app = Hushing(Starlette(routes=[Route("/", crash)]))
    start, body = await sent_by(ErrorMiddleware(app))
    assert (start["status"], json.loads(body["body"])["error"]) == (500, "server_error")


async def test_what_a_handler_of_any_kind_answers_is_the_users() -> None:
    async def handle(text: str, request: Request, exc: Exception) -> Response:
        return PlainTextResponse(text, 409)

    app = application()
    app.add_exception_handler(HTTPException, partial(handle, "Mine."))
    _, body = await sent_by(ErrorMiddleware(app))
    assert body["body"] == b"Mine."


@pytest.mark.parametrize("place", ["install", "add_middleware", "wrapping"])
async def test_a_plain_500_of_the_users_own_handler_is_the_users(place: str) -> None:
    async def handle(request: Request, exc: Exception) -> Response:
        return PlainTextResponse("Mine.", 500)

    app = application()
    app.add_exception_handler(HTTPException, handle)
    ours: ASGIApp = app
    if place == "install":
        install(app)
    elif place == "add_middleware":
        app.add_middleware(ErrorMiddleware)
    else:
        ours = ErrorMiddleware(app)
    _, body = await sent_by(ours)
    assert body["body"] == b"Mine."


@pytest.mark.parametrize("place", ["install", "add_middleware"])
async def test_what_ends_the_process_is_answered_past_the_users_handler(place: str) -> None:
    async def handle(request: Request, exc: Exception) -> None: ...

    async def leave(request: Request) -> Response:
        raise SystemExit

    app = Starlette(routes=[Route("/", leave)], exception_handlers={Exception: cast(Any, handle)})
    if place == "install":
        install(app)
    else:
        app.add_middleware(ErrorMiddleware)
    messages, failure = await outcome(app)
    assert [message.get("status") for message in messages] == [500, None]
    assert isinstance(failure, SystemExit)


class Story:
    """What happened around an error, in its order."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.records: list[ErrorRecord] = []

    def tell(self, record: ErrorRecord) -> None:
        self.records.append(record)
        self.events.append("told")

    async def tell_later(self, record: ErrorRecord) -> None:
        await anyio.lowlevel.checkpoint()
        self.tell(record)

    async def of(self, app: ASGIApp, scope: Scope | None = None) -> list[Message]:
        """Serve one connection, and give what was sent."""
        messages: list[Message] = []

        async def receive() -> Message:
            return {"type": "websocket.connect"}

        async def send(message: Message) -> None:
            messages.append(message)
            self.events.append("sent")

        try:
            await app(scope or scope_of(), receive, send)
        except BaseException:
            self.events.append("raised")
        return messages


@pytest.fixture
def story() -> Story:
    return Story()


@pytest.fixture(params=["tell_later", "tell"], ids=["asynchronous", "synchronous"])
def hook(story: Story, request: pytest.FixtureRequest) -> Hook:
    function: Hook = getattr(story, request.param)
    return function


def failing_application() -> Starlette:
    """Make an application whose handlers answer, or do not."""
    routes = [
        Route("/", fail),
        Route("/crash", crash),
        WebSocketRoute("/late", refuse_late),
    ]
    return Starlette(routes=routes)


ACCEPT: Message = {"type": "websocket.accept"}


class Told(NamedTuple):
    """What a hook is told of an error, beside the reference and the exception's identity."""

    code: str
    status: int
    method: str
    route: str | None
    raised: type[BaseException] | None
    is_unexpected: bool


ERRORS = [
    pytest.param(
        raising(NotFoundError()),
        scope_of(),
        Told("not_found", 404, "GET", None, NotFoundError, is_unexpected=False),
        ["sent", "sent", "told"],
        id="an expected error",
    ),
    pytest.param(
        raising(NotFoundError()),
        scope_of(method="HEAD"),
        Told("not_found", 404, "HEAD", None, NotFoundError, is_unexpected=False),
        ["sent", "sent", "told"],
        id="an expected error of HEAD",
    ),
    pytest.param(
        raising(ServerError()),
        scope_of(),
        Told("server_error", 500, "GET", None, ServerError, is_unexpected=False),
        ["sent", "sent", "told"],
        id="a server error on purpose",
    ),
    pytest.param(
        raising(ValueError()),
        scope_of(),
        Told("server_error", 500, "GET", None, ValueError, is_unexpected=True),
        ["sent", "sent", "told", "raised"],
        id="a bug",
    ),
    pytest.param(
        raising(SystemExit()),
        scope_of(),
        Told("server_error", 500, "GET", None, SystemExit, is_unexpected=True),
        ["sent", "sent", "told", "raised"],
        id="what ends the process",
    ),
    pytest.param(
        raising(AccessDeniedError(), *PLAIN_500),
        scope_of(),
        Told("access_denied", 403, "GET", None, AccessDeniedError, is_unexpected=False),
        ["sent", "sent", "told"],
        id="an exception behind a plain 500",
    ),
    pytest.param(
        failing_application(),
        scope_of(),
        Told("conflict", 409, "GET", "/", HTTPException, is_unexpected=False),
        ["sent", "sent", "told"],
        id="what a handler answers",
    ),
    pytest.param(
        failing_application(),
        scope_of(method="POST"),
        Told("invalid_request", 405, "POST", "/", HTTPException, is_unexpected=False),
        ["sent", "sent", "told"],
        id="what the router turns away",
    ),
    pytest.param(
        failing_application(),
        scope_of(path="/crash"),
        Told("server_error", 500, "GET", "/crash", ZeroDivisionError, is_unexpected=True),
        ["sent", "sent", "told", "raised"],
        id="a bug in an application",
    ),
    pytest.param(
        sending(*PLAIN_500),
        scope_of(),
        Told("server_error", 500, "GET", None, None, is_unexpected=False),
        ["sent", "sent", "told"],
        id="a response that is rewritten",
    ),
    pytest.param(
        sending(),
        scope_of(),
        Told("server_error", 500, "GET", None, None, is_unexpected=False),
        ["sent", "sent", "told"],
        id="no response",
    ),
    pytest.param(
        sending({**START, "status": 600}, BODY),
        scope_of(),
        Told("server_error", 500, "GET", None, None, is_unexpected=False),
        ["sent", "sent", "told"],
        id="a status that is none",
    ),
    pytest.param(
        raising(AccessDeniedError()),
        scope_of("websocket", extensions=DENIAL),
        Told("access_denied", 403, "WEBSOCKET", None, AccessDeniedError, is_unexpected=False),
        ["sent", "sent", "told"],
        id="a WebSocket that is denied",
    ),
    pytest.param(
        raising(AccessDeniedError()),
        scope_of("websocket"),
        Told("access_denied", 403, "WEBSOCKET", None, AccessDeniedError, is_unexpected=False),
        ["sent", "told"],
        id="a WebSocket that can only be closed",
    ),
    pytest.param(
        sending(CLOSE),
        scope_of("websocket", extensions=DENIAL),
        Told("access_denied", 403, "WEBSOCKET", None, None, is_unexpected=False),
        ["sent", "sent", "told"],
        id="a WebSocket that the application closes at once",
    ),
    pytest.param(
        raising(ValueError(), ACCEPT),
        scope_of("websocket", extensions=DENIAL),
        Told("server_error", 500, "WEBSOCKET", None, ValueError, is_unexpected=True),
        ["sent", "sent", "told", "raised"],
        id="a bug in a WebSocket",
    ),
    pytest.param(
        failing_application(),
        scope_of("websocket", path="/late", extensions=DENIAL),
        Told("access_denied", 403, "WEBSOCKET", "/late", HTTPException, is_unexpected=False),
        ["sent", "sent", "told"],
        id="an error in a WebSocket of an application",
    ),
]


@pytest.mark.parametrize(("app", "scope", "told", "events"), ERRORS)
async def test_a_hook_is_told_of_each_error_once_when_its_response_is_out(
    *, app: ASGIApp, scope: Scope, told: Told, events: list[str], story: Story, hook: Hook
) -> None:
    await story.of(ErrorMiddleware(app, on_error=hook), dict(scope))
    assert story.events == events
    (record,) = story.records
    cause = None if record.exception is None else type(record.exception)
    parts = (record.code, record.status, record.method, record.route, cause, record.is_unexpected)
    assert Told(*parts) == told
    assert record.scope["type"] == scope["type"]


@pytest.mark.parametrize(("app", "scope", "told", "events"), ERRORS)
async def test_of_two_boundaries_one_tells_of_an_error(
    *,
    app: ASGIApp,
    scope: Scope,
    told: Told,
    events: list[str],
    story: Story,
    caplog: pytest.LogCaptureFixture,
) -> None:
    inner = ErrorMiddleware(app, on_error=story.tell_later)
    outer = ErrorMiddleware(Passing(inner), on_error=story.tell_later)
    with caplog.at_level(logging.INFO, "authpi_errors"):
        await story.of(outer, dict(scope))
    assert story.events == events
    assert (story.records[0].code, story.records[0].status) == (told.code, told.status)
    answered = [text for text in caplog.messages if text.startswith("Answered ")]
    assert len(answered) == 1


async def test_without_reraise_a_hook_is_told_of_a_bug(story: Story) -> None:
    cause = ValueError()
    await story.of(ErrorMiddleware(raising(cause), reraise=False, on_error=story.tell))
    assert story.events == ["sent", "sent", "told"]
    (record,) = story.records
    assert record.exception is cause
    assert record.is_unexpected


async def answered_by_user(request: Request, exc: Exception) -> Response:
    return PlainTextResponse("Mine.", 409)


def application_with_handler() -> Starlette:
    app = application()
    app.add_exception_handler(HTTPException, answered_by_user)
    return app


HTML: Message = {
    "type": "http.response.start",
    "status": 404,
    "headers": [(b"content-type", b"text/html")],
}


@pytest.mark.parametrize(
    ("app", "scope", "events"),
    [
        pytest.param(sending(START, BODY), scope_of(), ["sent", "sent"], id="a success"),
        pytest.param(raising(ClientDisconnect()), scope_of(), [], id="a client that has gone"),
        pytest.param(
            raising(WebSocketDisconnect(1001), ACCEPT),
            scope_of("websocket"),
            ["sent"],
            id="a WebSocket whose client has gone",
        ),
        pytest.param(
            raising(ValueError(), START), scope_of(), ["sent", "raised"], id="a bug that is late"
        ),
        pytest.param(raising(LookupError()), scope_of(), ["raised"], id="what is ignored"),
        pytest.param(sending(HTML, BODY), scope_of(), ["sent", "sent"], id="a page for people"),
        pytest.param(
            application_with_handler(),
            scope_of(),
            ["sent", "sent"],
            id="what a handler of the user's answers",
        ),
    ],
)
async def test_a_hook_is_not_told_of(
    app: ASGIApp, scope: Scope, events: list[str], story: Story, caplog: pytest.LogCaptureFixture
) -> None:
    ours = ErrorMiddleware(app, ignore=(LookupError,), on_error=story.tell)
    with caplog.at_level(logging.DEBUG, "authpi_errors"):
        await story.of(ours, dict(scope))
    assert story.events == events
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        pytest.param(NotFoundError(), "not_found", id="an error of the client"),
        pytest.param(ServerError(), "server_error", id="an error of the server"),
        pytest.param(ZeroDivisionError(), "server_error", id="a bug"),
    ],
)
def test_an_error_that_middleware_puts_into_plain_text_is_told_once(
    error: Exception, code: str, story: Story, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(request: Request) -> Response:
        raise error

    async def replace(request: Request, call_next: RequestResponseEndpoint) -> Response:
        return PlainTextResponse("Sorry.", (await call_next(request)).status_code)

    app = Starlette(routes=[Route("/", fail)])
    app.add_middleware(BaseHTTPMiddleware, dispatch=replace)
    install(app, on_error=story.tell)
    with caplog.at_level(logging.INFO, "authpi_errors"):
        body = TestClient(app, raise_server_exceptions=False).get("/").json()
    assert body["error"] == code
    (logged,), (told,) = caplog.records, story.records
    assert vars(logged)["reference"] == told.reference == body.get("reference")


class HollowGroupError(ExceptionGroup[Exception]):
    """A group that holds nothing."""

    exceptions: Any = ()


@pytest.mark.parametrize("reraise", [True, False])
@pytest.mark.parametrize(
    "cause",
    [
        pytest.param(test_registry.EvasiveError(), id="hides its attributes"),
        pytest.param(test_registry.HollowGroupError("", [ValueError()]), id="hides its members"),
        pytest.param(HollowGroupError("", [ValueError()]), id="has no members"),
    ],
)
async def test_an_exception_that_is_hard_to_look_at_is_answered(
    cause: Exception, reraise: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "authpi_errors"):
        messages, failure = await outcome(ErrorMiddleware(raising(cause), reraise=reraise))
    assert body_of(messages)["error"] == "server_error"
    assert failure is (cause if reraise else None)
    assert len(caplog.messages) == 1


async def test_a_hook_that_fails_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def stumble(record: ErrorRecord) -> None:
        raise ZeroDivisionError

    cause = ValueError()
    with caplog.at_level(logging.ERROR, "authpi_errors"):
        messages, failure = await outcome(ErrorMiddleware(raising(cause), on_error=stumble))
    assert kinds(messages) == ["http.response.start", "http.response.body"]
    assert failure is cause
    assert caplog.messages[1:] == ["The function given for `on_error` failed: ZeroDivisionError"]


async def test_the_user_makes_the_reference_from_the_scope(
    story: Story, caplog: pytest.LogCaptureFixture
) -> None:
    def make_reference(scope: Scope) -> str:
        return f"of {scope['path']}"

    cause = ValueError()
    app = ErrorMiddleware(raising(cause), make_reference=make_reference, on_error=story.tell)
    messages = await story.of(app, scope_of(path="/here"))
    assert body_of(messages)["reference"] == "of /here"
    assert [record.reference for record in story.records] == ["of /here"]
    assert [vars(record)["reference"] for record in caplog.records] == ["of /here"]
    assert cause.__notes__ == ["reference: of /here"]


async def test_a_reference_of_the_errors_own_comes_before_one_that_is_made(story: Story) -> None:
    app = ErrorMiddleware(
        raising(ServerError(reference="own")),
        make_reference=lambda _: "made",
        on_error=story.tell,
    )
    messages = await story.of(app)
    assert body_of(messages)["reference"] == "own"
    assert [record.reference for record in story.records] == ["own"]


@pytest.mark.parametrize("level", [logging.INFO, logging.CRITICAL], ids=["heard", "unheard"])
@pytest.mark.parametrize(
    ("make", "status"),
    [
        pytest.param(NotFoundError, 404, id="one that says nothing"),
        pytest.param(partial(NotFoundError, "No user."), 404, id="one that says something"),
        pytest.param(partial(HTTPException, 409), 409, id="an HTTPException"),
        pytest.param(ServerError, 500, id="a server error"),
        pytest.param(ValueError, 500, id="a bug"),
    ],
)
async def test_each_error_can_have_a_reference_of_its_own(
    make: Callable[[], Exception], status: int, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise causes[-1]

    causes: list[Exception] = []
    references: list[str] = []
    ours = ErrorMiddleware(app, always_refer=True)
    with caplog.at_level(level, "authpi_errors"):
        # What is alike is rendered once, but for its reference.
        for _ in range(3):
            causes.append(make())
            messages, _ = await outcome(ours)
            assert messages[0]["status"] == status
            references.append(body_of(messages)["reference"])
    assert len(set(references)) == 3
    assert [cause.__notes__ for cause in causes] == [[f"reference: {each}"] for each in references]
    told = [vars(record)["reference"] for record in caplog.records]
    assert told == (references if level == logging.INFO else [])


@pytest.mark.parametrize("scope", [scope_of(), scope_of(method="HEAD")], ids=["GET", "HEAD"])
@pytest.mark.parametrize(
    "make",
    [
        NotFoundError,
        partial(NotFoundError, "No user."),
        partial(HTTPException, 404),
        partial(HTTPException, 404, "No user."),
    ],
)
async def test_an_answer_is_the_same_whether_anybody_listens_or_not(
    make: Callable[[], Exception], scope: Scope, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.CRITICAL, "authpi_errors"):
        quiet = await sent_by(ErrorMiddleware(raising(make())), dict(scope))
    assert caplog.messages == []
    with caplog.at_level(logging.INFO, "authpi_errors"):
        logged = await sent_by(ErrorMiddleware(raising(make())), dict(scope))
    assert len(caplog.messages) == 1
    assert logged == quiet


@pytest.mark.parametrize(
    "make",
    [ServerError, partial(ServerError, "Busy.", status=503), partial(HTTPException, 503)],
    ids=["one that says nothing", "one that says something", "an HTTPException"],
)
async def test_where_only_errors_of_the_server_are_logged_they_are(
    make: Callable[[], Exception], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "authpi_errors"):
        await sent_by(ErrorMiddleware(raising(NotFoundError())))
        messages = await sent_by(ErrorMiddleware(raising(make())))
    (record,) = caplog.records
    assert vars(record)["reference"] == body_of(messages)["reference"]


async def test_what_is_ignored_passes_also_where_nobody_listens(
    caplog: pytest.LogCaptureFixture,
) -> None:
    error = NotFoundError()
    with caplog.at_level(logging.CRITICAL, "authpi_errors"):
        assert await outcome(ErrorMiddleware(raising(error), ignore=(NotFoundError,))) == (
            [],
            error,
        )


@pytest.mark.parametrize("reraise", [True, False], ids=["raised again", "ends here"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "codes",
    [
        pytest.param([], id="AuthPI's code"),
        pytest.param([ErrorCode("server_error", 503, "Later.", retry_after=5)], id="an own code"),
        pytest.param([ErrorCode("server_error", 400, "Yours.")], id="the client's error"),
    ],
)
async def test_a_bug_is_answered_and_logged_the_same_whether_a_hook_is_told_or_not(
    *, codes: list[ErrorCode], method: str, reraise: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def outcome_of(on_error: Hook | None) -> list[object]:
        caplog.clear()
        cause = RuntimeError("secret")
        app = ErrorMiddleware(
            raising(cause),
            registry=ErrorRegistry(codes=codes),
            reraise=reraise,
            on_error=on_error,
            make_reference=lambda _: "made",
        )
        messages, failure = await outcome(app, scope_of(method=method))
        assert failure is (cause if reraise else None)
        return [
            messages,
            getattr(cause, "__notes__", None),
            [
                (record.levelno, record.getMessage(), record.exc_info is None)
                for record in caplog.records
            ],
        ]

    told: list[ErrorRecord] = []
    assert await outcome_of(None) == await outcome_of(told.append)
    assert len(told) == 1


async def test_what_is_mapped_is_no_bug_after_one() -> None:
    causes: list[Exception] = [RuntimeError(), HTTPException(404, headers={"X-A": "b"})]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise causes.pop(0)

    ours = ErrorMiddleware(app, reraise=False)
    statuses = [(await sent_by(ours))[0]["status"] for _ in range(2)]
    assert statuses == [500, 404]


async def test_a_bug_that_is_ignored_passes_unanswered() -> None:
    error = LookupError()
    app = ErrorMiddleware(raising(error), ignore=(LookupError,))
    assert await outcome(app) == ([], error)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit()], ids=["interrupt", "exit"])
async def test_what_ends_the_process_passes_without_reraise_too(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    messages, failure = await outcome(ErrorMiddleware(raising(error), reraise=False))
    assert [message.get("status") for message in messages] == [500, None]
    assert failure is error
    # Whoever gets it has the traceback.
    assert [record.exc_info for record in caplog.records] == [None]


@pytest.mark.parametrize(
    "error", [NotFoundError("Here."), RuntimeError()], ids=["expected", "unexpected"]
)
async def test_what_is_answered_further_in_is_not_rewritten(error: Exception) -> None:
    inner = ErrorMiddleware(raising(error), reraise=False, make_reference=lambda _: "inner")
    outer = ErrorMiddleware(
        Passing(inner), rewrite=lambda _: True, make_reference=lambda _: "outer"
    )
    assert await sent_by(outer) == await sent_by(inner)


@pytest.mark.parametrize(("size", "is_asked"), [(65_536, True), (65_537, False)])
async def test_what_may_be_rewritten_has_no_long_body(size: int, is_asked: bool) -> None:
    start: Message = {"type": "http.response.start", "status": 400, "headers": []}
    body: Message = {"type": "http.response.body", "body": b"x" * size}
    messages = await sent_by(ErrorMiddleware(sending(start, body), rewrite=lambda _: True))
    assert (messages != [start, body]) is is_asked


@pytest.mark.parametrize("kind", ["http.response.pathsend", "http.response.zerocopysend"])
async def test_a_file_may_be_rewritten_too(kind: str) -> None:
    text = [(b"content-type", b"text/plain")]
    start: Message = {"type": "http.response.start", "status": 404, "headers": text}
    file: Message = {"type": kind, "path": "/srv/404.txt", "file": 5}
    assert body_of(await sent_by(ErrorMiddleware(sending(start, file))))["error"] == "not_found"


@pytest.mark.parametrize(("count", "is_rewritten"), [(999, True), (1_000, False)])
async def test_what_may_be_rewritten_comes_in_not_too_many_pieces(
    count: int, is_rewritten: bool
) -> None:
    start: Message = {"type": "http.response.start", "status": 400, "headers": []}
    piece: Message = {"type": "http.response.body", "body": b"", "more_body": True}
    pieces = [start, *[piece] * (count - 1), {"type": "http.response.body"}]
    messages = await sent_by(ErrorMiddleware(sending(*pieces)))
    assert (messages != pieces) is is_rewritten


@pytest.mark.parametrize(("status", "is_rewritten"), [(399, False), (400, True)])
async def test_what_may_be_rewritten_begins_at_400(status: int, is_rewritten: bool) -> None:
    start: Message = {"type": "http.response.start", "status": status, "headers": []}
    messages = await sent_by(ErrorMiddleware(sending(start, BODY), rewrite=lambda _: True))
    assert (messages != [start, BODY]) is is_rewritten


async def test_what_starlette_says_of_a_response_that_started_counts_only_after_a_plain_500(
    story: Story,
) -> None:
    bug = RuntimeError("Caught handled exception, but response already started.")
    bug.__cause__ = NotFoundError()
    messages = await story.of(ErrorMiddleware(raising(bug), on_error=story.tell))
    assert messages[0]["status"] == 500


@pytest.mark.parametrize("place", ["around", "inside"])
@pytest.mark.parametrize("key", [HTTPException, LookupError, 404])
def test_a_handler_that_is_added_while_the_application_starts_is_the_users(
    key: type[Exception] | int, place: str
) -> None:
    async def handle(request: Request, exc: Exception) -> Response:
        return PlainTextResponse("own")

    async def fail(request: Request) -> Response:
        raise LookupError if key is LookupError else HTTPException(404)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        app.add_exception_handler(key, handle)
        yield

    app = Starlette(routes=[Route("/", fail)], lifespan=lifespan)
    if place == "inside":
        app.add_middleware(ErrorMiddleware)
    with TestClient(ErrorMiddleware(app) if place == "around" else app) as client:
        assert client.get("/").text == "own"


@pytest.mark.parametrize("path", ["/api/raises", "/api/fails"])
def test_cors_middleware_answers_an_error_in_the_order_of_a_success(path: str) -> None:
    async def succeed(request: Request) -> Response:
        return Response()

    async def fail(request: Request) -> Response:
        raise NotFoundError if request.url.path == "/api/raises" else RuntimeError

    def cors(exposed: str) -> Middleware:
        return Middleware(CORSMiddleware, allow_origins=["*"], expose_headers=[exposed])

    routes = [Route("/", succeed), Route("/{_}", fail)]
    mount = Mount("/api", routes=routes, middleware=[cors("X-Inner")])
    app = ErrorMiddleware(Starlette(routes=[mount], middleware=[cors("X-Outer")]))
    client = TestClient(app, raise_server_exceptions=False, headers={"Origin": "https://a.example"})
    exposed = "access-control-expose-headers"
    assert client.get(path).headers[exposed] == client.get("/api/").headers[exposed] == "X-Outer"


@pytest.mark.parametrize("middleware", [[], [Middleware(BaseHTTPMiddleware, dispatch=pass_on)]])
@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "found while reading"])
def test_a_body_over_the_limit_is_one_record_and_one_call_of_the_hook(
    chunked: bool, middleware: list[Middleware], caplog: pytest.LogCaptureFixture
) -> None:
    async def read(request: Request) -> Response:
        return PlainTextResponse(str(len(await request.body())))

    told: list[ErrorRecord] = []
    routes = [Route("/", read, methods=["POST"])]
    app = Starlette(routes=routes, middleware=middleware, max_body_size=10)
    install(app, on_error=told.append)
    body = b"x" * 20
    with caplog.at_level(logging.INFO, "authpi_errors"):
        response = TestClient(app).post("/", content=iter([body]) if chunked else body)
    assert (response.status_code, response.json()["error"]) == (413, "invalid_request")
    assert [vars(record)["status"] for record in caplog.records] == [413]
    (record,) = told
    assert (record.status, record.exception is None) == (413, False)


class NoSuchItemError(NotFoundError):
    """Can't be made without arguments."""

    def __new__(cls, number: int) -> Self:
        return super().__new__(cls, number)

    def __init__(self, number: int) -> None:
        super().__init__(f"There is no item {number}.")


class Unhashable(type):
    __hash__ = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]


class OddTypeError(Exception, metaclass=Unhashable):
    pass


class Nameless(type):
    def __getattribute__(cls, name: str) -> Any:
        if name == "__qualname__":
            raise LookupError
        return type.__getattribute__(cls, name)


class NamelessError(Exception, metaclass=Nameless):
    pass


async def test_an_error_whose_class_has_to_be_given_something_is_answered() -> None:
    messages = await sent_by(ErrorMiddleware(raising(NoSuchItemError(7))))
    assert messages[0]["status"] == 404
    assert body_of(messages)["error_description"] == "There is no item 7."


@pytest.mark.parametrize("error", [OddTypeError(), NamelessError()], ids=["hash", "name"])
async def test_an_exception_whose_type_is_odd_is_answered_as_any_other(error: Exception) -> None:
    messages, failure = await outcome(ErrorMiddleware(raising(error)))
    assert failure is error
    assert body_of(messages)["error"] == "server_error"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("secret"), ["http.response.start", "http.response.body"]),
        (NotFoundError(), ["http.response.start", "http.response.body"]),
        (ClientDisconnect(), []),
    ],
    ids=["bug", "expected", "gone"],
)
async def test_what_is_sent_after_the_application_has_failed_is_dropped(
    error: Exception, expected: list[str], method: str
) -> None:
    left: list[Send] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        # As for a task that goes on.
        left.append(send)
        raise error

    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    receive: Any = None
    with suppress(ValueError):
        await ErrorMiddleware(app)(scope_of(method=method), receive, send)
    await left[0](START)
    await left[0](BODY)
    assert kinds(messages) == expected


async def test_a_registry_of_ones_own_is_asked_about_every_exception() -> None:
    class Registry(ErrorRegistry):
        def find(self, exc: BaseException) -> AuthPIError | None:
            return NotFoundError() if exc.args == ("missing",) else super().find(exc)

    app = ErrorMiddleware(raising(ValueError("missing")), registry=Registry())
    assert body_of(await sent_by(app))["error"] == "not_found"


FIELDS = [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"link", b"</>"), (b"link", b"</a>")]


@pytest.mark.parametrize("level", ["INFO", "WARNING"])
@pytest.mark.parametrize(
    "app",
    [
        pytest.param(raising(ConflictError(headers=Headers(raw=FIELDS))), id="an error of ours"),
        pytest.param(raising(HTTPException(409, "Taken.", Headers(raw=FIELDS))), id="Starlette's"),
        pytest.param(
            sending(
                {"type": "http.response.start", "status": 409, "headers": FIELDS},
                {"type": "http.response.body"},
            ),
            id="a response",
        ),
    ],
)
async def test_fields_that_are_there_twice_are_sent_twice(
    app: ASGIApp, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(level)
    wrapped = ErrorMiddleware(app)
    for _ in range(2):
        start, _ = await sent_by(wrapped)
        assert [field for field in start["headers"] if field in FIELDS] == FIELDS


@pytest.mark.parametrize("level", ["INFO", "WARNING"])
async def test_an_exception_that_is_raised_again_and_again_has_its_last_reference(
    level: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(level)
    bug = RuntimeError("a bug")
    bug.add_note("reference: of the application")
    app = ErrorMiddleware(raising(bug))
    for _ in range(3):
        messages, _ = await outcome(app)
        reference = body_of(messages)["reference"]
        assert bug.__notes__ == ["reference: of the application", f"reference: {reference}"]
    bug.__notes__.clear()
    messages, _ = await outcome(app)
    assert bug.__notes__ == [f"reference: {body_of(messages)['reference']}"]


async def test_a_function_that_fails_again_is_noted_once() -> None:
    def fail(exc: Exception) -> AuthPIError:
        raise LookupError("secret")

    bug = ValueError("a bug")
    app = ErrorMiddleware(raising(bug), registry=ErrorRegistry(exceptions={ValueError: fail}))
    for _ in range(2):
        await outcome(app)
    assert [note for note in bug.__notes__ if "could not map" in note] == [bug.__notes__[0]]


@pytest.mark.parametrize("error", [WebSocketDisconnect(1006), RuntimeError()])
async def test_a_client_waits_whose_request_found_somebody_else_gone(
    error: Exception, story: Story
) -> None:
    messages, failure = await outcome(ErrorMiddleware(raising(error), on_error=story.tell_later))
    assert body_of(messages)["error"] == "server_error"
    assert failure is error
    assert [record.exception for record in story.records] == [error]


@pytest.mark.parametrize(
    ("kind", "gone"),
    [
        ("http", ClientDisconnect()),
        ("websocket", WebSocketDisconnect(1001)),
        ("websocket", ClientDisconnect()),
    ],
)
async def test_a_client_that_has_gone_is_one_in_a_group_too(
    kind: str, gone: Exception, story: Story
) -> None:
    group = ExceptionGroup("tasks", [ExceptionGroup("readers", [gone]), gone])
    app = ErrorMiddleware(raising(group), on_error=story.tell_later)
    assert await outcome(app, scope_of(kind)) == ([], None)
    assert story.records == []
    mixed = ErrorMiddleware(raising(ExceptionGroup("tasks", [gone, ValueError()])))
    messages, failure = await outcome(mixed, scope_of(kind))
    assert len(messages) > 0
    assert isinstance(failure, ExceptionGroup)


async def test_a_client_that_has_gone_can_be_ignored() -> None:
    gone = ClientDisconnect()
    app = ErrorMiddleware(raising(gone), ignore=(ClientDisconnect,))
    assert await outcome(app) == ([], gone)


async def test_what_was_answered_is_not_answered_again_by_middleware_further_out() -> None:
    class CatchAll:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await self.app(scope, receive, send)
            except RuntimeError:
                await JSONResponse({"mine": True}, 500)(scope, receive, send)

    async def fail(request: Request) -> None:
        raise RuntimeError

    app = Starlette(routes=[Route("/", fail)], middleware=[Middleware(CatchAll)])
    install(app)
    for _ in range(2):
        messages = await sent_by(app, scope_of(query_string=b"", root_path=""))
        assert [message["type"] for message in messages] == [
            "http.response.start",
            "http.response.body",
        ]
        assert body_of(messages)["error"] == "server_error"


async def test_a_second_response_to_a_success_is_the_servers_to_refuse() -> None:
    start: Message = {"type": "http.response.start", "status": 200, "headers": []}
    body: Message = {"type": "http.response.body", "body": b""}
    messages = [start, body, start, body]
    assert await sent_by(ErrorMiddleware(sending(*messages))) == messages


RECORDS = [{"loc": ("query", "a"), "type": "missing", "msg": "Field required", "input": "secret"}]


@pytest.mark.parametrize(
    ("reason", "status", "code"),
    [
        pytest.param(RECORDS, 400, "invalid_request", id="what pydantic has found"),
        pytest.param([5], 403, "access_denied", id="a list of something else"),
        pytest.param([], 403, "access_denied", id="an empty list"),
        pytest.param({"a": "secret"}, 403, "access_denied", id="a mapping"),
        pytest.param("", 403, "access_denied", id="nothing"),
    ],
)
async def test_a_websocket_that_fastapi_closes_says_nothing_of_the_input(
    reason: object, status: int, code: str
) -> None:
    close: Message = {"type": "websocket.close", "code": 1008, "reason": reason}
    extensions: dict[str, Any] = {"websocket.http.response": {}}
    scope = scope_of("websocket", extensions=extensions)
    start, body = await sent_by(ErrorMiddleware(sending(close)), scope)
    assert start["status"] == status
    assert json.loads(body["body"])["error"] == code
    assert b"secret" not in body["body"]


async def test_a_websocket_that_was_accepted_is_closed_and_not_denied() -> None:
    denial: list[Message] = [
        {"type": "websocket.http.response.start", "status": 409, "headers": []},
        {"type": "websocket.http.response.body", "body": b"{}"},
    ]
    app = ErrorMiddleware(sending(ACCEPT, *denial))
    assert await sent_by(app, scope_of("websocket")) == [
        ACCEPT,
        {"type": "websocket.close", "code": 1008, "reason": "conflict"},
    ]
    close: Message = {"type": "websocket.close", "code": 1000}
    app = ErrorMiddleware(sending(ACCEPT, close, *denial))
    # Nothing comes after a close.
    assert await sent_by(app, scope_of("websocket")) == [ACCEPT, close]


@pytest.mark.parametrize("error", [RuntimeError("a bug"), ConflictError()])
async def test_a_websocket_whose_client_has_gone_is_not_closed(
    error: Exception, story: Story
) -> None:
    async def clean_up(scope: Scope, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        while (await receive())["type"] != "websocket.disconnect":
            pass
        raise error

    events = iter(["connect", "receive", "disconnect"])

    async def receive() -> Message:
        return {"type": f"websocket.{next(events)}"}

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    app = ErrorMiddleware(clean_up, on_error=story.tell_later)
    with ExitStack() as stack:
        if isinstance(error, RuntimeError):
            stack.enter_context(pytest.raises(RuntimeError, match="a bug"))
        await app(scope_of("websocket"), receive, send)
    assert sent == [ACCEPT]
    assert [record.exception for record in story.records] == [error]


def test_a_users_handler_closes_a_websocket_as_it_likes() -> None:
    class OddError(Exception):
        pass

    async def fail(websocket: WebSocket) -> None:
        raise OddError

    async def close(websocket: WebSocket, exc: Exception) -> None:
        await websocket.close(4009, "mine")

    handlers: dict[Any, Any] = {OddError: close}
    app = Starlette(routes=[WebSocketRoute("/", fail)], exception_handlers=handlers)
    install(app)
    for _ in range(2):
        with pytest.raises(WebSocketDisconnect) as caught:
            TestClient(app).websocket_connect("/").__enter__()
        assert (caught.value.code, caught.value.reason) == (4009, "mine")


async def test_a_websocket_is_denied_though_another_one_has_gone() -> None:
    async def join(websocket: WebSocket) -> None:
        try:
            raise WebSocketDisconnect(1006)
        except WebSocketDisconnect:
            await websocket.send_denial_response(JSONResponse({"detail": "No host."}, 503))

    app = ErrorMiddleware(Starlette(routes=[WebSocketRoute("/", join)]))
    start, _ = await sent_by(app, scope_of("websocket", extensions=DENIAL))
    assert start["status"] == 503


async def test_middleware_changes_how_a_websocket_is_closed() -> None:
    class Closing(Passing):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            async def close(message: Message) -> None:
                await send({**message, "code": 4401})

            await self.app(scope, receive, close)

    told: list[ErrorRecord] = []
    inner = ErrorMiddleware(raising(HTTPException(401)), on_error=told.append)
    app = ErrorMiddleware(Closing(inner), on_error=told.append)
    [close] = await sent_by(app, scope_of("websocket"))
    assert close["code"] == 4401
    assert [record.status for record in told] == [401]


async def test_a_websocket_that_is_sent_something_was_accepted_further_out() -> None:
    message: Message = {"type": "websocket.send", "text": "hello"}
    assert await sent_by(ErrorMiddleware(sending(message)), scope_of("websocket")) == [message]


async def test_a_scope_can_be_copied_with_all_that_is_in_it() -> None:
    class Copying(Passing):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await self.app(copy.deepcopy(scope), receive, send)

    app = ErrorMiddleware(Copying(ErrorMiddleware(raising(ClientDisconnect()))))
    assert await sent_by(app) == []
    assert await sent_by(ErrorMiddleware(Copying(sending(START, BODY)))) == [START, BODY]


@pytest.mark.parametrize("level", [logging.INFO, logging.ERROR])
async def test_a_hook_is_told_of_what_is_only_logged_further_in(
    level: int, caplog: pytest.LogCaptureFixture
) -> None:
    class Plain(Passing):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await self.app(scope, receive, drop)
            await PlainTextResponse("gone", 404)(scope, receive, send)

    told: list[ErrorRecord] = []
    app = ErrorMiddleware(Plain(ErrorMiddleware(raising(NotFoundError()))), on_error=told.append)
    with caplog.at_level(level, "authpi_errors"):
        start, _ = await sent_by(app)
    assert (start["status"], [record.status for record in told]) == (404, [404])
    assert len(caplog.records) == (1 if level == logging.INFO else 0)


async def test_each_of_two_errors_has_a_reference_of_its_own() -> None:
    class Retrying(Passing):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            with suppress(ServerError):
                await self.app(scope, receive, drop)
            await self.app(scope, receive, send)

    async def away(scope: Scope, receive: Receive, send: Send) -> None:
        raise ServerError(status=503)

    told: list[ErrorRecord] = []
    app = ErrorMiddleware(Retrying(ErrorMiddleware(away, on_error=told.append)))
    _, body = await sent_by(app)
    assert len({record.reference for record in told}) == 2
    assert json.loads(body["body"])["reference"] == told[-1].reference


async def test_an_application_that_can_not_be_built_at_first_is_known_later() -> None:
    is_ready = False

    class Marking:
        """Middleware that can't be made before something is there, and sees responses."""

        def __init__(self, app: ASGIApp) -> None:
            if not is_ready:
                raise RuntimeError
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            async def mark(message: Message) -> None:
                if message["type"] == "http.response.start":
                    message["headers"].append((b"x-seen", b"1"))
                await send(message)

            await self.app(scope, receive, mark)

    async def fail(request: Request) -> Response:
        raise NotFoundError

    app = ErrorMiddleware(
        Starlette(routes=[Route("/", fail)], middleware=[Middleware(Marking)]), reraise=False
    )
    assert (await sent_by(app))[0]["status"] == 500
    is_ready = True
    start, _ = await sent_by(app)
    assert start["status"] == 404
    assert (b"x-seen", b"1") in start["headers"]
