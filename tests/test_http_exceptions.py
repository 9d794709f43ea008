"""Starlette's and FastAPI's `HTTPException`: what it says is taken over, whatever it is."""

from __future__ import annotations

import http
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from enum import IntEnum
from typing import Any, NoReturn

import fastapi
import pytest
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException

from authpi_errors import ErrorCode, ErrorRegistry, PreconditionFailedError
from authpi_errors._rendering import ErrorResponse, render
from authpi_errors.codes import fallback

QUOTA = ErrorCode("quota_exhausted", 402, "The quota is used up.")
REGISTRY = ErrorRegistry(codes=[QUOTA], statuses={402: "quota_exhausted"})


class Own(IntEnum):
    """A status that Python has no name for."""

    CLOSED = 499


def answer(exc: HTTPException) -> ErrorResponse:
    """Answer an exception."""
    return render(REGISTRY.resolve(exc), REGISTRY)


def raised(status: int, detail: Any = None, headers: Any = None) -> ErrorResponse:
    """Answer an exception of FastAPI's, whose detail can be anything."""
    return answer(fastapi.HTTPException(status, detail, headers))


def body(response: ErrorResponse) -> dict[str, Any]:
    """Read the body."""
    members: dict[str, Any] = json.loads(response.body)
    return members


@pytest.mark.parametrize("status", range(400, 600))
def test_status_is_kept_and_has_its_code(status: int) -> None:
    response = answer(HTTPException(status, "Something."))
    assert (response.status, body(response)["error"]) == (status, REGISTRY.code_for(status).value)


@pytest.mark.parametrize("status", [status.value for status in http.HTTPStatus if status >= 400])
def test_phrase_of_http_is_replaced_by_what_the_code_says(status: int) -> None:
    description = body(answer(HTTPException(status)))["error_description"]
    assert description == REGISTRY.code_for(status).description


@pytest.mark.parametrize(
    ("status", "phrase"),
    [
        (413, "Content Too Large"),
        (413, "Request Entity Too Large"),
        (414, "URI Too Long"),
        (414, "Request-URI Too Long"),
        (416, "Range Not Satisfiable"),
        (416, "Requested Range Not Satisfiable"),
        (422, "Unprocessable Content"),
        (422, "Unprocessable Entity"),
    ],
)
def test_phrase_of_another_version_of_python_is_replaced_too(status: int, phrase: str) -> None:
    description = body(answer(HTTPException(status, phrase)))["error_description"]
    assert description == REGISTRY.code_for(status).description


def test_phrase_of_another_status_is_a_text_as_any_other() -> None:
    exc = HTTPException(404, "Unprocessable Content")
    assert body(answer(exc))["error_description"] == "Unprocessable Content"


def test_status_may_be_a_member_of_an_enum() -> None:
    assert answer(HTTPException(Own.CLOSED, "Closed.")).status == 499


@pytest.mark.parametrize("detail", ["", "  ", "\n"], ids=repr)
def test_blank_detail_is_replaced_by_what_the_code_says(detail: str) -> None:
    members = body(answer(HTTPException(499, detail)))
    assert members["error_description"] == fallback(499).description


def test_detail_that_is_text_is_the_description() -> None:
    assert body(raised(404, "No user 7."))["error_description"] == "No user 7."


@pytest.mark.parametrize(
    "detail",
    [
        pytest.param({"user": 7}, id="a dict"),
        pytest.param([1, "a", None], id="a list"),
        pytest.param(7, id="a number"),
        pytest.param(False, id="a bool"),
        pytest.param({}, id="an empty dict"),
        pytest.param({"error": "not_found"}, id="a dict without a description"),
        pytest.param({"error_description": "No."}, id="a dict without a code"),
        pytest.param({"error": 5, "error_description": "No."}, id="a code that is no text"),
        pytest.param({"error": "a", "error_description": None}, id="a description that is none"),
        pytest.param({"error": "a b", "error_description": "No."}, id="a code of two words"),
    ],
)
def test_detail_that_is_data_is_a_member_of_its_own(detail: object) -> None:
    members = body(raised(404, detail))
    assert members["error"] == "not_found"
    assert members["error_description"] == fallback(404).description
    assert members["detail"] == detail


def test_no_detail_is_no_member() -> None:
    assert "detail" not in body(raised(404))


