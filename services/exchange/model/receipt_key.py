"""The platform's keys that sign receipts and statements."""

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from services.exchange.model.base import Base
from shared.security.crypto import Encrypted
from shared.security.key_ring import KeyRow


class ReceiptKey(KeyRow, Base):
    """One key signs (`current`); all that ever signed stay published, because a receipt is evidence for years."""

    __tablename__ = "receipt_key"
    __table_args__ = (
        Index(
            "uq_receipt_key_current",
            "state",
            unique=True,
            postgresql_where=text("state = 'current'"),
        ),
    )

    private_key: Mapped[str] = mapped_column(Encrypted("receipt_key.private_key"))
