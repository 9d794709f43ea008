"""What is asked of a service, by its OpenAPI document, and what an answer is worth."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authpi_errors._probing import Credentials, Probe, base_of, is_same_origin, judge, plan
from authpi_errors.compliance import Response

NAME = "3f6c1f34-7a8e-4f6e-9d3a-2f0c53f3a111"
SAFE = {"GET", "HEAD", "PROPFIND"}
JSON = "application/json"
REQUIRED: dict[str, Any] = {"type": "object", "required": ["name"]}
OPTIONAL: dict[str, Any] = {"type": "object", "properties": {"name": {}}}
KEY: list[dict[str, Any]] = [{"key": []}]


def body(schema: object = REQUIRED, *types: str, required: object = True) -> dict[str, Any]:
    """An operation with a request body."""
    content = {each: {"schema": schema} for each in types or (JSON,)}
    return {"requestBody": {"required": required, "content": content}}


def document(paths: dict[str, Any], **members: Any) -> dict[str, Any]:
    """A document with these paths."""
    return {"openapi": "3.1.0", "paths": paths, **members}


def probes(root: dict[str, Any], *, has_credentials: bool = False) -> list[Probe]:
    """The probes for a document, but for those of the unknown path."""
    planned = plan(root, NAME, has_credentials=has_credentials)
    assert [str(probe) for probe in planned[:2]] == [
        "GET /<random> (no such path)",
        "HEAD /<random> (no such path)",
    ]
    return planned[2:]


def shown(planned: list[Probe]) -> list[str]:
    """The probes, each in a line with what is requested."""
    return [f"{probe.method} {probe.target} ({probe.what})" for probe in planned]


def test_without_a_document_only_an_unknown_path_is_asked() -> None:
    assert probes({}) == []


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        pytest.param({"get": {}}, ["PROPFIND /a (no such method)"], id="reads"),
        pytest.param(
            {"get": {}, "head": {}, "options": {}, "trace": {}},
            ["PROPFIND /a (no such method)"],
            id="only safe methods",
        ),
        pytest.param({"get": {}, "delete": {}}, [], id="reads and deletes"),
        pytest.param({"delete": {}}, [], id="deletes"),
        pytest.param({}, [], id="nothing"),
        pytest.param({"summary": "A"}, [], id="no operation"),
        pytest.param({"post": {}}, [], id="a POST without a body"),
        pytest.param({"post": body(required=False)}, [], id="a body that may be missing"),
        pytest.param({"post": body(OPTIONAL)}, [], id="members that may be missing"),
        pytest.param({"put": body(OPTIONAL)}, [], id="a PUT whose members may be missing"),
        pytest.param({"patch": body(OPTIONAL)}, [], id="a PATCH of what is there"),
        pytest.param({"post": body(REQUIRED, JSON, "text/csv")}, [], id="another type as well"),
        pytest.param({"post": body(REQUIRED, "text/csv")}, [], id="another type"),
        pytest.param({"post": body(REQUIRED, "application/\u00e9+json")}, [], id="no media type"),
        pytest.param({"post": {"requestBody": {"required": True}}}, [], id="no type at all"),
        pytest.param({"delete": body()}, [], id="a DELETE with a body"),
        *(
            pytest.param(
                {method.lower(): body()},
                [f"{method} /a (malformed JSON)", f"{method} /a (no such content type)"],
                id=f"{method} of an object with required members",
            )
            for method in ("POST", "PUT", "PATCH")
        ),
        pytest.param(
            {"post": body({"allOf": [{"type": "object"}, REQUIRED]})},
            ["POST /a (malformed JSON)", "POST /a (no such content type)"],
            id="required members in a part",
        ),
        pytest.param(
            {"get": {"parameters": [{"name": "q", "in": "query", "required": True}]}},
            ["PROPFIND /a (no such method)", "GET /a (no parameters)"],
            id="a parameter that is required",
        ),
        pytest.param(
            {"get": {}, "parameters": [{"name": "q", "in": "query", "required": True}]},
            ["PROPFIND /a (no such method)", "GET /a (no parameters)"],
            id="a parameter that the path requires",
        ),
        pytest.param(
            {"get": {"parameters": [{"name": "q", "in": "query", "required": False}]}},
            ["PROPFIND /a (no such method)"],
            id="a parameter that may be missing",
        ),
        pytest.param(
            {"get": {"parameters": [{"name": "q", "in": "cookie", "required": True}]}},
            ["PROPFIND /a (no such method)"],
            id="a cookie",
        ),
    ],
)
def test_path_is_asked(operations: dict[str, Any], expected: list[str]) -> None:
    assert shown(probes(document({"/a": operations}))) == expected


def test_parameters_in_paths_get_random_names() -> None:
    planned = probes(document({"/a/{x}/b/{y}.{z}": {"get": {}}}))
    assert shown(planned) == [
        f"PROPFIND /a/{NAME}/b/{NAME}.{NAME} (no such method)",
        f"GET /a/{NAME}/b/{NAME}.{NAME} (random names)",
    ]
    assert {probe.path for probe in planned} == {"/a/{x}/b/{y}.{z}"}


def test_a_patch_of_nothing_may_have_any_members() -> None:
    planned = probes(document({"/a/{x}": {"patch": body(OPTIONAL)}}))
    assert shown(planned) == [
        f"PATCH /a/{NAME} (malformed JSON)",
        f"PATCH /a/{NAME} (no such content type)",
    ]


def test_malformed_bodies_are_one_brace() -> None:
    malformed, mistyped = probes(document({"/a": {"post": body(REQUIRED, "application/x+json")}}))
    assert malformed.body == mistyped.body == b"{"
    assert malformed.headers == {"Content-Type": "application/x+json"}
    assert "json" not in mistyped.headers["Content-Type"]


@pytest.mark.parametrize("path", ["@evil.example/a", "a", "", "/a\nb", "/\x1b[2J"])
def test_a_path_that_is_none_is_left_alone(path: str) -> None:
    assert probes(document({path: {"get": {}, "post": body()}})) == []


def test_the_document_takes_no_other_method() -> None:
    planned = plan({}, NAME, document_path="/openapi.json", has_credentials=False)
    assert str(planned[-1]) == "PROPFIND /openapi.json (no such method)"


# Credentials


def test_a_protected_operation_is_asked_without_credentials() -> None:
    root = document({"/a": {"get": {"security": KEY}, "post": {**body(), "security": KEY}}})
    assert [(str(probe), probe.credentials) for probe in probes(root)] == [
        ("GET /a (without credentials)", Credentials.NONE),
        ("POST /a (without credentials)", Credentials.NONE),
    ]


def test_with_credentials_a_protected_operation_is_asked_behind_them_as_well() -> None:
    root = document({"/a": {"get": {}, "post": body()}}, security=KEY)
    assert [(str(probe), probe.credentials) for probe in probes(root, has_credentials=True)] == [
        ("GET /a (without credentials)", Credentials.NONE),
        ("GET /a (no parameters)", Credentials.GIVEN),
        ("POST /a (without credentials)", Credentials.NONE),
        ("POST /a (malformed JSON)", Credentials.GIVEN),
        ("POST /a (no such content type)", Credentials.GIVEN),
    ]


@pytest.mark.parametrize(
    "security",
    [
        pytest.param("[]", id="none"),
        pytest.param("[{}]", id="an empty one"),
        pytest.param('[{"key": []}, {}]', id="optional"),
        pytest.param('"key"', id="no list"),
    ],
)
def test_an_operation_that_needs_no_credentials_is_not_asked_for_a_401(security: str) -> None:
    root = document({"/a": {"get": {"security": json.loads(security)}}}, security=KEY)
    assert {probe.credentials for probe in probes(root)} == {Credentials.GIVEN}


BASIC = base64.b64encode(f"{NAME}:{NAME}".encode()).decode()


@pytest.mark.parametrize(
    ("scheme", "headers"),
    [
        pytest.param(
            {"type": "http", "scheme": "basic"}, {"Authorization": f"Basic {BASIC}"}, id="Basic"
        ),
        pytest.param(
            {"type": "http", "scheme": "bearer"}, {"Authorization": f"bearer {NAME}"}, id="Bearer"
        ),
        pytest.param({"type": "oauth2"}, {"Authorization": f"Bearer {NAME}"}, id="OAuth 2.0"),
        pytest.param(
            {"type": "openIdConnect"}, {"Authorization": f"Bearer {NAME}"}, id="OpenID Connect"
        ),
        pytest.param(
            {"type": "apiKey", "in": "header", "name": "X-Key"}, {"X-Key": NAME}, id="a header"
        ),
        pytest.param(
            {"type": "apiKey", "in": "cookie", "name": "sid"},
            {"Cookie": f"sid={NAME}"},
            id="a cookie",
        ),
        pytest.param(
            {"$ref": "#/x-schemes/a~1b"}, {"Authorization": f"DPoP {NAME}"}, id="elsewhere"
        ),
    ],
)
def test_invalid_credentials_are_well_formed(
    scheme: dict[str, Any], headers: dict[str, str]
) -> None:
    paths: dict[str, Any] = {path: {"get": {"security": KEY}} for path in ("/a", "/b")}
    components = {"securitySchemes": {"key": scheme}}
    others = {"a/b": {"type": "http", "scheme": "DPoP"}}
    planned = probes(document(paths, components=components, **{"x-schemes": others}))
    invalid = [probe for probe in planned if probe.credentials is Credentials.INVALID]
    # One: many would look like an attack.
    assert [(str(probe), probe.headers) for probe in invalid] == [
        ("GET /a (invalid credentials)", headers)
    ]
    assert invalid[0].wanted.startswith("A 401")


@pytest.mark.parametrize(
    "scheme",
    [
        pytest.param({"type": "apiKey", "in": "query", "name": "key"}, id="in the query"),
        pytest.param({"type": "apiKey", "in": "header", "name": "X:\r\n"}, id="no header name"),
        pytest.param({"type": "apiKey", "in": "cookie", "name": "a;b"}, id="no cookie name"),
        pytest.param({"type": "http", "scheme": "a b"}, id="no scheme"),
        pytest.param({"type": "mutualTLS"}, id="a certificate"),
        pytest.param(None, id="unknown"),
    ],
)
def test_credentials_that_are_in_no_header_are_not_tried(scheme: object) -> None:
    components = {"securitySchemes": {"key": scheme}}
    root = document({"/a": {"get": {"security": KEY}}}, components=components)
    assert {probe.credentials for probe in probes(root)} == {Credentials.GIVEN, Credentials.NONE}


# Documents


def test_references_are_followed() -> None:
    components = {
        "pathItems": {"A": {"post": {"requestBody": {"$ref": "#/components/requestBodies/B"}}}},
        "requestBodies": {"B": body({"$ref": "#/components/schemas/C"})["requestBody"]},
        "schemas": {"C": {"$ref": "#/components/schemas/D"}, "D": REQUIRED},
    }
    root = document({"/a": {"$ref": "#/components/pathItems/A"}}, components=components)
    assert [probe.method for probe in probes(root)] == ["POST", "POST"]


@pytest.mark.parametrize(
    "reference",
    ["#/x-circle", "#/nowhere/at/all", "https://evil.example/x.json", "x.json", "", 5],
)
def test_a_reference_that_leads_nowhere_is_nothing(reference: object) -> None:
    root = document({"/a": {"post": body({"$ref": reference})}})
    assert probes({**root, "x-circle": {"$ref": "#/x-circle"}}) == []


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("get", "put", "post", "patch", "delete", "parameters", "requestBody", "$ref"),
                    *("content", "schema", "required", "allOf", "security", JSON, "in", "key"),
                    *("components", "securitySchemes", "type", "scheme", "name", "servers", "url"),
                ]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=12,
)


@given(
    paths=st.dictionaries(st.sampled_from(["/a", "/a/{b}", "c", ""]), JSON_VALUES) | JSON_VALUES,
    rest=st.dictionaries(
        st.sampled_from(["components", "security", "servers", "openapi"]), JSON_VALUES
    ),
    has_credentials=st.booleans(),
)
def test_whatever_a_document_says_requests_are_safe(
    paths: object, rest: dict[str, Any], has_credentials: bool
) -> None:
    root = {**rest, "paths": paths}
    for probe in plan(root, NAME, has_credentials=has_credentials):
        assert probe.target.startswith("/")
        assert "{" not in probe.target
        assert probe.body == (b"" if probe.method in SAFE else b"{")
        assert probe.method in SAFE | {"POST", "PUT", "PATCH"}
    assert is_same_origin(base_of(root, "http://a/openapi.json", "http://a"), "http://a")


# Where paths begin


@pytest.mark.parametrize(
    ("servers", "expected"),
    [
        pytest.param(None, "http://a:1", id="none"),
        pytest.param([], "http://a:1", id="an empty list"),
        pytest.param([{"url": "/v1/"}], "http://a:1/v1", id="a path"),
        pytest.param([{"url": "v1"}], "http://a:1/docs/v1", id="a path beside the document"),
        pytest.param([{"url": "/"}], "http://a:1", id="the root"),
        pytest.param([{"url": "http://a:1/v2"}, {"url": "/v1"}], "http://a:1/v2", id="itself"),
        pytest.param([{"url": "https://a:1/v2"}], "http://a:1", id="another scheme"),
        pytest.param([{"url": "http://b/v2"}], "http://a:1", id="another host"),
        pytest.param([{"url": "//b/v2"}], "http://a:1", id="another host, no scheme"),
        pytest.param([{"url": "http://a:2/v2"}], "http://a:1", id="another port"),
        pytest.param([{"url": "http://b:pw@a:1/v2"}], "http://a:1", id="with credentials"),
        pytest.param([{"url": "http://[a"}], "http://a:1", id="no URL"),
        pytest.param([{"url": "/{version}"}], "http://a:1", id="a variable"),
        pytest.param([{"url": 5}], "http://a:1", id="a number"),
        pytest.param(["/v1"], "http://a:1", id="no object"),
    ],
)
def test_paths_begin_at_the_first_server_on_the_same_host(servers: object, expected: str) -> None:
    found = base_of({"servers": servers}, "http://a:1/docs/openapi.json", "http://a:1")
    assert found == expected


def test_paths_begin_where_the_user_says() -> None:
    document = {"servers": [{"url": "/v1"}]}
    assert base_of(document, "http://a/x/openapi.json", "http://a/x") == "http://a/x"


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("http://a/x", "http://a", True),
        ("http://A", "HTTP://a", True),
        ("http://a:80", "http://a", True),
        ("https://a", "https://a:443", True),
        ("ws://a", "ws://a:80", False),
        ("http://a:0", "http://a", False),
        ("http://a", "https://a", False),
        ("http://a:443", "https://a", False),
        ("http://a", "http://b", False),
        ("http://[a", "http://[a", False),
        ("http://a:b", "http://a:b", False),
    ],
)
def test_an_origin_is_a_scheme_a_host_and_a_port(one: str, other: str, is_same: bool) -> None:
    assert is_same_origin(one, other) is is_same


# Answers

GOOD = b'{"error":"invalid_request","error_description":"No.","retryable":false}'
BAD = b'{"error":"server_error","error_description":"No.","retryable":false}'
DOWN = b'{"error":"server_error","error_description":"No.","retryable":true}'


def answer(status: int, content: bytes) -> Response:
    """A compliant error."""
    headers = {
        "content-type": JSON,
        "content-length": str(len(content)),
        "cache-control": "no-store",
    }
    return Response(status, list(headers.items()), content)


def rules(probe: Probe, response: Response) -> list[str]:
    """The rules that an answer breaks."""
    return [violation.rule for violation in judge(probe, response)]


READ = Probe("random names", "GET", "/a/{b}", "/a/b")
WRITE = Probe("malformed JSON", "POST", "/a", "/a", body=b"{", wanted="A 400.")
WRONG = Probe("no such method", "PROPFIND", "/a", "/a")


@pytest.mark.parametrize(
    ("probe", "response", "expected"),
    [
        pytest.param(READ, answer(400, GOOD), [], id="an error as it should be"),
        pytest.param(READ, Response(200, [], b""), [], id="a success that may be"),
        pytest.param(WRITE, Response(201, [], b""), ["refusal"], id="a success that may not be"),
        pytest.param(WRITE, Response(302, [], b""), ["refusal"], id="a redirect"),
        pytest.param(READ, answer(500, BAD), ["client-error"], id="the server blames itself"),
        pytest.param(READ, answer(501, BAD), ["client-error"], id="GET is not implemented"),
        pytest.param(WRONG, answer(501, BAD), [], id="PROPFIND is not implemented"),
        pytest.param(WRONG, answer(500, BAD), ["client-error"], id="PROPFIND is too much"),
        pytest.param(READ, answer(503, DOWN), [], id="the server is down"),
        pytest.param(READ, answer(404, b'{"detail":"Not Found"}'), ["members"], id="no code"),
    ],
)
def test_answer_is_judged(probe: Probe, response: Response, expected: list[str]) -> None:
    assert list(dict.fromkeys(rules(probe, response))) == expected
