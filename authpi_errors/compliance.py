"""Is an error response what AuthPI's contract says? Below is the contract as a page of rules.

Each rule is a sentence with its source, and a function that finds what breaks it. `check` asks all
of them. It is pure and total: it does no I/O and raises nothing, whatever a response holds.
"""

from __future__ import annotations

import builtins
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

from authpi_errors._headers import entity_tag, is_media_range, is_token
from authpi_errors._received import Received, Response, kind_of
from authpi_errors._registry import ErrorRegistry
from authpi_errors._validation import is_list, is_mapping
from authpi_errors.codes import fallback, is_error_status

__all__ = ["RULES", "Response", "Violation", "check"]


@dataclass(frozen=True, slots=True)
class Violation:
    """One way in which a response is not what the contract says.

    Attributes:
        rule: The name of the rule, one of `RULES`.
        found: What the response has, in a short line of printable ASCII.
        wanted: What the rule wants, with its source.
    """

    rule: str
    found: str
    wanted: str

    def __str__(self) -> str:
        """Show it in a line."""
        return f"{self.rule}: {self.found}. Wanted: {self.wanted}"


def check(response: Response, registry: ErrorRegistry | None = None) -> list[Violation]:
    """Find all violations of the contract in a response.

    Args:
        response: The response. One with a status below 400 has no violations.
        registry: Which codes there are beside AuthPI's, and which status means which.

    Returns:
        The violations, in the order of `RULES`; none for a response that is compliant. The answer
        to a HEAD has no body, and is judged by its headers alone.

    Example:
        >>> plain = Response(404, [("content-type", "text/plain")], b"Not Found")
        >>> [violation.rule for violation in check(plain)]
        ['content-type', 'content-length', 'cache-control', 'json']
    """
    return check_masked(response, registry, str)


def check_masked(
    response: Response, registry: ErrorRegistry | None, mask: Callable[[str], str]
) -> list[Violation]:
    """Find all violations as `check` does, and mask what was found before it is shortened."""
    if response.status < 400:
        return []
    seen = Received(response, _CONTRACT if registry is None else registry)
    return [
        Violation(name, _printable(mask(found)), RULES[name])
        for name, rule in _RULES.items()
        if seen.has_members or not rule.of_body
        for found in rule.breaches(seen)
    ]


# What the contract alone knows.
_CONTRACT: Final = ErrorRegistry()


def _printable(text: str) -> str:
    """Show what was found in a short line."""
    # No character is shown as less than one.
    shown = text[: _LONGEST_FOUND + 1].encode("unicode_escape").decode()
    return shown if len(shown) <= _LONGEST_FOUND else f"{shown[: _LONGEST_FOUND - 3]}..."


_LONGEST_FOUND: Final = 160


# The rules.


_Breaches = Callable[[Received], Iterator[str]]


class _Rule(NamedTuple):
    wanted: str
    breaches: _Breaches
    of_body: bool


_RULES: Final[dict[str, _Rule]] = {}


def _rule(name: str, wanted: str, *, of_body: bool = False) -> Callable[[_Breaches], _Breaches]:
    """Make a rule of a function that gives what it finds where a response breaks the rule.

    A rule of the body is not asked where there is no JSON object.
    """

    def add(breaches: _Breaches) -> _Breaches:
        _RULES[name] = _Rule(wanted, breaches, of_body)
        return breaches

    return add


def _single(seen: Received, name: str, pattern: str) -> Iterator[str]:
    """Find a header that is not there exactly once, in the form of a pattern."""
    values = seen.values(name)
    if len(values) != 1 or not re.fullmatch(pattern, values[0], re.IGNORECASE):
        yield _shown(seen, name)


def _shown(seen: Received, name: str) -> str:
    return " and ".join(f"{name}: {value}" for value in seen.values(name)) or f"no {name}"


@_rule("status", "The status of an error is one from 400 to 599 (RFC 9110, 15).")
def _status(seen: Received) -> Iterator[str]:
    if not is_error_status(seen.status):
        yield "600 or more"


