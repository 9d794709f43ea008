"""`/v1/accounts/{account_id}/issuers/{issuer_id}/users`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response
from sqlalchemy import ColumnElement

from authpi_errors import PreconditionFailedError
from authpi_errors.codes import fallback
from authpi_errors.fastapi import IfMatchHeader, error_responses
from examples.core_api import storage
from examples.core_api.auth import Allowed
from examples.core_api.idempotency import Once
from examples.core_api.schemas import (
    Data,
    Page,
    Paging,
    User,
    UserCreate,
    UserListItem,
    UserUpdate,
    json_only,
    response,
)
from examples.core_api.storage import Session

router = APIRouter(
    prefix="/v1/accounts/{account_id}/issuers/{issuer_id}/users",
    tags=["users"],
    responses=error_responses("not_found", "usage_limit_exceeded"),
)
may_read = Depends(Allowed("users:read"))
may_write = Depends(Allowed("users:write"))
takes_json = Depends(json_only)


async def _issuer(account_id: str, issuer_id: str, session: Session) -> storage.Issuer:
    return await storage.find(
        session,
        storage.Issuer,
        storage.Issuer.account_id == account_id,
        storage.Issuer.id == issuer_id,
    )


ParentIssuer = Annotated[storage.Issuer, Depends(_issuer)]


def _one(issuer: storage.Issuer, user_id: str) -> tuple[ColumnElement[bool], ...]:
    return storage.User.issuer_id == issuer.id, storage.User.id == user_id


@router.post(
    "",
    status_code=201,
    response_model=Data[User],
    dependencies=[may_write, takes_json],
    # 422: the Idempotency-Key was used for another request.
    responses=error_responses("conflict", fallback(422)),
)
async def create_user(
    issuer: ParentIssuer, new: UserCreate, session: Session, once: Once
) -> Response:
    """Creates a user."""

    async def create() -> storage.User:
        user = storage.User(id=storage.new_id("usr"), issuer_id=issuer.id, **new.model_dump())
        session.add(user)
        return user

    return await once(create)


@router.get("", dependencies=[may_read])
async def list_users(issuer: ParentIssuer, paging: Paging, session: Session) -> Page[UserListItem]:
    """Lists an issuer's users, the oldest first."""
    where = [storage.User.issuer_id == issuer.id]
    if paging.status is not None:
        where.append(storage.User.status == paging.status)
    users, cursor = await storage.page(
        session, storage.User, *where, limit=paging.limit, cursor=paging.cursor
    )
    items = [UserListItem.of(user) for user in users]
    return Page(data=items, has_more=cursor is not None, next_cursor=cursor)


@router.get("/{user_id}", response_model=Data[User], dependencies=[may_read])
async def read_user(issuer: ParentIssuer, user_id: str, session: Session) -> Response:
    """Reads a user."""
    return response(await storage.find(session, storage.User, *_one(issuer, user_id)))


@router.patch(
    "/{user_id}",
    response_model=Data[User],
    dependencies=[may_write, takes_json],
    responses=error_responses("conflict", PreconditionFailedError),
)
async def update_user(
    issuer: ParentIssuer,
    user_id: str,
    changes: UserUpdate,
    precondition: IfMatchHeader,
    session: Session,
) -> Response:
    """Changes what was sent of a user."""
    user = await storage.change(
        session,
        storage.User,
        *_one(issuer, user_id),
        precondition=precondition,
        values=changes.model_dump(exclude_unset=True),
    )
    return response(user)


@router.delete(
    "/{user_id}",
    status_code=204,
    dependencies=[may_write],
    responses=error_responses(PreconditionFailedError),
)
async def delete_user(
    issuer: ParentIssuer, user_id: str, precondition: IfMatchHeader, session: Session
) -> None:
    """Deletes a user."""
    await storage.remove(session, storage.User, *_one(issuer, user_id), precondition=precondition)
