"""The invariant, checked from the databases and the topics against what was acknowledged.

Every acknowledged change is there and nothing else; it has exactly one event, in order per key;
every consumer has its effect exactly once; nothing waits, nothing is set aside, and the audit chain
holds. An event may come twice on the wire (the relay died between publishing and deleting), but
only as the same bytes.
"""

import asyncio
import time
from collections import Counter, defaultdict
from datetime import date
from importlib import import_module
from typing import Any

import asyncpg
import orjson

from services.assessment.model.base import RATINGS_BY_CHANNEL
from shared import clock
from shared.database import audit
from shared.events.base import topic_of
from shared.messaging.consumer import Consumer
from tests.builders.matters import CITY, DEPARTMENT
from tests.faults import outcomes
from tests.faults.compare import compare, unequal
from tests.faults.platform import DATABASES, Acknowledged, Platform
from tests.faults.topics import Fact, Topics

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
TELLING = ("matters", "cases", "licenses", "ratings", "exchange")
CONSUMERS: dict[str, Consumer] = {
    name: import_module(f"services.{name}.consumer").consumer for name in DATABASES
}


class Invariant:
    """`holds()` waits until the platform has come to rest and nothing differs.

    Else it fails and lists every difference.
    """

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.topics = Topics()

    def holds(self, seconds: float = 150.0) -> None:
        """Call it while no client is at work.

        What a dead sender had claimed is sent again after a minute.
        """
        deadline = time.monotonic() + seconds
        while found := asyncio.run(self.differences()):
            if time.monotonic() > deadline:
                raise AssertionError(f"{len(found)} differences:\n" + "\n".join(found[:30]))
            time.sleep(0.2)

    async def differences(self) -> list[str]:
        """What is not as it must be; empty while all is well.

        Cheap questions come first, because most of the time something still waits.
        """
        connections = {service: await self.platform.connect(service) for service in DATABASES}
        try:
            waiting = [
                line for name, one in connections.items() for line in await _waiting(name, one)
            ]
            if waiting := [*waiting, *await outcomes.at_work(connections["exchange"])]:
                return waiting
            await self.topics.read(self.platform.kafka.bootstrap, map(topic_of, TELLING))
            known, partner = self.platform.acknowledged, self.platform.partner
            return [
                *self.topics.broken,
                *await _changes(connections["cases"], known),
                *await self._facts(connections, known),
                *await _handled(connections),
                *await _records(connections),
                *await _counts(connections, known),
                *await _matters(connections, known),
                *await outcomes.of_licenses(connections["licenses"], self.platform, self.topics),
                *await outcomes.of_ratings(connections["ratings"], self.platform, self.topics),
                *await outcomes.of_batches(connections["exchange"], known, self.topics),
                *await outcomes.of_log(connections["exchange"], partner, self.topics),
                *await outcomes.of_ledger(connections, known, self.topics),
                *[line for name, one in connections.items() for line in await _chain(name, one)],
            ]
        finally:
            for connection in connections.values():
                await connection.close()

    async def _facts(
        self, connections: dict[str, asyncpg.Connection], known: Acknowledged
    ) -> list[str]:
        expected: dict[str, list[Fact]] = {
            case: [(fact, place) for place, act in enumerate(of.acts, 1) for fact in FACTS[act]]
            for case, of in known.cases.items()
        }
        for row in await connections["cases"].fetch("SELECT case_id, revision FROM imported_case"):
            expected[str(row["case_id"])] = [
                ("case-imported", n) for n in range(1, row["revision"] + 1)
            ]
        told = self.topics.facts[topic_of("cases")]
        found = {key: facts for key, facts in told.items() if facts[0][0] != "records-judged"}
        pushes = [key for key, facts in found.items() if facts == [("import-finished", 1)]]
        matters = {
            str(row["id"]): [("matter-published", n) for n in range(1, row["revision"] + 1)]
            for row in await connections["matters"].fetch("SELECT id, revision FROM matter")
        }
        for row in await connections["matters"].fetch(
            "SELECT id, revision FROM supervision_record"
        ):
            matters[str(row["id"])] = [
                ("supervision-recorded", n) for n in range(1, row["revision"] + 1)
            ]
        told = self.topics.facts[topic_of("matters")]
        of_matters = {key: facts for key, facts in told.items() if facts[0][0] != "records-judged"}
        return [
            *unequal("pushes told", len(pushes), len(known.pushes)),
            *compare(
                "facts of case",
                {key: facts for key, facts in found.items() if key not in pushes},
                expected,
            ),
            *compare("facts of matter", of_matters, matters),
        ]


