"""What users give, checked: each mistake is a sentence, while the application is built."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from inspect import iscoroutinefunction, signature
from typing import Any, Final, TypeVar

from authpi_errors._challenges import Challenge
from authpi_errors._validation import is_list, is_mapping
from authpi_errors.codes import ErrorCode

__all__ = [
    "checked_challenges",
    "checked_exception",
    "checked_flag",
    "checked_function",
    "checked_mapping",
    "codes_by_name",
    "collect",
    "is_async",
    "parse",
    "takes",
]

_K = TypeVar("_K")
_V = TypeVar("_V")

_MEMBERS: Final = ("codes", "exceptions", "statuses", "challenges", "validator_messages")


def parse(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Turn what a TOML or JSON file holds into the arguments of `ErrorRegistry`."""
    _check_names("The registry", mapping, _MEMBERS)
    exceptions = _table(mapping, "exceptions").items()
    statuses = _table(mapping, "statuses").items()
    challenges: object = mapping.get("challenges")
    if challenges is not None and not is_list(challenges):
        raise ValueError(f"The challenges are {challenges!r}: use a list of tables.")
    return {
        "codes": [_code(name, table) for name, table in _table(mapping, "codes").items()],
        "exceptions": collect("exception", ((_imported(name), to) for name, to in exceptions)),
        "statuses": collect("status", ((_integer(status), to) for status, to in statuses)),
        "challenges": None if challenges is None else [_challenge(item) for item in challenges],
        "validator_messages": mapping.get("validator_messages", False),
    }


def codes_by_name(codes: Iterable[ErrorCode]) -> dict[str, ErrorCode]:
    try:
        given = list(codes)
    except TypeError:
        raise ValueError(f"The codes are {codes!r}: use a list of ErrorCode.") from None
    for code in given:
        if not isinstance(code, ErrorCode):
            raise ValueError(f"{code!r} is among the codes: use an ErrorCode.")
    return collect("code", ((code.value, code) for code in given))


def collect(what: str, pairs: Iterable[tuple[_K, _V]]) -> dict[_K, _V]:
    """Make a dictionary of pairs in which no key has two meanings."""
    collected: dict[_K, _V] = {}
    for key, value in pairs:
        if collected.setdefault(key, value) != value:
            raise ValueError(
                f"The {what} {key!r} is given twice, as {collected[key]!r} and as {value!r}: "
                "keep one."
            )
    return collected


def checked_exception(exception: object) -> type[Exception]:
    if not isinstance(exception, type) or not issubclass(exception, Exception):
        raise ValueError(f"{exception!r} is mapped, but is no exception: use a type of Exception.")
    return exception


def checked_flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}: use True or False.")
    return value


def checked_mapping(name: str, value: Mapping[_K, _V] | None) -> dict[_K, _V]:
    if value is None:
        return {}
    if not is_mapping(value):
        raise ValueError(f"{name} is {value!r}: use a mapping, such as a dictionary.")
    return dict(value)


def checked_function(name: str, value: object, *, may_be_async: bool = False) -> None:
    """Refuse what can't be called with one argument, or gives what nobody would wait for."""
    if not callable(value):
        raise ValueError(f"{name} is {value!r}: use a function, or a callable object.")
    # A decorator may give what it wraps an argument of its own.
    if not takes(value, 1) and not takes(value, 1, follow_wrapped=False):
        raise ValueError(
            f"{name} is {value!r}, which can't be called with one argument: use a function that "
            "takes one."
        )
    if is_async(value) and not may_be_async:
        raise ValueError(f"{name} is {value!r}, which is asynchronous: use a plain function.")


def takes(function: Callable[..., object], count: int, *, follow_wrapped: bool = True) -> bool:
    """Say whether something can be called with so many arguments; if it isn't known, with some."""
    try:
        parameters = signature(function, follow_wrapped=follow_wrapped)
    except Exception:
        return count > 0
    try:
        parameters.bind(*range(count))
    except TypeError:
        return False
    return True


def is_async(function: object) -> bool:
    """Say whether calling `function` gives a coroutine, as far as one can tell beforehand."""
    while isinstance(function, partial):
        function = function.func
    return iscoroutinefunction(function) or iscoroutinefunction(type(function).__call__)


def checked_challenges(challenges: Iterable[Challenge]) -> tuple[Challenge, ...]:
    # One that stands alone is a common mistake.
    checked = tuple(challenges) if isinstance(challenges, Iterable) else ()
    if not checked or not all(isinstance(challenge, Challenge) for challenge in checked):
        raise ValueError(
            f"The challenges are {challenges!r}: use one Challenge at least, as in "
            "[Challenge('Bearer')]; a 401 needs one."
        )
    return checked


def _check_names(what: str, table: Mapping[str, Any], known: tuple[str, ...]) -> None:
    if not isinstance(table, Mapping):
        raise ValueError(f"{what} is {table!r}: use a table with {', '.join(known)}.")
    for name in table:
        if name not in known:
            raise ValueError(f"{what} has no {name!r}: use {', '.join(known)}.")


def _table(mapping: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table: object = mapping.get(name, {})
    if not is_mapping(table):
        raise ValueError(f"{name!r} is {table!r}: use a table.")
    return table


def _code(name: str, table: Mapping[str, Any]) -> ErrorCode:
    _check_names(f"The code {name!r}", table, ("status", "description", "retryable", "retry_after"))
    try:
        return ErrorCode(name, **table)
    except TypeError as missing:
        raise ValueError(f"The code {name!r} needs a status and a description.") from missing


def _challenge(table: Mapping[str, Any]) -> Challenge:
    _check_names("A challenge", table, ("scheme", "parameters"))
    return Challenge(table.get("scheme", ""), table.get("parameters", {}))


def _imported(name: str) -> type[Exception]:
    try:
        return checked_exception(pkgutil.resolve_name(name))
    except Exception as failure:
        # A module can raise anything while it is imported.
        raise ValueError(
            f"The exception {name!r} can't be imported ({failure}): use its dotted name, such as "
            "'sqlalchemy.exc.IntegrityError'."
        ) from failure


def _integer(status: object) -> int:
    text = str(status)
    if not (text.isascii() and text.isdecimal() and len(text) == 3):
        raise ValueError(f"The status {status!r} is not usable: use an integer, 400 to 599.")
    return int(text)
