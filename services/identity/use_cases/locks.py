"""Advisory locks on what has no row yet."""

from sqlalchemy.ext.asyncio import AsyncSession

from shared.database.direct import command

LOCK = command("SELECT pg_advisory_xact_lock(:key)")


async def advisory_lock(session: AsyncSession, digest: bytes) -> None:
    """Lock what the hash stands for until the transaction ends.

    Seven bytes, because a lock's number has 64 bits and a sign.
    """
    await LOCK.execute(session, key=int.from_bytes(digest[:7]))
