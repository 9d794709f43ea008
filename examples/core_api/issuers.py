"""`/v1/accounts/{account_id}/issuers`."""

from fastapi import APIRouter, Depends, Response
from sqlalchemy import ColumnElement, func, select

from authpi_errors import AuthPIError, ErrorCode, PreconditionFailedError
from authpi_errors.codes import fallback
from authpi_errors.fastapi import IfMatchHeader, error_responses
from examples.core_api import storage
from examples.core_api.auth import Allowed
from examples.core_api.idempotency import Once
from examples.core_api.schemas import (
    Data,
    Issuer,
    IssuerCreate,
    IssuerListItem,
    IssuerPaging,
    IssuerUpdate,
    Page,
    json_only,
    response,
)
from examples.core_api.storage import Account, Session

router = APIRouter(
    prefix="/v1/accounts/{account_id}/issuers",
    tags=["issuers"],
    responses=error_responses("usage_limit_exceeded"),
)
may_read = Depends(Allowed("issuers:read"))
may_write = Depends(Allowed("issuers:write"))
takes_json = Depends(json_only)


class QuotaExhaustedError(AuthPIError):
    """The plan has no room for another one."""

    code = ErrorCode("quota_exhausted", 402, "The plan's quota is used up.")


def _one(account_id: str, issuer_id: str) -> tuple[ColumnElement[bool], ...]:
    return storage.Issuer.account_id == account_id, storage.Issuer.id == issuer_id


@router.post(
    "",
    status_code=201,
    response_model=Data[Issuer],
    dependencies=[may_write, takes_json],
    # 422: the Idempotency-Key was used for another request.
    responses=error_responses(QuotaExhaustedError, "conflict", fallback(422)),
)
async def create_issuer(
    account_id: str, new: IssuerCreate, session: Session, once: Once
) -> Response:
    """Creates an issuer, if the plan has room for it."""

    async def create() -> storage.Issuer:
        issuer = storage.Issuer(id=storage.new_id("iss"), account_id=account_id, **new.model_dump())
        session.add(issuer)
        # Counted after the insert, which locks the database: two requests can't both be the last.
        await session.flush()
        account = await session.get_one(Account, account_id)
        mine = storage.Issuer.account_id == account_id
        count = await session.scalar(select(func.count()).where(mine)) or 0
        if count > account.issuer_limit:
            raise QuotaExhaustedError(f"The plan has room for {account.issuer_limit} issuers.")
        return issuer

    return await once(create)


@router.get("", dependencies=[may_read])
async def list_issuers(
    account_id: str, paging: IssuerPaging, session: Session
) -> Page[IssuerListItem]:
    """Lists an account's issuers, the oldest first."""
    where = [storage.Issuer.account_id == account_id]
    if paging.q is not None:
        where.append(storage.Issuer.name.contains(paging.q, autoescape=True))
    if paging.status is not None:
        where.append(storage.Issuer.status == paging.status)
    issuers, cursor = await storage.page(
        session, storage.Issuer, *where, limit=paging.limit, cursor=paging.cursor
    )
    items = [IssuerListItem.model_validate(issuer) for issuer in issuers]
    return Page(data=items, has_more=cursor is not None, next_cursor=cursor)


@router.get(
    "/{issuer_id}",
    response_model=Data[Issuer],
    dependencies=[may_read],
    responses=error_responses("not_found"),
)
async def read_issuer(account_id: str, issuer_id: str, session: Session) -> Response:
    """Reads an issuer."""
    return response(await storage.find(session, storage.Issuer, *_one(account_id, issuer_id)))


@router.patch(
    "/{issuer_id}",
    response_model=Data[Issuer],
    dependencies=[may_write, takes_json],
    responses=error_responses("not_found", "conflict", PreconditionFailedError),
)
async def update_issuer(
    account_id: str,
    issuer_id: str,
    changes: IssuerUpdate,
    precondition: IfMatchHeader,
    session: Session,
) -> Response:
    """Changes what was sent of an issuer."""
    issuer = await storage.change(
        session,
        storage.Issuer,
        *_one(account_id, issuer_id),
        precondition=precondition,
        values=changes.model_dump(exclude_unset=True),
    )
    return response(issuer)


@router.delete(
    "/{issuer_id}",
    status_code=204,
    dependencies=[may_write],
    responses=error_responses("not_found", PreconditionFailedError),
)
async def delete_issuer(
    account_id: str, issuer_id: str, precondition: IfMatchHeader, session: Session
) -> None:
    """Deletes an issuer and its users."""
    await storage.remove(
        session, storage.Issuer, *_one(account_id, issuer_id), precondition=precondition
    )
