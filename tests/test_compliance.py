"""The rules of the contract: each can be kept and can be broken, and ours keeps them all."""

import asyncio
import gzip
import json
import sys
import tracemalloc
import zlib
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

import fastapi_problem.handler
import fastapi_problem_details
import pytest
from authpi_admin.errors import error_from_response
from authpi_admin.generated import models
from fastapi import FastAPI, HTTPException
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp

import authpi_errors
from authpi_errors import (
    AccessDeniedError,
    AuthPIError,
    Challenge,
    ConflictError,
    ErrorCode,
    ErrorRegistry,
    FieldError,
    InsufficientScopeError,
    InvalidContentTypeError,
    InvalidRequestError,
    NotFoundError,
    PreconditionFailedError,
    ServerError,
    SessionExpiredError,
    UnauthorizedClientError,
    UsageLimitExceededError,
)
from authpi_errors._rendering import Asked as AskedOfNothing
from authpi_errors._rendering import render
from authpi_errors.compliance import RULES, Response, Violation, check
from authpi_errors.conditional import ETag, IfMatch
from tests import exchanges
from tests.growth import case, is_linear

TRIED = settings(deadline=None, max_examples=150, derandomize=True, database=None)

TAG = '"1709139700000"'
ITEM = {"field": "query.limit", "code": "int_parsing", "message": "Not an integer."}
Headers = dict[str, str | list[str] | None]
Document = dict[str, object]


def document(code: str = "not_found", **members: object) -> Document:
    """Make a body: members in the contract's order are for the caller to give."""
    own = {"error": code, "error_description": "It is so.", "retryable": False}
    return {**own, **members}


def answer(
    status: int = 404,
    content: Document | bytes | None = None,
    headers: Headers | None = None,
    *,
    method: str = "GET",
    has_credentials: bool | None = None,
) -> Response:
    """Make a response that is compliant, but for what is given; a header of `None` is left out."""
    content = document() if content is None else content
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    fields: Headers = {
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Cache-Control": "no-store",
        **(headers or {}),
    }
    sent = [
        (name, value)
        for name, values in fields.items()
        for value in ([values] if isinstance(values, str) else values or [])
    ]
    return Response(status, sent, b"" if method == "HEAD" else body, method, has_credentials)


def rules(response: Response, registry: ErrorRegistry | None = None) -> list[str]:
    """Give the names of the rules that are broken."""
    return [violation.rule for violation in check(response, registry)]


def limited(**members: object) -> Document:
    return document("usage_limit_exceeded", **{"retryable": True, "retry_after": 5, **members})


def stale(current: str = TAG, **members: object) -> Document:
    tags = {"current_etag": current, "currentETag": current}
    return document("precondition_failed", **{**tags, **members})


def challenged(code: str, challenge: str | list[str] | None, **options: Any) -> Response:
    status = 403 if code == "insufficient_scope" else 401
    return answer(status, document(code), {"WWW-Authenticate": challenge}, **options)


def unsupported(headers: Headers, method: str = "PUT") -> Response:
    return answer(415, document("invalid_content_type"), headers, method=method)


def not_allowed(allow: str | list[str] | None, method: str = "PUT") -> Response:
    return answer(405, document("invalid_request"), {"Allow": allow}, method=method)


def described(text: str) -> Response:
    return answer(content=document(error_description=text))


def fields(*items: object) -> Response:
    return answer(422, document("invalid_request", fields=list(items)))


def referring(reference: object) -> Response:
    ordered = {"error": "not_found", "error_description": "a", "reference": reference}
    return answer(content={**ordered, "retryable": False})


COMPLIANT = [
    pytest.param(answer(), id="a plain one"),
    pytest.param(answer(200, b"<html>", {"Content-Type": "text/html"}), id="no error"),
    pytest.param(answer(headers={"Content-Type": "Application/JSON;charset=UTF-8"}), id="charset"),
    pytest.param(
        answer(headers={"Content-Type": 'application/json ; charset="utf-8"'}), id="quoted charset"
    ),
    pytest.param(answer(method="HEAD"), id="HEAD"),
    pytest.param(
        answer(headers={"Content-Length": None, "Transfer-Encoding": "chunked"}), id="chunked"
    ),
    pytest.param(
        answer(
            content=gzip.compress(json.dumps(document()).encode()),
            headers={"Content-Encoding": "gzip"},
        ),
        id="gzip",
    ),
    pytest.param(
        answer(
            content=gzip.compress(json.dumps(document()).encode()),
            headers={"Content-Encoding": "x-gzip"},
        ),
        id="gzip by its other name",
    ),
    pytest.param(
        answer(
            content=zlib.compress(json.dumps(document()).encode()),
            headers={"Content-Encoding": "deflate"},
        ),
        id="deflate",
    ),
    pytest.param(
        answer(headers={"Content-Encoding": "gzip", "Content-Length": "50"}),
        id="gzip that the client has undone",
    ),
    pytest.param(answer(method="HEAD", headers={"Content-Length": None}), id="HEAD without length"),
    pytest.param(
        answer(
            401,
            document("unauthorized_client"),
            {"WWW-Authenticate": 'Basic realm="Zürich → intern \\→", charset="UTF-8"'},
        ),
        id="a realm in UTF-8",
    ),
    pytest.param(answer(headers={"Cache-Control": "private, no-store"}), id="two directives"),
    pytest.param(answer(headers={"Cache-Control": "max-age=60"}), id="a 404 for caches to keep"),
    pytest.param(
        answer(content=document(detail={"tags": ["a", 1, None]}, more=None)), id="further members"
    ),
    pytest.param(answer(410), id="fallback of the status"),
    pytest.param(answer(422, document("conflict")), id="status without a code of its own"),
    pytest.param(answer(404, document("access_denied")), id="the status of another code"),
    pytest.param(
        answer(503, document("usage_limit_exceeded", retryable=True)), id="later, in both classes"
    ),
    pytest.param(answer(400, document("unauthorized_client")), id="token endpoint: RFC 6749, 5.2"),
    pytest.param(answer(503, document("server_error", retryable=True)), id="503"),
    pytest.param(answer(429, limited(), {"Retry-After": "05"}), id="delay"),
    pytest.param(
        answer(429, document("usage_limit_exceeded", retryable=True)),
        id="limit that ends nobody knows when",
    ),
    pytest.param(answer(409, document("conflict", retryable=True)), id="conflict that passes"),
    pytest.param(fields(ITEM, ITEM), id="fields"),
    pytest.param(referring("r7"), id="reference"),
    pytest.param(answer(412, stale(), {"ETag": TAG}), id="current tag"),
    pytest.param(answer(412, stale('W/"é"'), {"etag": 'W/"é"'}), id="weak tag"),
    pytest.param(answer(412, document("precondition_failed")), id="no resource, no tag"),
    pytest.param(answer(412, method="HEAD"), id="HEAD of no resource"),
    pytest.param(challenged("unauthorized_client", "Bearer"), id="scheme alone"),
    pytest.param(challenged("unauthorized_client", "Negotiate a+b/c=="), id="token68"),
    pytest.param(
        challenged("unauthorized_client", 'Basic realm="a\\"b,c", Bearer, Digest a=b , c="é"'),
        id="several challenges in a line",
    ),
    pytest.param(
        challenged("unauthorized_client", ["Basic realm=a", "Bearer"]), id="several lines"
    ),
    pytest.param(
        challenged("session_expired", 'Bearer error="invalid_token"', has_credentials=True),
        id="token that expired",
    ),
    pytest.param(
        challenged("session_expired", "Basic error=no", has_credentials=True), id="other scheme"
    ),
    pytest.param(challenged("session_expired", "Bearer"), id="credentials that are not known"),
    pytest.param(
        challenged("unauthorized_client", "Bearer realm=a", has_credentials=False),
        id="no credentials",
    ),
    pytest.param(
        challenged("insufficient_scope", 'Basic, DPoP Error="insufficient_scope", scope="a b"'),
        id="scope",
    ),
    pytest.param(
        challenged("insufficient_scope", r'Bearer error="insufficient\_scope"'),
        id="a quoted pair stands for its character",
    ),
    pytest.param(not_allowed("GET, POST"), id="Allow"),
    pytest.param(not_allowed(["GET", "POST"]), id="Allow in two lines"),
    pytest.param(not_allowed(""), id="no method is allowed"),
    pytest.param(unsupported({"Accept": 'application/json;a="b,c", text/*'}), id="Accept"),
    pytest.param(unsupported({"Accept-Encoding": "gzip"}), id="coding"),
    pytest.param(
        unsupported({"Accept": "text/csv", "Accept-Post": "text/csv"}, "POST"), id="Accept-Post"
    ),
    pytest.param(
        unsupported({"Accept": "text/csv", "Accept-Patch": "text/csv"}, "PATCH"), id="Accept-Patch"
    ),
    pytest.param(described("The file cannot be read: TypeError in <html5> at 0x7f."), id="words"),
    pytest.param(described("A library such as sqlalchemy.orm, line 7, KeyError."), id="names"),
]

