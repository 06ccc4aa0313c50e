"""The one writer of history: what happened to licenses, as steps, audit rows and events.

Who acts, and for whom, is taken from the request's or event's context (`shared.context`).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from services.licenses.model.license import License, LicenseRow, LicenseStep
from services.licenses.model.states import Operation
from shared.database import audit
from shared.database.tables import AuditRow
from shared.events.base import Event
from shared.events.licenses import LicenseEvent
from shared.ids import new_id
from shared.messaging import outbox

OUTBOX_SQL = """SELECT e.topic, e.key, e.id, e.payload FROM unnest(
    CAST(:topics AS text[]), CAST(:keys AS text[]),
    CAST(:ids AS uuid[]), CAST(:payloads AS bytea[])
) WITH ORDINALITY AS e (topic, key, id, payload, place)"""
"""The events of a `StatementValues`, for the statement that is given it."""
AUDIT_COLUMNS = (
    "id, at, actor, on_behalf_of, action, object_type, object_id, reason, detail, request_id"
)
AUDIT_SQL = """SELECT a.* FROM jsonb_to_recordset(CAST(:audits AS jsonb)) AS a (
    id uuid, at timestamptz, actor text, on_behalf_of text, action text, object_type text,
    object_id text, reason text, detail jsonb, request_id text
)"""
"""The audit rows of a `StatementValues`."""


class StatementValues(TypedDict):
    """Events and audit rows, for a statement that writes them together with other rows."""

    topics: list[str]
    keys: list[str]
    ids: list[UUID]
    payloads: list[bytes]
    audits: str


class Journal:
    """Collects what happens in one transaction, and writes it.

    Every act, timer, consumer and import uses it: `append…` for each thing that happened, then
    `write` once. Bulk statements take `statement_values` instead, to save round trips.
    """

    def __init__(self, at: datetime) -> None:
        self.at = at
        self._steps: list[LicenseStep] = []
        self._audits: list[AuditRow] = []
        self._events: list[Event] = []

    def append_step(
        self,
        license: License | LicenseRow,
        operation: Operation,
        *,
        event: LicenseEvent,
        reason: str | None = None,
        **detail: object,
    ) -> None:
        """An operation on a license: the step that its holder sees, its audit row and its event.

        The license is given as it is after the operation. `detail` goes to the audit row: JSON
        values without personal data.
        """
        step = LicenseStep(
            id=new_id(),
            license_id=license.id,
            act=operation,
            status=license.status,
            version=license.version,
            reason=reason,
            at=self.at,
        )
        self._steps.append(step)
        self.append_audit(
            f"license.{operation}",
            object_id=license.id,
            object_type="license",
            reason=reason,
            **detail,
        )
        self._events.append(event)

    def append_audit(
        self,
        action: str,
        *,
        object_id: object,
        object_type: str = "license",
        reason: str | None = None,
        **detail: object,
    ) -> None:
        """Audit an act that is no step of a license.

        Its object is a license unless said otherwise.
        """
        entry = audit.entry(
            action, object_type=object_type, object_id=object_id, reason=reason, **detail
        )
        self._audits.append(AuditRow(**entry))

    def append_events(self, *events: Event) -> None:
        """Events without a step, of bulk work whose audit row covers the whole batch."""
        self._events.extend(events)

    async def write(self, session: AsyncSession) -> None:
        """Write everything in the session's transaction; the events in one statement."""
        session.add_all(self._steps)
        session.add_all(self._audits)
        await outbox.add_many(session, self._events)


def issue_values(
    rows: Sequence[LicenseRow], events: Sequence[LicenseEvent], *, audited: bool
) -> StatementValues:
    """History of new licenses for the statement that stores them.

    Without `audited` the licenses get no audit rows of their own: their batch has one. No entity
    is made here, because thousands of licenses pass this way.
    """
    entries = [outbox.entry(event) for event in events]
    audits: list[dict[str, object]] = []
    if audited:
        for row in rows:
            entry = audit.entry(
                "license.issue",
                object_type="license",
                object_id=row.id,
                type=row.type_code,
                origin=row.origin,
            )
            audits.append(entry)
    return StatementValues(
        topics=[entry["topic"] for entry in entries],
        keys=[entry["key"] for entry in entries],
        ids=[entry["event_id"] for entry in entries],
        payloads=[entry["payload"] for entry in entries],
        # The driver gives ids in a class of its own, which orjson does not take for a UUID.
        audits=orjson.dumps(audits, default=str).decode(),
    )
