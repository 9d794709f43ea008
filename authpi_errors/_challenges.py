"""Challenges: what `WWW-Authenticate` says, written, read and merged (RFC 9110, 11.6.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from starlette.types import Scope

from authpi_errors._headers import is_token

__all__ = ["Challenge", "has_credentials", "merge", "parse_challenges", "scheme_of_token"]

# RFC 6750, 3: what `error_description`, `error` and `scope` must not contain.
_NOT_IN_BEARER: Final = re.compile(r"[^\x20\x21\x23-\x5b\x5d-\x7e]")
_NOT_IN_QUOTES: Final = re.compile(r"[^\t\x20-\x7e\x80-\xff]")
_BEARER_PARAMETERS: Final = frozenset({"error", "error_description", "scope"})
# Proxies refuse a field of some kilobytes, and with it the whole response.
_LONGEST_DESCRIPTION: Final = 400
_ERROR_PARAMETERS: Final = frozenset({"error", "error_description", "error_uri"})

# RFC 9110, 11.2 and 11.3. Lists may have empty members (5.6.1.2). There is one way to read each
# character, and none is read twice (`*+`): the time is linear. What repeats a group is not
# possessive: Python up to 3.11.4 matches such wrongly.
_NAME: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_VALUE: Final = rf'(?:{_NAME}|"[^"\\]*+(?:\\.[^"\\]*+)*")'
_PARAMETER: Final = re.compile(rf"({_NAME})[ \t]*+=[ \t]*+({_VALUE})")
_PLAIN_PARAMETER: Final = rf"{_NAME}[ \t]*+=[ \t]*+{_VALUE}"
_COMMA: Final = r"[ \t]*+,[ \t,]*+"
_PARAMETERS: Final = rf"{_PLAIN_PARAMETER}(?:{_COMMA}{_PLAIN_PARAMETER})*"
_CHALLENGE: Final = re.compile(rf"({_NAME})(?: ++({_PARAMETERS}))?")
_PLAIN_CHALLENGE: Final = rf"{_NAME}(?: ++{_PARAMETERS})?"
_CHALLENGES: Final = re.compile(
    rf"[ \t,]*+{_PLAIN_CHALLENGE}(?:{_COMMA}{_PLAIN_CHALLENGE})*[ \t,]*+"
)
_TOKEN_CHALLENGE: Final = re.compile(rf"({_NAME}) ++[A-Za-z0-9._~+/-]++=*+")
_ESCAPED: Final = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One challenge of `WWW-Authenticate`: RFC 9110, 11.6.1.

    Attributes:
        scheme: The authentication scheme, such as `"Bearer"` or `"Basic"`.
        parameters: Its parameters by name, such as `realm`, or `resource_metadata` of RFC 9728.
            Values are quoted as they are sent; characters that can't be are replaced.

    Raises:
        ValueError: The scheme or the name of a parameter is not a token (RFC 9110, 5.6.2), a
            parameter is there twice, or a value is not a string.

    Example:
        >>> str(Challenge("Bearer", {"realm": "core"}))
        'Bearer realm="core"'
    """

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        """Refuse what would not be a challenge."""
        if not isinstance(self.parameters, Mapping):
            raise ValueError(
                f"The parameters of a {self.scheme!r} challenge are {self.parameters!r}: use a "
                "mapping, as in Challenge('Bearer', {'realm': 'core'})."
            )
        for token in (self.scheme, *self.parameters):
            if not is_token(token):
                raise ValueError(
                    f"{token!r} in a challenge is not a token: use letters, digits and hyphens, "
                    "as in Challenge('Bearer', {'realm': 'core'})."
                )
        names = {name.lower() for name in self.parameters}
        if len(names) < len(self.parameters):
            # RFC 9110, 11.2.
            raise ValueError(
                f"A parameter of a {self.scheme} challenge is given twice, in "
                f"{[*self.parameters]!r}: keep one; their names have no case."
            )
        for name, value in self.parameters.items():
            if not isinstance(value, str):
                raise ValueError(
                    f"The parameter {name!r} of a {self.scheme} challenge is {value!r}: use a "
                    "string."
                )
        # Not what a subclass, such as an enum of strings, makes of them.
        given = self.parameters.items()
        parameters = {str.__str__(name): str.__str__(value) for name, value in given}
        object.__setattr__(self, "scheme", str.__str__(self.scheme))
        object.__setattr__(self, "parameters", MappingProxyType(parameters))

    def __hash__(self) -> int:
        """Hash by value."""
        return hash((self.scheme, frozenset(self.parameters.items())))

    def __reduce__(self) -> tuple[type[Challenge], tuple[str, dict[str, str]]]:
        """Copy and pickle by value."""
        return Challenge, (self.scheme, dict(self.parameters))

    @property
    def takes_tokens(self) -> bool:
        """Whether the scheme says `error` and `scope` as RFC 6750 does (DPoP: RFC 9449, 7.1)."""
        return self.scheme.lower() in ("bearer", "dpop")

    def with_parameters(self, parameters: Mapping[str, str]) -> Challenge:
        """Give this challenge with parameters added, or put in the place of its own."""
        # RFC 9110, 11.2: their names have no case.
        given = {name.lower() for name in parameters}
        own = {name: value for name, value in self.parameters.items() if name.lower() not in given}
        return Challenge(self.scheme, {**own, **parameters})

    def without_error(self) -> Challenge:
        """Give the bare challenge, for a request without credentials (RFC 6750, 3.1)."""
        return Challenge(
            self.scheme,
            {
                name: value
                for name, value in self.parameters.items()
                if name.lower() not in _ERROR_PARAMETERS
            },
        )

    def __str__(self) -> str:
        """Write the challenge as it is sent."""
        written = ((name, _quotable(name, value)) for name, value in self.parameters.items())
        # RFC 6750, 3: its own parameters say something, or are not there.
        parameters = ", ".join(
            f'{name}="{text}"' for name, text in written if text or not _is_of_bearer(name)
        )
        return f"{self.scheme} {parameters}" if parameters else self.scheme


