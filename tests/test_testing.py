"""The pytest plugin: which tests fail, and what they say; and one response by itself."""

import asyncio
import importlib
import importlib.metadata
import os
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import httpx2
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.exceptions import HTTPException, WebSocketException
from starlette.middleware.base import RequestResponseEndpoint
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from authpi_errors import (
    AuthPIError,
    ConflictError,
    ErrorCode,
    ErrorRegistry,
    FieldError,
    InvalidRequestError,
    NotFoundError,
    PreconditionFailedError,
    SessionExpiredError,
    install,
)
from authpi_errors.compliance import RULES
from authpi_errors.testing import ReceivedResponse, Watched, WatchedError, assert_error
from tests import exchanges
from tests.serving import in_thread, uvicorn_with

# Not known to mypy without a package of its types.
requests: Any = importlib.import_module("requests")

# None where the checkout is tested as it is.
DISTRIBUTIONS = list(importlib.metadata.distributions(name="authpi-errors"))

MEBIBYTE = 2**20


class QuotaExhaustedError(AuthPIError):
    """An application's own."""

    code = ErrorCode("quota_exhausted", 402, "The quota is used up.")


REGISTRY = ErrorRegistry(codes=[QuotaExhaustedError.code])


async def missing(request: Request) -> Response:
    raise NotFoundError(f"No {request.path_params['name']}.", extra={"hint": "Look elsewhere."})


async def plain(request: Request) -> Response:
    """Answer in a way that `install` leaves alone."""
    del request
    return Response("<p>Not here.", 404, media_type="text/html")


async def invalid(request: Request) -> Response:
    del request
    raise InvalidRequestError(fields=[FieldError("limit", "missing", "Missing.")])


async def conflict(request: Request) -> Response:
    del request
    raise ConflictError(retry_after=5)


async def quota(request: Request) -> Response:
    del request
    raise QuotaExhaustedError


async def fine(request: Request) -> Response:
    del request
    return PlainTextResponse("fine")


async def private(request: Request) -> Response:
    del request
    raise HTTPException(401)


async def broken(request: Request) -> Response:
    """Stop in the middle of an answer."""
    del request

    async def body() -> AsyncIterator[bytes]:
        yield b'{"error":'
        raise RuntimeError("in the middle")

    return StreamingResponse(body(), 500, media_type="application/json")


