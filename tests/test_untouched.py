"""What is not an error, and what is somebody's own: it leaves as if the library were not there.

Each case is served twice, with the library and without. Every message has to be the same.
"""

import gzip
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any, cast

import anyio
import pytest
from fastapi.exceptions import RequestValidationError
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException, WebSocketException
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import HTTPConnection
from starlette.requests import Request as HTTPRequest
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from authpi_errors import AuthPIError, ForeignResponse, NotFoundError
from tests.exchanges import Exchange, Request, exchange
from tests.origins import (
    EXTENSIONS,
    FILE,
    FRAMEWORKS,
    HINT,
    ORIGIN,
    OUR_CORS,
    PATHSEND,
    PLAIN,
    REGISTRY,
    TRAILERS,
    UNEXPECTED,
    UNKNOWN,
    WAYS,
    Conversation,
    Cors,
    Framework,
    Passing,
    Refusing,
    Site,
    TakenError,
    TeapotError,
    Validated,
    Way,
    application,
    applied,
    body,
    endpoint_raising,
    endpoint_returning,
    fine,
    in_route,
    messages_sent,
    mounting,
    reading,
    speaking,
    started,
    wsgi_returning,
)

Build = Callable[[Framework], Site]
Endpoint = Callable[[HTTPRequest], Any]


@dataclass(frozen=True)
class Case:
    """A request, and what is to stay as it is.

    Attributes:
        name: What it is.
        build: Builds the application.
        status: The status that it has without the library; `None` on a WebSocket.
        request: What is asked.
        raises: What goes on to the server.
        frameworks: The frameworks that have it.
        asyncio_only: Whether it hangs on asyncio.
        ways: The ways in that leave it as it is.
    """

    name: str
    build: Build
    status: int | None = 200
    request: Request = field(default_factory=Request)
    raises: type[BaseException] | None = None
    frameworks: tuple[Framework, ...] = FRAMEWORKS
    asyncio_only: bool = False
    ways: tuple[Way, ...] = WAYS


def serving(endpoint: Endpoint, **options: Any) -> Build:
    return lambda framework: Site(application(framework, endpoint, **options))


def returning(make: Callable[[], Response], **options: Any) -> Build:
    return serving(endpoint_returning(make), **options)


def made_by(make: Callable[[], list[Message]]) -> Build:
    return lambda framework: mounting(framework, "/in", messages_sent(make))


IN = Request(path="/in/", extensions=EXTENSIONS)


# Successes.


def streamed(*pieces: str, status: int = 200, media_type: str = "text/plain") -> Response:
    async def stream() -> AsyncIterator[str]:
        for piece in pieces:
            await anyio.lowlevel.checkpoint()
            yield piece

    return StreamingResponse(stream(), status, media_type=media_type)


EVENTS = ("data: 1\n\n", "data: 2\n\n")


def with_cookies() -> Response:
    response = JSONResponse({"id": 5}, 201, {"Location": "/5", "ETag": '"1"', "X-Mine": "é"})
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response


SUCCESSES: Mapping[str, Callable[[], Response]] = {
    "JSON": lambda: JSONResponse({"error": "not one", "detail": "fine"}),
    "JSON that looks like an error's": lambda: JSONResponse({"detail": "fine"}),
    "HTML": lambda: HTMLResponse("<p>fine</p>"),
    "plain text": lambda: PlainTextResponse("fine"),
    "nothing": Response,
    "a stream": lambda: streamed("one", "two", ""),
    "an event stream": lambda: streamed(*EVENTS, media_type="text/event-stream"),
    "a file": lambda: FileResponse(FILE),
    "a file to save": lambda: FileResponse(FILE, filename="naïve.py"),
}
OTHER_STATUSES: Mapping[int, Callable[[], Response]] = {
    201: with_cookies,
    202: lambda: JSONResponse(None, 202),
    204: lambda: Response(status_code=204),
    207: lambda: PlainTextResponse("<multistatus/>", 207),
    299: lambda: PlainTextResponse("odd", 299),
    301: lambda: RedirectResponse("/elsewhere", 301),
    304: lambda: Response(status_code=304, headers={"ETag": '"1"'}),
    307: lambda: RedirectResponse("/elsewhere"),
    399: lambda: PlainTextResponse("odd", 399),
}


