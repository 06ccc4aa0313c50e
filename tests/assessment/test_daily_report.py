"""日报: the figures of the day equal a recount, whatever is repeated.

Published days stay as they were published.
"""

import random
from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from services.assessment.consumer import consumer
from shared import clock
from shared.database.migrations import drift, run_on
from shared.database.session import Database
from shared.events.base import Event
from shared.events.cases import (
    CaseAccepted,
    CaseClosed,
    CaseDecided,
    CaseImported,
    CaseNotAccepted,
    CaseReceived,
    CaseSubmitted,
    CaseWithdrawn,
    ImportFinished,
    LightCleared,
    LightRaised,
    ResultDelivered,
)
from shared.events.matters import MatterCancelled, MatterPublished, MatterSuspended
from shared.ids import new_id
from shared.messaging.inbox import Inbox
from tests.builders.events import a_record
from tests.conftest import ClientFactory, DatabaseFactory, TokenFactory, once

DAY = date(2026, 3, 10)
NOON = datetime(2026, 3, 10, 12, 0, tzinfo=clock.SHANGHAI)
CITY, CHENGGUAN = "540100000000", "540102000000"
REPORT = f"/api/v1/assessment/daily-reports/{DAY}"


def case_facts(case_id: UUID, department: str = "D1", **changes: Any) -> dict[str, Any]:
    return {
        "case_id": case_id,
        "number": "n",
        "area_code": CITY,
        "department_code": department,
        "matter_id": None,
        "matter_code": None,
        "matter_name": "开茶馆",
        "matter_type": "01",
        "immediate": False,
        "channel": "pc",
        "applicant_kind": "person",
        "account_id": None,
        "revision": 1,
        "occurred_at": NOON,
        **changes,
    }


def a_finished_case(case_id: UUID, department: str = "D1", *, overdue: bool = False) -> list[Event]:
    facts = case_facts(case_id, department)
    later = {**facts, "occurred_at": NOON + timedelta(days=1)}
    return [
        CaseSubmitted(**facts),
        CaseReceived(**facts, received_on=DAY, acceptance_due_on=DAY + timedelta(days=7)),
        CaseAccepted(
            **facts, accepted_on=DAY, deemed=False, promised_due_on=None, legal_due_on=None
        ),
        CaseDecided(**facts, result="0", decided_on=DAY, overdue=overdue, license_type_code=None),
        CaseClosed(**facts, state="closed", result="0", closed_on=DAY, overdue=overdue),
        ResultDelivered(**later, method="window", delivered_on=DAY + timedelta(days=1)),
    ]


def a_matter(matter_id: UUID, level: int = 3, **changes: Any) -> MatterPublished:
    values = {
        "matter_id": matter_id,
        "code": None,
        "local_code": "L1",
        "area_code": CITY,
        "department_code": "D1",
        "version": 1,
        "type": "01",
        "level": level,
        "previous_level": None,
        "situational": False,
        "document": {},
        "revision": 1,
        "occurred_at": NOON,
        **changes,
    }
    return MatterPublished(**values)


async def take(database: Database, events: Sequence[Event], *, size: int = 500) -> None:
    inbox = Inbox(database, None, consumer=consumer)  # pyright: ignore[reportArgumentType]
    records = [a_record(event) for event in events]
    for start in range(0, len(records), size):
        await inbox.take(records[start : start + size])


async def figures(client: Any, headers: dict[str, str], path: str = REPORT) -> dict[str, int]:
    answer = await client.get(path, headers=headers)
    assert answer.status_code == 200, answer.text
    return {name: number for name, number in answer.json()["totals"].items() if number}


@pytest.fixture
def supervisor(token: TokenFactory) -> dict[str, str]:
    return token(kind="staff", roles=["supervisor"], area=CITY)


async def test_report_counts_each_fact_once(
    client_of: ClientFactory, supervisor: dict[str, str]
) -> None:
    client = await client_of("assessment")
    cases = [new_id() for _ in range(3)]
    events = [
        event
        for number, case in enumerate(cases)
        for event in a_finished_case(case, overdue=number == 0)
    ]

    inbox = Inbox(client.database, None, consumer=consumer)  # pyright: ignore[reportArgumentType]
    records = [a_record(event) for event in events]
    await inbox.take(records)
    await inbox.take(records[4:])

    assert await figures(client, supervisor) == {
        "cases_submitted": 3,
        "cases_received": 3,
        "cases_accepted": 3,
        "cases_decided": 3,
        "cases_closed": 3,
        "cases_closed_overdue": 1,
    }


