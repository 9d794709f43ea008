"""What must not type-check: each line with `mistake`, and no other."""

from core_api_client import AuthenticatedClient
from core_api_client.api.issuers import update_issuer
from core_api_client.models import AuthPIError, DataIssuer, IssuerUpdate, NotFoundError


def change(client: AuthenticatedClient, account_id: str, issuer_id: str) -> object:
    """Change an issuer, in a hurry."""
    answer = update_issuer.sync(account_id, issuer_id, client=client, body=IssuerUpdate())
    if answer is None or isinstance(answer, (DataIssuer, AuthPIError)):
        return None
    if answer.error == "not_fund":  # mistake
        return None
    if answer.error == "quota_exhausted":  # mistake
        return None
    if answer.error == "not_found":
        return answer.current_etag  # mistake
    if answer.error == "precondition_failed":
        return answer.current_etag
    return answer.fields  # mistake


NotFoundError("conflict", "It is so.", retryable=False)  # mistake
