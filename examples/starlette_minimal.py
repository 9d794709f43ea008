"""The smallest Starlette application: `uvicorn examples.starlette_minimal:app`."""

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from authpi_errors import ErrorRegistry, NotFoundError, install

USERS = {"usr_ada": {"id": "usr_ada", "name": "Ada"}}


class DirectoryError(Exception):
    """The directory of users doesn't answer."""


async def read_user(request: Request) -> Response:
    user_id: str = request.path_params["user_id"]
    if user_id not in USERS:
        raise NotFoundError(f"No user {user_id}.")
    return JSONResponse({"data": USERS[user_id]})


async def sync_users(request: Request) -> Response:
    raise DirectoryError


app = Starlette(
    routes=[Route("/users/{user_id}", read_user), Route("/sync", sync_users, methods=["POST"])]
)
install(app, registry=ErrorRegistry(exceptions={DirectoryError: "server_error"}))

if __name__ == "__main__":
    uvicorn.run(app)
