"""评价: what somebody thought of one service event, said once."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, Date, DateTime, Integer, SmallInteger, Text, Uuid
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.ratings.model.base import Base
from shared.crypto import Encrypted


class Rating(Base):
    """One rating. Its grade and tags never change; words may be added (`supplements`), an appeal may exclude it.

    Place, matter, hall and window are those of the invitation, `grade` 5 非常满意 … 1 非常不满意, `pf` and `sub_channel` how it
    came. `text` is what was written, `masked_text` what anybody else may see of it; `suspicions` the reasons why somebody
    should look at it. `excluded_on` counts it out of every rate; `published_on` shows its words.
    """

    __tablename__ = "rating"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    invitation_id: Mapped[UUID] = mapped_column(Uuid, unique=True)
    revision: Mapped[int] = mapped_column(Integer)
    stage: Mapped[str] = mapped_column(Text)
    case_id: Mapped[UUID | None] = mapped_column(Uuid)
    case_number: Mapped[str | None] = mapped_column(Text)
    service_number: Mapped[int] = mapped_column(SmallInteger)
    area_code: Mapped[str] = mapped_column(Text)
    department_code: Mapped[str] = mapped_column(Text)
    matter_id: Mapped[UUID | None] = mapped_column(Uuid)
    matter_code: Mapped[str | None] = mapped_column(Text)
    matter_name: Mapped[str | None] = mapped_column(Text)
    hall: Mapped[str | None] = mapped_column(Text)
    window: Mapped[str | None] = mapped_column(Text)
    grade: Mapped[int] = mapped_column(SmallInteger)
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text))
    dictionary: Mapped[str] = mapped_column(Text)
    contents: Mapped[dict[str, Any]] = mapped_column(JSONB)
    text: Mapped[str | None] = mapped_column(Encrypted("rating.text"))
    masked_text: Mapped[str | None] = mapped_column(Text)
    pf: Mapped[str] = mapped_column(Text)
    sub_channel: Mapped[str] = mapped_column(Text)
    terminal: Mapped[str | None] = mapped_column(Text)
    real_name: Mapped[bool] = mapped_column(Boolean)
    account_id: Mapped[UUID | None] = mapped_column(Uuid)
    suspicions: Mapped[list[str]] = mapped_column(ARRAY(Text))
    supplements: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    rated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    rated_on: Mapped[date] = mapped_column(Date)
    excluded_on: Mapped[date | None] = mapped_column(Date)
    excluded_reason: Mapped[str | None] = mapped_column(Text)
    published_on: Mapped[date | None] = mapped_column(Date)

    @property
    def is_bad(self) -> bool:
        """差评: 不满意 or 非常不满意."""
        return self.grade <= 2

    def facts(self) -> dict[str, Any]:
        """What every event about it tells (`shared.events.ratings.RatingEvent`, but for `revision` and `occurred_at`)."""
        names = (
            "stage case_id case_number service_number area_code department_code matter_id matter_code matter_name"
            " hall window"
        )
        return {"subject_id": self.invitation_id, **{name: getattr(self, name) for name in names.split()}}
