"""公开: what becomes public and when; words taken from view with a reason."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.invitations.queries.invitations import find_contact_names
from services.ratings.journal import Action, Entry, Journal
from services.ratings.model_base import Role
from services.ratings.publication import queries
from services.ratings.publication.model import Publication
from services.ratings.publication.schemas import Moderate
from services.ratings.rating.model.rating import Rating
from services.ratings.rating.queries import lock_ratings
from shared.database.acts import Act
from shared.database.calendar import get_calendar
from shared.domain import masking
from shared.domain.workdays import Moment
from shared.errors import NotFoundError
from shared.http.etags import check_version
from shared.security.tokens import Caller

BATCH = 200
ANONYMOUS = "匿名"


async def plan_publication(session: AsyncSession, rating: Rating, *, due_on: date | None) -> None:
    """Show this rating from `due_on`, or (None) once its ticket is closed.

    Ratings without words or a ticket are not listed one by one: they are in the figures alone, so
    that nobody can count a suppressed figure in the list (docs/adr/0010).
    """
    publication = await queries.find_publication(session, rating.id)
    if publication is None:
        session.add(Publication.of(rating, due_on))
    # What is shown already stays where it is in the list.
    elif publication.place is None:
        publication.due_on = due_on


async def publish_due(session: AsyncSession, now: datetime) -> int:
    """Publish one batch of what is due, claimed for this worker; returns its number."""
    at = Moment(now, await get_calendar(session))
    due = await queries.list_due(session, at.today, limit=BATCH)
    if not due:
        return 0
    ratings = await lock_ratings(session, [publication.rating_id for publication in due])
    invitation_ids = [rating.invitation_id for rating in ratings.values()]
    names = await find_contact_names(session, invitation_ids)
    journal = Journal(session)
    for publication in due:
        rating = ratings[publication.rating_id]
        name = names.get(rating.invitation_id)
        masked_name = ANONYMOUS
        # Without a name the rating is shown all the same: it is the words that matter.
        if rating.real_name and name:
            masked_name = masking.mask_name(name)
        published = publication.publish(rating, masked_name=masked_name, at=at)
        journal.append(Entry(Action.PUBLISH_RATING, rating.id), published)
    await journal.write()
    return len(due)


async def moderate_text(act: Act[Moment], rating_id: UUID, *, command: Moderate) -> Publication:
    """Take words from view or restore them, with a coded reason.

    By the department's handler, or by an auditor in any department of the area.
    """
    # Locked first: of two moderators the second sees what the first did.
    publication = await queries.get_publication(act.session, rating_id, lock=True)
    check_moderator(publication, act.caller)
    check_version(publication.revision, expected=act.expected)
    publication.moderate(command.reason, officer=act.caller.subject, at=act.at)
    journal = Journal(act.session)
    detail = {"code": command.reason.value}
    journal.append(Entry(Action.MODERATE_TEXT, rating_id, reason=command.words, detail=detail))
    await journal.write()
    return publication


def check_moderator(publication: Publication, caller: Caller) -> None:
    """Raise `NotFoundError` for all but the department's handler and the area's auditors."""
    is_auditor = Role.AUDITOR in caller.roles
    is_handler = Role.RATING_HANDLER in caller.roles
    is_of_department = caller.department == publication.department_code
    is_of_area = caller.area == publication.area_code
    if not is_of_area or not (is_auditor or (is_handler and is_of_department)):
        raise NotFoundError("no such publication of yours")
