"""What a registry is given: usable, or a sentence about it while the application is built."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Callable, Mapping
from functools import wraps
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from starlette.exceptions import HTTPException

from authpi_errors import (
    AuthPIError,
    Challenge,
    ConflictError,
    ErrorCode,
    ErrorRegistry,
    PreconditionFailedError,
)
from authpi_errors._configuration import collect

QUOTA = ErrorCode("quota_exhausted", 402, "The quota is used up.")

OWN_TEXT = {"loc": ("query", "a"), "type": "value_error", "msg": "Value error, Odd."}

TOML = """
validator_messages = true

[codes.quota_exhausted]
status = 402
description = "The quota is used up."

[codes.busy]
status = 503
description = "Busy."
retryable = true
retry_after = 5

[exceptions]
"builtins.LookupError" = "not_found"
"json:JSONDecodeError" = "invalid_request"

[statuses]
402 = "quota_exhausted"

[[challenges]]
scheme = "Bearer"
parameters = { realm = "core" }

[[challenges]]
scheme = "Basic"
"""


class NeedsArgumentsError(AuthPIError):
    """Can't be made without arguments."""

    def __init__(self, name: str) -> None: ...


def meaning(registry: ErrorRegistry) -> tuple[object, ...]:
    """Show everything that a registry says."""
    return (
        dict(registry.codes),
        dict(registry.exceptions),
        dict(registry.statuses),
        registry.challenges,
        list(registry.fields_error([OWN_TEXT]).fields),
    )


def test_toml_document_is_a_registry() -> None:
    registry = ErrorRegistry.from_mapping(tomllib.loads(TOML))
    by_hand = ErrorRegistry(
        codes=[QUOTA, ErrorCode("busy", 503, "Busy.", retryable=True, retry_after=5)],
        exceptions={LookupError: "not_found", json.JSONDecodeError: "invalid_request"},
        statuses={402: "quota_exhausted"},
        challenges=[Challenge("Bearer", {"realm": "core"}), Challenge("Basic")],
        validator_messages=True,
    )
    assert meaning(registry) == meaning(by_hand)


def test_json_document_is_the_same_registry() -> None:
    document = json.loads(json.dumps(tomllib.loads(TOML)))
    registry = ErrorRegistry.from_mapping(document)
    assert meaning(registry) == meaning(ErrorRegistry.from_mapping(tomllib.loads(TOML)))


def test_empty_document_is_the_plain_registry() -> None:
    assert meaning(ErrorRegistry.from_mapping({})) == meaning(ErrorRegistry())


