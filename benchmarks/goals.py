"""What a request may cost, in instructions, and whether it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.contenders import (
    ADD_MIDDLEWARE,
    CAUGHT,
    DEFAULT,
    HANDLER,
    INSTALL,
    INSTALL_BEHIND,
    MIDDLEWARE,
    READY,
    READY_BEHIND,
)
from benchmarks.peers import PEERS
from benchmarks.situations import (
    CHANGING,
    INVALID,
    NOT_FOUND,
    PRECONDITION,
    RATE_LIMIT,
    SUCCESS,
    UNEXPECTED,
    UNROUTED,
)

__all__ = ["GOALS", "Goal", "Row"]

Costs = Mapping[str, float | str]


@dataclass(frozen=True, slots=True)
class Row:
    """A figure beside its goal.

    Attributes:
        name: What was measured.
        figure: The figure, or why there is none.
        limit: The most that it may be.
        unit: What it counts: `x` for a ratio.
        of: What it was worked out from.
        is_judged: Whether the goal is one for figures that were measured in this way.
    """

    name: str
    figure: float | str
    limit: float
    unit: str
    of: tuple[float, ...] = ()
    is_judged: bool = True

    @property
    def verdict(self) -> str:
        """Say whether the goal is reached."""
        if isinstance(self.figure, str) or not self.is_judged:
            return "--"
        return "pass" if self.figure <= self.limit else "FAIL"

    def __str__(self) -> str:
        """Write the row down as a line of a table."""
        if isinstance(self.figure, str):
            return f"  {self.verdict:4}  {self.name}: {self.figure}"
        digits = ",.0f" if self.unit == _INSTRUCTIONS else ".3f"
        figure, limit = f"{self.figure:{digits}}", f"{self.limit:{digits}} {self.unit}"
        of = f"  ({', '.join(f'{cost:,.0f}' for cost in self.of)})" if self.of else ""
        return f"  {self.verdict:4}  {figure:>9} <= {limit:<18}  {self.name}{of}"


_INSTRUCTIONS = "instructions"


@dataclass(frozen=True, slots=True)
class Goal:
    """What a request may cost at most, beside others.

    Attributes:
        name: What is measured.
        limit: The most that the ratio may be, or the instructions more.
        ours: The name of our contender.
        beside: The names of those beside which it is measured; the cheapest counts.
        floor: The name of what is taken off on both sides, if anything is.
        is_ratio: Whether the figure is a ratio; else it is how many instructions more.
    """

    name: str
    limit: float
    ours: str
    beside: tuple[str, ...]
    floor: str | None = None
    is_ratio: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """The contenders that have to be measured."""
        return (self.ours, *self.beside, *(() if self.floor is None else (self.floor,)))

    def row(self, costs: Costs, *, are_times: bool = False) -> Row:
        """Work out the figure. Of those beside, one that can't run is left out.

        Args:
            costs: What requests cost, by contender; or why that isn't known.
            are_times: Whether the costs are times, of which only ratios mean something.
        """
        unit = "x" if self.is_ratio else _INSTRUCTIONS
        measured = {name: cost for name in self.names if isinstance(cost := costs[name], float)}
        beside = [measured[name] for name in self.beside if name in measured]
        lacking = [name for name in (self.ours, self.floor) if name and name not in measured]
        lacking += [] if beside else self.beside
        if lacking:
            return Row(self.name, f"{lacking[0]} {costs[lacking[0]]}", self.limit, unit)
        if not self.is_ratio and are_times:
            return Row(self.name, "instructions can't be counted here", self.limit, unit)
        floor = 0.0 if self.floor is None else measured[self.floor]
        ours, best = measured[self.ours], min(beside)
        figure = (ours - floor) / (best - floor) if self.is_ratio else ours - best
        of = tuple(measured.values())
        return Row(self.name, figure, self.limit, unit, of, is_judged=not are_times)


def _name(framework: str, way: str, situation: str) -> str:
    return f"{framework}: {way}: {situation}"


def _more(framework: str, way: str, limit: float, floor: str = READY) -> Goal:
    ours, beside = (_name(framework, each, SUCCESS) for each in (way, floor))
    return Goal(f"{framework}, success, {way}", limit, ours, (beside,), is_ratio=False)


def _above(framework: str, way: str, situation: str, limit: float, title: str = "") -> Goal:
    return Goal(
        f"{framework}, above the floor, beside {title or way}: {situation}",
        limit,
        _name(framework, INSTALL, situation),
        (_name(framework, way, situation),),
        _name(framework, READY, situation),
    )


def _alone(situation: str, limit: float) -> Goal:
    ours, beside = (_name("ASGI", each, situation) for each in (MIDDLEWARE, CAUGHT))
    return Goal(f"alone, beside raw {CAUGHT}: {situation}", limit, ours, (beside,))


_PEERS = tuple(
    _name("FastAPI", peer.name, NOT_FOUND) for peer in PEERS if peer.framework == "FastAPI"
)

GOALS = (
    _more("Starlette", ADD_MIDDLEWARE, 5_000),
    _more("Starlette", INSTALL, 9_500),
    _more("Starlette", INSTALL_BEHIND, 9_500, READY_BEHIND),
    _more("FastAPI", ADD_MIDDLEWARE, 5_000),
    _more("FastAPI", INSTALL, 9_500),
    _more("FastAPI", INSTALL_BEHIND, 9_500, READY_BEHIND),
    _alone(NOT_FOUND, 1.6),
    _alone(PRECONDITION, 2.5),
    _alone(RATE_LIMIT, 2.1),
    _alone(UNEXPECTED, 1.6),
    _above("Starlette", HANDLER, NOT_FOUND, 0.80),
    _above("Starlette", HANDLER, CHANGING, 0.80),
    _above("Starlette", HANDLER, PRECONDITION, 0.92),
    _above("Starlette", HANDLER, RATE_LIMIT, 0.83),
    _above("Starlette", HANDLER, UNEXPECTED, 0.55),
    _above("FastAPI", DEFAULT, NOT_FOUND, 0.50),
    Goal(
        f"FastAPI, above the floor, beside the best peer: {NOT_FOUND}",
        0.30,
        _name("FastAPI", INSTALL, NOT_FOUND),
        _PEERS,
        _name("FastAPI", READY, NOT_FOUND),
    ),
    _above("FastAPI", DEFAULT, INVALID, 0.10),
    _above("FastAPI", HANDLER, UNROUTED, 0.90),
)
