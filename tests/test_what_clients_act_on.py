"""On a real server, with a real client: what challenges, fields and content types say.

The answers are read by parsers that others wrote: httpx, werkzeug, and the checker of compliance.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPBasic, HTTPBearer, OAuth2PasswordBearer
from pydantic import BaseModel, Field
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from werkzeug.datastructures import WWWAuthenticate

from authpi_errors import (
    Challenge,
    ErrorRegistry,
    InsufficientScopeError,
    SessionExpiredError,
    UnauthorizedClientError,
    install,
    require_content_type,
)
from authpi_errors.compliance import Response, check
from tests.serving import in_thread, uvicorn_with

METADATA = "https://api.example.com/.well-known/oauth-protected-resource"
OFFERED = [
    Challenge("Bearer", {"realm": "core", "resource_metadata": METADATA}),
    Challenge("Basic", {"realm": "core"}),
]
BEARER = {"realm": "core", "resource_metadata": METADATA}
BASIC = {"realm": "core"}
ODD = 'Say "a\\b"\r\nSet-Cookie: a=b; é € 😀 ' + "long " * 500


class Order(BaseModel):
    """What is ordered."""

    pieces: list[Annotated[int, Field(ge=1)]]


def application() -> Starlette:
    """Make an application of FastAPI's and Starlette's endpoints."""
    app = FastAPI()
    install(app, registry=ErrorRegistry(challenges=OFFERED))

    @app.get("/expired")
    def expired() -> None:
        raise SessionExpiredError(ODD)

    @app.get("/scope")
    def scope() -> None:
        raise InsufficientScopeError(ODD, scope=["users:read", "users:write"])

    @app.get("/unauthorized")
    def unauthorized() -> None:
        raise UnauthorizedClientError

    @app.get("/digest")
    def digest() -> None:
        raise HTTPException(401, headers={"WWW-Authenticate": 'Digest realm="x, y", nonce=1'})

    utilities: dict[str, Callable[..., Any]] = {
        "/bearer": HTTPBearer(),
        "/basic": HTTPBasic(realm="shop"),
        "/oauth2": OAuth2PasswordBearer("token"),
    }
    for path, security in utilities.items():
        app.get(path, dependencies=[Depends(security)])(read)
    app.post("/orders")(create)
    app.mount("/starlette", Starlette(routes=[Route("/orders", create_there, methods=["PATCH"])]))
    return Starlette(routes=[Mount("/", app)])


def read() -> None: ...


def create(order: Order, limit: int = 1) -> Order:
    return order


async def create_there(request: Request) -> JSONResponse:
    require_content_type(request, "application/json", "application/merge-patch+json")
    return JSONResponse(await request.json())


@pytest.fixture(scope="module", params=["h11", "httptools"])
def client(request: pytest.FixtureRequest) -> Generator[httpx.Client]:
    """Give a client of a server."""
    with (
        in_thread(uvicorn_with(request.param), application()) as served,
        httpx.Client(base_url=f"http://127.0.0.1:{served.port}") as http,
    ):
        yield http


def compliant(response: httpx.Response) -> httpx.Response:
    """Hold a response to the contract."""
    received = Response(
        response.status_code,
        response.headers.multi_items(),
        response.content,
        response.request.method,
        "authorization" in response.request.headers,
    )
    assert not check(received)
    return response


def challenges(response: httpx.Response) -> list[tuple[str, dict[str, str | None]]]:
    """Read the challenges as werkzeug does, a field at a time."""
    read = map(WWWAuthenticate.from_header, response.headers.get_list("www-authenticate"))
    return [(found.type, dict(found.parameters)) for found in read if found is not None]


@pytest.mark.parametrize(
    ("path", "offered"),
    [
        ("/expired", [("bearer", BEARER), ("basic", BASIC)]),
        ("/unauthorized", [("bearer", BEARER), ("basic", BASIC)]),
        ("/bearer", [("bearer", BEARER), ("basic", BASIC)]),
        ("/oauth2", [("bearer", BEARER), ("basic", BASIC)]),
        ("/basic", [("basic", {"realm": "shop"}), ("bearer", BEARER)]),
        (
            "/digest",
            [("digest", {"realm": "x, y", "nonce": "1"}), ("bearer", BEARER), ("basic", BASIC)],
        ),
    ],
)
def test_without_credentials_there_are_the_bare_challenges_and_none_twice(
    client: httpx.Client, path: str, offered: list[object]
) -> None:
    response = compliant(client.get(path))
    assert response.status_code == 401
    assert challenges(response) == offered


def test_an_expired_session_is_an_invalid_token_in_the_header(client: httpx.Client) -> None:
    response = compliant(client.get("/expired", headers={"Authorization": "Bearer x"}))
    (scheme, bearer), basic = challenges(response)
    assert (scheme, bearer["error"], basic) == ("bearer", "invalid_token", ("basic", BASIC))
    assert {**bearer, **BEARER} == bearer
    assert response.json()["error"] == "session_expired"
    assert response.json()["error_description"] == ODD
    assert "set-cookie" not in response.headers


def test_a_missing_scope_is_named_in_the_schemes_that_take_tokens(client: httpx.Client) -> None:
    response = compliant(client.get("/scope", headers={"Authorization": "Bearer x"}))
    ((scheme, bearer),) = challenges(response)
    assert (response.status_code, scheme) == (403, "bearer")
    assert bearer["error"] == response.json()["error"] == "insufficient_scope"
    assert bearer["scope"] == "users:read users:write"
    assert len(bearer["error_description"] or "") <= 400


def test_fields_are_named_by_their_places(client: httpx.Client) -> None:
    response = compliant(client.post("/orders?limit=x", json={"pieces": [1, 0]}))
    assert response.status_code == 400
    assert [(field["field"], field["code"]) for field in response.json()["fields"]] == [
        ("query.limit", "int_parsing"),
        ("pieces.1", "greater_than_equal"),
    ]


def test_of_very_many_fields_a_hundred_are_named(client: httpx.Client) -> None:
    body = compliant(client.post("/orders", json={"pieces": [0] * 250})).json()
    assert len(body["fields"]) == 100
    assert "250 fields" in body["error_description"]


def test_malformed_json_says_where(client: httpx.Client) -> None:
    headers = {"Content-Type": "application/json"}
    response = compliant(client.post("/orders", content=b'{"pieces": [1,', headers=headers))
    (field,) = response.json()["fields"]
    assert response.json()["error"] == "invalid_request"
    assert field == {
        "field": "body",
        "code": "json_invalid",
        "message": "The body is not valid JSON at character 14",
    }


@pytest.mark.parametrize(
    ("method", "path", "named", "accepted"),
    [
        ("POST", "/orders", "accept-post", "application/json"),
        (
            "PATCH",
            "/starlette/orders",
            "accept-patch",
            "application/json, application/merge-patch+json",
        ),
    ],
    ids=["FastAPI", "Starlette"],
)
def test_what_cannot_be_read_is_refused_with_what_can(
    client: httpx.Client, method: str, path: str, named: str, accepted: str
) -> None:
    headers = {"Content-Type": "text/plain"}
    response = compliant(client.request(method, path, content=b"{}", headers=headers))
    assert (response.status_code, response.json()["error"]) == (415, "invalid_content_type")
    assert response.headers["accept"] == response.headers[named] == accepted
    # The client acts on it.
    headers = {"Content-Type": accepted.rsplit(", ", maxsplit=1)[-1]}
    body = b'{"pieces": [1]}'
    assert client.request(method, path, content=body, headers=headers).status_code == 200
