"""The invariant, checked from the databases and the topics against what was acknowledged.

Every acknowledged change is there and nothing else; it has exactly one event, in order per key; every consumer has its
effect exactly once; nothing waits, nothing is set aside, and the audit chain holds. An event may come twice on the wire
(the relay died between publishing and deleting), but only as the same bytes.
"""

import asyncio
import hashlib
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import date
from typing import Any

import asyncpg
import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition

from services.assessment.consumer import consumer as assessment
from services.cases.consumer import consumer as cases
from shared import audit, clock
from shared.events.base import topic_of
from shared.inbox import Consumer
from shared.kafka import PARTITIONS
from tests.builders.matters import CITY, DEPARTMENT
from tests.faults.platform import DATABASES, Acknowledged, Platform

FACTS = {
    "receive": ("case-submitted", "case-received"),
    "accept": ("case-accepted",),
    "review": (),
    "decide": ("case-decided",),
    "deliver": ("result-delivered", "case-closed"),
    "withdraw": ("case-withdrawn", "case-closed"),
}
"""The facts of each act, in order. A review changes the case and tells nobody."""
DATES = {
    "receive": ("submitted_on", "received_on"),
    "accept": ("accepted_on",),
    "decide": ("decided_on",),
    "deliver": ("delivered_on", "closed_on"),
    "withdraw": ("withdrawn_on", "closed_on"),
}
MEASURES = {
    "submitted_on": "cases_submitted",
    "received_on": "cases_received",
    "accepted_on": "cases_accepted",
    "decided_on": "cases_decided",
    "closed_on": "cases_closed",
    "withdrawn_on": "cases_withdrawn",
    "delivered_on": "results_delivered",
}
PLACE = (CITY, DEPARTMENT)

Fact = tuple[str, int]


class Topics:
    """Everything on the topics, read on from where the last look ended: the first occurrence of each event counts."""

    def __init__(self) -> None:
        self.facts: dict[str, dict[str, list[Fact]]] = defaultdict(lambda: defaultdict(list))
        self.types: dict[str, dict[str, str]] = defaultdict(dict)
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
        self.facts[record.topic][key].append((event["type"].split(".")[2], int(event["entityversion"])))


class Invariant:
    """`holds()` waits until the platform has come to rest and nothing differs; else it fails with every difference."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.topics = Topics()

    def holds(self, seconds: float = 90.0) -> None:
        """To be asked while no client is at work."""
        deadline = time.monotonic() + seconds
        while found := asyncio.run(self.differences()):
            if time.monotonic() > deadline:
                raise AssertionError(f"{len(found)} differences:\n" + "\n".join(found[:30]))
            time.sleep(0.2)

    async def differences(self) -> list[str]:
        """What is not as it must be; empty while all is well. Cheap questions first: most of the time something still waits."""
        connections = {service: await self.platform.connect(service) for service in DATABASES}
        try:
            if waiting := [line for name, one in connections.items() async for line in _waiting(name, one)]:
                return waiting
            await self.topics.read(self.platform.kafka.bootstrap, [topic_of("cases"), topic_of("matters")])
            known = self.platform.acknowledged
            return [
                *self.topics.broken,
                *await _changes(connections["cases"], known),
                *await self._facts(connections, known),
                *await self._handled("assessment", connections["assessment"], assessment),
                *await self._handled("cases", connections["cases"], cases),
                *await _records(connections),
                *await _counts(connections["assessment"], known),
                *await _matters(connections, known),
            ]
        finally:
            for connection in connections.values():
                await connection.close()

    async def _facts(self, connections: dict[str, asyncpg.Connection], known: Acknowledged) -> list[str]:
        expected: dict[str, list[Fact]] = {
            case: [(fact, place) for place, act in enumerate(of.acts, 1) for fact in FACTS[act]]
            for case, of in known.cases.items()
        }
        for row in await connections["cases"].fetch("SELECT case_id, revision FROM imported_case"):
            expected[str(row["case_id"])] = [("case-imported", n) for n in range(1, row["revision"] + 1)]
        found = dict(self.topics.facts[topic_of("cases")])
        pushes = [key for key, facts in found.items() if facts == [("import-finished", 1)]]
        matters = {
            str(row["id"]): [("matter-published", n) for n in range(1, row["revision"] + 1)]
            for row in await connections["matters"].fetch("SELECT id, revision FROM matter")
        }
        return [
            *_unequal("pushes told", len(pushes), len(known.pushes)),
            *_compare("facts of case", {key: facts for key, facts in found.items() if key not in pushes}, expected),
            *_compare("facts of matter", dict(self.topics.facts[topic_of("matters")]), matters),
        ]

    async def _handled(self, service: str, connection: asyncpg.Connection, consumer: Consumer) -> list[str]:
        """The inbox holds exactly the events that are on the topics."""
        inbox = {str(row["event_id"]) for row in await connection.fetch("SELECT event_id FROM inbox")}
        sent = {
            event
            for topic in consumer.topics
            for event, kind in self.topics.types[topic].items()
            if consumer.listens_to(kind)
        }
        return _unequal(
            f"events handled by {service} (missing, strange)", (len(sent - inbox), len(inbox - sent)), (0, 0)
        )


async def _waiting(service: str, connection: asyncpg.Connection) -> Any:
    for table in ("outbox", "dead_letter"):
        if number := await connection.fetchval(f"SELECT count(*) FROM {table}"):
            yield f"{service}: {number} rows in {table}"
    verdict = await audit.verify(connection)
    if verdict.unsealed or verdict.broken_at is not None:
        yield f"{service}: audit {verdict}"


async def _changes(connection: asyncpg.Connection, known: Acknowledged) -> list[str]:
    """Cases, their acts, revisions, audit rows and numbers are those acknowledged, without a gap and without one more."""
    acts: dict[str, list[str]] = defaultdict(list)
    for row in await connection.fetch("SELECT case_id, act FROM case_step ORDER BY case_id, at, id"):
        acts[str(row["case_id"])].append(row["act"])
    rows = await connection.fetch("SELECT id, number, revision FROM case_file")
    expected = {case: (of.number, len(of.acts)) for case, of in known.cases.items()}
    audited = await connection.fetch(
        "SELECT object_id, count(*) AS n FROM audit WHERE object_type = 'case' GROUP BY object_id"
    )
    serials = await connection.fetchval("SELECT coalesce(sum(last), 0)::int FROM case_serial")
    return [
        *_compare("acts of case", acts, {case: of.acts for case, of in known.cases.items()}),
        *_compare("number and revision of case", {str(r["id"]): (r["number"], r["revision"]) for r in rows}, expected),
        *_compare("audit of case", {r["object_id"]: r["n"] for r in audited}, {c: v[1] for c, v in expected.items()}),
        # An application that fails at its last step leaves a gap in the numbers; one number for two cases is impossible.
        *([] if serials >= len(expected) else [f"case numbers issued: {serials} for {len(expected)} cases"]),
        *_compare(
            "version of imported case",
            {r["source_number"]: r["version"] for r in await connection.fetch("SELECT * FROM imported_case")},
            known.pushed,
        ),
    ]


async def _records(connections: dict[str, asyncpg.Connection]) -> list[str]:
    """Assessment's records equal those that the tables of cases give."""
    expected = {**await _own_cases(connections["cases"]), **await _imported_cases(connections["cases"])}
    found = {
        str(row["case_id"]): {name: row[name] for name in MEASURES}
        for row in await connections["assessment"].fetch("SELECT * FROM case_record")
    }
    return _compare("record of case", found, expected)


