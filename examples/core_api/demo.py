"""The accounts and credentials to try the API with. They open nothing but this example."""

from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncSession

from examples.core_api.auth import Scope, hash_secret
from examples.core_api.storage import Account, Credential, now

ALL: tuple[Scope, ...] = ("issuers:read", "issuers:write", "users:read", "users:write")
READ: tuple[Scope, ...] = ("issuers:read", "users:read")

ACCOUNT = "acc_demo"
OTHER_ACCOUNT = "acc_other"
TRIAL_ACCOUNT = "acc_trial"
"""Its plan has room for one issuer."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key for HTTP Basic: its id and its secret."""

    id: str
    secret: str = field(repr=False)
    account_id: str = ACCOUNT
    scopes: tuple[Scope, ...] = ALL
    request_limit: int | None = None

    @property
    def pair(self) -> tuple[str, str]:
        """As the SDK takes it."""
        return self.id, self.secret


@dataclass(frozen=True, slots=True)
class Token:
    """A session's access token, and for how long from the start it is good, in seconds."""

    id: str
    token: str = field(repr=False)
    lifetime: int


FULL = ApiKey("key_full", "full-access-to-acc-demo")
READ_ONLY = ApiKey("key_readonly", "may-only-read-acc-demo", scopes=READ)
LIMITED = ApiKey("key_limited", "three-requests-a-window", request_limit=3)
OTHER = ApiKey("key_other", "full-access-to-acc-other", OTHER_ACCOUNT)
TRIAL = ApiKey("key_trial", "full-access-to-acc-trial", TRIAL_ACCOUNT)
SESSION = Token("ses_valid", "tok_signed_in_today", lifetime=24 * 60 * 60)
EXPIRED_SESSION = Token("ses_expired", "tok_signed_in_yesterday", lifetime=-60)


async def seed(session: AsyncSession) -> None:
    """Stores all of these, where they aren't stored already."""
    for account_id, issuer_limit in ((ACCOUNT, 10_000), (OTHER_ACCOUNT, 10), (TRIAL_ACCOUNT, 1)):
        org_id = account_id.replace("acc_", "org_")
        await session.merge(Account(id=account_id, org_id=org_id, issuer_limit=issuer_limit))
    for key in (FULL, READ_ONLY, LIMITED, OTHER, TRIAL):
        await session.merge(
            Credential(
                id=key.id,
                account_id=key.account_id,
                secret_hash=hash_secret(key.secret),
                scopes=list(key.scopes),
                request_limit=key.request_limit,
            )
        )
    for token in (SESSION, EXPIRED_SESSION):
        await session.merge(
            Credential(
                id=token.id,
                account_id=ACCOUNT,
                secret_hash=hash_secret(token.token),
                scopes=list(ALL),
                user_id="usr_demo",
                expires_at=now() + token.lifetime * 1000,
            )
        )