def _is_of_bearer(name: str) -> bool:
    return name.lower() in _BEARER_PARAMETERS


def _quotable(name: str, value: str) -> str:
    """Make a value fit for its quotes: RFC 9110, 5.6.4, and RFC 6750, 3 for its parameters."""
    if _is_of_bearer(name):
        value = value.replace('"', "'").replace("\\", "/")
        value = _NOT_IN_BEARER.sub(_substitute, value)
        if name.lower() == "scope":
            return " ".join(value.split())
        return value[:_LONGEST_DESCRIPTION] if name.lower() == "error_description" else value
    value = _NOT_IN_QUOTES.sub(_substitute, value)
    return value.replace("\\", "\\\\").replace('"', '\\"')


def _substitute(character: re.Match[str]) -> str:
    return " " if character.group().isspace() else "?"


def parse_challenges(value: str) -> list[Challenge] | None:
    """Read the challenges of a `WWW-Authenticate` field.

    Args:
        value: The field's value; of several lines, what they are with commas between.

    Returns:
        The challenges; `None` if the value is malformed, or has a `token68` in it, as `Negotiate`
        has, which is no parameter.
    """
    if not _CHALLENGES.fullmatch(value):
        return None
    challenges: list[Challenge] = []
    for found in _CHALLENGE.finditer(value):
        pairs = _PARAMETER.findall(found[2] or "")
        if len({name.lower() for name, _ in pairs}) < len(pairs):
            # RFC 9110, 11.2: a parameter occurs once.
            return None
        challenges.append(Challenge(found[1], {name: _unquoted(text) for name, text in pairs}))
    return challenges


def scheme_of_token(value: str) -> str | None:
    """Give the scheme of a challenge that has a `token68` (RFC 9110, 11.2), if this is one."""
    found = _TOKEN_CHALLENGE.fullmatch(value)
    return found[1] if found else None


def _unquoted(text: str) -> str:
    return _ESCAPED.sub(r"\1", text[1:-1]) if text.startswith('"') else text


def merge(given: Sequence[Challenge], offered: Iterable[Challenge]) -> list[Challenge]:
    """Merge the challenges that somebody gave with those that the application offers.

    Args:
        given: They come first, and what their parameters say stands.
        offered: They add the parameters that those of the same scheme lack, and the schemes that
            are missing.
    """
    waiting = list(offered)
    merged: list[Challenge] = []
    for challenge in given:
        own = next((other for other in waiting if _same_scheme(other, challenge)), None)
        if own is None:
            merged.append(challenge)
        else:
            waiting.remove(own)
            merged.append(own.with_parameters(challenge.parameters))
    return [*merged, *waiting]


def _same_scheme(one: Challenge, other: Challenge) -> bool:
    return one.scheme.lower() == other.scheme.lower()


def has_credentials(scope: Scope) -> bool:
    """Say whether a request has credentials, in any of the places where they are sent.

    These are `Authorization` (RFC 9110, 11.6.2), a cookie, in which a session may be, and
    `access_token` in the query (RFC 6750, 2.3). Beside those of the standards there are the usual
    names of tokens and keys in other headers and in the query.
    """
    for name, _ in scope.get("headers", ()):
        if name in _CREDENTIALS:
            return True
    return _IN_QUERY.search(scope.get("query_string", b"")) is not None


_CREDENTIALS: Final = frozenset(
    b"""
    authorization cookie
    api-key apikey auth-token session-id session-token token
    x-access-token x-api-key x-api-token x-auth x-auth-key x-auth-token x-authorization
    x-session x-session-id x-session-token x-token
    """.split()
)
_IN_QUERY: Final = re.compile(
    rb"access_token=|(?:^|&)(?:(?:api|auth|session)_?)?token=|(?:^|&)api_?key=", re.IGNORECASE
)
