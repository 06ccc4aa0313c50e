"""Lights (红黄灯): which ones are raised, and that each is raised and put out exactly once.

The department answers them, and supervision sees them.
"""

import asyncio
from collections import Counter
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cases.case_file.model.clocks import Clocks, next_day, raised_lights
from services.cases.case_file.model.states import State
from shared import clock
from shared.domain.workdays import seed_calendar
from tests.builders.matters import CITY
from tests.cases.conftest import StackFixture
from tests.conftest import TokenFactory, published

CALENDAR = seed_calendar()
DAY = timedelta(days=1)


def clocks(state: str = "accepted", **changes: Any) -> Clocks:
    """Due on Tuesday 2026-06-16, by law on Tuesday 2026-06-30; the step on Friday 2026-06-12."""
    values: dict[str, Any] = {
        "state": state,
        "clock_from": date(2026, 6, 2),
        "due_on": date(2026, 6, 16),
        "legal_due_on": date(2026, 6, 30),
        "step": None,
        "step_due_on": None,
        "deemed": False,
        **changes,
    }
    return Clocks(**values)


@pytest.mark.parametrize(
    ("clocks", "day", "lights"),
    [
        (clocks(), "2026-06-12", []),
        (clocks(), "2026-06-15", ["promise yellow"]),
        (clocks(), "2026-06-16", ["promise yellow"]),
        (clocks(), "2026-06-17", ["promise red"]),
        (clocks(), "2026-07-01", ["promise red", "statute deep_red"]),
        (clocks(legal_due_on=None), "2026-07-01", ["promise red"]),
        # Monday is due: the weekend before it is already its last working day's notice.
        (clocks(due_on=date(2026, 6, 15)), "2026-06-13", ["promise yellow"]),
        # Losar 2026, 02-15 to 02-26: one working day left is the make-up day before it.
        (clocks(due_on=date(2026, 2, 27)), "2026-02-13", []),
        (clocks(due_on=date(2026, 2, 27)), "2026-02-14", ["promise yellow"]),
        (clocks(step="review", step_due_on=date(2026, 6, 5)), "2026-06-05", []),
        (clocks(step="review", step_due_on=date(2026, 6, 5)), "2026-06-08", ["step_review yellow"]),
        (clocks("received", step="intake", step_due_on=None), "2026-06-15", ["acceptance yellow"]),
        (clocks("decided"), "2026-06-15", ["delivery yellow"]),
        (clocks("decided"), "2026-06-17", ["delivery red"]),
        (clocks(deemed=True), "2026-06-05", ["deemed_acceptance red"]),
        *(
            (clocks(state), "2026-07-01", [])
            for state in ("suspended", "correcting", "closed", "withdrawn")
        ),
    ],
)
def test_lights_burn_by_the_days_left(clocks: Clocks, day: str, lights: list[str]) -> None:
    found = raised_lights(clocks, date.fromisoformat(day), calendar=CALENDAR)

    assert sorted(f"{light.rule} {light.level}" for light in found) == lights


days = st.dates(date(2026, 1, 1), date(2026, 12, 31))


@given(
    state=st.sampled_from(list(State)),
    due_on=days,
    legal_due_on=st.none() | days,
    step_due_on=st.none() | days,
    deemed=st.booleans(),
    today=days,
)
def test_nothing_goes_on_before_the_next_day_and_something_on_it(
    state: State,
    due_on: date,
    legal_due_on: date | None,
    step_due_on: date | None,
    deemed: bool,
    today: date,
) -> None:
    case = clocks(
        state,
        due_on=due_on,
        legal_due_on=legal_due_on,
        step="review",
        step_due_on=step_due_on,
        deemed=deemed,
    )
    now = raised_lights(case, today, calendar=CALENDAR)
    following = next_day(case, today, calendar=CALENDAR)

    assert following is None or following > today
    for n in range(1, 40):
        day = today + n * DAY
        new = raised_lights(case, day, calendar=CALENDAR) - now
        if following is None or day < following:
            assert new == set()
        elif day == following:
            assert new


async def rows(stack: StackFixture, **params: Any) -> list[tuple[str, str, bool]]:
    items = (await stack.get("lights", stack.officer("approver"), **params))["items"]
    return [(light["rule"], light["level"], light["cleared_at"] is None) for light in items]


async def facts(stack: StackFixture) -> Counter[str]:
    about = (event for event in await published(stack.client.database) if "light" in event.type)
    return Counter(
        f"{event.data['rule']} {event.data['level']} {event.type.split('-')[1][:-3]}"
        for event in about
    )


