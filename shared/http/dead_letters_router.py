"""Administration of dead letters over HTTP: list, read, re-drive, discard."""

from datetime import datetime
from typing import cast
from uuid import UUID

import orjson
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from shared.http.dependencies import ReadSession, Session
from shared.messaging.dead_letters import (
    BEFORE_ALL,
    Discard,
    Redrive,
    discard,
    get_letter,
    list_letters,
    redrive,
)
from shared.pagination import Cursor, Limit, Page, decode_cursor
from shared.security.auth import Administrator


class DeadLetterRead(BaseModel):
    """An event set aside. `error` names its kind; `gave_up` means that it waits for a person."""

    model_config = ConfigDict(from_attributes=True)

    event_id: UUID
    topic: str
    key: str
    type: str
    error: str
    attempts: int
    gave_up: bool
    parked_at: datetime
    next_attempt_at: datetime


class DeadLetterDetail(DeadLetterRead):
    """With the CloudEvent itself."""

    event: dict[str, object]


class Redriven(BaseModel):
    """How many were made due again."""

    redriven: int


def router(service: str) -> APIRouter:
    """The administrator's API, the same in every service."""
    api = APIRouter(prefix=f"/api/v1/{service}/dead-letters", tags=["operations"])

    @api.get("")
    async def list_dead_letters(  # pyright: ignore[reportUnusedFunction] - a route
        *,
        session: ReadSession,
        _administrator: Administrator,
        key: str | None = None,
        type: str | None = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Page[DeadLetterRead]:
        after = BEFORE_ALL
        if cursor:
            (after,) = decode_cursor(cursor, int)
        rows, next_cursor = await list_letters(
            session, key=key, kind=type, after=after, limit=limit
        )
        items = [DeadLetterRead.model_validate(row) for row in rows]
        return Page(items=items, next=next_cursor)

    @api.get("/{event_id}")
    async def get_dead_letter(  # pyright: ignore[reportUnusedFunction] - a route
        event_id: UUID, session: ReadSession, _administrator: Administrator
    ) -> DeadLetterDetail:
        letter, payload = await get_letter(session, event_id)
        read = DeadLetterRead.model_validate(letter)
        return DeadLetterDetail(**read.model_dump(), event=_readable(payload))

    @api.post("/redrives")
    async def redrive_dead_letters(  # pyright: ignore[reportUnusedFunction] - a route
        command: Redrive, session: Session, _administrator: Administrator
    ) -> Redriven:
        return Redriven(redriven=await redrive(session, command))

    @api.post("/{event_id}/discard", status_code=204)
    async def discard_dead_letter(  # pyright: ignore[reportUnusedFunction] - a route
        event_id: UUID, command: Discard, session: Session, _administrator: Administrator
    ) -> None:
        await discard(session, event_id, reason=command.reason)

    return api


def _readable(payload: bytes) -> dict[str, object]:
    """The event as JSON; its size where it is not a JSON object."""
    try:
        document: object = orjson.loads(payload)
    except ValueError:
        document = None
    if isinstance(document, dict):
        return cast("dict[str, object]", document)
    return {"unreadable_bytes": len(payload)}
