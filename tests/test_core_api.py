"""The example's Core API on a real server, seen by the official SDK and by a plain client."""

import asyncio
import base64
import hashlib
import json
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from authpi_admin import AuthPIAdmin, errors
from authpi_admin.errors import error_from_response
from authpi_admin.generated import models
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from authpi_errors.codes import CODES
from examples import fastapi_minimal, starlette_minimal, tour
from examples.core_api import create_app, demo
from examples.core_api.serving import serving

ISSUERS = f"/v1/accounts/{demo.ACCOUNT}/issuers"
JSON = {"content-type": "application/json"}
ROOT = Path(tour.__file__).parent.parent


@dataclass(frozen=True, slots=True)
class CoreAPI:
    """The Core API, being served."""

    url: str
    database: Path
    log: Path


@pytest.fixture(scope="module")
def core_api(tmp_path_factory: pytest.TempPathFactory) -> Generator[CoreAPI]:
    """A real server on a free port."""
    folder = tmp_path_factory.mktemp("core_api")
    database, log = folder / "core.sqlite3", folder / "server.log"
    with serving(create_app(database), log) as url:
        yield CoreAPI(url, database, log)


@pytest.fixture
def anyio_backend() -> str:
    """The SDK runs on asyncio alone."""
    return "asyncio"


@pytest.fixture
async def http(core_api: CoreAPI) -> AsyncGenerator[httpx.AsyncClient]:
    """A plain client that may do everything in the demo account."""
    async with httpx.AsyncClient(base_url=core_api.url, auth=demo.FULL.pair) as client:
        yield client


@pytest.fixture
async def admin(core_api: CoreAPI) -> AsyncGenerator[AuthPIAdmin]:
    """The SDK, which may do everything in the demo account."""
    async with AuthPIAdmin(
        api_key=demo.FULL.pair, account_id=demo.ACCOUNT, base_url=core_api.url
    ) as client:
        yield client


@pytest.fixture
async def issuer(admin: AuthPIAdmin) -> models.Issuer:
    """A fresh issuer."""
    return await admin.issuers.create({"name": unique("issuer")})


def unique(name: str) -> str:
    """A name that no other test takes."""
    return f"{name} {uuid4().hex}"


def etag(resource: models.Issuer | models.User) -> str:
    """The entity tag that belongs to a resource."""
    return f'"{resource.updated_at}"'


def basic(key: demo.ApiKey) -> dict[str, str]:
    """The header that a key is sent in."""
    return {"authorization": "Basic " + base64.b64encode(":".join(key.pair).encode()).decode()}


def bearer(token: str) -> dict[str, str]:
    """The header that an access token is sent in."""
    return {"authorization": f"Bearer {token}"}


def error_of(response: httpx.Response) -> errors.ApiError:
    """What the SDK makes of a response."""
    return error_from_response(
        status_code=response.status_code, body=response.json(), headers=dict(response.headers)
    )


# Each code: a request that leads to it, and the SDK's exception

Build = Callable[[httpx.AsyncClient, models.Issuer], httpx.Request]
WAYS: dict[str, tuple[int, type[errors.ApiError], Build]] = {
    "invalid_request": (
        400,
        errors.ValidationError,
        lambda http, issuer: http.build_request("POST", ISSUERS, json={"name": 5}),
    ),
    "invalid_content_type": (
        415,
        errors.UnexpectedError,
        lambda http, issuer: http.build_request("POST", ISSUERS, content="name=x"),
    ),
    "unauthorized_client": (
        401,
        errors.AuthenticationError,
        lambda http, issuer: http.build_request("GET", ISSUERS, headers=bearer("unknown")),
    ),
    "session_expired": (
        401,
        errors.AuthenticationError,
        lambda http, issuer: http.build_request(
            "GET", "/v1/me", headers=bearer(demo.EXPIRED_SESSION.token)
        ),
    ),
    "access_denied": (
        403,
        errors.ForbiddenError,
        lambda http, issuer: http.build_request("GET", ISSUERS, headers=basic(demo.OTHER)),
    ),
    "insufficient_scope": (
        403,
        errors.ForbiddenError,
        lambda http, issuer: http.build_request(
            "DELETE", f"{ISSUERS}/{issuer.id}", headers=basic(demo.READ_ONLY)
        ),
    ),
    "not_found": (
        404,
        errors.NotFoundError,
        lambda http, issuer: http.build_request("GET", f"{ISSUERS}/{issuer.id}/users/usr_nobody"),
    ),
    "conflict": (
        409,
        errors.ConflictError,
        lambda http, issuer: http.build_request("POST", ISSUERS, json={"name": issuer.name}),
    ),
    "precondition_failed": (
        412,
        errors.PreconditionFailedError,
        lambda http, issuer: http.build_request(
            "DELETE", f"{ISSUERS}/{issuer.id}", headers={"if-match": '"1"'}
        ),
    ),
    "usage_limit_exceeded": (
        429,
        errors.RateLimitError,
        lambda http, issuer: http.build_request("GET", "/v1/me", headers=basic(demo.LIMITED)),
    ),
    "server_error": (
        500,
        errors.InternalServerError,
        lambda http, issuer: http.build_request("GET", "/demo/divide-by-zero"),
    ),
    "quota_exhausted": (
        402,
        errors.UnexpectedError,
        lambda http, issuer: http.build_request(
            "POST",
            f"/v1/accounts/{demo.TRIAL_ACCOUNT}/issuers",
            json={"name": unique("trial")},
            headers=basic(demo.TRIAL),
        ),
    ),
}


