"""The registry: any exception becomes the error that the application means by it."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any, NoReturn
from unittest.mock import Mock

import fastapi
import pytest
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException, WebSocketException

from authpi_errors import (
    AuthPIError,
    Challenge,
    ConflictError,
    ErrorCode,
    ErrorRegistry,
    InvalidRequestError,
    NotFoundError,
    ServerError,
    codes,
)

QUOTA = ErrorCode("quota_exhausted", 402, "The quota is used up.")
GONE = ErrorCode("not_found", 410, "It is gone for good.")
DEPTH = 5_000


class StorageError(Exception):
    """An application's own exception."""


class RowMissingError(StorageError, LookupError):
    """One with two parents."""


class OwnGroupError(ExceptionGroup[Exception]):
    """An application's own group."""


def failing(exc: object, *_: object) -> NoReturn:
    """Fail as a mapping function may, or a method."""
    raise LookupError("no such column")


# For the places of methods.
raising: Any = failing


class UndecidedError(NotFoundError):
    """An error that does not say whether it is true."""

    __bool__ = __len__ = raising


class IncomparableError(NotFoundError):
    """An error that can't be compared."""

    __eq__ = raising
    __hash__ = Exception.__hash__


def name_of(registry: ErrorRegistry, exc: BaseException) -> str:
    """Give the code of an exception."""
    return registry.code_of(registry.resolve(exc)).value


def nested(exc: Exception, depth: int) -> Exception:
    """Wrap an exception in groups."""
    for _ in range(depth):
        exc = ExceptionGroup("inner", [exc])
    return exc


def notes(exc: BaseException) -> str:
    """Give the notes of an exception."""
    return "\n".join(getattr(exc, "__notes__", ()))


@pytest.mark.parametrize(
    "exc",
    [
        ValueError("secret"),
        RuntimeError(),
        KeyboardInterrupt(),
        ExceptionGroup("group", [ValueError()]),
        BaseExceptionGroup("group", [KeyboardInterrupt()]),
        HTTPException(303),
    ],
    ids=repr,
)
def test_exception_that_nobody_expected_is_a_server_error(exc: BaseException) -> None:
    assert ErrorRegistry().find(exc) is None
    error = ErrorRegistry().resolve(exc)
    assert (type(error), error.description) == (ServerError, None)


@pytest.mark.parametrize(
    "error",
    [NotFoundError(), UndecidedError(), IncomparableError()],
    ids=["plain", "undecided", "odd"],
)
def test_error_is_its_own_answer(error: AuthPIError) -> None:
    assert ErrorRegistry().resolve(error) is error


@pytest.mark.parametrize(
    "error",
    [NotFoundError(), UndecidedError(), IncomparableError()],
    ids=["plain", "undecided", "odd"],
)
def test_error_in_a_group_is_the_answer(error: AuthPIError) -> None:
    assert ErrorRegistry().resolve(ExceptionGroup("group", [error, ConflictError()])) is error


def conflict(exc: object) -> ConflictError:
    """Say what an exception says, as a mapping function may."""
    return ConflictError(str(exc))


def returning(made: object) -> Callable[[object], object]:
    """Make a mapping function that gives something."""
    return lambda _: made


@pytest.mark.parametrize(
    ("target", "cls"),
    [
        pytest.param("conflict", ConflictError, id="the name of a code"),
        pytest.param(ConflictError, ConflictError, id="a class"),
        pytest.param(conflict, ConflictError, id="a function"),
    ],
)
def test_exception_maps_to(target: Any, cls: type[AuthPIError]) -> None:
    assert isinstance(ErrorRegistry(exceptions={KeyError: target}).resolve(KeyError("a")), cls)


@pytest.mark.parametrize("target", ["conflict", ConflictError], ids=["name", "class"])
def test_text_of_an_exception_does_not_get_out_unasked(target: Any) -> None:
    error = ErrorRegistry(exceptions={KeyError: target}).resolve(KeyError("secret"))
    assert "secret" not in str(error)
    assert error.description is None


@pytest.mark.parametrize("target", ["conflict", ConflictError], ids=["name", "class"])
def test_each_exception_has_an_error_of_its_own(target: Any) -> None:
    registry = ErrorRegistry(exceptions={KeyError: target})
    assert registry.resolve(KeyError()) is not registry.resolve(KeyError())


