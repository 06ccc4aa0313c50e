"""P18: how the cost of P1, P3 and P4 grows with ten times the data: 100,000 and 1,000,000 cases.

Cost is CPU seconds of everything (the broker's JVM apart) per request: on a shared machine it says more than the rate,
which stands beside it.
"""

from collections.abc import Awaitable, Callable, Sequence

import uvloop

from bench.data import clone_cases
from bench.harness import Figure, Options, at_most, run, say
from bench.load import Client, Outcome, drive, request
from bench.p01_create_case import CLIENTS
from bench.p02_cpu_per_create import drained
from bench.p03_read_case import readers
from bench.p04_work_list import PATH, deep_cursor
from bench.town import Town, bill, running_stack, seconds, settle
from deploy.stack import Stack

Measured = dict[str, tuple[dict[str, float], float]]
"""Act → CPU milliseconds per request by part, requests a second."""


async def _cost(
    town: Town, act: Callable[[float], Awaitable[Outcome]], length: float
) -> tuple[dict[str, float], float]:
    _ = await act(length / 3)
    before = bill(town.stack)
    outcome = await act(length)
    return bill(town.stack).since(before).each(outcome.count), outcome.rate


async def _all(town: Town, options: Options, cases: int) -> Measured:
    """Every act at the present size."""
    url, clerk, length = town.stack.place.url, town.officer("window_clerk"), seconds(options, 6.0)
    reading = await readers(town)
    pages = {
        "work list, page 1": "",
        "work list, page 400": await deep_cursor(town, clerk, min(40_000, cases // 4)),
    }
    found: Measured = {}

    async def create(length: float) -> Outcome:
        return await drive(url, town.application, clients=CLIENTS, seconds=length)

    async def read(length: float) -> Outcome:
        return await drive(url, reading, clients=CLIENTS, seconds=length)

    found["create"] = await _cost(town, create, length)
    await drained(town.stack, 1)
    found["read"] = await _cost(town, read, length)
    for name, cursor in pages.items():
        wanted = request("GET", f"{PATH}?limit=100{cursor}", **clerk)

        async def listing(length: float, wanted: bytes = wanted) -> Outcome:
            return await drive(url, lambda _: wanted, clients=CLIENTS, seconds=length)

        found[name] = await _cost(town, listing, length)
    return found


async def _measured(stack: Stack, options: Options) -> list[Measured]:
    town, client, have, found = await settle(stack, CLIENTS), Client(stack.place.url), 0, list[Measured]()
    _ = await town.apply(client)
    client.close()
    for number in options.pick((100_000, 1_000_000), (500, 5_000)):
        say(f"adding {number - have:,} cases")
        await clone_cases(stack.postgres.dsn("tongban_cases"), have + 1, number)
        have = number
        found.append(await _all(town, options, number))
    return found


def measure(options: Options) -> Sequence[Figure]:
    with running_stack() as stack:
        small, large = uvloop.run(_measured(stack, options))
    total = {name: (sum(small[name][0].values()), sum(large[name][0].values())) for name in small}
    return [
        *(
            at_most(f"CPU at 10 × the data: {name}", after / before, "×", 1.3, 1.1)
            for name, (before, after) in total.items()
        ),
        *(Figure(f"rate at 100,000: {name}", rate, "/s") for name, (_, rate) in small.items()),
        *(Figure(f"rate at 1,000,000: {name}", rate, "/s") for name, (_, rate) in large.items()),
        *(Figure(f"CPU at 1,000,000: {name}", after, "ms") for name, (_, after) in total.items()),
        *(
            Figure(f"CPU added from 100,000 to 1,000,000: {name}, {part}", large[name][0][part] - cost, "ms")
            for name in small
            for part, cost in small[name][0].items()
        ),
    ]


if __name__ == "__main__":
    run("P18", "cost growth of P1, P3 and P4 from 100,000 to 1,000,000 cases", measure)
