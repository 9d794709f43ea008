"""Whatever an application sends, in any order, and however it ends, the client gets a valid answer.

Each application runs twice on the same model of a server, bare and with the library. What the
client gets is either what it gets without the library, or one complete answer that keeps to the
contract.
"""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

import pytest
from authpi_admin.generated.models import ApiError
from fastapi.exceptions import RequestValidationError
from hypothesis import event, example, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.exceptions import HTTPException, WebSocketException
from starlette.requests import ClientDisconnect
from starlette.routing import Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from authpi_errors import AuthPIError, ErrorMiddleware, ErrorRegistry, NotFoundError, install
from authpi_errors._validation import is_mapping
from authpi_errors.compliance import Response, check
from tests.test_properties import errors, junk, texts

# Each property is tried on as many applications as take a second or two.
TRIED = settings(deadline=None, max_examples=100, derandomize=True, database=None)

# The rules that hold whatever an application puts into an error. The others, such as which code
# goes with which status, it can break if it says so.
ALWAYS: Final = frozenset(
    """
    status content-type content-length head retry-after www-authenticate
    json members types order text retry-after-member
    """.split()
)


class RefusedError(Exception):
    """What a server raises where a message is not allowed."""


@dataclass
class Server:
    """What a client gets, and what the server makes of the order: ASGI's HTTP and WebSocket.

    As uvicorn does, it takes a response for started before it looks into it, refuses what comes out
    of order, and takes an extension's messages until the answer is complete.

    Attributes:
        state: What it waits for.
        sent: What it has taken.
        raised: What the application has raised.
    """

    state: str = "http.response.start"
    sent: list[Message] = field(default_factory=list[Message])
    raised: BaseException | None = None
    has_trailers: bool = False

    async def send(self, message: Message) -> None:
        kind: str = message["type"]
        if self.state == "nothing":
            raise RefusedError(f"{kind} after the end")
        if kind in KINDS and kind not in FOLLOWERS[self.state]:
            raise RefusedError(f"{kind} in the place of {self.state}")
        if kind in KINDS:
            self.state = self._next(kind, message)
        self.sent.append(_read(message))

    def _next(self, kind: str, message: Message) -> str:
        if kind in ("http.response.start", "websocket.http.response.start"):
            self.has_trailers = bool(message.get("trailers"))
            return kind.replace(".start", ".body")
        if kind in ("websocket.accept", "websocket.send"):
            return "websocket.send"
        if message.get("more_body") or message.get("more_trailers"):
            return self.state
        is_before_trailers = self.has_trailers and self.state == "http.response.body"
        return "http.response.trailers" if is_before_trailers else "nothing"

    @property
    def is_untouched(self) -> bool:
        return self.state in ("http.response.start", "websocket.accept")


# What may come where: by the state that is named after the message that is expected most.
FOLLOWERS: Final[Mapping[str, set[str]]] = {
    "http.response.start": {"http.response.start"},
    "http.response.body": {
        "http.response.body",
        "http.response.pathsend",
        "http.response.zerocopysend",
    },
    "http.response.trailers": {"http.response.trailers"},
    "websocket.accept": {"websocket.accept", "websocket.close", "websocket.http.response.start"},
    "websocket.send": {"websocket.send", "websocket.close"},
    "websocket.http.response.body": {"websocket.http.response.body"},
}
KINDS: Final = {kind for kinds in FOLLOWERS.values() for kind in kinds}


def _read(message: Message) -> Message:
    """Read a message as a server does: once, and strictly."""
    read = dict(message)
    if message["type"].endswith("response.start"):
        status: Any = message["status"]
        if not isinstance(status, int) or not 100 <= status <= 599:
            raise RefusedError(f"the status {status!r}")
        read.setdefault("headers", ())
    if "headers" in read:
        read["headers"] = [(bytes(name), bytes(value)) for name, value in read["headers"]]
    if "body" in message:
        read["body"] = bytes(message["body"])
    return read


# What applications send.

