"""The wire format: an error's status, headers and body, whatever has been put into it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from itertools import repeat
from typing import Any, NoReturn
from uuid import UUID

import pytest
from starlette.datastructures import MutableHeaders

from authpi_errors import (
    AccessDeniedError,
    AuthPIError,
    Challenge,
    ConflictError,
    ErrorCode,
    ErrorRegistry,
    FieldError,
    InsufficientScopeError,
    InvalidContentTypeError,
    InvalidRequestError,
    NotFoundError,
    PreconditionFailedError,
    ServerError,
    SessionExpiredError,
    UnauthorizedClientError,
    UsageLimitExceededError,
)
from authpi_errors._exceptions import ERRORS
from authpi_errors._rendering import ErrorResponse, render
from authpi_errors.codes import CODES, fallback
from tests.asked import Request

REGISTRY = ErrorRegistry()

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

# The contract's members, in the contract's order.
MEMBERS = [
    "error",
    "error_description",
    "reference",
    "retryable",
    "retry_after",
    "fields",
    "current_etag",
    "currentETag",
]


def rendered(
    error: AuthPIError, registry: ErrorRegistry = REGISTRY, **options: Any
) -> ErrorResponse:
    """Render an error, without a registry of its own unless there is one."""
    return render(error, registry, Request(**options))


def body(response: ErrorResponse) -> dict[str, Any]:
    """Read the body."""
    members: dict[str, Any] = json.loads(response.body)
    return members


def header(response: ErrorResponse, name: str) -> list[str]:
    """Give the values of a header."""
    return [value.decode("latin-1") for key, value in response.headers if key == name.encode()]


@pytest.mark.parametrize(
    ("name", "status", "retryable"), CONTRACT, ids=[row[0] for row in CONTRACT]
)
def test_error_is_as_in_the_contract(name: str, status: int, retryable: bool) -> None:
    response = rendered(ERRORS[name]())
    assert (response.status, response.code) == (status, name)
    assert body(response) == {
        "error": name,
        "error_description": CODES[name].description,
        "retryable": retryable,
    }


def test_members_are_in_the_order_of_the_contract() -> None:
    error = PreconditionFailedError(
        "Changed.",
        current_etag='"1"',
        reference="abc",
        retry_after=5,
        fields=[FieldError("a", "b", "c")],
        extra={"zebra": 1, "ape": 2},
    )
    assert list(body(rendered(error))) == [*MEMBERS, "zebra", "ape"]


@pytest.mark.parametrize("name", ERRORS)
def test_members_without_a_value_are_left_out(name: str) -> None:
    assert list(body(rendered(ERRORS[name]()))) == ["error", "error_description", "retryable"]


def test_fields_are_written_out() -> None:
    error = InvalidRequestError(fields=iter([FieldError("a", "missing", "Missing.")]))
    assert body(rendered(error))["fields"] == [
        {"field": "a", "code": "missing", "message": "Missing."}
    ]


@pytest.mark.parametrize("member", MEMBERS)
def test_extra_member_does_not_replace_one_of_the_contract(member: str) -> None:
    response = rendered(NotFoundError(extra={member: "other", "x": 1}))
    assert body(response) == {**body(rendered(NotFoundError())), "x": 1}
    assert response.dropped == (f"extra '{member}'",)


def test_description_may_be_any_text() -> None:
    text = 'Nö 😀 "quoted"\r\n\0'
    response = rendered(NotFoundError(text))
    assert body(response)["error_description"] == text
    assert not response.dropped


@pytest.mark.parametrize("text", ["", " ", "\n\t"], ids=ascii)
def test_blank_description_is_replaced_by_that_of_the_code(text: str) -> None:
    members = body(rendered(NotFoundError(text)))
    assert members["error_description"] == CODES["not_found"].description


@pytest.mark.parametrize(
    ("error", "description"),
    [
        pytest.param(InvalidRequestError(status=413), fallback(413).description, id="of status"),
        pytest.param(InvalidRequestError(status=418), fallback(400).description, id="no more"),
        pytest.param(ConflictError(status=413), fallback(409).description, id="another's status"),
    ],
)
def test_description_is_that_of_the_status_where_it_says_more(
    error: AuthPIError, description: str
) -> None:
    assert body(rendered(error))["error_description"] == description


@pytest.mark.parametrize("name", ERRORS)
def test_code_stays_when_the_status_is_another(name: str) -> None:
    response = rendered(ERRORS[name](status=422))
    assert (response.status, body(response)["error"]) == (422, name)


@pytest.mark.parametrize("status", range(400, 600))
def test_status_alone_has_the_code_that_it_falls_back_to(status: int) -> None:
    response = rendered(AuthPIError(status=status))
    code = fallback(status)
    assert (response.status, response.code) == (status, code.value)
    assert body(response)["retryable"] == (status in {408, 429, 502, 503, 504})


@pytest.mark.parametrize(
    ("error", "retryable"),
    [
        pytest.param(ConflictError(), False, id="the code says no"),
        pytest.param(UsageLimitExceededError(), True, id="the code says yes"),
        pytest.param(UsageLimitExceededError(status=403), True, id="whatever the status"),
        pytest.param(UsageLimitExceededError(status=412), False, id="but the same fails again"),
        pytest.param(ServerError(status=503), True, id="the status says yes"),
        pytest.param(UsageLimitExceededError(retryable=False), False, id="the error says no"),
        pytest.param(ConflictError(retryable=True), True, id="the error says yes"),
        pytest.param(ConflictError(retry_after=5), True, id="it says when"),
    ],
)
def test_error_is_retryable_where(error: AuthPIError, retryable: bool) -> None:
    assert body(rendered(error))["retryable"] is retryable


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        pytest.param(5, 5, id="seconds"),
        pytest.param(0, 0, id="at once"),
        pytest.param(-1, 0, id="at a moment that has passed"),
        pytest.param(1.2, 2, id="rounded up"),
        pytest.param(timedelta(minutes=2), 120, id="a timedelta"),
    ],
)
def test_delay_is_in_the_body_and_in_the_header(given: Any, seconds: int) -> None:
    response = rendered(ConflictError(retry_after=given))
    assert body(response)["retry_after"] == seconds
    assert header(response, "retry-after") == [str(seconds)]


def test_delay_of_a_code_is_not_that_of_a_412() -> None:
    class BusyError(AuthPIError):
        code = ErrorCode("busy", 429, "Busy.", retryable=True, retry_after=9)

    response = rendered(BusyError(status=412))
    assert (body(response)["retryable"], "retry_after" in body(response)) == (False, False)
    assert header(response, "retry-after") == []


def test_delay_goes_before_the_header_that_is_given() -> None:
    response = rendered(ConflictError(retry_after=5, headers={"Retry-After": "9"}))
    assert (body(response)["retry_after"], header(response, "retry-after")) == (5, ["5"])


def test_header_that_is_given_is_the_delay() -> None:
    response = rendered(ConflictError(headers={"Retry-After": "9"}))
    assert (body(response)["retry_after"], header(response, "retry-after")) == (9, ["9"])


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"retry_after": 5}, id="the delay"),
        pytest.param({"headers": {"Retry-After": "5"}}, id="the header"),
    ],
)
def test_delay_of_what_is_not_retryable_is_left_out_and_named(options: Any) -> None:
    response = rendered(ConflictError(retryable=False, **options))
    assert "retry_after" not in body(response)
    assert header(response, "retry-after") == []
    assert response.dropped == ("retry_after",)


BUSY = ErrorCode("busy", 503, "Busy.", retry_after=30)


class BusyError(AuthPIError):
    """An error whose code says when to come back."""

    code = BUSY


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        pytest.param(BusyError(), ["30"], id="the code's own"),
        pytest.param(BusyError(retry_after=5), ["5"], id="the error's"),
        pytest.param(BusyError(retryable=False), [], id="none where it does not help"),
    ],
)
def test_delay_of_a_code_is_sent_where_the_error_has_none(
    error: AuthPIError, seconds: list[str]
) -> None:
    assert header(rendered(error), "retry-after") == seconds


@pytest.mark.parametrize("name", ERRORS)
def test_answer_is_json_of_the_length_it_says_and_not_to_be_stored(name: str) -> None:
    response = rendered(ERRORS[name]("Nö."))
    assert header(response, "content-type") == ["application/json"]
    assert header(response, "content-length") == [str(len(response.body))]
    assert header(response, "cache-control") == ["no-store"]


def test_application_can_say_what_is_to_be_stored() -> None:
    response = rendered(NotFoundError(headers={"Cache-Control": "max-age=60"}))
    assert header(response, "cache-control") == ["max-age=60"]


@pytest.mark.parametrize(
    ("method", "names"),
    [
        ("GET", ["accept"]),
        ("PATCH", ["accept", "accept-patch"]),
        ("POST", ["accept", "accept-post"]),
    ],
)
def test_supported_types_are_listed(method: str, names: list[str]) -> None:
    response = rendered(InvalidContentTypeError(supported=["a/b", "c/d"]), sent_method=method)
    listed = [(name.decode(), value) for name, value in response.headers if b"accept" in name]
    assert listed == [(name, b"a/b, c/d") for name in names]


def test_current_entity_tag_is_in_the_header_and_twice_in_the_body() -> None:
    response = rendered(PreconditionFailedError(current_etag='"1"', headers={"ETag": '"2"'}))
    assert header(response, "etag") == ['"1"']
    assert (body(response)["current_etag"], body(response)["currentETag"]) == ('"1"', '"1"')


@pytest.mark.parametrize("error", [AuthPIError, PreconditionFailedError])
def test_entity_tag_in_the_headers_of_a_412_is_in_the_body_too(error: type[AuthPIError]) -> None:
    response = rendered(error(status=412, headers={"ETag": '"1"'}))
    assert header(response, "etag") == ['"1"']
    assert (body(response).get("current_etag"), body(response).get("currentETag")) == ('"1"', '"1"')


@pytest.mark.parametrize(
    ("given", "tag"),
    [
        pytest.param("abc", '"abc"', id="without quotes"),
        pytest.param(7, '"7"', id="a number"),
        pytest.param('W/"1"', 'W/"1"', id="weak"),
        pytest.param("a b", None, id="a blank"),
        pytest.param('"a', None, id="half a tag"),
        pytest.param("", None, id="nothing"),
    ],
)
@pytest.mark.parametrize("error", [AuthPIError, PreconditionFailedError])
def test_entity_tag_in_the_headers_of_a_412_is_quoted_or_left_out(
    error: type[AuthPIError], given: Any, tag: str | None
) -> None:
    response = rendered(error(status=412, headers={"ETag": given, "X-A": "b"}))
    assert header(response, "etag") == ([] if tag is None else [tag])
    assert header(response, "x-a") == ["b"]
    assert body(response).get("current_etag") == body(response).get("currentETag") == tag
    assert response.dropped == (("header 'etag'",) if tag is None else ())


OFFERED = ErrorRegistry(challenges=[Challenge("Bearer", {"realm": "a"}), Challenge("Basic")])
LINES = MutableHeaders(raw=[])
LINES.append("WWW-Authenticate", "Negotiate YWJj=")
LINES.append("WWW-Authenticate", "Bearer x=y")


@pytest.mark.parametrize(
    ("error", "challenges"),
    [
        pytest.param(
            UnauthorizedClientError(), ['Bearer realm="a"', "Basic"], id="those that are offered"
        ),
        pytest.param(
            UnauthorizedClientError(challenges=[Challenge("DPoP")]), ["DPoP"], id="the error's own"
        ),
        pytest.param(
            UnauthorizedClientError(headers={"WWW-Authenticate": "Digest"}),
            ["Digest", 'Bearer realm="a"', "Basic"],
            id="a scheme of a header, and those that are offered",
        ),
        pytest.param(
            UnauthorizedClientError(headers={"WWW-Authenticate": "basic, Bearer realm=b, x=y"}),
            ["Basic", 'Bearer realm="b", x="y"'],
            id="the same schemes, merged, as the header has them",
        ),
        pytest.param(
            SessionExpiredError("Over.", headers={"WWW-Authenticate": "Bearer"}),
            [
                'Bearer realm="a", error="invalid_token", error_description="Over."',
                "Basic",
            ],
            id="what the code says, merged into a header",
        ),
        pytest.param(
            UnauthorizedClientError(headers={"WWW-Authenticate": "Negotiate YWJj="}),
            ["Negotiate YWJj=", 'Bearer realm="a"', "Basic"],
            id="a header without parameters, as it is, and those that are offered",
        ),
        pytest.param(
            UnauthorizedClientError(headers={"WWW-Authenticate": "basic YWJj="}),
            ["basic YWJj=", 'Bearer realm="a"'],
            id="a scheme without parameters only once",
        ),
        pytest.param(
            UnauthorizedClientError(headers={"WWW-Authenticate": 'Basic realm="The "a" API"'}),
            ['Basic realm="The "a" API"', 'Bearer realm="a"', "Basic"],
            id="a header that is malformed, as it is, and those that are offered",
        ),
        pytest.param(
            UnauthorizedClientError(headers=LINES),
            ["Negotiate YWJj=", 'Bearer realm="a", x="y"', "Basic"],
            id="of several lines each by itself",
        ),
        pytest.param(
            InsufficientScopeError("No.", headers={"WWW-Authenticate": "Negotiate YWJj="}),
            [
                "Negotiate YWJj=",
                'Bearer realm="a", error="insufficient_scope", error_description="No."',
            ],
            id="a header, and what the code says",
        ),
        pytest.param(
            AccessDeniedError(status=401), ['Bearer realm="a"', "Basic"], id="any error with a 401"
        ),
        pytest.param(AccessDeniedError(), [], id="none with a 403"),
    ],
)
def test_challenges_are(error: AuthPIError, challenges: list[str]) -> None:
    assert header(rendered(error, registry=OFFERED), "www-authenticate") == challenges


@pytest.mark.parametrize(
    ("error", "parts"),
    [
        pytest.param(
            SessionExpiredError('Über "alles".'),
            ['realm="a"', 'error="invalid_token"', "error_description=\"?ber 'alles'.\""],
            id="an expired session",
        ),
        pytest.param(
            InsufficientScopeError("No.", scope="a b"),
            ['realm="a"', 'error="insufficient_scope"', 'error_description="No."', 'scope="a b"'],
            id="a lack of scope",
        ),
    ],
)
def test_challenge_says_what_rfc_6750_says(error: AuthPIError, parts: list[str]) -> None:
    challenge = header(rendered(error, registry=OFFERED), "www-authenticate")[0]
    assert sorted(challenge.removeprefix("Bearer ").split(", ")) == sorted(parts)


@pytest.mark.parametrize(
    ("error", "challenges"),
    [
        pytest.param(
            UnauthorizedClientError(headers={"WWW-Authenticate": "Basic"}), ["Basic"], id="a 401"
        ),
        pytest.param(
            SessionExpiredError("Over.", headers={"WWW-Authenticate": "Basic, Bearer"}),
            ["Basic", 'Bearer error="invalid_token", error_description="Over."'],
            id="an expired session",
        ),
        pytest.param(
            InsufficientScopeError("No.", scope="a", headers={"WWW-Authenticate": "Basic"}),
            ["Basic", 'Bearer error="insufficient_scope", error_description="No.", scope="a"'],
            id="RFC 6750 has a scheme of its own",
        ),
        pytest.param(
            UnauthorizedClientError(headers={"WWW-Authenticate": "Negotiate YWJj="}),
            ["Negotiate YWJj="],
            id="a 401 without parameters",
        ),
        pytest.param(
            InsufficientScopeError("No.", headers={"WWW-Authenticate": "Negotiate YWJj="}),
            ["Negotiate YWJj=", 'Bearer error="insufficient_scope", error_description="No."'],
            id="RFC 6750 has a scheme of its own beside one without parameters",
        ),
    ],
)
def test_a_header_is_not_joined_by_schemes_that_nobody_offers(
    error: AuthPIError, challenges: list[str]
) -> None:
    assert header(rendered(error), "www-authenticate") == challenges


@pytest.mark.parametrize("credentials", [True, False])
@pytest.mark.parametrize(
    "error",
    [
        SessionExpiredError("Over."),
        SessionExpiredError(
            challenges=[Challenge("Bearer", {"error": "x", "error_uri": "y", "scope": "z"})]
        ),
    ],
    ids=["the offered ones", "challenges of its own"],
)
def test_a_request_without_credentials_gets_the_bare_challenge(
    error: AuthPIError, credentials: bool
) -> None:
    response = rendered(error, registry=OFFERED, credentials=credentials)
    assert ("error" in header(response, "www-authenticate")[0]) is credentials
    assert body(response)["error"] == "session_expired"


def test_an_error_in_a_header_of_the_application_stays_without_credentials() -> None:
    given = 'Bearer error="invalid_token"'
    error = UnauthorizedClientError(headers={"WWW-Authenticate": given})
    assert header(rendered(error, credentials=False), "www-authenticate") == [given]


@pytest.mark.parametrize("challenges", [[""], ["Bearer\r\nX: y"], ["€"]], ids=ascii)
def test_unusable_challenge_in_the_headers_gives_way_to_one(challenges: list[str]) -> None:
    response = rendered(UnauthorizedClientError(headers={"WWW-Authenticate": challenges[0]}))
    assert header(response, "www-authenticate") == ["Bearer"]


@pytest.mark.parametrize(
    "challenges",
    [
        pytest.param([None], id="None"),
        pytest.param([object()], id="an object"),
        pytest.param(["Bearer"], id="a string"),
        pytest.param("Bearer", id="a string for the list"),
        pytest.param(["Bearer\r\nX: y"], id="CR and LF"),
        pytest.param(5, id="a number"),
    ],
)
@pytest.mark.parametrize("error", [UnauthorizedClientError, SessionExpiredError])
def test_challenge_that_is_none_gives_way_to_one_and_is_named(error: Any, challenges: Any) -> None:
    response = rendered(error(challenges=challenges))
    (challenge,) = header(response, "www-authenticate")
    assert challenge.split(" ")[0] == "Bearer"
    assert ('error="invalid_token"' in challenge) is (error is SessionExpiredError)
    assert response.dropped == ("challenges",)


@pytest.mark.parametrize("error", [UnauthorizedClientError, SessionExpiredError])
def test_challenge_that_is_one_is_sent_beside_what_is_none(error: Any) -> None:
    response = rendered(error(challenges=["Bearer", Challenge("DPoP"), None]))
    (challenge,) = header(response, "www-authenticate")
    assert challenge.split(" ")[0] == "DPoP"
    assert response.dropped == ("challenges",)


class Right(Enum):
    """What a token allows."""

    READ = "users:read"
    SECOND = 2


@pytest.mark.parametrize(
    ("scope", "said", "dropped"),
    [
        pytest.param(Right.READ, "users:read", (), id="a member of an enum"),
        pytest.param([Right.READ, "a"], "users:read a", (), id="a member of an enum in a list"),
        pytest.param([Right.SECOND, "a"], "a", ("scope",), id="a member that is no text"),
        pytest.param([None, "a"], "a", ("scope",), id="None in a list"),
        pytest.param(None, None, (), id="None"),
        pytest.param(5, None, ("scope",), id="a number"),
        pytest.param(b"a", None, ("scope",), id="bytes"),
        pytest.param(map(int, ["a"]), None, ("scope",), id="what can't be read"),
        pytest.param((word for word in ("a", "b")), "a b", (), id="a generator"),
        pytest.param(repeat("a"), " ".join(["a"] * 1_000), (), id="an endless iterator"),
    ],
)
def test_lack_of_a_scope_is_said_whatever_the_scope_is(
    scope: Any, said: str | None, dropped: tuple[str, ...]
) -> None:
    response = rendered(InsufficientScopeError("No.", scope=scope))
    expected = 'Bearer error="insufficient_scope", error_description="No."'
    expected += "" if said is None else f', scope="{said}"'
    assert header(response, "www-authenticate") == [expected]
    assert response.dropped == dropped


@pytest.mark.parametrize(
    "error",
    [
        InvalidContentTypeError(supported=repeat("a/b")),
        UnauthorizedClientError(challenges=repeat(Challenge("A"))),
        SessionExpiredError(challenges=repeat(Challenge("Bearer"))),
    ],
    ids=lambda error: type(error).__name__,
)
def test_endless_iterator_has_an_end(error: AuthPIError) -> None:
    assert rendered(error).status == error.code.status


@pytest.mark.parametrize(
    "name", ["Content-Length", "content-type", b"Content-Encoding", "TRANSFER-ENCODING"], ids=repr
)
def test_header_that_frames_the_body_is_left_out_and_named(name: Any) -> None:
    response = rendered(NotFoundError(headers={name: "7", "X-A": "b"}))
    assert response.dropped == (f"header {name!r}",)
    assert header(response, "content-length") == [str(len(response.body))]
    assert header(response, "content-type") == ["application/json"]
    assert header(response, "x-a") == ["b"]
    assert header(response, "content-encoding") == header(response, "transfer-encoding") == []


def test_headers_of_one_name_are_all_kept() -> None:
    headers = MutableHeaders()
    headers.append("Set-Cookie", "a=1")
    headers.append("Set-Cookie", "b=2")
    assert header(rendered(NotFoundError(headers=headers)), "set-cookie") == ["a=1", "b=2"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("X-A", "a\r\nSet-Cookie: a=b", id="CR and LF"),
        pytest.param("X-A", "€", id="a character outside latin-1"),
        pytest.param("X-A", None, id="None"),
        pytest.param("X-A", object(), id="an object"),
        pytest.param("X-A", 10**5_000, id="an integer with more digits than Python writes"),
        pytest.param("X A", "b", id="a space in the name"),
        pytest.param("X-A\r\n", "b", id="CR and LF in the name"),
    ],
)
def test_header_that_can_not_be_sent_is_named_and_the_others_are_sent(
    name: str, value: object
) -> None:
    headers: Any = {"Allow": "GET", name: value}
    response = rendered(NotFoundError(headers=headers))
    assert header(response, "allow") == ["GET"]
    assert response.dropped == (f"header {name!r}",)


def cycle() -> list[Any]:
    """Give a list that holds itself."""
    found: list[Any] = []
    found.append(found)
    return found


def nested(depth: int) -> list[Any]:
    """Give lists in lists."""
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


class Weekday(Enum):
    """What JSON has no word for, but its value."""

    MONDAY = 1


class Key(str, Enum):  # noqa: UP042 - not shown as its value
    """A name, as an application may keep it."""

    ERROR = "error"


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(object(), id="an object"),
        pytest.param(b"bytes", id="bytes"),
        pytest.param({1}, id="a set"),
        pytest.param(10**308, id="an integer that a double may not hold"),
        pytest.param([-(10**5_000)], id="an integer with more digits than Python writes"),
        pytest.param("\ud800", id="a lone surrogate"),
        pytest.param({"\ud800": 1}, id="a lone surrogate in a key"),
        pytest.param(cycle(), id="a cycle"),
        pytest.param(nested(300), id="deep nesting"),
        pytest.param(nested(100_000), id="very deep nesting"),
        pytest.param(Decimal("1.5"), id="a decimal"),
        pytest.param(1j, id="a complex number"),
        pytest.param(ValueError("secret"), id="an exception"),
        pytest.param(float("nan"), id="not a number"),
        pytest.param([float("inf")], id="an infinity in a list"),
    ],
)
def test_extra_member_that_json_can_not_say_is_named_and_the_others_are_sent(value: object) -> None:
    response = rendered(NotFoundError(extra={"a": 1, "x": value, "z": 2}))
    members = body(response)
    assert (members["error"], members["a"], members["z"]) == ("not_found", 1, 2)
    assert "x" not in members
    assert response.dropped == ("extra 'x'",)


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        pytest.param(None, None, id="None, said on purpose"),
        pytest.param({"a": [1, 2.5, True]}, {"a": [1, 2.5, True]}, id="data"),
        pytest.param([2**63, 2**64], [2**63, 2**64], id="large integers"),
        pytest.param({"a": -(2**63) - 1}, {"a": -(2**63) - 1}, id="an integer under 64 bits"),
        pytest.param(10**307, 10**307, id="an integer with very many digits"),
        pytest.param(datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00", id="datetime"),
        pytest.param(UUID(int=1), "00000000-0000-0000-0000-000000000001", id="UUID"),
        pytest.param(Weekday.MONDAY, 1, id="a member of a plain enum"),
        pytest.param(Key.ERROR, "error", id="a member of an enum"),
    ],
)
def test_extra_member_is_sent(value: object, sent: object) -> None:
    response = rendered(NotFoundError(extra={"x": value}))
    assert body(response)["x"] == sent
    assert not response.dropped


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        pytest.param(5, "extra int", id="a number"),
        pytest.param(None, "extra NoneType", id="None"),
        pytest.param(b"a", "extra b'a'", id="bytes"),
        pytest.param("\ud800", r"extra '\ud800'", id="a lone surrogate"),
        pytest.param(Key.ERROR, "extra 'error'", id="a member of an enum"),
    ],
)
def test_extra_member_with_a_name_that_is_none_is_named(name: Any, shown: str) -> None:
    response = rendered(NotFoundError(extra={name: "x", "a": 1}))
    assert body(response) == {**body(rendered(NotFoundError())), "a": 1}
    assert response.dropped == (shown,)


# What makes orjson end the process, or write what is no JSON.
HARMFUL = {
    "tzinfo that raises": "datetime.datetime(2020, 1, 1, tzinfo=datetime.tzinfo())",
    "UUID without a number": "uuid.UUID.__new__(uuid.UUID)",
    "dataclass without its values": "Point.__new__(Point)",
    "fragment that is no JSON": "orjson.Fragment('no JSON')",
}


@pytest.mark.parametrize("expression", HARMFUL.values(), ids=HARMFUL)
def test_extra_member_that_orjson_can_not_take_does_no_harm(expression: str) -> None:
    program = f"""
