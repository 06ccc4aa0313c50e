"""The keys that sign licences: one is current, the others stay to be checked against for good."""

from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.licenses.model import SigningKey
from services.licenses.signing import SIGNERS, Ed25519Signer, Signer, new_ed25519
from shared import audit
from shared.ids import new_id
from shared.memory import Memory

ROTATION_LOCK = 0x6C6B6579  # "lkey"

_signers: Memory[str, Signer] = Memory(8)


def _signer(key: SigningKey) -> Signer:
    return _signers.get(key.kid) or _signers.put(key.kid, SIGNERS[key.algorithm](key.kid, key.private_key))


async def get_signer(session: AsyncSession, kid: str | None, now: datetime) -> Signer:
    """The signer under the current key, whose id another statement of this transaction found; made on first use."""
    known = _signers.get(kid) if kid else None
    return known or _signer(await ensure_key(session, now))


async def ensure_key(session: AsyncSession, now: datetime) -> SigningKey:
    statement = select(SigningKey).where(SigningKey.state == "current")
    current = await session.scalar(statement)
    if current is None:
        _ = await session.execute(select(func.pg_advisory_xact_lock(ROTATION_LOCK)))
        current = await session.scalar(statement) or await _new_key(session, now)
    return current


async def _new_key(session: AsyncSession, now: datetime) -> SigningKey:
    kid = str(new_id())
    private, public = new_ed25519(kid)
    key = SigningKey(
        kid=kid,
        state="current",
        algorithm=Ed25519Signer.algorithm,
        private_key=private,
        public_key=public,
        created_at=now,
    )
    session.add(key)
    await session.flush()
    return key


async def rotate_key(session: AsyncSession, now: datetime) -> str:
    """A new key signs from now on; what the old ones signed holds as before. The id of the new key."""
    _ = await session.execute(select(func.pg_advisory_xact_lock(ROTATION_LOCK)))
    current = await session.scalar(select(SigningKey).where(SigningKey.state == "current"))
    if current is not None:
        current.state, current.retired_at = "old", now
        await session.flush()
    key = await _new_key(session, now)
    audit.record(session, "license-keys.rotate", "signing_key", key.kid)
    return key.kid


async def list_keys(session: AsyncSession) -> list[dict[str, Any]]:
    """Every public key that has ever signed."""
    return list((await session.scalars(select(SigningKey.public_key).order_by(SigningKey.kid))).all())
