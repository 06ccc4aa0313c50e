"""Organisations: registered by their legal representative.

She acts for them until the link ends.
"""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from shared import clock
from shared.domain import codes
from tests.conftest import ServiceClient, TokenFactory, published
from tests.identity.conftest import BASE, ID_NUMBER, PHONE, Play, bearer, rows

OTHER_PHONE, OTHER_ID = "13700000001", "540102199001010038"


def a_uscc(serial: int = 1) -> str:
    first = f"91540100MA6T{serial:05d}"
    return first + codes.uscc_check_character(first)


async def verified(play: Play, phone: str = PHONE, id_number: str = ID_NUMBER) -> dict[str, Any]:
    """Tokens of a person of level 2."""
    tokens = await play.sign_in(phone)
    card = {"name": "卓玛央金", "id_number": id_number, "id_valid_until": "2036-01-01"}
    answer = await play.client.post(f"{BASE}/verifications", json=card, headers=bearer(tokens))
    assert answer.status_code == 200, answer.text
    body = {"refresh_token": tokens["refresh_token"]}
    return (await play.client.post(f"{BASE}/sessions/refresh", json=body)).json()


async def register(
    client: ServiceClient, tokens: dict[str, Any], key: str = "", **changes: Any
) -> Any:
    body = {"uscc": a_uscc(), "name": "拉萨甜茶有限公司", **changes}
    return await client.post(
        f"{BASE}/organisations",
        json=body,
        headers={**bearer(tokens), "Idempotency-Key": key or uuid4().hex},
    )


async def act(client: ServiceClient, tokens: dict[str, Any], organisation: str) -> Any:
    body = {"organisation_id": organisation}
    return await client.post(f"{BASE}/sessions/organisation", json=body, headers=bearer(tokens))


async def test_representative_registers_and_acts_for_the_organisation(
    client: ServiceClient, play: Play
) -> None:
    person = await verified(play)

    created = await register(client, person)
    acting = (await act(client, person, created.json()["id"])).json()
    verifier = await play.trust()
    caller = await verifier.verify(acting["access_token"], clock.now())
    human = await verifier.verify(person["access_token"], clock.now())
    account = (await client.get(f"{BASE}/account", headers=bearer(acting))).json()
    own = (await client.get(f"{BASE}/organisations", headers=bearer(person))).json()

    assert (created.status_code, own) == (201, [created.json()])
    assert (caller.kind, caller.subject, caller.act) == (
        "organisation",
        created.json()["id"],
        human.subject,
    )
    assert (caller.acr, caller.amr, caller.auth_time) == (2, human.amr, human.auth_time)
    assert (account["kind"], account["name"], account["uscc"]) == (
        "organisation",
        "拉萨甜茶有限公司",
        a_uscc(),
    )
    facts = [event.type.split(".")[2] for event in await published(client.database)]
    assert facts[-2:] == ["account-registered", "organisation-linked"]


async def test_audit_names_the_person_and_for_whom(client: ServiceClient, play: Play) -> None:
    person = await verified(play)
    organisation = (await register(client, person)).json()["id"]
    acting = (await act(client, person, organisation)).json()
    _ = await play.trust()

    ended = await client.delete(f"{BASE}/sessions/current", headers=bearer(acting))
    (row,) = await rows(
        client.database, "SELECT actor, on_behalf_of FROM audit WHERE action = 'session.revoke'"
    )
    me = (await client.get(f"{BASE}/account", headers=bearer(person))).json()["id"]

    assert (ended.status_code, row["actor"], row["on_behalf_of"]) == (204, me, organisation)


async def test_refreshed_tokens_still_act_for_the_organisation(
    client: ServiceClient, play: Play
) -> None:
    person = await verified(play)
    organisation = (await register(client, person)).json()["id"]
    acting = (await act(client, person, organisation)).json()

    body = {"refresh_token": acting["refresh_token"]}
    following = (await client.post(f"{BASE}/sessions/refresh", json=body)).json()
    caller = await (await play.trust()).verify(following["access_token"], clock.now())

    assert (caller.kind, caller.subject) == ("organisation", organisation)


@pytest.mark.parametrize(
    ("changes", "status", "rule"),
    [
        ({"uscc": a_uscc()[:17] + "0"}, 400, "value_error"),
        ({"uscc": a_uscc()[:17]}, 400, "value_error"),
        ({"name": "不符"}, 400, "legal_representative"),
        ({"name": ""}, 400, "string_too_short"),
    ],
)
async def test_registration_refusals(
    client: ServiceClient, play: Play, changes: dict[str, str], status: int, rule: str
) -> None:
    answer = await register(client, await verified(play), **changes)

    assert (answer.status_code, answer.json()["errors"][0]["rule"]) == (status, rule)
    assert await rows(client.database, "SELECT 1 FROM account WHERE kind = 'organisation'") == []