import dataclasses, datetime, json, orjson, uuid
from authpi_errors import ErrorRegistry, NotFoundError
from authpi_errors._rendering import render
Point = dataclasses.make_dataclass("Point", ["x"], slots=True)
response = render(NotFoundError(extra={{"a": 1, "x": {expression}}}), ErrorRegistry())
assert json.loads(response.body)["a"] == 1, response.body
assert response.dropped == ("extra 'x'",), response.dropped
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (run.returncode, run.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("options", "dropped"),
    [
        pytest.param({"status": 200}, ("status",), id="a status of success"),
        pytest.param({"status": 600}, ("status",), id="a status out of range"),
        pytest.param({"status": "404"}, ("status",), id="text for a status"),
        pytest.param({"status": True}, ("status",), id="a bool for a status"),
        pytest.param({"retryable": "no"}, ("retryable",), id="text for retryable"),
        pytest.param({"retryable": 1}, ("retryable",), id="a number for retryable"),
        pytest.param({"retry_after": float("inf")}, ("retry_after",), id="an infinite delay"),
        pytest.param({"retry_after": float("nan")}, ("retry_after",), id="a delay of NaN"),
        pytest.param({"retry_after": 10**400}, ("retry_after",), id="a huge delay"),
        pytest.param({"retry_after": True}, ("retry_after",), id="a bool for a delay"),
        pytest.param({"retry_after": object()}, ("retry_after",), id="an object for a delay"),
        pytest.param({"reference": 5}, ("reference",), id="a number for a reference"),
        pytest.param({"reference": b"a"}, ("reference",), id="bytes for a reference"),
        pytest.param({"fields": 5}, ("fields",), id="a number for the fields"),
        pytest.param({"fields": [None]}, ("fields[0]",), id="None among the fields"),
        pytest.param({"fields": [("a", "b", "c")]}, ("fields[0]",), id="a tuple for a field"),
        pytest.param({"headers": ["a"]}, ("headers",), id="a list for the headers"),
        pytest.param({"headers": 5}, ("headers",), id="a number for the headers"),
        pytest.param({"extra": ["a"]}, ("extra",), id="a list for extra"),
        pytest.param({"extra": "a"}, ("extra",), id="text for extra"),
    ],
)
def test_option_that_can_not_be_sent_is_named(options: Any, dropped: tuple[str, ...]) -> None:
    response = rendered(NotFoundError("Nothing here.", **options))
    assert body(response) == {**body(rendered(NotFoundError("Nothing here.")))}
    assert (response.status, response.dropped) == (404, dropped)