def with_slash(framework: Framework) -> Site:
    app = application(framework)
    app.router.routes.append(Route("/items/", fine))
    return Site(app)


def successes() -> Iterator[Case]:
    for name, make in SUCCESSES.items():
        yield Case(name, returning(make))
        yield Case(f"{name}, compressed", returning(make, inside=[GZIP]), request=GZIPPED)
        yield Case(f"{name} under middleware", returning(make, inside=UNDER))
        methods = ("GET", "HEAD")
        yield Case(f"{name} for HEAD", returning(make, methods=methods), request=Request("HEAD"))
    for status, make in OTHER_STATUSES.items():
        yield Case(f"a {status}", returning(make), status)
        raised = HTTPException(status, headers={"Location": "/", "ETag": '"1"'})
        build = partial(in_route, make=partial(copy, raised))
        yield Case(f"a {status} that is raised", build, status)
    post = Request("POST", body=(b"x" * 4, b"x" * 4))
    yield Case(
        "a body within its limit", serving(reading, methods=("POST",), max_body_size=8), 200, post
    )
    yield Case("a redirect of slashes", with_slash, 307, Request(path="/items"))
    part = Request(headers={"range": "bytes=2-5"})
    yield Case("a part of a file", returning(SUCCESSES["a file"]), 206, part)
    yield Case(
        "a part of a file, too far",
        returning(SUCCESSES["a file"]),
        206,
        Request(headers={"range": "bytes=2-999999"}),
    )
    unchanged = Request(path=f"/in/{FILE.name}", headers={"if-none-match": "*"})
    yield Case("a static file that is unchanged", static, 304, unchanged)
    yield Case("a static file", static, 200, Request(path=f"/in/{FILE.name}"))
    yield Case("an accepted preflight", serving(fine, inside=[OUR_CORS]), 200, PREFLIGHT)
    inner: Framework
    for inner in FRAMEWORKS:
        mount = partial(mounting_application, inner)
        yield Case(f"from a mounted {inner} application", mount, 200, Request(path="/in/"))
    wsgi = partial(mounting_wsgi, "200 OK", b"fine")
    yield Case("from a WSGI application", wsgi, 200, Request(path="/in/"), asyncio_only=True)


GZIP = Middleware(GZipMiddleware, minimum_size=1)
GZIPPED = Request(headers={"accept-encoding": "gzip"})
UNDER = (
    Middleware(Passing),
    Middleware(SessionMiddleware, secret_key="key"),
    Middleware(TrustedHostMiddleware, allowed_hosts=["api.example"]),
)
PREFLIGHT = Request("OPTIONS", headers={"origin": ORIGIN, "access-control-request-method": "POST"})


def static(framework: Framework) -> Site:
    return mounting(framework, "/in", StaticFiles(directory=FILE.parent))


def mounting_application(inner: Framework, framework: Framework) -> Site:
    return mounting(framework, "/in", application(inner))


def mounting_wsgi(status: str, content: bytes, framework: Framework) -> Site:
    return mounting(framework, "/in", wsgi_returning(status, "text/html", content))


# What ASGI allows.


