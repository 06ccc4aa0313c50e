"""The platform's signature under receipts and statements: JWS (compact, Ed25519), keys with rotation."""

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.peers.model import ReceiptKey
from shared.database import audit
from shared.ids import new_id
from shared.security.key_ring import KeyRing, new_jwk

RING = KeyRing(ReceiptKey, "receipts", lambda: str(new_id()), new_jwk)
ALGORITHMS = ["Ed25519"]


async def rotate_key(session: AsyncSession, now: datetime) -> None:
    """A new key signs from now on; the old one stays published, because what it signed stays evidence."""
    key = await RING.rotate(session, now)
    audit.record(session, "receipt-keys.rotate", "receipt_key", key.kid)


async def list_keys(session: AsyncSession, now: datetime) -> list[dict[str, Any]]:
    """The public keys, oldest first."""
    _ = await RING.current(session, now)
    statement = select(ReceiptKey.public_key).order_by(ReceiptKey.created_at, ReceiptKey.kid)
    return list(await session.scalars(statement))


async def sign(session: AsyncSession, kind: str, document: dict[str, Any], now: datetime) -> bytes:
    """The document as compact JWS of the media type `application/<kind>+jws`."""
    key = await RING.current(session, now)
    header = {"alg": "Ed25519", "kid": key.kid, "typ": kind}
    private = OKPKey.import_key(orjson.loads(key.private_key))
    payload = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    return jws.serialize_compact(header, payload, private, algorithms=ALGORITHMS).encode()


def read_signed(token: bytes, keys: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The document of a compact JWS under one of these pinned keys; ValueError when it does not hold."""
    try:
        part = token.split(b".", 1)[0]
        header = orjson.loads(base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4)))
        pinned = next(key for key in keys if key.get("kid") == header["kid"])
        public = OKPKey.import_key({name: pinned[name] for name in ("kty", "crv", "x")})
        return orjson.loads(jws.deserialize_compact(token, public, algorithms=ALGORITHMS).payload)
    except (JoseError, ValueError, KeyError, TypeError, StopIteration) as error:
        raise ValueError("the signature does not hold") from error
