"""Is an error response what AuthPI's contract says? Below is the contract as a page of rules.

Each rule is a sentence with its source, and a function that finds what breaks it. `check` asks all
of them. It is pure and total: it does no I/O and raises nothing, whatever a response holds.
"""

from __future__ import annotations

import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple, NoReturn

from authpi_errors._headers import entity_tag, is_media_range
from authpi_errors._registry import ErrorRegistry
from authpi_errors._validation import is_list, is_mapping
from authpi_errors.codes import INVALID_REQUEST, SERVER_ERROR, fallback, is_error_status

__all__ = ["RULES", "Response", "Violation", "check"]


@dataclass(frozen=True, slots=True)
class Response:
    """A response as it was received, and what the rules must know of its request.

    Attributes:
        status: The HTTP status.
        headers: Names, in any case, and values; a field that was sent twice is there twice.
        body: The content, in bytes; compressed or not, if `Content-Encoding` says gzip or deflate.
        method: The method of the request.
        has_credentials: Whether the request had credentials, such as in `Authorization`; `None` if
            that is not known.
    """

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes
    method: str = "GET"
    has_credentials: bool | None = None


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
    if response.status < 400:
        return []
    seen = _Seen(response, _CONTRACT if registry is None else registry)
    return [
        Violation(name, _printable(found), RULES[name])
        for name, rule in _RULES.items()
        if seen.has_members or not rule.of_body
        for found in rule.breaches(seen)
    ]


# What the contract alone knows.
_CONTRACT: Final = ErrorRegistry()


# What the rules look at.


class _Challenge(NamedTuple):
    """A challenge that was received: parameters by their names in lower case, values unquoted."""

    scheme: str
    parameters: tuple[tuple[str, str], ...]

    @property
    def error(self) -> str | None:
        return dict(self.parameters).get("error")


class _Seen:
    """A response, read once for all rules.

    Attributes:
        members: The members of the body; none if it is no JSON object, or need not be.
        fault: Why it is none, if it should be one.
        challenges: Those of `WWW-Authenticate`, as far as they follow the grammar.
        unreadable: The values of `WWW-Authenticate` that do not.
    """

    def __init__(self, response: Response, registry: ErrorRegistry) -> None:
        self.status = min(response.status, 600)
        self.method = response.method
        self.is_head = response.method == "HEAD"
        self.has_credentials = response.has_credentials
        self.body = response.body
        self.registry = registry
        self._headers = response.headers
        read: Mapping[str, object] | str = {} if self.is_head else _read(self)
        self.members: Mapping[str, object] = {} if isinstance(read, str) else read
        self.fault = read if isinstance(read, str) else None
        self.has_members = not self.is_head and self.fault is None
        parsed = {value: _challenges(value) for value in self.values("www-authenticate")}
        self.challenges = [each for found in parsed.values() for each in found]
        self.unreadable = [value for value, found in parsed.items() if not found]

    def values(self, name: str) -> list[str]:
        """Give the values of a header, one for each field."""
        return [value.strip(" \t") for key, value in self._headers if key.lower() == name]

    def listed(self, name: str) -> list[str] | None:
        """Give the items of a header that is a list (RFC 9110, 5.3); `None` if it is none."""
        joined = ",".join(self.values(name))
        if joined and not _LIST.fullmatch(joined):
            return None
        return [item.strip(" \t") for item in _ITEM.findall(joined)]

    def text(self, name: str) -> str | None:
        """Give a member that is a string."""
        value = self.members.get(name)
        return value if isinstance(value, str) else None

    @property
    def token_challenges(self) -> list[_Challenge]:
        """The challenges whose parameters are those of RFC 6750, 3 (for DPoP: RFC 9449, 7.1)."""
        return [each for each in self.challenges if each.scheme.lower() in ("bearer", "dpop")]


