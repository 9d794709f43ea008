"""A server that is used for long: every request has its answer, and nothing grows.

It is uvicorn with uvloop and httptools, in a process of its own. Clients ask for successes and for
errors of every kind, leave in the middle, and read slowly: for a minute, or for `--soak-seconds`.
"""

import asyncio
import json
import random
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest

HOST: Final = "127.0.0.1"
CLIENTS: Final = 24
# What the memory may grow by, in bytes, once it is warm: a leak of 200 for each request is more,
# in a minute.
GROWTH: Final = 2 * 2**20

# For how many seconds uvicorn keeps a connection that is idle, and remembers one whose client has
# left in the middle. It is warm after that.
KEPT: Final = 10

# For how many seconds a client waits for one answer, on a machine that has other things to do.
PATIENCE: Final = 120

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True)
class Kind:
    """A request, and what becomes of it.

    Attributes:
        head: Its request line, and a body.
        outcome: What the client makes of the answer: its status and code, and how it ends.
        ask: Asks, and tells the outcome.
        ends: Whether the connection is at its end after it.
    """

    head: str
    outcome: str
    ask: Callable[["Kind", Streams], Awaitable[str]]
    ends: bool = False

    @property
    def bytes(self) -> bytes:
        line, _, body = self.head.partition("\n")
        length = f"content-length: {len(body)}\r\n" if body else ""
        return f"{line} HTTP/1.1\r\nhost: {HOST}\r\n{length}\r\n{body}".encode()

    @property
    def path(self) -> str:
        return self.head.split()[1].partition("?")[0]


async def answer(reader: asyncio.StreamReader, slowly: float = 0) -> str:
    """Read one response; tell its status and code, or its length."""
    head = await reader.readuntil(b"\r\n\r\n")
    line, *fields = head.decode("latin-1").lower().strip().split("\r\n")
    headers = dict(field.split(": ", 1) for field in fields)
    status = line.split()[1]
    body = b""
    if "content-length" in headers:
        body = await _exactly(reader, int(headers["content-length"]), slowly)
    while "chunked" in headers.get("transfer-encoding", ""):
        size = int(await reader.readuntil(b"\r\n"), 16)
        body += (await _exactly(reader, size + 2, slowly))[:-2]
        if not size:
            break
    if status >= "400":
        members = json.loads(body)
        assert members["error_description"]
        return f"{status} {members['error']}"
    return f"{status} {len(body)}"


async def _exactly(reader: asyncio.StreamReader, size: int, slowly: float) -> bytes:
    body = bytearray()
    while len(body) < size:
        body += (piece := await reader.read(min(size - len(body), 65_536)))
        if not piece:
            raise asyncio.IncompleteReadError(bytes(body), size)
        await asyncio.sleep(slowly)
    return bytes(body)


# How clients behave.


async def asked(kind: Kind, streams: Streams) -> str:
    reader, writer = streams
    writer.write(kind.bytes)
    told = await answer(reader)
    return f"{told}, closed" if kind.ends and not await reader.read() else told


async def read_slowly(kind: Kind, streams: Streams) -> str:
    reader, writer = streams
    writer.write(kind.bytes)
    return await answer(reader, slowly=0.01)


async def cut(kind: Kind, streams: Streams) -> str:
    """Expect the server to cut the connection in the middle of the response."""
    reader, writer = streams
    writer.write(kind.bytes)
    try:
        return await answer(reader)
    except asyncio.IncompleteReadError:
        return "cut"


async def left_at_once(kind: Kind, streams: Streams) -> str:
    writer = streams[1]
    writer.write(kind.bytes)
    await writer.drain()
    writer.transport.abort()
    return "left"


async def left_before_the_end_of_the_body(kind: Kind, streams: Streams) -> str:
    writer = streams[1]
    writer.write(kind.bytes[:-1])
    await writer.drain()
    writer.transport.abort()
    return "left"


async def left_in_the_middle(kind: Kind, streams: Streams) -> str:
    reader, writer = streams
    writer.write(kind.bytes)
    await reader.readuntil(b"\r\n\r\n")
    writer.transport.abort()
    return "left"


async def shook_hands(kind: Kind, streams: Streams) -> str:
    """Open a WebSocket; tell how it is denied, or with which code it is closed (RFC 6455, 5.2)."""
    reader, writer = streams
    handshake = "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n"
    handshake += "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    writer.write(kind.bytes[:-2] + handshake.encode())
    if "refused" in kind.head:
        return await answer(reader)
    await reader.readuntil(b"\r\n\r\n")
    told = ""
    while True:
        first, size = await reader.readexactly(2)
        payload = await reader.readexactly(size)
        if first & 0x0F == 8:
            return f"{told}, {int.from_bytes(payload[:2], 'big')} {payload[2:].decode()}"
        told += payload.decode()


