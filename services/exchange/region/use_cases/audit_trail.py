"""Audit rows about pushes and reconciliations; nothing else of `region` writes any."""

from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.region.model.ledger import Push
from services.exchange.region.model.reconciliation import Reconciliation
from shared.database import audit


def record_on_push(session: AsyncSession, action: str, *, push: Push) -> None:
    audit.record(
        session,
        action,
        object_type="push",
        object_id=push.id,
        resource=push.resource,
        rows=push.rows,
    )


def record_on_run(
    session: AsyncSession,
    action: str,
    *,
    run: Reconciliation,
    reason: str | None = None,
    **detail: object,
) -> None:
    audit.record(
        session, action, object_type="reconciliation", object_id=run.id, reason=reason, **detail
    )
