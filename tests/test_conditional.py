"""Entity tags and preconditions: RFC 9110, 8.8.3, 13.1 and 13.2, and never a match by mistake."""

from __future__ import annotations

import copy
import pickle
import sqlite3
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient
from werkzeug.http import parse_etags

from authpi_errors import InvalidRequestError, PreconditionFailedError, install
from authpi_errors._headers import entity_tag
from authpi_errors.conditional import (
    ETag,
    IfMatch,
    IfNoneMatch,
    check_if_match,
    check_if_none_match,
    is_not_modified,
)
from tests.growth import case, is_linear

TRIED = settings(deadline=None, max_examples=200, derandomize=True, database=None)


class Revision(str, Enum):  # noqa: UP042 - not shown as its value
    """Versions, as an application may keep them."""

    FIRST = "r1"


def asking(if_match: str | Iterable[str] = (), if_none_match: str | Iterable[str] = ()) -> Request:
    """Make a request with the lines of the two fields."""
    lines = {b"if-match": if_match, b"if-none-match": if_none_match}
    headers = [
        (name, line.encode("latin-1"))
        for name, given in lines.items()
        for line in ([given] if isinstance(given, str) else given)
    ]
    return Request({"type": "http", "headers": headers})


def tags_of(*lines: str) -> set[str] | None:
    """Read `If-None-Match`, which keeps weak tags."""
    tags = IfNoneMatch.of(asking(if_none_match=lines)).tags
    return None if tags is None else set(tags)


# The tag itself


@pytest.mark.parametrize(
    ("tag", "header"),
    [
        pytest.param(ETag('"7"'), '"7"', id="a header's text"),
        pytest.param(ETag('W/"7"'), 'W/"7"', id="a weak header's text"),
        pytest.param(ETag('""'), '""', id="nothing in the quotes"),
        pytest.param(ETag('"a,b"'), '"a,b"', id="a comma"),
        pytest.param(ETag('"\\\x80\xff"'), '"\\\x80\xff"', id="a backslash and latin-1"),
        pytest.param(ETag(ETag('"7"')), '"7"', id="another tag"),
        pytest.param(ETag.of_version(7), '"7"', id="a counter"),
        pytest.param(ETag.of_version("a1b2"), '"a1b2"', id="a hash"),
        pytest.param(ETag.of_version("W/7"), '"W/7"', id="what looks weak, in quotes"),
        pytest.param(ETag.of_version(Revision.FIRST), '"r1"', id="a member of an enum of str"),
        pytest.param(ETag.of_version(7, weak=True), 'W/"7"', id="a weak version"),
        pytest.param(ETag.of_time(1709139600000), '"1709139600000"', id="milliseconds"),
        pytest.param(ETag.of_time(0, 5), '"0"', id="the first millisecond of all"),
        pytest.param(ETag.of_time(None, 5), '"5"', id="the creation, of what was never changed"),
        pytest.param(ETag.of_time(6, 5), '"6"', id="the change before the creation"),
        pytest.param(
            ETag.of_time(datetime(2024, 2, 28, 17, tzinfo=UTC)), '"1709139600000"', id="in UTC"
        ),
        pytest.param(
            ETag.of_time(datetime(2024, 2, 28, 12, tzinfo=timezone(timedelta(hours=-5)))),
            '"1709139600000"',
            id="in New York",
        ),
        pytest.param(
            ETag.of_time(datetime(2024, 2, 28, 17, 0, 0, 1999, UTC)),
            '"1709139600001"',
            id="parts of a millisecond cut off",
        ),
        pytest.param(
            ETag.of_time(datetime(1969, 12, 31, 23, 59, 59, 999_500, UTC)), '"-1"', id="before 1970"
        ),
        pytest.param(
            ETag.of_bytes(b"{}", weak=True), 'W/"44136fa355b3678a1146ad16f7e8649e"', id="content"
        ),
    ],
)
def test_tag_is_the_text_of_a_header(tag: ETag, header: str) -> None:
    assert str(tag) == header
    assert entity_tag(tag) == header
    assert tag.is_weak == header.startswith("W/")
    assert f'"{tag.opaque}"' == header.removeprefix("W/")


