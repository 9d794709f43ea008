"""SQLite through SQLAlchemy: tables, and the statements that resources share.

A change and its precondition are one SQL statement, `UPDATE … WHERE id = … AND updated_at IN (…)`,
so no two clients can both change the version that they both saw.
"""

import secrets
import time
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from sqlalchemy import (
    JSON,
    BigInteger,
    ColumnElement,
    ForeignKey,
    String,
    UniqueConstraint,
    cast,
    delete,
    event,
    func,
    select,
    true,
    update,
)
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import ConnectionPoolEntry

from authpi_errors import NotFoundError, PreconditionFailedError
from authpi_errors.conditional import IfMatch

JSONObject = dict[str, Any]


def now() -> int:
    """The time, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def new_id(prefix: str) -> str:
    """A fresh identifier; later ones sort after earlier ones, which pagination relies on."""
    return f"{prefix}_{time.time_ns():016x}{secrets.token_hex(4)}"


class Base(DeclarativeBase):
    """All tables."""

    type_annotation_map = {int: BigInteger, JSONObject: JSON, list[str]: JSON}


class Account(Base):
    """A customer, and the plan's maximum of issuers."""

    __tablename__ = "accounts"

    id: Mapped[str] = mapped_column(primary_key=True)
    org_id: Mapped[str]
    issuer_limit: Mapped[int]


class Credential(Base):
    """An API key or a session; of its secret, only a hash is stored."""

    __tablename__ = "credentials"

    id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey(Account.id))
    secret_hash: Mapped[str] = mapped_column(unique=True)
    scopes: Mapped[list[str]]
    user_id: Mapped[str | None] = mapped_column(default=None)
    expires_at: Mapped[int | None] = mapped_column(default=None)
    request_limit: Mapped[int | None] = mapped_column(default=None)


class Claim(Base):
    """An Idempotency-Key in use, and the response that was given, as soon as there is one."""

    __tablename__ = "claims"

    account_id: Mapped[str] = mapped_column(ForeignKey(Account.id), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]
    etag: Mapped[str] = mapped_column(default="")
    body: Mapped[bytes | None] = mapped_column(default=None)


class Resource(Base):
    """What has versions: its ETag is the time of the last change."""

    __abstract__ = True

    id: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[int] = mapped_column(default=now)
    updated_at: Mapped[int] = mapped_column(default=now)

    @property
    def etag(self) -> str:
        """The strong entity tag of this version."""
        return f'"{self.updated_at}"'


class Issuer(Resource):
    """An identity provider that an account runs."""

    __tablename__ = "issuers"
    __table_args__ = (UniqueConstraint("account_id", "name"),)

    account_id: Mapped[str] = mapped_column(ForeignKey(Account.id))
    status: Mapped[str]
    name: Mapped[str]
    description: Mapped[str | None]
    links: Mapped[JSONObject]
    available_scopes: Mapped[list[str]]
    settings: Mapped[JSONObject]
    metadata_: Mapped[JSONObject] = mapped_column("metadata")

    @property
    def available_scope_count(self) -> int:
        """How many scopes its clients may ask for."""
        return len(self.available_scopes)


class User(Resource):
    """Somebody who signs in at an issuer."""

    __tablename__ = "users"
    __table_args__ = (UniqueConstraint("issuer_id", "username"),)

    issuer_id: Mapped[str] = mapped_column(ForeignKey(Issuer.id, ondelete="CASCADE"))
    status: Mapped[str]
    username_type: Mapped[str]
    username: Mapped[str]
    profile: Mapped[JSONObject]
    scopes: Mapped[list[str]]
    custom_fields: Mapped[JSONObject]
    metadata_: Mapped[JSONObject] = mapped_column("metadata")


class Counter(Resource):
    """A number that many clients change at once."""

    __tablename__ = "counters"

    value: Mapped[int] = mapped_column(default=0)


def connect(database: Path) -> AsyncEngine:
    """Opens a database file, which is made if it isn't there."""
    database.parent.mkdir(parents=True, exist_ok=True)
    engine = create_async_engine(f"sqlite+aiosqlite:///{database}", connect_args={"timeout": 30})
    event.listen(engine.sync_engine, "connect", _configure)
    return engine


def _configure(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.close()


async def _session(request: Request) -> AsyncGenerator[AsyncSession]:
    sessions: async_sessionmaker[AsyncSession] = request.app.state.sessions
    async with sessions() as session:
        yield session


Session = Annotated[AsyncSession, Depends(_session)]


R = TypeVar("R", bound=Resource)


async def find(session: AsyncSession, model: type[R], *where: ColumnElement[bool]) -> R:
    """The one resource that fits.

    Raises:
        NotFoundError: There is none.
    """
    found = await session.scalar(select(model).where(*where))
    if found is None:
        raise NotFoundError(f"No such {model.__name__.lower()}.")
    return found


async def page(
    session: AsyncSession,
    model: type[R],
    *where: ColumnElement[bool],
    limit: int,
    cursor: str | None,
) -> tuple[list[R], str | None]:
    """Up to `limit` resources that fit, after the cursor, and the cursor of those that follow.

    A cursor is the identifier of the last resource before it.
    """
    after = model.id > (cursor or "")
    statement = select(model).where(*where, after).order_by(model.id).limit(limit + 1)
    rows = list(await session.scalars(statement))
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], rows[limit - 1].id


def _holds(precondition: IfMatch, model: type[Resource]) -> ColumnElement[bool]:
    """The precondition in SQL."""
    if precondition.versions is None:
        return true()
    return cast(model.updated_at, String).in_(precondition.versions)


async def change(
    session: AsyncSession,
    model: type[R],
    *where: ColumnElement[bool],
    precondition: IfMatch,
    values: Mapping[str, Any],
) -> R:
    """Changes the one resource that fits, and its `updated_at` in any case.

    Raises:
        NotFoundError: There is none.
        PreconditionFailedError: It isn't the version that the client saw.
    """
    # Later than before, even twice in a millisecond or when the clock was set back.
    later = func.max(now(), model.updated_at + 1)
    statement = update(model).where(*where, _holds(precondition, model)).returning(model)
    changed = await session.scalar(statement.values({**values, "updated_at": later}))
    if changed is None:
        raise await _refusal(session, model, *where)
    await session.commit()
    return changed


async def remove(
    session: AsyncSession,
    model: type[R],
    *where: ColumnElement[bool],
    precondition: IfMatch,
) -> None:
    """Deletes the one resource that fits.

    Raises:
        NotFoundError: There is none.
        PreconditionFailedError: It isn't the version that the client saw.
    """
    statement = delete(model).where(*where, _holds(precondition, model)).returning(model.id)
    if await session.scalar(statement) is None:
        raise await _refusal(session, model, *where)
    await session.commit()


async def _refusal(
    session: AsyncSession, model: type[R], *where: ColumnElement[bool]
) -> PreconditionFailedError:
    found = await find(session, model, *where)
    return PreconditionFailedError(
        f"{model.__name__} has been modified since. Fetch the latest version and retry.",
        current_etag=found.etag,
    )
