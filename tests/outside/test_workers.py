"""Several workers of uvicorn behind nginx: all answer alike, and killing one loses nothing.

Nothing is shared between the processes; each imports this module, and so makes the same registry.
"""

import asyncio
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from authpi_errors import ConflictError, ErrorCode, ErrorRegistry, NotFoundError, install
from authpi_errors.compliance import Response, check

HOST: Final = "127.0.0.1"
WORKERS: Final = 4
CLIENTS: Final = 16

# What the workers serve.

REGISTRY: Final = ErrorRegistry(
    codes=[ErrorCode("quota_exhausted", 402, "The plan's quota is used up.")],
    exceptions={LookupError: "quota_exhausted"},
)


async def missing(seconds: float = 0.05) -> None:
    # As long as a database takes, or as is asked for: then it is under way when a worker dies.
    await asyncio.sleep(seconds)
    raise NotFoundError


async def exhausted() -> None:
    await asyncio.sleep(0.05)
    raise LookupError


async def busy() -> None:
    raise ConflictError(status=503, retry_after=5)


async def validated(number: int) -> None: ...


async def codes() -> str:
    said = repr(sorted(REGISTRY.codes.items()))
    return hashlib.sha256(said.encode()).hexdigest()


def signed(served: ASGIApp) -> ASGIApp:
    """Add to each response which process it comes from."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        def sign(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                message["headers"].append((b"x-worker", b"%d" % os.getpid()))
            return send(message)

        await served(scope, receive, sign)

    return call


api = FastAPI()
install(api, registry=REGISTRY)
api.add_api_route("/missing", missing, methods=["GET", "POST"])
api.add_api_route("/exhausted", exhausted)
api.add_api_route("/busy", busy)
api.add_api_route("/validated", validated)
api.add_api_route("/codes", codes)
app = signed(api)

EXPECTED: Final = {
    "/missing": (404, "not_found"),
    "/exhausted": (402, "quota_exhausted"),
    "/busy": (503, "conflict"),
    "/validated?number=x": (400, "invalid_request"),
    "/nowhere": (404, "not_found"),
}

SLOW: Final = "/missing?seconds=2"

# What nginx has to know. A worker that dies cuts its connections: a GET is then asked again, of a
# worker that lives, since all of them take from one socket. What nginx has to answer by itself
# keeps to the contract; a log format with $request_id has the reference.
CONFIGURATION: Final = """
daemon off;
master_process off;
pid {folder}/pid;
error_log stderr crit;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream workers {{
        server {host}:{upstream} max_fails=0;
        server {host}:{upstream} max_fails=0;
        server {host}:{upstream} max_fails=0;
    }}
    server {{
        listen {host}:{port};
        client_max_body_size 1k;
        error_page 413 = @too_large;
        error_page 502 503 504 = @unavailable;
        location / {{
            proxy_pass http://workers;
            proxy_next_upstream error timeout;
            add_header X-Tries $upstream_status always;
        }}
        location @too_large {{
            internal;
            default_type application/json;
            add_header Cache-Control no-store always;
            return 413 '{{
                "error": "invalid_request",
                "error_description": "The body is too large.",
                "reference": "$request_id",
                "retryable": false
            }}';
        }}
        location @unavailable {{
            internal;
            default_type application/json;
            add_header Cache-Control no-store always;
            add_header Retry-After 1 always;
            return 503 '{{
                "error": "server_error",
                "error_description": "The service is not available just now. Try again.",
                "reference": "$request_id",
                "retryable": true,
                "retry_after": 1
            }}';
        }}
    }}
}}
"""


def nginx() -> str:
    """Find the program. On a machine that tests for others it must be there."""
    path = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    if path is None and os.environ.get("CI"):
        pytest.fail("There is no nginx: install Debian's package nginx-light.")
    if path is None:
        pytest.skip("There is no nginx, such as that of Debian's package nginx-light.")
    return path


def free_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@contextmanager
def running(*command: str, port: int, pass_fds: tuple[int, ...] = ()) -> Generator[None]:
    """Run a program until the end, from when it listens."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, pass_fds=pass_fds, start_new_session=True
    )
    try:
        deadline = time.monotonic() + 30
        while not _listens(port):
            assert process.poll() is None, f"{command[0]} does not start"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


@contextmanager
def proxied(folder: Path, upstream: int) -> Generator[str]:
    """Run nginx in front of what is at a port; give its URL."""
    port = free_port()
    written = CONFIGURATION.format(folder=folder, host=HOST, port=port, upstream=upstream)
    folder.joinpath("nginx.conf").write_text(written)
    with running(nginx(), "-p", str(folder), "-c", str(folder / "nginx.conf"), port=port):
        yield f"http://{HOST}:{port}"


@contextmanager
def workers() -> Generator[int]:
    """Run uvicorn with its workers; give its port."""
    port = free_port()
    command = f"-m uvicorn test_workers:app --workers {WORKERS} --port {port} --no-access-log"
    command += " --log-level critical --app-dir"
    folder = str(Path(__file__).parent)
    with running(sys.executable, *command.split(), folder, port=port):
        yield port