def _read(seen: _Seen) -> Mapping[str, object] | str:
    """Read the body: its members, or what is wrong with it, without a word of it."""
    try:
        document: object = json.loads(
            _decoded(seen).decode(), object_pairs_hook=_unique, parse_constant=_no_constant
        )
    except UnicodeDecodeError:
        return "not UTF-8"
    except RecursionError:
        return "nested too deep"
    except zlib.error:
        return "not compressed as it says"
    except ValueError as fault:
        return f"not JSON: {fault}"
    return document if is_mapping(document) else f"a JSON {_kind(document)}"


# A body that unpacks to more than this is no error's; a small one can unpack to gigabytes.
_LONGEST_BODY: Final = 2**20


def _decoded(seen: _Seen) -> bytes:
    """Undo the content coding (RFC 9110, 8.4.1), unless the client has done so."""
    coding = ",".join(seen.values("content-encoding")).lower()
    if coding not in ("gzip", "x-gzip", "deflate") or seen.body.startswith(b"{"):
        return seen.body
    # 32 more than the size of the window: with either kind of header.
    return zlib.decompressobj(zlib.MAX_WBITS + 32).decompress(seen.body, _LONGEST_BODY)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a member is there twice")
    return members


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is none of its values")


# RFC 9110, 5.6: tokens, quoted strings, and the comma of lists. A sender leaves no item of a list
# empty (5.6.1.1), and puts no space around the sign of equality (5.6.3). Nothing is read twice
# (`*+`): the time is linear.
_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED: Final = r'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*+"'
_COMMA: Final = r"[ \t]*,[ \t]*"
_PLAIN_ITEM: Final = rf'(?:[^,"]|{_QUOTED})++'
_ITEM: Final = re.compile(_PLAIN_ITEM)
_LIST: Final = re.compile(rf"{_PLAIN_ITEM}(?:,{_PLAIN_ITEM})*+")

# RFC 9110, 11.2 and 11.6.1: a scheme, and after it parameters or a token68. This is not
# `parse_challenges`: that takes what recipients are to take, a checker only what senders may send.
_PARAMETER: Final = rf"{_WORD}=(?:{_WORD}|{_QUOTED})"
_CHALLENGE: Final = re.compile(
    rf"({_WORD})(?: +(?:({_PARAMETER}(?:{_COMMA}{_PARAMETER})*)|[A-Za-z0-9._~+/-]+=*))?"
    rf"(?:{_COMMA}(?=[^ \t])|\Z)"
)
_PARTS: Final = re.compile(rf"({_WORD})=({_WORD}|{_QUOTED})")


def _challenges(value: str) -> list[_Challenge]:
    """Parse the challenges of a field; none if it does not follow the grammar."""
    challenges: list[_Challenge] = []
    position = 0
    while position < len(value):
        found = _CHALLENGE.match(value, position)
        if found is None:
            return []
        position = found.end()
        parts: list[tuple[str, str]] = _PARTS.findall(found[2] or "")
        parameters = tuple((name.lower(), _unquoted(text)) for name, text in parts)
        challenges.append(_Challenge(found[1], parameters))
    return challenges


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text


def _delay(value: str) -> str | None:
    """Give the digits of a delay without zeros in front; `None` if they are none."""
    return (value.lstrip("0") or "0") if re.fullmatch("[0-9]+", value) else None


def _kind(value: object) -> str:
    """Name the type of a value as JSON does."""
    return next(name for name, kind in _KINDS.items() if isinstance(value, kind))


# Booleans before integers: in Python they are some.
_KINDS: Final[Mapping[str, type]] = {
    "boolean": bool,
    "integer": int,
    "number": float,
    "string": str,
    "array": list,
    "object": dict,
    "null": type(None),
}


def _printable(text: str) -> str:
    """Show what was found in a short line."""
    # No character is shown as less than one.
    shown = text[: _LONGEST_FOUND + 1].encode("unicode_escape").decode()
    return shown if len(shown) <= _LONGEST_FOUND else f"{shown[: _LONGEST_FOUND - 3]}..."


_LONGEST_FOUND: Final = 160


# The rules.


_Breaches = Callable[[_Seen], Iterator[str]]


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


