"""Whether what a service sends back of the given credentials is masked."""

from __future__ import annotations

import base64
import html
import json
from urllib.parse import quote, quote_plus

import pytest

from authpi_errors._masking import mask_of
from tests.growth import is_linear

PASSWORD = 'p"ä/s <s'


def basic(name: str, password: str) -> tuple[str, str]:
    """The header of a user with a password."""
    return "Authorization", "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(PASSWORD, id="as it is"),
        pytest.param(json.dumps(PASSWORD)[1:-1], id="JSON"),
        pytest.param(json.dumps(PASSWORD, ensure_ascii=False)[1:-1], id="JSON in UTF-8"),
        pytest.param("p\\u0022\\u00E4\\/s \\u003Cs", id="escaped"),
        pytest.param(r'p\\"\\u00e4/s <s', id="JSON in JSON"),
        pytest.param(quote(PASSWORD), id="a URL"),
        pytest.param(quote(quote(PASSWORD)), id="a URL in a URL"),
        pytest.param(quote_plus(PASSWORD), id="a form"),
        pytest.param("p%22%C3%a4/s+%3cs", id="a form, in either case"),
        pytest.param(html.escape(PASSWORD), id="HTML"),
        pytest.param("p&quot;&auml;&#47;s &lt;s", id="HTML by names"),
        pytest.param("p&#34;ä/s&#x20;&#x003C;s", id="HTML by numbers"),
        pytest.param(PASSWORD.upper(), id="in capitals"),
    ],
)
def test_each_character_may_be_escaped_or_not(form: str) -> None:
    assert mask_of([basic("ada", PASSWORD)])(f'"{form}"') == '"***"'


@pytest.mark.parametrize(
    ("header", "secrets"),
    [
        pytest.param(("X-Api-Key", "hunter2"), ["hunter2"], id="a key"),
        pytest.param(("X-Api-Key", "q7"), ["q7"], id="a short key"),
        pytest.param(("Authorization", "Bearer tok=="), ["tok==", "Bearer tok=="], id="a token"),
        pytest.param(basic("ada", "zq"), ["ada", "zq", "ada:zq"], id="a name and a password"),
        pytest.param(basic("key_live", ""), ["key_live"], id="a name that is the key"),
        pytest.param(("Authorization", "Basic no base"), ["no base"], id="no Basic"),
        pytest.param(
            ("Cookie", 'theme=dark; sid="s3cret"; csrf=s%3Aabc.d%2F'),
            ["dark", "s3cret", "s%3Aabc.d%2F", "s:abc.d/"],
            id="cookies",
        ),
        pytest.param(
            ("Authorization", 'Digest username="ada", uri="/a?b=c", response="6629fa"'),
            ["ada", "/a?b=c", "6629fa"],
            id="Digest",
        ),
        pytest.param(
            (
                "Authorization",
                "AWS4-HMAC-SHA256 Credential=AKID/x/aws4_request, Signature=5d672d79",
            ),
            ["AKID/x/aws4_request", "5d672d79"],
            id="a signature",
        ),
    ],
)
def test_what_a_value_consists_of_is_masked(header: tuple[str, str], secrets: list[str]) -> None:
    mask = mask_of([("Accept", "application/json"), header])
    assert [mask(f"error: {secret}.") for secret in secrets] == ["error: ***."] * len(secrets)


def test_what_is_short_is_masked_where_it_is_a_word() -> None:
    mask = mask_of([("X-Debug", "true"), basic("a", "b"), ("X-Empty", "")])
    assert mask('{"b": untrue, "able": "b"}') == '{"***": un***, "able": "***"}'


@pytest.mark.parametrize(("secret", "masked"), [("abc", "xabcx"), ("abcd", "x***x")])
def test_what_is_long_enough_is_masked_in_words_too(secret: str, masked: str) -> None:
    mask = mask_of([("X-Key", secret)])
    assert (mask(secret), mask(f"x{secret}x")) == ("***", masked)


def test_what_is_masked_is_masked_to_its_end() -> None:
    mask = mask_of([("X-A", "tok_good"), ("X-B", "tok_good_too"), ("X-C", "tok_good_")])
    assert mask("tok_good, tok_good_too, tok_good_.") == "***, ***, ***."


def test_without_headers_nothing_is_masked() -> None:
    assert mask_of([])("b") == "b"


def test_masking_takes_linear_time() -> None:
    mask = mask_of([("Authorization", 'Bearer \\\\\\\\\\\\\\\\""""////&&&&%%%%aaaa++++    .')])

    def stays(text: str) -> None:
        assert mask(text) == text

    for text in ("\\", '\\"', "\\/", "&#0", "&", "%", "%25", "%2525", "&amp;", "\\u005c", "+", " "):
        assert is_linear(stays, text.__mul__, 50_000)