CONTENT_TYPES: Final = (
    b"text/plain",
    b"Text/Plain; charset=utf-8",
    b"application/json",
    b"text/html",
    b"text/event-stream",
    b"application/problem+json",
    b"",
    b"\xff",
)
BODIES: Final = (
    b"",
    b"Gone.",
    b"\xff\xfe\0",
    b'{"detail":"Gone."}',
    b' {\n "detail" : {"a": [1]} }',
    b'{"detail":[{"loc":["body","a"],"msg":"Field required","type":"missing"}]}',
    b'{"detail":"Gone.","more":1}',
    b'{"error":"gone"}',
    b'{"detail":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    b"x" * 65_537,
)
NAMES: Final = (
    *(b"set-cookie", b"x-mine", b"allow", b"retry-after", b"www-authenticate", b"vary"),
    *(
        b"etag",
        b"content-range",
        b"content-length",
        b"cache-control",
        b"access-control-allow-origin",
    ),
)

statuses = st.sampled_from([*range(400, 430), 500, 502, 503, 599, HTTPStatus.NOT_FOUND])
other_statuses = st.sampled_from([100, 200, 204, 304, 399, 600, 999, True, "404", None, 404.5])
fields = st.tuples(st.sampled_from(NAMES), st.sampled_from([b"1", b"a, b", b'"1"', b"\xe9", b""]))
rare_fields = st.tuples(
    st.sampled_from([b"content-encoding", b"via", b"date", b"content-length"]),
    st.sampled_from([b"1", b"99999", b"\xb2", b"gzip"]),
)
bad_fields = st.sampled_from([(b"x",), ("x", "y"), (b"x", None), 5, (b"", b"\r\n")])


@st.composite
def headers(draw: st.DrawFn, *, good: bool, bad: bool = False) -> list[Any]:
    """Make header fields: a `Content-Type` more often than not, and few that are odd."""
    found: list[Any] = draw(st.lists(fields, max_size=3))
    if draw(st.integers(0, 4)):
        name = draw(st.sampled_from([b"content-type", b"Content-Type"]))
        found.append((name, draw(st.sampled_from(CONTENT_TYPES[: 3 if good else None]))))
    if not draw(st.integers(0, 7)):
        found.append(draw(rare_fields))
    if bad and not draw(st.integers(0, 7)):
        found.append(draw(bad_fields))
    return found


def starts(kind: str) -> st.SearchStrategy[Message]:
    """Make starts, good ones and odd ones."""
    good = st.fixed_dictionaries(
        {"type": st.just(kind), "status": statuses, "headers": headers(good=True)}
    )
    odd = st.fixed_dictionaries(
        {"type": st.just(kind)},
        optional={
            "status": statuses | other_statuses,
            "headers": headers(good=False, bad=True) | st.none(),
            "trailers": st.booleans(),
        },
    )
    return good | odd


PIECES: Final[Sequence[Any]] = [
    *BODIES,
    *map(bytearray, BODIES),
    *(memoryview(body) for body in BODIES),
    None,
    "Gone.",
]


def bodies(kind: str) -> st.SearchStrategy[Message]:
    """Make bodies, whole and in pieces."""
    type_: dict[str, st.SearchStrategy[Any]] = {"type": st.just(kind)}
    parts: dict[str, st.SearchStrategy[Any]] = {
        "body": st.sampled_from(PIECES),
        "more_body": st.booleans(),
    }
    return st.fixed_dictionaries(type_, optional=parts)


extensions: st.SearchStrategy[Message] = st.sampled_from(
    [
        {"type": "http.response.debug", "info": {"template": "a"}},
        {"type": "http.response.early_hint", "links": [b"</a>"]},
        {"type": "http.response.unheard_of"},
    ]
)
MESSAGES_OF_HTTP: Final[Sequence[Message]] = [
    {"type": "http.response.pathsend", "path": "/tmp/none"},
    {"type": "http.response.zerocopysend", "file": 5, "more_body": True},
    {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]},
    {"type": "http.response.trailers", "headers": [], "more_trailers": True},
    {"status": 404},
]
messages_of_http: st.SearchStrategy[Message] = st.one_of(
    starts("http.response.start"),
    bodies("http.response.body"),
    bodies("http.response.body"),
    extensions,
    st.sampled_from(MESSAGES_OF_HTTP),
)

