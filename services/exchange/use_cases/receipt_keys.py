"""The platform's signature under receipts and statements: JWS (compact, Ed25519), keys with rotation."""

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.model import ReceiptKey
from shared import audit
from shared.ids import new_id

ROTATION_LOCK = 0x72636B79  # "rcky"
ALGORITHMS = ["Ed25519"]
CURRENT = select(ReceiptKey).where(ReceiptKey.state == "current")


def _new_key(now: datetime) -> ReceiptKey:
    kid = str(new_id())
    key = OKPKey.generate_key("Ed25519", {"kid": kid})
    public: dict[str, Any] = {**key.as_dict(private=False), "use": "sig", "alg": "Ed25519"}
    private = orjson.dumps(key.as_dict(private=True)).decode()
    return ReceiptKey(kid=kid, state="current", private_key=private, public_key=public, created_at=now)


async def ensure_key(session: AsyncSession, now: datetime) -> ReceiptKey:
    """The key that signs now; made on first use."""
    current = await session.scalar(CURRENT)
    if current is None:
        _ = await session.execute(select(func.pg_advisory_xact_lock(ROTATION_LOCK)))
        current = await session.scalar(CURRENT)
    if current is None:
        current = _new_key(now)
        session.add(current)
        await session.flush()
    return current


async def rotate_key(session: AsyncSession, now: datetime) -> None:
    """A new key signs from now on; the old one stays published, because what it signed stays evidence."""
    _ = await session.execute(select(func.pg_advisory_xact_lock(ROTATION_LOCK)))
    current = await ensure_key(session, now)
    current.state, current.retired_at = "retired", now
    await session.flush()
    session.add(_new_key(now))
    audit.record(session, "receipt-keys.rotate", "receipt_key", current.kid)


async def list_keys(session: AsyncSession, now: datetime) -> list[dict[str, Any]]:
    """The public keys, oldest first."""
    _ = await ensure_key(session, now)
    statement = select(ReceiptKey.public_key).order_by(ReceiptKey.created_at, ReceiptKey.kid)
    return list(await session.scalars(statement))


async def sign(session: AsyncSession, kind: str, document: dict[str, Any], now: datetime) -> bytes:
    """The document as compact JWS of the media type `application/<kind>+jws`."""
    key = await ensure_key(session, now)
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
