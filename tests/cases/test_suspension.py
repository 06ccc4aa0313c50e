"""Special procedures (art. 45) and extension (art. 42): clocks stand, move, and move once."""

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cases.case_file.model.case import Case
from services.cases.case_file.model.enums import ApplicantKind, Channel, SpecialProcedure
from services.cases.case_file.model.states import State
from shared import clock
from shared.domain.codes import MatterType
from shared.domain.guides import PersonalGuide, Step
from shared.domain.workdays import Moment, seed_calendar
from shared.errors import ConflictError
from shared.ids import new_id
from shared.security.crypto import use_key
from tests.cases.conftest import BASE, Hall, at
from tests.conftest import published

CALENDAR = seed_calendar()
SUSPENSION = {"kind": "检验", "planned_days": 5, "reason": "送检验机构检验"}
EXTENSION = {"days": 10, "reasons": "案情复杂, 需补充核查"}


def moment(day: date) -> Moment:
    return Moment(at(f"{day}T12:00"), CALENDAR)


def a_case(accepted: date, promised_days: int = 10, legal_days: int | None = 20) -> Case:
    """An accepted case of the model alone."""
    names = ("number", "area_code", "department_code", "matter_code", "matter_name")
    steps = (
        Step(code="S1", name="审查", role="review", days=6),
        Step(code="S2", name="决定", role="decision", days=2),
    )
    case = Case(
        id=new_id(),
        state=State.RECEIVED,
        revision=1,
        matter_id=new_id(),
        immediate=False,
        matter_type=MatterType.LICENSING,
        channel=Channel.PC,
        applicant_kind=ApplicantKind.PERSON,
        promised_days=promised_days,
        legal_days=legal_days,
        guide=PersonalGuide.model_construct(steps=steps, materials=()),
        reviewers=[],
        materials=[],
        clock_from=accepted,
        deemed=False,
        extended_days=0,
        **dict.fromkeys(names, "x"),
    )
    with use_key(bytes(32), platform=bytes(32)):
        _ = case.accept("clerk", moment(accepted))
    return case


days = st.dates(date(2026, 1, 5), date(2026, 9, 30))


@given(
    start=days, worked=st.integers(0, 10), suspended=st.integers(0, 60), twice=st.integers(0, 20)
)
def test_working_days_left_are_the_same_after_a_suspension(
    start: date, worked: int, suspended: int, twice: int
) -> None:
    case = a_case(start)
    today = CALENDAR.add_working_days(start, worked)

    for length in (suspended, twice):
        before = [
            CALENDAR.working_days_between(today, end=due)
            for due in (case.due_on, case.legal_due_on, case.step_due_on)
            if due
        ]
        _ = case.suspend(SpecialProcedure.APPRAISAL, 5, at=moment(today))
        today += timedelta(days=length)
        _ = case.resume(moment(today))
        after = [
            CALENDAR.working_days_between(today, end=due)
            for due in (case.due_on, case.legal_due_on, case.step_due_on)
            if due
        ]

        assert after == before


@given(start=days, days=st.integers(1, 10))
def test_extension_moves_every_clock_by_its_days(start: date, days: int) -> None:
    case = a_case(start)

    fact = case.extend(days, moment(start))

    assert case.due_on == fact.promised_due_on == CALENDAR.add_working_days(start, 10 + days)
    assert case.legal_due_on == fact.legal_due_on == CALENDAR.add_working_days(start, 20 + days)
    assert case.step_due_on == CALENDAR.add_working_days(start, 6 + days)


def test_extend_refused_when_its_time_is_over() -> None:
    case = a_case(date(2026, 3, 2))
    late = moment(CALENDAR.add_working_days(date(2026, 3, 2), 20) + timedelta(days=1))

    with pytest.raises(ConflictError, match="time is over"):
        _ = case.extend(5, late)