@pytest.mark.parametrize(
    "description", [5, b"bytes", object(), ["text"]], ids=lambda value: type(value).__name__
)
def test_description_that_is_no_text_is_named(description: Any) -> None:
    response = rendered(NotFoundError(description))
    assert body(response) == body(rendered(NotFoundError()))
    assert response.dropped == ("description",)


@pytest.mark.parametrize("part", ["a", None, 5], ids=["a lone surrogate", "None", "a number"])
def test_field_that_can_not_be_sent_is_named(part: Any) -> None:
    part = "\ud800" if part == "a" else part
    response = rendered(InvalidRequestError(fields=[FieldError("a", "b", part)]))
    assert response.dropped
    assert "fields[0]" in response.dropped[0]


@pytest.mark.parametrize(
    ("error", "named"),
    [
        pytest.param(NotFoundError("\ud800a"), "description", id="description"),
        pytest.param(NotFoundError(reference="\ud800a"), "reference", id="reference"),
    ],
)
def test_lone_surrogate_is_replaced_and_named(error: AuthPIError, named: str) -> None:
    response = rendered(error)
    assert "?a" in body(response).values()
    assert response.dropped == (f"lone surrogates in {named}",)


@pytest.mark.parametrize("value", ['"a b"', "", 1.5, b"v1", ["v1"], '"\r\n"', '"€"'], ids=ascii)
def test_entity_tag_that_is_none_is_left_out_and_named(value: Any) -> None:
    response = rendered(PreconditionFailedError(current_etag=value))
    assert (response.status, response.code) == (412, "precondition_failed")
    assert not {"current_etag", "currentETag"} & set(body(response))
    assert header(response, "etag") == []
    assert "current_etag" in response.dropped


