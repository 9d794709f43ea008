"""Where errors come from, by the ways of installing: every cell of the table is tried.

Asked of asyncio, uvloop and trio, with and without CORS on either side of the library.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import Message

from authpi_errors import ErrorRegistry, install
from tests.exchanges import Exchange, Request, exchange, protocol_faults
from tests.origins import (
    CORS,
    CORS_HEADERS,
    COVERAGE,
    FRAMEWORKS,
    NO,
    NOTHING_THERE,
    ORIGIN,
    ORIGINS,
    OURS,
    REGISTRY,
    SECRET,
    TRAILERS,
    UNEXPECTED,
    UNKNOWN,
    WAYS,
    YES,
    Answer,
    Cors,
    Framework,
    Origin,
    Raising,
    Site,
    TakenError,
    UnfriendlyError,
    Way,
    application,
    applied,
    body,
    endpoint_raising,
    fine,
    mounting,
    started,
    table,
)

README = Path(__file__).parent.parent / "README.md"
CORS_PLACES: tuple[Cors, ...] = ("no CORS", "CORS added before", "CORS added after")
# All of it on asyncio; on the others one place of CORS and one framework.
LOOPS: Mapping[str, tuple[Any, tuple[Cors, ...], slice]] = {
    "asyncio": (("asyncio", {}), CORS_PLACES, slice(None)),
    "uvloop": (("asyncio", {"use_uvloop": True}), ("CORS added before",), slice(-1, None)),
    "trio": (("trio", {}), ("no CORS",), slice(1)),
}
# The body's members, in their order: contract.
MEMBERS = (
    "error",
    "error_description",
    "reference",
    "retryable",
    "retry_after",
    "fields",
    "current_etag",
    "currentETag",
)
ALWAYS = {"error": str, "error_description": str, "retryable": bool}


# What is wrong with an answer.


def broken(claims: Mapping[str, bool]) -> list[str]:
    """Give the claims that do not hold."""
    return [claim for claim, holds in claims.items() if not holds]


def contract_faults(request: Request, seen: Exchange) -> list[str]:
    """Give what keeps a response from being an AuthPI error at all."""
    lengths = seen.header("content-length")
    names = [name for name, _ in seen.start.get("headers", [])]
    faults = broken(
        {
            f"the type is {seen.header('content-type')}": seen.header("content-type")
            == ["application/json"],
            f"it is stored: {seen.header('cache-control')}": seen.header("cache-control")
            == ["no-store"],
            f"the names are in lower case: {names}": all(name == name.lower() for name in names),
            "a 401 has a challenge": seen.status != 401 or seen.header("www-authenticate") != [],
            "a 405 has Allow": seen.status != 405 or seen.header("allow") != [],
            "no trailers are announced": not seen.start.get("trailers"),
            f"one length, not none: {lengths}": len(lengths) == 1 and lengths != ["0"],
        }
    )
    return faults if request.method == "HEAD" else [*faults, *_body_faults(seen)]


def _body_faults(seen: Exchange) -> list[str]:
    document = read(seen)
    known = [name for name in document if name in MEMBERS]
    retry_after = [str(document["retry_after"])] if "retry_after" in document else []
    return broken(
        {
            f"the length is right: {seen.header('content-length')}": seen.header("content-length")
            == [str(len(seen.body))],
            f"it is an object: {seen.body[:80]!r}": document != {},
            f"what must be there is: {document}": all(
                isinstance(document.get(name), kind) for name, kind in ALWAYS.items()
            ),
            f"the members are in order: {known}": known
            == [name for name in MEMBERS if name in document],
            f"other members come last: {list(document)}": list(document)[: len(known)] == known,
            "no member is null": None not in [document[name] for name in known],
            f"Retry-After is {seen.header('retry-after')}": seen.header("retry-after")
            == retry_after,
            "a server error has a reference": not (seen.status or 0) >= 500
            or bool(document.get("reference")),
        }
    )


def read(seen: Exchange) -> dict[str, Any]:
    """Read a body; what is no object is an empty one."""
    try:
        document: Any = json.loads(seen.body)
    except ValueError:
        document = None
    return cast("dict[str, Any]", document) if isinstance(document, dict) else {}


def answer_faults(answer: Answer, request: Request, seen: Exchange) -> list[str]:
    """Give where a response, an AuthPI error as such, is another one than expected."""
    document = read(seen)
    fields = tuple((item["field"], item["code"]) for item in document.get("fields", ()))
    expected: dict[str, object] = {"error": answer.code, **answer.members}
    if answer.description is not None:
        expected["error_description"] = answer.description
    faults = broken(
        {
            f"the status is {seen.status}": seen.status == answer.status,
            **{
                f"{name}: {seen.header(name)}": _words(name, seen.header(name))
                == _words(name, values)
                for name, values in answer.headers.items()
            },
        }
    )
    if request.method == "HEAD":
        return faults
    members = {
        f"{name} is {document.get(name)!r}": document.get(name) == value
        for name, value in expected.items()
    }
    return faults + broken({**members, f"fields: {fields}": fields == answer.fields})


def _words(name: str, values: list[str]) -> object:
    """Methods have no order, and who has GET may have HEAD; CORS adds to `Vary`."""
    words = {word.strip() for value in values for word in value.split(",")}
    return {"allow": words - {"HEAD"}, "vary": words - {"Origin"}}.get(name, values)


def close_faults(answer: Answer, seen: Exchange) -> list[str]:
    closes = [
        (message.get("code"), message.get("reason")) for message in seen.of_type("websocket.close")
    ]
    accepted = seen.of_type("websocket.accept") != []
    return broken(
        {
            f"it closes with {closes}": closes == [answer.closes],
            f"accepted: {accepted}": accepted == answer.accepted,
        }
    )


def cors_faults(seen: Exchange) -> list[str]:
    vary = [part.strip().lower() for value in seen.header("vary") for part in value.split(",")]
    headers = {
        f"{name}: {seen.header(name)}": seen.header(name) == values
        for name, values in CORS_HEADERS.items()
    }
    return broken({**headers, f"vary: {vary}": vary.count("origin") == 1})


def raise_faults(answer: Answer, seen: Exchange) -> list[str]:
    raises = answer.raises or type(None)
    return broken({f"it raises {type(seen.raised)}": isinstance(seen.raised, raises)})


def faults(origin: Origin, cors: Cors, seen: Exchange) -> list[str]:
    """Give all that is wrong with the answer to an origin's request."""
    answer, request = origin.answer, origin.request
    if answer.closes is not None:
        found = close_faults(answer, seen)
    else:
        found = contract_faults(request, seen) or answer_faults(answer, request, seen)
        if origin.has_cors or (cors != "no CORS" and request.kind == "http"):
            found += cors_faults(seen)
    before = tuple(message["type"] for message in seen.messages[: len(answer.before)])
    others = {
        f"it begins with {before}": before == answer.before,
        "no secret is told": SECRET not in repr(seen.messages),
    }
    return [*found, *protocol_faults(request, seen), *broken(others)]


