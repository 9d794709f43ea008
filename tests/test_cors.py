"""The CORS middleware of routes: found once for what serves a request, and not kept without end."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any, cast

import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Host, Match, Mount, Route, Router
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from authpi_errors import ErrorMiddleware, ErrorRecord, NotFoundError, install
from authpi_errors._cors import Cors
from authpi_errors._sending import drop
from tests.passing import Around, Copying


async def endpoint(request: Request) -> None: ...


WITH_CORS = Mount(
    "/{tenant}/api", routes=[Route("/", endpoint)], middleware=[Middleware(CORSMiddleware)]
)
ROUTER = Starlette(routes=[WITH_CORS, Route("/", endpoint)]).router
# In what is mounted, and beside it.
ROUTES_OF_ENDPOINT = {True: WITH_CORS.routes[0], False: ROUTER.routes[1]}


def scope(path: str, root_path: str = "") -> dict[str, Any]:
    """Make the scope of a request, after routing."""
    return {
        "type": "http",
        "method": "GET",
        "path": path,
        "app_root_path": "",
        "root_path": root_path,
        "router": ROUTER,
        "route": ROUTES_OF_ENDPOINT[path.endswith("/api/")],
    }


def test_one_endpoint_may_be_behind_cors_middleware_or_not() -> None:
    known = Cors(ROUTER)
    for _ in range(2):
        assert len(known.of_routes(scope("/a/api/", "/a/api"))) == 1
        assert not known.of_routes(scope("/"))


def test_a_method_that_a_route_does_not_take_stays_outside_of_its_middleware() -> None:
    router = Router([Route("/", endpoint, middleware=[Middleware(CORSMiddleware)])])
    known = Cors(ROUTER)
    for _ in range(2):
        assert len(known.of_routes({**scope("/"), "router": router})) == 1
        assert not known.of_routes({**scope("/"), "router": router, "method": "POST"})


def test_a_request_that_nothing_serves_is_not_remembered() -> None:
    lost = scope("/a/api/")
    del lost["route"]
    assert len(Cors(ROUTER).of_routes(lost)) == 1


def test_what_is_remembered_has_an_end() -> None:
    known = Cors(ROUTER)
    found = [known.of_routes(scope(f"/{n}/api/", f"/{n}/api")) for n in range(1_500)]
    assert all(len(cors) == 1 for cors in found)
    # The last was made anew after the first ones were forgotten.
    assert known.of_routes(scope("/1499/api/", "/1499/api")) is found[1_499]
    assert known.of_routes(scope("/0/api/", "/0/api")) is not found[0]


def test_what_is_known_by_its_identity_is_kept() -> None:
    route = Route("/", endpoint)
    router = Router([route])
    known = Cors(ROUTER)
    kept: list[weakref.ref[object]] = [weakref.ref(router), weakref.ref(route)]
    assert not known.of_routes({**scope("/"), "router": router, "route": route})
    del router, route
    # Else others could take its place, and be answered with its headers.
    gc.collect()
    assert all(each() is not None for each in kept)


def listen(record: ErrorRecord) -> None:
    """Listen to what becomes of errors."""


@pytest.mark.parametrize("error", [NotFoundError, RuntimeError])
@pytest.mark.parametrize("on_error", [None, listen], ids=["nobody listens", "somebody listens"])
def test_cors_middleware_in_a_bare_router_adds_its_headers(
    error: type[Exception], on_error: Any
) -> None:
    async def fail(request: Request) -> Response:
        raise error

    cors = Middleware(CORSMiddleware, allow_origins=["https://a.example"])
    router = Router([Mount("/api", routes=[Route("/", fail)], middleware=[cors])])
    app = ErrorMiddleware(router, on_error=on_error)
    client = TestClient(app, raise_server_exceptions=False, headers={"Origin": "https://a.example"})
    assert client.get("/api/").headers["access-control-allow-origin"] == "https://a.example"


@pytest.mark.parametrize("make", [Starlette, FastAPI])
@pytest.mark.parametrize("error", [NotFoundError, RuntimeError])
@pytest.mark.parametrize("on_error", [None, listen], ids=["nobody listens", "somebody listens"])
def test_cors_middleware_between_a_boundary_and_an_application_adds_its_headers(
    make: type[Starlette], error: type[Exception], on_error: Any
) -> None:
    async def fail(request: Request) -> Response:
        raise error

    application = make(routes=[Route("/", fail)])
    outer = CORSMiddleware(application, allow_origins=["https://a.example"])
    app = ErrorMiddleware(outer, on_error=on_error)
    client = TestClient(app, raise_server_exceptions=False, headers={"Origin": "https://a.example"})
    for _ in range(2):
        headers = client.get("/").headers
        assert headers.get_list("access-control-allow-origin") == ["https://a.example"]
        assert headers["vary"] == "Origin"


def test_cors_middleware_on_either_side_of_an_application_adds_to_an_error_once() -> None:
    async def fail(request: Request) -> Response:
        raise RuntimeError

    inner = Middleware(CORSMiddleware, allow_origins=["*"], expose_headers=["X-Inner"])
    application = Starlette(routes=[Route("/", fail)], middleware=[inner])
    outer = CORSMiddleware(application, allow_origins=["*"], expose_headers=["X-Outer"])
    client = TestClient(ErrorMiddleware(outer), raise_server_exceptions=False)
    for _ in range(2):
        headers = client.get("/", headers={"Origin": "https://a.example"}).headers
        assert headers.get_list("access-control-allow-origin") == ["*"]
        assert headers["access-control-expose-headers"] == "X-Outer"


ORIGIN = {"Origin": "https://a.example"}
ADDED = Middleware(CORSMiddleware, allow_origins=["https://a.example"])


async def crash(request: Request) -> Response:
    raise RuntimeError


async def succeed(request: Request) -> Response:
    return Response()


def has_headers(app: Any, path: str, method: str = "GET") -> bool:
    """Say whether an answer has the headers of the CORS middleware."""
    client = TestClient(app, base_url="http://pub.example", raise_server_exceptions=False)
    headers = client.request(method, path, headers=ORIGIN).headers
    return headers.get("access-control-allow-origin") == "https://a.example"


WAYS: dict[str, Callable[[Starlette], object]] = {
    "install": install,
    "add_middleware": lambda app: app.add_middleware(ErrorMiddleware),
}


@pytest.mark.parametrize("add", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("paths", [("/with", "/without"), ("/without", "/with")], ids=str)
def test_routes_with_one_endpoint_have_cors_headers_each_for_itself(
    paths: tuple[str, str], add: Callable[[Starlette], object]
) -> None:
    routes = [Route("/with", crash, middleware=[ADDED]), Route("/without", crash)]
    app = Starlette(routes=routes)
    add(app)
    for path in paths * 2:
        assert has_headers(app, path) == (path == "/with")


@pytest.mark.parametrize("add", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("first", ["pub.example", "internal.example"])
def test_one_router_of_two_hosts_has_cors_headers_where_it_has_the_middleware(
    first: str, add: Callable[[Starlette], object]
) -> None:
    router = Router([Route("/bug", crash)])
    public = CORSMiddleware(router, allow_origins=["https://a.example"])
    app = Starlette(routes=[Host("pub.example", public), Mount("/", router)])
    add(app)
    client = TestClient(app, raise_server_exceptions=False)
    for host in (first, "pub.example", "internal.example", "pub.example"):
        headers = client.get("/bug", headers={**ORIGIN, "Host": host}).headers
        assert ("access-control-allow-origin" in headers) == (host == "pub.example")


def test_hosts_beside_a_router_that_can_not_be_asked_have_cors_headers_each_for_itself() -> None:
    router = Router([Route("/bug", crash)])
    public = CORSMiddleware(router, allow_origins=["https://a.example"])
    app, included, broken = FastAPI(), APIRouter(), Route("/x", endpoint)
    broken.methods = 7  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
    included.routes.append(broken)
    app.mount("/api", Router([Host("pub.example", public), Mount("/", router)]))
    app.include_router(included)
    install(app)
    client = TestClient(app, raise_server_exceptions=False)
    for host in ("pub.example", "internal.example", "pub.example"):
        headers = client.get("/api/bug", headers={**ORIGIN, "Host": host}).headers
        assert ("access-control-allow-origin" in headers) == (host == "pub.example")


def test_a_router_that_can_not_be_asked_is_no_matter_of_others() -> None:
    app, router, broken = FastAPI(), APIRouter(), Route("/x", endpoint)
    broken.methods = 7  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
    router.routes.append(broken)
    app.get("/")(fail_for_all)
    app.include_router(router)
    install(app)
    assert TestClient(app).get("/").status_code == 404
    asked: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "root_path": "",
        "headers": [],
    }
    known = Cors(ROUTER)
    for _ in range(2):
        assert not known.of_routes({**asked, "router": app.router, "route": app.routes[-2]})


class Tenant(Mount):
    """A mount of the user's, which asks for more than the path."""

    def __init__(self, name: str, app: ASGIApp) -> None:
        super().__init__("/", app)
        self.tenant = name

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        is_own = Headers(scope=scope).get("host") == f"{self.tenant}.example"
        return super().matches(scope) if is_own else (Match.NONE, {})


