"""The copies of the published matters."""

from sqlalchemy import ColumnElement, func, literal, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.cases.applications.model import MatterCopy
from shared.events.matters import MatterCancelled, MatterPublished, MatterSuspended


async def upsert_copy(session: AsyncSession, event: MatterPublished) -> None:
    """Keep the newest published text, which takes applications from now on."""
    values = {
        "revision": event.revision,
        "event_number": event.event_number,
        "version": event.version,
        "open": True,
        # As it was published, not as this version of the code would write it.
        "document": literal(event.document, JSONB()),
    }
    statement = insert(MatterCopy).values(matter_id=event.matter_id, **values)
    statement = statement.on_conflict_do_update(
        index_elements=["matter_id"], set_=values, where=_is_newer(event)
    )
    _ = await session.execute(statement)


async def close_copy(session: AsyncSession, event: MatterSuspended | MatterCancelled) -> None:
    """Accept no new applications for the matter."""
    # By a statement: the text need not be read for it, whatever version wrote it.
    statement = update(MatterCopy).where(MatterCopy.matter_id == event.matter_id, _is_newer(event))
    values = {"revision": event.revision, "event_number": event.event_number, "open": False}
    _ = await session.execute(statement.values(values))


def _is_newer(event: MatterPublished | MatterSuspended | MatterCancelled) -> ColumnElement[bool]:
    """Whether the copy is older than the event: facts of one act share a revision."""
    known = func.coalesce(MatterCopy.event_number, MatterCopy.revision)
    return known < event.event_number
