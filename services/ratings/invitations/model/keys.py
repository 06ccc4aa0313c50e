"""Keys that sign rating tokens, and the batches of tokens that were issued ahead."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import Date, DateTime, Index, Integer, Text, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from services.ratings.model_base import OFFICE_COLUMNS, Base, OfOffice
from shared.database.key_ring import KeyRow
from shared.security.crypto import Encrypted


class SigningKey(KeyRow, Base):
    """A key pair. `next` is published before it signs, `old` as long as its tokens can live."""

    __tablename__ = "signing_key"
    __table_args__ = (
        Index(
            "uq_signing_key_turn",
            "state",
            unique=True,
            postgresql_where=text("state IN ('current', 'next')"),
        ),
    )

    private_key: Mapped[str] = mapped_column(Encrypted("signing_key.private_key"))


class TokenBatch(OfOffice, Base):
    """Tokens issued ahead for a window of a private network.

    The tokens follow from this row; none has a row of its own until it is used.
    """

    __tablename__ = "token_batch"
    __table_args__ = (Index("ix_token_batch_place", *OFFICE_COLUMNS, "id"),)

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    hall: Mapped[str] = mapped_column(Text)
    window: Mapped[str] = mapped_column(Text)
    size: Mapped[int] = mapped_column(Integer)
    expires_on: Mapped[date] = mapped_column(Date)
    kid: Mapped[str] = mapped_column(Text)
    ordered_by: Mapped[str] = mapped_column(Text)
    ordered_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    downloaded_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class Redemption(Base):
    """A token of a batch that was used.

    `invitation_id` is what it rated: its own visit, or the case that it was bound to.
    """

    __tablename__ = "redemption"

    subject_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    batch_id: Mapped[UUID] = mapped_column(Uuid, index=True)
    number: Mapped[int] = mapped_column(Integer)
    invitation_id: Mapped[UUID] = mapped_column(Uuid)
    redeemed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