def tenants(make: Callable[[str, ASGIApp], BaseRoute]) -> list[BaseRoute]:
    """Make routes that lead two tenants to one application, each with CORS of its own."""
    inner = FastAPI(routes=[Route("/starlettes", fail_for_all)])
    inner.get("/fastapis")(fail_for_all)
    return [
        make(name, CORSMiddleware(inner, allow_origins=[f"https://{name}.example"]))
        for name in "ab"
    ]


async def fail_for_all(request: Request) -> None:
    raise NotFoundError


def host(name: str, app: ASGIApp) -> Host:
    return Host(f"{name}.example", app)


def including(routes: list[BaseRoute], prefix: str = "", depth: int = 1) -> FastAPI:
    """Make an application that includes a router, which includes another, which has routes."""
    router = APIRouter()
    router.routes.extend(routes)
    for _ in range(depth - 1):
        outer = APIRouter()
        outer.include_router(router)
        router = outer
    app = FastAPI()
    app.include_router(router, prefix=prefix)
    return app


TENANTS: dict[str, tuple[Callable[[], Starlette], str]] = {
    "hosts": (lambda: Starlette(routes=tenants(host)), ""),
    "hosts of FastAPI": (lambda: FastAPI(routes=tenants(host)), ""),
    "hosts in an included router": (lambda: including(tenants(host)), ""),
    "hosts in an included router with a prefix": (lambda: including(tenants(host), "/v1"), "/v1"),
    "hosts in a router that is included twice": (lambda: including(tenants(host), depth=2), ""),
    "hosts in a mount": (lambda: Starlette(routes=[Mount("/v1", routes=tenants(host))]), "/v1"),
    "hosts in a mounted application that includes them": (
        lambda: Starlette(routes=[Mount("/v1", including(tenants(host)))]),
        "/v1",
    ),
    "hosts in a mount in an included router": (
        lambda: including([Mount("/v1", routes=tenants(host))]),
        "/v1",
    ),
    "one host, and what is not in an included router": (
        lambda: mixed(*tenants(host)),
        "",
    ),
    "mounts of the user's": (lambda: Starlette(routes=tenants(Tenant)), ""),
    "mounts of the user's in a mount": (
        lambda: Starlette(routes=[Mount("/v1", routes=tenants(Tenant))]),
        "/v1",
    ),
}


