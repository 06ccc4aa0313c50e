"""Rates of 好差评: exact with their parts, and equal to a recount after any history."""

import random
from collections.abc import Callable
from datetime import timedelta
from math import isclose
from typing import Any

import pytest

from services.ratings.statistics.model.rates import wilson
from shared import clock
from tests.builders.matters import CITY, CODE, DEPARTMENT
from tests.builders.ratings import BASE, Bureau, at
from tests.conftest import published

OTHER = "11540100MB0Q01905U"
ELSEWHERE = "540102000000"


def rate(figures: dict[str, Any], name: str) -> tuple[int, int]:
    return figures[name]["numerator"], figures[name]["denominator"]


async def test_rates_have_numerator_and_denominator(bureau: Bureau) -> None:
    for grade in (5, 5, 4, 3):
        _ = await bureau.rate(clock.now(), grade=grade)
    for _ in range(2):
        _ = await bureau.invite(clock.now())
    done = await bureau.rectified(await bureau.open())
    _ = await bureau.rerate(done, 5)
    _ = await bureau.call(await bureau.open(grade=2))
    _ = await bureau.open(real_name=False)

    total = (await bureau.get("statistics", bureau.handler))["total"]

    assert (total["rated"], total["grades"]) == (7, {"1": 2, "2": 1, "3": 1, "4": 1, "5": 2})
    assert rate(total, "participation") == (7, 9)
    assert rate(total, "good") == (4, 7)
    assert rate(total, "bad") == (3, 7)
    assert rate(total, "satisfaction") == (10 + 4 + 3 + 2 + 2, 35)
    assert rate(total, "called_back") == (2, 2)
    assert rate(total, "rectified") == (1, 3)
    assert rate(total, "rectified_in_time") == (1, 1)
    assert rate(total, "satisfied_after") == (1, 1)


async def test_overdue_rectification_counts_among_those_due(bureau: Bureau) -> None:
    _ = await bureau.open(at("2026-06-05"))

    await bureau.tick(at("2026-06-20"))

    asked = {"first": "2026-06", "last": "2026-06"}
    assert rate(
        (await bureau.get("statistics", bureau.handler, **asked))["total"], "rectified_in_time"
    ) == (0, 1)
    assert (await bureau.recounted())["equal"]


async def test_drill_down_by_every_dimension(bureau: Bureau) -> None:
    supervisor = bureau.officer("supervisor")
    places: list[dict[str, Any]] = [
        {},
        {"window": "4"},
        {"hall": "H2", "window": "1"},
        {"matter_code": "M2"},
        {"department_code": OTHER},
        {"area_code": ELSEWHERE},
    ]
    for place in places:
        _ = await bureau.rate(
            at("2026-10-09"), place, pf="3" if place else "2", sub_channel="window_qr"
        )
    _ = await bureau.rate(at("2026-09-09"), grade=1)

    async def groups(*names: str, **only: str) -> dict[tuple[str, ...], int]:
        asked = {"group_by": list(names), "first": "2026-09", "last": "2026-10", **only}
        found = await bureau.get("statistics", supervisor, **asked)
        assert (
            sum(group["figures"]["rated"] for group in found["groups"]) == found["total"]["rated"]
        )
        return {
            tuple(group["group"].values()): group["figures"]["rated"] for group in found["groups"]
        }

    assert await groups("area") == {(CITY,): 6, (ELSEWHERE,): 1}
    assert await groups("area", "department") == {
        (CITY, OTHER): 1,
        (CITY, DEPARTMENT): 5,
        (ELSEWHERE, DEPARTMENT): 1,
    }
    assert await groups("month") == {("2026-09",): 1, ("2026-10",): 6}
    assert await groups("channel") == {("2",): 2, ("3",): 5}
    assert await groups("matter", area=CITY, channel="3") == {("M2",): 1, (CODE,): 3}
    assert await groups("hall", "window", area=CITY) == {
        ("H1", "3"): 4,
        ("H1", "4"): 1,
        ("H2", "1"): 1,
    }
    assert await groups("hall", "channel", area=CITY) == {
        ("H1", "2"): 2,
        ("H1", "3"): 3,
        ("H2", "3"): 1,
    }
    assert await groups("month", "channel", department=OTHER) == {("2026-10", "3"): 1}


