"""公开: what everybody may read of a rating and of what was done about it. Open by default, closed by exception."""

from datetime import date, datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import Boolean, Date, DateTime, ForeignKey, Index, Integer, Text, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from services.ratings.model_base import PLACE, Base
from services.ratings.rating.model.rating import Rating
from shared.domain.workdays import Moment
from shared.errors import ConflictError
from shared.events.ratings import RatingPublished
from shared.ids import new_id

SHOWN = "place IS NOT NULL"

ModerationReason = Literal[
    "personal_data", "insult", "advertisement", "unlawful", "unrelated", "restored"
]
"""Why words are taken from view: never because they are unwelcome. `restored`: they may be read again."""


class Publication(Base):
    """A rating on its way into the public list: shown from `due_on`, in the order of `place` (newest last).

    Its place, matter, hall, window, channel and month are kept here, so that the list is one index walk. `text_hidden`
    takes the words from view; nothing here can touch the grade or a count.
    """

    __tablename__ = "publication"
    __table_args__ = (
        Index(
            "ix_publication_due",
            "due_on",
            postgresql_where=text("place IS NULL AND due_on IS NOT NULL"),
        ),
        Index("ix_publication_place", "place", postgresql_where=text(SHOWN)),
        Index("ix_publication_area", "area_code", "place", postgresql_where=text(SHOWN)),
        Index("ix_publication_department", *PLACE, "place", postgresql_where=text(SHOWN)),
        Index(
            "ix_publication_department_code",
            "department_code",
            "place",
            postgresql_where=text(SHOWN),
        ),
        Index("ix_publication_channel", "pf", "place", postgresql_where=text(SHOWN)),
        Index("ix_publication_matter", "matter_code", "place", postgresql_where=text(SHOWN)),
        Index(
            "ix_publication_hall",
            "area_code",
            "hall",
            "window",
            "place",
            postgresql_where=text(SHOWN),
        ),
        Index("ix_publication_month", "month", "place", postgresql_where=text(SHOWN)),
    )

    rating_id: Mapped[UUID] = mapped_column(ForeignKey("rating.id"), primary_key=True)
    revision: Mapped[int] = mapped_column(Integer)
    area_code: Mapped[str] = mapped_column(Text)
    department_code: Mapped[str] = mapped_column(Text)
    matter_code: Mapped[str | None] = mapped_column(Text)
    hall: Mapped[str | None] = mapped_column(Text)
    window: Mapped[str | None] = mapped_column(Text)
    pf: Mapped[str] = mapped_column(Text)
    month: Mapped[date] = mapped_column(Date)
    masked_name: Mapped[str | None] = mapped_column(Text)
    due_on: Mapped[date | None] = mapped_column(Date)
    place: Mapped[UUID | None] = mapped_column(Uuid)
    text_hidden: Mapped[bool] = mapped_column(Boolean)
    moderation: Mapped[str | None] = mapped_column(Text)
    moderated_by: Mapped[str | None] = mapped_column(Text)
    moderated_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

    @classmethod
    def of(cls, rating: Rating, due_on: date | None) -> "Publication":
        """Not shown yet; without `due_on` it waits for its ticket."""
        names = (*PLACE, "matter_code", "hall", "window", "pf")
        copied = {name: getattr(rating, name) for name in names}
        month = rating.rated_on.replace(day=1)
        return cls(
            rating_id=rating.id, revision=1, month=month, due_on=due_on, text_hidden=False, **copied
        )

    def publish(self, rating: Rating, masked_name: str, at: Moment) -> RatingPublished:
        self.revision += 1
        rating.revision += 1
        self.place, self.masked_name, rating.published_on = new_id(), masked_name, at.today
        return RatingPublished(
            **rating.facts(),
            revision=rating.revision,
            occurred_at=at.now,
            rating_id=rating.id,
            grade=rating.grade,  # pyright: ignore[reportArgumentType]
        )

    def moderate(self, reason: ModerationReason, officer: str, at: Moment) -> None:
        """Take the words from view, or show them again."""
        hidden = reason != "restored"
        if hidden == self.text_hidden:
            allowed = ["restored"] if hidden else ["hide"]
            state = "hidden" if hidden else "shown"
            raise ConflictError(
                f"the words are {state} already", extra={"state": state, "allowed": allowed}
            )
        self.revision += 1
        self.text_hidden, self.moderation, self.moderated_by, self.moderated_at = (
            hidden,
            reason,
            officer,
            at.now,
        )
