"""HTTP in and out of reconciliations, for administrators."""

from collections.abc import Sequence
from uuid import UUID

from fastapi import APIRouter

from services.exchange.dependencies import Config
from services.exchange.region.model.reconciliation import (
    Reconciliation,
    ReconciliationDifference,
)
from services.exchange.region.queries import reconciliations as reconciliations_queries
from services.exchange.region.schemas import (
    DifferenceRead,
    ReconciliationRead,
    StartReconciliation,
    StatementRead,
)
from services.exchange.region.use_cases import reconciliations
from services.exchange.region.views import read_difference, read_run
from shared.errors import NotFoundError
from shared.http.dependencies import Now, ReadSession, Session
from shared.http.idempotency import IdempotentRoute, Once
from shared.pagination import Cursor, Limit, Page, decode_cursor, page_of
from shared.security.auth import Administrator

router = APIRouter(prefix="/reconciliations", route_class=IdempotentRoute)


@router.post("", status_code=201, dependencies=[Once])
async def start_reconciliation(
    command: StartReconciliation,
    session: Session,
    settings: Config,
    administrator: Administrator,
    now: Now,
) -> ReconciliationRead:
    """对账: compare the ledger with the regional platform, repair, close and sign.

    The worker does it.
    """
    run = await reconciliations.start(
        session,
        command,
        peer_code=settings.regional_peer,
        actor=administrator.subject,
        now=now,
    )
    return read_run(run)


@router.get("")
async def list_reconciliations(
    session: ReadSession, _administrator: Administrator, limit: Limit = 50, cursor: Cursor = None
) -> Page[ReconciliationRead]:
    """Newest first."""
    after: UUID | None = None
    if cursor:
        after = decode_cursor(cursor, UUID)[0]
    found = await reconciliations_queries.list_reconciliations(session, after, limit=limit)
    rows: Sequence[Reconciliation]
    rows, next_cursor = page_of(found, limit, "id")
    return Page(items=[read_run(row) for row in rows], next=next_cursor)


@router.get("/{run_id}")
async def get_reconciliation(
    run_id: UUID, session: ReadSession, _administrator: Administrator
) -> ReconciliationRead:
    """How far it has come."""
    return read_run(await reconciliations_queries.get_reconciliation(session, run_id))


@router.post("/{run_id}/approval")
async def approve_repair(
    run_id: UUID, session: Session, administrator: Administrator, now: Now
) -> ReconciliationRead:
    """Let a repair beyond the budget (5,000 rows, or one in a hundred) go on."""
    run = await reconciliations.approve(session, run_id, actor=administrator.subject, now=now)
    return read_run(run)


@router.get("/{run_id}/differences")
async def list_differences(
    run_id: UUID,
    session: ReadSession,
    _administrator: Administrator,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[DifferenceRead]:
    """The keys that differed, with class, cause, remedy, owner and day."""
    _ = await reconciliations_queries.get_reconciliation(session, run_id)
    after = ""
    if cursor:
        after = decode_cursor(cursor, str)[0]
    found = await reconciliations_queries.list_differences(
        session, run_id, after=after, limit=limit
    )
    rows: Sequence[ReconciliationDifference]
    rows, next_cursor = page_of(found, limit, "key")
    return Page(items=[read_difference(row) for row in rows], next=next_cursor)


@router.get("/{run_id}/statement")
async def get_statement(
    run_id: UUID, session: ReadSession, _administrator: Administrator
) -> StatementRead:
    """对账单, signed by both sides."""
    run = await reconciliations_queries.get_reconciliation(session, run_id)
    if run.statement is None or run.peer_statement is None:
        raise NotFoundError("not signed by both sides yet")
    return StatementRead(ours=run.statement.decode(), peer=run.peer_statement.decode())
