"""Whatever is put into an error, its answer keeps to the contract, and clients can read it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, NoReturn

import fastapi
import h11
from authpi_admin.errors import PreconditionFailedError as ClientPreconditionFailedError
from authpi_admin.errors import RateLimitError, ValidationError, error_from_response
from authpi_admin.generated.models import ApiError
from authpi_admin.generated.models import PreconditionFailedError as PreconditionFailedModel
from hypothesis import example, given, settings
from hypothesis import strategies as st

from authpi_errors import (
    AuthPIError,
    Challenge,
    ErrorCode,
    ErrorRegistry,
    FieldError,
    PreconditionFailedError,
    SessionExpiredError,
    UnauthorizedClientError,
)
from authpi_errors._exceptions import ERRORS
from authpi_errors._headers import delay_seconds, encode, entity_tag
from authpi_errors._messages import answer
from authpi_errors._rendering import ErrorResponse, render
from authpi_errors._templates import Templates
from authpi_errors._validation import fields_error
from authpi_errors.codes import is_error_status
from tests.asked import Request

# Each property is tried on as many errors as take a second or two.
TRIED = settings(deadline=None, max_examples=80, derandomize=True, database=None)

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
OPTIONS = "description status retryable retry_after reference fields headers extra".split()
OWN_OPTIONS = ["supported", "scope", "challenges", "current_etag"]


class QuotaExhaustedError(AuthPIError):
    """An application's own error."""

    code = ErrorCode("quota_exhausted", 402, "The quota is used up.", retryable=True, retry_after=9)


class SilentError(AuthPIError):
    """One whose `__init__` does not call ours."""

    code = ErrorCode("silent", 599, "Silent.")

    def __init__(self) -> None:
        pass


REGISTRIES = [
    ErrorRegistry(),
    ErrorRegistry(
        codes=[ErrorCode("not_found", 410, "Gone."), ErrorCode("busy", 503, "Busy.", True, 7)],
        statuses={404: "busy", 500: "busy", 422: "conflict"},
        challenges=[Challenge("DPoP", {"realm": 'a"\\é€\r\n'}), Challenge("Basic")],
    ),
]
CLASSES: list[type[AuthPIError]] = [AuthPIError, *ERRORS.values(), QuotaExhaustedError, SilentError]


def fail(*_: object) -> NoReturn:
    """Fail."""
    raise RuntimeError


# For the places of methods.
raising: Any = fail


class RaisingMapping(Mapping[str, Any]):
    """A mapping that can't be read."""

    __getitem__ = __iter__ = __len__ = items = raising


class RaisingObject:
    """An object of which nothing works."""

    __str__ = __repr__ = __eq__ = __hash__ = __iter__ = __bool__ = __len__ = raising


class RaisingText(str):
    """Text of which little works."""

    __slots__ = ()
    __str__ = __repr__ = __eq__ = __iter__ = encode = strip = raising
    __hash__ = str.__hash__


def cycle() -> list[Any]:
    """Give a list that holds itself."""
    found: list[Any] = []
    found.append(found)
    return found


def nested() -> list[Any]:
    """Give lists in lists."""
    found: list[Any] = []
    for _ in range(2_000):
        found = [found]
    return found


# Made anew for each error, and shown by their names where a property does not hold.
MAKERS: list[Callable[[], Any]] = [
    object,
    cycle,
    nested,
    RaisingMapping,
    RaisingObject,
    ValueError,
    lambda: RaisingText("raising"),
    lambda: iter([FieldError("a", "b", "c")]),
    lambda: [None, FieldError("a", "b", "c"), ("a", "b", "c")],
    lambda: [FieldError(5, None, RaisingText("a"))],  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    lambda: [FieldError("\ud800", "\0", "é")],
    lambda: {"X-A": None, "Set-Cookie": "a\r\nb", "Allow": b"GET", "X-B": 10**5_000, "x c": "d"},
    lambda: {"Retry-After": "5", "ETag": '"1"', "Content-Length": "7", "Transfer-Encoding": "x"},
    lambda: {"Retry-After": -1, "Cache-Control": "a", "WWW-Authenticate": "Basic", 5: 6},
    lambda: {"error": 1, "a": float("nan"), "b": object(), 5: 6, "c": "\ud800", "d": {1}},
    lambda: [Challenge("Basic"), "Bearer", None],
    lambda: ["application/json", "text/csv\r\n", "a b"],
    lambda: {"a", 5},
    lambda: 10**5_000,
    lambda: Decimal("1.5"),
    lambda: Decimal("NaN"),
    lambda: Fraction(1, 3),
    lambda: timedelta(-1),
    lambda: timedelta.max,
    lambda: datetime(2026, 1, 1, tzinfo=UTC),
]

