"""When to come back: AuthPI's SDK, with its own retry loop, waits as long as an error says.

The SDK is set to wait for nothing by itself: all that it waits, a `Retry-After` has told it.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from time import monotonic
from typing import Any, Final, NamedTuple

import httpx
import pytest
from authpi_admin import AuthPIAdmin, errors
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from authpi_errors import (
    AuthPIError,
    ConflictError,
    ErrorCode,
    ErrorRegistry,
    ServerError,
    UsageLimitExceededError,
    install,
)
from tests.serving import in_thread, uvicorn_with

LATE: Final = 2
"""Seconds that a repetition may come later than it was asked for: machines are busy."""

AT_ONCE: Final = 1
"""Seconds within which a repetition comes that was not asked to wait: none asks for less."""


class UpstreamTimeoutError(Exception):
    """What the client of another service raises."""


class DrainingError(AuthPIError):
    """An error whose code says when to come back."""

    code = ErrorCode("draining", 503, "The server is being replaced.", retry_after=1)


registry = ErrorRegistry(
    exceptions={UpstreamTimeoutError: lambda exc: ServerError(status=504, retry_after=1)}
)


def in_two_seconds() -> str:
    """An HTTP-date; as it has whole seconds only, it is one to two seconds away."""
    return format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)


class Refusal(NamedTuple):
    """How a first attempt is answered.

    Attributes:
        make: Makes what is raised or returned.
        status: The status that it has.
        code: The `error` of its body.
        seconds: What may be its `retry_after`.
    """

    make: Callable[[], Exception | Response]
    status: int
    code: str
    seconds: set[int]


REFUSALS: Final[Mapping[str, Refusal]] = {
    "a 429 with seconds": Refusal(
        lambda: UsageLimitExceededError(retry_after=1), 429, "usage_limit_exceeded", {1}
    ),
    "a 429 with a timedelta that has fractions": Refusal(
        lambda: UsageLimitExceededError(retry_after=timedelta(seconds=1.2)),
        429,
        "usage_limit_exceeded",
        {2},
    ),
    "a 429 of the framework": Refusal(
        lambda: HTTPException(429, headers={"Retry-After": "1"}), 429, "usage_limit_exceeded", {1}
    ),
    "a 502 with a part of a second": Refusal(
        lambda: ServerError(status=502, retry_after=0.2), 502, "server_error", {1}
    ),
    "a 503 with seconds": Refusal(
        lambda: ServerError(status=503, retry_after=1), 503, "server_error", {1}
    ),
    "a 503 of the framework": Refusal(
        lambda: HTTPException(503, headers={"Retry-After": "1"}), 503, "server_error", {1}
    ),
    "a 503 with a date": Refusal(
        lambda: HTTPException(503, headers={"Retry-After": in_two_seconds()}),
        503,
        "server_error",
        {1, 2},
    ),
    "a 503 in plain text": Refusal(
        lambda: PlainTextResponse("Busy", 503, {"Retry-After": "1"}), 503, "server_error", {1}
    ),
    "a 503 in plain text with a date": Refusal(
        lambda: PlainTextResponse("Busy", 503, {"Retry-After": in_two_seconds()}),
        503,
        "server_error",
        {1, 2},
    ),
    "a 503 whose code has the seconds": Refusal(DrainingError, 503, "draining", {1}),
    "a 504 for another library's exception": Refusal(
        UpstreamTimeoutError, 504, "server_error", {1}
    ),
}
WITH_A_DATE: Final = [name for name in REFUSALS if name.endswith("with a date")]
IN_PROGRESS: Final = "a 409 for a request in progress"
UNTOLD: Final = "a 503 that does not say when"
OTHERS: Final[Mapping[str, Refusal]] = {
    IN_PROGRESS: Refusal(
        lambda: ConflictError("It is in progress.", retry_after=1), 409, "conflict", {1}
    ),
    UNTOLD: Refusal(lambda: ServerError(status=503), 503, "server_error", set()),
}


class Attempt(NamedTuple):
    """When a request came: in seconds, and by the clock."""

    at: float
    moment: datetime


@dataclass(frozen=True, slots=True)
class Visit:
    """What the server and the client saw of a call.

    Attributes:
        attempts: Each request, by the server.
        responses: What came back, in front of the SDK.
        results: What the SDK made of it.
    """

    attempts: list[Attempt] = field(default_factory=list[Attempt])
    responses: list[httpx.Response] = field(default_factory=list[httpx.Response])
    results: list[object] = field(default_factory=list[object])

    @property
    def waited(self) -> float:
        """The seconds between the two attempts."""
        first, second = self.attempts
        return second.at - first.at


Visits = Mapping[str, Visit]


def app_for(visits: Visits) -> FastAPI:
    """Make a server that refuses each name's first request; without our errors."""

    async def whoami(request: Request) -> Response:
        name = request.headers["refusal"]
        attempts = visits[name].attempts
        attempts.append(Attempt(monotonic(), datetime.now(UTC)))
        if len(attempts) > 1:
            return JSONResponse({"data": {"type": "user"}})
        refusal = {**REFUSALS, **OTHERS}[name].make()
        if isinstance(refusal, Exception):
            raise refusal
        return refusal

    app = FastAPI()
    app.add_route("/v1/me", whoami)
    return app


