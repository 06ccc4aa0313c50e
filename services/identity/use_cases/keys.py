"""Signing keys of access tokens.

The next key is published before it signs; old ones stay published until their tokens have expired.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from services.identity import queries
from services.identity.model import SigningKey
from shared.database import audit
from shared.database.key_ring import Jwk, KeyRing, new_jwk
from shared.ids import new_id

RING = KeyRing(SigningKey, "access tokens", lambda: str(new_id()), new_jwk, ahead=True)


async def ensure_keys(session: AsyncSession, now: datetime) -> SigningKey:
    """The key that signs now; the first two are made on first use."""
    return await RING.current(session, now)


async def rotate_keys(session: AsyncSession, now: datetime) -> None:
    """Sign with the next key from now on; verifiers know it already, so nothing stops."""
    _ = await RING.rotate(session, now)
    audit.record(session, "signing-keys.rotate", object_type="signing_key", object_id="all")


async def list_keys(session: AsyncSession, now: datetime) -> Sequence[Jwk]:
    """The public keys."""
    _ = await RING.current(session, now)
    return [key.public_key for key in await queries.list_published_keys(session, now)]