texts = st.text(st.characters(codec=None, exclude_categories=()), max_size=20) | st.sampled_from(
    ["", " ", '"1"', 'W/"1"', "5", "Basic", "application/json", "a\r\nb", "\0", "é", "€", "\ud800"]
)
numbers = (
    st.integers()
    | st.integers(390, 610)
    | st.floats()
    | st.sampled_from([10**400, 2**63, 2**64, -0.0, 2**31])
)
scalars = st.none() | st.booleans() | numbers | texts | st.binary(max_size=20)
trees = st.recursive(
    scalars,
    lambda values: (
        st.lists(values, max_size=4) | st.dictionaries(texts | numbers, values, max_size=4)
    ),
    max_leaves=8,
)
junk = trees | st.sampled_from(MAKERS).map(lambda make: make())


# What may well be there.
GOOD: dict[str, st.SearchStrategy[Any]] = {
    "status": st.integers(400, 599) | st.sampled_from([401, 412, 429]),
    "retry_after": st.integers(0, 99) | st.floats(0, 99) | st.timedeltas(timedelta(0)),
    "fields": st.lists(st.builds(FieldError, texts, texts, texts), min_size=1, max_size=3),
    "headers": st.dictionaries(texts | st.sampled_from(["Allow", "ETag", "Retry-After"]), texts),
    "extra": st.dictionaries(texts, trees, max_size=4),
    "current_etag": st.sampled_from(['"1"', 'W/"1"', "1"]),
    "challenges": st.just([Challenge("Basic", {"realm": "é"})]),
    "code": st.just(QuotaExhaustedError.code),
}


@st.composite
def errors(draw: st.DrawFn, classes: Sequence[type[AuthPIError]] = CLASSES) -> AuthPIError:
    """Make an error of any class with anything in any of its parts."""
    names = draw(st.sets(st.sampled_from(OPTIONS)))
    options = {name: draw(GOOD.get(name, texts) | junk) for name in sorted(names)}
    cls: Any = draw(st.sampled_from(classes))
    error: AuthPIError = cls() if cls is SilentError else cls(**options)
    own = [name for name in OWN_OPTIONS if hasattr(cls, name)]
    for name in [*own, *draw(st.lists(st.sampled_from([*OPTIONS, *OWN_OPTIONS]), max_size=2))]:
        setattr(error, name, draw(GOOD.get(name, texts) | junk))
    for name in draw(st.lists(st.sampled_from([*OPTIONS, "code"]), max_size=2)):
        vars(error).pop(name, None)
    return error


def rendered(errors: st.SearchStrategy[AuthPIError]) -> st.SearchStrategy[ErrorResponse]:
    """Render errors, each in answer to some request."""
    return st.builds(
        render,
        errors,
        st.sampled_from(REGISTRIES),
        st.builds(
            Request,
            st.sampled_from(["GET", "HEAD", "PATCH", "POST", "", "\r\n"]),
            credentials=st.booleans(),
            made_reference=st.none() | st.just("made"),
        ),
    )


responses = rendered(errors())


