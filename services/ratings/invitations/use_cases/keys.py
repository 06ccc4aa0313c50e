"""Signing keys of rating tokens: making tokens, verifying them, changing the keys.

One key signs, the next is published already, old ones stay until their tokens have expired.
"""

import secrets
from datetime import datetime

from cachetools import LRUCache
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.invitations.model.invitation import Invitation
from services.ratings.invitations.model.keys import SigningKey, TokenBatch
from services.ratings.invitations.model.tokens import (
    Signer,
    Token,
    batch_claims,
    is_window_code,
    link_claims,
    read,
)
from services.ratings.invitations.queries import tokens
from services.ratings.invitations.schemas import Jwk
from services.ratings.journal import Action, Entry, Journal
from shared.database.key_ring import KeyRing, decode, new_raw

RING = KeyRing(SigningKey, "rating tokens", lambda: secrets.token_hex(4), new_raw, ahead=True)
MAX_KID = 32

# Keys never change, so an entry is never out of date.
_public_keys: LRUCache[str, Ed25519PublicKey] = LRUCache(64)


def _signer_with(key: SigningKey) -> Signer:
    return Signer(key.kid, Ed25519PrivateKey.from_private_bytes(decode(key.private_key)))


async def get_signer(session: AsyncSession, now: datetime) -> Signer:
    """The key that signs now."""
    return _signer_with(await RING.current(session, now))


async def signer_of(session: AsyncSession, kid: str) -> Signer:
    """The key that signed before, to make the same token again."""
    key = await tokens.find_key(session, kid)
    assert key is not None, "keys are never deleted"
    return _signer_with(key)


async def verify_token(session: AsyncSession, text: str) -> Token:
    """The token, if one of our keys signed it; raises `TokenForgedError` for any other text."""
    token = read(text)
    token.verify(await _find_public_key(session, token.kid))
    return token


async def verify_unless_code(session: AsyncSession, text: str) -> Token | None:
    """The verified token; None for a window's code, which is no token."""
    if is_window_code(text):
        return None
    return await verify_token(session, text)


async def _find_public_key(session: AsyncSession, kid: str) -> Ed25519PublicKey | None:
    known = _public_keys.get(kid)
    if known is not None:
        return known
    # A stranger wrote `kid`: what cannot be one of ours is not looked for.
    if not kid.isalnum() or len(kid) > MAX_KID:
        return None
    key = await tokens.find_key(session, kid)
    if key is None:
        return None
    # Only keys that exist are cached: strangers cannot fill the cache with names.
    public_key = Ed25519PublicKey.from_public_bytes(decode(key.public_key["x"]))
    _public_keys[kid] = public_key
    return public_key


async def token_of(session: AsyncSession, invitation: Invitation) -> str:
    """The token in an invitation's link, made again."""
    signer = await signer_of(session, invitation.kid)
    return signer.sign(link_claims(invitation.id, invitation.open_until))


async def tokens_of(session: AsyncSession, batch: TokenBatch) -> list[str]:
    """All tokens of a batch, in the order of their numbers."""
    signer = await signer_of(session, batch.kid)
    texts: list[str] = []
    for number in range(1, batch.size + 1):
        texts.append(signer.sign(batch_claims(batch.id, number, expires_on=batch.expires_on)))
    return texts


async def list_keys(session: AsyncSession, now: datetime) -> list[Jwk]:
    """The public JWK set, with which anybody can check a token without asking us."""
    # Makes the first keys where there are none yet.
    _ = await RING.current(session, now)
    return [Jwk.model_validate(key.public_key) for key in await tokens.list_keys(session, now)]


async def rotate_keys(session: AsyncSession, now: datetime) -> None:
    """The next key signs from now on; verifiers know it already, so nothing stops."""
    _ = await RING.rotate(session, now)
    journal = Journal(session)
    journal.append(Entry(Action.ROTATE_KEYS, "all"))
    await journal.write()
