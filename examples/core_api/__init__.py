"""A slice of AuthPI's Core API, served by FastAPI, with errors by `authpi_errors`.

    app.py          the application: routers, the registry of errors
    issuers.py      /v1/accounts/{account_id}/issuers
    users.py        /v1/accounts/{account_id}/issuers/{issuer_id}/users
    counters.py     /demo/counters: a lost update, prevented
    auth.py         API keys, sessions, scopes, rate limits; /v1/me
    idempotency.py  Idempotency-Key
    storage.py      SQLite through SQLAlchemy, ETags and If-Match
    schemas.py      what goes in and out, as JSON
    demo.py         the accounts and credentials to try it with

The official SDK, `authpi_admin`, is its client: see `examples/tour.py`.
"""

from examples.core_api.app import create_app

__all__ = ["create_app"]
