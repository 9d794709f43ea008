"""The registry as OpenAPI 3.1: one schema for each code, and documents that say what is sent.

::

    error_responses(…) ──FastAPI──▶ document ──amended──▶ document
     (codes, under                   (its own 422,         (the real errors, as the
      an extension)                   the extension)        registry has them)

`install` does this for FastAPI; `error_responses` is in `authpi_errors.fastapi`. Whoever writes a
document by hand takes the same pieces as plain dictionaries:

    >>> document = {
    ...     "openapi": "3.1.0",
    ...     "info": {"title": "Users", "version": "1"},
    ...     "paths": {
    ...         "/users/7": {"get": {"responses": {"200": {"description": "The user."},
    ...                                            **responses("not_found")}}},
    ...     },
    ...     "components": components(),
    ... }
    >>> document["components"]["schemas"]["NotFoundError"]["properties"]["error"]["const"]
    'not_found'
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any, cast

from starlette.applications import Starlette

from authpi_errors._amending import amended
from authpi_errors._components import Components, Object
from authpi_errors._defaults import has_handler_for_invalid_requests
from authpi_errors._exceptions import AuthPIError
from authpi_errors._registry import ErrorRegistry, registry_of
from authpi_errors.codes import ErrorCode

__all__ = [
    "Declarable",
    "amended",
    "components",
    "declared_codes",
    "describe",
    "responses",
]

Declarable = str | ErrorCode | type[Exception]
"""What names an error: a code's name, a code, a class of errors, or an exception that is mapped."""

_Make = Callable[[], Object]


def components(
    registry: ErrorRegistry | None = None, *, errors: Iterable[Declarable] = ()
) -> Object:
    """Give the Components Object of a registry: OpenAPI 3.1, 4.8.7.

    Args:
        registry: The codes. Without it: AuthPI's eleven.
        errors: Further errors, whose codes the registry doesn't have.

    Returns:
        `schemas` has one for each code, by the name of its class, such as `NotFoundError`; and
        `AuthPIError`, which all of them are. `responses` has the same names. `headers` has what
        these refer to.

    Raises:
        ValueError: One of `errors` names none.

    Example:
        >>> sorted(components()["responses"]["NotFoundError"])
        ['content', 'description', 'headers']
    """
    registry = registry_of(registry)
    made = Components(registry, declared_codes(errors, registry))
    shared = made.shared()
    return {**shared, "responses": shared["responses"] | made.by_name()}


def responses(*errors: Declarable, registry: ErrorRegistry | None = None) -> dict[str, Object]:
    """Give the Response Objects of some errors, by their statuses: OpenAPI 3.1, 4.8.17.

    They refer to what `components` gives.

    Args:
        *errors: Each a code's name, an `ErrorCode`, a class of errors, or an exception that the
            registry maps to a code or to a class.
        registry: What these mean. Without it: AuthPI's codes alone.

    Raises:
        ValueError: One of them names no error that is known.

    Example:
        >>> list(responses("not_found", "access_denied", "insufficient_scope"))
        ['404', '403']
    """
    registry = registry_of(registry)
    codes = declared_codes(errors, registry)
    return Components(registry, codes).by_status(codes)


def declared_codes(
    errors: Iterable[Declarable], registry: ErrorRegistry | None = None
) -> list[ErrorCode]:
    """Give the codes of what names errors.

    Raises:
        ValueError: One of them names none.
    """
    registry = registry_of(registry)
    return [_code(error, registry) for error in errors]


def _code(error: Declarable, registry: ErrorRegistry) -> ErrorCode:
    if isinstance(error, ErrorCode):
        return error
    if isinstance(error, str):
        return _named(error, registry)
    if not isinstance(error, type) or not issubclass(error, Exception):
        raise ValueError(
            f"{error!r} names no error: use the name of a code, an ErrorCode, or a class of errors."
        )
    if issubclass(error, AuthPIError):
        return error.code
    targets = (registry.exceptions.get(base) for base in error.__mro__)
    target = next((each for each in targets if each is not None), None)
    if not isinstance(target, str | type):
        raise ValueError(
            f"What {error.__qualname__} is answered with is not known here: declare the code that "
            "it means, or give the registry that maps it to a code or to a class."
        )
    return _code(target, registry)


def _named(name: str, registry: ErrorRegistry) -> ErrorCode:
    code = registry.codes.get(name)
    if code is None:
        near = difflib.get_close_matches(name, registry.codes, 1)
        advice = (
            f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(registry.codes)}."
        )
        raise ValueError(
            f"The code {name!r} is unknown: {advice} A code of your own is declared by its class, "
            "by its ErrorCode, or by its name if its registry is given too."
        )
    return code


# Applications


def describe(app: Starlette, *, registry: ErrorRegistry | None = None) -> None:
    """Have an application's document amended, whenever it is made.

    `install` does this. Call it for a FastAPI application whose errors `ErrorMiddleware` answers.
    A document that the application makes otherwise, by an `openapi` of its own, is amended as well,
    if that was set before; one that is set later is left alone, and can use `amended`. The first
    call counts, that of `install` too, and later ones change nothing.

    Args:
        app: The application. Without a method `openapi`, such as Starlette's, it is left as it is.
        registry: What the codes mean. Without it: AuthPI's codes alone.
    """
    make: object = getattr(app, "openapi", None)
    if callable(make) and not isinstance(getattr(make, "__self__", None), _Described):
        registry = registry_of(registry)
        cast("Any", app).openapi = _Described(app, cast("_Make", make), registry).openapi


class _Described:
    """Makes an application's document, in the place of its `openapi`."""

    def __init__(self, app: Starlette, make: _Make, registry: ErrorRegistry) -> None:
        self._app: Any = app
        self._make = make
        self._registry = registry
        self._amended: Object | None = None

    def openapi(self) -> Object:
        """Make the document, or give the one that was made."""
        document = self._make()
        if self._amended is None or document is not self._amended:
            self._amended = amended(
                document,
                self._registry,
                own_validation_errors=has_handler_for_invalid_requests(self._app),
            )
            # Where FastAPI keeps it, and makes a new one when routes have been added.
            self._app.openapi_schema = self._amended
        return self._amended
