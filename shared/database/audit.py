"""Audit trail: who, acting for whom, did what to which object, why and when.

It is append-only and hash-chained per service. `record` writes a row in the caller's transaction.
Linking it there would make every transaction wait for the one before, so a sealer in the worker
numbers and links committed rows in batches, a moment later. `verify` checks the chain. Command:
`python -m shared.database.audit verify SERVICE…` with `<SERVICE>_DATABASE_URL` set.
"""

import asyncio
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import orjson
import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from shared import clock, context
from shared.database.session import Database, is_database_trouble
from shared.database.tables import AuditRow
from shared.ids import new_id
from shared.settings import database_url

SEAL_LOCK = 0x61756469  # "audi": one sealer per database
SEAL_BATCH = 2000
SEAL_EVERY = 0.5
GENESIS = b"\x00" * 32

COLUMNS = "id, at, actor, on_behalf_of, action, object_type, object_id, reason, detail, request_id"
UNSEALED = f"SELECT {COLUMNS} FROM audit WHERE sequence IS NULL ORDER BY id LIMIT $1"
HEAD = "SELECT sequence, hash FROM audit WHERE sequence IS NOT NULL ORDER BY sequence DESC LIMIT 1"
SEAL = (
    "UPDATE audit a SET sequence = s.sequence, previous_hash = s.previous, hash = s.hash"
    " FROM unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::bytea[])"
    "  AS s (id, sequence, previous, hash)"
    " WHERE a.id = s.id"
)
CHAIN = (
    f"SELECT {COLUMNS}, sequence, previous_hash, hash FROM audit WHERE sequence > $1"
    " ORDER BY sequence LIMIT $2"
)

log = structlog.get_logger(__name__)


def record(
    session: AsyncSession,
    action: str,
    *,
    object_type: str,
    object_id: object,
    reason: str | None = None,
    **detail: Any,
) -> None:
    """Write one row in the caller's transaction.

    `detail` holds JSON values without personal data.
    """
    session.add(
        AuditRow(
            **entry(action, object_type=object_type, object_id=object_id, reason=reason, **detail)
        )
    )


def entry(
    action: str, *, object_type: str, object_id: object, reason: str | None = None, **detail: Any
) -> dict[str, Any]:
    """The columns of one row, for a statement that writes it together with others."""
    about = context.current()
    return {
        "id": new_id(),
        "at": clock.now(),
        "actor": about.actor,
        "on_behalf_of": about.on_behalf_of,
        "action": action,
        "object_type": object_type,
        "object_id": str(object_id),
        "reason": reason,
        "detail": detail,
        "request_id": about.request_id,
    }


def _digest(row: "asyncpg.Record", sequence: int, *, previous: bytes) -> bytes:
    content = [sequence, previous.hex()]
    content += [
        str(row[name])
        for name in ("id", "actor", "action", "object_type", "object_id", "request_id")
    ]
    content += [
        row["at"].isoformat(),
        row["on_behalf_of"],
        row["reason"],
        orjson.loads(row["detail"]),
    ]
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).digest()


class Sealer:
    """Links committed audit rows into the chain; one sealer works at a time, others wait."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def run(self) -> None:
        while True:
            try:
                await self._seal_forever()
            except Exception as error:
                # The worker lives on: rows wait unsealed meanwhile.
                if is_database_trouble(error):
                    log.warning("audit.waiting", error=type(error).__name__)
                else:
                    log.exception("audit.failed")
            await asyncio.sleep(SEAL_EVERY)

    async def _seal_forever(self) -> None:
        connection = await self._database.connect()
        try:
            while True:
                while await self.seal_batch(connection) == SEAL_BATCH:
                    pass
                await asyncio.sleep(SEAL_EVERY)
        finally:
            await connection.close(timeout=2)

    async def seal_batch(self, connection: asyncpg.Connection) -> int:
        """Link the oldest unsealed rows; the number linked."""
        async with connection.transaction():
            if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", SEAL_LOCK):
                return 0
            rows = await connection.fetch(UNSEALED, SEAL_BATCH)
            if not rows:
                return 0
            head = await connection.fetchrow(HEAD)
            sequence, previous = (head["sequence"], head["hash"]) if head else (0, GENESIS)
            links: list[tuple[Any, int, bytes, bytes]] = []
            for row in rows:
                sequence += 1
                digest = _digest(row, sequence, previous=previous)
                links.append((row["id"], sequence, previous, digest))
                previous = digest
            _ = await connection.execute(
                SEAL, *(list(column) for column in zip(*links, strict=True))
            )
            return len(rows)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Result of `verify`.

    It holds the numbers of linked rows and of rows not linked yet, and the first broken link.

    `broken_at` is None when the chain is whole.
    """

    sealed: int
    unsealed: int
    broken_at: int | None


async def verify(connection: asyncpg.Connection, batch: int = 5000) -> Verdict:
    """Check the chain from its start.

    A changed, removed or inserted row breaks it at that row.
    """
    sequence, previous = 0, GENESIS
    broken: int | None = None
    while broken is None:
        rows = await connection.fetch(CHAIN, sequence, batch)
        for row in rows:
            expected = _digest(row, sequence + 1, previous=previous)
            if (row["sequence"], row["previous_hash"], row["hash"]) != (
                sequence + 1,
                previous,
                expected,
            ):
                broken = sequence + 1
                break
            sequence, previous = row["sequence"], row["hash"]
        if len(rows) < batch:
            break
    unsealed: int = await connection.fetchval("SELECT count(*) FROM audit WHERE sequence IS NULL")
    return Verdict(sequence, unsealed, broken)


async def _verify_at(url: str) -> Verdict:
    connection = await asyncpg.connect(url, timeout=5)
    try:
        return await verify(connection)
    finally:
        await connection.close()


def main(arguments: Sequence[str]) -> int:
    """`verify SERVICE…`: one line each; status 1 when a chain is broken."""
    if len(arguments) < 2 or arguments[0] != "verify":
        _ = sys.stderr.write("usage: python -m shared.database.audit verify SERVICE…\n")
        return 2
    whole = True
    for service in arguments[1:]:
        verdict = asyncio.run(_verify_at(database_url(service)))
        state = "whole" if verdict.broken_at is None else f"BROKEN at number {verdict.broken_at}"
        _ = sys.stdout.write(
            f"{service}: {state}; {verdict.sealed} linked, {verdict.unsealed} not linked yet\n"
        )
        whole = whole and verdict.broken_at is None
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