@pytest.mark.parametrize(
    "header",
    [
        pytest.param("", id="nothing"),
        pytest.param("7", id="no quotes"),
        pytest.param('"7', id="one quote"),
        pytest.param('w/"7"', id="a small w"),
        pytest.param('W/ "7"', id="a space after the slash"),
        pytest.param(' "7"', id="white space before"),
        pytest.param('"a b"', id="a space inside"),
        pytest.param('"a"b"', id="a quote inside"),
        pytest.param('"a\x7f"', id="DEL inside"),
        pytest.param('"a\r\nb"', id="CR and LF inside"),
        pytest.param('"7"\n', id="LF after"),
        pytest.param('"€"', id="a character outside latin-1"),
        pytest.param("*", id="a star"),
        pytest.param('"1", "2"', id="two"),
        pytest.param(7, id="a number"),
        pytest.param(b'"7"', id="bytes"),
        pytest.param(None, id="None"),
    ],
)
def test_what_is_no_tag_is_refused(header: Any) -> None:
    with pytest.raises(ValueError, match="not an entity tag"):
        ETag(header)


@pytest.mark.parametrize("version", ["a b", 'a"b', "é€", "\n", "\ud800", True, 1.5, None, b"7"])
def test_version_that_no_tag_can_hold_is_refused(version: Any) -> None:
    with pytest.raises(ValueError, match=r"tag|version"):
        ETag.of_version(version)


@pytest.mark.parametrize(
    ("updated_at", "created_at"),
    [
        pytest.param(datetime(2024, 2, 28), None, id="no time zone"),  # noqa: DTZ001
        pytest.param(None, datetime(2024, 2, 28), id="created without one"),  # noqa: DTZ001
        pytest.param(None, None, id="no time"),
        pytest.param(1.5, None, id="a float"),
        pytest.param(True, None, id="a bool"),
        pytest.param("1709139600000", None, id="text"),
    ],
)
def test_what_is_no_moment_is_refused(updated_at: Any, created_at: Any) -> None:
    with pytest.raises(ValueError, match="time"):
        ETag.of_time(updated_at, created_at)


def test_different_bytes_have_different_tags_and_equal_bytes_equal_ones() -> None:
    assert ETag.of_bytes(b"a") == ETag.of_bytes(b"a") != ETag.of_bytes(b"b")
    assert not ETag.of_bytes(b"a").is_weak


@pytest.mark.parametrize(
    ("one", "other", "strongly", "weakly"),
    [
        # The table of RFC 9110, 8.8.3.2.
        ('W/"1"', 'W/"1"', False, True),
        ('W/"1"', 'W/"2"', False, False),
        ('W/"1"', '"1"', False, True),
        ('"1"', '"1"', True, True),
        # And what it leaves to the reader.
        ('"a"', '"A"', False, False),
        ('""', '""', True, True),
        ('"W/1"', 'W/"1"', False, False),
    ],
)
def test_tags_are_compared_as_rfc_9110_says(
    one: str, other: str, strongly: bool, weakly: bool
) -> None:
    for a, b in ((ETag(one), ETag(other)), (ETag(other), ETag(one))):
        assert (a.matches_strongly(b), a.matches_weakly(b)) == (strongly, weakly)


def test_tag_shows_what_it_is_and_survives_copies() -> None:
    tag = ETag('W/"7"')
    assert repr(tag) == "ETag('W/\"7\"')"
    for other in (copy.deepcopy(tag), pickle.loads(pickle.dumps(tag))):
        assert (other, type(other)) == (tag, ETag)


def test_tag_can_not_be_changed() -> None:
    tag: Any = ETag('"7"')
    with pytest.raises(AttributeError):
        tag.is_weak = True
    with pytest.raises(AttributeError):
        tag.note = "x"


# The fields


