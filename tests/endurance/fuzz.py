"""Fuzzes what reads text from outside: `python tests/endurance/fuzz.py TARGET --seconds 60`.

Atheris mutates inputs, guided by which branches of the package they reach. Each target asks for
more than that nothing is raised: for the same result by another way, for a round trip, for a
compliant answer, and for a time that grows no faster than the input. What breaks that ends the
process with the traceback and the input; `TARGET FILE` tries one input again.
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import h11
from starlette.datastructures import Headers
from starlette.requests import Request
from werkzeug.datastructures import WWWAuthenticate

# It has no types, and no wheel for some versions of Python.
atheris: Any = import_module("atheris")

with atheris.instrument_imports(include=["authpi_errors"]):
    from authpi_errors import (
        AuthPIError,
        Challenge,
        ErrorRegistry,
        ForeignResponse,
        InvalidRequestError,
    )
    from authpi_errors._foreign import foreign_error
    from authpi_errors._headers import delay_seconds, encode, entity_tag, is_media_range
    from authpi_errors._reference import reference_of
    from authpi_errors._rendering import ErrorResponse, render
    from authpi_errors._validation import fields_error, is_list, is_mapping
    from authpi_errors.compliance import RULES, Response, check
    from authpi_errors.conditional import ETag, IfMatch, IfNoneMatch

__all__ = ["TARGETS"]

REGISTRY: Final = ErrorRegistry()

# As many bytes as servers take in one header; and how long they may keep a request waiting.
LONG: Final = 65_536
SECONDS: Final = 0.5


def in_linear_time(read: Callable[[str], object], text: str) -> None:
    """Read a text repeated: what is quadratic takes seconds for that."""
    repeated = text * (LONG // max(len(text), 1))
    for long in (repeated, text[:1] + repeated, '"' + repeated, repeated + "\0"):
        begun = time.process_time()
        read(long)
        assert time.process_time() - begun < SECONDS, f"{read} is slow"


def is_rare(data: bytes) -> bool:
    """Choose few of the inputs, always the same ones."""
    return sum(data) % 16 == 0


def answer(error: AuthPIError, *, strict: bool = False) -> ErrorResponse:
    """Render an error, whose answer keeps to the contract."""
    response = render(error, REGISTRY)
    sent = h11.Response(status_code=response.status, headers=list(response.headers))
    assert list(sent.headers) == list(response.headers)
    headers = [(name.decode(), value.decode("latin-1")) for name, value in response.headers]
    violations = check(Response(response.status, headers, response.body), REGISTRY)
    assert not [each for each in violations if strict or each.rule not in SAID_BY_OTHERS], (
        violations
    )
    return response


# The rules that somebody can break whose words are taken over: which code goes with which status,
# and what a header says that is kept.
SAID_BY_OTHERS: Final = frozenset(
    """
    cache-control allow accept etag challenge challenge-characters challenge-error
    code code-status retryable fields current-etag invalid-token insufficient-scope leak
    """.split()
)


# Preconditions, against the grammar of RFC 9110, 5.6.1 and 8.8.3, one character after another.


def tags_in(field: str) -> list[str] | None:
    """Give the members of a list of entity tags; `None` if it is none."""
    tags: list[str] = []
    rest = field.strip(" \t")
    expects_comma = False
    while rest:
        if rest[0] in " \t":
            rest = rest[1:]
        elif rest[0] == ",":
            rest, expects_comma = rest[1:], False
        else:
            start = rest.removeprefix("W/")
            opaque, quote, after = start[1:].partition('"')
            if expects_comma or start[:1] != '"' or not quote or not is_opaque(opaque):
                return None
            tags.append(rest[: len(rest) - len(after)])
            rest, expects_comma = after, True
    return tags


def is_opaque(text: str) -> bool:
    return all(mark == "!" or "#" <= mark <= "~" or "\x80" <= mark <= "\xff" for mark in text)


def request(name: bytes, lines: Sequence[bytes]) -> Request:
    return Request({"type": "http", "headers": [(name, line) for line in lines]})


def fuzz_conditional(data: bytes) -> None:
    lines = data.split(b"\n")
    field = ", ".join(line.decode("latin-1") for line in lines)
    if is_rare(data):
        in_linear_time(_read_conditional, field)
    wanted = None if field.strip(" \t") == "*" else tags_in(field)
    try:
        match = IfMatch.of(request(b"if-match", lines))
        none_match = IfNoneMatch.of(request(b"if-none-match", lines))
    except InvalidRequestError as error:
        refused = answer(error, strict=True)
        assert (refused.status, wanted, field.strip(" \t") == "*") == (400, None, False)
        return
    if field.strip(" \t") == "*":
        assert match.tags is none_match.tags is None
        return
    assert wanted is not None
    assert none_match.tags is not None
    assert sorted(none_match.tags) == sorted(set(wanted))
    assert match.tags == frozenset(tag for tag in none_match.tags if not tag.startswith("W/"))
    for tag in none_match.tags:
        assert ETag(tag) == tag == entity_tag(tag)
        assert match.holds_for(tag) is (not tag.is_weak)
        assert none_match.holds_for(tag) is False


def _read_conditional(field: str) -> None:
    try:
        IfMatch.of(request(b"if-match", [field.encode("latin-1")]))
    except InvalidRequestError:
        return


# Header fields.


def fuzz_headers(data: bytes) -> None:
    text = data.decode("utf-8", "surrogatepass" if is_surrogate(data) else "replace")
    seconds = delay_seconds(text)
    assert seconds is None or 0 <= seconds < 2**31
    if text.strip().isdecimal() and len(text) < 20:
        number = int(text.strip())
        assert seconds == (number if number < 2**31 else None)
    moment = datetime.fromtimestamp(int.from_bytes(data[:5], "big") % 2**33, UTC)
    left = max((moment - datetime.now(UTC)).total_seconds(), 0)
    read = delay_seconds(format_datetime(moment, usegmt=True))
    assert read is None if left > 2**31 else read is not None and abs(read - left) < 2
    tag = entity_tag(text)
    assert tag is None or tag == entity_tag(tag) == ETag(tag)
    if is_media_range(text):
        major, _, rest = text.partition("/")
        assert major
        assert rest
        assert text.replace("\t", "").isprintable()
    field = encode(text[:9], text)
    sent = h11.Response(status_code=400, headers=[] if field is None else [field])
    assert list(sent.headers) == ([] if field is None else [field])
    if is_rare(data):
        for read_long in (delay_seconds, entity_tag, is_media_range):
            in_linear_time(read_long, text)


def is_surrogate(data: bytes) -> bool:
    try:
        data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return False
    return True


# Challenges, read back by Werkzeug.


def fuzz_challenge(data: bytes) -> None:
    scheme, name, value = [*data.decode("utf-8", "replace").split("\n", 2), "", ""][:3]
    try:
        challenge = Challenge(scheme, {name: value})
    except ValueError:
        return
    text = str(challenge)
    assert encode("www-authenticate", text) == (b"www-authenticate", text.encode("latin-1"))
    if not name.isascii() or name.endswith("*") or scheme.lower() == "negotiate":
        # RFC 8187 gives such a name a meaning of its own.
        return
    read = WWWAuthenticate.from_header(text)
    assert read is not None
    assert read.type == scheme.lower()
    if name.lower() == "scope":
        value = " ".join(value.split())
    if not value and name.lower() in ("error", "error_description", "scope"):
        assert text == scheme
        return
    quoted = read.parameters[name.lower()] if name.lower() in read.parameters else read.get(name)
    assert quoted is not None
    assert len(quoted) == min(len(value), 400 if name.lower() == "error_description" else LONG)
    if re.fullmatch(r"[ !#-\[\]-~]*", value):
        assert quoted == value[: len(quoted)]
    if name.lower() not in ("error", "error_description", "scope"):
        assert re.fullmatch(r"[\t -~\x80-\xff]*", value) is None or quoted == value


# Responses of others: a status, header lines, an empty line, a body.


def fuzz_foreign(data: bytes) -> None:
    head, _, body = data.partition(b"\n\n")
    first, *lines = head.split(b"\n")
    status = 400 + int.from_bytes(first[:3], "big") % 200
    if first.isdigit() and 400 <= int(first[:9]) < 600:
        status = int(first)
    fields = [tuple(line.partition(b":")[::2]) for line in lines]
    raw = [(name.strip().lower(), value.strip()) for name, value in fields]
    response = ForeignResponse({"type": "http"}, status, Headers(raw=raw), body)
    is_json = response.media_type == "application/json"
    if response.is_foreign and is_json:
        assert list(json.loads(body)) == ["detail"]
    made = answer(foreign_error(response, REGISTRY))
    members = json.loads(made.body)
    # FastAPI's validation errors, of which there may be none.
    assert made.status == status or (status, made.status, is_json) == (422, 400, True)
    assert members["error"] == made.code
    names = {name for name, _ in made.headers}
    assert not names & {b"content-encoding", b"transfer-encoding", b"last-modified"}


# Validation errors: whatever a record holds, its input stays here.


SECRET: Final = "the input of somebody"


def fuzz_validation(data: bytes) -> None:
    found = decoded(data)
    records = [*map(_with_input, found)] if is_list(found) else [found]
    response = answer(fields_error(records))
    assert response.status == 400
    assert SECRET not in response.body.decode()
    assert len(json.loads(response.body).get("fields", [])) == min(len(records), 100)


def _with_input(record: object) -> object:
    given = {"input": SECRET, "ctx": {"error": SECRET}, "url": SECRET}
    return {**record, **given} if is_mapping(record) else record


def decoded(data: bytes) -> Any:
    """Decode JSON, and where there is none take the text: as an application that got it would."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return data.decode("utf-8", "replace")


