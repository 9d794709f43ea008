"""Who is measured: ours, what one writes by hand, what the frameworks do, and other libraries.

Each contender is one way to answer in one situation. In all of them an endpoint does nothing but
raise, or return a ready response. Each answer is checked before it is counted or timed.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from authpi_errors import (
    ErrorMiddleware,
    NotFoundError,
    PreconditionFailedError,
    UsageLimitExceededError,
    install,
)
from benchmarks import exchange
from benchmarks.by_hand import (
    ByHandError,
    PassOn,
    TryExcept,
    add_handlers,
    catching,
    ready_response,
    sending,
)
from benchmarks.peers import PEERS, Peer
from benchmarks.situations import (
    CHANGING,
    DESCRIPTIONS,
    INVALID,
    NOT_FOUND,
    PRECONDITION,
    RATE_LIMIT,
    SITUATIONS,
    SUCCESS,
    UNEXPECTED,
    UNROUTED,
    violations,
)

__all__ = [
    "ADD_MIDDLEWARE",
    "CAUGHT",
    "CONTENDERS",
    "DEFAULT",
    "FRAMEWORKS",
    "HANDLER",
    "INSTALL",
    "INSTALL_BEHIND",
    "MIDDLEWARE",
    "READY",
    "READY_BEHIND",
    "TRY_EXCEPT",
    "Contender",
    "check",
]

READY = "ready bytes"
CAUGHT = "raise, except, ready bytes"
MIDDLEWARE = "ErrorMiddleware"
ADD_MIDDLEWARE = "authpi_errors, add_middleware"
INSTALL = "authpi_errors, install"
HANDLER = "hand-written handler, orjson"
TRY_EXCEPT = "BaseHTTPMiddleware, try and except"
DEFAULT = "the framework's HTTPException"
# Behind middleware of the application's own, there is a boundary on either side of that.
READY_BEHIND = "ready bytes behind middleware"
INSTALL_BEHIND = "authpi_errors, install, behind middleware"

Endpoint = Callable[[Request], Awaitable[Response]]
# What an endpoint raises, by situation.
Raises = Mapping[str, Callable[[], Exception]]

_ETAG = '"1709139700000"'
_numbers = itertools.count(10_000)


def _changing() -> str:
    return f"There is no user {next(_numbers)}."


def _bug() -> Exception:
    return RuntimeError("a bug")


_RAISED_WITH_OURS: Raises = {
    NOT_FOUND: lambda: NotFoundError(DESCRIPTIONS[NOT_FOUND]),
    CHANGING: lambda: NotFoundError(_changing()),
    PRECONDITION: lambda: PreconditionFailedError(DESCRIPTIONS[PRECONDITION], current_etag=_ETAG),
    RATE_LIMIT: lambda: UsageLimitExceededError(DESCRIPTIONS[RATE_LIMIT], retry_after=30),
    UNEXPECTED: _bug,
}

_RAISED_BY_HAND: Raises = {
    NOT_FOUND: lambda: ByHandError(404, "not_found", DESCRIPTIONS[NOT_FOUND]),
    CHANGING: lambda: ByHandError(404, "not_found", _changing()),
    PRECONDITION: lambda: ByHandError(
        412,
        "precondition_failed",
        DESCRIPTIONS[PRECONDITION],
        headers={"etag": _ETAG},
        members={"current_etag": _ETAG, "currentETag": _ETAG},
    ),
    RATE_LIMIT: lambda: ByHandError(
        429,
        "usage_limit_exceeded",
        DESCRIPTIONS[RATE_LIMIT],
        retryable=True,
        headers={"retry-after": "30"},
        members={"retry_after": 30},
    ),
    UNEXPECTED: _bug,
}

_RAISED_BY_DEFAULT: Raises = {
    NOT_FOUND: lambda: HTTPException(404, DESCRIPTIONS[NOT_FOUND]),
    CHANGING: lambda: HTTPException(404, _changing()),
    PRECONDITION: lambda: HTTPException(412, DESCRIPTIONS[PRECONDITION], {"etag": _ETAG}),
    RATE_LIMIT: lambda: HTTPException(429, DESCRIPTIONS[RATE_LIMIT], {"retry-after": "30"}),
}


def _raising(make: Callable[[], Exception]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        raise make()

    return endpoint


def _returning(response: Response) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        return response

    return endpoint


def _raw_raising(make: Callable[[], Exception]) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise make()

    return app


class User(BaseModel):
    """What the endpoint takes that has something to validate."""

    name: str
    age: int
    email: str


def _starlette(endpoint: Endpoint) -> Starlette:
    return Starlette(routes=[Route("/", endpoint)])


def _fastapi(endpoint: Endpoint) -> FastAPI:
    app = FastAPI()
    app.get("/")(endpoint)
    ready = ready_response(SITUATIONS[INVALID])

    @app.post("/users")
    async def create_user(user: User) -> Response:
        return ready

    return app


FRAMEWORKS: Mapping[str, Callable[[Endpoint], Starlette]] = {
    "Starlette": _starlette,
    "FastAPI": _fastapi,
}


def _nothing(app: Starlette) -> None:
    pass


def _add_middleware(app: Starlette) -> None:
    app.add_middleware(ErrorMiddleware)


def _add_pass_on(app: Starlette) -> None:
    app.add_middleware(PassOn)


def _install_behind(app: Starlette) -> None:
    app.add_middleware(PassOn)
    install(app)


def _add_try_except(app: Starlette) -> None:
    app.add_middleware(TryExcept)


def _answer_by_default(app: Starlette) -> None:
    """Give the router ready bytes for what it has no route for: it raises nothing then."""
    app.router.default = sending(SITUATIONS[UNROUTED])


_OURS_IN = {ADD_MIDDLEWARE: _add_middleware, INSTALL: install}


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to answer in one situation.

    Attributes:
        framework: Starlette, FastAPI, or ASGI for an application without a framework.
        way: What answers.
        situation: The name of the situation.
        make: Makes the application.
        media_type: That of the answer.
        is_authpi: Whether the answer has AuthPI's format.
        request: What is asked again and again, if it is not what the situation says.
        needs: The module without which it can't run.
    """

    framework: str
    way: str
    situation: str
    make: Callable[[], ASGIApp]
    media_type: str = "application/json"
    is_authpi: bool = True
    request: exchange.Request | None = None
    needs: str = "authpi_errors"

    @property
    def name(self) -> str:
        """A name that no other has."""
        return f"{self.framework}: {self.way}: {self.situation}"

    @property
    def lacks(self) -> str | None:
        """Say why it can't run here, if it can't."""
        if importlib.util.find_spec(self.needs) is not None:
            return None
        return f"can't run: {self.needs} is not installed"

    @property
    def asks(self) -> exchange.Request:
        """What is asked again and again."""
        return self.request or SITUATIONS[self.situation].request


