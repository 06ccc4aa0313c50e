"""Peers (对端): systems of bureaus, or the regional platform, that exchange records and events."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from pydantic import Field
from sqlalchemy import BigInteger, Boolean, DateTime, Index, Integer, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from services.exchange.model_base import Base
from shared.database.columns import StoredModel, enum_column, is_none, json_column
from shared.database.key_ring import KeyRow
from shared.errors import ConflictError, NotFoundError
from shared.events.exchange import Resource
from shared.security.crypto import Encrypted

MAX_KEYS = 20


class PeerKind(StrEnum):
    BUREAU = "bureau"  # a bureau's own system
    REGIONAL = "regional"  # the platform of the region above the city
    SANDBOX = "sandbox"  # for integrators who try the interfaces out


class PeerKey(StoredModel):
    """A public Ed25519 key of a peer, as a JWK with its id (`kid`).

    The moments are ISO 8601 texts as they were stored. A key without `retired_at` is valid.
    """

    kty: str
    crv: str
    kid: str
    x: str
    added_at: str | None = Field(default=None, exclude_if=is_none)
    retired_at: str | None = None

    @property
    def jwk(self) -> dict[str, str]:
        return {"kty": self.kty, "crv": self.crv, "kid": self.kid, "x": self.x}


class Peer(Base):
    """A system that may push batches, subscribe to events, or both.

    `code` names it in addresses and events. `account_id` is its system account in identity, by
    which its tokens are recognised. `keys` verify its batches and statements; they are registered
    here and never taken from a message. `event_types` is what it may subscribe to, `resources` what
    it may push, both within `area_codes` (empty: only its own area). `networks` are the CIDRs that
    its endpoints may lie in. What is not granted is refused.
    """

    __tablename__ = "peer"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    code: Mapped[str] = mapped_column(Text, unique=True)
    name: Mapped[str] = mapped_column(Text)
    kind: Mapped[PeerKind] = enum_column(PeerKind)
    account_id: Mapped[UUID | None] = mapped_column(Uuid, unique=True)
    area_code: Mapped[str] = mapped_column(Text)
    department_code: Mapped[str] = mapped_column(Text)
    keys: Mapped[list[PeerKey]] = json_column(list[PeerKey])
    event_types: Mapped[list[str]] = mapped_column(ARRAY(Text))
    resources: Mapped[list[Resource]] = mapped_column(ARRAY(Text))
    area_codes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    networks: Mapped[list[str]] = mapped_column(ARRAY(Text))
    active: Mapped[bool] = mapped_column(Boolean)
    revision: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))

    @property
    def areas(self) -> list[str]:
        """The areas whose events and records it may exchange: those named, or only its own."""
        return self.area_codes or [self.area_code]

    @property
    def valid_keys(self) -> list[PeerKey]:
        """The keys that verify what is signed now."""
        return [key for key in self.keys if not key.retired_at]

    def find_key(self, kid: str) -> PeerKey | None:
        """The valid key with this id."""
        for key in self.valid_keys:
            if key.kid == kid:
                return key
        return None

    def add_key(self, kid: str, *, x: str, now: datetime) -> None:
        """Register a further public key.

        Raises `ConflictError` when the id was used before, also by a retired key, or when there
        are too many keys.
        """
        if any(key.kid == kid for key in self.keys):
            raise ConflictError("the key id {kid} is taken; a new key gets a new id", kid=kid)
        if len(self.keys) >= MAX_KEYS:
            raise ConflictError(
                "a peer keeps at most {limit} keys, retired ones included", limit=MAX_KEYS
            )
        added = PeerKey(kty="OKP", crv="Ed25519", kid=kid, x=x, added_at=now.isoformat())
        # A new list, because the column does not notice a change in place.
        self.keys = [*self.keys, added]
        self.revision += 1

    def retire_key(self, kid: str, *, now: datetime) -> None:
        """Let the key verify nothing new.

        It stays in the list, for what was signed with it before. Raises `NotFoundError`, or
        `ConflictError` when it is retired already.
        """
        if not any(key.kid == kid for key in self.keys):
            raise NotFoundError("no such key of this peer")
        if self.find_key(kid) is None:
            raise ConflictError("the key {kid} is retired already", kid=kid)
        keys: list[PeerKey] = []
        for key in self.keys:
            if key.kid == kid:
                keys.append(key.model_copy(update={"retired_at": now.isoformat()}))
            else:
                keys.append(key)
        self.keys = keys
        self.revision += 1


class RecordMeasure(StrEnum):
    """What is counted of the records of one peer and resource."""

    RECEIVED = "received"
    ACCEPTED = "accepted"
    UNCHANGED = "unchanged"
    REJECTED = "rejected"
    """As a whole, and `rejected:<rule>` for each rule."""
    PUSHED = "pushed"
    PUSH_REJECTED = "push_rejected"
    """As a whole, and `push_rejected:<code>` for each code of the region."""


class RecordCount(Base):
    """A running figure of one peer and resource.

    `measure` is one of `RecordMeasure`, alone or with a rule or code after a colon.
    """

    __tablename__ = "record_count"

    peer_code: Mapped[str] = mapped_column(Text, primary_key=True)
    resource: Mapped[str] = mapped_column(Text, primary_key=True)
    measure: Mapped[str] = mapped_column(Text, primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)


class ReceiptKey(KeyRow, Base):
    """A key that signs receipts and statements. One signs now (`current`).

    All that ever signed stay published, because a receipt is evidence for years.
    """

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
