"""A tour of every error code, driven by AuthPI's own client against a real server.

Starts the Core API of `examples/core_api` on a free port of this machine, with a database of its
own, leads the official SDK (`authpi_admin`) into each error, and compares what arrives with the
AuthPI contract, to the letter. Exits with 1 if anything differs.
"""

import argparse
import asyncio
import json
import re
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from authpi_admin import AuthPIAdmin, errors
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text
from starlette.types import ASGIApp

from examples.core_api import create_app, demo
from examples.core_api.__main__ import commands
from examples.core_api.serving import serving

MEMBERS: dict[str, type] = {
    "error": str,
    "error_description": str,
    "reference": str,
    "retryable": bool,
    "retry_after": int,
    "fields": list,
    "current_etag": str,
    "currentETag": str,
}
"""The members of a body, in the order that the contract gives them."""

SHOWN = ("ETag", "WWW-Authenticate", "Retry-After", "Accept", "Accept-Post", "Allow")
"""The headers that tell errors apart; those that all have are only checked."""


class Client:
    """The SDK with a memory: what the server really sent, beside what the SDK makes of it."""

    def __init__(self, url: str, http: httpx.AsyncClient) -> None:
        self._url = url
        self._http = http
        self.responses: list[httpx.Response] = []
        http.event_hooks = {"response": [self._remember]}

    async def _remember(self, response: httpx.Response) -> None:
        await response.aread()
        self.responses.append(response)

    @property
    def etag(self) -> str:
        """The ETag of the last response."""
        return str(self.responses[-1].headers["etag"])

    def admin(self, key: demo.ApiKey = demo.FULL, account_id: str | None = None) -> AuthPIAdmin:
        """The SDK with an API key."""
        return AuthPIAdmin(
            api_key=key.pair,
            account_id=account_id or key.account_id,
            base_url=self._url,
            http_client=self._http,
            retries=False,
        )

    def signed_in(self, token: demo.Token) -> AuthPIAdmin:
        """The SDK with a session's access token."""
        return AuthPIAdmin(
            access_token=token.token,
            account_id=demo.ACCOUNT,
            base_url=self._url,
            http_client=self._http,
            retries=False,
        )


async def invalid_user(client: Client) -> None:
    issuer = await client.admin().issuers.create({"name": "Invalid users"})
    users = client.admin().issuer(issuer.id).users
    await users.create({"username_type": "telepathy", "profile": {}})


async def reused_idempotency_key(client: Client) -> None:
    issuers = client.admin().issuers
    await issuers.create({"name": "Sent first"}, idempotency_key="order-66")
    await issuers.create({"name": "Sent second"}, idempotency_key="order-66")


async def wrong_method(client: Client) -> None:
    await client.admin().http.request("PUT", "/v1/me", body={})


async def wrong_content_type(client: Client) -> None:
    issuers = client.admin().issuers
    await issuers.create({"name": "A spreadsheet"}, headers={"content-type": "text/csv"})


async def wrong_secret(client: Client) -> None:
    await client.admin(demo.ApiKey(demo.FULL.id, "guessed")).whoami()


async def expired_session(client: Client) -> None:
    await client.signed_in(demo.EXPIRED_SESSION).issuers.list()


async def foreign_account(client: Client) -> None:
    await client.admin(demo.OTHER, account_id=demo.ACCOUNT).issuers.list()


async def missing_scope(client: Client) -> None:
    await client.admin(demo.READ_ONLY).issuers.create({"name": "Not mine to make"})


async def unknown_issuer(client: Client) -> None:
    await client.admin().issuers.get("iss_nowhere")


async def name_taken(client: Client) -> None:
    for _ in range(2):
        await client.admin().issuers.create({"name": "Unique"})


async def stale_etag(client: Client) -> None:
    issuers = client.admin().issuers
    issuer = await issuers.create({"name": "Stale"})
    etag = client.etag
    await issuers.update(issuer.id, {"description": "Changed since"}, if_match=etag)
    await issuers.delete(issuer.id, if_match=etag)


async def too_many_requests(client: Client) -> None:
    for _ in range(100):
        await client.admin(demo.LIMITED).whoami()


async def full_plan(client: Client) -> None:
    issuers = client.admin(demo.TRIAL).issuers
    for name in ("The plan's one", "One too many"):
        await issuers.create({"name": name})