# Answers that are wrong, so that the checks above are known to find that.

HEADERS = [
    (b"content-type", b"application/json"),
    (b"content-length", b"89"),
    (b"cache-control", b"no-store"),
]
DOCUMENT: dict[str, object] = {"error": "not_found", "error_description": "x", "retryable": False}


def answered(
    document: object = DOCUMENT, *headers: tuple[bytes, bytes], status: int = 404, **start: Any
) -> Exchange:
    """Make an answer; a header that is given takes the place of the right one."""
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    own = dict([*HEADERS[::2], (b"content-length", str(len(content)).encode()), *headers])
    return Exchange([started(status, [*own.items()], **start), body(content)])


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(Exchange(), id="none at all"),
        pytest.param(answered(DOCUMENT, (b"content-type", b"text/plain")), id="type"),
        pytest.param(answered(DOCUMENT, (b"cache-control", b"private")), id="stored"),
        pytest.param(answered(DOCUMENT, (b"X-Mine", b"yes")), id="upper case"),
        pytest.param(answered(status=401), id="no challenge"),
        pytest.param(answered(status=405), id="no Allow"),
        pytest.param(answered(trailers=True), id="trailers"),
        pytest.param(answered(DOCUMENT, (b"content-length", b"5")), id="length"),
        pytest.param(answered(b"Not Found"), id="no JSON"),
        pytest.param(answered(["x"]), id="no object"),
        pytest.param(answered({"error": "not_found"}), id="missing members"),
        pytest.param(answered(dict(reversed(DOCUMENT.items()))), id="order"),
        pytest.param(answered({"mine": 1, **DOCUMENT}), id="further members first"),
        pytest.param(answered({**DOCUMENT, "retry_after": 5}), id="no Retry-After"),
        pytest.param(answered({**DOCUMENT, "fields": None}), id="null"),
        pytest.param(answered(status=500), id="no reference"),
    ],
)
def test_what_is_no_authpi_error_is_found(seen: Exchange) -> None:
    assert contract_faults(Request(), answered()) == []
    assert contract_faults(Request(), seen) != []