async def test_case_left_alone_goes_yellow_red_and_deep_red_with_one_fact_each(
    stack: StackFixture,
) -> None:
    today = clock.local_date(clock.now())
    _ = await stack.apply()
    acceptance = CALENDAR.add_working_days(today, 5)
    promise, statute = CALENDAR.add_working_days(today, 10), CALENDAR.add_working_days(today, 20)
    story = [
        today,
        CALENDAR.add_working_days(today, 2),  # the intake step of one day has overrun
        CALENDAR.add_working_days(today, 4),
        acceptance + DAY,
        promise,
        promise + DAY,
        statute + DAY,
    ]

    runs = [tuple((await stack.clocks(day)).values()) for day in story for _ in range(2)]

    assert runs[::2] == [
        (0, 0, 0),
        (0, 1, 0),
        (0, 1, 0),
        (1, 1, 2),
        (0, 2, 0),
        (0, 1, 1),
        (0, 1, 0),
    ]
    assert runs[1::2] == [(0, 0, 0)] * 7
    assert await rows(stack) == [
        ("step_intake", "yellow", False),
        ("acceptance", "yellow", False),
        ("deemed_acceptance", "red", True),
        ("promise", "yellow", False),
        ("step_review", "yellow", True),
        ("promise", "red", True),
        ("statute", "deep_red", True),
    ]
    assert await facts(stack) == Counter(
        {
            "step_intake yellow raised": 1,
            "step_intake yellow cleared": 1,
            "acceptance yellow raised": 1,
            "acceptance yellow cleared": 1,
            "deemed_acceptance red raised": 1,
            "promise yellow raised": 1,
            "promise yellow cleared": 1,
            "step_review yellow raised": 1,
            "promise red raised": 1,
            "statute deep_red raised": 1,
        }
    )


async def test_many_timers_at_once_raise_each_light_once(stack: StackFixture) -> None:
    for _ in range(12):
        _ = await stack.accepted()
    last = CALENDAR.add_working_days(clock.local_date(clock.now()), 10)

    runs = await asyncio.gather(*(stack.clocks(last + DAY) for _ in range(8)))

    assert sum(run["lights_raised"] for run in runs) == 24
    assert await facts(stack) == Counter(
        {"promise red raised": 12, "step_review yellow raised": 12}
    )
    assert Counter(await rows(stack)) == Counter(
        {("promise", "red", True): 12, ("step_review", "yellow", True): 12}
    )


async def test_step_of_the_next_role_counts_from_the_last_review(stack: StackFixture) -> None:
    _ = await stack.reviewed()
    decided_by = CALENDAR.add_working_days(clock.local_date(clock.now()), 2)

    early, late = await stack.clocks(decided_by), await stack.clocks(decided_by + DAY)

    assert (early["lights_raised"], late["lights_raised"]) == (0, 1)
    assert await rows(stack) == [("step_decision", "yellow", True)]


async def test_answer_puts_a_light_out_for_good(stack: StackFixture) -> None:
    _ = await stack.accepted()
    last = CALENDAR.add_working_days(clock.local_date(clock.now()), 10)
    _ = await stack.clocks(last + DAY)
    (light, other) = (await stack.get("lights", stack.officer("leader"), open=True))["items"]
    path, text = f"/api/v1/cases/lights/{light['id']}/answer", {"text": "材料核验延误, 今日办结"}
    version = {"If-Match": f'"{light["revision"]}"'}

    async def answer(headers: dict[str, str], body: Any = text) -> int:
        return (await stack.client.post(path, json=body, headers=headers)).status_code

    refused = [
        await answer(stack.officer("leader")),
        await answer({**stack.officer("leader"), "If-Match": '"9"'}),
        await answer({**stack.officer("leader", department="OTHER"), **version}),
        await answer({**stack.officer("supervisor"), **version}),
        await answer({**stack.citizen, **version}),
        await answer({**stack.officer("leader"), **version}, {"text": ""}),
    ]
    answers = [await answer({**stack.officer("approver"), **version}) for _ in range(2)]
    one = await stack.get(f"lights/{light['id']}", stack.officer("leader"))
    again = await stack.client.post(
        path, json=text, headers={**stack.officer("leader"), "If-Match": f'"{one["revision"]}"'}
    )
    rerun = await stack.clocks(last + 2 * DAY)

    assert refused == [428, 412, 404, 403, 403, 400]
    assert (answers, again.status_code, rerun["lights_raised"]) == ([200, 412], 409, 0)
    assert (one["answer"], one["cleared_at"] is None) == (text["text"], False)
    assert [
        item["id"]
        for item in (await stack.get("lights", stack.officer("leader"), open=True))["items"]
    ] == [other["id"]]
    assert (await facts(stack))[f"{light['rule']} {light['level']} cleared"] == 1