async def provoke(
    code: str, http: httpx.AsyncClient, issuer: models.Issuer
) -> tuple[httpx.Response, errors.ApiError]:
    """Sends the request until it fails, as limits do only after a while."""
    build = WAYS[code][2]
    # Without the client's own credentials, where the request has some.
    response = httpx.Response(200)
    while response.is_success:
        request = build(http, issuer)
        own = "authorization" in request.headers
        response = await http.send(request, auth=None if own else httpx.USE_CLIENT_DEFAULT)
    return response, error_of(response)


def test_every_code_of_the_contract_has_a_way_to_it() -> None:
    assert set(WAYS) == {*CODES, "quota_exhausted"}


@pytest.mark.anyio
@pytest.mark.parametrize("code", WAYS)
async def test_the_sdk_reads_the_code(
    code: str, http: httpx.AsyncClient, issuer: models.Issuer
) -> None:
    status, error_class, _ = WAYS[code]
    response, error = await provoke(code, http, issuer)
    assert (error.error, response.status_code, type(error)) == (code, status, error_class)


@pytest.mark.anyio
@pytest.mark.parametrize("code", WAYS)
async def test_the_body_fits_the_schemas_of_the_api(
    code: str, http: httpx.AsyncClient, issuer: models.Issuer
) -> None:
    response, _ = await provoke(code, http, issuer)
    body = models.ApiError.model_validate_json(response.content, strict=True)
    assert (body.error, body.retryable) == (code, code == "usage_limit_exceeded")


@pytest.mark.anyio
@pytest.mark.parametrize("code", WAYS)
async def test_no_error_is_stored_by_caches(
    code: str, http: httpx.AsyncClient, issuer: models.Issuer
) -> None:
    response, _ = await provoke(code, http, issuer)
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.anyio
async def test_a_validation_error_names_its_fields(
    http: httpx.AsyncClient, issuer: models.Issuer
) -> None:
    _, error = await provoke("invalid_request", http, issuer)
    assert isinstance(error, errors.ValidationError)
    assert [(item["field"], item["code"]) for item in error.fields] == [("name", "string_type")]


@pytest.mark.anyio
async def test_a_failed_precondition_tells_the_current_etag_everywhere(
    http: httpx.AsyncClient, issuer: models.Issuer
) -> None:
    response, error = await provoke("precondition_failed", http, issuer)
    assert isinstance(error, errors.PreconditionFailedError)
    body = models.PreconditionFailedError.model_validate_json(response.content, strict=True)
    told = {
        body.current_etag,
        error.current_etag,
        response.json()["currentETag"],
        response.headers["etag"],
    }
    assert told == {etag(issuer)}


@pytest.mark.anyio
async def test_a_rate_limit_says_when_to_come_back(
    http: httpx.AsyncClient, issuer: models.Issuer
) -> None:
    response, error = await provoke("usage_limit_exceeded", http, issuer)
    assert isinstance(error, errors.RateLimitError)
    assert error.retry_after in (1, 2, 3)
    assert response.headers["retry-after"] == str(error.retry_after)


@pytest.mark.anyio
async def test_the_sdk_waits_as_long_as_a_rate_limit_says_and_then_succeeds(
    core_api: CoreAPI,
) -> None:
    statuses: list[int] = []

    async def note(response: httpx.Response) -> None:
        statuses.append(response.status_code)

    async with httpx.AsyncClient(event_hooks={"response": [note]}) as http:
        admin = AuthPIAdmin(
            api_key=demo.LIMITED.pair, base_url=core_api.url, http_client=http, retries={"limit": 1}
        )
        while 429 not in statuses:
            await admin.whoami()
    assert statuses[-2:] == [429, 200]


