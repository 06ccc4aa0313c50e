"""Reconciliations as answers show them."""

from services.exchange.region.model.reconciliation import (
    Reconciliation,
    ReconciliationDifference,
)
from services.exchange.region.schemas import DifferenceRead, ReconciliationRead


def read_run(run: Reconciliation) -> ReconciliationRead:
    return ReconciliationRead(
        id=run.id,
        peer_code=run.peer_code,
        resource=run.resource,
        first_day=run.first_day,
        last_day=run.last_day,
        only_windows=run.only_windows,
        listed=run.listed,
        state=run.state,
        requested_by=run.requested_by,
        approved_by=run.approved_by,
        equal=run.equal,
        failure=run.failure,
        progress=run.progress,
        created_at=run.created_at,
        finished_at=run.finished_at,
    )


def read_difference(difference: ReconciliationDifference) -> DifferenceRead:
    return DifferenceRead(
        key=difference.key,
        day=difference.day,
        kind=difference.kind,
        cause=difference.cause,
        our_version=difference.our_version,
        peer_version=difference.peer_version,
        remedy=difference.remedy,
        owner=difference.owner,
        due_on=difference.due_on,
        state=difference.state,
        residual=difference.residual,
    )
