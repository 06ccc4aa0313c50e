"""Compares a service's topic with its database.

A topic that lacks facts is filled again from the fact log. A topic that holds facts which the
database does not know means that the database was restored to an earlier moment: the service must
neither publish nor accept anything, or it would give numbers out a second time (docs/adr/0019).
"""

from collections.abc import Mapping
from typing import NamedTuple

import asyncpg
import structlog

from shared.messaging.bus import (
    NO_FACT,
    Bus,
    FactNumber,
    Place,
    Reader,
    Record,
    highest_of,
    number_of,
)
from shared.messaging.fact_log import FactLog, RefusedError

TAIL = 2000
"""Records at the end of a partition that are looked at when a process starts.

The last one need not have the highest number: a process that died can leave a batch on the way.
More than a relay sends in one batch.
"""
KNOWN = "SELECT partition, epoch, number FROM relay_position WHERE topic = $1"
HAS_LOG = "SELECT to_regclass('relay_position') IS NOT NULL"

log = structlog.get_logger(__name__)


class PartitionEnd(NamedTuple):
    """The end of a partition that has records."""

    newest: Record
    highest: FactNumber
    """May be above the number of the newest, which can be a fact that was sent again."""
    is_numbered: bool
    """Whether the highest is a number given by a producer, not the count of an old record."""


async def ends_of(
    reader: Reader, topic: str, *, partitions: int, tail: int
) -> Mapping[int, PartitionEnd]:
    """The end of each partition that has one, by its newest and the `tail` records before."""
    ends: dict[int, PartitionEnd] = {}
    for partition, newest in (await reader.newest(topic, partitions)).items():
        highest, is_numbered = highest_of(newest), newest.number is not None
        offset = max(0, newest.offset + 1 - tail)
        while offset < newest.offset and (
            records := await reader.read(Place(topic, partition), offset, limit=tail)
        ):
            for record in records:
                highest = max(highest, highest_of(record))
                is_numbered = is_numbered or record.number is not None
            offset = records[-1].offset + 1
        ends[partition] = PartitionEnd(newest, highest, is_numbered)
    return ends


async def ahead_of_database(connection: asyncpg.Connection, bus: Bus, *, topic: str) -> str | None:
    """Why the topic shows that the database was restored to an earlier moment; None if it does not.

    For processes that do not publish. What the relay numbers while this runs does no harm, because
    the topic is read first.
    """
    try:
        partitions = await bus.partitions(topic)
    except LookupError:
        return None  # Nothing was published yet.
    async with bus.reader() as reader:
        ends = await ends_of(reader, topic, partitions=partitions, tail=TAIL)
    if not await connection.fetchval(HAS_LOG):
        return None  # Not migrated yet.
    known: dict[int, FactNumber] = {}
    for row in await connection.fetch(KNOWN, topic):
        known[row["partition"]] = FactNumber(row["epoch"], row["number"])
    for partition, end in sorted(ends.items()):
        place = Place(topic, partition)
        reached = known.get(partition, NO_FACT)
        if end.is_numbered and end.highest > reached:
            return restored(place, end.highest, known=reached)
    return None


def restored(place: Place, found: FactNumber, *, known: FactNumber) -> str:
    """The sentence for the operator."""
    return (
        f"topic {place.topic} holds facts up to number {found.number} of epoch {found.epoch} in"
        f" partition {place.partition}, and the database knows them only up to {known.number} of"
        f" epoch {known.epoch}: it was restored to an earlier moment. Restore it to the end of its"
        " archived log instead, or see `tongban recover`."
    )


class TopicCheck:
    """Compares a service's topic with its log, and takes or sends what one of them lacks.

    Args:
        rebuildable: the database is a read model, which may be dropped and filled again. Facts of
            its topic that the log does not know are then taken into it. Otherwise they mean that
            the database was restored to an earlier moment.
        tail: see `ends_of`.
    """

    def __init__(self, facts: FactLog, topic: str, *, rebuildable: bool, tail: int = TAIL) -> None:
        self._facts = facts
        self._topic = topic
        self._rebuildable = rebuildable
        self._tail = tail

    async def run(self, bus: Bus, *, batch: int) -> None:
        """Find what the topic lacks, which is then unsent, or has and the log does not.

        Raises:
            RefusedError: the topic holds facts that the database does not know.
        """
        await bus.ensure_topics([self._topic])
        _ = await self._facts.refill()
        await self._facts.load({self._topic})
        partitions = self._facts.partitions(self._topic)
        async with bus.reader() as reader:
            ends = await ends_of(reader, self._topic, partitions=partitions, tail=self._tail)
            for partition in range(partitions):
                place = Place(self._topic, partition)
                end = ends.get(partition)
                if end is None:
                    await self._send_after(place, NO_FACT)
                    continue
                if end.highest > self._facts.positions[place].numbered:
                    self._refuse_newer(place, end)
                    await self._facts.adopt(reader, place, batch=batch)
                await self._send_after(place, _complete_up_to(end.newest))

    def _refuse_newer(self, place: Place, end: PartitionEnd) -> None:
        # Releases before 0.2 kept no log: their facts are in the topic alone.
        if not end.is_numbered or self._rebuildable:
            return
        known = self._facts.positions[place].numbered
        raise RefusedError(restored(place, end.highest, known=known))

    async def _send_after(self, place: Place, reached: FactNumber) -> None:
        sent = self._facts.positions[place].sent
        if reached >= sent:
            return
        log.warning(
            "relay.topic_lost_facts",
            topic=place.topic,
            partition=place.partition,
            first=reached.number + 1,
            last=sent.number,
        )
        await self._facts.mark_sent(place, reached)


def _complete_up_to(newest: Record) -> FactNumber:
    """The number up to which a partition can be complete, by its newest record.

    A partition of the first epoch that has fewer records than numbers was lost and made again, and
    lacks its first facts.
    """
    number = number_of(newest)
    if number.epoch == 0 and newest.offset + 1 < number.number:
        return NO_FACT
    return number
