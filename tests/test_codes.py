"""The codes: AuthPI's eleven as the contract lists them, and what a status falls back to."""

from __future__ import annotations

import dataclasses
from http import HTTPStatus
from typing import Any

import pytest

from authpi_errors import ErrorCode, codes
from authpi_errors.codes import CODES, fallback, is_error_status, status_of_close

# The contract's table: code, status, retryable.
CONTRACT = [
    ("invalid_request", 400, False),
    ("invalid_content_type", 415, False),
    ("access_denied", 403, False),
    ("insufficient_scope", 403, False),
    ("session_expired", 401, False),
    ("unauthorized_client", 401, False),
    ("not_found", 404, False),
    ("conflict", 409, False),
    ("precondition_failed", 412, False),
    ("usage_limit_exceeded", 429, True),
    ("server_error", 500, False),
]

# The contract's statuses whose code is not that of their hundred.
FALLBACKS = {
    401: "unauthorized_client",
    403: "access_denied",
    404: "not_found",
    409: "conflict",
    410: "not_found",
    412: "precondition_failed",
    415: "invalid_content_type",
    423: "conflict",
    429: "usage_limit_exceeded",
}

RETRYABLE_STATUSES = {408, 429, 502, 503, 504}


def test_there_are_the_eleven_codes_of_the_contract_and_no_other() -> None:
    assert list(CODES) == [name for name, _, _ in CONTRACT]


@pytest.mark.parametrize(
    ("name", "status", "retryable"), CONTRACT, ids=[row[0] for row in CONTRACT]
)
def test_code_is_as_in_the_contract(name: str, status: int, retryable: bool) -> None:
    code = CODES[name]
    assert (code.value, code.status, code.is_retryable()) == (name, status, retryable)


@pytest.mark.parametrize("name", CODES)
def test_every_code_is_a_constant_of_the_module(name: str) -> None:
    assert getattr(codes, name.upper()) is CODES[name]


@pytest.mark.parametrize("status", range(400, 600))
def test_status_falls_back_to_the_code_of_the_contract(status: int) -> None:
    hundred = "invalid_request" if status < 500 else "server_error"
    assert fallback(status).value == FALLBACKS.get(status, hundred)


@pytest.mark.parametrize("status", range(400, 600))
def test_fallback_has_the_status_it_was_asked_for(status: int) -> None:
    assert fallback(status).status == status


@pytest.mark.parametrize("status", range(400, 600))
def test_fallback_is_retryable_where_the_official_clients_repeat(status: int) -> None:
    assert fallback(status).is_retryable() == (status in RETRYABLE_STATUSES)


@pytest.mark.parametrize("status", range(400, 600))
def test_fallback_says_a_sentence_and_not_a_phrase_of_http(status: int) -> None:
    assert fallback(status).description.endswith(".")


def test_fallback_says_what_a_definite_status_means() -> None:
    assert "Allow" in fallback(405).description


def test_fallback_says_what_its_code_says_for_an_indefinite_status() -> None:
    assert fallback(418).description == codes.INVALID_REQUEST.description


