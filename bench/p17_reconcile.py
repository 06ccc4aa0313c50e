"""P17: reconcile 500,000 rows with 100 differences against the simulated region.

It goes over real HTTP (recon/1).

The baseline is what it costs to send everything instead: a plain COPY of the same rows, and their
bytes as a full list.
"""

import asyncio
import random
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import orjson
import uvloop

from bench.harness import ROOT, Figure, Options, at_most, run, say, scratch
from deploy.postgres import EmbeddedPostgres, free_port
from services.exchange.region.http_client import HttpRegion
from services.exchange.region.port import Region
from services.exchange.region.queries import ledger as queries_ledger
from services.exchange.region.use_cases import ledger
from services.exchange.region.use_cases.compare import Comparing, Comparison
from shared import clock
from shared.database import migrations
from shared.database.session import Database
from shared.domain.recon import canonical, loose
from shared.ids import new_id

ROWS, DIFFERENCES, DAYS, SLICE = 500_000, 100, 35, 5_000
LAST = date(2026, 11, 20)
FIRST = LAST - timedelta(days=DAYS - 1)
DATABASE = "tongban_exchange"
KINDS = ("lose", "older", "newer", "corrupt", "duplicate")


def rows(number: int, days: int) -> list[dict[str, Any]]:
    """Cases as the ledger keeps them, over so many days."""
    found: list[dict[str, Any]] = []
    for n in range(number):
        day = (LAST - timedelta(days=n % days)).isoformat()
        record = {
            "project_no": f"5401{n:012}",
            "project_name": "食品经营许可",
            "task_code": "11540100MB0Q01905U4000131001000",
            "area_code": "540100000000",
            "org_code": "11540100MB0Q01905U",
            "receive_date": day,
            "accept_date": day,
            "event_name": "办结",
            "event_time": f"{day}T03:00:00Z",
            "result_type": "0",
        }
        place = {
            "area": "540100000000",
            "department": "11540100MB0Q01905U",
            "op": "U",
            "version": 5,
            "day": day,
        }
        found.append(
            {
                "key": record["project_no"],
                **place,
                "record": canonical(record),
                "loose": loose(record),
            }
        )
    return found


async def fill(
    database: Database, region: httpx.AsyncClient, given: Sequence[dict[str, Any]]
) -> None:
    """The same rows on both sides, as if all had been pushed and accepted."""
    connection = await database.connect()
    _ = await connection.execute("SET statement_timeout = 0")
    _ = await connection.execute("ALTER TABLE ledger ALTER push_state SET DEFAULT 'accepted'")
    for start in range(0, len(given), SLICE):
        part = given[start : start + SLICE]
        lines = [
            orjson.dumps([r["key"], r["version"], r["op"], r["day"], r["record"]]) for r in part
        ]
        loading = asyncio.create_task(region.post("/control/load/cases", content=b"\n".join(lines)))
        async with database.transaction() as session:
            await ledger.store(session, "cases", rows=part, now=clock.now())
        _ = (await loading).raise_for_status()
    _ = await connection.execute("VACUUM ANALYZE ledger")
    await connection.close()


async def plant(region: httpx.AsyncClient, keys: Sequence[str]) -> None:
    for place, what in enumerate(KINDS):
        body = {"resource": "cases", "what": what, "keys": keys[place :: len(KINDS)]}
        _ = (await region.post("/control/plant", json=body)).raise_for_status()


async def reconcile(database: Database, region: Region, run_id: UUID) -> tuple[Comparison, float]:
    started = time.perf_counter()
    async with database.transaction(snapshot=True) as session:
        comparing = Comparing(session, region, run_id=run_id, resource="cases", peer_code="region")
        comparison = await comparing.compare(FIRST, last=LAST)
    return comparison, time.perf_counter() - started


async def copy_out(dsn: str) -> tuple[float, int]:
    """Seconds and bytes of a COPY of what a full list would hold."""
    connection = await asyncpg.connect(dsn)
    total = 0

    async def count(data: bytes) -> None:
        nonlocal total
        total += len(data)

    started = time.perf_counter()
    _ = await connection.copy_from_query("SELECT key, version, op, rd FROM ledger", output=count)
    seconds = time.perf_counter() - started
    await connection.close()
    return seconds, total


@asynccontextmanager
async def simulator() -> AsyncGenerator[str]:
    port = free_port()
    command = [sys.executable, "-m", "deploy.simulators.regional", "--port", str(port)]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT)
    url = f"http://127.0.0.1:{port}"
    try:
        async with httpx.AsyncClient(trust_env=False) as client:
            for _ in range(200):
                try:
                    _ = await client.get(f"{url}/control/truth")
                    break
                except httpx.TransportError:
                    await asyncio.sleep(0.1)
        yield url
    finally:
        process.terminate()
        _ = await process.wait()


async def _one(
    database: Database, url: str, number: int, days: int
) -> tuple[float, int, int, bool]:
    """Seconds, bytes and round trips of one comparison.

    And whether it found exactly the differences that were planted.
    """
    keys = [
        f"5401{n:012}"
        for n in random.Random(7).sample(range(number), min(DIFFERENCES, number // 10))
    ]
    async with httpx.AsyncClient(base_url=url, timeout=120, trust_env=False) as control:
        say(f"filling both sides: {number:,} rows over {days} days")
        await fill(database, control, rows(number, days))
        await plant(control, keys)
    region = HttpRegion(url)
    before = region.traffic
    comparison, seconds = await reconcile(database, region, new_id())
    sent = region.traffic - before
    await region.close()
    return (
        seconds,
        sent,
        comparison.rounds + 1,
        sorted(one.key for one in comparison.found) == sorted(keys),
    )


async def _measured(postgres: EmbeddedPostgres, options: Options) -> list[Figure]:
    number = options.pick(ROWS, 5_000)
    dsn = postgres.dsn(DATABASE)
    database = Database(dsn, data_key=b"k" * 32, platform_key=b"p" * 32)
    try:
        async with simulator() as url:
            seconds, sent, rounds, exact = await _one(database, url, number, DAYS)
            sums_started = time.perf_counter()
            async with database.reading() as session:
                _ = await queries_ledger.sums_of_days(session, "cases", first=FIRST, last=LAST)
            sums = time.perf_counter() - sums_started
        copied, whole = await copy_out(dsn)
    finally:
        await database.close()
    if not exact:
        raise SystemExit("not exactly what was planted was found")
    return [
        at_most("reconcile", seconds, "s", 5, 1),
        at_most("over the wire", sent / 1e6, "MB", 1, 1),
        Figure("round trips", rounds, ""),
        Figure("our fingerprints of all windows", sums, "s"),
        Figure("plain COPY of the same rows", copied, "s"),
        Figure("ratio of the time to a plain COPY", seconds / copied, "×"),
        Figure("full list", whole / 1e6, "MB"),
        Figure("ratio of the bytes to the full list", sent / whole, "×"),
        Figure("rows", number, ""),
    ]


def measure(options: Options) -> Sequence[Figure]:
    with scratch() as folder, EmbeddedPostgres(folder / "postgres") as postgres:
        postgres.create_databases([DATABASE])
        asyncio.run(migrations.run_on(postgres.dsn(DATABASE), migrations.upgrade, "exchange"))
        return uvloop.run(_measured(postgres, options))


if __name__ == "__main__":
    run("P17", "reconcile 500,000 rows with 100 differences", measure)
