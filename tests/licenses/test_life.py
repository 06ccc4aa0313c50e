"""The life of a licence: every move, every refusal, the chain of versions, expiry by the clock."""

import asyncio
from collections import Counter
from datetime import date, timedelta
from typing import Any

import pytest

from services.licenses.model.states import MOVES, Operation, Status
from services.licenses.timers import expire
from shared import clock
from tests.builders.matters import CITY
from tests.licenses.conftest import BASE, TYPE, WHY, Office, a_decision, a_type
from tests.security.world import ELSEWHERE, NEXT_DOOR

PATHS: dict[Operation, tuple[str, Any]] = {
    Operation.SUSPEND: ("suspension", WHY),
    Operation.RELEASE: ("release", WHY),
    Operation.REVOKE: ("revocation", {**WHY, "kind": "revoke"}),
    Operation.CANCEL: ("revocation", {**WHY, "kind": "cancel"}),
    Operation.WITHDRAW: ("revocation", {**WHY, "kind": "withdraw"}),
    Operation.TRANSFER: ("transfer", WHY),
    Operation.CHANGE: ("change", {**WHY, "fields": {"seats": "40"}}),
    Operation.RENEW: ("renewal", WHY),
}
FACTS = {
    Operation.SUSPEND: "license-suspended",
    Operation.REVOKE: "license-revoked",
    Operation.CANCEL: "license-revoked",
    Operation.WITHDRAW: "license-revoked",
}


@pytest.mark.parametrize("act", PATHS)
async def test_every_state_allows_what_the_table_says_and_refuses_the_rest(
    office: Office, act: Operation
) -> None:
    path, body = PATHS[act]
    licence = await office.issued()
    for status in Status:
        _ = await office.fetch("UPDATE license SET status = $1", status.value)
        licence = await office.get(f"licenses/{licence['id']}")

        answer = await office.act(licence, path, body)

        states, after = MOVES[act]
        if status in states:
            assert (answer.status_code, answer.json()["status"]) == (200, after), answer.text
            assert (await office.names())[-1] == FACTS.get(act, "license-changed")
            assert answer.json()["revision"] == licence["revision"] + 1
        else:
            assert answer.status_code == 409
            allowed = [
                a for a, (s, _) in MOVES.items() if status in s and a is not Operation.EXPIRE
            ]
            assert answer.json()["allowed"] == licence["allowed"] == allowed


async def test_revocation_is_for_good(office: Office) -> None:
    licence = await office.do(await office.issued(), "revocation", {**WHY, "kind": "revoke"})

    answers = [await office.act(licence, path, body) for path, body in PATHS.values()]

    assert {answer.status_code for answer in answers} == {409}
    assert licence["allowed"] == []


async def test_change_chains_the_versions_and_signs_each(office: Office) -> None:
    first = await office.issued()
    second = await office.do(
        first, "change", {**WHY, "fields": {"seats": "40", "phone": None}, "holder_name": "卓玛"}
    )
    third = await office.do(second, "renewal")

    chain = await office.get(f"licenses/{first['id']}/versions")

    identifiers = [one["identifier"] for one in (first, second, third)]
    assert [one["version"] for one in chain] == [1, 2, 3]
    assert [one["identifier"] for one in chain] == identifiers
    assert [one["previous"] for one in chain] == [None, *identifiers[:2]]
    assert [one["act"] for one in chain] == ["issue", "change", "renew"]
    assert len({one["signature"] for one in chain}) == 3
    assert [identifier[-5:-2] for identifier in identifiers] == ["001", "002", "003"]
    assert second["fields"] == {
        "place": first["fields"]["place"],
        "scope": "热食类食品制售",
        "seats": "40",
    }
    following = date.fromisoformat(first["valid_until"]) + timedelta(days=1)
    assert date.fromisoformat(third["valid_until"]) == following.replace(
        year=following.year + 5
    ) - timedelta(days=1)
    changes = [
        fact.data["change"]
        for fact in await office.facts()
        if fact.type.endswith("license-changed.v1")
    ]
    assert changes == ["changed", "renewed"]
    steps = await office.get(f"licenses/{first['id']}/steps")
    assert [(step["act"], step["reason"]) for step in steps] == [
        ("change", WHY["reason"]),
        ("renew", WHY["reason"]),
    ]