def odd_successes() -> Iterator[Case]:
    cookies = [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]
    cases: Mapping[str, Callable[[], list[Message]]] = {
        "headers that are read once": lambda: [started(200, iter(cookies)), body()],
        "headers in upper case": lambda: [started(200, [(b"X-MINE", b"YES")]), body()],
        "headers as lists": lambda: [started(200, [[b"a", b"b"]]), body()],
        "no headers": lambda: [{"type": "http.response.start", "status": 200}, body()],
        "a body message without a body": lambda: [started(200), {"type": "http.response.body"}],
        "a `bytearray`": lambda: [started(200), body(bytearray(b"fine"))],
        "a `memoryview`": lambda: [started(200), body(memoryview(b"fine"))],
        "a status that is an `IntEnum`": lambda: [started(HTTPStatus.CREATED), body()],
        "an early hint": lambda: [HINT, HINT, started(200), body()],
        "trailers": lambda: [
            started(200, trailers=True),
            body(b"a", more_body=True),
            body(b"b"),
            {**TRAILERS, "more_trailers": True},
            TRAILERS,
        ],
        "a file by its path": lambda: [started(200), PATHSEND],
        "a file by its descriptor": lambda: [
            started(200),
            {"type": "http.response.zerocopysend", "file": 5, "more_body": True},
            body(b""),
        ],
        "messages that nobody knows": lambda: [UNKNOWN, started(200), UNKNOWN, body(), UNKNOWN],
        "keys that nobody knows": lambda: [started(200, unheard_of=1), body(unheard_of=2)],
        "many pieces": lambda: [
            started(200),
            *[body(b"x" * 1000, more_body=True)] * 100,
            body(b""),
        ],
    }
    for name, make in cases.items():
        status = make()[-1].get("status", 200)
        yield Case(name, made_by(make), 201 if "IntEnum" in name else status, IN)


# Errors that are somebody's own.


def many_bytes(status: int) -> Response:
    return PlainTextResponse("x" * 100_000, status)


def many_pieces(status: int) -> Response:
    return streamed(*["x" * 1000] * 100, status=status)


def compressed(status: int) -> Response:
    content = gzip.compress(b"Gone.", mtime=0)
    return PlainTextResponse(content, status, {"Content-Encoding": "gzip"})


def json_of(document: Any, media_type: str = "application/json") -> Callable[[int], Response]:
    return lambda status: JSONResponse(document, status, media_type=media_type)


def text_with(**headers: str) -> Callable[[int], Response]:
    return lambda status: PlainTextResponse("Gone.", status, headers)


OWN_ERRORS: Mapping[str, Callable[[int], Response]] = {
    "an HTML page": lambda status: HTMLResponse("<p>Gone.</p>", status),
    "JSON": json_of({"message": "Gone."}),
    "JSON with a detail and more": json_of({"detail": "Gone.", "code": 7}),
    "JSON that is a list": json_of(["Gone."]),
    "JSON that is a string": json_of("detail"),
    "JSON in the contract's shape": json_of({"error": "gone", "error_description": "Gone."}),
    "problem details": json_of({"title": "Gone.", "status": 404}, "application/problem+json"),
    "problem details with a detail alone": json_of({"detail": "x"}, "application/problem+json"),
    "XML": lambda status: Response("<gone/>", status, media_type="application/xml"),
    "bytes": lambda status: Response(b"\x00\xff", status, media_type="application/octet-stream"),
    "bytes of no type": lambda status: Response(b"\x00\xff", status),
    "an event stream": lambda status: streamed(
        *EVENTS, status=status, media_type="text/event-stream"
    ),
    "compressed text": compressed,
    "much text, announced": many_bytes,
    "much text, in pieces": many_pieces,
    "text from upstream, by Via": text_with(via="1.1 proxy"),
    "text from upstream, by Date": text_with(date="Sun, 06 Nov 1994 08:49:37 GMT"),
}


def own_errors() -> Iterator[Case]:
    for status in (400, 401, 404, 405, 422, 500, 503):
        for name, make in OWN_ERRORS.items():
            yield Case(f"{status}: {name}", returning(partial(make, status)), status)
    for name, make in OWN_ERRORS.items():
        build = returning(partial(make, 404), inside=UNDER)
        yield Case(f"{name} under middleware", build, 404)
    mount = partial(mounting_wsgi, "404 Not Found", b"<p>Gone.</p>")
    yield Case("HTML from a WSGI application", mount, 404, Request(path="/in/"), asyncio_only=True)

    def on_error(connection: HTTPConnection, exc: Exception) -> Response:
        return JSONResponse({"who": "are you"}, 401)

    refusing = Middleware(AuthenticationMiddleware, backend=Refusing(), on_error=on_error)
    yield Case("what the user's `on_error` answers", serving(fine, inside=[refusing]), 401)