async def bug(client: Client) -> None:
    await client.admin().http.request("GET", "/demo/divide-by-zero")


@dataclass(frozen=True, slots=True)
class Step:
    """A way into an error, and what the contract says of that error.

    Attributes:
        doing: What the client does, for the reader.
        act: Does it.
        code: The `error` of the body.
        status: The status.
        raises: The SDK's exception.
        members: The body's members beside `error`, `error_description` and `retryable`.
        headers: Patterns, each of which a header must contain.
        retryable: Whether the same request may succeed later.
    """

    doing: str
    act: Callable[[Client], Awaitable[None]]
    code: str
    status: int
    raises: type[errors.ApiError]
    members: frozenset[str] = frozenset()
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    retryable: bool = False


STEPS = [
    Step(
        "create a user of no known type, without a name",
        invalid_user,
        "invalid_request",
        400,
        errors.ValidationError,
        members=frozenset({"fields"}),
    ),
    Step(
        "send an Idempotency-Key again, with another body",
        reused_idempotency_key,
        "invalid_request",
        422,
        errors.ValidationError,
    ),
    Step(
        "PUT where only GET is",
        wrong_method,
        "invalid_request",
        405,
        errors.UnexpectedError,
        headers={"allow": "^GET$"},
    ),
    Step(
        "send CSV instead of JSON",
        wrong_content_type,
        "invalid_content_type",
        415,
        errors.UnexpectedError,
        headers={"accept": "^application/json$", "accept-post": "^application/json$"},
    ),
    Step(
        "use a key with a guessed secret",
        wrong_secret,
        "unauthorized_client",
        401,
        errors.AuthenticationError,
        headers={"www-authenticate": '^Basic realm="core".*, Bearer realm="core"'},
    ),
    Step(
        "come back with an old session",
        expired_session,
        "session_expired",
        401,
        errors.AuthenticationError,
        headers={"www-authenticate": 'Bearer (?=.*realm="core").*error="invalid_token"'},
    ),
    Step(
        "list another account's issuers",
        foreign_account,
        "access_denied",
        403,
        errors.ForbiddenError,
    ),
    Step(
        "write with a read-only key",
        missing_scope,
        "insufficient_scope",
        403,
        errors.ForbiddenError,
        headers={"www-authenticate": 'Bearer.* error="insufficient_scope".* scope="issuers:write"'},
    ),
    Step(
        "read an issuer that isn't there",
        unknown_issuer,
        "not_found",
        404,
        errors.NotFoundError,
    ),
    Step(
        "create two issuers of one name",
        name_taken,
        "conflict",
        409,
        errors.ConflictError,
    ),
    Step(
        "delete what was changed meanwhile",
        stale_etag,
        "precondition_failed",
        412,
        errors.PreconditionFailedError,
        members=frozenset({"current_etag", "currentETag"}),
        headers={"etag": r'^"\d+"$'},
    ),
    Step(
        "send more requests than the key's limit",
        too_many_requests,
        "usage_limit_exceeded",
        429,
        errors.RateLimitError,
        members=frozenset({"retry_after"}),
        headers={"retry-after": r"^\d+$"},
        retryable=True,
    ),
    Step(
        "create more issuers than the plan's maximum",
        full_plan,
        "quota_exhausted",
        402,
        errors.UnexpectedError,
    ),
    Step(
        "meet a bug",
        bug,
        "server_error",
        500,
        errors.InternalServerError,
        members=frozenset({"reference"}),
    ),
]