MESSAGES_OF_WEBSOCKETS: Final[Sequence[Message]] = [
    {"type": "websocket.accept"},
    {"type": "websocket.accept", "subprotocol": "a", "headers": []},
    {"type": "websocket.send", "text": "hello"},
    {"type": "websocket.unheard_of"},
    {"type": "http.response.body", "body": b""},
    {"code": 1000},
]
CLOSE: Final[dict[str, st.SearchStrategy[Any]]] = {"type": st.just("websocket.close")}
CLOSE_PARTS: Final[dict[str, st.SearchStrategy[Any]]] = {
    "code": st.sampled_from([1000, 1008, 1011, 4000, 4999, 0, "1000"]),
    "reason": texts | st.none() | st.just("x" * 124),
}
messages_of_websockets: st.SearchStrategy[Message] = st.one_of(
    starts("websocket.http.response.start"),
    bodies("websocket.http.response.body"),
    st.fixed_dictionaries(CLOSE, optional=CLOSE_PARTS),
    st.sampled_from(MESSAGES_OF_WEBSOCKETS),
)

# How they end.

ENDINGS: Final[Sequence[Callable[[], BaseException]]] = (
    RuntimeError,
    NotFoundError,
    RecursionError,
    lambda: ExceptionGroup("all expected", [NotFoundError(), HTTPException(409)]),
    lambda: ExceptionGroup("not all", [NotFoundError(), KeyError("secret")]),
    lambda: BaseExceptionGroup("the end", [KeyboardInterrupt(), NotFoundError()]),
    lambda: RequestValidationError([{"loc": ("body", "a"), "msg": "m", "type": "missing"}]),
    lambda: OSError(5, "secret"),
    KeyboardInterrupt,
    SystemExit,
    asyncio.CancelledError,
    GeneratorExit,
    ClientDisconnect,
    lambda: WebSocketDisconnect(1001),
)
GONE: Final = (ClientDisconnect, WebSocketDisconnect)
PASSING: Final = (GeneratorExit, *GONE)

raised: st.SearchStrategy[BaseException] = st.one_of(
    errors(),
    st.builds(HTTPException, st.integers(400, 620), junk, st.none() | junk),
    st.sampled_from(ENDINGS).map(lambda make: make()),
)
CONTAINERS: Final[Sequence[Callable[[Iterable[Any]], Any]]] = (list, list, tuple, iter)
containers = st.sampled_from(CONTAINERS)


@dataclass(frozen=True)
class Application:
    """Sends messages, as far as the server takes them, and ends.

    Attributes:
        messages: What it sends.
        ending: What it raises then, if anything.
        container: What it puts headers into; some can be read only once.
    """

    messages: Sequence[Message]
    ending: BaseException | None = None
    container: Callable[[Iterable[Any]], Any] = list

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        for message in self.messages:
            fresh = dict(message)
            if fresh.get("headers") is not None:
                fresh["headers"] = self.container(fresh["headers"])
            await send(fresh)
        if self.ending is not None:
            raise self.ending


def applications(
    first: st.SearchStrategy[Message], messages: st.SearchStrategy[Message]
) -> st.SearchStrategy[Application]:
    """Make applications that send any of these, in any order; many begin with the first."""
    anything = st.lists(messages, max_size=5)
    sequences = st.builds(_begun, first, anything) | anything
    return st.builds(Application, sequences, st.none() | raised, containers)


def _begun(start: Message, rest: list[Message]) -> list[Message]:
    return [start, *rest]


http_applications = applications(starts("http.response.start"), messages_of_http)
websocket_applications = applications(
    starts("websocket.http.response.start") | st.just({"type": "websocket.accept"}),
    messages_of_websockets,
)


