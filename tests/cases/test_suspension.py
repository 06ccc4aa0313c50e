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
from tests.cases.conftest import BASE, StackFixture, at
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


async def test_case_is_suspended_resumed_and_decided(stack: StackFixture) -> None:
    case = await stack.reviewed()
    due = (case["due_on"], case["legal_due_on"])
    suspended = await stack.do(case, "suspension", stack.officer("approver"), SUSPENSION)
    refused = await stack.act(suspended, "decision", stack.officer("leader"), {"result": "0"})
    grey = await stack.clocks(date.fromisoformat(case["legal_due_on"]) + timedelta(days=9))
    resumed = await stack.do(suspended, "resumption", stack.officer("approver"))
    decided = await stack.do(resumed, "decision", stack.officer("leader"), {"result": "0"})
    steps = await stack.get(f"files/{case['id']}/timeline", stack.citizen)
    events = {
        event.type.split(".")[2]: event.data for event in await published(stack.client.database)
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


async def test_extension_is_given_once_by_the_organs_head(stack: StackFixture) -> None:
    case = await stack.accepted()
    today = clock.local_date(clock.now())

    async def status(role: str, body: Any = EXTENSION) -> int:
        return (await stack.act(case, "extension", stack.officer(role), body)).status_code

    refused = [await status("approver"), await status("leader", {**EXTENSION, "days": 11})]
    refused += [
        await status("leader", {**EXTENSION, "days": 0}),
        await status("leader", {"days": 3}),
    ]
    extended = await stack.do(case, "extension", stack.officer("department_head"), EXTENSION)
    again = await stack.act(extended, "extension", stack.officer("leader"), EXTENSION)

    assert refused == [403, 400, 400, 400]
    assert (extended["extended_days"], again.status_code) == (10, 409)
    assert extended["due_on"] == CALENDAR.add_working_days(today, 20).isoformat()
    assert extended["legal_due_on"] == CALENDAR.add_working_days(today, 30).isoformat()
    fact = [
        event.data
        for event in await published(stack.client.database)
        if event.type.endswith("case-extended.v1")
    ]
    assert [(data["days"], data["promised_due_on"]) for data in fact] == [(10, extended["due_on"])]
    audit = await (connection := await stack.client.database.connect()).fetch(
        "SELECT reason FROM audit WHERE action = 'case.extend'"
    )
    await connection.close()
    assert [row["reason"] for row in audit] == [EXTENSION["reasons"]]


async def test_suspension_refused_out_of_its_place(stack: StackFixture) -> None:
    case = await stack.apply()
    approver = stack.officer("approver")

    early = await stack.act(case, "suspension", approver, SUSPENSION)
    case = await stack.do(case, "acceptance", stack.officer("window_clerk"))
    not_running = await stack.act(case, "resumption", approver)
    unknown = await stack.act(
        case, "suspension", approver, {**SUSPENSION, "kind": "午休", "planned_days": 0}
    )
    stranger = await stack.act(
        case, "suspension", stack.officer("approver", department="OTHER"), SUSPENSION
    )
    clerk = await stack.act(case, "suspension", stack.officer("window_clerk"), SUSPENSION)

    assert [a.status_code for a in (early, not_running, unknown, stranger, clerk)] == [
        409,
        409,
        400,
        404,
        403,
    ]
    assert {error["field"] for error in unknown.json()["errors"]} == {"kind", "planned_days"}
    assert "suspend" in not_running.json()["allowed"]


async def test_suspended_case_can_be_withdrawn_and_stays_on_the_work_list(
    stack: StackFixture,
) -> None:
    case = await stack.do(
        await stack.accepted(), "suspension", stack.officer("approver"), SUSPENSION
    )
    listed = await stack.get("work-list", stack.officer("approver"), state="suspended")

    withdrawn = await stack.do(case, "withdrawal", stack.citizen)

    assert [item["id"] for item in listed["items"]] == [case["id"]]
    assert (
        withdrawn["state"],
        (await stack.get("work-list", stack.officer("approver")))["items"],
    ) == ("withdrawn", [])
    assert (await stack.client.get(f"{BASE}/files/{case['id']}", headers=stack.citizen)).json()[
        "state"
    ] == "withdrawn"