DATE = "Wed, 21 Oct 2026 07:28:00 GMT"
BREACHES = [
    pytest.param("status", answer(600), id="no status of an error"),
    pytest.param("content-type", answer(headers={"Content-Type": None}), id="no type"),
    pytest.param("content-type", answer(headers={"Content-Type": "text/plain"}), id="other type"),
    pytest.param(
        "content-type", answer(headers={"Content-Type": "application/problem+json"}), id="RFC 9457"
    ),
    pytest.param(
        "content-type", answer(headers={"Content-Type": "application/json; v=1"}), id="parameter"
    ),
    pytest.param(
        "content-type", answer(headers={"Content-Type": ["application/json"] * 2}), id="two types"
    ),
    pytest.param("content-length", answer(headers={"Content-Length": None}), id="no length"),
    pytest.param("content-length", answer(headers={"Content-Length": "7"}), id="other length"),
    pytest.param(
        "content-length",
        answer(method="HEAD", headers={"Content-Length": "0"}),
        id="HEAD of nothing",
    ),
    pytest.param(
        "head",
        Response(404, answer().headers, answer().body, "HEAD"),
        id="HEAD with a body",
    ),
    pytest.param("cache-control", answer(headers={"Cache-Control": None}), id="no Cache-Control"),
    pytest.param("cache-control", answer(headers={"Cache-Control": ""}), id="empty"),
    pytest.param("cache-control", answer(headers={"Cache-Control": "no-store,,"}), id="malformed"),
    pytest.param(
        "cache-control",
        answer(
            401,
            document("unauthorized_client"),
            {"WWW-Authenticate": "Bearer", "Cache-Control": "private"},
        ),
        id="a 401 that is stored",
    ),
    pytest.param(
        "cache-control",
        answer(
            403,
            document("access_denied"),
            {"WWW-Authenticate": "Bearer", "Cache-Control": "max-age=5"},
        ),
        id="a challenge that is stored",
    ),
    pytest.param(
        "retry-after", answer(429, method="HEAD", headers={"Retry-After": DATE}), id="date"
    ),
    pytest.param(
        "retry-after", answer(429, method="HEAD", headers={"Retry-After": "1.5"}), id="fraction"
    ),
    pytest.param(
        "retry-after",
        answer(429, method="HEAD", headers={"Retry-After": ["5", "5"]}),
        id="two delays",
    ),
    pytest.param("allow", not_allowed(None), id="no Allow"),
    pytest.param("allow", not_allowed("GET POST"), id="no list"),
    pytest.param("allow", not_allowed("GET,, POST"), id="a list with a gap"),
    pytest.param("allow", not_allowed("GET, PUT"), id="allows what was refused"),
    pytest.param("accept", unsupported({}), id="no Accept"),
    pytest.param("accept", unsupported({"Accept": "json"}), id="no media type"),
    pytest.param("accept", unsupported({"Accept": 'text/csv "'}), id="an open quote"),
    pytest.param("accept", unsupported({"Accept": "text/csv"}, "POST"), id="no Accept-Post"),
    pytest.param("accept", unsupported({"Accept": "text/csv"}, "PATCH"), id="no Accept-Patch"),
    pytest.param("etag", answer(412, method="HEAD", headers={"ETag": "17"}), id="tag unquoted"),
    pytest.param("etag", answer(412, method="HEAD", headers={"ETag": [TAG, TAG]}), id="two tags"),
    pytest.param("www-authenticate", challenged("unauthorized_client", None), id="no challenge"),
    pytest.param("challenge", challenged("unauthorized_client", ""), id="empty challenge"),
    pytest.param("challenge", challenged("unauthorized_client", 'Basic realm="a'), id="open"),
    pytest.param("challenge", challenged("unauthorized_client", "Basic a = b"), id="spaces"),
    pytest.param("challenge", challenged("unauthorized_client", "Basic a=b c=d"), id="no comma"),
    pytest.param("challenge", challenged("unauthorized_client", "Basic,, Bearer"), id="gap"),
    pytest.param("challenge", challenged("unauthorized_client", "Basic a=b,"), id="comma"),
    pytest.param("challenge", challenged("unauthorized_client", "B(sic"), id="no token"),
    pytest.param("challenge", challenged("unauthorized_client", 'Basic "a"'), id="no name"),
    pytest.param("challenge", challenged("unauthorized_client", "Digest a=b, A=c"), id="twice"),
    pytest.param(
        "challenge-characters", challenged("unauthorized_client", 'Bearer error="é"'), id="error"
    ),
    pytest.param(
        "challenge-characters",
        challenged("unauthorized_client", 'Bearer error_description="a \\"b\\""'),
        id="quotes",
    ),
    pytest.param(
        "challenge-characters", challenged("unauthorized_client", 'dpop scope="a  b"'), id="gap"
    ),
    pytest.param(
        "challenge-error",
        challenged("unauthorized_client", "Bearer error=invalid_token", has_credentials=False),
        id="an error without credentials",
    ),
    pytest.param(
        "invalid-token",
        challenged("session_expired", "Bearer", has_credentials=True),
        id="no error for a token",
    ),
    pytest.param(
        "invalid-token",
        challenged("session_expired", "Bearer error=invalid_request"),
        id="another error for a token",
    ),
    pytest.param("insufficient-scope", challenged("insufficient_scope", None), id="not said"),
    pytest.param(
        "insufficient-scope",
        challenged("insufficient_scope", "Bearer error=invalid_token"),
        id="something else is said",
    ),
    pytest.param(
        "insufficient-scope",
        challenged("insufficient_scope", "Basic error=insufficient_scope"),
        id="said in another scheme",
    ),
    pytest.param("json", answer(content=b"Not Found"), id="text"),
    pytest.param("json", answer(400, b"Bad Request"), id="text on a 400"),
    pytest.param("json", answer(content=b""), id="no body"),
    pytest.param("json", answer(content=b"[]"), id="array"),
    pytest.param("json", answer(content=b"null"), id="null"),
    pytest.param("json", answer(content=b"1.5"), id="number"),
    pytest.param("json", answer(content=b"\xef\xbb\xbf{}"), id="byte order mark"),
    pytest.param("json", answer(content=json.dumps({"é": 1}).encode("utf-16")), id="UTF-16"),
    pytest.param("json", answer(content=b'{"error": NaN}'), id="NaN"),
    pytest.param("json", answer(content=b'{"error": "a", "error": "a"}'), id="a name twice"),
    pytest.param("json", answer(content=b'{"a": {"b": 1, "b": 2}}'), id="a name twice, inside"),
    pytest.param("json", answer(content=b"[" * 200_000), id="deep"),
    pytest.param(
        "json",
        answer(content=b"no gzip", headers={"Content-Encoding": "gzip"}),
        id="coding that it hasn't",
    ),
    pytest.param(
        "json",
        answer(content=b"\x0b\x01\x80{}\x03", headers={"Content-Encoding": "br"}),
        id="coding that nobody here knows",
    ),
    pytest.param("members", answer(content={"error": "not_found"}), id="members missing"),
    pytest.param("types", answer(content=document(retryable="no")), id="retryable a string"),
    pytest.param("types", answer(content=document(retryable=None)), id="null"),
    pytest.param("types", answer(content=document(error_description=["a"])), id="description"),
    pytest.param("types", referring(7), id="reference"),
    pytest.param("types", answer(422, document("invalid_request", fields={})), id="an object"),
    pytest.param("types", answer(429, limited(retry_after=5.0)), id="a fraction of a delay"),
    pytest.param(
        "order", answer(content=dict(reversed(document().items()))), id="members in disorder"
    ),
    pytest.param("order", answer(content={"mine": 1, **document()}), id="further members first"),
    pytest.param("text", described(" \n"), id="no description"),
    pytest.param("text", described("\ud800"), id="no Unicode"),
    pytest.param("text", answer(content=document(a={"\udfff": 1})), id="no Unicode in a name"),
    pytest.param("text", referring(""), id="empty reference"),
    pytest.param("code", answer(402, document("quota_exhausted")), id="unknown code"),
    pytest.param("code-status", answer(500, document("conflict")), id="another class"),
    pytest.param("code-status", answer(413, document("server_error")), id="another class, of 4xx"),
    pytest.param(
        "code-status",
        answer(503, document("conflict", retryable=True)),
        id="a status for later, and a code that is not",
    ),
    pytest.param(
        "code-status",
        answer(500, document("usage_limit_exceeded", retryable=True)),
        id="a code for later, and a status that is not",
    ),
    pytest.param("retryable", answer(412, stale(retryable=True), {"ETag": TAG}), id="stale"),
    pytest.param(
        "retryable",
        answer(409, document("conflict", retry_after=5), {"Retry-After": "5"}),
        id="come back, no",
    ),
    pytest.param(
        "retryable", answer(429, document("usage_limit_exceeded")), id="a limit, for ever"
    ),
    pytest.param("retryable", answer(403, document("usage_limit_exceeded")), id="as a refusal"),
    pytest.param("retryable", answer(408, document("invalid_request")), id="too slow, for ever"),
    pytest.param("retryable", answer(502, document("server_error")), id="behind it, for ever"),
    pytest.param("retryable", answer(503, document("server_error")), id="away, for ever"),
    pytest.param("retryable", answer(504, document("server_error")), id="no answer, for ever"),
    pytest.param("retry-after-member", answer(429, limited()), id="only the member"),
    pytest.param(
        "retry-after-member",
        answer(429, document("usage_limit_exceeded", retryable=True), {"Retry-After": "5"}),
        id="only the header",
    ),
    pytest.param(
        "retry-after-member", answer(429, limited(), {"Retry-After": "6"}), id="two delays, unlike"
    ),
    pytest.param(
        "retry-after-member",
        answer(429, limited(retry_after=-5), {"Retry-After": "5"}),
        id="a delay below zero",
    ),
    pytest.param("fields", fields(), id="no fields"),
    pytest.param("fields", answer(content=document(fields=[ITEM])), id="fields elsewhere"),
    pytest.param("fields", fields("limit"), id="field a string"),
    pytest.param("fields", fields({**ITEM, "input": 5}), id="a member too many"),
    pytest.param("fields", fields({**ITEM, "message": None}), id="a message that is null"),
    pytest.param("fields", fields({}), id="a member too few"),
    pytest.param("current-etag", answer(content=document(current_etag=TAG)), id="on a 404"),
    pytest.param(
        "current-etag", answer(412, document("precondition_failed"), {"ETag": TAG}), id="no member"
    ),
    pytest.param("current-etag", answer(412, stale()), id="no header"),
    pytest.param(
        "current-etag",
        answer(412, document("precondition_failed", current_etag=TAG), {"ETag": TAG}),
        id="one member only",
    ),
    pytest.param("current-etag", answer(412, stale(currentETag='"2"'), {"ETag": TAG}), id="unlike"),
    pytest.param("current-etag", answer(412, stale('"2"'), {"ETag": TAG}), id="not the header's"),
    pytest.param("leak", described("Traceback (most recent call last):"), id="traceback"),
    pytest.param("leak", described('in File "/srv/app.py", line 3, in f'), id="line"),
    pytest.param("leak", described("<!DOCTYPE html><p>"), id="page"),
    pytest.param("leak", described("502 </BODY>"), id="end of a page"),
    pytest.param("leak", described("KeyError('id')"), id="exception"),
    pytest.param("leak", described("ValueError: invalid literal for int()"), id="its line"),
    pytest.param("leak", described("(sqlalchemy.exc.IntegrityError) x"), id="a library's"),
    pytest.param("leak", described("[SQL: INSERT INTO users]"), id="SQL"),
    pytest.param("leak", described("<User object at 0x7f3a5c0d>"), id="address"),
    pytest.param("leak", answer(content=document(a=[{"b": "[SQL: "}])), id="further inside"),
    pytest.param("leak", answer(content=document(a={"[SQL: ": 1})), id="in a name"),
]


