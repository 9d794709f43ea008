"""Where errors come from, as data: how to build it, what to ask, what the answer must be.

`COVERAGE` says which way of installing covers what; `ORIGINS` holds the cases of each of its rows.
An origin builds an application that knows nothing of the library; `applied` puts the library on it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from http import HTTPStatus
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, NoReturn, cast

import anyio
import fastapi
from a2wsgi import WSGIMiddleware
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, AuthenticationError
from starlette.authentication import BaseUser as User
from starlette.exceptions import HTTPException, WebSocketException
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import HTTPConnection
from starlette.requests import Request as HTTPRequest
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Host, Mount, Route, Router
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from authpi_errors import ErrorMiddleware, ErrorRegistry, NotFoundError, install
from tests.exchanges import Request

__all__ = [
    "CORS",
    "CORS_HEADERS",
    "COVERAGE",
    "FRAMEWORKS",
    "ORIGIN",
    "ORIGINS",
    "REGISTRY",
    "SECRET",
    "WAYS",
    "Answer",
    "Cors",
    "Framework",
    "Origin",
    "Site",
    "Way",
    "application",
    "applied",
    "fine",
    "table",
]

Framework = Literal["starlette", "fastapi"]
Way = Literal["install", "add_middleware", "wrapping"]
Cors = Literal["no CORS", "CORS added before", "CORS added after"]

FRAMEWORKS: tuple[Framework, ...] = ("starlette", "fastapi")
WAYS: tuple[Way, ...] = ("install", "add_middleware", "wrapping")

YES, NO = "yes", "no"
# There is no application to install in, or to add a middleware to.
NOTHING_THERE = "-"

COVERAGE: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        # Raised.                              install, add_middleware, wrapping
        "A route raises": (YES, YES, YES),
        "A dependency raises": (YES, YES, YES),
        "The request is not valid for its route": (YES, YES, YES),
        "No route, or not for this method": (YES, YES, YES),
        "Pure ASGI middleware inside ours raises": (YES, YES, YES),
        "Pure ASGI middleware outside ours raises": (YES, NO, NO),
        "`BaseHTTPMiddleware` inside ours raises": (YES, YES, YES),
        "`BaseHTTPMiddleware` outside ours raises": (YES, NO, NO),
        "A route under other middleware raises": (YES, YES, YES),
        "The constructor of a middleware inside ours raises": (YES, NO, YES),
        "The constructor of a middleware outside ours raises": (YES, NO, NOTHING_THERE),
        "The middleware of a route raises": (YES, YES, YES),
        "A mounted Starlette application": (YES, YES, YES),
        "A mounted FastAPI application": (YES, YES, YES),
        "A mounted ASGI application": (YES, YES, YES),
        "A mounted WSGI application": (YES, YES, YES),
        "A mounted router": (YES, YES, YES),
        "An application under `Host`": (YES, YES, YES),
        "An application with CORS of its own is mounted": (YES, YES, YES),
        "A mount has CORS of its own": (YES, YES, YES),
        "A router with no application around it": (NOTHING_THERE, NOTHING_THERE, YES),
        "An exception handler of the user's raises": (YES, YES, YES),
        "The user's handler for `Exception` raises": (YES, NO, YES),
        "No response is sent at all": (YES, YES, YES),
        "A task group raises": (YES, YES, YES),
        "A timeout, a cancellation that nobody asked for": (YES, YES, YES),
        "`SystemExit`, `KeyboardInterrupt`": (YES, YES, YES),
        "`debug=True`, for other clients than browsers": (YES, YES, YES),
        # Returned.
        "Middleware inside ours answers": (YES, YES, YES),
        "Middleware outside ours answers": (YES, NO, NO),
        "`StaticFiles` and `FileResponse`": (YES, YES, YES),
        "`max_body_size`, announced": (YES, NO, YES),
        "`max_body_size`, found while reading": (YES, YES, YES),
        "An endpoint returns plain text, or nothing": (YES, YES, YES),
        'An endpoint returns `{"detail": …}`': (YES, YES, YES),
        "Oddities that ASGI allows": (YES, YES, YES),
        # WebSockets.
        "WebSocket: no route": (YES, YES, YES),
        "WebSocket: raised before it is accepted": (YES, YES, YES),
        "WebSocket: closed before it is accepted": (YES, YES, YES),
        "WebSocket: neither accepted nor closed": (YES, YES, YES),
        "WebSocket: raised after it is accepted": (YES, YES, YES),
        "WebSocket: middleware inside ours denies": (YES, YES, YES),
        "WebSocket: middleware outside ours denies": (YES, NO, NO),
    }
)
"""What each way of installing covers. A test holds every cell, in both directions."""

SECRET = "the password is hunter2"
"""Is in every exception that nobody expected, and must be in no answer."""

ORIGIN = "https://app.example"
CORS: Mapping[str, Any] = MappingProxyType(
    {
        "allow_origins": [ORIGIN],
        "allow_methods": ["GET", "POST"],
        "allow_credentials": True,
        "expose_headers": ["X-Request-Id"],
    }
)
CORS_HEADERS: Mapping[str, list[str]] = MappingProxyType(
    {
        "access-control-allow-origin": [ORIGIN],
        "access-control-allow-credentials": ["true"],
        "access-control-expose-headers": ["X-Request-Id"],
    }
)
"""What `CORSMiddleware` adds to a success."""


class TakenError(Exception):
    """What the registry maps."""


class TeapotError(Exception):
    """What the application has a handler for."""


REGISTRY = ErrorRegistry(exceptions={TakenError: "conflict"})


@dataclass(frozen=True)
class Site:
    """An application, and what is put around it after the library."""

    app: ASGIApp
    outside: tuple[Middleware, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What must arrive.

    Attributes:
        status: Of the response, or of the denial of a WebSocket.
        code: The member `error`.
        description: `error_description`, where it is not the code's own.
        members: Further members, exactly.
        headers: Headers, exactly; an empty list for one that must not be there.
        fields: The `field` and the `code` of each item of `fields`.
        closes: The code and the reason that a WebSocket is closed with, if it was accepted or can't
            be denied.
        accepted: Whether the WebSocket is accepted first.
        raises: What goes on to the server.
        before: The types of the messages that come before the response.
    """

    status: int
    code: str
    description: str | None = None
    members: Mapping[str, object] = field(default_factory=dict[str, object])
    headers: Mapping[str, list[str]] = field(default_factory=dict[str, list[str]])
    fields: tuple[tuple[str, str], ...] = ()
    closes: tuple[int, str] | None = None
    accepted: bool = False
    raises: type[BaseException] | None = None
    before: tuple[str, ...] = ()


Build = Callable[[Framework], Site]


