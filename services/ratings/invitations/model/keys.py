"""Keys that sign rating tokens, and the batches of tokens that were issued ahead."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import Date, DateTime, Index, Integer, Text, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from services.ratings.model_base import Base
from shared.security.crypto import Encrypted
from shared.security.key_ring import KeyRow


class SigningKey(KeyRow, Base):
    """A key pair: `next` is published before it signs, `old` stays published until its tokens have expired."""

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


class TokenBatch(Base):
    """Tokens issued ahead for a window of a private network. They follow from this row; none has a row until it is used."""

    __tablename__ = "token_batch"
    __table_args__ = (Index("ix_token_batch_place", "area_code", "department_code", "id"),)

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    area_code: Mapped[str] = mapped_column(Text)
    department_code: Mapped[str] = mapped_column(Text)
    hall: Mapped[str] = mapped_column(Text)
    window: Mapped[str] = mapped_column(Text)
    size: Mapped[int] = mapped_column(Integer)
    expires_on: Mapped[date] = mapped_column(Date)
    kid: Mapped[str] = mapped_column(Text)
    ordered_by: Mapped[str] = mapped_column(Text)
    ordered_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    downloaded_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class Redemption(Base):
    """A token of a batch that was used, and which invitation it rated (its own, or that of the case it was bound to)."""

    __tablename__ = "redemption"

    subject_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    batch_id: Mapped[UUID] = mapped_column(Uuid, index=True)
    number: Mapped[int] = mapped_column(Integer)
    invitation_id: Mapped[UUID] = mapped_column(Uuid)
    redeemed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
