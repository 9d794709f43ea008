"""Limits by slowapi: `uvicorn --workers 2 examples.rate_limits.with_slowapi:app`."""

# slowapi's decorator comes without types.
# pyright: reportUnknownMemberType=false, reportUntypedFunctionDecorator=false

import os
import time
from typing import NoReturn

import uvicorn
from fastapi import FastAPI, Request
from redis import RedisError
from slowapi import Limiter
from slowapi.errors import RateLimitExceeded
from slowapi.util import get_remote_address

from authpi_errors import ErrorRegistry, ServerError, UsageLimitExceededError, install

# Without a timeout, a Redis that hangs makes every request hang.
REDIS_URL = os.environ.get("REDIS_URL", "redis://localhost:6379?socket_timeout=1")

# Not a fixed window: of that, Redis gives the end to the nearest second, which is often too early.
limiter = Limiter(get_remote_address, strategy="moving-window", storage_uri=REDIS_URL)


def refuse(request: Request, exc: Exception) -> NoReturn:
    """Says when to come back: that hangs on the request, which the exception doesn't know."""
    item, identifiers = request.state.view_rate_limit
    reset_time, _ = limiter.limiter.get_window_stats(item, *identifiers)
    # There may be room by now.
    raise UsageLimitExceededError(retry_after=max(1, reset_time - time.time()))


def uncounted(exc: RedisError) -> ServerError:
    """Redis doesn't answer: it is not the client's fault, and it will pass."""
    return ServerError("Requests can't be counted at the moment.", status=503, retry_after=5)


app = FastAPI()
# In the place of slowapi's own handler. Without `async` it waits for Redis in a thread.
app.add_exception_handler(RateLimitExceeded, refuse)
install(app, registry=ErrorRegistry(exceptions={RedisError: uncounted}))


@app.get("/report")
@limiter.limit("5 per 3 seconds")
def read_report(request: Request) -> dict[str, str]:
    """Reads a report. Without `async`, for the same reason."""
    return {"data": "All is well."}


if __name__ == "__main__":
    uvicorn.run(app)
