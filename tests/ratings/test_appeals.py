"""申诉复核: two reviewers from elsewhere agree, or one refuses."""

from datetime import timedelta
from typing import Any

import pytest

from shared import clock
from tests.builders.matters import CITY, DEPARTMENT
from tests.builders.ratings import BASE, CALENDAR, Bureau
from tests.conftest import published

REVIEW = {"agrees": True, "reasons": "查阅叫号与监控记录"}


async def excluded_facts(bureau: Bureau) -> list[dict[str, Any]]:
    return [
        one.data for one in await published(bureau.client.database) if "rating-excluded" in one.type
    ]


@pytest.mark.parametrize("ground", ["mistaken", "malicious"])
async def test_upheld_by_two_excludes_the_rating_and_deletes_nothing(
    bureau: Bureau, ground: str
) -> None:
    ticket = await bureau.open()
    appeal = await bureau.appeal(ticket, ground)

    pending = await bureau.review(appeal)
    assert (pending["state"], pending["agreements"], await excluded_facts(bureau)) == (
        "pending",
        1,
        [],
    )
    upheld = await bureau.review(pending)

    assert (upheld["state"], upheld["agreements"]) == ("upheld", 2)
    assert [(fact["reason"], fact["grade"]) for fact in await excluded_facts(bureau)] == [
        (ground, 1)
    ]
    assert (await bureau.get(f"tickets/{ticket['id']}/outcome", bureau.rater))[
        "state"
    ] == "excluded"
    [seen] = (await bureau.get("excluded", bureau.officer("auditor")))["items"]
    assert (seen["id"], seen["grade"], seen["excluded_reason"]) == (ticket["rating_id"], 1, ground)
    figures = (await bureau.get("statistics", bureau.handler))["total"]
    assert (figures["rated"], figures["excluded"], figures["appeals_upheld"]["value"]) == (
        0,
        1,
        1.0,
    )
    assert (await bureau.recounted())["equal"]


async def test_one_refusal_decides_and_the_rating_still_counts(bureau: Bureau) -> None:
    ticket = await bureau.open()
    appeal = await bureau.review(await bureau.appeal(ticket))

    refused = await bureau.review(appeal, agrees=False)

    assert (refused["state"], await excluded_facts(bureau)) == ("refused", [])
    figures = (await bureau.get("statistics", bureau.handler))["total"]
    assert (
        figures["rated"],
        figures["appeals_upheld"]["numerator"],
        figures["appeals_upheld"]["denominator"],
    ) == (
        1,
        0,
        1,
    )
    answer = await bureau.act(refused, "appeals/{id}/reviews", bureau.reviewer(), REVIEW)
    assert (answer.status_code, answer.json()["allowed"]) == (409, [])


async def test_same_reviewer_twice_409(bureau: Bureau) -> None:
    appeal = await bureau.appeal(await bureau.open())
    reviewer = bureau.reviewer()
    first = await bureau.act(appeal, "appeals/{id}/reviews", reviewer, REVIEW)

    second = await bureau.act(first.json(), "appeals/{id}/reviews", reviewer, REVIEW)

    assert (first.status_code, second.status_code) == (200, 409)


async def test_reviewers_are_never_of_the_appealing_department(bureau: Bureau) -> None:
    appeal = await bureau.appeal(await bureau.open())
    callers = {
        404: [
            bureau.officer("auditor"),
            bureau.officer("supervisor"),
            bureau.officer("auditor", area="540102000000", department="X"),
        ],
        403: [bureau.handler, bureau.rater],
    }

    for status, people in callers.items():
        for headers in people:
            answer = await bureau.act(appeal, "appeals/{id}/reviews", headers, REVIEW)
            assert answer.status_code == status, answer.text


async def test_appeal_is_possible_for_three_working_days_and_once(bureau: Bureau) -> None:
    today, opened = clock.now(), clock.now()
    while CALENDAR.working_days_between(clock.local_date(opened), end=clock.local_date(today)) < 4:
        opened -= timedelta(days=1)
    late = await bureau.open(opened)
    body = {"ground": "mistaken", "reasons": "点错了星级的评价"}
    assert "appeal" in late["allowed"]

    answer = await bureau.act(late, "tickets/{id}/appeal", bureau.handler, body)
    assert (answer.status_code, "until" in answer.json()["detail"]) == (409, True)
    ticket = await bureau.open()
    appeal = await bureau.appeal(ticket)
    again = await bureau.get(f"tickets/{ticket['id']}", bureau.handler)
    answer = await bureau.act(again, "tickets/{id}/appeal", bureau.handler, body)

    assert (answer.status_code, again["appeal_id"]) == (409, appeal["id"])
    assert appeal["review_due_on"] == str(CALENDAR.add_working_days(clock.local_date(today), 5))


async def test_reviewers_find_what_waits_for_them_but_not_their_own(bureau: Bureau) -> None:
    appeals = [await bureau.appeal(await bureau.open()) for _ in range(3)]

    first = await bureau.get("appeals", bureau.reviewer("supervisor"), limit=2)
    rest = await bureau.get("appeals", bureau.reviewer("supervisor"), limit=2, cursor=first["next"])
    own = await bureau.get("appeals", bureau.officer("supervisor"))

    assert [one["id"] for one in (*first["items"], *rest["items"])] == [
        one["id"] for one in appeals
    ]
    assert own["items"] == []


async def test_department_reads_the_opinions_but_not_whose_they_are(bureau: Bureau) -> None:
    ticket = await bureau.open()
    reviewer = "018f0000-0000-7000-8000-0000000000bb"
    appeal = await bureau.appeal(ticket)
    answer = await bureau.act(appeal, "appeals/{id}/reviews", bureau.reviewer(sub=reviewer), REVIEW)
    assert answer.status_code == 200

    shown = await bureau.client.get(f"{BASE}/appeals/{appeal['id']}", headers=bureau.handler)
    steps = await bureau.client.get(f"{BASE}/tickets/{ticket['id']}", headers=bureau.handler)

    assert shown.json()["opinions"] == [REVIEW["reasons"]]
    assert reviewer not in shown.text + steps.text


async def test_appeal_409_when_the_ticket_is_closed(bureau: Bureau) -> None:
    ticket = await bureau.rectified(await bureau.open())
    _ = await bureau.rerate(ticket, 5)
    closed = await bureau.get(f"tickets/{ticket['id']}", bureau.handler)

    answer = await bureau.act(
        closed,
        "tickets/{id}/appeal",
        bureau.handler,
        {"ground": "mistaken", "reasons": "点错了星级的评价"},
    )

    assert (answer.status_code, closed["allowed"]) == (409, [])
    assert (closed["area_code"], closed["department_code"]) == (CITY, DEPARTMENT)
