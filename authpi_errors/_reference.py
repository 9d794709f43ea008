"""The reference of an error: the id that a client quotes, and that an operator finds."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any, Final

from starlette.types import Scope

__all__ = ["reference_of"]


def reference_of(scope: Scope) -> str:
    """Find the id under which others know a request already, or make one.

    Args:
        scope: The scope of the connection.

    Returns:
        The trace id of the active OpenTelemetry span; else that of `traceparent`; else
        `x-request-id`, if it is harmless; else 32 fresh hexadecimal digits. This function does not
        raise.
    """
    return _active_trace_id() or _sent_id(scope) or os.urandom(16).hex()


def _active_trace_id() -> str | None:
    """Read the trace id of the active span, where the application uses OpenTelemetry."""
    trace: Any = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    try:
        span = trace.get_current_span()
        if span is trace.INVALID_SPAN:
            return None
        context = span.get_span_context()
        return format(context.trace_id, "032x") if context.is_valid else None
    except Exception:
        # Half imported, or a span of somebody's own: there is another id.
        return None


def _sent_id(scope: Scope) -> str | None:
    """Read the id that came with a request. What is sent twice, or is not valid, says nothing."""
    fields: Iterable[tuple[bytes, bytes]] | None = scope.get("headers")
    if not isinstance(fields, _LISTS):
        # ASGI allows headers that can be read only once: that is for the application.
        return None
    try:
        sent = [field for field in fields if field[0] in _READERS]
        if not sent:
            return None
        found: dict[bytes, list[bytes]] = {name: [] for name in _READERS}
        for name, value in sent:
            found[name].append(value)
        ids = (_READERS[name](*values) for name, values in found.items() if len(values) == 1)
        return next(filter(None, ids), None)
    except Exception:
        # No headers as ASGI has them.
        return None


# A union would be made anew each time that it is asked.
_LISTS: Final = (list, tuple)


def _trace_id(traceparent: bytes) -> str | None:
    match = _TRACEPARENT.fullmatch(traceparent)
    return None if match is None else match[1].decode()


def _request_id(value: bytes) -> str | None:
    return None if _REQUEST_ID.fullmatch(value) is None else value.decode()


# W3C Trace Context, 3.2.2: version, trace id, parent id, flags. Version ff and ids of zeros are not
# valid. Version 00 ends there; a higher one may go on behind another hyphen (4.3).
_TRACEPARENT: Final = re.compile(
    rb"(?!ff|00.{54})[0-9a-f]{2}"
    rb"-(?!0{32})([0-9a-f]{32})"
    rb"-(?!0{16})[0-9a-f]{16}"
    rb"-[0-9a-f]{2}(?:-.*)?"
)

# It is the client's, and goes into the body, into logs, and from there into somebody's shell: what
# JSON, a line of text or a shell reads as it stands. UUIDs, base64 and `Root=1-5759e988-bd86…` are
# among that; what takes more than 128 characters is no id.
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9_.:@/+=-]{1,128}")

# In the order in which they count.
_READERS: Final[dict[bytes, Callable[[bytes], str | None]]] = {
    b"traceparent": _trace_id,
    b"x-request-id": _request_id,
}