@pytest.mark.parametrize(
    ("lines", "tags"),
    [
        pytest.param(['"1"'], {'"1"'}, id="one"),
        pytest.param(['"1", W/"2"'], {'"1"', 'W/"2"'}, id="two, one of them weak"),
        pytest.param(['"1"', '"2"'], {'"1"', '"2"'}, id="two lines"),
        pytest.param(['"1","2"'], {'"1"', '"2"'}, id="no space"),
        pytest.param(['\t"1" \t,\t "2"\t '], {'"1"', '"2"'}, id="tabs and spaces"),
        pytest.param([',, "1" , ,"2",'], {'"1"', '"2"'}, id="empty members"),
        pytest.param(['"1"', "", '"2"'], {'"1"', '"2"'}, id="an empty line"),
        pytest.param(['"a,b", ",", "*"'], {'"a,b"', '","', '"*"'}, id="commas and a star inside"),
        pytest.param(['"1", "1"'], {'"1"'}, id="one twice"),
        pytest.param(['"", "\xe9\\"'], {'""', '"\xe9\\"'}, id="nothing and odd characters inside"),
        pytest.param(["*"], None, id="a star"),
        pytest.param([" *\t"], None, id="a star with white space around"),
        # RFC 9110, 5.6.1 and 13.1: a list without members is legal, and nothing is in it.
        pytest.param([""], set[str](), id="no member"),
        pytest.param([" , ,"], set[str](), id="only empty members"),
    ],
)
def test_field_is_read(lines: list[str], tags: set[str] | None) -> None:
    assert tags_of(*lines) == tags
    assert IfNoneMatch.of(asking(if_none_match=lines)).is_present


MALFORMED = [
    pytest.param(["7"], id="no quotes"),
    pytest.param(['"7'], id="one quote"),
    pytest.param(['"1" "2"'], id="no comma"),
    pytest.param(['"1""2"'], id="nothing between"),
    pytest.param(['"1"; "2"'], id="a semicolon"),
    pytest.param(['w/"1"'], id="a small w"),
    pytest.param(['W/ "1"'], id="a space after the slash"),
    pytest.param(["W/1"], id="weak without quotes"),
    pytest.param(['"a b"'], id="a space inside"),
    pytest.param(['"a\tb"'], id="a tab inside"),
    pytest.param(['"1", "a b"'], id="one wrong after one right"),
    pytest.param(['"1", 2'], id="one without quotes after one right"),
    pytest.param(['*, "1"'], id="a star and a tag"),
    pytest.param(['"1"', "*"], id="a tag and a star in two lines"),
    pytest.param(["*", "*"], id="two stars"),
    pytest.param([",*"], id="a star in a list"),
    pytest.param(["**"], id="a double star"),
    pytest.param(['"1', '2"'], id="quotes across lines"),
    pytest.param(['"1"\x0b'], id="a vertical tab"),
    pytest.param(['"1"\xa0, "2"'], id="a space that is none in HTTP"),
    pytest.param(["null"], id="a word"),
]


@pytest.mark.parametrize("lines", MALFORMED)
def test_malformed_field_is_an_invalid_request_and_never_a_match(lines: list[str]) -> None:
    with pytest.raises(InvalidRequestError, match="If-Match is malformed") as refused:
        check_if_match(asking(lines), '"1"')
    assert [field.field for field in refused.value.fields] == ["header.if-match"]
    for check in (check_if_none_match, is_not_modified):
        with pytest.raises(InvalidRequestError, match="If-None-Match is malformed"):
            check(asking(if_none_match=lines), '"1"')


def test_what_the_client_sent_is_not_repeated() -> None:
    with pytest.raises(InvalidRequestError) as refused:
        IfMatch.of(asking("secret"))
    assert "secret" not in f"{refused.value} {refused.value.fields}"


@pytest.mark.parametrize(
    "make",
    [
        case(lambda n: " " * (4 * n) + "x", name="spaces"),
        case(lambda n: '"1"' + " " * (4 * n) + "x", name="spaces after a tag"),
        case(lambda n: "," * (4 * n) + "x", name="commas"),
        case(lambda n: ", " * (2 * n) + "x", name="commas and spaces"),
        case(lambda n: '"' * (4 * n + 1), name="quotes"),
        case(lambda n: '"' + "a" * (4 * n), name="a quote that is left open"),
        case(lambda n: "W/" * (2 * n), name="weak, weak, weak"),
        case(lambda n: '"",' * n + '"', name="empty tags"),
        case(lambda n: '"a" ,\t' * n + "x", name="tags and white space"),
        case(lambda n: '"a",' * n + '" "', name="the last of many"),
    ],
)
def test_hostile_field_costs_linear_time(make: Callable[[int], str]) -> None:
    def read(request: Request) -> None:
        with pytest.raises(InvalidRequestError):
            IfMatch.of(request)

    assert is_linear(read, lambda n: asking(make(n)), 25_000)


