"""What names errors, and the documents of applications, however they are made."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from authpi_errors import (
    ErrorMiddleware,
    NotFoundError,
    install,
)
from authpi_errors.fastapi import error_responses
from authpi_errors.openapi import describe, responses
from tests.documents import REGISTRY, Object, plain, statuses, take_id

# What names errors


@pytest.mark.parametrize(
    ("exception", "code"),
    [
        pytest.param(LookupError, "conflict", id="mapped to a code"),
        pytest.param(KeyError, "conflict", id="derived from one that is mapped"),
        pytest.param(OSError, "quota_exhausted", id="mapped to a class"),
    ],
)
def test_exception_stands_for_what_it_is_mapped_to(exception: type[Exception], code: str) -> None:
    assert responses(exception, registry=REGISTRY) == responses(code, registry=REGISTRY)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        pytest.param("not_fund", "'not_fund' is unknown: did you mean 'not_found'?", id="near"),
        pytest.param("zzz", "use one of invalid_request, invalid_content_type", id="far"),
        pytest.param("step_up", "its registry is given too", id="of another registry"),
        pytest.param(404, "404 names no error", id="a status"),
        pytest.param(int, "names no error", id="a class of something else"),
        pytest.param(NotFoundError(), "names no error", id="an error"),
        pytest.param(TypeError, "TypeError is answered with is not known", id="not mapped"),
        pytest.param(ValueError, "ValueError is answered with is not known", id="to a function"),
    ],
)
def test_what_names_no_error_is_refused(error: Any, sentence: str) -> None:
    for declare in (responses, error_responses):
        with pytest.raises(ValueError, match=r"^[^\n]+$") as refused:
            declare(error, registry=REGISTRY)
        assert sentence in str(refused.value)


# Applications


def test_document_is_made_once() -> None:
    app = plain()
    install(app)
    first = app.openapi()
    install(app)
    describe(app)
    assert app.openapi() is first
    assert app.openapi_schema is first
    assert TestClient(app).get("/openapi.json").json() == first


def test_document_is_made_again_when_a_route_is_added() -> None:
    app, router = plain(), APIRouter()
    app.include_router(router, prefix="/later")
    install(app)
    assert "/later/users" not in app.openapi()["paths"]
    router.add_api_route("/users", take_id, responses=error_responses("not_found"))
    assert statuses(app.openapi(), "/later/users") == ["200", "400", "404", "default"]


def test_document_that_is_thrown_away_is_made_again() -> None:
    app = plain()
    install(app)
    first = app.openapi()
    app.openapi_schema = None
    assert app.openapi() == first
    assert app.openapi() is not first


def test_what_the_user_changes_in_the_document_stays() -> None:
    app = plain()
    install(app)
    app.openapi()["info"]["x-logo"] = "logo.png"
    assert app.openapi()["info"]["x-logo"] == "logo.png"


def test_document_that_the_user_sets_is_amended() -> None:
    app = plain()
    install(app)
    # Before the first time, FastAPI would make its own all the same.
    app.openapi()
    app.openapi_schema = {"paths": {"/mine": {"get": {"responses": {"200": {}}}}}}
    assert statuses(app.openapi(), "/mine") == ["200", "default"]


def own_document(app: FastAPI, *, keep: bool) -> Callable[[], Object]:
    def make() -> Object:
        if app.openapi_schema is None or not keep:
            app.openapi_schema = get_openapi(title="Mine", version="9", routes=app.routes)
        return app.openapi_schema

    return make


@pytest.mark.parametrize("keep", [True, False], ids=["kept", "made each time"])
def test_document_that_the_user_makes_before_is_amended(keep: bool) -> None:
    app = plain()
    app.openapi = own_document(app, keep=keep)  # type: ignore[method-assign]
    install(app)
    document = app.openapi()
    assert document["info"]["title"] == "Mine"
    assert statuses(document, "/users/{user_id}") == ["200", "400", "default"]
    assert (app.openapi() is document) == keep
    assert app.openapi() == document


def test_document_that_the_user_makes_afterwards_is_the_users() -> None:
    app = plain()
    install(app)
    app.openapi = own_document(app, keep=True)  # type: ignore[method-assign]
    install(app)
    assert statuses(app.openapi(), "/users/{user_id}") == ["200", "422"]


def test_application_with_the_middleware_alone_can_be_described() -> None:
    app = plain()
    app.add_middleware(ErrorMiddleware, registry=REGISTRY)
    describe(app, registry=REGISTRY)
    assert "QuotaExhaustedError" in app.openapi()["components"]["schemas"]


def test_application_without_a_document_is_left_as_it_is() -> None:
    app = Starlette()
    describe(app)
    assert not hasattr(app, "openapi")


def included(sub: FastAPI) -> FastAPI:
    router, app = APIRouter(), FastAPI()
    router.mount("/sub", sub)
    app.include_router(router)
    return app


def mounted(sub: FastAPI) -> FastAPI:
    app = FastAPI()
    app.mount("/sub", sub)
    app.mount("/again", app)
    return app


def nested(sub: FastAPI) -> FastAPI:
    return mounted(mounted(sub))


PARENTS: list[tuple[str, Callable[[FastAPI], Starlette], str]] = [
    ("in FastAPI", mounted, "/sub"),
    ("in Starlette", lambda sub: Starlette(routes=[Mount("/sub", sub)]), "/sub"),
    (
        "under middleware",
        lambda sub: Starlette(routes=[Mount("/sub", GZipMiddleware(sub))]),
        "/sub",
    ),
    (
        "under the middleware of the mount",
        lambda sub: Starlette(routes=[Mount("/sub", sub, middleware=[Middleware(GZipMiddleware)])]),
        "/sub",
    ),
    ("under a host", lambda sub: Starlette(routes=[Host("testserver", sub)]), ""),
    ("in a mounted application", nested, "/sub/sub"),
    ("in a router that is included", included, "/sub"),
]


@pytest.mark.parametrize(
    ("make", "path"), [pytest.param(*rest, id=name) for name, *rest in PARENTS]
)
def test_document_of_a_mounted_application_is_amended(
    make: Callable[[FastAPI], Starlette], path: str
) -> None:
    sub = plain()
    parent = make(sub)
    install(parent, registry=REGISTRY)
    document = TestClient(parent).get(f"{path}/openapi.json").json()
    assert statuses(document, "/users/{user_id}") == ["200", "400", "default"]
    assert "QuotaExhaustedError" in document["components"]["schemas"]


def test_mounted_application_that_was_given_to_install_keeps_its_registry() -> None:
    sub = plain()
    parent = mounted(sub)
    install(parent)
    install(sub, registry=REGISTRY)
    document = TestClient(parent).get("/sub/openapi.json").json()
    assert "QuotaExhaustedError" in document["components"]["schemas"]


class Foreign:
    """Another framework's application, which happens to have a method of that name."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse(self.openapi("3.0"))(scope, receive, send)

    def openapi(self, version: str) -> str:
        return version


def test_mounted_application_of_another_framework_is_left_alone() -> None:
    parent = Starlette(routes=[Mount("/sub", Foreign())])
    install(parent)
    assert TestClient(parent).get("/sub/").text == "3.0"