@pytest.mark.parametrize("response", COMPLIANT)
def test_compliant_response_breaks_no_rule(response: Response) -> None:
    assert check(response) == []


@pytest.mark.parametrize(("rule", "response"), BREACHES)
def test_breach_is_found_by_its_rule_alone(rule: str, response: Response) -> None:
    found = check(response)
    assert {violation.rule for violation in found} == {rule}, found
    for violation in found:
        assert violation.wanted == RULES[rule]
        assert violation.found
        assert violation.found.isascii()
        assert violation.found.isprintable()
        assert len(violation.found) <= 160
        assert str(violation) == f"{violation.rule}: {violation.found}. Wanted: {violation.wanted}"


def test_every_rule_can_be_broken() -> None:
    assert {param.values[0] for param in BREACHES} == set(RULES)


@pytest.mark.parametrize("sentence", RULES.values(), ids=RULES)
def test_rule_is_a_sentence_with_its_source(sentence: str) -> None:
    assert sentence.endswith(".")
    assert "(contract, " in sentence or "(RFC " in sentence


def test_bare_text_breaks_these_rules() -> None:
    response = Response(500, [("content-type", "text/plain")], b"Internal Server Error")
    assert check(response) == [
        Violation("content-type", "content-type: text/plain", RULES["content-type"]),
        Violation("content-length", "no content-length, with 21 bytes", RULES["content-length"]),
        Violation("cache-control", "no cache-control", RULES["cache-control"]),
        Violation("json", "not JSON: Expecting value: line 1 column 1 (char 0)", RULES["json"]),
    ]