async def test_person_without_real_name_is_asked_to_step_up(
    client: ServiceClient, play: Play
) -> None:
    answer = await register(client, await play.sign_in())

    assert (answer.status_code, answer.json()["code"]) == (401, "insufficient_user_authentication")
    assert 'acr_values="2"' in answer.headers["www-authenticate"]


async def test_organisation_does_not_verify_persons_nor_register_others(
    client: ServiceClient, play: Play
) -> None:
    person = await verified(play)
    acting = (await act(client, person, (await register(client, person)).json()["id"])).json()
    _ = await play.trust()

    statuses = [
        (await register(client, acting, uscc=a_uscc(2))).status_code,
        (await client.get(f"{BASE}/organisations", headers=bearer(acting))).status_code,
        (await client.post(f"{BASE}/verifications", json={}, headers=bearer(acting))).status_code,
    ]

    assert statuses == [403, 403, 403]


async def test_others_find_no_such_organisation(
    client: ServiceClient, play: Play, token: TokenFactory
) -> None:
    organisation = (await register(client, await verified(play))).json()["id"]
    stranger = await verified(play, OTHER_PHONE, OTHER_ID)

    answers = [
        await act(client, stranger, organisation),
        await act(client, stranger, str(uuid4())),
        await client.delete(f"{BASE}/organisations/{organisation}/link", headers=bearer(stranger)),
    ]

    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert answers[0].json()["detail"] == answers[1].json()["detail"]
    assert (await client.get(f"{BASE}/organisations", headers=bearer(stranger))).json() == []
    assert (
        await client.get(f"{BASE}/organisations", headers=token(kind="staff"))
    ).status_code == 403


async def test_hundred_parallel_registrations_make_one_organisation(
    client: ServiceClient, play: Play
) -> None:
    person = await verified(play)

    answers = await asyncio.gather(*(register(client, person, key="one") for _ in range(50)))
    others = await asyncio.gather(*(register(client, person, key=f"k{n}") for n in range(50)))

    assert {(answer.status_code, answer.content) for answer in answers} == {
        (201, answers[0].content)
    }
    assert {answer.status_code for answer in others} == {409}
    assert (
        len(await rows(client.database, "SELECT 1 FROM account WHERE kind = 'organisation'")) == 1
    )


async def test_leaving_ends_the_sessions_opened_for_it_and_no_other(
    client: ServiceClient, play: Play
) -> None:
    person = await verified(play)
    organisation = (await register(client, person)).json()["id"]
    acting = [(await act(client, person, organisation)).json() for _ in range(2)]

    left = await client.delete(f"{BASE}/organisations/{organisation}/link", headers=bearer(person))
    refreshed = [
        (
            await client.post(
                f"{BASE}/sessions/refresh", json={"refresh_token": tokens["refresh_token"]}
            )
        ).status_code
        for tokens in (*acting, person)
    ]

    assert (left.status_code, refreshed) == (204, [401, 401, 200])
    assert (await act(client, person, organisation)).status_code == 404
    assert len((await client.get("/internal/revocations")).json()["items"]) == 2
    assert "tongban.identity.organisation-unlinked.v1" in [
        e.type for e in await published(client.database)
    ]


async def test_new_representative_takes_the_formers_place(
    client: ServiceClient, play: Play
) -> None:
    former, new = await verified(play), await verified(play, OTHER_PHONE, OTHER_ID)
    organisation = (await register(client, former)).json()["id"]
    acting = (await act(client, former, organisation)).json()

    taken = await register(client, new)
    refreshed = await client.post(
        f"{BASE}/sessions/refresh", json={"refresh_token": acting["refresh_token"]}
    )

    assert (taken.status_code, taken.json()["id"]) == (201, organisation)
    assert refreshed.status_code == 401
    assert (await act(client, former, organisation)).status_code == 404
    assert (await act(client, new, organisation)).status_code == 200


async def test_session_for_an_organisation_ends_with_the_one_it_came_from(
    client: ServiceClient, play: Play
) -> None:
    person = await verified(play)
    organisation = (await register(client, person)).json()["id"]
    acting = (await act(client, person, organisation)).json()
    listed = (await client.get(f"{BASE}/sessions", headers=bearer(person))).json()

    _ = await client.delete(f"{BASE}/sessions/current", headers=bearer(person))
    refreshed = await client.post(
        f"{BASE}/sessions/refresh", json={"refresh_token": acting["refresh_token"]}
    )

    assert [one["principal_id"] for one in listed] == [None, organisation]
    assert refreshed.status_code == 401
    assert (await act(client, person, organisation)).status_code == 401
