"""The servers that the tests run on: each serves an application while its context lasts."""

import io
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Final, Literal

import anyio
import hypercorn
import hypercorn.asyncio
import hypercorn.trio
import uvicorn
from anyio import to_thread
from starlette.types import ASGIApp

__all__ = ["SERVERS", "Served", "Server", "in_thread", "uvicorn_with"]

HOST: Final = "127.0.0.1"

# Serves on a socket that listens, until the event is set.
Run = Callable[[ASGIApp, socket.socket, threading.Event], None]


@dataclass(frozen=True)
class Served:
    """A server at work.

    Attributes:
        port: Its port on 127.0.0.1.
        log: Gives what has been logged so far: warnings and errors, nothing below.
    """

    port: int
    log: Callable[[], str]


@dataclass(frozen=True)
class Server:
    """One row of the table of servers.

    Attributes:
        serve: Serves the application of that name, `module:attribute`.
        http2: Whether clients are to speak HTTP/2, with prior knowledge.
        on_trio: Whether its event loop is trio's.
        denies: Whether it has the extension `websocket.http.response`.
        keeps: Whether it keeps a connection whose application has raised.
        notes: Whether its log has the notes of an exception.
        closes: Whether it lets an application close a WebSocket with the codes of RFC 6455.
    """

    serve: Callable[[str], AbstractContextManager[Served]]
    http2: bool = False
    on_trio: bool = False
    denies: bool = True
    keeps: bool = True
    notes: bool = True
    closes: bool = True


@contextmanager
def in_thread(run: Run, app: ASGIApp) -> Generator[Served]:
    """Serve from a thread. The log is what reaches the root logger meanwhile."""
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    handler.setLevel(logging.WARNING)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
    stop = threading.Event()
    with socket.create_server((HOST, 0)) as listener:
        thread = threading.Thread(target=run, args=(app, listener, stop), daemon=True)
        logging.getLogger().addHandler(handler)
        thread.start()
        try:
            yield Served(listener.getsockname()[1], log.getvalue)
        finally:
            stop.set()
            thread.join(20)
            logging.getLogger().removeHandler(handler)
            assert not thread.is_alive(), "the server does not stop"


class _Uvicorn(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, stop: threading.Event) -> None:
        super().__init__(config)
        self._stop = stop

    async def on_tick(self, counter: int) -> bool:
        return self._stop.is_set() or await super().on_tick(counter)


def uvicorn_with(
    http: Literal["h11", "httptools"], loop: Literal["asyncio", "uvloop"] = "asyncio"
) -> Run:
    """Give uvicorn with a parser and an event loop."""

    def run(app: ASGIApp, listener: socket.socket, stop: threading.Event) -> None:
        config = uvicorn.Config(
            app,
            http=http,
            loop=loop,
            ws="wsproto",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=2,
        )
        _Uvicorn(config, stop).run([listener])

    return run


def _hypercorn(backend: Literal["asyncio", "trio"]) -> Run:
    # Hypercorn has types for applications of its own.
    module: Any = {"asyncio": hypercorn.asyncio, "trio": hypercorn.trio}[backend]

    def run(app: ASGIApp, listener: socket.socket, stop: threading.Event) -> None:
        config = hypercorn.Config()
        # Hypercorn closes what it is given.
        config.bind = [f"fd://{os.dup(listener.fileno())}"]
        config.errorlog = logging.getLogger("hypercorn.error")
        config.graceful_timeout = 2

        async def stopped() -> None:
            await to_thread.run_sync(stop.wait)

        anyio.run(partial(module.serve, app, config, shutdown_trigger=stopped), backend=backend)

    return run


def _threaded(run: Run) -> Callable[[str], AbstractContextManager[Served]]:
    return lambda name: in_thread(run, resolve_name(name))


# Both find the application, and authpi_errors, on the path that they have here.
_START: Final = """
import json, sys
path, port, fd, name = sys.argv[1:]
sys.path[:] = json.loads(path)
"""
_GRANIAN: Final = (
    _START
    + """
from granian import Granian
from granian.log import LogLevels
Granian(
    name,
    address="127.0.0.1",
    port=int(port),
    interface="asgi",
    log_level=LogLevels.warning,
    workers_kill_timeout=5,
).serve()
"""
)
_DAPHNE: Final = (
    _START
    + """
import pkgutil, socket
pkgutil.resolve_name(name)
listener = socket.socket(fileno=int(fd))
listener.listen()
listener.detach()
from daphne.cli import CommandLineInterface
CommandLineInterface().run(["--fd", fd, "--verbosity", "0", name])
"""
)


@contextmanager
def _process(code: str, name: str) -> Generator[Served]:
    """Serve from a process: for servers that own the main thread, or are not Python alone."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Path(folder, "log").open("w+b") as output,
        # Holds the port while the server starts; nothing listens here.
        socket.socket() as reserved,
    ):
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind((HOST, 0))
        port: int = reserved.getsockname()[1]
        path = json.dumps([str(Path(entry).resolve()) for entry in sys.path])
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", code, path, str(port), str(reserved.fileno()), name],
            # Both put the working directory first on the path.
            cwd=folder,
            pass_fds=[reserved.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        served = Served(port, Path(folder, "log").read_text)
        try:
            _wait(process, served)
            yield served
        finally:
            process.terminate()
            try:
                process.wait(20)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _wait(process: subprocess.Popen[bytes], served: Served) -> None:
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex((HOST, served.port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"The server does not start:\n{served.log()}")


SERVERS: Final[Mapping[str, Server]] = {
    "uvicorn-h11": Server(_threaded(uvicorn_with("h11")), keeps=False),
    "uvicorn-httptools": Server(_threaded(uvicorn_with("httptools")), keeps=False),
    "uvicorn-uvloop": Server(_threaded(uvicorn_with("httptools", "uvloop")), keeps=False),
    "hypercorn-h1-asyncio": Server(_threaded(_hypercorn("asyncio"))),
    "hypercorn-h1-trio": Server(_threaded(_hypercorn("trio")), on_trio=True),
    "hypercorn-h2-asyncio": Server(_threaded(_hypercorn("asyncio")), http2=True),
    "hypercorn-h2-trio": Server(_threaded(_hypercorn("trio")), on_trio=True, http2=True),
    "granian": Server(partial(_process, _GRANIAN), notes=False),
    "daphne": Server(partial(_process, _DAPHNE), denies=False, closes=False),
}
