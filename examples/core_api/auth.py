"""Who is asking, and what they may do: API keys (Basic), sessions (Bearer), scopes, rate limits."""

import hashlib
import hmac
import time
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.security import (
    HTTPAuthorizationCredentials,
    HTTPBasic,
    HTTPBasicCredentials,
    HTTPBearer,
)
from sqlalchemy import select

from authpi_errors import (
    AccessDeniedError,
    InsufficientScopeError,
    SessionExpiredError,
    UnauthorizedClientError,
    UsageLimitExceededError,
)
from authpi_errors.fastapi import error_responses
from examples.core_api.schemas import AccountAccess, CallerIdentity, Data
from examples.core_api.storage import Account, Credential, Session, now

WINDOW = 3.0
"""The seconds that a request limit counts for."""

REALM = "core"

Scope = Literal["issuers:read", "issuers:write", "users:read", "users:write"]
Key = Annotated[HTTPBasicCredentials | None, Depends(HTTPBasic(realm=REALM, auto_error=False))]
Token = Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))]

router = APIRouter(
    prefix="/v1", tags=["identity"], responses=error_responses("usage_limit_exceeded")
)


def hash_secret(secret: str) -> str:
    """What is stored of a secret; secrets are long and random, so a fast hash will do."""
    return hashlib.sha256(secret.encode()).hexdigest()


class RateLimiter:
    """Counts requests in fixed windows, in memory."""

    def __init__(self) -> None:
        self._windows: dict[str, tuple[float, int]] = {}

    def count(self, credential: Credential) -> None:
        """Counts one request.

        Raises:
            UsageLimitExceededError: It is one too many.
        """
        if credential.request_limit is None:
            return
        time_now = time.monotonic()
        begin, requests = self._windows.get(credential.id, (time_now, 0))
        if time_now - begin >= WINDOW:
            begin, requests = time_now, 0
        self._windows[credential.id] = begin, requests + 1
        if requests >= credential.request_limit:
            raise UsageLimitExceededError(
                f"At most {credential.request_limit} requests in {WINDOW:.0f} seconds.",
                retry_after=begin + WINDOW - time_now,
            )


async def authenticate(request: Request, session: Session, key: Key, token: Token) -> Credential:
    """The credential that a request was sent with.

    Raises:
        UnauthorizedClientError: There is none, or it is wrong.
        SessionExpiredError: It was good once.
        UsageLimitExceededError: It was used too often.
    """
    if key is not None:
        by_id = select(Credential).filter_by(id=key.username, user_id=None)
        credential = await session.scalar(by_id)
        # Compared even where there is no such key: an answer's time gives nothing away.
        known = credential.secret_hash if credential else ""
        if not hmac.compare_digest(known, hash_secret(key.password)) or credential is None:
            raise UnauthorizedClientError("Unknown API key, or wrong secret.")
    elif token is not None:
        by_hash = select(Credential).filter_by(secret_hash=hash_secret(token.credentials))
        credential = await session.scalar(by_hash.where(Credential.user_id.is_not(None)))
        if credential is None:
            raise UnauthorizedClientError("Unknown access token.")
    else:
        raise UnauthorizedClientError("An API key or an access token is needed.")
    if credential.expires_at is not None and credential.expires_at <= now():
        raise SessionExpiredError("The session has expired. Sign in again.")
    limiter: RateLimiter = request.app.state.limiter
    limiter.count(credential)
    return credential


Caller = Annotated[Credential, Depends(authenticate)]


class Allowed:
    """Lets through who may use the account in the path, with a scope."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    def __call__(self, account_id: str, caller: Caller) -> None:
        """Checks one request.

        Raises:
            AccessDeniedError: It is somebody else's account.
            InsufficientScopeError: The scope wasn't granted.
        """
        if account_id != caller.account_id:
            raise AccessDeniedError(f"This credential has no access to account {account_id}.")
        if self.scope not in caller.scopes:
            raise InsufficientScopeError(f"This needs the scope {self.scope}.", scope=self.scope)


@router.get("/me")
async def read_me(caller: Caller, session: Session) -> Data[CallerIdentity]:
    """Who the caller is, and which accounts they can act on."""
    account = await session.get_one(Account, caller.account_id)
    access = AccountAccess(account_id=account.id, org_id=account.org_id, scopes=caller.scopes)
    if caller.user_id is not None:
        return Data(data=CallerIdentity(type="user", user_id=caller.user_id, accounts=[access]))
    return Data(data=CallerIdentity(type="api_key", key_id=caller.id, accounts=[access]))