def _app(framework: str, endpoint: Endpoint, add: Callable[[Starlette], object]) -> ASGIApp:
    app = FRAMEWORKS[framework](endpoint)
    add(app)
    return app


def _wrapped(make: Callable[[], Exception]) -> ASGIApp:
    return ErrorMiddleware(_raw_raising(make))


def _without_framework() -> Iterator[Contender]:
    for name, make in _RAISED_WITH_OURS.items():
        situation = SITUATIONS[name]
        yield Contender("ASGI", READY, name, partial(sending, situation))
        yield Contender("ASGI", CAUGHT, name, partial(catching, situation))
        yield Contender("ASGI", MIDDLEWARE, name, partial(_wrapped, make))


def _within(framework: str) -> Iterator[Contender]:
    def contender(way: str, name: str, endpoint: Endpoint, add: _Add) -> Contender:
        return Contender(framework, way, name, partial(_app, framework, endpoint, add))

    fine = _returning(ready_response(SITUATIONS[SUCCESS]))
    others: dict[str, _Add] = {HANDLER: add_handlers, TRY_EXCEPT: _add_try_except}
    behind: dict[str, _Add] = {READY_BEHIND: _add_pass_on, INSTALL_BEHIND: _install_behind}
    for way, add in {READY: _nothing, **_OURS_IN, **others, **behind}.items():
        yield contender(way, SUCCESS, fine, add)
    for name, make in _RAISED_WITH_OURS.items():
        yield contender(READY, name, _returning(ready_response(SITUATIONS[name])), _nothing)
        for way, add in _OURS_IN.items():
            yield contender(way, name, _raising(make), add)
        for way, add in others.items():
            yield contender(way, name, _raising(_RAISED_BY_HAND[name]), add)
    yield contender(READY, UNROUTED, fine, _answer_by_default)
    for way, add in {**_OURS_IN, HANDLER: add_handlers}.items():
        yield contender(way, UNROUTED, fine, add)