@_rule(
    "content-type",
    "Content-Type is application/json, with no parameter but charset=utf-8 (contract, The body).",
)
def _content_type(seen: Received) -> Iterator[str]:
    charset = r'[ \t]*;[ \t]*charset=(utf-8|"utf-8")'
    yield from _single(seen, "content-type", f"application/json({charset})?")


@_rule(
    "content-length",
    "Content-Length is the length of the body in bytes, unless there is Transfer-Encoding; the "
    "answer to HEAD may do without (RFC 9110, 8.6).",
)
def _content_length(seen: Received) -> Iterator[str]:
    if seen.is_head and not seen.values("content-length"):
        return
    # A client that undoes a content coding leaves the length as it was.
    is_unknown = seen.is_head or seen.values("content-encoding")
    length = "[1-9][0-9]*" if is_unknown else str(len(seen.body))
    if not seen.values("transfer-encoding"):
        for found in _single(seen, "content-length", f"0*{length}"):
            yield f"{found}, with {len(seen.body)} bytes"


@_rule("head", "The answer to HEAD has no body (RFC 9110, 9.3.2).")
def _head(seen: Received) -> Iterator[str]:
    if seen.is_head and seen.body:
        yield f"{len(seen.body)} bytes"


@_rule(
    "cache-control",
    "Cache-Control says no-store where authentication failed (contract, OAuth 2.0), and something "
    "on any other error: of some, caches keep what says nothing (RFC 9111, 4.2.2).",
)
def _cache_control(seen: Received) -> Iterator[str]:
    directives = [directive.lower() for directive in seen.listed("cache-control") or ()]
    is_of_credentials = seen.status == 401 or seen.values("www-authenticate")
    if not directives or (is_of_credentials and "no-store" not in directives):
        yield _shown(seen, "cache-control")


@_rule(
    "retry-after",
    "Retry-After is a whole number of seconds, never a date (contract, What the official SDK "
    "does; RFC 9110, 10.2.3).",
)
def _retry_after(seen: Received) -> Iterator[str]:
    if seen.values("retry-after"):
        yield from _single(seen, "retry-after", "[0-9]+")


@_rule(
    "allow",
    "A 405 has Allow, the list of methods that the resource takes; the request's is none of them "
    "(RFC 9110, 10.2.1 and 15.5.6).",
)
def _allow(seen: Received) -> Iterator[str]:
    if seen.status != 405:
        return
    methods = seen.listed("allow") if seen.values("allow") else None
    if methods is None or not all(map(is_token, methods)):
        yield _shown(seen, "allow")
    elif seen.method in methods:
        yield f"{_shown(seen, 'allow')}, for {seen.method}"


_ACCEPT_BY_METHOD: Final = {"PATCH": ("accept", "accept-patch"), "POST": ("accept", "accept-post")}


@_rule(
    "accept",
    "A 415 lists the media types that are supported in Accept, and in Accept-Patch for PATCH or "
    "Accept-Post for POST; codings, if it is about them, in Accept-Encoding (contract, The codes; "
    "RFC 9110, 15.5.16; RFC 5789, 2.2).",
)
def _accept(seen: Received) -> Iterator[str]:
    if seen.status != 415 or seen.values("accept-encoding"):
        return
    for name in _ACCEPT_BY_METHOD.get(seen.method, ("accept",)):
        supported = seen.listed(name)
        if not supported or not all(map(is_media_range, supported)):
            yield _shown(seen, name)


@_rule(
    "etag",
    "A 412 has one ETag, the resource's current one, in quotes; none where there is no resource "
    "(contract, The codes; RFC 9110, 8.8.3 and 13.1.1).",
)
def _etag(seen: Received) -> Iterator[str]:
    tags = seen.values("etag")
    is_one = len(tags) == 1 and entity_tag(tags[0]) == tags[0]
    if seen.status == 412 and tags and not is_one:
        yield _shown(seen, "etag")


@_rule(
    "www-authenticate",
    "A 401 has WWW-Authenticate (contract, The codes; RFC 9110, 15.5.2).",
)
def _www_authenticate(seen: Received) -> Iterator[str]:
    if seen.status == 401 and not seen.values("www-authenticate"):
        yield "no www-authenticate"


