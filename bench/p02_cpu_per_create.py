"""P2: CPU seconds of everything per 1,000 created cases.

Counted are the gateway, the APIs, PostgreSQL, the relay and the effects in other services.

A fixed number of cases is created; the CPU seconds are read when every event has had its
effect in assessment.
"""

import asyncio
from collections.abc import Sequence

import asyncpg
import uvloop

from bench.harness import Figure, Options, at_most, run
from bench.load import drive
from bench.p01_create_case import CLIENTS
from bench.seed_data import CpuUsage, cpu_usage, make_seed_data, running_stack
from deploy.stack import Stack


async def drained(stack: Stack, cases: int, limit: float = 60.0) -> None:
    """Until assessment has the record of every case."""
    connection = await asyncpg.connect(stack.postgres.dsn("tongban_assessment"))
    try:
        async with asyncio.timeout(limit):
            while await connection.fetchval("SELECT count(*) FROM case_record") < cases:
                await asyncio.sleep(0.2)
    finally:
        await connection.close()


async def _create(stack: Stack, options: Options) -> tuple[int, CpuUsage]:
    seed, count, warm = await make_seed_data(stack), options.pick(2000, 100), options.pick(300, 20)
    warmed = await drive(stack.folder.url, seed.application, clients=CLIENTS, count=warm)
    await drained(stack, warmed.count)
    before = cpu_usage(stack)
    outcome = await drive(stack.folder.url, seed.application, clients=CLIENTS, count=count)
    await drained(stack, warmed.count + outcome.count)
    return outcome.count, cpu_usage(stack).since(before)


def measure(options: Options) -> Sequence[Figure]:
    with running_stack() as stack:
        count, cost = uvloop.run(_create(stack, options))
    return [
        at_most("CPU of everything per 1,000 creates", cost.total / count * 1000, "s", 13, 7),
        *(Figure(name, value / count * 1000, "s") for name, value in cost.parts.items()),
    ]


if __name__ == "__main__":
    run("P2", "CPU of everything per 1,000 creates (the broker's JVM told apart)", measure)