def test_401_is_about_credentials_without_a_challenge_too() -> None:
    response = answer(401, document("unauthorized_client"), {"Cache-Control": "max-age=5"})
    assert rules(response) == ["cache-control", "www-authenticate"]


@pytest.mark.parametrize(
    ("response", "found"),
    [
        pytest.param(
            answer(500, document("conflict")),
            "conflict with 500, which means server_error",
            id="code",
        ),
        pytest.param(
            answer(429, limited(), {"Retry-After": "6"}),
            "retry_after: 5, with retry-after: 6",
            id="two delays",
        ),
        pytest.param(
            answer(503, document("server_error")), "false, for server_error with 503", id="later"
        ),
        pytest.param(
            answer(412, document("precondition_failed"), {"ETag": TAG}),
            f"current_etag: none, with etag: {TAG}",
            id="no tag",
        ),
        pytest.param(
            answer(headers={"Content-Type": ["text/html", "a\r\n\u20ac"]}),
            r"content-type: text/html and content-type: a\r\n\u20ac",
            id="what can't be printed",
        ),
        pytest.param(
            answer(headers={"Content-Type": "a" * 5_000}),
            "content-type: " + "a" * 143 + "...",
            id="what is long",
        ),
        pytest.param(
            answer(content=b"\xff", headers={"Content-Encoding": "br"}),
            "not UTF-8, content-encoding: br",
            id="a coding",
        ),
        pytest.param(
            challenged("session_expired", "Bearer", has_credentials=True),
            "error= in Bearer",
            id="no error",
        ),
    ],
)
def test_what_is_found_is_shown_in_a_line(response: Response, found: str) -> None:
    assert check(response)[0].found == found


def test_what_leaks_is_not_repeated() -> None:
    (violation,) = check(described("Traceback (most recent call last): hunter2"))
    assert violation.found == "error_description: a traceback"


def test_what_is_no_json_is_not_repeated() -> None:
    assert "hunter2" not in repr(check(answer(content=b'{"error": hunter2}')))


# The application's codes.

BUSY = ErrorCode("busy", 503, "Busy.")
REGISTRY = ErrorRegistry(
    codes=[ErrorCode("quota_exhausted", 402, "Used up."), BUSY, ErrorCode("not_found", 410, "No.")],
    statuses={404: "busy", 402: "quota_exhausted"},
)


@pytest.mark.parametrize(
    "response",
    [
        pytest.param(answer(402, document("quota_exhausted")), id="a code of its own"),
        pytest.param(answer(422, document("quota_exhausted")), id="its code with another status"),
        pytest.param(answer(402, document("invalid_request")), id="the status's code in general"),
        pytest.param(answer(404, document("busy")), id="the registry's code for a status"),
        pytest.param(answer(410), id="a code with a new status"),
        pytest.param(answer(404), id="its former status"),
        pytest.param(answer(409, document("quota_exhausted")), id="the status of another code"),
        pytest.param(answer(429, document("busy", retryable=True)), id="later, in both classes"),
    ],
)
def test_code_of_the_registry_is_known(response: Response) -> None:
    assert check(response, REGISTRY) == []


def test_code_of_the_registry_keeps_to_its_class() -> None:
    assert rules(answer(409, document("busy")), REGISTRY) == ["code-status"]
    assert rules(answer(500, document("quota_exhausted")), REGISTRY) == ["code-status"]


def test_code_of_the_registry_says_whether_it_is_retryable() -> None:
    used_up = ErrorCode("used_up", 429, "Used up for good.", retryable=False)
    late = ErrorCode("late", 422, "Not yet.", retryable=True)
    known = ErrorRegistry(codes=[used_up, late])
    assert rules(answer(429, document("used_up")), known) == []
    assert rules(answer(422, document("late")), known) == ["retryable"]


# Whatever a response holds.

