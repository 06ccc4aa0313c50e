"""The copies of the published matters."""

from sqlalchemy import literal, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.cases.applications.model import MatterCopy
from shared.events.matters import MatterCancelled, MatterPublished, MatterSuspended


async def upsert_copy(session: AsyncSession, event: MatterPublished) -> None:
    """Keep the newest published text, which takes applications from now on."""
    values = {
        "revision": event.revision,
        "version": event.version,
        "open": True,
        # As it was published, not as this version of the code would write it.
        "document": literal(event.document, JSONB()),
    }
    statement = insert(MatterCopy).values(matter_id=event.matter_id, **values)
    statement = statement.on_conflict_do_update(
        index_elements=["matter_id"], set_=values, where=MatterCopy.revision < event.revision
    )
    _ = await session.execute(statement)


async def close_copy(session: AsyncSession, event: MatterSuspended | MatterCancelled) -> None:
    """Accept no new applications for the matter."""
    # By a statement: the text need not be read for it, whatever version wrote it.
    statement = update(MatterCopy).where(
        MatterCopy.matter_id == event.matter_id, MatterCopy.revision < event.revision
    )
    _ = await session.execute(statement.values(open=False, revision=event.revision))