async def stream(request: Request) -> Response:
    """Send more than any error has to say."""

    async def body() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b" " * (MEBIBYTE // 2)

    headers = {"cache-control": "no-store"}
    status = int(request.query_params["status"])
    return StreamingResponse(body(), status, headers, "application/json")


async def refuse(websocket: WebSocket) -> None:
    del websocket
    raise WebSocketException(1008, "Not you.")


async def deny(websocket: WebSocket) -> None:
    await websocket.send_denial_response(PlainTextResponse("No.", 403))


async def bug(request: Request) -> Response:
    del request
    raise RuntimeError


def bare() -> Starlette:
    """Make an application that does not know of the contract."""
    return Starlette(routes=[WebSocketRoute("/deny", deny), Route("/bug", bug)])


def application() -> Starlette:
    app = Starlette(
        routes=[
            Route("/missing/{name}", missing),
            Route("/plain/{rest:path}", plain),
            Route("/invalid", invalid),
            Route("/conflict", conflict),
            Route("/quota", quota),
            Route("/fine", fine),
            Route("/private", private),
            Route("/broken", broken),
            Route("/stream", stream),
            WebSocketRoute("/refuse", refuse),
        ]
    )
    install(app)
    return app


def seen(
    app: ASGIApp, request: exchanges.Request, registry: ErrorRegistry | None = None
) -> WatchedError:
    """Give the one error that a request makes."""
    watched = Watched(app, registry)
    asyncio.run(exchanges.exchange(watched, request))
    (error,) = watched.errors
    return error


def rules(error: WatchedError) -> set[str]:
    return {violation.rule for violation in error.violations}


# An application that is watched.


@pytest.mark.parametrize(
    ("request_", "found"),
    [
        pytest.param(exchanges.Request(path="/missing/user"), set[str](), id="compliant"),
        pytest.param(
            exchanges.Request(path="/plain/"),
            {"content-type", "cache-control", "json"},
            id="a page",
        ),
        pytest.param(
            exchanges.Request("HEAD", "/plain/"),
            {"content-type", "cache-control"},
            id="HEAD of a page",
        ),
        pytest.param(exchanges.Request("HEAD", "/missing/user"), set[str](), id="HEAD"),
        pytest.param(exchanges.Request(path="/quota"), {"code"}, id="a code that is not known"),
        pytest.param(exchanges.Request(path="/private"), set[str](), id="a 401"),
        pytest.param(exchanges.Request("POST", "/fine"), set[str](), id="a 405"),
        pytest.param(
            exchanges.Request(kind="websocket", path="/refuse"), set[str](), id="a denial"
        ),
    ],
)
def test_error_is_seen_with_its_violations(request_: exchanges.Request, found: set[str]) -> None:
    error = seen(application(), request_)
    assert rules(error) == found
    assert error.path == request_.path
    assert error.response.method == request_.method


def test_denial_in_plain_text_is_seen() -> None:
    error = seen(bare(), exchanges.Request(kind="websocket", path="/deny"))
    assert error.response.status == 403
    assert error.response.body == b"No."
    assert rules(error) == {"content-type", "cache-control", "json"}


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(exchanges.Request(path="/fine"), id="a success"),
        pytest.param(
            exchanges.Request(path="/refuse", kind="websocket", denial=False), id="a close"
        ),
    ],
)
def test_what_is_no_error_response_is_not_seen(request_: exchanges.Request) -> None:
    watched = Watched(application())
    asyncio.run(exchanges.exchange(watched, request_))
    assert watched.errors == []


def test_lifespan_passes() -> None:
    with TestClient(Watched(application())) as client:
        assert client.get("/fine").text == "fine"


def test_code_of_a_class_is_known_by_a_registry() -> None:
    request = exchanges.Request(path="/quota")
    assert rules(seen(application(), request, REGISTRY)) == set()
    assert rules(seen(application(), request)) == {"code"}


@pytest.mark.parametrize(
    ("headers", "has_credentials"),
    [
        pytest.param({}, False, id="none"),
        pytest.param({"authorization": "Bearer a"}, True, id="a token"),
        pytest.param({"cookie": "session=a"}, True, id="a session"),
    ],
)
def test_credentials_are_seen(headers: dict[str, str], has_credentials: bool) -> None:
    error = seen(application(), exchanges.Request(path="/private", headers=headers))
    assert error.response.has_credentials is has_credentials


def test_response_that_ends_in_the_middle_is_seen() -> None:
    watched = Watched(application())
    seen = asyncio.run(exchanges.exchange(watched, exchanges.Request(path="/broken")))
    assert isinstance(seen.raised, RuntimeError)
    (error,) = watched.errors
    assert error.response.body == b'{"error":'
    assert "json" in rules(error)


