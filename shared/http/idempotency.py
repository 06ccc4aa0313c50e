"""`Idempotency-Key`: a creating request has one effect and one answer, however often it is sent.

The key is claimed, and the answer stored, in the transaction of the effect. A second request with
the same key waits for the first (its insert meets the unique key) and gets the stored answer byte
for byte, in the language of the first. Another body under the same key is 422. A first request that
takes longer than the lock time-out makes the second 409. A failed request leaves no trace.
An answer may hold what only its reader may see, so it is stored encrypted.
"""

import hashlib
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, NamedTuple

import asyncpg
import orjson
from fastapi import Depends, Header, Request, Response
from fastapi.routing import APIRoute
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.database.direct import Direct, command
from shared.errors import ConflictError, FieldError, InvalidInputError, UnprocessableError
from shared.http.dependencies import Session
from shared.security.auth import CurrentCaller
from shared.security.crypto import decrypt, encrypt


class ClaimRow(NamedTuple):
    """A key that was not claimed before."""

    claimed: bool


class StoredAnswer(NamedTuple):
    """The answer of an earlier request with the same key."""

    request_hash: bytes
    status: int
    headers: dict[str, str]
    body: bytes


CLAIM = Direct(
    "INSERT INTO idempotency (caller, key, request_hash) VALUES (:caller, :key, :hash)"
    " ON CONFLICT DO NOTHING RETURNING true AS claimed",
    ClaimRow,
)
FIND = text(
    "SELECT request_hash, status, headers, body FROM idempotency"
    " WHERE caller = :caller AND key = :key"
)
STORE = command(
    "UPDATE idempotency SET status = :status, headers = CAST(:headers AS jsonb), body = :body"
    " WHERE caller = :caller AND key = :key"
)
KEPT_HEADERS = ("etag", "location", "content-type")
MAX_KEY = 128
PURPOSE = "idempotency.body"


class ReplayedAnswer(Exception):  # noqa: N818 - ends a request that succeeded before
    """Raised inside the request to answer with what was stored the first time."""

    def __init__(self, response: Response) -> None:
        super().__init__("answered before")
        self.response = response


class Claim:
    """One claimed key; `store` keeps the answer beside the effect."""

    def __init__(self, session: AsyncSession, caller: str, *, key: str) -> None:
        self._session = session
        self._identity = {"caller": caller, "key": key}

    async def take(self, request_hash: bytes) -> None:
        """Claim the key for a request.

        Raises:
            ReplayedAnswer: the same request was answered before.
            UnprocessableError: another request was answered under this key.
            ConflictError: a request with this key is still running.
        """
        try:
            claimed = await CLAIM.first(self._session, **self._identity, hash=request_hash)
        except asyncpg.LockNotAvailableError as error:
            raise ConflictError(
                "a request with this Idempotency-Key is still running; repeat it in a moment",
                headers={"Retry-After": "2"},
            ) from error
        if not claimed:
            await self._replay(request_hash)

    async def _replay(self, request_hash: bytes) -> None:
        row = (await self._session.execute(FIND, self._identity)).one()
        stored = StoredAnswer(*row)
        if stored.request_hash != request_hash:
            raise UnprocessableError(
                "this Idempotency-Key was used with another request",
                [
                    FieldError(
                        "Idempotency-Key", "one_request", message="use a new key for a new request"
                    )
                ],
            )
        body = decrypt(stored.body, PURPOSE)
        headers = {**stored.headers, "idempotent-replayed": "true"}
        raise ReplayedAnswer(Response(body, stored.status, headers))

    async def store(self, response: Response) -> None:
        """Keep the answer in the transaction of the effect."""
        headers = {
            name: response.headers[name] for name in KEPT_HEADERS if name in response.headers
        }
        await STORE.execute(
            self._session,
            **self._identity,
            status=response.status_code,
            headers=orjson.dumps(headers).decode(),
            body=encrypt(bytes(response.body).decode(), purpose=PURPOSE),
        )


async def claim_key(  # noqa: PLR0917 - FastAPI gives all by name
    request: Request,
    session: Session,
    caller: CurrentCaller,
    idempotency_key: Annotated[
        str | None,
        Header(description="Unique per intended effect, chosen by the client, 1–128 characters"),
    ] = None,
) -> None:
    """Dependency of a creating POST; the route must be an `IdempotentRoute`."""
    key = idempotency_key or ""
    if not 0 < len(key) <= MAX_KEY or not key.isprintable():
        missing = FieldError(
            "Idempotency-Key",
            "required",
            message="send 1 to {longest} printable characters, new for each intended effect",
            longest=MAX_KEY,
        )
        raise InvalidInputError("Idempotency-Key is required", [missing])
    target = f"{request.method} {request.url.path}?{request.url.query}\n"
    content = target.encode() + await request.body()
    claim = Claim(session, caller.subject, key=key)
    await claim.take(hashlib.sha256(content).digest())
    request.state.claim = claim


Once = Depends(claim_key)
"""`@router.post(..., dependencies=[Once])` on a router with `route_class=IdempotentRoute`."""


class IdempotentRoute(APIRoute):
    """Stores the answer of a claimed request before the transaction commits."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                response = await handler(request)
            except ReplayedAnswer as replay:
                return replay.response
            claim: Claim | None = getattr(request.state, "claim", None)
            if claim is not None:
                await claim.store(response)
            return response

        return handle
