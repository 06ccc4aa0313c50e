"""P18: how the cost of P1, P3 and P4 grows with ten times the data: 100,000 and 1,000,000 cases.

Cost is CPU seconds of everything (the broker's JVM apart) per request: on a shared machine it says
more than the rate, which stands beside it. Two platforms stand beside each other and are asked turn
by turn, because the machine's pace changes from minute to minute; growth is the median over the
turns.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

import uvloop

from bench.data import clone_cases
from bench.harness import Figure, Options, at_most, run, say
from bench.load import Client, Outcome, Request, drive, request
from bench.p01_create_case import CLIENTS
from bench.p02_cpu_per_create import drained
from bench.p03_read_case import OWN, readers
from bench.p04_work_list import PATH, deep_cursor
from bench.seed_data import SeedData, cpu_usage, make_seed_data, running_stack, seconds
from deploy.stack import Stack

Costs = dict[str, float]
"""CPU milliseconds per request by part."""


@dataclass
class GrownPlatform:
    """A platform with so many cases, and what each turn of each act cost it."""

    seed: SeedData
    acts: dict[str, Callable[[float], Awaitable[Outcome]]]
    costs: dict[str, list[Costs]] = field(default_factory=dict[str, list[Costs]])
    rates: dict[str, list[float]] = field(default_factory=dict[str, list[float]])

    async def turn(self, name: str, length: float) -> None:
        before = cpu_usage(self.seed.stack)
        outcome = await self.acts[name](length)
        self.costs.setdefault(name, []).append(
            cpu_usage(self.seed.stack).since(before).each(outcome.count)
        )
        self.rates.setdefault(name, []).append(outcome.rate)


async def _grown(stack: Stack, number: int) -> GrownPlatform:
    seed = await make_seed_data(stack, CLIENTS)
    client = Client(stack.folder.url)
    _ = await seed.apply(client)
    client.close()
    say(f"adding {number:,} cases")
    await clone_cases(stack.postgres.dsn("tongban_cases"), 1, number)
    reading, clerk, url = await readers(seed), seed.officer("window_clerk"), stack.folder.url
    deep = await deep_cursor(seed, clerk, min(40_000, number // 4))
    made = 1 + CLIENTS * OWN

    async def create(length: float) -> Outcome:
        """Their events' effects in assessment included."""
        nonlocal made
        outcome = await drive(url, seed.application, clients=CLIENTS, seconds=length)
        made += outcome.count
        await drained(stack, made)
        return outcome

    def asking(make: Request) -> Callable[[float], Awaitable[Outcome]]:
        return lambda length: drive(url, make, clients=CLIENTS, seconds=length)

    pages = {
        name: request("GET", f"{PATH}?limit=100{cursor}", **clerk)
        for name, cursor in (("1", ""), ("400", deep))
    }
    lists = {
        f"work list, page {name}": asking(lambda _, wanted=wanted: wanted)
        for name, wanted in pages.items()
    }
    return GrownPlatform(seed, {"create": create, "read": asking(reading), **lists})


async def _measured(
    small: Stack, large: Stack, options: Options
) -> tuple[GrownPlatform, GrownPlatform]:
    few, many = options.pick((100_000, 1_000_000), (500, 5_000))
    platforms = await _grown(small, few), await _grown(large, many)
    for platform in platforms:
        for name in platform.acts:
            await platform.turn(name, seconds(options, 3.0))
        platform.costs, platform.rates = {}, {}
    for turn in range(options.pick(7, 2)):
        for name in platforms[0].acts:
            for platform in platforms if turn % 2 else reversed(platforms):
                await platform.turn(name, seconds(options, 1.5))
    return platforms


def _growth(small: Sequence[Costs], large: Sequence[Costs]) -> float:
    return median(
        sum(after.values()) / sum(before.values())
        for before, after in zip(small, large, strict=True)
    )


def measure(options: Options) -> Sequence[Figure]:
    with running_stack() as one, running_stack() as other:
        small, large = uvloop.run(_measured(one, other, options))
    names = list(small.acts)
    return [
        *(
            at_most(
                f"CPU at 10 × the data: {name}",
                _growth(small.costs[name], large.costs[name]),
                "×",
                1.3,
                1.1,
            )
            for name in names
        ),
        *(Figure(f"rate at 100,000: {name}", median(small.rates[name]), "/s") for name in names),
        *(Figure(f"rate at 1,000,000: {name}", median(large.rates[name]), "/s") for name in names),
        *(
            Figure(
                f"CPU at 1,000,000: {name}",
                median(sum(c.values()) for c in large.costs[name]),
                "ms",
            )
            for name in names
        ),
        *(
            Figure(
                f"{part} at 10 × the data: {name}",
                median(a[part] - b[part] for b, a in pairs),
                "ms more",
            )
            for name in names
            for pairs in [list(zip(small.costs[name], large.costs[name], strict=True))]
            for part in small.costs[name][0]
        ),
    ]


if __name__ == "__main__":
    run("P18", "cost growth of P1, P3 and P4 from 100,000 to 1,000,000 cases", measure)
