"""Supervision records (监管) that came by batch.

Every row gets a verdict; each record is stored once and counted by department.
"""

import base64
from collections.abc import Sequence
from typing import Any

import pytest

from bench.capture_sql import capture_sql
from services.matters.consumer import consumer
from shared import clock
from shared.events.exchange import RecordReceived
from shared.events.matters import SupervisionRecordsJudged
from shared.events.records import Verdict
from shared.ids import new_id
from shared.messaging.inbox import Inbox
from shared.security.crypto import pseudonym, seal_for, use_key
from tests.builders.events import a_record
from tests.builders.matters import CITY, DEPARTMENT
from tests.conftest import PLATFORM_KEY, Headers, ServiceClient, TokenFactory, published
from tests.matters.conftest import BASE

ID_NUMBER = "540102199001010011"
PERSON = {"kind": "person", "number": ID_NUMBER}


def record(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "source_number": f"JC-{number}",
        "version": 1,
        "regulatory_code": "54011200010001",
        "behaviour": "06",
        "object": {"kind": "organisation", "number": DEPARTMENT},
        "done_on": "2026-03-10",
        "result": "合格",
        "officers": 2,
        **changes,
    }


class Desk:
    """Sends batches as exchange does, and reads the answers."""

    def __init__(self, client: ServiceClient) -> None:
        self.client = client

    def chunk(self, records: Sequence[Any], **changes: Any) -> RecordReceived:
        with use_key(b"", platform=base64.b64decode(PLATFORM_KEY)):
            sealed = seal_for(records, "exchange.records")
        values: dict[str, Any] = {
            "peer_code": "fangguan",
            "resource": "supervision",
            "first_row": 1,
            "chunk": 0,
            "chunks": 1,
            **changes,
        }
        return RecordReceived(
            batch_id=new_id(),
            area_code=CITY,
            department_code=DEPARTMENT,
            records=sealed,
            revision=1,
            occurred_at=clock.now(),
            **values,
        )

    async def send(self, records: Sequence[Any], **changes: Any) -> list[Verdict]:
        before = len(await published(self.client.database))
        await Inbox(self.client.database, None, consumer=consumer).take(
            [a_record(self.chunk(records, **changes))]
        )  # pyright: ignore[reportArgumentType]
        told = (await published(self.client.database))[before:]
        return SupervisionRecordsJudged.model_validate(told[-1].data).verdicts if told else []

    async def facts(self) -> list[dict[str, Any]]:
        told = await published(self.client.database)
        return [
            event.data for event in told if event.type == "tongban.matters.supervision-recorded.v1"
        ]


@pytest.fixture
def desk(client: ServiceClient) -> Desk:
    return Desk(client)