@pytest.mark.parametrize(
    ("size", "found"),
    [
        pytest.param(
            MEBIBYTE,
            "not JSON: Expecting value: line 1 column 1048577 (char 1048576)",
            id="just read",
        ),
        pytest.param(MEBIBYTE + 1, "more than 1048576 bytes", id="too long"),
        pytest.param(MEBIBYTE * 3, "more than 1048576 bytes", id="much too long"),
    ],
)
def test_long_body_is_not_kept(size: int, found: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await Response(b" " * size, 404, {"cache-control": "no-store"}, "application/json")(
            scope, receive, send
        )

    error = seen(app, exchanges.Request())
    assert len(error.response.body) <= MEBIBYTE + 1
    assert [(each.rule, each.found) for each in error.violations] == [("json", found)]


def test_stream_passes_piece_by_piece_and_only_an_error_is_kept() -> None:
    app = application()
    for status, count in (("200", 0), ("503", 1)):
        watched = Watched(app)
        response = TestClient(watched).get(f"/stream?status={status}")
        assert len(response.content) == 5 * (MEBIBYTE // 2)
        assert len(watched.errors) == count


class Once:
    """Headers that can be read only once, as ASGI allows."""

    def __init__(self) -> None:
        self._left = iter([(b"X-Mine", b"\xe9"), (b"x-mine", b"2")])

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        return self._left


def test_headers_of_any_kind_of_bytes_are_seen() -> None:
    headers = [(memoryview(b"x-mine"), bytearray(b"1"))]
    start: Message = {"type": "http.response.start", "status": 404, "headers": headers}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start)

    assert seen(app, exchanges.Request()).response.headers == (("x-mine", "1"),)


def test_what_is_sent_passes_untouched() -> None:
    sent: list[Message] = [
        {"type": "http.response.debug", "info": {}},
        {"type": "http.response.start", "status": 404, "headers": Once(), "trailers": True},
        {"type": "http.response.body", "body": memoryview(b"a"), "more_body": True},
        {"type": "http.response.body"},
        {"type": "http.response.trailers", "headers": []},
    ]
    passed: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope is given
        assert await receive() == {"type": "http.disconnect"}
        for message in sent:
            await send(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        passed.append(message)
        # Who has the answer finds the error.
        assert len(watched.errors) == (len(passed) >= 4)

    given = {**exchanges.scope_of(exchanges.Request()), "path": "/a b\n\ud800"}
    watched = Watched(app)
    asyncio.run(watched(given, receive, send))
    assert [message["type"] for message in passed] == [message["type"] for message in sent]
    assert passed[1] == {**sent[1], "headers": [(b"X-Mine", b"\xe9"), (b"x-mine", b"2")]}
    (error,) = watched.errors
    assert error.response.headers == (("X-Mine", "é"), ("x-mine", "2"))
    assert error.response.body == b"a"
    assert error.path == "/a%20b%0A%3F"


async def stream_conflict(request: Request) -> Response:
    """Answer with an error that doesn't say how long it is."""
    del request

    async def body() -> AsyncIterator[bytes]:
        yield b'{"error":"conflict","error_description":"No.",'
        yield b'"retryable":false}'

    headers = {"cache-control": "no-store"}
    return StreamingResponse(body(), 409, headers, "application/json")


def unframed() -> FastAPI:
    """Make an application whose errors leave it without a length, as a server may send them."""
    app = FastAPI()
    install(app)

    @app.middleware("http")
    async def pass_on(request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)

    app.add_middleware(GZipMiddleware)
    app.add_api_route("/stream", stream_conflict)
    return app


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("path", "code"),
    [
        pytest.param("/nowhere", NotFoundError, id="behind other middleware"),
        pytest.param("/stream", ConflictError, id="a stream"),
    ],
)
def test_body_that_a_server_would_frame_needs_no_length(
    method: str, path: str, code: type[AuthPIError]
) -> None:
    watched = Watched(unframed())
    response = TestClient(watched).get(path)
    assert "content-length" not in response.headers
    assert_error(response, code)
    TestClient(watched).request(method, path)
    assert [error.violations for error in watched.errors] == [(), ()]


@pytest.mark.parametrize("query", ["token=abc", "x=1&token=abc", "api_key=abc"])
def test_credentials_in_a_query_are_known_wherever_they_stand(query: str) -> None:
    async def endpoint(request: Request) -> None:
        raise SessionExpiredError

    app = Starlette(routes=[Route("/me", endpoint)])
    install(app)
    response = TestClient(app).get(f"/me?{query}")
    assert "invalid_token" in response.headers["www-authenticate"]
    assert_error(response, SessionExpiredError)


def test_wrong_length_is_found_in_process_too() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = {"cache-control": "no-store", "content-length": "7"}
        await Response(b"{}", 404, headers, "application/json")(scope, receive, send)

    assert "content-length" in rules(seen(app, exchanges.Request()))


def test_error_is_shown_with_what_was_found_and_what_is_wanted() -> None:
    error = seen(application(), exchanges.Request(path="/quota"))
    assert str(error) == f"GET /quota: 402\n  code: error: quota_exhausted\n    {RULES['code']}"


# The plugin.

INNER = """
import httpx2, pytest
from starlette.testclient import TestClient, WebSocketDenialResponse
from tests.test_testing import REGISTRY, application, bare

@pytest.fixture
def client(authpi_errors_watch):
    return TestClient(authpi_errors_watch(application()))
"""


Run = Callable[[str], pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Give a function that runs tests with the plugin, and with no others but anyio's."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run_tests(tests: str) -> pytest.RunResult:
        pytester.makepyfile(INNER + tests)
        plugins = ("-p", "authpi_errors.testing", "-p", "anyio")
        return pytester.runpytest_inprocess(*plugins, "-p", "no:cacheprovider")

    return run_tests


def test_test_fails_if_an_error_that_it_does_not_look_at_breaks_the_contract(run: Run) -> None:
    result = run(
        """
def test_one(client):
    client.get("/plain/one?secret")
    client.get("/missing/user")
    client.get("/plain/two")
""",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "2 error responses break AuthPI's contract:",
            "",
            "GET /plain/one: 404",
            "  content-type: content-type: text/html; charset=utf-8",
            "    Content-Type is application/json, *",
            "GET /plain/two: 404",
        ]
    )
    result.stdout.no_fnmatch_line("*secret:*")
    # No traceback: the test itself is not at fault.
    result.stdout.no_fnmatch_line("*def test_one*")


def test_test_passes_if_all_errors_are_compliant(run: Run) -> None:
    result = run(
        """
def test_one(client):
    assert client.get("/missing/user").status_code == 404

def test_two(authpi_errors_watch):
    assert TestClient(authpi_errors_watch(application(), REGISTRY)).get("/quota").is_error

def test_three():
    assert TestClient(application()).get("/plain/").is_error
""",
    )
    result.assert_outcomes(passed=3)


def test_failure_of_the_test_itself_stays(run: Run) -> None:
    result = run(
        """
def test_one(client):
    assert client.get("/plain/").status_code == 200

def test_two(client):
    assert client.get("/missing/user").status_code == 200

def test_three(client):
    client.get("/plain/")
    pytest.skip("not today")
""",
    )
    result.assert_outcomes(failed=2, skipped=1)
    result.stdout.fnmatch_lines(
        [
            "*assert 404 == 200",
            "*AuthPI errors*",
            "1 error response breaks AuthPI's contract:",
            "GET /plain/: 404",
        ]
    )
    assert result.stdout.str().count("AuthPI errors") == 1


def test_all_ways_of_calling_an_application_are_watched(run: Run) -> None:
    result = run(
        """
@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_async(authpi_errors_watch):
    transport = httpx2.ASGITransport(authpi_errors_watch(application()))
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        await client.get("/plain/async")

def test_two_applications(authpi_errors_watch):
    authpi_errors_watch(application())
    TestClient(authpi_errors_watch(application())).get("/plain/second")
    TestClient(authpi_errors_watch(application())).get("/missing/user")

def test_late(request):
    watch = request.getfixturevalue("authpi_errors_watch")
    TestClient(watch(application())).get("/plain/late")

def test_denial(authpi_errors_watch):
    client = TestClient(authpi_errors_watch(bare()))
    with pytest.raises(WebSocketDenialResponse), client.websocket_connect("/deny"):
        pass

def test_bug(authpi_errors_watch):
    client = TestClient(authpi_errors_watch(bare()))
    with pytest.raises(RuntimeError):
        client.get("/bug")
""",
    )
    result.assert_outcomes(failed=5)
    result.stdout.fnmatch_lines(
        [
            "GET /plain/async: 404",
            "GET /plain/second: 404",
            "GET /plain/late: 404",
            "GET /deny: 403",
            "GET /bug: 500",
        ]
    )


def test_errors_of_fixtures_are_found_before_and_after_the_test(run: Run) -> None:
    result = run(
        """
@pytest.fixture
def early(client):
    client.get("/plain/early")

@pytest.fixture
def late(client):
    yield
    client.get("/plain/late")

def test_early(early): pass

def test_late(late): pass
""",
    )
    result.assert_outcomes(failed=1, passed=1, errors=1)
    result.stdout.fnmatch_lines_random(["GET /plain/early: 404", "GET /plain/late: 404"])


def test_error_that_a_test_takes_out_does_not_count(run: Run) -> None:
    result = run(
        """
def test_one(authpi_errors_watch):
    watched = authpi_errors_watch(application())
    TestClient(watched).get("/plain/")
    assert watched.errors.pop().violations

@pytest.mark.xfail(reason="a page")
def test_two(client):
    client.get("/plain/")
""",
    )
    result.assert_outcomes(passed=1, xfailed=1)


@pytest.mark.skipif(
    not DISTRIBUTIONS and "CI" not in os.environ, reason="the package is not installed"
)
def test_pytest_finds_the_plugin_of_the_installed_package() -> None:
    (plugin,) = DISTRIBUTIONS[0].entry_points.select(group="pytest11")
    # Under this name `-p` and `-p no:` find the same plugin.
    assert plugin.name == plugin.value == "authpi_errors.testing"


# One response.


def got(path: str) -> ReceivedResponse:
    return TestClient(application()).get(path)


def test_body_of_the_right_error_is_given() -> None:
    body = assert_error(got("/missing/user"), NotFoundError)
    assert body["error_description"] == "No user."


@pytest.mark.parametrize(
    "code", [NotFoundError, NotFoundError.code, "not_found"], ids=["class", "code", "text"]
)
def test_code_is_given_in_any_form(code: type[AuthPIError] | ErrorCode | str) -> None:
    assert_error(got("/missing/user"), code)
    with pytest.raises(AssertionError, match="error: 'conflict', not 'not_found'"):
        assert_error(got("/conflict"), code)


def test_expected_members_are_compared() -> None:
    missing = [FieldError("limit", "missing", "Missing.")]
    assert_error(got("/missing/user"), NotFoundError, status=404, description="No user.")
    assert_error(got("/missing/user"), NotFoundError, hint="Look elsewhere.", retry_after=None)
    assert_error(got("/conflict"), ConflictError, retry_after=5, retryable=True)
    assert_error(got("/invalid"), InvalidRequestError, fields=missing)
    assert_error(
        got("/invalid"),
        InvalidRequestError,
        fields=[{"field": "limit", "code": "missing", "message": "Missing."}],
    )


def test_all_differences_are_in_one_message() -> None:
    with pytest.raises(AssertionError) as caught:
        assert_error(
            got("/missing/user"),
            ConflictError,
            status=409,
            description="No.",
            retry_after=5,
            fields=[FieldError("a", "b", "c")],
        )
    assert str(caught.value).splitlines() == [
        "The response is not the conflict it should be:",
        "  status: 404, not 409",
        "  error: 'not_found', not 'conflict'",
        "  retry_after: None, not 5",
        "  fields: None, not [{'field': 'a', 'code': 'b', 'message': 'c'}]",
        "  error_description: 'No user.', not 'No.'",
    ]


def test_description_that_is_not_to_be_there_is_a_difference() -> None:
    with pytest.raises(AssertionError, match=r"error_description: 'No user\.', not ''"):
        assert_error(got("/missing/user"), NotFoundError, description="")


def test_violations_are_differences() -> None:
    with pytest.raises(AssertionError) as caught:
        assert_error(got("/plain/"), NotFoundError)
    rows = str(caught.value).splitlines()
    assert rows[1] == "  error: None, not 'not_found'"
    assert [row.split(":")[0].strip() for row in rows[2:]] == [
        "content-type",
        "cache-control",
        "json",
    ]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"[1]", id="an array"),
        pytest.param(b"\xff", id="no text"),
        pytest.param(b"[" * 100_000, id="nested deep"),
    ],
)
def test_body_that_is_no_object_has_no_members(content: bytes) -> None:
    response = httpx.Response(404, content=content, request=httpx.Request("GET", "http://test/"))
    with pytest.raises(AssertionError, match="error: None, not 'not_found'"):
        assert_error(response, NotFoundError)


