"""A value sealed under the keys of a database, by which a wrong but well-formed key is noticed.

A service with a wrong key would start, fail at every old value and write new ones that the right
key does not open. So each database has a known value, sealed under each of its two keys by whoever
starts first, and every process opens it before it serves.
"""

import asyncio
import contextlib
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import structlog
from cryptography.exceptions import InvalidTag
from sqlalchemy import select, text, type_coerce
from sqlalchemy.dialects.postgresql import BYTEA
from sqlalchemy.ext.asyncio import AsyncSession

from shared.database.migrations import metadata_of
from shared.database.session import Database
from shared.database.tables import KeyKind
from shared.security.crypto import (
    Encrypted,
    Format,
    UnknownSealError,
    decrypt,
    encrypt,
    open_sealed,
    seal_for,
)

PURPOSE = "key_check.sealed"
KNOWN = "通办"
RETRY = 5.0
"""Seconds between two looks while the database is away or not migrated yet."""
READ = text("SELECT kind, sealed FROM key_check")
WRITE = text("INSERT INTO key_check (kind, sealed) VALUES (:kind, :sealed) ON CONFLICT DO NOTHING")

log = structlog.get_logger(__name__)


class WrongKeyError(Exception):
    """The database was written under another key; the text names the setting and no value."""

    def __init__(self, service: str, kind: KeyKind) -> None:
        name = f"{service.upper()}_{kind.upper()}_KEY"
        super().__init__(
            f"{name} 不是 {service} 的数据所用的密钥:请换回原来的密钥(备份中有)"
            f" / {name} is not the key under which the data of {service} were written:"
            " set the old one again (it is in the backup)"
        )


def _seal(kind: KeyKind) -> bytes:
    # No older release reads this table, so the value is in the newest format.
    if kind is KeyKind.DATA:
        return encrypt(KNOWN, purpose=PURPOSE, form=Format.NAMED)
    return seal_for(KNOWN, PURPOSE, form=Format.NAMED).encode()


def _opens(kind: KeyKind, sealed: bytes) -> bool:
    try:
        if kind is KeyKind.DATA:
            return decrypt(sealed, PURPOSE) == KNOWN
        return open_sealed(sealed.decode(), purpose=PURPOSE) == KNOWN
    except (InvalidTag, UnknownSealError):
        return False


async def check_keys(database: Database, service: str) -> None:
    """Open the known values; make those that are missing.

    Raises:
        WrongKeyError: the database was written under another key.
    """
    async with database.transaction() as session:
        known = await _read(session)
        if KeyKind.DATA not in known:
            await _check_old_values(session, service)
        for kind in KeyKind:
            if kind not in known:
                _ = await session.execute(WRITE, {"kind": kind, "sealed": _seal(kind)})
        # Another process may have been first.
        known = await _read(session)
        for kind in KeyKind:
            if not _opens(kind, known[kind]):
                raise WrongKeyError(service, kind)


async def _read(session: AsyncSession) -> dict[str, bytes]:
    rows = await session.execute(READ)
    return {kind: bytes(sealed) for kind, sealed in rows}


async def _check_old_values(session: AsyncSession, service: str) -> None:
    """Before the first known value is made: the key must open what an older release sealed."""
    for metadata in metadata_of(service):
        for table in metadata.sorted_tables:
            for column in table.columns:
                if isinstance(column.type, Encrypted):
                    statement = select(type_coerce(column, BYTEA())).where(column.is_not(None))
                    sealed = await session.scalar(statement.limit(1))
                    if sealed is not None and not _opens_column(sealed, column.type.purpose):
                        raise WrongKeyError(service, KeyKind.DATA)


def _opens_column(sealed: bytes, purpose: str) -> bool:
    try:
        _ = decrypt(sealed, purpose)
    except (InvalidTag, UnknownSealError):
        return False
    return True


@asynccontextmanager
async def checked_keys(database: Database, service: str) -> AsyncGenerator[None]:
    """Check the keys before the block begins.

    A database that is away is no reason not to start: then the keys are checked as soon as it
    answers, and a process with a wrong one ends.

    Raises:
        WrongKeyError: the database was written under another key.
    """
    later: asyncio.Task[None] | None = None
    try:
        await check_keys(database, service)
    except WrongKeyError as error:
        log.critical("keys.wrong", reason=str(error))
        raise
    except Exception as error:
        log.warning("keys.unchecked", error=type(error).__name__)
        later = asyncio.create_task(_check_until_known(database, service))
    try:
        yield
    finally:
        if later is not None:
            _ = later.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await later


async def _check_until_known(database: Database, service: str) -> None:
    while True:
        await asyncio.sleep(RETRY)
        try:
            return await check_keys(database, service)
        except WrongKeyError as error:
            log.critical("keys.wrong", reason=str(error))
            signal.raise_signal(signal.SIGTERM)
            return None
        except Exception as error:
            log.warning("keys.unchecked", error=type(error).__name__)