@pytest.mark.parametrize(
    ("exceptions", "name"),
    [
        pytest.param({StorageError: "conflict"}, "conflict", id="a parent"),
        pytest.param({LookupError: "not_found"}, "not_found", id="the other parent"),
        pytest.param(
            {LookupError: "not_found", StorageError: "conflict"}, "conflict", id="the first in line"
        ),
        pytest.param(
            {StorageError: "conflict", RowMissingError: "not_found"}, "not_found", id="itself"
        ),
        pytest.param({Exception: "conflict", LookupError: "not_found"}, "not_found", id="nearest"),
        pytest.param({Exception: "conflict"}, "conflict", id="every exception"),
        pytest.param({OSError: "conflict"}, "server_error", id="none of its parents"),
    ],
)
def test_nearest_type_decides(exceptions: Any, name: str) -> None:
    assert name_of(ErrorRegistry(exceptions=exceptions), RowMissingError()) == name


def test_decision_for_a_type_is_not_that_for_its_parent() -> None:
    registry = ErrorRegistry(exceptions={LookupError: "not_found", KeyError: "conflict"})
    found = [name_of(registry, exc) for exc in (LookupError(), KeyError(), IndexError())]
    assert found == ["not_found", "conflict", "not_found"]


def test_error_of_the_contract_can_be_mapped() -> None:
    assert name_of(ErrorRegistry(exceptions={NotFoundError: "conflict"}), NotFoundError()) == (
        "conflict"
    )


def test_validation_error_of_fastapi_is_an_invalid_request() -> None:
    assert isinstance(ErrorRegistry().resolve(RequestValidationError([])), InvalidRequestError)


def test_validation_error_of_fastapi_can_be_mapped() -> None:
    registry = ErrorRegistry(exceptions={RequestValidationError: "conflict"})
    assert name_of(registry, RequestValidationError([])) == "conflict"


@pytest.mark.parametrize(
    ("group", "name"),
    [
        pytest.param(ExceptionGroup("g", [NotFoundError()]), "not_found", id="one"),
        pytest.param(
            ExceptionGroup("g", [ConflictError(), NotFoundError()]), "conflict", id="the first"
        ),
        pytest.param(
            ExceptionGroup("g", [ExceptionGroup("h", [NotFoundError()]), ConflictError()]),
            "not_found",
            id="the first in depth",
        ),
        pytest.param(
            ExceptionGroup("g", [ConflictError(), ExceptionGroup("h", [NotFoundError()])]),
            "conflict",
            id="the first before a group",
        ),
        pytest.param(
            ExceptionGroup("g", [NotFoundError(), HTTPException(409)]), "not_found", id="mixed"
        ),
        pytest.param(
            ExceptionGroup("g", [HTTPException(409), NotFoundError()]), "conflict", id="mixed again"
        ),
        pytest.param(
            ExceptionGroup("g", [NotFoundError(), ValueError()]), "server_error", id="an unexpected"
        ),
        pytest.param(
            ExceptionGroup("g", [ExceptionGroup("h", [ValueError()]), NotFoundError()]),
            "server_error",
            id="an unexpected one deep inside",
        ),
        pytest.param(
            BaseExceptionGroup("g", [NotFoundError(), KeyboardInterrupt()]),
            "server_error",
            id="an interrupt",
        ),
        pytest.param(nested(NotFoundError(), DEPTH), "not_found", id="very deep"),
        pytest.param(
            ExceptionGroup("g", [nested(ConflictError(), DEPTH), nested(NotFoundError(), DEPTH)]),
            "conflict",
            id="very deep, twice",
        ),
        pytest.param(nested(ValueError(), DEPTH), "server_error", id="very deep and unexpected"),
    ],
)
def test_group_is_what_all_that_it_holds_is(group: BaseException, name: str) -> None:
    assert name_of(ErrorRegistry(), group) == name


def test_group_can_be_mapped_as_a_whole() -> None:
    registry = ErrorRegistry(exceptions={OwnGroupError: "conflict"})
    assert name_of(registry, OwnGroupError("g", [ValueError()])) == "conflict"


def test_group_inside_a_group_is_looked_into() -> None:
    registry = ErrorRegistry(exceptions={ValueError: "conflict"})
    assert name_of(registry, ExceptionGroup("g", [OwnGroupError("h", [ValueError()])])) == (
        "conflict"
    )


