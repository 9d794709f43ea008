"""The test clients: they read all that a server has sent, however it leaves."""

import socket
import struct

import h2.config
import h2.connection
import pytest

from tests.wire import HOST, Client, Http1, Http2


def http1() -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def http2() -> bytes:
    client = h2.connection.H2Connection()
    client.initiate_connection()
    pseudo = [(":method", "GET"), (":scheme", "http"), (":authority", HOST), (":path", "/")]
    client.send_headers(1, pseudo, end_stream=True)
    server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    server.receive_data(client.data_to_send())
    server.send_headers(1, [(":status", "200")])
    server.send_data(1, b"ok", end_stream=True)
    return server.data_to_send()


@pytest.mark.parametrize(
    ("kind", "sent"), [(Http1, http1()), (Http2, http2())], ids=["http1", "http2"]
)
def test_what_came_before_a_reset_is_read(kind: type[Http1 | Http2], sent: bytes) -> None:
    with socket.create_server((HOST, 0)) as listener:
        client: Client = kind(listener.getsockname()[1])
        server, _ = listener.accept()
        server.sendall(sent)
        # Nothing lingers: the connection is reset at once.
        server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        server.close()
        with client:
            answer = client.request("GET", "/")
    assert (answer.status, answer.body, answer.complete) == (200, b"ok", True)
