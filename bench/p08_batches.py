"""P8: cases that come by signed batch: records a second from the chunk on the bus to row, event and verdict, one process.

The chunks lie ready as exchange would send them; the inbox of cases takes them in, with its real consumer and database.
The broker is left out: its share is P7's.
"""

import asyncio
import resource
import time
from collections.abc import Iterator, Sequence
from typing import Any

import uvloop

from bench.harness import Figure, Options, at_least, run, say, scratch
from deploy.postgres import EmbeddedPostgres
from deploy.sample import catalogue
from services.cases.consumer import consumer
from shared import clock, migrations
from shared.bus import Record
from shared.crypto import seal_for, use_key
from shared.db import Database
from shared.events.base import seal, topic_of
from shared.events.exchange import RecordReceived
from shared.ids import new_id
from shared.inbox import Inbox

ROWS = 200
"""Records of a chunk."""
POLL = 10
"""Chunks that come at once."""
DATA, PLATFORM = bytes(32), bytes(range(32))
CONTACT = {"name": "央金", "phone": "13900000001"}


def _record(number: int, contact: dict[str, str] | None) -> dict[str, Any]:
    return {
        "source_number": f"B-{number:07d}",
        "version": 1,
        "matter_code": "11540100MB0Q01904W3000117051000",
        "matter_name": "商品房预售许可",
        "matter_type": "01",
        "applicant_kind": "organisation",
        "state": "closed",
        "received_on": "2026-03-02",
        "accepted_on": "2026-03-03",
        "closed_on": "2026-03-10",
        "result": "0",
        "contact": contact,
    }


def _chunks(peer: str, count: int, contact: dict[str, str] | None) -> Iterator[Record]:
    """A batch as exchange hands it on."""
    batch = new_id()
    for n in range(count):
        records = [_record(n * ROWS + row, contact) for row in range(ROWS)]
        with use_key(DATA, PLATFORM):
            sealed = seal_for(records, "exchange.records")
        event = RecordReceived(
            batch_id=batch,
            chunk=n + 1,
            chunks=count,
            peer_code=peer,
            area_code=catalogue.CITY,
            department_code=catalogue.department_code(catalogue.CITY, "market"),
            resource="cases",
            first_row=n * ROWS + 1,
            records=sealed,
            revision=n + 1,
            occurred_at=clock.now(),
        )
        yield Record(topic_of(event.service), event.key, seal(event)[1], 0, n)


async def _take(database: Database, chunks: Sequence[Record]) -> float:
    """Records a second."""
    inbox = Inbox(database, None, consumer)  # pyright: ignore[reportArgumentType]
    started = time.perf_counter()
    for first in range(0, len(chunks), POLL):
        await inbox.take(chunks[first : first + POLL])
    return len(chunks) * ROWS / (time.perf_counter() - started)


def _memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def _measured(dsn: str, options: Options) -> tuple[dict[str, float], float]:
    await asyncio.to_thread(asyncio.run, migrations.run_on(dsn, migrations.upgrade, "cases"))
    database = Database(dsn, data_key=DATA, platform_key=PLATFORM, pool_size=2)
    count, found = options.pick(100, 5), dict[str, float]()
    _ = await _take(database, list(_chunks("warm", POLL, None)))
    chunks = list(_chunks("plain", count, None))
    before = _memory()
    say(f"{count * ROWS:,} records, then the same again, then with contacts")
    found["new"] = await _take(database, chunks)
    grown = _memory() - before
    found["known"] = await _take(database, list(_chunks("plain", count, None)))
    found["with a contact"] = await _take(database, list(_chunks("contact", count, CONTACT)))
    connection = await database.connect()
    assert await connection.fetchval("SELECT count(*) FROM imported_case") == (2 * count + POLL) * ROWS
    await connection.close()
    await database.close()
    return found, grown


def measure(options: Options) -> Sequence[Figure]:
    with scratch() as folder, EmbeddedPostgres(folder / "postgres") as postgres:
        postgres.create_databases(["tongban_cases"])
        found, grown = uvloop.run(_measured(postgres.dsn("tongban_cases"), options))
    return [
        at_least("cases by batch", found.pop("new"), "/s", 2_000, 5_000),
        *(Figure(f"cases by batch, {name}", rate, "/s") for name, rate in found.items()),
        Figure("memory that the batch has taken", grown, "MiB"),
    ]


if __name__ == "__main__":
    run("P8", "cases by signed batch, one process, from the chunk to its verdicts", measure)