# What the user's own handlers answer.


async def answer_in_text(request: HTTPRequest, exc: Exception) -> Response:
    return PlainTextResponse("Mine.", 418)


def answer_in_text_from_a_thread(request: HTTPRequest, exc: Exception) -> Response:
    return PlainTextResponse("Mine.", 418)


async def answer_with_nothing(request: HTTPRequest, exc: Exception) -> Response:
    return Response(status_code=418)


async def answer_with_detail(request: HTTPRequest, exc: Exception) -> Response:
    return JSONResponse({"detail": "Mine."}, 418)


HANDLERS = {
    "text": answer_in_text,
    "text from a thread": answer_in_text_from_a_thread,
    "nothing": answer_with_nothing,
    "a detail": answer_with_detail,
}


KEYS_OF_404: tuple[Any, ...] = (HTTPException, 404)
KEYS_OF_500: tuple[Any, ...] = (Exception, 500)


def handled() -> Iterator[Case]:
    teapot, missing = endpoint_raising(TeapotError), endpoint_raising(partial(HTTPException, 404))
    for name, handler in HANDLERS.items():
        by_class = {TeapotError: handler}
        yield Case(f"a handler: {name}", serving(teapot, exception_handlers=by_class), 418)
        build = serving(teapot, exception_handlers=by_class, inside=UNDER)
        yield Case(f"a handler under middleware: {name}", build, 418)
        for key in KEYS_OF_404:
            build = serving(missing, exception_handlers={key: handler})
            label = getattr(key, "__name__", key)
            yield Case(f"a handler for {label}: {name}", build, 418)
            yield Case(
                f"a handler for {label} where no route is: {name}",
                serving(fine, exception_handlers={key: handler}),
                418,
                Request(path="/nowhere"),
            )
        for key in KEYS_OF_500:
            build = serving(endpoint_raising(UNEXPECTED.make), exception_handlers={key: handler})
            label = getattr(key, "__name__", key)
            yield Case(f"a handler for {label}: {name}", build, 418, raises=RuntimeError)
        yield Case(
            f"a handler for validation errors: {name}",
            partial(validating, handler),
            418,
            Request("POST", "/validated"),
            frameworks=("fastapi",),
        )
        build = partial(mounting_handlers, {TeapotError: handler})
        yield Case(f"a handler in a mounted application: {name}", build, 418, Request(path="/in/"))
        build = partial(mounting_handlers, {TeapotError: handler}, inside=UNDER)
        label = f"a handler in a mounted application under middleware: {name}"
        # From further out it can't be told: the middleware sends in a task of its own.
        yield Case(label, build, 418, Request(path="/in/"), ways=("install",))


def validating(handler: Any, framework: Framework) -> Site:
    app = Validated()
    app.add_exception_handler(RequestValidationError, handler)
    return Site(app)


def mounting_handlers(
    handlers: Any, framework: Framework, inside: tuple[Middleware, ...] = ()
) -> Site:
    app = application(framework, inside=inside)
    inner = application(framework, endpoint_raising(TeapotError), exception_handlers=handlers)
    app.mount("/in", inner)
    return Site(app)


# What has begun.


def streaming_then(make: Callable[[], BaseException], media_type: str) -> Response:
    async def stream() -> AsyncIterator[str]:
        yield "one"
        raise make()

    return StreamingResponse(stream(), media_type=media_type)


def then_raising(make: Callable[[], BaseException], *messages: Message) -> Build:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send({**message})
        raise make()

    return lambda framework: mounting(framework, "/in", app)


