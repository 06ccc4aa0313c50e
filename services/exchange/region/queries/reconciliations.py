"""Every SELECT about reconciliations."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from services.exchange.region.model.ledger import LedgerResource
from services.exchange.region.model.reconciliation import (
    Difference,
    DifferenceState,
    Reconciliation,
    ReconciliationDifference,
    Remedy,
    RunState,
)
from shared.errors import NotFoundError

OVER = (RunState.FINISHED, RunState.FAILED)
STEPPING = (
    RunState.QUEUED,
    RunState.REPAIRING,
    RunState.WAITING,
    RunState.CLOSING,
    RunState.SIGNING,
)
"""States whose next step the worker takes by itself."""
AFTER_FAILURE = timedelta(hours=1)
"""A run that failed counts as done for so long, before another is planned."""
D = ReconciliationDifference


class ResidualRow(NamedTuple):
    key: str
    kind: Difference
    cause: str
    owner: str
    due_on: date


async def get_reconciliation(
    session: AsyncSession, run_id: UUID, *, for_update: bool = False
) -> Reconciliation:
    run = await session.get(Reconciliation, run_id, with_for_update=for_update)
    if run is None:
        raise NotFoundError("no such reconciliation")
    return run


async def list_reconciliations(
    session: AsyncSession, after: UUID | None, *, limit: int
) -> Sequence[Reconciliation]:
    """Newest first, one more than `limit`."""
    statement = (
        select(Reconciliation)
        .order_by(Reconciliation.id.desc())
        .limit(limit + 1)
        .options(defer(Reconciliation.statement), defer(Reconciliation.peer_statement))
    )
    if after is not None:
        statement = statement.where(Reconciliation.id < after)
    return (await session.scalars(statement)).all()


async def claim_due(session: AsyncSession, now: datetime) -> Reconciliation | None:
    """A run whose next step is due and that nobody else holds."""
    statement = (
        select(Reconciliation)
        # The first condition is that of the index.
        .where(Reconciliation.state.not_in(OVER))
        .where(Reconciliation.state.in_(STEPPING), Reconciliation.next_step_at <= now)
        .order_by(Reconciliation.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    return await session.scalar(statement)


async def has_run_since(
    session: AsyncSession,
    resource: LedgerResource,
    *,
    since: datetime,
    now: datetime,
    only_windows: bool,
    listed: bool = False,
) -> bool:
    """Whether there was a run of this kind that did not fail, or did within the last hour.

    A run that compares the lists is also a nightly one.
    """
    statement = select(Reconciliation.id).where(
        Reconciliation.resource == resource,
        Reconciliation.only_windows == only_windows,
        Reconciliation.created_at >= since,
        (Reconciliation.state != RunState.FAILED)
        | (Reconciliation.created_at > now - AFTER_FAILURE),
    )
    if listed:
        statement = statement.where(Reconciliation.listed)
    return await session.scalar(statement.limit(1)) is not None


async def list_found(
    session: AsyncSession, run_id: UUID, *, limit: int
) -> Sequence[ReconciliationDifference]:
    """Differences whose remedy has not begun."""
    statement = (
        select(D)
        .where(D.run_id == run_id, D.state == DifferenceState.FOUND)
        .order_by(D.key)
        .limit(limit)
    )
    return (await session.scalars(statement)).all()


async def list_differences(
    session: AsyncSession, run_id: UUID, *, after: str, limit: int
) -> Sequence[ReconciliationDifference]:
    """By key, one more than `limit`."""
    statement = select(D).where(D.run_id == run_id, D.key > after).order_by(D.key).limit(limit + 1)
    return (await session.scalars(statement)).all()


async def list_keys_to_resend(session: AsyncSession, run_id: UUID) -> list[str]:
    statement = select(D.key).where(D.run_id == run_id, D.remedy == Remedy.RESEND)
    return list(await session.scalars(statement))


async def list_residuals(session: AsyncSession, run_id: UUID) -> list[ResidualRow]:
    """What still differs at the end, each with cause, owner and day."""
    statement = (
        select(D.key, D.kind, D.cause, D.owner, D.due_on)
        .where(D.run_id == run_id, D.residual)
        .order_by(D.key)
    )
    return [ResidualRow(*row) for row in await session.execute(statement)]


async def count_kinds(session: AsyncSession, run_id: UUID) -> dict[str, int]:
    """Differences by class."""
    statement = select(D.kind, func.count()).where(D.run_id == run_id).group_by(D.kind)
    rows = await session.execute(statement)
    return {kind.value: number for kind, number in rows}


async def count_repaired(session: AsyncSession, run_id: UUID) -> int:
    """Sent again, and equal since."""
    statement = select(func.count()).where(
        D.run_id == run_id, D.remedy == Remedy.RESEND, ~D.residual
    )
    return await session.scalar(statement) or 0
