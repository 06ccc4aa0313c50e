"""The calendar as data: read, changed, and in force at once on every process.

The due dates of open cases follow it.
"""

import asyncio
from datetime import date, datetime, time, timedelta
from typing import Any

import httpx
import pytest

from services.cases.main import build
from services.cases.timers import follow_calendar
from shared import clock
from shared.domain.workdays import WorkCalendar, seed_calendar
from tests.builders.matters import CITY, DEPARTMENT, a_document
from tests.cases.conftest import BASE, StackFixture
from tests.conftest import TokenFactory, published, service_settings

CALENDAR = seed_calendar()
PATH = f"{BASE}/calendar/days"


@pytest.fixture
def administrator(token: TokenFactory) -> dict[str, str]:
    return token(kind="staff", roles=["administrator"])


def closed(*days: date) -> dict[str, Any]:
    return {
        "days": [
            {"day": day.isoformat(), "is_working": False, "note": "市政府通知放假"} for day in days
        ]
    }


def without(*days: date) -> WorkCalendar:
    return WorkCalendar({**CALENDAR.exceptions, **dict.fromkeys(days, False)})


async def moved(stack: StackFixture) -> list[dict[str, Any]]:
    return [
        e.data
        for e in await published(stack.client.database)
        if e.type == "tongban.cases.case-due-changed.v1"
    ]


async def test_year_of_losar_is_read_and_a_year_to_come_is_not_announced(
    stack: StackFixture,
) -> None:
    year = await stack.get("calendar", stack.citizen, year=2026)
    unknown = await stack.get("calendar", stack.citizen, year=2090)

    days = {entry["day"]: entry["is_working"] for entry in year["days"]}
    assert (year["announced"], days["2026-02-14"], days["2026-02-15"]) == (True, True, False)
    assert unknown == {"year": 2090, "announced": False, "days": []}


async def test_new_holiday_moves_the_open_cases_that_span_it_each_with_its_fact(
    stack: StackFixture, administrator: dict[str, str]
) -> None:
    today = clock.local_date(clock.now())
    holiday = CALENDAR.add_working_days(today, 7)
    received, accepted, correcting, withdrawn = [await stack.apply() for _ in range(4)]
    clerk = stack.officer("window_clerk")
    accepted = await stack.do(accepted, "acceptance", clerk)
    _ = await stack.do(correcting, "correction-requests", clerk, {"items": [{"text": "缺件"}]})
    _ = await stack.do(withdrawn, "withdrawal", stack.citizen)

    answer = await stack.client.put(PATH, json=closed(holiday), headers=administrator)
    again = await stack.client.put(PATH, json=closed(holiday), headers=administrator)
    found = await stack.get(f"files/{accepted['id']}", stack.citizen)
    untouched = await stack.get(f"files/{received['id']}", stack.citizen)

    report = answer.json()
    assert (report["changed_days"], report["finished"], report["moved"]) == (1, True, 1)
    assert report["departments"] == [{"area_code": CITY, "department_code": DEPARTMENT, "cases": 1}]
    assert again.json() == {
        "id": None,
        "changed_days": 0,
        "finished": True,
        "moved": 0,
        "departments": [],
    }
    assert (
        found["due_on"]
        == without(holiday).add_working_days(today, 10).isoformat()
        != accepted["due_on"]
    )
    assert found["legal_due_on"] == without(holiday).add_working_days(today, 20).isoformat()
    assert found["revision"] == accepted["revision"] + 1
    assert (untouched["revision"], untouched["due_on"]) == (
        received["revision"],
        received["due_on"],
    )
    assert [(fact["previous_due_on"], fact["due_on"]) for fact in await moved(stack)] == [
        (accepted["due_on"], found["due_on"])
    ]
    steps = await stack.get(f"files/{accepted['id']}/timeline", stack.citizen)
    assert [step["act"] for step in steps] == ["receive", "accept", "due_changed"]
    assert report == await stack.get(f"calendar/changes/{report['id']}", administrator)


