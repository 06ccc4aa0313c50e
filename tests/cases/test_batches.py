"""Cases that come by signed batch through exchange.

The rules are those of a direct push, and every row gets a verdict.
"""

import base64
from collections import Counter
from typing import Any
from uuid import UUID

import pytest

from bench.capture_sql import capture_sql
from services.cases.consumer import consumer
from shared import clock
from shared.database.session import Database
from shared.events.cases import CaseImported, CaseRecordsJudged
from shared.events.exchange import RecordReceived
from shared.events.records import Verdict
from shared.ids import new_id
from shared.messaging.inbox import Inbox
from shared.security.crypto import open_sealed, seal_for, use_key
from tests.builders import events
from tests.builders.matters import CITY, CODE, DEPARTMENT
from tests.cases.conftest import BASE
from tests.cases.test_push import a_record
from tests.conftest import (
    DATA_KEY,
    PLATFORM_KEY,
    DatabaseFactory,
    ServiceClient,
    TokenFactory,
    published,
)
from tests.security.test_canaries import everything

PEER = "fangguan"
CONTACT = {"name": "德吉卓嘎", "phone": "13989005566"}


def a_chunk(records: list[Any], **changes: Any) -> RecordReceived:
    """A chunk of a batch of the housing bureau's, in which the first record is row 1."""
    with use_key(base64.b64decode(DATA_KEY), platform=base64.b64decode(PLATFORM_KEY)):
        sealed = seal_for(records, "exchange.records")
    values: dict[str, Any] = {
        "batch_id": new_id(),
        "chunk": 1,
        "chunks": 1,
        "peer_code": PEER,
        "area_code": CITY,
        "department_code": DEPARTMENT,
        "resource": "cases",
        "first_row": 1,
        "records": sealed,
        "revision": 1,
        "occurred_at": clock.now(),
        **changes,
    }
    return RecordReceived.model_validate(values)


async def receive(database: Database, *chunks: RecordReceived) -> None:
    inbox = Inbox(database, None, consumer=consumer)  # pyright: ignore[reportArgumentType]
    await inbox.take([events.a_record(chunk, number) for number, chunk in enumerate(chunks)])


async def judged(database: Database) -> list[CaseRecordsJudged]:
    facts = [event.event() for event in await published(database)]
    return [fact for fact in facts if isinstance(fact, CaseRecordsJudged)]


async def imported(database: Database) -> list[CaseImported]:
    facts = [event.event() for event in await published(database)]
    return [fact for fact in facts if isinstance(fact, CaseImported)]


def brief(verdicts: list[Verdict]) -> list[tuple[int, str | None, str, list[str]]]:
    return [
        (one.row, one.key, one.status, [fault.field for fault in one.faults]) for one in verdicts
    ]


@pytest.fixture
async def database(database_of: DatabaseFactory) -> Database:
    return await database_of("cases")


async def test_every_row_of_a_chunk_gets_its_verdict(database: Database) -> None:
    batch = new_id()
    records = [
        a_record(1),
        a_record(2, matter_code=CODE[:-1], closed_on="2026-03-01"),
        a_record(1, version=2),
        [1],
        {"source_number": "中文"},
        a_record(6, 五四零一="x"),
    ]

    await receive(database, a_chunk(records, batch_id=batch, chunk=3, chunks=9, first_row=401))
    [answer] = await judged(database)

    assert (answer.batch_id, answer.chunk, answer.key) == (batch, 3, str(batch))
    assert brief(answer.verdicts)[:4] == [
        (401, "FG-00001", "accepted", []),
        (402, "FG-00002", "rejected", ["matter_code", "closed_on"]),
        (403, "FG-00001", "rejected", ["source_number"]),
        (404, None, "rejected", ["record"]),
    ]
    assert brief(answer.verdicts)[4][:3] == (405, None, "rejected")
    # The name of a field that we do not know could be anything: it is not repeated in an event.
    assert brief(answer.verdicts)[5] == (406, "FG-00006", "rejected", ["record"])
    assert [fact.source_number for fact in await imported(database)] == ["FG-00001"]


async def test_record_of_any_number_of_unknown_fields_has_an_answer_of_bounded_size(
    database: Database,
) -> None:
    record = a_record(1, **{f"f{number}": number for number in range(5_000)})

    await receive(database, a_chunk([record]))
    [answer] = await judged(database)

    assert brief(answer.verdicts) == [(1, "FG-00001", "rejected", ["record"])]