def test_long_list_is_read_to_its_end() -> None:
    many = ", ".join(f'"{number}"' for number in range(10_000))
    check_if_match(asking(many), '"9999"')


# RFC 9110, 8.8.3. Werkzeug reads `""` as no tag at all: here it is one, so that it is left out.
OPAQUE = st.text(
    st.one_of(
        st.sampled_from(",*/W\\!'"),
        st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters='"').filter(
            lambda c: not "\x7f" <= c < "\x80"
        ),
    ),
    min_size=1,
)
TAG = st.builds(ETag.of_version, OPAQUE, weak=st.booleans())
WHITE_SPACE = st.text(" \t", max_size=2)
COMMA = st.builds("".join, st.lists(st.tuples(WHITE_SPACE, st.just(",")).map("".join), min_size=1))


def werkzeug_tags(field: str) -> set[str]:
    """Give what Werkzeug reads, in the form of a header."""
    tags = parse_etags(field)
    weak = tags.as_set(include_weak=True) - tags.as_set()
    # A tag that comes strong and weak is in both of its sets; only the weak one has a name here.
    both = {tag for tag in tags.as_set() if tags.is_weak(tag)}
    return {f'"{tag}"' for tag in tags.as_set()} | {f'W/"{tag}"' for tag in weak | both}


@TRIED
@given(st.lists(st.tuples(TAG, WHITE_SPACE, COMMA, WHITE_SPACE), min_size=1), COMMA | WHITE_SPACE)
def test_legal_list_is_read_as_werkzeug_reads_it(
    members: list[tuple[ETag, str, str, str]], first: str
) -> None:
    field = first + "".join("".join(member) for member in members)
    assert tags_of(field) == {member[0] for member in members} == werkzeug_tags(field)


@TRIED
@given(st.text('"""W/w*,, \tab\xe9', max_size=12))
@example('"1", "2"')
@example('w/"1"')
@example("1")
def test_any_text_is_refused_or_read_as_werkzeug_reads_it(field: str) -> None:
    # Werkzeug forgives what is malformed: `w/"1"`, tags without quotes, spaces in them; and skips
    # what it can't read. Here all that is refused. It knows `*` only without white space.
    assume('""' not in field and field.strip() != "*")
    try:
        tags = tags_of(field)
    except InvalidRequestError:
        return
    assert tags == werkzeug_tags(field)


@TRIED
@given(st.lists(st.lists(TAG, max_size=3), min_size=1, max_size=4))
def test_lines_are_one_list(lines: list[list[ETag]]) -> None:
    assert tags_of(*(", ".join(line) for line in lines)) == {tag for line in lines for tag in line}


@TRIED
@given(st.lists(TAG, max_size=3), TAG)
def test_condition_holds_by_the_comparison_of_its_rfc(tags: list[ETag], current: ETag) -> None:
    tags.append(ETag.of_version(current.opaque, weak=len(tags) % 2 == 1))
    field = ", ".join(tags)
    assert IfMatch.of(asking(field)).holds_for(current) == any(
        tag.matches_strongly(current) for tag in tags
    )
    assert not IfNoneMatch.of(asking(if_none_match=field)).holds_for(current)


# The checks


@pytest.mark.parametrize(
    ("if_match", "current"),
    [
        pytest.param([], '"1"', id="no field"),
        pytest.param([], None, id="no field and no resource"),
        pytest.param('"1"', '"1"', id="the current tag"),
        pytest.param('W/"1", "2", "1"', '"1"', id="one of several"),
        pytest.param(['"2"', '"1"'], '"1"', id="in another line"),
        pytest.param("*", '"1"', id="a star"),
        pytest.param("*", 'W/"1"', id="a star for what has a weak tag"),
    ],
)
def test_method_may_go_on(if_match: str | list[str], current: str | None) -> None:
    check_if_match(asking(if_match), current)
    check_if_match(asking(if_match), None if current is None else ETag(current))