@pytest.mark.parametrize(
    "answer",
    [
        Answer(410, "not_found"),
        Answer(404, "conflict"),
        Answer(404, "not_found", "y"),
        Answer(404, "not_found", members={"retry_after": 5}),
        Answer(404, "not_found", headers={"allow": ["GET"]}),
        Answer(404, "not_found", fields=(("name", "missing"),)),
    ],
    ids=["status", "code", "description", "member", "header", "fields"],
)
def test_another_answer_than_expected_is_found(answer: Answer) -> None:
    assert answer_faults(Answer(404, "not_found", "x"), Request(), answered()) == []
    assert answer_faults(answer, Request(), answered()) != []


WHOLE = [started(200), body()]
CLOSED: Message = {"type": "websocket.close", "code": 1000, "reason": ""}
ACCEPTED: Message = {"type": "websocket.accept"}
SAID: Message = {"type": "websocket.send", "text": "x"}
DENIED: list[Message] = [
    {"type": "websocket.http.response.start", "status": 404, "headers": []},
    {"type": "websocket.http.response.body", "body": b""},
]
SOCKET = Request(kind="websocket")


@pytest.mark.parametrize(
    ("request_", "right", "wrong"),
    [
        pytest.param(Request(), WHOLE, [started(200)], id="no body"),
        pytest.param(Request(), WHOLE, [started(200), *WHOLE], id="two starts"),
        pytest.param(Request(), WHOLE, [body(), *WHOLE], id="a body first"),
        pytest.param(Request(), WHOLE, [*WHOLE, body()], id="more than all"),
        pytest.param(Request(), [UNKNOWN, *WHOLE], [UNKNOWN], id="nothing but what is unknown"),
        pytest.param(Request(), WHOLE, [started("200"), body()], id="a status in words"),
        pytest.param(Request(), WHOLE, [started(200, [(b"a", b"b\r\nc")]), body()], id="two lines"),
        pytest.param(
            Request(),
            [started(200, trailers=True), body(), TRAILERS],
            [*WHOLE, TRAILERS],
            id="trailers that nobody announced",
        ),
        pytest.param(Request("HEAD"), [started(200), body(b"")], WHOLE, id="a body for HEAD"),
        pytest.param(SOCKET, [CLOSED], [ACCEPTED], id="no close"),
        pytest.param(SOCKET, [ACCEPTED, SAID, CLOSED], [SAID, CLOSED], id="said too early"),
        pytest.param(SOCKET, [CLOSED], [{**CLOSED, "reason": "x" * 124}], id="too much reason"),
        pytest.param(SOCKET, [CLOSED], [*WHOLE, CLOSED], id="HTTP"),
        pytest.param(SOCKET, DENIED, DENIED[:1], id="half a denial"),
        pytest.param(replace(SOCKET, denial=False), [CLOSED], DENIED, id="an unknown denial"),
    ],
)
def test_what_asgi_does_not_allow_is_found(
    request_: Request, right: list[Message], wrong: list[Message]
) -> None:
    assert protocol_faults(request_, Exchange(right)) == []
    assert protocol_faults(request_, Exchange(wrong)) != []


# The product.


def cells() -> Iterator[Any]:
    for loop, (backend, places, frameworks) in LOOPS.items():
        for origin in ORIGINS:
            if origin.asyncio_only and loop == "trio":
                continue
            for framework in origin.frameworks[frameworks]:
                for way in WAYS:
                    if origin.covered[way] != NOTHING_THERE:
                        name = f"{origin.row}, {origin.name}, {framework}, {way}, {loop}"
                        values = (origin, framework, way, places, backend)
                        yield pytest.param(*values, id=name)


@pytest.mark.parametrize(("origin", "framework", "way", "places", "anyio_backend"), list(cells()))
async def test_cell(
    origin: Origin, framework: Framework, way: Way, places: tuple[Cors, ...]
) -> None:
    request = origin.request.with_headers({"origin": ORIGIN})
    for cors in places if origin.cors else ("no CORS",):
        app = applied(way, origin.build(framework), cors, registry=REGISTRY)
        seen = await exchange(app, request)
        found = faults(origin, cors, seen)
        if origin.covered[way] == YES:
            assert (cors, found) == (cors, [])
            assert raise_faults(origin.answer, seen) == []
        else:
            assert found != []


@pytest.mark.parametrize(
    ("origin", "framework"),
    [
        pytest.param(origin, framework, id=f"{origin.row}, {origin.name}, {framework}")
        for origin in ORIGINS
        for framework in origin.frameworks
    ],
)
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_without_the_library_it_is_no_authpi_error(
    origin: Origin, framework: Framework
) -> None:
    app = applied("install", origin.build(framework), library=False)
    seen = await exchange(app, origin.request)
    assert faults(origin, "no CORS", seen) != []