def test_detail_may_be_taken_away() -> None:
    exc: Any = HTTPException(404, "Something.")
    exc.detail = None
    assert body(answer(exc)) == body(answer(HTTPException(404)))


def fail(*_: object) -> NoReturn:
    """Fail."""
    raise RuntimeError


# For the places of methods.
raising: Any = fail


class RaisingMapping(Mapping[str, Any]):
    """A mapping that can't be read."""

    __getitem__ = __iter__ = __len__ = raising


class RaisingText(str):
    """Text that can't be compared."""

    __slots__ = ()

    __eq__ = raising
    __hash__ = str.__hash__


def cycle() -> list[Any]:
    """Give a list that holds itself."""
    found: list[Any] = []
    found.append(found)
    return found


@pytest.mark.parametrize(
    "detail",
    [
        pytest.param(object(), id="an object"),
        pytest.param(b"bytes", id="bytes"),
        pytest.param({1, 2}, id="a set"),
        pytest.param(10**308, id="an integer that a double may not hold"),
        pytest.param(["\ud800"], id="a lone surrogate in a list"),
        pytest.param(cycle(), id="a cycle"),
        pytest.param(ValueError("secret"), id="an exception"),
    ],
)
def test_detail_that_json_can_not_say_is_left_out_and_named(detail: object) -> None:
    response = raised(404, detail)
    assert list(body(response)) == ["error", "error_description", "retryable"]
    assert (response.status, response.dropped) == (404, ("extra 'detail'",))


@pytest.mark.parametrize(
    "detail",
    [
        pytest.param(RaisingMapping(), id="a mapping that raises"),
        pytest.param(RaisingText("Something."), id="a text that raises"),
        pytest.param(
            {"error": "not_found", "error_description": "No.", "fields": [RaisingMapping()]},
            id="a mapping that raises among the fields",
        ),
    ],
)
def test_detail_that_can_not_be_read_leaves_the_status(detail: object) -> None:
    response = raised(404, detail)
    assert (response.status, response.code) == (404, "not_found")


@pytest.mark.parametrize(
    "headers", [RaisingMapping(), 5, [("ETag", '"1"')]], ids=["raises", "number", "list"]
)
def test_headers_that_can_not_be_read_leave_the_status(headers: Any) -> None:
    response = raised(412, "Changed.", headers)
    assert (response.status, response.code) == (412, "precondition_failed")
    assert response.dropped


def test_detail_in_the_contracts_words_is_taken_at_its_word() -> None:
    detail = {
        "error": "usage_limit_exceeded",
        "error_description": "Slow down.",
        "reference": "abc",
        "retryable": True,
        "retry_after": 7,
        "fields": [{"field": "a", "code": "b", "message": "c"}],
        "limit": 100,
    }
    response = raised(429, detail)
    assert body(response) == detail
    assert dict(response.headers)[b"retry-after"] == b"7"
    assert not response.dropped


@pytest.mark.parametrize(
    ("name", "status", "sent"),
    [
        pytest.param("not_found", 404, "not_found", id="of the contract"),
        pytest.param("conflict", 400, "conflict", id="with another status than usual"),
        pytest.param("quota_exhausted", 402, "quota_exhausted", id="of the registry"),
        pytest.param("invalid_grant", 400, "invalid_grant", id="unknown"),
        pytest.param("maintenance", 503, "maintenance", id="unknown, and retryable"),
    ],
)
def test_code_in_a_detail_is_kept_with_the_status(name: str, status: int, sent: str) -> None:
    response = raised(status, {"error": name, "error_description": "No."})
    assert (response.status, response.code, body(response)["error"]) == (status, sent, sent)
    assert body(response)["retryable"] == (status == 503)


@pytest.mark.parametrize("member", ["current_etag", "currentETag"])
@pytest.mark.parametrize("name", ["precondition_failed", "stale"], ids=["contract's", "own"])
def test_current_entity_tag_in_a_detail_has_both_names_and_its_header(
    name: str, member: str
) -> None:
    response = raised(412, {"error": name, "error_description": "Changed.", member: '"1"'})
    members = body(response)
    assert [members.get("current_etag"), members.get("currentETag")] == ['"1"', '"1"']
    assert dict(response.headers).get(b"etag") == b'"1"'