texts = st.text(st.characters(codec=None, exclude_categories=()), max_size=12)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
trees = st.recursive(
    scalars,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(texts, values, max_size=3),
    max_leaves=6,
)
NAMES = ["content-type", "Retry-After", "WWW-Authenticate", "Allow", "Accept", "ETag", "x"]
VALUES = [
    "application/json",
    'Bearer realm="a", error=invalid_token',
    'Basic "\\"',
    "5",
    TAG,
    "no-store",
    "gzip",
]
headers = st.lists(
    st.tuples(
        st.sampled_from([*NAMES, "Cache-Control", "Content-Length", "Content-Encoding"]) | texts,
        st.sampled_from(VALUES) | texts,
    ),
    max_size=6,
)
odd_items = st.fixed_dictionaries({}, optional=dict.fromkeys((*ITEM, "x"), trees))
good_items = st.fixed_dictionaries(dict.fromkeys(ITEM, texts))
members = st.fixed_dictionaries(
    {},
    optional={
        "error": st.sampled_from(["not_found", "session_expired", "conflict"]) | trees,
        "error_description": trees,
        "reference": trees,
        "retryable": trees,
        "retry_after": trees,
        "fields": st.lists(odd_items | trees, max_size=3) | trees,
        "current_etag": st.just(TAG) | trees,
        "currentETag": trees,
        "mine": trees,
    },
)
bodies = st.binary(max_size=40) | (members | trees).map(lambda tree: json.dumps(tree).encode())


responses = st.builds(
    Response,
    st.integers(400, 599) | st.integers(),
    headers,
    bodies | bodies.map(gzip.compress),
    st.sampled_from(["GET", "HEAD", "POST", "PATCH", ""]) | texts,
    st.sampled_from([None, True, False]),
)


@TRIED
@given(responses, st.sampled_from([None, REGISTRY]))
def test_any_response_is_judged(response: Response, registry: ErrorRegistry | None) -> None:
    for violation in check(response, registry):
        assert violation.rule in RULES
        assert violation.found.isascii()
        assert violation.found.isprintable()


@pytest.fixture
def limited_digits() -> Iterator[None]:
    """Let Python convert no more digits than it does by default, whatever a plugin has set."""
    usual = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(sys.int_info.default_max_str_digits)
    yield
    sys.set_int_max_str_digits(usual)


@pytest.mark.usefixtures("limited_digits")
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, id="too deep to be read"),
        pytest.param(b'{"a":' + b"[" * 900 + b"]" * 900 + b"}", id="just read"),
        pytest.param(b'{"retry_after":' + b"9" * 5_000 + b"}", id="more digits than are read"),
        pytest.param(b'{"retry_after":' + b"9" * 4_000 + b"}", id="many digits"),
        pytest.param(b'{"error":"' + b"a" * 10**6 + b'"}', id="long"),
    ],
)
def test_extreme_body_is_judged(content: bytes) -> None:
    assert check(answer(429, content, {"Retry-After": "9" * 5_000})) != []


@pytest.mark.usefixtures("limited_digits")
def test_status_of_any_size_is_judged() -> None:
    response = answer(10**5_000, document(fields=[ITEM], current_etag=TAG))
    assert rules(response) == ["status", "fields", "current-etag"]


def test_body_that_unpacks_to_gigabytes_is_not_unpacked() -> None:
    response = answer(
        content=gzip.compress(b"{" + b" " * 2**24), headers={"Content-Encoding": "gzip"}
    )
    tracemalloc.start()
    found = rules(response)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == ["json"]
    assert most < 2**23


def tells(*texts: object) -> Response:
    """Make an error that tells an array of texts, in a member with a long name."""
    return answer(content=document() | {"a" * 100_000: texts})


@pytest.mark.parametrize(
    "make",
    [
        case(lambda n: answer(headers={"Cache-Control": '"' + '\\"' * (10 * n)}), name="escapes"),
        case(lambda n: answer(headers={"Cache-Control": "," * (20 * n)}), name="commas"),
        case(lambda n: answer(headers={"Cache-Control": 'a,"a",' * (3 * n)}), name="directives"),
        case(lambda n: answer(headers={"Cache-Control": ['"a'] * (3 * n + 1)}), name="open quotes"),
        case(lambda n: not_allowed('"' + '\\"' * (10 * n)), name="Allow"),
        case(lambda n: not_allowed("GET, " * (2 * n) + "GET PUT"), name="methods"),
        case(lambda n: unsupported({"Accept": 'a/b;a="' + '\\"' * (10 * n)}), name="Accept"),
        case(
            lambda n: unsupported({"Accept": "a/b" + " ;a=b" * (3 * n) + "; ="}), name="parameters"
        ),
        case(
            lambda n: unsupported({"Accept": "a/b" + " ; " * (5 * n) + "="}), name="no parameters"
        ),
        case(
            lambda n: answer(headers={"Content-Type": "application/json" + " \t" * (10 * n) + "x"}),
            name="a type",
        ),
        case(lambda n: answer(headers={"Content-Length": "0" * (20 * n) + "x"}), name="zeros"),
        case(
            lambda n: answer(429, limited(), {"Retry-After": ["0" * (10 * n) + "5", "5"]}),
            name="delays",
        ),
        case(
            lambda n: challenged("unauthorized_client", 'Basic a="' + '\\"' * (10 * n)),
            name="an open challenge",
        ),
        case(
            lambda n: challenged("unauthorized_client", "Basic" + " " * (10 * n) + "!"),
            name="white space",
        ),
        case(
            lambda n: challenged(
                "unauthorized_client", "Basic " + "a" * (10 * n) + "=" * (10 * n) + "!"
            ),
            name="a token68",
        ),
        case(
            lambda n: challenged("unauthorized_client", "Basic a=b, " * (2 * n) + "("),
            name="challenges",
        ),
        case(
            lambda n: challenged("unauthorized_client", ["Basic a=b c"] * (2 * n)),
            name="lines of them",
        ),
        case(
            lambda n: challenged(
                "unauthorized_client",
                "Digest " + ",".join(f"a{i}=b" for i in range(3 * n)) + ",A0=c",
            ),
            name="parameters of a challenge",
        ),
        case(
            lambda n: challenged(
                "unauthorized_client",
                "D" * (10 * n) + " " + ",".join(f"a{i}=b,a{i}=c" for i in range(n)),
            ),
            name="parameters that are twice in a long scheme",
        ),
        case(
            lambda n: challenged("insufficient_scope", 'Bearer scope="' + "a " * (10 * n) + '"'),
            name="scopes",
        ),
        case(lambda n: answer(412, stale(), {"ETag": [TAG] * (2 * n)}), name="many tags"),
        case(
            lambda n: answer(
                headers={"Cache-Control": "", **{f"X-{i}": "a" for i in range(2 * n)}}
            ),
            name="headers",
        ),
        case(lambda n: tells(*["[SQL: "] * (3 * n)), name="leaks"),
        case(lambda n: tells(*["\ud800"] * (3 * n)), name="lone surrogates"),
        case(
            lambda n: described('File "' * (5 * n) + 'File "a", line 1'), name="lines of tracebacks"
        ),
        case(lambda n: described("sqlalchemy." * n + "A" * (5 * n) + "Error"), name="libraries"),
        case(lambda n: described("at 0x" + "a" * (20 * n) + " at 0xabcdef>"), name="addresses"),
        case(lambda n: fields(*[None] * (2 * n)), name="fields"),
        case(lambda n: fields({f"a{i}": i for i in range(2 * n)}), name="a wide field"),
        case(
            lambda n: answer(
                content=document() | {f"a{i}": i for i in range(2 * n)} | {"error": 1}
            ),
            name="members",
        ),
        case(lambda n: answer(content=b'{"a":"' + b'\\"' * (10 * n)), name="a long text"),
        case(lambda n: answer(content=b'{"a":0.' + b"1" * (20 * n) + b"}"), name="a long number"),
        case(
            lambda n: answer(content=b"{" + b'"a":1,' * (5 * n) + b'"b":1}'),
            name="a name many times",
        ),
    ],
)
def test_judging_takes_linear_time(make: Callable[[int], Response]) -> None:
    def accuse(response: Response) -> None:
        assert check(response) != []

    assert is_linear(accuse, make, 10_000)


