"""The rules and the pytest plugin, as they are meant to be used, and mistakes that are found.

The ignores name the error that is expected; both checkers report an ignore that ignores nothing.
"""

from typing import Any, assert_type

import httpx
import httpx2
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from authpi_errors import ConflictError, ErrorCode, ErrorRegistry, FieldError, NotFoundError
from authpi_errors.compliance import RULES, Response, Violation, check
from authpi_errors.testing import Watch, Watched, WatchedError, assert_error


def use(app: ASGIApp, watch: Watch, one: httpx.Response, two: httpx2.Response) -> None:
    response = Response(404, [("content-type", "application/json")], b"{}", has_credentials=None)
    assert_type(check(response), list[Violation])
    check(Response(404, (), b"", method="HEAD"), registry=ErrorRegistry())
    assert_type(RULES["json"], str)

    watched = watch(app, ErrorRegistry())
    assert_type(watched, Watched)
    assert_type(watched.errors, list[WatchedError])
    served: ASGIApp = Watched(watched, registry=None)

    assert_type(assert_error(TestClient(served).get("/"), NotFoundError), dict[str, Any])
    assert_error(one, "conflict", status=409, description="No.", retry_after=5)
    assert_error(two, ConflictError.code, registry=ErrorRegistry(), fields=[FieldError("", "", "")])
    assert_error(two, ErrorCode("busy", 503, "Busy."), retryable=True)

    check(404)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Response("404", [], b"")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Response(404, {"content-type": "text/plain"}, b"")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Response(404, [(b"content-type", b"text/plain")], b"")  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    response.status = 500  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    RULES["mine"] = "x"  # type: ignore[index]  # pyright: ignore[reportIndexIssue]
    Watched()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Watched(app, "conflict")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert_error(one, 404)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert_error(one, ValueError)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert_error(404, NotFoundError)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert_error(one, NotFoundError, status="404")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