@dataclass
class Load:
    """What the clients have seen.

    Attributes:
        answers: How often each request had each answer: method, path, status, code.
        codes: Which codes each worker has answered with.
        digests: What each worker has said of its registry.
        repeated: How many requests were asked of a second worker, since the first had died.
        lost: Requests without an answer.
    """

    answers: Counter[tuple[str, str, int, str]] = field(
        default_factory=Counter[tuple[str, str, int, str]]
    )
    codes: dict[int, set[str]] = field(default_factory=dict[int, set[str]])
    digests: dict[int, str] = field(default_factory=dict[int, str])
    repeated: int = 0
    lost: list[str] = field(default_factory=list[str])

    async def ask(self, client: httpx.AsyncClient, method: str, path: str) -> None:
        try:
            response = await client.request(method, path)
            said = response.json()
        except (httpx.HTTPError, ValueError) as failure:
            self.lost.append(f"{method} {path}: {failure!r}")
            return
        worker = int(response.headers.get("x-worker", 0))
        self.repeated += "," in response.headers.get("x-tries", "")
        if isinstance(said, str):
            self.digests[worker] = said
            return
        self.answers[method, path, response.status_code, said["error"]] += 1
        self.codes.setdefault(worker, set()).add(said["error"])

    async def keep_asking(self, client: httpx.AsyncClient, workers: int, until: float) -> None:
        """Ask for everything until so many workers have answered."""
        while len(self.heard()) < workers and time.monotonic() < until:
            for path in (*EXPECTED, "/codes"):
                await self.ask(client, "GET", path)
            await self.ask(client, "POST", "/missing")

    def heard(self) -> set[int]:
        """Give the workers that have answered with every code, and told of their registry."""
        wanted = {code for _, code in EXPECTED.values()}
        heard = {worker for worker, codes in self.codes.items() if wanted <= codes}
        return heard & set(self.digests)


def _connections(worker: int) -> int:
    """Count what a worker has open: nginx has a connection for each request."""
    return len(list(Path(f"/proc/{worker}/fd").iterdir()))


async def _busy(idle: Mapping[int, int]) -> int:
    """Give a worker as soon as it has more open than when it was idle."""
    async with asyncio.timeout(60):
        while True:
            for worker, connections in idle.items():
                if _connections(worker) > connections:
                    return worker
            await asyncio.sleep(0.01)


async def put_under_load(url: str) -> Load:
    """Ask until all workers have answered; kill one; go on until the one in its place has."""
    load = Load()
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:

        async def asked(workers: int) -> None:
            until = time.monotonic() + 60
            asking = (load.keep_asking(client, workers, until) for _ in range(CLIENTS))
            await asyncio.gather(*asking)

        await asked(WORKERS)
        idle = {worker: _connections(worker) for worker in load.heard()}
        under_way = asyncio.gather(*(load.ask(client, "GET", SLOW) for _ in range(CLIENTS)))
        os.kill(await _busy(idle), signal.SIGKILL)
        await asked(WORKERS + 1)
        await under_way
    return load


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Load]:
    """Kill a worker under load."""
    nginx()
    with workers() as port, proxied(tmp_path_factory.mktemp("nginx"), port) as url:
        yield asyncio.run(put_under_load(url))


def test_nothing_is_lost_when_a_worker_is_killed(load: Load) -> None:
    assert load.lost == []
    assert load.repeated > 0
    got = {
        (path, (status, code)) for (method, path, status, code) in load.answers if method == "GET"
    }
    assert got == {*EXPECTED.items(), (SLOW, (404, "not_found"))}


def test_a_request_that_must_not_be_repeated_has_an_answer_of_the_contract(load: Load) -> None:
    got = {answer[2:] for answer in load.answers if answer[0] == "POST"}
    assert got <= {(404, "not_found"), (503, "server_error")}
    assert (404, "not_found") in got


def test_all_workers_answer_and_the_one_in_the_place_of_the_killed_one(load: Load) -> None:
    assert len(load.heard()) == WORKERS + 1


def test_the_registry_is_the_same_in_every_worker(load: Load) -> None:
    assert len(load.digests) == WORKERS + 1
    assert len(set(load.digests.values())) == 1


# What the proxy answers by itself.


def violations(response: httpx.Response) -> list[Any]:
    fields = list(response.headers.multi_items())
    return [*check(Response(response.status_code, fields, response.content), REGISTRY)]


def test_a_service_that_is_down_is_an_answer_of_the_contract(tmp_path: Path) -> None:
    with proxied(tmp_path, free_port()) as url:
        response = httpx.post(f"{url}/missing")
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert response.json()["retryable"] is True
    assert violations(response) == []


def test_a_body_that_the_proxy_refuses_is_an_answer_of_the_contract(tmp_path: Path) -> None:
    with proxied(tmp_path, free_port()) as url:
        response = httpx.post(f"{url}/missing", content=b"x" * 2_000)
    assert response.status_code == 413
    assert violations(response) == []


def test_an_error_of_the_application_passes_the_proxy_as_it_is(load: Load) -> None:
    assert load.answers["GET", "/busy", 503, "conflict"] > 0


def nowhere(name: str, path: str) -> None:
    """Find no program."""


def test_where_tests_must_not_be_left_out_a_missing_nginx_fails_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutil, "which", nowhere)
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="install Debian's package nginx-light"):
        nginx()


def test_elsewhere_a_missing_nginx_skips_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", nowhere)
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no nginx"):
        nginx()
