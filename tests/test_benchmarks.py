"""The benchmarks measure what they say: right answers, sound arithmetic, a chart of the results."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from benchmarks import chart, growth, storms, timing
from benchmarks.contenders import CONTENDERS, HANDLER, INSTALL, READY, check
from benchmarks.exchange import Request, quiet, serve
from benchmarks.goals import GOALS, Goal, Row
from benchmarks.growth import GROWING, GROWTH_GOALS
from benchmarks.situations import NOT_FOUND, PRECONDITION

ALL = {**CONTENDERS, **GROWING}
OURS = f"Starlette: {INSTALL}: {NOT_FOUND}"
FLOOR = f"Starlette: {READY}: {NOT_FOUND}"
BY_HAND = f"Starlette: {HANDLER}: {NOT_FOUND}"


@pytest.fixture(autouse=True)
def nothing_is_logged() -> Iterator[None]:
    """Other libraries log what is unexpected; that is not looked at here."""
    with quiet():
        yield


async def says_200(scope: Scope, receive: Receive, send: Send) -> None:
    headers = [(b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"fine"})


@pytest.mark.parametrize("name", ALL)
def test_every_contender_answers_rightly(name: str) -> None:
    contender = ALL[name]
    pytest.importorskip(contender.needs)
    assert asyncio.run(check(contender, contender.make())) == []


def test_a_library_that_is_not_installed_is_named() -> None:
    lacking = replace(CONTENDERS[OURS], needs="no_such_library")
    assert lacking.lacks == "can't run: no_such_library is not installed"
    assert timing.time_all([lacking]) == {OURS: lacking.lacks}


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        pytest.param(OURS, "status 200", id="another status"),
        pytest.param(OURS, "content-type text/plain", id="another media type"),
        pytest.param(OURS, "body b'fine'", id="another body"),
        pytest.param(OURS, "header cache-control", id="a header that is not there"),
        pytest.param(
            f"FastAPI: fastapi-problem: {NOT_FOUND}",
            "the description is not in the body",
            id="another library that leaves out the description",
        ),
    ],
)
def test_a_wrong_answer_is_found(name: str, problem: str) -> None:
    assert problem in asyncio.run(check(CONTENDERS[name], says_200))


def test_the_answer_to_another_situation_is_a_wrong_answer() -> None:
    other = CONTENDERS[f"Starlette: {INSTALL}: {PRECONDITION}"].make()
    assert "status 412" in asyncio.run(check(CONTENDERS[OURS], other))


def test_an_exception_after_the_answer_is_wrong_for_what_is_expected() -> None:
    raising = CONTENDERS["ASGI: ErrorMiddleware: unexpected exception"].make()
    problems = asyncio.run(check(CONTENDERS[OURS], raising))
    assert "raised RuntimeError('a bug')" in problems


def test_a_wrong_answer_is_not_timed() -> None:
    wrong = replace(CONTENDERS[OURS], make=lambda: says_200)
    result = timing.time_all([wrong], rounds=1, requests=1)[OURS]
    assert str(result).startswith("wrong answer: status 200")


def test_all_responses_are_counted_by_status() -> None:
    answers = iter([200, 200, 500])

    async def changing(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": next(answers), "headers": []})

    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        pass

    async def served(app: ASGIApp, requests: int) -> int:
        return await serve(app, Request(), requests)

    assert asyncio.run(served(changing, 2)) == 200
    assert asyncio.run(served(says_200, 3)) == 200
    assert asyncio.run(served(changing, 1)) == 500
    assert asyncio.run(served(silent, 2)) == 0


def test_contenders_are_timed_in_turns() -> None:
    costs = timing.time_all([CONTENDERS[FLOOR], CONTENDERS[BY_HAND]], rounds=2, requests=5)
    assert all(isinstance(cost, float) and cost > 0 for cost in costs.values())


def test_goals_are_about_contenders_that_there_are() -> None:
    named = {name for goal in (*GOALS, *GROWTH_GOALS) for name in goal.names}
    assert named <= set(ALL)


COSTS: dict[str, float | str] = {
    "ours": 150.0,
    "by hand": 200.0,
    "dear": 900.0,
    "floor": 100.0,
    "lost": "can't run",
}


@pytest.mark.parametrize(
    ("goal", "figure", "verdict"),
    [
        pytest.param(Goal("", 0.5, "ours", ("by hand",), "floor"), 0.5, "pass", id="above a floor"),
        pytest.param(Goal("", 0.4, "ours", ("by hand",), "floor"), 0.5, "FAIL", id="missed"),
        pytest.param(Goal("", 0.8, "ours", ("by hand",)), 0.75, "pass", id="no floor"),
        pytest.param(
            Goal("", 60, "ours", ("floor",), is_ratio=False), 50.0, "pass", id="a difference"
        ),
        pytest.param(
            Goal("", 0.5, "ours", ("dear", "lost", "by hand"), "floor"), 0.5, "pass", id="the best"
        ),
        pytest.param(Goal("", 1, "ours", ("lost",)), "lost can't run", "--", id="none beside it"),
        pytest.param(Goal("", 1, "lost", ("ours",)), "lost can't run", "--", id="not ours"),
    ],
)
def test_figures_are_compared_with_goals(goal: Goal, figure: float | str, verdict: str) -> None:
    row = goal.row(COSTS)
    assert (row.figure, row.verdict) == (figure, verdict)


def test_times_are_not_judged_by_goals_for_instructions() -> None:
    ratio = Goal("", 0.1, "ours", ("by hand",), "floor")
    more = replace(ratio, is_ratio=False)
    assert ratio.row(COSTS, are_times=True).verdict == "--"
    assert more.row(COSTS, are_times=True).figure == "instructions can't be counted here"


def test_a_row_reads_as_a_line() -> None:
    assert str(Row("404", 0.5, 0.8, "x", (150, 200))).split() == (
        "pass 0.500 <= 0.800 x 404 (150, 200)".split()
    )
    assert "can't run" in str(Row("404", "can't run", 0.8, "x"))


def test_errors_leave_nothing_behind() -> None:
    figures = {row.unit: row.figure for row in storms.leftovers(8_000)}
    assert figures["objects"] == 0


def test_a_server_closes_no_connection_after_a_bug() -> None:
    assert [row.figure for row in storms.connections(20)] == [0]


def test_memory_is_measured_of_applications_and_mappings() -> None:
    assert [row.verdict for row in growth.memory()] == ["pass", "pass"]


def test_the_chart_shows_the_results() -> None:
    results = json.loads(chart.RESULTS.read_text("utf-8"))
    assert chart.CHART.read_text("utf-8") == chart.draw(results)


def test_the_chart_says_what_could_not_be_measured() -> None:
    run = {
        "versions": {"Python": "3.13.0", "starlette": "1", "fastapi": "1"},
        "unit": "nanoseconds",
        "costs": {
            FLOOR: 100.0,
            OURS: 5_100.0,
            BY_HAND: 10_100.0,
            f"FastAPI: {READY}: {NOT_FOUND}": 100.0,
            f"FastAPI: some-library: {NOT_FOUND}": "can't run: a <reason>",
        },
    }
    drawn = chart.draw({"3.9": {**run, "costs": {}}, "3.13": run, "3.14": {}})
    assert "can&#x27;t run: a &lt;reason&gt;" in drawn
    assert drawn.index("authpi_errors") < drawn.index("hand-written")
    assert "Microseconds" in drawn
