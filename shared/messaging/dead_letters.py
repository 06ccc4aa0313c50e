"""Dead letters, for the person who decides: list, inspect, re-drive (by id, by filter, all), discard with a reason.

The administrator's API is `/api/v1/<service>/dead-letters`; the command is
`python -m shared.dead_letters SERVICE list|redrive|discard …` with `<SERVICE>_DATABASE_URL` set.
"""

import asyncio
from typing import Annotated, Any
from uuid import UUID

import typer
from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.database import audit
from shared.database.session import Database
from shared.errors import InvalidValueError, NotFoundError
from shared.fields import Reason
from shared.pagination import page_of
from shared.settings import database_url

FIELDS = (
    "position, event_id, topic, key, type, error, attempts, gave_up, parked_at, next_attempt_at"
)
LIST = text(
    f"SELECT {FIELDS} FROM dead_letter WHERE position > :after"
    " AND (CAST(:key AS text) IS NULL OR key = :key) AND (CAST(:type AS text) IS NULL OR type = :type)"
    " ORDER BY position LIMIT :limit"
)
GET = text(f"SELECT {FIELDS}, payload FROM dead_letter WHERE event_id = :event_id")
CHOSEN = (
    " WHERE (CAST(:ids AS uuid[]) IS NULL OR event_id = ANY(CAST(:ids AS uuid[])))"
    " AND (CAST(:key AS text) IS NULL OR key = :key) AND (CAST(:type AS text) IS NULL OR type = :type)"
)
REDRIVE = text(
    "UPDATE dead_letter SET gave_up = false, attempts = 0, next_attempt_at = clock_timestamp()"
    + CHOSEN
    + " RETURNING event_id"
)
DISCARD = text(
    "WITH gone AS (DELETE FROM dead_letter WHERE event_id = :event_id RETURNING event_id)"
    " INSERT INTO inbox (event_id) SELECT event_id FROM gone ON CONFLICT DO NOTHING RETURNING event_id"
)


class Redrive(BaseModel):
    """Which dead letters are tried again: by id, by key, by type (all given ones must match), or `all`."""

    model_config = ConfigDict(extra="forbid")

    event_ids: list[UUID] | None = Field(default=None, min_length=1, max_length=10_000)
    key: str | None = Field(default=None, max_length=200)
    type: str | None = Field(default=None, max_length=200)
    all: bool = False

    @model_validator(mode="after")
    def _names_something(self) -> "Redrive":
        chosen = self.event_ids is not None or self.key is not None or self.type is not None
        if chosen == self.all:
            raise InvalidValueError("name event_ids, key or type, or send all=true alone")
        return self


class Discard(BaseModel):
    """Why this event shall never have its effect."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason


async def list_letters(
    session: AsyncSession, *, key: str | None, kind: str | None, after: int, limit: int
) -> tuple[list[Any], str | None]:
    rows = (
        await session.execute(LIST, {"after": after, "key": key, "type": kind, "limit": limit + 1})
    ).all()
    page, following = page_of(rows, limit, "position")
    return list(page), following


async def redrive(session: AsyncSession, command: Redrive) -> int:
    """Make the chosen letters due now; the order within a key is kept. Returns their number."""
    chosen = {"ids": command.event_ids, "key": command.key, "type": command.type}
    number = len((await session.execute(REDRIVE, chosen)).all())
    audit.record(
        session, "dead-letter.redrive", "dead_letter", command.key or "many", redriven=number
    )
    return number


async def discard(session: AsyncSession, event_id: UUID, reason: str) -> None:
    """Take the letter away for good: its event counts as handled without effect, the next of its key goes on."""
    if (await session.execute(DISCARD, {"event_id": event_id})).one_or_none() is None:
        raise NotFoundError("no dead letter with this event id")
    audit.record(session, "dead-letter.discard", "dead_letter", event_id, reason=reason)


cli = typer.Typer(help="Dead letters of one service", no_args_is_help=True)


def _with_session(service: str, work: Any) -> Any:
    async def run() -> Any:
        database = Database(database_url(service), data_key=b"", pool_size=1)
        try:
            async with database.transaction() as session:
                return await work(session)
        finally:
            await database.close()

    return asyncio.run(run())


@cli.command("list")
def list_command(
    service: str, key: str | None = None, type: str | None = None, limit: int = 50
) -> None:
    """One line per letter: event id, key, type, attempts, state, error."""
    items, _ = _with_session(
        service, lambda s: list_letters(s, key=key, kind=type, after=0, limit=limit)
    )
    for row in items:
        state = "waits for you" if row.gave_up else "is retried"
        typer.echo(f"{row.event_id}  {row.key}  {row.type}  {row.attempts}  {state}  {row.error}")


@cli.command("redrive")
def redrive_command(
    service: str,
    event_id: Annotated[list[UUID] | None, typer.Option()] = None,
    key: str | None = None,
    type: str | None = None,
    all: bool = False,
) -> None:
    """Try again: by id (repeatable), key, type, or --all."""
    command = Redrive(event_ids=event_id or None, key=key, type=type, all=all)
    typer.echo(f"{_with_session(service, lambda s: redrive(s, command))} made due")


@cli.command("discard")
def discard_command(service: str, event_id: UUID, reason: Annotated[str, typer.Option()]) -> None:
    """Give up on one event for good, with the reason kept in the audit trail."""
    _with_session(service, lambda s: discard(s, event_id, Discard(reason=reason).reason))
    typer.echo("discarded")


if __name__ == "__main__":
    cli()
