"""`/demo/counters`: nothing is lost, however many clients count at once.

A client reads a counter, adds one, and sends the sum with the ETag that it read. If another was
faster it gets a 412, reads again and adds again. No credentials are needed.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Response
from pydantic import BeforeValidator, Field

from authpi_errors import PreconditionFailedError
from authpi_errors.codes import fallback
from authpi_errors.fastapi import RequiredIfMatchHeader, error_responses
from examples.core_api import storage
from examples.core_api.schemas import Data, Input, Output, json_only
from examples.core_api.storage import Session

router = APIRouter(prefix="/demo/counters", tags=["demo"])


def _integer(value: object) -> object:
    # JSON Schema, which the document is written in, takes 5.0 for an integer, but not "5".
    return int(value) if isinstance(value, float) and value.is_integer() else value


class CounterUpdate(Input):
    """A new value: one that every JSON parser reads exactly (RFC 8259, 6)."""

    value: Annotated[int, Field(ge=0, lt=2**53, strict=True), BeforeValidator(_integer)]


class Counter(Output):
    """A counter."""

    id: str
    value: int
    created_at: int
    updated_at: int


def _data(counter: storage.Counter, response: Response) -> Data[Counter]:
    response.headers["ETag"] = counter.etag
    return Data(data=Counter.model_validate(counter))


@router.post("", status_code=201)
async def create_counter(session: Session, response: Response) -> Data[Counter]:
    """Creates a counter, at 0."""
    counter = storage.Counter(id=storage.new_id("ctr"))
    session.add(counter)
    await session.commit()
    return _data(counter, response)


@router.get("/{counter_id}", responses=error_responses("not_found"))
async def read_counter(counter_id: str, session: Session, response: Response) -> Data[Counter]:
    """Reads a counter."""
    counter = await storage.find(session, storage.Counter, storage.Counter.id == counter_id)
    return _data(counter, response)


@router.put(
    "/{counter_id}",
    dependencies=[Depends(json_only)],
    # 428: there is no If-Match.
    responses=error_responses("not_found", PreconditionFailedError, fallback(428)),
)
async def write_counter(
    counter_id: str,
    new: CounterUpdate,
    precondition: RequiredIfMatchHeader,
    session: Session,
    response: Response,
) -> Data[Counter]:
    """Writes a counter, in the version that the client names."""
    counter = await storage.change(
        session,
        storage.Counter,
        storage.Counter.id == counter_id,
        precondition=precondition,
        values=new.model_dump(),
    )
    return _data(counter, response)
