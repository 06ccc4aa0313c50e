"""The copy of the published bundles."""

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.cases.bundles.model import BundleCopy
from shared.events.matters import BundlePublished


async def copy_bundle(session: AsyncSession, event: BundlePublished) -> None:
    """Keep the newest published version, closed when it is withdrawn."""
    values = {
        "revision": event.revision,
        "version": event.version,
        "open": event.open,
        "document": event.document,
    }
    statement = insert(BundleCopy).values(bundle_id=event.bundle_id, **values)
    newer = BundleCopy.revision < event.revision
    _ = await session.execute(
        statement.on_conflict_do_update(index_elements=["bundle_id"], set_=values, where=newer)
    )
