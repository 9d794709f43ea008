"""`/demo/counters`: nothing is lost, however many clients count at once.

A client reads a counter, adds one, and sends the sum with the ETag that it read. If another was
faster it gets a 412, reads again and adds again. No credentials are needed.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Response
from pydantic import Field

from examples.core_api import storage
from examples.core_api.schemas import Data, Input, Output, json_only
from examples.core_api.storage import Precondition, Session

router = APIRouter(prefix="/demo/counters", tags=["demo"])


class CounterUpdate(Input):
    """A new value: one that every JSON parser reads exactly (RFC 8259, 6)."""

    value: Annotated[int, Field(ge=0, lt=2**53)]


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


@router.get("/{counter_id}")
async def read_counter(counter_id: str, session: Session, response: Response) -> Data[Counter]:
    """Reads a counter."""
    counter = await storage.find(session, storage.Counter, storage.Counter.id == counter_id)
    return _data(counter, response)


@router.put("/{counter_id}", dependencies=[Depends(json_only)])
async def write_counter(
    counter_id: str,
    new: CounterUpdate,
    precondition: Precondition,
    session: Session,
    response: Response,
) -> Data[Counter]:
    """Writes a counter, in the version that the client names."""
    precondition.require(resource="The counter")
    counter = await storage.change(
        session,
        storage.Counter,
        storage.Counter.id == counter_id,
        precondition=precondition,
        values=new.model_dump(),
    )
    return _data(counter, response)