@pytest.mark.parametrize(
    "supported", [["a/b", "json"], ["a/b", "c/d\r\n"], ["a/b", None]], ids=["word", "CRLF", "None"]
)
def test_supported_type_that_is_none_is_named(supported: Any) -> None:
    assert rendered(InvalidContentTypeError(supported=supported)).dropped


def fail(*_: object) -> NoReturn:
    """Fail, as anything of an application's may."""
    raise RuntimeError("secret")


# For the places of methods.
raising: Any = fail


class RaisingMapping(Mapping[str, Any]):
    """A mapping that can't be read."""

    __getitem__ = __iter__ = __len__ = items = raising


class RaisingObject:
    """An object of which nothing works."""

    __str__ = __repr__ = __eq__ = __hash__ = __iter__ = __bool__ = __len__ = raising


OPTIONS = "description status retryable retry_after reference fields headers extra".split()


@pytest.mark.parametrize("value", [RaisingMapping(), RaisingObject()], ids=["mapping", "object"])
@pytest.mark.parametrize("option", OPTIONS)
def test_option_that_raises_is_named_and_the_others_are_sent(option: str, value: Any) -> None:
    options: dict[str, Any] = {
        "description": "Nothing here.",
        "reference": "abc",
        "headers": {"Allow": "GET"},
    }
    others = {name: other for name, other in options.items() if name != option}
    sent = body(rendered(NotFoundError(**others)))
    response = rendered(NotFoundError(**{**options, option: value}))
    assert body(response) == sent
    assert header(response, "allow") == ["GET"] * (option != "headers")
    assert response.dropped == (option,)