async def _handled(connections: dict[str, asyncpg.Connection]) -> list[str]:
    """Every consumer stands at the newest number of each partition that it reads."""
    numbers: dict[str, tuple[int, int]] = {}
    for service in TELLING:
        for row in await connections[service].fetch("SELECT * FROM relay_position"):
            if row["number"]:
                place = f"{row['topic']}/{row['partition']}"
                numbers[place] = (row["epoch"], row["number"])
    found: list[str] = []
    for service, connection in connections.items():
        topics = set(CONSUMERS[service].topics)
        expected = {
            place: number for place, number in numbers.items() if place.rpartition("/")[0] in topics
        }
        taken: dict[str, tuple[int, int]] = {}
        for row in await connection.fetch("SELECT * FROM inbox_position WHERE number > 0"):
            taken[f"{row['topic']}/{row['partition']}"] = (row["epoch"], row["number"])
        found += compare(f"numbers that {service} has taken of", taken, expected)
    return found


async def _waiting(service: str, connection: asyncpg.Connection) -> list[str]:
    """What is under way or set aside."""
    waiting = {
        "rows in outbox": "SELECT count(*) FROM outbox",
        "partitions not sent to their end": "SELECT count(*) FROM relay_position"
        " WHERE (sent_epoch, sent) <> (epoch, number)",
        "dead letters": "SELECT count(*) FROM dead_letter",
        "unsealed audit rows": "SELECT count(*) FROM audit WHERE sequence IS NULL",
    }
    return [
        f"{service}: {n} {what}"
        for what, query in waiting.items()
        if (n := await connection.fetchval(query))
    ]


async def _chain(service: str, connection: asyncpg.Connection) -> list[str]:
    verdict = await audit.verify(connection)
    return unequal(
        f"audit of {service} (unsealed, broken at)",
        (verdict.unsealed, verdict.broken_at),
        (0, None),
    )


async def _changes(connection: asyncpg.Connection, known: Acknowledged) -> list[str]:
    """Cases, their acts, revisions, audit rows and numbers are those acknowledged.

    None is missing, and there is none besides.
    """
    acts: dict[str, list[str]] = defaultdict(list)
    for row in await connection.fetch(
        "SELECT case_id, act FROM case_step ORDER BY case_id, at, id"
    ):
        acts[str(row["case_id"])].append(row["act"])
    rows = await connection.fetch("SELECT id, number, revision FROM case_file")
    expected = {case: (of.number, len(of.acts)) for case, of in known.cases.items()}
    audited = await connection.fetch(
        "SELECT object_id, count(*) AS n FROM audit WHERE object_type = 'case' GROUP BY object_id"
    )
    serials = await connection.fetchval("SELECT coalesce(sum(last), 0)::int FROM case_serial")
    return [
        *compare("acts of case", acts, {case: of.acts for case, of in known.cases.items()}),
        *compare(
            "number and revision of case",
            {str(r["id"]): (r["number"], r["revision"]) for r in rows},
            expected,
        ),
        *compare(
            "audit of case",
            {r["object_id"]: r["n"] for r in audited},
            {c: v[1] for c, v in expected.items()},
        ),
        # An application that fails at its last step leaves a gap in the numbers; one number for two
        # cases is impossible.
        *(
            []
            if serials >= len(expected)
            else [f"case numbers issued: {serials} for {len(expected)} cases"]
        ),
        *compare(
            "version of imported case",
            {
                r["source_number"]: r["version"]
                for r in await connection.fetch("SELECT * FROM imported_case")
            },
            known.pushed,
        ),
    ]


