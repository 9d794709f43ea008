"""What type checkers must refuse: each line is a mistake, and a mistake that passes is reported.

The ignores name the error that is expected; both checkers report an ignore that ignores nothing.
"""

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware

from authpi_errors import (
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
    install,
)
from authpi_errors.conditional import ETag, HasHeaders, IfMatch, check_if_match


def to_text(exc: ValueError) -> str:
    return str(exc)


def of_nothing() -> ConflictError:
    return ConflictError()


# Errors
NotFoundError(descripton="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
NotFoundError("x", 410)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
NotFoundError(404)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
NotFoundError(status="404")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
NotFoundError(current_etag='"1"')  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
NotFoundError(headers=[("Allow", "GET")])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ConflictError(retry_after="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ConflictError(retryable="no")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ServerError(reference=7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ServerError(extra=["shard"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
InvalidRequestError(fields=[("limit", "missing", "Missing.")])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
InvalidRequestError(fields={"limit": "missing"})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
PreconditionFailedError(etag='"1"')  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
PreconditionFailedError(current_etag=1709139600000)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
PreconditionFailedError(retry_after="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
InsufficientScopeError(scopes=["users:read"])  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
InsufficientScopeError(scope=7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
InvalidContentTypeError(supported=415)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
SessionExpiredError(challenges=["Bearer"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
SessionExpiredError(challenges=Challenge("Bearer"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class CodeIsAStringError(AuthPIError):
    code = "quota_exhausted"  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]


# Records
ErrorCode("x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
ErrorCode("x", "402", "X.")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ErrorCode("x", 402, "X.", retry_after=1.5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ErrorCode("x", 402, "X.", retriable=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
ErrorCode("x", 402, "X.").status = 404  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
FieldError("limit", "missing")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
FieldError("limit", "missing", "Missing.").code = "x"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
Challenge()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Challenge("Bearer", realm="core")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Challenge("Bearer", {"max_age": 5})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
Challenge("Bearer").scheme = "Basic"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]

# Registries
ErrorRegistry([ErrorCode("x", 402, "X.")])  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
ErrorRegistry(codes=["quota_exhausted"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
ErrorRegistry(code=[])  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
ErrorRegistry(exceptions={ValueError: 5})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
ErrorRegistry(exceptions={ValueError: ErrorCode("x", 402, "X.")})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
ErrorRegistry(exceptions={ValueError: KeyError})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
ErrorRegistry(exceptions={ValueError: to_text})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
ErrorRegistry(exceptions={ValueError: of_nothing})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
ErrorRegistry(exceptions={"ValueError": "conflict"})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
ErrorRegistry(exceptions={int: "conflict"})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
ErrorRegistry(exceptions={KeyboardInterrupt: "conflict"})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
ErrorRegistry(statuses={"402": "conflict"})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
ErrorRegistry(statuses={402: 409})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
ErrorRegistry(challenges=["Bearer"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
ErrorRegistry.from_mapping([])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
assert ErrorRegistry() | {}  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]

# Ways in
install()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
install(FastAPI(), ErrorRegistry())  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
install(FastAPI(), registry={})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
install(FastAPI(), reraises=False)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
install(ErrorMiddleware(FastAPI()))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ErrorMiddleware()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
ErrorMiddleware(FastAPI(), ErrorRegistry())  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
ErrorMiddleware(print)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Middleware(ErrorMiddleware, registri=ErrorRegistry())  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Middleware(ErrorMiddleware, registry="x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Starlette().add_middleware(ErrorMiddleware, registry="x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
FastAPI().add_middleware(ErrorMiddleware, reraise="no")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# Preconditions
def change_user(request: HasHeaders, condition: IfMatch) -> None:
    check_if_match(request, 1709139600000)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    check_if_match(request)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    check_if_match(request, None, "User 7")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    check_if_match({"If-Match": "*"}, None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    condition.tags = None  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    ETag('"7"').is_weak = True  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    ETag(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ETag.of_version(1.5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ETag.of_time("2024-02-28")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