async def call(admin: AuthPIAdmin, visit: Visit) -> None:
    """Ask with the SDK, and once more if its loop leaves that to its user."""
    try:
        visit.results.append(await admin.whoami())
    except errors.ConflictError as error:
        visit.results.append(error)
        await asyncio.sleep(visit.responses[-1].json()["retry_after"])
        visit.results.append(await admin.whoami())


async def visit_all(app: FastAPI, visits: Visits) -> None:
    """Make all calls at once, each with an SDK of its own."""

    async def note(response: httpx.Response) -> None:
        visits[response.request.headers["refusal"]].responses.append(response)

    with in_thread(uvicorn_with("h11"), app) as served:
        async with httpx.AsyncClient(event_hooks={"response": [note]}) as http:
            await asyncio.gather(
                *(
                    call(
                        AuthPIAdmin(
                            access_token="tok_of_a_session",
                            base_url=f"http://127.0.0.1:{served.port}",
                            http_client=http,
                            default_headers={"refusal": name},
                            retries={"limit": 1, "delay": 0},
                        ),
                        visit,
                    )
                    for name, visit in visits.items()
                )
            )


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """The SDK runs on asyncio alone."""
    return "asyncio"


@pytest.fixture(scope="module")
async def visits(anyio_backend: str) -> Visits:
    """All calls, to a server with our errors."""
    visits = {name: Visit() for name in (*REFUSALS, *OTHERS)}
    app = app_for(visits)
    install(app, registry=registry)
    await visit_all(app, visits)
    return visits


@pytest.fixture(scope="module")
async def bare_visits(anyio_backend: str) -> Visits:
    """The calls that are answered with a date, to a server without our errors."""
    visits = {name: Visit() for name in WITH_A_DATE}
    await visit_all(app_for(visits), visits)
    return visits


def body_of(response: httpx.Response) -> dict[str, Any]:
    body: dict[str, Any] = response.json()
    return body


@pytest.mark.parametrize("name", REFUSALS)
def test_the_sdk_comes_back_when_it_was_told_and_succeeds(name: str, visits: Visits) -> None:
    visit = visits[name]
    seconds = int(visit.responses[0].headers["retry-after"])
    assert visit.results == [{"type": "user"}]
    assert [response.status_code for response in visit.responses] == [REFUSALS[name].status, 200]
    assert seconds <= visit.waited < seconds + LATE


@pytest.mark.parametrize("name", [*REFUSALS, IN_PROGRESS])
def test_body_and_header_tell_the_same(name: str, visits: Visits) -> None:
    _, status, code, seconds = {**REFUSALS, **OTHERS}[name]
    response = visits[name].responses[0]
    body = body_of(response)
    assert (response.status_code, body["error"], body["retryable"]) == (status, code, True)
    assert body["retry_after"] in seconds
    assert response.headers.get_list("retry-after") == [str(body["retry_after"])]


@pytest.mark.parametrize("name", WITH_A_DATE)
def test_the_sdk_does_not_come_before_the_date(name: str, visits: Visits) -> None:
    first, second = visits[name].attempts
    date = (first.moment + timedelta(seconds=2)).replace(microsecond=0)
    assert date <= second.moment < date + timedelta(seconds=1 + LATE)


@pytest.mark.parametrize("name", WITH_A_DATE)
def test_without_the_library_the_sdk_does_not_understand_a_date(
    name: str, bare_visits: Visits
) -> None:
    visit = bare_visits[name]
    assert visit.responses[0].headers["retry-after"].endswith(" GMT")
    assert visit.waited < AT_ONCE


def test_an_error_that_does_not_say_when_leaves_it_to_the_sdk(visits: Visits) -> None:
    visit = visits[UNTOLD]
    assert "retry-after" not in visit.responses[0].headers
    assert "retry_after" not in body_of(visit.responses[0])
    assert visit.results == [{"type": "user"}]
    assert visit.waited < AT_ONCE


def test_a_request_in_progress_is_not_repeated_by_the_sdk_but_by_its_user(visits: Visits) -> None:
    visit = visits[IN_PROGRESS]
    conflict, result = visit.results
    assert isinstance(conflict, errors.ConflictError)
    assert (conflict.error, conflict.retryable) == ("conflict", True)
    assert result == {"type": "user"}
    assert 1 <= visit.waited < 1 + LATE
