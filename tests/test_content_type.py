"""A body that the endpoint can't read: 415, and what can be read."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Annotated, Any, NamedTuple

import pytest
from fastapi import APIRouter, Body, Depends, FastAPI, File, Form
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from authpi_errors import (
    ErrorMiddleware,
    ErrorRegistry,
    InvalidContentTypeError,
    install,
    require_content_type,
)
from authpi_errors._content_type import unreadable_body


class Item(BaseModel):
    name: str


async def one(item: Item) -> Item:
    return item


async def two(item: Item, other: Item) -> Item:
    return item


async def embedded(item: Annotated[Item, Body(embed=True)]) -> Item:
    return item


async def listed(items: list[Item]) -> list[Item]:
    return items


async def plain(text: Annotated[str, Body(max_length=3)]) -> str:
    return text


async def text(text: Annotated[bytes, Body(media_type="text/plain", max_length=3)]) -> None:
    del text


async def form(name: Annotated[str, Form()]) -> str:
    return name


async def file(upload: Annotated[bytes, File()]) -> None:
    del upload


def application() -> FastAPI:
    router = APIRouter(prefix="/v1")
    for endpoint in (one, two, embedded, listed, plain, text, form, file):
        router.add_api_route(f"/{endpoint.__name__}", endpoint, methods=["POST", "PATCH", "PUT"])
    app = FastAPI()
    app.include_router(router)
    return app


def installed() -> FastAPI:
    app = application()
    install(app)
    return app


def mounted() -> Starlette:
    app = FastAPI()
    app.mount("/v1", application())
    install(app)
    return app


def wrapped() -> ErrorMiddleware:
    return ErrorMiddleware(application())


JSON = "application/json"
URLENCODED = "application/x-www-form-urlencoded"
FILE = b'--x\r\nContent-Disposition: form-data; name="upload"; filename="a"\r\n\r\na\r\n--x--\r\n'


@pytest.mark.parametrize("make", [installed, mounted, wrapped])
@pytest.mark.parametrize(
    ("endpoint", "content_type", "body", "status", "accepted"),
    [
        ("one", JSON, b"{}", 400, None),
        ("one", "Application/JSON; charset=utf-8", b"[]", 400, None),
        ("one", "application/merge-patch+json", b"[]", 400, None),
        ("one", "text/plain", b'{"name": "a"}', 415, JSON),
        ("one", "text/plain", b"", 415, JSON),
        ("one", "text/json", b'{"name": "a"}', 415, JSON),
        ("one", "image/svg+json", b'{"name": "a"}', 415, JSON),
        ("one", URLENCODED, b"name=a", 415, JSON),
        ("one", "nonsense", b"{}", 415, JSON),
        ("one", "", b"{}", 400, None),
        ("one", None, b"{}", 400, None),
        ("two", "text/plain", b'{"item": {}}', 415, JSON),
        ("embedded", "text/plain", b"{}", 415, JSON),
        ("listed", "text/plain", b"[]", 415, JSON),
        # It can be read, and is too long.
        ("plain", "text/plain", b"long", 400, None),
        ("text", "text/plain", b"long", 400, None),
        ("text", JSON, b'"long"', 400, None),
        ("form", URLENCODED, b"other=a", 400, None),
        ("form", JSON, b'{"name": "a"}', 415, URLENCODED),
        ("form", "multipart/form-data; boundary=x", FILE, 400, None),
        ("file", JSON, b"{}", 415, "multipart/form-data"),
        ("file", URLENCODED, b"other=a", 400, None),
    ],
)
def test_fastapi_body(  # noqa: PLR0917 - the columns of the table
    make: Any,
    endpoint: str,
    content_type: str | None,
    body: bytes,
    status: int,
    accepted: str | None,
) -> None:
    path = f"/v1/v1/{endpoint}" if make is mounted else f"/v1/{endpoint}"
    headers = {} if content_type is None else {"content-type": content_type}
    response = TestClient(make()).post(path, content=body, headers=headers)
    assert response.status_code == status, response.text
    code = "invalid_content_type" if status == 415 else "invalid_request"
    assert response.json()["error"] == code
    assert response.headers.get("accept") == accepted
    assert response.headers.get("accept-post") == accepted
    assert ("fields" in response.json()) == (status == 400)


@pytest.mark.parametrize(
    ("endpoint", "content_type", "body"),
    [
        ("one", "application/vnd.api+json", b'{"name": "a"}'),
        ("two", JSON, b'{"item": {"name": "a"}, "other": {"name": "b"}}'),
        ("embedded", JSON, b'{"item": {"name": "a"}}'),
        ("listed", JSON, b'[{"name": "a"}]'),
        ("plain", JSON, b'"a"'),
        ("text", "text/plain", b"a"),
        ("form", URLENCODED, b"name=a"),
        ("file", "multipart/form-data; boundary=x", FILE),
    ],
)
def test_a_body_that_can_be_read_is(endpoint: str, content_type: str, body: bytes) -> None:
    headers = {"content-type": content_type}
    response = TestClient(installed()).post(f"/v1/{endpoint}", content=body, headers=headers)
    assert response.status_code == 200, response.text


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_header_for_the_method(method: str) -> None:
    headers = {"content-type": "text/plain"}
    response = TestClient(installed()).request(method, "/v1/one", content=b"x", headers=headers)
    assert response.headers["accept"] == JSON
    assert ("accept-patch" in response.headers) == (method == "PATCH")
    assert "accept-post" not in response.headers


def test_the_application_can_map_validation_errors_itself() -> None:
    app = application()
    install(app, registry=ErrorRegistry(exceptions={RequestValidationError: "conflict"}))
    headers = {"content-type": "text/plain"}
    assert TestClient(app).post("/v1/one", content=b"x", headers=headers).status_code == 409


def including(*, is_twice: bool, is_mounted: bool) -> FastAPI:
    """Make an application that includes a route, whose body only the including router declares."""

    async def ping() -> None: ...

    async def check(item: Item) -> None: ...

    router, outer, app = APIRouter(), APIRouter(), FastAPI()
    router.post("/ping")(ping)
    inner = FastAPI()
    inner.post("/ping")(ping)
    router.mount("/mounted", inner)
    outer.include_router(router)
    whole = FastAPI() if is_mounted else app
    whole.include_router(outer if is_twice else router, prefix="/v1", dependencies=[Depends(check)])
    if is_mounted:
        app.mount("/m", whole)
    install(app)
    return app


@pytest.mark.parametrize("is_mounted", [False, True], ids=["as it is", "mounted"])
@pytest.mark.parametrize("is_twice", [False, True], ids=["included once", "included twice"])
def test_body_that_an_including_router_declares(is_twice: bool, is_mounted: bool) -> None:
    client = TestClient(including(is_twice=is_twice, is_mounted=is_mounted))
    path = "/m/v1/ping" if is_mounted else "/v1/ping"
    response = client.post(path, content=b"x", headers={"content-type": "text/plain"})
    assert (response.status_code, response.json()["error"]) == (415, "invalid_content_type")
    assert response.headers["accept"] == JSON
    assert client.post(path, json={}).status_code == 400
    assert client.post(path, json={"name": "a"}).status_code == 200
    # The dependencies of a router are not for what is mounted in it.
    assert client.post(path.replace("ping", "mounted/ping"), content=b"x").status_code == 200


@pytest.mark.parametrize("fastapis", [None, 7, {}, {"effective_route_context": 7}], ids=repr)
def test_scope_that_says_nothing_of_an_including_router(fastapis: object) -> None:
    route = SimpleNamespace(body_field=None)
    headers = [(b"content-type", b"text/plain")]
    scope = {"type": "http", "route": route, "headers": headers, "fastapi": fastapis}
    assert unreadable_body([NOT_TAKEN_APART], scope) is None


TAKEN_APART: dict[str, Any] = {
    "no type": {"loc": ("body", "name")},
    "a type that is no text": {"type": {}, "loc": ("body", "name")},
    "another type": {"type": "string_type", "loc": ("body", "name")},
    "another place": {"type": "missing", "loc": ("query", "name")},
    "a place that is none": {"type": "missing", "loc": (None,)},
    "an empty place": {"type": "missing", "loc": ()},
    "a place that is no list": {"type": "missing", "loc": {0: "body"}},
    "no place": {"type": "missing"},
    "no record": 5,
}
NOT_TAKEN_APART = {"type": "missing", "loc": ("body", "name"), "msg": "Field required"}


def refusing(*records: Any) -> FastAPI:
    """Make an application in which a dependency says what is wrong with a body."""

    async def check() -> None:
        raise RequestValidationError([*records])

    app = FastAPI()

    @app.post("/", dependencies=[Depends(check)])
    async def create(item: Item) -> None: ...

    install(app)
    return app


@pytest.mark.parametrize("level", ["INFO", "WARNING"])
@pytest.mark.parametrize("record", TAKEN_APART.values(), ids=TAKEN_APART)
def test_what_is_wrong_besides_is_no_matter_of_the_content_type(
    record: Any, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(level)
    headers = {"content-type": "text/plain"}
    for records in ([record], [record, record]):
        response = TestClient(refusing(*records)).post("/", content=b"x", headers=headers)
        assert (response.status_code, response.json()["error"]) == (400, "invalid_request")
    for records in ([record, NOT_TAKEN_APART], [NOT_TAKEN_APART, record]):
        response = TestClient(refusing(*records)).post("/", content=b"x", headers=headers)
        assert (response.status_code, response.json()["error"]) == (415, "invalid_content_type")


class Pair(NamedTuple):
    one: int
    two: int


@pytest.mark.parametrize(
    "kind", [Pair, Sequence[int], deque[int], OrderedDict[str, int], Counter[str], list[int]]
)
def test_a_container_of_any_kind_is_not_taken_apart(kind: Any) -> None:
    def endpoint(body: Any) -> None:
        """Takes the container."""

    endpoint.__annotations__["body"] = Annotated[kind, Body()]
    app = FastAPI()
    app.post("/")(endpoint)
    install(app)
    client = TestClient(app)
    refused = client.post("/", content=b"x", headers={"content-type": "text/plain"})
    assert (refused.status_code, refused.headers["accept"]) == (415, JSON)
    assert client.post("/", json="x").status_code == 400


@pytest.mark.parametrize("content_type", [b"text/plain", b"TEXT/PLAIN ;a", b"\xff", b"caf\xc3\xa9"])
def test_any_bytes_can_be_what_was_sent(content_type: bytes) -> None:
    field = SimpleNamespace(field_info=SimpleNamespace(media_type=JSON))
    scope = {
        "type": "http",
        "route": SimpleNamespace(body_field=field),
        "headers": [(b"x-a", b"application/json"), (b"content-type", content_type)],
    }
    error = unreadable_body([NOT_TAKEN_APART], scope)
    assert error is not None
    assert list(error.supported) == [JSON]


def request(*content_types: str) -> Request:
    headers = [(b"content-type", value.encode()) for value in content_types]
    return Request({"type": "http", "headers": headers})


@pytest.mark.parametrize(
    ("sent", "supported"),
    [
        (JSON, [JSON]),
        ("application/json;charset=utf-8", [JSON]),
        ("APPLICATION/JSON", [JSON]),
        (JSON, ["text/plain", JSON]),
        (JSON, ["Application/Json"]),
        ("image/png", ["image/*"]),
        ("image/png", ["*/*"]),
    ],
)
def test_a_content_type_that_is_supported(sent: str, supported: list[str]) -> None:
    require_content_type(request(sent), *supported)


@pytest.mark.parametrize(
    ("sent", "supported"),
    [
        (["text/plain"], [JSON]),
        ([], [JSON]),
        ([""], [JSON]),
        ([], ["*/*"]),
        (["application/jsonl"], [JSON]),
        (["application/vnd.api+json"], [JSON]),
        (["imagepng"], ["image/*"]),
    ],
)
def test_a_content_type_that_is_not_supported(sent: list[str], supported: list[str]) -> None:
    with pytest.raises(InvalidContentTypeError) as caught:
        require_content_type(request(*sent), *supported)
    assert list(caught.value.supported) == supported
    assert " or ".join(supported) in str(caught.value)


@pytest.mark.parametrize(
    "supported", [[], [""], ["json"], [JSON, "a/b\r\nc"], [None], ["a/*+json"]]
)
def test_what_is_no_media_type_is_refused(supported: list[Any]) -> None:
    with pytest.raises(ValueError, match="name media types"):
        require_content_type(request(JSON), *supported)


def test_starlette_endpoint() -> None:
    async def create(request: Request) -> JSONResponse:
        require_content_type(request, JSON)
        return JSONResponse(await request.json())

    app = Starlette(routes=[Route("/", create, methods=["POST", "PATCH"])])
    install(app)
    client = TestClient(app)
    assert client.post("/", json={"a": 1}).json() == {"a": 1}
    response = client.patch("/", content=b"{}", headers={"content-type": "text/plain"})
    assert (response.status_code, response.json()["error"]) == (415, "invalid_content_type")
    assert response.headers["accept"] == response.headers["accept-patch"] == JSON
