"""过期失效: licenses whose last day is over."""

from datetime import datetime

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.licenses.journal import Journal
from services.licenses.model.license import License, facts_of
from services.licenses.model.states import EXPIRABLE_SQL, Operation, Status
from services.licenses.use_cases.bulk import update_licenses
from shared import clock
from shared.events.licenses import LicenseExpired

BATCH = 500


async def expire_due(session: AsyncSession, now: datetime) -> int:
    """Expire one batch of licenses whose last day is over in the city; their number.

    Other workers skip the batch, which is locked until the transaction ends.
    """
    due = (
        select(License.id)
        .where(text(EXPIRABLE_SQL), License.valid_until < clock.local_date(now))
        # In the order of the partial index, so that no sort reads the whole table.
        .order_by(License.valid_until)
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    )
    rows = await update_licenses(session, due, now=now, values={"status": Status.EXPIRED})
    journal = Journal(now)
    for row in rows:
        event = LicenseExpired(**facts_of(row, now))
        journal.append_step(row, Operation.EXPIRE, event=event)
    await journal.write(session)
    return len(rows)
