"""The reference of an error: where it comes from, and what is not taken for one."""

from __future__ import annotations

import json
import re
import shlex
import sys
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from authpi_errors._reference import reference_of

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01".encode()
FRESH = re.compile("[0-9a-f]{32}")


def scope(*headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http", "method": "GET", "path": "/", "headers": list(headers)}


def is_fresh(scope: Any) -> bool:
    """Say whether the reference is made, and another one each time."""
    one, two = reference_of(scope), reference_of(scope)
    return one != two and bool(FRESH.fullmatch(one)) and bool(FRESH.fullmatch(two))


@pytest.fixture
def tracer() -> trace.Tracer:
    return TracerProvider().get_tracer("tests")


def test_the_active_span_comes_first(tracer: trace.Tracer) -> None:
    with tracer.start_as_current_span("request") as span:
        expected = trace.format_trace_id(span.get_span_context().trace_id)
        assert reference_of(scope((b"traceparent", TRACEPARENT))) == expected


def test_the_trace_id_of_a_span_has_its_leading_zeros() -> None:
    context = trace.SpanContext(0xABC, 1, is_remote=False)
    with trace.use_span(trace.NonRecordingSpan(context)):
        assert reference_of(scope()) == "abc".zfill(32)


def test_without_an_active_span_the_headers_count() -> None:
    assert reference_of(scope((b"traceparent", TRACEPARENT))) == TRACE_ID


def test_a_span_that_is_not_valid_says_nothing() -> None:
    with trace.use_span(trace.NonRecordingSpan(trace.INVALID_SPAN_CONTEXT)):
        assert reference_of(scope((b"traceparent", TRACEPARENT))) == TRACE_ID


def test_headers_may_be_a_tuple() -> None:
    headers = ((b"traceparent", TRACEPARENT),)
    assert reference_of({**scope(), "headers": headers}) == TRACE_ID


@pytest.mark.parametrize(
    "module",
    [
        pytest.param(None, id="is not imported"),
        pytest.param(ModuleType("opentelemetry.trace"), id="is half imported"),
    ],
)
def test_open_telemetry_is_not_needed(
    module: ModuleType | None, monkeypatch: pytest.MonkeyPatch, tracer: trace.Tracer
) -> None:
    with tracer.start_as_current_span("request"):
        monkeypatch.setitem(sys.modules, "opentelemetry.trace", module)
        assert reference_of(scope((b"traceparent", TRACEPARENT))) == TRACE_ID


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(TRACEPARENT, id="version 00"),
        pytest.param(TRACEPARENT[:-2] + b"00", id="not sampled"),
        pytest.param(TRACEPARENT[:-2] + b"03", id="the flag of level 2 for random ids"),
        pytest.param(TRACEPARENT[:-2] + b"ff", id="all flags"),
        pytest.param(b"01" + TRACEPARENT[2:], id="a higher version"),
        pytest.param(b"cc" + TRACEPARENT[2:] + b"-what.the-future", id="a higher version, longer"),
        pytest.param(b"cc" + TRACEPARENT[2:] + b"-", id="a higher version, an empty part"),
        pytest.param(b"f0" + TRACEPARENT[2:], id="version f0"),
        pytest.param(b"0f" + TRACEPARENT[2:], id="version 0f"),
    ],
)
def test_traceparent_is_read(value: bytes) -> None:
    assert reference_of(scope((b"traceparent", value))) == TRACE_ID


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"ff" + TRACEPARENT[2:], id="version ff"),
        pytest.param(b"ff" + TRACEPARENT[2:] + b"-01", id="version ff, longer"),
        pytest.param(b"0" + TRACEPARENT[1:].lstrip(b"0"), id="a short version"),
        pytest.param(b"0A" + TRACEPARENT[2:], id="a version in upper case"),
        pytest.param(TRACEPARENT + b"-01", id="version 00, longer"),
        pytest.param(TRACEPARENT + b"-", id="version 00, a hyphen at the end"),
        pytest.param(TRACEPARENT + b"\n", id="version 00, a line feed at the end"),
        pytest.param(b"cc" + TRACEPARENT[2:] + b"01", id="a higher version, longer flags"),
        pytest.param(b"cc" + TRACEPARENT[2:] + b".01", id="a higher version, no hyphen"),
        pytest.param(TRACEPARENT[:-1], id="a short flag"),
        pytest.param(TRACEPARENT[:-2] + b"0g", id="flags that are no digits"),
        pytest.param(TRACEPARENT[:-3], id="no flags"),
        pytest.param(b"00-" + b"0" * 32 + TRACEPARENT[35:], id="a trace id of zeros"),
        pytest.param(TRACEPARENT[:36] + b"0" * 16 + b"-01", id="a parent id of zeros"),
        pytest.param(TRACEPARENT.upper(), id="upper case"),
        pytest.param(TRACEPARENT[:10] + TRACEPARENT[11:], id="a short trace id"),
        pytest.param(TRACEPARENT[:10] + b"a" + TRACEPARENT[10:], id="a long trace id"),
        pytest.param(TRACEPARENT[:10] + b"g" + TRACEPARENT[11:], id="a trace id of no digits"),
        pytest.param(TRACEPARENT[:40] + TRACEPARENT[41:], id="a short parent id"),
        pytest.param(TRACEPARENT.replace(b"-", b"_"), id="no hyphens"),
        pytest.param(TRACEPARENT + b", " + TRACEPARENT, id="two in one"),
        pytest.param(b" " + TRACEPARENT, id="a space before it"),
    ],
)
def test_traceparent_that_is_not_valid_says_nothing(value: bytes) -> None:
    assert is_fresh(scope((b"traceparent", value)))
    assert reference_of(scope((b"traceparent", value), (b"x-request-id", b"a"))) == "a"