@st.composite
def complete_responses(draw: st.DrawFn) -> Application:
    """Make applications that send one whole error response and return."""
    kind = "http.response.start"
    start = {"type": kind, "status": draw(statuses), "headers": draw(headers(good=False))}
    *pieces, last = draw(st.lists(st.sampled_from(BODIES), min_size=1, max_size=3))
    kind = "http.response.body"
    more = [{"type": kind, "body": piece, "more_body": True} for piece in pieces]
    return Application([start, *more, {"type": kind, "body": last}], container=draw(containers))


# How the library stands around them.


def installed(app: ASGIApp, reraise: bool) -> ASGIApp:
    around = Starlette(routes=[Mount("/", app)])
    install(around, reraise=reraise)
    return around


def added(app: ASGIApp, reraise: bool) -> ASGIApp:
    around = Starlette(routes=[Mount("/", app)])
    around.add_middleware(ErrorMiddleware, reraise=reraise)
    return around


def wrapped(app: ASGIApp, reraise: bool) -> ASGIApp:
    return ErrorMiddleware(app, reraise=reraise)


def added_and_wrapped(app: ASGIApp, reraise: bool) -> ASGIApp:
    return wrapped(added(app, reraise), reraise)


def installed_and_wrapped(app: ASGIApp, reraise: bool) -> ASGIApp:
    return wrapped(installed(app, reraise), reraise)


ways = st.sampled_from([wrapped, added, installed, added_and_wrapped, installed_and_wrapped])


def served(app: ASGIApp, scope: Scope) -> Server:
    """Serve one connection."""
    server = Server("http.response.start" if scope["type"] == "http" else "websocket.accept")

    async def receive() -> Message:
        return {"type": "http.request"}

    async def run() -> None:
        try:
            await app(scope, receive, server.send)
        except BaseException as exc:
            server.raised = exc

    asyncio.run(run())
    return server


def http(method: str = "GET") -> Scope:
    return {"type": "http", "method": method, "path": "/", "root_path": "", "headers": []}


def websocket(*, denial: bool) -> Scope:
    extensions: dict[str, Any] = {"websocket.http.response": {}} if denial else {}
    return {**http(), "type": "websocket", "extensions": extensions}


def is_same(ours: Server, bare: Server) -> bool:
    """Say whether nobody could tell that the library was there."""
    return (ours.sent, ours.state) == (bare.sent, bare.state)


def answered(ours: Server, bare: Server, method: str = "GET") -> Response:
    """Give the library's answer: at the end, complete, and compliant."""
    *before, start, body = ours.sent
    assert ours.state == "nothing"
    assert start["type"].endswith("http.response.start")
    assert before == bare.sent[: len(before)]
    assert all(message["type"] not in KINDS for message in before)
    fields: list[tuple[bytes, bytes]] = start["headers"]
    names = [(name.decode(), value.decode("latin-1")) for name, value in fields]
    if method == "HEAD":
        assert body["body"] == b""
    else:
        ApiError.model_validate_json(body["body"], strict=True)
    response = Response(start["status"], names, body["body"], method)
    assert not [violation for violation in check(response) if violation.rule in ALWAYS]
    return response


methods = st.sampled_from(["GET", "GET", "HEAD", "PATCH"])


REFUSED: Final[Message] = {"type": "http.response.start", "status": 400, "headers": []}


@TRIED
@example(Application([REFUSED], ClientDisconnect()), wrapped, "GET", True)
@given(http_applications, ways, methods, st.booleans())
def test_a_response_is_untouched_or_one_complete_answer(
    app: Application, way: Callable[[ASGIApp, bool], ASGIApp], method: str, reraise: bool
) -> None:
    bare = served(app, http(method))
    ours = served(way(app, reraise), http(method))
    if is_same(ours, bare):
        event("untouched")
    elif isinstance(app.ending, GONE) and ours.is_untouched:
        event("not answered, since nobody waits")
    else:
        event("answered")
        answered(ours, bare, method)


PLAIN: Final = [(b"content-type", b"text/plain")]


