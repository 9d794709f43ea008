"""What is asked, and the answer: the same members and headers for all who speak AuthPI's format."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from benchmarks.exchange import Answer, Request

__all__ = [
    "CHANGING",
    "DESCRIPTIONS",
    "INVALID",
    "NOT_FOUND",
    "PRECONDITION",
    "RATE_LIMIT",
    "SITUATIONS",
    "SUCCESS",
    "UNEXPECTED",
    "UNROUTED",
    "Situation",
    "violations",
]

SUCCESS = "success"
NOT_FOUND = "404"
CHANGING = "404, changing description"
PRECONDITION = "412"
RATE_LIMIT = "429"
UNEXPECTED = "unexpected exception"
INVALID = "three invalid fields"
UNROUTED = "router's 404"

DESCRIPTIONS = {
    NOT_FOUND: "There is no user 7.",
    PRECONDITION: "User 7 was changed meanwhile.",
    RATE_LIMIT: "The limit of 100 requests a minute is exceeded.",
    UNEXPECTED: (
        "The server met an unexpected condition; the request is not at fault. "
        "If it persists, report it with the reference, where there is one."
    ),
    UNROUTED: "There is nothing at this address. Check the path and the identifiers in it.",
}


@dataclass(frozen=True, slots=True)
class Situation:
    """A request, and what an answer in AuthPI's format has.

    Attributes:
        status: The status.
        members: The members of the body; one whose value is `str` may hold any text.
        headers: The headers beside those that describe the body.
        request: What is asked.
        others: The statuses that other formats may give.
    """

    status: int
    members: Mapping[str, Any] | None
    headers: Mapping[bytes, bytes]
    request: Request = field(default_factory=Request)
    others: frozenset[int] = frozenset()


_NO_STORE = {b"cache-control": b"no-store"}


def _not_found(description: object) -> Mapping[str, Any]:
    return {"error": "not_found", "error_description": description, "retryable": False}


SITUATIONS: Mapping[str, Situation] = {
    SUCCESS: Situation(200, None, {}),
    NOT_FOUND: Situation(404, _not_found(DESCRIPTIONS[NOT_FOUND]), _NO_STORE),
    CHANGING: Situation(404, _not_found(str), _NO_STORE),
    PRECONDITION: Situation(
        412,
        {
            "error": "precondition_failed",
            "error_description": DESCRIPTIONS[PRECONDITION],
            "retryable": False,
            "current_etag": '"1709139700000"',
            "currentETag": '"1709139700000"',
        },
        {**_NO_STORE, b"etag": b'"1709139700000"'},
    ),
    RATE_LIMIT: Situation(
        429,
        {
            "error": "usage_limit_exceeded",
            "error_description": DESCRIPTIONS[RATE_LIMIT],
            "retryable": True,
            "retry_after": 30,
        },
        {**_NO_STORE, b"retry-after": b"30"},
    ),
    UNEXPECTED: Situation(
        500,
        {
            "error": "server_error",
            "error_description": DESCRIPTIONS[UNEXPECTED],
            "reference": str,
            "retryable": False,
        },
        _NO_STORE,
    ),
    INVALID: Situation(
        400,
        {
            "error": "invalid_request",
            "error_description": str,
            "retryable": False,
            "fields": list,
        },
        _NO_STORE,
        request=Request("/users", b'{"name":7,"age":"old","email":[]}'),
        others=frozenset({422}),
    ),
    UNROUTED: Situation(
        404, _not_found(DESCRIPTIONS[UNROUTED]), _NO_STORE, request=Request("/nothing-is-here")
    ),
}


def violations(situation: Situation, answer: Answer) -> list[str]:
    """Say what is wrong with an answer that claims to be in AuthPI's format."""
    content_type = answer.headers.get(b"content-type", b"")
    body: object = json.loads(answer.body) if content_type == b"application/json" else None
    checks: list[tuple[bool, str]] = [
        (answer.status == situation.status, f"status {answer.status}"),
        (answer.headers.get(b"content-length") == b"%d" % len(answer.body), "content-length"),
        (_agree(situation.members, body), f"body {answer.body!r}"),
        *(
            (answer.headers.get(name) == value, f"header {name.decode()}")
            for name, value in situation.headers.items()
        ),
    ]
    return [problem for is_right, problem in checks if not is_right]


def _agree(expected: Mapping[str, Any] | None, body: object) -> bool:
    if expected is None or not isinstance(body, dict):
        return expected is None
    members = cast("dict[str, object]", body)
    return list(expected) == list(members) and all(
        isinstance(members[name], value) if isinstance(value, type) else members[name] == value
        for name, value in expected.items()
    )
