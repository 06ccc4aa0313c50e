"""Columns of tables that several services have, each in its own database."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import DateTime, LargeBinary, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from shared.security.crypto import Encrypted


class SmsMessageRow:
    """What the development sender sent, for operators to read."""

    __tablename__ = "sms_message"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    phone_hash: Mapped[bytes] = mapped_column(LargeBinary, index=True)
    text: Mapped[str] = mapped_column(Encrypted("sms_message.text"))
    sent_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)