STREAM: Final = 8_192 * 64
KINDS: Final[Mapping[str, Kind]] = {
    "a success": Kind("GET /fine?id=7", "200 19", asked),
    "a body": Kind("POST /body\nhello", "200 1", asked),
    "no resource": Kind("GET /codes/not_found", "404 not_found", asked),
    "no session": Kind("GET /codes/session_expired", "401 session_expired", asked),
    "too many": Kind("GET /codes/usage_limit_exceeded", "429 usage_limit_exceeded", asked),
    "an old version": Kind("GET /codes/precondition_failed", "412 precondition_failed", asked),
    "in a mount": Kind("GET /mounted/codes/not_found", "404 not_found", asked),
    "in a wrapped mount": Kind("GET /wrapped/codes/not_found", "404 not_found", asked),
    "no route": Kind("GET /nowhere", "404 not_found", asked),
    "a wrong method": Kind("DELETE /fine", "405 invalid_request", asked),
    "not valid": Kind("GET /validated?number=x", "400 invalid_request", asked),
    "too large": Kind("POST /body\n" + "x" * 1_001, "413 invalid_request", asked),
    "a group": Kind("GET /group", "403 access_denied", asked),
    "an HTTPException": Kind("GET /refused", "418 invalid_request", asked),
    "plain text": Kind("GET /plain", "410 not_found", asked),
    "a bug": Kind("GET /bug", "500 server_error, closed", asked, ends=True),
    "a bug in a mount": Kind("GET /mounted/bug", "500 server_error, closed", asked, ends=True),
    "a bug in a wrapped mount": Kind(
        "GET /wrapped/bug", "500 server_error, closed", asked, ends=True
    ),
    "a stream": Kind("GET /stream", f"200 {STREAM}", asked),
    "a broken stream": Kind("GET /broken-stream", "cut", cut, ends=True),
    "a slow reader": Kind("GET /stream", f"200 {STREAM}", read_slowly),
    "a slow reader of an error": Kind("GET /large", "409 conflict", read_slowly),
    "left at once": Kind("GET /slow", "left", left_at_once, ends=True),
    "left before the end of the body": Kind(
        "POST /body\nhello", "left", left_before_the_end_of_the_body, ends=True
    ),
    "left in the middle": Kind("GET /stream", "left", left_in_the_middle, ends=True),
    "left in the middle of an error": Kind("GET /large", "left", left_in_the_middle, ends=True),
    "a WebSocket refused": Kind(
        "GET /websocket/refused", "403 access_denied", shook_hands, ends=True
    ),
    "a WebSocket ended": Kind(
        "GET /websocket/ended", "hello, 1008 session_expired", shook_hands, ends=True
    ),
}


@contextmanager
def serving() -> Generator[tuple[int, int]]:
    """Serve in a process; give its port and its id."""
    folder = str(Path(__file__).parent)
    with socket.create_server((HOST, 0)) as listener:
        command = "-m uvicorn service:app --loop uvloop --http httptools --ws wsproto"
        command += f" --no-access-log --log-level error --timeout-keep-alive {KEPT}"
        process = subprocess.Popen(
            [sys.executable, *command.split(), "--fd", str(listener.fileno()), "--app-dir", folder],
            pass_fds=[listener.fileno()],
            stdin=subprocess.DEVNULL,
        )
        try:
            yield listener.getsockname()[1], process.pid
        finally:
            process.terminate()
            process.wait(30)


async def use(port: int, until: float, seed: int) -> Counter[tuple[str, str]]:
    """Ask for one kind after another; count the outcomes of each."""
    chosen = random.Random(seed)
    told: Counter[tuple[str, str]] = Counter()
    streams: Streams | None = None
    while time.monotonic() < until:
        name = chosen.choice(list(KINDS))
        kind = KINDS[name]
        streams = streams or await asyncio.open_connection(HOST, port)
        begun = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE):
                outcome = await kind.ask(kind, streams)
        except (OSError, EOFError, ValueError, TimeoutError) as failure:
            outcome = f"lost: {failure!r}"
        told[name, outcome] += 1
        # A client that had to wait for its turn may have had the answer for long: the server could
        # end the idle connection just when the next request goes out (RFC 9112, 9.5).
        is_old = time.monotonic() - begun > KEPT / 2
        if kind.ends or is_old or outcome.startswith("lost"):
            streams[1].close()
            streams = None
    if streams is not None:
        streams[1].close()
    return told


def resident(process: int) -> int:
    """Give the resident memory of a process, in bytes."""
    fields = Path(f"/proc/{process}/smaps_rollup").read_text().split()
    return int(fields[fields.index("Rss:") + 1]) * 1_024


def open_files(process: int) -> int:
    return len(list(Path(f"/proc/{process}/fd").iterdir()))


