"""FastAPI's document, with the errors that are really sent.

`declaring` writes what a route declares into the responses that FastAPI takes, under an extension;
`amended` reads it again.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final, TypeGuard, TypeVar, cast

from authpi_errors._components import GENERAL, Components, Object, reference
from authpi_errors._content_type import is_json
from authpi_errors._registry import ErrorRegistry, registry_of
from authpi_errors._validation import is_list
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


def amended(document: Mapping[str, Any], registry: ErrorRegistry | None = None) -> Object:
    """Give FastAPI's document with the errors that are really sent.

    - FastAPI's 422 goes, and so do its two schemas when nothing refers to them any more.
    - What `error_responses` declares stands under the status that the registry gives it.
    - Operations get 400 where they take parameters or a body, 415 where they take JSON, 401 and
      403 where they have a security requirement, and `default`, by reference, for all the rest.
      Webhooks and callbacks, which others answer, get none of these.

    What else the document says stays as it is, so amending twice is amending once.

    Args:
        document: The document, which is left unchanged.
        registry: What the codes mean. Without it: AuthPI's codes alone.
    """
    registry = registry_of(registry)
    result: Object = copy.deepcopy(dict(document))
    operations = list(_operations(result))
    declared = [_take_declared(operation["responses"]) for operation, _ in operations]
    components = Components(registry, (code for group in declared for code in group))
    moved = _add(result, components.shared()) if operations else {}
    for (operation, is_ours), codes in zip(operations, declared, strict=True):
        present: Object = operation["responses"]
        if present.get("422") == _VALIDATION_RESPONSE:
            del present["422"]
        if is_ours:
            implied = _implied(operation, result.get("security"), registry)
            codes += [code for code in implied if not _covers(present, code.status)]
            present.setdefault("default", _redirected(reference("responses", GENERAL), moved))
        for status, response in components.by_status(codes).items():
            present[status] = {**_redirected(response, moved), **present.get(status, {})}
        operation["responses"] = dict(sorted(present.items()))
    _prune(result)
    return result


# Operations


def _operations(document: Object) -> Iterator[tuple[Object, bool]]:
    """Walk through the operations of a document, and say which of them are the application's."""
    for section in ("paths", "webhooks"):
        for item in _objects(document.get(section)):
            yield from _operations_of(item, is_ours=section == "paths")


def _operations_of(item: Object, *, is_ours: bool) -> Iterator[tuple[Object, bool]]:
    for operation in _objects({method: item.get(method) for method in _METHODS}):
        operation.setdefault("responses", {})
        yield operation, is_ours
        for callback in _objects(operation.get("callbacks")):
            for callback_item in _objects(callback):
                yield from _operations_of(callback_item, is_ours=False)


def _is_object(value: object) -> TypeGuard[Object]:
    return isinstance(value, dict)


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


def _implied(operation: Object, security: object, registry: ErrorRegistry) -> list[ErrorCode]:
    """Give what an operation can answer by what it takes."""
    body: Object = operation.get("requestBody") or {}
    names: list[str] = []
    if operation.get("parameters") or body:
        names.append("invalid_request")
    if any(map(is_json, body.get("content", ()))):
        names.append("invalid_content_type")
    if operation.get("security", security):
        names += "unauthorized_client", "session_expired", "access_denied", "insufficient_scope"
    return [registry.codes[name] for name in names]


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
    target: Object = document.setdefault("components", {})
    for section, entries in components.items():
        present: Object = target.setdefault(section, {})
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


def _prune(document: Object) -> None:
    """Take FastAPI's own schemas of validation errors out, unless something refers to them."""
    schemas: Object = document.get("components", {}).get("schemas", {})
    for name, members in _VALIDATION_SCHEMAS.items():
        schema: Object = schemas.get(name, {})
        is_fastapis = schema.get("title") == name and members >= set(schema.get("properties", ()))
        if is_fastapis and f'"{reference("schemas", name)["$ref"]}"' not in json.dumps(document):
            del schemas[name]