def in_the_background(make: Callable[[], BaseException]) -> Response:
    async def task() -> None:
        raise make()

    return PlainTextResponse("fine", background=BackgroundTask(task))


def begun() -> Iterator[Case]:
    makes: Mapping[str, Callable[[], BaseException]] = {
        "an `HTTPException`": partial(HTTPException, 404),
        "an unexpected exception": UNEXPECTED.make,
        "`SystemExit`": SystemExit,
    }
    for name, make in makes.items():
        raises = SystemExit if make is SystemExit else Exception
        for media_type in ("text/plain", "text/event-stream") if raises is Exception else ():
            # It streams in a task of its own, out of which `SystemExit` would end the loop.
            build = returning(partial(streaming_then, make, media_type))
            yield Case(f"{name} within {media_type}", build, raises=Exception)
        build = then_raising(make, started(200))
        yield Case(f"{name} between start and body", build, 200, IN, raises)
        build = then_raising(make, started(200), body())
        yield Case(f"{name} after the body", build, 200, IN, raises)
        html = started(404, [(b"content-type", b"text/html")])
        build = then_raising(make, html, body(more_body=True))
        yield Case(f"{name} within an error of the application's", build, 404, IN, raises)
        build = returning(partial(in_the_background, make))
        yield Case(f"{name} in the background", build, raises=raises)


# WebSockets.

SOCKET = Request(kind="websocket")


async def echoing(websocket: WebSocket) -> None:
    await websocket.accept(subprotocol="echo", headers=[(b"x-mine", b"yes")])
    await websocket.send_text(await websocket.receive_text())
    await websocket.send_bytes(b"\x00")
    await websocket.send_json({"detail": "fine"})
    await websocket.close(4000, "That was it.")