@pytest.mark.parametrize(
    "value",
    [
        "1",
        "f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
        "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "q1Ay/+8=",
        "V1StGXR8_Z5jdHi6B-myT",
        "Root=1-5759e988-bd862e3fe1be46a994272793",
        "edge.example:7f@12",
        "x" * 128,
    ],
)
def test_request_id_is_taken_where_there_is_no_trace(value: str) -> None:
    header = (b"x-request-id", value.encode())
    assert reference_of(scope(header)) == value
    assert reference_of(scope(header, (b"traceparent", TRACEPARENT))) == TRACE_ID


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"x" * 129, id="more than 128 characters"),
        pytest.param(b"a b", id="a space"),
        pytest.param(b"a\r\nb", id="a line break"),
        pytest.param(b"a\n", id="a line feed at the end"),
        pytest.param(b"a\x00", id="a zero byte"),
        pytest.param(b"\x1b[31m", id="an escape sequence"),
        pytest.param(b'a"b', id="a quotation mark"),
        pytest.param(b"a'b", id="an apostrophe"),
        pytest.param(b"a\\b", id="a backslash"),
        pytest.param(b"$(id)", id="a command"),
        pytest.param(b"`id`", id="a command in backquotes"),
        pytest.param(b"a;b", id="a semicolon"),
        pytest.param(b"a&b", id="an ampersand"),
        pytest.param(b"~root", id="a tilde"),
        pytest.param(b"<b>", id="an element"),
        pytest.param(b"%0a", id="a percent sign"),
        pytest.param("ä".encode(), id="UTF-8"),
        pytest.param(b"\xe4", id="latin-1"),
    ],
)
def test_request_id_that_could_do_harm_is_not_taken(value: bytes) -> None:
    assert is_fresh(scope((b"x-request-id", value)))


@given(st.binary(max_size=4))
def test_reference_stands_in_json_and_in_a_shell_as_it_is(value: bytes) -> None:
    reference = reference_of(scope((b"x-request-id", value)))
    assert json.dumps(reference) == f'"{reference}"'
    assert shlex.quote(reference) == reference
    assert reference.isprintable()


@pytest.mark.parametrize(
    "header",
    [
        pytest.param((b"traceparent", TRACEPARENT), id="traceparent"),
        pytest.param((b"x-request-id", b"a"), id="x-request-id"),
    ],
)
def test_header_that_is_sent_twice_says_nothing(header: tuple[bytes, bytes]) -> None:
    assert is_fresh(scope(header, header))


def test_trace_that_is_sent_twice_leaves_the_request_id() -> None:
    trace = (b"traceparent", TRACEPARENT)
    assert reference_of(scope(trace, (b"x-request-id", b"a"), trace)) == "a"


def test_other_headers_say_nothing() -> None:
    assert is_fresh(scope((b"request-id", b"a"), (b"x-trace", TRACEPARENT)))


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(None, id="none"),
        pytest.param({b"x-request-id": b"a"}, id="a mapping"),
        pytest.param([b"x-request-id"], id="no pairs"),
        pytest.param([("x-request-id", "a")], id="text"),
        pytest.param([(b"x-request-id", "a")], id="text for a value"),
        pytest.param([(bytearray(b"x-request-id"), b"a")], id="a name that is no name"),
    ],
)
def test_headers_that_are_none_do_no_harm(headers: object) -> None:
    assert is_fresh({"type": "http", "headers": headers})


def test_scope_without_headers_does_no_harm() -> None:
    assert is_fresh({"type": "http"})


def test_headers_that_can_be_read_only_once_are_left_to_the_application() -> None:
    headers = iter([(b"x-request-id", b"a")])
    assert is_fresh({"type": "http", "headers": headers})
    assert list(headers) == [(b"x-request-id", b"a")]
