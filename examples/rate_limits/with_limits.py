"""Limits by `limits`: `uvicorn --workers 2 examples.rate_limits.with_limits:app`."""

import os
import time

import uvicorn
from fastapi import Depends, FastAPI, Request
from limits import parse
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import StorageError
from limits.storage import storage_from_string

from authpi_errors import ErrorRegistry, ServerError, UsageLimitExceededError, install

# Without a timeout, a Redis that hangs makes every request hang.
REDIS_URL = os.environ.get("REDIS_URL", "redis://localhost:6379?socket_timeout=1")
LIMIT = parse("5 per 3 seconds")

# Not a fixed window: of that, Redis gives the end to the nearest second, which is often too early.
limiter = MovingWindowRateLimiter(
    storage_from_string(f"async+{REDIS_URL}", implementation="redispy", wrap_exceptions=True)
)


async def check_limit(request: Request) -> None:
    """Counts a request, or refuses it and says when to come back."""
    client = request.client.host if request.client else "unknown"
    if not await limiter.hit(LIMIT, client):
        reset_time, _ = await limiter.get_window_stats(LIMIT, client)
        # There may be room by now.
        raise UsageLimitExceededError(retry_after=max(1, reset_time - time.time()))


def uncounted(exc: StorageError) -> ServerError:
    """Redis doesn't answer: it is not the client's fault, and it will pass."""
    return ServerError("Requests can't be counted at the moment.", status=503, retry_after=5)


app = FastAPI(dependencies=[Depends(check_limit)])
install(app, registry=ErrorRegistry(exceptions={StorageError: uncounted}))


@app.get("/report")
async def read_report() -> dict[str, str]:
    """Reads a report."""
    return {"data": "All is well."}


if __name__ == "__main__":
    uvicorn.run(app)
