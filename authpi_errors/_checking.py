"""Makes the requests of a plan, and judges the answers.

Answers are judged as they are; in what is told of them, the given credentials are masked.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

from authpi_errors._masking import mask_of
from authpi_errors._probing import Credentials, Probe, base_of, is_same_origin, judge, plan
from authpi_errors._registry import ErrorRegistry
from authpi_errors._service import Service, UnreachableError
from authpi_errors.compliance import Response, Violation

__all__ = ["Answer", "Report", "run"]

# Where there are more of something, the first will do to act on it.
_MOST_NAMED: Final = 3


# Two are the same only if they are one.
@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What came of a probe.

    Attributes:
        probe: The request, masked.
        status: The status of the answer; `None` if there was no answer.
        violations: What is wrong with it.
    """

    probe: Probe
    status: int | None
    violations: Sequence[Violation]

    def __str__(self) -> str:
        """Show it in a line."""
        return f"{self.status or '---'} {self.probe}"


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a check.

    Attributes:
        service: The service, as its user calls it.
        answers: What came of each request.
        notes: Sentences about what could not be checked.
    """

    service: str
    answers: Sequence[Answer]
    notes: Sequence[str]

    @property
    def error_count(self) -> int:
        """How many answers were errors, which are what the contract is about."""
        return sum(answer.status is not None and answer.status >= 400 for answer in self.answers)

    @property
    def violation_count(self) -> int:
        """How many violations there are."""
        return sum(len(answer.violations) for answer in self.answers)


class _Found(NamedTuple):
    """An OpenAPI document: its URL, what is in it, and why that is nothing if it is."""

    url: str
    document: Mapping[str, Any]
    note: str = ""


async def run(
    service: Service,
    url: str,
    name: str,
    *,
    openapi: str | None = None,
    registry: ErrorRegistry | None = None,
    progress: Callable[[int, int, Probe], object],
) -> Report:
    """Check a service.

    Args:
        service: The service.
        url: The address that its paths begin at.
        name: A random name that nothing in the service has.
        openapi: The URL or the file of its OpenAPI document; `None` for the usual place.
        registry: Its codes.
        progress: Is told before each request how many are done, how many there are, and the probe.

    Raises:
        UnreachableError: There is no service, or not the document that was asked for.
    """
    found = await _find(service, url, openapi)
    base = base_of(found.document, found.url, url)
    probes = plan(
        found.document,
        name,
        document_path=found.url.removeprefix(base) if found.url.startswith(f"{base}/") else "",
        has_credentials=bool(service.headers),
    )
    mask = mask_of(service.headers)
    judged = partial(judge, registry=registry, mask=mask)
    answers: list[Answer] = []
    for done, probe in enumerate(probes):
        shown = replace(probe, path=mask(probe.path), target=mask(probe.target))
        progress(done, len(probes), shown)
        answer = await _answer(service, base, probe, judged, is_first=not done)
        answers.append(Answer(shown, *answer))
    notes = [found.note, _elsewhere(answers, found, mask(base))]
    return Report(url, answers, [*filter(None, notes), *_notes(answers, bool(service.headers))])


async def _find(service: Service, url: str, openapi: str | None) -> _Found:
    place = f"{url}/openapi.json" if openapi is None else openapi
    content, fault = await _read(service, place, url)
    if not fault:
        document, fault = _parsed(content)
        if not fault:
            # A file says nothing about where the service has its document.
            return _Found(place if "://" in place else url, document)
    if openapi is not None:
        raise UnreachableError(f"--openapi names no OpenAPI 3 document in JSON: {fault}.")
    sentence = f"There is no OpenAPI 3 document in JSON at {place}: {fault}."
    return _Found(url, {}, f"{sentence} Only a random path was tried; --openapi names the place.")


async def _read(service: Service, place: str, service_url: str) -> tuple[bytes, str]:
    """Give the content of a place, and what is wrong with it."""
    if "://" not in place:
        return _read_file(Path(place))
    # The service's credentials are for the service alone.
    is_own = is_same_origin(place, service_url)
    response = await service.fetch(place, has_credentials=is_own)
    return response.body, "" if response.status == 200 else f"the answer is {response.status}"


def _read_file(path: Path) -> tuple[bytes, str]:
    try:
        return path.read_bytes(), ""
    except OSError as exc:
        return b"", str(exc.strerror)


def _parsed(content: bytes) -> tuple[Mapping[str, Any], str]:
    try:
        document: object = json.loads(content)
    except (ValueError, RecursionError):
        return {}, "it is not JSON"
    match document:
        case {"openapi": str(version)} if version.startswith("3."):
            return cast("Mapping[str, Any]", document), ""
        case _:
            return {}, "it doesn't say that it is one"


_Judge = Callable[[Probe, Response], list[Violation]]


async def _answer(
    service: Service, base: str, probe: Probe, judged: _Judge, *, is_first: bool
) -> tuple[int | None, list[Violation]]:
    """Give the status of an answer, and what is wrong with it."""
    try:
        response = await service.ask(base, probe)
    except UnreachableError as exc:
        # A service that hasn't answered anything so far isn't there; one that has breaks off.
        if is_first:
            raise
        return None, [Violation("answer", str(exc), "Each request has an answer.")]
    return response.status, judged(probe, response)


def _elsewhere(answers: Sequence[Answer], found: _Found, base: str) -> str:
    """Say that the document's paths seem not to be there: a 404 is right for any other name."""
    statuses = {
        answer.status
        for answer in answers
        if answer.probe.target == answer.probe.path and not found.url.endswith(answer.probe.path)
    }
    if statuses != {404}:
        return ""
    return (
        "All paths of the document that take no random names are answered with 404: perhaps they "
        f"don't begin at {base}. The URL to check says where, if it has a path; else the first of "
        "the document's servers does, and --openapi may name another document."
    )


def _notes(answers: Sequence[Answer], has_credentials: bool) -> Iterator[str]:
    fine = [answer for answer in answers if (answer.status or 400) < 400 and not answer.violations]
    if fine:
        named = ", ".join(map(str, fine[:_MOST_NAMED]))
        more = f", and {len(fine) - _MOST_NAMED} more" if len(fine) > _MOST_NAMED else ""
        yield f"Not an error, so not checked: {named}{more}."
    by_credentials = {answer.probe.credentials for answer in answers}
    if Credentials.NONE in by_credentials and not has_credentials:
        yield (
            "Some operations want credentials: what is behind them is checked too if there is a "
            "--header 'Authorization: ...'."
        )
    refused = [
        answer
        for answer in answers
        if answer.status == 401 and answer.probe.credentials is Credentials.GIVEN
    ]
    if refused and has_credentials:
        yield (
            f"The given credentials were refused {len(refused)} times with 401: nothing behind "
            "authentication was checked there."
        )