@pytest.mark.parametrize(
    ("part", "value", "dropped"),
    [
        pytest.param("fields", [5], "fields[0]", id="a number for a field"),
        pytest.param("fields", [{"field": "a"}], "fields[0]", id="a field without its parts"),
        pytest.param("fields", 5, "fields", id="a number for the fields"),
        pytest.param("retryable", "no", "retryable", id="text for retryable"),
        pytest.param("retry_after", "soon", "retry_after", id="a word for a delay"),
        pytest.param("reference", 5, "reference", id="a number for a reference"),
        pytest.param(5, "a", "extra int", id="a number for a name"),
        pytest.param("x", object(), "extra 'x'", id="an object for a member"),
        pytest.param("current_etag", '"1"', "extra 'current_etag'", id="an entity tag on a 404"),
    ],
)
def test_part_of_a_detail_that_can_not_be_sent_is_named(
    part: object, value: object, dropped: str
) -> None:
    response = raised(404, {"error": "not_found", "error_description": "No.", part: value})
    assert list(body(response)) == ["error", "error_description", "retryable"]
    assert response.dropped == (dropped,)


def test_detail_is_not_changed() -> None:
    detail: Any = {"error": "not_found", "error_description": "No.", "fields": []}
    raised(404, detail)
    assert detail == {"error": "not_found", "error_description": "No.", "fields": []}


def test_headers_are_kept() -> None:
    response = raised(405, None, {"Allow": "GET, HEAD", "X-A": "b"})
    assert {(b"allow", b"GET, HEAD"), (b"x-a", b"b")} <= set(response.headers)


def test_headers_of_one_name_are_all_kept() -> None:
    headers = MutableHeaders()
    headers.append("Set-Cookie", "a=1")
    headers.append("Set-Cookie", "b=2")
    cookies = [value for name, value in raised(401, None, headers).headers if name == b"set-cookie"]
    assert cookies == [b"a=1", b"b=2"]


def test_challenge_is_kept() -> None:
    response = raised(401, "Who?", {"WWW-Authenticate": 'Basic realm="a"'})
    challenges = [value for name, value in response.headers if name == b"www-authenticate"]
    assert challenges == [b'Basic realm="a"']


def test_refusal_without_a_challenge_gets_one() -> None:
    assert dict(raised(401, "Who?").headers)[b"www-authenticate"] == b"Bearer"


@pytest.mark.parametrize("value", [5, 4.3, "5", b"5", "4.87"], ids=repr)
def test_retry_after_in_the_headers_is_in_the_body_too(value: object) -> None:
    response = raised(503, None, {"Retry-After": value})
    assert body(response)["retry_after"] == 5
    assert dict(response.headers)[b"retry-after"] == b"5"


def test_retry_after_that_is_a_date_becomes_seconds() -> None:
    moment = datetime.now(UTC) + timedelta(minutes=1)
    response = raised(503, None, {"retry-after": format_datetime(moment, usegmt=True)})
    assert body(response)["retry_after"] in range(50, 61)
    assert dict(response.headers)[b"retry-after"] == b"%d" % body(response)["retry_after"]


def test_retry_after_that_is_none_is_left_out_and_named() -> None:
    response = raised(503, None, {"Retry-After": "soon"})
    assert b"retry-after" not in dict(response.headers)
    assert response.dropped == ("retry_after",)


@pytest.mark.parametrize("name", ["ETag", "etag", b"etag"], ids=repr)
def test_entity_tag_of_a_failed_precondition_is_in_the_body_too(name: object) -> None:
    response = raised(412, None, {name: '"1"'})
    assert (body(response)["current_etag"], body(response)["currentETag"]) == ('"1"', '"1"')
    assert [value for name, value in response.headers if name == b"etag"] == [b'"1"']


def test_failed_precondition_without_an_entity_tag_has_none() -> None:
    error = REGISTRY.resolve(HTTPException(412, headers={"X-A": "b"}))
    assert isinstance(error, PreconditionFailedError)
    assert error.current_etag is None


def with_status(status: Any) -> HTTPException:
    """Make an exception with a status that Starlette's constructor may refuse."""
    exc = HTTPException(400)
    exc.status_code = status
    return exc


@pytest.mark.parametrize(
    "status",
    [0, -1, 100, 204, 303, 304, 399, 600, 10**30, True, None, "404", 404.0, float("nan"), [404]],
    ids=lambda status: repr(status)[:9],
)
def test_exception_without_the_status_of_an_error_is_not_one(status: object) -> None:
    assert REGISTRY.find(with_status(status)) is None
