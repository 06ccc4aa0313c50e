"""HTTP in and out of reconciliations, for administrators."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter

from services.exchange.batches.router import Config
from services.exchange.region.model.reconciliation import Reconciliation
from services.exchange.region.queries import reconciliations as queries_reconciliations
from services.exchange.region.schemas import (
    DifferenceRead,
    ReconciliationRead,
    StartReconciliation,
    StatementRead,
)
from services.exchange.region.use_cases import reconciliations
from shared import clock
from shared.errors import NotFoundError
from shared.http.dependencies import ReadSession, Session
from shared.http.idempotency import IdempotentRoute, Once
from shared.pagination import Cursor, Limit, Page, decode_cursor, page_of
from shared.security.auth import Administrator

router = APIRouter(prefix="/reconciliations", route_class=IdempotentRoute)


def _read(run: Reconciliation) -> dict[str, Any]:
    return {name: getattr(run, name) for name in ReconciliationRead.model_fields}


@router.post("", response_model=ReconciliationRead, status_code=201, dependencies=[Once])
async def start_reconciliation(
    command: StartReconciliation, session: Session, settings: Config, administrator: Administrator
) -> Any:
    """对账: compare the ledger with the regional platform, repair, close and sign; the worker does it."""
    run = await reconciliations.start(
        session, command, settings.regional_peer, administrator.subject, clock.now()
    )
    return _read(run)


@router.get("", response_model=Page[ReconciliationRead])
async def list_reconciliations(
    session: ReadSession, _administrator: Administrator, limit: Limit = 50, cursor: Cursor = None
) -> Any:
    """Newest first."""
    after = decode_cursor(cursor, UUID)[0] if cursor else None
    rows, following = page_of(
        await queries_reconciliations.list_reconciliations(session, after, limit), limit, "id"
    )
    return {"items": [_read(run) for run in rows], "next": following}


@router.get("/{run_id}", response_model=ReconciliationRead)
async def get_reconciliation(
    run_id: UUID, session: ReadSession, _administrator: Administrator
) -> Any:
    """How far it has come."""
    return _read(await queries_reconciliations.get_reconciliation(session, run_id))


@router.post("/{run_id}/approval", response_model=ReconciliationRead)
async def approve_repair(run_id: UUID, session: Session, administrator: Administrator) -> Any:
    """Let a repair beyond the budget (5,000 rows, or one in a hundred) go on."""
    return _read(await reconciliations.approve(session, run_id, administrator.subject, clock.now()))


@router.get("/{run_id}/differences", response_model=Page[DifferenceRead])
async def list_differences(
    run_id: UUID,
    session: ReadSession,
    _administrator: Administrator,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Any:
    """The keys that differed, with class, cause, remedy, owner and day."""
    _ = await queries_reconciliations.get_reconciliation(session, run_id)
    after = decode_cursor(cursor, str)[0] if cursor else ""
    rows, following = page_of(
        await queries_reconciliations.list_differences(session, run_id, after, limit), limit, "key"
    )
    return {"items": rows, "next": following}


@router.get("/{run_id}/statement", response_model=StatementRead)
async def get_statement(run_id: UUID, session: ReadSession, _administrator: Administrator) -> Any:
    """对账单, signed by both sides."""
    run = await queries_reconciliations.get_reconciliation(session, run_id)
    if run.statement is None or run.peer_statement is None:
        raise NotFoundError("not signed by both sides yet")
    return {"ours": run.statement.decode(), "peer": run.peer_statement.decode()}