@pytest.mark.parametrize("cors", CORS_PLACES[1:])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_success_has_the_cors_headers_that_errors_are_held_to(
    framework: Framework, way: Way, cors: Cors
) -> None:
    app = applied(way, Site(application(framework, fine)), cors)
    seen = await exchange(app, Request(headers={"origin": ORIGIN}))
    assert seen.status == 200
    assert cors_faults(seen) == []


# More than one way at a time.

COMBINATIONS: tuple[tuple[Way, Way], ...] = (
    ("install", "install"),
    ("install", "add_middleware"),
    ("install", "wrapping"),
    ("add_middleware", "add_middleware"),
    ("add_middleware", "wrapping"),
    ("wrapping", "wrapping"),
)


@pytest.mark.parametrize(
    "origin", [pytest.param(each, id=f"{each.row}, {each.name}") for each in ORIGINS]
)
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_two_ways_at_once_are_as_good_as_one(origin: Origin) -> None:
    for first, second in COMBINATIONS:
        if {origin.covered[first], origin.covered[second]} == {YES}:
            inner = applied(first, origin.build(origin.frameworks[0]), registry=REGISTRY)
            seen = await exchange(
                applied(second, Site(inner), registry=REGISTRY),
                origin.request.with_headers({"origin": ORIGIN}),
            )
            assert (first, second, faults(origin, "no CORS", seen)) == (first, second, [])
            assert raise_faults(origin.answer, seen) == []
            assert len(getattr(seen.raised, "__notes__", ())) <= 1


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_a_mounted_application_with_an_install_of_its_own_answers_by_it(
    framework: Framework,
) -> None:
    inner = application(framework, endpoint_raising(TakenError))
    install(inner, registry=REGISTRY)
    outer = mounting(framework, "/in", inner)
    other = ErrorRegistry(exceptions={TakenError: "not_found"})
    seen = await exchange(applied("install", outer, registry=other), Request(path="/in/"))
    assert read(seen)["error"] == "conflict"


# CORS: exactly what a success would have had.

CORS_OPTIONS: Mapping[str, dict[str, Any]] = {
    "one origin": {"allow_origins": [ORIGIN]},
    "every origin": {"allow_origins": ["*"]},
    "every origin with credentials": {"allow_origins": ["*"], "allow_credentials": True},
    "a pattern": {"allow_origin_regex": "https://.*[.]example", "expose_headers": ["X-A"]},
    "no origin": {},
}
RAISING: Mapping[str, tuple[Any, tuple[Middleware, ...], tuple[Middleware, ...]]] = {
    "nothing": (fine, (), ()),
    "a route, on purpose": (endpoint_raising(OURS.make), (), ()),
    "a route, unexpectedly": (endpoint_raising(UNEXPECTED.make), (), ()),
    "middleware inside": (fine, (), (Middleware(Raising, UNEXPECTED.make),)),
    "middleware outside": (fine, (Middleware(Raising, UNEXPECTED.make),), ()),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("origin", [ORIGIN, "https://evil.test", None])
@pytest.mark.parametrize("options", CORS_OPTIONS)
async def test_an_error_has_the_cors_headers_of_a_success(
    options: str, origin: str | None, way: Way
) -> None:
    request = Request(headers={} if origin is None else {"origin": origin})
    cors = Middleware(CORSMiddleware, **CORS_OPTIONS[options])
    found: dict[str, list[tuple[bytes, bytes]]] = {}
    for name, (endpoint, before, after) in RAISING.items():
        site = Site(application("starlette", endpoint, inside=[*before, cors, *after]))
        seen = await exchange(applied(way, site), request)
        found[name] = sorted(
            field for field in seen.start["headers"] if field[0].startswith((b"access", b"vary"))
        )
    assert found == dict.fromkeys(RAISING, found["nothing"])


@pytest.mark.parametrize("way", ["install", "wrapping"])
async def test_an_error_in_answer_to_a_preflight_stays_an_error(way: Way) -> None:
    inside = [Middleware(Raising, UNEXPECTED.make), Middleware(CORSMiddleware, **CORS)]
    preflight = {"origin": ORIGIN, "access-control-request-method": "GET"}
    app = applied(way, Site(application("starlette", inside=inside)))
    seen = await exchange(app, Request("OPTIONS", headers=preflight))
    assert (seen.status, read(seen)["error"]) == (500, "server_error")
    assert cors_faults(seen) == []


def test_the_unfriendly_exception_is_what_it_says() -> None:
    with pytest.raises(RuntimeError, match="no"):
        str(UnfriendlyError())


def test_every_row_has_an_origin_and_every_origin_a_row() -> None:
    assert {origin.row for origin in ORIGINS} == set(COVERAGE)
    assert {cell for cells in COVERAGE.values() for cell in cells} == {YES, NO, NOTHING_THERE}


def test_the_readme_has_the_table() -> None:
    assert table() in README.read_text("utf-8")
