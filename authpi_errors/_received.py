"""An error response that was received, read for the rules that it is held to.

Reading is strict, as senders are to be held to what a standard lets them send, not to what it asks
of recipients. It never fails: what can't be read is itself something that a rule looks at.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, NoReturn

from authpi_errors._registry import ErrorRegistry
from authpi_errors._validation import is_list, is_mapping
from authpi_errors.codes import ErrorCode

__all__ = ["Received", "ReceivedChallenge", "Response", "kind_of"]


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


class ReceivedChallenge(NamedTuple):
    """A challenge that was received: parameters by their names in lower case, values unquoted."""

    scheme: str
    parameters: tuple[tuple[str, str], ...]

    @property
    def error(self) -> str | None:
        return dict(self.parameters).get("error")


class Received:
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
    def code(self) -> ErrorCode | None:
        """The code that `error` names, where it is one that is known."""
        return self.registry.codes.get(self.text("error") or "")

    def texts(self) -> Iterator[tuple[str, str]]:
        """Walk through all strings of the body, names too, each with the member it stands in."""
        for name, member in self.members.items():
            waiting: list[object] = [name, member]
            while waiting:
                value = waiting.pop()
                if isinstance(value, str):
                    yield name, value
                elif is_list(value):
                    waiting += value
                elif is_mapping(value):
                    waiting += [*value.keys(), *value.values()]

    @property
    def token_challenges(self) -> list[ReceivedChallenge]:
        """The challenges whose parameters are those of RFC 6750, 3 (for DPoP: RFC 9449, 7.1)."""
        return [each for each in self.challenges if each.scheme.lower() in ("bearer", "dpop")]


def _read(seen: Received) -> Mapping[str, object] | str:
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
    return document if is_mapping(document) else f"a JSON {kind_of(document)}"


# A body that unpacks to more than this is no error's; a small one can unpack to gigabytes.
_LONGEST_BODY: Final = 2**20


def _decoded(seen: Received) -> bytes:
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
# empty (5.6.1.1), and puts no space around the sign of equality (5.6.3). There is one way
# to read each character, and none is read twice (`*+`): the time is linear. What repeats a group is
# not possessive: Python up to 3.11.4 matches such wrongly.
_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
# Bytes beyond ASCII may have been read as UTF-8.
_UNESCAPED: Final = r"[\t !#-\[\]-~\x80-\U0010ffff]*+"
_QUOTED: Final = rf'"{_UNESCAPED}(?:\\[\t -~\x80-\U0010ffff]{_UNESCAPED})*"'
_COMMA: Final = r"[ \t]*,[ \t]*"
_PLAIN_ITEM: Final = rf'(?:[^,"]++|{_QUOTED})+'
_ITEM: Final = re.compile(_PLAIN_ITEM)
_LIST: Final = re.compile(rf"{_PLAIN_ITEM}(?:,{_PLAIN_ITEM})*")

# RFC 9110, 11.2 and 11.6.1: a scheme, and after it parameters or a token68. This is not
# `parse_challenges`: that takes what recipients are to take, a checker only what senders may send.
_PARAMETER: Final = rf"{_WORD}=(?:{_WORD}|{_QUOTED})"
_CHALLENGE: Final = re.compile(
    rf"({_WORD})(?: +(?:({_PARAMETER}(?:{_COMMA}{_PARAMETER})*)|[A-Za-z0-9._~+/-]+=*))?"
    rf"(?:{_COMMA}(?=[^ \t])|\Z)"
)
_PARTS: Final = re.compile(rf"({_WORD})=({_WORD}|{_QUOTED})")


def _challenges(value: str) -> list[ReceivedChallenge]:
    """Parse the challenges of a field; none if it does not follow the grammar."""
    challenges: list[ReceivedChallenge] = []
    position = 0
    while position < len(value):
        found = _CHALLENGE.match(value, position)
        if found is None:
            return []
        position = found.end()
        parts: list[tuple[str, str]] = _PARTS.findall(found[2] or "")
        parameters = tuple((name.lower(), _unquoted(text)) for name, text in parts)
        challenges.append(ReceivedChallenge(found[1], parameters))
    return challenges


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text


def kind_of(value: object) -> str:
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
