"""Measures everything, writes it down in `results.json`, and draws the chart.

    python -m benchmarks [PART …]

The parts are the functions in `PARTS`; without one, all of them run. What can't be measured here is
named with the reason.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from benchmarks import chart, growth, instructions, servers, storms, timing
from benchmarks.goals import GOALS, Row
from benchmarks.growth import GROWTH_GOALS
from benchmarks.peers import PEERS

_ALL_GOALS = (*GOALS, *GROWTH_GOALS)
_LIBRARIES = ("starlette", "fastapi", "pydantic", "orjson", "uvicorn", "uvloop", "httptools")


def costs() -> dict[str, Any]:
    """Count the instructions of every contender, or time it; compare with the goals."""
    everyone = instructions.ALL.values()
    is_counted = instructions.is_available()
    found: Mapping[str, float | str]
    if is_counted:
        found = instructions.count(everyone)
    else:
        print("valgrind isn't installed (apt install valgrind): timed instead")
        found = timing.time_all(everyone)
    for name, cost in found.items():
        print(
            f"{cost:>12,.0f}  {name}" if isinstance(cost, float) else f"{'--':>12}  {name}: {cost}"
        )
    rows = [goal.row(found, are_times=not is_counted) for goal in _ALL_GOALS]
    rounded = {
        name: float(round(cost)) if isinstance(cost, float) else cost
        for name, cost in found.items()
    }
    return {
        "unit": "instructions" if is_counted else "nanoseconds",
        "costs": rounded,
        "goals": _written(rows),
    }


def memory() -> dict[str, Any]:
    """Measure what applications take, and what errors leave behind."""
    return {"memory": _written([*growth.memory(), *storms.leftovers()])}


def logs() -> dict[str, Any]:
    """Measure one bug, again and again."""
    return {"logging": _written([*storms.logging_cost(), *storms.connections()])}


def http() -> dict[str, Any]:
    """Measure requests a second, end to end, beside a raw application that sends ready bytes."""
    reason = servers.why_not()
    if reason is not None:
        print(f"end to end: {reason}")
        return {"requests_per_second": reason}
    found = servers.requests_per_second()
    for name, ratio in found.items():
        print(
            f"{ratio:>12.3f}  {name}"
            if isinstance(ratio, float)
            else f"{'--':>12}  {name}: {ratio}"
        )
    return {
        "requests_per_second": {
            name: round(ratio, 3) if isinstance(ratio, float) else ratio
            for name, ratio in found.items()
        }
    }


PARTS: Mapping[str, Callable[[], dict[str, Any]]] = {
    "memory": memory,
    "logs": logs,
    "costs": costs,
    "http": http,
}


def _written(rows: Iterable[Row]) -> list[dict[str, Any]]:
    written: list[dict[str, Any]] = []
    for row in rows:
        print(row, flush=True)
        figure = row.figure if isinstance(row.figure, str) else round(row.figure, 4)
        kept = {"name": row.name, "figure": figure, "limit": row.limit, "unit": row.unit}
        written.append({**kept, "verdict": row.verdict})
    return written


def _versions() -> dict[str, str]:
    """Give the versions of what can change a figure, and nothing of where it was measured."""
    versions = {"Python": platform.python_version(), "machine": platform.machine()}
    for name in (*_LIBRARIES, *(peer.name for peer in PEERS)):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what errors cost.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parts: list[str] = parser.parse_args().parts or list(PARTS)
    unknown = set(parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    found: dict[str, Any] = {"versions": _versions()}
    for part in parts:
        print(f"\n== {part}, Python {platform.python_version()}", flush=True)
        found |= PARTS[part]()
    _keep(f"{sys.version_info.major}.{sys.version_info.minor}", found)
    if "costs" in found:
        chart.main()
    print(f"\nWritten: {chart.RESULTS.name}, {chart.CHART.name}")


def _keep(python: str, found: Mapping[str, Any]) -> None:
    """Put what was found in the place of what an earlier run has found, and leave the rest."""
    results: dict[str, Any] = {}
    if chart.RESULTS.exists():
        results = json.loads(chart.RESULTS.read_text("utf-8"))
    results[python] = {**results.get(python, {}), **found}
    text = json.dumps(dict(sorted(results.items())), indent=1, ensure_ascii=False)
    chart.RESULTS.write_text(f"{text}\n", "utf-8")


if __name__ == "__main__":
    main()