def repeatable(error: AuthPIError) -> AuthPIError:
    """Make lists of iterators, so that an error can be rendered twice."""
    for name, value in vars(error).items():
        if isinstance(value, Iterator):
            setattr(error, name, [*value])
    return error


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse members that are there twice."""
    members = dict(pairs)
    assert len(members) == len(pairs)
    return members


def body(response: ErrorResponse) -> dict[str, Any]:
    """Read the body, strictly: `int` refuses the constants that are no JSON."""
    members: dict[str, Any] = json.loads(
        response.body.decode(), parse_constant=int, object_pairs_hook=unique
    )
    return members


def header(response: ErrorResponse, name: bytes) -> list[bytes]:
    """Give the values of a header."""
    return [value for key, value in response.headers if key == name]


@TRIED
@given(responses)
def test_status_is_that_of_an_error(response: ErrorResponse) -> None:
    assert type(response.status) is int
    assert 400 <= response.status <= 599


@TRIED
@given(responses)
def test_body_is_a_json_object_that_begins_with_the_contracts_members(
    response: ErrorResponse,
) -> None:
    members = body(response)
    ours = [name for name in MEMBERS if name in members]
    assert list(members)[: len(ours)] == ours
    assert {"error", "error_description", "retryable"} <= set(ours)


@TRIED
@given(responses)
def test_members_have_the_types_of_the_contract(response: ErrorResponse) -> None:
    members = body(response)
    texts = ["error", "error_description", "reference", "current_etag", "currentETag"]
    assert all(type(members[name]) is str for name in texts if name in members)
    assert type(members["retryable"]) is bool
    assert type(members.get("retry_after", 0)) is int
    for field in members.get("fields", []):
        assert list(field) == ["field", "code", "message"]
        assert {type(part) for part in field.values()} == {str}
    assert members.get("fields") != []
    assert response.code == members["error"]
    assert members["error_description"].strip()


@TRIED
@given(responses)
def test_content_length_is_the_length_of_the_body(response: ErrorResponse) -> None:
    assert header(response, b"content-length") == [b"%d" % len(response.body)]
    assert header(response, b"content-type") == [b"application/json"]
    assert not header(response, b"transfer-encoding")


@TRIED
@given(responses)
def test_headers_are_ones_that_a_server_sends(response: ErrorResponse) -> None:
    sent = h11.Response(status_code=response.status, headers=list(response.headers))
    assert list(sent.headers) == list(response.headers)
    for name, value in response.headers:
        assert re.fullmatch(rb"[!#$%&'*+.^_`|~0-9a-z-]+", name)
        assert not re.search(rb"[\r\n\0]", value)


@TRIED
@given(responses)
def test_delay_is_the_same_in_the_body_and_in_the_header(response: ErrorResponse) -> None:
    members = body(response)
    delays = [b"%d" % members["retry_after"]] if "retry_after" in members else []
    assert header(response, b"retry-after") == delays
    assert 0 <= members.get("retry_after", 0) < 2**31


@TRIED
@given(responses)
def test_delay_is_only_where_a_repetition_may_help(response: ErrorResponse) -> None:
    members = body(response)
    assert members["retryable"] or "retry_after" not in members


@TRIED
@given(rendered(errors([AuthPIError, SessionExpiredError, UnauthorizedClientError])))
def test_401_has_a_challenge(response: ErrorResponse) -> None:
    challenges = header(response, b"www-authenticate")
    assert response.status != 401 or challenges
    assert all(re.match(rb"[A-Za-z]", challenge) for challenge in challenges)


@TRIED
@given(rendered(errors([PreconditionFailedError])))
def test_current_entity_tag_is_the_same_in_three_places(response: ErrorResponse) -> None:
    members = body(response)
    assert members.get("current_etag") == members.get("currentETag")
    if "current_etag" in members:
        assert header(response, b"etag") == [members["current_etag"].encode("latin-1")]


@TRIED
@given(responses)
def test_answer_is_not_to_be_stored_unless_something_else_is_said(response: ErrorResponse) -> None:
    assert len(header(response, b"cache-control")) == 1


@TRIED
@given(responses)
def test_official_client_reads_the_answer(response: ErrorResponse) -> None:
    headers = {name.decode(): value.decode("latin-1") for name, value in response.headers}
    members = body(response)
    error = error_from_response(status_code=response.status, body=members, headers=headers)
    assert error.error == members["error"]
    assert error.retryable is members["retryable"]
    assert error.reference == members.get("reference")
    if isinstance(error, ValidationError):
        assert error.fields == members.get("fields", [])
    if isinstance(error, RateLimitError):
        assert error.retry_after == members.get("retry_after")
    if isinstance(error, ClientPreconditionFailedError):
        assert error.current_etag == members.get("current_etag")


@TRIED
@given(responses)
def test_official_schema_takes_the_body(response: ErrorResponse) -> None:
    members = body(response)
    for model in (ApiError, PreconditionFailedModel):
        said = model.model_validate(members, strict=True).model_dump(exclude_none=True)
        assert said.items() <= members.items()


@TRIED
@given(responses)
def test_names_of_what_was_left_out_fit_into_a_line_of_a_log(response: ErrorResponse) -> None:
    assert all(name.isascii() and name.isprintable() for name in response.dropped)


@TRIED
@given(errors())
def test_code_of_the_class_gets_through(error: AuthPIError) -> None:
    name = render(error, ErrorRegistry()).code
    assert type(error) is AuthPIError or name == type(error).code.value


@TRIED
@given(errors().map(repeatable), st.sampled_from(REGISTRIES), st.booleans())
def test_templates_give_what_careful_rendering_gives(
    error: AuthPIError, registry: ErrorRegistry, credentials: bool
) -> None:
    asked = Request("PATCH", credentials=credentials, made_reference="made")
    sent = Templates(registry).render(error, asked)
    assert sent == render(error, registry, asked)


@TRIED
@given(responses, st.booleans(), st.booleans())
def test_answer_has_messages(response: ErrorResponse, accepted: bool, deniable: bool) -> None:
    extensions: dict[str, Any] = {"websocket.http.response": {}} if deniable else {}
    scope = {"type": "websocket", "extensions": extensions}
    for message in answer(response, scope, accepted=accepted):
        assert len(message.get("reason", "").encode()) <= 123


@TRIED
@given(junk, junk)
def test_header_is_sendable_or_none(name: object, value: object) -> None:
    field = encode(name, value)
    sent = h11.Response(status_code=400, headers=[] if field is None else [field])
    assert list(sent.headers) == ([] if field is None else [field])


@TRIED
@given(junk)
def test_delay_is_whole_seconds_or_none(value: object) -> None:
    seconds = delay_seconds(value)
    assert seconds is None or (type(seconds) is int and 0 <= seconds < 2**31)


@TRIED
@given(texts | st.integers() | st.floats())
def test_entity_tag_is_quoted_or_none(value: object) -> None:
    tag = entity_tag(value)
    assert tag is None or re.fullmatch(r'(W/)?"[\x21\x23-\x7e\x80-\xff]*"', tag)


@TRIED
@given(texts, st.dictionaries(texts, texts, max_size=3))
def test_challenge_is_sendable_or_refused(scheme: str, parameters: dict[str, str]) -> None:
    try:
        challenge = Challenge(scheme, parameters)
    except ValueError:
        return
    assert encode("www-authenticate", str(challenge))


@TRIED
@example(("quota_exhausted", 402, "It is used up.", None, None))
@given(
    st.tuples(
        st.sampled_from(["a", "quota_exhausted"]) | scalars,
        st.integers(400, 599) | scalars,
        texts | scalars,
        st.booleans() | scalars,
        st.none() | st.integers(0, 9) | scalars,
    )
)
def test_code_is_renderable_or_refused(parts: tuple[Any, Any, Any, Any, Any]) -> None:
    try:
        code = ErrorCode(*parts)
    except ValueError:
        return
    error = AuthPIError()
    error.code = code
    response = render(error, ErrorRegistry())
    assert (response.code, response.status) == (code.value, code.status)


@TRIED
@given(st.integers(390, 610), junk, st.none() | junk)
def test_http_exception_keeps_its_status(status: int, detail: Any, headers: Any) -> None:
    exc = fastapi.HTTPException(status, detail, headers)
    response = render(ErrorRegistry().resolve(exc), ErrorRegistry())
    assert response.status == (status if is_error_status(status) else 500)
    assert body(response)["error"] == response.code


@TRIED
@given(st.integers(400, 599), st.dictionaries(st.sampled_from(MEMBERS) | texts, junk), texts)
def test_http_exception_in_the_contracts_words_keeps_its_status(
    status: int, detail: dict[str, Any], code: str
) -> None:
    exc = fastapi.HTTPException(status, {**detail, "error": code, "error_description": "No."})
    response = render(ErrorRegistry().resolve(exc), ErrorRegistry())
    assert response.status == status
    assert body(response)


@TRIED
@given(junk)
def test_exception_is_answered_whatever_a_function_makes_of_it(made: Any) -> None:
    registry = ErrorRegistry(exceptions={ValueError: lambda _: made})
    assert render(registry.resolve(ValueError()), registry).status == 500


@TRIED
@given(st.dictionaries(st.sampled_from(["loc", "type", "msg", "ctx"]), trees) | trees)
def test_field_error_is_made_of_any_record(record: object) -> None:
    (error,) = fields_error([record]).fields
    assert {type(part) for part in (error.field, error.code, error.message)} == {str}