def violations(step: Step, response: httpx.Response, error: errors.ApiError) -> Iterator[str]:
    """How a response, and what the SDK made of it, differ from the contract."""
    pairs: list[tuple[str, Any]] = json.loads(response.content, object_pairs_hook=list)
    body = dict(pairs)
    base = {"error", "error_description", "retryable"}
    names = [name for name in MEMBERS if name in base | step.members]
    if [name for name, _ in pairs] != names:
        yield f"the members are {[name for name, _ in pairs]}, not {names}"
    for name, value in pairs:
        # A bool is an int to `isinstance`, and not to JSON.
        if type(value) is not MEMBERS.get(name):
            yield f"{name} is {value!r}"
    yield from differences(
        {
            "status": (response.status_code, step.status),
            "error": (body.get("error"), step.code),
            "retryable": (body.get("retryable"), step.retryable),
            "content-type": (response.headers.get("content-type"), "application/json"),
            "content-length": (response.headers.get("content-length"), str(len(response.content))),
            "cache-control": (response.headers.get("cache-control"), "no-store"),
            "the SDK's exception": (type(error), step.raises),
            "the SDK's error": (error.error, step.code),
            "the SDK's error_description": (error.error_description, body["error_description"]),
            "the SDK's retryable": (error.retryable, step.retryable),
            "the SDK's reference": (error.reference, body.get("reference")),
        }
    )
    for name, pattern in step.headers.items():
        value = response.headers.get(name, "")
        if not re.search(pattern, value):
            yield f"{name} is {value!r}, not {pattern}"
    match error:
        case errors.ValidationError():
            yield from field_violations(step, error)
        case errors.PreconditionFailedError():
            etag = response.headers.get("etag")
            yield from differences(
                {
                    "current_etag": (body.get("current_etag"), etag),
                    "currentETag": (body.get("currentETag"), etag),
                    "the SDK's current_etag": (error.current_etag, etag),
                }
            )
        case errors.RateLimitError():
            seconds = response.headers.get("retry-after")
            yield from differences(
                {
                    "retry_after": (str(body.get("retry_after")), seconds),
                    "the SDK's retry_after": (str(error.retry_after), seconds),
                }
            )
        case _:
            pass


def field_violations(step: Step, error: errors.ValidationError) -> Iterator[str]:
    """How the field errors that the SDK read differ from the contract."""
    if bool(error.fields) != ("fields" in step.members):
        yield f"the SDK's fields are {error.fields}"
    for item in error.fields:
        if list(item) != ["field", "code", "message"]:
            yield f"a field error has the members {list(item)}"
        if not all(isinstance(value, str) for value in item.values()):
            yield f"a field error is {item}"


def differences(pairs: Mapping[str, tuple[object, object]]) -> Iterator[str]:
    """The pairs, got and expected, that aren't equal."""
    for name, (got, expected) in pairs.items():
        if got != expected:
            yield f"{name} is {got!r}, not {expected!r}"


def what_it_read(error: errors.ApiError) -> str:
    """The SDK's exception, and what is in it for a program."""
    lines = [type(error).__name__]
    match error:
        case errors.ValidationError():
            lines += [f"{item['field']}: {item['code']}" for item in error.fields]
        case errors.PreconditionFailedError():
            lines.append(f"current_etag={error.current_etag}")
        case errors.RateLimitError():
            lines.append(f"retry_after={error.retry_after}")
        case _:
            pass
    if error.reference is not None:
        lines.append(f"reference={error.reference}")
    return "\n".join(lines)


@dataclass(slots=True)
class Report:
    """What the tour shows, and what it found wrong."""

    table: Table
    wrong: list[str]

    def add(self, step: Step, response: httpx.Response, error: errors.ApiError) -> None:
        """Notes one step."""
        found = list(violations(step, response, error))
        self.wrong += [f"{step.doing}: {violation}" for violation in found]
        headers = [
            f"{shown}: {value}" for shown in SHOWN for value in response.headers.get_list(shown)
        ]
        self.table.add_row(
            Text(step.doing),
            Text(str(response.status_code), "red" if found else "green"),
            Text(error.error, "bold"),
            Text(what_it_read(error)),
            Text("\n".join(headers)),
        )


async def visit(url: str, log: Path, report: Report) -> None:
    """Goes through all steps."""
    async with httpx.AsyncClient() as http:
        client = Client(url, http)
        for step in STEPS:
            try:
                await step.act(client)
            except errors.ApiError as error:
                report.add(step, client.responses[-1], error)
                if error.reference is not None and not await explains(error.reference, log):
                    report.wrong.append(
                        f"{step.doing}: the log lacks a traceback with {error.reference}"
                    )
            else:
                report.wrong.append(f"{step.doing}: no error came")