@pytest.mark.anyio
async def test_a_lacking_scope_is_named_in_the_challenge(
    http: httpx.AsyncClient, issuer: models.Issuer
) -> None:
    response, _ = await provoke("insufficient_scope", http, issuer)
    challenge = response.headers["www-authenticate"]
    assert challenge.startswith("Bearer ")
    assert 'error="insufficient_scope"' in challenge
    assert 'scope="issuers:write"' in challenge


@pytest.mark.anyio
async def test_an_expired_session_is_an_invalid_token_to_oauth(
    http: httpx.AsyncClient, issuer: models.Issuer
) -> None:
    response, _ = await provoke("session_expired", http, issuer)
    assert 'error="invalid_token"' in response.headers["www-authenticate"]


@pytest.mark.anyio
async def test_who_sends_no_credentials_is_told_what_would_do(core_api: CoreAPI) -> None:
    async with httpx.AsyncClient(base_url=core_api.url) as http:
        response = await http.get("/v1/me")
    assert error_of(response).error == "unauthorized_client"
    assert response.headers.get_list("www-authenticate") == [
        'Basic realm="core"',
        'Bearer realm="core"',
    ]


@pytest.mark.anyio
@pytest.mark.parametrize(
    "key",
    [
        pytest.param(demo.ApiKey("key_nobody", "x"), id="unknown key"),
        pytest.param(demo.ApiKey(demo.FULL.id, demo.READ_ONLY.secret), id="another key's secret"),
        pytest.param(demo.ApiKey(demo.FULL.id, "pässword"), id="a secret beyond ASCII"),
        pytest.param(demo.ApiKey(demo.SESSION.id, demo.SESSION.token), id="a session as a key"),
    ],
)
async def test_a_wrong_key_opens_nothing(key: demo.ApiKey, http: httpx.AsyncClient) -> None:
    response = await http.get("/v1/me", headers=basic(key), auth=None)
    assert (response.status_code, error_of(response).error) == (401, "unauthorized_client")


@pytest.mark.anyio
async def test_a_keys_secret_is_no_access_token(http: httpx.AsyncClient) -> None:
    response = await http.get("/v1/me", headers=bearer(demo.FULL.secret), auth=None)
    assert (response.status_code, error_of(response).error) == (401, "unauthorized_client")


@pytest.mark.anyio
async def test_the_405_of_the_framework_keeps_its_allow_header(http: httpx.AsyncClient) -> None:
    response = await http.put("/v1/me")
    assert (response.status_code, error_of(response).error) == (405, "invalid_request")
    assert response.headers["allow"] == "GET"


@pytest.mark.anyio
async def test_a_bug_is_found_in_the_log_by_its_reference(
    core_api: CoreAPI, http: httpx.AsyncClient, issuer: models.Issuer
) -> None:
    response, error = await provoke("server_error", http, issuer)
    assert error.reference
    assert await tour.explains(error.reference, core_api.log)
    log = core_api.log.read_text()
    note = f"\nZeroDivisionError: division by zero\nreference: {error.reference}\n"
    record = f"with 500 server_error, reference {error.reference}: ZeroDivisionError\n"
    assert (log.count(note), log.count(record), log.count(error.reference)) == (1, 1, 2)
    assert "division" not in response.text


# The slice of the API, through the SDK


@pytest.mark.anyio
async def test_a_key_knows_its_account(core_api: CoreAPI) -> None:
    async with AuthPIAdmin(api_key=demo.READ_ONLY.pair, base_url=core_api.url) as admin:
        me = models.CallerIdentity(**await admin.whoami())
    assert (me.type, me.key_id) == ("api_key", demo.READ_ONLY.id)
    assert me.accounts == [
        models.CallerAccountAccess(
            account_id=demo.ACCOUNT, org_id="org_demo", scopes=list(demo.READ)
        )
    ]


@pytest.mark.anyio
async def test_a_session_knows_its_user(core_api: CoreAPI) -> None:
    async with AuthPIAdmin(access_token=demo.SESSION.token, base_url=core_api.url) as admin:
        me = models.CallerIdentity(**await admin.whoami())
    assert (me.type, me.user_id, me.key_id) == ("user", "usr_demo", None)


@pytest.mark.anyio
async def test_the_sdk_finds_the_account_of_its_key_itself(core_api: CoreAPI) -> None:
    async with AuthPIAdmin(api_key=demo.OTHER.pair, base_url=core_api.url) as admin:
        created = await admin.issuers.create({"name": unique("found")})
    assert created.account_id == demo.OTHER_ACCOUNT


