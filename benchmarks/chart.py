"""Draws what an error costs, beside other ways to answer it, as SVG.

    python -m benchmarks.chart

The same results give the same drawing, to the byte.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

__all__ = ["CHART", "RESULTS", "draw"]

RESULTS = Path(__file__).parent / "results.json"
CHART = Path(__file__).parent / "errors.svg"

_SITUATION = "404"
_FLOOR = "ready bytes"
_OURS = "authpi_errors"
_FRAMEWORKS = ("Starlette", "FastAPI")

# In pixels.
_WIDTH, _LINE, _BAR = 800, 26, 16
_LEFT, _LONGEST = 290, 430

# GitHub shows the same picture on a white page and on a dark one.
_STYLE = """\
text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328; }
.title { font-size: 16px; font-weight: 600; }
.group { font-weight: 600; }
.note { font-size: 12px; fill: #59636e; }
.ours { font-weight: 600; }
rect { fill: #a9b4c0; }
rect.ours { fill: #1f6feb; }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc; }
  .note { fill: #9198a1; }
  rect { fill: #57606a; }
  rect.ours { fill: #4493f8; }
}"""


@dataclass(frozen=True, slots=True)
class _Bar:
    """One way to answer; `cost` is a text where it could not be measured."""

    way: str
    cost: float | str

    @property
    def is_ours(self) -> bool:
        return self.way.startswith(_OURS)


def draw(results: Mapping[str, Any]) -> str:
    """Draw the costs of a 404, of the latest Python among the results.

    Args:
        results: What `results.json` holds.

    Returns:
        The SVG document.
    """
    drawable = [version for version, run in results.items() if "costs" in run]
    latest = max(drawable, key=lambda version: [int(part) for part in version.split(".")])
    run: Mapping[str, Any] = results[latest]
    groups = {framework: list(_bars(run["costs"], framework)) for framework in _FRAMEWORKS}
    most = max(bar.cost for bars in groups.values() for bar in bars if isinstance(bar.cost, float))
    lines: list[str] = []
    y = 66
    for framework, bars in groups.items():
        lines.append(f'<text class="group" x="16" y="{y + 13}">{framework}</text>')
        y += _LINE
        for bar in bars:
            lines += _drawn(bar, y, most, str(run["unit"]))
            y += _LINE
        y += 10
    versions: Mapping[str, str] = run["versions"]
    lines.append(f'<text class="note" x="16" y="{y + 10}">{escape(_made_with(versions))}</text>')
    return "\n".join((*_head(y + 26, str(run["unit"])), *lines, "</svg>\n"))


def _head(height: int, unit: str) -> Iterator[str]:
    title = "What an error costs: a 404"
    note = f"Thousand {unit} a request, above the same framework answering ready bytes"
    if unit != "instructions":
        note = f"Microseconds a request ({unit} were timed), above ready bytes"
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{title}">'
    )
    yield f"<style>\n{_STYLE}\n</style>"
    yield f'<text class="title" x="16" y="28">{title}</text>'
    yield f'<text class="note" x="16" y="48">{note}; less is better</text>'


def _bars(costs: Mapping[str, float | str], framework: str) -> Iterator[_Bar]:
    """Give the ways of a framework, the cheapest first, those without a figure last."""
    floor = float(costs[f"{framework}: {_FLOOR}: {_SITUATION}"])
    bars: list[_Bar] = []
    for name, cost in costs.items():
        owner, way, situation = name.split(": ")
        if owner == framework and situation == _SITUATION and way != _FLOOR:
            bars.append(_Bar(way, cost if isinstance(cost, str) else cost - floor))
    measured = [bar for bar in bars if isinstance(bar.cost, float)]
    yield from sorted(measured, key=lambda bar: bar.cost)
    yield from (bar for bar in bars if isinstance(bar.cost, str))


def _drawn(bar: _Bar, y: int, most: float, unit: str) -> Iterator[str]:
    kind = ' class="ours"' if bar.is_ours else ""
    yield f'<text{kind} x="32" y="{y + 13}">{escape(bar.way)}</text>'
    if isinstance(bar.cost, str):
        yield f'<text class="note" x="{_LEFT}" y="{y + 13}">{escape(bar.cost)}</text>'
        return
    width = max(1.0, bar.cost / most * _LONGEST)
    yield f'<rect{kind} x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR}" rx="2"/>'
    x = _LEFT + width + 8
    yield f'<text{kind} x="{x:.1f}" y="{y + 13}">{bar.cost / 1000:,.0f}</text>'


def _made_with(versions: Mapping[str, str]) -> str:
    shown = ("Python", "starlette", "fastapi")
    return f"{', '.join(f'{name} {versions[name]}' for name in shown)}. Made by: tox run -e bench"


def main() -> None:
    CHART.write_text(draw(json.loads(RESULTS.read_text("utf-8"))), "utf-8")


if __name__ == "__main__":
    main()
