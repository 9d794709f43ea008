"""`Idempotency-Key`: a POST that is sent again is answered again, and done once."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Header, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import ColumnElement, delete, update
from sqlalchemy.dialects.sqlite import insert

from authpi_errors import ConflictError, InvalidRequestError
from examples.core_api.auth import Caller
from examples.core_api.schemas import response
from examples.core_api.storage import Claim, Resource, Session


class _Once:
    """Creates a resource: once for each key, where the client sent one."""

    def __init__(
        self,
        request: Request,
        caller: Caller,
        session: Session,
        idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
    ) -> None:
        self._request = request
        self._account_id = caller.account_id
        self._session = session
        self._key = idempotency_key

    async def __call__(self, create: Callable[[], Awaitable[Resource]]) -> Response:
        """Answers with what `create` adds to the session, or with what it added earlier.

        Raises:
            InvalidRequestError: The key was used for another request.
            ConflictError: The first request with this key isn't done.
        """
        if self._key is None:
            return await self._finish(create)
        fingerprint = await self._fingerprint()
        # Committed at once: others must see it while the resource is being made.
        claimed = await self._session.scalar(
            insert(Claim)
            .values(account_id=self._account_id, key=self._key, fingerprint=fingerprint)
            .on_conflict_do_nothing()
            .returning(Claim.key)
        )
        await self._session.commit()
        if claimed is None:
            return await self._replay(fingerprint)
        try:
            return await self._finish(create)
        except Exception:
            # What failed may be tried again with the same key.
            await self._session.rollback()
            await self._session.execute(delete(Claim).where(*self._mine))
            await self._session.commit()
            raise

    @property
    def _mine(self) -> tuple[ColumnElement[bool], ...]:
        return Claim.account_id == self._account_id, Claim.key == self._key

    async def _fingerprint(self) -> str:
        target = f"{self._request.method} {self._request.url.path}\n"
        return hashlib.sha256(target.encode() + await self._request.body()).hexdigest()

    async def _finish(self, create: Callable[[], Awaitable[Resource]]) -> Response:
        resource = await create()
        await self._session.flush()
        created = response(resource, status_code=201)
        if self._key is not None:
            answer = {"etag": created.headers["ETag"], "body": created.body}
            await self._session.execute(update(Claim).where(*self._mine).values(answer))
        await self._session.commit()
        return created

    async def _replay(self, fingerprint: str) -> Response:
        claim = await self._session.get(Claim, (self._account_id, self._key))
        if claim is not None and claim.fingerprint != fingerprint:
            raise InvalidRequestError(
                "This Idempotency-Key was used for another request.", status=422
            )
        # There is none if the first request failed just now.
        if claim is None or claim.body is None:
            raise ConflictError(
                "A request with this Idempotency-Key is in progress.", retry_after=1
            )
        replayed = Response(claim.body, 201, media_type=JSONResponse.media_type)
        replayed.headers["ETag"] = claim.etag
        return replayed


Once = Annotated[_Once, Depends()]