@pytest.mark.anyio
async def test_an_issuer_is_created_read_updated_listed_and_deleted(admin: AuthPIAdmin) -> None:
    name = unique("Acme")
    created = await admin.issuers.create(
        {"name": name, "description": "First", "metadata": {"tier": "gold"}}
    )
    assert await admin.issuers.get(created.id) == created
    updated = await admin.issuers.update(created.id, {"description": None})
    assert (updated.name, updated.description) == (name, None)
    assert updated.metadata == models.Metadata.model_validate({"tier": "gold"})
    assert [item.id for item in (await admin.issuers.list(q=name)).data] == [created.id]
    await admin.issuers.delete(created.id)
    with pytest.raises(errors.NotFoundError):
        await admin.issuers.get(created.id)


@pytest.mark.anyio
async def test_a_user_is_created_read_updated_listed_and_deleted(
    admin: AuthPIAdmin, issuer: models.Issuer
) -> None:
    users = admin.issuer(issuer.id).users
    created = await users.create(
        {"username_type": "email", "username": "ada@example.com", "profile": {"name": "Ada"}}
    )
    assert await users.get(created.id) == created
    updated = await users.update(created.id, {"status": "suspended"})
    assert (updated.status, updated.profile) == ("suspended", {"name": "Ada"})
    assert [item.user_id for item in (await users.list(status="suspended")).data] == [created.id]
    assert (await users.list(status="active")).data == []
    await users.delete(created.id)
    with pytest.raises(errors.NotFoundError):
        await users.get(created.id)


@pytest.mark.anyio
async def test_a_username_is_taken_once_in_an_issuer(
    admin: AuthPIAdmin, issuer: models.Issuer
) -> None:
    users = admin.issuer(issuer.id).users
    user = {"username_type": "username", "username": "ada"}
    await users.create(user)
    with pytest.raises(errors.ConflictError):
        await users.create(user)


@pytest.mark.anyio
async def test_a_name_that_is_taken_cannot_be_taken_by_an_update(
    admin: AuthPIAdmin, issuer: models.Issuer
) -> None:
    other = await admin.issuers.create({"name": unique("other")})
    with pytest.raises(errors.ConflictError):
        await admin.issuers.update(other.id, {"name": issuer.name})


@pytest.mark.anyio
async def test_an_issuer_takes_its_users_with_it(admin: AuthPIAdmin, issuer: models.Issuer) -> None:
    user = {"username_type": "username", "username": "ada"}
    await admin.issuer(issuer.id).users.create(user)
    await admin.issuers.delete(issuer.id)
    with pytest.raises(errors.NotFoundError):
        await admin.issuer(issuer.id).users.list()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("method", "body"), [("GET", None), ("PATCH", {"name": "x"}), ("DELETE", None)]
)
async def test_another_accounts_issuer_is_not_found(
    method: str, body: dict[str, str] | None, http: httpx.AsyncClient, issuer: models.Issuer
) -> None:
    path = f"/v1/accounts/{demo.OTHER_ACCOUNT}/issuers/{issuer.id}"
    response = await http.request(method, path, json=body, headers=basic(demo.OTHER), auth=None)
    assert (response.status_code, error_of(response).error) == (404, "not_found")


@pytest.mark.anyio
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b'{"name": "x", "metadata": {"n": NaN}}', id="a number that JSON lacks"),
        pytest.param(b'{"name": "x", "metadata": {"s": "\\ud800"}}', id="half a character"),
        pytest.param(b'{"name": "x", "available_scopes": ["\\ud800"]}', id="half a scope"),
        pytest.param(b'{"name": "x", "owner": "me"}', id="an unknown member"),
        pytest.param(b'{"name": null}', id="null for a name"),
        pytest.param(b'{"name": ', id="half a document"),
        pytest.param(b"", id="nothing"),
    ],
)
async def test_a_body_that_makes_no_issuer_is_an_invalid_request(
    content: bytes, http: httpx.AsyncClient
) -> None:
    response = await http.post(ISSUERS, content=content, headers=JSON)
    error = error_of(response)
    assert isinstance(error, errors.ValidationError)
    assert (response.status_code, error.error) == (400, "invalid_request")
    assert error.fields


# Pagination


@pytest.mark.anyio
@pytest.mark.parametrize("limit", [1, 2, 3, 5, 100])
async def test_all_pages_together_are_the_list(
    limit: int, admin: AuthPIAdmin, issuer: models.Issuer
) -> None:
    users = admin.issuer(issuer.id).users
    created = [
        (await users.create({"username_type": "username", "username": f"user {number}"})).id
        for number in range(5)
    ]
    assert [item.user_id async for item in users.list_all(limit=limit)] == created


