"""Fifty clients count at once: with versions nothing is lost, without them nearly everything."""

import json
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, NamedTuple

import pytest

from examples.core_api import create_app, storage
from tests.serving import in_thread, uvicorn_with
from tests.wire import TIMEOUT, Answer, Client, Http1

COUNTERS: Final = "/demo/counters"
CLIENTS: Final = 50
CHANGED: Final = "has been modified since. Fetch the latest version and retry."


class Version(NamedTuple):
    """A counter as a client has read it."""

    value: int
    etag: str

    @property
    def number(self) -> int:
        """What grows with each change."""
        return int(self.etag.strip('"'))


class Attempt(NamedTuple):
    """A client read a version, and tried to write the next one."""

    read: Version
    answer: Answer


@dataclass(frozen=True, slots=True)
class Count:
    """What came of a count.

    Attributes:
        value: Where the counter stands.
        attempts: All of them, each client's in their order.
    """

    value: int
    attempts: list[Attempt]

    def answered(self, status: int) -> list[Attempt]:
        """Give the attempts that were answered so."""
        return [attempt for attempt in self.attempts if attempt.answer.status == status]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Generator[int]:
    """The Core API on a real server."""
    database = tmp_path_factory.mktemp("counters") / "core.sqlite3"
    with in_thread(uvicorn_with("httptools"), create_app(database)) as served:
        yield served.port


@pytest.fixture
def client(port: int) -> Generator[Client]:
    with Http1(port) as connection:
        yield connection


@pytest.fixture
def path(client: Client) -> str:
    """A fresh counter's."""
    return create(client)


@pytest.fixture(scope="module")
def counted(port: int) -> Count:
    """What comes of clients that name the version that they have read."""
    return count(port, lambda version: version.etag)


def create(client: Client) -> str:
    return f"{COUNTERS}/{resource(client.request('POST', COUNTERS))['id']}"


def resource(answer: Answer) -> dict[str, Any]:
    assert answer.status in {200, 201}, answer
    data: dict[str, Any] = json.loads(answer.body)["data"]
    return data


def version(answer: Answer) -> Version:
    return Version(resource(answer)["value"], answer.value("etag") or "")


def put(client: Client, path: str, body: bytes, **headers: str) -> Answer:
    fields = {"content-type": "application/json"}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    return client.request("PUT", path, list(fields.items()), body)


def write(client: Client, path: str, value: int, if_match: str) -> Answer:
    return put(client, path, b'{"value": %d}' % value, if_match=if_match)


def count(port: int, if_match: Callable[[Version], str]) -> Count:
    """Let all clients add one to a fresh counter, at once.

    Args:
        port: The server's.
        if_match: Gives the header that a client sends, of the version that it has read.
    """
    # Whatever the scheduler does: all have read, none has written.
    all_have_read = threading.Barrier(CLIENTS)

    def work(_: int) -> list[Attempt]:
        with Http1(port) as client:
            read = version(client.request("GET", counter))
            all_have_read.wait(TIMEOUT)
            attempts = [add_one(client, counter, read, if_match)]
            while attempts[-1].answer.status == 412:
                read = version(client.request("GET", counter))
                attempts.append(add_one(client, counter, read, if_match))
            return attempts

    with Http1(port) as before:
        counter = create(before)
    with ThreadPoolExecutor(CLIENTS) as clients:
        attempts = list(chain.from_iterable(clients.map(work, range(CLIENTS))))
    with Http1(port) as after:
        return Count(version(after.request("GET", counter)).value, attempts)


def add_one(
    client: Client, path: str, read: Version, if_match: Callable[[Version], str]
) -> Attempt:
    return Attempt(read, write(client, path, read.value + 1, if_match(read)))


# Nothing is lost


def test_fifty_clients_count_together_and_nothing_is_lost(counted: Count) -> None:
    assert counted.value == CLIENTS
    assert len(counted.answered(200)) == CLIENTS


def test_every_attempt_is_done_or_refused(counted: Count) -> None:
    assert {attempt.answer.status for attempt in counted.attempts} == {200, 412}


def test_of_those_who_have_read_the_same_only_one_writes(counted: Count) -> None:
    assert len(counted.answered(412)) >= (CLIENTS - 1)


def test_every_write_makes_another_version(counted: Count) -> None:
    written = {version(attempt.answer) for attempt in counted.answered(200)}
    assert len({made.etag for made in written}) == CLIENTS
    by_age = sorted(written, key=lambda made: made.number)
    assert [made.value for made in by_age] == list(range(1, CLIENTS + 1))


def test_every_refusal_tells_the_version_that_the_database_has(counted: Count) -> None:
    existing = {version(attempt.answer).etag for attempt in counted.answered(200)}
    for read, answer in counted.answered(412):
        told = json.loads(answer.body)["current_etag"]
        assert told in existing
        assert Version(0, told).number > read.number


def test_every_refusal_is_as_the_contract_says(counted: Count) -> None:
    for _, answer in counted.answered(412):
        etag = answer.value("etag")
        assert etag is not None
        assert json.loads(answer.body, object_pairs_hook=list) == [
            ("error", "precondition_failed"),
            ("error_description", f"Counter {CHANGED}"),
            ("retryable", False),
            ("current_etag", etag),
            ("currentETag", etag),
        ]
        assert answer.value("content-type") == "application/json"
        assert answer.value("cache-control") == "no-store"
        assert answer.value("retry-after") is None


def test_clients_that_take_any_version_lose_what_the_others_count(port: int) -> None:
    lost = count(port, lambda version: "*")
    assert len(lost.answered(200)) == CLIENTS
    assert lost.value == 1


# One counter, one client


def test_a_counter_begins_at_0_and_stands_where_it_was_put(client: Client, path: str) -> None:
    begin = version(client.request("GET", path))
    written = version(write(client, path, 7, begin.etag))
    assert (begin.value, written.value) == (0, 7)
    assert version(client.request("GET", path)) == written


def test_versions_differ_even_while_the_clock_stands_still(
    client: Client, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "now", lambda: 0)
    first = version(client.request("GET", path))
    second = version(write(client, path, 1, first.etag))
    third = version(write(client, path, 2, second.etag))
    assert first.number < second.number < third.number


def test_who_names_no_version_is_asked_for_it(client: Client, path: str) -> None:
    answer = put(client, path, b'{"value": 1}')
    assert (answer.status, json.loads(answer.body)["error"]) == (428, "invalid_request")
    assert version(client.request("GET", path)).value == 0


@pytest.mark.parametrize("if_match", ["*", '"1"'])
def test_what_is_not_there_is_not_found_whatever_the_version(if_match: str, client: Client) -> None:
    answer = write(client, f"{COUNTERS}/ctr_nowhere", 1, if_match)
    assert (answer.status, json.loads(answer.body)["error"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(b'{"value": 9007199254740991}', 200, id="the largest that JSON can say"),
        pytest.param(b'{"value": 9007199254740992}', 400, id="one more"),
        pytest.param(b'{"value": -1}', 400, id="less than nothing"),
        pytest.param(b'{"value": 0.5}', 400, id="a half"),
        pytest.param(b'{"value": 1, "id": "mine"}', 400, id="a member that is not to be written"),
    ],
)
def test_a_counter_takes_a_number_to_count_with(
    body: bytes, status: int, client: Client, path: str
) -> None:
    assert put(client, path, body, if_match="*").status == status


def test_a_counter_takes_json_alone(client: Client, path: str) -> None:
    patch = "application/merge-patch+json"
    answer = put(client, path, b'{"value": 1}', if_match="*", content_type=patch)
    assert (answer.status, answer.value("accept")) == (415, "application/json")
