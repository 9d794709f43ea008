"""Any exception becomes an `AuthPIError`: by its type, its status, or what it is a group of."""

from __future__ import annotations

import difflib
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any, Final, TypeGuard

from starlette.exceptions import HTTPException, WebSocketException

from authpi_errors._challenges import Challenge
from authpi_errors._configuration import (
    checked_challenges,
    checked_exception,
    checked_flag,
    checked_function,
    checked_mapping,
    codes_by_name,
    collect,
    parse,
)
from authpi_errors._exceptions import AuthPIError, ServerError, error_with
from authpi_errors._http_exceptions import error_of
from authpi_errors._validation import (
    fields_error,
    is_request_validation_error,
    records_of,
)
from authpi_errors.codes import CODES, ErrorCode, fallback, is_error_status, status_of_close

__all__ = ["ErrorRegistry", "Target", "is_group", "leaves", "note"]

Target = str | type[AuthPIError] | Callable[[Any], AuthPIError]
"""What an exception maps to: a code's name, an error's class, or a function of the exception."""

# What answers an exception: its error, or None. An application's functions can give anything.
_Decision = Callable[[Any], object]
_BEARER: Final = (Challenge("Bearer"),)
# Applications can make exception types without end; the registry does not keep them all alive.
_MOST_DECISIONS: Final = 1024