async def test_every_kind_of_fact_is_counted(
    client_of: ClientFactory, supervisor: dict[str, str]
) -> None:
    client = await client_of("assessment")
    facts = case_facts(new_id(), immediate=True)
    light = {"light_id": new_id(), "rule": "promise"}

    await take(
        client.database,
        [
            CaseNotAccepted(**facts, reason="not this organ"),
            CaseClosed(**facts, state="not_accepted", result="6", closed_on=DAY, overdue=False),
            CaseWithdrawn(**case_facts(new_id())),
            CaseAccepted(
                **case_facts(new_id()),
                accepted_on=DAY,
                deemed=True,
                promised_due_on=None,
                legal_due_on=None,
            ),
            LightRaised(**case_facts(new_id()), **light, level="red", raised_at=NOON),
            LightCleared(**case_facts(new_id()), **light, level="red"),
            ImportFinished(
                import_id=new_id(),
                source_system="s",
                area_code=CITY,
                department_code="D2",
                accepted=997,
                unchanged=0,
                rejected=3,
                revision=1,
                occurred_at=NOON,
            ),
        ],
    )

    assert await figures(client, supervisor) == {
        "cases_not_accepted": 1,
        "cases_closed": 1,
        "cases_closed_immediate": 1,
        "cases_withdrawn": 1,
        "cases_accepted": 1,
        "cases_deemed_accepted": 1,
        "lights_red": 1,
        "lights_cleared": 1,
        "pushes_accepted": 997,
        "pushes_rejected": 3,
    }


async def test_newer_version_of_an_imported_case_moves_its_counts(
    client_of: ClientFactory, supervisor: dict[str, str]
) -> None:
    client = await client_of("assessment")
    case, source = (
        new_id(),
        {"source_system": "s", "source_number": "1", "accepted_on": None, "result": None},
    )
    await take(
        client.database,
        [
            CaseImported(
                **case_facts(case),
                **source,
                source_version=1,
                state="received",
                received_on=DAY,
                closed_on=None,
                overdue=False,
            )
        ],
    )
    first = await figures(client, supervisor)

    await take(
        client.database,
        [
            CaseImported(
                **case_facts(case, revision=2, immediate=True),
                **source,
                source_version=2,
                state="closed",
                received_on=DAY - timedelta(days=1),
                closed_on=DAY,
                overdue=True,
            )
        ],
    )

    assert first == {"cases_received": 1}
    assert await figures(client, supervisor) == {
        "cases_closed": 1,
        "cases_closed_immediate": 1,
        "cases_closed_overdue": 1,
    }


async def test_published_matters_are_a_stock_and_depth_changes_a_flow(
    client_of: ClientFactory, supervisor: dict[str, str]
) -> None:
    client = await client_of("assessment")
    kept, raised, gone = new_id(), new_id(), new_id()
    before = {"occurred_at": NOON - timedelta(days=3)}
    place = {
        "code": None,
        "local_code": "L1",
        "area_code": CITY,
        "department_code": "D1",
        "version": 1,
    }

    await take(
        client.database,
        [a_matter(kept, **before), a_matter(raised, level=2, **before), a_matter(gone, **before)],
    )
    await take(
        client.database,
        [
            a_matter(raised, level=4, revision=2, version=2),
            MatterSuspended(matter_id=gone, **place, revision=2, occurred_at=NOON, reason="reform"),
            MatterCancelled(matter_id=gone, **place, revision=3, occurred_at=NOON, reason="reform"),
        ],
    )

    assert await figures(client, supervisor) == {"matters_published": 2, "depth_raised": 1}
    three_days_ago = f"/api/v1/assessment/daily-reports/{DAY - timedelta(days=3)}"
    assert await figures(client, supervisor, three_days_ago) == {"matters_published": 3}


async def test_areas_and_departments_sum_to_the_total(
    client_of: ClientFactory, supervisor: dict[str, str]
) -> None:
    client = await client_of("assessment")
    events = [
        *a_finished_case(new_id(), "D1"),
        *a_finished_case(new_id(), "D2"),
        CaseSubmitted(**case_facts(new_id(), "D3", area_code=CHENGGUAN)),
    ]
    await take(client.database, events)

    report = (await client.get(REPORT, headers=supervisor)).json()
    one_area = (await client.get(REPORT, headers=supervisor, params={"area": CHENGGUAN})).json()

    assert report["totals"]["cases_submitted"] == 3
    assert {area: row["cases_submitted"] for area, row in report["areas"].items()} == {
        CITY: 2,
        CHENGGUAN: 1,
    }
    assert [row["department_code"] for row in report["departments"]] == ["D1", "D2", "D3"]
    assert (one_area["totals"]["cases_submitted"], len(one_area["departments"])) == (1, 1)