async def crash(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer an exception as Starlette's debugger does, at length, and raise it again."""
    try:
        raise LookupError("secret")
    except LookupError:
        await send({"type": "http.response.start", "status": 500, "headers": PLAIN})
        for _ in range(500):
            await send({"type": "http.response.body", "body": bytes(2**16), "more_body": True})
        await send({"type": "http.response.body"})
        raise


@pytest.mark.parametrize("way", [wrapped, added, installed, added_and_wrapped])
def test_nothing_is_kept_of_a_page_that_is_never_sent(
    way: Callable[[ASGIApp, bool], ASGIApp],
) -> None:
    around = way(crash, True)
    tracemalloc.start()
    ours = served(around, http())
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert type(ours.raised) is LookupError
    assert [message.get("status") for message in ours.sent] == [500, None]
    assert b"server_error" in ours.sent[1]["body"]
    assert most < 2**21


def test_page_of_an_ignored_exception_stays_where_nobody_is_further_out() -> None:
    by_itself = served(crash, http())
    ours = served(ErrorMiddleware(crash, ignore=(LookupError,)), http())
    assert isinstance(ours.raised, LookupError)
    assert ours.sent == by_itself.sent


def test_who_is_to_answer_an_ignored_exception_finds_nothing_sent_of_its_page() -> None:
    around = ErrorMiddleware(ErrorMiddleware(crash, ignore=(LookupError,)))
    ours = served(around, http())
    assert isinstance(ours.raised, LookupError)
    assert [message.get("status") for message in ours.sent] == [500, None]
    assert b"server_error" in ours.sent[1]["body"]


@TRIED
@example([], REFUSED, 200, Application([], ClientDisconnect()), added)
@given(
    st.lists(extensions, max_size=2),
    starts("http.response.start"),
    st.integers(200, 399),
    http_applications,
    ways,
)
def test_a_success_is_untouched_however_it_goes_on(
    before: list[Message],
    start: Message,
    status: int,
    rest: Application,
    way: Callable[[ASGIApp, bool], ASGIApp],
) -> None:
    messages = [*before, {**start, "status": status}, *rest.messages]
    app = Application(messages, rest.ending, rest.container)
    bare, ours = served(app, http()), served(way(app, True), http())
    assert is_same(ours, bare)
    if not isinstance(bare.raised, GONE):
        # Starlette puts an exception of its own around one that it can't handle any more.
        seen = ours.raised and (ours.raised.__cause__ or ours.raised)
        assert type(seen) is type(bare.raised)


@TRIED
@example(None, wrapped, "GET", True)
@example(NotFoundError(), wrapped, "GET", True)
@example(OSError(5, "secret"), installed, "GET", True)
@example(OSError(5, "secret"), installed, "GET", False)
@given(st.none() | raised, ways, methods, st.booleans())
def test_what_has_not_started_is_answered_and_a_bug_is_raised_again(
    ending: BaseException | None,
    way: Callable[[ASGIApp, bool], ASGIApp],
    method: str,
    reraise: bool,
) -> None:
    app = Application([], ending)
    bare = served(app, http(method))
    ours = served(way(app, reraise), http(method))
    if isinstance(ending, PASSING) and not isinstance(ending, WebSocketDisconnect):
        assert is_same(ours, bare)
        assert (ours.raised is None) == (not isinstance(ending, GeneratorExit))
        return
    response = answered(ours, bare, method)
    assert b"secret" not in response.body
    if not isinstance(ending, AuthPIError | HTTPException):
        assert check(response) == []
    is_expected = ending is None or ErrorRegistry().find(ending) is not None
    is_over = is_expected or (isinstance(ending, Exception) and not reraise)
    assert ours.raised is (None if is_over else ending)


# The rules on the responses of others, said once more. Many meet only where three things do.

TRIED_OFTEN = settings(TRIED, max_examples=1_000)


def is_frameworks(status: int, fields: Mapping[str, str], body: bytes) -> bool:
    """Say whether a whole error response is one that a framework makes for itself."""
    length = fields.get("content-length", "")
    is_long = max(len(body), int(length) if length.isascii() and length.isdigit() else 0) > 2**16
    if is_long or {"content-encoding", "date", "via"} & set(fields):
        return False
    media_type = fields.get("content-type", "").split(";")[0].strip().lower()
    return (
        media_type == "text/plain"
        or (media_type == "application/json" and is_detail(body))
        or (not media_type and is_text(body))
    )


def is_text(body: bytes) -> bool:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return False
    is_document = text.lstrip(" \t\n\r\v\f").startswith(("<", "{", "["))
    controls = {*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0))} - {*"\t\r\n"}
    return not is_document and not controls & {*text}