class ErrorRegistry:
    """Which exception and which status means which code. Immutable; share it.

    Args:
        codes: Codes to add, or to put in the place of AuthPI's of the same name.
        exceptions: Exception types, each with the name of a code, a class of errors (made without
            arguments, so that no text of the exception gets out), or a function that is given the
            exception and returns the error. A type stands for its subclasses too; the nearest in
            the exception's MRO decides.
        statuses: HTTP statuses, 400 to 599, each with the name of the code that it means when
            something, such as an `HTTPException`, has a status only.
        challenges: What `WWW-Authenticate` offers on a 401 that has no challenges of its own:
            `Bearer`, unless given.
        validator_messages: Whether the `fields` of an answer show the text of the application's own
            pydantic validators. What they raise may repeat the input, or more.

    Raises:
        ValueError: Something given is not usable, or contradicts itself; the message says what to
            change.

    Example:
        >>> registry = ErrorRegistry(
        ...     codes=[ErrorCode("quota_exhausted", 402, "The plan's quota is used up.")],
        ...     exceptions={LookupError: "not_found"},
        ...     statuses={402: "quota_exhausted"},
        ... )
        >>> registry.resolve(KeyError("x")).code.value
        'not_found'
    """

    __slots__ = (
        "_all_codes",
        "_by_status",
        "_challenges",
        "_codes",
        "_decisions",
        "_exceptions",
        "_statuses",
        "_targets",
        "_validator_messages",
    )

    def __init__(
        self,
        *,
        codes: Iterable[ErrorCode] = (),
        exceptions: Mapping[type[Exception], Target] | None = None,
        statuses: Mapping[int, str] | None = None,
        challenges: Iterable[Challenge] | None = None,
        validator_messages: bool = False,
    ) -> None:
        self._by_status: dict[int, ErrorCode] = {}
        self._codes = codes_by_name(codes)
        self._all_codes = MappingProxyType({**CODES, **self._codes})
        self._exceptions = checked_mapping("exceptions", exceptions)
        self._statuses = checked_mapping("statuses", statuses)
        self._challenges = None if challenges is None else checked_challenges(challenges)
        self._validator_messages = checked_flag("validator_messages", validator_messages)
        for status, name in self._statuses.items():
            self._check_status(status, name)
        self._targets: dict[type, _Decision] = {
            AuthPIError: _itself,
            HTTPException: self._from_http_exception,
            WebSocketException: self._from_websocket_exception,
        }
        for exception, target in self._exceptions.items():
            self._targets[checked_exception(exception)] = self._decision(exception, target)
        self._decisions: dict[type, _Decision] = {}

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> ErrorRegistry:
        """Make a registry of what a TOML or JSON file holds.

        Args:
            mapping: Up to five members. `codes`: a table of tables by name, each with `status`,
                `description`, and perhaps `retryable` and `retry_after`. `exceptions`: the dotted
                names of exception types, which are imported, with the names of codes. `statuses`:
                statuses, as strings or integers, with the names of codes. `challenges`: a list of
                tables, each with `scheme` and perhaps `parameters`. `validator_messages`: a
                boolean.

        Raises:
            ValueError: As for the class, and for a member that has no meaning here.

        Example:
            >>> registry = ErrorRegistry.from_mapping(
            ...     {
            ...         "codes": {"quota_exhausted": {"status": 402, "description": "Used up."}},
            ...         "exceptions": {"builtins.LookupError": "not_found"},
            ...         "statuses": {"402": "quota_exhausted"},
            ...     }
            ... )
            >>> registry.code_for(402).value
            'quota_exhausted'
        """
        return cls(**parse(mapping))

    @property
    def codes(self) -> Mapping[str, ErrorCode]:
        """All codes by name: AuthPI's eleven, and those of the application."""
        return self._all_codes

    @property
    def exceptions(self) -> Mapping[type[Exception], Target]:
        """The exception types that were given, with what each means."""
        return MappingProxyType(self._exceptions)

    @property
    def statuses(self) -> Mapping[int, str]:
        """The statuses that were given, each with the name of its code."""
        return MappingProxyType(self._statuses)

    @property
    def challenges(self) -> tuple[Challenge, ...]:
        """What `WWW-Authenticate` offers on a 401 that has no challenges of its own."""
        return _BEARER if self._challenges is None else self._challenges

    @property
    def challenges_given(self) -> bool:
        """Whether the application has said which challenges it offers."""
        return self._challenges is not None

    @property
    def validator_messages(self) -> bool:
        """Whether the messages of an application's own validators are shown."""
        return self._validator_messages

    def code_for(self, status: int) -> ErrorCode:
        """Give the code of a status, 400 to 599, that came without a code."""
        code = self._by_status.get(status)
        if code is None:
            code = self._by_status[status] = self._make_code_for(status)
        return code

    def _make_code_for(self, status: int) -> ErrorCode:
        name = self._statuses.get(status)
        if name is not None:
            code = self.codes[name]
            return code if code.status == status else replace(code, status=status)
        code = fallback(status)
        replaced = self._codes.get(code.value, code)
        if replaced.status == status:
            return replaced
        # What has failed with a 412 fails again, unchanged.
        return code if status == 412 else replace(code, retryable=replaced.retryable)

    def error_for(self, status: int, detail: object = None) -> AuthPIError:
        """Make an error of a status and what somebody has said with it.

        Args:
            status: The status, 400 to 599.
            detail: A text for the description; or a mapping with `error` and `error_description`,
                which is taken at its word. Anything else becomes the member `detail`.
        """
        return error_of(status, detail, self.codes, self.code_for)

    def code_of(self, error: AuthPIError) -> ErrorCode:
        """Give the code of an error, as this registry has it."""
        cls = type(error)
        try:
            code: object = error.code
            status: object = error.status
        except Exception:
            code = status = None
        if isinstance(code, ErrorCode) and code is not cls.code:
            # One that was set on the error itself is final.
            return code
        if cls.code is AuthPIError.code and not issubclass(cls, ServerError):
            return self.code_for(status if is_error_status(status) else 500)
        return self._codes.get(cls.code.value, cls.code)

    def resolve(self, exc: BaseException) -> AuthPIError:
        """Give the error that answers `exc`: `ServerError` where nothing better is known."""
        error = self.find(exc)
        return ServerError() if error is None else error

    def find(self, exc: BaseException) -> AuthPIError | None:
        """Give the error that answers `exc`, or `None` if nobody expected it.

        An exception group is expected if all that it holds is; the first answers. If a function of
        `exceptions` fails, the exception is not expected, and gets a note that says why.
        """
        if not is_group(exc) or self._decision_for(type(exc)) is not _unexpected:
            return self._find_single(exc)
        errors: list[AuthPIError] = []
        for leaf in leaves(exc):
            error = self._find_single(leaf)
            if error is None:
                return None
            errors.append(error)
        return errors[0]

    def _find_single(self, exc: BaseException) -> AuthPIError | None:
        try:
            error: Any = self._decision_for(type(exc))(exc)
        except Exception as failure:
            reason = "".join(traceback.format_exception_only(failure)).strip()
            note(exc, f"authpi_errors could not map this exception: {reason}")
            return None
        if error is None:
            return None
        if issubclass(type(error), AuthPIError):
            # Not what the error says that it is.
            answer: AuthPIError = error
            return answer
        kind = type(error).__qualname__
        note(exc, f"authpi_errors could not map this exception: got {kind}, not an AuthPIError")
        return None

    def _decision_for(self, cls: type) -> _Decision:
        decision = self._decisions.get(cls)
        if decision is None:
            decision = self._decide(cls)
            if len(self._decisions) >= _MOST_DECISIONS:
                self._decisions.clear()
            self._decisions[cls] = decision
        return decision

    def _decide(self, cls: type) -> _Decision:
        base = self.base_of(cls)
        return _unexpected if base is None else self._targets.get(base, self._from_validation_error)

    def base_of(self, cls: type) -> type | None:
        """Give the nearest class in an exception's MRO that has a meaning, if there is one.

        It is a type that was given, `AuthPIError`, one of Starlette's exceptions, or FastAPI's for
        a request that is not valid.
        """
        for base in cls.__mro__:
            if base is Exception and issubclass(cls, BaseExceptionGroup):
                # What is mapped for everything does not hide what a group is made of.
                return None
            if base in self._targets or is_request_validation_error(base):
                return base
        return None

    def fields_error(self, errors: Sequence[object]) -> AuthPIError:
        """Make the error that lists what pydantic, or FastAPI, has found wrong with a request.

        Args:
            errors: pydantic's error records: mappings with `loc`, `type` and `msg`.
        """
        return fields_error(errors, with_custom_text=self._validator_messages)

    def _from_validation_error(self, exc: BaseException) -> AuthPIError:
        return self.fields_error(records_of(exc))

    def _from_http_exception(self, exc: HTTPException) -> AuthPIError | None:
        """Take over what an exception says; one with another status is not an error."""
        if not is_error_status(exc.status_code):
            return None
        error = self.error_for(int(exc.status_code), exc.detail)
        if exc.headers is not None:
            error.headers = exc.headers
        return error

    def _from_websocket_exception(self, exc: WebSocketException) -> AuthPIError:
        return self.error_for(status_of_close(exc.code), exc.reason or None)

    def _decision(self, exception: type[Exception], target: Target) -> _Decision:
        """Turn a target into a function of the exception, or say what is wrong with it."""
        name = getattr(exception, "__qualname__", exception)
        if isinstance(target, str):
            code = self._named_code(f"The exception {name}", target)
            return lambda _: error_with(code)
        if isinstance(target, type) and issubclass(target, AuthPIError):
            return _made_without_arguments(name, target)
        if isinstance(target, type) or not callable(target):
            raise ValueError(
                f"The exception {name} maps to {target!r}: use the name of a code, a subclass of "
                "AuthPIError, or a function that takes the exception and returns an AuthPIError."
            )
        checked_function(f"What {name} maps to", target)
        return target

    def _check_status(self, status: int, name: str) -> None:
        if not is_error_status(status):
            raise ValueError(f"The status {status!r} is not usable: use an integer, 400 to 599.")
        self._named_code(f"The status {status}", name)
        self.code_for(status)

    def _named_code(self, what: str, name: object) -> ErrorCode:
        codes = self.codes
        if isinstance(name, ErrorCode):
            raise ValueError(f"{what} maps to {name!r}: use its name, and add it to `codes`.")
        if not isinstance(name, str) or name not in codes:
            near = difflib.get_close_matches(str(name), codes, 1) or sorted(codes)
            raise ValueError(
                f"{what} maps to the code {name!r}, which is unknown: use one such as "
                f"{near[0]!r}, or add it to `codes`."
            )
        return codes[name]

    def __or__(self, other: ErrorRegistry) -> ErrorRegistry:
        """Merge two registries.

        Raises:
            ValueError: They give the same code, exception type, status or challenges different
                meanings.
        """
        if not isinstance(other, ErrorRegistry):
            return NotImplemented
        challenges = self._challenges if other._challenges is None else other._challenges
        if self._challenges is not None and challenges != self._challenges:
            raise ValueError(
                f"Two registries offer different challenges, {self._challenges!r} and "
                f"{challenges!r}: give them in one of the two."
            )
        return ErrorRegistry(
            codes=(*self._codes.values(), *other._codes.values()),
            exceptions=collect(
                "exception type", (*self._exceptions.items(), *other._exceptions.items())
            ),
            statuses=collect("status", (*self._statuses.items(), *other._statuses.items())),
            challenges=challenges,
            validator_messages=self._validator_messages or other._validator_messages,
        )

    def __reduce__(self) -> tuple[Callable[[], ErrorRegistry], tuple[()]]:
        """Copy and pickle by what was given."""
        made = partial(
            type(self),
            codes=tuple(self._codes.values()),
            exceptions=self._exceptions,
            statuses=self._statuses,
            challenges=self._challenges,
            validator_messages=self._validator_messages,
        )
        return made, ()

    def __repr__(self) -> str:
        """Show what was given."""
        return (
            f"ErrorRegistry(codes={list(self._codes.values())!r}, exceptions={self._exceptions!r}, "
            f"statuses={self._statuses!r}, challenges={self._challenges!r}, "
            f"validator_messages={self._validator_messages!r})"
        )


