"""What the command line prints: text for people, JSON for programs, Markdown for documents."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from authpi_errors._checking import Answer, Report
from authpi_errors.codes import ErrorCode

__all__ = [
    "codes_as_json",
    "codes_as_markdown",
    "codes_as_text",
    "printable",
    "report_as_json",
    "report_as_text",
]

# Where more requests show one thing, the first will do to act on it.
_MOST_REQUESTS_SHOWN: Final = 6


def report_as_json(report: Report) -> str:
    """Give a report as a JSON object, with one item for each violation of each answer."""
    violations = [
        {
            "rule": violation.rule,
            "found": violation.found,
            "wanted": violation.wanted,
            "status": answer.status,
            "method": answer.probe.method,
            "path": answer.probe.path,
            "target": answer.probe.target,
            "what": answer.probe.what,
        }
        for answer in report.answers
        for violation in answer.violations
    ]
    return _json(
        {
            "service": report.service,
            "compliant": not report.violation_count,
            "requests": len(report.answers),
            "errors": report.error_count,
            "violations": violations,
            "notes": list(report.notes),
        }
    )


def report_as_text(report: Report) -> RenderableType:
    """Give a report as a table for each rule that is broken, with a line that sums it up."""
    notes = (Text(f"Note: {printable(note)}", style="yellow") for note in report.notes)
    return Group(*_findings(report.answers), *notes, Text(_summary(report), style=_style(report)))


def _style(report: Report) -> str:
    return "bold red" if report.violation_count else "bold green"


def _summary(report: Report) -> str:
    rules = {violation.rule for answer in report.answers for violation in answer.violations}
    checked = f"{_count(len(report.answers), 'request')}, {_count(report.error_count, 'error')}"
    found = f"{_count(report.violation_count, 'violation')} of {_count(len(rules), 'rule')}"
    return f"{printable(report.service)}: {checked}, {found if rules else 'no violations'}."


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _findings(answers: Sequence[Answer]) -> Iterator[RenderableType]:
    for (rule, wanted), places in _by_rule(answers).items():
        yield Text(printable(rule), style="bold")
        yield Text(printable(wanted))
        for where, founds in places.items():
            yield Padding(Text("\n".join(map(printable, founds)), style="red"), (0, 0, 0, 2))
            yield Padding(_requests(where), (0, 0, 0, 4))
        yield Text()


_Where = tuple[Answer, ...]


def _by_rule(answers: Sequence[Answer]) -> dict[tuple[str, str], dict[_Where, list[str]]]:
    """Give for each rule the answers that break it, with what was found in all of these."""
    seen: defaultdict[tuple[str, str], defaultdict[str, list[Answer]]]
    seen = defaultdict(lambda: defaultdict(list))
    for answer in answers:
        for violation in answer.violations:
            seen[violation.rule, violation.wanted][violation.found].append(answer)
    return {rule: _by_place(founds) for rule, founds in seen.items()}


def _by_place(founds: Mapping[str, Sequence[Answer]]) -> dict[_Where, list[str]]:
    places: dict[_Where, list[str]] = {}
    for found, answers in founds.items():
        places.setdefault(tuple(dict.fromkeys(answers)), []).append(found)
    return places


def _requests(answers: Sequence[Answer]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    # Not to be told of one more that could have stood there itself.
    more = len(answers) - _MOST_REQUESTS_SHOWN
    for answer in answers[: -more if more > 1 else None]:
        probe = answer.probe
        cells = (str(answer.status or "---"), probe.method, probe.path, probe.what)
        table.add_row(*(Text(printable(cell), overflow="fold") for cell in cells))
    if more > 1:
        table.add_row("", "", f"and {more} more (--json has all)")
    return table


def printable(text: str) -> str:
    """Leave nothing in a text that could move a terminal's cursor or change its state."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def codes_as_text(codes: Sequence[ErrorCode]) -> RenderableType:
    """Give codes as a table."""
    table = Table("code", "status", "retryable", box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    has_delays = any(code.retry_after is not None for code in codes)
    if has_delays:
        table.add_column("retry after", justify="right")
    table.add_column("description")
    for code in codes:
        delay = [_delay(code)] if has_delays else []
        cells = [code.value, str(code.status), _yes_or_no(code), *delay, code.description]
        table.add_row(*(Text(printable(cell)) for cell in cells))
    table.columns[0].no_wrap = True
    return table


def codes_as_json(codes: Sequence[ErrorCode]) -> str:
    """Give codes as a JSON array of objects."""
    return _json(
        [
            {
                "code": code.value,
                "status": code.status,
                "retryable": code.is_retryable(),
                **({} if code.retry_after is None else {"retry_after": code.retry_after}),
                "description": code.description,
            }
            for code in codes
        ]
    )


def codes_as_markdown(codes: Sequence[ErrorCode]) -> str:
    """Give codes as a table in GitHub's Markdown."""
    rows = [
        ["code", "status", "retryable", "retry after", "description"],
        ["---", "---", "---", "---", "---"],
        *(
            [f"`{code.value}`", str(code.status), _yes_or_no(code), _delay(code), code.description]
            for code in codes
        ),
    ]
    if not any(code.retry_after is not None for code in codes):
        rows = [[*row[:3], row[4]] for row in rows]
    return "\n".join(f"| {' | '.join(map(_markdown_cell, row))} |" for row in rows)


def _markdown_cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


def _yes_or_no(code: ErrorCode) -> str:
    return "yes" if code.is_retryable() else "no"


def _delay(code: ErrorCode) -> str:
    return "" if code.retry_after is None else f"{code.retry_after} s"


def _json(value: object) -> str:
    return json.dumps(value, indent=2)
