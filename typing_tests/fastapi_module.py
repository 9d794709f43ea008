"""What type checkers must accept and refuse of `authpi_errors.fastapi` and `authpi_errors.openapi`.

Each line with ignores is a mistake; both checkers report an ignore that ignores nothing.
"""

from typing import Any, assert_type

from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette

from authpi_errors import ErrorCode, ErrorRegistry, NotFoundError
from authpi_errors.conditional import IfMatch, IfNoneMatch
from authpi_errors.fastapi import (
    IfMatchHeader,
    IfNoneMatchHeader,
    RequiredIfMatchHeader,
    error_responses,
)
from authpi_errors.openapi import amended, components, describe, responses

registry = ErrorRegistry(exceptions={KeyError: "conflict"})
quota = ErrorCode("quota_exhausted", 402, "The plan's quota is used up.")

# Declarations
app = FastAPI(responses=error_responses("usage_limit_exceeded"))
router = APIRouter(responses=error_responses(NotFoundError, quota))
app.include_router(router, responses=error_responses(KeyError, registry=registry))


@router.get("/", responses=error_responses("conflict") | {404: {"description": "No user."}})
def read(if_match: IfMatchHeader, tags: RequiredIfMatchHeader, new: IfNoneMatchHeader) -> None:
    assert_type(if_match, IfMatch)
    assert_type(tags, IfMatch)
    assert_type(new, IfNoneMatch)
    if_match.check(None, resource="User 7", required=True)
    new.check('"7"', required=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


error_responses(404)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
error_responses(int)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
error_responses(NotFoundError())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
error_responses(["not_found"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
error_responses("x", registri=registry)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

# Plain dictionaries
assert_type(components(registry), dict[str, Any])
assert_type(components(errors=[quota])["schemas"], Any)
assert_type(responses("not_found", quota, registry=registry), dict[str, dict[str, Any]])
assert_type(amended({"openapi": "3.1.0"}, registry), dict[str, Any])
components([quota])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
responses(404)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# Applications
describe(app, registry=registry)
describe(Starlette())
describe(app, registry)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
