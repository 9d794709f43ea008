"""FastAPI's document, with the errors that are really sent.

`declaring` writes what a route declares into the responses that FastAPI takes, under an extension;
`amended` reads it again.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final, NamedTuple, TypeGuard, TypeVar, cast

from authpi_errors._components import GENERAL, Components, Object, reference
from authpi_errors._content_type import is_json
from authpi_errors._exceptions import AuthPIError
from authpi_errors._registry import ErrorRegistry, registry_of
from authpi_errors._validation import is_list, request_validation_error
from authpi_errors.codes import ErrorCode

__all__ = ["amended", "declaring"]

_T = TypeVar("_T")

# The member of a Response Object that holds declarations, until the document is amended.
_EXTENSION: Final = "x-authpi-errors"
_METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")

# What FastAPI says of its own validation errors: never sent where ours are.
_VALIDATION_RESPONSE: Final[Object] = {
    "description": "Validation Error",
    "content": {"application/json": {"schema": reference("schemas", "HTTPValidationError")}},
}
# Its two schemas, which refer to each other in this order, and the members that they can have.
_VALIDATION_SCHEMAS: Final = {
    "HTTPValidationError": {"detail"},
    "ValidationError": {"loc", "msg", "type", "input", "ctx"},
}


def declaring(code: ErrorCode) -> Object:
    """Give a Response Object that declares a code. FastAPI merges those of one status."""
    return {"description": code.description, _EXTENSION: {code.value: asdict(code)}}


def amended(
    document: Mapping[str, Any],
    registry: ErrorRegistry | None = None,
    *,
    own_validation_errors: bool = False,
) -> Object:
    """Give FastAPI's document with the errors that are really sent.

    - FastAPI's 422 goes, and so do its two schemas when nothing refers to them any more. In its
      place comes what the registry makes of `RequestValidationError`.
    - What `error_responses` declares stands under the status that the registry gives it.
    - Operations get 400 where they take parameters or a body, 415 where they take JSON, 401 and
      403 where they have a security requirement, and `default`, by reference, for all the rest.
      Webhooks and callbacks, which others answer, get none of these.

    What else the document says stays as it is, so amending twice is amending once.

    Args:
        document: The document, which is left unchanged.
        registry: What the codes mean. Without it: AuthPI's codes alone.
        own_validation_errors: Whether the application answers requests that are not valid by a
            handler of its own: then what the document says of that stays, its 422 too.
    """
    registry = registry_of(registry)
    result: Object = copy.deepcopy(dict(document))
    invalid = _Invalid([], []) if own_validation_errors else _of_invalid(registry)
    operations = list(_operations(result))
    declared = [_take_declared(operation["responses"]) for operation, _ in operations]
    further = (code for group in (*declared, invalid.codes) for code in group)
    components = Components(registry, further)
    moved = _add(result, components.shared()) if operations else {}
    for (operation, item), codes in zip(operations, declared, strict=True):
        present: Object = operation["responses"]
        if present.get("422") == _VALIDATION_RESPONSE and not own_validation_errors:
            del present["422"]
        if item is not None:
            implied = _implied(operation, item, result, registry, invalid)
            codes += [code for code in implied if not _covers(present, code.status)]
            present.setdefault("default", _redirected(reference("responses", GENERAL), moved))
        for status, response in components.by_status(codes).items():
            present[status] = {**_redirected(response, moved), **present.get(status, {})}
        operation["responses"] = dict(sorted(present.items()))
    _prune(result)
    return result


# Operations


def _operations(document: Object) -> Iterator[tuple[Object, Object | None]]:
    """Walk through the operations of a document, each with its path; of others there is none."""
    for section in ("paths", "webhooks"):
        for item in _objects(document.get(section)):
            yield from _operations_of(item, is_ours=section == "paths")


def _operations_of(item: Object, *, is_ours: bool) -> Iterator[tuple[Object, Object | None]]:
    for operation in _objects({method: item.get(method) for method in _METHODS}):
        responses = _object(operation.get("responses"))
        # A document that was YAML has numbers for statuses.
        operation["responses"] = {str(status): each for status, each in responses.items()}
        yield operation, item if is_ours else None
        for callback in _objects(operation.get("callbacks")):
            for callback_item in _objects(callback):
                yield from _operations_of(callback_item, is_ours=False)


def _is_object(value: object) -> TypeGuard[Object]:
    return isinstance(value, dict)


def _object(value: object) -> Object:
    """Give an object; in the place of anything else an empty one."""
    return value if _is_object(value) else {}


def _objects(value: object) -> list[Object]:
    """Give the objects among the values of an object; of anything else, none."""
    return [each for each in value.values() if _is_object(each)] if _is_object(value) else []


def _take_declared(responses: Object) -> list[ErrorCode]:
    """Take the declarations out of an operation's responses."""
    taken: list[ErrorCode] = []
    for status, response in list(responses.items()):
        if _is_object(response) and _EXTENSION in response:
            declared = [ErrorCode(**members) for members in response.pop(_EXTENSION).values()]
            taken += declared
            # All that is left where the user has added nothing.
            if response in [{"description": code.description} for code in declared]:
                del responses[status]
    return taken