@pytest.mark.parametrize(
    ("status", "is_one"),
    [
        pytest.param(400, True, id="the first"),
        pytest.param(599, True, id="the last"),
        pytest.param(HTTPStatus.CONFLICT, True, id="a member of HTTPStatus"),
        pytest.param(399, False, id="below"),
        pytest.param(600, False, id="above"),
        pytest.param(True, False, id="a bool"),
        pytest.param(404.0, False, id="a float"),
        pytest.param(float("nan"), False, id="not a number"),
        pytest.param("404", False, id="a string"),
        pytest.param(None, False, id="None"),
        pytest.param([404], False, id="a list"),
    ],
)
def test_error_status_is_an_integer_from_400_to_599(status: object, is_one: bool) -> None:
    assert is_error_status(status) == is_one


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        pytest.param({"value": ""}, "error code ''", id="an empty name"),
        pytest.param({"value": "two words"}, "two words", id="a space in the name"),
        pytest.param({"value": 'quo"te'}, "quotes", id="a quote in the name"),
        pytest.param({"value": "back\\slash"}, "backslashes", id="a backslash in the name"),
        pytest.param({"value": "grün"}, "printable ASCII", id="a name that is not ASCII"),
        pytest.param({"value": "line\n"}, "printable ASCII", id="a line's end in the name"),
        pytest.param({"value": b"bytes"}, "printable ASCII", id="bytes for a name"),
        pytest.param({"value": None}, "None", id="no name"),
        pytest.param({"status": 399}, "from 400 to 599", id="a status below 400"),
        pytest.param({"status": 600}, "from 400 to 599", id="a status above 599"),
        pytest.param({"status": "402"}, "'402'", id="a string for a status"),
        pytest.param({"status": 402.0}, "402.0", id="a float for a status"),
        pytest.param({"status": True}, "True", id="a bool for a status"),
        pytest.param({"status": None}, "None", id="no status"),
        pytest.param(
            {"status": 412, "retryable": True}, "leave retryable out", id="a 412 for another try"
        ),
        pytest.param({"description": ""}, "use a sentence", id="an empty description"),
        pytest.param({"description": " \n"}, "use a sentence", id="a blank description"),
        pytest.param({"description": "\ud800"}, "use a sentence", id="a lone surrogate"),
        pytest.param({"description": 5}, "use a sentence", id="a number for a description"),
        pytest.param({"retryable": "no"}, "retryable='no'", id="a string for retryable"),
        pytest.param({"retryable": []}, "retryable=", id="a list for retryable"),
        pytest.param({"retryable": 1}, "retryable=1", id="the integer 1 for retryable"),
        pytest.param({"retryable": 0.0}, "retryable=0.0", id="the float 0 for retryable"),
        pytest.param({"retry_after": -1}, "retry_after=-1", id="a negative delay"),
        pytest.param({"retry_after": 1.5}, "whole seconds", id="half a second"),
        pytest.param({"retry_after": True}, "whole seconds", id="a bool for a delay"),
        pytest.param({"retry_after": 2**31}, "2147483647", id="a delay beyond 31 bits"),
        pytest.param({"retry_after": "5"}, "whole seconds", id="a string for a delay"),
        pytest.param(
            {"retryable": False, "retry_after": 5}, "not retryable", id="a delay, not retryable"
        ),
        pytest.param(
            {"retryable": None, "retry_after": 5}, "not retryable", id="a delay, status says no"
        ),
    ],
)
def test_code_refuses_what_could_not_be_sent(parts: dict[str, Any], complaint: str) -> None:
    usable: dict[str, Any] = {
        "value": "q",
        "status": 402,
        "description": "Used up.",
        "retryable": True,
    }
    with pytest.raises(ValueError, match=complaint):
        ErrorCode(**{**usable, **parts})


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(ErrorCode("a", 429, "A.", retry_after=0), id="a delay of no seconds"),
        pytest.param(ErrorCode("a", 503, "A.", retry_after=2**31 - 1), id="the longest delay"),
        pytest.param(ErrorCode("a", 402, "A.", True, 5), id="a delay where retryable is set"),
    ],
)
def test_code_with_a_delay_is_retryable(code: ErrorCode) -> None:
    assert code.is_retryable()


@pytest.mark.parametrize(
    ("retryable", "status", "expected"),
    [
        pytest.param(None, 503, True, id="the status says yes"),
        pytest.param(None, 500, False, id="the status says no"),
        pytest.param(False, 503, False, id="the code says no, whatever the status"),
        pytest.param(True, 400, True, id="the code says yes, whatever the status"),
    ],
)
def test_code_decides_on_repetition_before_the_status_does(
    retryable: bool | None, status: int, expected: bool
) -> None:
    assert ErrorCode("a", 402, "A.", retryable).is_retryable(status) is expected


def test_code_for_412_may_say_that_it_is_not_retryable() -> None:
    assert not ErrorCode("a", 412, "A.", retryable=False).is_retryable()


@pytest.mark.parametrize(
    ("close", "status"),
    [(1008, 403), (1011, 500), (1012, 503), (1013, 503), (1000, 403), (4000, 403), (-1, 403)],
)
def test_close_of_a_websocket_has_a_status(close: int, status: int) -> None:
    assert status_of_close(close) == status


def test_code_can_not_be_changed() -> None:
    attribute = "status"
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(CODES["not_found"], attribute, 410)


def test_table_of_codes_can_not_be_changed() -> None:
    table: Any = CODES
    with pytest.raises(TypeError):
        table["not_found"] = None