_Add = Callable[[Starlette], object]


def _by_default() -> Iterator[Contender]:
    media_types = {"Starlette": "text/plain; charset=utf-8", "FastAPI": "application/json"}
    for framework, media_type in media_types.items():
        for name, make in _RAISED_BY_DEFAULT.items():
            app = partial(_app, framework, _raising(make), _nothing)
            yield Contender(framework, DEFAULT, name, app, media_type, is_authpi=False)
        app = partial(_app, framework, _raising(_bug), _nothing)
        yield Contender(framework, DEFAULT, UNROUTED, app, media_type, is_authpi=False)


def _invalid() -> Iterator[Contender]:
    fine = _returning(ready_response(SITUATIONS[SUCCESS]))
    valid = exchange.Request("/users", b'{"name":"Ada","age":36,"email":"ada@example.org"}')
    floor = partial(_app, "FastAPI", fine, _nothing)
    yield Contender("FastAPI", READY, INVALID, floor, is_authpi=False, request=valid)
    yield Contender("FastAPI", DEFAULT, INVALID, floor, is_authpi=False)
    for way, add in _OURS_IN.items():
        yield Contender("FastAPI", way, INVALID, partial(_app, "FastAPI", fine, add))


def _of_peer(peer: Peer) -> Iterator[Contender]:
    def make(name: str) -> ASGIApp:
        raises, add = peer.load()
        app = FRAMEWORKS[peer.framework](_raising(raises.get(name, _bug)))
        add(app)
        return app

    for name in peer.situations:
        media_type = "application/problem+json"
        app = partial(make, name)
        yield Contender(
            peer.framework, peer.name, name, app, media_type, is_authpi=False, needs=peer.module
        )


def _all() -> Iterator[Contender]:
    yield from _without_framework()
    for framework in FRAMEWORKS:
        yield from _within(framework)
    yield from _by_default()
    yield from _invalid()
    for peer in PEERS:
        yield from _of_peer(peer)


CONTENDERS: Mapping[str, Contender] = {contender.name: contender for contender in _all()}


async def check(contender: Contender, app: ASGIApp) -> list[str]:
    """Ask twice, and say what is wrong with an answer: a second one shows what a first one left."""
    return [
        problem
        for _ in range(2)
        for problem in _violations(contender, await exchange.ask(app, contender.asks))
    ]


def _violations(contender: Contender, answer: exchange.Answer) -> list[str]:
    situation = SITUATIONS[contender.situation]
    problems = violations(situation, answer) if contender.is_authpi else []
    statuses = {situation.status, *situation.others}
    if answer.status not in statuses:
        problems.append(f"status {answer.status}")
    media_type = answer.headers.get(b"content-type", b"").decode()
    if media_type != contender.media_type:
        problems.append(f"content-type {media_type}")
    if "json" in media_type and not isinstance(json.loads(answer.body), dict):
        problems.append("the body is no object")
    expected = DESCRIPTIONS.get(contender.situation, "").encode()
    if contender.situation == NOT_FOUND and expected not in answer.body:
        problems.append("the description is not in the body")
    if answer.raised is not None and contender.situation != UNEXPECTED:
        problems.append(f"raised {answer.raised!r}")
    return problems
