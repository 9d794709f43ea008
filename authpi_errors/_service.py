"""Asks a service: over HTTP, or an ASGI application in this process."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Final, cast

import httpx2
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from authpi_errors._challenges import has_credentials
from authpi_errors._probing import Credentials, Probe
from authpi_errors._raised import is_cancelled
from authpi_errors.compliance import Response

__all__ = ["IN_PROCESS", "Service", "UnreachableError", "explain", "serving"]

IN_PROCESS: Final = "http://localhost"
"""The address of an application in this process."""

# No error, and hardly a document, is longer.
_MOST_BYTES: Final = 2**24


class UnreachableError(Exception):
    """There is no service to check; the one sentence says why."""


# The extension of a request that says from which status on its body is read.
_READ_FROM: Final = "authpi_errors.read_from"


@dataclass(frozen=True, slots=True)
class Service:
    """A service to ask.

    Attributes:
        client: What sends the requests.
        headers: The headers that were given, credentials among them.
        timeout: The seconds that a whole answer may take.
        notes: Sentences about the end of an application in this process, once it has ended.
    """

    client: httpx2.AsyncClient
    headers: Sequence[tuple[str, str]]
    timeout: float
    notes: Sequence[str] = ()

    async def ask(self, base: str, probe: Probe) -> Response:
        """Make a probe's request. Redirects are not followed, and of a success no body is read.

        Raises:
            UnreachableError: There is no answer in time, or not a whole one.
        """
        given = [
            (name, value)
            for name, value in self.headers
            if (probe.credentials is Credentials.GIVEN or name.lower() == "host")
            and name.lower() not in map(str.lower, probe.headers)
        ]
        headers = [*given, *probe.headers.items()]
        url = base + probe.target
        response = await self._exchange(probe.method, url, headers, probe.body, read_from=400)
        return replace(response, has_credentials=_has_credentials(probe, given))

    async def fetch(self, url: str, *, has_credentials: bool) -> Response:
        """Get a document, with its body.

        Raises:
            UnreachableError: As for `ask`.
        """
        headers = self.headers if has_credentials else ()
        return await self._exchange("GET", url, headers, b"", read_from=200)

    async def _exchange(
        self,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        *,
        read_from: int,
    ) -> Response:
        """Make a request, and read the body if the status is not below this one."""
        try:
            request = self.client.build_request(
                method,
                url,
                headers=headers,
                content=body or None,
                extensions={_READ_FROM: read_from},
            )
        except httpx2.InvalidURL:
            raise UnreachableError("The URL is not valid.") from None
        try:
            async with asyncio.timeout(self.timeout):
                response, content = await self._receive(request)
        except Exception as exc:
            # The text of an exception may quote the request.
            raise UnreachableError(explain(exc, request.url, self.timeout)) from None
        received = response.headers.multi_items()
        return Response(response.status_code, received, content, method)

    async def _receive(self, request: httpx2.Request) -> tuple[httpx2.Response, bytes]:
        response = await self.client.send(request, stream=True)
        async with aclosing(response):
            is_read = response.status_code >= request.extensions[_READ_FROM]
            return response, await _content(response) if is_read else b""


async def _content(response: httpx2.Response) -> bytes:
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > _MOST_BYTES:
            raise _TooLongError
    return bytes(content)


def _has_credentials(probe: Probe, given: Sequence[tuple[str, str]]) -> bool | None:
    """Say whether a request has credentials, as far as that can be told."""
    if probe.credentials is not Credentials.GIVEN:
        return probe.credentials is Credentials.INVALID
    scope = {"headers": [(name.lower().encode(), b"") for name, _ in given]}
    return has_credentials(scope) or (None if given else False)


class _TooLongError(Exception):
    """An answer has too many bytes."""


def explain(exc: BaseException, url: httpx2.URL, timeout: float) -> str:
    """Say in one sentence why there is no answer."""
    causes = tuple(_causes(exc))
    origin = f"{url.scheme}://{url.netloc.decode()}"
    for types, sentence in _REASONS:
        for cause in causes:
            if isinstance(cause, types):
                reason = getattr(cause, "verify_message", "")
                return sentence.format(origin=origin, host=url.host, timeout=timeout, reason=reason)
    return f"{origin} can't be asked: {type(exc).__name__}."


_REASONS: Final[tuple[tuple[tuple[type[BaseException], ...], str], ...]] = (
    ((socket.gaierror,), "The name {host} leads nowhere: check its spelling, or the network."),
    (
        (ssl.SSLCertVerificationError,),
        "The certificate of {origin} is not valid: {reason}. SSL_CERT_FILE names what to trust.",
    ),
    # What waits for TLS to go on waits in an `SSLError`.
    (
        (TimeoutError, httpx2.TimeoutException),
        "{origin} gave no whole answer within {timeout:g} seconds: --timeout allows more.",
    ),
    ((ssl.SSLError,), "{origin} doesn't speak TLS: perhaps its address begins with http://."),
    ((ConnectionRefusedError,), "Nothing listens at {origin}: is the service running there?"),
    ((_TooLongError,), f"{{origin}} sent more than {_MOST_BYTES >> 20} MiB, and went on."),
    (
        (httpx2.ProtocolError, httpx2.DecodingError, httpx2.ReadError, httpx2.WriteError),
        "{origin} gave no whole HTTP answer: does something else than HTTP listen there?",
    ),
    ((OSError,), "{origin} can't be reached: check the host, the port and the network."),
)


def _causes(exc: BaseException) -> Iterator[BaseException]:
    """Give an exception and all that led to it: a client tries several addresses of one host."""
    yield exc
    if isinstance(exc, BaseExceptionGroup):
        for member in cast("BaseExceptionGroup[BaseException]", exc).exceptions:
            yield from _causes(member)
    cause = exc.__cause__ or exc.__context__
    if cause is not None:
        yield from _causes(cause)


@asynccontextmanager
async def serving(
    app: ASGIApp | None, headers: Sequence[tuple[str, str]], seconds: float
) -> AsyncGenerator[Service]:
    """Give a service to ask: an application in this process, or what the network has.

    Raises:
        UnreachableError: The application doesn't start, or the environment keeps from asking.
    """
    async with AsyncExitStack() as stack:
        transport = None
        notes: list[str] = []
        if app is not None:
            state = await stack.enter_async_context(_lifespan(app, seconds, notes))
            transport = _InProcess(app, state)
        client = await stack.enter_async_context(_client(transport, seconds))
        yield Service(client, headers, seconds, notes)


def _client(transport: httpx2.AsyncBaseTransport | None, seconds: float) -> httpx2.AsyncClient:
    """Make what sends the requests: it reads the environment, where anything may stand."""
    try:
        return httpx2.AsyncClient(
            transport=transport,
            timeout=seconds,
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            # What one answer sets is not sent with the next request.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            # A connection that the service is about to close would look like an answer cut short.
            limits=httpx2.Limits(max_keepalive_connections=0),
        )
    except (OSError, ValueError, ImportError, httpx2.InvalidURL) as exc:
        # Its text may have the password of a proxy.
        raise UnreachableError(
            f"The environment keeps from asking ({type(exc).__name__}): check SSL_CERT_FILE, "
            "SSL_CERT_DIR, and what names a proxy, such as HTTPS_PROXY and ALL_PROXY."
        ) from None


class _InProcess(httpx2.AsyncBaseTransport):
    """Does for an application what a server does and `ASGITransport` doesn't."""

    def __init__(self, app: ASGIApp, state: Mapping[str, Any]) -> None:
        self._app = app
        self._state = state

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        app = partial(self._serve, request.extensions[_READ_FROM])
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
        response = await transport.handle_async_request(request)
        if "content-length" not in response.headers:
            # As a server says how a body ends (RFC 9112, 6.1).
            response.headers["transfer-encoding"] = "chunked"
        return response

    async def _serve(self, read_from: int, scope: Scope, receive: Receive, send: Send) -> None:
        is_complete = False
        size = 0

        async def send_some(message: Message) -> None:
            nonlocal is_complete, size
            await send(message)
            is_complete = message["type"] == _BODY and not message.get("more_body", False)
            size += len(message.get("body", b""))
            is_enough = _is_unframed(message) and message["status"] < read_from
            if is_enough or size > _MOST_BYTES:
                # What ASGI says of a client that has left: nobody waits for the end of a stream.
                raise OSError("The client has left.")

        asgi = {"version": "3.0", "spec_version": "2.4"}
        try:
            await self._app({**scope, "asgi": asgi, "state": dict(self._state)}, receive, send_some)
        except BaseException as exc:
            if isinstance(exc, Exception | KeyboardInterrupt) or is_cancelled():
                raise
            raise RuntimeError("The application wants to exit, or to be cancelled.") from exc
        if not is_complete:
            raise RuntimeError("The application ended before its response did.")


