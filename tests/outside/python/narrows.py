"""What a client's developer writes: the code in `error` says which members there are.

`python narrows.py URL TOKEN ACCOUNT` provokes some errors, and prints what to do about each.
"""

# ruff: noqa: PLR0911, PLR1714, T201 - one answer for each code; `in` would not narrow for mypy

import sys
from typing import Literal, assert_never, assert_type

from core_api_client import AuthenticatedClient
from core_api_client.api.issuers import create_issuer, update_issuer
from core_api_client.models import AuthPIError, DataIssuer, IssuerCreate, IssuerUpdate
from core_api_client.types import UNSET, Unset


def change(
    client: AuthenticatedClient, account_id: str, issuer_id: str, if_match: str | Unset = UNSET
) -> str:
    """Change an issuer, and say what came of it."""
    changes = IssuerUpdate(name="Acme")
    answer = update_issuer.sync(
        account_id, issuer_id, client=client, body=changes, if_match=if_match
    )
    if answer is None or isinstance(answer, DataIssuer):
        return "done"
    if isinstance(answer, AuthPIError):
        assert_type(answer.error, str)
        return f"other: {answer.error}"
    if answer.error == "precondition_failed":
        assert_type(answer.current_etag, str | Unset)
        return f"fetch {answer.current_etag}"
    if answer.error == "invalid_request":
        return f"correct {'' if isinstance(answer.fields, Unset) else answer.fields[0].field}"
    if answer.error == "usage_limit_exceeded":
        assert_type(answer.retry_after, int | Unset)
        return f"wait for {answer.retry_after}"
    if answer.error == "access_denied" or answer.error == "insufficient_scope":
        return "ask for access"
    if answer.error == "session_expired" or answer.error == "unauthorized_client":
        return "sign in"
    if answer.error == "not_found" or answer.error == "conflict":
        assert_type(answer.error, Literal["not_found", "conflict"])
        return answer.error
    if answer.error == "invalid_content_type":
        return "send JSON"
    assert_never(answer)


def main(url: str, token: str, account_id: str) -> None:
    """Provoke them."""
    client = AuthenticatedClient(url, token, prefix="Basic")
    created = create_issuer.sync(account_id, client=client, body=IssuerCreate(name="Acme"))
    assert isinstance(created, DataIssuer)
    issuer_id = created.data.id
    print(change(client, account_id, issuer_id))
    print(change(client, account_id, issuer_id, '"1"').split()[0])
    print(change(client, account_id, issuer_id, "1"))
    print(change(client, account_id, "iss_nobody"))
    print(change(client, "acc_other", issuer_id))
    print(change(AuthenticatedClient(url, "x", prefix="Basic"), account_id, issuer_id))


if __name__ == "__main__":
    main(*sys.argv[1:])
