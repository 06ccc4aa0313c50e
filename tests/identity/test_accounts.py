"""Accounts: real names, staff and their posts; personal data stays where it belongs."""

from pathlib import Path
from typing import Any

import pytest

from shared.ids import new_id
from tests.conftest import ServiceClient, once, published
from tests.identity.conftest import BASE, ID_NUMBER, PHONE, Play, bearer, rows

CARD = {"name": "卓玛央金", "id_number": ID_NUMBER, "id_valid_until": "2036-01-01"}


async def verify(client: ServiceClient, tokens: dict[str, Any], **changes: Any) -> Any:
    return await client.post(
        f"{BASE}/verifications", json={**CARD, **changes}, headers=bearer(tokens)
    )


async def test_verified_person_gets_level_two_with_the_next_tokens(
    client: ServiceClient, play: Play
) -> None:
    tokens = await play.sign_in()

    verified = await verify(client, tokens)
    refreshed = (
        await client.post(
            f"{BASE}/sessions/refresh", json={"refresh_token": tokens["refresh_token"]}
        )
    ).json()
    account = (await client.get(f"{BASE}/account", headers=bearer(refreshed))).json()
    export = (await client.get(f"{BASE}/account/export", headers=bearer(refreshed))).json()

    assert verified.json() == {"level": 2}
    assert (account["level"], account["name"], account["id_number"]) == (
        2,
        "卓玛**",
        "540***********0011",
    )
    assert (export["name"], export["id_number"], export["phone"]) == ("卓玛央金", ID_NUMBER, PHONE)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"id_number": "540102199001010012"}, 400),
        ({"id_valid_until": "2020-01-01"}, 400),
        ({"name": "不符"}, 400),
        ({"name": ""}, 400),
        ({"extra": 1}, 400),
    ],
)
async def test_verification_refusals(
    client: ServiceClient, play: Play, changes: dict[str, Any], status: int
) -> None:
    answer = await verify(client, await play.sign_in(), **changes)

    assert answer.status_code == status
    assert ID_NUMBER not in answer.text


async def test_one_person_has_one_account(client: ServiceClient, play: Play) -> None:
    first, second = await play.sign_in(), await play.sign_in("13700000001")
    _ = await verify(client, first)

    taken = await verify(client, second)
    again = await verify(client, first)

    assert (taken.status_code, again.status_code) == (409, 409)


async def test_staff_duties_that_exclude_each_other_are_all_named(
    client: ServiceClient, play: Play
) -> None:
    body = {
        "username": "too.many",
        "name": "某某",
        "area_code": "540100000000",
        "department_code": "D1",
        "roles": ["window_clerk", "approver", "delivery", "auditor", "administrator"],
    }

    answer = await client.post(f"{BASE}/staff", json=body, headers=once(play.administrator))

    assert answer.status_code == 400
    assert [error["rule"] for error in answer.json()["errors"]] == ["excluding_duties"] * 4


async def test_changed_post_and_departure_end_sessions_at_once(
    client: ServiceClient, play: Play
) -> None:
    staff = await play.staff()
    tokens = (await play.password(staff)).json()
    path = f"{BASE}/staff/{staff['id']}"
    listed = (await client.get(f"{BASE}/staff", headers=play.administrator)).json()["items"]
    post = {"area_code": "540102000000", "department_code": "D2", "roles": ["approver"]}
    headers = {**play.administrator, "If-Match": f'"{listed[0]["revision"]}"'}

    changed = await client.patch(path, json=post, headers=headers)
    stale = await client.patch(path, json=post, headers=headers)
    refreshed = await client.post(
        f"{BASE}/sessions/refresh", json={"refresh_token": tokens["refresh_token"]}
    )
    departed = await client.post(
        f"{path}/departure", json={"reason": "moved away"}, headers=play.administrator
    )
    again = await client.post(
        f"{path}/departure", json={"reason": "moved away"}, headers=play.administrator
    )
    signed_in = await play.password(staff)
    feed = (await client.get("/internal/revocations")).json()["items"]

    assert listed[0]["name"] == "扎西**"
    assert (changed.status_code, changed.json()["roles"], stale.status_code) == (
        200,
        ["approver"],
        412,
    )
    assert refreshed.status_code == 401
    assert (departed.json()["active"], again.status_code, signed_in.status_code) == (
        False,
        409,
        401,
    )
    assert len(feed) == 1
    facts = [event for event in await published(client.database) if event.key == staff["id"]]
    assert [event.revision for event in facts] == list(range(1, len(facts) + 1))


async def test_unknown_and_foreign_ids_are_not_found(client: ServiceClient, play: Play) -> None:
    citizen = await play.sign_in()
    account = (await client.get(f"{BASE}/account", headers=bearer(citizen))).json()["id"]
    departure = {"reason": "not staff"}

    statuses = [
        (
            await client.post(
                f"{BASE}/staff/{i}/departure", json=departure, headers=play.administrator
            )
        ).status_code
        for i in (account, new_id())
    ]
    taken = await play.staff("taken.name")
    again = await client.post(
        f"{BASE}/staff",
        json={
            "username": taken["username"],
            "name": "某",
            "area_code": "540100000000",
            "department_code": "D",
            "roles": ["leader"],
        },
        headers=once(play.administrator),
    )

    assert statuses == [404, 404]
    assert again.status_code == 409


async def test_personal_data_is_nowhere_in_plain(
    client: ServiceClient, play: Play, test_log: Path
) -> None:
    tokens = await play.sign_in()
    _ = await verify(client, tokens)
    _ = await verify(client, tokens, name="卓玛央金", id_number="x")

    events = " ".join(str(event.data) for event in await published(client.database))
    audit = str(await rows(client.database, "SELECT * FROM audit"))
    stored = str(await rows(client.database, "SELECT * FROM account"))

    for secret in (PHONE, ID_NUMBER, "卓玛央金"):
        assert secret not in events + audit + stored + test_log.read_text(encoding="utf-8")
