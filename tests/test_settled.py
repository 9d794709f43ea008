"""What is decided about further in is known further out."""

import pytest
from starlette.types import Message, Scope

from authpi_errors._settled import Handler, is_settled, settle, settling


def start(status: int = 404, length: bytes = b"5", media_type: bytes = b"text/plain") -> Message:
    headers = [(b"content-type", media_type), (b"content-length", length)]
    return {"type": "http.response.start", "status": status, "headers": headers}


def test_nothing_is_settled_at_first() -> None:
    scope: Scope = {}
    assert not is_settled(scope, start())


def test_a_response_is_known_again() -> None:
    scope: Scope = {}
    response = start()
    settle(scope, response)
    assert is_settled(scope, response)


def test_a_response_is_known_by_what_it_says_too() -> None:
    scope: Scope = {}
    settle(scope, start())
    copy = start()
    copy["headers"] = [*((name.upper(), value) for name, value in copy["headers"]), (b"vary", b"*")]
    assert is_settled(scope, copy)


def test_a_response_is_known_by_its_headers_behind_another_one() -> None:
    scope: Scope = {}
    response = {**start(), "headers": iter(start()["headers"])}
    settle(scope, response)
    settle(scope, start(413))
    assert is_settled(scope, {**response})


def test_each_of_several_responses_is_known() -> None:
    scope: Scope = {}
    for status in (404, 413, 500):
        settle(scope, start(status))
    assert all(is_settled(scope, start(status)) for status in (404, 413, 500))


def test_a_response_without_headers_is_known_behind_another_one() -> None:
    scope: Scope = {}
    response: Message = {"type": "http.response.start", "status": 404}
    settle(scope, response)
    settle(scope, start(413))
    assert is_settled(scope, response)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(start(413), id="another status"),
        pytest.param(start(length=b"6"), id="another length"),
        pytest.param(start(media_type=b"text/html"), id="another media type"),
        pytest.param(
            {**start(), "headers": iter(start()["headers"])}, id="headers to be read once"
        ),
        pytest.param({"type": "http.response.start", "status": 404}, id="no headers"),
        pytest.param(
            {"type": "websocket.accept", "headers": start()["headers"][:1]}, id="no status"
        ),
    ],
)
def test_another_response_is_not_taken_for_it(other: Message) -> None:
    for known, asked in (start(), other), (other, start()):
        scope: Scope = {}
        settle(scope, known)
        assert not is_settled(scope, asked)


@pytest.mark.parametrize("handler", [print, type("Handler", (), {"__call__": print})()])
def test_a_handler_is_wrapped_once(handler: Handler) -> None:
    wrapped = settling(handler)
    assert wrapped is not handler
    assert settling(wrapped) is wrapped
