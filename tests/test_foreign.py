"""What is a framework's error, what is none, and what it means."""

import json
from typing import Any

import pytest
from starlette.datastructures import Headers

from authpi_errors import AuthPIError, ErrorCode, ErrorRegistry, PreconditionFailedError
from authpi_errors._foreign import LONGEST_BODY, ForeignResponse, foreign_error, may_be_foreign

TEXT = {"content-type": "text/plain; charset=utf-8"}
JSON = {"content-type": "application/json"}
REGISTRY = ErrorRegistry(
    codes=[ErrorCode("quota_exhausted", 402, "The quota is used up.")],
    statuses={402: "quota_exhausted"},
)


def response(
    status: int = 404, headers: dict[str, str] | None = None, body: bytes = b""
) -> ForeignResponse:
    return ForeignResponse({"type": "http"}, status, Headers(headers or {}), body)


def meaning(
    status: int = 404, headers: dict[str, str] | None = None, body: bytes = b""
) -> AuthPIError:
    return foreign_error(response(status, headers, body), REGISTRY)


def detail(value: Any) -> bytes:
    return json.dumps({"detail": value}).encode()


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        pytest.param({}, b"", id="nothing at all"),
        pytest.param({"content-length": "0"}, b"", id="a length of nothing"),
        pytest.param(TEXT, b"Not Found", id="plain text"),
        pytest.param({}, b"Not Found", id="text of no type"),
        pytest.param({}, "Zu viele\r\n\tAufrufe für heute.\n".encode(), id="lines of no type"),
        pytest.param({}, "Trop de requêtes\u00a0!".encode(), id="a no-break space of no type"),
        pytest.param({"content-type": "Text/Plain"}, b"x", id="plain text in capitals"),
        pytest.param(TEXT, b"", id="empty plain text"),
        pytest.param({**TEXT, "content-length": "nonsense"}, b"x", id="a length that is none"),
        pytest.param({**TEXT, "content-length": "9" * 5000}, b"x", id="a length without an end"),
        pytest.param({**TEXT, "content-length": "65536"}, b"x", id="announced as short enough"),
        pytest.param(TEXT, b"x" * LONGEST_BODY, id="just short enough"),
        pytest.param(JSON, b'{"detail":"Not Found"}', id="FastAPI's detail"),
        pytest.param(JSON, b' { "detail" : [] } ', id="the same with white space"),
    ],
)
def test_a_frameworks_response_is_known(headers: dict[str, str], body: bytes) -> None:
    assert response(404, headers, body).is_foreign


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        pytest.param({}, b"<!doctype html>", id="a page of no type"),
        pytest.param({}, b' {"message":"no"}', id="JSON of no type"),
        pytest.param({}, b'["no"]', id="a list of no type"),
        pytest.param({}, b"\x89PNG", id="bytes of no type"),
        pytest.param({}, b"a\0b", id="a control character of no type"),
        pytest.param({"content-type": "text/html"}, b"<h1>", id="a page"),
        pytest.param(JSON, b'{"message":"no"}', id="the application's JSON"),
        pytest.param(JSON, b'{"detail":"no","id":5}', id="more than a detail"),
        pytest.param(JSON, b'{"details":"no"}', id="another member"),
        pytest.param(JSON, b'{"detail":', id="broken JSON"),
        pytest.param(JSON, b'{"detail":' + b"[" * 20_000, id="bottomless JSON"),
        pytest.param(JSON, b'{"detail":null}', id="a detail of nothing"),
        pytest.param(JSON, b"[1]", id="a list"),
        pytest.param(JSON, b"", id="JSON that says nothing, as on HEAD"),
        pytest.param({"content-type": "application/problem+json"}, b"{}", id="RFC 9457"),
        pytest.param({"content-type": "text/event-stream"}, b"", id="an event stream"),
        pytest.param({**TEXT, "content-encoding": "gzip"}, b"\x1f\x8b", id="compressed"),
        pytest.param({**TEXT, "via": "1.1 upstream"}, b"x", id="what a gateway passes on"),
        pytest.param({**TEXT, "date": "Sun, 06 Nov 1994"}, b"x", id="what a server dated"),
        pytest.param({**TEXT, "content-length": "65537"}, b"x", id="announced as too long"),
        pytest.param(TEXT, b"x" * (LONGEST_BODY + 1), id="too long"),
    ],
)
def test_what_an_application_wrote_is_left_alone(headers: dict[str, str], body: bytes) -> None:
    assert not response(404, headers, body).is_foreign


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"det', b' {\n"detail"', b'{"detail":"x', b'{ "detail"']
)
def test_a_body_that_is_not_complete_may_still_be_fastapis(body: bytes) -> None:
    assert may_be_foreign(Headers(JSON), body)