async def listening(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


async def excusing(websocket: WebSocket) -> None:
    await websocket.accept()
    raise WebSocketException(4409, "Twice.")


async def denying_in_html(websocket: WebSocket) -> None:
    await websocket.send_denial_response(HTMLResponse("<p>No.</p>", 403))


async def denying_in_json(websocket: WebSocket) -> None:
    await websocket.send_denial_response(JSONResponse({"message": "No."}, 403))


async def failing_late(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.close()
    raise ZeroDivisionError


def conversing(conversation: Conversation) -> Build:
    return lambda framework: speaking(framework, conversation)


def websockets() -> Iterator[Case]:
    says = Request(kind="websocket", texts=("hello",))
    leaves = Request(kind="websocket", texts=("hello",), leaves=True)
    yield Case("a conversation", conversing(echoing), None, says)
    yield Case("a client that leaves", conversing(listening), None, leaves)
    yield Case("a `WebSocketException` after accepting", conversing(excusing), None, SOCKET)
    yield Case("a failure after closing", conversing(failing_late), None, SOCKET, ZeroDivisionError)
    yield Case("a denial in HTML", conversing(denying_in_html), 403, SOCKET)
    yield Case("a denial in JSON", conversing(denying_in_json), 403, SOCKET)


# The product.

CASES: tuple[Case, ...] = (
    *successes(),
    *odd_successes(),
    *own_errors(),
    *handled(),
    *begun(),
    *websockets(),
)
PLACES: Mapping[str, tuple[Cors, ...]] = {
    "asyncio": ("no CORS", "CORS added before", "CORS added after"),
    "trio": ("CORS added before",),
}


def cells() -> Iterator[Any]:
    for loop, places in PLACES.items():
        for case in CASES:
            if case.asyncio_only and loop == "trio":
                continue
            for framework in case.frameworks:
                for way in case.ways:
                    name = f"{case.name}, {framework}, {loop}, {way}"
                    yield pytest.param(case, framework, places, loop, way, id=name)


@pytest.mark.parametrize(("case", "framework", "places", "anyio_backend", "way"), list(cells()))
async def test_it_leaves_as_it_is(
    case: Case, framework: Framework, places: tuple[Cors, ...], way: Way
) -> None:
    request = case.request.with_headers({"origin": ORIGIN})
    for cors in places:
        bare = await exchange(applied(way, case.build(framework), cors, library=False), request)
        app = applied(way, case.build(framework), cors, registry=REGISTRY)
        seen = await exchange(app, request)
        assert bare.status == case.status
        assert (cors, seen.messages) == (cors, bare.messages)
        assert isinstance(seen.raised, case.raises or type(None))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_a_browser_keeps_the_page_with_the_traceback(framework: Framework, way: Way) -> None:
    site = Site(application(framework, endpoint_raising(ZeroDivisionError), debug=True))
    browser = Request(headers={"accept": "text/html,*/*"})
    seen = await exchange(applied(way, site), browser)
    assert (seen.status, seen.header("content-type")) == (500, ["text/html; charset=utf-8"])
    assert b"Starlette Debugger" in seen.body
    assert isinstance(seen.raised, ZeroDivisionError)


# In time.


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "start",
    [
        started(200),
        started(204),
        started(404, [(b"content-type", b"text/event-stream")]),
        started(500, [(b"content-type", b"text/html")]),
        started(502, [PLAIN, (b"via", b"1.1 proxy")]),
    ],
    ids=["a success", "no content", "an event stream", "an HTML page", "from upstream"],
)
async def test_what_passes_is_never_held_back(start: Message, way: Way) -> None:
    passed: list[int] = []
    sent: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in (start, body(b"1", more_body=True), body(b"2")):
            await send(message)
            passed.append(len(sent))

    async def observed(scope: Scope, receive: Receive, send: Send) -> None:
        async def observe(message: Message) -> None:
            sent.append(message)
            await send(message)

        await ours(scope, receive, observe)

    ours = applied(way, mounting("starlette", "/in", app))
    await exchange(observed, IN)
    assert passed == [1, 2, 3]


# A client that goes away, and a request that is cancelled.


async def reading_all(request: HTTPRequest) -> Response:
    return PlainTextResponse(await request.body())


async def waiting_for_text(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.receive_text()


def socket_waiting(framework: Framework) -> Site:
    return speaking(framework, waiting_for_text)


def body_waiting(framework: Framework) -> Site:
    return Site(application(framework, reading_all, methods=("POST",)))


def body_waiting_under_middleware(framework: Framework) -> Site:
    return Site(application(framework, reading_all, methods=("POST",), inside=UNDER))


GOES_AWAY: Mapping[str, tuple[Build, Request]] = {
    "while the body is read": (body_waiting, Request("POST", body=(b"ha",), leaves=True)),
    "while it is read under middleware": (
        body_waiting_under_middleware,
        Request("POST", body=(b"ha",), leaves=True),
    ),
    "on a WebSocket": (socket_waiting, Request(kind="websocket", leaves=True)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("when", GOES_AWAY)
async def test_a_client_that_goes_away_is_no_error(
    when: str, framework: Framework, way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    build, request = GOES_AWAY[when]
    with caplog.at_level(logging.WARNING):
        seen = await exchange(applied(way, build(framework)), request)
    assert [message["type"] for message in seen.messages] in ([], ["websocket.accept"])
    assert seen.raised is None
    assert caplog.records == []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_request_that_is_cancelled_is_not_answered(framework: Framework, way: Way) -> None:
    begun = anyio.Event()

    async def endpoint(request: HTTPRequest) -> None:
        begun.set()
        await anyio.sleep_forever()

    app = applied(way, Site(application(framework, endpoint)))
    answers: list[Exchange] = []

    async def serve() -> None:
        answers.append(await exchange(app, Request()))

    async with anyio.create_task_group() as group:
        group.start_soon(serve)
        await begun.wait()
        group.cancel_scope.cancel()
    assert [answer.messages for answer in answers] == [[]]
    assert [isinstance(answer.raised, anyio.get_cancelled_exc_class()) for answer in answers] == [
        True
    ]


# Lifespan.


async def lifespan_of(app: ASGIApp) -> tuple[list[str], BaseException | None]:
    sent: list[str] = []
    incoming = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive() -> Message:
        return {"type": next(incoming)}

    async def send(message: Message) -> None:
        sent.append(message["type"])

    try:
        await app({"type": "lifespan", "state": {}}, receive, send)
    except Exception as exc:
        return sent, exc
    return sent, None


@asynccontextmanager
async def starting_well(app: Any) -> AsyncGenerator[None]:
    yield


@asynccontextmanager
async def failing_at_the_start(app: Starlette) -> AsyncGenerator[None]:
    # Something that was forgotten in the state.
    yield app.state.database


@asynccontextmanager
async def failing_at_the_end(app: Any) -> AsyncGenerator[None]:
    yield
    raise ZeroDivisionError


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("lifespan", [starting_well, failing_at_the_start, failing_at_the_end])
async def test_lifespan_is_left_alone(lifespan: Any, framework: Framework, way: Way) -> None:
    def site() -> Site:
        return Site(application(framework, lifespan=lifespan))

    sent, raised = await lifespan_of(applied(way, site()))
    bare_sent, bare_raised = await lifespan_of(site().app)
    assert sent == bare_sent
    assert type(raised) is type(bare_raised)


# What the user decides otherwise.


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_rewrite_can_leave_what_is_the_frameworks(framework: Framework, way: Way) -> None:
    def rewrite(response: ForeignResponse) -> bool:
        return response.is_foreign and response.status != 404

    for status, expected in ((404, False), (409, True)):
        build = returning(partial(PlainTextResponse, "Gone.", status))
        seen = await exchange(applied(way, build(framework), rewrite=rewrite), Request())
        assert (seen.status, b'"error"' in seen.body) == (status, expected)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_rewrite_can_take_what_is_the_applications(framework: Framework, way: Way) -> None:
    shown: list[ForeignResponse] = []

    def rewrite(response: ForeignResponse) -> bool:
        shown.append(response)
        return response.headers["content-type"] == "text/html; charset=utf-8"

    build = returning(partial(HTMLResponse, "<p>Gone.</p>", 404, {"X-Mine": "yes"}))
    seen = await exchange(applied(way, build(framework), rewrite=rewrite), Request())
    assert (seen.status, b'"not_found"' in seen.body) == (404, True)
    assert seen.header("x-mine") == ["yes"]
    (response,) = shown
    assert (response.status, response.body, response.is_foreign) == (404, b"<p>Gone.</p>", False)
    assert response.scope["path"] == "/"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("endpoint", [fine, endpoint_raising(UNEXPECTED.make)], ids=["ok", "ours"])
async def test_rewrite_is_not_asked_about_successes_and_our_errors(
    endpoint: Endpoint, way: Way
) -> None:
    shown: list[ForeignResponse] = []
    site = Site(application("starlette", endpoint))
    seen = await exchange(applied(way, site, rewrite=cast("Any", shown.append)), Request())
    assert seen.messages != []
    assert shown == []


IGNORED: Mapping[str, tuple[Callable[[], Exception], type[Exception]]] = {
    "what nobody expected": (TeapotError, TeapotError),
    "an error of ours": (NotFoundError, NotFoundError),
    "what is mapped": (TakenError, TakenError),
    "a subclass": (NotFoundError, AuthPIError),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("what", IGNORED)
async def test_ignored_exceptions_pass_to_who_wants_them(
    what: str, framework: Framework, way: Way
) -> None:
    """Like a tool that shows or counts them, outside of everything."""
    make, ignored = IGNORED[what]
    site = Site(application(framework, endpoint_raising(make)))
    app = applied(way, site, registry=REGISTRY, ignore=(ignored,))
    seen = await exchange(app, Request())
    assert isinstance(seen.raised, ignored)
    assert b'"error"' not in seen.body
