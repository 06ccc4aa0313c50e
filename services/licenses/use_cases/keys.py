"""The keys that sign licences: one is current, the others stay to be checked against for good."""

from datetime import datetime
from typing import Any

from cachetools import LRUCache
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.licenses.model.records import SigningKey
from services.licenses.signing import SIGNERS, Signer
from shared.database import audit
from shared.ids import new_id
from shared.security.key_ring import KeyRing, new_raw

RING = KeyRing(SigningKey, "licences", lambda: str(new_id()), new_raw)

_signers: LRUCache[str, Signer] = LRUCache(8)


def _signer(key: SigningKey) -> Signer:
    signer = _signers.get(key.kid)
    if signer is None:
        signer = _signers[key.kid] = SIGNERS[key.algorithm](key.kid, key.private_key)
    return signer


async def get_signer(session: AsyncSession, kid: str | None, now: datetime) -> Signer:
    """The signer under the current key, whose id another statement of this transaction found; made on first use."""
    known = _signers.get(kid) if kid else None
    return known or _signer(await RING.current(session, now))


async def rotate_key(session: AsyncSession, now: datetime) -> str:
    """A new key signs from now on; what the old ones signed holds as before. The id of the new key."""
    key = await RING.rotate(session, now)
    audit.record(session, "license-keys.rotate", "signing_key", key.kid)
    return key.kid


async def list_keys(session: AsyncSession) -> list[dict[str, Any]]:
    """Every public key that has ever signed."""
    return list(
        (await session.scalars(select(SigningKey.public_key).order_by(SigningKey.kid))).all()
    )
