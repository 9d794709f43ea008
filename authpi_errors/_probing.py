"""What to ask a service for its errors, and what its answers are worth; nothing here does I/O.

No request can change anything:

- The methods are safe ones (RFC 9110, 9.2.1; PROPFIND: RFC 4918, 9.1), but for malformed bodies.
- A method that a path doesn't have is tried only where all that it has are safe: a service that
  doesn't look at the method does there what it does for GET. It is PROPFIND: safe, old enough for
  every parser to know it, and hardly ever implemented. Parsers refuse invented methods before the
  service sees them, and an answer to TRACE has the request in it.
- A malformed body goes only where the document requires a JSON object with members that may not be
  missing. It is one brace: neither JSON nor anything else, and nothing can be read out of it.
- Whatever stands in a path for a parameter is a random name: it names nothing.
- DELETE is never sent, nor a POST to an address that isn't there: a catch-all would take it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Final, cast
from urllib.parse import urljoin, urlsplit

from authpi_errors._headers import is_token
from authpi_errors._registry import ErrorRegistry
from authpi_errors.compliance import Response, Violation, check_masked

__all__ = ["Credentials", "Probe", "base_of", "is_same_origin", "judge", "plan"]

_SAFE_METHODS: Final = frozenset({"get", "head", "options", "trace"})
# The fixed fields of an OpenAPI path item that are operations.
_METHODS: Final = (*sorted(_SAFE_METHODS), "delete", "patch", "post", "put")
_WRITES_WITH_BODY: Final = frozenset({"patch", "post", "put"})
_WRONG_METHOD: Final = "PROPFIND"
_MALFORMED: Final = b"{"
_UNKNOWN_TYPE: Final = "application/vnd.authpi-errors.no-such-type"
_JSON_TYPE: Final = re.compile(r"application/([\w.+-]+\+)?json", re.ASCII | re.IGNORECASE)
_PARAMETER: Final = re.compile(r"\{[^{}]*\}")
# Longer than any chain of references that makes sense, and an end to circles.
_MOST_REFERENCES: Final = 16


class Credentials(Enum):
    """Whose credentials a request has."""

    GIVEN = "the given credentials"
    NONE = "without credentials"
    INVALID = "invalid credentials"


@dataclass(frozen=True, slots=True)
class Probe:
    """One request to make, and what to expect of the answer.

    Attributes:
        what: What is wrong with the request, in words.
        method: The method.
        path: The path as the document has it, such as `/users/{user_id}`; for people.
        target: The path that is requested, below the service's base.
        credentials: Whether the given headers go with it.
        headers: The headers that make it this probe.
        body: The body.
        wanted: Which error is due. Empty where a success is fine: there is no error to check then.
    """

    what: str
    method: str
    path: str
    target: str
    credentials: Credentials = Credentials.GIVEN
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""
    wanted: str = ""

    def __str__(self) -> str:
        """Show it in a line."""
        return f"{self.method} {self.path} ({self.what})"


@dataclass(frozen=True, slots=True)
class _Operation:
    """What matters here of an operation of the document.

    Attributes:
        requirement: The security schemes of one way to be let in; empty if anyone is.
        must_fail: Whether a GET with random names and without parameters can't succeed.
        json_type: The media type of the JSON object that it requires; empty if it may do without.
    """

    method: str
    path: str
    requirement: tuple[str, ...]
    must_fail: bool
    json_type: str


def plan(
    document: Mapping[str, Any], name: str, *, document_path: str = "", has_credentials: bool
) -> list[Probe]:
    """Give the requests to make.

    Args:
        document: An OpenAPI 3 document, or anything else that JSON can say; nothing in it is taken
            for granted.
        name: A random name that nothing has: a UUID, which most parameters take.
        document_path: Where the service has the document, if it has.
        has_credentials: Whether there are credentials to try what is behind authentication.
    """
    paths = _Document(document).operations()
    probes = [*_unknown_path(name), *_wrong_methods(paths, document_path)]
    operations = [operation for path in paths.values() for operation in path]
    for operation in operations:
        probes += _variants(operation, has_credentials)
    probes += _invalid_credentials(operations, _Document(document), name)
    return [replace(probe, target=_PARAMETER.sub(name, probe.target)) for probe in probes]


def _unknown_path(name: str) -> Iterator[Probe]:
    for method in ("GET", "HEAD"):
        yield Probe("no such path", method, "/<random>", f"/{name}")


def _wrong_methods(
    paths: Mapping[str, Sequence[_Operation]], document_path: str
) -> Iterator[Probe]:
    safe = [
        path
        for path, operations in paths.items()
        if operations and {operation.method for operation in operations} <= _SAFE_METHODS
    ]
    for path in dict.fromkeys([*filter(None, [document_path]), *safe]):
        yield Probe("no such method", _WRONG_METHOD, path, path)


def _variants(operation: _Operation, has_credentials: bool) -> Iterator[Probe]:
    """Give an operation's probes: behind authentication if it can be, and before it."""
    probes = list(_reads(operation) if operation.method == "get" else _writes(operation))
    if operation.requirement:
        for probe in probes[:1]:
            yield _unauthorized(probe, Credentials.NONE)
    if has_credentials or not operation.requirement:
        yield from probes


