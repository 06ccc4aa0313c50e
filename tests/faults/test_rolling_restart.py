"""Every process is restarted in turn, under load through two gateways: no request fails."""

import time
from collections.abc import Sequence
from contextlib import ExitStack

import pytest

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


def restart(platform: Platform, load: Load, names: Sequence[str]) -> None:
    """SIGTERM to one process after the other, each replaced before the next."""
    for name in names:
        platform.end(name)
        platform.launch(name)
        platform.wait_ready(name)
        # Work goes on with the new one before the next is taken away.
        reached = len(platform.acknowledged) + 5
        _ = until("work goes on", lambda: load.check() or len(platform.acknowledged) >= reached)  # noqa: B023 - called in this turn
        time.sleep(0.3)
        assert load.refused == [], f"after the restart of {name}"


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

        restart(platform, load, [*apis, *copies, *gateways, *workers])
        load.rest()

        invariant.holds()
    assert load.refused == []