def is_detail(body: bytes) -> bool:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return is_mapping(document) and set(document) == {"detail"}


NOT_JSON: Final[Sequence[Message]] = [
    {**REFUSED, "headers": [(b"content-type", b"application/json")]},
    {"type": "http.response.body", "body": b"Gone."},
]


@TRIED_OFTEN
@example(Application(NOT_JSON), wrapped, "GET")
@given(complete_responses(), ways, methods)
def test_only_what_is_a_frameworks_is_rewritten(
    app: Application, way: Callable[[ASGIApp, bool], ASGIApp], method: str
) -> None:
    bare = served(app, http(method))
    ours = served(way(app, True), http(method))
    start, body = bare.sent[0], b"".join(message["body"] for message in bare.sent[1:])
    fields: dict[str, str] = {}
    for name, value in start["headers"]:
        fields.setdefault(name.decode().lower(), value.decode("latin-1"))
    if not is_frameworks(start["status"], fields, body):
        event("left alone")
        assert is_same(ours, bare)
        return
    event("rewritten")
    response = answered(ours, bare, method)
    is_json = "json" in fields.get("content-type", "").lower()
    is_validation = start["status"] == 422 and is_json and b'"loc"' in body
    assert response.status == (400 if is_validation else start["status"])
    kept = {name for name, _ in response.headers}
    assert {"set-cookie", "x-mine", "vary", "allow"} & set(fields) <= kept
    assert response.status == 416 or "content-range" not in kept
    assert response.status == 412 or "etag" not in kept
    assert ours.raised is None


# WebSockets.


def is_closed_by_us(ours: Server, bare: Server) -> bool:
    """Say whether a close of ours is all that differs."""
    *before, close = ours.sent
    return (
        before == bare.sent[: len(before)]
        and close["type"] == "websocket.close"
        and close["code"] in (1008, 1011)
        and len(close["reason"].encode()) <= 123
        and ours.state == "nothing"
    )


DENIED: Final[Message] = {**REFUSED, "type": "websocket.http.response.start"}


@TRIED
@example(Application([DENIED], WebSocketDisconnect(1001)), wrapped, True, True)
@given(websocket_applications, ways, st.booleans(), st.booleans())
def test_a_websocket_is_untouched_or_denied_or_closed(
    app: Application, way: Callable[[ASGIApp, bool], ASGIApp], denial: bool, reraise: bool
) -> None:
    bare = served(app, websocket(denial=denial))
    ours = served(way(app, reraise), websocket(denial=denial))
    if is_same(ours, bare):
        event("untouched")
    elif isinstance(app.ending, GONE) and ours.is_untouched:
        event("not answered, since nobody waits")
    elif any(message["type"] == "websocket.accept" for message in ours.sent) or not denial:
        event("closed")
        assert is_closed_by_us(ours, bare)
    else:
        event("denied")
        answered(ours, bare)


@TRIED
@example(None, wrapped, True, True)
@example(WebSocketException(1008, "No."), wrapped, True, False)
@example(WebSocketException(1011, "No."), installed, False, True)
@given(st.none() | raised, ways, st.booleans(), st.booleans())
def test_a_websocket_that_is_not_accepted_is_denied_by_what_is_raised(
    ending: BaseException | None,
    way: Callable[[ASGIApp, bool], ASGIApp],
    denial: bool,
    accepted: bool,
) -> None:
    app = Application([{"type": "websocket.accept"}] if accepted else [], ending)
    bare = served(app, websocket(denial=denial))
    ours = served(way(app, True), websocket(denial=denial))
    if isinstance(ending, PASSING) or (ending is None and accepted):
        assert is_same(ours, bare)
    elif denial and not accepted:
        answered(ours, bare)
    else:
        assert is_closed_by_us(ours, bare)
