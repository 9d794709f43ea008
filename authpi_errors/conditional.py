"""Entity tags and preconditions: who changes a resource has seen its current version.

A handler reads the resource, checks the precondition, then writes; what fails is raised::

    check_if_match(request, tag, resource="User 7")     # 412, 428; before PUT, PATCH, DELETE
    check_if_none_match(request, tag)                   # 412; `If-None-Match: *` only creates
    if is_not_modified(request, tag): ...               # answer GET and HEAD with 304

Authenticate, authorize and validate first: a precondition is only for requests that would succeed
without it (RFC 9110, 13.2.1). Where others may write between the check and the write, put
`IfMatch.of(request).versions` into the `WHERE` clause.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Self

from authpi_errors._exceptions import FieldError, InvalidRequestError, PreconditionFailedError
from authpi_errors._headers import HasHeaders, entity_tag

__all__ = [
    "ETag",
    "HasHeaders",
    "IfMatch",
    "IfNoneMatch",
    "check_if_match",
    "check_if_none_match",
    "is_not_modified",
]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# RFC 9110, 5.6.1.2: a list may have empty members, and white space around its commas. What may
# stand in the quotes is for `ETag` to say. Nothing is read twice (`*+`): the time is linear.
_MEMBER: Final = re.compile(r'(?:W/)?"[^"]*+"')
_MEMBERS: Final = re.compile(
    rf"[ \t,]*+(?:{_MEMBER.pattern}(?:[ \t]*+,[ \t,]*+{_MEMBER.pattern})*[ \t,]*+)?"
)


class ETag(str):
    """An entity tag: RFC 9110, 8.8.3.

    It is the text that stands in a header, quotes and all, so it goes as it is into `ETag`, into
    `PreconditionFailedError(current_etag=…)` and into a parameter of SQL. `==` compares the text;
    whether two tags name the same version is what `matches_strongly` and `matches_weakly` say.

    Args:
        header: One tag as it stands in a header.

    Raises:
        ValueError: It is none.

    Example:
        >>> ETag('W/"7"').opaque
        '7'
        >>> ETag('W/"7"').is_weak
        True
    """

    __slots__ = ()

    def __new__(cls, header: str) -> Self:
        """Take what is a tag."""
        tag = entity_tag(header)
        if tag is None or tag != header:
            raise ValueError(
                f"{header!r} is not an entity tag: write it as in ETag('\"7\"'), or make one of a "
                "version with ETag.of_version(7), of any data with ETag.of_bytes(b'…')."
            )
        return super().__new__(cls, tag)

    @classmethod
    def of_version(cls, version: str | int, *, weak: bool = False) -> Self:
        """Make the tag of a version, such as a counter, a revision or a hash.

        Raises:
            ValueError: The version has characters that a tag can't have: spaces, quotes, control
                characters, or any outside latin-1.

        Example:
            >>> print(ETag.of_version(7), ETag.of_version("a1b2", weak=True))
            "7" W/"a1b2"
        """
        if isinstance(version, bool) or not isinstance(version, str | int):
            raise ValueError(f"The version {version!r} is neither text nor an integer.")
        # Not what a subclass, such as an enum of strings, makes of it.
        opaque = str.__str__(version) if isinstance(version, str) else str(int(version))
        return cls(f'W/"{opaque}"' if weak else f'"{opaque}"')

    @classmethod
    def of_time(
        cls, updated_at: datetime | int | None, created_at: datetime | int | None = None
    ) -> Self:
        """Make AuthPI's tag: the time of the last change, else of the creation, in milliseconds.

        It is strong only if no two changes have the same millisecond: let each write set a time
        that is later than the one before.

        Args:
            updated_at: Milliseconds since 1970 in UTC, or a `datetime` with a time zone; parts of
                a millisecond are cut off.
            created_at: The same, for a resource that was never changed.

        Raises:
            ValueError: Both are `None`, or the `datetime` has no time zone.

        Example:
            >>> print(ETag.of_time(None, datetime(2024, 2, 28, 17, tzinfo=UTC)))
            "1709139600000"
        """
        moment = created_at if updated_at is None else updated_at
        if isinstance(moment, datetime):
            if moment.utcoffset() is None:
                raise ValueError(f"{moment!r} has no time zone: add one, such as tzinfo=UTC.")
            moment = (moment - _EPOCH) // timedelta(milliseconds=1)
        if isinstance(moment, bool) or not isinstance(moment, int):
            raise ValueError(
                f"The time {moment!r} is neither milliseconds as an integer nor a datetime."
            )
        return cls.of_version(moment)

    @classmethod
    def of_bytes(cls, content: bytes, *, weak: bool = False) -> Self:
        """Make the tag of a representation, byte for byte: 128 bits of its SHA-256.

        Example:
            >>> print(ETag.of_bytes(b""))
            "e3b0c44298fc1c149afbf4c8996fb924"
        """
        return cls.of_version(hashlib.sha256(content).hexdigest()[:32], weak=weak)

    @property
    def is_weak(self) -> bool:
        """Whether it only says that the content is equivalent (RFC 9110, 8.8.1)."""
        return self.startswith("W/")

    @property
    def opaque(self) -> str:
        """What stands between the quotes."""
        return self[self.index('"') + 1 : -1]

    def matches_strongly(self, other: ETag) -> bool:
        """Compare for writing: the same text, and neither is weak (RFC 9110, 8.8.3.2).

        Example:
            >>> ETag('W/"1"').matches_strongly(ETag('W/"1"'))
            False
        """
        return self == other and not self.is_weak

    def matches_weakly(self, other: ETag) -> bool:
        """Compare for reading: the same text, weak or not (RFC 9110, 8.8.3.2).

        Example:
            >>> ETag('W/"1"').matches_weakly(ETag('"1"'))
            True
        """
        return self.opaque == other.opaque

    def __repr__(self) -> str:
        return f"ETag({super().__repr__()})"


@dataclass(frozen=True, slots=True)
class IfMatch:
    """What a request's `If-Match` asks (RFC 9110, 13.1.1).

    Attributes:
        is_present: Whether there is such a field.
        tags: The strong tags, one of which must be the current one. A weak tag never is, and is
            left out; with no tag left nothing matches. `None` if any version will do: there is no
            such field, or it is `*`.

    Example:
        >>> from starlette.requests import Request
        >>> request = Request({"type": "http", "headers": [(b"if-match", b'"7", W/"8"')]})
        >>> IfMatch.of(request).versions
        frozenset({'7'})
    """

    is_present: bool
    tags: frozenset[ETag] | None

    @classmethod
    def of(cls, request: HasHeaders) -> Self:
        """Read it.

        Raises:
            InvalidRequestError: It is neither `*` nor a list of entity tags.
        """
        is_present, tags = _read(request, "If-Match")
        if tags is not None:
            tags = frozenset(tag for tag in tags if not tag.is_weak)
        return cls(is_present, tags)

    @property
    def versions(self) -> frozenset[str] | None:
        """The tags without their quotes, for SQL's `IN`; `None` if any version will do.

        There are none if all tags are weak, and SQL has no empty list: nothing matches then.
        """
        return None if self.tags is None else frozenset(tag.opaque for tag in self.tags)

    def holds_for(self, current_etag: str | None) -> bool:
        """Say whether the method may be performed on a resource that has this tag.

        Args:
            current_etag: An `ETag`, or its text; `None` if the resource doesn't exist.

        Raises:
            ValueError: The text is no entity tag.
        """
        current = None if current_etag is None else ETag(current_etag)
        if not self.is_present:
            return True
        if current is None:
            return False
        return self.tags is None or any(tag.matches_strongly(current) for tag in self.tags)

    def check(
        self,
        current_etag: str | None,
        *,
        resource: str = "The resource",
        required: bool = False,
    ) -> None:
        """Let a method go on only on a resource that has this tag. See `check_if_match`.

        Raises:
            PreconditionFailedError: It is not the version that is asked for, or doesn't exist.
            InvalidRequestError: 428 (RFC 6585, 3), there is no `If-Match`, and it is required.
            ValueError: `current_etag` is no entity tag.
        """
        if required:
            self.require(resource=resource)
        if not self.holds_for(current_etag):
            reason = (
                "does not exist: no If-Match can match it."
                if current_etag is None
                else "is no longer in the version that If-Match names. Fetch it, and send its ETag."
            )
            raise PreconditionFailedError(f"{resource} {reason}", current_etag=_text(current_etag))

    def require(self, *, resource: str = "The resource") -> None:
        """Refuse a request that has no `If-Match`.

        Raises:
            InvalidRequestError: 428 (RFC 6585, 3).
        """
        if not self.is_present:
            raise InvalidRequestError(
                f"{resource} is changed only in a version that you name: fetch it, and send its "
                "ETag in If-Match.",
                status=428,
            )


@dataclass(frozen=True, slots=True)
class IfNoneMatch:
    """What a request's `If-None-Match` asks (RFC 9110, 13.1.2).

    Attributes:
        is_present: Whether there is such a field.
        tags: The tags, none of which may be the current one. `None` if there is no such field, or
            if it is `*`: the resource must not exist.
    """

    is_present: bool
    tags: frozenset[ETag] | None

    @classmethod
    def of(cls, request: HasHeaders) -> Self:
        """Read it.

        Raises:
            InvalidRequestError: It is neither `*` nor a list of entity tags.
        """
        return cls(*_read(request, "If-None-Match"))

    def holds_for(self, current_etag: str | None) -> bool:
        """Say whether the method may be performed on a resource that has this tag.

        Args:
            current_etag: An `ETag`, or its text; `None` if the resource doesn't exist.

        Raises:
            ValueError: The text is no entity tag.
        """
        current = None if current_etag is None else ETag(current_etag)
        if not self.is_present or current is None:
            return True
        return self.tags is not None and not any(tag.matches_weakly(current) for tag in self.tags)

    def check(self, current_etag: str | None, *, resource: str = "The resource") -> None:
        """Let a method that writes go on only if no excluded version is there.

        Raises:
            PreconditionFailedError: The resource exists, or is a version that is excluded.
            ValueError: `current_etag` is no entity tag.
        """
        if not self.holds_for(current_etag):
            raise PreconditionFailedError(
                f"{resource} exists already, in a version that If-None-Match excludes.",
                current_etag=_text(current_etag),
            )


def check_if_match(
    request: HasHeaders,
    current_etag: str | None,
    *,
    resource: str = "The resource",
    required: bool = False,
) -> None:
    """Let a method go on only if the request's `If-Match` allows it (RFC 9110, 13.1.1).

    Args:
        request: The request.
        current_etag: The resource's `ETag`, or its text; `None` if it doesn't exist.
        resource: What the error's description calls it, such as `"User 7"`.
        required: Whether a request without `If-Match` is refused.

    Raises:
        PreconditionFailedError: It is not the version that the request names, or doesn't exist.
        InvalidRequestError: 400, the field is malformed; 428 (RFC 6585, 3), it is required.
        ValueError: `current_etag` is no entity tag.

    Example:
        >>> from starlette.requests import Request
        >>> request = Request({"type": "http", "headers": [(b"if-match", b'"6"')]})
        >>> check_if_match(request, ETag.of_version(6))
        >>> try:
        ...     check_if_match(request, ETag.of_version(7), resource="User 7")
        ... except PreconditionFailedError as error:
        ...     print(error)
        User 7 is no longer in the version that If-Match names. Fetch it, and send its ETag.
    """
    IfMatch.of(request).check(current_etag, resource=resource, required=required)


def check_if_none_match(
    request: HasHeaders, current_etag: str | None, *, resource: str = "The resource"
) -> None:
    """Let a method that writes go on only if the request's `If-None-Match` allows it.

    With `If-None-Match: *` a PUT creates, and never replaces. `If-Match` is checked first, as in
    RFC 9110, 13.2.2. For GET and HEAD there is `is_not_modified`.

    Args:
        request: The request.
        current_etag: The resource's `ETag`, or its text; `None` if it doesn't exist.
        resource: What the error's description calls it, such as `"User 7"`.

    Raises:
        PreconditionFailedError: It exists, or is a version that the request excludes.
        InvalidRequestError: A field is malformed.
        ValueError: `current_etag` is no entity tag.

    Example:
        >>> from starlette.requests import Request
        >>> request = Request({"type": "http", "headers": [(b"if-none-match", b"*")]})
        >>> check_if_none_match(request, None)
        >>> try:
        ...     check_if_none_match(request, ETag.of_version(7), resource="User 7")
        ... except PreconditionFailedError as error:
        ...     print(error)
        User 7 exists already, in a version that If-None-Match excludes.
    """
    check_if_match(request, current_etag, resource=resource)
    IfNoneMatch.of(request).check(current_etag, resource=resource)


def is_not_modified(request: HasHeaders, current_etag: str | None) -> bool:
    """Say whether a GET or HEAD is to be answered with 304, without a body but with the `ETag`.

    `If-Match` is checked first, as in RFC 9110, 13.2.2.

    Args:
        request: The request.
        current_etag: The resource's `ETag`, or its text; `None` if it doesn't exist.

    Raises:
        PreconditionFailedError: `If-Match` doesn't match.
        InvalidRequestError: A field is malformed.
        ValueError: `current_etag` is no entity tag.

    Example:
        >>> from starlette.requests import Request
        >>> request = Request({"type": "http", "headers": [(b"if-none-match", b'W/"7"')]})
        >>> is_not_modified(request, ETag.of_version(7))
        True
    """
    check_if_match(request, current_etag)
    return not IfNoneMatch.of(request).holds_for(current_etag)


def _text(tag: str | None) -> str | None:
    return None if tag is None else str(tag)


def _read(request: HasHeaders, name: str) -> tuple[bool, frozenset[ETag] | None]:
    """Read a field: whether it is there, and its tags; `None` for `*`.

    Several lines are one list (RFC 9110, 5.3). The space keeps quotes that are left open in one
    line from being closed in the next: there is none in a tag.
    """
    lines = request.headers.getlist(name)
    field = ", ".join(lines).strip(" \t")
    if not lines or field == "*":
        return bool(lines), None
    try:
        if not _MEMBERS.fullmatch(field):
            raise ValueError
        return True, frozenset(map(ETag, _MEMBER.findall(field)))
    except ValueError:
        message = 'Send * or a list of entity tags, each in quotes, such as "1709139600000".'
        mistake = FieldError(f"header.{name.lower()}", "malformed", message)
        raise InvalidRequestError(f"{name} is malformed. {message}", fields=[mistake]) from None
