"""Every event delivered twice, in pieces and shuffled across keys, gives every consumer the state of one delivery."""

import random
from collections import deque
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import pytest

from deploy.processes import SERVICES
from shared.bus import Record
from shared.db import Database
from shared.events import Event
from shared.events.cases import CaseImported, ImportFinished
from shared.events.matters import MatterCancelled, MatterSuspended
from shared.ground import Ground
from shared.ids import new_id
from shared.inbox import Consumer, Inbox
from tests.assessment.test_daily_report import CITY, DAY, NOON, a_finished_case, a_matter, case_facts
from tests.builders.events import a_record
from tests.cases.test_licenses import a_license, history
from tests.conftest import DatabaseFactory

CONSUMERS: dict[str, Consumer] = {
    service: consumer
    for service in SERVICES
    if (consumer := import_module(f"services.{service}.consumer").consumer).topics
}
OF_THE_GROUND = {*Ground.metadata.tables, "alembic_version"}


def stories() -> list[list[Event]]:
    """The facts of each key in order: cases, imports, and matters in every order of publishing and closing."""
    found: list[list[Event]] = [a_finished_case(new_id(), f"D{n % 3}", overdue=n % 4 == 0) for n in range(12)]
    for number in range(6):
        facts = case_facts(new_id(), "D1", channel="import")
        days = {"received_on": DAY, "accepted_on": DAY, "closed_on": DAY}
        source = {"source_system": "s", "source_number": str(number), "state": "closed", "result": "0", **days}
        versions = [{**facts, "revision": n} for n in (1, 2, 3)]
        found.append([CaseImported(**f, **source, source_version=n, overdue=n == 2) for n, f in enumerate(versions, 1)])
    for number in range(6):
        place = {"area_code": CITY, "department_code": "D1"}
        counts = {"accepted": number, "unchanged": 0, "rejected": 1, **place, "revision": 1, "occurred_at": NOON}
        found.append([ImportFinished(import_id=new_id(), source_system="s", **counts)])
    for number in range(8):
        matter = new_id()
        names = {"matter_id": matter, "code": None, "local_code": "L1", "area_code": CITY, "department_code": "D1"}
        closing = {**names, "version": 1, "reason": "changed", "occurred_at": NOON}
        events: list[Event] = [a_matter(matter, 1 + (number + n) % 4, revision=n, version=n) for n in (1, 2, 3)]
        if number % 2:
            events.append(MatterSuspended(**closing, revision=4))
        if number % 3 == 0:
            events.append(a_matter(matter, 4, revision=5, version=4))
        if number == 5:
            events.append(MatterCancelled(**closing, revision=6))
        found.append(events)
    for number in range(6):
        first = a_license()
        found.append([first, *history(first, ends_revoked=number % 2 == 0)])
    return found


def twice(records: Sequence[Record], chance: random.Random) -> list[Record]:
    """One key's records with every one of them again: what a member that died hands over begins anew at some earlier place."""
    sent: list[Record] = []
    start = 0
    while start < len(records):
        end = chance.randint(start + 1, len(records))
        sent += [*records[start:end], *records[start:end]]
        start = end
    return sent


def shuffled(sequences: Sequence[Sequence[Record]], chance: random.Random) -> list[Record]:
    """All of them in one row, each in its own order."""
    waiting = [deque(sequence) for sequence in sequences]
    places = [place for place, sequence in enumerate(waiting) for _ in sequence]
    chance.shuffle(places)
    return [waiting[place].popleft() for place in places]


async def deliver(database: Database, consumer: Consumer, records: Sequence[Record], sizes: random.Random) -> None:
    inbox = Inbox(database, None, consumer)  # pyright: ignore[reportArgumentType]
    rest = deque(record for record in records if record.topic in consumer.topics)
    while rest:
        await inbox.take([rest.popleft() for _ in range(min(len(rest), sizes.randint(1, 40)))])


async def state(database: Database) -> dict[str, list[Any]]:
    """Every row of the service's own tables, and the dead letters, of which there are none."""
    connection = await database.connect()
    try:
        found = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        tables = {row["tablename"] for row in found} - OF_THE_GROUND | {"dead_letter"}
        return {
            table: await connection.fetchval(
                f"SELECT coalesce(array_agg(r ORDER BY r), '{{}}') FROM (SELECT to_jsonb(t)::text AS r FROM {table} t) x"
            )
            for table in sorted(tables)
        }
    finally:
        await connection.close()


def test_consumers_are_those_that_listen() -> None:
    assert set(CONSUMERS) == {"cases", "assessment"}


@pytest.mark.parametrize("service", CONSUMERS)
@pytest.mark.parametrize("seed", range(4))
async def test_twice_and_shuffled_is_as_once(database_of: DatabaseFactory, service: str, seed: int) -> None:
    chance, consumer = random.Random(seed), CONSUMERS[service]
    told = [[a_record(event) for event in story] for story in stories()]
    once, again = await database_of(service), await database_of(service)

    await deliver(once, consumer, [record for story in told for record in story], chance)
    await deliver(again, consumer, shuffled([twice(story, chance) for story in told], chance), chance)

    expected = await state(once)
    assert expected["dead_letter"] == []
    assert sum(map(len, expected.values())) > 0
    assert await state(again) == expected