_BODY: Final = "http.response.body"


def _is_unframed(message: Message) -> bool:
    """Say whether a response begins that doesn't say how long it is."""
    if message["type"] != "http.response.start":
        return False
    return not any(name.lower() == b"content-length" for name, _ in message.get("headers", ()))


@asynccontextmanager
async def _lifespan(
    app: ASGIApp, seconds: float, notes: list[str]
) -> AsyncGenerator[Mapping[str, Any]]:
    """Start an application, give its state, and shut it down. One without a lifespan is fine.

    Each may take so many seconds. That the shutdown took more is noted.

    Raises:
        UnreachableError: The application says that it can't start, or doesn't.
    """
    state: dict[str, Any] = {}
    started, stopping = asyncio.Event(), asyncio.Event()
    events = iter(["lifespan.startup", "lifespan.shutdown"])
    failures: list[str] = []

    async def receive() -> Message:
        event = next(events)
        if event == "lifespan.shutdown":
            await stopping.wait()
        return {"type": event}

    async def send(message: Message) -> None:
        if message["type"] == "lifespan.startup.failed":
            # Starlette sends a traceback, whose last line says what happened.
            failures.append(message.get("message", "").strip().rpartition("\n")[2])
        started.set()

    task = asyncio.create_task(_live(app, state, receive, send, failures))
    task.add_done_callback(lambda _: started.set())
    try:
        if not await _is_in_time(started.wait(), seconds):
            task.cancel()
            raise UnreachableError(_TOO_SLOW.format("start", seconds))
        if failures:
            raise UnreachableError(
                f"The application doesn't start: {failures[0] or 'no reason given'}."
            )
        yield state
    finally:
        stopping.set()
        if not await _is_in_time(task, seconds):
            notes.append(_TOO_SLOW.format("stop", seconds))


async def _live(
    app: ASGIApp, state: dict[str, Any], receive: Receive, send: Send, failures: list[str]
) -> None:
    asgi = {"version": "3.0", "spec_version": "2.0"}
    try:
        await app({"type": "lifespan", "asgi": asgi, "state": state}, receive, send)
    except SystemExit:
        failures.append("it exits")
    except Exception:
        # It has no lifespan, or fails at its end: neither says anything about its errors.
        return


_TOO_SLOW: Final = "The application doesn't {} within {:g} seconds: --timeout allows more."


async def _is_in_time(what: Awaitable[object], seconds: float) -> bool:
    """Wait for something, but no longer; say whether it has ended."""
    future = asyncio.ensure_future(what)
    done, _ = await asyncio.wait([future], timeout=seconds)
    future.cancel()
    return bool(done)
