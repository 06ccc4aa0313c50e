"""P4: a clerk's work list, 100 items through the gateway, at 10 thousand and at 1 million cases, first page and page 1,000.

At 10 thousand there is no page 1,000: the last full one stands for it. All cases belong to the clerk's department, nine in
ten are open, so that the list is as long as it can be. The four are compared by the CPU seconds of everything per page, which
say more than rates when the machine is shared.
"""

from collections.abc import Sequence

import uvloop

from bench.baseline import pgbench_tps, prepare_pgbench
from bench.data import clone_cases
from bench.harness import Figure, Options, at_least, at_most, run, say
from bench.load import Client, Outcome, drive, request
from bench.town import Town, bill, running_stack, seconds, settle
from deploy.stack import Stack

CLIENTS = 10
PATH = "/api/v1/cases/work-list"


async def deep_cursor(town: Town, clerk: dict[str, str], skipped: int) -> str:
    """The cursor after `skipped` items, found as a client finds it: page by page."""
    client, cursor = Client(town.stack.place.url), ""
    for limit in [200] * (skipped // 200) + [100] * (skipped % 200 // 100):
        page = await client.json("GET", f"{PATH}?limit={limit}{cursor}", **clerk)
        cursor = f"&cursor={page['next']}"
    client.close()
    return cursor


async def page(town: Town, clerk: dict[str, str], cursor: str, length: float) -> tuple[Outcome, dict[str, float]]:
    """Ask for one page again and again; what it met, and CPU milliseconds per page by part."""
    wanted = request("GET", f"{PATH}?limit=100{cursor}", **clerk)
    _ = await drive(town.stack.place.url, lambda _: wanted, clients=CLIENTS, seconds=length / 4)
    before = bill(town.stack)
    outcome = await drive(town.stack.place.url, lambda _: wanted, clients=CLIENTS, seconds=length)
    return outcome, bill(town.stack).since(before).each(outcome.count)


async def _measured(stack: Stack, options: Options) -> dict[str, tuple[Outcome, dict[str, float]]]:
    town, found, have = await settle(stack), {}, 0
    client = Client(stack.place.url)
    _ = await town.apply(client)
    clerk = town.officer("window_clerk")
    small, large = options.pick((10_000, 1_000_000), (1_000, 5_000))
    for number in (small, large):
        say(f"adding {number - have:,} cases")
        await clone_cases(stack.postgres.dsn("tongban_cases"), have + 1, number)
        have = number
        last = min(99_900, number * 9 // 10 // 100 * 100 - 100)
        length = seconds(options, 5.0)
        found[f"{number:,} cases, page 1"] = await page(town, clerk, "", length)
        deep = await deep_cursor(town, clerk, last)
        found[f"{number:,} cases, page {last // 100 + 1:,}"] = await page(town, clerk, deep, length)
    client.close()
    return found


def measure(options: Options) -> Sequence[Figure]:
    with running_stack() as stack:
        prepare_pgbench(stack.postgres, options)
        before = pgbench_tps(stack.postgres, options)
        found = uvloop.run(_measured(stack, options))
        after = pgbench_tps(stack.postgres, options)
    costs = [sum(cost.values()) for _, cost in found.values()]
    return [
        *(at_least(name, outcome.rate, "/s", 60, 150) for name, (outcome, _) in found.items()),
        at_most("dearest ÷ cheapest of the four, by CPU", max(costs) / min(costs), "×", 1.3, 1.1),
        *(
            Figure(f"CPU: {name}, {part}", cost, "ms")
            for name, (_, shares) in found.items()
            for part, cost in shares.items()
            if part != "workers"
        ),
        *(Figure(f"p95: {name}", outcome.percentile(0.95) * 1000, "ms") for name, (outcome, _) in found.items()),
        Figure("pgbench -N -c10 before", before, "tps"),
        Figure("pgbench -N -c10 after", after, "tps"),
    ]


if __name__ == "__main__":
    run("P4", "work list of 100 items at 10,000 and 1,000,000 cases, first and 1,000th page", measure)