async def test_case_is_suspended_resumed_and_decided(hall: Hall) -> None:
    case = await hall.reviewed()
    due = (case["due_on"], case["legal_due_on"])
    suspended = await hall.do(case, "suspension", hall.officer("approver"), SUSPENSION)
    refused = await hall.act(suspended, "decision", hall.officer("leader"), {"result": "0"})
    grey = await hall.clocks(date.fromisoformat(case["legal_due_on"]) + timedelta(days=9))
    resumed = await hall.do(suspended, "resumption", hall.officer("approver"))
    decided = await hall.do(resumed, "decision", hall.officer("leader"), {"result": "0"})
    steps = await hall.get(f"files/{case['id']}/timeline", hall.citizen)
    events = {
        event.type.split(".")[2]: event.data for event in await published(hall.client.database)
    }

    today = clock.local_date(clock.now()).isoformat()
    assert (suspended["state"], suspended["suspension"], suspended["suspended_on"]) == (
        "suspended",
        "检验",
        today,
    )
    assert (refused.status_code, refused.json()["allowed"]) == (409, ["resume", "withdraw"])
    assert grey == {"deemed_accepted": 0, "lights_raised": 0, "lights_cleared": 0}
    assert (resumed["state"], resumed["due_on"], resumed["legal_due_on"]) == ("accepted", *due)
    assert (decided["state"], resumed["suspended_on"]) == ("decided", None)
    assert [step["act"] for step in steps][-3:] == ["suspend", "resume", "decide"]
    assert (events["case-suspended"]["kind"], events["case-suspended"]["planned_days"]) == (
        "检验",
        5,
    )
    assert events["case-resumed"]["promised_due_on"] == due[0]


async def test_extension_is_given_once_by_the_organs_head(hall: Hall) -> None:
    case = await hall.accepted()
    today = clock.local_date(clock.now())

    async def status(role: str, body: Any = EXTENSION) -> int:
        return (await hall.act(case, "extension", hall.officer(role), body)).status_code

    refused = [await status("approver"), await status("leader", {**EXTENSION, "days": 11})]
    refused += [
        await status("leader", {**EXTENSION, "days": 0}),
        await status("leader", {"days": 3}),
    ]
    extended = await hall.do(case, "extension", hall.officer("department_head"), EXTENSION)
    again = await hall.act(extended, "extension", hall.officer("leader"), EXTENSION)

    assert refused == [403, 400, 400, 400]
    assert (extended["extended_days"], again.status_code) == (10, 409)
    assert extended["due_on"] == CALENDAR.add_working_days(today, 20).isoformat()
    assert extended["legal_due_on"] == CALENDAR.add_working_days(today, 30).isoformat()
    fact = [
        event.data
        for event in await published(hall.client.database)
        if event.type.endswith("case-extended.v1")
    ]
    assert [(data["days"], data["promised_due_on"]) for data in fact] == [(10, extended["due_on"])]
    audit = await (connection := await hall.client.database.connect()).fetch(
        "SELECT reason FROM audit WHERE action = 'case.extend'"
    )
    await connection.close()
    assert [row["reason"] for row in audit] == [EXTENSION["reasons"]]


async def test_suspension_refused_out_of_its_place(hall: Hall) -> None:
    case = await hall.apply()
    approver = hall.officer("approver")

    early = await hall.act(case, "suspension", approver, SUSPENSION)
    case = await hall.do(case, "acceptance", hall.officer("window_clerk"))
    not_running = await hall.act(case, "resumption", approver)
    unknown = await hall.act(
        case, "suspension", approver, {**SUSPENSION, "kind": "午休", "planned_days": 0}
    )
    stranger = await hall.act(
        case, "suspension", hall.officer("approver", department="OTHER"), SUSPENSION
    )
    clerk = await hall.act(case, "suspension", hall.officer("window_clerk"), SUSPENSION)

    assert [a.status_code for a in (early, not_running, unknown, stranger, clerk)] == [
        409,
        409,
        400,
        404,
        403,
    ]
    assert {error["field"] for error in unknown.json()["errors"]} == {"kind", "planned_days"}
    assert "suspend" in not_running.json()["allowed"]


async def test_suspended_case_can_be_withdrawn_and_stays_on_the_work_list(hall: Hall) -> None:
    case = await hall.do(await hall.accepted(), "suspension", hall.officer("approver"), SUSPENSION)
    listed = await hall.get("work-list", hall.officer("approver"), state="suspended")

    withdrawn = await hall.do(case, "withdrawal", hall.citizen)

    assert [item["id"] for item in listed["items"]] == [case["id"]]
    assert (
        withdrawn["state"],
        (await hall.get("work-list", hall.officer("approver")))["items"],
    ) == ("withdrawn", [])
    assert (await hall.client.get(f"{BASE}/files/{case['id']}", headers=hall.citizen)).json()[
        "state"
    ] == "withdrawn"