def _single(seen: _Seen, name: str, pattern: str) -> Iterator[str]:
    """Find a header that is not there exactly once, in the form of a pattern."""
    values = seen.values(name)
    if len(values) != 1 or not re.fullmatch(pattern, values[0], re.IGNORECASE):
        yield _shown(seen, name)


def _shown(seen: _Seen, name: str) -> str:
    return " and ".join(f"{name}: {value}" for value in seen.values(name)) or f"no {name}"


@_rule("status", "The status of an error is one from 400 to 599 (RFC 9110, 15).")
def _status(seen: _Seen) -> Iterator[str]:
    if not is_error_status(seen.status):
        yield "600 or more"


@_rule(
    "content-type",
    "Content-Type is application/json, with no parameter but charset=utf-8 (contract, The body).",
)
def _content_type(seen: _Seen) -> Iterator[str]:
    charset = r'[ \t]*;[ \t]*charset=(utf-8|"utf-8")'
    yield from _single(seen, "content-type", f"application/json({charset})?")


@_rule(
    "content-length",
    "Content-Length is the length of the body in bytes, unless there is Transfer-Encoding "
    "(RFC 9110, 8.6).",
)
def _content_length(seen: _Seen) -> Iterator[str]:
    # A client that undoes a content coding leaves the length as it was.
    is_unknown = seen.is_head or seen.values("content-encoding")
    length = "[1-9][0-9]*" if is_unknown else str(len(seen.body))
    if not seen.values("transfer-encoding"):
        for found in _single(seen, "content-length", f"0*{length}"):
            yield f"{found}, with {len(seen.body)} bytes"


@_rule("head", "The answer to HEAD has no body (RFC 9110, 9.3.2).")
def _head(seen: _Seen) -> Iterator[str]:
    if seen.is_head and seen.body:
        yield f"{len(seen.body)} bytes"


@_rule(
    "cache-control",
    "Cache-Control says no-store where authentication failed (contract, OAuth 2.0), and something "
    "on any other error: caches may keep one that says nothing (RFC 9111, 4.2.2).",
)
def _cache_control(seen: _Seen) -> Iterator[str]:
    directives = [directive.lower() for directive in seen.listed("cache-control") or ()]
    is_of_credentials = seen.status == 401 or seen.values("www-authenticate")
    if not directives or (is_of_credentials and "no-store" not in directives):
        yield _shown(seen, "cache-control")


@_rule(
    "retry-after",
    "Retry-After is a whole number of seconds, never a date (contract, What the official SDK "
    "does; RFC 9110, 10.2.3).",
)
def _retry_after(seen: _Seen) -> Iterator[str]:
    if seen.values("retry-after"):
        yield from _single(seen, "retry-after", "[0-9]+")


@_rule(
    "allow",
    "A 405 has Allow, the list of methods that the resource takes; the request's is none of them "
    "(RFC 9110, 10.2.1 and 15.5.6).",
)
def _allow(seen: _Seen) -> Iterator[str]:
    if seen.status != 405:
        return
    methods = seen.listed("allow") if seen.values("allow") else None
    if methods is None or not all(re.fullmatch(_WORD, method) for method in methods):
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
def _accept(seen: _Seen) -> Iterator[str]:
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
def _etag(seen: _Seen) -> Iterator[str]:
    tags = seen.values("etag")
    is_one = len(tags) == 1 and entity_tag(tags[0]) == tags[0]
    if seen.status == 412 and tags and not is_one:
        yield _shown(seen, "etag")


@_rule(
    "www-authenticate",
    "A 401 has WWW-Authenticate (contract, The codes; RFC 9110, 15.5.2).",
)
def _www_authenticate(seen: _Seen) -> Iterator[str]:
    if seen.status == 401 and not seen.values("www-authenticate"):
        yield "no www-authenticate"


