"""Every SELECT of what is public."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.invitations.model.invitation import Invitation
from services.ratings.publication.model import Publication
from services.ratings.rating.model.rating import Rating
from services.ratings.tickets.model.ticket import Ticket
from shared.errors import NotFoundError

FIRST = UUID(int=2**128 - 1)
"""Before the newest."""


@dataclass(frozen=True, slots=True)
class PublishedFilter:
    """Which published ratings: None is all."""

    area_code: str | None = None
    department_code: str | None = None
    matter_code: str | None = None
    hall: str | None = None
    window: str | None = None
    pf: str | None = None
    month: date | None = None


COLUMNS = (
    Rating.id,
    Publication.place,
    Publication.masked_name,
    Publication.text_hidden,
    Publication.moderation,
    Publication.month,
    Rating.area_code,
    Rating.department_code,
    Rating.matter_code,
    Rating.matter_name,
    Rating.grade,
    Rating.tags,
    Rating.masked_text,
    Rating.supplements,
    Rating.published_on,
    Ticket.plan_class,
    Ticket.root_cause,
    Ticket.action,
    Ticket.explained,
    Ticket.rectified_on,
    Ticket.satisfied,
    func.coalesce(Ticket.rectified_on <= Ticket.rectify_due_on, False).label("in_time"),
)


async def list_published(
    session: AsyncSession, which: PublishedFilter, before: UUID, limit: int
) -> Sequence[Any]:
    """Published ratings with what was done about them, the newest first."""
    statement = (
        select(*COLUMNS)
        .select_from(Publication)
        .join(Rating, Rating.id == Publication.rating_id)
        .outerjoin(Ticket, Ticket.rating_id == Rating.id)
        .where(
            text("publication.place IS NOT NULL"),
            Publication.place < before,
            Rating.excluded_on.is_(None),
        )
    )
    for name in PublishedFilter.__dataclass_fields__:
        if (value := getattr(which, name)) is not None:
            statement = statement.where(getattr(Publication, name) == value)
    return (
        await session.execute(statement.order_by(Publication.place.desc()).limit(limit + 1))
    ).all()


async def get_publication(
    session: AsyncSession, rating_id: UUID, *, lock: bool = False
) -> Publication:
    found = await session.get(Publication, rating_id, with_for_update=lock)
    if found is None:
        raise NotFoundError("no such publication of yours")
    return found


async def find_publication(session: AsyncSession, rating_id: UUID) -> Publication | None:
    return await session.get(Publication, rating_id)


async def list_due(session: AsyncSession, today: date, limit: int) -> Sequence[Publication]:
    """What is to be shown from today on, claimed for this worker."""
    due = text("place IS NULL AND due_on IS NOT NULL")
    statement = (
        select(Publication).where(due, Publication.due_on <= today).order_by(Publication.due_on)
    )
    return (await session.scalars(statement.limit(limit).with_for_update(skip_locked=True))).all()


async def find_names(
    session: AsyncSession, invitation_ids: Sequence[UUID]
) -> dict[UUID, str | None]:
    """Names of those invited, by invitation."""
    rows = await session.execute(
        select(Invitation.id, Invitation.contact_name).where(Invitation.id.in_(invitation_ids))
    )
    return {row.id: row.contact_name for row in rows}