async def _records(connections: dict[str, asyncpg.Connection]) -> list[str]:
    """Assessment's records equal those that the tables of cases give."""
    expected = {
        **await _own_cases(connections["cases"]),
        **await _imported_cases(connections["cases"]),
    }
    found = {
        str(row["case_id"]): {name: row[name] for name in MEASURES}
        for row in await connections["assessment"].fetch("SELECT * FROM case_record")
    }
    return compare("record of case", found, expected)


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
        case: {
            name: date.fromisoformat(day) if (day := record.get(name)) else None
            for name in MEASURES
        }
        for case, record in told.items()
    }


async def _counts(connections: dict[str, asyncpg.Connection], known: Acknowledged) -> list[str]:
    """Assessment's counters equal a recount of its records.

    They also equal a count of all else that was acknowledged.
    """
    connection, expected = connections["assessment"], Counter[Any]()
    for row in await connection.fetch("SELECT * FROM case_record"):
        expected.update(
            (measure, row[name]) for name, measure in MEASURES.items() if row[name] is not None
        )
    sums = "SELECT coalesce(sum(accepted), 0)::int, coalesce(sum(rejected), 0)::int FROM batch"
    accepted, rejected = (await connections["exchange"].fetch(sums))[0]
    sums = (
        "SELECT coalesce(sum(rows - rejected), 0)::int, coalesce(sum(rejected), 0)::int FROM push"
    )
    uploaded, refused = (await connections["exchange"].fetch(sums))[0]
    bad = sum(grade <= outcomes.BAD for _, grade in known.ratings.values())
    totals = {
        "pushes_accepted": sum(push["accepted"] for push in known.pushes) + accepted,
        "pushes_rejected": len(known.pushes) + rejected,
        "matters_published": len(known.texts),
        "licenses_issued": sum(outcomes.GRANTED in case.acts for case in known.cases.values()),
        "licenses_collected": len(known.collected),
        RATINGS_BY_CHANNEL["1"]: len(known.ratings),
        "uploads_accepted": uploaded,
        "uploads_rejected": refused,
        **dict.fromkeys(("ratings_bad", "bad_ratings_opened", "bad_ratings_open"), bad),
    }
    expected.update({(measure, None): number for measure, number in totals.items()})
    found = Counter[Any]()
    for row in await connection.fetch(
        "SELECT * FROM day_count WHERE (area_code, department_code) = ($1, $2)", *PLACE
    ):
        day = row["day"] if row["measure"] in MEASURES.values() else None
        found[(row["measure"], day)] += row["value"]
    return compare("count of", +found, +expected)


async def _matters(connections: dict[str, asyncpg.Connection], known: Acknowledged) -> list[str]:
    """The copies of the matters are their newest texts, which are those acknowledged."""
    rows = await connections["matters"].fetch(
        "SELECT m.id, m.revision, m.published_version, v.document FROM matter m"
        " JOIN matter_version v ON (v.matter_id, v.version) = (m.id, m.published_version)"
    )
    expected = {
        str(r["id"]): (r["revision"], r["published_version"], orjson.loads(r["document"]))
        for r in rows
    }
    copies = await connections["cases"].fetch("SELECT * FROM matter_copy WHERE open")
    found = {
        str(r["matter_id"]): (r["revision"], r["version"], orjson.loads(r["document"]))
        for r in copies
    }
    texts = {document["code"]: document["aliases"][0] for _, _, document in expected.values()}
    records = await connections["matters"].fetch("SELECT * FROM supervision_record")
    versions = {row["source_number"]: row["version"] for row in records}
    counted = await connections["matters"].fetch("SELECT * FROM supervision_count")
    return [
        *compare("version of supervision record", versions, dict(known.supervised)),
        *compare(
            "count of supervision",
            {row["behaviour"]: row["records"] for row in counted if row["records"]},
            Counter(row["behaviour"] for row in records),
        ),
        *compare("copy of matter", found, expected),
        *compare("text of matter", texts, known.texts),
    ]
