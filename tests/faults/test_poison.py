"""A poison message on a real broker.

It is set aside with its key's later events, the other keys go on, and a redrive keeps the order.
"""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from deploy.broker import KafkaBroker
from services.assessment.consumer import consumer
from shared.database.session import Database
from shared.events.base import Event, seal, topic_of
from shared.ids import new_id
from shared.messaging.bus import Message
from shared.messaging.dead_letters import Redrive, redrive
from shared.messaging.inbox import Inbox
from shared.messaging.kafka import KafkaBus
from tests.assessment.test_daily_report import DAY, a_finished_case
from tests.conftest import DatabaseFactory

pytestmark = pytest.mark.xdist_group("kafka")


async def decided(database: Database, cases: list[UUID]) -> list[UUID]:
    async with database.reading() as session:
        found = text(
            "SELECT case_id FROM case_record WHERE delivered_on IS NOT NULL AND case_id = ANY(:ids)"
        )
        return list(await session.scalars(found, {"ids": cases}))


async def letters(database: Database) -> list[Any]:
    async with database.reading() as session:
        return list(
            await session.execute(
                text("SELECT key, type, gave_up FROM dead_letter ORDER BY position")
            )
        )


async def until_there(database: Database, cases: list[UUID]) -> None:
    async with asyncio.timeout(60):
        while len(await decided(database, cases)) < len(cases):
            await asyncio.sleep(0.1)


def a_message(event: Event, **damage: Any) -> Message:
    return Message(topic_of("cases"), event.key, seal(event.model_copy(update=damage))[1])


async def test_poison_waits_with_its_key_and_is_driven_again_in_order(
    database_of: DatabaseFactory, kafka: KafkaBroker
) -> None:
    database, bus = await database_of("assessment"), KafkaBus(kafka.bootstrap)
    await bus.ensure_topics(consumer.topics)
    good, bad = [new_id() for _ in range(20)], new_id()
    stories = [a_finished_case(case, "D1") for case in [*good[:10], bad, *good[10:]]]
    # Step by step through all cases, so that the poison stands amid a batch. No column takes its
    # department.
    messages = [
        a_message(
            story[step],
            **({"department_code": "\0"} if story[step].key == str(bad) and step == 0 else {}),
        )
        for step in range(len(stories[0]))
        for story in stories
    ]
    inbox = Inbox(database, bus, consumer=consumer, pauses=())
    async with bus.publisher() as publisher:
        await publisher.publish(messages)

    working = [asyncio.create_task(work()) for work in (inbox.run, inbox.run_retries)]
    try:
        await until_there(database, good)
        async with asyncio.timeout(30):
            while (
                not (waiting := await letters(database))[:1]
                or not waiting[0].gave_up
                or len(waiting) < 6
            ):
                await asyncio.sleep(0.1)
        async with database.transaction() as session:
            mend = (
                "UPDATE dead_letter SET payload ="
                " decode(replace(encode(payload, 'escape'), :poison, 'D1'), 'escape')"
            )
            _ = await session.execute(text(mend), {"poison": "\\\\u0000"})
            _ = await redrive(session, Redrive(key=str(bad)))
        await until_there(database, [bad])
    finally:
        for task in working:
            _ = task.cancel()
        _ = await asyncio.gather(*working, return_exceptions=True)

    assert {letter.key for letter in waiting} == {str(bad)}
    assert [letter.type for letter in waiting] == [type(event).wire_type for event in stories[10]]
    assert await letters(database) == []
    async with database.reading() as session:
        # The broker keeps what other tests told: all that is recorded must be counted, and ours be
        # among it.
        mine = text(
            "SELECT count(*) FROM case_record WHERE decided_on = :day AND case_id = ANY(:ids)"
        )
        recorded = text("SELECT count(*) FROM case_record WHERE decided_on = :day")
        counted = text(
            "SELECT sum(value) FROM day_count WHERE measure = 'cases_decided' AND day = :day"
        )
        assert await session.scalar(mine, {"day": DAY, "ids": [*good, bad]}) == 21
        assert await session.scalar(counted, {"day": DAY}) == await session.scalar(
            recorded, {"day": DAY}
        )