# What leaks, and what doesn't.

LEAKING = [
    "FileNotFoundError: [Errno 2] No such file or directory: '/srv/app.toml'",
    "[Errno 111] Connection refused",
    "Failed: ConnectionRefusedError: [Errno 111] Connect call failed ('10.0.0.7', 5432)",
    "PermissionError: [Errno 13] Permission denied",
    "TimeoutError: timed out",
    "Failed...KeyError: 'id'",
    "ModuleNotFoundError: No module named 'users'",
    "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff in position 0",
    "NotImplementedError()",
    "json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)",
    "psycopg.errors.UniqueViolation: duplicate key value violates unique constraint",
    "(psycopg2.errors.UndefinedTable) relation is gone",
    "asyncpg.exceptions.UniqueViolationError: duplicate key",
    "requests.exceptions.ConnectionError: refused",
    "app.users.models.UserGoneError",
    "java.lang.NullPointerException",
    'Exception in thread "main" java.sql.SQLException: closed',
    "System.Data.SqlClient.SqlException: closed",
    "Gone.\n\tat com.example.Foo.bar(Foo.java:12)",
    "at java.base/java.util.Objects.requireNonNull(Objects.java:233)",
    "at com.example.Foo.<init>(Foo.kt:7)",
    "TypeError in it at Object.<anonymous> (/srv/app/index.js:10:5)",
    "SELECT id, name FROM users WHERE id = 7",
    "SELECT id,\n  name\nFROM users",
    "No row: SELECT count(*) FROM users",
    "select * from users where id = 7",
    "INSERT INTO users (name) VALUES ('Ada')",
    "UPDATE users SET name = 'Ada'",
    "DELETE FROM users WHERE id = 7",
    'ERROR:  syntax error at or near "FROM"',
    "IntegrityError: it is taken",
    "PrismaClientKnownRequestError: it is taken",
    "A UniqueViolationError('it is taken')",
    'duplicate key value violates unique constraint "users_email_key"',
    "UNIQUE constraint failed: users.email",
    "ORA-00001: it is taken",
    "index out of range [5]\n\ngoroutine 1 [running]:\nmain.main()",
    "/srv/app/models/user.rb:12:in `find'",
    "at Shop.Cart(String name) in C:\\src\\Cart.cs:line 5",
    "thread 'main' panicked at src/main.rs:2:5",
    "Stack trace:\n#0 /var/www/html/index.php(12): foo()",
    "You have an error in your SQL syntax; check the manual",
]


@pytest.mark.parametrize("text", LEAKING)
def test_what_is_of_the_inside_is_found(text: str) -> None:
    assert {*rules(described(text))} == {"leak"}


HARMLESS = [
    "Select a file from the list.",
    "Please select one of the plans from the table below.",
    "SELECT is not allowed here.",
    "The update of the user failed: try again.",
    "Update the client, and set a timeout.",
    "Insert into the form what is missing.",
    "Delete from your side what is no longer needed.",
    "You can't delete from an archive.",
    "Values are inserted into the list in their order.",
    "The server met an unexpected error: try again later.",
    "Error: the request is not valid.",
    "Type error: a number is wanted.",
    "Value error, the end is before the start",
    "A timeout error: the other side took too long.",
    "Permission denied: ask for access.",
    "Permission error (403): ask for access.",
    "The connection was refused by the other bank.",
    "No such file or directory in this archive.",
    "A file with this name was not found: check its spelling.",
    "There is a syntax error in the filter, at position 7.",
    "The filter is wrong near 'and': see the manual.",
    "This name is taken: a user has it already.",
    "An exception to this rule needs an approval.",
    "Exceptions: public holidays.",
    "The meeting is at noon (UTC).",
    "The meeting is at noon (12:30).",
    "Arrive at Gate(B:12).",
    "Look at the example (see main.js) in the documentation.",
    "See https://docs.example.com/errors#TimeoutError for more.",
    "See docs.example.com/Errors, section Error.",
    "See https://docs.example.com/sdk/classes/errors.TimeoutError.html for more.",
    "The member address.city.Name is missing.",
    "user.name: must not be empty",
    "Input should be a valid integer, unable to parse string as an integer",
    "The class NotFoundError of the SDK stands for this.",
    "Retry on TimeoutError, and on nothing else.",
    "Retry on a TimeoutError (it will pass).",
    "The key is a duplicate, and violates a constraint.",
    "Write to ORA-1 in line 5.",
    "The order ORA-12345 does not exist.",
    "The crowd panicked at noon.",
    "The document has 3 ValidationError(s).",
    "In case of a NetworkError: try again.",
    "Write to support@example.com or to errors@example.com.",
    "Java is not supported: use Kotlin.",
    "The version 1.2.Error is none.",
    "Use SQL: [a link] explains the syntax.",
    "The SQL syntax is described in the manual.",
    "A value from 1 to 10, or from 20 to 30.",
    "Set it at or near the end.",
    "Il a été supprimé: sélectionnez un autre fichier.",
]


@pytest.mark.parametrize("text", HARMLESS)
def test_words_are_no_leak(text: str) -> None:
    assert check(described(text)) == []