@pytest.mark.anyio
async def test_pages_of_issuers_hold_the_summaries_that_the_sdk_expects(admin: AuthPIAdmin) -> None:
    name = unique("many")
    for number in range(3):
        await admin.issuers.create(
            {"name": f"{name} {number}", "available_scopes": ["a", "b"], "status": "active"}
        )
    page = await admin.issuers.list(q=name, status="active", limit=2)
    assert (len(page.data), page.has_more) == (2, True)
    assert [item.available_scope_count for item in page.data] == [2, 2]
    rest = await admin.issuers.list(q=name, status="active", limit=2, cursor=page.next_cursor)
    assert (len(rest.data), rest.has_more, rest.next_cursor) == (1, False, None)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("query", "field"),
    [
        pytest.param({"cursor": "%"}, "query.cursor", id="a cursor that is no cursor"),
        pytest.param({"cursor": "ü"}, "query.cursor", id="a cursor beyond ASCII"),
        pytest.param({"limit": "0"}, "query.limit", id="a page of nothing"),
        pytest.param({"limit": "101"}, "query.limit", id="too large a page"),
        pytest.param({"sort": "name"}, "query.sort", id="an unsupported parameter"),
    ],
)
async def test_a_list_refuses(query: dict[str, str], field: str, http: httpx.AsyncClient) -> None:
    error = error_of(await http.get(ISSUERS, params=query))
    assert isinstance(error, errors.ValidationError)
    assert (error.error, [item["field"] for item in error.fields]) == ("invalid_request", [field])


# ETags and If-Match


@pytest.mark.anyio
async def test_the_etag_is_the_time_of_the_last_change_in_milliseconds(
    http: httpx.AsyncClient, issuer: models.Issuer
) -> None:
    response = await http.get(f"{ISSUERS}/{issuer.id}")
    assert response.headers["etag"] == f'"{response.json()["data"]["updated_at"]}"'


@pytest.mark.anyio
async def test_every_write_makes_a_new_etag_even_if_nothing_changes(
    admin: AuthPIAdmin, issuer: models.Issuer
) -> None:
    versions = [(await admin.issuers.update(issuer.id, {})).updated_at or 0 for _ in range(10)]
    assert versions == sorted(set(versions))


@pytest.mark.anyio
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
@pytest.mark.parametrize(
    ("if_match", "allowed"),
    [
        pytest.param("{etag}", True, id="the current tag"),
        pytest.param('"1", {etag}', True, id="a list with the current tag"),
        pytest.param(',{etag} ,, W/"1"', True, id="a list with empty members"),
        pytest.param("*", True, id="any"),
        pytest.param('"1"', False, id="another tag"),
        pytest.param('"1", "2"', False, id="a list of other tags"),
        pytest.param("W/{etag}", False, id="the current tag, but weak"),
        pytest.param('"0{number}"', False, id="the same number, written otherwise"),
        pytest.param("", False, id="nothing"),
    ],
)
async def test_if_match(
    method: str, if_match: str, allowed: bool, http: httpx.AsyncClient, issuer: models.Issuer
) -> None:
    headers = {"if-match": if_match.format(etag=etag(issuer), number=issuer.updated_at)}
    body = {"description": "changed"} if method == "PATCH" else None
    path = f"{ISSUERS}/{issuer.id}"
    response = await http.request(method, path, json=body, headers=headers)
    assert response.is_success == allowed
    assert allowed or error_of(response).error == "precondition_failed"


@pytest.mark.anyio
@pytest.mark.parametrize("if_match", ["{number}", "{etag} {etag}"], ids=["unquoted", "no list"])
async def test_if_match_that_is_malformed_is_said_to_be(
    if_match: str, http: httpx.AsyncClient, issuer: models.Issuer
) -> None:
    headers = {"if-match": if_match.format(etag=etag(issuer), number=issuer.updated_at)}
    error = error_of(await http.patch(f"{ISSUERS}/{issuer.id}", json={}, headers=headers))
    assert (error.status_code, error.error) == (400, "invalid_request")


@pytest.mark.anyio
async def test_if_match_in_two_headers_is_one_list(
    http: httpx.AsyncClient, issuer: models.Issuer
) -> None:
    headers = [("if-match", '"1"'), ("if-match", etag(issuer))]
    response = await http.patch(f"{ISSUERS}/{issuer.id}", json={}, headers=headers)
    assert response.status_code == 200