def test_mapping_of_every_exception_does_not_hide_what_a_group_holds() -> None:
    registry = ErrorRegistry(exceptions={Exception: "conflict"})
    assert name_of(registry, ExceptionGroup("g", [NotFoundError()])) == "not_found"


class UnspeakableError(Exception):
    """An exception that can't be shown."""

    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


def failing_badly(exc: Exception) -> NoReturn:
    """Fail with an exception that can't be shown."""
    raise UnspeakableError


@pytest.mark.parametrize(
    ("function", "note"),
    [
        pytest.param(failing, "LookupError: no such column", id="raises"),
        pytest.param(failing_badly, "UnspeakableError", id="raises what can't be shown"),
        pytest.param(returning("conflict"), "got str, not an AuthPIError", id="returns a string"),
        pytest.param(returning(ConflictError), "got type", id="returns a class"),
        pytest.param(returning(ValueError()), "got ValueError", id="returns another exception"),
        pytest.param(returning(Mock(spec=NotFoundError)), "got Mock", id="returns a pretender"),
    ],
)
def test_function_that_fails_leaves_a_note(function: Callable[..., Any], note: str) -> None:
    exc = KeyError("a")
    assert name_of(ErrorRegistry(exceptions={KeyError: function}), exc) == "server_error"
    assert note in notes(exc)


def test_function_that_returns_none_leaves_the_exception_unexpected() -> None:
    exc = KeyError("a")
    exceptions: Any = {KeyError: returning(None)}
    assert ErrorRegistry(exceptions=exceptions).find(exc) is None
    assert not notes(exc)


class UnnotableError(KeyError):
    """An exception that takes no notes."""

    def add_note(self, note: str, /) -> None:
        raise RuntimeError


def test_exception_that_takes_no_note_is_a_server_error_all_the_same() -> None:
    registry = ErrorRegistry(exceptions={KeyError: failing})
    assert name_of(registry, UnnotableError()) == "server_error"


def test_function_that_fails_for_one_of_a_group_leaves_its_note_there() -> None:
    inner = KeyError("a")
    registry = ErrorRegistry(exceptions={KeyError: failing})
    assert name_of(registry, ExceptionGroup("g", [inner])) == "server_error"
    assert "no such column" in notes(inner)


def test_decisions_that_are_kept_are_bounded() -> None:
    registry = ErrorRegistry(exceptions={StorageError: "conflict"})
    for number in range(3_000):
        exc = type(f"Own{number}Error", (StorageError,), {})()
        assert name_of(registry, exc) == "conflict"
    assert len(registry._decisions) <= 1024


@pytest.mark.parametrize(
    ("exc", "name", "description"),
    [
        pytest.param(WebSocketException(1008), "access_denied", None, id="without a reason"),
        pytest.param(WebSocketException(1008, "No."), "access_denied", "No.", id="with one"),
        pytest.param(WebSocketException(1011), "server_error", None, id="of the server"),
        pytest.param(WebSocketException(4000), "access_denied", None, id="with an own code"),
    ],
)
def test_close_of_a_websocket_is_an_error(
    exc: WebSocketException, name: str, description: str | None
) -> None:
    error = ErrorRegistry().resolve(exc)
    assert (name_of(ErrorRegistry(), exc), error.description) == (name, description)


@pytest.mark.parametrize(
    ("status", "name"),
    [(400, "invalid_request"), (402, "quota_exhausted"), (410, "conflict"), (503, "server_error")],
)
def test_status_without_a_code_has_the_one_it_is_given(status: int, name: str) -> None:
    registry = ErrorRegistry(codes=[QUOTA], statuses={402: "quota_exhausted", 410: "conflict"})
    assert (registry.code_for(status).value, registry.code_for(status).status) == (name, status)


def test_status_of_a_code_that_was_replaced_has_what_replaced_it() -> None:
    own = ErrorCode("not_found", 404, "No such thing.")
    assert ErrorRegistry(codes=[own]).code_for(404) is own


def test_status_keeps_its_code_when_that_moves_to_another_status() -> None:
    code = ErrorRegistry(codes=[GONE]).code_for(404)
    assert (code.value, code.status) == ("not_found", 404)


