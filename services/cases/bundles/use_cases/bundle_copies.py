"""The copies of the published bundles."""

from sqlalchemy import ColumnElement, func, literal
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.cases.bundles.model import BundleCopy
from shared.events.matters import BundlePublished


async def upsert_copy(session: AsyncSession, event: BundlePublished) -> None:
    """Keep the newest published version, closed when it is withdrawn."""
    values = {
        "revision": event.revision,
        "event_number": event.event_number,
        "version": event.version,
        "open": event.open,
        # As it was published, not as this version of the code would write it.
        "document": literal(event.document, JSONB()),
    }
    statement = insert(BundleCopy).values(bundle_id=event.bundle_id, **values)
    statement = statement.on_conflict_do_update(
        index_elements=["bundle_id"], set_=values, where=_is_newer(event)
    )
    _ = await session.execute(statement)


def _is_newer(event: BundlePublished) -> ColumnElement[bool]:
    """Whether the copy is older than the event: facts of one act share a revision."""
    known = func.coalesce(BundleCopy.event_number, BundleCopy.revision)
    return known < event.event_number
