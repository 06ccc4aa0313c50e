"""专网: tokens are issued ahead, checked without us and used once.

What was rated inside comes with the token as its proof.
"""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from shared import clock
from shared.events.cases import CaseClosed, CaseImported
from tests.builders.matters import CITY, DEPARTMENT
from tests.conftest import TokenFactory, once
from tests.ratings.giving import BASE, PHONE, SITE, Giving, a_case, ago, today

PLACE = {"area_code": CITY, "department_code": DEPARTMENT, "hall": "公安专网大厅", "window": "Z1"}


def a_rating(token: str, **changes: Any) -> dict[str, Any]:
    said = {"grade": 4, "tags": ["413"], "pf": "4", "sub_channel": "tablet", "terminal": "Z1-7"}
    return {"token": token, "rated_at": clock.now().isoformat(), **said, **changes}


def statuses(verdicts: list[dict[str, Any]]) -> list[str]:
    return [verdict["status"] for verdict in verdicts]


async def test_batch_costs_one_row_and_is_downloaded_once(giving: Giving) -> None:
    body = {**PLACE, "size": 1000, "expires_on": str(today() + timedelta(days=90))}
    ordered = await giving.client.post(
        f"{BASE}/token-batches", json=body, headers=once(giving.system)
    )
    path = f"{BASE}/token-batches/{ordered.json()['id']}"

    first = await giving.client.post(f"{path}/download", headers=giving.system)
    second = await giving.client.post(f"{path}/download", headers=giving.system)
    shown = (await giving.client.get(path, headers=giving.administrator)).json()

    assert len({one["token"] for one in first.json()["tokens"]}) == 1000
    assert (second.status_code, shown["size"]) == (409, 1000)
    assert shown["downloaded_at"]
    for table in ("invitation", "redemption", "rating"):
        assert await giving.rows(f"SELECT 1 FROM {table}") == []


async def test_system_orders_for_its_own_department_alone(
    giving: Giving, token: TokenFactory
) -> None:
    body = {**PLACE, "size": 2, "expires_on": str(today())}
    other = token(kind="system", scope="ratings:push", area=CITY, department="D9")
    ordered = await giving.client.post(
        f"{BASE}/token-batches", json=body, headers=once(giving.administrator)
    )
    path = f"{BASE}/token-batches/{ordered.json()['id']}"

    refused = [
        await giving.client.post(f"{BASE}/token-batches", json=body, headers=once(who))
        for who in (other, giving.clerk, token())
    ]
    hidden = [
        await giving.client.get(path, headers=other),
        await giving.client.post(f"{path}/download", headers=other),
    ]

    assert ordered.status_code == 201
    assert [answer.status_code for answer in refused] == [403] * 3
    assert [answer.status_code for answer in hidden] == [404] * 2
    assert (await giving.get("token-batches", other))["items"] == []


@pytest.mark.parametrize(
    "change",
    [
        {"size": 0},
        {"size": 1001},
        {"expires_on": "2020-01-01"},
        {"expires_on": "2099-01-01"},
        {"area_code": "1"},
    ],
)
async def test_batch_within_bounds(giving: Giving, change: dict[str, Any]) -> None:
    body = {**PLACE, "size": 2, "expires_on": str(today()), **change}

    answer = await giving.client.post(
        f"{BASE}/token-batches", json=body, headers=once(giving.system)
    )

    assert answer.status_code == 400


async def test_pre_issued_token_is_redeemed_once_outside(giving: Giving) -> None:
    tokens = await giving.batch(3)
    shown = await giving.get(f"invitations/{tokens[0]}")

    answers = await asyncio.gather(*(giving.rate(token=tokens[0], grade=3) for _ in range(30)))
    other = await giving.rate(token=tokens[0], grade=1)
    rating = answers[0].json()

    assert (shown["stage"], shown["window"], shown["rated"]) == ("visit", "Z1", False)
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert (other.status_code, other.json()["code"]) == (409, "already_rated")
    assert (rating["source"], rating["hall"], rating["real_name"]) == (
        "batch",
        "公安专网大厅",
        False,
    )
    assert (await giving.get(f"invitations/{tokens[0]}"))["rated"] is True


async def test_pre_issued_token_dies_with_its_batch(giving: Giving) -> None:
    tokens = await giving.batch(1)
    await giving.change("DELETE FROM token_batch")

    answer = await giving.rate(token=tokens[0])

    assert (answer.status_code, answer.json()["code"]) == (403, "token_foreign")


