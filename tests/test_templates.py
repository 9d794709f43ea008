"""The short way gives what careful rendering gives, to the byte, and is taken."""

from __future__ import annotations

import gc
import itertools
import tracemalloc
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from types import MappingProxyType, SimpleNamespace
from typing import Any, NamedTuple, NoReturn, Self
from unittest.mock import ANY

import fastapi
import pytest
from fastapi.exceptions import RequestValidationError
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException, WebSocketException
from starlette.types import Message, Scope

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
from authpi_errors._messages import answer
from authpi_errors._rendering import NOBODY, Asked, ErrorResponse, render
from authpi_errors._templates import Templates
from authpi_errors.codes import CODES
from tests.asked import Request

GET: Scope = {"type": "http", "method": "GET"}
LOGGED_IN: Scope = {**GET, "headers": [(b"authorization", b"Bearer t")]}
QUOTA = ErrorCode("quota_exhausted", 402, "The quota is used up.", retryable=True, retry_after=9)
GONE = ErrorCode("gone", 410, "It is gone for good.")


def fail(*_: object) -> NoReturn:
    """Fail, as anything of an application's may."""
    raise RuntimeError("secret")


# For the places of methods.
raising: Any = fail


class OwnValidationError(RequestValidationError):
    """An application's own kind of FastAPI's error."""


class QuotaExhaustedError(AuthPIError):
    """An error with a code of its own, which says when to come back."""

    code = QUOTA


class LastError(AuthPIError):
    """An error with the last status that is the client's."""

    code = ErrorCode("last", 499, "No.")


class TokenMissingError(AuthPIError):
    """A 401 that is none of AuthPI's two."""

    code = ErrorCode("token_missing", 401, "There is no token.")


class MethodError(AuthPIError):
    """A 405."""

    code = ErrorCode("method_not_allowed", 405, "Not this one.")


class StaleError(AuthPIError):
    """A 412 that is not AuthPI's."""

    code = ErrorCode("stale", 412, "It is stale.")


class SelfEncoding(str):
    """A text that is another one when it is encoded."""

    __slots__ = ()

    encode: Callable[..., bytes] = lambda *_: b"another"


class StatusError(NotFoundError):
    """An error whose class has another status."""

    status: int | None = 410


class DescribedError(NotFoundError):
    """An error whose class has a description."""

    description: str | None = "No such user."


class ComputedError(NotFoundError):
    """An error that computes its description."""

    description: Any = property(lambda _: "No such user.")


class FailingError(NotFoundError):
    """An error that fails to compute its description."""

    description: Any = property(raising, lambda _, value: None)


class SlottedError(NotFoundError):
    """An error that keeps its description elsewhere."""

    __slots__ = ("description",)


class RetryableError(ConflictError):
    """An error whose class says that a repetition helps."""

    retryable: bool | None = True


class DelayedError(ConflictError):
    """An error whose class says when to come back."""

    retry_after: float | timedelta | None = 5


class ReferredError(NotFoundError):
    """An error whose class has a reference."""

    reference: str | None = "class"


class FieldsError(InvalidRequestError):
    """An error whose class has fields."""

    fields: Iterable[FieldError] = (FieldError("a", "missing", "Missing."),)


class HeadersError(NotFoundError):
    """An error whose class has headers."""

    headers: Mapping[str, str] | None = MappingProxyType({"X-A": "b"})


class ExtraError(NotFoundError):
    """An error whose class has a further member."""

    extra: Mapping[str, object] | None = MappingProxyType({"a": 1})


class TaggedError(PreconditionFailedError):
    """An error whose class has an entity tag."""

    current_etag: str | None = '"class"'


class OwnHeadersError(NotFoundError):
    """An error with headers of its own."""

    def header_fields(self, method: str) -> Mapping[str, str | None]:
        return {"x-method": method}


class OwnChallengeError(AccessDeniedError):
    """An error with a challenge of its own."""

    def challenge(self, offered: Sequence[Challenge], description: str) -> Sequence[Challenge]:
        return [Challenge("DPoP", {"hint": description})]


class SilentError(NotFoundError):
    """An error whose `__init__` does not call ours."""

    def __init__(self, *_: object) -> None: ...


class KeepingError(NotFoundError):
    """An error that knows more than it says."""

    def __init__(self, user_id: int = 5) -> None:
        super().__init__(f"No user {user_id}.")
        self.user_id = user_id


class DemandingError(NotFoundError):
    """An error that can't be made without arguments."""

    def __new__(cls, user_id: int) -> Self:
        return super().__new__(cls, user_id)

    def __init__(self, user_id: int) -> None:
        super().__init__(f"No user {user_id}.")


class MixedError(NotFoundError, KeyError):
    """An error that is another exception too."""


class OtherMixedError(LookupError, NotFoundError):
    """Another exception that is an error too."""


class EvasiveError(NotFoundError):
    """An error of which no attribute can be read."""

    __getattribute__ = raising


class ChangingError(NotFoundError):
    """An error that changes what is read of it."""

    def __getattribute__(self, name: str) -> Any:
        return "Else." if name == "description" else super().__getattribute__(name)


CLASSES: list[type[AuthPIError]] = [
    AuthPIError,
    *ERRORS.values(),
    QuotaExhaustedError,
    TokenMissingError,
    MethodError,
    StaleError,
    StatusError,
    DescribedError,
    ComputedError,
    FailingError,
    SlottedError,
    RetryableError,
    DelayedError,
    ReferredError,
    FieldsError,
    HeadersError,
    ExtraError,
    TaggedError,
    OwnHeadersError,
    OwnChallengeError,
    SilentError,
    KeepingError,
    MixedError,
    OtherMixedError,
    EvasiveError,
    ChangingError,
]


