"""P3: read one case through the gateway on the production topology, with ten clients.

Each client reads a case of her own among many.
"""

from collections.abc import Sequence

import uvloop

from bench.baseline import pgbench_tps, prepare_pgbench
from bench.data import clone_cases
from bench.harness import Figure, Options, at_least, at_most, run, say
from bench.load import Client, Outcome, Request, drive, request
from bench.seed_data import CpuUsage, SeedData, cpu_usage, make_seed_data, running_stack, seconds
from deploy.stack import Stack

CLIENTS = 10
OWN = 20
"""Cases of each client."""


async def readers(seed: SeedData) -> Request:
    """Requests for the citizens' own cases in turn."""
    client, wanted = Client(seed.stack.folder.url), []
    for citizen, header in enumerate(seed.citizens):
        cases = [await seed.apply(client, citizen) for _ in range(OWN)]
        wanted.append(
            [request("GET", f"/api/v1/cases/files/{case['id']}", **header) for case in cases]
        )
    client.close()
    turns = [0] * len(wanted)

    def make(number: int) -> bytes:
        turns[number] += 1
        return wanted[number][turns[number] % OWN]

    return make


async def read(
    stack: Stack, make: Request, options: Options, whole: float = 15.0
) -> tuple[Outcome, CpuUsage]:
    """Read for the measured time after a warm-up."""
    _ = await drive(stack.folder.url, make, clients=CLIENTS, seconds=options.pick(3.0, 0.5))
    before = cpu_usage(stack)
    outcome = await drive(stack.folder.url, make, clients=CLIENTS, seconds=seconds(options, whole))
    return outcome, cpu_usage(stack).since(before)


async def _measured(stack: Stack, options: Options) -> tuple[Outcome, CpuUsage]:
    make = await readers(await make_seed_data(stack, CLIENTS))
    number = options.pick(100_000, 1000)
    say(f"adding {number:,} cases")
    await clone_cases(stack.postgres.dsn("tongban_cases"), 1, number)
    return await read(stack, make, options)


def measure(options: Options) -> Sequence[Figure]:
    with running_stack() as stack:
        prepare_pgbench(stack.postgres, options)
        before = pgbench_tps(stack.postgres, options)
        outcome, cost = uvloop.run(_measured(stack, options))
        after = pgbench_tps(stack.postgres, options)
    return [
        at_least("cases read", outcome.rate, "/s", 400, 1000),
        at_most("p95", outcome.percentile(0.95) * 1000, "ms", 50, 50),
        Figure("ratio to pgbench -N -c10", outcome.rate / (before + after) * 2, "×"),
        Figure("pgbench -N -c10 (mean of before and after)", (before + after) / 2, "tps"),
        Figure("CPU of everything per 1,000", cost.total / outcome.count * 1000, "s"),
        *(
            Figure(f"CPU per 1,000: {n}", cost.parts[n] / outcome.count * 1000, "s")
            for n in ("gateway", "cases-api", "postgres")
        ),
    ]


if __name__ == "__main__":
    run("P3", "read one case through the gateway, 10 clients, 100,000 cases", measure)
