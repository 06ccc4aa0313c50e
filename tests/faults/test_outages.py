"""The broker or the database is away under load.

Nobody is refused for good, nothing is half done, and everything recovers by itself.
"""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.errands import Errands
from tests.faults.invariant import Invariant
from tests.faults.load import Load, run
from tests.faults.platform import Platform, until

pytestmark = [pytest.mark.xdist_group("stack"), pytest.mark.timeout(600)]


def pids(platform: Platform) -> dict[str, int]:
    return {
        name: process.pid for name, process in platform.running.items() if process.poll() is None
    }


async def in_parallel(errands: Errands, number: int) -> None:
    """`number` applications, ten at a time."""
    waiting = list(range(number))

    async def one() -> None:
        while waiting:
            _ = waiting.pop()
            _ = await errands.apply()

    async with asyncio.TaskGroup() as group:
        for _ in range(10):
            _ = group.create_task(one())


def test_cases_are_taken_in_while_the_broker_is_down(
    platform: Platform, invariant: Invariant, outage: float, cases: int
) -> None:
    before, known = pids(platform), len(platform.acknowledged)

    async def work(errands: Errands) -> None:
        await in_parallel(errands, cases)
        assert errands.client.refused == []

    run(platform, lambda _: asyncio.sleep(0))
    platform.kafka.kill()
    back_at = time.monotonic() + outage
    run(platform, work)
    time.sleep(max(0.0, back_at - time.monotonic()))
    platform.kafka.start()

    invariant.holds()
    assert len(platform.acknowledged) - known == cases
    assert pids(platform) == before


def test_worker_asked_to_end_while_the_broker_is_away_ends(
    platform: Platform, invariant: Invariant
) -> None:
    run(platform, Errands.apply)
    platform.kafka.kill()
    run(platform, Errands.apply)
    worker = platform.running["cases-worker"]
    _ = until("the worker notices", lambda: not platform.is_ready("cases-worker"))

    began = time.monotonic()
    platform.end("cases-worker")
    took = time.monotonic() - began

    platform.kafka.start()
    platform.launch("cases-worker")
    invariant.holds()
    assert worker.returncode == 0, f"after {took:.1f} s"


def test_database_restarted_under_load_answers_503_and_heals_alone(
    platform: Platform, invariant: Invariant
) -> None:
    before = pids(platform)

    with Load(platform, seed=1) as load:
        _ = until("work has begun", lambda: load.check() or len(platform.acknowledged) > 10)
        platform.postgres.stop()
        # Each 503 must carry Retry-After: the load looks at every one.
        _ = until("requests are put off", lambda: load.check() or load.refused)
        platform.postgres.start()
        reached = len(platform.acknowledged) + 20
        _ = until("work goes on", lambda: load.check() or len(platform.acknowledged) >= reached)
        load.rest()

        invariant.holds()
    assert set(load.refused) == {503}
    assert pids(platform) == before


def test_replicas_killed_and_added_under_load_give_the_same_result_as_one(
    platform: Platform, invariant: Invariant
) -> None:
    with (
        platform.replicas("cases-api", "cases-worker"),
        platform.replicas("cases-worker"),
        Load(platform, 2) as load,
    ):
        workers = platform.named("cases-worker")
        _ = until("work has begun", lambda: load.check() or len(platform.acknowledged) > 10)
        leader = until(
            "one leads", lambda: next((name for name in workers if platform.leads(name)), None)
        )

        platform.kill(leader)
        with ThreadPoolExecutor(1) as pool:
            led = pool.submit(
                until,
                "another leads",
                lambda: [n for n in platform.named("cases-worker") if platform.leads(n)],
            )
            platform.launch(leader)
            platform.wait_ready(leader)
            successors = led.result()
        reached = len(platform.acknowledged) + 60
        _ = until("work goes on", lambda: load.check() or len(platform.acknowledged) >= reached)
        load.rest()

        invariant.holds()
    assert len(workers) == 3
    assert len(successors) == 1