@dataclass(frozen=True)
class Origin:
    """One place that an error comes from.

    Attributes:
        row: The row of `COVERAGE` that it belongs to.
        name: What it is within that row.
        build: Builds the application.
        answer: What must arrive.
        request: What is asked.
        frameworks: The frameworks that have such a place.
        asyncio_only: Whether it hangs on asyncio, or on something that does.
        cors: Whether `CORSMiddleware` can be added to it.
        has_cors: Whether it has CORS of its own, so that the answer must have its headers.
        over_the_wire: Whether it can be tried on a server: not if it ends the server.
    """

    row: str
    name: str
    build: Build
    answer: Answer
    request: Request = field(default_factory=Request)
    frameworks: tuple[Framework, ...] = FRAMEWORKS
    asyncio_only: bool = False
    cors: bool = True
    has_cors: bool = False
    over_the_wire: bool = True

    @property
    def covered(self) -> Mapping[str, str]:
        return dict(zip(WAYS, COVERAGE[self.row], strict=True))


# How the library gets on an application.


def applied(
    way: Way, site: Site, cors: Cors = "no CORS", *, library: bool = True, **options: Any
) -> ASGIApp:
    """Put the library on an application, and CORS and what belongs outside around it.

    Args:
        way: The way of installing.
        site: The application.
        cors: Where `CORSMiddleware` is added.
        library: Whether the library is put on it at all.
        options: What the library is given.
    """
    app = site.app
    if cors == "CORS added before":
        app = _added(app, OUR_CORS)
    if library:
        app = INSTALLERS[way](app, options)
    outside = (*([OUR_CORS] if cors == "CORS added after" else []), *site.outside)
    for middleware in outside:
        app = _around(app, middleware) if way == "wrapping" else _added(app, middleware)
    return app


def _added(app: ASGIApp, middleware: Middleware) -> ASGIApp:
    """Add a middleware to an application, or put it around what is none."""
    if not isinstance(app, Starlette):
        return _around(app, middleware)
    cls, args, kwargs = middleware
    app.add_middleware(cls, *args, **kwargs)
    return app


def _around(app: ASGIApp, middleware: Middleware) -> ASGIApp:
    cls, args, kwargs = middleware
    around: ASGIApp = cls(app, *args, **kwargs)
    return around


def _installed(app: ASGIApp, options: Mapping[str, Any]) -> ASGIApp:
    assert isinstance(app, Starlette)
    install(app, **options)
    return app


def _with_middleware(app: ASGIApp, options: Mapping[str, Any]) -> ASGIApp:
    return _added(app, Middleware(ErrorMiddleware, **options))


def _wrapped(app: ASGIApp, options: Mapping[str, Any]) -> ASGIApp:
    return ErrorMiddleware(app, **options)


OUR_CORS = Middleware(CORSMiddleware, **CORS)
INSTALLERS: Mapping[Way, Callable[[ASGIApp, Mapping[str, Any]], ASGIApp]] = MappingProxyType(
    {"install": _installed, "add_middleware": _with_middleware, "wrapping": _wrapped}
)


# Applications.


async def fine(request: HTTPRequest) -> Response:
    return PlainTextResponse("fine")


def application(
    framework: Framework,
    endpoint: Callable[[HTTPRequest], Any] = fine,
    *,
    methods: tuple[str, ...] = ("GET",),
    inside: Iterable[Middleware] = (),
    **options: Any,
) -> Starlette:
    """Make an application with one endpoint at `/`."""
    if framework == "fastapi":
        app: Starlette = FastAPI(middleware=list(inside), **options)
        assert isinstance(app, FastAPI)
        app.add_api_route("/", endpoint, methods=list(methods), response_model=None)
        return app
    routes = [Route("/", endpoint, methods=list(methods))]
    return Starlette(routes=routes, middleware=list(inside), **options)


def mounting(framework: Framework, path: str, mounted: ASGIApp) -> Site:
    app = application(framework)
    app.mount(path, mounted)
    return Site(app)


# What is raised, wherever that is.

Make = Callable[[], BaseException]


@dataclass(frozen=True)
class Fault:
    """A new exception each time, and how it is answered."""

    make: Make
    answer: Answer


OURS = Fault(lambda: NotFoundError("No user 5."), Answer(404, "not_found", "No user 5."))
HTTP = Fault(
    lambda: HTTPException(409, "Taken.", {"X-Mine": "yes"}),
    Answer(409, "conflict", "Taken.", headers={"x-mine": ["yes"]}),
)
MAPPED = Fault(lambda: TakenError(SECRET), Answer(409, "conflict"))
UNEXPECTED = Fault(lambda: RuntimeError(SECRET), Answer(500, "server_error", raises=RuntimeError))
FAULTS: Mapping[str, Fault] = MappingProxyType(
    {
        "an error of ours": OURS,
        "an `HTTPException`": HTTP,
        "a mapped exception": MAPPED,
        "an unexpected one": UNEXPECTED,
    }
)


class UnfriendlyError(Exception):
    """An exception that can neither be shown nor changed."""

    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__

    def __setattr__(self, name: str, value: object) -> None:
        raise RuntimeError("no")


def fail(make: Make) -> NoReturn:
    raise make()


def caused_by_an_expected_one() -> BaseException:
    error = RuntimeError(SECRET)
    error.__cause__ = NotFoundError("No user 5.")
    return error


def endpoint_raising(make: Make) -> Callable[[HTTPRequest], Any]:
    async def endpoint(request: HTTPRequest) -> Response:
        fail(make)

    return endpoint


def thread_raising(make: Make) -> Callable[[HTTPRequest], Any]:
    def endpoint(request: HTTPRequest) -> Response:
        fail(make)

    return endpoint


class Raising:
    """Pure ASGI middleware that raises."""

    def __init__(self, app: ASGIApp, make: Make) -> None:
        self.app = app
        self.make = make

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        fail(self.make)


class RaisingBefore(BaseHTTPMiddleware):
    """Raises before it calls on."""

    def __init__(self, app: ASGIApp, make: Make) -> None:
        super().__init__(app)
        self.make = make

    async def dispatch(self, request: HTTPRequest, call_next: RequestResponseEndpoint) -> Response:
        fail(self.make)


class RaisingAfter(RaisingBefore):
    """Raises while it has a response in its hands."""

    async def dispatch(self, request: HTTPRequest, call_next: RequestResponseEndpoint) -> Response:
        await call_next(request)
        fail(self.make)


class Passing(BaseHTTPMiddleware):
    """Passes everything on."""

    async def dispatch(self, request: HTTPRequest, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)


class Unconstructible:
    """Raises when the stack is built, at the first request and at every other."""

    def __init__(self, app: ASGIApp, make: Make) -> None:
        fail(make)

    __call__ = Raising.__call__


def in_route(framework: Framework, make: Make) -> Site:
    return Site(application(framework, endpoint_raising(make)))


def in_thread(framework: Framework, make: Make) -> Site:
    return Site(application(framework, thread_raising(make)))


def in_middleware(cls: Any, framework: Framework, make: Make) -> Site:
    return Site(application(framework, inside=[Middleware(cls, make)]))


def outside_of_ours(cls: Any, framework: Framework, make: Make) -> Site:
    return Site(application(framework), (Middleware(cls, make),))