async def counted(client: ServiceClient, headers: Headers) -> dict[str, int]:
    answer = await client.get(f"{BASE}/supervision/statistics", headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()["by_behaviour"]


async def test_good_records_are_taken_told_and_counted(
    client: ServiceClient, desk: Desk, head: Headers
) -> None:
    verdicts = await desk.send([record(1), record(2, behaviour="02", officers=1)])

    assert [(v.row, v.key, v.status) for v in verdicts] == [
        (1, "JC-1", "accepted"),
        (2, "JC-2", "accepted"),
    ]
    facts = await desk.facts()
    assert [(f["behaviour"], f["regulatory_code"], f["done_on"]) for f in facts] == [
        ("06", "54011200010001", "2026-03-10"),
        ("02", "54011200010001", "2026-03-10"),
    ]
    assert await counted(client, head) == {"02": 1, "06": 1}


async def test_every_fault_of_a_row_comes_back_and_the_others_stay(desk: Desk) -> None:
    bad = record(
        2,
        regulatory_code="123",
        behaviour="99",
        done_on="2999-01-01",
        object={**PERSON, "number": "1"},
    )

    verdicts = await desk.send(
        [record(1), bad, record(3, officers=1), "no record", record(1), record(6)],
        first_row=501,
        chunk=1,
        chunks=2,
    )

    assert [(v.row, v.status) for v in verdicts] == [
        (501, "accepted"),
        (502, "rejected"),
        (503, "rejected"),
        (504, "rejected"),
        (505, "rejected"),
        (506, "accepted"),
    ]
    assert {f.field for f in verdicts[1].faults} == {
        "regulatory_code",
        "behaviour",
        "done_on",
        "object.number",
    }
    assert [f.field for f in verdicts[2].faults] == ["officers"]
    assert (verdicts[3].key, [f.field for f in verdicts[3].faults]) == (None, ["record"])
    assert [f.rule for f in verdicts[4].faults] == ["unique"]


async def test_names_of_unknown_fields_and_unreadable_numbers_are_not_repeated(desk: Desk) -> None:
    rows = [record(n, **{f"{ID_NUMBER}-{i}": "x" for i in range(60)}) for n in range(200)]
    rows[0]["source_number"] = f"卓玛央金 {ID_NUMBER}"
    rows[1]["object"] = {**PERSON, ID_NUMBER: "x"}

    verdicts = await desk.send(rows)

    assert [(v.key, v.status) for v in verdicts] == [
        (None if n == 0 else f"JC-{n}", "rejected") for n in range(200)
    ]
    assert [[f.field for f in v.faults] for v in verdicts[:3]] == [
        ["source_number", "record"],
        ["object", "record"],
        ["record"],
    ]
    assert ID_NUMBER not in str(verdicts)


async def test_record_known_in_this_or_a_newer_version_changes_nothing(
    client: ServiceClient, desk: Desk, head: Headers
) -> None:
    _ = await desk.send([record(1, version=2)])

    statuses = [
        (await desk.send([one]))[0].status
        for one in (
            record(1, version=2),
            record(1, version=1),
            record(1, version=2, result="不合格"),
        )
    ]

    assert statuses == ["unchanged", "unchanged", "rejected"]
    assert len(await desk.facts()) == 1
    assert await counted(client, head) == {"06": 1}


async def test_newer_version_takes_the_place_and_moves_the_count(
    client: ServiceClient, desk: Desk, head: Headers
) -> None:
    _ = await desk.send([record(1), record(2)])

    verdicts = await desk.send([record(1, version=2, behaviour="02")])

    facts = await desk.facts()
    assert verdicts[0].status == "accepted"
    assert (facts[2]["record_id"], facts[2]["revision"]) == (facts[0]["record_id"], 2)
    assert await counted(client, head) == {"02": 1, "06": 1}


async def test_same_number_of_another_source_is_another_record(desk: Desk) -> None:
    _ = await desk.send([record(1)])

    verdicts = await desk.send([record(1, result="不合格")], peer_code="chengguan")

    assert verdicts[0].status == "accepted"


async def test_person_is_kept_by_pseudonym_alone(client: ServiceClient, desk: Desk) -> None:
    _ = await desk.send([record(1, object=PERSON)])

    connection = await client.database.connect()
    row = await connection.fetchrow(
        "SELECT object, supervision_record::text AS whole FROM supervision_record"
    )
    events = await connection.fetch("SELECT payload FROM outbox")
    await connection.close()
    with use_key(b"", platform=base64.b64decode(PLATFORM_KEY)):
        assert row is not None
        assert row["object"] == pseudonym(ID_NUMBER)
    assert ID_NUMBER not in row["whole"]
    assert all(ID_NUMBER.encode() not in event["payload"] for event in events)


async def test_records_of_another_resource_are_no_business_of_matters(
    client: ServiceClient, desk: Desk
) -> None:
    assert await desk.send([record(1)], resource="cases") == []


async def test_a_chunk_takes_as_many_statements_however_many_records(desk: Desk) -> None:
    numbers: list[int] = []
    for first, size in ((0, 1), (1000, 500)):
        async with capture_sql(desk.client.database) as captured:
            verdicts = await desk.send([record(first + number) for number in range(size)])
        numbers.append(len(captured))
        assert [v.status for v in verdicts] == ["accepted"] * size

    assert numbers[0] == numbers[1]


async def test_statistics_show_officers_their_department_and_supervisors_all(
    client: ServiceClient, desk: Desk, token: TokenFactory, head: Headers
) -> None:
    _ = await desk.send([record(1)])

    refused = await client.get(f"{BASE}/supervision/statistics", headers=token())
    here = await client.get(f"{BASE}/supervision/statistics", params={"area": CITY}, headers=head)
    other = await client.get(
        f"{BASE}/supervision/statistics", params={"department": "X"}, headers=head
    )
    supervisor = token(kind="staff", roles=["supervisor"], area=CITY)
    nowhere = await client.get(
        f"{BASE}/supervision/statistics", params={"department": "X"}, headers=supervisor
    )
    everywhere = await client.get(f"{BASE}/supervision/statistics", headers=supervisor)
    elsewhere = token(kind="staff", roles=["leader"], area=CITY, department="X")
    none = await client.get(f"{BASE}/supervision/statistics", headers=elsewhere)

    assert (refused.status_code, other.status_code) == (403, 403)
    assert (everywhere.json()["records"], none.json()["records"]) == (1, 0)
    assert here.json()["departments"] == [
        {"area_code": CITY, "department_code": DEPARTMENT, "behaviour": "06", "records": 1}
    ]
    assert (nowhere.json()["records"], nowhere.json()["departments"]) == (0, [])
