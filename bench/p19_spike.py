"""P19: five times the sustained load for 30 s through the gateway.

Measured: what fails, what is shed, and when the platform is as before.

The mix is four reads of one's own case to one new application. What the machine takes is measured
first (closed loop); a third of it is the sustained load, so that the spike is well above what can
be served and must be shed. Requests come at their pace whether or not earlier ones were answered.
"""

import time
from collections.abc import Sequence

import uvloop

from bench.harness import Figure, Options, at_most, run, say
from bench.load import Outcome, Request, drive, pace
from bench.p03_read_case import readers
from bench.seed_data import SeedData, make_seed_data, running_stack
from deploy.stack import Stack

CITIZENS = 10
STEP = 2.0
"""Seconds of sustained load between two looks at the p95 after the spike."""


def mixed(seed: SeedData, read: Request) -> Request:
    """Four reads, one application."""

    def make(number: int) -> bytes:
        return seed.application(number) if number % 5 == 0 else read(number % CITIZENS)

    return make


async def _recovery(url: str, make: Request, rate: float, bound: float, limit: float) -> float:
    """Seconds of sustained load until its p95 is within `bound` again; `limit` when it is not."""
    begun = time.perf_counter()
    while (gone := time.perf_counter() - begun) < limit:
        if (await pace(url, make, rate=rate, seconds=STEP)).percentile(0.95) <= bound:
            return gone + STEP
    return limit


async def _measured(stack: Stack, options: Options) -> tuple[float, Outcome, Outcome, float]:
    seed = await make_seed_data(stack, CITIZENS)
    make, url = mixed(seed, await readers(seed)), stack.folder.url
    _ = await drive(url, make, clients=CITIZENS, seconds=options.pick(5.0, 0.5))
    taken = (await drive(url, make, clients=32, seconds=options.pick(10.0, 1.0))).rate
    rate = taken / 3
    say(f"{taken:.0f}/s are taken; sustained {rate:.0f}/s, spike {5 * rate:.0f}/s")
    calm = await pace(url, make, rate=rate, seconds=options.pick(20.0, 1.0))
    spike = await pace(url, make, rate=5 * rate, seconds=options.pick(30.0, 1.0))
    back = await _recovery(url, make, rate, 1.2 * calm.percentile(0.95), options.pick(90.0, 4.0))
    return rate, calm, spike, back


def measure(options: Options) -> Sequence[Figure]:
    with running_stack() as stack:
        rate, calm, spike, back = uvloop.run(_measured(stack, options))
    shed = spike.statuses[503]
    failed = sum(
        number
        for status, number in spike.statuses.items()
        if status == 0 or (status >= 500 and status != 503)
    )
    return [
        at_most(
            "failed of all in the spike (shed ones apart)",
            failed / spike.count * 100,
            "%",
            0.1,
            0.1,
        ),
        at_most("p95 within 20 % of before after", back, "s", 60, 10),
        Figure("sustained", rate, "/s"),
        Figure(
            "failed in the sustained load",
            float(calm.count - calm.statuses[200] - calm.statuses[201]),
            "",
        ),
        Figure("p95 before", calm.percentile(0.95) * 1000, "ms"),
        Figure("p95 in the spike", spike.percentile(0.95) * 1000, "ms"),
        Figure("served in the spike", spike.statuses[200] + spike.statuses[201], ""),
        Figure("shed with 503", shed, ""),
        Figure("told to slow down (429)", spike.statuses[429], ""),
    ]


if __name__ == "__main__":
    run("P19", "five times the sustained load for 30 s", measure)