async def test_channel_share_and_department_coverage(bureau: Bureau) -> None:
    for pf in ("2", "2", "3", "7"):
        _ = await bureau.rate(clock.now(), pf=pf)
    _ = await bureau.invite(clock.now(), department_code=OTHER)

    found = await bureau.get("statistics", bureau.officer("supervisor"), group_by="channel")

    assert {
        group["group"]["channel"]: rate(group["figures"], "share") for group in found["groups"]
    } == {
        "2": (2, 4),
        "3": (1, 4),
        "7": (1, 4),
    }
    assert (found["coverage"]["numerator"], found["coverage"]["denominator"]) == (1, 2)


async def test_ranking_by_the_lower_bound_and_only_with_enough(bureau: Bureau) -> None:
    for department, number, bad in (("A", 40, 8), ("B", 35, 1), ("C", 3, 0)):
        for n in range(number):
            _ = await bureau.rate(
                clock.now(), {"department_code": department}, grade=2 if n < bad else 5
            )

    found = await bureau.get("statistics", bureau.officer("supervisor"), group_by="department")

    assert {group["group"]["department"]: group["rank"] for group in found["groups"]} == {
        "A": 2,
        "B": 1,
        "C": None,
    }


def test_wilson_bounds() -> None:
    bounds = wilson(8, number=10)

    assert bounds is not None
    assert isclose(bounds["low"], 0.490162, abs_tol=1e-6)
    assert isclose(bounds["high"], 0.943318, abs_tol=1e-6)
    assert wilson(0, number=0) is None


async def test_staff_see_their_own_department_alone(bureau: Bureau) -> None:
    _ = await bureau.rate(clock.now())
    _ = await bureau.rate(clock.now(), {"department_code": OTHER})

    own = await bureau.get("statistics", bureau.handler, group_by="department")
    answer = await bureau.client.get(
        f"{BASE}/statistics", params={"department": OTHER}, headers=bureau.handler
    )

    assert [group["group"]["department"] for group in own["groups"]] == [DEPARTMENT]
    assert answer.status_code == 403
    assert (await bureau.client.get(f"{BASE}/statistics", headers=bureau.rater)).status_code == 403


@pytest.mark.parametrize(
    ("asked", "fields"),
    [
        ({"group_by": ["matter", "hall"], "area": CITY}, {"group_by"}),
        ({"group_by": ["window"], "area": CITY}, {"group_by"}),
        ({"group_by": ["area", "department", "month"]}, {"group_by"}),
        ({"first": "2020-01", "last": "2026-01"}, {"last"}),
        ({"first": "2026-02", "last": "2026-01"}, {"last"}),
    ],
)
async def test_questions_that_are_not_kept_400(
    bureau: Bureau, asked: dict[str, Any], fields: set[str]
) -> None:
    answer = await bureau.client.get(
        f"{BASE}/statistics", params=asked, headers=bureau.officer("supervisor")
    )

    assert answer.status_code == 400
    assert {error["field"] for error in answer.json()["errors"]} == fields


async def test_groups_are_paged(bureau: Bureau) -> None:
    for n in range(5):
        _ = await bureau.rate(clock.now(), {"department_code": f"D{n}"})
    supervisor, seen, cursor = bureau.officer("supervisor"), list[str](), None
    while True:
        page = await bureau.get(
            "statistics",
            supervisor,
            group_by="department",
            limit=2,
            **({"cursor": cursor} if cursor else {}),
        )
        seen += [group["group"]["department"] for group in page["groups"]]
        cursor = page["next"]
        if cursor is None:
            break

    assert seen == [f"D{n}" for n in range(5)]