class _Invalid(NamedTuple):
    """What is answered where a request is not valid, and where its body is of another type."""

    codes: list[ErrorCode]
    of_type: list[ErrorCode]


def _implied(
    operation: Object,
    item: Object,
    document: Object,
    registry: ErrorRegistry,
    invalid: _Invalid,
) -> list[ErrorCode]:
    """Give what an operation can answer by what it takes.

    Args:
        operation: The operation.
        item: The path that it belongs to.
        document: The document.
        registry: What the codes mean.
        invalid: What is answered where the request is not valid.
    """
    body = _resolved(operation.get("requestBody"), document)
    codes: list[ErrorCode] = []
    if operation.get("parameters") or item.get("parameters") or body:
        codes += invalid.codes
    if body:
        # What FastAPI says of a body that it can't take apart.
        codes.append(registry.code_for(400))
    if any(is_json(str(media_type)) for media_type in _object(body.get("content"))):
        codes += invalid.of_type
    if operation.get("security", document.get("security")):
        codes += (registry.codes[name] for name in _OF_CREDENTIALS)
        codes += registry.code_for(401), registry.code_for(403)
    return codes


_OF_CREDENTIALS: Final = (
    "unauthorized_client",
    "session_expired",
    "access_denied",
    "insufficient_scope",
)


def _of_invalid(registry: ErrorRegistry) -> _Invalid:
    """Say it as the registry has it; what a function of the user's makes of it is not known."""
    cls = request_validation_error()
    target = None if cls is None else registry.exceptions.get(cls)
    if target is None:
        codes = registry.codes
        return _Invalid([codes["invalid_request"]], [codes["invalid_content_type"]])
    if isinstance(target, type) and issubclass(target, AuthPIError):
        return _Invalid([target.code], [])
    return _Invalid([registry.codes[target]] if isinstance(target, str) else [], [])


def _resolved(value: object, document: Object) -> Object:
    """Give an object of a document, which may stand among its components."""
    found = _object(value)
    path = found.get("$ref")
    if not isinstance(path, str) or not path.startswith("#/"):
        return found
    target: object = document
    for part in path[2:].split("/"):
        target = _object(target).get(part)
    return _object(target)


def _covers(responses: Object, status: int) -> bool:
    """Say whether the user has described what a status means (OpenAPI 3.1, 4.8.16.1)."""
    return str(status) in responses or f"{status // 100}XX" in responses


# Components


def _add(document: Object, components: Object) -> dict[str, str]:
    """Add components to a document, under other names where theirs are taken.

    Returns:
        The references that have changed, with what they are now.
    """
    moved: dict[str, str] = {}
    target = document["components"] = _object(document.get("components"))
    for section, entries in components.items():
        present = target[section] = _object(target.get(section))
        for name, entry in entries.items():
            component, free = _redirected(entry, moved), name
            while present.setdefault(free, component) != component:
                free = f"AuthPI{free}"
            if free != name:
                moved[reference(section, name)["$ref"]] = reference(section, free)["$ref"]
    return moved


def _redirected(value: _T, moved: Mapping[str, str]) -> _T:
    """Copy a part of a document with other references."""
    copied: object = value
    if _is_object(value):
        copied = {name: _redirected(member, moved) for name, member in value.items()}
    elif is_list(value):
        copied = [_redirected(item, moved) for item in value]
    elif isinstance(value, str):
        copied = moved.get(value, value)
    return cast("_T", copied)


def _text(document: Object) -> str:
    # In YAML there are dates, and keys of any kind.
    return json.dumps(document, default=str, skipkeys=True)


def _prune(document: Object) -> None:
    """Take FastAPI's own schemas of validation errors out, unless something refers to them."""
    schemas = _object(_object(document.get("components")).get("schemas"))
    for name, members in _VALIDATION_SCHEMAS.items():
        schema = _object(schemas.get(name))
        is_fastapis = (
            schema.get("title") == name and members >= _object(schema.get("properties")).keys()
        )
        if is_fastapis and f'"{reference("schemas", name)["$ref"]}"' not in _text(document):
            del schemas[name]