class Lookalike(NamedTuple):
    """What has the attributes of a field's error."""

    field: str
    code: str
    message: str


class Doubled(list[FieldError]):
    """A list that gives everything twice."""

    def __iter__(self) -> Iterator[FieldError]:
        return itertools.chain(super().__iter__(), super().__iter__())


def own_fields(method: str) -> Mapping[str, str | None]:
    """Give headers as a method of the error would."""
    return {"x-method": method}


# What is put into an error, as it is.
ATTRIBUTES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "a description": {"description": "No user 5."},
    "a description to escape": {"description": 'ĉu \U0001f389 "?\\\r\n\0'},
    "an empty description": {"description": ""},
    "a blank description": {"description": " \n"},
    "no description": {"description": None},
    "a number for a description": {"description": 5},
    "a lone surrogate": {"description": "\ud800a"},
    "a reference": {"reference": "r1"},
    "an empty reference": {"reference": ""},
    "a blank reference": {"reference": " "},
    "no reference": {"reference": None},
    "zero for a reference": {"reference": 0},
    "a number for a reference": {"reference": 5},
    "a delay": {"retry_after": 2},
    "no delay at all": {"retry_after": 0},
    "None for a delay": {"retry_after": None},
    "half a second": {"retry_after": 0.5},
    "a timedelta": {"retry_after": timedelta(minutes=1)},
    "a bool for a delay": {"retry_after": True},
    "a negative delay": {"retry_after": -1},
    "the longest delay": {"retry_after": 2**31 - 1},
    "more than the longest": {"retry_after": 2**31},
    "an entity tag": {"current_etag": '"1"'},
    "a weak entity tag": {"current_etag": 'W/"é"'},
    "an entity tag without quotes": {"current_etag": "v1"},
    "an empty entity tag": {"current_etag": ""},
    "no entity tag": {"current_etag": None},
    "a number for an entity tag": {"current_etag": 5},
    "an entity tag that encodes itself": {"current_etag": SelfEncoding('"1"')},
    "a status": {"status": 410},
    "None for a status": {"status": None},
    "a status of success": {"status": 204},
    "retryable": {"retryable": True},
    "not retryable, and a delay": {"retryable": False, "retry_after": 5},
    "fields": {"fields": [FieldError("a", "missing", "Missing.")]},
    "fields to escape": {"fields": (FieldError('"', "\\", "é\r\n"), FieldError("", "", ""))},
    "no fields": {"fields": ()},
    "an empty list of fields": {"fields": []},
    "None for the fields": {"fields": None},
    "an empty text for the fields": {"fields": ""},
    "zero for the fields": {"fields": 0},
    "a mapping for the fields": {"fields": {}},
    "a lone surrogate in a field": {"fields": [FieldError("a", "b", "\ud800")]},
    "a number in a field": {"fields": [FieldError("a", "b", 5)]},  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    "a tuple among the fields": {"fields": [("a", "b", "c")]},
    "what looks like a field": {"fields": [Lookalike("a", "b", "c")]},
    "more fields than are sent": {"fields": [FieldError("a", "b", "c")] * 1_001},
    "a list that is another": {"fields": Doubled([FieldError("a", "b", "c")])},
    "a list of more than is sent": {"fields": Doubled([FieldError("a", "b", "c")] * 501)},
    "records of the fields": {"records": [{"loc": ()}]},
    "headers": {"headers": {"X-A": "b", "ETag": '"2"', "Retry-After": "7"}},
    "a further member": {"extra": {"a": 1}},
    "a code": {"code": GONE},
    "a code, and a description": {"code": QUOTA, "description": "Used up."},
    "a code with 401": {"code": TokenMissingError.code},
    "a code with 405": {"code": MethodError.code},
    "a code with 412, and an entity tag": {"code": StaleError.code, "current_etag": '"1"'},
    "a code with 500": {"code": CODES["server_error"]},
    "text for a code": {"code": "gone"},
    "None for a code": {"code": None},
    "an unknown attribute": {"user_id": 5},
    "a name of an attribute that is none": {"a b": 5},
    "own headers": {"header_fields": own_fields},
    "a note": {"__notes__": ["A note."]},
    "all": {
        "description": "Changed.",
        "reference": "r2",
        "retry_after": 3,
        "current_etag": '"1"',
        "code": QUOTA,
    },
}

REGISTRIES = {
    "no options": ErrorRegistry(),
    "codes in the place of AuthPI's": ErrorRegistry(
        codes=[
            ErrorCode("not_found", 410, "Gone."),
            ErrorCode("conflict", 409, "Twice.", True, retry_after=7),
            ErrorCode("precondition_failed", 428, "Say If-Match."),
            ErrorCode("server_error", 400, "It is your fault."),
            ErrorCode("access_denied", 401, "Who are you?"),
            QUOTA,
        ],
        statuses={
            404: "quota_exhausted",
            409: "not_found",
            500: "conflict",
            401: "invalid_request",
        },
        challenges=[
            Challenge("Bearer", {"realm": 'a"é€', "error": "invalid_token"}),
            Challenge("Basic"),
        ],
    ),
    "mapped exceptions": ErrorRegistry(
        exceptions={
            NotFoundError: "conflict",
            LookupError: QuotaExhaustedError,
            HTTPException: lambda _: ConflictError("Mapped."),
        }
    ),
}

ASKED: dict[str, Asked] = {
    "nobody": NOBODY,
    "a request without credentials": Request("PATCH", credentials=False, allowed=["GET"]),
    "one with a reference": Request("POST", made_reference="made"),
}