async def test_every_process_counts_by_the_new_calendar_without_a_restart(
    stack: StackFixture, administrator: dict[str, str]
) -> None:
    today = clock.local_date(clock.now())
    app = build(
        service_settings(
            "cases",
            stack.client.database.dsn,
            storage_url=stack.client.app.state.settings.storage_url,
        ),
        verifier=stack.client.app.state.verifier,
    )
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://test"
    ) as replica:
        first = await stack.apply()
        holiday = CALENDAR.add_working_days(today, 1)
        _ = await replica.put(PATH, json=closed(holiday), headers=administrator)
    await app.state.database.close()

    second = await stack.apply()

    assert first["due_on"] == CALENDAR.add_working_days(today, 5).isoformat()
    assert second["due_on"] == without(holiday).add_working_days(today, 5).isoformat()


async def test_many_cases_move_in_batches_and_a_second_pass_finds_the_late_one(
    stack: StackFixture, administrator: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.cases.calendar.use_cases.BATCH", 3)
    monkeypatch.setattr("services.cases.calendar.router.PATIENCE", 0.0)
    today, holiday = (
        clock.local_date(clock.now()),
        CALENDAR.add_working_days(clock.local_date(clock.now()), 2),
    )
    cases = [await stack.apply() for _ in range(8)]
    answer = (await stack.client.put(PATH, json=closed(holiday), headers=administrator)).json()
    database = stack.client.database

    _ = await asyncio.gather(*(follow_calendar(database, clock.now()) for _ in range(3)))
    first = await stack.get(f"calendar/changes/{answer['id']}", administrator)
    # One whose transaction had read the calendar before the change, and committed after the first
    # pass.
    connection = await database.connect()
    _ = await connection.execute("UPDATE case_file SET due_on = $1 WHERE id = $2", *_old(cases[0]))
    await connection.close()
    _ = [await follow_calendar(database, clock.now() + timedelta(minutes=3)) for _ in range(2)]
    second = await stack.get(f"calendar/changes/{answer['id']}", administrator)

    assert (answer["finished"], answer["moved"], first["finished"], first["moved"]) == (
        False,
        0,
        True,
        8,
    )
    assert second["moved"] == len(await moved(stack)) == 9
    due = without(holiday).add_working_days(today, 5).isoformat()
    assert {item["due_on"] for item in (await stack.get("files", stack.citizen))["items"]} == {due}


async def test_light_over_a_day_that_has_moved_goes_out_the_same_day(
    stack: StackFixture, administrator: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.cases.calendar.router.PATIENCE", 0.0)
    await stack.publish(
        a_document(steps=[]), revision=2
    )  # So that no light over a step burns beside it.
    _ = await stack.apply(matter_version=2)
    eve, due = (CALENDAR.add_working_days(clock.local_date(clock.now()), days) for days in (4, 5))
    lit = await stack.clocks(eve)

    _ = await stack.client.put(PATH, json=closed(eve, due), headers=administrator)
    await follow_calendar(stack.client.database, datetime.combine(eve, time(12), clock.SHANGHAI))
    after = await stack.clocks(eve)

    assert (tuple(lit.values()), tuple(after.values())) == ((0, 1, 0), (0, 0, 1))


def _old(case: dict[str, Any]) -> tuple[date, str]:
    return date.fromisoformat(case["due_on"]), case["id"]


async def test_change_refused_whole_when_a_day_is_wrong_or_the_caller_is_none_of_ours(
    stack: StackFixture, administrator: dict[str, str]
) -> None:
    day = {"day": "2026-12-01", "is_working": False, "note": "测试"}

    async def status(body: object, headers: dict[str, str] = administrator) -> int:
        return (await stack.client.put(PATH, json=body, headers=headers)).status_code

    assert await status({"days": [day, day]}) == 400
    assert await status({"days": []}) == 400
    assert await status({"days": [day, {**day, "day": "2026-13-01"}]}) == 400
    assert await status({"days": [day, {**day, "day": "1999-01-01"}]}) == 400
    assert await status({"days": [day]}, stack.officer("leader")) == 403
    assert await status({"days": [day]}, stack.citizen) == 403
    assert day["day"] not in [
        entry["day"] for entry in (await stack.get("calendar", stack.citizen, year=2026))["days"]
    ]
