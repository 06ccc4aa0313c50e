"""The copy of the published matters."""

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.cases.applications.model import MatterCopy
from shared.events.matters import MatterCancelled, MatterPublished, MatterSuspended


async def copy_matter(session: AsyncSession, event: MatterPublished) -> None:
    """Keep the newest published text."""
    values = {
        "revision": event.revision,
        "version": event.version,
        "open": True,
        "document": event.document,
    }
    statement = insert(MatterCopy).values(matter_id=event.matter_id, **values)
    newer = MatterCopy.revision < event.revision
    _ = await session.execute(
        statement.on_conflict_do_update(index_elements=["matter_id"], set_=values, where=newer)
    )


async def close_copy(session: AsyncSession, event: MatterSuspended | MatterCancelled) -> None:
    """No new applications."""
    matter = await session.get(MatterCopy, event.matter_id, with_for_update=True)
    if matter is not None and matter.revision < event.revision:
        matter.open, matter.revision = False, event.revision