def test_code_of_a_status_is_made_once() -> None:
    registry = ErrorRegistry(statuses={410: "conflict"})
    assert registry.code_for(410) is registry.code_for(410)


class MissingRowError(NotFoundError, LookupError):
    """An error of ours that is another exception too."""


class LateRowError(LookupError, NotFoundError):
    """The same the other way round."""


class RowsError(ExceptionGroup[Exception]):
    """Many of them."""


class MissingRowsError(RowsError, LookupError):
    """A group that is another exception too."""


@pytest.mark.parametrize(
    ("cls", "base"),
    [
        pytest.param(LookupError, LookupError, id="a type"),
        pytest.param(KeyError, LookupError, id="its subclass"),
        pytest.param(ConflictError, ConflictError, id="an error of ours that is mapped"),
        pytest.param(type("Own", (ConflictError,), {}), ConflictError, id="its subclass, too"),
        pytest.param(NotFoundError, AuthPIError, id="another error of ours"),
        pytest.param(MissingRowError, AuthPIError, id="what is an error of ours first"),
        pytest.param(LateRowError, LookupError, id="what is an error of ours last"),
        pytest.param(HTTPException, HTTPException, id="an HTTPException"),
        pytest.param(fastapi.HTTPException, HTTPException, id="FastAPI's"),
        pytest.param(WebSocketException, WebSocketException, id="a WebSocketException"),
        pytest.param(RequestValidationError, RequestValidationError, id="an invalid request"),
        pytest.param(OSError, None, id="what nobody has named"),
        pytest.param(RowsError, None, id="a group"),
        pytest.param(MissingRowsError, LookupError, id="a group that is a type, too"),
    ],
)
def test_nearest_class_says_what_an_exception_means(cls: type, base: type | None) -> None:
    registry = ErrorRegistry(exceptions={LookupError: "conflict", ConflictError: "not_found"})
    assert registry.base_of(cls) is base


@pytest.mark.parametrize(
    ("cls", "base"),
    [
        (OSError, Exception),
        (NotFoundError, AuthPIError),
        (HTTPException, HTTPException),
        (RowsError, None),
        (BaseExceptionGroup, None),
        (KeyboardInterrupt, None),
    ],
)
def test_what_is_mapped_for_everything_is_not_for_what_says_it_itself(
    cls: type, base: type | None
) -> None:
    assert ErrorRegistry(exceptions={Exception: "conflict"}).base_of(cls) is base


@pytest.mark.parametrize("challenges", [None, [Challenge("Bearer")]])
def test_challenges_are_those_of_the_application_where_it_gives_some(challenges: Any) -> None:
    registry = ErrorRegistry(challenges=challenges)
    assert registry.challenges == (Challenge("Bearer"),)
    assert registry.challenges_given is (challenges is not None)


@pytest.mark.parametrize("allowed", [True, False])
def test_text_of_validators_is_in_the_fields_where_that_is_allowed(allowed: bool) -> None:
    record = {"loc": ("body", "a"), "type": "value_error", "msg": "Value error, secret"}
    error = ErrorRegistry(validator_messages=allowed).fields_error([record])
    (field,) = error.fields
    assert (field.field, field.message == "secret") == ("a", allowed)


class QuotaError(AuthPIError):
    """An error with a code of its own."""

    code = QUOTA


def with_code(error: AuthPIError, code: Any) -> AuthPIError:
    """Set the code on an error itself."""
    error.code = code
    return error


def deprived(error: AuthPIError) -> AuthPIError:
    """Take all attributes from an error."""
    vars(error).clear()
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        pytest.param(NotFoundError(), GONE, id="replaced in the registry"),
        pytest.param(ConflictError(), codes.CONFLICT, id="not replaced"),
        pytest.param(QuotaError(), QUOTA, id="of an own class"),
        pytest.param(with_code(ConflictError(), QUOTA), QUOTA, id="set on the error itself"),
        pytest.param(
            with_code(ConflictError(), codes.NOT_FOUND), codes.NOT_FOUND, id="final when set"
        ),
        pytest.param(ServerError(status=404), codes.SERVER_ERROR, id="whatever the status"),
        pytest.param(AuthPIError(), codes.SERVER_ERROR, id="of nothing"),
        pytest.param(AuthPIError(status=409), codes.CONFLICT, id="of the status"),
        pytest.param(AuthPIError(status=200), codes.SERVER_ERROR, id="of a status of success"),
        pytest.param(deprived(AuthPIError(status=409)), codes.SERVER_ERROR, id="of no attributes"),
        pytest.param(with_code(ConflictError(), 5), codes.CONFLICT, id="junk: the class's own"),
        pytest.param(with_code(ConflictError(), None), codes.CONFLICT, id="None: the class's own"),
        pytest.param(with_code(AuthPIError(status=409), "x"), codes.CONFLICT, id="junk: status"),
    ],
)
def test_code_of_an_error(error: AuthPIError, code: ErrorCode) -> None:
    assert ErrorRegistry(codes=[GONE]).code_of(error) == code