def _reads(operation: _Operation) -> Iterator[Probe]:
    if operation.must_fail or operation.requirement:
        what = "random names" if "{" in operation.path else "no parameters"
        yield Probe(what, "GET", operation.path, operation.path)


def _writes(operation: _Operation) -> Iterator[Probe]:
    if not operation.json_type:
        return
    for what, content_type in (
        ("malformed JSON", operation.json_type),
        ("no such content type", _UNKNOWN_TYPE),
    ):
        yield Probe(
            what,
            operation.method.upper(),
            operation.path,
            operation.path,
            headers={"Content-Type": content_type},
            body=_MALFORMED,
            wanted="A 400 or 415: the document requires a JSON body, and this is none.",
        )


def _unauthorized(probe: Probe, credentials: Credentials) -> Probe:
    wanted = "A 401: the document requires credentials."
    return replace(probe, what=credentials.value, credentials=credentials, wanted=wanted)


def _invalid_credentials(
    operations: Sequence[_Operation], document: _Document, name: str
) -> Iterator[Probe]:
    """Give one probe for each way to be let in: many would look like an attack."""
    protected = {
        operation.requirement: probe
        for operation in reversed(operations)
        if operation.requirement and operation.method == "get"
        for probe in _reads(operation)
    }
    for requirement, probe in protected.items():
        headers = document.invalid_credentials(requirement, name)
        if headers:
            yield replace(_unauthorized(probe, Credentials.INVALID), headers=headers)


class _Document:
    """An OpenAPI document, of which anything may be missing or wrong."""

    __slots__ = ("_root",)

    def __init__(self, root: object) -> None:
        self._root = _mapping(root)

    def operations(self) -> dict[str, list[_Operation]]:
        """Give the operations by their paths.

        Without its slash a path could name another host, once it is joined to an address.
        """
        return {
            path: list(self._operations_of(path, self._resolve(item)))
            for path, item in _mapping(self._root.get("paths")).items()
            if path.startswith("/") and path.isprintable()
        }

    def _operations_of(self, path: str, item: Mapping[str, Any]) -> Iterator[_Operation]:
        for method in _METHODS:
            if method in item:
                operation = _mapping(item[method])
                parameters = _list(item.get("parameters")) + _list(operation.get("parameters"))
                yield _Operation(
                    method,
                    path,
                    self._requirement(operation),
                    "{" in path or any(map(self._is_required, parameters)),
                    self._json_type(method, path, operation),
                )

    def _is_required(self, parameter: object) -> bool:
        resolved = self._resolve(parameter)
        return resolved.get("required") is True and resolved.get("in") != "cookie"

    def _requirement(self, operation: Mapping[str, Any]) -> tuple[str, ...]:
        alternatives = _list(operation.get("security", self._root.get("security")))
        # An empty one makes the others optional.
        if not alternatives or not all(map(_mapping, alternatives)):
            return ()
        return tuple(_mapping(alternatives[0]))

    def _json_type(self, method: str, path: str, operation: Mapping[str, Any]) -> str:
        body = self._resolve(operation.get("requestBody"))
        content = _mapping(body.get("content"))
        if method not in _WRITES_WITH_BODY or body.get("required") is not True:
            return ""
        if not content or not all(map(_JSON_TYPE.fullmatch, content)):
            return ""
        # A PATCH of what isn't there can't even change it to nothing.
        names_nothing = method == "patch" and "{" in path
        if names_nothing or all(map(self._has_required_members, content.values())):
            return next(iter(content))
        return ""

    def _has_required_members(self, media_type: object) -> bool:
        schema = self._resolve(_mapping(media_type).get("schema"))
        parts = [schema, *map(self._resolve, _list(schema.get("allOf")))]
        return any(_list(part.get("required")) for part in parts)

    def _resolve(self, node: object) -> Mapping[str, Any]:
        """Follow references inside the document (RFC 6901); what leads nowhere is empty."""
        for _ in range(_MOST_REFERENCES):
            found = _mapping(node)
            reference = found.get("$ref")
            if not isinstance(reference, str):
                return found
            node = self._root if reference.startswith("#/") else None
            for part in reference[2:].split("/"):
                node = _mapping(node).get(part.replace("~1", "/").replace("~0", "~"))
        return {}

    def invalid_credentials(self, requirement: Sequence[str], name: str) -> dict[str, str]:
        """Give the headers of credentials that are well formed, and nobody's."""
        components = _mapping(self._root.get("components"))
        schemes = _mapping(components.get("securitySchemes"))
        return {
            header: value
            for scheme in requirement
            for header, value in _invalid(self._resolve(schemes.get(scheme)), name)
        }


