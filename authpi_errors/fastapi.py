"""FastAPI: endpoints declare what they raise, and read preconditions.

>>> from fastapi import APIRouter, FastAPI
>>> from authpi_errors import PreconditionFailedError, install
>>> router = APIRouter(prefix="/users", responses=error_responses("not_found"))
>>> @router.put("/{user_id}", responses=error_responses(PreconditionFailedError))
... async def update_user(user_id: int, if_match: IfMatchHeader) -> None:
...     if_match.check('"1709139600000"', resource=f"User {user_id}")
>>> app = FastAPI()
>>> app.include_router(router)
>>> install(app)
>>> list(app.openapi()["paths"]["/users/{user_id}"]["put"]["responses"])
['200', '400', '404', '412', 'default']
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Self

from fastapi import Depends, Header, Request

from authpi_errors._amending import declaring
from authpi_errors._registry import ErrorRegistry
from authpi_errors.conditional import IfMatch, IfNoneMatch
from authpi_errors.openapi import Declarable, declared_codes

__all__ = [
    "IfMatchHeader",
    "IfNoneMatchHeader",
    "RequiredIfMatchHeader",
    "error_responses",
]


def error_responses(
    *errors: Declarable, registry: ErrorRegistry | None = None
) -> dict[int | str, dict[str, Any]]:
    """Declare what a route, the routes of a router, or all of an application raise.

    What each code means is looked up when the document is made, in the registry that `install` was
    given. Without `install` or `openapi.describe` the document has the statuses and descriptions,
    and nothing of the bodies.

    What a router and its routes declare adds up, also where codes have the same status.

    Args:
        *errors: Each a code's name, an `ErrorCode`, a class of errors, or an exception that the
            registry maps to a code or to a class.
        registry: Where names other than AuthPI's and exceptions are found.

    Returns:
        What FastAPI takes as `responses`; put others beside it with `error_responses(…) | {…}`.

    Raises:
        ValueError: One of them names no error that is known.

    Example:
        >>> list(error_responses("not_found", "access_denied"))
        [404, 403]
    """
    codes = declared_codes(errors, registry)
    return {_Status(code.status, code.value): declaring(code) for code in codes}


class _Status(int):
    """The status of one code, as a key for FastAPI.

    FastAPI merges the dictionaries of routers and routes by their keys, and then what has the same
    status. As a key this equals the status, and another of its kind only if that is of the same
    code: so codes with one status are all kept, and the user's own description of it replaces.
    """

    code: str

    def __new__(cls, status: int, code: str = "") -> Self:
        """Take the status of a code. Copies get their code afterwards."""
        made = super().__new__(cls, status)
        made.code = code
        return made

    def __eq__(self, other: object) -> bool:
        """Compare."""
        return int(self) == other and getattr(other, "code", self.code) == self.code

    __hash__ = int.__hash__


# What the parsers of `conditional` take, for clients that make requests from the document.
_TAG: Final = r'(W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_PATTERN: Final = rf"^([ \t]*\*[ \t]*|[ \t,]*({_TAG}([ \t]*,[ \t,]*{_TAG})*[ \t,]*)?)$"


_MAY_BE_CHANGED: Final = "The entity tags of the versions that may be changed, or * for any."
_ARE_EXCLUDED: Final = "The entity tags of the versions that are not wanted, or * for all."


# Headers are only described here: FastAPI would read one of several lines.
def _header(name: str, description: str, *, is_required: bool = False) -> object:
    return Header(
        default_factory=None if is_required else str,
        alias=name,
        description=description,
        json_schema_extra={"pattern": _PATTERN},
    )


_IfMatch = Annotated[str, _header("If-Match", _MAY_BE_CHANGED)]
_RequiredIfMatch = Annotated[str, _header("If-Match", _MAY_BE_CHANGED, is_required=True)]
_IfNoneMatch = Annotated[str, _header("If-None-Match", _ARE_EXCLUDED)]


def _if_match(request: Request, if_match: _IfMatch) -> IfMatch:
    del if_match
    return IfMatch.of(request)


def _present_if_match(request: Request) -> IfMatch:
    condition = IfMatch.of(request)
    condition.require()
    return condition


def _required_if_match(
    condition: Annotated[IfMatch, Depends(_present_if_match)], if_match: _RequiredIfMatch
) -> IfMatch:
    # FastAPI calls what a function depends on before it looks at its parameters: so a request
    # without the header is a 428, and not one with a parameter missing.
    del if_match
    return condition


def _if_none_match(request: Request, if_none_match: _IfNoneMatch) -> IfNoneMatch:
    del if_none_match
    return IfNoneMatch.of(request)


IfMatchHeader = Annotated[IfMatch, Depends(_if_match)]
"""A parameter with what the request's `If-Match` asks; the document has the header."""

RequiredIfMatchHeader = Annotated[IfMatch, Depends(_required_if_match)]
"""The same, for endpoints that can't do without: a request that has none is answered with 428."""

IfNoneMatchHeader = Annotated[IfNoneMatch, Depends(_if_none_match)]
"""A parameter with what the request's `If-None-Match` asks; the document has the header."""