@pytest.mark.parametrize("code", [NotFoundError, NotFoundError.code, "not_found"], ids=str)
def test_answer_to_head_is_judged_by_its_status(
    code: type[AuthPIError] | ErrorCode | str,
) -> None:
    client = TestClient(application())
    assert assert_error(client.head("/missing/user"), code, hint="Look elsewhere.") == {}
    with pytest.raises(AssertionError, match="status: 409, not 404"):
        assert_error(client.head("/conflict"), code)
    with pytest.raises(AssertionError, match="status: 404, not 410"):
        assert_error(client.head("/missing/user"), code, status=410)
    with pytest.raises(AssertionError, match="cache-control"):
        assert_error(client.head("/plain/"), code)


def test_answer_to_head_with_a_code_that_nobody_knows_may_have_any_error_status() -> None:
    assert assert_error(TestClient(application()).head("/missing/user"), "unheard_of") == {}


def test_success_is_no_error() -> None:
    content = {"error": "not_found", "error_description": "No.", "retryable": False}
    response = httpx.Response(200, json=content, request=httpx.Request("GET", "http://test/"))
    with pytest.raises(AssertionError, match="status: 200, which is no error"):
        assert_error(response, NotFoundError)


def test_code_of_the_application_is_known_by_its_class_or_its_registry() -> None:
    assert_error(got("/quota"), QuotaExhaustedError)
    assert_error(got("/quota"), QuotaExhaustedError.code, registry=REGISTRY)
    assert_error(got("/quota"), "quota_exhausted", registry=REGISTRY)
    replaced = ErrorRegistry(codes=[ErrorCode("not_found", 410, "Gone.")])
    assert_error(got("/missing/user"), NotFoundError, registry=replaced)
    with pytest.raises(AssertionError, match="code: error: quota_exhausted"):
        assert_error(got("/quota"), "quota_exhausted")


