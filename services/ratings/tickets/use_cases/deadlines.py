"""办理时限: the working days of every step, set by administrators."""

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.calendar.model import Deadline, Deadlines
from services.ratings.journal import Action, Entry, Journal
from services.ratings.tickets.schemas.tickets import DeadlinesForm


async def set_deadlines(session: AsyncSession, form: DeadlinesForm) -> Deadlines:
    """From now on; clocks that run keep the days they began with."""
    days: dict[str, int] = form.model_dump()
    # In one order everywhere, so that no two transactions wait for each other.
    rows = [{"name": name, "days": number} for name, number in sorted(days.items())]
    statement = insert(Deadline).values(rows)
    statement = statement.on_conflict_do_update(
        index_elements=["name"], set_={"days": statement.excluded.days}
    )
    _ = await session.execute(statement)
    journal = Journal(session)
    journal.append(Entry(Action.SET_DEADLINES, "all", detail=days))
    await journal.write()
    return Deadlines(**days)
