"""P1: create a case through the gateway on the production topology, with ten clients.

The baseline is pgbench on the same PostgreSQL.

Each request carries a token and an idempotency key of its own and three materials; the case, its
audit row, its events and the stored answer are one transaction.
"""

from collections.abc import Sequence

import uvloop

from bench.baseline import pgbench_tps, prepare_pgbench
from bench.harness import Figure, Options, at_least, at_most, run
from bench.load import Outcome, drive
from bench.seed_data import CpuUsage, cpu_usage, make_seed_data, running_stack, seconds
from deploy.stack import Stack

CLIENTS = 10


async def create(stack: Stack, options: Options, whole: float = 20.0) -> tuple[Outcome, CpuUsage]:
    """Create cases for the measured time after a warm-up.

    Returns the answers, and the CPU seconds that they cost.
    """
    seed = await make_seed_data(stack)
    url = stack.folder.url
    _ = await drive(url, seed.application, clients=CLIENTS, seconds=options.pick(4.0, 0.5))
    before = cpu_usage(stack)
    outcome = await drive(url, seed.application, clients=CLIENTS, seconds=seconds(options, whole))
    return outcome, cpu_usage(stack).since(before)


def measure(options: Options) -> Sequence[Figure]:
    with running_stack() as stack:
        prepare_pgbench(stack.postgres, options)
        before = pgbench_tps(stack.postgres, options)
        outcome, cost = uvloop.run(create(stack, options))
        after = pgbench_tps(stack.postgres, options)
    baseline = (before + after) / 2
    return [
        at_least("cases created", outcome.rate, "/s", 150, 300),
        at_most("p95", outcome.percentile(0.95) * 1000, "ms", 120, 120),
        at_least("ratio to pgbench -N -c10", outcome.rate / baseline, "×", 0.03, 0.06),
        Figure("p50", outcome.percentile(0.5) * 1000, "ms"),
        Figure("pgbench -N -c10 before", before, "tps"),
        Figure("pgbench -N -c10 after", after, "tps"),
        *(
            Figure(f"CPU per 1,000: {name}", value / outcome.count * 1000, "s")
            for name, value in cost.parts.items()
        ),
    ]


if __name__ == "__main__":
    run("P1", "create a case through the gateway, 10 clients", measure)
