"""One moment of all databases: what each had numbered and taken, and snapshots for dumps.

The relays of all services are held up for some milliseconds: no fact gets a number while the
snapshots are taken. So whatever a snapshot has taken of another service, that service's snapshot
has numbered. Nothing else waits.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import asyncpg

from deploy.operate.backup.manifest import Position, ServicePart
from deploy.operate.backup.programs import database_of

HOLD = "LOCK TABLE relay_position IN SHARE MODE"
RELAY = "SELECT topic, partition, epoch, number FROM relay_position ORDER BY 1, 2"
TAKEN = "SELECT topic, partition, epoch, number FROM inbox_position ORDER BY 1, 2"
REVISION = "SELECT version_num FROM alembic_version"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A database at the moment; `name` is what `pg_dump --snapshot` takes."""

    part: ServicePart
    name: str


@asynccontextmanager
async def one_moment(databases: Mapping[str, str]) -> AsyncGenerator[dict[str, Snapshot]]:
    """Snapshots of all databases, valid until the block ends."""
    async with AsyncExitStack() as stack:
        connections: dict[str, asyncpg.Connection] = {}
        async with AsyncExitStack() as holds:
            for url in databases.values():
                await _hold_relay(holds, url)
            for service, url in databases.items():
                connection = await asyncpg.connect(url, timeout=10)
                _ = stack.push_async_callback(connection.close)
                transaction = connection.transaction(isolation="repeatable_read", readonly=True)
                _ = await stack.enter_async_context(transaction)
                # The first statement takes the snapshot.
                _ = await connection.fetchval("SELECT 1")
                connections[service] = connection
        snapshots: dict[str, Snapshot] = {}
        for service, connection in connections.items():
            part = await _part_of(connection, databases[service])
            name = await connection.fetchval("SELECT pg_export_snapshot()")
            snapshots[service] = Snapshot(part, name)
        yield snapshots


async def _hold_relay(holds: AsyncExitStack, url: str) -> None:
    connection = await asyncpg.connect(url, timeout=10)
    _ = holds.push_async_callback(connection.close)
    _ = await holds.enter_async_context(connection.transaction())
    _ = await connection.execute("SET LOCAL lock_timeout = '5s'")
    _ = await connection.execute(HOLD)


async def _part_of(connection: asyncpg.Connection, url: str) -> ServicePart:
    relay = [Position(**row) for row in await connection.fetch(RELAY)]
    positions = [Position(**row) for row in await connection.fetch(TAKEN)]
    revision = await connection.fetchval(REVISION)
    return ServicePart(
        database=database_of(url), revision=revision, relay=relay, positions=positions
    )
