"""What was told: the topics as anybody can read them."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.messaging.kafka import PARTITIONS

Fact = tuple[str, int]


class Topics:
    """Everything on the topics, read on from where the last reading ended.

    Only the first occurrence of each event counts.
    """

    def __init__(self) -> None:
        self.facts: dict[str, dict[str, list[Fact]]] = defaultdict(lambda: defaultdict(list))
        self.types: dict[str, dict[str, str]] = defaultdict(dict)
        self.order: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        self.redelivered = 0
        self.broken: list[str] = []
        self._offsets: dict[TopicPartition, int] = {}
        self._digests: dict[str, bytes] = {}

    async def read(self, bootstrap: str, topics: Iterable[str]) -> None:
        consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
        await consumer.start()
        try:
            places = [TopicPartition(topic, n) for topic in topics for n in range(PARTITIONS)]
            consumer.assign(places)
            ends = await consumer.end_offsets(places)
            for place in places:
                consumer.seek(place, self._offsets.get(place, 0))
            while any(self._offsets.get(place, 0) < end for place, end in ends.items()):
                for records in (await consumer.getmany(timeout_ms=1000)).values():
                    for record in records:
                        self._take(record)
        finally:
            await consumer.stop()

    def _take(self, record: Any) -> None:
        self._offsets[TopicPartition(record.topic, record.partition)] = record.offset + 1
        event, key = orjson.loads(record.value), record.key.decode()
        digest = hashlib.sha256(record.key + record.value).digest()
        if event["id"] in self._digests:
            self.redelivered += 1
            if self._digests[event["id"]] != digest:
                self.broken.append(f"event {event['id']} came again with another content")
            return
        self._digests[event["id"]] = digest
        self.types[record.topic][event["id"]] = event["type"]
        self.order[record.topic][key].append(event["id"])
        self.facts[record.topic][key].append(
            (event["type"].split(".")[2], int(event["entityversion"]))
        )
