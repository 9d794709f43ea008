"""Hides the given credentials in what is printed of a service's answers."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from html.entities import codepoint2name
from typing import Final
from urllib.parse import unquote

__all__ = ["mask_of"]

# Characters. What is shorter stands in other words by chance.
_LONG_ENOUGH: Final = 4


def mask_of(headers: Sequence[tuple[str, str]]) -> Callable[[str], str]:
    """Make what puts asterisks over the values of headers: each as a whole, and what is in it.

    They are found in the forms that a service may give them back in; what it prints of them must
    not be shortened before.
    """
    parts = {part for _, value in headers for part in _parts(value)}
    secrets = {secret for part in parts for secret in (part, unquote(part)) if secret}
    longest_first = sorted(secrets, key=lambda secret: (-len(secret), secret))
    forms = "|".join(form for secret in longest_first for form in _forms(secret))
    # Without an alternative it is what never matches.
    return partial(re.compile(forms or "(?!)", re.IGNORECASE).sub, "***")


def _parts(value: str) -> Iterator[str]:
    """Give a header's value, and what is secret in it by itself: a token, a password, cookies."""
    yield value
    scheme, _, rest = value.partition(" ")
    yield rest.strip()
    # The pairs of cookies, and the parameters of Digest and of signatures.
    for separator in ";,":
        for pair in value.split(separator):
            yield pair.partition("=")[2].strip(' "=')
    if scheme.lower() == "basic":
        try:
            pair = base64.b64decode(rest).decode()
        except (binascii.Error, UnicodeDecodeError):
            return
        name, _, password = pair.partition(":")
        yield from (pair, name, password)


def _forms(secret: str) -> Iterator[str]:
    """Give a secret's forms as patterns: any of its characters may be escaped, or not.

    No character of a text can be read in two ways, or its next ones tell: the time is linear.
    """
    bound = "" if len(secret) >= _LONG_ENOUGH else r"\w"
    for escaped in (re.escape, _in_json, _in_url, _in_html):
        form = "".join(map(escaped, secret))
        yield f"(?<!{bound}){form}(?!{bound})" if bound else form


def _in_json(character: str) -> str:
    r"""Give a character as JSON has it (RFC 8259, 7), or JSON in JSON: `=`, `\u003d`, `\\u003d`."""
    units = character.encode("utf-16-be").hex()
    escaped = "".join(rf"\\{{1,4}}u{units[i : i + 4]}" for i in range(0, len(units), 4))
    return f"(?:{_PLAIN_IN_JSON.get(character) or re.escape(character)}|{escaped})"


_PLAIN_IN_JSON: Final = {"\\": r"\\\\", '"': r'\\{1,4}"', "/": r"\\{0,4}/"}


def _in_url(character: str) -> str:
    """Give a character as URLs and forms have it, or a URL in a URL: `=`, `%3d`, `%253d`."""
    escaped = "".join(f"%(?:25)?{byte:02x}" for byte in character.encode())
    plain = {"%": "", " ": r"[ +]|"}.get(character, f"{re.escape(character)}|")
    return f"(?:{plain}{escaped})"


def _in_html(character: str) -> str:
    number = ord(character)
    name = _NAMES_IN_HTML.get(number, f"#{number}")
    plain = "" if character == "&" else f"{re.escape(character)}|"
    return f"(?:{plain}&(?:#0{{0,6}}{number}|#x0{{0,6}}{number:x}|{name});)"


_NAMES_IN_HTML: Final = {**codepoint2name, ord("'"): "apos"}
