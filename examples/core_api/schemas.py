"""The bodies of requests and responses.

What comes in may have no member that isn't listed. In an update every member is optional: only
what was sent is changed, and the defaults are never used.
"""

import hashlib
import json
from typing import Annotated, Any, Generic, Literal, TypeVar

from fastapi import Query, Request
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from authpi_errors import InvalidContentTypeError
from examples.core_api import storage

Item = TypeVar("Item")


def _json(value: dict[str, Any]) -> dict[str, Any]:
    # Python's JSON parser takes NaN and lone surrogates in; no JSON text can give them back.
    json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    return value


JSONObject = Annotated[dict[str, Any], AfterValidator(_json)]
# RFC 6749, 3.3.
ScopeName = Annotated[str, Field(pattern=r"^[\x21\x23-\x5B\x5D-\x7E]+$")]
Name = Annotated[str, Field(min_length=1, max_length=100)]


class Input(BaseModel):
    """What a client sends."""

    model_config = ConfigDict(extra="forbid")


class Output(BaseModel):
    """What a client gets, read from a row."""

    model_config = ConfigDict(from_attributes=True)


class IssuerUpdate(Input):
    """Changes of an issuer."""

    name: Name = Field(default_factory=str)
    description: Annotated[str, Field(max_length=1000)] | None = None
    links: JSONObject = {}
    available_scopes: list[ScopeName] = []
    status: Literal["active", "suspended"] = "active"
    settings: JSONObject = {}
    metadata_: JSONObject = Field({}, alias="metadata")


class IssuerCreate(IssuerUpdate):
    """A new issuer: one that isn't anonymous."""

    name: Name = Field()


class Issuer(Output):
    """An issuer."""

    id: str
    account_id: str
    name: str
    description: str | None
    links: JSONObject
    available_scopes: list[str]
    status: str
    settings: JSONObject
    metadata_: JSONObject = Field(serialization_alias="metadata")
    created_at: int
    updated_at: int


class IssuerListItem(Issuer):
    """An issuer in a list: with a summary of what is beyond this slice of the API."""

    access_mode: str | None = None
    auth_method_count: int = 0
    enabled_login_method_count: int = 0
    enabled_signup_method_count: int = 0
    available_scope_count: int = 0
    branding_configured: bool = False
    readiness: str = "draft"


class UserUpdate(Input):
    """Changes of a user."""

    username: Name = Field(default_factory=str)
    profile: JSONObject = {}
    scopes: list[ScopeName] = []
    status: Literal["active", "suspended"] = "active"
    custom_fields: JSONObject = {}
    metadata_: JSONObject = Field({}, alias="metadata")


class UserCreate(UserUpdate):
    """A new user."""

    username_type: Literal["email", "phone", "username"]
    username: Name = Field()


class User(Output):
    """A user."""

    id: str
    issuer_id: str
    username_type: str
    username: str
    status: str
    profile: JSONObject
    scopes: list[str]
    custom_fields: JSONObject
    metadata_: JSONObject = Field(serialization_alias="metadata")
    created_at: int
    updated_at: int


class UserListItem(BaseModel):
    """A user in a list: without personal data."""

    user_id: str
    issuer_id: str
    username_hash: str
    username_type: str
    status: str
    store_id: str = "sqlite"
    region: str | None = None
    created_at: int
    updated_at: int

    @classmethod
    def of(cls, user: storage.User) -> "UserListItem":
        """The item for a row."""
        return cls(
            user_id=user.id,
            issuer_id=user.issuer_id,
            username_hash=hashlib.sha256(user.username.encode()).hexdigest(),
            username_type=user.username_type,
            status=user.status,
            created_at=user.created_at,
            updated_at=user.updated_at,
        )


class AccountAccess(BaseModel):
    """What a caller may do in an account."""

    account_id: str
    org_id: str
    scopes: list[str]


class CallerIdentity(BaseModel):
    """Who a credential belongs to."""

    type: Literal["api_key", "user"]
    key_id: str | None = None
    user_id: str | None = None
    accounts: list[AccountAccess]
    organizations: list[str] = []


class Data(BaseModel, Generic[Item]):
    """The envelope of one thing."""

    data: Item


class Page(BaseModel, Generic[Item]):
    """A part of a list, and where the next part begins."""

    data: list[Item]
    has_more: bool
    next_cursor: str | None


class PageQuery(Input):
    """Which part of a list."""

    limit: int = Field(20, ge=1, le=100)
    cursor: Annotated[str, Field(pattern=r"^[a-z]{3}_[0-9a-f]{24}$")] | None = None
    status: Literal["active", "suspended"] | None = None


class IssuerQuery(PageQuery):
    """Which issuers: `q` is a part of the name."""

    q: str | None = None


Paging = Annotated[PageQuery, Query()]
IssuerPaging = Annotated[IssuerQuery, Query()]


def json_only(request: Request) -> None:
    """Refuses a body that isn't sent as JSON.

    Raises:
        InvalidContentTypeError: It says that it is something else, or nothing.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise InvalidContentTypeError(supported=["application/json"])


def response(row: storage.Resource, status_code: int = 200) -> JSONResponse:
    """One resource, in its envelope and with its ETag."""
    data = (Issuer if isinstance(row, storage.Issuer) else User).model_validate(row)
    body = Data(data=data).model_dump(mode="json", by_alias=True)
    return JSONResponse(body, status_code, headers={"ETag": row.etag})
