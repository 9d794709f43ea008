"""Header fields: what goes into them safely, and what the contract's fields look like.

Nothing here raises on account of a value: what can't stand in a header gives `None`, and whoever
asked leaves it out.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final, Protocol, TypeGuard

from starlette.datastructures import Headers

__all__ = [
    "HasHeaders",
    "Header",
    "delay_seconds",
    "encode",
    "entity_tag",
    "is_media_range",
    "is_token",
]


class HasHeaders(Protocol):
    """A Starlette or FastAPI `Request`, or whatever has headers as it does."""

    @property
    def headers(self) -> Headers:
        """Its fields, by name; those that come in several lines by `getlist`."""
        ...


Header = tuple[bytes, bytes]
"""A field as ASGI has it: the name in lower case, the value."""

# RFC 9110, 5.6.2 (token) and 5.5 (field-value: no control character but the tab).
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
# RFC 9110, 8.8.3: an entity tag, and the characters in its quotes.
_ENTITY_TAG: Final = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_OPAQUE_TAG: Final = re.compile(r"[\x21\x23-\x7e\x80-\xff]+")
# RFC 9110, 5.6.4: a quoted string.
_UNESCAPED: Final = r"[\t !#-\[\]-~\x80-\xff]*+"
_QUOTED: Final = rf'"{_UNESCAPED}(\\[\t -~\x80-\xff]{_UNESCAPED})*"'
# RFC 9110, 12.5.1 and 5.6.6: a media type, or all of a kind, and parameters, which can be empty. No
# type has an asterisk in its name (RFC 6838, 4.2): what is to stand for some subtypes, such as
# `*+json`, stands for none. No space is read twice (`*+`): the time is linear.
_NAME: Final = _TOKEN.pattern.replace("*", "")
_MEDIA_RANGE: Final = re.compile(
    rf"(\*/\*|{_NAME}/(\*|{_NAME}))"
    rf"([ \t]*+;[ \t]*+({_TOKEN.pattern}=({_TOKEN.pattern}|{_QUOTED}))?)*"
)
# What Python writes for a delay that is a float.
_FRACTION: Final = re.compile(r"-?[0-9]{1,20}\.[0-9]{1,40}(e-[0-9]{1,3})?|-?[0-9]e-[0-9]{1,3}")
# RFC 9111, 1.2.2: recipients need not count further than this.
_LONGEST_DELAY: Final = 2**31 - 1


def encode(name: object, value: object) -> Header | None:
    """Make an ASGI header of a name and a value, or `None` if they can't be sent.

    The name may be `str` or `bytes`; the value a number too, as in `{"Retry-After": 5}`.
    """
    name_text = _text(name)
    value_text = _text(value)
    if name_text is None or value_text is None:
        return None
    # White space around a value is not part of it: RFC 9110, 5.5.
    value_text = value_text.strip(" \t")
    if not _TOKEN.fullmatch(name_text) or not _FIELD_VALUE.fullmatch(value_text):
        return None
    return name_text.lower().encode("latin-1"), value_text.encode("latin-1")


def _text(part: object) -> str | None:
    if isinstance(part, str):
        # Not what a subclass, such as an enum of strings, makes of it.
        return str.__str__(part)
    if isinstance(part, bytes):
        return part.decode("latin-1")
    if isinstance(part, int | float):
        try:
            return str(part)
        except ValueError:
            # More digits than Python converts.
            return None
    return None


def delay_seconds(value: object) -> int | None:
    """Turn a delay into the whole seconds of `Retry-After` (RFC 9110, 10.2.3), rounded up.

    Args:
        value: Seconds as a number or as the text of one, a `timedelta`, or an HTTP-date.

    Returns:
        Seconds from 0 to 2147483647; 0 where the moment has passed: for a negative number, too, as
        `reset - time.time()` easily is. `None` if the value is no such delay: infinite, not a
        number, or something else.
    """
    if isinstance(value, str):
        text = str.__str__(value).strip()
        if _FRACTION.fullmatch(text):
            return delay_seconds(float(text))
        return _digits(text) if text.removeprefix("-").isdecimal() else _seconds_until(text)
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not -math.inf < value <= _LONGEST_DELAY:
        return None
    return math.ceil(max(value, 0))


def _digits(value: str) -> int | None:
    # Converting thousands of digits is an error, and none of them is a delay.
    return delay_seconds(int(value)) if len(value) <= 20 else None


def _seconds_until(date: str) -> int | None:
    try:
        moment = parsedate_to_datetime(date)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = (moment - datetime.now(UTC)).total_seconds()
    except (ValueError, OverflowError):
        return None
    return delay_seconds(seconds)


is_entity_tag: Final = _ENTITY_TAG.fullmatch
"""Says whether a text is an entity tag as it stands in `ETag` (RFC 9110, 8.8.3)."""


def entity_tag(value: object) -> str | None:
    """Give an entity tag as it stands in `ETag` (RFC 9110, 8.8.3), or `None` if it is none.

    An opaque value without its quotes, such as a version, gets them.
    """
    if not isinstance(value, str | int) or isinstance(value, bool):
        return None
    text = (_text(value) or "").strip()
    if is_entity_tag(text):
        return text
    return f'"{text}"' if _OPAQUE_TAG.fullmatch(text) else None


def is_token(value: object) -> TypeGuard[str]:
    """Say whether a value is a token, such as a method or the name of a field (RFC 9110, 5.6.2)."""
    return isinstance(value, str) and _TOKEN.fullmatch(value) is not None


def is_media_range(value: object) -> bool:
    """Say whether a value is a media type or range, for `Accept` (RFC 9110, 12.5.1)."""
    return isinstance(value, str) and _MEDIA_RANGE.fullmatch(value) is not None