# Exceptions, made anew each time: answering must not hang on what was answered before.
HTTP_EXCEPTIONS: dict[str, Callable[[], BaseException]] = {
    "404": lambda: HTTPException(404),
    "FastAPI's 404": lambda: fastapi.HTTPException(404),
    "404, a text": lambda: HTTPException(404, "No user 5."),
    "FastAPI's 404, a text": lambda: fastapi.HTTPException(404, "No user 5."),
    "404, the phrase of another status": lambda: HTTPException(404, "Conflict"),
    "HTTPStatus": lambda: HTTPException(HTTPStatus.NOT_FOUND, "No user 5."),
    "404, an empty text": lambda: HTTPException(404, ""),
    "404, a lone surrogate": lambda: HTTPException(404, "\ud800"),
    "404, headers": lambda: HTTPException(404, "No.", headers={"X-A": "b"}),
    "404, a table without headers": lambda: HTTPException(404, "No.", headers={}),
    "404, a list for the headers": lambda: HTTPException(404, "No.", headers=[]),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    "404, a mapping": lambda: fastapi.HTTPException(404, {"a": 1}),
    "404, in the contract's words": lambda: fastapi.HTTPException(
        404, {"error": "gone", "error_description": "It is gone."}
    ),
    "404, an object": lambda: fastapi.HTTPException(404, object()),
    "404, what is equal to everything": lambda: fastapi.HTTPException(404, ANY),
    "404, None": lambda: fastapi.HTTPException(404, None),
    "410": lambda: HTTPException(410),
    "412": lambda: HTTPException(412, "Changed."),
    "415": lambda: HTTPException(415, "Send JSON."),
    "429": lambda: HTTPException(429, "Slower."),
    "499": lambda: HTTPException(499, "Closed."),
    "401": lambda: HTTPException(401, "Who are you?"),
    "403": lambda: HTTPException(403, "Not you."),
    "405": lambda: HTTPException(405),
    "500": lambda: HTTPException(500),
    "503": lambda: HTTPException(503, "Closed."),
    "204": lambda: HTTPException(204),
    "399": lambda: HTTPException(399, "No."),
    "999": lambda: HTTPException(999, "No."),
    "-1": lambda: HTTPException(-1, "No."),
    "text for a status": lambda: HTTPException("404", "No."),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    "a float for a status": lambda: HTTPException(404.0, "No."),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    "a list for a status": lambda: HTTPException([404], "No."),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    "a subclass": lambda: OwnHTTPException(404, "No."),
    "one that fails to say what it is": lambda: FailingHTTPException(404, "No."),
    "an error of ours, and an HTTPException": lambda: OursFirstError("Ours."),
    "an HTTPException, and an error of ours": lambda: OursLastError("Theirs."),
    "a validation error of ours": lambda: ValidError([]),
    "a WebSocketException of ours": lambda: SocketError("No."),
    "a mapped LookupError": lambda: KeyError("a"),
    "what nobody expects": lambda: RuntimeError("secret"),
    "a group": lambda: ExceptionGroup("Two.", [NotFoundError(), NotFoundError()]),
    "a cancellation": KeyboardInterrupt,
}


class OwnHTTPException(HTTPException):
    """An application's own."""


class FailingHTTPException(HTTPException):
    """One that can't be read."""

    detail: Any = property(raising, lambda _, value: None)


class OursFirstError(NotFoundError, HTTPException):
    """What a migration leaves: an error, and an HTTPException with another text."""

    def __init__(self, text: str) -> None:
        NotFoundError.__init__(self, text)
        vars(self).update(status_code=404, detail="The other one.")


class OursLastError(HTTPException, NotFoundError):
    """The same the other way round."""

    def __init__(self, text: str) -> None:
        HTTPException.__init__(self, 409, text)


class ValidError(RequestValidationError, NotFoundError):
    """An error that is FastAPI's first."""

    def __init__(self, _: object) -> None: ...

    def errors(self) -> list[Any]:
        return []


class SocketError(WebSocketException, NotFoundError):  # type: ignore[misc]
    """An error that is Starlette's first."""

    reason = "Later."

    def __init__(self, _: object) -> None: ...


def made(cls: Any, attributes: dict[str, Any]) -> AuthPIError:
    """Make an error with attributes, past what its class makes of them."""
    error: AuthPIError = cls.__new__(cls)
    object.__getattribute__(error, "__dict__").update(attributes)
    return error


def carefully(
    exc: BaseException, registry: ErrorRegistry, scope: Scope = GET
) -> ErrorResponse | None:
    """Answer an exception as careful rendering does; `None` if nobody expected it."""
    error = registry.find(exc)
    asked = Request(credentials="headers" in scope)
    return None if error is None else render(error, registry, asked)


def assert_answer(messages: tuple[Message, Message] | None, response: ErrorResponse | None) -> None:
    """Hold an answer, if there is one, to a response of which nothing is left out."""
    if messages is not None:
        assert response is not None
        assert list(messages) == answer(response, GET)
        assert not response.dropped


def assert_plain_answer(
    templates: Templates, make: Callable[[], BaseException], registry: ErrorRegistry
) -> None:
    """Hold the short way, where it is taken, to careful rendering; for whomever asks."""
    for scope in (GET, LOGGED_IN, GET):
        answered = templates.plain(make(), scope)
        assert_answer(answered, carefully(make(), registry, scope))


@pytest.mark.parametrize("registry", REGISTRIES.values(), ids=REGISTRIES)
@pytest.mark.parametrize("cls", CLASSES)
def test_both_ways_give_the_same(cls: type[AuthPIError], registry: ErrorRegistry) -> None:
    templates = Templates(registry)
    for what, attributes in ATTRIBUTES.items():
        for asked in ASKED.values():
            sent = templates.render(made(cls, attributes), asked)
            assert sent == render(made(cls, attributes), registry, asked), what
        assert_plain_answer(templates, partial(made, cls, attributes), registry)


