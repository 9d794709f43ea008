"""The commands: what is asked for, done, and printed."""

from __future__ import annotations

import asyncio
import math
import re
import sys
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import replace
from functools import partial
from inspect import iscoroutine
from io import TextIOWrapper
from pathlib import Path
from pkgutil import resolve_name
from types import FunctionType, MethodType
from typing import Final, TypeGuard, cast
from urllib.parse import urlsplit
from uuid import uuid4

import click
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from starlette.types import ASGIApp

from authpi_errors._checking import Report, run
from authpi_errors._configuration import takes
from authpi_errors._printing import (
    codes_as_json,
    codes_as_markdown,
    codes_as_text,
    printable,
    report_as_json,
    report_as_text,
)
from authpi_errors._probing import Probe, is_same_origin
from authpi_errors._registry import ErrorRegistry
from authpi_errors._service import IN_PROCESS, UnreachableError, serving

__all__ = ["cli"]

_NAME: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
# RFC 9110, 5.1 and 5.5; values beyond ASCII are read in different ways.
_HEADER: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([ -~]*?)[ \t]*")


class _Failed(click.ClickException):
    """One sentence for standard error."""

    exit_code = 2


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """AuthPI errors: which there are, and whether a service gives them as the contract says."""
    # Not every encoding has every character, such as where Windows writes to a file. There may be
    # no such stream.
    with suppress(AttributeError):
        cast("TextIOWrapper", sys.stdout).reconfigure(errors="backslashreplace")


@cli.command()
@click.argument("registry", metavar="[MODULE:REGISTRY]", required=False)
@click.option("--json", "form", flag_value="json", help="Print a JSON array.")
@click.option("--markdown", "form", flag_value="markdown", help="Print a Markdown table.")
def codes(registry: str | None, form: str | None) -> None:
    """Print the table of codes.

    Without an argument these are AuthPI's eleven. MODULE:REGISTRY names an ErrorRegistry, such as
    `app.errors:registry`: then these are its codes, with those that it adds or replaces. An
    exit status of 2 means that there is no such registry.
    """
    table = list(_registry(registry).codes.values())
    if form == "json":
        click.echo(codes_as_json(table))
    elif form == "markdown":
        click.echo(codes_as_markdown(table))
    else:
        _print(codes_as_text(table))


def _finite(context: click.Context, parameter: click.Parameter, seconds: float) -> float:
    if not math.isfinite(seconds):
        raise click.BadParameter("Give a number of seconds.", context, parameter)
    return seconds


_CHECK: Final = """Check whether the errors of a service are what AuthPI's contract says.

The service, in any language, is a URL: where its paths begin, or its host, if its OpenAPI document
says where they begin. Or it is MODULE:APP, an ASGI application or a function that makes one, which
then runs in this process.

\b
These requests are made, which fail and can change nothing:
  no such path           GET and HEAD of a random path
  no such method         PROPFIND, which is safe, where a path has only safe
                         methods
  random names           GET with random names for the parameters in the path
  no parameters          GET without the parameters that are required
  malformed JSON,        POST, PUT and PATCH of a lone brace, with random
  no such content type   names in the path, where the document requires a
                         JSON object with members that may not be missing;
                         and PATCH of what isn't there
  without credentials    one of these, where the document requires credentials
  invalid credentials    one such GET for each way to authenticate

No DELETE is ever sent, no valid body, nothing to another host, and redirects are not followed. The
one way to change something is a service that acts on a body which it can't read, against its own
document; that is reported.

All but the random path needs an OpenAPI document. With credentials (see --header) protected
operations are asked beyond their 401: each GET, though it may succeed, and malformed bodies.

\b
Exit status:
  0    every error is as the contract says
  1    there are violations
  2    nothing could be checked: a mistake in the command, no service, or no
       errors
  130  interrupted
"""


