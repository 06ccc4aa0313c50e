"""Partitions that are assigned while the database is slow."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from shared.messaging.bus import Place
from shared.messaging.positions import KnownPositions
from tests.shared.test_positions import Pair, pair

__all__ = ["pair"]


async def test_slow_answer_of_the_database_is_waited_for(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pair.publish(2)
    await pair.relay()
    know = KnownPositions.know

    async def slowly(positions: KnownPositions, left: Mapping[Place, int]) -> None:
        # Longer than a poll: the consumer polls while its partitions are being assigned.
        await asyncio.sleep(2.5)
        await know(positions, left)

    monkeypatch.setattr(KnownPositions, "know", slowly)
    with capture_logs() as told:
        async with pair.consuming():
            await pair.assert_each_once()

    assert [line for line in told if line["event"] == "inbox.other_database"] == []


async def test_assignment_that_failed_is_asked_for_again(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pair.publish(2)
    await pair.relay()
    know, failures = KnownPositions.know, [RuntimeError("once"), RuntimeError("twice")]

    async def late(positions: KnownPositions, left: Mapping[Place, int]) -> Any:
        if failures:
            raise failures.pop()
        await know(positions, left)

    monkeypatch.setattr(KnownPositions, "know", late)
    async with pair.consuming():
        await pair.assert_each_once()

    assert failures == []