@pytest.mark.anyio
@pytest.mark.parametrize("if_match", ["*", '"1"'])
async def test_what_is_not_there_is_not_found_whatever_the_precondition(
    if_match: str, http: httpx.AsyncClient
) -> None:
    response = await http.delete(f"{ISSUERS}/iss_nowhere", headers={"if-match": if_match})
    assert (response.status_code, error_of(response).error) == (404, "not_found")


@pytest.mark.anyio
async def test_no_update_is_lost_between_two_clients(
    core_api: CoreAPI, admin: AuthPIAdmin, issuer: models.Issuer
) -> None:
    async with AuthPIAdmin(
        access_token=demo.SESSION.token, account_id=demo.ACCOUNT, base_url=core_api.url
    ) as other:
        seen = etag(await other.issuers.get(issuer.id))
        await admin.issuers.update(issuer.id, {"description": "mine"}, if_match=seen)
        with pytest.raises(errors.PreconditionFailedError) as caught:
            await other.issuers.update(issuer.id, {"links": {"a": "b"}}, if_match=seen)
        current = caught.value.current_etag
        await other.issuers.update(issuer.id, {"links": {"a": "b"}}, if_match=current)
    both = await admin.issuers.get(issuer.id)
    assert (both.description, both.links) == ("mine", {"a": "b"})


@pytest.mark.anyio
async def test_of_simultaneous_updates_of_one_version_exactly_one_wins(
    http: httpx.AsyncClient, issuer: models.Issuer
) -> None:
    responses = await asyncio.gather(
        *(
            http.patch(
                f"{ISSUERS}/{issuer.id}",
                json={"description": f"change {number}"},
                headers={"if-match": etag(issuer)},
            )
            for number in range(20)
        )
    )
    assert sorted(response.status_code for response in responses) == [200] + [412] * 19
    (winner,) = [response for response in responses if response.is_success]
    current = {response.json()["current_etag"] for response in responses if not response.is_success}
    assert current == {winner.headers["etag"]}


@pytest.mark.anyio
async def test_simultaneous_updates_without_a_precondition_all_happen(
    http: httpx.AsyncClient, issuer: models.Issuer
) -> None:
    requests = (http.patch(f"{ISSUERS}/{issuer.id}", json={}) for _ in range(20))
    responses = await asyncio.gather(*requests)
    assert {response.status_code for response in responses} == {200}
    assert len({response.headers["etag"] for response in responses}) == 20


@pytest.mark.anyio
async def test_simultaneous_requests_do_not_exceed_the_plan(core_api: CoreAPI) -> None:
    async with AuthPIAdmin(api_key=demo.TRIAL.pair, base_url=core_api.url) as admin:
        await admin.whoami()
        names = [unique("race") for _ in range(10)]
        creations = (admin.issuers.create({"name": name}) for name in names)
        await asyncio.gather(*creations, return_exceptions=True)
        assert len((await admin.issuers.list()).data) == 1


# Idempotency


@pytest.mark.anyio
async def test_a_repeated_key_gives_the_same_response(http: httpx.AsyncClient) -> None:
    headers = {"idempotency-key": unique("key")}
    body = {"name": unique("once")}
    first = await http.post(ISSUERS, json=body, headers=headers)
    second = await http.post(ISSUERS, json=body, headers=headers)
    assert first.status_code == second.status_code == 201
    assert first.content == second.content
    assert first.headers["etag"] == second.headers["etag"]


@pytest.mark.anyio
async def test_a_key_is_good_for_one_body(http: httpx.AsyncClient) -> None:
    headers = {"idempotency-key": unique("key")}
    await http.post(ISSUERS, json={"name": unique("first")}, headers=headers)
    response = await http.post(ISSUERS, json={"name": unique("second")}, headers=headers)
    assert (response.status_code, error_of(response).error) == (422, "invalid_request")


@pytest.mark.anyio
async def test_a_key_of_another_account_is_another_key(
    core_api: CoreAPI, admin: AuthPIAdmin
) -> None:
    key, name = unique("key"), unique("name")
    mine = await admin.issuers.create({"name": name}, idempotency_key=key)
    async with AuthPIAdmin(api_key=demo.OTHER.pair, base_url=core_api.url) as other:
        theirs = await other.issuers.create({"name": name}, idempotency_key=key)
    assert mine.id != theirs.id


@pytest.mark.anyio
async def test_a_request_that_failed_leaves_its_key_free(
    admin: AuthPIAdmin, issuer: models.Issuer
) -> None:
    key = unique("key")
    with pytest.raises(errors.ConflictError):
        await admin.issuers.create({"name": issuer.name or ""}, idempotency_key=key)
    name = unique("better")
    assert (await admin.issuers.create({"name": name}, idempotency_key=key)).name == name


