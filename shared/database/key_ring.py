"""A service's signing keys (Ed25519).

One key signs. The next one may be published before it signs. Old ones stay, to verify what they
signed. The service has the table (`KeyRow`) and one `KeyRing` over it. An index of the database
forbids two current keys; making the first key and rotations wait for each other under a lock.
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc.jwk import OKPKey
from sqlalchemy import DateTime, Text, func, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.columns import enum_column

Jwk = dict[str, Any]


class KeyState(StrEnum):
    """Where a key stands: (next →) current → old."""

    NEXT = "next"
    CURRENT = "current"
    OLD = "old"


class KeyRow:
    """Columns of a table of keys; its own `private_key` is encrypted.

    State: (next →) current → old.
    """

    __tablename__: str

    kid: Mapped[str] = mapped_column(Text, primary_key=True)
    state: Mapped[KeyState] = enum_column(KeyState)
    private_key: Mapped[str]
    public_key: Mapped[Jwk] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    retired_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


Row = TypeVar("Row", bound=KeyRow)


def new_jwk(kid: str) -> tuple[str, Jwk]:
    """A private key as a JWK in JSON, and its public JWK."""
    key = OKPKey.generate_key("Ed25519", {"kid": kid})
    public: Jwk = {**key.as_dict(private=False), "use": "sig", "alg": "Ed25519"}
    return orjson.dumps(key.as_dict(private=True)).decode(), public


def new_raw(kid: str) -> tuple[str, Jwk]:
    """A private key as the base64url of its 32 bytes, and its public JWK."""
    key = Ed25519PrivateKey.generate()
    x = encode(key.public_key().public_bytes_raw())
    return encode(key.private_bytes_raw()), {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": x,
        "kid": kid,
        "use": "sig",
        "alg": "EdDSA",
    }


def encode(raw: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """The bytes of `encode`; ValueError for another text."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass(frozen=True, slots=True)
class KeyRing(Generic[Row]):
    """The keys of one service.

    Args:
        rows: the table.
        name: of the advisory lock.
        new_id: makes a key id.
        new_key: makes the private and the public part for a key id.
        ahead: publish the next key before it signs, for verifiers that keep a copy of the keys.
    """

    rows: type[Row]
    name: str
    new_id: Callable[[], str]
    new_key: Callable[[str], tuple[str, Jwk]]
    ahead: bool = False

    async def current(self, session: AsyncSession, now: datetime) -> Row:
        """The key that signs now; made on first use."""
        found = await self._in_turn(session, KeyState.CURRENT)
        if found is None:
            await self._lock(session)
            found = await self._in_turn(session, KeyState.CURRENT)
        if found is None:
            found = self._add(session, KeyState.CURRENT, now=now)
            if self.ahead:
                _ = self._add(session, KeyState.NEXT, now=now)
            await session.flush()
        return found

    async def rotate(self, session: AsyncSession, now: datetime) -> Row:
        """Sign with another key from now on, with the one published ahead where there is one."""
        await self._lock(session)
        before = await self.current(session, now)
        following = await self._in_turn(session, KeyState.NEXT)
        before.state, before.retired_at = KeyState.OLD, now
        await session.flush()  # first, because the index forbids two current keys
        if following is None:
            following = self._add(session, KeyState.CURRENT, now=now)
        following.state = KeyState.CURRENT
        await session.flush()
        if self.ahead:
            _ = self._add(session, KeyState.NEXT, now=now)
            await session.flush()
        return following

    async def _lock(self, session: AsyncSession) -> None:
        _ = await session.execute(
            select(func.pg_advisory_xact_lock(func.hashtextextended(f"key-ring/{self.name}", 0)))
        )

    async def _in_turn(self, session: AsyncSession, state: KeyState) -> Row | None:
        return await session.scalar(select(self.rows).where(self.rows.state == state))

    def _add(self, session: AsyncSession, state: KeyState, *, now: datetime) -> Row:
        kid = self.new_id()
        private, public = self.new_key(kid)
        row = self.rows()
        row.kid = kid
        row.state = state
        row.private_key = private
        row.public_key = public
        row.created_at = now
        session.add(row)
        return row
