"""For tests: no error that breaks AuthPI's contract leaves the application unnoticed.

pytest loads this module by itself. A test, or a fixture that it uses, puts its application into
what the fixture `authpi_errors_watch` gives; the test fails if an error response leaves the
application that is not compliant, whether the test looks at it or not::

    @pytest.fixture
    def client(authpi_errors_watch):
        return TestClient(authpi_errors_watch(app))

    def test_there_is_no_user_7(client):
        assert_error(client.get("/users/7"), NotFoundError, description="No user 7.")

Elsewhere than in pytest, or for longer than one test, `Watched(app)` does the same, and lists what
it has seen in `errors`. `-p no:authpi_errors.testing` turns the plugin off.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Protocol
from urllib.parse import quote, urlsplit

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from authpi_errors._challenges import has_credentials
from authpi_errors._exceptions import AuthPIError, FieldError
from authpi_errors._registry import ErrorRegistry, registry_of
from authpi_errors._validation import is_list, is_mapping
from authpi_errors.codes import ErrorCode
from authpi_errors.compliance import RULES, Response, Violation, check

__all__ = [
    "ReceivedRequest",
    "ReceivedResponse",
    "Watch",
    "Watched",
    "WatchedError",
    "assert_error",
    "authpi_errors_watch",
]

# No error says more, in bytes. What comes after it is not kept.
_LONGEST_BODY: Final = 2**20


@dataclass(frozen=True, slots=True)
class WatchedError:
    """An error response that has left an application.

    Attributes:
        path: The path of the request, without its query.
        response: The response; of a long body only the first mebibyte and a little more.
        violations: What is wrong with it; nothing if it is compliant.
    """

    path: str
    response: Response
    violations: tuple[Violation, ...]

    def __str__(self) -> str:
        """Show what is wrong, a line for each side of each violation."""
        found = _lines(f"{each.rule}: {each.found}\n    {each.wanted}" for each in self.violations)
        return f"{self.response.method} {self.path}: {self.response.status}{found}"


def _lines(texts: Iterable[str]) -> str:
    return "".join(f"\n  {text}" for text in texts)


class Watched:
    """An ASGI application around another, which sees each error response that leaves it.

    It changes nothing: requests, responses and exceptions pass as they are. It sees HTTP, and the
    responses that deny a WebSocket.

    Args:
        app: The application.
        registry: The codes of the application; without it AuthPI's alone are known.

    Attributes:
        app: The application.
        errors: The error responses so far, compliant or not, in the order in which they ended. A
            test that wants one that is not compliant takes it out.
    """

    def __init__(self, app: ASGIApp, registry: ErrorRegistry | None = None) -> None:
        self.app = app
        self.errors: list[WatchedError] = []
        self._registry = registry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        sent = _Sent(scope, self._add)

        async def watched_send(message: Message) -> None:
            # Before the client has it: who waits for the client can look at `errors` at once.
            await send(sent.see(message))

        try:
            await self.app(scope, receive, watched_send)
        finally:
            sent.end()

    def _add(self, path: str, response: Response) -> None:
        violations = tuple(_violations(response, self._registry))
        self.errors.append(WatchedError(path, response, violations))


def _violations(response: Response, registry: ErrorRegistry | None) -> list[Violation]:
    if len(response.body) <= _LONGEST_BODY:
        return check(_framed(response), registry)
    # The rules of the headers, which are all that there are for HEAD.
    of_headers = check(_framed(replace(response, body=b"", method="HEAD")), registry)
    return [*of_headers, Violation("json", f"more than {_LONGEST_BODY} bytes", RULES["json"])]


def _framed(response: Response) -> Response:
    """Say as a server does how a body ends that hasn't said how long it is (RFC 9112, 6.1).

    In a process nothing says it, nor does HTTP/2 (RFC 9113, 8.1).
    """
    if any(name.lower() == "content-length" for name, _ in response.headers):
        return response
    return replace(response, headers=[*response.headers, ("transfer-encoding", "chunked")])


class _Sent:
    """An error response on its way out, collected until it ends."""

    def __init__(self, scope: Scope, add: Callable[[str, Response], None]) -> None:
        self._scope = scope
        self._add = add
        self._status: int | None = None
        self._headers: tuple[tuple[str, str], ...] = ()
        self._body = bytearray()

    def see(self, message: Message) -> Message:
        """Look at a message, and give it on; what can be read only once is put back."""
        kind = message["type"].removeprefix("websocket.")
        if kind == "http.response.start" and message["status"] >= 400:
            message = {**message, "headers": list(message.get("headers", ()))}
            self._status = int(message["status"])
            self._headers = tuple(
                (bytes(name).decode("latin-1"), bytes(value).decode("latin-1"))
                for name, value in message["headers"]
            )
        elif kind == "http.response.body" and self._status is not None:
            room = _LONGEST_BODY + 1 - len(self._body)
            self._body += message.get("body", b"")[:room]
            if not message.get("more_body", False):
                self.end()
        return message

    def end(self) -> None:
        """Add the response, if there is one that was not added before."""
        if self._status is None:
            return
        method = self._scope.get("method", "GET")
        # Servers send no body after HEAD, whatever the application gives them.
        body = b"" if method == "HEAD" else bytes(self._body)
        response = Response(self._status, self._headers, body, method, has_credentials(self._scope))
        self._status = None
        self._add(quote(self._scope["path"], errors="replace"), response)


class Watch:
    """What the fixture `authpi_errors_watch` gives: call it with an application to have it watched.

    One test can watch several applications.
    """

    def __init__(self) -> None:
        self._watched: list[Watched] = []

    def __call__(self, app: ASGIApp, registry: ErrorRegistry | None = None) -> Watched:
        """Put an application into one that watches it; see `Watched` for the arguments."""
        watched = Watched(app, registry)
        self._watched.append(watched)
        return watched

    def take_report(self) -> str:
        """Say what is wrong with the errors since the last report; nothing if all is well."""
        broken: list[WatchedError] = []
        for watched in self._watched:
            errors, watched.errors = watched.errors, []
            broken += [error for error in errors if error.violations]
        if not broken:
            return ""
        count = (
            "1 error response breaks"
            if len(broken) == 1
            else f"{len(broken)} error responses break"
        )
        return "\n\n".join([f"{count} AuthPI's contract:", *map(str, broken)])


_WATCH: Final = pytest.StashKey[Watch]()


@pytest.fixture
def authpi_errors_watch(request: pytest.FixtureRequest) -> Iterator[Watch]:
    """Watch applications: the test fails if an error that breaks AuthPI's contract leaves them."""
    node: pytest.Item = request.node
    watch = node.stash[_WATCH] = Watch()
    yield watch
    # What other fixtures have done since the test ended.
    _fail_with(watch.take_report())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Let a test fail whose applications broke the contract, unless it has failed by itself."""
    try:
        result = yield
    except BaseException:
        if report := _take_report(item):
            item.add_report_section("call", "AuthPI errors", report)
        raise
    _fail_with(_take_report(item))
    return result


def _take_report(item: pytest.Item) -> str:
    watch = item.stash.get(_WATCH, None)
    return "" if watch is None else watch.take_report()


def _fail_with(report: str) -> None:
    if report:
        pytest.fail(report, pytrace=False)


class ReceivedRequest(Protocol):
    """The request of a `ReceivedResponse`."""

    @property
    def method(self) -> str | None:
        """Its method."""
        ...

    @property
    def url(self) -> object:
        """Its URL, as text or as what `str` makes one of."""
        ...

    @property
    def headers(self) -> Mapping[str, object]:
        """Its headers, by names that are text."""
        ...


class ReceivedResponse(Protocol):
    """A response as httpx, httpx2, requests and Starlette's `TestClient` have it."""

    @property
    def status_code(self) -> int:
        """Its status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Its headers; fields that were sent twice are joined by commas."""
        ...

    @property
    def content(self) -> bytes:
        """Its body."""
        ...

    @property
    def request(self) -> ReceivedRequest:
        """What it answers."""
        ...


