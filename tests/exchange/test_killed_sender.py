"""The real worker process, killed (SIGKILL) in the middle of delivering.

Everything arrives, in order, under the same ids.
"""

import asyncio
import os
import signal
import sys
from datetime import timedelta

import pytest

from deploy.postgres import free_port
from shared.events.cases import CaseAccepted, CaseClosed, CaseReceived
from shared.ids import new_id
from tests.builders.subscriber import Subscriber
from tests.conftest import DATA_KEY, PLATFORM_KEY
from tests.exchange.conftest import Bureau, a_case

POINTS = (
    ("services.exchange.events.timers:claim", "after", 2),
    ("services.exchange.events.timers:send_event", "after", 25),
    ("services.exchange.events.timers:record_outcomes", "before", 2),
    ("services.exchange.events.timers:record_outcomes", "after", 2),
)
"""Claimed and not sent; sent and not recorded; recorded and not committed."""


@pytest.mark.parametrize(
    "point", POINTS, ids=lambda point: f"{point[0].rpartition(':')[2]}-{point[1]}"
)
async def test_nothing_is_lost_and_nothing_overtakes(
    bureau: Bureau, subscriber: Subscriber, empty_database: str, point: tuple[str, str, int]
) -> None:
    _ = await bureau.hooked(subscriber)
    cases = [new_id() for _ in range(40)]
    kinds = (CaseReceived, CaseAccepted, CaseClosed)
    ids = await bureau.happen(
        *(a_case(kind, case, n) for n, kind in enumerate(kinds, 1) for case in cases)
    )
    values = {
        "DATABASE_URL": bureau.client.database.dsn,
        "DATA_KEY": DATA_KEY,
        "PLATFORM_KEY": PLATFORM_KEY,
        "JWKS_URL": "http://127.0.0.1:1/unused",
        "BUS": "local",
        "BUS_DATABASE_URL": empty_database,
        "DEVELOPMENT": "true",
        "WORKER_PORT": str(free_port()),
    }
    environment = {**os.environ, **{f"EXCHANGE_{name}": value for name, value in values.items()}}

    process = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-m",
            "tests.faults.crash",
            point[0],
            point[1],
            str(point[2]),
            "services.exchange.worker",
        ),
        env=environment,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    async with asyncio.timeout(60):
        killed = await process.wait()
    before = len(subscriber.ids())
    bureau.now += timedelta(seconds=120)
    _ = await bureau.send()

    assert killed == -signal.SIGKILL
    assert before < len(ids)
    assert set(subscriber.ids()) == set(ids)
    first = {key: list(dict.fromkeys(versions)) for key, versions in subscriber.by_key().items()}
    assert first == {str(case): [1, 2, 3] for case in cases}