PASSING: Mapping[str, tuple[Middleware, ...]] = MappingProxyType(
    {
        "`BaseHTTPMiddleware`": (Middleware(Passing),),
        "two of them": (Middleware(Passing), Middleware(Passing)),
        "`GZipMiddleware`": (Middleware(GZipMiddleware, minimum_size=10_000),),
        "`SessionMiddleware`": (Middleware(SessionMiddleware, secret_key="key"),),
    }
)


def under(inside: tuple[Middleware, ...], framework: Framework, make: Make) -> Site:
    return Site(application(framework, endpoint_raising(make), inside=inside))


def in_middleware_of_a_route(framework: Framework, make: Make) -> Site:
    app = application(framework)
    app.router.routes[:] = [Route("/", fine, middleware=[Middleware(Raising, make)])]
    return Site(app)


def in_middleware_of_a_mount(framework: Framework, make: Make) -> Site:
    app = application(framework)
    middleware = [Middleware(Raising, make)]
    app.router.routes.append(Mount("/in", routes=[Route("/", fine)], middleware=middleware))
    return Site(app)


def in_mounted(inner: Framework, framework: Framework, make: Make) -> Site:
    return mounting(framework, "/in", application(inner, endpoint_raising(make)))


def in_mounted_middleware(inner: Framework, framework: Framework, make: Make) -> Site:
    return mounting(framework, "/in", application(inner, inside=[Middleware(Raising, make)]))


def in_mounted_under_dispatch(inner: Framework, framework: Framework, make: Make) -> Site:
    app = application(framework, inside=[Middleware(Passing)])
    app.mount("/in", application(inner, endpoint_raising(make)))
    return Site(app)


def in_mount_of_a_mount(inner: Framework, framework: Framework, make: Make) -> Site:
    middle = mounting(inner, "/in", application(inner, endpoint_raising(make)))
    return mounting(framework, "/in", middle.app)


def in_mounted_asgi(framework: Framework, make: Make) -> Site:
    return mounting(framework, "/in", Raising(silent, make))


def in_mounted_wsgi(framework: Framework, make: Make) -> Site:
    def wsgi(environ: Any, start_response: Any) -> Iterable[bytes]:
        fail(make)

    return mounting(framework, "/in", _asgi(wsgi))


def _asgi(wsgi: Any) -> ASGIApp:
    # It has types of its own for ASGI.
    app: Any = WSGIMiddleware(wsgi)
    return cast("ASGIApp", app)


def routes_raising(make: Make) -> list[Route]:
    return [Route("/", endpoint_raising(make))]


def in_mounted_router(framework: Framework, make: Make) -> Site:
    return mounting(framework, "/in", Router(routes_raising(make)))


def in_mount_of_routes(framework: Framework, make: Make) -> Site:
    app = application(framework)
    app.router.routes.append(Mount("/in", routes=routes_raising(make)))
    return Site(app)


def under_host(inner: Framework, framework: Framework, make: Make) -> Site:
    app = application(framework)
    app.router.routes.insert(0, Host("api.example", application(inner, endpoint_raising(make))))
    return Site(app)


def in_bare_router(framework: Framework, make: Make) -> Site:
    return Site(Router(routes_raising(make)))


def in_handler(key: Any, framework: Framework, make: Make) -> Site:
    async def handler(request: HTTPRequest, exc: Exception) -> Response:
        fail(make)

    return Site(
        application(framework, endpoint_raising(TeapotError), exception_handlers={key: handler})
    )


def in_task_group(framework: Framework, make: Make) -> Site:
    async def task() -> None:
        fail(make)

    async def endpoint(request: HTTPRequest) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(task)

    return Site(application(framework, endpoint))


def in_dependency(framework: Framework, make: Make) -> Site:
    def dependency() -> None:
        fail(make)

    return Site(application("fastapi", dependencies=[Depends(dependency)]))


def in_dependency_that_yields(framework: Framework, make: Make) -> Site:
    async def dependency() -> AsyncIterator[None]:
        yield
        fail(make)

    return Site(application("fastapi", dependencies=[Depends(dependency, scope="function")]))


@dataclass(frozen=True)
class Place:
    """Somewhere that anything can be raised.

    Attributes:
        row: The row of `COVERAGE`.
        name: What it is within that row.
        build: Builds an application that raises there.
        path: What is asked for.
        frameworks: The frameworks that have such a place.
        asyncio_only: Whether it hangs on asyncio.
        raises_on: What an unexpected exception has become when it gets to the server.
    """

    row: str
    name: str
    build: Callable[[Framework, Make], Site]
    path: str = "/"
    frameworks: tuple[Framework, ...] = FRAMEWORKS
    asyncio_only: bool = False
    raises_on: type[BaseException] | None = None


def _places() -> Iterator[Place]:
    yield Place("A route raises", "", in_route)
    yield Place("A route raises", "in a thread", in_thread)
    for build in (in_dependency, in_dependency_that_yields):
        name = build.__name__.replace("_", " ")
        yield Place("A dependency raises", name, build, frameworks=("fastapi",))
    for where, put in (("inside", in_middleware), ("outside", outside_of_ours)):
        yield Place(f"Pure ASGI middleware {where} ours raises", "", partial(put, Raising))
        row = f"`BaseHTTPMiddleware` {where} ours raises"
        yield Place(row, "before it calls on", partial(put, RaisingBefore))
        yield Place(row, "after it called on", partial(put, RaisingAfter))
        row = f"The constructor of a middleware {where} ours raises"
        yield Place(row, "", partial(put, Unconstructible))
    row = "A route under other middleware raises"
    for name, middleware in PASSING.items():
        yield Place(row, f"under {name},", partial(under, middleware))
    yield Place("The middleware of a route raises", "", in_middleware_of_a_route)
    yield Place("The middleware of a route raises", "of a mount", in_middleware_of_a_mount, "/in/")
    yield from _mounted_places()
    yield Place("A router with no application around it", "raises", in_bare_router)
    row = "An exception handler of the user's raises"
    yield Place(row, "", partial(in_handler, TeapotError))
    row = "The user's handler for `Exception` raises"
    yield Place(row, "by class", partial(in_handler, Exception))
    yield Place(row, "by status", partial(in_handler, 500))
    yield Place("A task group raises", "one task", in_task_group, raises_on=ExceptionGroup)


def _mounted_places() -> Iterator[Place]:
    inners: tuple[tuple[str, Framework], ...] = (("Starlette", "starlette"), ("FastAPI", "fastapi"))
    for name, inner in inners:
        row = f"A mounted {name} application"
        yield Place(row, "raises in a route", partial(in_mounted, inner), "/in/")
        build = partial(in_mounted_middleware, inner)
        yield Place(row, "raises in its middleware", build, "/in/")
        build = partial(in_mounted_under_dispatch, inner)
        yield Place(row, "raises under `BaseHTTPMiddleware`", build, "/in/")
        build = partial(in_mount_of_a_mount, inner)
        yield Place(row, "mounts one that raises", build, "/in/in/")
        yield Place("An application under `Host`", f"{name} raises", partial(under_host, inner))
    yield Place("A mounted ASGI application", "raises", in_mounted_asgi, "/in/")
    row = "A mounted WSGI application"
    yield Place(row, "raises", in_mounted_wsgi, "/in/", asyncio_only=True)
    yield Place("A mounted router", "raises", in_mounted_router, "/in/")
    yield Place("A mounted router", "made of routes, raises", in_mount_of_routes, "/in/")


