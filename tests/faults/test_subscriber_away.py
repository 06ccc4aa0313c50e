"""F6: the subscriber is away while work goes on and its sender dies.

When it is back it catches up in order, without work by hand.
"""

import pytest

from tests.faults.invariant import Invariant
from tests.faults.load import Load
from tests.faults.platform import Platform, until

pytestmark = [pytest.mark.xdist_group("stack"), pytest.mark.timeout(600)]


def test_subscriber_that_was_away_is_caught_up_in_order(
    platform: Platform, invariant: Invariant
) -> None:
    subscriber = platform.partner.subscriber

    with Load(platform, seed=6) as load:
        _ = until("events arrive", lambda: load.check() or len(subscriber.effects) > 20)
        platform.hang_up()
        # Not longer than 35 s: the third attempt would follow after five minutes. A day is
        # tests/exchange/test_redelivery.py.
        had, reached = len(subscriber.effects), len(platform.acknowledged) + 25
        _ = until(
            "work goes on without it", lambda: load.check() or len(platform.acknowledged) >= reached
        )
        _ = platform.relaunch("exchange-worker")
        reached = len(platform.acknowledged) + 15
        _ = until("work goes on", lambda: load.check() or len(platform.acknowledged) >= reached)
        load.rest()
        missed = len(subscriber.effects)
        platform.listen()

        # Bytes, order per key and one effect per event are the invariant's own question.
        invariant.holds(400)
    assert missed == had
    assert len(subscriber.effects) > missed