@pytest.mark.parametrize(
    "piece",
    [
        "SELECT ",
        "SELECT\n",
        "SELECT FRO ",
        "select ",
        "select  *  fro ",
        " ",
        "UPDATE ",
        "UPDATE a SE ",
        "INSERT INT",
        "a.",
        "a.A",
        "a.AError",
        "A",
        "Error",
        "aError",
        "FileNotFoundErro",
        "at ",
        "at a",
        "at a.b(",
        "at a(.java:",
        "at a(a.java:1",
        ".java:1",
        "[Errno ",
        "[Errno 1",
        "psycopg.errors.",
        "syntax error at or ",
        "AErrorException",
        "goroutine 1 ",
        "Stack trace: ",
        ".rb:1:i",
        ".cs:line ",
        "ORA-1234",
        "thread '",
        "\nAError",
    ],
)
@pytest.mark.parametrize("start", ["", "at a(", "select ", "SELECT ", "a.", "A"])
def test_leaks_are_looked_for_in_linear_time(start: str, piece: str) -> None:
    def make(size: int) -> Response:
        return described(start + piece * (size // len(piece)))

    assert is_linear(check, make, 100_000)


# What ours gives.


class Asked(AskedOfNothing):
    """A request that an error answers."""

    def __init__(self, method: str, has_credentials: bool | None) -> None:
        self._method = method
        self._has_credentials = has_credentials is not False

    @property
    def method(self) -> str:
        return self._method

    def has_credentials(self) -> bool:
        return self._has_credentials

    def allowed_methods(self) -> list[str]:
        return ["PUT"]

    def reference(self, status: int) -> str | None:
        return f"made for {status}"


def rendered(
    error: AuthPIError, method: str = "GET", has_credentials: bool | None = None
) -> Response:
    """Render an error as the middleware does."""
    sent = render(error, ErrorRegistry(), Asked(method, has_credentials))
    fields = [(name.decode(), value.decode("latin-1")) for name, value in sent.headers]
    body = b"" if method == "HEAD" else sent.body
    return Response(sent.status, fields, body, method, has_credentials)


ERRORS: list[AuthPIError] = [
    AuthPIError(),
    AuthPIError(status=402),
    AuthPIError(status=405),
    InvalidRequestError("Not so.", fields=[FieldError("limit", "missing", "Missing.")]),
    InvalidRequestError(status=413, extra={"limit": 1024}),
    InvalidContentTypeError(supported=["application/json", "text/*;q=0.5"]),
    AccessDeniedError(headers={"X-Mine": "yes"}),
    AccessDeniedError(status=404),
    InsufficientScopeError(scope=["users:read", "users:write"]),
    InsufficientScopeError(),
    SessionExpiredError('It said "expired".'),
    SessionExpiredError(status=403),
    SessionExpiredError(challenges=[Challenge("Basic", {"realm": 'a"\\é€'})]),
    UnauthorizedClientError(challenges=[Challenge("Basic"), Challenge("DPoP", {"algs": "ES256"})]),
    UnauthorizedClientError(),
    NotFoundError(status=410, reference="r1"),
    NotFoundError("é\ud800\0"),
    ConflictError(retry_after=1.5),
    ConflictError(status=423),
    PreconditionFailedError(current_etag=TAG),
    PreconditionFailedError(current_etag="7", extra={"by": "é"}),
    PreconditionFailedError(),
    UsageLimitExceededError(retry_after=timedelta(minutes=1)),
    UsageLimitExceededError(retryable=True, retry_after=5),
    UsageLimitExceededError(),
    UsageLimitExceededError(status=503),
    ServerError(status=503, retry_after=0),
    ServerError(),
]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PATCH", "POST"])
@pytest.mark.parametrize(
    "error", [pytest.param(error, id=f"{i} {error.code.value}") for i, error in enumerate(ERRORS)]
)
@pytest.mark.parametrize(
    "has_credentials", [pytest.param(True, id="known"), pytest.param(False, id="unknown")]
)
def test_what_the_library_renders_is_compliant(
    error: AuthPIError, method: str, has_credentials: bool
) -> None:
    assert check(rendered(error, method, has_credentials)) == []


def test_all_codes_are_rendered() -> None:
    assert len({error.code for error in ERRORS}) == 11


@pytest.mark.parametrize(
    ("error", "found"),
    [
        pytest.param(InvalidContentTypeError(), ["accept"], id="415 that supports nothing"),
        pytest.param(
            PreconditionFailedError(current_etag=TAG, retryable=True),
            ["retryable"],
            id="412, again",
        ),
        pytest.param(
            UsageLimitExceededError(retryable=False), ["retryable"], id="a limit, for ever"
        ),
        pytest.param(ServerError(status=503, retryable=False), ["retryable"], id="away, for ever"),
        pytest.param(ConflictError(status=500), ["code-status"], id="a status of servers"),
        pytest.param(
            ConflictError(fields=[FieldError("a", "b", "c")]), ["fields"], id="fields of a conflict"
        ),
        pytest.param(
            UnauthorizedClientError(headers={"Cache-Control": "max-age=5"}),
            ["cache-control"],
            id="a 401 that is kept",
        ),
        pytest.param(
            UnauthorizedClientError(headers={"WWW-Authenticate": "Basic realm=a b"}),
            ["challenge"],
            id="a challenge by hand",
        ),
        pytest.param(NotFoundError(str(KeyError("'id'"))), [], id="text alone"),
        pytest.param(NotFoundError(repr(KeyError("id"))), ["leak"], id="an exception as text"),
    ],
)
def test_what_an_application_does_to_an_error_is_found(
    error: AuthPIError, found: list[str]
) -> None:
    assert rules(rendered(error)) == found


OWN: dict[type[AuthPIError], dict[str, st.SearchStrategy[Any]]] = {
    InvalidRequestError: {
        "fields": st.lists(st.builds(FieldError, texts, texts, texts), max_size=3),
        "status": st.sampled_from([400, 422]),
    },
    InvalidContentTypeError: {"supported": st.just(["text/csv", "application/*"])},
    InsufficientScopeError: {"scope": st.lists(texts, max_size=3) | texts},
    SessionExpiredError: {
        "challenges": st.lists(
            st.builds(
                Challenge,
                st.sampled_from(["Bearer", "dpop", "Basic"]),
                st.dictionaries(st.sampled_from(["realm", "scope", "x"]), st.text()),
            ),
            max_size=3,
        )
    },
    UnauthorizedClientError: {},
    ConflictError: {"status": st.sampled_from([409, 423, 422, 413, 428])},
    PreconditionFailedError: {
        "current_etag": st.sampled_from(['"1"', 'W/"é"', "1"]),
        "retry_after": st.none(),
        "retryable": st.none(),
    },
    UsageLimitExceededError: {"retryable": st.sampled_from([None, True])},
    ServerError: {"status": st.integers(500, 599), "retryable": st.sampled_from([None, True])},
}


@st.composite
def sensible_errors(draw: st.DrawFn) -> AuthPIError:
    """Make an error as an application well may."""
    cls: Any = draw(st.sampled_from(list(OWN)))
    options = {
        "description": st.none() | texts,
        "reference": st.none() | texts,
        "retryable": st.sampled_from([None, True, False]),
        "retry_after": st.none() | st.floats(0, 99) | st.timedeltas(timedelta(0), timedelta(9)),
        "headers": st.none() | st.dictionaries(st.sampled_from(["X-A", "Vary"]), st.text()),
        "extra": st.none() | st.dictionaries(texts, trees, max_size=3),
        **OWN[cls],
    }
    error: AuthPIError = cls(**{name: draw(values) for name, values in options.items()})
    return error


@TRIED
@given(
    sensible_errors(),
    st.sampled_from(["GET", "POST", "PATCH", "HEAD"]),
    st.sampled_from([None, True, False]),
)
def test_any_sensible_error_is_rendered_compliant(
    error: AuthPIError, method: str, has_credentials: bool | None
) -> None:
    assert check(rendered(error, method, has_credentials)) == []


@pytest.mark.parametrize(
    "current",
    [pytest.param(ETag(TAG), id="another version"), pytest.param(None, id="no such resource")],
)
def test_failed_precondition_is_compliant(current: ETag | None) -> None:
    with pytest.raises(PreconditionFailedError) as caught:
        IfMatch(is_present=True, tags=frozenset()).check(current)
    assert check(rendered(caught.value)) == []


# The official SDK reads what the rules let through.


def one_odd(odd: str) -> st.SearchStrategy[Document]:
    """Make bodies of which at most one member is not as it should be."""
    good: dict[str, st.SearchStrategy[object]] = {
        "error": st.just("invalid_request"),
        "error_description": st.text(min_size=1),
        "reference": st.text(min_size=1),
        "retryable": st.just(True),
        "retry_after": st.just(5),
        "fields": st.lists(good_items | odd_items, min_size=1, max_size=2),
    }
    needed = ("error", "error_description", "retryable")
    every = {name: trees if name == odd else values for name, values in good.items()}
    return st.fixed_dictionaries({name: every.pop(name) for name in needed}, optional=every).map(
        lambda made: {name: made[name] for name in good if name in made}
    )


def test_official_client_takes_what_the_rules_let_through() -> None:
    taken = {True: 0, False: 0}

    @TRIED
    @given(
        st.sampled_from(["error_description", "reference", "retryable", "fields", ""]).flatmap(
            one_odd
        )
    )
    def read(members: Document) -> None:
        delay: Headers = {"Retry-After": "5"} if "retry_after" in members else {}
        response = answer(422, members, delay)
        is_compliant = check(response) == []
        taken[is_compliant] += 1
        if is_compliant:
            for model in (models.ApiError, models.PreconditionFailedError):
                said = model.model_validate_json(response.body, strict=True)
                assert said.model_dump(exclude_none=True).items() <= members.items()
            error: Any = error_from_response(
                status_code=422, body=members, headers=dict(response.headers)
            )
            assert error.error == members["error"]
            assert error.fields == members.get("fields", [])

    read()
    assert min(taken.values()) > 20


# What others send.


class User(BaseModel):
    """The body that the routes want."""

    name: str


async def private(request: Request) -> None:
    del request
    raise HTTPException(401)


async def bug(request: Request) -> None:
    del request
    raise RuntimeError("secret")


def plain_fastapi() -> FastAPI:
    app = FastAPI()

    @app.post("/users")
    async def create(user: User) -> None: ...

    app.get("/private")(private)
    app.get("/bug")(bug)
    return app


def plain_starlette() -> Starlette:
    async def create(request: Request) -> None:
        await request.json()
        raise StarletteHTTPException(422)

    return Starlette(
        routes=[
            Route("/users", create, methods=["POST"]),
            Route("/private", private),
            Route("/bug", bug),
        ]
    )


def with_fastapi_problem() -> FastAPI:
    app = plain_fastapi()
    # Its types are not complete.
    handler: Any = fastapi_problem.handler
    handler.add_exception_handler(app, handler.new_exception_handler())
    return app


def with_fastapi_problem_details() -> FastAPI:
    return fastapi_problem_details.init_app(plain_fastapi())


def with_ours() -> FastAPI:
    app = plain_fastapi()
    authpi_errors.install(app)
    return app


SITUATIONS = {
    "unknown path": exchanges.Request(path="/nowhere"),
    "wrong method": exchanges.Request(path="/users"),
    "invalid body": exchanges.Request("POST", "/users", body=(b"{}",)),
    "malformed JSON": exchanges.Request("POST", "/users", body=(b"{",)),
    "HTTPException(401)": exchanges.Request(path="/private"),
    "unexpected exception": exchanges.Request(path="/bug"),
}

MEMBERS_MISSING = {"cache-control", "members"}
PROBLEM = {"content-type", "cache-control", "members"}
PLAIN_TEXT = {"content-type", "cache-control", "json"}
CHALLENGE = {"www-authenticate"}
BROKEN: Mapping[Callable[[], ASGIApp], Mapping[str, set[str]]] = {
    plain_fastapi: {
        "unknown path": MEMBERS_MISSING,
        "wrong method": MEMBERS_MISSING,
        "invalid body": MEMBERS_MISSING,
        "malformed JSON": MEMBERS_MISSING,
        "HTTPException(401)": MEMBERS_MISSING | CHALLENGE,
        "unexpected exception": PLAIN_TEXT,
    },
    plain_starlette: {
        "unknown path": PLAIN_TEXT,
        "wrong method": PLAIN_TEXT,
        "invalid body": PLAIN_TEXT,
        "malformed JSON": PLAIN_TEXT,
        "HTTPException(401)": PLAIN_TEXT | CHALLENGE,
        "unexpected exception": PLAIN_TEXT,
    },
    with_fastapi_problem: {
        "unknown path": PROBLEM,
        "wrong method": PROBLEM,
        "invalid body": PROBLEM,
        "malformed JSON": PROBLEM,
        "HTTPException(401)": PROBLEM | CHALLENGE,
        "unexpected exception": PROBLEM,
    },
    with_fastapi_problem_details: {
        "unknown path": PROBLEM,
        "wrong method": PROBLEM,
        "invalid body": PROBLEM,
        "malformed JSON": PROBLEM,
        "HTTPException(401)": PROBLEM | CHALLENGE,
        "unexpected exception": PROBLEM,
    },
    with_ours: {situation: set() for situation in SITUATIONS},
}


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("build", BROKEN)
def test_others_break_these_rules_and_ours_none(
    build: Callable[[], ASGIApp], situation: str
) -> None:
    request = SITUATIONS[situation]
    seen = asyncio.run(exchanges.exchange(build(), request))
    headers = [
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in seen.start["headers"]
    ]
    response = Response(seen.status or 0, headers, seen.body, request.method, False)
    assert set(rules(response)) == BROKEN[build][situation]