@pytest.mark.parametrize("status", [402, "402", HTTPStatus.PAYMENT_REQUIRED.value])
def test_status_in_a_document_is_a_string_or_an_integer(status: object) -> None:
    registry = ErrorRegistry.from_mapping({"statuses": {status: "conflict"}})
    assert dict(registry.statuses) == {402: "conflict"}


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        pytest.param(None, "use a table", id="no document"),
        pytest.param([], "use a table", id="a list for a document"),
        pytest.param({"code": {}}, "no 'code'", id="an unknown member"),
        pytest.param({5: {}}, "no 5", id="a number for a member"),
        pytest.param({"codes": []}, "use a table", id="a list for the codes"),
        pytest.param({"codes": {"a": None}}, "'a'", id="a code that is None"),
        pytest.param({"codes": {"a": {}}}, "needs a status", id="a code of nothing"),
        pytest.param({"codes": {"a": {"status": 402}}}, "needs a status and a", id="half a code"),
        pytest.param(
            {"codes": {"a": {"status": 402, "description": "A.", "level": 1}}},
            "no 'level'",
            id="a code with a misspelt part",
        ),
        pytest.param(
            {"codes": {"a b": {"status": 402, "description": "A."}}}, "a b", id="a code of words"
        ),
        pytest.param(
            {"codes": {"a": {"status": 200, "description": "A."}}}, "200", id="a status of success"
        ),
        pytest.param(
            {"codes": {"a": {"status": 402, "description": "A.", "retryable": 1}}},
            "retryable=1",
            id="a number for retryable",
        ),
        pytest.param({"exceptions": 5}, "use a table", id="a number for the exceptions"),
        pytest.param({"exceptions": {"": "conflict"}}, "dotted name", id="no name"),
        pytest.param({"exceptions": {"a b": "conflict"}}, "dotted name", id="two words"),
        pytest.param({"exceptions": {5: "conflict"}}, "dotted name", id="a number for a name"),
        pytest.param({"exceptions": {"no_such.X": "conflict"}}, "no_such", id="no such module"),
        pytest.param({"exceptions": {"json.Nope": "conflict"}}, "Nope", id="no such attribute"),
        pytest.param({"exceptions": {"json.loads": "conflict"}}, "no exception", id="a function"),
        pytest.param({"exceptions": {"builtins.int": "conflict"}}, "no exception", id="a class"),
        pytest.param(
            {"exceptions": {"builtins.KeyError": "conflct"}}, "'conflict'", id="a misspelt code"
        ),
        pytest.param(
            {"exceptions": {"builtins.KeyError": ["conflict"]}}, "KeyError", id="a list of codes"
        ),
        pytest.param(
            {"exceptions": {"builtins.OSError": "conflict", "builtins.IOError": "not_found"}},
            "given twice",
            id="one exception under two names",
        ),
        pytest.param({"statuses": []}, "use a table", id="a list for the statuses"),
        pytest.param({"statuses": {"teapot": "conflict"}}, "use an integer", id="a word"),
        pytest.param({"statuses": {"9" * 5_000: "conflict"}}, "use an integer", id="many digits"),
        pytest.param({"statuses": {"4e2": "conflict"}}, "use an integer", id="a float"),
        pytest.param({"statuses": {"200": "conflict"}}, "400 to 599", id="a success"),
        pytest.param({"statuses": {"402": "quota"}}, "unknown", id="an unknown code"),
        pytest.param({"statuses": {"402": ["conflict"]}}, "402", id="a list for a code"),
        pytest.param({"statuses": {"402": {}}}, "402", id="a table for a code"),
        pytest.param({"statuses": {"402": None}}, "402", id="None for a code"),
        pytest.param(
            {"statuses": {"402": "conflict", 402: "not_found"}}, "given twice", id="402 twice"
        ),
        pytest.param({"challenges": []}, "one Challenge at least", id="no challenges"),
        pytest.param({"challenges": 5}, "challenges", id="a number for the challenges"),
        pytest.param({"challenges": ["Bearer"]}, "A challenge", id="a string for a challenge"),
        pytest.param(
            {"challenges": [dict[str, str]()]}, "in a challenge", id="a challenge of nothing"
        ),
        pytest.param({"challenges": [{"scheme": 5}]}, "5 in a challenge", id="a scheme of 5"),
        pytest.param({"challenges": [{"realm": "a"}]}, "no 'realm'", id="a misplaced parameter"),
        pytest.param(
            {"challenges": [{"scheme": "Bearer", "parameters": 5}]}, "5", id="parameters of 5"
        ),
        pytest.param(
            {"challenges": [{"scheme": "Bearer", "parameters": ["a"]}]},
            "challenge",
            id="a list for parameters",
        ),
    ],
)
def test_unusable_document_is_refused(document: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        ErrorRegistry.from_mapping(document)


def compare(exc: Exception, other: Exception) -> None:
    """Compare two exceptions."""


async def find_out(exc: Exception) -> None:
    """Take time to find out what an exception means."""


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        pytest.param({"codes": ["conflict"]}, "use an ErrorCode", id="a name among the codes"),
        pytest.param(
            {"codes": [QUOTA, ErrorCode("quota_exhausted", 429, "Used up.")]},
            "'quota_exhausted' is given twice",
            id="a code with two meanings",
        ),
        pytest.param({"exceptions": {5: "conflict"}}, "5 is mapped", id="a number, mapped"),
        pytest.param({"exceptions": {int: "conflict"}}, "no exception", id="a class, mapped"),
        pytest.param(
            {"exceptions": {KeyboardInterrupt: "conflict"}},
            "no exception",
            id="an exception that is not for applications",
        ),
        pytest.param({"exceptions": {KeyError: "quota"}}, "'quota'", id="an unknown code"),
        pytest.param({"exceptions": {KeyError: None}}, "maps to None", id="nothing to map to"),
        pytest.param({"exceptions": {KeyError: 409}}, "maps to 409", id="a status to map to"),
        pytest.param({"exceptions": {KeyError: QUOTA}}, "maps to ErrorCode", id="a code's record"),
        pytest.param(
            {"exceptions": {KeyError: ConflictError()}}, "maps to Conflict", id="an instance"
        ),
        pytest.param({"exceptions": {KeyError: ValueError}}, "maps to <cl", id="another exception"),
        pytest.param(
            {"exceptions": {KeyError: NeedsArgumentsError}},
            "NeedsArgumentsError, which can't be made without",
            id="a class that needs arguments",
        ),
        pytest.param({"statuses": {399: "conflict"}}, "400 to 599", id="a status too low"),
        pytest.param({"statuses": {"402": "conflict"}}, "'402'", id="a string for a status"),
        pytest.param({"statuses": {402: "quota"}}, "'quota'", id="an unknown code of a status"),
        pytest.param(
            {"statuses": {402: QUOTA}}, "use its name", id="a record for the code of a status"
        ),
        pytest.param({"challenges": ()}, "one Challenge at least", id="no challenge"),
        pytest.param({"challenges": ["Bearer"]}, "use one Challenge", id="a string"),
        pytest.param({"challenges": Challenge("Basic")}, "use one Chall", id="a single challenge"),
        pytest.param({"challenges": 5}, "use one Challenge", id="a number for challenges"),
        pytest.param({"codes": QUOTA}, "use a list of ErrorCode", id="a single code"),
        pytest.param({"codes": None}, "use a list of ErrorCode", id="no codes"),
        pytest.param({"exceptions": [KeyError]}, "exceptions is .* a mapping", id="a list, mapped"),
        pytest.param({"exceptions": "KeyError"}, "exceptions is .* a mapping", id="a name, mapped"),
        pytest.param({"statuses": [402]}, "statuses is .* a mapping", id="a list of statuses"),
        pytest.param({"statuses": 402}, "statuses is .* a mapping", id="a single status"),
        pytest.param(
            {"exceptions": {KeyError: find_out}},
            "find_out.* which is asynchronous: use a plain function",
            id="an asynchronous function",
        ),
        pytest.param(
            {"exceptions": {KeyError: compare}},
            "compare.* can't be called with one argument",
            id="a function of two arguments",
        ),
        pytest.param({"validator_messages": 1}, "True or False", id="a flag that is a number"),
        pytest.param(
            {
                "codes": [ErrorCode("busy", 503, "Busy.", retry_after=5)],
                "statuses": {500: "busy"},
            },
            "busy",
            id="a delay on a code whose status, here, is not retryable",
        ),
    ],
)
def test_unusable_part_is_refused(parts: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        ErrorRegistry(**parts)


def test_misspelt_code_is_answered_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="'precondition_failed'"):
        ErrorRegistry(exceptions={KeyError: "precondition_fail"})


