"""AuthPI errors for Starlette and FastAPI: whatever goes wrong, the client can act on it.

::

    exception ──registry──▶ AuthPIError ──render──▶ ErrorResponse ──answer──▶ ASGI messages
                 (types,                 (status,                  (HTTP or        │
                  groups,                 headers,                  WebSocket)     ▼
                  statuses)               body)                            ErrorMiddleware sends

The stages are modules: `codes`, `_exceptions`, `_registry`, `_rendering` (and `_templates`, which
gives the same sooner), `_messages`, and `_boundary`, which catches and sends. `_responding` leads
an error through them and tells `_reporting` of it. `_handlers` does so inside an application, and
`_mounted` inside those that are mounted in it. `_middleware` and `_install` put boundaries where
users want them. Around that stand `conditional`, `openapi`, `fastapi`, `compliance` and
`testing`.
"""

from authpi_errors._challenges import Challenge
from authpi_errors._content_type import require_content_type
from authpi_errors._exceptions import (
    AccessDeniedError,
    AuthPIError,
    ConflictError,
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
)
from authpi_errors._foreign import ForeignResponse
from authpi_errors._install import install
from authpi_errors._middleware import ErrorMiddleware
from authpi_errors._registry import ErrorRegistry
from authpi_errors._reporting import ErrorRecord
from authpi_errors.codes import ErrorCode

__all__ = [
    "AccessDeniedError",
    "AuthPIError",
    "Challenge",
    "ConflictError",
    "ErrorCode",
    "ErrorMiddleware",
    "ErrorRecord",
    "ErrorRegistry",
    "FieldError",
    "ForeignResponse",
    "InsufficientScopeError",
    "InvalidContentTypeError",
    "InvalidRequestError",
    "NotFoundError",
    "PreconditionFailedError",
    "ServerError",
    "SessionExpiredError",
    "UnauthorizedClientError",
    "UsageLimitExceededError",
    "install",
    "require_content_type",
]
