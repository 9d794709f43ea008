"""What the routes say of a request: its template, who serves it, and with which methods."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, cast

import pytest
from fastapi import APIRouter, FastAPI, WebSocket
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Host, Match, Mount, Route, Router, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from authpi_errors import ErrorMiddleware, NotFoundError, install
from authpi_errors._routing import Routes, allowed_methods, is_routed, matched_routes
from tests.passing import Around

# --- Templates


async def endpoint(request: Request) -> Response:
    return PlainTextResponse("fine")


async def another(request: Request) -> Response:
    return PlainTextResponse("fine")


class Endpoint:
    """An endpoint that speaks ASGI."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("fine")(scope, receive, send)


async def accept(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.close()


class Odd(BaseRoute):
    """A route of the user's, without a template."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if "odd" not in scope["path"]:
            return Match.NONE, {}
        return Match.FULL, {"endpoint": endpoint}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("odd")(scope, receive, send)


FLAT = Starlette(
    routes=[
        Route("/", endpoint),
        Route("/users/me", another),
        Route("/users/{user_id}", endpoint),
        Route("/users/{user_id:int}/files/{path:path}", endpoint),
        Route("/items/{item_id}", endpoint, methods=["PUT"]),
        Route("/items/first", endpoint, methods=["POST"]),
        Route("/asgi", Endpoint()),
        WebSocketRoute("/users/{user_id}", accept),
        Odd(),
    ]
)
INNER = Starlette(routes=[Route("/users/{user_id}", endpoint), Mount("/{rest}/deep", FLAT)])
NESTED = Starlette(
    routes=[
        Mount("/api/{version:int}", INNER),
        Mount("/asgi", Endpoint()),
        Mount(
            "/covered", Router([Route("/x/{y}", endpoint)]), middleware=[Middleware(CORSMiddleware)]
        ),
        Mount("/wrapped", CORSMiddleware(FLAT)),
        Host("{tenant}.example.org", Router([Route("/users/{user_id}", another)])),
        Host("asgi.example", Endpoint()),
        Mount("", Router([Route("/last/{x}", endpoint)])),
    ]
)


def with_fastapi() -> FastAPI:
    async def read(user_id: int) -> int:
        return user_id

    async def other() -> None:
        return None

    users, api, app = APIRouter(prefix="/users"), APIRouter(prefix="/api"), FastAPI()
    tenants = APIRouter()
    tenants.host("tenant.example.net", FLAT)
    app.include_router(tenants, prefix="/old")
    users.get("/{user_id}")(read)
    users.get("/")(other)
    users.websocket("/{user_id}/events")(accept)
    users.mount("/mounted", FLAT)
    users.mount("/asgi", Endpoint())
    users.add_route("/plain/{x}", endpoint)
    users.routes.append(Odd())
    api.include_router(users, prefix="/{version}")
    app.include_router(api)
    app.include_router(users, prefix="/old")
    app.get("/flat/{user_id}")(read)
    app.mount("/sub", inner := FastAPI())
    inner.include_router(users)
    return app


FASTAPI = with_fastapi()


def route_of(scope: Scope) -> str | None:
    """Give a template, found anew and found again."""
    routes = Routes()
    template = routes.template(scope)
    assert routes.template(scope) == template
    return template


def scope_of(
    app: ASGIApp, path: str, method: str = "GET", host: str = "testserver", root_path: str = ""
) -> Scope:
    """Give the scope of a connection, after an application has served it."""
    scopes: list[Scope] = []

    async def watch(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await app(scope, receive, send)

    client = TestClient(watch, base_url=f"http://{host}", root_path=root_path)
    if method == "WEBSOCKET":
        with client.websocket_connect(path):
            pass
    else:
        client.request(method, path)
    return scopes[0]


@pytest.mark.parametrize(
    ("app", "path", "method", "route"),
    [
        (FLAT, "/", "GET", "/"),
        (FLAT, "/users/7", "GET", "/users/{user_id}"),
        (FLAT, "/users/7", "HEAD", "/users/{user_id}"),
        (FLAT, "/users/me", "GET", "/users/me"),
        (FLAT, "/users/7/files/a/b", "GET", "/users/{user_id}/files/{path}"),
        (FLAT, "/users/7", "POST", "/users/{user_id}"),
        (FLAT, "/users/7", "WEBSOCKET", "/users/{user_id}"),
        (FLAT, "/items/first", "POST", "/items/first"),
        (FLAT, "/items/first", "PUT", "/items/{item_id}"),
        (FLAT, "/items/first", "GET", "/items/{item_id}"),
        (FLAT, "/asgi", "GET", "/asgi"),
        (FLAT, "/odd", "GET", None),
        (FLAT, "/nowhere", "GET", None),
        (NESTED, "/api/1/users/7", "GET", "/api/{version}/users/{user_id}"),
        (NESTED, "/api/1/a/deep/users/7", "GET", "/api/{version}/{rest}/deep/users/{user_id}"),
        (NESTED, "/api/1/a/deep/users/7", "POST", "/api/{version}/{rest}/deep/users/{user_id}"),
        (NESTED, "/api/1/nowhere", "GET", None),
        (NESTED, "/asgi/a/b", "GET", "/asgi/{path}"),
        (NESTED, "/covered/x/1", "GET", "/covered/x/{y}"),
        (NESTED, "/wrapped/users/7", "GET", "/wrapped/users/{user_id}"),
        (NESTED, "/last/1", "GET", "/last/{x}"),
        (NESTED, "/nowhere", "GET", None),
        (FASTAPI, "/flat/7", "GET", "/flat/{user_id}"),
        (FASTAPI, "/flat/seven", "GET", "/flat/{user_id}"),
        (FASTAPI, "/flat/7", "POST", "/flat/{user_id}"),
        (FASTAPI, "/api/v1/users/7", "GET", "/api/{version}/users/{user_id}"),
        (FASTAPI, "/api/v1/users/", "GET", "/api/{version}/users/"),
        (FASTAPI, "/api/v1/users/7", "POST", "/api/{version}/users/{user_id}"),
        (FASTAPI, "/old/users/7", "GET", "/old/users/{user_id}"),
        (FASTAPI, "/old/users/7/events", "WEBSOCKET", "/old/users/{user_id}/events"),
        (FASTAPI, "/old/plain/7", "GET", "/old/plain/{x}"),
        (FASTAPI, "/old/mounted/users/7", "GET", "/old/mounted/users/{user_id}"),
        (FASTAPI, "/old/mounted/nowhere", "GET", None),
        (FASTAPI, "/old/asgi/a/b", "GET", "/old/asgi/{path}"),
        (FASTAPI, "/old/odd", "GET", None),
        (FASTAPI, "/sub/users/7", "GET", "/sub/users/{user_id}"),
        (FASTAPI, "/nowhere", "GET", None),
        (FASTAPI, "/openapi.json", "GET", "/openapi.json"),
    ],
)
def test_route_is_the_template_of_the_path(
    app: ASGIApp, path: str, method: str, route: str | None
) -> None:
    assert route_of(scope_of(app, path, method)) == route


@pytest.mark.parametrize(
    ("app", "host", "path", "route"),
    [
        (NESTED, "a.example.org", "/users/7", "/users/{user_id}"),
        (NESTED, "a.example.org", "/nowhere", None),
        (NESTED, "asgi.example", "/users/7", None),
        (FASTAPI, "tenant.example.net", "/old/users/7", "/old/users/{user_id}"),
        (FASTAPI, "tenant.example.net", "/old/users/me", "/old/users/me"),
        (FASTAPI, "tenant.example.net", "/old/nowhere", None),
    ],
)
def test_host_is_no_part_of_the_route(
    app: ASGIApp, host: str, path: str, route: str | None
) -> None:
    assert route_of(scope_of(app, path, host=host)) == route


def test_root_path_of_the_server_is_no_part_of_the_route() -> None:
    scope = scope_of(NESTED, "/proxy/api/1/users/7", root_path="/proxy")
    assert route_of(scope) == "/api/{version}/users/{user_id}"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"router": None}, id="no router"),
        pytest.param({"router": endpoint}, id="a router of another framework"),
        pytest.param({"endpoint": None}, id="no endpoint"),
        pytest.param({"path": None}, id="no path"),
    ],
)
def test_scope_that_says_nothing_of_a_route(change: dict[str, Any]) -> None:
    scope = scope_of(FLAT, "/users/7")
    assert route_of({**scope, **change}) is None


def test_connection_that_gets_no_further_than_a_mount_has_no_route() -> None:
    outer = Mount("/outer", routes=[Mount("/inner", Endpoint())])
    app = Starlette(routes=[outer])
    scope = scope_of(app, "/outer/inner/x")
    assert route_of(scope) == "/outer/inner/{path}"
    # As where middleware of the outer one answers.
    assert route_of({**scope, "endpoint": outer.app}) is None


def test_route_is_not_that_of_an_application_that_is_no_more() -> None:
    routes = Routes()
    for number in range(100):
        router = Router([Route(f"/{number}/{{x}}", endpoint)])
        scope: Scope = {
            "type": "http",
            "method": "GET",
            "path": f"/{number}/x",
            "endpoint": endpoint,
            "router": router,
        }
        assert routes.template(scope) == f"/{number}/{{x}}"


def test_included_router_has_no_template_where_fastapi_does_not_tell_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scope = scope_of(FASTAPI, "/api/v1/users/7")
    monkeypatch.delitem(sys.modules, "fastapi.routing")
    assert route_of(scope) is None
    assert route_of(scope_of(FLAT, "/users/7")) == "/users/{user_id}"


def mounted() -> tuple[ASGIApp, Router]:
    router = Router()
    return Starlette(routes=[Mount("", router)]), router


def included() -> tuple[ASGIApp, Router]:
    app, router = FastAPI(), APIRouter()
    app.include_router(router)
    return app, router


def of_the_application() -> tuple[ASGIApp, Router]:
    app = Starlette()
    return app, app.router


@pytest.mark.parametrize("make", [mounted, included, of_the_application])
def test_routes_may_be_added_later(make: Callable[[], tuple[ASGIApp, Router]]) -> None:
    (app, router), routes = make(), Routes()
    router.add_route("/one/{user_id}", endpoint)
    for _ in range(2):
        assert routes.template(scope_of(app, "/one/7")) == "/one/{user_id}"
    router.add_route("/two/{user_id}", endpoint)
    for number in ("one", "two"):
        assert routes.template(scope_of(app, f"/{number}/7")) == f"/{number}/{{user_id}}"


def test_endpoints_are_not_remembered_without_end() -> None:
    routes = Routes()
    scope = scope_of(FLAT, "/users/7")
    for _ in range(3000):
        assert routes.template({**scope, "endpoint": Endpoint()}) is None
    assert len(routes._known) <= 1024
    assert routes.template(scope) == "/users/{user_id}"


# --- Who serves a request


def covered(origin: str) -> list[Middleware]:
    return [Middleware(CORSMiddleware, allow_origins=[origin])]


def mounting() -> list[BaseRoute]:
    """Give routes that are the same wherever they stand."""
    inner = Mount("/in", routes=[Route("/y", endpoint, methods=["PUT"])], middleware=covered("*"))
    routes = [Route("/x", endpoint), Route("/x", another, methods=["POST"]), inner]
    return [Mount("/m", routes=routes, middleware=covered("https://a.example"))]


def directly() -> FastAPI:
    app = FastAPI()
    app.router.routes += mounting()
    return app


def in_a_router() -> FastAPI:
    app, router = FastAPI(), APIRouter()
    router.routes += mounting()
    app.include_router(router)
    return app


def in_a_router_in_a_router() -> FastAPI:
    app, outer, router = FastAPI(), APIRouter(), APIRouter()
    router.routes += mounting()
    outer.include_router(router)
    app.include_router(outer)
    return app


def on_a_host() -> FastAPI:
    app, router = FastAPI(), APIRouter()
    router.host("testserver", Router(mounting()))
    app.include_router(router)
    return app


def behind_middleware() -> FastAPI:
    app = FastAPI()
    (mount,) = mounting()
    assert isinstance(mount, Mount)
    app.mount("/m", Around(Router(mount.routes, middleware=covered("https://a.example"))))
    return app


MAKERS = [directly, in_a_router, in_a_router_in_a_router, on_a_host, behind_middleware]


@pytest.mark.parametrize("make", MAKERS)
def test_template_has_the_prefixes_of_mounts(make: Callable[[], FastAPI]) -> None:
    assert Routes().template(scope_of(make(), "/m/in/y", "PUT")) == "/m/in/y"


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    ("path", "methods", "is_served"),
    [
        ("/m/x", ["GET", "HEAD", "POST"], True),
        ("/m/in/y", ["PUT"], False),
        ("/m/nowhere", [], False),
        ("/nowhere", [], False),
    ],
)
def test_methods_are_those_of_the_routes(
    make: Callable[[], FastAPI], path: str, methods: list[str], is_served: bool
) -> None:
    scope = scope_of(make(), path)
    assert allowed_methods(scope) == methods
    assert is_routed(scope) is is_served


@pytest.mark.parametrize("make", MAKERS)
def test_routes_are_those_on_the_way(make: Callable[[], FastAPI]) -> None:
    *_, outer, inner, route = matched_routes(scope_of(make(), "/m/in/y", "PUT"))
    paths = [getattr(each, "path", None) for each in (outer, inner, route)]
    assert paths == ["/m", "/in", "/y"]


@pytest.mark.parametrize("make", MAKERS)
def test_prefix_of_an_included_router_counts(make: Callable[[], FastAPI]) -> None:
    app, router = FastAPI(), APIRouter()
    router.routes += make().router.routes
    app.include_router(router, prefix="/v1")
    assert allowed_methods(scope_of(app, "/v1/m/in/y", "PUT")) == ["PUT"]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("GET", "/m/x", 200, [None, "https://a.example"]),
        ("PUT", "/m/x", 405, ["GET, HEAD, POST", "https://a.example"]),
        ("GET", "/m/nowhere", 404, [None, "https://a.example"]),
        ("PUT", "/nowhere", 404, [None, None]),
    ],
)
def test_mount_in_an_included_router_is_as_any_other(
    make: Callable[[], FastAPI], method: str, path: str, status: int, said: list[str | None]
) -> None:
    app = make()
    install(app)
    response = TestClient(app).request(method, path, headers={"origin": "https://a.example"})
    allow = response.headers.get("allow")
    found = [allow and ", ".join(sorted(allow.split(", ")))]
    assert response.status_code == status
    assert [*found, response.headers.get("access-control-allow-origin")] == said


def with_methods_of_webdav() -> list[BaseRoute]:
    """Give routes with methods that are not HTTP's own."""
    odd = Route("/page", endpoint)
    odd.methods = {"é€", "A B", "", 7, "LOCK"}  # type: ignore[arg-type]  # pyright: ignore[reportAttributeAccessIssue]
    strange = Route("/page", endpoint)
    strange.methods = 7  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
    return [
        Route("/page", endpoint),
        Route("/page", endpoint, methods=["PURGE", "MKCOL"]),
        Route("/other", endpoint, methods=["COPY"]),
        odd,
        strange,
    ]


@pytest.mark.parametrize(
    ("app", "path"),
    [
        pytest.param(Starlette(routes=with_methods_of_webdav()), "/page", id="routes"),
        pytest.param(
            Starlette(routes=[Mount("/in", routes=with_methods_of_webdav())]),
            "/in/page",
            id="routes in a mount",
        ),
    ],
)
def test_methods_are_those_that_routes_name_themselves_too(app: Starlette, path: str) -> None:
    methods = ["GET", "HEAD", "LOCK", "MKCOL", "PURGE"]
    scope = {**scope_of(app, "/nowhere"), "path": path, "method": "POST"}
    assert allowed_methods(scope) == methods


def test_methods_are_those_that_included_routes_name_themselves_too() -> None:
    app, router = FastAPI(), APIRouter()
    router.get("/page")(endpoint)
    router.api_route("/page", methods=["PURGE"])(another)
    app.include_router(router, prefix="/v1")
    assert allowed_methods(scope_of(app, "/v1/page", "POST")) == ["GET", "PURGE"]


def with_frontend(folder: Path, *, depth: int, prefix: str = "") -> FastAPI:
    """Make an application with files that a browser loads, in routers that are included so deep."""
    (folder / "index.html").write_text("<h1>Hello</h1>")
    app = FastAPI()
    owner: FastAPI | APIRouter = app if depth == 0 else APIRouter()
    owner.get("/known")(another)
    owner.frontend("/", directory=folder)
    for _ in range(depth - 1):
        outer = APIRouter()
        outer.include_router(cast("APIRouter", owner))
        owner = outer
    if isinstance(owner, APIRouter):
        app.include_router(owner, prefix=prefix)
    return app


def add_middleware(app: FastAPI) -> None:
    app.add_middleware(ErrorMiddleware)


@pytest.mark.parametrize("add", [install, add_middleware])
@pytest.mark.parametrize("is_mounted", [False, True], ids=["as it is", "mounted"])
@pytest.mark.parametrize(("depth", "prefix"), [(0, ""), (1, ""), (1, "/v1"), (2, "/v1")])
def test_files_of_a_frontend_are_read(
    tmp_path: Path, depth: int, prefix: str, is_mounted: bool, add: Callable[[FastAPI], object]
) -> None:
    app = with_frontend(tmp_path, depth=depth, prefix=prefix)
    if is_mounted:
        inner, app = app, FastAPI()
        app.mount("/m", inner)
        prefix = f"/m{prefix}"
    add(app)
    client = TestClient(app)
    assert client.get(f"{prefix}/index.html").status_code == 200
    response = client.post(f"{prefix}/index.html")
    assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD")
    # What is a route is not the frontend's.
    assert client.post(f"{prefix}/known").headers["allow"] == "GET"
    assert client.post(f"{prefix}/nowhere").status_code == 404


@pytest.mark.parametrize("fastapis", [None, 7, {}], ids=repr)
def test_scope_that_says_nothing_of_a_frontend(fastapis: object) -> None:
    assert allowed_methods({**scope_of(FLAT, "/nowhere"), "fastapi": fastapis}) == []


class Files(StaticFiles):
    """Files, as Starlette 1.0 serves them: it does not say with which methods."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        raise HTTPException(405)


@pytest.mark.parametrize("add", [install, add_middleware])
def test_static_files_are_read(tmp_path: Path, add: Callable[[FastAPI], object]) -> None:
    app = FastAPI()
    app.mount("/files", Files(directory=tmp_path))
    add(app)
    response = TestClient(app).post("/files/a.txt")
    assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD")


class Strange(Endpoint):
    """An application of another framework, whose routes are nothing that Starlette knows."""

    routes = len


class Failing(BaseRoute):
    """A route that can't say whether it takes a request."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        raise LookupError(scope["path"])


@pytest.mark.parametrize(
    "router",
    [
        pytest.param(None, id="no router"),
        pytest.param(Router([Mount("/", Strange())]), id="routes that are a function"),
        pytest.param(Router([Failing(), Mount("/", FLAT)]), id="a route that fails"),
    ],
)
def test_what_cannot_be_asked_is_passed_over(router: Router | None) -> None:
    scope = {**scope_of(FLAT, "/nowhere"), "router": router}
    assert not is_routed(scope)
    assert allowed_methods(scope) == []


def test_included_router_that_cannot_be_asked_is_an_error_like_any_other() -> None:
    app, router, route = FastAPI(), APIRouter(), Route("/x", endpoint)
    route.methods = 7  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
    router.routes.append(route)
    app.include_router(router)
    install(app)
    response = TestClient(app, raise_server_exceptions=False).get("/x")
    assert (response.status_code, response.json()["error"]) == (500, "server_error")


class Users(HTTPEndpoint):
    """What Starlette asks of a class which methods it takes."""

    async def get(self, request: Request) -> None:
        """Get them."""

    async def patch(self, request: Request) -> None:
        """Change them."""


class Heading(HTTPEndpoint):
    """What answers a HEAD by itself."""

    async def head(self, request: Request) -> None:
        """Show the headers alone."""


class Refusal(Response):
    """An ASGI application that is made for each request."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__()
        self._answer = self(scope, receive, send)

    def __await__(self) -> Generator[Any, None, None]:
        return self._answer.__await__()


@pytest.mark.parametrize(
    ("endpoint", "methods"),
    [
        pytest.param(Users, ["GET", "HEAD", "PATCH"], id="an HTTPEndpoint"),
        pytest.param(Heading, ["HEAD"], id="an HTTPEndpoint without GET"),
        pytest.param(Endpoint(), [], id="an ASGI application"),
        pytest.param(Refusal, [], id="another class"),
    ],
)
def test_methods_are_those_of_the_endpoint_where_its_route_does_not_say(
    endpoint: Any, methods: list[str]
) -> None:
    app = Starlette(routes=[Route("/", endpoint)])
    assert allowed_methods(scope_of(app, "/", "DELETE")) == methods


class Knowing:
    """Something mounted that keeps the application which it is mounted in."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise NotFoundError


@pytest.mark.parametrize("framework", [Starlette, FastAPI])
@pytest.mark.parametrize("prefix", ["", "/in"])
@pytest.mark.parametrize("ways", [install, add_middleware])
def test_mount_may_keep_its_application(
    ways: Callable[[Any], None], prefix: str, framework: type[Starlette]
) -> None:
    app = framework(routes=[Route("/known", endpoint, methods=["PUT"])])
    app.router.routes.append(Mount("/pub", routes=[], middleware=covered("*")))
    app.mount(prefix, Router([Mount("/", Knowing(app))]) if prefix else Knowing(app))
    ways(app)
    client = TestClient(app, raise_server_exceptions=False)
    origin = {"origin": "https://a.example"}
    for path in ("/known/not", "/pub/x"):
        lost = client.get(f"{prefix}{path}", headers=origin)
        assert (lost.status_code, lost.json()["error"]) == (404, "not_found")
        is_covered = (prefix, path) == ("", "/pub/x")
        assert ("access-control-allow-origin" in lost.headers) == is_covered
    # What is mounted at the root takes it.
    assert client.get("/known").status_code == (405 if prefix else 404)
    assert Routes().template(scope_of(app, f"{prefix}/known/not")) == f"{prefix}/{{path}}"
