"""评价: what somebody said about one service event, once."""

import base64
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import PlainSerializer
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
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from services.ratings.model_base import OFFICE_COLUMNS, Base, owns
from services.ratings.rating.model.channels import Pf, SubChannel
from services.ratings.rating.model.grades import Content, Grade, is_bad
from services.ratings.rating.model.service_event import ServiceEvent, ServiceFacts
from services.ratings.rating.model.suspicions import Suspicion
from shared.database.columns import EnumText, StoredModel, enum_column, json_column
from shared.security.crypto import Encrypted, decrypt, encrypt
from shared.security.tokens import Caller

SUPPLEMENT_PURPOSE = "rating.supplements"


class Source(StrEnum):
    """The credential that a rating came by."""

    LINK = "link"
    ACCOUNT = "account"
    HOTLINE = "hotline"
    QUEUE = "queue"
    WINDOW_CODE = "window_code"
    BATCH = "batch"
    RECORD = "record"


class ExclusionReason(StrEnum):
    """Why an appeal left a rating out of the rates."""

    MISTAKEN = "mistaken"  # 误评
    MALICIOUS = "malicious"  # 恶意差评


def _iso_time(value: datetime) -> str:
    # Stored supplements have "+00:00" where Pydantic would write "Z".
    return value.isoformat()


class Supplement(StoredModel):
    """追加: words added later. `text` is masked; `sealed` holds the words as written, encrypted."""

    at: Annotated[datetime, PlainSerializer(_iso_time)]
    text: str
    sealed: str

    @classmethod
    def seal(cls, text: str, *, masked: str, at: datetime) -> "Supplement":
        sealed = base64.b64encode(encrypt(text, purpose=SUPPLEMENT_PURPOSE)).decode()
        return cls(at=at, text=masked, sealed=sealed)

    def as_written(self) -> str:
        return decrypt(base64.b64decode(self.sealed), SUPPLEMENT_PURPOSE)


class RatingFacts(ServiceFacts):
    """What every event about a rating tells."""

    subject_id: UUID
    real_name: bool


class Rating(ServiceEvent, Base):
    """One rating. Grade and tags never change.

    Words may be added (`supplements`), and an appeal may exclude the rating: `excluded_on` leaves
    it out of every rate. `published_on` is the day on which everybody could read it.

    `text` is what was written, `masked_text` what everybody but the rater may see of it.
    `operator` is the 12345 operator who wrote it down. The keyed hashes serve comparison only:
    `content_hash` of all that was said, `text_hash` of the words, `device_hash` and `address_hash`
    of the sender.
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
            *OFFICE_COLUMNS,
            "hall",
            "window",
            "rated_at",
            postgresql_where=sql('"window" IS NOT NULL'),
        ),
        Index(
            "ix_rating_suspect",
            *OFFICE_COLUMNS,
            "id",
            postgresql_where=sql("suspicions <> '{}'"),
        ),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    invitation_id: Mapped[UUID] = mapped_column(Uuid, unique=True)
    revision: Mapped[int] = mapped_column(Integer)
    grade: Mapped[Grade] = mapped_column(SmallInteger)
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text))
    dictionary: Mapped[str] = mapped_column(Text)
    # Grades of single contents, for those that the rater graded.
    contents: Mapped[dict[Content, Grade]] = json_column(dict[Content, Grade])
    text: Mapped[str | None] = mapped_column(Encrypted("rating.text"))
    masked_text: Mapped[str | None] = mapped_column(Text)
    pf: Mapped[Pf] = enum_column(Pf)
    sub_channel: Mapped[SubChannel] = enum_column(SubChannel)
    terminal: Mapped[str | None] = mapped_column(Text)
    real_name: Mapped[bool] = mapped_column(Boolean)
    account_id: Mapped[UUID | None] = mapped_column(Uuid)
    suspicions: Mapped[list[Suspicion]] = mapped_column(ARRAY(EnumText(Suspicion)))
    supplements: Mapped[list[Supplement]] = json_column(list[Supplement])
    rated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    rated_on: Mapped[date] = mapped_column(Date)
    # The day is kept beside the reason, for the list that auditors read.
    excluded_on: Mapped[date | None] = mapped_column(Date)
    excluded_reason: Mapped[ExclusionReason | None] = enum_column(ExclusionReason)
    published_on: Mapped[date | None] = mapped_column(Date)
    source: Mapped[Source] = enum_column(Source, server_default=Source.LINK.value)
    operator: Mapped[str | None] = mapped_column(Text)
    # None in ratings that were stored before these columns existed.
    content_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    text_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    device_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    address_hash: Mapped[bytes | None] = mapped_column(LargeBinary)

    @property
    def is_bad(self) -> bool:
        """差评: 不满意 or 非常不满意."""
        return is_bad(self.grade)

    def is_of(self, caller: Caller) -> bool:
        """Whether the caller gave it, or acts for the rater in its matter."""
        return owns(caller, account_id=self.account_id, matter_id=self.matter_id)

    def facts(self) -> RatingFacts:
        return {
            **self.service_facts(),
            "subject_id": self.invitation_id,
            "real_name": self.real_name,
        }