async def test_change_that_the_type_does_not_know_is_refused_and_leaves_nothing(
    office: Office,
) -> None:
    licence = await office.issued()

    answers = [
        await office.act(licence, "change", {**WHY, "fields": fields})
        for fields in ({"seats": "viele"}, {"place": None}, {"colour": "red"})
    ]

    assert [answer.status_code for answer in answers] == [400, 400, 400]
    assert (await office.get(f"licenses/{licence['id']}"))["revision"] == 1


async def test_renewal_must_lengthen(office: Office) -> None:
    licence = await office.issued()

    answer = await office.act(licence, "renewal", {**WHY, "valid_until": licence["valid_until"]})

    assert (answer.status_code, answer.json()["errors"][0]["rule"]) == (400, "later")


async def test_licence_for_good_cannot_be_renewed(office: Office) -> None:
    _ = await office.publish(a_type(validity={"unit": "none", "amount": 0}), **{"If-Match": '"1"'})
    licence = await office.issued()

    answer = await office.act(licence, "renewal")

    assert (licence["valid_until"], answer.status_code) == (None, 409)


async def test_acts_need_the_version_that_was_read(office: Office) -> None:
    licence = await office.issued()
    path = f"{BASE}/licenses/{licence['id']}/suspension"

    missing = await office.client.post(path, json=WHY, headers=office.officer)
    stale = await office.act({**licence, "revision": 7}, "suspension")

    assert (missing.status_code, stale.status_code) == (428, 412)


async def test_only_officers_of_the_issuing_department_act(office: Office) -> None:
    licence = await office.issued()
    callers = [
        office.staff("window_clerk"),
        office.staff("leader", department=NEXT_DOOR),
        office.staff("approver", area=ELSEWHERE),
        office.token(),
        office.system,
        office.staff("approver"),
    ]

    statuses = [
        (await office.act(licence, "suspension", headers=caller)).status_code for caller in callers
    ]

    assert statuses == [403, 404, 404, 403, 403, 200]


async def test_hundred_equal_acts_have_one_effect(office: Office) -> None:
    licence = await office.issued()

    answers = await asyncio.gather(*(office.act(licence, "suspension") for _ in range(100)))

    assert Counter(answer.status_code for answer in answers) == {200: 1, 412: 99}


async def test_licence_expires_when_its_last_day_is_over_in_the_city(office: Office) -> None:
    licence = await office.issued()
    last = date.fromisoformat(licence["valid_until"])

    early = await office.timers(last)
    late = await office.timers(last + timedelta(days=1))
    again = await office.timers(last + timedelta(days=2))

    assert [ran["expired"] for ran in (early, late, again)] == [0, 1, 0]
    assert (await office.get(f"licenses/{licence['id']}"))["status"] == "05"
    assert (await office.names())[-1] == "license-expired"


async def test_timers_that_run_at_once_expire_each_licence_once(office: Office) -> None:
    await office.take(*(a_decision() for _ in range(30)))
    far = clock.now() + timedelta(days=3000)

    numbers = await asyncio.gather(*(expire(office.client.database, far) for _ in range(4)))

    assert sum(numbers) == 30
    assert Counter(await office.names()) == {"license-issued": 30, "license-expired": 30}


async def test_department_finds_its_licences(office: Office) -> None:
    made = [await office.issued() for _ in range(3)]
    _ = await office.do(made[0], "suspension")

    first = await office.get("department-licenses", limit=2)
    rest = await office.get("department-licenses", limit=2, cursor=first["next"])
    suspended = await office.get("department-licenses", status="02", type_code=TYPE)
    by_number = await office.get("department-licenses", number=made[2]["number"])
    elsewhere = await office.get("department-licenses", office.staff("leader", area=ELSEWHERE))

    assert [one["id"] for one in (*first["items"], *rest["items"])] == [one["id"] for one in made]
    assert [one["id"] for one in suspended["items"]] == [made[0]["id"]]
    assert [one["id"] for one in by_number["items"]] == [made[2]["id"]]
    assert elsewhere["items"] == []
    assert CITY != ELSEWHERE