# What a client behind us said, or an `HTTPException`.


def fuzz_detail(data: bytes) -> None:
    status = 400 + sum(data) % 200
    response = answer(REGISTRY.error_for(status, decoded(data)))
    assert response.status == status
    assert json.loads(response.body)["error"] == response.code


# Ids that come with a request.


def fuzz_reference(data: bytes) -> None:
    lines = data.split(b"\n")
    names = [b"traceparent", b"x-request-id"]
    headers = [(names[index % 2], line) for index, line in enumerate(lines)]
    reference = reference_of({"type": "http", "headers": headers})
    assert re.fullmatch(r"[!-~]{1,128}", reference)
    if reference.encode() not in data:
        assert re.fullmatch(r"[0-9a-f]{32}", reference)
    if is_rare(data):
        in_linear_time(_reference, data.decode("latin-1"))


def _reference(text: str) -> str:
    sent = text.encode("latin-1")
    return reference_of({"type": "http", "headers": [(b"traceparent", sent), (b"b", sent)]})


# The judge of compliance itself.


def fuzz_compliance(data: bytes) -> None:
    head, _, body = data.partition(b"\n\n")
    lines = head.decode("latin-1").split("\n")
    headers = [
        (name.strip(), value.strip()) for name, _, value in (x.partition(":") for x in lines)
    ]
    response = Response(400 + len(body) % 200, headers, body)
    violations = check(response)
    assert violations == check(response)
    assert all(each.rule in RULES for each in violations)
    assert all(each.found.isascii() and each.found.isprintable() for each in violations)
    if is_rare(data):
        in_linear_time(_check, head.decode("latin-1"))