@_rule(
    "challenge",
    'WWW-Authenticate holds challenges, such as Bearer realm="api", none with a parameter twice '
    "(RFC 9110, 11.2 and 11.6.1).",
)
def _challenge(seen: Received) -> Iterator[str]:
    yield from (f"www-authenticate: {value or 'nothing'}" for value in seen.unreadable)
    for scheme, parameters in seen.challenges:
        counts = Counter(name for name, _ in parameters)
        if twice := [name for name, count in counts.items() if count > 1]:
            yield f"{', '.join(twice)} twice in {scheme}"


_BEARER_TEXT: Final = r"[\x20\x21\x23-\x5b\x5d-\x7e]+"
_BEARER_WORD: Final = r"[\x21\x23-\x5b\x5d-\x7e]+"
_BEARER_PARAMETERS: Final = {
    "error": _BEARER_TEXT,
    "error_description": _BEARER_TEXT,
    "scope": f"{_BEARER_WORD}( {_BEARER_WORD})*",
}


@_rule(
    "challenge-characters",
    "error, error_description and scope in a challenge are of printable ASCII without quotes and "
    "backslashes; one space stands between the words of scope (RFC 6750, 3).",
)
def _challenge_characters(seen: Received) -> Iterator[str]:
    for scheme, parameters in seen.token_challenges:
        for name, value in parameters:
            if not re.fullmatch(_BEARER_PARAMETERS.get(name, ".*"), value):
                yield f"{name}={value} in {scheme}"


@_rule(
    "challenge-error",
    "A 401 for a request without credentials has no error in its challenges (RFC 6750, 3.1). It "
    "is unauthorized_client; session_expired is for credentials that were sent.",
)
def _challenge_error(seen: Received) -> Iterator[str]:
    if seen.status == 401 and seen.has_credentials is False:
        errors = ((each.scheme, each.error) for each in seen.token_challenges)
        yield from (f"error={error} in {scheme}" for scheme, error in errors if error is not None)


@_rule(
    "json",
    "The body is one JSON object in UTF-8, in which no name is there twice (contract, The body; "
    "RFC 8259, 4 and 8.1).",
)
def _json(seen: Received) -> Iterator[str]:
    if seen.fault is not None:
        coding = seen.values("content-encoding") and f", {_shown(seen, 'content-encoding')}"
        yield f"{seen.fault}{coding or ''}"


# The contract's members in their order, and the types of JSON that they have.
_TYPES: Final = {
    "error": "string",
    "error_description": "string",
    "reference": "string",
    "retryable": "boolean",
    "retry_after": "integer",
    "fields": "array",
    "current_etag": "string",
    "currentETag": "string",
}
_ALWAYS: Final = ("error", "error_description", "retryable")


@_rule(
    "members",
    "The body has error, error_description and retryable (contract, The body).",
    of_body=True,
)
def _required(seen: Received) -> Iterator[str]:
    if missing := [name for name in _ALWAYS if name not in seen.members]:
        yield f"no {', '.join(missing)}"


@_rule(
    "types",
    "Members have the contract's types, and are left out rather than null: retryable is a "
    "boolean, retry_after an integer, fields an array, any other a string (contract, The body).",
    of_body=True,
)
def _types(seen: Received) -> Iterator[str]:
    for name, kind in _TYPES.items():
        if name in seen.members and (found := kind_of(seen.members[name])) != kind:
            yield f"{name}: {found}"


@_rule(
    "order",
    f"The contract's members come first, in its order: {', '.join(_TYPES)} (contract, The body).",
    of_body=True,
)
def _order(seen: Received) -> Iterator[str]:
    names = list(seen.members)
    expected = [name for name in _TYPES if name in names]
    if names[: len(expected)] != expected:
        yield ", ".join(names)