def assert_error(
    response: ReceivedResponse,
    code: type[AuthPIError] | ErrorCode | str,
    *,
    status: int | None = None,
    description: str | None = None,
    registry: ErrorRegistry | None = None,
    **members: object,
) -> dict[str, Any]:
    """Assert that a response is a certain error, and compliant with AuthPI's contract.

    Args:
        response: The response.
        code: The error's class, its `ErrorCode`, or the text of `error`.
        status: Its status; without it any of the code's class is fine, 4xx or 5xx.
        description: Its `error_description`.
        registry: The codes of the application. A code that is given by its class or as an
            `ErrorCode` is known without.
        members: Other members of the body by their names, such as `retry_after=5`; `None` for one
            that is not to be there. `fields` may be a list of `FieldError`.

    Returns:
        The members of the body. The answer to HEAD has none (RFC 9110, 9.3.2): it is judged by its
        status, without `status` that of the code, and its headers.

    Raises:
        AssertionError: It is not; the message lists all differences.
    """
    __tracebackhide__ = True
    own = code.code if isinstance(code, type) else code
    name = own if isinstance(own, str) else own.value
    expected = {"error": name, **members}
    if description is not None:
        expected["error_description"] = description
    body = _members_of(response.content)
    known = _knowing(own, registry)
    if response.request.method == "HEAD":
        expected = {}
        if status is None and name in known.codes:
            status = known.codes[name].status
    differences = [
        *_status_differences(response.status_code, status),
        *_member_differences(body, expected),
        *map(str, check(_framed(_received(response)), known)),
    ]
    if differences:
        raise AssertionError(f"The response is not the {name} it should be:{_lines(differences)}")
    return body


def _status_differences(found: int, expected: int | None) -> Iterator[str]:
    if expected is not None and found != expected:
        yield f"status: {found}, not {expected}"
    elif found < 400:
        yield f"status: {found}, which is no error"


def _member_differences(
    body: Mapping[str, object], expected: Mapping[str, object]
) -> Iterator[str]:
    for name, value in expected.items():
        wanted = [*map(_plain, value)] if is_list(value) else value
        if body.get(name) != wanted:
            yield f"{name}: {body.get(name)!r}, not {wanted!r}"


def _plain(item: object) -> object:
    return asdict(item) if isinstance(item, FieldError) else item


def _members_of(content: bytes) -> dict[str, Any]:
    """Read a body; one that is no JSON object has no members, as the rules will say."""
    try:
        document: object = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return dict(document) if is_mapping(document) else {}


def _received(response: ReceivedResponse) -> Response:
    request = response.request
    scope: Scope = {
        "headers": [(name.lower().encode("latin-1"), b"") for name in request.headers],
        "query_string": urlsplit(str(request.url)).query.encode(),
    }
    return Response(
        response.status_code,
        tuple(response.headers.items()),
        response.content,
        request.method or "GET",
        has_credentials(scope),
    )


def _knowing(code: ErrorCode | str, registry: ErrorRegistry | None) -> ErrorRegistry:
    known = registry_of(registry)
    if isinstance(code, str) or code.value in known.codes:
        return known
    return known | ErrorRegistry(codes=[code])