def test_iterator_is_not_used_up_by_an_option_that_raises() -> None:
    fields = iter([FieldError("a", "b", "c")])
    response = rendered(InvalidRequestError(fields=fields, headers=RaisingMapping()))
    assert body(response)["fields"] == [{"field": "a", "code": "b", "message": "c"}]


def test_iterator_that_fails_in_the_middle_is_named() -> None:
    def fields() -> Iterator[FieldError]:
        yield FieldError("a", "b", "c")
        raise RuntimeError

    assert rendered(InvalidRequestError(fields=fields())).dropped == ("fields",)


class RaisingPropertyError(NotFoundError):
    """An error with an attribute that can't be read."""

    reference: Any = property(raising, lambda _, value: None)


class RaisingHeadersError(NotFoundError):
    """An error whose own headers fail."""

    header_fields = raising


class RaisingChallengeError(NotFoundError):
    """An error whose own challenges fail."""

    challenge = raising


def test_reference_of_a_server_error_is_made_where_it_has_none() -> None:
    response = rendered(ServerError(), made_reference="made")
    assert (body(response)["reference"], response.reference) == ("made", "made")


@pytest.mark.parametrize(
    ("error", "reference"),
    [
        pytest.param(ServerError(reference="own"), "own", id="where it has one"),
        pytest.param(NotFoundError(), None, id="for a client's error"),
        pytest.param(NotFoundError(reference="own"), "own", id="for one that has one"),
    ],
)
def test_no_reference_is_made(error: AuthPIError, reference: str | None) -> None:
    response = rendered(error, made_reference="made")
    assert (body(response).get("reference"), response.reference) == (reference, reference)