@pytest.mark.anyio
async def test_simultaneous_requests_with_one_key_create_one_issuer(
    http: httpx.AsyncClient, admin: AuthPIAdmin
) -> None:
    headers = {"idempotency-key": unique("key")}
    name = unique("once")
    responses = await asyncio.gather(
        *(http.post(ISSUERS, json={"name": name}, headers=headers) for _ in range(10))
    )
    assert {response.status_code for response in responses} <= {201, 409}
    assert len((await admin.issuers.list(q=name)).data) == 1


def claim(database: Path, key: str, content: bytes) -> None:
    """Leaves an Idempotency-Key in use, as a request does that isn't done."""
    fingerprint = hashlib.sha256(f"POST {ISSUERS}\n".encode() + content).hexdigest()
    connection = sqlite3.connect(database)
    with connection:
        connection.execute(
            "INSERT INTO claims (account_id, key, fingerprint, etag) VALUES (?, ?, ?, '')",
            (demo.ACCOUNT, key, fingerprint),
        )
    connection.close()


@pytest.mark.anyio
async def test_a_key_in_progress_is_a_conflict_that_passes(
    core_api: CoreAPI, http: httpx.AsyncClient
) -> None:
    key, content = unique("key"), json.dumps({"name": unique("slow")}).encode()
    claim(core_api.database, key, content)
    headers = {**JSON, "idempotency-key": key}
    response = await http.post(ISSUERS, content=content, headers=headers)
    assert (response.status_code, error_of(response).error) == (409, "conflict")
    assert response.headers["retry-after"] == str(response.json()["retry_after"])


def test_a_restart_frees_the_keys_that_were_in_progress(tmp_path: Path) -> None:
    database, content = tmp_path / "core.sqlite3", b'{"name": "interrupted"}'
    with serving(create_app(database), tmp_path / "first.log"):
        claim(database, "interrupted", content)
    with serving(create_app(database), tmp_path / "second.log") as url:
        headers = {**JSON, "idempotency-key": "interrupted"}
        response = httpx.post(url + ISSUERS, content=content, headers=headers, auth=demo.FULL.pair)
    assert response.status_code == 201


# The tour


class Altered:
    """An application with something changed in what it gets, sends or raises."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        request: Callable[[Scope], object] = bool,
        response: Callable[[Message], object] = bool,
        silent: bool = False,
    ) -> None:
        self._app = app
        self._request = request
        self._response = response
        self._silent = silent

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection."""

        async def altered_send(message: Message) -> None:
            self._response(message)
            await send(message)

        self._request(scope)
        try:
            await self._app(scope, receive, altered_send)
        except ZeroDivisionError:
            if not self._silent:
                raise


def without_header(name: bytes) -> Callable[[Message], None]:
    """A change that takes a header away."""

    def change(message: Message) -> None:
        if "headers" in message:
            message["headers"] = [item for item in message["headers"] if item[0] != name]

    return change


def retryable_always(message: Message) -> None:
    """A change of the body that leaves its length as it was."""
    if "body" in message:
        message["body"] = message["body"].replace(b'"retryable":false', b'"retryable":true ')


def take_tour(*arguments: str, make_app: Callable[[Path], ASGIApp] = create_app) -> int:
    """Takes the tour in a thread: on Python 3.11, coverage loses track of who calls asyncio.run."""
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(tour.main, arguments, make_app).result()


