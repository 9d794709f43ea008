"""Header fields: only what may stand in one gets into one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from email.utils import format_datetime
from enum import Enum
from typing import Any

import pytest

from authpi_errors import Challenge
from authpi_errors._headers import delay_seconds, encode, entity_tag, is_media_range


class Name(str, Enum):  # noqa: UP042 - not shown as its value
    """Names of headers, as an application may keep them."""

    ALLOW = "Allow"


@pytest.mark.parametrize(
    ("name", "value", "header"),
    [
        pytest.param("Allow", "GET", (b"allow", b"GET"), id="text"),
        pytest.param(b"Allow", b"GET", (b"allow", b"GET"), id="bytes"),
        pytest.param("Retry-After", 5, (b"retry-after", b"5"), id="an integer"),
        pytest.param("X-Ratio", 0.5, (b"x-ratio", b"0.5"), id="a float"),
        pytest.param("X-A", "", (b"x-a", b""), id="nothing"),
        pytest.param("X-A", " \ta b\t ", (b"x-a", b"a b"), id="white space around"),
        pytest.param("X-A", "a\tb", (b"x-a", b"a\tb"), id="a tab inside"),
        pytest.param("X-A", "é\x80", (b"x-a", b"\xe9\x80"), id="latin-1"),
        pytest.param("!#$%&'*+.^_`|~09Az-", "a", (b"!#$%&'*+.^_`|~09az-", b"a"), id="odd tokens"),
        pytest.param(Name.ALLOW, Name.ALLOW, (b"allow", b"Allow"), id="members of an enum of str"),
    ],
)
def test_header_is_encoded(name: object, value: object, header: tuple[bytes, bytes]) -> None:
    assert encode(name, value) == header


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("X-A", "a\r\nSet-Cookie: a=b", id="CR and LF in a value"),
        pytest.param("X-A", "a\n", id="LF at the end of a value"),
        pytest.param("X-A", "a\rb", id="CR in a value"),
        pytest.param("X-A", "a\0b", id="NUL in a value"),
        pytest.param("X-A", "a\x7fb", id="DEL in a value"),
        pytest.param("X-A", "\x0b", id="a vertical tab for a value"),
        pytest.param("X-A", "€", id="a character outside latin-1"),
        pytest.param("X-A", "\ud800", id="a lone surrogate"),
        pytest.param("X-A", b"a\r\nb", id="CR and LF in bytes"),
        pytest.param("X-A", None, id="no value"),
        pytest.param("X-A", ["a"], id="a list for a value"),
        pytest.param("X-A", object(), id="an object for a value"),
        pytest.param("X-A", 10**5_000, id="an integer with more digits than Python writes"),
        pytest.param("X A", "a", id="a space in a name"),
        pytest.param("X-A\n", "a", id="LF at the end of a name"),
        pytest.param("X:A", "a", id="a colon in a name"),
        pytest.param("", "a", id="an empty name"),
        pytest.param("Ä", "a", id="a name that is not ASCII"),
        pytest.param(b"X\xc4", "a", id="name bytes that are not ASCII"),
        pytest.param(None, "a", id="no name"),
    ],
)
def test_header_that_can_not_be_sent_is_none(name: object, value: object) -> None:
    assert encode(name, value) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        pytest.param(0, 0, id="none"),
        pytest.param(5, 5, id="an integer"),
        pytest.param(0.001, 1, id="a part of a second is a whole one"),
        pytest.param(-0.0, 0, id="minus zero"),
        pytest.param(-0.0003, 0, id="the time until a moment that has passed"),
        pytest.param(-(10**400), 0, id="a negative integer"),
        pytest.param(timedelta(seconds=-1), 0, id="a negative timedelta"),
        pytest.param(2**31 - 1, 2**31 - 1, id="the longest"),
        pytest.param(timedelta(minutes=1, milliseconds=1), 61, id="a timedelta, rounded up"),
        pytest.param("120", 120, id="digits"),
        pytest.param(" 7 ", 7, id="digits with white space"),
        pytest.param("0" * 19 + "7", 7, id="leading zeros"),
        pytest.param("-5", 0, id="negative digits"),
        pytest.param("-0.5", 0, id="a negative fraction in a string"),
        pytest.param("-5e-05", 0, id="a small negative float in a string"),
        pytest.param("29.87", 30, id="a decimal fraction in a string, rounded up"),
        pytest.param(" 29.0 ", 29, id="a fraction that is none"),
        pytest.param("5.0067901611328125e-05", 1, id="a small float in a string"),
        pytest.param("5e-05", 1, id="a small float of one digit in a string"),
        pytest.param("Sun, 06 Nov 1994 08:49:37 GMT", 0, id="a date that has passed"),
        pytest.param("Sunday, 06-Nov-94 08:49:37 GMT", 0, id="a passed date of RFC 850"),
        pytest.param("Sun Nov  6 08:49:37 1994", 0, id="a passed date of asctime"),
    ],
)
def test_delay_is_whole_seconds(value: object, seconds: int) -> None:
    assert delay_seconds(value) == seconds


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(float("nan"), id="not a number"),
        pytest.param(float("inf"), id="an infinity"),
        pytest.param(float("-inf"), id="a negative infinity"),
        pytest.param(2**31, id="more than 31 bits"),
        pytest.param(10**400, id="a huge integer"),
        pytest.param(1e300, id="a huge float"),
        pytest.param(True, id="a bool"),
        pytest.param(timedelta.max, id="the longest timedelta"),
        pytest.param("--5", id="two signs"),
        pytest.param("-", id="a sign alone"),
        pytest.param("nan", id="not a number, in a string"),
        pytest.param("inf", id="an infinity in a string"),
        pytest.param("1e400", id="a string that is beyond all floats"),
        pytest.param("2147483647.5", id="a fraction that is more than 31 bits"),
        pytest.param(".5", id="a fraction without a whole number"),
        pytest.param("1.5 s", id="a fraction with a unit"),
        pytest.param("1." + "9" * 5_000, id="thousands of digits of a fraction"),
        pytest.param("9" * 5_000, id="thousands of digits"),
        pytest.param("²", id="a digit that is no decimal"),
        pytest.param("", id="an empty string"),
        pytest.param("soon", id="a word"),
        pytest.param("Sun, 99 Nov 1994 08:49:37 GMT", id="a date that does not exist"),
        pytest.param("Fri, 31 Dec 9999 23:59:59 -2359", id="a date beyond the last year"),
        pytest.param(b"5", id="bytes"),
        pytest.param(None, id="None"),
        pytest.param(object(), id="an object"),
        pytest.param([5], id="a list"),
    ],
)
def test_what_is_no_delay_is_none(value: object) -> None:
    assert delay_seconds(value) is None


def test_decimal_is_a_delay_or_none_and_never_an_error() -> None:
    assert delay_seconds(Decimal("1.5")) in (None, 2)


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=-5))], ids=["UTC", "New York"])
def test_date_to_come_is_the_seconds_until_then(zone: timezone) -> None:
    moment = datetime.now(zone) + timedelta(hours=1)
    assert delay_seconds(format_datetime(moment)) in range(3590, 3601)


def test_date_without_a_zone_is_in_utc() -> None:
    moment = datetime.now(UTC) + timedelta(hours=1)
    assert delay_seconds(f"{moment:%a, %d %b %Y %H:%M:%S} -0000") in range(3590, 3601)


@pytest.mark.parametrize(
    ("value", "tag"),
    [
        pytest.param('"1709139600000"', '"1709139600000"', id="quoted"),
        pytest.param('W/"1"', 'W/"1"', id="weak"),
        pytest.param('""', '""', id="nothing in quotes"),
        pytest.param("1709139600000", '"1709139600000"', id="quotes are added"),
        pytest.param(1709139600000, '"1709139600000"', id="milliseconds"),
        pytest.param(' "1" ', '"1"', id="white space around"),
        pytest.param('"é"', '"é"', id="latin-1"),
        pytest.param('"a"b"', None, id="a quote inside"),
        pytest.param('"a b"', None, id="a space inside"),
        pytest.param('w/"1"', None, id="a small w"),
        pytest.param('"1', None, id="one quote"),
        pytest.param("", None, id="nothing"),
        pytest.param('"a\r\nb"', None, id="CR and LF"),
        pytest.param('"\0"', None, id="NUL"),
        pytest.param('"€"', None, id="a character outside latin-1"),
        pytest.param('"\ud800"', None, id="a lone surrogate"),
        pytest.param(b"v1", None, id="bytes, not as Python shows them"),
        pytest.param(["v1"], None, id="a list, not as Python shows it"),
        pytest.param(True, None, id="a bool"),
        pytest.param(1.5, None, id="a float"),
        pytest.param(10**5_000, None, id="an integer with more digits than Python writes"),
        pytest.param(object(), None, id="an object"),
    ],
)
def test_entity_tag_is_that_of_rfc_9110_or_none(value: object, tag: str | None) -> None:
    assert entity_tag(value) == tag


@pytest.mark.parametrize(
    "media_range",
    [
        "application/json",
        "*/*",
        "*/*;q=0.1",
        "a/*",
        "a/b;q=0.5",
        'a/b ; c="d e";f=g',
        "a/b+c",
        "a/b;",
        "a/b; ; c=d ;",
        r'a/b;c="\"\\";d="é"',
    ],
)
def test_media_range_is_one(media_range: str) -> None:
    assert is_media_range(media_range)


@pytest.mark.parametrize(
    "value",
    [
        "json",
        "c/d\r\n",
        "",
        "/",
        "é/x",
        "text/plain junk",
        "a/b;c",
        "a/b, c/d",
        'a/b;c="',
        r'a/b;c="\"',
        'a/b;c="€"',
        "a/b; c =d",
        "*/json",
        "*/x;a=b",
        "a/*+json",
        "a/**",
        "a*/b",
        5,
        None,
        b"a/b",
    ],
)
def test_other_values_are_no_media_ranges(value: object) -> None:
    assert not is_media_range(value)


@pytest.mark.parametrize(
    ("challenge", "text"),
    [
        pytest.param(Challenge("Bearer"), "Bearer", id="a bare scheme"),
        pytest.param(Challenge("Basic", {"realm": "a"}), 'Basic realm="a"', id="a parameter"),
        pytest.param(
            Challenge("Bearer", {"realm": "a", "scope": "b c"}),
            'Bearer realm="a", scope="b c"',
            id="two parameters",
        ),
        pytest.param(
            Challenge("Basic", {"realm": 'a"b\\c'}),
            'Basic realm="a\\"b\\\\c"',
            id="quotes and backslashes are escaped",
        ),
        pytest.param(
            Challenge("Basic", {"realm": "a\r\nb\0€\ud800é"}),
            'Basic realm="a  b???é"',
            id="characters that can't be sent are replaced",
        ),
        pytest.param(
            Challenge("Bearer", {"error_description": 'a"b\\c\r\né'}),
            'Bearer error_description="a\'b/c  ?"',
            id="RFC 6750 has fewer characters",
        ),
    ],
)
def test_challenge_is_written_as_it_is_sent(challenge: Challenge, text: str) -> None:
    assert str(challenge) == text


def test_long_description_is_cut_in_a_header() -> None:
    assert len(str(Challenge("Bearer", {"error_description": "a" * 10_000}))) < 500


@pytest.mark.parametrize(
    ("scheme", "parameters"),
    [
        pytest.param("", {}, id="no scheme"),
        pytest.param("two words", {}, id="a space in the scheme"),
        pytest.param("Bearer\r\n", {}, id="CR and LF in the scheme"),
        pytest.param(None, {}, id="None for a scheme"),
        pytest.param("Bearer", {"re alm": "a"}, id="a space in a name"),
        pytest.param("Bearer", {5: "a"}, id="a number for a name"),
        pytest.param("Bearer", {"realm": None}, id="None for a value"),
        pytest.param("Bearer", {"realm": b"a"}, id="bytes for a value"),
        pytest.param("Bearer", 5, id="a number for the parameters"),
        pytest.param("Bearer", None, id="None for the parameters"),
        pytest.param("Bearer", ["realm"], id="a list for the parameters"),
    ],
)
def test_challenge_refuses_what_is_none(scheme: Any, parameters: Any) -> None:
    with pytest.raises(ValueError, match="challenge"):
        Challenge(scheme, parameters)


def test_equal_challenges_have_equal_hashes() -> None:
    assert len({Challenge("Bearer", {"realm": "a"}), Challenge("Bearer", {"realm": "a"})}) == 1


def test_challenge_does_not_follow_the_mapping_it_was_made_of() -> None:
    parameters = {"realm": "a"}
    challenge = Challenge("Bearer", parameters)
    parameters["realm"] = "b"
    assert str(challenge) == 'Bearer realm="a"'


def test_parameters_of_a_challenge_can_not_be_changed() -> None:
    parameters: Any = Challenge("Bearer", {"realm": "a"}).parameters
    with pytest.raises(TypeError):
        parameters["realm"] = "b"


@pytest.mark.parametrize(
    ("scheme", "takes"),
    [("Bearer", True), ("bearer", True), ("DPoP", True), ("Basic", False), ("Digest", False)],
)
def test_scheme_takes_tokens(scheme: str, takes: bool) -> None:
    assert Challenge(scheme).takes_tokens is takes


def test_parameters_are_added_to_those_that_stay() -> None:
    challenge = Challenge("Bearer", {"realm": "a"}).with_parameters({"error": "invalid_token"})
    assert dict(challenge.parameters) == {"error": "invalid_token", "realm": "a"}
