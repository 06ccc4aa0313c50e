"""公开: what everybody may read of a rating. Open by default, closed by exception."""

from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Boolean, Date, DateTime, ForeignKey, Index, Integer, Text, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from services.ratings.model_base import OFFICE_COLUMNS, Base, OfOffice
from services.ratings.rating.model.channels import Pf
from services.ratings.rating.model.rating import Rating
from shared.database.columns import enum_column
from shared.domain.workdays import Moment
from shared.errors import ConflictError
from shared.events.ratings import RatingPublished
from shared.ids import new_id

SHOWN = "place IS NOT NULL"


class ModerationReason(StrEnum):
    """Why words are taken from view; never because they are unwelcome."""

    PERSONAL_DATA = "personal_data"
    INSULT = "insult"
    ADVERTISEMENT = "advertisement"
    UNLAWFUL = "unlawful"
    UNRELATED = "unrelated"
    RESTORED = "restored"
    """They may be read again."""


class Publication(OfOffice, Base):
    """A rating on its way into the public list.

    It is shown from `due_on`, in the order of `place` (newest last). Its office, matter, hall,
    window, channel and month are copied here, so that the list is one index walk. `text_hidden`
    takes the words from view; nothing here can change the grade or a count.
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
        Index("ix_publication_department", *OFFICE_COLUMNS, "place", postgresql_where=text(SHOWN)),
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
    matter_code: Mapped[str | None] = mapped_column(Text)
    hall: Mapped[str | None] = mapped_column(Text)
    window: Mapped[str | None] = mapped_column(Text)
    pf: Mapped[Pf] = enum_column(Pf)
    month: Mapped[date] = mapped_column(Date)
    masked_name: Mapped[str | None] = mapped_column(Text)
    due_on: Mapped[date | None] = mapped_column(Date)
    place: Mapped[UUID | None] = mapped_column(Uuid)
    text_hidden: Mapped[bool] = mapped_column(Boolean)
    moderation: Mapped[ModerationReason | None] = enum_column(ModerationReason)
    moderated_by: Mapped[str | None] = mapped_column(Text)
    moderated_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

    @classmethod
    def of(cls, rating: Rating, due_on: date | None) -> "Publication":
        """Not shown yet; without `due_on` it waits for its ticket."""
        return cls(
            rating_id=rating.id,
            revision=1,
            area_code=rating.area_code,
            department_code=rating.department_code,
            matter_code=rating.matter_code,
            hall=rating.hall,
            window=rating.window,
            pf=rating.pf,
            month=rating.rated_on.replace(day=1),
            due_on=due_on,
            text_hidden=False,
        )

    def publish(self, rating: Rating, *, masked_name: str, at: Moment) -> RatingPublished:
        """Show it from now on."""
        self.revision += 1
        # Ids rise with time, so the newest publication has the highest place.
        self.place = new_id()
        self.masked_name = masked_name
        rating.revision += 1
        rating.published_on = at.today
        return RatingPublished(
            **rating.facts(),
            revision=rating.revision,
            occurred_at=at.now,
            rating_id=rating.id,
            grade=rating.grade,
        )

    def moderate(self, reason: ModerationReason, *, officer: str, at: Moment) -> None:
        """Take the words from view, or show them again."""
        hides = reason != ModerationReason.RESTORED
        if hides and self.text_hidden:
            raise ConflictError(
                "the words are hidden already", extra={"state": "hidden", "allowed": ["restored"]}
            )
        if not hides and not self.text_hidden:
            raise ConflictError(
                "the words are shown already", extra={"state": "shown", "allowed": ["hide"]}
            )
        self.revision += 1
        self.text_hidden = hides
        self.moderation = reason
        self.moderated_by = officer
        self.moderated_at = at.now
