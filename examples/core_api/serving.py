"""Serving an application from a thread: for the tour and the tests, which are its clients."""

import logging
import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp


@contextmanager
def serving(app: ASGIApp, log: Path, *, port: int = 0) -> Generator[str]:
    """Serves `app` on 127.0.0.1 while the context lasts, and gives its URL.

    Args:
        app: Any ASGI application.
        log: The file that gets what the server has to say, tracebacks above all.
        port: The port; 0 takes a free one.

    Raises:
        RuntimeError: The application doesn't start; `log` says why.
    """
    with socket.create_server(("127.0.0.1", port)) as listener, _logged(log):
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="on")
        server = uvicorn.Server(config)

        def run() -> None:
            # How uvicorn says that it can't start. `started` says so, too.
            with suppress(SystemExit):
                server.run([listener])

        thread = threading.Thread(target=run)
        thread.start()
        try:
            while not server.started:
                if not thread.is_alive():
                    raise RuntimeError(f"The server didn't start; see {log}.")
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def _logged(log: Path) -> Generator[None]:
    loggers = [logging.getLogger(name) for name in ("uvicorn", "authpi_errors")]
    propagating = [logger.propagate for logger in loggers]
    handler = logging.FileHandler(log, encoding="utf-8")
    for logger in loggers:
        logger.propagate = False
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger, propagates in zip(loggers, propagating, strict=True):
            logger.removeHandler(handler)
            logger.propagate = propagates
        handler.close()