def _check(text: str) -> object:
    names = ("WWW-Authenticate", "Retry-After", "ETag", "Allow", "Accept", "Cache-Control")
    return check(Response(401, [(name, text) for name in names], b"{}"))


# A configuration file.


def fuzz_configuration(data: bytes) -> None:
    mapping = decoded(data)
    if is_mapping(mapping):
        # Exceptions are imported: not what a fuzzer names.
        mapping = {name: value for name, value in mapping.items() if name != "exceptions"}
    try:
        registry = ErrorRegistry.from_mapping(mapping)
    except ValueError:
        return
    for status in (400, 401, 404, 599):
        error = registry.error_for(status)
        assert render(error, registry).status == status
    assert registry.codes.keys() >= REGISTRY.codes.keys()
    assert (registry | registry).codes == registry.codes


# What the fuzzer begins with, behind lines of dots.
SEEDS: Final = {
    fuzz_conditional: """\
*
...
"a"
...
W/"a", "b",, "é"
...
"a
"b"
...
"a" "b"
...
 ,"", W/
...
w/"a"
""",
    fuzz_headers: """\
120
...
Sun, 06 Nov 1994 08:49:37 GMT
...
Sunday, 06-Nov-94 08:49:37 GMT
...
Fri, 31 Dec 9999 23:59:59 -9999
...
W/"é"
...
text/html;level="1"; q=0.5
...
٣
""",
    fuzz_challenge: """\
Bearer
realm
a "b" \\c
...
DPoP
scope
é\r
""",
    fuzz_foreign: """\
404
content-type: text/plain
set-cookie: a=1

Gone.
...
404
content-type: application/json

{"detail": "Gone."}
...
422
Content-Type: application/json; a

{"detail":[{"loc":["body",0],"msg":"m","type":"missing"}]}
...
409
content-type:application/json

{"detail":{"error":"a","error_description":"b","retry_after":5,"fields":[{"field":"a"}]}}
...
405
allow: GET
retry-after: 5
www-authenticate: Basic
content-length: 99


""",
    fuzz_validation: """\
[{"loc":["body","a",0],"msg":"Field required","type":"missing"}]
...
[{"loc":["body",5],"msg":"m","type":"json_invalid"},{"type":"uuid_parsing"}]
...
[[]]
""",
    fuzz_detail: """\
Gone.
...
{"error":"conflict","error_description":"No.","retryable":true,"retry_after":5}
...
{"error":"x","error_description":"","fields":[{"field":"a","code":"b"}]}
...
{"error":"precondition_failed","error_description":"No.","currentETag":"\\"1\\""}
...
[1e999, NaN]
""",
    fuzz_reference: """\
00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
abc
...
cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what
...

abc-DEF_1
""",
    fuzz_compliance: """\
content-type: application/json
cache-control: no-store

{"error":"not_found","error_description":"No.","retryable":false}
...
WWW-Authenticate: Bearer realm="a", error="invalid_token"
content-encoding: gzip

a
...
\\"
...
etag: W/"1"
retry-after: 5
allow: GET, HEAD

{"fields":[{"field":"a"}]}
""",
    fuzz_configuration: """\
{"codes":{"a_b":{"status":402,"description":"d","retryable":true,"retry_after":5}}}
...
{"codes":{"a":{"status":410,"description":"d"}},"statuses":{"402":"a"}}
...
{"challenges":[{"scheme":"Basic","parameters":{"a":"b"}}]}
""",
}

TARGETS: Final = {target.__name__.removeprefix("fuzz_"): target for target in SEEDS}
"""What is fuzzed: functions of the input."""


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description="Fuzz one of the parsers.")
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("file", nargs="?", type=Path, help="an input to try again")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--corpus", type=Path, help="a folder that keeps the inputs found")
    options = parser.parse_args(arguments)
    logging.disable()
    target = TARGETS[options.target]
    if options.file is not None:
        target(options.file.read_bytes())
        return
    # It stays: the process ends in the fuzzer, and what breaks a target is written into it.
    folder = Path(tempfile.mkdtemp(prefix=f"fuzz-{options.target}-"))
    corpora = [options.corpus or folder / "found", folder / "seeds"]
    for corpus in corpora:
        corpus.mkdir(parents=True, exist_ok=True)
    for index, seed in enumerate(SEEDS[target].removesuffix("\n").split("\n...\n")):
        Path(folder, "seeds", str(index)).write_bytes(seed.encode())
    limits = [f"-max_total_time={options.seconds}", "-timeout=10", "-max_len=2048"]
    limits += ["-rss_limit_mb=1024", f"-artifact_prefix={folder}/"]
    atheris.Setup([sys.argv[0], *limits, *map(str, corpora)], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
