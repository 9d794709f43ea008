"""Challenges: written so that anybody reads them, read strictly, merged without doubles."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.datastructures import WWWAuthenticate

from authpi_errors import (
    AuthPIError,
    Challenge,
    ErrorRegistry,
    InsufficientScopeError,
    SessionExpiredError,
    UnauthorizedClientError,
)
from authpi_errors._challenges import has_credentials, merge, parse_challenges, scheme_of_token
from authpi_errors._rendering import render
from tests.growth import is_linear

REALM = Challenge("Bearer", {"realm": "core"})


def challenges_of(error: AuthPIError, *offered: Challenge) -> list[str]:
    """Give the `WWW-Authenticate` fields of an error, as they are sent."""
    registry = ErrorRegistry(challenges=offered or None)
    headers = render(error, registry).headers
    return [value.decode("latin-1") for name, value in headers if name == b"www-authenticate"]


@pytest.mark.parametrize(
    ("value", "challenges"),
    [
        ("Bearer", [Challenge("Bearer")]),
        ("Basic, Bearer", [Challenge("Basic"), Challenge("Bearer")]),
        ('Bearer realm="core"', [REALM]),
        ("Bearer realm=core", [REALM]),
        ("Bearer realm = core", [REALM]),
        (" ,Bearer \t realm=core ,, ", None),
        (" ,Bearer   realm=core ,, ", [REALM]),
        (
            'Bearer realm="core", error=x ,Basic realm="a, b",\tcharset="UTF-8"',
            [
                Challenge("Bearer", {"realm": "core", "error": "x"}),
                Challenge("Basic", {"realm": "a, b", "charset": "UTF-8"}),
            ],
        ),
        (r'Basic realm="say \"a\\b\""', [Challenge("Basic", {"realm": r'say "a\b"'})]),
        ('Basic realm=""', [Challenge("Basic", {"realm": ""})]),
        ("Negotiate YWJj", None),
        ("Negotiate YWJj==", None),
        ("Negotiate, Bearer", [Challenge("Negotiate"), Challenge("Bearer")]),
        ("Bearer a=1, A=2", None),
        ("Bearer a=1 b=2", None),
        ('Bearer a="1', None),
        ("Bearer a=", None),
        ("=a", None),
        ("Bearer Basic", None),
        ("", None),
        (",", None),
    ],
)
def test_a_field_is_read(value: str, challenges: list[Challenge] | None) -> None:
    assert parse_challenges(value) == challenges


@pytest.mark.parametrize(
    ("value", "scheme"),
    [
        ("Negotiate YWJj=", "Negotiate"),
        ("Negotiate  a-._~+/b==", "Negotiate"),
        ("Negotiate", None),
        ("Negotiate a=b", None),
        ("Negotiate a b", None),
        ('Basic realm="The "a" API"', None),
        ("", None),
    ],
)
def test_a_challenge_may_have_a_token(value: str, scheme: str | None) -> None:
    assert scheme_of_token(value) == scheme


tokens = st.from_regex(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", fullmatch=True)
quotable = st.text(st.characters(max_codepoint=0xFF, exclude_categories=["Cc"]))


@given(
    st.lists(
        st.builds(
            Challenge,
            tokens,
            st.lists(
                st.tuples(tokens.filter(lambda name: "error" not in name.lower()), quotable),
                unique_by=lambda pair: pair[0].lower(),
            ).map(dict[str, str]),
        ),
        min_size=1,
    )
)
def test_what_is_written_is_read(challenges: list[Challenge]) -> None:
    challenges = [
        challenge for challenge in challenges if "scope" not in map(str.lower, challenge.parameters)
    ]
    field = ", ".join(map(str, challenges))
    assert (parse_challenges(field) or []) == challenges


@pytest.mark.parametrize(("start", "piece"), [("Bearer a=", '"\\'), ("", "a "), ("", "a=b,")])
@pytest.mark.parametrize("read", [parse_challenges, scheme_of_token])
def test_reading_takes_linear_time(read: Callable[[str], object], start: str, piece: str) -> None:
    assert read(start + piece * 50_000) is None
    assert is_linear(read, lambda size: start + piece * size, 50_000)


@pytest.mark.parametrize(
    ("given_ones", "offered", "merged"),
    [
        ([], [REALM], [REALM]),
        ([REALM], [], [REALM]),
        ([Challenge("bearer")], [REALM], [REALM]),
        ([Challenge("Bearer", {"REALM": "x"})], [REALM], [Challenge("Bearer", {"REALM": "x"})]),
        ([REALM], [Challenge("Bearer", {"REALM": "x"})], [REALM]),
        ([Challenge("Basic")], [REALM], [Challenge("Basic"), REALM]),
        (
            [Challenge("Digest", {"algorithm": "a"}), Challenge("Digest", {"algorithm": "b"})],
            [Challenge("Digest", {"realm": "x"})],
            [
                Challenge("Digest", {"realm": "x", "algorithm": "a"}),
                Challenge("Digest", {"algorithm": "b"}),
            ],
        ),
    ],
)
def test_challenges_are_merged(
    given_ones: list[Challenge], offered: list[Challenge], merged: list[Challenge]
) -> None:
    assert merge(given_ones, offered) == merged


class Word(str, Enum):  # noqa: UP042 - what it makes of itself is not its value
    BEARER = "Bearer"
    REALM = "realm"
    CORE = "core"


def test_words_of_an_enum_are_what_they_stand_for() -> None:
    challenge = Challenge(Word.BEARER, {Word.REALM: Word.CORE})
    assert (str(challenge), challenge) == ('Bearer realm="core"', REALM)


def test_a_bare_challenge_keeps_what_is_no_error() -> None:
    parameters = {"realm": "a", "scope": "s", "Error": "x", "error_description": "y"}
    challenge = Challenge("Bearer", {**parameters, "error_uri": "z"})
    assert str(challenge.without_error()) == 'Bearer realm="a", scope="s"'


@pytest.mark.parametrize(
    ("scope", "has"),
    [
        pytest.param({}, False, id="a bare scope"),
        pytest.param(
            {
                "headers": [(b"accept", b"*/*")],
                "query_string": b"page_token=1&monkey=1&okapi_key=1&a=token",
            },
            False,
            id="none",
        ),
        pytest.param(
            {"headers": [(b"x-csrf-token", b"x"), (b"idempotency-key", b"x")]},
            False,
            id="headers for something else",
        ),
        pytest.param({"headers": [(b"authorization", b"Bearer x")]}, True, id="Authorization"),
        pytest.param({"headers": [(b"cookie", b"session=1")]}, True, id="a cookie"),
        pytest.param(
            {"headers": [(b"accept", b"*/*"), (b"x-auth-token", b"x")]},
            True,
            id="a token in another header",
        ),
        pytest.param({"headers": [(b"x-api-key", b"x")]}, True, id="a key in another header"),
        pytest.param(
            {"headers": [], "query_string": b"a=b&access_token=1"}, True, id="in the query"
        ),
        pytest.param({"query_string": b"token=1"}, True, id="another token in the query"),
        pytest.param({"query_string": b"a=b&api_key=1"}, True, id="a key in the query"),
    ],
)
def test_request_has_credentials(scope: dict[str, Any], has: bool) -> None:
    assert has_credentials(scope) is has


@pytest.mark.parametrize(
    "name",
    """
    authorization cookie
    api-key apikey auth-token session-id session-token token
    x-access-token x-api-key x-api-token x-auth x-auth-key x-auth-token x-authorization
    x-session x-session-id x-session-token x-token
    """.split(),
)
def test_header_may_hold_credentials(name: str) -> None:
    assert has_credentials({"headers": [(name.encode(), b"x")]})


@pytest.mark.parametrize("length", [400, 401])
def test_description_in_a_challenge_has_a_limit(length: int) -> None:
    (field,) = challenges_of(SessionExpiredError("a" * length))
    (challenge,) = parse_challenges(field) or []
    assert challenge.parameters["error_description"] == "a" * 400


texts = st.text() | st.text(st.sampled_from('"\\,= \r\n\t\x00é€😀a'))


@given(texts, texts)
def test_werkzeug_reads_what_a_401_says(realm: str, description: str) -> None:
    offered = [Challenge("Bearer", {"realm": realm, "resource_metadata": "https://a/b?c=d,e"})]
    (field,) = challenges_of(SessionExpiredError(description), *offered)
    read = WWWAuthenticate.from_header(field)
    assert read is not None
    assert read.type == "bearer"
    assert read.parameters["error"] == "invalid_token"
    assert read.parameters["resource_metadata"] == "https://a/b?c=d,e"
    assert set(read.parameters) == {"realm", "resource_metadata", "error", "error_description"}


@given(st.lists(texts, max_size=3), texts)
def test_werkzeug_reads_what_a_missing_scope_says(scope: list[str], description: str) -> None:
    (field,) = challenges_of(InsufficientScopeError(description, scope=scope))
    read = WWWAuthenticate.from_header(field)
    assert read is not None
    assert (read.type, read.parameters["error"]) == ("bearer", "insufficient_scope")
    assert set(read.parameters) <= {"error", "error_description", "scope"}


@given(texts, texts)
def test_werkzeug_reads_what_was_merged(realm: str, other: str) -> None:
    given_one = str(Challenge("Basic", {"realm": realm}))
    error = UnauthorizedClientError(headers={"WWW-Authenticate": given_one})
    fields = challenges_of(error, Challenge("Bearer", {"realm": other}))
    read = [WWWAuthenticate.from_header(field) for field in fields]
    assert [challenge and challenge.type for challenge in read] == ["basic", "bearer"]


@pytest.mark.parametrize(
    ("parameters", "written"),
    [
        ({"scope": ""}, "Bearer"),
        ({"scope": " \t"}, "Bearer"),
        ({"Scope": " a  b\r\nc "}, 'Bearer Scope="a b c"'),
        ({"error": "", "error_description": ""}, "Bearer"),
        ({"realm": ""}, 'Bearer realm=""'),
    ],
)
def test_what_rfc_6750_wants_to_say_something_is_left_out_where_it_is_empty(
    parameters: dict[str, str], written: str
) -> None:
    assert str(Challenge("Bearer", parameters)) == written


@pytest.mark.parametrize("parameters", [{"realm": "a", "Realm": "b"}, {"Scope": "a", "scope": "a"}])
def test_a_parameter_that_is_there_twice_is_refused(parameters: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="is given twice"):
        Challenge("Bearer", parameters)


def test_equal_challenges_are_one_in_a_set() -> None:
    one = Challenge("Bearer", {"realm": "a", "scope": "b"})
    other = Challenge("Bearer", {"scope": "b", "realm": "a"})
    assert one == other
    assert len({one, other}) == 1


def pickled(value: Any) -> Any:
    """Send a value to another process and back."""
    return pickle.loads(pickle.dumps(value))


COPIES: list[Callable[[Any], Any]] = [copy.copy, copy.deepcopy, pickled]


@pytest.mark.parametrize("again", COPIES)
def test_challenges_and_errors_that_have_some_can_be_copied(again: Callable[[Any], Any]) -> None:
    challenge = Challenge("Bearer", {"realm": "a"})
    assert again(challenge) == challenge
    error = again(UnauthorizedClientError("No.", challenges=[challenge], retry_after=3))
    assert (error.description, error.challenges, error.retry_after) == ("No.", [challenge], 3)