def _named(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def raised_anywhere() -> Iterator[Origin]:
    for place in _places():
        for name, fault in FAULTS.items():
            answer = fault.answer
            if answer.raises and place.raises_on:
                answer = replace(answer, raises=place.raises_on)
            yield Origin(
                place.row,
                _named(place.name, name),
                partial(_build, place.build, fault.make),
                answer,
                Request(path=place.path),
                place.frameworks,
                place.asyncio_only,
            )


def _build(build: Callable[[Framework, Make], Site], make: Make, framework: Framework) -> Site:
    return build(framework, make)


# Raised in one place only.


def raised_in_routes() -> Iterator[Origin]:
    faults = {
        "an unexpected one that an expected one caused": Fault(
            caused_by_an_expected_one, UNEXPECTED.answer
        ),
        "one that can neither be shown nor changed": Fault(
            UnfriendlyError, Answer(500, "server_error", raises=UnfriendlyError)
        ),
        "401": Fault(
            lambda: HTTPException(401),
            Answer(401, "unauthorized_client", headers={"www-authenticate": ["Bearer"]}),
        ),
        "401 with a challenge": Fault(
            lambda: HTTPException(401, headers={"WWW-Authenticate": "Basic"}),
            Answer(401, "unauthorized_client", headers={"www-authenticate": ["Basic"]}),
        ),
        "405": Fault(
            lambda: HTTPException(405), Answer(405, "invalid_request", headers={"allow": ["GET"]})
        ),
    }
    for name, fault in faults.items():
        build = partial(_build, in_route, fault.make)
        yield Origin("A route raises", name, build, fault.answer)


def with_two_routes(framework: Framework) -> Site:
    return Site(_two_routes(framework))


def _two_routes(framework: Framework) -> Starlette:
    app = application(framework)
    other = application(framework, methods=("PUT",))
    app.router.routes.extend(other.router.routes[-1:])
    return app


def with_a_number(framework: Framework) -> Site:
    app = application(framework)
    app.add_route("/numbers/{number:int}", fine)
    return Site(app)


def unrouted() -> Iterator[Origin]:
    row = "No route, or not for this method"
    not_found = Answer(404, "not_found")
    for method in ("GET", "HEAD", "POST"):
        yield Origin(row, f"404 for {method}", _fine, not_found, Request(method, "/nowhere"))
    allow = {"allow": ["GET"]}
    yield Origin(
        row, "405", _fine, Answer(405, "invalid_request", headers=allow), Request("DELETE")
    )
    both = Answer(405, "invalid_request", headers={"allow": ["GET, PUT"]})
    yield Origin(row, "405 of two routes", with_two_routes, both, Request("DELETE"))
    in_mount = Request("DELETE", "/in/")
    for inner in FRAMEWORKS:
        yield Origin(
            row,
            f"405 of two routes in a mounted {inner} application",
            partial(_mounting_made, partial(_two_routes, inner)),
            both,
            in_mount,
        )
    two = [Route("/", fine), Route("/", fine, methods=["PUT"])]
    router = partial(_mounting_made, partial(Router, two))
    yield Origin(row, "405 of two routes in a mounted router", router, both, in_mount)
    digits = Request(path=f"/numbers/{'9' * 5000}")
    failed = Answer(500, "server_error", raises=ValueError)
    yield Origin(row, "a number of 5,000 digits", with_a_number, failed, digits)


def _fine(framework: Framework) -> Site:
    return Site(application(framework))


class Validated(fastapi.FastAPI):
    """One that asks for a number, in the query and on a WebSocket."""

    def __init__(self) -> None:
        super().__init__()
        self.add_api_route("/validated", _validated, methods=["POST"], response_model=None)
        self.add_api_websocket_route("/validated", _validated_websocket)


async def _validated(limit: int, name: Annotated[str, fastapi.Body(embed=True)]) -> None: ...


async def _validated_websocket(websocket: WebSocket, limit: int) -> None: ...


INVALID = Answer(400, "invalid_request", fields=(("query.limit", "missing"), ("name", "missing")))


async def form(request: HTTPRequest) -> None:
    await request.form()


def reading_a_form(framework: Framework) -> Site:
    return Site(application(framework, form, methods=("POST",)))


MULTIPART = Request(
    "POST",
    headers={"content-type": "multipart/form-data; boundary=x"},
    body=(b"--x\r\nContent-Disposition: form-data; name=a\r\n", b"no colon here\r\n\r\n\x00--y"),
)


def invalid() -> Iterator[Origin]:
    row = "The request is not valid for its route"
    request = Request("POST", "/validated")
    only: tuple[Framework, ...] = ("fastapi",)
    yield Origin(row, "validation", lambda _: Site(Validated()), INVALID, request, only)
    mounted = Request("POST", "/in/validated")
    row_of_mount = "A mounted FastAPI application"
    yield Origin(row_of_mount, "validates", _mounting_validated, INVALID, mounted)
    yield Origin(
        row, "malformed multipart", reading_a_form, Answer(400, "invalid_request"), MULTIPART
    )


def _mounting_validated(framework: Framework) -> Site:
    return mounting(framework, "/in", Validated())


def routed_in_mounts() -> Iterator[Origin]:
    """What mounted applications and routers answer where they have no route."""
    inners: Mapping[str, Callable[[], ASGIApp]] = {
        "A mounted Starlette application": partial(application, "starlette"),
        "A mounted FastAPI application": partial(application, "fastapi"),
        "A mounted router": partial(Router, [Route("/", fine)]),
    }
    for row, inner in inners.items():
        build = partial(_mounting_made, inner)
        yield Origin(row, "has no route", build, Answer(404, "not_found"), Request(path="/in/no"))
        refused = Answer(405, "invalid_request", headers={"allow": ["GET"]})
        yield Origin(row, "does not have the method", build, refused, Request("PUT", "/in/"))
    row = "A router with no application around it"
    routes = [Route("/", fine)]
    bare = partial(_bare, partial(Router, routes))
    yield Origin(row, "has no route", bare, Answer(404, "not_found"), Request(path="/no"))
    refused = Answer(405, "invalid_request", headers={"allow": ["GET"]})
    yield Origin(row, "does not have the method", bare, refused, Request("PUT"))


def _mounting_made(make: Callable[[], ASGIApp], framework: Framework) -> Site:
    return mounting(framework, "/in", make())


def _bare(make: Callable[[], ASGIApp], framework: Framework) -> Site:
    return Site(make())


def wsgi_returning(status: str, content_type: str, body: bytes) -> ASGIApp:
    def wsgi(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response(status, [("Content-Type", content_type), ("X-Mine", "yes")])
        return [body]

    return _asgi(wsgi)


def returned_by_wsgi() -> Iterator[Origin]:
    make = partial(wsgi_returning, "404 Not Found", "text/plain", b"No such page.")
    yield Origin(
        "A mounted WSGI application",
        "returns plain text",
        partial(_mounting_made, make),
        Answer(404, "not_found", "No such page.", headers={"x-mine": ["yes"]}),
        Request(path="/in/"),
        asyncio_only=True,
    )


# Groups, cancellation, the end of the process.


def raising_group(*makes: Make) -> Make:
    return lambda: BaseExceptionGroup("several", [make() for make in makes])


def nested(make: Make) -> Make:
    return lambda: BaseExceptionGroup("outer", [BaseExceptionGroup("inner", [make()])])


def groups() -> Iterator[Origin]:
    row = "A task group raises"
    in_group = Answer(500, "server_error", raises=ExceptionGroup)
    faults = {
        "a nested group": Fault(nested(OURS.make), OURS.answer),
        "two expected ones, the first answers": Fault(
            raising_group(OURS.make, HTTP.make), OURS.answer
        ),
        "an expected one and an unexpected one": Fault(
            raising_group(OURS.make, UNEXPECTED.make), in_group
        ),
        "an unexpected one alone": Fault(raising_group(UNEXPECTED.make), in_group),
        "one within 2,000 others": Fault(deep, OURS.answer),
    }
    for name, fault in faults.items():
        yield Origin(row, name, partial(_build, in_route, fault.make), fault.answer)
        build = partial(_build, partial(in_middleware, Raising), fault.make)
        yield Origin(row, f"{name}, in middleware", build, fault.answer)
        build = partial(_build, partial(in_mounted, "starlette"), fault.make)
        yield Origin(row, f"{name}, in a mount", build, fault.answer, Request(path="/in/"))
    cancelled = raising_group(OURS.make, asyncio.CancelledError)
    build = partial(_build, in_route, cancelled)
    answer = Answer(500, "server_error", raises=BaseExceptionGroup)
    yield Origin(
        row, "a cancellation that nobody asked for is in it", build, answer, asyncio_only=True
    )


def deep() -> BaseException:
    error = OURS.make()
    for _ in range(2000):
        error = BaseExceptionGroup("another", [error])
    return error


async def too_slow(request: HTTPRequest) -> None:
    with anyio.fail_after(0.001):
        await anyio.sleep_forever()


class TimeLimit:
    """Gives the application below no time at all."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with anyio.fail_after(0.001):
            await self.app(scope, receive, send)


async def sleeping(request: HTTPRequest) -> None:
    await anyio.sleep_forever()


async def awaiting_a_cancelled_task(request: HTTPRequest) -> None:
    task = asyncio.ensure_future(asyncio.sleep(1))
    task.cancel()
    await task


def interrupted() -> Iterator[Origin]:
    row = "A timeout, a cancellation that nobody asked for"
    timeout = Answer(500, "server_error", raises=TimeoutError)
    yield Origin(row, "a timeout in a route", lambda f: Site(application(f, too_slow)), timeout)
    yield Origin(row, "a timeout in middleware", _limited, timeout)
    cancelled = Answer(500, "server_error", raises=asyncio.CancelledError)
    build: Build = partial(_build, in_route, asyncio.CancelledError)
    yield Origin(row, "`CancelledError` in a route", build, cancelled, asyncio_only=True)
    build = partial(_build, partial(in_middleware, Raising), asyncio.CancelledError)
    yield Origin(row, "`CancelledError` in middleware", build, cancelled, asyncio_only=True)

    def awaiting(framework: Framework) -> Site:
        return Site(application(framework, awaiting_a_cancelled_task))

    yield Origin(row, "a route awaits what was cancelled", awaiting, cancelled, asyncio_only=True)
    for make in (SystemExit, KeyboardInterrupt):
        yield Origin(
            "`SystemExit`, `KeyboardInterrupt`",
            make.__name__,
            partial(_build, in_route, make),
            Answer(500, "server_error", raises=make),
            over_the_wire=False,
        )
    yield Origin(
        "`SystemExit`, `KeyboardInterrupt`",
        "in a group",
        partial(_build, in_route, raising_group(SystemExit, OURS.make)),
        Answer(500, "server_error", raises=BaseExceptionGroup),
        over_the_wire=False,
    )


def _limited(framework: Framework) -> Site:
    return Site(application(framework, sleeping, inside=[Middleware(TimeLimit)]))


# Debugging, and handlers that answer nothing.


def much() -> BaseException:
    """Make an exception whose traceback is longer than what is looked at."""
    return RuntimeError(SECRET * 5000)


def debugged() -> Iterator[Origin]:
    row = "`debug=True`, for other clients than browsers"
    for name, fault in FAULTS.items():
        build = partial(_debugging, fault.make)
        yield Origin(row, name, build, fault.answer)
        accept = {"accept": "application/json"}
        yield Origin(row, f"{name}, for JSON", build, fault.answer, Request(headers=accept))
    build = partial(_debugging_middleware, UNEXPECTED.make)
    yield Origin(row, "in middleware", build, UNEXPECTED.answer)
    for name, make in {"in a mount": UNEXPECTED.make, "much, in a mount": much}.items():
        build = partial(_mounting_debugged, make)
        yield Origin(row, name, build, UNEXPECTED.answer, Request(path="/in/"))
    yield Origin(row, "much", partial(_debugging, much), UNEXPECTED.answer)


def _debugging(make: Make, framework: Framework) -> Site:
    return Site(application(framework, endpoint_raising(make), debug=True))


def _debugging_middleware(make: Make, framework: Framework) -> Site:
    return Site(application(framework, inside=[Middleware(Raising, make)], debug=True))


def _mounting_debugged(make: Make, framework: Framework) -> Site:
    return mounting(framework, "/in", application(framework, endpoint_raising(make), debug=True))


async def silent(scope: Scope, receive: Receive, send: Send) -> None: ...


def without_a_response() -> Iterator[Origin]:
    row = "No response is sent at all"
    answer = Answer(500, "server_error")
    yield Origin(
        row,
        "by a mounted ASGI application",
        partial(_mounting_made, lambda: silent),
        answer,
        Request(path="/in/"),
    )

    async def none(request: HTTPRequest, exc: Exception) -> Any: ...

    def build(framework: Framework) -> Site:
        handlers = {TeapotError: none}
        return Site(
            application(framework, endpoint_raising(TeapotError), exception_handlers=handlers)
        )

    yield Origin(row, "by a handler that returns `None`", build, answer)


# Returned by middleware, files, limits.


class Refusing(AuthenticationBackend):
    """Accepts nobody."""

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, User] | None:
        raise AuthenticationError("No key.")


class Prohibiting(BaseHTTPMiddleware):
    """Answers in plain text by itself."""

    async def dispatch(self, request: HTTPRequest, call_next: RequestResponseEndpoint) -> Response:
        return PlainTextResponse("Not today.", 403)


async def prohibit(request: HTTPRequest, call_next: RequestResponseEndpoint) -> Response:
    return PlainTextResponse("Not today.", 403)


class Catching:
    """Answers in plain text while it still handles an exception."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.app(scope, receive, send)
        except TeapotError:
            await PlainTextResponse("Not today.", 403)(scope, receive, send)


def catching(framework: Framework) -> Site:
    """Have a handler for everything, which is not asked."""

    async def handler(request: HTTPRequest, exc: Exception) -> Any: ...

    return Site(
        application(
            framework,
            endpoint_raising(TeapotError),
            inside=[Middleware(Catching)],
            exception_handlers={Exception: handler},
        )
    )


@dataclass(frozen=True)
class Refusal:
    """A middleware that answers instead of the application."""

    name: str
    middleware: Middleware
    answer: Answer
    request: Request = field(default_factory=Request)
    cors: bool = True


PREFLIGHT = Request(
    "OPTIONS", headers={"origin": ORIGIN, "access-control-request-method": "DELETE"}
)
REFUSALS = (
    Refusal(
        "`TrustedHostMiddleware`",
        Middleware(TrustedHostMiddleware, allowed_hosts=["other.example"]),
        Answer(400, "invalid_request", "Invalid host header"),
    ),
    Refusal(
        "`AuthenticationMiddleware`",
        Middleware(AuthenticationMiddleware, backend=Refusing()),
        Answer(400, "invalid_request", "No key."),
    ),
    Refusal(
        "`BaseHTTPMiddleware`",
        Middleware(Prohibiting),
        Answer(403, "access_denied", "Not today."),
    ),
    Refusal(
        "a function of `BaseHTTPMiddleware`",
        Middleware(BaseHTTPMiddleware, dispatch=prohibit),
        Answer(403, "access_denied", "Not today."),
    ),
    Refusal(
        "a refused CORS preflight",
        OUR_CORS,
        Answer(
            400,
            "invalid_request",
            "Disallowed CORS method",
            headers={
                "access-control-allow-origin": [ORIGIN],
                "access-control-allow-methods": ["GET, POST"],
                "access-control-allow-credentials": ["true"],
            },
        ),
        PREFLIGHT,
        # Two of them would be one too many.
        cors=False,
    ),
)


def refused_by_middleware() -> Iterator[Origin]:
    for refusal in REFUSALS:
        for where in ("inside", "outside"):
            yield Origin(
                f"Middleware {where} ours answers",
                refusal.name,
                partial(_refusing, refusal.middleware, where),
                refusal.answer,
                refusal.request,
                cors=refusal.cors,
            )


def caught_by_middleware() -> Iterator[Origin]:
    row = "Middleware inside ours answers"
    answer = Answer(403, "access_denied", "Not today.")
    yield Origin(row, "what it has caught", catching, answer)


def _refusing(middleware: Middleware, where: str, framework: Framework) -> Site:
    if where == "inside":
        return Site(application(framework, inside=[middleware]))
    return Site(application(framework), (middleware,))


FILE = Path(__file__)


class LockedFiles(StaticFiles):
    """Files that the process may not read; a process of root's may read any."""

    def lookup_path(self, path: str) -> Any:
        raise PermissionError


async def file(request: HTTPRequest) -> Response:
    return FileResponse(FILE, media_type="text/x-python")


def files() -> Iterator[Origin]:
    row = "`StaticFiles` and `FileResponse`"
    static = partial(_mounting_made, partial(StaticFiles, directory=FILE.parent))
    locked = partial(_mounting_made, partial(LockedFiles, directory=FILE.parent))
    not_found = Answer(404, "not_found")
    yield Origin(row, "404", static, not_found, Request(path="/in/no.txt"))
    yield Origin(row, "404 for HEAD", static, not_found, Request("HEAD", "/in/no.txt"))
    yield Origin(
        row, "a name that is too long", static, not_found, Request(path=f"/in/{'x' * 300}")
    )
    allowed = Answer(405, "invalid_request", headers={"allow": ["GET, HEAD"]})
    yield Origin(row, "405", static, allowed, Request("PUT", "/in/no.txt"))
    challenged = Answer(401, "unauthorized_client", headers={"www-authenticate": ["Bearer"]})
    yield Origin(row, "401", locked, challenged, Request(path="/in/a.txt"))
    size = FILE.stat().st_size
    beyond = Request(headers={"range": f"bytes={size}-"})
    unsatisfied = {"content-range": [f"bytes */{size}"], "accept-ranges": [], "etag": []}
    answer = Answer(416, "invalid_request", headers=unsatisfied)
    yield Origin(row, "416", _with_file, answer, beyond)
    malformed = Request(headers={"range": "lines=1-2"})
    answer = Answer(400, "invalid_request", "Only support bytes range")
    yield Origin(row, "a range of something else", _with_file, answer, malformed)


def _with_file(framework: Framework) -> Site:
    return Site(application(framework, file))


async def reading(request: HTTPRequest) -> Response:
    return PlainTextResponse(str(len(await request.body())))


def limits() -> Iterator[Origin]:
    answer = Answer(413, "invalid_request")
    announced = Request("POST", headers={"content-length": "40"}, body=(b"x" * 40,))
    chunked = Request("POST", body=(b"x" * 8, b"x" * 32))
    row = "`max_body_size`, announced"
    for name, endpoint in {"read": reading, "not read": fine}.items():
        yield Origin(row, name, partial(_limiting, endpoint), answer, announced)
    row = "`max_body_size`, found while reading"
    yield Origin(row, "in the application", partial(_limiting, reading), answer, chunked)
    mounted = Request("POST", "/in/", body=(b"x" * 8, b"x" * 32))
    yield Origin(row, "in a mounted one", _mounting_limited, answer, mounted)


def _limiting(endpoint: Callable[[HTTPRequest], Any], framework: Framework) -> Site:
    return Site(application(framework, endpoint, methods=("POST",), max_body_size=10))


def _mounting_limited(framework: Framework) -> Site:
    inner = application(framework, reading, methods=("POST",), max_body_size=10)
    return mounting(framework, "/in", inner)


# Returned by endpoints.


def endpoint_returning(make: Callable[[], Response]) -> Callable[[HTTPRequest], Any]:
    async def endpoint(request: HTTPRequest) -> Response:
        return make()

    return endpoint


KEPT = {
    "Allow": "GET",
    "Retry-After": "7",
    "WWW-Authenticate": "Basic",
    "Set-Cookie": "a=1",
    "Vary": "Accept",
    "X-Mine": "yes",
}
DROPPED = {
    "Content-Language": "de",
    "Content-Location": "/other",
    "Content-Disposition": "inline",
    "ETag": '"1"',
    "Last-Modified": "Sun, 06 Nov 1994 08:49:37 GMT",
    "Accept-Ranges": "bytes",
}
PYDANTIC = [{"loc": ["query", "limit"], "type": "missing", "msg": "Field required", "input": None}]


def returned_by_endpoints() -> Iterator[Origin]:
    row = "An endpoint returns plain text, or nothing"
    kept = {name.lower(): [value] for name, value in KEPT.items()}
    dropped: dict[str, list[str]] = {name.lower(): [] for name in DROPPED}
    text = PlainTextResponse
    for name, make, answer in (
        ("text", lambda: text("No page.", 404), Answer(404, "not_found", "No page.")),
        (
            "another code's text",
            lambda: text("Busy.", 429),
            Answer(429, "usage_limit_exceeded", "Busy."),
        ),
        ("text of a server error", lambda: text(SECRET, 500), Answer(500, "server_error")),
        ("text of a gateway", lambda: text(SECRET, 503), Answer(503, "server_error")),
        ("long text", lambda: text("x" * 5000, 404), Answer(404, "not_found")),
        ("text of several lines", lambda: text("one\x00\ntwo", 404), Answer(404, "not_found")),
        ("nothing, 404", lambda: Response(status_code=404), Answer(404, "not_found")),
        ("nothing, 500", lambda: Response(status_code=500), Answer(500, "server_error")),
        (
            "nothing, 401",
            lambda: Response(status_code=401),
            Answer(401, "unauthorized_client", headers={"www-authenticate": ["Bearer"]}),
        ),
        (
            "text with headers",
            lambda: text("Later.", 409, {**KEPT, **DROPPED}),
            Answer(409, "conflict", "Later.", {"retry_after": 7}, {**kept, **dropped}),
        ),
        (
            "nothing, 412 with an entity tag",
            lambda: Response(status_code=412, headers={"ETag": '"7"'}),
            Answer(412, "precondition_failed", None, {"current_etag": '"7"'}, {"etag": ['"7"']}),
        ),
    ):
        yield Origin(row, name, partial(_returning, make), answer)
    yield from _details()


def _details() -> Iterator[Origin]:
    row = 'An endpoint returns `{"detail": …}`'
    at_its_word = {"error": "seat_taken", "error_description": "12A is taken.", "seat": "12A"}
    for name, detail, answer in (
        ("text", "Taken.", Answer(409, "conflict", "Taken.")),
        ("an error", at_its_word, Answer(409, "seat_taken", "12A is taken.", {"seat": "12A"})),
        (
            "what pydantic found",
            PYDANTIC,
            Answer(400, "invalid_request", fields=(("query.limit", "missing"),)),
        ),
    ):
        status = 422 if detail is PYDANTIC else 409
        make = partial(JSONResponse, {"detail": detail}, status)
        yield Origin(row, name, partial(_returning, make), answer)


def _returning(make: Callable[[], Response], framework: Framework) -> Site:
    return Site(application(framework, endpoint_returning(make)))


# CORS elsewhere than in the application's middleware.


def with_own_cors() -> Iterator[Origin]:
    row = "An application with CORS of its own is mounted"
    for name, fault in FAULTS.items():
        for inner in FRAMEWORKS:
            build = partial(_mounting_cors, inner, fault.make)
            yield _with_cors(row, f"{inner} raises {name}", build, fault.answer, "/in/")
            build = partial(_mounting_cors_around, inner, fault.make)
            yield _with_cors(row, f"{inner} raises {name} outside", build, fault.answer, "/in/")
    not_found = Answer(404, "not_found")
    build = partial(_mounting_cors, "starlette", OURS.make)
    yield _with_cors(row, "it has no route", build, not_found, "/in/no")
    row = "A mount has CORS of its own"
    for name, fault in FAULTS.items():
        build = partial(_build, under_cors_of_a_mount, fault.make)
        yield _with_cors(row, f"a route in it raises {name}", build, fault.answer, "/in/")
    build = partial(_build, under_cors_of_a_mount, OURS.make)
    yield _with_cors(row, "it has no route", build, not_found, "/in/no")


def _with_cors(row: str, name: str, build: Build, answer: Answer, path: str) -> Origin:
    return Origin(row, name, build, answer, Request(path=path), cors=False, has_cors=True)


def _mounting_cors(inner: Framework, make: Make, framework: Framework) -> Site:
    """Raise inside the CORS of the mounted application."""
    inner_app = application(inner, endpoint_raising(make), inside=[OUR_CORS])
    return mounting(framework, "/in", inner_app)


def _mounting_cors_around(inner: Framework, make: Make, framework: Framework) -> Site:
    """Raise outside the CORS of the mounted application, in its own middleware."""
    inside = [Middleware(Raising, make), OUR_CORS]
    return mounting(framework, "/in", application(inner, inside=inside))


def under_cors_of_a_mount(framework: Framework, make: Make) -> Site:
    app = application(framework)
    cors = [OUR_CORS]
    app.router.routes.append(Mount("/in", routes=routes_raising(make), middleware=cors))
    return Site(app)


# Oddities.

PLAIN = (b"content-type", b"text/plain")


def messages_sent(make: Callable[[], list[Message]]) -> ASGIApp:
    """Make an application that sends messages, new ones each time."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in make():
            await send(message)

    return app


def started(status: Any, headers: Any = (PLAIN,), **parts: Any) -> Message:
    return {"type": "http.response.start", "status": status, "headers": headers, **parts}


def body(content: Any = b"Gone.", **parts: Any) -> Message:
    return {"type": "http.response.body", "body": content, **parts}


HINT: Message = {"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]}
TRAILERS: Message = {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]}
PATHSEND: Message = {"type": "http.response.pathsend", "path": str(FILE)}
UNKNOWN: Message = {"type": "http.response.unheard_of", "value": 1}


def oddities() -> Iterator[Origin]:
    row = "Oddities that ASGI allows"
    gone = Answer(404, "not_found", "Gone.")
    cases: Mapping[str, tuple[Callable[[], list[Message]], Answer]] = {
        "headers that are read once": (
            lambda: [started(404, iter([PLAIN, (b"x-mine", b"yes")])), body()],
            Answer(404, "not_found", "Gone.", headers={"x-mine": ["yes"]}),
        ),
        "headers in upper case": (
            lambda: [started(404, [(b"CONTENT-TYPE", b"TEXT/PLAIN"), (b"ETAG", b'"1"')]), body()],
            Answer(404, "not_found", "Gone.", headers={"etag": []}),
        ),
        "headers as lists": (lambda: [started(404, [list(PLAIN)]), body()], gone),
        "no headers": (
            lambda: [{"type": "http.response.start", "status": 404}, body(b"")],
            Answer(404, "not_found"),
        ),
        "a body message without a body": (
            lambda: [started(404), {"type": "http.response.body"}],
            Answer(404, "not_found"),
        ),
        "a `bytearray`": (lambda: [started(404), body(bytearray(b"Gone."))], gone),
        "a `memoryview`": (lambda: [started(404), body(memoryview(b"Gone."))], gone),
        "a body in pieces": (
            lambda: [
                started(404),
                body(b"Go", more_body=True),
                body(b"", more_body=True),
                body(b"ne."),
            ],
            gone,
        ),
        "a status that is an `IntEnum`": (
            lambda: [started(HTTPStatus.NOT_FOUND), body()],
            gone,
        ),
        "trailers": (lambda: [started(404, trailers=True), body(), TRAILERS], gone),
        "an early hint": (
            lambda: [HINT, started(404), body()],
            Answer(404, "not_found", "Gone.", before=(HINT["type"],)),
        ),
        "a file by its path": (
            lambda: [started(404), PATHSEND],
            Answer(404, "not_found"),
        ),
        "a message that nobody knows, before": (
            lambda: [UNKNOWN, started(404), body()],
            Answer(404, "not_found", "Gone.", before=(UNKNOWN["type"],)),
        ),
    }
    for name, (make, answer) in cases.items():
        build = partial(_mounting_made, partial(messages_sent, make))
        yield Origin(row, name, build, answer, Request(path="/in/", extensions=EXTENSIONS))
    for name, fault in FAULTS.items():
        build = partial(_build, within_text, fault.make)
        text = f"{name} in the middle of a plain-text error"
        yield Origin(row, text, build, fault.answer, Request(path="/in/"))


def within_text(framework: Framework, make: Make) -> Site:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(started(404, [PLAIN]))
        await send(body(b"Go", more_body=True))
        fail(make)

    return mounting(framework, "/in", app)


EXTENSIONS = (
    "http.response.early_hint",
    "http.response.trailers",
    "http.response.pathsend",
    "http.response.unheard_of",
)


# WebSockets.

SOCKET = Request(kind="websocket")
Conversation = Callable[[WebSocket], Awaitable[None]]


def speaking(framework: Framework, conversation: Conversation, path: str = "/") -> Site:
    app = application(framework)
    if isinstance(app, FastAPI):
        app.add_api_websocket_route(path, conversation)
    else:
        app.router.add_websocket_route(path, conversation)
    return Site(app)


def raising_before(make: Make) -> Conversation:
    async def conversation(websocket: WebSocket) -> None:
        fail(make)

    return conversation


def raising_after(make: Make) -> Conversation:
    async def conversation(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("welcome")
        fail(make)

    return conversation


REFUSED: Make = partial(WebSocketException, 4403, "Not you.")


async def closing(websocket: WebSocket) -> None:
    await websocket.close(4403, "Not you.")


async def forget(websocket: WebSocket) -> None:
    """Neither accept a WebSocket nor close it."""


def _speaking(conversation: Conversation, framework: Framework) -> Site:
    return speaking(framework, conversation)


def _mounting_socket(make: Make, framework: Framework) -> Site:
    inner = speaking(framework, raising_before(make))
    return mounting(framework, "/in", inner.app)


def _closed_before_accept() -> Iterator[tuple[str, str, Build, Answer, Request]]:
    """What closes by itself."""
    row = "WebSocket: no route"
    nowhere = Request(kind="websocket", path="/nowhere")
    yield row, "", _fine, Answer(404, "not_found"), nowhere
    mounted = partial(_mounting_made, partial(application, "starlette"))
    in_mount = Request(kind="websocket", path="/in/no")
    yield row, "in a mount", mounted, Answer(404, "not_found"), in_mount
    row = "WebSocket: closed before it is accepted"
    denied = Answer(403, "access_denied", "Not you.")
    yield row, "by the application", partial(_speaking, closing), denied, SOCKET
    build = partial(_speaking, raising_before(REFUSED))
    yield row, "by a `WebSocketException`", build, denied, SOCKET
    row = "WebSocket: neither accepted nor closed"
    yield row, "", partial(_speaking, forget), Answer(500, "server_error"), SOCKET
    # It closes the WebSocket, and says no more.
    silently = Answer(403, "access_denied")
    for where in ("inside", "outside"):
        build = partial(_refusing, REFUSALS[1].middleware, where)
        row = f"WebSocket: middleware {where} ours denies"
        yield row, REFUSALS[1].name, build, silently, SOCKET


def _before_accept() -> Iterator[tuple[str, str, Build, Answer, Request]]:
    row = "WebSocket: raised before it is accepted"
    for name, fault in FAULTS.items():
        yield row, name, partial(_speaking, raising_before(fault.make)), fault.answer, SOCKET
        build = partial(_mounting_socket, fault.make)
        in_mount = Request(kind="websocket", path="/in/")
        yield row, f"{name} in a mount", build, fault.answer, in_mount
        for where, put in (("inside", in_middleware), ("outside", outside_of_ours)):
            build = partial(_build, partial(put, Raising), fault.make)
            yield f"WebSocket: middleware {where} ours denies", name, build, fault.answer, SOCKET
    for where in ("inside", "outside"):
        build = partial(_refusing, REFUSALS[0].middleware, where)
        row = f"WebSocket: middleware {where} ours denies"
        yield row, REFUSALS[0].name, build, REFUSALS[0].answer, SOCKET


def websockets() -> Iterator[Origin]:
    for row, name, build, answer, request in (*_before_accept(), *_closed_before_accept()):
        yield from _with_and_without_denial(row, name, build, answer, request)
    row = "WebSocket: raised before it is accepted"
    answer = Answer(400, "invalid_request", fields=(("query.limit", "missing"),))
    request = Request(kind="websocket", path="/validated")
    for origin in _with_and_without_denial(
        row, "validation", lambda _: Site(Validated()), answer, request
    ):
        yield _only_fastapi(origin)
    row = "WebSocket: raised after it is accepted"
    for name, fault in FAULTS.items():
        answer = replace(fault.answer, closes=_close(fault.answer), accepted=True)
        yield Origin(row, name, partial(_speaking, raising_after(fault.make)), answer, SOCKET)


def _with_and_without_denial(
    row: str, name: str, build: Build, answer: Answer, request: Request
) -> Iterator[Origin]:
    yield Origin(row, _named(name, "with denial"), build, answer, request)
    closed = replace(answer, closes=_close(answer))
    plain = replace(request, denial=False)
    yield Origin(row, _named(name, "without denial"), build, closed, plain)


def _close(answer: Answer) -> tuple[int, str]:
    return (1008 if answer.status < 500 else 1011), answer.code


def _only_fastapi(origin: Origin) -> Origin:
    return replace(origin, frameworks=("fastapi",))


ORIGINS: tuple[Origin, ...] = (
    *raised_anywhere(),
    *raised_in_routes(),
    *unrouted(),
    *invalid(),
    *routed_in_mounts(),
    *returned_by_wsgi(),
    *groups(),
    *interrupted(),
    *debugged(),
    *without_a_response(),
    *refused_by_middleware(),
    *caught_by_middleware(),
    *files(),
    *limits(),
    *returned_by_endpoints(),
    *with_own_cors(),
    *oddities(),
    *websockets(),
)


def table() -> str:
    """Write `COVERAGE` as the README has it."""
    heads = ("Where the error comes from", *(f"`{way}`" for way in WAYS))
    rows = [(row, *cells) for row, cells in COVERAGE.items()]
    lines = [heads, ("---", ":-:", ":-:", ":-:"), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
