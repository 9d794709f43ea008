"""What is held back, and when it is let go."""

import pytest
from starlette.types import Message

from authpi_errors._sending import SENDINGS, Sending, send_all


def sending(kind: str = "http") -> tuple[Sending, list[Message]]:
    sent: list[Message] = []

    async def forward(message: Message) -> None:
        sent.append(message)

    return SENDINGS[kind](forward), sent


def start(status: int, content_type: bytes = b"text/plain") -> Message:
    headers = [(b"content-type", content_type)]
    return {"type": "http.response.start", "status": status, "headers": headers}


@pytest.mark.parametrize("status", [200, 204, 301, 404, 503])
async def test_a_start_is_forwarded_at_once(status: int) -> None:
    answer, sent = sending()
    await answer.send(start(status))
    assert (answer.started, len(sent)) == (True, 1)


async def test_a_plain_500_is_held_until_it_is_released() -> None:
    answer, sent = sending()
    messages = [start(500), {"type": "http.response.body", "body": b"x"}]
    for message in messages:
        await answer.send(message)
    assert (answer.started, sent) == (False, [])
    await answer.release()
    assert (answer.started, sent, answer.held) == (True, messages, [])


@pytest.mark.parametrize(
    "kind", [b"TEXT/PLAIN", bytearray(b"text/plain"), memoryview(b"text/plain")]
)
async def test_plain_text_is_known_however_it_is_written(kind: bytes) -> None:
    answer, sent = sending()
    await answer.send(start(500, kind))
    assert sent == []


async def test_what_follows_a_release_is_forwarded() -> None:
    answer, sent = sending()
    await answer.send(start(500))
    await answer.release()
    await answer.send({"type": "http.response.body"})
    assert len(sent) == 2


async def test_a_websocket_is_accepted_before_it_has_its_answer() -> None:
    answer, _ = sending("websocket")
    await answer.send({"type": "websocket.accept"})
    assert (answer.accepted, answer.started) == (True, False)
    await answer.send({"type": "websocket.send"})
    assert answer.started is False
    await answer.send({"type": "websocket.close"})
    assert answer.started is True


async def test_messages_are_sent_in_their_order() -> None:
    answer, sent = sending()
    messages: list[Message] = [{"type": "a"}, {"type": "b"}]
    await send_all(messages, answer.forward)
    assert sent == messages
