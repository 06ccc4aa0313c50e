"""Every event twice gives every consumer the state of one delivery.

The deliveries come in pieces and shuffled across keys.
"""

import random
from collections import deque
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import pytest

from deploy.processes import SERVICES
from services.licenses.model.types import TypeDocument
from services.licenses.use_cases.types import publish_version
from shared.database.session import Database
from shared.database.tables import PlatformBase
from shared.events.base import Event
from shared.events.cases import CaseEvent, CaseImported, ImportFinished
from shared.events.matters import MatterCancelled, MatterSuspended
from shared.ids import new_id
from shared.messaging.bus import Record
from shared.messaging.consumer import Consumer
from shared.messaging.inbox import Inbox
from tests.assessment.test_daily_report import (
    CITY,
    DAY,
    NOON,
    a_finished_case,
    a_matter,
    case_facts,
)
from tests.builders.events import a_record
from tests.builders.matters import DEPARTMENT
from tests.cases.test_licenses import a_license, history
from tests.conftest import DatabaseFactory
from tests.exchange.region import a_rating
from tests.faults.errands import a_pushed_case
from tests.licenses.conftest import TYPE, a_chunk, a_decision, a_type, collected

CONSUMERS: dict[str, Consumer] = {
    service: consumer
    for service in SERVICES
    if (consumer := import_module(f"services.{service}.consumer").consumer).topics
}
PLATFORM_TABLES = {*PlatformBase.metadata.tables, "alembic_version"}
MADE_ANEW: dict[str, dict[str, str]] = {
    "cases": {"imported_case": "case_id imported_at"},
    "matters": {"supervision_record": "id recorded_at"},
    "licenses": {
        "license": "id identifier number digest created_at changed_at",
        "license_version": "license_id identifier previous record digest kid signature made_at",
        "license_step": "id license_id at",
        "license_counting": "position",
        "license_type": "published_at",
        "license_type_version": "published_at",
        "signing_key": "kid private_key public_key created_at",
    },
    "ratings": {
        "invitation": "kid token_hash contact_name phone",
        "signing_key": "kid private_key public_key created_at",
    },
    # Whether a row was new in its batch (`op`, and with it its weight) follows from how the batches
    # were cut.
    "exchange": {
        "logged_event": "sequence logged_at payload",
        "ledger": "last_seq changed_at op d1 d2",
    },
}
"""Columns by service and table that are drawn, signed or taken from the clock.

They differ between two runs with the same events.
"""
ORDER = "SELECT key, array_agg(event_id ORDER BY sequence) AS events FROM logged_event GROUP BY key"


def stories() -> list[list[Event]]:
    """The facts of each key in order.

    Cases, imports, and matters in every order of publishing and closing.
    """
    found: list[list[Event]] = [
        a_finished_case(new_id(), f"D{n % 3}", overdue=n % 4 == 0) for n in range(12)
    ]
    for number in range(6):
        facts = case_facts(new_id(), "D1", channel="import")
        days = {"received_on": DAY, "accepted_on": DAY, "closed_on": DAY}
        source = {
            "source_system": "s",
            "source_number": str(number),
            "state": "closed",
            "result": "0",
            **days,
        }
        versions = [{**facts, "revision": n} for n in (1, 2, 3)]
        found.append(
            [
                CaseImported(**f, **source, source_version=n, overdue=n == 2)
                for n, f in enumerate(versions, 1)
            ]
        )
    for number in range(6):
        place = {"area_code": CITY, "department_code": "D1"}
        counts = {
            "accepted": number,
            "unchanged": 0,
            "rejected": 1,
            **place,
            "revision": 1,
            "occurred_at": NOON,
        }
        found.append([ImportFinished(import_id=new_id(), source_system="s", **counts)])
    for number in range(8):
        matter = new_id()
        names = {
            "matter_id": matter,
            "code": None,
            "local_code": "L1",
            "area_code": CITY,
            "department_code": "D1",
        }
        closing = {**names, "version": 1, "reason": "changed", "occurred_at": NOON}
        events: list[Event] = [
            a_matter(matter, 1 + (number + n) % 4, revision=n, version=n) for n in (1, 2, 3)
        ]
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
    found += [
        [a_decision(case_id=(case := new_id()), number=str(case), decided_on=DAY)] for _ in range(6)
    ]
    found += [[a_rating(grade=1 + number % 5)] for number in range(5)]
    return [[with_number(event) for event in story] for story in [*found, *chunks()]]