async def explains(reference: str, log: Path) -> bool:
    """Whether the server logs a traceback that has a reference: it may do so after its answer.

    The line that names the error and its reference says that there is a bug; only the traceback
    says where. The reference is a note there, under the exception.
    """
    traceback = re.compile(
        rf"^Traceback \(.*\):\n(?: .*\n)+\S+Error: .*\nreference: {re.escape(reference)}$",
        re.MULTILINE,
    )
    deadline = time.monotonic() + 5
    while traceback.search(log.read_text(encoding="utf-8")) is None:
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True


async def lost_update(url: str, report: Report) -> list[str]:
    """Two clients change what both have read; gives the story, line by line."""
    async with httpx.AsyncClient() as first_http, httpx.AsyncClient() as second_http:
        first, second = Client(url, first_http), Client(url, second_http)
        issuer = await first.admin().issuers.create({"name": "Shared"})
        await first.admin().issuers.get(issuer.id)
        await second.admin().issuers.get(issuer.id)
        seen = second.etag
        story = [f"two clients read one issuer: both see ETag {seen}"]
        issuers = first.admin().issuers
        await issuers.update(issuer.id, {"description": "the first's"}, if_match=first.etag)
        story.append(f"the first sends its change, If-Match {seen}: 200, ETag {first.etag}")
        issuers = second.admin().issuers
        try:
            await issuers.update(issuer.id, {"name": "Theirs"}, if_match=seen)
            report.wrong.append("lost update: the second client wasn't stopped")
        except errors.PreconditionFailedError as error:
            story.append(f"the second too: 412, current_etag {error.current_etag}")
            await issuers.update(issuer.id, {"name": "Theirs"}, if_match=error.current_etag)
            story.append(
                f"the second again, If-Match {error.current_etag}: 200, ETag {second.etag}"
            )
        both = await issuers.get(issuer.id)
        story.append(f"both changes are there: name={both.name!r} description={both.description!r}")
        expected = {"name": (both.name, "Theirs"), "description": (both.description, "the first's")}
        report.wrong += [f"lost update: {found}" for found in differences(expected)]
        return story


def new_table() -> Table:
    """The empty table."""
    table = Table(box=box.HORIZONTALS, show_lines=True, expand=True, padding=(0, 1))
    table.add_column("What the client does", ratio=5)
    table.add_column("Status", width=6)
    table.add_column("Code", width=20)
    table.add_column("The SDK raises, and reads", width=28, overflow="fold")
    table.add_column("Headers", ratio=6)
    return table


def main(
    arguments: Sequence[str] | None = None, make_app: Callable[[Path], ASGIApp] = create_app
) -> int:
    """Takes the tour.

    Args:
        arguments: The command line; `None` is the process's own.
        make_app: Makes the application to visit, from the path of its database.

    Returns:
        The exit code: 0 if everything is as the contract says, else 1.
    """
    parser = argparse.ArgumentParser(prog="python -m examples.tour", description=__doc__)
    parser.add_argument(
        "--serve", action="store_true", help="leave the server running afterwards, for curl"
    )
    parser.add_argument(
        "--port", type=int, default=0, help="serve on this port; default: one that is free"
    )
    parser.add_argument(
        "--log", type=Path, help="keep the server's log, with its tracebacks, in this file"
    )
    options = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 120)
    with tempfile.TemporaryDirectory() as folder:
        log = options.log or Path(folder, "server.log")
        with serving(make_app(Path(folder, "core.sqlite3")), log, port=options.port) as url:
            report = Report(new_table(), [])
            asyncio.run(visit(url, log, report))
            story = asyncio.run(lost_update(url, report))
            console.print(report.table)
            console.print("\nA lost update, prevented:", style="bold")
            for number, line in enumerate(story, 1):
                console.print(f"  {number}. {line}", markup=False, highlight=False)
            for violation in report.wrong:
                console.print(f"Not as the contract says: {violation}", style="red", markup=False)
            if not report.wrong:
                console.print(
                    f"\n{len(STEPS)} errors, all as the contract says: JSON of the right members,"
                    " Content-Length, Cache-Control: no-store.",
                    style="green",
                )
            if options.serve:
                with suppress(KeyboardInterrupt):
                    console.print(f"\nServing at {url} until Ctrl-C:", highlight=False)
                    console.print(commands(url), markup=False, highlight=False, soft_wrap=True)
                    threading.Event().wait()
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