@cli.command(help=_CHECK)
@click.argument("service", nargs=-1, metavar="URL|MODULE:APP")
@click.option(
    "--openapi",
    metavar="FILE|URL",
    help="The service's OpenAPI 3 document, in JSON. Default: /openapi.json of the service.",
)
@click.option(
    "--header",
    "-H",
    "headers",
    multiple=True,
    metavar="'NAME: VALUE'",
    help="A header to send, such as credentials; @FILE reads headers from a file, one a line. May "
    "be repeated. Its value is never printed, nor sent to another host.",
)
@click.option(
    "--registry",
    metavar="MODULE:REGISTRY",
    help="An ErrorRegistry with the codes that the service has beside AuthPI's.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    callback=_finite,
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long one answer may take, or an application's start or stop.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object instead of a table.")
def check(
    *,
    service: tuple[str, ...],
    openapi: str | None,
    headers: tuple[str, ...],
    registry: str | None,
    timeout: float,
    as_json: bool,
) -> None:
    """Check a service."""
    if len(service) != 1:
        # Nor are these repeated: without its quotes a header looks like arguments.
        raise _Failed(
            f"check takes one URL or MODULE:APP, and got {len(service)}: a header needs quotes, as "
            "in --header 'Name: value'."
        )
    url, app = _target(service[0])
    if app is not None and openapi is not None and not _is_known(openapi):
        raise _Failed(
            f"An application in this process is asked alone: --openapi takes a file, or a URL that "
            f"begins with {IN_PROCESS}."
        )
    given = list(_headers(headers))
    known = _registry(registry)
    name = str(uuid4())

    async def checked() -> Report:
        async with serving(app, given, timeout) as served:
            with _progress() as progress:
                report = await run(
                    served, url, name, openapi=openapi, registry=known, progress=progress
                )
        return replace(report, service=service[0], notes=[*report.notes, *served.notes])

    try:
        # An application in this process may print what it likes: the result stands alone.
        with redirect_stdout(sys.stderr):
            report = asyncio.run(checked())
    except UnreachableError as exc:
        raise _Failed(str(exc)) from None
    except KeyboardInterrupt:
        raise click.exceptions.Exit(130) from None
    if as_json:
        click.echo(report_as_json(report))
    else:
        _print(report_as_text(report))
    if not report.error_count and not report.violation_count:
        raise _Failed("No request was answered with an error: there was nothing to check.")
    raise click.exceptions.Exit(1 if report.violation_count else 0)


@contextmanager
def _progress() -> Generator[Callable[[int, int, Probe], None]]:
    """Give what shows how far a check is, on a standard error that is a terminal."""
    console = Console(stderr=True)
    columns = (BarColumn(20), MofNCompleteColumn(), TextColumn("{task.description}", markup=False))
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("", total=None)

        def progress(done: int, total: int, probe: Probe) -> None:
            bar.update(task, completed=done, total=total, description=printable(str(probe)))

        yield progress


def _print(what: RenderableType) -> None:
    console = Console(file=sys.stdout)
    with console.capture() as capture:
        console.print(what)
    click.echo("\n".join(line.rstrip() for line in capture.get().splitlines()))


def _target(service: str) -> tuple[str, ASGIApp | None]:
    """Give the URL of a service, and the application if it runs in this process."""
    if _NAME.fullmatch(service):
        return IN_PROCESS, _application(service)
    try:
        parts = urlsplit(service)
        is_whole = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        is_whole = False
    # What was given isn't repeated: it may be credentials at the wrong place.
    if not is_whole:
        raise _Failed(
            "check takes a URL with its scheme, such as http://localhost:8000, or an application, "
            "such as package.module:app."
        )
    if "@" in service or "?" in service or "#" in service:
        raise _Failed("The URL has no place for credentials and queries: use --header.")
    return service.rstrip("/"), None


def _is_known(place: str) -> bool:
    """Say whether a document can be had without the network."""
    return "://" not in place or is_same_origin(place, IN_PROCESS)


def _application(name: str) -> ASGIApp:
    app = _load(name)
    if _makes_one(app):
        try:
            with redirect_stdout(sys.stderr):
                app = app()
        except (Exception, SystemExit) as exc:
            raise _Failed(f"{name} makes no application: {_last_line(exc)}") from exc
    if iscoroutine(app):
        # Or Python warns that nobody has awaited it.
        app.close()
    if not callable(app) or isinstance(app, type):
        raise _Failed(f"{name} is not an ASGI application, but {_a(app)}.")
    if not takes(app, 3):
        raise _Failed(
            f"{name} is no ASGI application, which takes scope, receive and send; nor does it make "
            "one without arguments."
        )
    return cast("ASGIApp", app)


def _makes_one(value: object) -> TypeGuard[Callable[[], object]]:
    """Say whether something is called without arguments to make an application."""
    if not callable(value) or isinstance(value, type) or not takes(value, 0):
        return False
    # An object that takes anything is an application that leaves it to another.
    return isinstance(value, FunctionType | MethodType | partial) or not takes(value, 3)


def _registry(name: str | None) -> ErrorRegistry:
    if name is None:
        return ErrorRegistry()
    if not _NAME.fullmatch(name):
        raise _Failed("The registry is named as in package.module:registry.")
    registry = _load(name)
    if not isinstance(registry, ErrorRegistry):
        raise _Failed(f"{name} is not an ErrorRegistry, but {_a(registry)}.")
    return registry


def _a(value: object) -> str:
    return f"an object of type {type(value).__qualname__}"


def _load(name: str) -> object:
    """Give what `module:attribute` names."""
    try:
        with redirect_stdout(sys.stderr):
            return resolve_name(name)
    except (Exception, SystemExit) as exc:
        raise _Failed(f"{name} can't be imported: {_last_line(exc)}") from exc


def _last_line(exc: BaseException) -> str:
    return " ".join(traceback.format_exception_only(exc)[-1].split())


def _headers(options: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Read the headers; the messages don't repeat them."""
    for line in (line for option in options for line in _lines(option)):
        header = _HEADER.fullmatch(line)
        if header is None:
            raise _Failed(
                "--header takes 'Name: value', in printable ASCII, or @FILE; one is not like that."
            )
        yield header[1], header[2]


def _lines(option: str) -> list[str]:
    if not option.startswith("@"):
        return [option]
    try:
        lines = Path(option[1:]).read_text("utf-8").splitlines()
    except (OSError, ValueError):
        raise _Failed("The file that --header names can't be read.") from None
    return [line for line in lines if line.strip()]
