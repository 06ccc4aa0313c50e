"""过期失效: what time alone does to a licence."""

from datetime import datetime
from typing import Any

from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.licenses.model.license import License, LicenseStep, facts_of
from services.licenses.model.states import RUNS_OUT, Status
from shared import clock
from shared.database import audit
from shared.events.licenses import LicenseExpired
from shared.ids import new_id
from shared.messaging import outbox

BATCH = 500
LICENSE: Any = License.__table__.c


async def expire_due(session: AsyncSession, now: datetime) -> int:
    """One batch of licences whose last day is over in the city, claimed for this worker; their number."""
    today = clock.local_date(now)
    due = (
        select(LICENSE.id)
        .where(text(RUNS_OUT), LICENSE.valid_until < today)
        .order_by(LICENSE.valid_until)
    )
    claimed = due.limit(BATCH).with_for_update(skip_locked=True)
    statement = (
        update(License.__table__)  # pyright: ignore[reportArgumentType]
        .where(LICENSE.id.in_(claimed.scalar_subquery()))
        .values(status=Status.EXPIRED, revision=LICENSE.revision + 1, changed_at=now)
        .returning(*LICENSE)
    )
    rows = (await session.execute(statement)).all()
    await outbox.add_many(session, [LicenseExpired(**facts_of(row, now)) for row in rows])
    for row in rows:
        step = {"act": "expire", "status": row.status, "version": row.version, "at": now}
        session.add(LicenseStep(id=new_id(), license_id=row.id, **step))
        audit.record(session, "license.expire", "license", row.id)
    return len(rows)