async def test_redeemer_binds_the_token_to_her_case_by_its_phone(giving: Giving) -> None:
    tokens = await giving.batch(3)
    await giving.tell(a_case(CaseClosed, "P-1"), a_case(CaseClosed, "P-2", department_code="D9"))

    unproved = await giving.rate(token=tokens[0], case_number="P-1", phone_last4="0000")
    foreign = await giving.rate(token=tokens[0], case_number="P-2", phone_last4=PHONE[-4:])
    bound = await giving.rated(token=tokens[0], case_number="P-1", phone_last4=PHONE[-4:])
    again = await giving.rate(token=tokens[1], case_number="P-1", phone_last4=PHONE[-4:], grade=1)

    assert (unproved.status_code, foreign.status_code) == (403, 403)
    assert (bound["case_number"], bound["stage"], bound["source"]) == ("P-1", "closing", "batch")
    assert (again.status_code, again.json()["code"]) == (409, "already_rated")


async def test_records_are_taken_with_the_token_as_proof_and_judged_row_by_row(
    giving: Giving,
) -> None:
    tokens = await giving.batch(4)
    forged = tokens[1][:-5] + "AAAAA"
    records = [
        a_rating(tokens[0], text="我叫扎西顿珠，电话13989001234"),
        a_rating(forged),
        a_rating(tokens[2], grade=1),
        {"grade": 5},
        "nonsense",
        a_rating(tokens[0]),
        a_rating(tokens[3], rated_at=(clock.now() + timedelta(hours=2)).isoformat()),
    ]

    verdicts = await giving.record(records, first_row=11)

    assert statuses(verdicts) == ["accepted", *["rejected"] * 6]
    assert [verdict["row"] for verdict in verdicts] == list(range(11, 18))
    rules = [
        [(fault["field"], fault["rule"]) for fault in verdict["faults"]] for verdict in verdicts
    ]
    assert rules[1] == [("token", "token_forged")]
    assert ("tags", "value_error") in rules[2]
    assert {field for field, _ in rules[3]} >= {"token", "rated_at", "pf"}
    assert rules[5] == [("token", "unique")]
    assert rules[6] == [("rated_at", "range")]
    fact = (await giving.facts("rating-submitted"))[0]
    assert (fact["grade"], fact["hall"], fact["text"]) == (4, "公安专网大厅", "我叫***，电话***")


async def test_names_of_unknown_fields_are_one_fault_and_not_repeated(giving: Giving) -> None:
    tokens = await giving.batch(1)

    [verdict] = await giving.record(
        [a_rating(tokens[0], **{f"扎西顿珠{number}": "x" for number in range(60)})]
    )

    assert [(fault["field"], fault["rule"]) for fault in verdict["faults"]] == [
        ("record", "extra_forbidden")
    ]


async def test_system_cannot_invent_ratings(giving: Giving) -> None:
    link = await giving.invited()
    elsewhere = await giving.batch(1)

    own_link = await giving.record([a_rating(link)])
    other_department = await giving.record([a_rating(elsewhere[0])], department_code="D9")
    by_api = await giving.rate(giving.system, token=elsewhere[0], **SITE)

    assert statuses(own_link) == ["rejected"]
    assert other_department[0]["faults"][0]["rule"] == "token_foreign"
    assert by_api.status_code == 403
    assert await giving.rows("SELECT 1 FROM rating") == []


async def test_record_of_three_stars_with_words_of_complaint_opens_a_ticket(giving: Giving) -> None:
    tokens = await giving.batch(2)
    middling = {"grade": 3, "tags": []}

    _ = await giving.record(
        [
            a_rating(tokens[0], text="窗口互相推, 我跑了三趟", **middling),
            a_rating(tokens[1], text="一般", **middling),
        ]
    )

    rows = await giving.rows(
        "SELECT suspicions, due_on FROM rating JOIN publication ON rating_id = rating.id"
    )
    assert sorted((row["suspicions"], row["due_on"] is None) for row in rows) == [
        ([], False),
        (["bad_text"], True),
    ]
    assert len(await giving.rows("SELECT 1 FROM ticket")) == 1