@pytest.mark.parametrize("registry", REGISTRIES.values(), ids=REGISTRIES)
@pytest.mark.parametrize("make", [*CLASSES, DemandingError], ids=lambda make: make.__name__)
def test_both_ways_give_the_same_of_what_is_made_as_usual(
    make: Any, registry: ErrorRegistry
) -> None:
    make = partial(make, 5) if make is DemandingError else make
    templates = Templates(registry)
    assert templates.render(make(), NOBODY) == render(make(), registry, NOBODY)
    assert_plain_answer(templates, make, registry)


@pytest.mark.parametrize("registry", REGISTRIES.values(), ids=REGISTRIES)
@pytest.mark.parametrize("make", HTTP_EXCEPTIONS.values(), ids=HTTP_EXCEPTIONS)
@pytest.mark.parametrize("before", [[], [404, 409], [HTTPStatus.NOT_FOUND]], ids=str)
def test_plain_answer_is_that_of_careful_rendering(
    make: Callable[[], BaseException], registry: ErrorRegistry, before: list[int]
) -> None:
    templates = Templates(registry)
    for status in before:
        templates.plain(HTTPException(status), GET)
        templates.plain(fastapi.HTTPException(status), GET)
        templates.plain(OwnHTTPException(status), GET)
    assert_plain_answer(templates, make, registry)


WORDS = st.sampled_from(["", " ", "a", 'é€"\\', "\ud800", '"1"', 'W/"1"', "v1"])
CODE_RECORDS = st.sampled_from([*CODES.values(), QUOTA, GONE, *(cls.code for cls in CLASSES)])
DELAYS = st.sampled_from([None, 0, 5, 1.5, True, -1, 2**31])
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "description": WORDS | st.text() | st.sampled_from([None, 5, 'é"' * 300]),
    "reference": WORDS | st.sampled_from([None, 0, 5]),
    "retry_after": DELAYS,
    "current_etag": WORDS | st.sampled_from([None, 0]),
    "code": CODE_RECORDS,
    "status": st.integers(390, 610) | st.none(),
    "retryable": st.none() | st.booleans(),
    "fields": st.sampled_from([(), [], [FieldError("a", "b", "é")], None, 0, 5]),
    "headers": st.sampled_from(
        [
            None,
            {},
            {"X-A": "b"},
            {"ETag": '"1"', "X-A": "b"},
            {"retry-after": "7"},
            {"Cache-Control": "private", "x-a": "b", "X-A": "c"},
            {"WWW-Authenticate": "Basic"},
            {"WWW-Authenticate": 'Bearer realm="a", error="b"', "Content-Type": "a/b"},
            {"X-Ä": "b", "X-B": "\n"},
            {"X-A": 5},
            MappingProxyType({"X-A": "b"}),
            [("X-A", "b")],
            5,
        ]
    ),
    "extra": st.sampled_from([None, {}, {"a": 1}, 5]),
    "scope": st.sampled_from([None, (), "", "a b", "é", "a" * 600, ["a", "b"], 5]),
    "challenges": st.sampled_from([None, (), [Challenge("Basic")], "Basic", 5]),
    "__notes__": st.just(["A note."]),
    "user_id": st.just(5),
}
CLASS_VALUES = {name: VALUES[name] for name in [*VALUES][:4] + [*VALUES][5:10]}


def own_code(name: str, status: int, description: str, retry_after: int | None) -> ErrorCode:
    """Make a code that is for another try, unless it is a 412."""
    if status == 412:
        return ErrorCode(name, status, description)
    return ErrorCode(name, status, description, retryable=True, retry_after=retry_after)


OWN_CODES = st.builds(
    own_code,
    st.sampled_from(["own", "not_found", "conflict", "precondition_failed", "server_error"]),
    st.sampled_from([400, 401, 404, 405, 409, 410, 412, 429, 500, 503]),
    st.sampled_from(["Own.", 'é€"\\']),
    st.sampled_from([None, 0, 7]),
)


@st.composite
def attributes(draw: st.DrawFn, values: dict[str, st.SearchStrategy[Any]]) -> dict[str, Any]:
    """Choose a few attributes: with many of them, no error is plain."""
    names = draw(st.lists(st.sampled_from(sorted(values)), max_size=3, unique=True))
    return {name: draw(values[name]) for name in names}


@st.composite
def classes(draw: st.DrawFn) -> type[AuthPIError]:
    """Choose a class, or make a subclass with attributes of its own."""
    cls = draw(st.sampled_from(CLASSES))
    if not draw(st.booleans()):
        return cls
    own = draw(attributes(CLASS_VALUES))
    code = {"code": draw(OWN_CODES)} if draw(st.booleans()) else {}
    return type("OwnError", (cls,), own | code)


@st.composite
def registries(draw: st.DrawFn) -> ErrorRegistry:
    """Make a registry with codes, statuses and challenges."""
    codes = draw(st.lists(OWN_CODES, max_size=3, unique_by=lambda code: code.value))
    names = st.sampled_from(["conflict", "usage_limit_exceeded", *(code.value for code in codes)])
    offered = [Challenge("Bearer", {"error": "a", "realm": "é"}), Challenge("Basic")]
    return ErrorRegistry(
        codes=codes,
        statuses=draw(st.dictionaries(st.sampled_from([401, 404, 409, 410, 500]), names)),
        challenges=draw(st.none() | st.just(offered)),
    )


