"""The Kafka broker: serves, comes back after a kill with its messages."""

import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.broker import BrokerError, KafkaBroker, cli
from shared.messaging.bus import Message
from shared.messaging.kafka import KafkaBus


@pytest.mark.xdist_group("kafka")
async def test_messages_outlive_a_kill(tmp_path: Path) -> None:
    broker = KafkaBroker(tmp_path)
    broker.start()
    try:
        bus = KafkaBus(broker.bootstrap)
        await bus.ensure_topics(["t"])
        async with bus.publisher() as publisher:
            await publisher.publish([Message("t", "k", b"kept")])

        broker.kill()
        down = await bus.ready()
        broker.start()
        deadline, records = time.monotonic() + 30, []
        async with bus.subscription("g", ["t"]) as subscription:
            while not records and time.monotonic() < deadline:
                records = list(await subscription.poll(10, timeout=1.0))
    finally:
        broker.stop()

    assert not down
    assert [record.value for record in records] == [b"kept"]


def test_missing_jars_are_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.broker.LIBS", tmp_path)

    with pytest.raises(BrokerError, match=r"install\.sh"):
        KafkaBroker(tmp_path / "data").start()
    assert CliRunner().invoke(cli, ["nonsense"]).exit_code == 2
