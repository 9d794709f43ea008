"""What applications raise: the tree, its options, and what each class adds."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

import authpi_errors
from authpi_errors import (
    AuthPIError,
    Challenge,
    ConflictError,
    ErrorCode,
    FieldError,
    InsufficientScopeError,
    InvalidContentTypeError,
    NotFoundError,
    PreconditionFailedError,
    ServerError,
    SessionExpiredError,
    UnauthorizedClientError,
    _exceptions,
)
from authpi_errors._exceptions import ERRORS, error_with
from authpi_errors.codes import CODES

BEARER = Challenge("Bearer", {"realm": "core"})
BASIC = Challenge("Basic", {"realm": "core"})
OPTIONS: dict[str, Any] = {
    "status": 422,
    "retryable": True,
    "retry_after": 5,
    "reference": "abc",
    "fields": [FieldError("a", "missing", "Missing.")],
    "headers": {"X-A": "b"},
    "extra": {"a": 1},
}


def test_every_code_of_the_contract_has_a_class() -> None:
    assert list(ERRORS) == list(CODES)


@pytest.mark.parametrize("name", CODES)
def test_class_is_the_code_in_camel_case(name: str) -> None:
    camel_case = "".join(word.capitalize() for word in name.split("_")).removesuffix("Error")
    assert ERRORS[name].__name__ == f"{camel_case}Error"


@pytest.mark.parametrize("error", ERRORS.values())
def test_class_is_public(error: type[AuthPIError]) -> None:
    assert getattr(authpi_errors, error.__name__) is error


@pytest.mark.parametrize(("name", "error"), ERRORS.items(), ids=ERRORS)
def test_docstring_of_the_module_draws_the_class(name: str, error: type[AuthPIError]) -> None:
    drawn = [line.split()[1:4] for line in inspect.getdoc(_exceptions).splitlines() if "──" in line]  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
    assert [error.__name__, str(CODES[name].status), name] in drawn


@pytest.mark.parametrize("error", ERRORS.values())
def test_error_says_what_its_code_says(error: type[AuthPIError]) -> None:
    assert str(error()) == error.code.description


@pytest.mark.parametrize("error", ERRORS.values())
def test_error_says_what_it_is_told_to(error: type[AuthPIError]) -> None:
    assert str(error("Something else.")) == "Something else."


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("error", [AuthPIError, *ERRORS.values()])
def test_error_takes_every_option(error: type[AuthPIError], option: str) -> None:
    assert getattr(error(**{option: OPTIONS[option]}), option) == OPTIONS[option]


@pytest.mark.parametrize("option", OPTIONS)
def test_error_keeps_what_it_is_given_as_it_is(option: str) -> None:
    given: Any = object()
    assert getattr(AuthPIError(**{option: given}), option) is given


def test_error_refuses_an_option_that_there_is_none_of() -> None:
    error: Any = NotFoundError
    with pytest.raises(TypeError, match="descripton") as caught:
        error(descripton="Nothing here.")
    message = str(caught.value)
    assert message.startswith("NotFoundError() got an unexpected keyword argument 'descripton'")
    assert all(option in message for option in OPTIONS if option != "description")


def test_none_leaves_what_the_class_says() -> None:
    cls: Any = type("LaterError", (NotFoundError,), dict(OPTIONS))
    assert vars(cls(**dict.fromkeys(OPTIONS))) == {}


class UserMissingError(NotFoundError):
    """An error that is made of something else than a description."""

    def __init__(self, user_id: int, *, tenant: str = "core") -> None:
        super().__init__(f"No user {user_id}.", extra={"tenant": tenant})
        self.user_id = user_id


class SilentMissingError(NotFoundError):
    """An error whose `__init__` does not call ours."""

    def __init__(self, user_id: int) -> None:
        self.user_id = user_id


@dataclass(eq=False)
class RecordMissingError(NotFoundError):
    """An error whose `__init__` is made by `dataclass`."""

    user_id: int


class KeyMissingError(NotFoundError, KeyError):
    """An error that is a KeyError too, which shows its text in quotes."""


class FileMissingError(NotFoundError, OSError):
    """An error that is an OSError too, which has a memory layout of its own."""


class PortMissingError(NotFoundError, StopIteration):
    """An error that is something else too, for which the same holds."""


# What was made, how it reads, its arguments, and all that is set.
MADE: list[tuple[Callable[[], AuthPIError], str, tuple[Any, ...], dict[str, Any]]] = [
    (NotFoundError, CODES["not_found"].description, (), {}),
    (lambda: NotFoundError("No."), "No.", ("No.",), {"description": "No."}),
    (lambda: NotFoundError(description="No."), "No.", (), {"description": "No."}),
    (lambda: NotFoundError(""), "", ("",), {"description": ""}),
    (lambda: AuthPIError(**OPTIONS), CODES["server_error"].description, (), OPTIONS),
    (
        lambda: ConflictError(retryable=False, retry_after=0, reference="", headers={}, extra={}),
        CODES["conflict"].description,
        (),
        {"retryable": False, "retry_after": 0, "reference": "", "headers": {}, "extra": {}},
    ),
    (
        lambda: PreconditionFailedError("No.", current_etag='"1"'),
        "No.",
        ("No.",),
        {"description": "No.", "current_etag": '"1"'},
    ),
    (
        lambda: InsufficientScopeError("No.", scope="a b", status=401),
        "No.",
        ("No.",),
        {"description": "No.", "scope": "a b", "status": 401},
    ),
    (
        lambda: UserMissingError(5, tenant="a"),
        "No user 5.",
        (5,),
        {"description": "No user 5.", "extra": {"tenant": "a"}, "user_id": 5},
    ),
    (lambda: SilentMissingError(5), CODES["not_found"].description, (5,), {"user_id": 5}),
    (lambda: RecordMissingError(5), CODES["not_found"].description, (5,), {"user_id": 5}),
    (lambda: KeyMissingError("No."), "No.", ("No.",), {"description": "No."}),
    (
        lambda: PortMissingError("No.", retry_after=5),
        "No.",
        ("No.",),
        {"description": "No.", "retry_after": 5},
    ),
    (
        lambda: noted(NotFoundError("No.")),
        "No.",
        ("No.",),
        {"description": "No.", "__notes__": ["A note."]},
    ),
]


def pickled(error: AuthPIError) -> Any:
    """Give what arrives in another process."""
    return pickle.loads(pickle.dumps(error))


def noted(error: AuthPIError) -> AuthPIError:
    """Add a note."""
    error.add_note("A note.")
    return error


@pytest.mark.parametrize(
    ("make", "text", "args", "given"),
    MADE,
    # Functions have no name of their own: each worker would see another.
    ids=lambda part: "made" if callable(part) else ascii(part)[:60] * (part != ()),
)
def test_error_reads_as_exceptions_do(
    make: Callable[[], AuthPIError], text: str, args: tuple[Any, ...], given: dict[str, Any]
) -> None:
    error = make()
    assert (str(error), error.args, vars(error)) == (text, args, given)


@pytest.mark.parametrize(
    "survive",
    [copy.copy, copy.deepcopy, pickled],
    ids=["copy", "deep copy", "pickle"],
)
@pytest.mark.parametrize("make", [row[0] for row in MADE], ids=[ascii(row[3]) for row in MADE])
def test_error_survives(
    make: Callable[[], AuthPIError], survive: Callable[[AuthPIError], AuthPIError]
) -> None:
    error = make()
    again = survive(error)
    assert again is not error
    assert (type(again), again.args, str(again)) == (type(error), error.args, str(error))
    assert vars(again) == vars(error)


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        pytest.param(NotFoundError(), "NotFoundError()", id="nothing"),
        pytest.param(NotFoundError("No."), "NotFoundError('No.')", id="a description"),
        pytest.param(NotFoundError("No.", status=410), "NotFoundError('No.')", id="an option"),
        pytest.param(UserMissingError(5), "UserMissingError(5)", id="an own argument"),
        pytest.param(RecordMissingError(5), "RecordMissingError(user_id=5)", id="a dataclass"),
        pytest.param(KeyMissingError("No."), "KeyMissingError('No.')", id="a KeyError too"),
    ],
)
def test_error_shows_what_it_was_made_of(error: AuthPIError, shown: str) -> None:
    assert repr(error) == shown


@pytest.mark.parametrize(
    ("cls", "other"),
    [(KeyMissingError, KeyError), (FileMissingError, OSError), (PortMissingError, StopIteration)],
)
def test_error_may_be_another_exception_too(cls: type[AuthPIError], other: type[Exception]) -> None:
    with pytest.raises(other) as caught:
        raise cls("No.", reference="abc")
    error: Any = caught.value
    assert (str(error), error.description, error.reference) == ("No.", "No.", "abc")
    assert vars(copy.copy(error)) == vars(error)
    assert str(pickle.loads(pickle.dumps(error))) == "No."


def test_error_is_hashed_and_compared_by_identity() -> None:
    one, other = NotFoundError("No."), NotFoundError("No.")
    assert one != other
    assert len({one, other, one}) == 2


def test_cause_context_and_traceback_are_kept() -> None:
    cause = KeyError("a")
    with pytest.raises(NotFoundError) as caught:
        raise NotFoundError("No.") from cause
    assert caught.value.__cause__ is cause
    assert caught.value.__traceback__ is not None


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("not_found", id="a name"),
        pytest.param(404, id="a status"),
        pytest.param(None, id="nothing"),
        pytest.param(ErrorCode, id="the class of codes"),
        pytest.param(property(lambda _: CODES["not_found"]), id="a property"),
    ],
)
def test_subclass_without_a_usable_code_is_refused_when_it_is_defined(code: object) -> None:
    with pytest.raises(TypeError, match=r"UnusableError\.code"):
        type("UnusableError", (AuthPIError,), {"code": code})


def test_subclass_brings_its_own_code() -> None:
    class QuotaExhaustedError(AuthPIError):
        code = ErrorCode("quota_exhausted", 402, "The quota is used up.")

    assert str(QuotaExhaustedError()) == "The quota is used up."


def test_subclass_whose_init_does_not_call_ours_has_all_options() -> None:
    class SilentError(PreconditionFailedError):
        def __init__(self) -> None:
            pass

    assert [getattr(SilentError(), option) for option in OPTIONS] == [None] * 4 + [(), None, None]


@pytest.mark.parametrize("name", CODES)
def test_error_of_a_code_has_the_class_of_the_code(name: str) -> None:
    assert type(error_with(CODES[name])) is ERRORS[name]


def test_error_of_a_code_keeps_a_record_of_its_own() -> None:
    gone = ErrorCode("not_found", 410, "Gone.")
    error = error_with(gone)
    assert (type(error), error.code) == (NotFoundError, gone)


def test_error_of_an_applications_own_code_has_the_base_class() -> None:
    quota = ErrorCode("quota_exhausted", 402, "The quota is used up.")
    error = error_with(quota)
    assert (type(error), error.code) == (AuthPIError, quota)


@pytest.mark.parametrize("error", [NotFoundError(), ServerError(), AuthPIError()])
def test_error_without_parts_of_its_own_adds_nothing(error: AuthPIError) -> None:
    assert not error.header_fields("GET")
    assert not error.challenge([BEARER], "No.")


@pytest.mark.parametrize(
    ("method", "names"),
    [
        ("GET", ["accept"]),
        ("PUT", ["accept"]),
        ("PATCH", ["accept", "accept-patch"]),
        ("POST", ["accept", "accept-post"]),
    ],
)
def test_supported_types_go_into_the_header_of_the_method(method: str, names: list[str]) -> None:
    error = InvalidContentTypeError(supported=["application/json", "text/csv"])
    assert error.header_fields(method) == dict.fromkeys(names, "application/json, text/csv")


def test_one_supported_type_may_be_a_string() -> None:
    error = InvalidContentTypeError(supported="application/json")
    assert error.header_fields("GET") == {"accept": "application/json"}


def test_no_supported_types_are_no_header() -> None:
    assert not InvalidContentTypeError().header_fields("POST")


def test_current_entity_tag_is_a_header() -> None:
    error = PreconditionFailedError(current_etag='"1"')
    assert error.header_fields("PUT") == {"etag": '"1"'}


def test_without_a_current_entity_tag_there_is_none() -> None:
    error = PreconditionFailedError()
    assert error.header_fields("PUT") == {}


def given_by(error: AuthPIError, offered: list[Challenge], description: str) -> list[Challenge]:
    """Give the challenges of an error, of which all can be sent."""
    challenges = error.challenge(offered, description)
    assert None not in challenges
    return [challenge for challenge in challenges if challenge]


def test_lack_of_scope_is_said_as_in_rfc_6750() -> None:
    challenges = given_by(InsufficientScopeError(scope="a"), [BEARER], "No.")
    (parameters,) = [dict(challenge.parameters) for challenge in challenges]
    assert parameters == {
        "realm": "core",
        "error": "insufficient_scope",
        "error_description": "No.",
        "scope": "a",
    }


@pytest.mark.parametrize(
    ("scope", "sent"),
    [
        pytest.param("a", "a", id="one"),
        pytest.param("a b", "a b", id="one string with several"),
        pytest.param(["a", "b"], "a b", id="several strings"),
        pytest.param([], None, id="none"),
        pytest.param(["", "a", " ", "b"], "a b", id="blanks between are one space"),
    ],
)
def test_scope_is_asked_for(scope: Any, sent: str | None) -> None:
    challenges = given_by(InsufficientScopeError(scope=scope), [BEARER], "No.")
    assert [challenge.parameters.get("scope") for challenge in challenges] == [sent]


@pytest.mark.parametrize(
    ("offered", "schemes"),
    [
        pytest.param([], ["Bearer"], id="none offered"),
        pytest.param([BASIC], ["Bearer"], id="none that takes tokens"),
        pytest.param([BASIC, BEARER, Challenge("DPoP")], ["Bearer", "DPoP"], id="those that do"),
    ],
)
def test_scope_is_asked_for_where_tokens_are_taken(
    offered: list[Challenge], schemes: list[str]
) -> None:
    challenges = given_by(InsufficientScopeError(scope="a"), offered, "No.")
    assert [challenge.scheme for challenge in challenges] == schemes


def test_scope_that_is_needed_replaces_the_scope_that_is_always_offered() -> None:
    offered = Challenge("Bearer", {"scope": "read"})
    challenges = given_by(InsufficientScopeError(scope="write"), [offered], "No.")
    assert [challenge.parameters["scope"] for challenge in challenges] == ["write"]


def test_client_without_credentials_gets_the_bare_challenges() -> None:
    assert UnauthorizedClientError().challenge([BASIC, BEARER], "No.") == [BASIC, BEARER]


@pytest.mark.parametrize("error", [UnauthorizedClientError, SessionExpiredError])
def test_own_challenges_replace_those_offered(
    error: type[UnauthorizedClientError | SessionExpiredError],
) -> None:
    assert error(challenges=iter([BASIC])).challenge([BEARER], "No.")[0] == BASIC


def test_expired_session_is_an_invalid_token_for_schemes_that_take_tokens() -> None:
    challenges = given_by(SessionExpiredError(), [BASIC, BEARER], "Over.")
    assert [dict(challenge.parameters) for challenge in challenges] == [
        {"realm": "core"},
        {"realm": "core", "error": "invalid_token", "error_description": "Over."},
    ]
