"""What type checkers must accept: the ways in which the library is meant to be used."""

from datetime import UTC, datetime, timedelta
from typing import assert_type

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from authpi_errors import (
    AccessDeniedError,
    AuthPIError,
    Challenge,
    ConflictError,
    ErrorCode,
    ErrorMiddleware,
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
    install,
)
from authpi_errors.conditional import (
    ETag,
    IfMatch,
    check_if_match,
    check_if_none_match,
    is_not_modified,
)


class UpstreamDownError(Exception):
    """An exception of an application."""

    seconds = 3.5


def to_error(exc: UpstreamDownError) -> ServerError:
    return ServerError(status=503, retry_after=exc.seconds)


# Errors
NotFoundError()
NotFoundError("No user 7.")
NotFoundError(description=None, status=410)
ConflictError(retry_after=timedelta(seconds=5))
UsageLimitExceededError(retry_after=1.5, retryable=True, headers={"X-Quota": "0"})
ServerError(reference="r1", extra={"shard": 4, "tags": ["a"]})
InvalidRequestError(fields=[FieldError("query.limit", "int_parsing", "Not an integer.")])
InvalidRequestError(fields=(FieldError(field=f, code="missing", message="Missing.") for f in "ab"))
AccessDeniedError("Not yours.", status=None, retryable=None, retry_after=None, headers=None)
InsufficientScopeError(scope="users:read users:write")
InsufficientScopeError("Ask for more.", scope={"users:read"}, reference="r1")
InvalidContentTypeError(supported=["application/json"], status=415)
PreconditionFailedError(current_etag='"1709139600000"')
SessionExpiredError(challenges=[Challenge("Bearer", {"realm": "core"})])
UnauthorizedClientError(challenges=(Challenge("Basic"), Challenge("Bearer")), extra={})


class QuotaExhaustedError(AuthPIError):
    code = ErrorCode("quota_exhausted", 402, "The plan's quota is used up.")


try:
    raise QuotaExhaustedError("Upgrade.", status=402)
except AuthPIError as caught:
    assert_type(caught.code, ErrorCode)

# Codes
quota = ErrorCode("quota_exhausted", 402, "The plan's quota is used up.")
ErrorCode(value="busy", status=503, description="Busy.", retryable=True, retry_after=5)
assert_type(quota.status, int)
assert_type(quota.retryable, bool | None)

# Registries
registry = ErrorRegistry(
    codes=[quota],
    exceptions={
        KeyError: "not_found",
        TimeoutError: PreconditionFailedError,
        UpstreamDownError: to_error,
        LookupError: lambda _: QuotaExhaustedError(),
    },
    statuses={402: "quota_exhausted"},
    challenges=[Challenge("Bearer")],
)
assert_type(registry | ErrorRegistry(), ErrorRegistry)
assert_type(ErrorRegistry.from_mapping({"statuses": {"402": "conflict"}}), ErrorRegistry)
assert_type(registry.resolve(KeyError()), AuthPIError)

# Ways in
install(Starlette())
install(FastAPI(), registry=registry, reraise=False)
Starlette(middleware=[Middleware(ErrorMiddleware), Middleware(ErrorMiddleware, registry=registry)])
Starlette().add_middleware(ErrorMiddleware)
FastAPI().add_middleware(ErrorMiddleware, registry=registry, reraise=False)


async def any_asgi_app(scope: Scope, receive: Receive, send: Send) -> None:
    raise NotFoundError


wrapped: ASGIApp = ErrorMiddleware(ErrorMiddleware(any_asgi_app), registry=None)

# Preconditions
tag = ETag.of_time(datetime.now(UTC))
assert_type(tag, ETag)
assert_type(ETag.of_version("a1b2", weak=True).opaque, str)
PreconditionFailedError(current_etag=tag)


def change_user(request: Request, connection: HTTPConnection) -> None:
    check_if_match(request, tag, resource="User 7", required=True)
    check_if_none_match(connection, None)
    assert_type(is_not_modified(request, '"7"'), bool)
    assert_type(IfMatch.of(request).versions, frozenset[str] | None)