class JunkHeadersError(NotFoundError):
    """An error whose own headers can't be sent."""

    def header_fields(self, method: str) -> Any:
        return {"x-a": "a\r\nb", "x-b": object(), "x c": "d"}


class UnwritableError(NotFoundError):
    """An error whose attributes can't be set any more, with headers that can't be read."""

    def __init__(self) -> None:
        vars(self).update(description="Nothing here.", headers=RaisingMapping())

    __setattr__ = raising


class EvasiveError(NotFoundError):
    """An error of which no attribute can be read."""

    def __init__(self) -> None: ...

    __getattribute__ = raising


@pytest.mark.parametrize(
    "make",
    [
        RaisingPropertyError,
        RaisingHeadersError,
        RaisingChallengeError,
        JunkHeadersError,
    ],
)
def test_part_of_a_class_that_fails_takes_nothing_else_with_it(make: Any) -> None:
    response = rendered(make("Nothing here.", headers={"Allow": "GET"}))
    assert (response.status, response.code) == (404, "not_found")
    assert body(response)["error_description"] == "Nothing here."
    assert header(response, "allow") == ["GET"]
    assert response.dropped


@pytest.mark.parametrize("make", [UnwritableError, EvasiveError])
def test_error_that_resists_has_its_code_all_the_same(make: Callable[[], AuthPIError]) -> None:
    response = rendered(make())
    assert (response.status, response.code) == (404, "not_found")


