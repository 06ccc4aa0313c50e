"""P4: a clerk's work list, 100 items through the gateway, first page and page 1,000.

Measured at 10 thousand and at 1 million cases.

At 10 thousand there is no page 1,000: the last full one stands for it. All cases belong to the
clerk's department, nine in ten are open, so that the list is as long as it can be. The four are
compared by the CPU seconds of everything per page, which say more than rates when the machine is
shared; and turn by turn, each platform beside the other, because its pace changes from minute to
minute.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

import uvloop

from bench.baseline import pgbench_tps, prepare_pgbench
from bench.data import clone_cases
from bench.harness import Figure, Options, at_least, at_most, run, say
from bench.load import Client, drive, percentile, request
from bench.seed_data import SeedData, cpu_usage, make_seed_data, running_stack, seconds
from deploy.stack import Stack

CLIENTS = 10
PATH = "/api/v1/cases/work-list"


async def deep_cursor(seed: SeedData, clerk: dict[str, str], skipped: int) -> str:
    """The cursor after `skipped` items, found as a client finds it: page by page."""
    client, cursor = Client(seed.stack.folder.url), ""
    for limit in [200] * (skipped // 200) + [100] * (skipped % 200 // 100):
        page = await client.json("GET", f"{PATH}?limit={limit}{cursor}", **clerk)
        cursor = f"&cursor={page['next']}"
    client.close()
    return cursor


@dataclass
class Page:
    """One of the four, and what each turn of asking for it met."""

    name: str
    seed: SeedData
    wanted: bytes
    rates: list[float] = field(default_factory=list[float])
    times: list[float] = field(default_factory=list[float])
    costs: list[dict[str, float]] = field(default_factory=list[dict[str, float]])
    """CPU milliseconds per page by part, a turn each."""

    async def turn(self, length: float) -> None:
        before = cpu_usage(self.seed.stack)
        outcome = await drive(
            self.seed.stack.folder.url, lambda _: self.wanted, clients=CLIENTS, seconds=length
        )
        self.costs.append(cpu_usage(self.seed.stack).since(before).each(outcome.count))
        self.rates.append(outcome.rate)
        self.times += outcome.times

    def cost(self, part: str) -> float:
        return median(turn[part] for turn in self.costs)


async def _pages(stack: Stack, number: int) -> list[Page]:
    """First and deep page of a platform with so many cases."""
    seed, client = await make_seed_data(stack), Client(stack.folder.url)
    _ = await seed.apply(client)
    client.close()
    say(f"adding {number:,} cases")
    await clone_cases(stack.postgres.dsn("tongban_cases"), 1, number)
    clerk = seed.officer("window_clerk")
    last = min(99_900, number * 9 // 10 // 100 * 100 - 100)
    cursors = {"page 1": "", f"page {last // 100 + 1:,}": await deep_cursor(seed, clerk, last)}
    return [
        Page(
            f"{number:,} cases, {name}", seed, request("GET", f"{PATH}?limit=100{cursor}", **clerk)
        )
        for name, cursor in cursors.items()
    ]


async def _measured(small: Stack, large: Stack, options: Options) -> list[Page]:
    few, many = options.pick((10_000, 1_000_000), (1_000, 5_000))
    pages = [*await _pages(small, few), *await _pages(large, many)]
    for page in pages:
        await page.turn(seconds(options, 3.0))
        page.rates, page.times, page.costs = [], [], []
    for turn in range(options.pick(7, 2)):
        for page in pages if turn % 2 else reversed(pages):
            await page.turn(seconds(options, 1.5))
    return pages


def spread(costs: Sequence[Sequence[float]]) -> float:
    """Dearest ÷ cheapest of the four lists.

    Each counts by the median of its share of the turn, so that the machine's pace has no influence.
    """
    means = [sum(turn) / len(turn) for turn in zip(*costs, strict=True)]
    shares = [median(cost / mean for cost, mean in zip(one, means, strict=True)) for one in costs]
    return max(shares) / min(shares)


def measure(options: Options) -> Sequence[Figure]:
    with running_stack() as small, running_stack() as large:
        prepare_pgbench(small.postgres, options)
        before = pgbench_tps(small.postgres, options)
        pages = uvloop.run(_measured(small, large, options))
        after = pgbench_tps(small.postgres, options)
    return [
        *(at_least(page.name, median(page.rates), "/s", 60, 150) for page in pages),
        at_most(
            "dearest ÷ cheapest of the four, by CPU",
            spread([[sum(turn.values()) for turn in page.costs] for page in pages]),
            "×",
            1.3,
            1.1,
        ),
        *(
            Figure(f"CPU: {page.name}, {part}", page.cost(part), "ms")
            for page in pages
            for part in page.costs[0]
            if part != "workers"
        ),
        *(Figure(f"p95: {page.name}", percentile(page.times, 0.95) * 1000, "ms") for page in pages),
        Figure("pgbench -N -c10 before", before, "tps"),
        Figure("pgbench -N -c10 after", after, "tps"),
    ]


if __name__ == "__main__":
    run(
        "P4",
        "work list of 100 items at 10,000 and 1,000,000 cases, first and 1,000th page",
        measure,
    )
