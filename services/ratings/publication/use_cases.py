"""公开: what becomes public and when; words taken from view with a reason."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.calendar.queries import get_calendar
from services.ratings.publication import queries as publication_queries
from services.ratings.publication.model import Publication
from services.ratings.publication.schemas import Moderate
from services.ratings.rating.model.rating import Rating
from services.ratings.tickets.queries import tickets
from shared.database import audit
from shared.domain import masking
from shared.domain.workdays import Moment
from shared.errors import NotFoundError
from shared.events.base import Event
from shared.http.etags import check_version
from shared.messaging import outbox
from shared.security.tokens import Caller

BATCH = 200
ANONYMOUS = "匿名"


async def plan_publication(session: AsyncSession, rating: Rating, due_on: date | None) -> None:
    """Show this rating from `due_on`, or (None) once its ticket is closed.

    Ratings without words or a ticket are not listed one by one: they live in the figures alone, so that nobody can count
    a suppressed figure in the list (docs/adr/0010).
    """
    found = await publication_queries.find_publication(session, rating.id)
    if found is None:
        session.add(Publication.of(rating, due_on))
    elif found.place is None:
        found.due_on = due_on


async def publish_due(session: AsyncSession, now: datetime) -> int:
    """What is due: one batch, claimed for this worker; its number."""
    at = Moment(now, await get_calendar(session))
    due = await publication_queries.list_due(session, at.today, BATCH)
    ratings = await tickets.list_ratings(session, [one.rating_id for one in due]) if due else {}
    names = (
        await publication_queries.find_names(
            session, [rating.invitation_id for rating in ratings.values()]
        )
        if due
        else {}
    )
    facts: list[Event] = []
    for one in due:
        rating = ratings[one.rating_id]
        name = names.get(rating.invitation_id) if rating.real_name else None
        facts.append(one.publish(rating, masking.mask_name(name) if name else ANONYMOUS, at))
        audit.record(session, "rating.publish", "rating", rating.id)
    await outbox.add_many(session, facts)
    return len(due)


async def moderate_text(
    session: AsyncSession,
    rating_id: UUID,
    command: Moderate,
    expected: int,
    caller: Caller,
    at: Moment,
) -> Publication:
    """Take words from view or restore them, with a coded reason; an auditor in any department of the area."""
    found = await publication_queries.get_publication(session, rating_id, lock=True)
    check_moderator(found, caller)
    check_version(found.revision, expected)
    found.moderate(command.reason, caller.subject, at)
    audit.record(
        session, "rating.moderate", "rating", rating_id, reason=command.words, code=command.reason
    )
    return found


def check_moderator(found: Publication, caller: Caller) -> None:
    """The department's handler, or an auditor of the area."""
    handles = "rating_handler" in caller.roles and caller.department == found.department_code
    if caller.area != found.area_code or not (handles or "auditor" in caller.roles):
        raise NotFoundError("no such publication of yours")
