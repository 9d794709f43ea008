"""One connection in raw ASGI: what a client asks, what is sent, and whether ASGI allows that."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import anyio
from starlette.types import ASGIApp, Message, Scope

__all__ = ["Exchange", "Request", "exchange", "protocol_faults", "scope_of"]


@dataclass(frozen=True)
class Request:
    """What a client asks.

    Attributes:
        method: Of HTTP.
        path: Of both kinds of connection.
        headers: In lower case.
        body: In the pieces in which it arrives.
        kind: The protocol.
        denial: Whether the server can deny a WebSocket with an HTTP response.
        texts: What a WebSocket's client says once it is connected.
        leaves: Whether the client goes away after the last piece or text, before the answer.
        extensions: What else the server can.
    """

    method: str = "GET"
    path: str = "/"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: tuple[bytes, ...] = (b"",)
    kind: Literal["http", "websocket"] = "http"
    denial: bool = True
    texts: tuple[str, ...] = ()
    leaves: bool = False
    extensions: tuple[str, ...] = ()

    def with_headers(self, headers: Mapping[str, str]) -> "Request":
        return replace(self, headers={**self.headers, **headers})


@dataclass
class Exchange:
    """What an application sent, its headers and bodies as plain lists and bytes; what it raised."""

    messages: list[Message] = field(default_factory=list[Message])
    raised: BaseException | None = None

    @property
    def start(self) -> Message:
        """The start of the response; an empty one if there is none."""
        nothing: Message = {"status": None, "headers": []}
        starts = (each for each in self.messages if each["type"].endswith("http.response.start"))
        return next(starts, nothing)

    @property
    def status(self) -> int | None:
        status: int | None = self.start["status"]
        return status

    @property
    def body(self) -> bytes:
        return b"".join(
            each.get("body", b"")
            for each in self.messages
            if each["type"].endswith("http.response.body")
        )

    def header(self, name: str) -> list[str]:
        """Give the values of a header, in whatever case it is written."""
        return [
            value.decode("latin-1")
            for key, value in self.start.get("headers", [])
            if key.decode("latin-1").lower() == name
        ]

    def of_type(self, kind: str) -> list[Message]:
        return [message for message in self.messages if message["type"] == kind]


def scope_of(request: Request) -> Scope:
    scope: Scope = {
        "type": request.kind,
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": "http" if request.kind == "http" else "ws",
        "path": request.path,
        "raw_path": request.path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [
            (name.encode("latin-1"), value.encode("latin-1"))
            for name, value in {"host": "api.example", **request.headers}.items()
        ],
        "client": ("203.0.113.7", 50000),
        "server": ("api.example", 80),
        "state": {},
    }
    extensions = list(request.extensions)
    if request.kind == "http":
        scope["method"] = request.method
    else:
        scope["subprotocols"] = []
        extensions += ["websocket.http.response"] * request.denial
    if extensions:
        scope["extensions"] = {name: {} for name in extensions}
    return scope


_GONE: Mapping[str, Message] = {
    "http": {"type": "http.disconnect"},
    "websocket": {"type": "websocket.disconnect", "code": 1001, "reason": ""},
}


def _incoming(request: Request) -> Iterator[Message]:
    if request.kind == "http":
        last = len(request.body) - 1
        for index, piece in enumerate(request.body):
            more = index < last or request.leaves
            yield {"type": "http.request", "body": piece, "more_body": more}
    else:
        yield {"type": "websocket.connect"}
        for text in request.texts:
            yield {"type": "websocket.receive", "text": text}
    if request.leaves:
        yield _GONE[request.kind]


def _is_last(message: Message) -> bool:
    kind = message["type"]
    if kind.endswith("http.response.body"):
        return not message.get("more_body", False)
    return kind in {"websocket.close", "http.response.pathsend"}


def _plain(message: Message) -> Message:
    """Read what can be read only once, as a server would: when it is sent."""
    plain = dict(message)
    if "headers" in plain:
        plain["headers"] = [(bytes(name), bytes(value)) for name, value in plain["headers"]]
    if "body" in plain:
        plain["body"] = bytes(plain["body"])
    return plain


async def exchange(app: ASGIApp, request: Request) -> Exchange:
    """Serve one connection, and keep what the application raises."""
    seen = Exchange()
    incoming = _incoming(request)
    complete = anyio.Event()
    if request.leaves:
        complete.set()

    async def receive() -> Message:
        message = next(incoming, None)
        if message is None:
            message = _GONE[request.kind]
            # A client that does not leave waits for its answer.
            await complete.wait()
        return message

    async def send(message: Message) -> None:
        # A server waits for the network now and then.
        await anyio.lowlevel.checkpoint()
        seen.messages.append(_plain(message))
        if _is_last(message):
            complete.set()

    with anyio.move_on_after(10) as limit:
        try:
            await app(scope_of(request), receive, send)
        except BaseException as exc:
            seen.raised = exc
    assert not limit.cancel_called, f"It hangs; sent so far: {seen.messages}"
    return seen


def protocol_faults(request: Request, seen: Exchange) -> list[str]:
    """Give what ASGI does not allow in a complete answer."""
    faults = _http_faults if request.kind == "http" else _websocket_faults
    return [*faults(request, seen.messages)]


def _http_faults(request: Request, messages: list[Message]) -> Iterator[str]:
    yield from _response_faults(messages, "http.response")
    if request.method == "HEAD":
        yield from ("a body for HEAD" for message in messages if message.get("body"))


def _websocket_faults(request: Request, messages: list[Message]) -> Iterator[str]:
    kinds = [message["type"] for message in messages]
    yield from (f"{kind} on a WebSocket" for kind in kinds if not kind.startswith("websocket."))
    if kinds[:1] == ["websocket.http.response.start"]:
        if not request.denial:
            yield "a denial that the server can't send"
        yield from _response_faults(messages, "websocket.http.response")
        return
    if kinds[-1:] != ["websocket.close"] or kinds.count("websocket.close") != 1:
        yield f"no close at the end of {kinds}"
    if "websocket.accept" in kinds[1:] or "websocket.send" in kinds[:1]:
        yield f"an order that is none: {kinds}"
    for message in messages:
        reason = message.get("reason") or ""
        if not isinstance(reason, str) or len(reason.encode()) > 123:
            yield f"a reason that is none: {reason!r}"


def _response_faults(messages: list[Message], prefix: str) -> Iterator[str]:
    """Walk through a response: start, bodies, and at their end nothing but trailers."""
    known = {f"{prefix}.{part}" for part in ("start", "body", "pathsend", "trailers")}
    state = "start"
    for message in messages:
        kind = message["type"]
        if kind not in known:
            # An extension's, such as early hints; where it may stand is for the extension to say.
            continue
        expected = {"start": {"start"}, "body": {"body", "pathsend"}}.get(state, {state})
        if kind.removeprefix(f"{prefix}.") not in expected:
            yield f"{kind} in the place of {state}"
        state = _next_state(state, message, trailers=_has_trailers(messages))
        if kind.endswith(".start"):
            yield from _header_faults(message)
    if state != "nothing":
        yield f"no {state} at the end"


def _has_trailers(messages: list[Message]) -> bool:
    return any(message.get("trailers") is True for message in messages)


def _next_state(state: str, message: Message, *, trailers: bool) -> str:
    if state == "start":
        return "body"
    if message.get("more_body") or message.get("more_trailers"):
        return state
    return "trailers" if trailers and state == "body" else "nothing"


def _header_faults(start: Message) -> Iterator[str]:
    if not isinstance(start["status"], int):
        yield f"a status that is {start['status']!r}"
    fields: list[tuple[Any, Any]] = start.get("headers", [])
    for name, value in fields:
        if b"\r" in value or b"\n" in value or not name:
            yield f"a header {name!r} of several lines or without a name"