@_rule(
    "challenge",
    'WWW-Authenticate holds challenges, such as Bearer realm="api", none with a parameter twice '
    "(RFC 9110, 11.2 and 11.6.1).",
)
def _challenge(seen: _Seen) -> Iterator[str]:
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
def _challenge_characters(seen: _Seen) -> Iterator[str]:
    for scheme, parameters in seen.token_challenges:
        for name, value in parameters:
            if not re.fullmatch(_BEARER_PARAMETERS.get(name, ".*"), value):
                yield f"{name}={value} in {scheme}"


@_rule(
    "challenge-error",
    "A 401 for a request without credentials has no error in its challenges (RFC 6750, 3.1). It "
    "is unauthorized_client; session_expired is for credentials that were sent.",
)
def _challenge_error(seen: _Seen) -> Iterator[str]:
    if seen.status == 401 and seen.has_credentials is False:
        errors = ((each.scheme, each.error) for each in seen.token_challenges)
        yield from (f"error={error} in {scheme}" for scheme, error in errors if error is not None)


@_rule(
    "json",
    "The body is one JSON object in UTF-8, in which no name is there twice (contract, The body; "
    "RFC 8259, 4 and 8.1).",
)
def _json(seen: _Seen) -> Iterator[str]:
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
def _required(seen: _Seen) -> Iterator[str]:
    if missing := [name for name in _ALWAYS if name not in seen.members]:
        yield f"no {', '.join(missing)}"


@_rule(
    "types",
    "Members have the contract's types, and are left out rather than null: retryable is a "
    "boolean, retry_after an integer, fields an array, any other a string (contract, The body).",
    of_body=True,
)
def _types(seen: _Seen) -> Iterator[str]:
    for name, kind in _TYPES.items():
        if name in seen.members and (found := _kind(seen.members[name])) != kind:
            yield f"{name}: {found}"


@_rule(
    "order",
    f"The contract's members come first, in its order: {', '.join(_TYPES)} (contract, The body).",
    of_body=True,
)
def _order(seen: _Seen) -> Iterator[str]:
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
def _text(seen: _Seen) -> Iterator[str]:
    for name in ("error_description", "reference"):
        if (text := seen.text(name)) is not None and not text.strip():
            yield f"{name}: nothing"
    found = (path for path, text in _texts(seen.members) if re.search("[\ud800-\udfff]", text))
    # Once each: a list can have thousands.
    yield from (f"{path}: a lone surrogate" for path in dict.fromkeys(found))


@_rule(
    "code",
    "error is one of AuthPI's codes, or one that the application's registry has, as in "
    "ErrorRegistry(codes=[ErrorCode('quota_exhausted', 402, '...')]) (contract, The codes).",
    of_body=True,
)
def _code(seen: _Seen) -> Iterator[str]:
    code = seen.text("error")
    if code is not None and code not in seen.registry.codes:
        yield f"error: {code}"


@_rule(
    "code-status",
    "error goes with the status: it is the code of that status, or the status has no code of its "
    "own and both are of the same class, 4xx or 5xx (contract, The codes).",
    of_body=True,
)
def _code_status(seen: _Seen) -> Iterator[str]:
    code = seen.registry.codes.get(seen.text("error") or "")
    if code is None or not is_error_status(seen.status):
        return
    usual = fallback(seen.status).value
    is_free = usual in (INVALID_REQUEST.value, SERVER_ERROR.value)
    is_of_class = code.status // 100 == seen.status // 100
    is_of_status = code.status == seen.status or code.value == usual
    is_registered = code.value == seen.registry.code_for(seen.status).value
    if not (is_of_status or is_registered or (is_free and is_of_class)):
        yield f"{code.value} with {seen.status}, which means {usual}"


@_rule(
    "retryable",
    "retryable is true where retry_after says when to come back, and false on a 412: unchanged, "
    "the request fails again (contract, The body; ETags and If-Match).",
    of_body=True,
)
def _retryable(seen: _Seen) -> Iterator[str]:
    retryable = seen.members.get("retryable")
    if retryable is False and "retry_after" in seen.members:
        yield "false, beside retry_after"
    if retryable is True and seen.status == 412:
        yield "true, on a 412"