def _invalid(scheme: Mapping[str, Any], name: str) -> Iterator[tuple[str, str]]:
    match scheme:
        case {"type": "http", "scheme": str(word)} if word.lower() == "basic":
            yield "Authorization", "Basic " + base64.b64encode(f"{name}:{name}".encode()).decode()
        case {"type": "http", "scheme": str(word)} if word.isalnum() and word.isascii():
            yield "Authorization", f"{word} {name}"
        case {"type": "oauth2" | "openIdConnect"}:
            yield "Authorization", f"Bearer {name}"
        case {"type": "apiKey", "in": "header", "name": str(header)} if is_token(header):
            yield header, name
        case {"type": "apiKey", "in": "cookie", "name": str(cookie)} if is_token(cookie):
            yield "Cookie", f"{cookie}={name}"
        case _:
            return


def base_of(document: Mapping[str, Any], document_url: str, service_url: str) -> str:
    """Give the address that the document's paths begin at.

    It is the service's, if that has a path. Else it is that of the document's first server, where
    that is on the service's own host and port: no other host is ever asked.
    """
    servers = _list(document.get("servers"))
    url = _mapping(servers[0]).get("url") if servers else None
    if not isinstance(url, str) or "{" in url:
        return service_url
    try:
        server = urljoin(document_url, url)
        has_path = bool(urlsplit(service_url).path)
    except ValueError:
        return service_url
    # Nor are other credentials sent than those that were given.
    is_used = is_same_origin(server, service_url) and "@" not in server and not has_path
    return server.rstrip("/") if is_used else service_url


def is_same_origin(one: str, other: str) -> bool:
    """Say whether two URLs have one scheme, host and port (RFC 6454, 5)."""
    try:
        return _origin(one) == _origin(other)
    except ValueError:
        return False


def _origin(url: str) -> tuple[str, str | None, int | None]:
    """Give the origin of a URL (RFC 6454, 4)."""
    parts = urlsplit(url)
    port = _PORTS.get(parts.scheme) if parts.port is None else parts.port
    return parts.scheme, parts.hostname, port


_PORTS: Final = {"http": 80, "https": 443}


def judge(
    probe: Probe,
    response: Response,
    registry: ErrorRegistry | None = None,
    mask: Callable[[str], str] = str,
) -> list[Violation]:
    """Give what is wrong with an answer; nothing, if it is no error and needn't be one.

    The mask hides what must not be printed in what was found.
    """
    if response.status < 400:
        found = f"{response.status}, which is no error"
        return [Violation("refusal", found, probe.wanted)] if probe.wanted else []
    violations = check_masked(response, registry, mask)
    # RFC 9110, 15.6.2: 501 is for a method that the server knows for no resource at all. 502, 503
    # and 504 have causes that the request has no part in.
    if response.status == 500 or (response.status == 501 and probe.method != _WRONG_METHOD):
        wanted = "A status from 400 to 499: the request is at fault, not the server."
        violations.insert(0, Violation("client-error", f"{response.status}", wanted))
    return violations


def _mapping(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _list(value: object) -> list[Any]:
    return [*cast("Iterable[Any]", value)] if isinstance(value, list) else []
