"""End to end: uvicorn with uvloop and httptools, asked by wrk for a 404.

    python -m benchmarks.servers

All servers run at once, and wrk asks one after the other, in rounds: what disturbs a round disturbs
all. The result is the ratio to a raw application that sends ready bytes, of the median round.
"""

from __future__ import annotations

import argparse
import http.client
import logging
import re
import shutil
import socket
import statistics
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import uvicorn

from benchmarks.contenders import CONTENDERS, READY
from benchmarks.situations import NOT_FOUND

__all__ = ["requests_per_second", "why_not"]

_LIMIT = f"ASGI: {READY}: {NOT_FOUND}"
_ROOT = Path(__file__).parent.parent
_ROUNDS, _SECONDS = 5, 1


def why_not() -> str | None:
    """Say why this can't be measured here, if it can't."""
    return None if shutil.which("wrk") else "wrk isn't installed: apt install wrk"


def requests_per_second(rounds: int = _ROUNDS) -> Mapping[str, float | str]:
    """Measure how many requests a second each contender answers, beside ready bytes.

    Returns:
        By name: the ratio, 1.0 for the raw application that sends ready bytes; or why not.
    """
    wanted = [each for each in CONTENDERS.values() if each.situation == NOT_FOUND]
    results: dict[str, float | str] = {
        each.name: each.lacks for each in wanted if each.lacks is not None
    }
    rates: dict[str, list[float]] = {each.name: [] for each in wanted if each.name not in results}
    with ExitStack() as stack:
        ports = {name: stack.enter_context(_server(name)) for name in rates}
        for port in ports.values():
            _wait(port)
        for _ in range(rounds):
            for name, found in rates.items():
                found.append(_ask(ports[name]))
    for name, found in rates.items():
        ratios = [rate / limit for rate, limit in zip(found, rates[_LIMIT], strict=True)]
        results[name] = statistics.median(ratios)
    return results


def _wait(port: int) -> None:
    """Ask once: the answer comes when the server is there."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    client.request("GET", "/")
    client.getresponse().read()
    client.close()


def _ask(port: int) -> float:
    """Let wrk ask for a second, over eight connections."""
    command = ["wrk", "-t1", "-c8", f"-d{_SECONDS}s", f"http://127.0.0.1:{port}/"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    rate = re.search(r"Requests/sec:\s*([\d.]+)", run.stdout)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", run.stdout)
    total = re.search(r"(\d+) requests in", run.stdout)
    if rate is None or total is None or refused is None or refused[1] != total[1]:
        raise RuntimeError(f"not all were answered with an error:\n{run.stdout}")
    return float(rate[1])


@contextmanager
def _server(name: str) -> Generator[int]:
    """Serve a contender in a process of its own; give the port.

    Connections wait from the start: the socket listens before the process has begun.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [sys.executable, "-m", "benchmarks.servers", "--serve", name]
        command += ["--socket", str(listener.fileno())]
        process = subprocess.Popen(command, pass_fds=[listener.fileno()], cwd=_ROOT)
        try:
            yield listener.getsockname()[1]
        finally:
            process.terminate()
            process.wait()


def _serve(name: str, descriptor: int) -> None:
    logging.disable(logging.CRITICAL)
    config = uvicorn.Config(
        CONTENDERS[name].make(),
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_config=None,
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=descriptor)])


def main() -> None:
    parser = argparse.ArgumentParser(description="Ask uvicorn for errors, with wrk.")
    parser.add_argument("--serve", choices=CONTENDERS, help="serve one contender")
    parser.add_argument("--socket", type=int, help="the descriptor of the socket to serve on")
    options = parser.parse_args()
    if options.serve:
        _serve(options.serve, options.socket)
        return
    reason = why_not()
    if reason is not None:
        raise SystemExit(reason)
    for name, ratio in requests_per_second().items():
        print(
            f"{ratio:8.3f}  {name}" if isinstance(ratio, float) else f"{'--':>8}  {name}: {ratio}"
        )


if __name__ == "__main__":
    main()