@_rule(
    "retry-after-member",
    "retry_after is an integer of 0 or more, the same as Retry-After; neither is there without "
    "the other (contract, The body).",
    of_body=True,
)
def _retry_after_member(seen: _Seen) -> Iterator[str]:
    member = seen.members.get("retry_after")
    said = [str(member)] if isinstance(member, int) else []
    if said != [_delay(value) for value in seen.values("retry-after")]:
        yield f"retry_after: {' '.join(said) or 'none'}, with {_shown(seen, 'retry-after')}"


_FIELD: Final = {"field": "string", "code": "string", "message": "string"}


@_rule(
    "fields",
    "fields is not empty; each item has field, code and message, which are strings, and nothing "
    "else; only a 400 or a 422 has it (contract, The body).",
    of_body=True,
)
def _fields(seen: _Seen) -> Iterator[str]:
    fields = seen.members.get("fields")
    if not is_list(fields):
        return
    if not fields or seen.status not in (400, 422):
        yield f"{len(fields)} fields on a {seen.status}"
    for index, item in enumerate(fields):
        kinds = {name: _kind(item[name]) for name in item} if is_mapping(item) else None
        if kinds != _FIELD:
            yield f"fields[{index}]: {_kind(item) if kinds is None else kinds}"


@_rule(
    "current-etag",
    "A 412, and no other error, has current_etag and currentETag: both the same as ETag, or all "
    "three left out (contract, The body; RFC 9110, 13.1.1).",
    of_body=True,
)
def _current_etag(seen: _Seen) -> Iterator[str]:
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
def _invalid_token(seen: _Seen) -> Iterator[str]:
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
def _insufficient_scope(seen: _Seen) -> Iterator[str]:
    errors = [challenge.error for challenge in seen.token_challenges]
    if seen.text("error") == "insufficient_scope" and "insufficient_scope" not in errors:
        yield _shown(seen, "www-authenticate")


# What no sentence for a client has in it. The names of exceptions count where they stand as Python
# prints them, or behind the name of a library.
_LEAKS: Final = {
    "a traceback": r"Traceback \(most recent call last\)",
    "a line of a traceback": r'\bFile "[^"\n]+", line \d+',
    "a page of HTML": r"(?i)<!doctype html|<html[\s>]|</(?:html|body)>",
    "an exception": r"\b(?:Assertion|Attribute|Index|Key|Lookup|Name|OS|Recursion|Runtime|Type|"
    r"UnicodeDecode|UnicodeEncode|Value|ZeroDivision)Error(?:\(|: )",
    "an exception of a library": r"\b(?:aiohttp|asyncpg|botocore|django|httpx2?|psycopg2?|"
    r"pydantic(?:_core)?|pymongo|pymysql|redis|requests|sqlalchemy|sqlite3|starlette|urllib3)"
    r"\.(?:\w+\.){0,9}[A-Z]\w*(?:Error|Exception)\b",
    "a statement of SQL": r"\[SQL: ",
    "the address of an object": r"\bat 0x[0-9A-Fa-f]{6,}>",
}


@_rule(
    "leak",
    "Nothing of the server's inside gets out: no traceback, exception, statement, address or page "
    "(contract, The codes: server_error has no details).",
    of_body=True,
)
def _leak(seen: _Seen) -> Iterator[str]:
    found = (
        (path, kind)
        for path, text in _texts(seen.members)
        for kind, sign in _LEAKS.items()
        if re.search(sign, text)
    )
    yield from (f"{path}: {kind}" for path, kind in dict.fromkeys(found))


def _texts(members: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Walk through all strings of the body, names too, each with the member that it stands in."""
    for name, member in members.items():
        waiting: list[object] = [name, member]
        while waiting:
            value = waiting.pop()
            if isinstance(value, str):
                yield name, value
            elif is_list(value):
                waiting += value
            elif is_mapping(value):
                waiting += [*value.keys(), *value.values()]


RULES: Final[Mapping[str, str]] = MappingProxyType(
    {name: rule.wanted for name, rule in _RULES.items()}
)
"""Every rule by its name: a sentence that says what the contract wants, with its source."""
