"""Every SELECT of what is public."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Boolean, ColumnElement, Date, Text, Uuid, column, func, select, table, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.publication.model import ModerationReason, Publication
from services.ratings.rating.model.grades import Grade
from services.ratings.rating.model.rating import Rating, Supplement
from services.ratings.rating.model.root_causes import PlanClass, RootCause
from shared.database.columns import EnumText
from shared.errors import NotFoundError

FIRST = UUID(int=2**128 - 1)
"""Comes after every place, as the start of a list with the newest first."""

# Tickets belong to a feature above this one, which plans publications: their table is only read.
TICKET = table(
    "ticket",
    column("rating_id", Uuid()),
    column("plan_class", EnumText(PlanClass)),
    column("root_cause", EnumText(RootCause)),
    column("action", Text()),
    column("explained", Boolean()),
    column("rectified_on", Date()),
    column("rectify_due_on", Date()),
    column("satisfied", Boolean()),
)


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


class PublishedRow(NamedTuple):
    """A published rating, with what was done about it (None where there was no ticket)."""

    id: UUID
    place: UUID
    masked_name: str
    text_hidden: bool
    moderation: ModerationReason | None
    month: date
    area_code: str
    department_code: str
    matter_code: str | None
    matter_name: str | None
    grade: Grade
    tags: list[str]
    masked_text: str | None
    supplements: list[Supplement]
    published_on: date
    plan_class: PlanClass | None
    root_cause: RootCause | None
    action: str | None
    explained: bool | None
    rectified_on: date | None
    satisfied: bool | None
    in_time: bool


PUBLISHED = (
    select(
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
        TICKET.c.plan_class,
        TICKET.c.root_cause,
        TICKET.c.action,
        TICKET.c.explained,
        TICKET.c.rectified_on,
        TICKET.c.satisfied,
        func.coalesce(TICKET.c.rectified_on <= TICKET.c.rectify_due_on, False),
    )
    .select_from(Publication)
    .join(Rating, Rating.id == Publication.rating_id)
    .outerjoin(TICKET, TICKET.c.rating_id == Rating.id)
    # As text, so that the planner sees the condition of the partial indexes.
    .where(text("publication.place IS NOT NULL"), Rating.excluded_on.is_(None))
)
"""The columns of `PublishedRow`, in its order."""


def _conditions(which: PublishedFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if which.area_code is not None:
        conditions.append(Publication.area_code == which.area_code)
    if which.department_code is not None:
        conditions.append(Publication.department_code == which.department_code)
    if which.matter_code is not None:
        conditions.append(Publication.matter_code == which.matter_code)
    if which.hall is not None:
        conditions.append(Publication.hall == which.hall)
    if which.window is not None:
        conditions.append(Publication.window == which.window)
    if which.pf is not None:
        conditions.append(Publication.pf == which.pf)
    if which.month is not None:
        conditions.append(Publication.month == which.month)
    return conditions


async def list_published(
    session: AsyncSession, which: PublishedFilter, *, before: UUID, limit: int
) -> list[PublishedRow]:
    """Published ratings, the newest first; one more than `limit`."""
    statement = PUBLISHED.where(Publication.place < before, *_conditions(which))
    statement = statement.order_by(Publication.place.desc()).limit(limit + 1)
    return [PublishedRow(*row) for row in await session.execute(statement)]


async def get_publication(
    session: AsyncSession, rating_id: UUID, *, lock: bool = False
) -> Publication:
    publication = await session.get(Publication, rating_id, with_for_update=lock)
    if publication is None:
        raise NotFoundError("no such publication of yours")
    return publication


async def find_publication(session: AsyncSession, rating_id: UUID) -> Publication | None:
    return await session.get(Publication, rating_id)


async def list_due(session: AsyncSession, today: date, *, limit: int) -> Sequence[Publication]:
    """What is to be shown from today on, claimed for this worker."""
    is_due = text("place IS NULL AND due_on IS NOT NULL")
    statement = select(Publication).where(is_due, Publication.due_on <= today)
    # What waited longest comes first, also in the public list: `place` follows this order.
    statement = statement.order_by(Publication.due_on).limit(limit)
    return (await session.scalars(statement.with_for_update(skip_locked=True))).all()
