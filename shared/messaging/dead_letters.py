"""Dead letters, for the person who decides: list, read, re-drive, discard with a reason.

The administrator's API is `/api/v1/<service>/dead-letters`; the command is
`python -m shared.messaging.dead_letters SERVICE list|redrive|discard …` with
`<SERVICE>_DATABASE_URL` set.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Annotated, NamedTuple, TypeVar
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

T = TypeVar("T")


class LetterRow(NamedTuple):
    """A dead letter without its event."""

    position: int
    event_id: UUID
    topic: str
    key: str
    type: str
    error: str
    attempts: int
    gave_up: bool
    parked_at: datetime
    next_attempt_at: datetime


class LetterWithPayload(NamedTuple):
    """A dead letter with the bytes of its event."""

    letter: LetterRow
    payload: bytes


BEFORE_ALL = -(2**63)
"""Before the position of the first letter; those that were given later have negative ones."""
FREE_NEXT = (
    "UPDATE dead_letter SET next_attempt_at = clock_timestamp()"
    " WHERE next_attempt_at = 'infinity' AND position = (SELECT d.position"
    "  FROM dead_letter d JOIN gone g ON d.topic = g.topic AND d.key = g.key"
    "  WHERE d.position <> g.position ORDER BY d.position LIMIT 1)"
)
"""Make the first of the key of the letter that is `gone` due."""
FIELDS = ", ".join(LetterRow._fields).replace(
    "next_attempt_at",
    # One that waits behind another has no time of its own.
    "CASE WHEN isfinite(next_attempt_at) THEN next_attempt_at ELSE parked_at END",
)
LIST = text(
    f"SELECT {FIELDS} FROM dead_letter WHERE position > :after"
    " AND (CAST(:key AS text) IS NULL OR key = :key)"
    " AND (CAST(:type AS text) IS NULL OR type = :type)"
    " ORDER BY position LIMIT :limit"
)
GET = text(f"SELECT {FIELDS}, payload FROM dead_letter WHERE event_id = :event_id")
REDRIVE = text(
    "UPDATE dead_letter d SET gave_up = false, attempts = 0, next_attempt_at ="
    " CASE WHEN EXISTS (SELECT FROM dead_letter e"
    "  WHERE e.topic = d.topic AND e.key = d.key AND e.position < d.position)"
    " THEN 'infinity' ELSE clock_timestamp() END"
    " WHERE (CAST(:ids AS uuid[]) IS NULL OR event_id = ANY(CAST(:ids AS uuid[])))"
    " AND (CAST(:key AS text) IS NULL OR key = :key)"
    " AND (CAST(:type AS text) IS NULL OR type = :type)"
    " RETURNING event_id"
)
DISCARD = text(
    "WITH gone AS (DELETE FROM dead_letter WHERE event_id = :event_id"
    f"  RETURNING event_id, topic, key, position), freed AS ({FREE_NEXT})"
    " INSERT INTO inbox (event_id) SELECT event_id FROM gone ON CONFLICT DO NOTHING"
    " RETURNING event_id"
)


class Redrive(BaseModel):
    """Which dead letters are tried again:
    by id, by key, by type (all given ones must match), or `all`.
    """

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
) -> tuple[Sequence[LetterRow], str | None]:
    """A page of letters in the order in which they were set aside, and the next cursor."""
    parameters = {"after": after, "key": key, "type": kind, "limit": limit + 1}
    rows = [LetterRow(*row) for row in await session.execute(LIST, parameters)]
    return page_of(rows, limit, "position")


async def get_letter(session: AsyncSession, event_id: UUID) -> LetterWithPayload:
    """One letter with its event.

    Raises:
        NotFoundError: there is none of this event.
    """
    row = (await session.execute(GET, {"event_id": event_id})).one_or_none()
    if row is None:
        raise NotFoundError("no dead letter with this event id")
    *fields, payload = row
    return LetterWithPayload(LetterRow(*fields), payload)


async def redrive(session: AsyncSession, command: Redrive) -> int:
    """Make the chosen letters due now; the order within a key is kept. Returns their number."""
    chosen = {"ids": command.event_ids, "key": command.key, "type": command.type}
    number = len((await session.execute(REDRIVE, chosen)).all())
    audit.record(
        session,
        "dead-letter.redrive",
        object_type="dead_letter",
        object_id=command.key or "many",
        redriven=number,
    )
    return number


async def discard(session: AsyncSession, event_id: UUID, *, reason: str) -> None:
    """Remove the letter for good: its event counts as handled, and the next of its key goes on.

    Raises:
        NotFoundError: there is none of this event.
    """
    if (await session.execute(DISCARD, {"event_id": event_id})).one_or_none() is None:
        raise NotFoundError("no dead letter with this event id")
    audit.record(
        session, "dead-letter.discard", object_type="dead_letter", object_id=event_id, reason=reason
    )


cli = typer.Typer(help="Dead letters of one service", no_args_is_help=True)


def _with_session(service: str, work: Callable[[AsyncSession], Awaitable[T]]) -> T:
    """Run `work` in a transaction on the service's database."""

    async def run() -> T:
        database = Database(database_url(service), data_key=b"", pool_size=1)
        try:
            async with database.transaction() as session:
                return await work(session)
        finally:
            await database.close()

    return asyncio.run(run())


@cli.command("list")
def list_command(
    service: str, *, key: str | None = None, type: str | None = None, limit: int = 50
) -> None:
    """One line per letter: event id, key, type, attempts, state, error."""

    async def work(session: AsyncSession) -> tuple[Sequence[LetterRow], str | None]:
        return await list_letters(session, key=key, kind=type, after=BEFORE_ALL, limit=limit)

    items, _ = _with_session(service, work)
    for row in items:
        state = "waits for you" if row.gave_up else "is retried"
        typer.echo(f"{row.event_id}  {row.key}  {row.type}  {row.attempts}  {state}  {row.error}")


@cli.command("redrive")
def redrive_command(
    service: str,
    *,
    event_id: Annotated[list[UUID] | None, typer.Option()] = None,
    key: str | None = None,
    type: str | None = None,
    all: bool = False,
) -> None:
    """Try again: by id (repeatable), key, type, or --all."""
    command = Redrive(event_ids=event_id or None, key=key, type=type, all=all)

    async def work(session: AsyncSession) -> int:
        return await redrive(session, command)

    number = _with_session(service, work)
    typer.echo(f"{number} made due")


@cli.command("discard")
def discard_command(
    service: str, *, event_id: UUID, reason: Annotated[str, typer.Option()]
) -> None:
    """Give up on one event for good, with the reason kept in the audit trail."""
    checked = Discard(reason=reason).reason

    async def work(session: AsyncSession) -> None:
        await discard(session, event_id, reason=checked)

    _with_session(service, work)
    typer.echo("discarded")


if __name__ == "__main__":
    cli()
