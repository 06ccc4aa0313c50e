"""评价: what somebody thought of one service event, said once."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Boolean,
    Date,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    Uuid,
)
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.ratings.model_base import Base
from shared.security.crypto import Encrypted


class Rating(Base):
    """One rating. Its grade and tags never change; words may be added (`supplements`), an appeal may exclude it.

    Place, matter, hall and window are those of the invitation, `grade` 5 非常满意 … 1 非常不满意, `pf` and `sub_channel` how it
    came. `text` is what was written, `masked_text` what anybody else may see of it; `suspicions` the reasons why somebody
    should look at it. `excluded_on` counts it out of every rate; `published_on` shows its words.

    `source` is the credential it came by: link, account, hotline, queue, window_code, batch or record; `operator` the 12345
    operator who wrote it down. The keyed hashes serve comparison alone: `content_hash` of all that was said, `text_hash` of
    the words, `device_hash` and `address_hash` of where it came from.
    """

    __tablename__ = "rating"
    __table_args__ = (
        Index(
            "ix_rating_account", "account_id", "id", postgresql_where=sql("account_id IS NOT NULL")
        ),
        Index(
            "ix_rating_terminal",
            "terminal",
            "rated_at",
            postgresql_where=sql("terminal IS NOT NULL"),
        ),
        Index(
            "ix_rating_address",
            "address_hash",
            "rated_at",
            postgresql_where=sql("address_hash IS NOT NULL"),
        ),
        Index(
            "ix_rating_device",
            "device_hash",
            "rated_at",
            postgresql_where=sql("device_hash IS NOT NULL"),
        ),
        Index(
            "ix_rating_text", "text_hash", "rated_at", postgresql_where=sql("text_hash IS NOT NULL")
        ),
        Index(
            "ix_rating_window",
            "area_code",
            "department_code",
            "hall",
            "window",
            "rated_at",
            postgresql_where=sql('"window" IS NOT NULL'),
        ),
        Index(
            "ix_rating_suspect",
            "area_code",
            "department_code",
            "id",
            postgresql_where=sql("suspicions <> '{}'"),
        ),
    )

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
    source: Mapped[str] = mapped_column(Text, server_default="link")
    operator: Mapped[str | None] = mapped_column(Text)
    content_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    text_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    device_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    address_hash: Mapped[bytes | None] = mapped_column(LargeBinary)

    @property
    def is_bad(self) -> bool:
        """差评: 不满意 or 非常不满意."""
        return self.grade <= 2

    def facts(self) -> dict[str, Any]:
        """What every event about it tells of its service, and whether it is under a name."""
        names = (
            "stage case_id case_number service_number area_code department_code matter_id matter_code matter_name"
            " hall window real_name"
        )
        return {
            "subject_id": self.invitation_id,
            **{name: getattr(self, name) for name in names.split()},
        }
