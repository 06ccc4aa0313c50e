"""Every process is restarted in turn, under load through two gateways: no request fails."""

import asyncio
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Self

import aiohttp
import pytest

from shared.ids import new_id
from tests.faults.conftest import LONG
from tests.faults.errands import Client
from tests.faults.invariant import Invariant
from tests.faults.load import Load
from tests.faults.platform import Platform, until

pytestmark = [pytest.mark.xdist_group("stack"), pytest.mark.timeout(900)]

SHORT_FORM = ("cases-api",)
LONG_FORM = ("cases-api", "matters-api", "licenses-api", "ratings-api", "exchange-api")
WORKERS = ("cases-worker",)
ALL_WORKERS = ("cases-worker", "licenses-worker", "ratings-worker", "exchange-worker")
DEVELOPMENT = "/development/"
"""What the gateway does not forward in production; tests ask the service itself."""
BROKEN = 0
"""In place of the status of an answer that never came."""


class GatewayClient(Client):
    """Sends everything through the gateways, and counts also what broke off."""

    def address(self, kind: str, path: str, tries: int) -> str:
        if DEVELOPMENT in path:
            return super().address(kind, path, tries)
        return self.platform.folder.url

    def broke_off(self) -> None:
        self.refused.append(BROKEN)


class Impatient:
    """Callers who send one request after the other, none of which may be repeated.

    Each is a POST that is refused for its form, so that it costs little; they come so often that
    some meet the very moment at which a connection or a port is closed.
    """

    CALLERS = 8
    PAUSE = 0.01

    def __init__(self, platform: Platform) -> None:
        self.answered = 0
        self.failed: list[str] = []
        self._url = f"{platform.folder.url}/api/v1/cases/applications"
        self._headers = platform.caller()
        self._end = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._all()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(30)

    async def _all(self) -> None:
        timeout = aiohttp.ClientTimeout(total=30)
        async with aiohttp.ClientSession(timeout=timeout) as session, asyncio.TaskGroup() as group:
            for _ in range(self.CALLERS):
                _ = group.create_task(self._one(session))

    async def _one(self, session: aiohttp.ClientSession) -> None:
        while not self._end.is_set():
            headers = {**self._headers, "Idempotency-Key": str(new_id())}
            try:
                async with session.post(self._url, json={}, headers=headers) as answer:
                    told = await answer.text()
                    self.answered += 1
                    if answer.status != 400:
                        self.failed.append(f"{answer.status} {told}")
            except (aiohttp.ClientError, TimeoutError) as error:
                self.failed.append(repr(error))
            await asyncio.sleep(self.PAUSE)


def restart(platform: Platform, load: Load, impatient: Impatient, names: Sequence[str]) -> None:
    """SIGTERM to one process after the other, each replaced before the next."""
    for name in names:
        platform.end(name)
        platform.launch(name)
        platform.wait_ready(name)
        # Work goes on with the new one before the next is taken away.
        reached = len(platform.acknowledged) + 5
        _ = until("work goes on", lambda: load.check() or len(platform.acknowledged) >= reached)  # noqa: B023 - called in this turn
        time.sleep(0.3)
        assert (load.refused, impatient.failed[:3]) == ([], []), f"restart of {name}"


def test_no_request_fails_while_every_process_is_restarted(
    platform: Platform, invariant: Invariant, rounds: int
) -> None:
    apis, workers = SHORT_FORM, WORKERS
    if rounds >= LONG:
        apis, workers = LONG_FORM, ALL_WORKERS
    with ExitStack() as beside:
        copies = beside.enter_context(platform.replicas(*apis))
        gateways = beside.enter_context(platform.gateways(2))
        load = beside.enter_context(Load(platform, 3, client=GatewayClient))
        _ = until("work has begun", lambda: load.check() or len(platform.acknowledged) > 10)

        with Impatient(platform) as impatient:
            restart(platform, load, impatient, [*apis, *copies, *gateways, *workers])
        load.rest()

        invariant.holds()
    assert (load.refused, impatient.failed) == ([], [])
    assert impatient.answered > 100