@_rule(
    "text",
    "error_description says something, and so does reference, where there is one; all text is "
    "Unicode (contract, The body; RFC 8259, 8.2).",
    of_body=True,
)
def _text(seen: Received) -> Iterator[str]:
    for name in ("error_description", "reference"):
        if (text := seen.text(name)) is not None and not text.strip():
            yield f"{name}: nothing"
    found = (path for path, text in seen.texts() if re.search("[\ud800-\udfff]", text))
    # Once each: a list can have thousands.
    yield from (f"{path}: a lone surrogate" for path in dict.fromkeys(found))


@_rule(
    "code",
    "error is one of AuthPI's codes, or one that the application's registry has, as in "
    "ErrorRegistry(codes=[ErrorCode('quota_exhausted', 402, '...')]) (contract, The codes).",
    of_body=True,
)
def _code(seen: Received) -> Iterator[str]:
    code = seen.text("error")
    if code is not None and seen.code is None:
        yield f"error: {code}"


@_rule(
    "code-status",
    "error keeps to the class of its own status, 4xx or 5xx, whichever status it takes, unless "
    "both say that the request may succeed later, or the registry has it so (contract, The codes; "
    "RFC 9110, 15).",
    of_body=True,
)
def _code_status(seen: Received) -> Iterator[str]:
    code = seen.code
    if code is None or not is_error_status(seen.status):
        return
    usual = fallback(seen.status)
    is_of_class = code.status // 100 == seen.status // 100
    is_of_status = code.value in (usual.value, seen.registry.code_for(seen.status).value)
    is_for_later = code.is_retryable() and usual.is_retryable()
    if not (is_of_class or is_of_status or is_for_later):
        yield f"{code.value} with {seen.status}, which means {usual.value}"


@_rule(
    "retryable",
    "retryable is true where retry_after says when to come back, where the code is retryable, and "
    "on a 408, 429, 502, 503 or 504 where the code says nothing else, as one of your own may; it "
    "is false on a 412: unchanged, the request fails again (contract, The body; The codes; ETags "
    "and If-Match).",
    of_body=True,
)
def _retryable(seen: Received) -> Iterator[str]:
    retryable = seen.members.get("retryable")
    code = seen.code
    if retryable is True and seen.status == 412:
        yield "true, on a 412"
    if retryable is False and "retry_after" in seen.members:
        yield "false, beside retry_after"
    elif retryable is False and code is not None and code.is_retryable(seen.status):
        yield f"false, for {code.value} with {seen.status}"


@_rule(
    "retry-after-member",
    "retry_after is an integer of 0 or more, the same as Retry-After; neither is there without "
    "the other (contract, The body).",
    of_body=True,
)
def _retry_after_member(seen: Received) -> Iterator[str]:
    member = seen.members.get("retry_after")
    said = [str(member)] if isinstance(member, int) else []
    if said != [_delay(value) for value in seen.values("retry-after")]:
        yield f"retry_after: {' '.join(said) or 'none'}, with {_shown(seen, 'retry-after')}"


def _delay(value: str) -> str | None:
    """Give the digits of a delay without zeros in front; `None` if they are none."""
    return (value.lstrip("0") or "0") if re.fullmatch("[0-9]+", value) else None


_FIELD: Final = {"field": "string", "code": "string", "message": "string"}


@_rule(
    "fields",
    "fields is not empty; each item has field, code and message, which are strings, and nothing "
    "else; only a 400 or a 422 has it (contract, The body).",
    of_body=True,
)
def _fields(seen: Received) -> Iterator[str]:
    fields = seen.members.get("fields")
    if not is_list(fields):
        return
    if not fields or seen.status not in (400, 422):
        yield f"{len(fields)} fields on a {seen.status}"
    for index, item in enumerate(fields):
        kinds = {name: kind_of(item[name]) for name in item} if is_mapping(item) else None
        if kinds != _FIELD:
            named = [f"{name}: {kind}" for name, kind in (kinds or {}).items()]
            yield f"fields[{index}]: {', '.join(named) or kind_of(item)}"


