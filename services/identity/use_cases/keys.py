"""Signing keys: one signs, the next is published already, old ones stay until their tokens have expired."""

from datetime import datetime
from typing import Any

import orjson
from joserfc.jwk import OKPKey
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.identity import queries
from services.identity.model import SigningKey
from shared import audit
from shared.ids import new_id

ROTATION_LOCK = 0x6B657973  # "keys"


def _new_key(state: str, now: datetime) -> SigningKey:
    kid = str(new_id())
    key = OKPKey.generate_key("Ed25519", {"kid": kid})
    public: dict[str, Any] = {**key.as_dict(private=False), "use": "sig", "alg": "Ed25519"}
    private = orjson.dumps(key.as_dict(private=True)).decode()
    return SigningKey(kid=kid, state=state, private_key=private, public_key=public, created_at=now)


async def ensure_keys(session: AsyncSession, now: datetime) -> SigningKey:
    """The key that signs now; the first two are made on first use."""
    statement = select(SigningKey).where(SigningKey.state == "current")
    current = await session.scalar(statement)
    if current is None:
        _ = await session.execute(select(func.pg_advisory_xact_lock(ROTATION_LOCK)))
        current = await session.scalar(statement)
        if current is None:
            current = _new_key("current", now)
            session.add_all([current, _new_key("next", now)])
            await session.flush()
    return current


async def rotate_keys(session: AsyncSession, now: datetime) -> None:
    """The next key signs from now on; verifiers know it already, so nothing stops."""
    _ = await session.execute(select(func.pg_advisory_xact_lock(ROTATION_LOCK)))
    _ = await ensure_keys(session, now)
    keys = (await session.scalars(select(SigningKey).where(SigningKey.state.in_(["current", "next"])))).all()
    for key in keys:
        if key.state == "current":
            key.state, key.retired_at = "old", now
        else:
            key.state = "current"
    session.add(_new_key("next", now))
    audit.record(session, "signing-keys.rotate", "signing_key", "all")


async def list_keys(session: AsyncSession, now: datetime) -> list[dict[str, Any]]:
    """The public JWK set."""
    _ = await ensure_keys(session, now)
    return [key.public_key for key in await queries.list_published_keys(session, now)]
