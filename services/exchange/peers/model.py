"""对端: a bureau's system or the regional platform, with whom records and events are exchanged."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, DateTime, Index, Integer, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.exchange.model_base import Base
from shared.errors import ConflictError, NotFoundError
from shared.ids import new_id
from shared.security.crypto import Encrypted
from shared.security.key_ring import KeyRow

MAX_KEYS = 20


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

    @classmethod
    def new(cls, code: str, values: Mapping[str, Any], now: datetime) -> "Peer":
        return cls(id=new_id(), code=code, keys=[], revision=1, created_at=now, **values)

    @property
    def areas(self) -> list[str]:
        """The areas whose events and records are its business: those named, or its own alone."""
        return self.area_codes or [self.area_code]

    def change(self, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            setattr(self, name, value)
        self.revision += 1

    @property
    def valid_keys(self) -> list[dict[str, Any]]:
        """The public keys that hold now; a retired one verifies nothing new."""
        return [key for key in self.keys if not key.get("retired_at")]

    def key(self, kid: str) -> dict[str, Any] | None:
        """The valid key with this id."""
        return next((key for key in self.valid_keys if key["kid"] == kid), None)

    def add_key(self, kid: str, x: str, now: datetime) -> None:
        """Pin a further public key. An id is never used twice, a retired one neither."""
        if any(key["kid"] == kid for key in self.keys):
            raise ConflictError(f"the key id {kid} is taken; a new key gets a new id")
        if len(self.keys) >= MAX_KEYS:
            raise ConflictError(f"a peer keeps at most {MAX_KEYS} keys, retired ones included")
        added = {
            "kty": "OKP",
            "crv": "Ed25519",
            "kid": kid,
            "x": x,
            "added_at": now.isoformat(),
            "retired_at": None,
        }
        self.keys = [*self.keys, added]
        self.revision += 1

    def retire_key(self, kid: str, now: datetime) -> None:
        """The key verifies nothing from now on; it stays listed, for what was signed with it before."""
        if not any(key["kid"] == kid for key in self.keys):
            raise NotFoundError("no such key of this peer")
        if self.key(kid) is None:
            raise ConflictError(f"the key {kid} is retired already")
        self.keys = [
            {**key, "retired_at": now.isoformat()} if key["kid"] == kid else key
            for key in self.keys
        ]
        self.revision += 1


class RecordCount(Base):
    """Running figures per peer, resource and measure (`received`, `accepted`, `rejected:<rule>`, `pushed`, …)."""

    __tablename__ = "record_count"

    peer_code: Mapped[str] = mapped_column(Text, primary_key=True)
    resource: Mapped[str] = mapped_column(Text, primary_key=True)
    measure: Mapped[str] = mapped_column(Text, primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)


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
