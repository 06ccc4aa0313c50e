"""办件推送: good records are stored, faulty ones are reported, a repeat changes nothing.

A fault names row, field and reason.
"""

import asyncio
from collections import Counter
from typing import Any

import httpx
import pytest

from services.assessment.consumer import consumer
from shared.messaging.bus import Record
from shared.messaging.inbox import Inbox
from tests.builders.matters import CITY, CODE, DEPARTMENT
from tests.cases.conftest import BASE
from tests.conftest import DatabaseFactory, Headers, ServiceClient, TokenFactory, published


def a_record(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "source_number": f"FG-{number:05d}",
        "version": 1,
        "matter_code": CODE,
        "matter_name": "商品房预售许可",
        "matter_type": "01",
        "applicant_kind": "organisation",
        "state": "closed",
        "received_on": "2026-03-02",
        "accepted_on": "2026-03-03",
        "closed_on": "2026-03-10",
        "result": "0",
        **changes,
    }


@pytest.fixture
def system(token: TokenFactory) -> Headers:
    return token(kind="system", scope="cases:push", area=CITY, department=DEPARTMENT)


async def push(
    client: ServiceClient, system: Headers, records: list[Any], key: str
) -> httpx.Response:
    body = {"source_system": "fangguan", "records": records}
    return await client.post(
        f"{BASE}/imports", json=body, headers={**system, "Idempotency-Key": key}
    )


def planted() -> list[dict[str, Any]]:
    records = [a_record(number) for number in range(1, 1001)]
    records[99] = a_record(100, matter_code=CODE[:-1])
    records[499] = a_record(500, closed_on="2026-03-01")
    records[999] = a_record(1)
    return records


async def test_planted_faults_come_back_and_the_rest_lands(
    client: ServiceClient, system: Headers
) -> None:
    first = await push(client, system, planted(), "push-1")
    same_key = await push(client, system, planted(), "push-1")
    again = await push(client, system, planted(), "push-2")
    report = first.json()

    assert {name: report[name] for name in ("received", "accepted", "unchanged", "rejected")} == {
        "received": 1000,
        "accepted": 997,
        "unchanged": 0,
        "rejected": 3,
    }
    assert [(r["row"], r["field"]) for r in report["rejections"]] == [
        (100, "matter_code"),
        (500, "closed_on"),
        (1000, "source_number"),
    ]
    assert same_key.content == first.content
    assert (again.json()["accepted"], again.json()["unchanged"]) == (0, 997)
    assert again.json()["rejections"] == report["rejections"]
    types = Counter(event.type.split(".")[2] for event in await published(client.database))
    assert types == {"case-imported": 997, "import-finished": 2}


async def test_newer_version_replaces_and_older_or_equal_changes_nothing(
    client: ServiceClient, system: Headers
) -> None:
    _ = await push(client, system, [a_record(1, version=2)], "p1")

    older = (await push(client, system, [a_record(1, version=1, overdue=True)], "p2")).json()
    different = (await push(client, system, [a_record(1, version=2, overdue=True)], "p3")).json()
    newer = (await push(client, system, [a_record(1, version=3, overdue=True)], "p4")).json()
    imported = [e for e in await published(client.database) if "case-imported" in e.type]

    assert (older["unchanged"], newer["accepted"]) == (1, 1)
    assert different["rejections"][0]["rule"] == "same_version_different"
    assert [event.revision for event in imported] == [1, 2]
    assert len({event.key for event in imported}) == 1


async def test_parallel_pushes_of_the_same_records_land_once(
    client: ServiceClient, system: Headers
) -> None:
    records = [a_record(number) for number in range(1, 51)]

    answers = await asyncio.gather(
        *(push(client, system, records, f"parallel-{n}") for n in range(10))
    )

    assert sorted(answer.json()["accepted"] for answer in answers) == [0] * 9 + [50]


async def test_pushed_cases_are_counted_by_assessment(
    client: ServiceClient, system: Headers, database_of: DatabaseFactory
) -> None:
    _ = await push(client, system, planted(), "push-1")
    assessment = await database_of("assessment")
    inbox = Inbox(assessment, None, consumer=consumer)  # pyright: ignore[reportArgumentType]
    connection = await client.database.connect()
    rows = await connection.fetch("SELECT key, payload FROM outbox ORDER BY position")
    await connection.close()

    await inbox.take(
        [Record("tongban.cases", row["key"], row["payload"], 0, n) for n, row in enumerate(rows)]
    )
    connection = await assessment.connect()
    counts = {
        r["measure"]: r["value"]
        for r in await connection.fetch("SELECT measure, value FROM day_count")
    }
    await connection.close()

    assert counts == {
        "cases_received": 997,
        "cases_accepted": 997,
        "cases_closed": 997,
        "pushes_accepted": 997,
        "pushes_rejected": 3,
    }


@pytest.mark.parametrize(
    "records", [[], [1], [{}], [{"source_number": "\x00"}], [a_record(1, extra=1)]]
)
async def test_malformed_pushes_store_nothing(
    client: ServiceClient, system: Headers, records: list[Any]
) -> None:
    answer = await push(client, system, records, "bad")

    assert answer.status_code == 400 or answer.json()["accepted"] == 0
    assert not any("case-imported" in event.type for event in await published(client.database))


async def test_only_a_system_of_a_department_with_the_scope_may_push(
    client: ServiceClient, token: TokenFactory
) -> None:
    callers = [
        token(kind="system", area=CITY, department=DEPARTMENT),
        token(kind="system", scope="cases:push"),
        token(kind="staff", roles=["administrator"], scope="cases:push"),
        token(),
        {},
    ]

    assert [(await push(client, c, [a_record(1)], "p")).status_code for c in callers] == [
        403,
        403,
        403,
        403,
        401,
    ]