async def _own_cases(connection: asyncpg.Connection) -> dict[str, dict[str, date | None]]:
    expected: dict[str, dict[str, date | None]] = {}
    for row in await connection.fetch("SELECT case_id, act, at FROM case_step ORDER BY at, id"):
        dates = expected.setdefault(str(row["case_id"]), dict.fromkeys(MEASURES))
        dates |= dict.fromkeys(DATES.get(row["act"], ()), clock.local_date(row["at"]))
    return expected


async def _imported_cases(connection: asyncpg.Connection) -> dict[str, dict[str, date | None]]:
    rows = await connection.fetch("SELECT case_id, record FROM imported_case")
    told = {str(row["case_id"]): orjson.loads(row["record"]) for row in rows}
    return {
        case: {name: date.fromisoformat(day) if (day := record.get(name)) else None for name in MEASURES}
        for case, record in told.items()
    }


async def _counts(connection: asyncpg.Connection, known: Acknowledged) -> list[str]:
    """Assessment's counters equal a recount of its records, and of the pushes and matters acknowledged."""
    expected = Counter[Any]()
    for row in await connection.fetch("SELECT * FROM case_record"):
        expected.update((measure, row[name]) for name, measure in MEASURES.items() if row[name] is not None)
    expected.update({("pushes_accepted", None): sum(push["accepted"] for push in known.pushes)})
    expected.update({("pushes_rejected", None): len(known.pushes), ("matters_published", None): len(known.texts)})
    found = Counter[Any]()
    for row in await connection.fetch("SELECT * FROM day_count WHERE (area_code, department_code) = ($1, $2)", *PLACE):
        day = row["day"] if row["measure"] in MEASURES.values() else None
        found[(row["measure"], day)] += row["value"]
    return _compare("count of", +found, +expected)


async def _matters(connections: dict[str, asyncpg.Connection], known: Acknowledged) -> list[str]:
    """The copies of the matters are their newest texts, which are those acknowledged."""
    rows = await connections["matters"].fetch(
        "SELECT m.id, m.revision, m.published_version, v.document FROM matter m"
        " JOIN matter_version v ON (v.matter_id, v.version) = (m.id, m.published_version)"
    )
    expected = {str(r["id"]): (r["revision"], r["published_version"], orjson.loads(r["document"])) for r in rows}
    copies = await connections["cases"].fetch("SELECT * FROM matter_copy WHERE open")
    found = {str(r["matter_id"]): (r["revision"], r["version"], orjson.loads(r["document"])) for r in copies}
    texts = {document["code"]: document["aliases"][0] for _, _, document in expected.values()}
    return [*_compare("copy of matter", found, expected), *_compare("text of matter", texts, known.texts)]


def _unequal(what: str, found: object, expected: object) -> list[str]:
    return [] if found == expected else [f"{what}: {found}, expected {expected}"]


def _compare(what: str, found: dict[Any, Any], expected: dict[Any, Any]) -> list[str]:
    """One line for each key that differs, is missing or is too many."""
    return [
        line
        for key in {**expected, **found}
        for line in _unequal(f"{what} {key}", found.get(key, "nothing"), expected.get(key, "nothing"))
    ]