async def test_published_day_stays_as_published_until_corrected(
    client_of: ClientFactory, supervisor: dict[str, str], token: TokenFactory
) -> None:
    client = await client_of("assessment")
    await take(client.database, a_finished_case(new_id()))
    unpublished = await client.get(REPORT)

    published = await client.post(f"{REPORT}/publication", headers=once(supervisor))
    await take(client.database, a_finished_case(new_id()))
    public = (await client.get(REPORT)).json()
    staff = (await client.get(REPORT, headers=token(kind="staff"))).json()
    again = await client.post(f"{REPORT}/publication", headers=once(supervisor))
    corrected = await client.post(
        f"{REPORT}/revisions", json={"reason": "a late push"}, headers=once(supervisor)
    )
    newest, first = (
        (await client.get(REPORT)).json(),
        (await client.get(f"{REPORT}?revision=1")).json(),
    )
    revisions = (await client.get(f"{REPORT}/revisions", headers=supervisor)).json()

    assert staff == published.json()
    assert (
        unpublished.status_code,
        published.status_code,
        again.status_code,
        corrected.status_code,
    ) == (
        404,
        201,
        409,
        201,
    )
    assert (public["revision"], public["totals"]["cases_closed"]) == (1, 1)
    assert (newest["revision"], newest["totals"]["cases_closed"], newest["reason"]) == (
        2,
        2,
        "a late push",
    )
    assert first["totals"]["cases_closed"] == 1
    assert [row["revision"] for row in revisions] == [1, 2]


async def test_publication_refusals(
    client_of: ClientFactory, supervisor: dict[str, str], token: TokenFactory
) -> None:
    client = await client_of("assessment")
    future = f"/api/v1/assessment/daily-reports/{clock.local_date(clock.now()) + timedelta(days=2)}"

    statuses = [
        (await client.post(f"{REPORT}/publication")).status_code,
        (await client.post(f"{REPORT}/publication", headers=once(token()))).status_code,
        (await client.post(f"{future}/publication", headers=once(supervisor))).status_code,
        (
            await client.post(
                f"{REPORT}/revisions", json={"reason": "a late push"}, headers=once(supervisor)
            )
        ).status_code,
        (
            await client.post(f"{REPORT}/revisions", json={"reason": ""}, headers=once(supervisor))
        ).status_code,
        (await client.get("/api/v1/assessment/daily-reports/2026-13-01")).status_code,
        (await client.get(f"{REPORT}/revisions", headers=token())).status_code,
    ]

    assert statuses == [401, 403, 409, 404, 400, 400, 403]


async def test_whole_city_is_published_by_its_own_supervisor_or_an_administrator(
    client_of: ClientFactory, token: TokenFactory
) -> None:
    client, reason = await client_of("assessment"), {"reason": "a late push"}
    county = token(kind="staff", roles=["supervisor"], area=CHENGGUAN)
    administrator = token(kind="staff", roles=["administrator"], area=CHENGGUAN)

    refused = await client.post(f"{REPORT}/publication", headers=once(county))
    published = await client.post(f"{REPORT}/publication", headers=once(administrator))
    unrevised = await client.post(f"{REPORT}/revisions", json=reason, headers=once(county))
    nowhere = await client.post(
        f"{REPORT}/revisions", json=reason, headers=once(token(kind="staff", roles=["supervisor"]))
    )
    read = await client.get(f"{REPORT}/revisions", headers=county)

    statuses = [answer.status_code for answer in (refused, published, unrevised, nowhere, read)]
    assert statuses == [403, 201, 403, 403, 200]
    assert [row["revision"] for row in read.json()] == [1]


@pytest.mark.parametrize("seed", range(5))
async def test_any_history_replayed_gives_the_same_counts(
    database_of: DatabaseFactory, seed: int
) -> None:
    chance = random.Random(seed)
    cases = [
        a_finished_case(new_id(), chance.choice("AB"), overdue=chance.random() < 0.3)
        for _ in range(20)
    ]
    histories = [case[: chance.randrange(1, 7)] for case in cases]
    merged: list[Event] = []
    while any(histories):
        merged.append(chance.choice([history for history in histories if history]).pop(0))

    counts = []
    for size in (500, 7, 1):
        database = await database_of("assessment")
        await take(database, merged, size=size)
        counts.append(await counters(database))

    assert counts[0] == counts[1] == counts[2]
    assert sum(counts[0].values()) > 0


async def counters(database: Database) -> Counter[tuple[Any, ...]]:
    connection = await database.connect()
    rows = await connection.fetch("SELECT * FROM day_count WHERE value <> 0")
    await connection.close()
    return Counter(
        {
            (row["day"], row["area_code"], row["department_code"], row["measure"]): row["value"]
            for row in rows
        }
    )


async def test_models_equal_the_migrations(database_of: DatabaseFactory) -> None:
    database = await database_of("assessment")

    assert await run_on(database.dsn, drift, "assessment") == []


async def test_staff_see_what_a_correction_would_publish_and_nobody_else_does(
    client_of: ClientFactory, supervisor: dict[str, str], token: TokenFactory
) -> None:
    client = await client_of("assessment")
    await take(client.database, a_finished_case(new_id()))
    _ = (await client.post(f"{REPORT}/publication", headers=once(supervisor))).raise_for_status()
    await take(client.database, a_finished_case(new_id()))

    published = await figures(client, supervisor)
    present = (await client.get(REPORT, params={"live": True}, headers=supervisor)).json()
    refused = await client.get(REPORT, params={"live": True}, headers=token())

    assert published["cases_received"] == 1
    assert (present["revision"], present["totals"]["cases_received"]) == (0, 2)
    assert refused.status_code == 403
