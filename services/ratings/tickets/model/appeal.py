"""申诉复核: the department says that a rating was a mistake or malicious; two others must agree."""

from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Date, DateTime, ForeignKey, Index, Integer, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from services.ratings.model_base import Base, OfOffice
from services.ratings.rating.model.rating import ExclusionReason, Rating
from services.ratings.tickets.model.ticket import Ticket
from shared.database.columns import enum_column
from shared.domain.workdays import Moment
from shared.errors import ConflictError
from shared.events.ratings import RatingExcluded
from shared.ids import new_id

# Two, of other departments: one person alone could make a bad rating disappear.
REVIEWERS = 2
PENDING = "decided_on IS NULL"
UPHELD = "decided_on IS NOT NULL AND refused_by IS NULL"


class AppealState(StrEnum):
    """How an appeal stands."""

    PENDING = "pending"
    UPHELD = "upheld"  # 申诉成立
    REFUSED = "refused"


class Appeal(OfOffice, Base):
    """One appeal against one rating.

    `agreed` are the reviewers who upheld it; one refusal decides against it.
    """

    __tablename__ = "appeal"
    __table_args__ = (
        Index("ix_appeal_pending", "review_due_on", "id", postgresql_where=text(PENDING)),
        Index(
            "ix_appeal_pending_area",
            "area_code",
            "review_due_on",
            "id",
            postgresql_where=text(PENDING),
        ),
        Index("ix_appeal_upheld", "decided_on", "rating_id", postgresql_where=text(UPHELD)),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    ticket_id: Mapped[UUID] = mapped_column(ForeignKey("ticket.id"), unique=True)
    rating_id: Mapped[UUID] = mapped_column(Uuid, unique=True)
    revision: Mapped[int] = mapped_column(Integer)
    ground: Mapped[ExclusionReason] = enum_column(ExclusionReason)
    reasons: Mapped[str] = mapped_column(Text)
    made_by: Mapped[str] = mapped_column(Text)
    made_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    review_due_on: Mapped[date] = mapped_column(Date)
    agreed: Mapped[list[str]] = mapped_column(ARRAY(Text))
    opinions: Mapped[list[str]] = mapped_column(ARRAY(Text))
    refused_by: Mapped[str | None] = mapped_column(Text)
    decided_on: Mapped[date | None] = mapped_column(Date)

    @classmethod
    def against(
        cls,
        ticket: Ticket,
        ground: ExclusionReason,
        *,
        reasons: str,
        officer: str,
        review_days: int,
        at: Moment,
    ) -> "Appeal":
        """An appeal that is to be reviewed within `review_days` working days."""
        return cls(
            id=new_id(),
            ticket_id=ticket.id,
            rating_id=ticket.rating_id,
            revision=1,
            area_code=ticket.area_code,
            department_code=ticket.department_code,
            ground=ground,
            reasons=reasons,
            made_by=officer,
            made_at=at.now,
            review_due_on=at.after(review_days),
            agreed=[],
            opinions=[],
        )

    @property
    def upheld(self) -> bool:
        return self.decided_on is not None and self.refused_by is None

    @property
    def state(self) -> AppealState:
        if self.decided_on is None:
            return AppealState.PENDING
        if self.upheld:
            return AppealState.UPHELD
        return AppealState.REFUSED

    def review(self, reviewer: str, *, agrees: bool, reasons: str, at: Moment) -> None:
        """One reviewer's opinion; the second agreement, or any refusal, decides."""
        refusal: dict[str, object] = {"state": self.state, "allowed": []}
        if self.decided_on is not None:
            raise ConflictError("the appeal is {state}", state=self.state, extra=refusal)
        if reviewer in self.agreed:
            raise ConflictError(
                "you have reviewed this appeal; a second person must", extra=refusal
            )
        self.revision += 1
        self.opinions = [*self.opinions, reasons]
        if agrees:
            self.agreed = [*self.agreed, reviewer]
        else:
            self.refused_by = reviewer
        # One refusal is enough: an upheld appeal leaves a citizen's rating out of every rate.
        if not agrees or len(self.agreed) == REVIEWERS:
            self.decided_on = at.today

    def exclude(self, rating: Rating, at: Moment) -> RatingExcluded:
        """Upheld: the rating counts no more; it stays as it is."""
        rating.revision += 1
        rating.excluded_on = at.today
        rating.excluded_reason = self.ground
        return RatingExcluded(
            **rating.facts(),
            revision=rating.revision,
            occurred_at=at.now,
            rating_id=rating.id,
            grade=rating.grade,
            rated_on=rating.rated_on,
            pf=rating.pf.value,
            sub_channel=rating.sub_channel,
            reason=self.ground,
        )