@pytest.mark.parametrize(
    ("if_match", "current"),
    [
        pytest.param('"2"', '"1"', id="another tag"),
        pytest.param('W/"1"', '"1"', id="a weak tag"),
        pytest.param('"1"', 'W/"1"', id="a strong tag for what has a weak one"),
        pytest.param('W/"1"', 'W/"1"', id="twice the same weak tag"),
        pytest.param("", '"1"', id="a list without members"),
        pytest.param('"1"', None, id="no resource"),
        pytest.param("*", None, id="a star and no resource"),
    ],
)
def test_method_fails_with_the_current_tag(if_match: str, current: str | None) -> None:
    with pytest.raises(PreconditionFailedError, match=r"^User 7 (is no longer|does not)") as failed:
        check_if_match(asking(if_match), current, resource="User 7")
    assert failed.value.current_etag == current


def test_required_field_is_required_whether_the_resource_exists_or_not() -> None:
    for current in ('"1"', None):
        with pytest.raises(InvalidRequestError, match=r"^User 7 .* If-Match") as refused:
            check_if_match(asking(), current, resource="User 7", required=True)
        assert refused.value.status == 428
    check_if_match(asking('"1"'), '"1"', required=True)


@pytest.mark.parametrize(
    ("if_none_match", "current", "holds"),
    [
        pytest.param([], '"1"', True, id="no field"),
        pytest.param([], None, True, id="no field and no resource"),
        pytest.param("*", None, True, id="a star and no resource"),
        pytest.param("*", '"1"', False, id="a star"),
        pytest.param('"1"', None, True, id="a tag and no resource"),
        pytest.param('"2"', '"1"', True, id="another tag"),
        pytest.param('"1"', '"1"', False, id="the current tag"),
        pytest.param('"2", W/"1"', '"1"', False, id="a weak one of several"),
        pytest.param('"1"', 'W/"1"', False, id="a strong tag for what has a weak one"),
        pytest.param("", '"1"', True, id="a list without members"),
    ],
)
def test_if_none_match_is_412_for_writing_and_304_for_reading(
    if_none_match: str | list[str], current: str | None, holds: bool
) -> None:
    request = asking(if_none_match=if_none_match)
    assert is_not_modified(request, current) is not holds
    if holds:
        check_if_none_match(request, current)
    else:
        with pytest.raises(PreconditionFailedError, match=r"^User 7 exists") as failed:
            check_if_none_match(request, current, resource="User 7")
        assert failed.value.current_etag == current


@pytest.mark.parametrize("check", [check_if_none_match, is_not_modified])
def test_if_match_comes_before_if_none_match(check: Any) -> None:
    # RFC 9110, 13.2.2: the second is looked at only if the first holds.
    with pytest.raises(PreconditionFailedError, match="no longer in the version"):
        check(asking('"2"', '"1"'), '"1"')
    with pytest.raises(PreconditionFailedError, match="no longer in the version"):
        check(asking('"2"', "malformed"), '"1"')


@pytest.mark.parametrize("check", [check_if_match, check_if_none_match, is_not_modified])
def test_wrong_current_tag_is_found_by_the_first_request(check: Any) -> None:
    with pytest.raises(ValueError, match="not an entity tag"):
        check(asking(), "1709139600000")


# What goes into SQL


@pytest.mark.parametrize(
    ("if_match", "is_present", "versions"),
    [
        pytest.param([], False, None, id="no field"),
        pytest.param("*", True, None, id="a star"),
        pytest.param('"1", W/"2", "3"', True, {"1", "3"}, id="the strong ones"),
        pytest.param('W/"2"', True, set[str](), id="none of them"),
    ],
)
def test_if_match_is_a_value(
    if_match: str | list[str], is_present: bool, versions: set[str] | None
) -> None:
    precondition = IfMatch.of(asking(if_match))
    assert precondition == IfMatch.of(asking(if_match))
    assert len({precondition, IfMatch.of(asking(if_match))}) == 1
    assert (precondition.is_present, precondition.versions) == (is_present, versions)


def rename(database: sqlite3.Connection, request: Request) -> int:
    """Change the one row in one statement, and say how many were changed."""
    versions = IfMatch.of(request).versions
    statement = "UPDATE users SET version = version + 1"
    if versions is not None:
        marks = ", ".join("?" * len(versions))
        statement += f" WHERE CAST(version AS TEXT) IN ({marks})"
    return database.execute(statement, [*(versions or ())]).rowcount