def test_applications_base_class_has_the_code_of_its_status() -> None:
    class ApplicationError(AuthPIError):
        pass

    assert ErrorRegistry().code_of(ApplicationError(status=404)) is codes.NOT_FOUND


def test_challenge_is_bearer_unless_given() -> None:
    assert ErrorRegistry().challenges == (Challenge("Bearer"),)


def test_challenges_that_are_given_replace_it() -> None:
    assert ErrorRegistry(challenges=iter([Challenge("Basic")])).challenges == (Challenge("Basic"),)


def test_merged_registries_know_what_both_know() -> None:
    merged = ErrorRegistry(
        codes=[QUOTA], exceptions={KeyError: "quota_exhausted"}, challenges=[Challenge("Basic")]
    ) | ErrorRegistry(codes=[GONE], exceptions={ValueError: "conflict"}, statuses={402: "conflict"})
    assert merged.codes["quota_exhausted"] is QUOTA
    assert merged.codes["not_found"] is GONE
    assert list(merged.exceptions) == [KeyError, ValueError]
    assert dict(merged.statuses) == {402: "conflict"}
    assert merged.challenges == (Challenge("Basic"),)


def test_challenges_of_the_second_registry_are_kept_too() -> None:
    merged = ErrorRegistry() | ErrorRegistry(challenges=[Challenge("Basic")])
    assert merged.challenges == (Challenge("Basic"),)


def test_merging_changes_neither() -> None:
    first, second = ErrorRegistry(codes=[QUOTA]), ErrorRegistry(codes=[GONE])
    _ = first | second
    assert first.codes["not_found"] is codes.NOT_FOUND
    assert "quota_exhausted" not in second.codes


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param({"codes": [QUOTA]}, id="code"),
        pytest.param({"exceptions": {KeyError: "conflict"}}, id="exception"),
        pytest.param({"statuses": {402: "conflict"}}, id="status"),
        pytest.param({"challenges": [Challenge("Basic")]}, id="challenge"),
    ],
)
def test_registries_that_say_the_same_can_be_merged(parts: dict[str, Any]) -> None:
    assert repr(ErrorRegistry(**parts) | ErrorRegistry(**parts)) == repr(ErrorRegistry(**parts))