def test_same_code_may_be_given_twice() -> None:
    assert ErrorRegistry(codes=[QUOTA, QUOTA]).codes["quota_exhausted"] is QUOTA


def test_class_that_can_be_made_without_arguments_is_a_target() -> None:
    registry = ErrorRegistry(exceptions={KeyError: PreconditionFailedError})
    assert isinstance(registry.resolve(KeyError()), PreconditionFailedError)


def test_starlettes_exception_can_be_mapped() -> None:
    registry = ErrorRegistry(exceptions={HTTPException: "conflict"})
    assert registry.resolve(HTTPException(404)).code.value == "conflict"


@pytest.mark.parametrize(
    "pairs",
    [
        pytest.param([("a", 1), ("b", 2)], id="two keys"),
        pytest.param([("a", 1), ("b", 2), ("a", 1)], id="one twice, with one meaning"),
        pytest.param([("a", 1), ("b", 2), ("a", 1.0)], id="one twice, with equal meanings"),
    ],
)
def test_pairs_without_contradiction_are_collected(pairs: list[tuple[str, float]]) -> None:
    assert collect("key", pairs) == {"a": 1, "b": 2}


def test_contradiction_names_both_meanings() -> None:
    with pytest.raises(ValueError, match=r"key 'a' is given twice, as 1 and as 2"):
        collect("key", [("a", 1), ("a", 2)])


def test_document_is_not_changed() -> None:
    document = tomllib.loads(TOML)
    ErrorRegistry.from_mapping(document)
    assert document == tomllib.loads(TOML)


def test_document_may_be_any_mapping() -> None:
    document: Mapping[str, Any] = {"codes": {}, "exceptions": {}, "statuses": {}}
    assert meaning(ErrorRegistry.from_mapping(document)) == meaning(ErrorRegistry())


def test_module_that_fails_when_it_is_imported_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "failing_module.py").write_text("1 / 0")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(ValueError, match=r"can't be imported \(division by zero\)"):
        ErrorRegistry.from_mapping({"exceptions": {"failing_module.X": "conflict"}})


def giving_a_session(function: Callable[..., object]) -> Callable[..., object]:
    """Decorate a function that takes a session, too."""

    @wraps(function)
    def give(*args: object) -> object:
        return function("a session", *args)

    return give


class Odd:
    """A function that can't say what it takes."""

    @property
    def __signature__(self) -> object:
        raise LookupError

    def __call__(self, exc: Exception) -> AuthPIError:
        return ConflictError(str(exc))


def find(session: str, exc: Exception) -> AuthPIError:
    return ConflictError(f"{session}: {exc}")


@pytest.mark.parametrize(
    ("function", "description"),
    [
        pytest.param(giving_a_session(find), "a session: 7", id="decorated"),
        pytest.param(Odd(), "7", id="odd"),
    ],
)
def test_function_that_can_be_called_with_one_argument_is_taken(
    function: Any, description: str
) -> None:
    registry = ErrorRegistry(exceptions={LookupError: function})
    assert registry.resolve(LookupError("7")).description == description