@pytest.mark.parametrize("body", [b"[", b'{"x', b'{"details"', b"x" * 100])
def test_a_body_can_be_known_by_how_it_begins(body: bytes) -> None:
    assert not may_be_foreign(Headers(JSON), bytearray(body))


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "invalid_request"),
        (401, "unauthorized_client"),
        (402, "quota_exhausted"),
        (404, "not_found"),
        (405, "invalid_request"),
        (413, "invalid_request"),
        (499, "invalid_request"),
        (503, "server_error"),
    ],
)
def test_the_status_gives_the_code(status: int, code: str) -> None:
    error = meaning(status)
    assert (error.code.value, error.code.status, error.status) == (code, status, None)


@pytest.mark.parametrize(
    ("status", "body", "description"),
    [
        pytest.param(400, b"Invalid host header", "Invalid host header", id="a short text"),
        pytest.param(400, " Gr\u00fc\u00dfe ".encode(), "Gr\u00fc\u00dfe", id="in UTF-8"),
        pytest.param(404, b"Not Found", None, id="the phrase of the status"),
        pytest.param(400, b"x" * 200, "x" * 200, id="a text that is just short enough"),
        pytest.param(400, b"x" * 201, None, id="a long text"),
        pytest.param(400, b"Traceback:\n  File", None, id="several lines"),
        pytest.param(400, "Gr\u00fc\u00dfe".encode("latin-1"), None, id="not in UTF-8"),
        pytest.param(500, b"password=hunter2", None, id="what a server says of itself"),
    ],
)
def test_a_text_for_clients_is_the_description(
    status: int, body: bytes, description: str | None
) -> None:
    assert meaning(status, TEXT, body).description == description
    assert meaning(status, {}, body).description == description


def test_a_detail_that_is_a_text_is_the_description() -> None:
    assert meaning(409, JSON, detail("Taken.")).description == "Taken."


def test_a_detail_that_is_an_object_is_a_further_member() -> None:
    assert meaning(409, JSON, detail({"seat": "12A"})).extra == {"detail": {"seat": "12A"}}


def test_a_detail_is_taken_at_its_word() -> None:
    error = meaning(409, JSON, detail({"error": "seat_taken", "error_description": "12A."}))
    assert (error.code.value, error.description) == ("seat_taken", "12A.")


def test_validation_errors_become_fields_without_their_input() -> None:
    record = {"loc": ["query", "limit"], "msg": "Field required", "type": "missing", "input": 5}
    error = meaning(422, JSON, detail([record]))
    (found,) = error.fields
    assert (error.code.status, found.field, found.code) == (400, "query.limit", "missing")
    assert error.extra is None


def test_no_validation_errors_are_no_fields_to_correct() -> None:
    error = meaning(422, JSON, detail([]))
    assert (error.description, list(error.fields)) == (None, [])


@pytest.mark.parametrize(
    ("status", "value"),
    [
        (400, ["x"]),
        (400, [{"loc": ["body"], "msg": "", "type": ""}]),
        (422, ["x"]),
        (422, [{"loc": ""}]),
    ],
)
def test_other_lists_are_a_further_member(status: int, value: list[Any]) -> None:
    error = meaning(status, JSON, detail(value))
    assert (error.code.status, error.extra) == (status, {"detail": value})


def test_headers_that_described_the_old_body_go_with_it() -> None:
    headers = Headers(
        raw=[
            (b"content-type", b"text/plain"),
            (b"content-length", b"9"),
            (b"etag", b'"1"'),
            (b"last-modified", b"yesterday"),
            (b"accept-ranges", b"bytes"),
            (b"content-range", b"bytes */5"),
            (b"set-cookie", b"a=1"),
            (b"set-cookie", b"b=2"),
            (b"allow", b"GET"),
            (b"content-security-policy", b"default-src 'none'"),
        ]
    )
    error = foreign_error(ForeignResponse({}, 405, headers, b"Not Found"), REGISTRY)
    assert error.headers is not None
    assert list(error.headers.items()) == [
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("allow", "GET"),
        ("content-security-policy", "default-src 'none'"),
    ]


# RFC 9110, 6.6.2, 8, 14.3 and 14.4; RFC 9112, 6.1; RFC 9530.
@pytest.mark.parametrize(
    "name",
    """
    accept-ranges content-digest content-disposition content-encoding content-language
    content-length content-location content-md5 content-range content-type etag last-modified
    repr-digest trailer transfer-encoding
    """.split(),
)
def test_what_described_the_old_body_is_not_said_of_the_new_one(name: str) -> None:
    error = meaning(404, {name: "x", "vary": "x"})
    assert dict(error.headers or {}) == {"vary": "x"}


@pytest.mark.parametrize(("status", "name"), [(416, "content-range"), (412, "etag")])
def test_headers_that_mean_something_with_the_status_stay(status: int, name: str) -> None:
    error = meaning(status, {**TEXT, name: '"1"'}, b"x")
    assert dict(error.headers or {}) == {name: '"1"'}


def test_a_412_is_the_error_that_has_an_entity_tag() -> None:
    assert isinstance(meaning(412), PreconditionFailedError)