def mixed(first: BaseRoute, second: BaseRoute) -> FastAPI:
    """Make an application with a host in an included router, and one beside it for all others."""
    app = including([first])
    app.router.routes.append(Mount("", cast("Host", second).app))
    return app


@pytest.mark.parametrize("add", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("first", ["a", "b"])
@pytest.mark.parametrize("path", ["/starlettes", "/fastapis", "/nowhere"])
@pytest.mark.parametrize(("make", "prefix"), TENANTS.values(), ids=TENANTS)
def test_a_tenants_errors_are_never_shown_to_anothers_pages(
    make: Callable[[], Starlette],
    prefix: str,
    path: str,
    first: str,
    add: Callable[[Starlette], object],
) -> None:
    app = make()
    add(app)
    for tenant in (first, "a", "b", "a"):
        for page in "ab":
            client = TestClient(app, base_url=f"http://{tenant}.example")
            headers = client.get(
                prefix + path, headers={"Origin": f"https://{page}.example"}
            ).headers
            allowed = headers.get("access-control-allow-origin")
            assert allowed == (f"https://{page}.example" if page == tenant else None)


ROUTES = [Route("/bug", crash), Route("/", succeed)]
INNER: dict[str, Callable[[], BaseRoute]] = {
    "a mount": lambda: Mount("/", routes=ROUTES, middleware=[ADDED]),
    "a mounted router": lambda: Mount("/", Router(ROUTES, middleware=[ADDED])),
    "a mounted application": lambda: Mount("/", Starlette(routes=ROUTES, middleware=[ADDED])),
    "a host's router": lambda: Host("pub.example", Router(ROUTES, middleware=[ADDED])),
    "a host's middleware": lambda: Host(
        "pub.example", CORSMiddleware(Router(ROUTES), allow_origins=["https://a.example"])
    ),
    "a host in a mount": lambda: Mount(
        "/", routes=[Host("pub.example", Router(ROUTES, middleware=[ADDED]))]
    ),
    "a mount in a mounted application": lambda: Mount(
        "/", Starlette(routes=[Mount("/", Router(ROUTES, middleware=[ADDED]))])
    ),
    "a mount in a mounted application behind middleware": lambda: Mount(
        "/", Around(Starlette(routes=[Mount("/", Router(ROUTES, middleware=[ADDED]))]))
    ),
}


@pytest.mark.parametrize("add", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("make", INNER.values(), ids=INNER)
def test_what_is_in_a_mount_or_a_host_has_its_cors_headers(
    make: Callable[[], BaseRoute], add: Callable[[Starlette], object]
) -> None:
    app = Starlette(routes=[make()])
    add(app)
    for path, method in (("/", "GET"), ("/bug", "GET"), ("/nowhere", "GET"), ("/", "POST")) * 2:
        assert has_headers(app, path, method), (path, method)


@pytest.mark.parametrize("path", ["/bug", "/nowhere"])
def test_a_bare_router_with_middleware_adds_its_cors_headers(path: str) -> None:
    assert has_headers(ErrorMiddleware(Router(ROUTES, middleware=[ADDED])), path)


class Refusing:
    """Middleware that lets nothing pass."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise NotFoundError(headers={"Vary": scope["path"].removeprefix("/")})


@pytest.mark.parametrize("vary", ["Origin", "X-Original-URI", "Accept, origin"])
@pytest.mark.parametrize(
    "middleware", [[Middleware(Refusing), ADDED], [ADDED, Middleware(Refusing)]], ids=str
)
def test_what_an_error_says_of_vary_does_not_keep_cors_headers_away(
    middleware: list[Middleware], vary: str
) -> None:
    app = Starlette(middleware=middleware)
    install(app)
    assert has_headers(app, f"/{vary}")


def test_cors_middleware_is_found_below_many_others() -> None:
    app: ASGIApp = Starlette(routes=[Route("/bug", crash)], middleware=[ADDED])
    for _ in range(30):
        app = Copying(app)
    assert has_headers(ErrorMiddleware(app), "/bug")


class Broken(Refusing):
    """Middleware that can't be made."""

    def __init__(self, app: ASGIApp) -> None:
        raise RuntimeError


class OwnCors(CORSMiddleware):
    """CORS middleware with something of the user's own."""


def test_cors_middleware_of_the_users_is_known_where_other_middleware_can_not_be_made() -> None:
    own = Middleware(OwnCors, allow_origins=["https://a.example"])
    app = Starlette(middleware=[own, Middleware(Broken)])
    install(app)
    assert has_headers(app, "/")


class Late:
    """Middleware that fails when all is done, and nothing is sent."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, drop)
        raise RuntimeError


def test_the_outermost_cors_middleware_has_the_last_word() -> None:
    inner, outer = (
        Middleware(CORSMiddleware, allow_origins=["*"], expose_headers=[name])
        for name in ("X-Inner", "X-Outer")
    )
    mount = Mount("/api", routes=[Route("/", succeed)], middleware=[inner])
    success = Starlette(routes=[mount], middleware=[outer])
    failure = Starlette(routes=[mount], middleware=[Middleware(Late), outer])
    install(failure)
    for app in (success, failure):
        client = TestClient(app, raise_server_exceptions=False, headers=ORIGIN)
        assert client.get("/api/").headers["access-control-expose-headers"] == "X-Outer"


@pytest.mark.parametrize("vary", ["Origin", "X-Original-URI"])
def test_a_response_that_is_rewritten_has_the_cors_headers_that_it_had(vary: str) -> None:
    async def refuse(request: Request) -> Response:
        return PlainTextResponse("No.", 403, {"Vary": vary})

    app = Starlette(routes=[Route("/", refuse)], middleware=[ADDED])
    install(app)
    client = TestClient(app)
    assert has_headers(app, "/")
    # Another origin gets none, from either of the two.
    other = client.get("/", headers={"Origin": "https://b.example"}).headers
    assert "access-control-allow-origin" not in other


def test_long_paths_of_clients_are_not_kept() -> None:
    known = Cors(ROUTER)
    for root_path in ("/" + "a" * 100 + "/api", "/" + "a" * 300 + "/api"):
        path = f"{root_path}/"
        first = known.of_routes(scope(path, root_path))
        assert len(first) == 1
        assert (known.of_routes(scope(path, root_path)) is first) == (len(root_path) < 200)


def test_long_methods_of_clients_are_not_kept() -> None:
    # It is no function: it takes any method.
    route = Route("/", Around(ROUTER), middleware=[Middleware(CORSMiddleware)])
    router, known = Router([route]), Cors(ROUTER)
    for method in ("QUERY", "A" * 300):
        asked = {**scope("/"), "router": router, "route": route, "method": method}
        first = known.of_routes(asked)
        assert (known.of_routes(asked) is first) == (len(method) < 200)


def of_starlette(routes: list[BaseRoute]) -> Starlette:
    return Starlette(routes=routes)


def of_fastapi(routes: list[BaseRoute]) -> FastAPI:
    return FastAPI(routes=routes)


class Guard:
    """Middleware that asks who is there."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise {b"ours": NotFoundError(), b"theirs": HTTPException(401)}[scope["query_string"]]


@pytest.mark.parametrize("add", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("query", ["ours", "theirs"])
@pytest.mark.parametrize("make", [of_starlette, of_fastapi, including])
def test_what_middleware_of_a_mount_raises_has_its_cors_headers(
    make: Callable[[list[BaseRoute]], Starlette], query: str, add: Callable[[Starlette], object]
) -> None:
    middleware = [ADDED, Middleware(Guard)]
    app = make([Mount("/api", routes=[Route("/", succeed)], middleware=middleware)])
    add(app)
    for _ in range(2):
        assert has_headers(app, f"/api/?{query}")


@pytest.mark.parametrize("add", WAYS.values(), ids=WAYS)
def test_a_route_in_a_mounted_router_of_fastapi_has_cors_headers_once(
    add: Callable[[Starlette], object],
) -> None:
    router = APIRouter(routes=[Route("/", fail_for_all)])
    app = FastAPI(routes=[Mount("/api", router, middleware=[ADDED])])
    add(app)
    for _ in range(2):
        headers = TestClient(app).get("/api/", headers=ORIGIN).headers
        assert headers.get_list("access-control-allow-origin") == ["https://a.example"]
        assert headers.get_list("vary") == ["Origin"]


class Doorkeeper:
    """Middleware that turns requests away, and passes others on with a scope of its own."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["query_string"]:
            case b"raise":
                raise NotFoundError
            case b"crash":
                raise RuntimeError
            case b"answer":
                await PlainTextResponse("Not you.", 403)(scope, receive, send)
            case _:
                await self.app({**scope}, receive, send)


@pytest.mark.parametrize("add", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("make", [of_starlette, of_fastapi, including])
@pytest.mark.parametrize("query", ["raise", "crash", "answer", ""])
def test_what_a_mount_turns_away_has_the_cors_headers_of_where_it_was_bound_for(
    make: Callable[[list[BaseRoute]], Starlette], query: str, add: Callable[[Starlette], object]
) -> None:
    inner = [
        Mount(
            f"/{name}",
            Starlette(
                routes=[Route("/", fail_for_all)],
                middleware=[Middleware(CORSMiddleware, allow_origins=[f"https://{name}.example"])],
            ),
        )
        for name in "ab"
    ]
    app = make([Mount("/api", routes=inner, middleware=[Middleware(Doorkeeper)])])
    add(app)
    client = TestClient(app, raise_server_exceptions=False)
    for tenant in "aba":
        for page in "ab":
            origin = f"https://{page}.example"
            headers = client.get(f"/api/{tenant}/?{query}", headers={"Origin": origin}).headers
            allowed = headers.get("access-control-allow-origin")
            assert allowed == (origin if page == tenant else None)


@pytest.mark.parametrize("add", WAYS.values(), ids=WAYS)
def test_a_response_that_has_passed_some_of_the_cors_middleware_gets_the_headers_of_the_rest(
    add: Callable[[Starlette], object],
) -> None:
    inner = Starlette(routes=[Route("/", succeed)], middleware=[ADDED])
    outer = Middleware(CORSMiddleware, allow_origins=["https://b.example"])
    app = Starlette(routes=[Mount("/", inner, middleware=[outer, Middleware(Doorkeeper)])])
    add(app)
    for path in ("/", "/?answer"):
        assert has_headers(app, path)
        assert "access-control-allow-origin" not in TestClient(app).get(path).headers


class NotSetUp:
    """An application that has something to say only once it is set up, like lazy proxies."""

    @property
    def app(self) -> ASGIApp:
        raise RuntimeError("Call setup() first.")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("Fine.")(scope, receive, send)


class Lazy(NotSetUp):
    """The like, which fails whatever it is asked for."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError("Call setup() first.")


@pytest.mark.parametrize("cover", [*WAYS.values(), ErrorMiddleware], ids=[*WAYS, "wrapping"])
@pytest.mark.parametrize("make", [of_starlette, of_fastapi, including])
@pytest.mark.parametrize("kind", [NotSetUp, Lazy])
def test_what_is_mounted_need_not_answer_when_it_is_asked_for_what_is_in_it(
    kind: Callable[[], ASGIApp],
    make: Callable[[list[BaseRoute]], Starlette],
    cover: Callable[[Starlette], object],
) -> None:
    app = make(
        [
            Mount("/lazy", kind()),
            Mount("/covered", kind(), middleware=[ADDED, Middleware(Doorkeeper)]),
            Host("pub.example", CORSMiddleware(kind())),
            Route("/bug", crash),
            Route("/", succeed),
        ]
    )
    covered: Any = cover(app) or app
    client = TestClient(covered, raise_server_exceptions=False)
    for path, status in {"/": 200, "/bug": 500, "/nowhere": 404, "/lazy/": 200}.items():
        assert client.get(path).status_code == status
    assert has_headers(covered, "/covered/?crash")