async def test_recount_tells_a_difference_and_repairs_nothing(bureau: Bureau) -> None:
    _ = await bureau.rate(clock.now())
    connection = await bureau.client.database.connect()
    _ = await connection.execute(
        "UPDATE rating_count SET grade_5 = grade_5 + 1 WHERE grain = 'matter' AND pf = '2'"
    )
    await connection.close()

    for _ in range(2):
        found = await bureau.recounted()
        assert not found["equal"]
        [difference] = found["differences"]
        assert (
            difference["cell"]["grain"],
            difference["counted"]["grade_5"],
            difference["true"]["grade_5"],
        ) == (
            "matter",
            2,
            1,
        )


Step = Callable[[dict[str, Any]], Any]


class History:
    """Random acts on random tickets, each of them possible, until nothing is left to do."""

    def __init__(self, bureau: Bureau, seed: int) -> None:
        self.bureau = bureau
        self.dice = random.Random(seed)
        self.now = clock.now()

    async def begin(self) -> None:
        places: list[dict[str, Any]] = [
            {},
            {"hall": None, "window": None},
            {"matter_code": None},
            {"window": "9"},
        ]
        for _ in range(6):
            _ = await self.bureau.invite(self.now - timedelta(days=self.dice.randrange(60)))
        for _ in range(14):
            _ = await self.bureau.rate(
                self.now - timedelta(days=self.dice.randrange(4)),
                self.dice.choice(places),
                grade=self.dice.choice([1, 1, 2, 2, 3, 4, 5]),
                pf=self.dice.choice("1237"),
                real_name=self.dice.random() < 0.7,
                suspicions=["bad_text"] if self.dice.random() < 0.5 else [],
                text="说了几句话" if self.dice.random() < 0.5 else None,
            )

    async def step(self) -> bool:
        """One act; whether there was one to do."""
        page = await self.bureau.get("tickets", self.bureau.handler)
        known = [
            await self.bureau.get(f"tickets/{one['id']}", self.bureau.handler)
            for one in page["items"]
        ]
        if not known:
            return False
        ticket = self.dice.choice(known)
        acts: dict[str, Step] = {
            "callbacks": lambda one: self.bureau.call(one, reached=self.dice.random() < 0.6),
            "verification": self.bureau.verify,
            "rectification": self.plan,
            "rectification/approval": self.approve,
            "rectification/completion": self.bureau.complete,
            "feedback": self.bureau.feed_back,
            "re-rating": lambda one: self.bureau.rerate(one, self.dice.randint(1, 5)),
            "appeal": self.appeal,
        }
        possible = [
            act
            for act in ticket["allowed"]
            if act in acts and not (act == "appeal" and ticket["appeal_id"])
        ]
        if possible:
            _ = await acts[self.dice.choice(possible)](ticket)
        return True

    async def plan(self, ticket: dict[str, Any]) -> Any:
        if self.dice.random() < 0.5:
            return await self.bureau.plan(ticket)
        return await self.bureau.plan(
            ticket, kind="complex", reason="需要改造系统", ledger="台账-1"
        )

    async def approve(self, ticket: dict[str, Any]) -> Any:
        return await self.bureau.do(
            ticket, "rectification/approval", self.bureau.officer("department_head")
        )

    async def appeal(self, ticket: dict[str, Any]) -> None:
        body = {"ground": "malicious", "reasons": "评价人并未办理该事项"}
        answer = await self.bureau.act(ticket, "tickets/{id}/appeal", self.bureau.handler, body)
        if answer.status_code == 201:
            agrees = self.dice.random() < 0.6
            reviewed = await self.bureau.review(answer.json(), agrees=agrees)
            if agrees:
                _ = await self.bureau.review(reviewed, agrees=self.dice.random() < 0.7)


@pytest.mark.parametrize("seed", range(2))
async def test_counters_equal_a_recount_after_any_history(bureau: Bureau, seed: int) -> None:
    history = History(bureau, seed)
    await history.begin()

    for n in range(45):
        if not await history.step():
            break
        if n % 15 == 14:
            await bureau.tick(history.now + timedelta(days=n))
            assert await bureau.recounted() == {"equal": True, "differences": []}

    assert await bureau.recounted() == {"equal": True, "differences": []}
    assert len(await published(bureau.client.database)) > 20