@_rule(
    "current-etag",
    "A 412, and no other error, has current_etag and currentETag: both the same as ETag, or all "
    "three left out (contract, The body; RFC 9110, 13.1.1).",
    of_body=True,
)
def _current_etag(seen: Received) -> Iterator[str]:
    for name in ("current_etag", "currentETag"):
        said = [seen.members[name]] if name in seen.members else []
        if said and seen.status != 412:
            yield f"{name} on a {seen.status}"
        elif seen.status == 412 and said != seen.values("etag"):
            yield f"{name}: {seen.text(name) or 'none'}, with {_shown(seen, 'etag')}"


@_rule(
    "invalid-token",
    "The challenge of session_expired for a token says error=invalid_token (contract, The codes; "
    "RFC 6750, 3.1).",
    of_body=True,
)
def _invalid_token(seen: Received) -> Iterator[str]:
    if seen.text("error") != "session_expired":
        return
    for challenge in seen.token_challenges:
        is_due = seen.has_credentials or challenge.error is not None
        if is_due and challenge.error != "invalid_token":
            yield f"error={challenge.error or ''} in {challenge.scheme}"


@_rule(
    "insufficient-scope",
    "insufficient_scope has a challenge of Bearer or DPoP with error=insufficient_scope "
    "(contract, The codes; RFC 6750, 3.1).",
    of_body=True,
)
def _insufficient_scope(seen: Received) -> Iterator[str]:
    errors = [challenge.error for challenge in seen.token_challenges]
    if seen.text("error") == "insufficient_scope" and "insufficient_scope" not in errors:
        yield _shown(seen, "www-authenticate")


# What no sentence for a client has in it. The names of exceptions count where they stand as Python
# prints them, or behind the name of a module that is no part of a URL; SQL as programs write it, in
# capitals. Nothing is read again from one place after another: the time is linear.
_EXCEPTIONS: Final = "|".join(name for name in vars(builtins) if name.endswith("Error"))
_LEAKS: Final = {
    "a traceback": r"Traceback \(most recent call last\)",
    "a line of a traceback": r'\bFile "[^"\n]+", line \d+'
    r"|\bat [^\s()]+ ?\([^\s()]*\.(?:java|kt|scala|groovy|[cm]?[jt]s):\d"
    r"|\bgoroutine \d+ \[|\.rb:\d+:in |\.cs:line \d"
    r"|\bthread '[^'\n]*' panicked at |\bStack trace:\s+#0",
    "a page of HTML": r"(?i)<!doctype html|<html[\s>]|</(?:html|body)>",
    "an exception": rf"\b(?:{_EXCEPTIONS})(?:\(|: )|\[Errno -?\d"
    r"|(?m:^)[A-Z]\w+(?:Error|Exception): |\b[A-Z]\w+(?:Error|Exception)\(['\"]",
    "an exception of a library": r"(?<![\w./#])(?:[a-z]\w*|System)(?:\.\w+)*\.[A-Z]\w*"
    r"(?:Error|Exception)\b|\bpsycopg2?\.errors\.[A-Z]",
    "a statement of SQL": r"\[SQL: |\bSELECT\s(?:(?!SELECT)[^;])*?\sFROM\s|\bINSERT INTO\s"
    r"|\bUPDATE\s+\S+\s+SET\s|\bDELETE FROM\s|(?i:\bselect\s+\*\s+from\s)",
    "an error of SQL": r"syntax error at or near|error in your SQL syntax|\bORA-\d{5}: "
    r"|duplicate key value violates|(?:UNIQUE|NOT NULL|CHECK|FOREIGN KEY) constraint failed",
    "the address of an object": r"\bat 0x[0-9A-Fa-f]{6,}>",
}


@_rule(
    "leak",
    "Nothing of the server's inside gets out: no traceback, exception, statement, address or page "
    "(contract, The codes: server_error has no details).",
    of_body=True,
)
def _leak(seen: Received) -> Iterator[str]:
    found = (
        (path, kind)
        for path, text in seen.texts()
        for kind, sign in _LEAKS.items()
        if re.search(sign, text)
    )
    yield from (f"{path}: {kind}" for path, kind in dict.fromkeys(found))


RULES: Final[Mapping[str, str]] = MappingProxyType(
    {name: rule.wanted for name, rule in _RULES.items()}
)
"""Every rule by its name: a sentence that says what the contract wants, with its source."""