def registry_of(given: ErrorRegistry | None) -> ErrorRegistry:
    """Give the registry that a user has given, or one that has AuthPI's codes alone."""
    if given is None:
        return ErrorRegistry()
    if not isinstance(given, ErrorRegistry):
        raise ValueError(f"The registry is {given!r}: use an ErrorRegistry.")
    return given


def _itself(exc: AuthPIError) -> AuthPIError:
    return exc


def _unexpected(exc: BaseException) -> None:
    del exc


def _made_without_arguments(name: object, target: type[AuthPIError]) -> _Decision:
    try:
        target()
    except Exception as failure:
        raise ValueError(
            f"The exception {name} maps to {target.__qualname__}, which can't be made without "
            f"arguments ({failure}): map to a function that makes it."
        ) from failure
    return lambda _: target()


def is_group(exc: BaseException) -> TypeGuard[BaseExceptionGroup[BaseException]]:
    """Say whether an exception is a group of others."""
    return issubclass(type(exc), BaseExceptionGroup)


def leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """Walk through a group, depth first, however deep it is. What shows no members is a leaf."""
    waiting: list[BaseException] = [group]
    while waiting:
        exc = waiting.pop()
        members = _members(exc) if is_group(exc) else ()
        if members:
            waiting.extend(reversed(members))
        else:
            yield exc


def _members(group: BaseExceptionGroup[BaseException]) -> tuple[BaseException, ...]:
    try:
        return tuple(group.exceptions)
    except Exception:
        return ()


def note(exc: BaseException, text: str) -> None:
    """Add a note to an exception, which the server logs with it, if it takes one."""
    try:
        if text not in getattr(exc, "__notes__", ()):
            exc.add_note(text)
    except Exception:
        return