async def test_versions_rule_across_the_chunks_of_a_batch(database: Database) -> None:
    batch = new_id()
    chunks = [
        [a_record(1, version=2), a_record(2)],
        [a_record(1, version=1), a_record(2)],
        [a_record(1, version=2, overdue=True), a_record(2, version=2, overdue=True)],
    ]

    await receive(
        database,
        *(
            a_chunk(rows, batch_id=batch, chunk=n, chunks=3, first_row=2 * n - 1)
            for n, rows in enumerate(chunks, 1)
        ),
    )

    assert [[one.status for one in answer.verdicts] for answer in await judged(database)] == [
        ["accepted", "accepted"],
        ["unchanged", "unchanged"],
        ["rejected", "accepted"],
    ]
    facts = await imported(database)
    assert [(fact.source_number, fact.source_version, fact.revision) for fact in facts] == [
        ("FG-00001", 2, 1),
        ("FG-00002", 1, 1),
        ("FG-00002", 2, 2),
    ]
    assert {fact.source_system for fact in facts} == {PEER}


async def test_chunk_redelivered_or_sent_again_changes_nothing(database: Database) -> None:
    chunk = a_chunk([a_record(number) for number in range(20)])
    record = events.a_record(chunk)
    inbox = Inbox(database, None, consumer=consumer)  # pyright: ignore[reportArgumentType]

    for _ in range(2):
        await inbox.take([record])
    await receive(database, a_chunk([a_record(number) for number in range(20)]))

    statuses = [Counter(one.status for one in answer.verdicts) for answer in await judged(database)]
    assert statuses == [{"accepted": 20}, {"unchanged": 20}]
    assert len(await imported(database)) == 20


async def test_batch_and_direct_push_are_one_source_of_one_case(
    client: ServiceClient, token: TokenFactory
) -> None:
    system = token(kind="system", scope="cases:push", area=CITY, department=DEPARTMENT)
    body = {"source_system": PEER, "records": [a_record(1)]}
    pushed = await client.post(
        f"{BASE}/imports", json=body, headers={**system, "Idempotency-Key": "one"}
    )

    await receive(client.database, a_chunk([a_record(1, version=2)]))

    first, second = await imported(client.database)
    assert pushed.json()["accepted"] == 1
    assert (first.case_id, second.revision) == (second.case_id, 2)


async def test_contact_is_passed_on_sealed_and_kept_nowhere(
    client: ServiceClient, token: TokenFactory
) -> None:
    records = [
        a_record(1, contact=CONTACT),
        a_record(2, contact={"name": "x", "phone": "1"}),
        a_record(3),
    ]
    system = token(kind="system", scope="cases:push", area=CITY, department=DEPARTMENT)
    body = {"source_system": "other", "records": records[:1]}

    await receive(client.database, a_chunk(records))
    pushed = await client.post(
        f"{BASE}/imports", json=body, headers={**system, "Idempotency-Key": "one"}
    )
    [answer] = await judged(client.database)
    facts = await imported(client.database)
    content = await everything(client.database)

    assert brief(answer.verdicts)[1] == (2, "FG-00002", "rejected", ["contact.phone"])
    assert pushed.json()["accepted"] == 1
    with use_key(base64.b64decode(DATA_KEY), platform=base64.b64decode(PLATFORM_KEY)):
        opened = [
            fact.contact and open_sealed(fact.contact, purpose="case.contact") for fact in facts
        ]
    assert opened == [CONTACT, None, CONTACT]
    assert "contact" not in str(
        [row for row in content.splitlines() if row.startswith("imported_case")]
    )
    for word in CONTACT.values():
        assert word not in content
        assert word.encode().hex() not in content


async def test_chunk_of_another_resource_or_in_a_false_seal_is_not_judged(
    database: Database,
) -> None:
    other = a_chunk([a_record(1)], resource="licenses")
    with use_key(base64.b64decode(DATA_KEY), platform=base64.b64decode(PLATFORM_KEY)):
        sealed = seal_for([a_record(1)], "case.contact")
    moved = a_chunk([], peer_code="elsewhere").model_copy(update={"records": sealed})

    await receive(database, other, moved)
    connection = await database.connect()
    parked = await connection.fetch("SELECT key FROM dead_letter")
    await connection.close()

    assert await published(database) == []
    assert [row["key"] for row in parked] == ["elsewhere/cases"]


async def test_statements_of_a_chunk_do_not_grow_with_its_rows(database: Database) -> None:
    counts: list[int] = []
    for number, rows in enumerate((1, 200)):
        chunk = a_chunk([a_record(row) for row in range(rows)], peer_code=f"p{number}")
        async with capture_sql(database) as captured:
            await receive(database, chunk)
        counts.append(len(captured))

    # Four of them belong to the first look at a partition.
    assert counts[0] == counts[1] <= 9
    assert {fact.case_id.version for fact in await imported(database)} == {7}


def test_batch_id_is_the_key_of_its_verdicts() -> None:
    batch: UUID = new_id()
    answer = CaseRecordsJudged(
        batch_id=batch, chunk=1, verdicts=[], revision=1, occurred_at=clock.now()
    )

    assert answer.key == str(batch)
