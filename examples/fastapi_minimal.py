"""The smallest FastAPI application: `uvicorn examples.fastapi_minimal:app`."""

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from authpi_errors import ConflictError, ErrorRegistry, NotFoundError, install


class User(BaseModel):
    """Somebody."""

    id: str
    age: int


USERS: dict[str, User] = {}

app = FastAPI()
# `USERS[user_id]` raises a KeyError: it needs no `try` around it.
install(app, registry=ErrorRegistry(exceptions={KeyError: NotFoundError}))


@app.post("/users", status_code=201)
async def create_user(user: User) -> User:
    """Creates a user; a body that isn't one is answered with the fields at fault."""
    if user.id in USERS:
        raise ConflictError(f"There is a user {user.id} already.")
    return USERS.setdefault(user.id, user)


@app.get("/users/{user_id}")
async def read_user(user_id: str) -> User:
    """Reads a user."""
    return USERS[user_id]


if __name__ == "__main__":
    uvicorn.run(app)