async def account(port: int) -> dict[str, Any]:
    """Ask the server for its account of itself."""
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(b"GET /account HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
    raw = await reader.read()
    writer.close()
    found: dict[str, Any] = json.loads(raw.partition(b"\r\n\r\n")[2])
    return found


async def settled(port: int, process: int) -> dict[str, Any]:
    """Give the server's account once it does not change any more, with its open files."""
    found: list[dict[str, Any]] = []
    for _ in range(50):
        account_now = await account(port)
        del account_now["answers"]["/account 200"]
        await asyncio.sleep(0.2)
        found.append({**account_now, "files": open_files(process)})
        if len(found) > 3 and found[-1] == found[-2] == found[-3]:
            break
    return found[-1]


@dataclass(frozen=True)
class Soak:
    """What there was to see.

    Attributes:
        told: How often each kind had each outcome.
        before: The server's account of itself after a request of each kind.
        after: The same at the end.
        memory: Its resident memory, in bytes, at even intervals.
    """

    told: Counter[tuple[str, str]]
    before: dict[str, Any]
    after: dict[str, Any]
    memory: list[int]

    def asked(self, *paths: str) -> int:
        """Say how often the clients have asked for what is at these paths."""
        return sum(count for (name, _), count in self.told.items() if KINDS[name].path in paths)


async def soaked(port: int, process: int, seconds: float) -> Soak:
    """Let the clients use the server."""
    await _started(port)
    warm = await _used(port, max(seconds / 4, KEPT + 1))
    before = await settled(port, process)
    memory = [resident(process)]
    using = asyncio.create_task(_used(port, seconds * 3 / 4))
    while not using.done():
        await asyncio.wait([using], timeout=seconds / 40)
        memory.append(resident(process))
    return Soak(warm + using.result(), before, await settled(port, process), memory)


async def _started(port: int) -> None:
    for _ in range(300):
        with suppress(OSError, ValueError):
            async with asyncio.timeout(PATIENCE):
                await account(port)
            return
        await asyncio.sleep(0.1)


async def _used(port: int, seconds: float) -> Counter[tuple[str, str]]:
    until = time.monotonic() + seconds
    told = await asyncio.gather(*(use(port, until, seed) for seed in range(CLIENTS)))
    return sum(told, Counter[tuple[str, str]]())


@pytest.fixture(scope="module")
def soak(request: pytest.FixtureRequest) -> Generator[Soak]:
    seconds: Any = request.config.getoption("--soak-seconds")
    with serving() as (port, process):
        yield asyncio.run(soaked(port, process, seconds))


@pytest.mark.parametrize("name", KINDS)
def test_every_request_has_its_answer(name: str, soak: Soak) -> None:
    outcomes = {outcome: count for (kind, outcome), count in soak.told.items() if kind == name}
    assert list(outcomes) == [KINDS[name].outcome], outcomes
    assert outcomes[KINDS[name].outcome] > 10


def test_the_server_has_answered_what_the_clients_have_asked(soak: Soak) -> None:
    answers: dict[str, int] = soak.after["answers"]
    whole = [kind for kind in KINDS.values() if kind.outcome not in ("left", "cut")]
    expected = Counter(f"{kind.path} {kind.outcome[:3]}" for kind in whole)
    assert set(expected) - {"/websocket/ended hel"} <= set(answers)
    for line, count in answers.items():
        path = line.split()[0]
        # Who leaves at once may not be seen at all.
        assert count <= soak.asked(path)
    for path in ("/fine", "/stream", "/large", "/bug", "/nowhere", "/group", "/plain"):
        assert _answered(answers, path) == soak.asked(path)


def _answered(answers: Mapping[str, int], path: str) -> int:
    return sum(count for line, count in answers.items() if line.split()[0] == path)


def test_every_bug_is_in_the_log_once_with_its_reference(soak: Soak) -> None:
    bugs = soak.asked("/bug", "/mounted/bug", "/wrapped/bug")
    assert soak.after["logged"] == {
        "LookupError with reference": bugs,
        "LookupError without reference": soak.asked("/broken-stream"),
    }


def test_every_error_is_one_record_of_the_library(soak: Soak) -> None:
    expected: Counter[str] = Counter()
    for line, count in soak.after["answers"].items():
        expected[line.split()[1]] += count
    # A WebSocket that was accepted has no status; the error that ends it has one.
    expected["401"] += soak.asked("/websocket/ended")
    errors = {status for status in expected if status >= "400"}
    records: dict[str, int] = soak.after["records"]
    assert records.keys() == errors
    assert {status: records[status] for status in errors} == {
        status: expected[status] for status in errors
    }


@pytest.mark.parametrize("what", ["tasks", "objects", "files"])
def test_nothing_is_left_open(what: str, soak: Soak) -> None:
    assert soak.after[what] == soak.before[what]


def test_memory_is_flat(soak: Soak, record_property: Callable[[str, object], None]) -> None:
    quarter = len(soak.memory) // 4
    early, late = max(soak.memory[:quarter]), max(soak.memory[-quarter:])
    megabytes = [f"{size / 2**20:.1f}" for size in soak.memory]
    record_property("requests", sum(soak.told.values()))
    record_property("memory in MiB", megabytes)
    assert late - early < GROWTH, megabytes
    assert not _rises(soak.memory)


def _rises(sizes: Iterable[int]) -> bool:
    """Say whether it grows nearly all the time, however little."""
    steps = [after - before for before, after in pairwise(sizes)]
    return sum(step > 0 for step in steps) > len(steps) * 0.9