@settings(deadline=None, max_examples=500, derandomize=True, database=None)
@given(
    classes(),
    st.lists(attributes(VALUES), min_size=1, max_size=4),
    registries(),
    st.sampled_from([*ASKED.values()]),
)
def test_both_ways_give_the_same_whatever_there_is(
    cls: type[AuthPIError],
    errors: list[dict[str, Any]],
    registry: ErrorRegistry,
    asked: Asked,
) -> None:
    templates = Templates(registry)
    for parts in errors:
        exc = made(cls, parts)
        assert templates.render(exc, asked) == render(exc, registry, asked)
        assert_plain_answer(templates, partial(made, cls, parts), registry)


PLAIN: dict[str, Callable[[], BaseException]] = {
    "NotFoundError": NotFoundError,
    "a text": lambda: NotFoundError("No user 5."),
    "None for a text": lambda: NotFoundError(None),
    "a text to escape": lambda: NotFoundError('ĉu \U0001f389 "?\\'),
    "a delay": lambda: ConflictError(retry_after=2),
    "a text and a delay": lambda: ConflictError("Busy.", retry_after=2),
    "an entity tag": lambda: PreconditionFailedError(current_etag='"1"'),
    "a text and an entity tag": lambda: PreconditionFailedError("Changed.", current_etag='"1"'),
    "no entity tag": PreconditionFailedError,
    "a limit": lambda: UsageLimitExceededError(retry_after=1),
    "a refusal": AccessDeniedError,
    "an own code": QuotaExhaustedError,
    "an own code, and a text": lambda: QuotaExhaustedError("Used up."),
    "another exception as well": lambda: MixedError("No user 5."),
    "Starlette's 404": lambda: HTTPException(404),
    "Starlette's 404, a text": lambda: HTTPException(404, "No user 5."),
    "FastAPI's 404": lambda: fastapi.HTTPException(404),
    "FastAPI's 404, a text": lambda: fastapi.HTTPException(404, "No user 5."),
    "FastAPI's 409": lambda: fastapi.HTTPException(409, "Twice."),
    "Starlette's 400": lambda: HTTPException(400, "No."),
    "Starlette's 499": lambda: HTTPException(499, "No."),
    "an own 499": LastError,
    "headers": lambda: NotFoundError(headers={"X-A": "b"}),
    "a 401": UnauthorizedClientError,
    "a 401, a text": lambda: UnauthorizedClientError('Log "in".'),
    "a 401, headers": lambda: UnauthorizedClientError(headers={"WWW-Authenticate": "Basic"}),
    "an expired session": SessionExpiredError,
    "an own 401": TokenMissingError,
    "a lack of scope": lambda: InsufficientScopeError(scope="a"),
    "a lack of scope, a text": lambda: InsufficientScopeError("Ask.", scope="a b"),
}


@pytest.mark.parametrize("make", PLAIN.values(), ids=PLAIN)
def test_the_short_way_is_taken(make: Callable[[], BaseException]) -> None:
    templates = Templates(REGISTRIES["no options"])
    for scope in (GET, LOGGED_IN, GET):
        assert templates.plain(make(), scope) is not None
    assert_plain_answer(templates, make, REGISTRIES["no options"])


SERVERS = [
    ErrorRegistry(),
    ErrorRegistry(codes=[ErrorCode("server_error", 500, "Our fault.", retryable=True)]),
    ErrorRegistry(codes=[ErrorCode("server_error", 503, 'Come "back".', retry_after=7)]),
]


@pytest.mark.parametrize("registry", SERVERS)
def test_what_nobody_expected_has_the_same_answer_both_ways(registry: ErrorRegistry) -> None:
    template = Templates(registry).unexpected(RuntimeError())
    assert template is not None
    for reference in ("r1", 'é"\\'):
        asked = Request("GET", made_reference=reference)
        messages = template.plain_with_reference(reference)
        assert_answer(messages, render(ServerError(), registry, asked))


@pytest.mark.parametrize(
    "exc",
    [
        pytest.param(NotFoundError(), id="an error"),
        pytest.param(ServerError(), id="the server's error"),
        pytest.param(HTTPException(204), id="an HTTPException that is no error"),
        pytest.param(OSError(), id="what is mapped"),
        pytest.param(ExceptionGroup("", [RuntimeError()]), id="a group"),
        pytest.param(BaseExceptionGroup("", [KeyboardInterrupt()]), id="a group of anything"),
        pytest.param(KeyboardInterrupt(), id="what ends the process"),
        pytest.param(RequestValidationError([]), id="an invalid request"),
    ],
)
def test_there_is_no_template_for_what_may_be_expected(exc: BaseException) -> None:
    templates = Templates(ErrorRegistry(exceptions={OSError: lambda _: ConflictError()}))
    assert templates.unexpected(RuntimeError()) is not None
    assert templates.unexpected(exc) is None


@pytest.mark.parametrize("registry", REGISTRIES.values(), ids=REGISTRIES)
@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
def test_challenges_are_those_of_this_error_however_many_there_were(
    registry: ErrorRegistry, asked: Asked
) -> None:
    templates = Templates(registry)
    for number in [*range(100), *range(100)]:
        for error in (
            UnauthorizedClientError(f"No {number}."),
            SessionExpiredError(f"No {number}."),
            SessionExpiredError(challenges=[Challenge("Basic", {"realm": str(number)})]),
            InsufficientScopeError("No.", scope=f"users:{number}"),
            InsufficientScopeError(f"No {number}."),
        ):
            assert templates.render(error, asked) == render(error, registry, asked)