def test_the_tour_ends_well(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    assert take_tour("--log", str(log)) == 0
    shown = capsys.readouterr().out
    assert not [step.code for step in tour.STEPS if step.code not in shown]
    assert "all as the contract says" in shown
    assert "Traceback" not in shown
    assert log.read_text().count("Traceback") == 1


def test_the_tour_goes_through_every_code() -> None:
    assert {step.code for step in tour.STEPS} == {*CODES, "quota_exhausted"}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        pytest.param(
            {"response": without_header(b"cache-control")},
            "cache-control is None, not 'no-store'",
            id="a header is missing",
        ),
        pytest.param(
            {"response": retryable_always},
            "retryable is True, not False",
            id="a member is wrong",
        ),
        pytest.param(
            {"request": without_header(b"if-match")},
            "lost update: the second client wasn't stopped",
            id="If-Match is ignored",
        ),
        pytest.param({"silent": True}, "the log lacks a traceback with", id="a bug is not logged"),
    ],
)
def test_the_tour_fails_when(
    changes: dict[str, Any], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert take_tour(make_app=lambda path: Altered(create_app(path), **changes)) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "Not as the contract says: " in shown
    assert complaint in shown


STEP_OF = {step.status: step for step in tour.STEPS}
GOOD: dict[int, dict[str, Any]] = {
    400: {
        "error": "invalid_request",
        "error_description": "No.",
        "retryable": False,
        "fields": [{"field": "name", "code": "missing", "message": "Missing."}],
    },
    412: {
        "error": "precondition_failed",
        "error_description": "No.",
        "retryable": False,
        "current_etag": '"1"',
        "currentETag": '"1"',
    },
    429: {
        "error": "usage_limit_exceeded",
        "error_description": "No.",
        "retryable": True,
        "retry_after": 3,
    },
}


def complaints(status: int, body: dict[str, Any]) -> list[str]:
    """What the tour says of a response."""
    headers = {"cache-control": "no-store", "etag": '"1"', "retry-after": "3"}
    response = httpx.Response(status, json=body, headers=headers)
    return list(tour.violations(STEP_OF[status], response, error_of(response)))


@pytest.mark.parametrize("status", GOOD)
def test_the_tour_has_nothing_to_say_of_a_good_response(status: int) -> None:
    assert complaints(status, GOOD[status]) == []


@pytest.mark.parametrize(
    ("status", "change"),
    [
        pytest.param(400, {"fields": []}, id="no fields"),
        pytest.param(400, {"fields": [{"field": "name", "code": "missing"}]}, id="no message"),
        pytest.param(
            400, {"fields": [{"field": "name", "code": 5, "message": "."}]}, id="a code of 5"
        ),
        pytest.param(400, {"error": "bad_request"}, id="another code"),
        pytest.param(400, {"detail": "."}, id="one member more"),
        pytest.param(412, {"currentETag": '"2"'}, id="two current ETags"),
        pytest.param(429, {"retry_after": 4}, id="two delays"),
        pytest.param(429, {"retry_after": True}, id="a delay that is no number"),
    ],
)
def test_the_tour_notices(status: int, change: dict[str, Any]) -> None:
    assert complaints(status, {**GOOD[status], **change})


@pytest.mark.parametrize("program", ["tour", "core_api.__main__"])
def test_a_program_explains_itself(program: str) -> None:
    code = f"import sys; sys.path.append({str(ROOT)!r}); from examples.{program} import main; "
    command = [sys.executable, "-c", code + "main(['--help'])"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "--port" in shown


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        pytest.param("tour", ["--serve"], id="the tour"),
        pytest.param("core_api.__main__", ["--port", "0"], id="the Core API"),
    ],
)
def test_a_program_serves_until_it_is_interrupted(program: str, arguments: list[str]) -> None:
    # What a shell starts in the background has interrupts ignored, and so has what that starts.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code = f"import sys; sys.path.append({str(ROOT)!r}); from examples.{program} import main; "
    command = [sys.executable, "-c", f"{heed}{code}sys.exit(main({arguments!r}))"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        shown = iter(process.stdout.readline, "")
        url = next(re.findall(r"http://[\d.:]+", line)[0] for line in shown if "curl" in line)
        with httpx.Client(transport=httpx.HTTPTransport(retries=5)) as http:
            assert http.get(f"{url}/v1/me").status_code == 401
        process.send_signal(signal.SIGINT)
        process.stdout.read()
    assert process.returncode == 0


# The smaller examples, and the server


def test_an_application_that_does_not_start_is_not_waited_for(tmp_path: Path) -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise OSError("no disk")

    log = tmp_path / "server.log"
    with ExitStack() as stack, pytest.raises(RuntimeError, match="didn't start"):
        stack.enter_context(serving(broken, log))
    assert "no disk" in log.read_text()


def test_the_minimal_starlette_application(tmp_path: Path) -> None:
    with serving(starlette_minimal.app, tmp_path / "server.log") as url:
        assert httpx.get(f"{url}/users/usr_ada").json()["data"]["name"] == "Ada"
        assert error_of(httpx.get(f"{url}/users/usr_bob")).error_description == "No user usr_bob."
        assert error_of(httpx.post(f"{url}/sync")).error == "server_error"


def test_the_minimal_fastapi_application(tmp_path: Path) -> None:
    with serving(fastapi_minimal.app, tmp_path / "server.log") as url:
        user = {"id": "usr_ada", "age": 36}
        assert httpx.post(f"{url}/users", json=user).json() == user
        assert error_of(httpx.post(f"{url}/users", json=user)).error == "conflict"
        assert error_of(httpx.post(f"{url}/users", json={})).error == "invalid_request"
        assert httpx.get(f"{url}/users/usr_ada").json() == user
        assert error_of(httpx.get(f"{url}/users/usr_bob")).error == "not_found"