async def test_bursts_and_same_words_of_records_are_suspicious_whatever_chunk_they_come_in(
    giving: Giving,
) -> None:
    tokens, start = await giving.batch(12), ago(hours=1)
    await giving.change("UPDATE token_batch SET ordered_at = ordered_at - interval '2 hours'")
    records = [
        a_rating(
            one,
            rated_at=(start + timedelta(seconds=5 * n)).isoformat(),
            terminal="Z1-7" if n % 2 else "Z1-8",
        )
        for n, one in enumerate(tokens)
    ]
    for record in records[::4]:
        record["text"] = "办事很快, 服务很好, 谢谢"

    _ = await giving.record(records[:6])
    _ = await giving.record(records[6:][::-1])

    rows = await giving.rows("SELECT suspicions FROM rating ORDER BY rated_at")
    found = [row["suspicions"] for row in rows]
    assert [("window_burst" in one, "terminal_burst" in one) for one in found] == [
        (n >= 5, n >= 8) for n in range(12)
    ]
    assert ["same_text" in one for one in found] == [n == 8 for n in range(12)]


async def test_records_sent_again_are_known_and_changed_ones_refused(giving: Giving) -> None:
    tokens = await giving.batch(2)
    record = a_rating(tokens[0])
    _ = await giving.record([record])

    again = await giving.record([record, a_rating(tokens[1])])
    changed = await giving.record([a_rating(tokens[0], grade=5, tags=[])])

    assert statuses(again) == ["unchanged", "accepted"]
    assert changed[0]["faults"][0]["rule"] == "already_rated"
    assert len(await giving.rows("SELECT 1 FROM rating")) == 2


async def test_token_used_outside_is_not_taken_again_inside(giving: Giving) -> None:
    tokens = await giving.batch(1)
    _ = await giving.rated(token=tokens[0], grade=1)

    verdicts = await giving.record([a_rating(tokens[0])])

    assert verdicts[0]["faults"][0]["rule"] == "already_rated"


async def test_record_binds_its_token_to_a_case_that_comes_later(giving: Giving) -> None:
    tokens = await giving.batch(2)
    verdicts = await giving.record([a_rating(tokens[0], case_number="gongan:77")])

    await giving.tell(a_case(CaseImported, "gongan:77"))

    assert statuses(verdicts) == ["accepted"]
    rows = await giving.rows("SELECT case_number, stage, case_id, rated_at FROM invitation")
    assert [(row["case_number"], row["stage"]) for row in rows] == [("gongan:77", "closing")]
    assert rows[0]["case_id"]
    assert rows[0]["rated_at"]
    second = await giving.record([a_rating(tokens[1], case_number="gongan:77", grade=5, tags=[])])
    assert second[0]["faults"][0]["rule"] == "already_rated"


async def test_record_takes_no_other_departments_case_before_it_comes(
    giving: Giving, token: TokenFactory
) -> None:
    tokens, account = await giving.batch(1), str(uuid4())
    verdicts = await giving.record([a_rating(tokens[0], case_number="gongan:80")])

    link = await giving.invited("gongan:80", department_code="D9", account_id=account)
    by_link = await giving.rated(token=link, grade=2)
    by_account = await giving.rated(token(sub=account), case_number="gongan:80", grade=2)

    assert statuses(verdicts) == ["accepted"]
    assert (by_link["case_number"], by_link["department_code"], by_link["stage"]) == (
        "gongan:80",
        "D9",
        "closing",
    )
    assert by_account["id"] == by_link["id"]


async def test_record_rates_the_invitation_of_a_case_that_has_come(giving: Giving) -> None:
    tokens = await giving.batch(2)
    await giving.tell(
        a_case(CaseImported, "gongan:78", occurred_at=ago(hours=1)),
        a_case(CaseImported, "gongan:79", department_code="D9"),
    )

    verdicts = await giving.record(
        [a_rating(tokens[0], case_number="gongan:78"), a_rating(tokens[1], case_number="gongan:79")]
    )

    assert statuses(verdicts) == ["accepted", "rejected"]
    assert verdicts[1]["faults"][0]["rule"] == "own_case"
    rating = (await giving.rows("SELECT case_number, matter_name, source FROM rating"))[0]
    assert tuple(rating.values()) == ("gongan:78", "食品经营许可", "record")


async def test_chunk_of_five_hundred_ratings_is_taken_whole(giving: Giving) -> None:
    tokens = await giving.batch(500)

    verdicts = await giving.record([a_rating(one) for one in tokens])

    assert statuses(verdicts) == ["accepted"] * 500
    assert len(await giving.rows("SELECT 1 FROM rating")) == 500


async def test_records_of_other_resources_are_no_business_of_ratings(giving: Giving) -> None:
    assert await giving.record([{"x": 1}], resource="licenses") == []
