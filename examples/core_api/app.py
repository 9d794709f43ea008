"""The application, and its registry: what its errors are, beside the eleven codes of AuthPI."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import async_sessionmaker

from authpi_errors import Challenge, ErrorRegistry, install
from examples.core_api import auth, counters, demo, issuers, users
from examples.core_api.storage import Base, Claim, connect

registry = ErrorRegistry(
    # A name that is taken: the database's uniqueness constraints say so, no check before the write
    # could.
    exceptions={IntegrityError: "conflict"},
    challenges=[Challenge(scheme, {"realm": auth.REALM}) for scheme in ("Basic", "Bearer")],
)


def create_app(database: Path) -> FastAPI:
    """Makes the application.

    Args:
        database: The SQLite file to store everything in; it is made if it isn't there.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        engine = connect(database)
        sessions = async_sessionmaker(engine, expire_on_commit=False)
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        async with sessions.begin() as session:
            # Nobody is working on what an earlier process left unfinished.
            await session.execute(delete(Claim).where(Claim.body.is_(None)))
            await demo.seed(session)
        app.state.sessions = sessions
        yield
        await engine.dispose()

    app = FastAPI(
        title="Core API",
        version="1.4.0",
        lifespan=lifespan,
        # What generated clients call an operation.
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.limiter = auth.RateLimiter()
    app.include_router(auth.router)
    app.include_router(issuers.router)
    app.include_router(users.router)
    app.include_router(counters.router)
    # Nothing that clients are to know of.
    app.add_api_route("/demo/divide-by-zero", divide_by_zero, include_in_schema=False)
    install(app, registry=registry)
    return app


async def divide_by_zero() -> float:
    """Fails as a bug does: no handler foresees it."""
    return 1 / 0