@pytest.mark.parametrize(
    ("first", "second", "complaint"),
    [
        pytest.param(
            {"codes": [GONE]},
            {"codes": [ErrorCode("not_found", 404, "Nothing.")]},
            "code 'not_found' is given twice",
            id="code",
        ),
        pytest.param(
            {"exceptions": {KeyError: "conflict"}},
            {"exceptions": {KeyError: "not_found"}},
            "KeyError'> is given twice, as 'conflict' and as 'not_found'",
            id="exception",
        ),
        pytest.param(
            {"statuses": {402: "conflict"}},
            {"statuses": {402: "not_found"}},
            "status 402 is given twice",
            id="status",
        ),
        pytest.param(
            {"challenges": [Challenge("Basic")]},
            {"challenges": [Challenge("Bearer")]},
            "different challenges",
            id="challenges",
        ),
    ],
)
def test_registries_that_contradict_each_other_can_not_be_merged(
    first: dict[str, Any], second: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        _ = ErrorRegistry(**first) | ErrorRegistry(**second)


def test_registry_merges_with_nothing_else() -> None:
    registry: Any = ErrorRegistry()
    with pytest.raises(TypeError):
        _ = registry | {}


@pytest.mark.parametrize("table", ["codes", "exceptions", "statuses"])
def test_tables_of_a_registry_can_not_be_changed(table: str) -> None:
    mapping: Any = getattr(ErrorRegistry(), table)
    with pytest.raises(TypeError):
        mapping["a"] = "conflict"


@pytest.mark.parametrize("attribute", ["codes", "exceptions", "statuses", "challenges", "other"])
def test_attributes_of_a_registry_can_not_be_set(attribute: str) -> None:
    with pytest.raises(AttributeError):
        setattr(ErrorRegistry(), attribute, {})


def test_registry_does_not_follow_what_it_was_made_of() -> None:
    exceptions: dict[type[Exception], Any] = {KeyError: "conflict"}
    statuses = {402: "conflict"}
    registry = ErrorRegistry(exceptions=exceptions, statuses=statuses)
    exceptions[ValueError] = statuses[410] = "not_found"
    assert (list(registry.exceptions), list(registry.statuses)) == ([KeyError], [402])


def test_registry_shows_what_it_was_given() -> None:
    registry = ErrorRegistry(exceptions={KeyError: "conflict"}, statuses={402: "conflict"})
    assert repr(registry) == (
        "ErrorRegistry(codes=[], exceptions={<class 'KeyError'>: 'conflict'}, "
        "statuses={402: 'conflict'}, challenges=None, validator_messages=False)"
    )


def pickled(registry: ErrorRegistry) -> ErrorRegistry:
    copied: ErrorRegistry = pickle.loads(pickle.dumps(registry))
    return copied


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, pickled])
@pytest.mark.parametrize(
    "registry",
    [
        pytest.param(ErrorRegistry(), id="of nothing"),
        pytest.param(
            ErrorRegistry(
                codes=[ErrorCode("quota_exhausted", 402, "Used up.")],
                exceptions={KeyError: "not_found", ValueError: NotFoundError},
                statuses={402: "quota_exhausted"},
                challenges=[Challenge("Basic", {"realm": "a"})],
                validator_messages=True,
            ),
            id="of everything",
        ),
    ],
)
def test_registry_is_copied(
    registry: ErrorRegistry, make: Callable[[ErrorRegistry], ErrorRegistry]
) -> None:
    copied = make(registry)
    assert repr(copied) == repr(registry)
    for exc in (KeyError(), ValueError(), HTTPException(402)):
        assert copied.resolve(exc).code == registry.resolve(exc).code
    assert copied.challenges == registry.challenges


class HollowGroupError(ExceptionGroup[Exception]):
    """A group that hides what it holds."""

    exceptions: Any = property(raising)


class EvasiveError(Exception):
    """An exception that hides all of its attributes."""

    def __getattribute__(self, name: str) -> NoReturn:
        raise RuntimeError


def test_evasive_exception_is_evasive() -> None:
    with pytest.raises(RuntimeError):
        _ = EvasiveError().args


class SilentHTTPError(HTTPException):
    """One whose `__init__` does not call that of its parent."""

    def __init__(self) -> None:
        pass


class EvasiveHTTPError(HTTPException):
    """One whose status can't be read."""

    @property
    def status_code(self) -> NoReturn:  # type: ignore[override]
        raise RuntimeError

    def __init__(self) -> None:
        pass


@pytest.mark.parametrize(
    "exc",
    [
        pytest.param(UnspeakableError(), id="can't be shown"),
        pytest.param(EvasiveError(), id="hides its attributes"),
        pytest.param(HollowGroupError("g", [ValueError()]), id="a group that hides what it holds"),
        pytest.param(SilentHTTPError(), id="an HTTPException without attributes"),
        pytest.param(EvasiveHTTPError(), id="an HTTPException whose status can't be read"),
        pytest.param(pickle.loads(pickle.dumps(ValueError("a"))), id="from elsewhere"),
    ],
)
def test_any_exception_has_an_answer(exc: BaseException) -> None:
    assert name_of(ErrorRegistry(), exc) == "server_error"


def test_412_is_for_no_other_try_whatever_its_code_is_made() -> None:
    replaced = ErrorCode("precondition_failed", 409, "Changed.", retryable=True)
    code = ErrorRegistry(codes=[replaced]).code_for(412)
    assert (code.value, code.status, code.is_retryable()) == ("precondition_failed", 412, False)
