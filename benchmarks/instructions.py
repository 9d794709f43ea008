"""How many machine instructions a request costs: they repeat to a fraction of a per cent.

    python -m benchmarks.instructions [--goals] [--only TEXT]

One Python starts under valgrind's callgrind, imports everything, and forks a child for each
contender. A child makes the application, checks its answers, warms it up, has callgrind's counters
set to zero, and serves. So nothing is counted but requests, and no contender sees what another has
left behind. Needs valgrind.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks.contenders import CONTENDERS, Contender, check
from benchmarks.exchange import serve
from benchmarks.goals import GOALS
from benchmarks.growth import GROWING, GROWTH_GOALS
from benchmarks.situations import SITUATIONS

__all__ = ["ALL", "count", "is_available"]

ALL = {**CONTENDERS, **GROWING}

# How many requests are served before counting, and counted.
WARM_UP, COUNTED = 100, 100

# A function of the C library that nothing else here calls: callgrind sets its counters to zero
# when it is entered.
_MARK = "getpriority"

_NAME = "benchmarks.instructions"
_ROOT = Path(__file__).parent.parent


def is_available() -> bool:
    """Say whether instructions can be counted here."""
    return shutil.which("valgrind") is not None


def count(
    contenders: Iterable[Contender], requests: int = COUNTED, *, repeats: int = 1
) -> Mapping[str, float | str]:
    """Count the instructions of a request to each contender.

    Args:
        contenders: Whom to ask.
        requests: How many requests to count; the result is of one of them.
        repeats: How often to do it all. Where things lie in memory can change a count by half a
            per cent; they lie elsewhere each time, and the median is the result.

    Returns:
        By name: the instructions, or why they could not be counted.
    """
    names = [contender.name for contender in contenders]
    runs = [_count_once(names, requests, shift) for shift in range(repeats)]
    return {name: _median([run[name] for run in runs]) for name in names}


def _median(counts: Sequence[float | str]) -> float | str:
    numbers = [count for count in counts if isinstance(count, float)]
    return statistics.median(numbers) if len(numbers) == len(counts) else counts[-1]


def _count_once(names: Sequence[str], requests: int, shift: int) -> Mapping[str, float | str]:
    with tempfile.TemporaryDirectory() as folder:
        command = ["valgrind", "--tool=callgrind", f"--zero-before={_MARK}", "--quiet"]
        command += [f"--callgrind-out-file={folder}/%p", sys.executable, "-m", _NAME]
        command += ["--serve", str(requests), *names]
        environment = {**os.environ, "PYTHONHASHSEED": "0", "SHIFT": "x" * 37 * shift}
        run = subprocess.run(
            command, env=environment, cwd=_ROOT, capture_output=True, text=True, check=False
        )
        results: dict[str, float | str] = {}
        for line in run.stdout.splitlines():
            pid, name, reason = line.split("\t")
            results[name] = reason or _summary(Path(folder, pid)) / requests
    missing = set(names) - set(results)
    if missing:
        raise RuntimeError(f"not counted: {sorted(missing)}\n{run.stdout}\n{run.stderr}")
    return results


def _summary(file: Path) -> int:
    found = re.search(r"^summary: (\d+)", file.read_text("utf-8"), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"{file} is not a profile")
    return int(found[1])


def _serve_all(names: Iterable[str], requests: int) -> None:
    """Fork a child for each name, as many at a time as there are processors."""
    gc.collect()
    # What is alive by now is never looked at again by the cycle collector, so costs nobody.
    gc.freeze()
    waiting, running = list(names)[::-1], 0
    while waiting or running:
        if waiting and running < (os.cpu_count() or 1):
            name = waiting.pop()
            if os.fork() == 0:
                _serve(ALL[name], requests)
            running += 1
        else:
            os.wait()
            running -= 1


def _serve(contender: Contender, requests: int) -> None:
    """Serve as a child, and end it without ado, before anything else is counted."""
    try:
        reason = asyncio.run(_served(contender, requests))
    except BaseException as exc:
        reason = f"failed: {exc!r}"
    os.write(1, f"{os.getpid()}\t{contender.name}\t{reason}\n".encode())
    os._exit(0)


async def _served(contender: Contender, requests: int) -> str:
    if contender.lacks is not None:
        return contender.lacks
    app = contender.make()
    problems = await check(contender, app)
    if problems:
        return f"wrong answer: {', '.join(problems)}"
    await serve(app, contender.asks, WARM_UP)
    gc.collect()
    os.getpriority(os.PRIO_PROCESS, 0)
    status = await serve(app, contender.asks, requests)
    situation = SITUATIONS[contender.situation]
    return "" if status in {situation.status, *situation.others} else f"status {status}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Count the instructions of a request.")
    parser.add_argument("names", nargs="*", help="the contenders that --serve serves")
    parser.add_argument("--serve", type=int, help="serve so many requests, under callgrind")
    parser.add_argument("--goals", action="store_true", help="measure what has a goal, and compare")
    parser.add_argument("--repeats", type=int, default=1, help="give the median of so many")
    parser.add_argument("--only", default="", help="a part of the names of those to measure")
    options = parser.parse_args()
    if options.serve:
        # What is logged costs as much as an application's logging does; it is measured by itself.
        logging.disable(logging.CRITICAL)
        _serve_all(options.names, options.serve)
        return
    if not is_available():
        raise SystemExit("valgrind isn't installed: apt install valgrind")
    print(f"Python {sys.version.split()[0]}, instructions a request", flush=True)
    if options.goals:
        wanted = [goal for goal in (*GOALS, *GROWTH_GOALS) if options.only in goal.name]
        costs = count(
            {name: ALL[name] for goal in wanted for name in goal.names}.values(),
            repeats=options.repeats,
        )
        for goal in wanted:
            print(goal.row(costs))
        return
    for name, cost in count(c for c in ALL.values() if options.only in c.name).items():
        print(f"{cost:>12,.0f}  {name}" if isinstance(cost, float) else f"{'':14}{name}: {cost}")


if __name__ == "__main__":
    main()