def test_code_that_was_set_on_an_error_survives_an_option_that_raises() -> None:
    error = AuthPIError(headers=RaisingMapping())
    error.code = ErrorCode("quota_exhausted", 402, "The quota is used up.")
    response = rendered(error)
    assert (response.status, response.code) == (402, "quota_exhausted")


def test_class_whose_init_does_not_call_ours_is_rendered() -> None:
    class SilentError(InsufficientScopeError):
        def __init__(self) -> None:
            pass

    assert rendered(SilentError()).code == "insufficient_scope"


@pytest.mark.parametrize("option", OPTIONS)
def test_attribute_may_be_deleted(option: str) -> None:
    given: dict[str, Any] = {"fields": [], "headers": {}, "extra": {}}
    error = NotFoundError(**{option: given.get(option, "given")})
    delattr(error, option)
    assert body(rendered(error)) == body(rendered(NotFoundError()))


def test_values_of_what_is_left_out_are_not_named() -> None:
    options: Any = {"headers": {"X-A": "secret\n"}, "extra": {"x": [object(), "secret"]}}
    assert "secret" not in repr(rendered(NotFoundError(**options)).dropped)


def test_names_of_what_is_left_out_do_not_break_a_line_of_a_log() -> None:
    options: Any = {"headers": {"X\r\nY" * 100: "a"}, "extra": {"a\n\ud800": object()}}
    dropped = rendered(NotFoundError(**options)).dropped
    assert all(name.isascii() and name.isprintable() and len(name) < 100 for name in dropped)