def with_number(event: Event) -> Event:
    """Every case of these stories has a number of its own."""
    case: Any = getattr(event, "case_id", None)
    return (
        event.model_copy(update={"number": str(case)})
        if isinstance(event, CaseEvent) and case
        else event
    )


def chunks() -> list[list[Event]]:
    """Chunks of signed batches, which keep their order.

    They hold new records, further versions, and records that nobody takes.
    """
    supervised = {
        "regulatory_code": "54011200010001",
        "behaviour": "06",
        "done_on": "2026-03-10",
        "officers": 2,
    }
    supervised |= {"result": "合格", "object": {"kind": "organisation", "number": DEPARTMENT}}
    makers: dict[str, Any] = {
        "licenses": lambda n, version: collected(n, version=version),
        "cases": lambda n, version: a_pushed_case(f"P{n}", version),
        "supervision": lambda n, version: {
            **supervised,
            "source_number": f"S{n}",
            "version": version,
        },
    }
    return [
        [
            a_chunk(
                [*(make(n, version) for n in range(3 + version)), {"source_number": "faulty"}],
                resource=resource,
                chunk=version,
                revision=version,
            )
            for version in (1, 2, 3)
        ]
        for resource, make in makers.items()
    ]


def twice(records: Sequence[Record], chance: random.Random) -> list[Record]:
    """One key's records with every one of them again.

    What a consumer that died hands over begins anew at some earlier place.
    """
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


async def deliver(
    database: Database, consumer: Consumer, records: Sequence[Record], sizes: random.Random
) -> None:
    inbox = Inbox(database, None, consumer=consumer)  # pyright: ignore[reportArgumentType]
    rest = deque(record for record in records if record.topic in consumer.topics)
    while rest:
        await inbox.take([rest.popleft() for _ in range(min(len(rest), sizes.randint(1, 40)))])


async def prepared(database: Database, service: str) -> Database:
    """With the licence type that the stories are about."""
    if service == "licenses":
        async with database.transaction() as session:
            _ = await publish_version(
                session,
                TYPE,
                document=TypeDocument.model_validate(a_type()),
                expected=None,
                publisher="tests",
                now=NOON,
            )
    return database


async def state(database: Database, service: str) -> dict[str, list[Any]]:
    """Every row of the service's own tables without what is made anew.

    Also the dead letters, of which there are none.
    """
    connection = await database.connect()
    try:
        found = await connection.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        )
        tables = {row["tablename"] for row in found} - PLATFORM_TABLES | {"dead_letter"}
        anew = MADE_ANEW.get(service, {})
        rows: dict[str, list[Any]] = {
            table: await connection.fetchval(
                "SELECT coalesce(array_agg(r ORDER BY r), '{}') FROM"
                f" (SELECT (to_jsonb(t) - $1::text[])::text AS r FROM {table} t) x",
                anew.get(table, "").split(),
            )
            for table in sorted(tables)
        }
        if service == "exchange":
            rows["order"] = sorted(tuple(map(str, row)) for row in await connection.fetch(ORDER))
        return rows
    finally:
        await connection.close()


def test_consumers_are_those_that_listen() -> None:
    assert set(CONSUMERS) == {*SERVICES} - {"identity"}


@pytest.mark.parametrize("service", CONSUMERS)
@pytest.mark.parametrize("seed", range(4))
async def test_twice_and_shuffled_is_as_once(
    database_of: DatabaseFactory, service: str, seed: int
) -> None:
    chance, consumer = random.Random(seed), CONSUMERS[service]
    told = [[a_record(event) for event in story] for story in stories()]
    once, again = [await prepared(await database_of(service), service) for _ in range(2)]

    await deliver(once, consumer, [record for story in told for record in story], chance)
    await deliver(
        again, consumer, shuffled([twice(story, chance) for story in told], chance), chance
    )

    expected = await state(once, service)
    assert expected["dead_letter"] == []
    assert sum(map(len, expected.values())) > 0
    assert await state(again, service) == expected
