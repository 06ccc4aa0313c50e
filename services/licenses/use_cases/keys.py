"""The keys that sign licenses: one is current, the others stay published for good."""

from datetime import datetime

from cachetools import LRUCache
from sqlalchemy.ext.asyncio import AsyncSession

from services.licenses.journal import Journal
from services.licenses.model.records import SigningKey
from services.licenses.signing import SIGNERS, Signer
from shared.database.key_ring import KeyRing, new_raw
from shared.ids import new_id

RING = KeyRing(SigningKey, "licences", lambda: str(new_id()), new_raw)

_signers: LRUCache[str, Signer] = LRUCache(8)


def _signer_of(key: SigningKey) -> Signer:
    signer = _signers.get(key.kid)
    if signer is None:
        signer = SIGNERS[key.algorithm](key.kid, private=key.private_key)
        _signers[key.kid] = signer
    return signer


async def get_signer(session: AsyncSession, *, kid: str | None, now: datetime) -> Signer:
    """The signer with the current key, which is made on first use.

    `kid` is the current key where another statement of this transaction has read it.
    """
    if kid is not None:
        known = _signers.get(kid)
        if known is not None:
            return known
    return _signer_of(await RING.current(session, now))


async def rotate_key(session: AsyncSession, now: datetime) -> str:
    """Sign with a new key from now on; its id. Signatures of the old ones stay good."""
    key = await RING.rotate(session, now)
    journal = Journal(now)
    journal.append_audit("license-keys.rotate", object_id=key.kid, object_type="signing_key")
    await journal.write(session)
    return key.kid