HEADERS: list[Mapping[str, str]] = [
    {},
    {"X-A": "b"},
    {"X-A": "c"},
    {"X-A": "b", "X-B": "c"},
    {"Cache-Control": "private"},
    {"ETag": '"1"'},
    {"Retry-After": "7"},
    {"Content-Type": "text/plain"},
    {"X-Ä": "b"},
    {"WWW-Authenticate": "Basic"},
    {"WWW-Authenticate": 'Bearer realm="a"'},
    Headers(raw=[(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]),
]


@pytest.mark.parametrize("cls", [NotFoundError, PreconditionFailedError, UnauthorizedClientError])
@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
def test_headers_are_those_of_this_error_whatever_others_had(
    cls: type[AuthPIError], asked: Asked
) -> None:
    registry = ErrorRegistry()
    templates = Templates(registry)
    for headers in [*HEADERS, *HEADERS]:
        error = cls("The same text.", headers=headers)
        assert templates.render(error, asked) == render(error, registry, asked)


def test_an_invalid_request_without_records_has_no_fields() -> None:
    registry = ErrorRegistry()
    error = registry.resolve(RequestValidationError([]))
    sent = Templates(registry).render(error, NOBODY)
    assert sent == render(error, registry, NOBODY)
    assert b'"fields":' not in sent.body


def test_what_errors_have_said_is_not_kept_for_ever() -> None:
    templates = Templates(ErrorRegistry())
    error = UnauthorizedClientError("No.")
    templates.render(error, NOBODY)
    tracemalloc.start()
    try:
        sizes: list[int] = []
        for number in range(2_001):
            templates.render(UnauthorizedClientError(f"{number:0400}"), NOBODY)
            if number % 1_000 == 0:
                sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert sizes[2] - sizes[1] < 100_000


@pytest.mark.parametrize("status", [400, 401, 405])
def test_there_is_no_template_for_a_servers_error_that_is_none(status: int) -> None:
    registry = ErrorRegistry(codes=[ErrorCode("server_error", status, "Yours.")])
    assert Templates(registry).unexpected(RuntimeError()) is None


def test_the_short_way_is_taken_for_texts_and_delays_of_any_length() -> None:
    registry = ErrorRegistry()
    templates = Templates(registry)
    for number in range(1, 600):
        for exc in (NotFoundError("a" * number), ConflictError(retry_after=number)):
            messages = templates.plain(exc, GET)
            assert messages is not None
            assert_answer(messages, carefully(exc, registry))


def test_the_short_way_is_taken_whatever_was_answered_before() -> None:
    templates = Templates(ErrorRegistry())
    templates.plain(HTTPException(HTTPStatus.NOT_FOUND), GET)
    assert templates.plain(HTTPException(404), GET) is not None


MORE: dict[str, Callable[[], BaseException]] = {
    "a server's error": ServerError,
    "an error without a class": AuthPIError,
    "a 405": MethodError,
    "supported types": lambda: InvalidContentTypeError(supported=["a/b"]),
    "a further member": lambda: NotFoundError(extra={"a": 1}),
    "another status": lambda: NotFoundError(status=410),
    "a code that was set": lambda: made(NotFoundError, {"code": GONE}),
    "own headers": OwnHeadersError,
    "an own challenge": OwnChallengeError,
    "a class with a status": StatusError,
    "a class with an entity tag": TaggedError,
    "an HTTPException with headers": lambda: HTTPException(404, headers={"X-A": "b"}),
    "one with a mapping": lambda: fastapi.HTTPException(404, {"a": 1}),
    "one with 401": lambda: HTTPException(401),
    "one with 405": lambda: HTTPException(405),
    "one with 500": lambda: HTTPException(500),
    "one with 204": lambda: HTTPException(204),
    "one with 399": lambda: HTTPException(399),
    "one with 999": lambda: HTTPException(999, "No."),
    "one with text for a status": lambda: HTTPException("404", "No."),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    "what nobody expects": RuntimeError,
}


@pytest.mark.parametrize("make", MORE.values(), ids=MORE)
def test_the_short_way_is_left_where_there_is_more_to_say(
    make: Callable[[], BaseException],
) -> None:
    templates = Templates(ErrorRegistry())
    assert templates.plain(make(), GET) is None
    assert templates.plain(make(), GET) is None


class SlowDownError(AuthPIError):
    """An error that says more than its code."""

    code = CODES["usage_limit_exceeded"]

    def __init__(self) -> None:
        super().__init__("Slow down.", retry_after=3)


class OddlyMadeError(AuthPIError):
    """An error that can be made only now and then."""

    code = CODES["conflict"]
    made = itertools.count()

    def __init__(self) -> None:
        if next(self.made) % 2:
            raise RuntimeError
        super().__init__()


MAPPED = ErrorRegistry(
    codes=[ErrorCode("busy", 503, "Busy.", retry_after=5)],
    exceptions={
        Exception: "conflict",
        LookupError: "usage_limit_exceeded",
        NotFoundError: "invalid_request",
        IndexError: SlowDownError,
        UnicodeError: OddlyMadeError,
        OSError: "busy",
        TimeoutError: "session_expired",
        PermissionError: SessionExpiredError,
        BrokenPipeError: ServerError,
        EOFError: lambda _: ConflictError(),
        BufferError: "server_error",
    },
)


@pytest.mark.parametrize(
    ("exc", "status"),
    [
        pytest.param(NotFoundError("No user 5."), 400, id="its class"),
        pytest.param(KeyError("secret"), 429, id="the class above"),
        pytest.param(MixedError("No user 5."), 400, id="its class before another parent"),
        pytest.param(IndexError("secret"), 429, id="a class with something to say"),
        pytest.param(ValueError("secret"), 409, id="everything"),
        pytest.param(ConflictError("Twice."), 409, id="what is not mapped"),
        pytest.param(HTTPException(404), 404, id="Starlette's"),
        pytest.param(PermissionError("secret"), 401, id="a class with challenges"),
    ],
)
def test_the_short_way_is_taken_by_what_is_mapped(exc: Exception, status: int) -> None:
    templates = Templates(MAPPED)
    for _ in range(2):
        messages = templates.plain(exc, GET)
        assert messages is not None
        assert messages[0]["status"] == status
        assert_plain_answer(templates, lambda: exc, MAPPED)


@pytest.mark.parametrize(
    "exc",
    [
        pytest.param(OSError(), id="to a code of the server's"),
        pytest.param(BufferError(), id="to the code of a bug"),
        pytest.param(BrokenPipeError(), id="to a class of the server's"),
        pytest.param(TimeoutError(), id="to a code with challenges"),
        pytest.param(EOFError(), id="to a function"),
        pytest.param(ExceptionGroup("", [KeyError()]), id="a group of what is mapped"),
        pytest.param(KeyboardInterrupt(), id="what is not mapped"),
    ],
)
def test_the_short_way_is_left_by_what_is_mapped(exc: BaseException) -> None:
    templates = Templates(MAPPED)
    for _ in range(2):
        assert templates.plain(exc, GET) is None


def test_the_short_way_does_not_fail_where_a_class_can_not_be_made() -> None:
    templates = Templates(MAPPED)
    answers = [templates.plain(UnicodeError(), GET) for _ in range(4)]
    assert [answer is None for answer in answers] in ([False, True] * 2, [True, False] * 2)


def test_what_the_application_maps_besides_does_not_stand_in_the_way() -> None:
    registry = ErrorRegistry(exceptions={Exception: "conflict", LookupError: "conflict"})
    exc = MixedError()
    messages = Templates(registry).plain(exc, GET)
    assert messages is not None
    assert messages[0]["status"] == exc.code.status


@pytest.mark.parametrize(
    "codes",
    [
        pytest.param([], id="AuthPI's code"),
        pytest.param([ErrorCode("server_error", 503, "Later.", retry_after=5)], id="an own code"),
    ],
)
def test_the_short_way_is_taken_by_what_nobody_expects(codes: list[ErrorCode]) -> None:
    registry = ErrorRegistry(codes=codes)
    templates = Templates(registry)
    response = render(ServerError(reference='"1"'), registry, NOBODY)
    for exc in (RuntimeError("secret"), RuntimeError("secret"), ValueError("secret")):
        template = templates.unexpected(exc)
        assert template is not None
        assert list(template.plain_with_reference('"1"')) == answer(response, GET)


@pytest.mark.parametrize(
    "exc",
    [
        pytest.param(NotFoundError(headers={"X-A": "b"}), id="an error"),
        pytest.param(ServerError(), id="a server's error"),
        pytest.param(HTTPException(404, headers={"X-A": "b"}), id="an HTTPException"),
        pytest.param(WebSocketException(1008), id="a WebSocketException"),
        pytest.param(RequestValidationError([]), id="FastAPI's"),
        pytest.param(EOFError(), id="what is mapped to a function"),
        pytest.param(OSError(), id="what is mapped to a code of the server's"),
        pytest.param(ExceptionGroup("", [RuntimeError()]), id="a group"),
        pytest.param(KeyboardInterrupt(), id="no Exception"),
    ],
)
def test_what_is_expected_does_not_go_the_way_of_a_bug(exc: BaseException) -> None:
    registry = ErrorRegistry(exceptions={EOFError: lambda _: NotFoundError(), OSError: ServerError})
    templates = Templates(registry)
    assert templates.unexpected(RuntimeError()) is not None
    for _ in range(2):
        assert templates.unexpected(exc) is None


@pytest.mark.parametrize("status", [400, 499])
def test_a_bug_that_is_the_clients_error_is_left_to_careful_rendering(status: int) -> None:
    templates = Templates(ErrorRegistry(codes=[ErrorCode("server_error", status, "Yours.")]))
    for _ in range(2):
        assert templates.unexpected(RuntimeError()) is None


def record(kind: object = "missing", name: object = "a", message: object = "Wrong.") -> Any:
    """Make a record of pydantic's."""
    return {"type": kind, "loc": ("body", name), "msg": message, "input": "secret"}


def posted(*content_types: bytes) -> Scope:
    """Make the scope of a request to an endpoint that takes JSON."""
    field = SimpleNamespace(field_info=SimpleNamespace(media_type="application/json"))
    headers = [(b"content-type", content_type) for content_type in content_types]
    route = SimpleNamespace(body_field=field)
    return {"type": "http", "method": "POST", "headers": headers, "route": route}


RECORDS: dict[str, list[Any]] = {
    "one": [record()],
    "three": [record(), record("int_type", "b"), record("too_short", "c", 'é"\\')],
    "a message that is not safe": [record("value_error", "a", "Value error, secret")],
    "a message that is replaced": [record("uuid_parsing", "a", "secret")],
    "one of another kind": [record("own", "a", "Own.")],
    "one that pydantic says, too": [record("missing", "a", "Field required"), record()],
    "malformed JSON": [record("json_invalid", 7, "JSON decode error")],
    "malformed JSON in a field": [record("json_invalid", "a", "secret")],
    "a list for a place": [{"type": "missing", "loc": ["query", "a"], "msg": "Wrong."}],
    "an index": [{"type": "missing", "loc": ("body", "a", 3), "msg": "Wrong."}],
    "no place": [{"type": "missing", "msg": "Wrong."}],
    "no text for a kind": [record(["missing"])],
    "no text for a message": [record("missing", "a", ["secret"])],
    "no record": [7],
    "as many as are named": [record("missing", str(number)) for number in range(100)],
}


@pytest.mark.parametrize("with_messages", [False, True])
@pytest.mark.parametrize("records", RECORDS.values(), ids=RECORDS)
@pytest.mark.parametrize("cls", [RequestValidationError, OwnValidationError])
def test_the_short_way_is_taken_by_a_request_that_is_not_valid(
    cls: type[RequestValidationError], records: list[Any], with_messages: bool
) -> None:
    registry = ErrorRegistry(validator_messages=with_messages)
    templates = Templates(registry)
    for _ in range(2):
        messages = templates.plain(cls(records), posted(b"Application/JSON; a=b", b"text/plain"))
        assert messages is not None
        assert_answer(messages, carefully(cls(records), registry))
        assert b"secret" not in messages[1]["body"] or with_messages


@pytest.mark.parametrize(
    ("records", "scope"),
    [
        pytest.param([record()], posted(b"text/plain"), id="a body that can't be read"),
        pytest.param([record()] * 101, posted(), id="more than are named"),
        pytest.param([], posted(), id="none"),
        pytest.param(None, posted(), id="no list"),
        pytest.param([record(name="\ud800")], posted(), id="a name that can't be sent"),
    ],
)
def test_the_short_way_is_left_by_a_request_of_which_there_is_more_to_say(
    records: Any, scope: Scope
) -> None:
    templates = Templates(ErrorRegistry())
    for _ in range(2):
        assert templates.plain(RequestValidationError(records), scope) is None


@pytest.mark.parametrize("status", [401, 405, 500])
def test_the_short_way_is_left_where_a_request_that_is_not_valid_means_more(status: int) -> None:
    templates = Templates(ErrorRegistry(codes=[ErrorCode("invalid_request", status, "No.")]))
    assert templates.plain(RequestValidationError([record()]), posted()) is None


def test_a_request_that_is_not_valid_can_come_back_later() -> None:
    registry = ErrorRegistry(codes=[ErrorCode("invalid_request", 422, "No.", True, retry_after=3)])
    exc = RequestValidationError([record()])
    messages = Templates(registry).plain(exc, posted())
    assert messages is not None
    assert (b"retry-after", b"3") in messages[0]["headers"]
    assert_answer(messages, carefully(exc, registry))


def test_messages_are_made_anew() -> None:
    templates = Templates(ErrorRegistry())
    for make in PLAIN.values():
        first = templates.plain(make(), GET)
        assert first is not None
        first[0]["headers"].append((b"x-a", b"b"))
        first[1]["body"] = b""
        assert_plain_answer(templates, make, ErrorRegistry())


class Counting(Asked):
    """A request that counts its references."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def reference(self, status: int) -> str:
        return f"r{next(self._numbers)}"


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ServerError(), id="plain"),
        pytest.param(ServerError(""), id="an empty description"),
        pytest.param(ServerError(retry_after=0.5), id="half a second"),
        pytest.param(PreconditionFailedError(current_etag="v1"), id="no entity tag"),
        pytest.param(ServerError(extra={"a": 1}), id="a further member"),
    ],
)
def test_a_reference_is_asked_for_once(error: AuthPIError) -> None:
    assert Templates(ErrorRegistry()).render(error, Counting()).reference == "r1"


class Name(str):
    """A text that can be watched."""

    __slots__ = ("__weakref__",)


def unequal_statuses(templates: Templates) -> Iterator[Any]:
    """Answer exceptions with ever other statuses, which can be watched."""
    for _ in range(1_100):
        exc: Any = HTTPException(404, "No.")
        exc.status_code = type("Status", (), {})()
        templates.plain(exc, GET)
        yield exc.status_code


def classes_of_errors(templates: Templates) -> Iterator[Any]:
    """Answer errors of ever other classes."""
    for _ in range(1_100):
        cls = type("OwnError", (NotFoundError,), {})
        assert templates.plain(cls(), GET) is not None
        yield cls


def classes_of_http_exceptions(templates: Templates) -> Iterator[Any]:
    """Answer HTTP exceptions of ever other classes."""
    for _ in range(1_100):
        cls: Any = type("OwnHTTPException", (HTTPException,), {})
        assert templates.plain(cls(404), GET) is not None
        yield cls


def rendered_classes(templates: Templates) -> Iterator[Any]:
    """Render errors of ever other classes."""
    for _ in range(1_100):
        cls = type("OwnError", (NotFoundError,), {})
        assert templates.render(cls(), NOBODY).code == "not_found"
        yield cls


def rendered_codes(templates: Templates) -> Iterator[Any]:
    """Render errors with ever other codes."""
    for number in range(1_100):
        name = Name(f"code_{number}")
        error = made(NotFoundError, {"code": ErrorCode(name, 400, "No.")})
        assert templates.render(error, NOBODY).code == name
        yield name


@pytest.mark.parametrize(
    "answered",
    [
        unequal_statuses,
        classes_of_errors,
        classes_of_http_exceptions,
        rendered_classes,
        rendered_codes,
    ],
)
def test_what_is_without_end_is_not_all_kept(
    answered: Callable[[Templates], Iterator[Any]],
) -> None:
    templates = Templates(ErrorRegistry())
    watched = [weakref.ref(part) for part in answered(templates)]
    gc.collect()
    assert sum(part() is not None for part in watched) <= 1_024
    assert templates.plain(NotFoundError(), GET) is not None


def test_codes_that_are_gone_are_not_taken_for_others() -> None:
    templates = Templates(ErrorRegistry())
    for number in range(3_000):
        error = made(AuthPIError, {"code": ErrorCode(f"code_{number}", 400, "No.")})
        assert templates.render(error, NOBODY).code == f"code_{number}"
