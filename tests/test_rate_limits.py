"""Limits that two worker processes share: real workers, and a real Redis that goes away."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from fastapi import FastAPI
from slowapi import Limiter
from slowapi.errors import RateLimitExceeded
from slowapi.middleware import SlowAPIASGIMiddleware, SlowAPIMiddleware
from slowapi.util import get_remote_address
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from authpi_errors import ErrorMiddleware, install
from examples.rate_limits import with_slowapi

HOST: Final = "127.0.0.1"
TIMEOUT: Final = 30

# What both examples allow: so many requests in so many seconds.
LIMIT: Final = 5
WINDOW: Final = 3

# A line for each request, with the process that has answered it.
LOGGING: Final = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"process": {"format": "%(process)d %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "process"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
}


class RedisServer:
    """A Redis that keeps nothing, on a port that stays its own while it is away."""

    def __init__(self, program: str, folder: str) -> None:
        self._reserved = socket.socket()
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reserved.bind((HOST, 0))
        self.port: int = self._reserved.getsockname()[1]
        options = f"--bind {HOST} --port {self.port} --dir {folder} --appendonly no --save"
        self._command = [program, *options.split(), ""]
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        wait_until(lambda: accepts(self.port), "Redis does not start")

    def _kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        self._kill()
        self._reserved.close()

    def forget(self) -> None:
        with socket.create_connection((HOST, self.port)) as client:
            client.sendall(b"FLUSHALL\r\n")
            assert client.recv(99) == b"+OK\r\n"

    @contextmanager
    def killed(self) -> Generator[None]:
        self._kill()
        try:
            yield
        finally:
            self._start()

    @contextmanager
    def hanging(self) -> Generator[None]:
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)


class Reply(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: dict[str, Any]


def ask(connection: http.client.HTTPConnection, path: str = "/report") -> Reply:
    connection.request("GET", path)
    response = connection.getresponse()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Reply(response.status, headers, json.loads(response.read()))


@dataclass(frozen=True)
class Deployment:
    """An application at work on two processes.

    Attributes:
        server: The Redis that they share.
        port: Their port.
        log: Gives what they have logged so far.
    """

    server: RedisServer
    port: int
    log: Callable[[], str]

    @contextmanager
    def connected_to_both(self) -> Generator[list[http.client.HTTPConnection]]:
        """Connect until each process has taken a connection: it answers all that comes on it."""
        found: dict[str, http.client.HTTPConnection] = {}
        deadline = time.monotonic() + TIMEOUT
        with ExitStack() as stack:
            while len(found) < 2:
                assert time.monotonic() < deadline, "one process takes all connections"
                connection = http.client.HTTPConnection(HOST, self.port, timeout=TIMEOUT)
                stack.enter_context(closing(connection))
                # This page is not limited.
                assert ask(connection, "/openapi.json").status == 200
                found.setdefault(self._answered_by(connection), connection)
            yield list(found.values())

    def _answered_by(self, connection: http.client.HTTPConnection) -> str:
        port: int = connection.sock.getsockname()[1]
        line = re.search(rf"^(\d+) {HOST}:{port} - ", self.log(), re.MULTILINE)
        assert line is not None
        return line[1]


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def wait_until(is_so: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not is_so():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.02)


def redis_server() -> str:
    """Find Redis. On a machine that tests for others it must be there."""
    path = shutil.which("redis-server")
    if path is None and os.environ.get("CI"):
        pytest.fail("There is no redis-server on PATH: install Debian's package redis-server.")
    if path is None:
        pytest.skip("There is no redis-server on PATH, such as that of Debian's redis-server.")
    return path


@contextmanager
def two_workers(application: str, server: RedisServer, folder: Path) -> Generator[Deployment]:
    """Serve an application as its docstring says, with warnings as errors."""
    configuration, log = folder / "logging.json", folder / "log"
    configuration.write_text(json.dumps(LOGGING))
    with socket.create_server((HOST, 0)) as listener, log.open("w") as output:
        options = f"--workers 2 --fd {listener.fileno()} --timeout-keep-alive {TIMEOUT}"
        options += f" --log-config {configuration} {application}"
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "uvicorn", *options.split()],
            cwd=folder,
            env={
                **os.environ,
                "REDIS_URL": f"redis://{HOST}:{server.port}?socket_timeout=1",
                # The application and authpi_errors are found where they are found here.
                "PYTHONPATH": os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path),
                "PYTHONWARNINGS": "error",
            },
            pass_fds=[listener.fileno()],
            stderr=output,
            start_new_session=True,
        )
        try:
            wait_until(
                lambda: log.read_text().count("Application startup complete.") == 2,
                "the workers do not start",
            )
            yield Deployment(server, listener.getsockname()[1], log.read_text)
        finally:
            process.terminate()
            try:
                process.wait(TIMEOUT)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(
    scope="module", params=["examples.rate_limits.with_limits", "examples.rate_limits.with_slowapi"]
)
def running(request: pytest.FixtureRequest) -> Iterator[Deployment]:
    program = redis_server()
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(RedisServer(program, folder)) as server,
        two_workers(f"{request.param}:app", server, Path(folder)) as deployment,
    ):
        yield deployment


@pytest.fixture
def deployment(running: Deployment) -> Deployment:
    """Give the application with nothing counted."""
    running.server.forget()
    return running


def delay(reply: Reply) -> int:
    """Check a refusal, and give the seconds until it is worth to come back."""
    assert reply.status == 429
    assert list(reply.body) == ["error", "error_description", "retryable", "retry_after"]
    assert reply.body["error"] == "usage_limit_exceeded"
    assert reply.body["retryable"] is True
    seconds = reply.body["retry_after"]
    assert type(seconds) is int
    assert reply.headers["retry-after"] == str(seconds)
    assert 0 < seconds <= WINDOW
    return seconds


def test_the_limit_holds_across_both_workers(deployment: Deployment) -> None:
    with deployment.connected_to_both() as (one, other):
        replies = [ask(connection) for _ in range(LIMIT) for connection in (one, other)]
    assert [reply.status for reply in replies[:LIMIT]] == [200] * LIMIT
    for reply in replies[LIMIT:]:
        delay(reply)


def test_who_comes_back_when_the_answer_says_so_is_let_through(deployment: Deployment) -> None:
    with deployment.connected_to_both() as (one, other):
        for _ in range(LIMIT):
            assert ask(one).status == 200
        first = delay(ask(other))
        time.sleep(1)
        second = delay(ask(other))
        # What is left, not the length of the window.
        assert second < first
        time.sleep(second)
        assert ask(other).status == 200


@pytest.mark.parametrize(
    "away",
    [
        pytest.param(RedisServer.killed, id="Redis is killed"),
        pytest.param(RedisServer.hanging, id="Redis hangs"),
    ],
)
def test_without_redis_a_request_is_worth_repeating_later(
    away: Callable[[RedisServer], AbstractContextManager[None]], deployment: Deployment
) -> None:
    with deployment.connected_to_both() as connections:
        with away(deployment.server):
            replies = [ask(connection) for connection in connections]
        # It is, on the connections that there are.
        assert [ask(connection).status for connection in connections] == [200, 200]
    for reply in replies:
        assert reply.status == 503
        reference = reply.body["reference"]
        # Not a word about Redis, or where it is.
        assert reply.body == {
            "error": "server_error",
            "error_description": "Requests can't be counted at the moment.",
            "reference": reference,
            "retryable": True,
            "retry_after": 5,
        }
        assert reply.headers["retry-after"] == "5"
        log = deployment.log()
        answered = re.findall(rf"Answered GET /report with 503 .*, reference {reference}: .*", log)
        assert len(answered) == 1
        assert answered[0].endswith((".ConnectionError", ".TimeoutError", ".StorageError"))
        # Nobody has to look for a bug.
        assert log.count(reference) == 1
        assert "Traceback" not in log


async def fine() -> None: ...


def outside(app: FastAPI) -> ASGIApp:
    install(app)
    return app


def inside(app: FastAPI) -> ASGIApp:
    app.add_middleware(ErrorMiddleware)
    return app


@pytest.mark.parametrize("middleware", [SlowAPIMiddleware, SlowAPIASGIMiddleware])
@pytest.mark.parametrize(
    "way",
    [
        pytest.param(outside, id="install"),
        pytest.param(inside, id="add_middleware"),
        pytest.param(ErrorMiddleware, id="wrapping"),
    ],
)
def test_slowapis_middleware_refuses_with_the_same_handler(
    way: Callable[[FastAPI], ASGIApp], middleware: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    limiter = Limiter(
        get_remote_address, strategy="moving-window", default_limits=[f"1 per {WINDOW} seconds"]
    )
    monkeypatch.setattr(with_slowapi, "limiter", limiter)
    app = FastAPI()
    app.state.limiter = limiter
    app.add_exception_handler(RateLimitExceeded, with_slowapi.refuse)
    app.add_middleware(middleware)
    app.add_api_route("/report", fine)
    client = TestClient(way(app))
    assert client.get("/report").status_code == 200
    refused = client.get("/report")
    delay(Reply(refused.status_code, refused.headers, refused.json()))


def test_where_tests_must_not_be_left_out_a_missing_redis_fails_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="install Debian's package redis-server"):
        redis_server()


def test_elsewhere_a_missing_redis_skips_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no redis-server"):
        redis_server()
