"""Signing keys of rating tokens: one signs, the next is published already, old ones stay until their tokens have expired."""

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from cachetools import LRUCache
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.invitations.model.invitation import Invitation
from services.ratings.invitations.model.keys import SigningKey, TokenBatch
from services.ratings.invitations.model.tokens import Signer, batch_claims, invitation_claims
from services.ratings.invitations.queries import tokens
from shared.database import audit
from shared.security.key_ring import KeyRing, decode, new_raw

RING = KeyRing(SigningKey, "rating tokens", lambda: secrets.token_hex(4), new_raw, ahead=True)
MAX_KID = 32

_public: LRUCache[str, Ed25519PublicKey] = LRUCache(64)


def _signer(key: SigningKey) -> Signer:
    return Signer(key.kid, Ed25519PrivateKey.from_private_bytes(decode(key.private_key)))


async def get_signer(session: AsyncSession, now: datetime) -> Signer:
    return _signer(await RING.current(session, now))


async def signer_of(session: AsyncSession, kid: str) -> Signer:
    """The key that signed before, to make the same token again."""
    key = await tokens.find_key(session, kid)
    assert key is not None, "keys are never deleted"
    return _signer(key)


async def public_key(session: AsyncSession, kid: str) -> Ed25519PublicKey | None:
    """The key by which a token says it was signed; None for one that was never ours."""
    known = _public.get(kid)
    if (
        known is None
        and kid.isalnum()
        and len(kid) <= MAX_KID
        and (key := await tokens.find_key(session, kid))
    ):
        public_key = Ed25519PublicKey.from_public_bytes(decode(key.public_key["x"]))
        known = _public[kid] = public_key
    return known


async def token_of(session: AsyncSession, invitation: Invitation) -> str:
    """The token in an invitation's link, made again."""
    signer = await signer_of(session, invitation.kid)
    return signer.sign(invitation_claims(invitation.id, invitation.open_until))


async def tokens_of(session: AsyncSession, batch: TokenBatch) -> list[str]:
    signer = await signer_of(session, batch.kid)
    return [
        signer.sign(batch_claims(batch.id, number, batch.expires_on))
        for number in range(1, batch.size + 1)
    ]


async def list_keys(session: AsyncSession, now: datetime) -> Sequence[dict[str, Any]]:
    """The public JWK set, with which anybody can check a token without asking us."""
    _ = await RING.current(session, now)
    return [key.public_key for key in await tokens.list_keys(session, now)]


async def rotate_keys(session: AsyncSession, now: datetime) -> None:
    """The next key signs from now on; verifiers know it already, so nothing stops."""
    _ = await RING.rotate(session, now)
    audit.record(session, "signing-keys.rotate", "signing_key", "all")