@pytest.mark.parametrize(
    ("headers", "url"),
    [
        pytest.param({"Authorization": "Bearer a"}, "http://test/", id="header"),
        pytest.param({}, "http://test/?access_token=a", id="query"),
    ],
)
def test_credentials_of_the_request_are_known(headers: dict[str, str], url: str) -> None:
    content = {"error": "session_expired", "error_description": "No.", "retryable": False}
    answer = {"cache-control": "no-store", "www-authenticate": "Bearer error=invalid_token"}

    def response(request: httpx.Request) -> httpx.Response:
        return httpx.Response(401, headers=answer, json=content, request=request)

    assert_error(response(httpx.Request("GET", url, headers=headers)), SessionExpiredError)
    with pytest.raises(AssertionError, match="challenge-error"):
        assert_error(response(httpx.Request("GET", "http://test/")), SessionExpiredError)


def test_responses_of_all_clients_are_taken() -> None:
    app = application()
    with in_thread(uvicorn_with("h11"), app) as served:
        url = f"http://127.0.0.1:{served.port}/conflict"
        received: list[ReceivedResponse] = [
            httpx.get(url),
            httpx2.get(url),
            requests.get(url),
            TestClient(app).get("/conflict"),
        ]
    for response in received:
        assert assert_error(response, ConflictError, retry_after=5)["retryable"] is True
        with pytest.raises(AssertionError):
            assert_error(response, PreconditionFailedError)
