"""对端: a bureau's system or the regional platform, with whom records and events are exchanged."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, DateTime, Integer, Text, Uuid
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.exchange.model.base import Base


class Peer(Base):
    """`code` names it in addresses and events; `account_id` is its system account of identity, by which its tokens are known.

    `keys` are its public Ed25519 keys (JWK with kid), by which its batches and statements are verified: pinned here, never
    taken from a message. `event_types` is what it may subscribe to, `resources` what it may push, both within
    `area_codes` (empty: its own area alone): deny by default. `networks` are the CIDRs its endpoints may lie in.
    """

    __tablename__ = "peer"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    code: Mapped[str] = mapped_column(Text, unique=True)
    name: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(Text)
    account_id: Mapped[UUID | None] = mapped_column(Uuid, unique=True)
    area_code: Mapped[str] = mapped_column(Text)
    department_code: Mapped[str] = mapped_column(Text)
    keys: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    event_types: Mapped[list[str]] = mapped_column(ARRAY(Text))
    resources: Mapped[list[str]] = mapped_column(ARRAY(Text))
    area_codes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    networks: Mapped[list[str]] = mapped_column(ARRAY(Text))
    active: Mapped[bool] = mapped_column(Boolean)
    revision: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
