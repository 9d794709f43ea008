"""Clients that see what is on the wire: strict parsers on a plain socket, and nothing mended."""

import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Protocol, Self

import h2.config
import h2.connection
import h2.events
import h11
import wsproto
from wsproto import events as ws

__all__ = ["Answer", "Client", "Headers", "Http1", "Http2", "Talk", "talk"]

HOST: Final = "127.0.0.1"
TIMEOUT: Final = 20

Headers = Sequence[tuple[str, str]]


@dataclass
class Answer:
    """One response.

    Attributes:
        status: Its status; 0 if none came.
        headers: Its headers, with names in lower case.
        body: Its body, as far as it came.
        complete: Whether it ended as the protocol says, rather than with the connection.
        surplus: What came after its end.
        reusable: Whether the connection can be used for another request.
    """

    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    body: bytes = b""
    complete: bool = False
    surplus: bytes = b""
    reusable: bool = False

    def values(self, name: str) -> list[str]:
        """Give the values of each header of that name."""
        return [value for key, value in self.headers if key == name]

    def value(self, name: str) -> str | None:
        """Give the value of the one header of that name."""
        values = self.values(name)
        assert len(values) <= 1, f"{name} is there {len(values)} times"
        return values[0] if values else None


class Client(Protocol):
    """A connection to a server."""

    def request(self, method: str, path: str, headers: Headers = (), *body: bytes) -> Answer: ...

    def part(self, method: str, path: str, body: bytes) -> None: ...

    def last(self, path: str) -> Answer: ...

    def rest(self) -> bytes: ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class _Closing:
    def __init__(self, port: int, timeout: float) -> None:
        self._socket = socket.create_connection((HOST, port), timeout)

    def _transmit(self, data: bytes) -> None:
        """Send it, if the server still takes it; what it has sent before it left can be read."""
        with suppress(ConnectionError):
            self._socket.sendall(data)

    def _receive(self) -> bytes:
        """Give what comes next; nothing at the end, however the connection comes to it."""
        with suppress(ConnectionResetError, TimeoutError):
            return self._socket.recv(65536)
        return b""

    def close(self) -> None:
        """Close the connection at once."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Http1(_Closing):
    """HTTP/1.1, as h11 reads it: RFC 9112 to the letter."""

    def __init__(self, port: int, timeout: float = TIMEOUT) -> None:
        super().__init__(port, timeout)
        self._connection = h11.Connection(h11.CLIENT)

    def request(self, method: str, path: str, headers: Headers = (), *body: bytes) -> Answer:
        """Send one request, its body in one or several pieces, and read its answer."""
        given = {"host": HOST, **dict(headers)}
        if len(body) > 1:
            given["transfer-encoding"] = "chunked"
        elif any(body):
            given["content-length"] = str(len(b"".join(body)))
        self._send(
            h11.Request(method=method, target=path, headers=list(given.items())),
            *[h11.Data(piece) for piece in body if piece],
            h11.EndOfMessage(),
        )
        return self._answer()

    def part(self, method: str, path: str, body: bytes) -> None:
        """Send the first part of a request, that promises one byte more."""
        headers = [("host", HOST), ("content-length", str(len(body) + 1))]
        self._send(h11.Request(method=method, target=path, headers=headers), h11.Data(body))

    def last(self, path: str) -> Answer:
        """Send a request that is the last one; the surplus is all that comes until the end."""
        answer = self.request("GET", path, [("connection", "close")])
        answer.surplus += self.rest()
        return answer

    def rest(self) -> bytes:
        """Give what the server still sends before it closes the connection."""
        return b"".join(iter(self._receive, b""))

    def _send(self, *events: h11.Event) -> None:
        self._transmit(b"".join(self._connection.send(event) or b"" for event in events))

    def _answer(self) -> Answer:
        answer = Answer()
        # What h11 refuses is a connection that ended too early.
        with suppress(h11.RemoteProtocolError):
            while not answer.complete:
                match self._connection.next_event():
                    case h11.Response() as response:
                        answer.status = response.status_code
                        answer.headers = [
                            (name.decode("ascii"), value.decode("latin-1"))
                            for name, value in response.headers
                        ]
                    case h11.Data(data=data):
                        answer.body += data
                    case h11.EndOfMessage():
                        answer.complete = True
                    case _:
                        self._connection.receive_data(self._receive())
        answer.surplus = self._connection.trailing_data[0]
        answer.reusable = self._connection.states == {
            h11.CLIENT: h11.DONE,
            h11.SERVER: h11.DONE,
        }
        if answer.reusable:
            self._connection.start_next_cycle()
        return answer


class Http2(_Closing):
    """HTTP/2 with prior knowledge, as h2 reads it: it checks names and lengths."""

    def __init__(self, port: int, timeout: float = TIMEOUT) -> None:
        super().__init__(port, timeout)
        config = h2.config.H2Configuration(client_side=True, header_encoding="latin-1")
        self._connection = h2.connection.H2Connection(config)
        self._connection.initiate_connection()
        self._flush()
        self._closed = False

    def request(self, method: str, path: str, headers: Headers = (), *body: bytes) -> Answer:
        """Send one request, its body in one or several pieces, and read its answer."""
        stream = self._open(method, path, headers, ended=not any(body))
        if any(body):
            for piece in body:
                self._connection.send_data(stream, piece)
            self._connection.end_stream(stream)
        self._flush()
        return self._answer(stream)

    def part(self, method: str, path: str, body: bytes) -> None:
        """Send the first part of a request."""
        self._connection.send_data(self._open(method, path, (), ended=False), body)
        self._flush()

    def last(self, path: str) -> Answer:
        """Send a request that is the last one; the surplus is all that comes until a ping."""
        answer = self.request("GET", path)
        answer.surplus += self.rest()
        return answer

    def rest(self) -> bytes:
        """Give what the server still sends before it answers a ping."""
        self._connection.ping(b"8 octets")
        self._flush()
        surplus = b""
        answered = False
        while not answered and not self._closed:
            for event in self._events():
                answered = answered or isinstance(event, h2.events.PingAckReceived)
                surplus += _data(event)
        return surplus

    def _open(self, method: str, path: str, headers: Headers, *, ended: bool) -> int:
        stream = self._connection.get_next_available_stream_id()
        given = {"host": HOST, **dict(headers)}
        pseudo = {":method": method, ":scheme": "http", ":authority": given.pop("host")}
        fields = [*pseudo.items(), (":path", path), *given.items()]
        self._connection.send_headers(stream, fields, end_stream=ended)
        return stream

    def _flush(self) -> None:
        self._transmit(self._connection.data_to_send())

    def _events(self) -> list[h2.events.Event]:
        data = self._receive()
        self._closed = not data
        events = self._connection.receive_data(data)
        for event in events:
            if isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
                self._connection.acknowledge_received_data(
                    event.flow_controlled_length, event.stream_id
                )
        self._flush()
        return events

    def _answer(self, stream: int) -> Answer:
        answer = Answer(reusable=True)
        ended = False
        while not ended and not self._closed:
            for event in self._events():
                match event:
                    case h2.events.ResponseReceived(headers=headers):
                        answer.headers = [(str(name), str(value)) for name, value in headers]
                        answer.status = int(answer.headers.pop(0)[1])
                    case h2.events.StreamEnded() | h2.events.StreamReset():
                        ended = True
                        answer.complete = isinstance(event, h2.events.StreamEnded)
                    case _:
                        # After the end of the stream h2 takes no more of it.
                        answer.body += _data(event)
        return answer


def _data(event: h2.events.Event) -> bytes:
    return event.data if isinstance(event, h2.events.DataReceived) else b""


@dataclass
class Talk:
    """What came of a WebSocket.

    Attributes:
        denied: The HTTP response that it was denied with, if it was not accepted.
        texts: The messages of the server.
        code: The code that the server closed it with.
        reason: The reason that goes with it.
    """

    denied: Answer | None = None
    texts: list[str] = field(default_factory=list[str])
    code: int | None = None
    reason: str | None = None


def talk(port: int, path: str, headers: Headers = ()) -> Talk:
    """Open a WebSocket and listen until the server ends it."""
    result = Talk()
    with socket.create_connection((HOST, port), TIMEOUT) as connection:
        client = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        given = {"host": HOST, **dict(headers)}
        host = given.pop("host")
        extra = [(name.encode(), value.encode()) for name, value in given.items()]
        request = ws.Request(host=host, target=path, extra_headers=extra)
        connection.sendall(client.send(request))
        data = b"-"
        while data:
            data = connection.recv(65536)
            client.receive_data(data or None)
            for event in client.events():
                match event:
                    case ws.RejectConnection():
                        headers = [
                            (name.decode("ascii").lower(), value.decode("latin-1"))
                            for name, value in event.headers
                        ]
                        result.denied = Answer(event.status_code, headers)
                    case ws.RejectData():
                        assert result.denied is not None
                        result.denied.body += event.data
                        result.denied.complete = event.body_finished
                        data = b"" if event.body_finished else data
                    case ws.TextMessage():
                        result.texts.append(event.data)
                    case ws.CloseConnection():
                        result.code, result.reason = result.code or event.code, event.reason
                        data = b""
                    case _:
                        pass
    return result