@pytest.mark.parametrize(
    ("if_match", "changed"),
    [
        pytest.param([], [1, 1], id="without a precondition both write"),
        pytest.param("*", [1, 1], id="with a star both write"),
        pytest.param('"6", "7"', [1, 0], id="with the version only the first"),
        pytest.param('W/"7"', [0, 0], id="with a weak tag none"),
        pytest.param('"7)OR(1=1"', [0, 0], id="with SQL none"),
    ],
)
def test_write_is_atomic_in_sql(if_match: str | list[str], changed: list[int]) -> None:
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE users (version INTEGER)")
    database.execute("INSERT INTO users VALUES (7)")
    assert [rename(database, asking(if_match)) for _ in range(2)] == changed
    database.close()


# In an application


async def read_or_write(request: Request) -> Response:
    tag = ETag.of_time(datetime(2024, 2, 28, 17, tzinfo=UTC))
    if request.method in ("GET", "HEAD"):
        if is_not_modified(request, tag):
            return Response(status_code=304, headers={"ETag": tag})
        return JSONResponse({"data": {}}, headers={"ETag": tag})
    if request.method == "PUT":
        check_if_none_match(request, tag, resource="User 7")
    else:
        check_if_match(request, tag, resource="User 7", required=True)
    return Response(status_code=204, headers={"ETag": tag})


@pytest.fixture
def client() -> TestClient:
    methods = ["GET", "PUT", "PATCH"]
    app = Starlette(routes=[Route("/users/7", read_or_write, methods=methods)])
    install(app)
    return TestClient(app)


CURRENT = '"1709139600000"'


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        pytest.param("GET", [], 200, id="a read"),
        pytest.param("GET", [("If-None-Match", CURRENT)], 304, id="a read of what is known"),
        pytest.param("HEAD", [("If-None-Match", f"W/{CURRENT}")], 304, id="a HEAD"),
        pytest.param("GET", [("If-None-Match", '"1"')], 200, id="a read of what is new"),
        pytest.param("GET", [("If-None-Match", "1")], 400, id="a malformed read"),
        pytest.param("PATCH", [("If-Match", CURRENT)], 204, id="a change"),
        pytest.param(
            "PATCH", [("If-Match", '"1"'), ("If-Match", CURRENT)], 204, id="a change, in two lines"
        ),
        pytest.param("PATCH", [("If-Match", '"1"')], 412, id="a change of what was changed"),
        pytest.param("PATCH", [("If-Match", f"W/{CURRENT}")], 412, id="a change by a weak tag"),
        pytest.param("PATCH", [], 428, id="a blind change"),
        pytest.param("PATCH", [("If-Match", "1709139600000")], 400, id="a malformed change"),
        pytest.param("PUT", [("If-None-Match", "*")], 412, id="a creation of what exists"),
        pytest.param("PUT", [], 204, id="a replacement"),
    ],
)
def test_application_answers(
    client: TestClient, method: str, headers: list[tuple[str, str]], status: int
) -> None:
    response = client.request(method, "/users/7", headers=headers)
    assert response.status_code == status
    assert ("etag" in response.headers) == (status not in (400, 428))
    if status >= 400:
        code = "precondition_failed" if status == 412 else "invalid_request"
        assert response.json()["error"] == code


def test_failed_precondition_names_the_current_tag_in_all_three_places(client: TestClient) -> None:
    response = client.patch("/users/7", headers={"If-Match": '"1"'})
    assert response.headers["ETag"] == CURRENT
    assert response.json() == {
        "error": "precondition_failed",
        "error_description": "User 7 is no longer in the version that If-Match names. "
        "Fetch it, and send its ETag.",
        "retryable": False,
        "current_etag": CURRENT,
        "currentETag": CURRENT,
    }


def test_malformed_field_is_named(client: TestClient) -> None:
    answer = client.patch("/users/7", headers={"If-Match": "1709139600000"}).json()
    message = 'Send * or a list of entity tags, each in quotes, such as "1709139600000".'
    assert answer["error_description"] == f"If-Match is malformed. {message}"
    assert answer["fields"] == [
        {"field": "header.if-match", "code": "malformed", "message": message}
    ]
