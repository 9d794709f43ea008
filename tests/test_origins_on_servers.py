"""Where errors come from, on every server: what arrives there is what was sent in process."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache

import pytest
from starlette.types import Message

from tests.exchanges import Exchange
from tests.gallery import cors_of
from tests.origins import ORIGIN, ORIGINS, Origin
from tests.serving import SERVERS, Server
from tests.test_origins import faults
from tests.wire import Answer, Http1, Http2, Talk, talk


@pytest.fixture(scope="module")
def port_of() -> Iterator[Callable[[str], int]]:
    """Start each server when it is first asked for; all stop in the end."""
    with ExitStack() as stack:

        @cache
        def port(name: str) -> int:
            return stack.enter_context(SERVERS[name].serve("tests.gallery:app")).port

        yield port


def asked(index: int) -> list[tuple[str, str]]:
    given = {"host": "api.example", "origin": ORIGIN, **ORIGINS[index].request.headers}
    return [*given.items(), ("x-origin", str(index))]


def response(answer: Answer, prefix: str = "") -> list[Message]:
    headers = [(name.encode(), value.encode("latin-1")) for name, value in answer.headers]
    return [
        {"type": f"{prefix}http.response.start", "status": answer.status, "headers": headers},
        {"type": f"{prefix}http.response.body", "body": answer.body},
    ]


def conversation(result: Talk) -> list[Message]:
    if result.denied is not None:
        return response(result.denied, "websocket.")
    texts = [{"type": "websocket.send", "text": text} for text in result.texts]
    close = {"type": "websocket.close", "code": result.code, "reason": result.reason}
    return [{"type": "websocket.accept"}, *texts, close]


def can_be_tried(origin: Origin, server: Server) -> bool:
    if origin.asyncio_only and server.on_trio:
        return False
    if origin.request.kind == "websocket":
        # The client speaks HTTP/1.1, and expects to be denied with a response.
        return origin.request.denial and server.denies and not server.http2
    # Few servers have the extensions with which something comes before a response.
    return origin.over_the_wire and not origin.answer.before


def tried(kind: str) -> pytest.MarkDecorator:
    """Have every server asked for every origin of that kind."""
    cases = [
        pytest.param(name, index, id=f"{name}, {origin.row}, {origin.name}")
        for name, server in SERVERS.items()
        for index, origin in enumerate(ORIGINS)
        if origin.request.kind == kind and can_be_tried(origin, server)
    ]
    return pytest.mark.parametrize(("name", "index"), cases)


def check(origin: Origin, index: int, messages: list[Message]) -> None:
    assert faults(origin, cors_of(index), Exchange(messages)) == []


@tried("http")
def test_response(name: str, index: int, port_of: Callable[[str], int]) -> None:
    origin = ORIGINS[index]
    request = origin.request
    with (Http2 if SERVERS[name].http2 else Http1)(port_of(name)) as client:
        answer = client.request(request.method, request.path, asked(index), *request.body)
    assert answer.complete
    assert answer.surplus == b""
    check(origin, index, response(answer))


@tried("websocket")
def test_websocket(name: str, index: int, port_of: Callable[[str], int]) -> None:
    result = talk(port_of(name), ORIGINS[index].request.path, asked(index))
    check(ORIGINS[index], index, conversation(result))