async def test_parallel_answers_have_one_effect(stack: StackFixture) -> None:
    _ = await stack.accepted()
    _ = await stack.clocks(CALENDAR.add_working_days(clock.local_date(clock.now()), 10))
    light = (await stack.get("lights", stack.officer("leader"), level="yellow"))["items"][0]
    headers = {**stack.officer("leader"), "If-Match": f'"{light["revision"]}"'}
    path = f"/api/v1/cases/lights/{light['id']}/answer"

    answers = await asyncio.gather(
        *(stack.client.post(path, json={"text": "已说明原因"}, headers=headers) for _ in range(30))
    )

    assert Counter(answer.status_code for answer in answers) == {200: 1, 412: 29}
    assert (await facts(stack))[f"{light['rule']} yellow cleared"] == 1


@pytest.mark.parametrize(
    ("path", "body", "role"),
    [
        ("decision", {"result": "0"}, "leader"),
        ("withdrawal", None, None),
        ("suspension", {"kind": "检验", "planned_days": 5, "reason": "送检验机构检验"}, "approver"),
        ("extension", {"days": 5, "reasons": "案情复杂需核查"}, "department_head"),
    ],
)
async def test_act_that_makes_a_light_untrue_puts_it_out_at_once(
    stack: StackFixture, path: str, body: Any, role: str
) -> None:
    case = await stack.reviewed()
    last = CALENDAR.add_working_days(clock.local_date(clock.now()), 10)
    _ = await stack.clocks(last)
    before = await rows(stack, open=True)

    _ = await stack.do(case, path, stack.officer(role) if role else stack.citizen, body)

    assert before == [("promise", "yellow", True), ("step_decision", "yellow", True)]
    assert await rows(stack, open=True) == []
    assert await rows(stack, open=False) == [(rule, level, False) for rule, level, _ in before]
    assert (await facts(stack))["promise yellow cleared"] == 1


async def test_extended_case_gets_its_notice_again_before_the_new_day(stack: StackFixture) -> None:
    case = await stack.accepted()
    today = clock.local_date(clock.now())
    _ = await stack.clocks(CALENDAR.add_working_days(today, 9))
    extension = {"days": 5, "reasons": "案情复杂需核查"}
    _ = await stack.do(case, "extension", stack.officer("leader"), extension)
    quiet = await stack.clocks(CALENDAR.add_working_days(today, 10))
    _ = await stack.clocks(CALENDAR.add_working_days(today, 14))

    promised = [light for light in await rows(stack) if light[0] == "promise"]

    assert quiet["lights_raised"] == 0
    assert promised == [("promise", "yellow", False), ("promise", "yellow", True)]


async def test_delivery_has_ten_days(stack: StackFixture) -> None:
    case = await stack.reviewed()
    _ = await stack.do(case, "decision", stack.officer("leader"), {"result": "0"})
    tenth = CALENDAR.add_working_days(clock.local_date(clock.now()), 10)

    _ = [await stack.clocks(day) for day in (tenth, tenth + DAY)]

    assert [light for light in await rows(stack) if light[0] == "delivery"] == [
        ("delivery", "yellow", False),
        ("delivery", "red", True),
    ]


async def test_lights_are_seen_by_the_department_and_by_supervision_of_the_area(
    stack: StackFixture, token: TokenFactory
) -> None:
    for _ in range(3):
        _ = await stack.accepted()
    _ = await stack.clocks(CALENDAR.add_working_days(clock.local_date(clock.now()), 10) + DAY)
    county = "540102000000"

    async def seen(headers: dict[str, str], **params: Any) -> int:
        found: set[str] = set()
        following: str | None = ""
        while following is not None:
            page = await stack.get(
                "lights", headers, limit=2, **params, **({"cursor": following} if following else {})
            )
            found |= {light["id"] for light in page["items"]}
            following = page["next"]
        return len(found)

    assert await seen(stack.officer("approver")) == 6
    assert await seen(stack.officer("approver"), level="red", open=True) == 3
    assert await seen(stack.officer("approver", department="OTHER")) == 0
    assert await seen(stack.officer("supervisor", department="OTHER")) == 6
    assert await seen(stack.officer("supervisor", area=county)) == 0
    light = (await stack.get("lights", stack.officer("supervisor", area=CITY)))["items"][0]
    for headers in (
        stack.officer("supervisor", area=county),
        stack.officer("leader", department="OTHER"),
    ):
        assert (
            await stack.client.get(f"/api/v1/cases/lights/{light['id']}", headers=headers)
        ).status_code == 404
    assert (
        await stack.client.get("/api/v1/cases/lights", headers=stack.citizen)
    ).status_code == 403
    assert (
        await stack.client.get("/api/v1/cases/lights", headers=stack.officer("auditor"))
    ).status_code == 403
