"""差评整改: a bad rating is verified, called back, put right or explained, and judged again."""

import asyncio
from collections import Counter
from datetime import date, timedelta
from typing import Any

import pytest

from services.ratings.calendar.model import Deadlines
from services.ratings.rating.model.root_causes import RootCause
from services.ratings.tickets.model.clocks import escalations
from services.ratings.tickets.model.ticket import RootCauseFound, Ticket
from services.ratings.timers import watch_tickets
from shared import clock
from shared.ids import new_id
from tests.builders.matters import CITY
from tests.builders.ratings import (
    BASE,
    CALENDAR,
    CLOSING,
    RATER,
    Bureau,
    a_rating,
    an_invitation,
    at,
    moment,
)
from tests.conftest import published

ELSEWHERE = "540102000000"
OTHER = "11540100MB0Q01905U"


async def facts(bureau: Bureau, word: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Names of the facts so far that hold `word`, with their data."""
    events = [
        (event.type.split(".")[2], event.data) for event in await published(bureau.client.database)
    ]
    return [(name, data) for name, data in events if word in name]


async def test_bad_rating_opens_a_ticket_with_its_clocks(bureau: Bureau) -> None:
    rating = await bureau.rate(at("2026-06-05"), grade=2)  # A Friday.

    ticket = await bureau.get(f"tickets/{await bureau.ticket_id(rating)}", bureau.handler)
    [(name, data)] = await facts(bureau)
    assert (ticket["state"], ticket["round"], ticket["level"]) == ("open", 1, 0)
    dues = [
        ticket[name]
        for name in ("callback_due_on", "verify_due_on", "rectify_due_on", "next_due_on")
    ]
    assert dues == ["2026-06-08", "2026-06-10", "2026-06-12", "2026-06-08"]
    assert (ticket["applicant"], ticket["phone"]) == ("德吉**", "139****7788")
    assert (name, data["reopened"], data["rectify_due_on"]) == (
        "bad-rating-opened",
        False,
        "2026-06-12",
    )


@pytest.mark.parametrize(
    ("grade", "suspicions", "opens"), [(3, [], 0), (3, ["bad_text"], 1), (4, ["bad_text"], 0)]
)
async def test_ticket_for_three_stars_only_with_bad_words(
    bureau: Bureau, grade: int, suspicions: list[str], opens: int
) -> None:
    _ = await bureau.rate(clock.now(), grade=grade, text="办事太慢", suspicions=suspicions)

    assert len((await bureau.get("tickets", bureau.handler))["items"]) == opens


async def test_whole_life_until_the_rater_is_satisfied(bureau: Bureau) -> None:
    ticket = await bureau.rectified(await bureau.open())

    outcome = await bureau.rerate(ticket, 4)

    assert (outcome["state"], outcome["satisfied"], outcome["regrade"]) == ("closed", True, 4)
    assert [name for name, _ in await facts(bureau)] == [
        "bad-rating-opened",
        "bad-rating-called-back",
        "bad-rating-rectified",
        "rating-rerated",
    ]
    assert all(data.get("in_time", True) for _, data in await facts(bureau))
    steps = (await bureau.get(f"tickets/{ticket['id']}", bureau.handler))["steps"]
    assert [step["act"] for step in steps] == [
        "verify",
        "call_back",
        "plan",
        "complete",
        "feed_back",
        "rerate",
    ]
    assert [step["outcome"] for step in steps[:2]] == ["confirmed", "reached"]


async def test_not_satisfied_reopens_once_only(bureau: Bureau) -> None:
    ticket = await bureau.rectified(await bureau.open())
    reopened = await bureau.rerate(ticket, 2)
    assert (reopened["state"], reopened["satisfied"]) == ("reopened", False)
    again = await bureau.get(f"tickets/{ticket['id']}", bureau.handler)
    assert (again["round"], again["verified_on"], again["root_cause"]) == (2, None, None)

    closed = await bureau.rerate(await bureau.rectified(again), 1)

    assert closed["state"] == "closed"
    assert [data["reopened"] for _, data in await facts(bureau, "opened")] == [False, True]


async def test_illegal_moves_409_naming_the_allowed(bureau: Bureau) -> None:
    ticket = await bureau.open()

    answer = await bureau.act(
        ticket, "tickets/{id}/rectification/completion", bureau.handler, CLOSING
    )

    assert answer.status_code == 409
    assert answer.json()["allowed"] == ["appeal", "callbacks", "verification"]
    ticket = await bureau.verify(ticket)
    plan = {"kind": "simple", "words": "立即整改"}
    answer = await bureau.act(ticket, "tickets/{id}/rectification", bureau.handler, plan)
    assert (answer.status_code, answer.json()["allowed"]) == (409, ["appeal", "callbacks"])


async def test_rater_who_never_answers_does_not_stop_the_work(bureau: Bureau) -> None:
    ticket = await bureau.verify(await bureau.open())
    for _ in range(3):
        assert "rectification" not in ticket["allowed"]
        ticket = await bureau.call(ticket, reached=False)

    planned = await bureau.plan(ticket)

    assert (planned["state"], planned["attempts"], planned["called_back_on"]) == (
        "rectifying",
        3,
        None,
    )


async def test_anonymous_rater_is_not_called(bureau: Bureau) -> None:
    ticket = await bureau.verify(await bureau.open(real_name=False))

    assert ticket["allowed"] == ["appeal", "explanation", "rectification"]
    assert (ticket["applicant"], ticket["phone"]) == (None, None)


async def test_complex_rectification_waits_for_the_head_and_gets_more_days(bureau: Bureau) -> None:
    ticket = await bureau.call(await bureau.verify(await bureau.open()))
    more = {"kind": "complex", "reason": "涉及多部门系统改造", "ledger": "台账-12"}
    ticket = await bureau.plan(ticket, **more)
    assert "rectification/completion" not in ticket["allowed"]

    approved = await bureau.do(ticket, "rectification/approval", bureau.officer("department_head"))

    assert date.fromisoformat(approved["rectify_due_on"]) == CALENDAR.add_working_days(
        date.fromisoformat(ticket["opened_on"]), 15
    )
    assert (await bureau.complete(approved))["state"] == "rectified"


async def test_complex_rectification_states_reason_and_ledger(bureau: Bureau) -> None:
    ticket = await bureau.call(await bureau.verify(await bureau.open()))

    answer = await bureau.act(
        ticket,
        "tickets/{id}/rectification",
        bureau.handler,
        {"kind": "complex", "words": "需要更多时间"},
    )

    assert answer.status_code == 400
    assert {error["field"] for error in answer.json()["errors"]} == {"reason", "ledger"}


async def test_explanation_where_there_is_no_legal_basis(bureau: Bureau) -> None:
    ticket = await bureau.call(await bureau.verify(await bureau.open()))

    explained = await bureau.do(ticket, "explanation", body={**CLOSING, "root_cause": "policy"})

    assert (explained["state"], explained["explained"]) == ("explained", True)
    assert [data["explained"] for _, data in await facts(bureau, "rectified")] == [True]


async def test_published_action_names_nobody_by_number(bureau: Bureau) -> None:
    ticket = await bureau.plan(await bureau.call(await bureau.verify(await bureau.open())))
    body = {**CLOSING, "action": "已电话13989007788告知本人"}

    answer = await bureau.act(ticket, "tickets/{id}/rectification/completion", bureau.handler, body)

    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == ["action"]


async def test_stale_version_412_and_missing_428(bureau: Bureau) -> None:
    ticket = await bureau.open()
    path, body = (
        f"{BASE}/tickets/{ticket['id']}/verification",
        {"confirmed": True, "words": "情况属实"},
    )
    _ = await bureau.verify(ticket)

    stale = await bureau.act(ticket, "tickets/{id}/verification", bureau.handler, body)

    assert stale.status_code == 412
    assert (await bureau.client.post(path, json=body, headers=bureau.handler)).status_code == 428


async def test_only_the_own_departments_handler_acts(bureau: Bureau) -> None:
    ticket = await bureau.open()
    body = {"confirmed": True, "words": "情况属实"}
    others = {
        404: [
            bureau.officer("rating_handler", department=OTHER),
            bureau.officer("rating_handler", area=ELSEWHERE),
        ],
        403: [bureau.officer("window_clerk"), bureau.rater, bureau.officer("supervisor")],
    }

    for status, callers in others.items():
        for caller in callers:
            answer = await bureau.act(ticket, "tickets/{id}/verification", caller, body)
            assert answer.status_code == status, answer.text


async def test_supervisor_sees_all_departments_of_the_area(bureau: Bureau) -> None:
    rating = await bureau.rate(
        clock.now(), {"area_code": ELSEWHERE, "department_code": OTHER}, grade=1
    )
    identifier = await bureau.ticket_id(rating)
    seen = {
        name: [one["id"] for one in (await bureau.get("tickets", headers))["items"]]
        for name, headers in {
            "own": bureau.officer("supervisor", area=ELSEWHERE, department="X"),
            "city": bureau.officer("supervisor", area=CITY, department="X"),
            "other": bureau.officer("supervisor", area="540121000000", department="X"),
            "handler": bureau.handler,
        }.items()
    }

    assert seen == {"own": [identifier], "city": [identifier], "other": [], "handler": []}


async def test_reveal_tells_the_rater_and_is_on_record_with_its_reason(bureau: Bureau) -> None:
    ticket = await bureau.open()
    path = f"{BASE}/tickets/{ticket['id']}/reveals"

    answer = await bureau.client.post(
        path, json={"reason": "电话回访核实情况"}, headers=bureau.handler
    )

    assert answer.json() == {"name": RATER["contact_name"], "phone": RATER["phone"]}
    connection = await bureau.client.database.connect()
    row = await connection.fetchrow(
        "SELECT reason, detail::text, object_id FROM audit WHERE action = 'ticket.reveal'"
    )
    await connection.close()
    assert row is not None
    assert (row["reason"], row["object_id"]) == ("电话回访核实情况", ticket["id"])
    assert RATER["phone"] not in row["detail"]
    other = bureau.officer("rating_handler", department=OTHER)
    assert (
        await bureau.client.post(path, json={"reason": "只是想看看"}, headers=other)
    ).status_code == 404


async def test_rater_reads_the_outcome_and_nobody_else(bureau: Bureau) -> None:
    ticket = await bureau.rectified(await bureau.open())

    outcome = await bureau.get(f"tickets/{ticket['id']}/outcome", bureau.rater)

    assert (outcome["action"], outcome["can_rerate"]) == (CLOSING["action"], True)
    assert [one["id"] for one in (await bureau.get("own-tickets", bureau.rater))["items"]] == [
        ticket["id"]
    ]
    for headers in (bureau.token(), bureau.handler, {}):
        answer = await bureau.client.get(f"{BASE}/tickets/{ticket['id']}/outcome", headers=headers)
        assert answer.status_code == 404


async def test_agent_sees_tickets_of_the_mandates_matters_alone(bureau: Bureau) -> None:
    matter = new_id()
    inside = await bureau.open(invitation={"matter_id": matter})
    outside = await bureau.open(invitation={"matter_id": new_id()})
    act = {"sub": str(new_id())}
    agent = bureau.token(sub=bureau.owner, act=act, matters=[str(matter)])

    found = await bureau.get("own-tickets", agent)
    answer = await bureau.client.get(f"{BASE}/tickets/{outside['id']}/outcome", headers=agent)

    assert [one["id"] for one in found["items"]] == [inside["id"]]
    assert answer.status_code == 404


def test_every_clock_climbs_three_levels() -> None:
    found = sorted(
        escalations({"callback": date(2026, 6, 8)}, Deadlines().escalation_step, calendar=CALENDAR)
    )

    assert [(str(one.day), one.level) for one in found] == [
        ("2026-06-09", 1),
        ("2026-06-11", 2),
        ("2026-06-13", 3),
    ]


async def test_ticket_left_alone_escalates_each_level_once(bureau: Bureau) -> None:
    rating = await bureau.rate(at("2026-06-05"), grade=1)
    days = [at("2026-06-05") + timedelta(days=n) for n in range(30)]

    for day in days:
        _ = await watch_tickets(bureau.client.database, day)
        _ = await watch_tickets(bureau.client.database, day + timedelta(hours=1))

    told = [
        (data["clock"], data["level"], data["occurred_at"][:10])
        for _, data in await facts(bureau, "escalated")
    ]
    assert len(told) == len(set(told)) == 9
    assert Counter(clock for clock, *_ in told) == {"callback": 3, "verify": 3, "rectify": 3}
    assert ("callback", 1, "2026-06-09") in told
    assert ("rectify", 1, "2026-06-13") in told
    assert (await bureau.get(f"tickets/{await bureau.ticket_id(rating)}", bureau.handler))[
        "level"
    ] == 3


async def test_levels_missed_while_the_timer_slept_are_told_at_once(bureau: Bureau) -> None:
    _ = await bureau.rate(at("2026-06-05"), grade=1)

    run = await watch_tickets(bureau.client.database, at("2026-08-05"))

    assert (run.tickets, run.escalated) == (1, 9)


async def test_clock_that_was_met_does_not_escalate(bureau: Bureau) -> None:
    ticket = await bureau.call(await bureau.verify(await bureau.open()))

    _ = await watch_tickets(bureau.client.database, clock.now() + timedelta(days=60))

    assert {data["clock"] for _, data in await facts(bureau, "escalated")} == {"rectify"}
    assert ticket["state"] == "called_back"


async def test_silent_rater_leaves_it_closed(bureau: Bureau) -> None:
    ticket = await bureau.rectified(await bureau.open())

    early = await watch_tickets(bureau.client.database, clock.now())
    late = await watch_tickets(bureau.client.database, clock.now() + timedelta(days=20))

    assert (early.closed, late.closed) == (0, 1)
    assert (await bureau.get(f"tickets/{ticket['id']}", bureau.handler))["state"] == "closed"


async def test_rater_who_is_told_nothing_is_escalated_once_in_a_round(bureau: Bureau) -> None:
    ticket = await bureau.call(await bureau.verify(await bureau.open()))
    ticket = await bureau.complete(await bureau.plan(ticket))
    due = date.fromisoformat(ticket["rectify_due_on"])

    runs = [
        await watch_tickets(bureau.client.database, at(f"{due + timedelta(days=n)}"))
        for n in range(15)
    ]

    told = [
        (data["clock"], data["level"], data["occurred_at"][:10])
        for _, data in await facts(bureau, "escalated")
    ]
    assert [(clock, level) for clock, level, _ in told] == [
        ("feedback", 1),
        ("feedback", 2),
        ("feedback", 3),
    ]
    assert told[0][2] == str(due + timedelta(days=1))
    assert sum(run.closed for run in runs) == 0
    ticket = await bureau.get(f"tickets/{ticket['id']}", bureau.handler)
    assert (ticket["state"], ticket["level"], ticket["next_due_on"]) == ("rectified", 3, str(due))
    _ = await bureau.feed_back(ticket)
    assert (
        await watch_tickets(bureau.client.database, clock.now() + timedelta(days=20))
    ).closed == 1


def test_feedback_given_again_does_not_keep_it_open() -> None:
    first, later = moment(at("2026-06-05")), moment(at("2026-06-11"))
    rating = a_rating(an_invitation(first.now), first.now, grade=1, real_name=False)
    ticket = Ticket.about(rating)
    _ = ticket.open(rating, days=Deadlines(), at=first)
    _ = ticket.verify(rating, confirmed=True, officer="H", at=first)
    found = RootCauseFound(RootCause.POLICY, "无依据", "已说明政策依据")
    _ = ticket.explain(rating, found, officer="H", at=first)

    days: list[date | None] = []
    for when in (first, later):
        ticket.feed_back("H", days=Deadlines(), at=when)
        days.append(ticket.silent_on)

    assert [str(day) for day in days] == ["2026-06-12", "2026-06-12"]


async def test_two_workers_escalate_once(bureau: Bureau) -> None:
    for _ in range(5):
        _ = await bureau.rate(at("2026-06-05"), grade=1)

    runs = await asyncio.gather(
        *(watch_tickets(bureau.client.database, at("2026-06-09")) for _ in range(4))
    )

    assert sum(run.escalated for run in runs) == 5


async def test_work_lists_are_ordered_filtered_and_paged(bureau: Bureau) -> None:
    today = clock.local_date(clock.now())
    old = [await bureau.open(at("2026-06-05")) for _ in range(3)]
    new = await bureau.open()
    _ = await bureau.verify(old[0])

    def ids(page: Any) -> list[str]:
        return [one["id"] for one in page["items"]]

    first = await bureau.get("tickets", bureau.handler, limit=2)
    second = await bureau.get("tickets", bureau.handler, limit=2, cursor=first["next"])
    assert [*ids(first), *ids(second)] == [*(one["id"] for one in old), new["id"]]
    assert second["next"] is None
    assert sorted(ids(await bureau.get("tickets", bureau.handler, overdue=True))) == sorted(
        one["id"] for one in old
    )
    assert ids(await bureau.get("tickets", bureau.handler, mine=True)) == [old[0]["id"]]
    assert len(ids(await bureau.get("tickets", bureau.handler, due_within=5))) == 4
    assert date.fromisoformat(new["next_due_on"]) > today


async def test_deadlines_are_data(bureau: Bureau) -> None:
    days = await bureau.get("deadlines", bureau.handler)
    changed = {**days, "callback": 2, "rectify_simple": 7}
    assert (days["callback"], days["verify"], days["rectify_simple"], days["rectify_complex"]) == (
        1,
        3,
        5,
        15,
    )
    url, administrator = f"{BASE}/deadlines", bureau.officer("administrator")
    assert (await bureau.client.put(url, json=changed, headers=bureau.handler)).status_code == 403
    assert (
        await bureau.client.put(url, json={**changed, "appeal": 0}, headers=administrator)
    ).status_code == 400

    assert (await bureau.client.put(url, json=changed, headers=administrator)).json() == changed
    ticket = await bureau.open(at("2026-06-05"))

    assert await bureau.get("deadlines", bureau.handler) == changed
    assert (ticket["callback_due_on"], ticket["rectify_due_on"]) == ("2026-06-09", "2026-06-16")


async def test_words_of_steps_lie_encrypted(bureau: Bureau) -> None:
    _ = await bureau.verify(await bureau.open())

    connection = await bureau.client.database.connect()
    row = await connection.fetchval("SELECT words FROM ticket_step")
    await connection.close()
    assert "情况属实".encode() not in (row or b"")
