"""`Content-Type`: which media types a request's body may have (RFC 9110, 8.3 and 15.5.16)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from starlette.datastructures import Headers
from starlette.types import Scope

from authpi_errors._exceptions import InvalidContentTypeError
from authpi_errors._headers import HasHeaders, is_media_range
from authpi_errors._validation import is_list, is_mapping

__all__ = ["is_json", "media_type_of", "require_content_type", "unreadable_body"]

_FORMS: Final = ("application/x-www-form-urlencoded", "multipart/form-data")

# What pydantic says of a body, or of a part of it, that FastAPI could not take apart.
_NOT_TAKEN_APART: Final = frozenset(
    """
    missing model_type model_attributes_type dict_type mapping_type dataclass_type
    list_type tuple_type set_type frozen_set_type
    counter_type deque_type frozen_dict_type named_tuple_type ordered_dict_type sequence_str
    """.split()
)


def require_content_type(request: HasHeaders, *supported: str) -> None:
    """Let a handler go on only if the body is sent as something that it can read.

    Call it before the body is read. A request without `Content-Type` is refused too: what is not
    said to be JSON isn't read as JSON, which also keeps HTML forms of other sites out.

    Args:
        request: The request.
        supported: Media types, such as `"application/json"`, or ranges, such as `"image/*"`.
            Parameters, such as `charset`, are not compared.

    Raises:
        InvalidContentTypeError: 415, with `Accept`, and after a POST or PATCH with `Accept-Post`
            or `Accept-Patch`.
        ValueError: `supported` is empty, or has something that is neither.

    Example:
        >>> from starlette.requests import Request
        >>> request = Request({"type": "http", "headers": [(b"content-type", b"text/plain")]})
        >>> require_content_type(request, "text/*")
        >>> try:
        ...     require_content_type(request, "application/json")
        ... except InvalidContentTypeError as error:
        ...     print(error)
        Send the body as application/json, and say so in Content-Type.
    """
    if not supported or not all(map(is_media_range, supported)):
        raise ValueError(
            f"require_content_type was given {supported!r}: name media types, or ranges such as "
            "'image/*', as in require_content_type(request, 'application/json')."
        )
    sent = media_type_of(request.headers)
    if not any(_matches(sent, media_range) for media_range in supported):
        raise _unsupported(supported)


def media_type_of(headers: Headers) -> str:
    """Give the media type of a body, in lower case and without parameters; `""` for none."""
    return _media_type(headers.get("content-type", ""))


def unreadable_body(errors: Sequence[object], scope: Scope) -> InvalidContentTypeError | None:
    """Say whether FastAPI has found errors because of the `Content-Type`, which it can't read.

    FastAPI reads a body as the endpoint declares it, JSON or a form, if the header says that it is
    one; else the body stays in one piece, and misses all its parts.

    Args:
        errors: pydantic's error records.
        scope: The scope of the request, after routing.
    """
    if not _is_not_taken_apart(errors):
        return None
    sent, declared = _sent(scope), _declared(scope)
    if not sent or not declared or _can_be_read(sent, declared):
        return None
    return _unsupported([declared])


def _sent(scope: Scope) -> str:
    """Give the media type of the body that was sent."""
    # To make `Headers` takes its time, and a parameter that is missing is a common mistake.
    values = (value for name, value in scope["headers"] if name == b"content-type")
    return _media_type(next(values, b"").decode("latin-1"))


def _declared(scope: Scope) -> str:
    """Give the media type of the body that FastAPI's endpoint declares."""
    body_field = getattr(_route_of(scope), "body_field", None)
    declared: object = getattr(getattr(body_field, "field_info", None), "media_type", None)
    return _media_type(declared) if isinstance(declared, str) else ""


def _route_of(scope: Scope) -> object:
    """Give the route, as the router has it that includes it: with more dependencies, perhaps."""
    route: object = scope.get("route")
    found: object = scope.get("fastapi")
    effective = found.get("effective_route_context") if is_mapping(found) else None
    return effective if getattr(effective, "original_route", None) is route else route


def _can_be_read(sent: str, declared: str) -> bool:
    if declared in _FORMS:
        return sent in _FORMS
    return not is_json(declared) or is_json(sent)


def is_json(content_type: str) -> bool:
    """Say whether FastAPI takes a body of this `Content-Type` for JSON."""
    kind, _, subtype = _media_type(content_type).partition("/")
    return kind == "application" and (subtype == "json" or subtype.endswith("+json"))


def _is_not_taken_apart(errors: Iterable[object]) -> bool:
    for error in errors:
        if not is_mapping(error) or type(kind := error.get("type")) is not str:
            continue
        if kind in _NOT_TAKEN_APART:
            location: object = error.get("loc")
            if is_list(location) and location and location[0] == "body":
                return True
    return False


def _unsupported(supported: Sequence[str]) -> InvalidContentTypeError:
    return InvalidContentTypeError(
        f"Send the body as {' or '.join(supported)}, and say so in Content-Type.",
        supported=supported,
    )


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _matches(media_type: str, media_range: str) -> bool:
    wanted = _media_type(media_range)
    kind, _, subtype = wanted.partition("/")
    if subtype != "*":
        return media_type == wanted
    return bool(media_type) and (kind == "*" or media_type.startswith(f"{kind}/"))
