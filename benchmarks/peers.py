"""Other libraries that make error responses, each used as its README says.

They speak RFC 9457, not AuthPI's format: their answers are compared by cost alone. One that is not
installed, or can't be, is named with the reason.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from benchmarks.situations import (
    DESCRIPTIONS,
    INVALID,
    NOT_FOUND,
    PRECONDITION,
    RATE_LIMIT,
    UNEXPECTED,
    UNROUTED,
)

__all__ = ["PEERS", "Loaded", "Peer"]

Loaded = tuple[Mapping[str, Callable[[], Exception]], Callable[[Starlette], object]]
"""What an endpoint raises, by situation; and what is done to the application."""

# What a library answers that has no class of its own for it: the framework's exceptions.
_HTTP_EXCEPTIONS: Mapping[str, Callable[[], Exception]] = {
    PRECONDITION: lambda: HTTPException(412, DESCRIPTIONS[PRECONDITION], {"etag": '"7"'}),
    RATE_LIMIT: lambda: HTTPException(429, DESCRIPTIONS[RATE_LIMIT], {"retry-after": "30"}),
}
_STARLETTE = (NOT_FOUND, PRECONDITION, RATE_LIMIT, UNEXPECTED, UNROUTED)
_FASTAPI = (*_STARLETTE, INVALID)


@dataclass(frozen=True, slots=True)
class Peer:
    """One library.

    Attributes:
        name: Its name on PyPI.
        framework: The framework that it is for.
        load: Imports it.
        situations: The situations that it is measured in.
    """

    name: str
    framework: str
    load: Callable[[], Loaded]
    situations: tuple[str, ...]

    @property
    def module(self) -> str:
        """The name of the module that it installs."""
        return self.name.replace("-", "_")


def _module(name: str) -> Any:  # noqa: ANN401
    """Import a module that need not be installed: type checkers know nothing of it."""
    return importlib.import_module(name)


def _subclass(base: Any, **members: object) -> Any:  # noqa: ANN401
    """Make an exception class as an application would, of a base that type checkers don't know."""
    return type("UserNotFoundError", (base,), members)


def _starlette_problem() -> Loaded:
    error, handler = _module("starlette_problem.error"), _module("starlette_problem.handler")

    user_not_found = _subclass(error.NotFoundProblem, title="User not found.")

    return (
        {**_HTTP_EXCEPTIONS, NOT_FOUND: lambda: user_not_found(DESCRIPTIONS[NOT_FOUND])},
        handler.add_exception_handler,
    )


def _fastapi_problem() -> Loaded:
    error, handler = _module("fastapi_problem.error"), _module("fastapi_problem.handler")

    user_not_found = _subclass(error.NotFoundProblem, title="User not found.")

    def add(app: Starlette) -> None:
        handler.add_exception_handler(app, handler.new_exception_handler())

    return (
        {**_HTTP_EXCEPTIONS, NOT_FOUND: lambda: user_not_found(DESCRIPTIONS[NOT_FOUND])},
        add,
    )


def _fastapi_problem_details() -> Loaded:
    problem = _module("fastapi_problem_details")
    not_found = {NOT_FOUND: lambda: HTTPException(404, DESCRIPTIONS[NOT_FOUND])}
    return {**_HTTP_EXCEPTIONS, **not_found}, problem.init_app


def _fastapi_rfc9457() -> Loaded:
    problems, server = _module("fastapi_rfc9457"), _module("fastapi_rfc9457.server")

    user_not_found = _subclass(problems.Problem, title="User not found", status=404)

    def add(app: Starlette) -> None:
        server.add_problem_handlers(app)
        include_router: Any = getattr(app, "include_router")  # noqa: B009
        include_router(server.get_problem_docs_router(), prefix="/problems")

    return (
        {
            **_HTTP_EXCEPTIONS,
            NOT_FOUND: lambda: user_not_found(detail=DESCRIPTIONS[NOT_FOUND]),
            RATE_LIMIT: lambda: problems.TooManyRequests(
                detail=DESCRIPTIONS[RATE_LIMIT], retry_after=30
            ),
        },
        add,
    )


class _UserNotFound(Exception):  # noqa: N818
    pass


def _fastapi_faults() -> Loaded:
    faults = _module("fastapi_faults")
    fault = faults.Fault(
        _UserNotFound,
        status=404,
        code="user_not_found",
        title="User not found",
        detail=str,
    )

    def add(app: Starlette) -> None:
        registry = faults.FaultRegistry(name="users", faults=[fault])
        merged = faults.FaultRegistry.merge(
            registry, name="api", type_base="https://api.example.com/problems"
        )
        merged.install(app)

    return {**_HTTP_EXCEPTIONS, NOT_FOUND: lambda: _UserNotFound(DESCRIPTIONS[NOT_FOUND])}, add


PEERS = (
    Peer("starlette-problem", "Starlette", _starlette_problem, _STARLETTE),
    Peer("fastapi-problem", "FastAPI", _fastapi_problem, _FASTAPI),
    Peer("fastapi-problem-details", "FastAPI", _fastapi_problem_details, _FASTAPI),
    Peer("fastapi-rfc9457", "FastAPI", _fastapi_rfc9457, _FASTAPI),
    Peer("fastapi-faults", "FastAPI", _fastapi_faults, _FASTAPI),
)
