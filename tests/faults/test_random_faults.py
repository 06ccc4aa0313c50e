"""Random hard kills under load, by a seed that is printed and replays them."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest

from shared import clock
from tests.faults.errands import Errands
from tests.faults.invariant import Invariant
from tests.faults.load import Load, done, run
from tests.faults.platform import Platform, until

pytestmark = [pytest.mark.xdist_group("stack"), pytest.mark.timeout(1500)]

CHECK_EVERY = 15
SETTLED_WITHIN = 600.0
"""Seconds; a step of a reconciliation whose worker died is taken up again after five minutes."""
PROGRESS = 10
"""Changes that must be acknowledged after each fault before the next."""

REPLICATED = ("cases-api", "cases-worker", "exchange-worker")
"""Kept few, because all of them share the machine with the clients.

Two workers of one service share its relay, inbox and timers.
"""
APIS = {
    "cases-api": 2,
    "cases-api.2": 2,
    "matters-api": 1,
    "licenses-api": 1,
    "ratings-api": 2,
    "exchange-api": 2,
}
WORKERS = {
    "cases-worker": 2,
    "cases-worker.2": 2,
    "licenses-worker": 2,
    "ratings-worker": 2,
    "exchange-worker": 2,
    "exchange-worker.2": 2,
    "assessment-worker": 2,
    "matters-worker": 1,
}

Fault = Callable[[Platform, random.Random], None]


def kill_an_api(platform: Platform, chance: random.Random) -> None:
    kill(platform, [one_of(APIS, chance)], chance)


def kill_a_worker(platform: Platform, chance: random.Random) -> None:
    kill(platform, [one_of(WORKERS, chance)], chance)


def kill_two_workers(platform: Platform, chance: random.Random) -> None:
    kill(platform, chance.sample(list(WORKERS), 2), chance)


def turn_the_subscriber_away(platform: Platform, chance: random.Random) -> None:
    """Its endpoint is gone for a moment."""
    time.sleep(chance.uniform(0, 0.5))
    platform.hang_up()
    time.sleep(chance.uniform(0, 2))
    platform.listen()


def kill_the_broker(platform: Platform, chance: random.Random) -> None:
    time.sleep(chance.uniform(0, 0.5))
    platform.kafka.kill()
    time.sleep(chance.uniform(0, 0.5))
    platform.kafka.start()


def restart_the_database(platform: Platform, chance: random.Random) -> None:
    time.sleep(chance.uniform(0, 0.5))
    platform.postgres.stop()
    time.sleep(chance.uniform(0, 0.3))
    platform.postgres.start()


def kill_the_database(platform: Platform, chance: random.Random) -> None:
    time.sleep(chance.uniform(0, 0.5))
    platform.postgres.kill()
    platform.postgres.start()


def one_of(weights: dict[str, int], chance: random.Random) -> str:
    return chance.choices(list(weights), list(weights.values()))[0]


def kill(platform: Platform, names: list[str], chance: random.Random) -> None:
    """Dead at the same moment, while at work, and started again at once.

    Their replicas go on meanwhile.
    """
    for name in names:
        platform.wait_ready(name)
    time.sleep(chance.uniform(0, 0.5))
    for name in names:
        platform.running[name].kill()
    for name in names:
        platform.kill(name)
        platform.launch(name)


FAULTS: dict[Fault, int] = {
    kill_an_api: 4,
    kill_a_worker: 6,
    kill_two_workers: 2,
    turn_the_subscriber_away: 1,
    kill_the_broker: 1,
    restart_the_database: 2,
    kill_the_database: 2,
}


def reconcile(platform: Platform, resource: str, chance: random.Random) -> None:
    """对账 whose worker is killed meanwhile.

    In the end the region has what the ledger says, and both have signed it.
    """
    today = clock.local_date(clock.now())
    days = {"first_day": str(today - timedelta(days=300)), "last_day": str(today)}

    async def work(errands: Errands) -> None:
        path = "/api/v1/exchange/reconciliations"
        begun = await done(
            errands.client, path, errands.administrator, {"resource": resource, **days}
        )
        await asyncio.sleep(chance.uniform(0, 4))
        _ = await asyncio.to_thread(platform.relaunch, "exchange-worker")
        async with asyncio.timeout(SETTLED_WITHIN):
            while (found := await errands.look(f"{path}/{begun['id']}"))["state"] not in {
                "finished",
                "failed",
            }:
                await asyncio.sleep(1)
        print(f"reconciliation of {resource}: {found['progress']}")
        assert (found["state"], found["equal"]) == ("finished", True), found

    run(platform, work)


def test_nothing_is_lost_doubled_or_disordered(
    platform: Platform, invariant: Invariant, seed: int, rounds: int
) -> None:
    chance, told = random.Random(seed), Counter[str]()
    with platform.replicas(*REPLICATED), Load(platform, seed) as load:
        _ = until("work has begun", lambda: load.check() or platform.acknowledged.batches)
        for number in range(1, rounds + 1):
            fault = chance.choices(list(FAULTS), list(FAULTS.values()))[0]
            began = time.monotonic()
            fault(platform, chance)
            reached = len(platform.acknowledged) + PROGRESS
            _ = until(
                "changes go on",
                lambda reached=reached: load.check() or len(platform.acknowledged) >= reached,
            )
            told[fault.__name__] += 1
            print(f"round {number}: {fault.__name__} {time.monotonic() - began:.1f} s")
            if number % CHECK_EVERY == 0 or number == rounds:
                load.rest()
                began = time.monotonic()
                invariant.holds()
                print(
                    f"{platform.acknowledged.told()}, whole after {time.monotonic() - began:.1f} s"
                )
                load.go_on()
    load.check()
    if platform.region:
        for resource in ("cases", "ratings"):
            reconcile(platform, resource, chance)
        invariant.holds()

    assert sum(told.values()) == rounds
    subscriber = platform.partner.subscriber
    print(
        f"the subscriber: {len(subscriber.effects)} events, {subscriber.repeated} again,"
        f" {subscriber.cut_off} cut off"
    )
    print(
        dict(told),
        f"{invariant.topics.redelivered} events came twice,"
        f" {len(load.refused)} requests were put off",
    )
