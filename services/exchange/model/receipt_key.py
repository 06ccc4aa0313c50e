"""The platform's keys that sign receipts and statements."""

from datetime import datetime
from typing import Any

from sqlalchemy import DateTime, Index, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.exchange.model.base import Base
from shared.crypto import Encrypted


class ReceiptKey(Base):
    """One key signs (`current`); all that ever signed stay published, because a receipt is evidence for years."""

    __tablename__ = "receipt_key"
    __table_args__ = (
        Index("uq_receipt_key_current", "state", unique=True, postgresql_where=text("state = 'current'")),
    )

    kid: Mapped[str] = mapped_column(Text, primary_key=True)
    state: Mapped[str] = mapped_column(Text)
    private_key: Mapped[str] = mapped_column(Encrypted("receipt_key.private_key"))
    public_key: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    retired_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
