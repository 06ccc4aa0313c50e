"""Administration of dead letters over HTTP: list, read, re-drive, discard."""

from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from shared.errors import NotFoundError
from shared.http.dependencies import ReadSession, Session
from shared.messaging.dead_letters import GET, Discard, Redrive, discard, list_letters, redrive
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

    event: dict[str, Any]


class Redriven(BaseModel):
    """How many were made due again."""

    redriven: int


def router(service: str) -> APIRouter:
    """The administrator's API, the same in every service."""
    api = APIRouter(prefix=f"/api/v1/{service}/dead-letters", tags=["operations"])

    @api.get("", response_model=Page[DeadLetterRead])
    async def list_dead_letters(  # pyright: ignore[reportUnusedFunction]
        session: ReadSession,
        _administrator: Administrator,
        key: str | None = None,
        type: str | None = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Any:
        after = decode_cursor(cursor, int)[0] if cursor else 0
        items, following = await list_letters(session, key=key, kind=type, after=after, limit=limit)
        return {"items": items, "next": following}

    @api.get("/{event_id}", response_model=DeadLetterDetail)
    async def get_dead_letter(
        event_id: UUID, session: ReadSession, _administrator: Administrator
    ) -> Any:  # pyright: ignore[reportUnusedFunction]
        row = (await session.execute(GET, {"event_id": event_id})).mappings().one_or_none()
        if row is None:
            raise NotFoundError("no dead letter with this event id")
        return {**row, "event": _readable(row["payload"])}

    @api.post("/redrives", response_model=Redriven)
    async def redrive_dead_letters(
        command: Redrive, session: Session, _administrator: Administrator
    ) -> Redriven:  # pyright: ignore[reportUnusedFunction]
        return Redriven(redriven=await redrive(session, command))

    @api.post("/{event_id}/discard", status_code=204)
    async def discard_dead_letter(  # pyright: ignore[reportUnusedFunction]
        event_id: UUID, command: Discard, session: Session, _administrator: Administrator
    ) -> None:
        await discard(session, event_id, command.reason)

    return api


def _readable(payload: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(payload)
    except ValueError:
        document = None
    return document if isinstance(document, dict) else {"unreadable_bytes": len(payload)}
