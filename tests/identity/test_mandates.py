"""Mandates (授权代办): offered to a person by ID number and accepted by her.

They are used by token exchange, and either side can end them.
"""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from services.identity.model import Mandate
from shared import clock
from shared.errors import ConflictError
from tests.conftest import ServiceClient, TokenFactory, published
from tests.identity.conftest import BASE, ID_NUMBER, Play, bearer, rows
from tests.identity.test_organisations import OTHER_ID, OTHER_PHONE, act, register, verified

AGENT = {"agent_name": "卓玛央金", "agent_id_number": OTHER_ID}
EXCHANGE = {
    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
    "subject_token_type": "urn:tongban:params:oauth:token-type:mandate",
}


def a_day(days: int = 30) -> str:
    return str(clock.local_date(clock.now()) + timedelta(days=days))


async def grant(
    client: ServiceClient, principal: dict[str, Any], key: str = "", **changes: Any
) -> Any:
    body = {**AGENT, "valid_until": a_day(), **changes}
    headers = {**bearer(principal), "Idempotency-Key": key or uuid4().hex}
    return await client.post(f"{BASE}/mandates", json=body, headers=headers)


async def granted(
    client: ServiceClient, principal: dict[str, Any], **changes: Any
) -> dict[str, Any]:
    answer = await grant(client, principal, **changes)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def accept(client: ServiceClient, agent: dict[str, Any], mandate: dict[str, Any]) -> Any:
    return await client.post(f"{BASE}/mandates/{mandate['id']}/acceptance", headers=bearer(agent))


async def revoke(client: ServiceClient, who: dict[str, Any], mandate: dict[str, Any]) -> Any:
    body = {"reason": "委托事项已经办完"}
    return await client.post(
        f"{BASE}/mandates/{mandate['id']}/revocation", json=body, headers=bearer(who)
    )


async def exchange(client: ServiceClient, agent: dict[str, Any], mandate_id: str) -> Any:
    form = {**EXCHANGE, "subject_token": mandate_id}
    return await client.post(f"{BASE}/oauth/token-exchange", data=form, headers=bearer(agent))


async def test_agent_acts_for_the_principal_in_the_matters_of_the_mandate(
    client: ServiceClient, play: Play
) -> None:
    principal, agent = await verified(play), await verified(play, OTHER_PHONE, OTHER_ID)
    matter = str(uuid4())

    mandate = await granted(client, principal, matters=[matter])
    early = await exchange(client, agent, mandate["id"])
    accepted = (await accept(client, agent, mandate)).json()
    acting = (await exchange(client, agent, mandate["id"])).json()
    verifier = await play.trust()
    caller = await verifier.verify(acting["access_token"], clock.now())
    own, mine = [
        await verifier.verify(one["access_token"], clock.now()) for one in (principal, agent)
    ]

    assert (mandate["state"], mandate["role"], mandate["agent_name"]) == (
        "offered",
        "principal",
        "卓玛**",
    )
    assert (accepted["state"], accepted["role"], accepted["agent_id"]) == (
        "accepted",
        "agent",
        mine.subject,
    )
    assert (early.status_code, early.json()["code"]) == (409, "conflict")
    assert acting["issued_token_type"] == "urn:ietf:params:oauth:token-type:access_token"
    assert (caller.subject, caller.kind, caller.act, caller.acr) == (
        own.subject,
        "person",
        mine.subject,
        2,
    )
    assert (caller.mandate, caller.matters) == (mandate["id"], {matter})
    assert (caller.covers(matter), caller.covers(uuid4())) == (True, False)
    facts = [event for event in await published(client.database) if "mandate" in event.type]
    assert [(event.type.split(".")[2], event.key) for event in facts] == [
        ("mandate-granted", mandate["id"])
    ]
    assert OTHER_ID not in str(facts)


async def test_both_sides_list_it_and_strangers_do_not(client: ServiceClient, play: Play) -> None:
    principal, agent = await verified(play), await verified(play, OTHER_PHONE, OTHER_ID)
    stranger = await verified(play, "13700000002", "540102199001010054")
    mandate = await granted(client, principal)

    lists = [
        (await client.get(f"{BASE}/mandates", headers=bearer(who))).json()["items"]
        for who in (principal, agent, stranger)
    ]

    assert [[(one["id"], one["role"]) for one in shown] for shown in lists] == [
        [(mandate["id"], "principal")],
        [(mandate["id"], "agent")],
        [],
    ]


async def test_organisation_gives_a_mandate_and_its_name_is_public(
    client: ServiceClient, play: Play
) -> None:
    person, agent = await verified(play), await verified(play, OTHER_PHONE, OTHER_ID)
    organisation = (await register(client, person)).json()["id"]
    acting = (await act(client, person, organisation)).json()
    _ = await play.trust()

    mandate = await granted(client, acting)
    _ = await accept(client, agent, mandate)
    tokens = (await exchange(client, agent, mandate["id"])).json()
    caller = await (await play.trust()).verify(tokens["access_token"], clock.now())

    assert (mandate["principal_name"], mandate["matters"]) == ("拉萨甜茶有限公司", None)
    assert (caller.kind, caller.subject, caller.matters) == ("organisation", organisation, None)
    statuses = [
        (await grant(client, tokens)).status_code,
        (await act(client, tokens, organisation)).status_code,
    ]
    assert statuses == [403, 403]


@pytest.mark.parametrize("revoking", ["principal", "agent"])
async def test_revoking_ends_what_was_opened_under_it_at_once(
    client: ServiceClient, play: Play, revoking: str
) -> None:
    people = {
        "principal": await verified(play),
        "agent": await verified(play, OTHER_PHONE, OTHER_ID),
    }
    mandate = await granted(client, people["principal"])
    _ = await accept(client, people["agent"], mandate)
    acting = (await exchange(client, people["agent"], mandate["id"])).json()

    ended = (await revoke(client, people[revoking], mandate)).json()
    body = {"refresh_token": acting["refresh_token"]}
    refreshed = await client.post(f"{BASE}/sessions/refresh", json=body)
    again = await exchange(client, people["agent"], mandate["id"])

    assert (ended["state"], ended["end_reason"]) == ("revoked", "委托事项已经办完")
    assert (refreshed.status_code, again.status_code) == (401, 409)
    facts = [event.type.split(".")[2] for event in await published(client.database)]
    assert facts[-2:] == ["mandate-revoked", "sessions-revoked"]
    still = await client.get(f"{BASE}/account", headers=bearer(people["agent"]))
    assert still.status_code == 200


async def test_nobody_else_can_use_or_take_a_mandate(client: ServiceClient, play: Play) -> None:
    principal, agent = await verified(play), await verified(play, OTHER_PHONE, OTHER_ID)
    stranger = await verified(play, "13700000002", "540102199001010054")
    mandate = await granted(client, principal)
    misnamed = await granted(client, principal, agent_name="别的名字")
    _ = await accept(client, agent, mandate)

    answers = [
        await exchange(client, stranger, mandate["id"]),
        await exchange(client, stranger, str(uuid4())),
        await exchange(client, principal, mandate["id"]),
        await accept(client, stranger, mandate),
        await accept(client, agent, misnamed),
        await revoke(client, stranger, mandate),
    ]

    assert [answer.status_code for answer in answers] == [404] * 6
    assert len({answer.json()["detail"] for answer in answers}) == 1


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"valid_until": a_day(-1)}, "valid_until"),
        ({"valid_until": a_day(2000)}, "valid_until"),
        ({"agent_id_number": ID_NUMBER}, "agent_id_number"),
        ({"agent_id_number": OTHER_ID[:17] + "X"}, "agent_id_number"),
        ({"matters": []}, "matters"),
    ],
)
async def test_refused_mandates_name_the_field(
    client: ServiceClient, play: Play, changes: dict[str, Any], field: str
) -> None:
    answer = await grant(client, await verified(play), **changes)

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field)
    assert await rows(client.database, "SELECT 1 FROM mandate") == []


async def test_sessions_end_with_the_last_day_of_the_mandate(
    client: ServiceClient, play: Play
) -> None:
    principal, agent = await verified(play), await verified(play, OTHER_PHONE, OTHER_ID)
    today = clock.local_date(clock.now())
    mandate = await granted(client, principal, valid_until=str(today + timedelta(days=1)))
    _ = await accept(client, agent, mandate)

    tokens = (await exchange(client, agent, mandate["id"])).json()

    end = clock.day_start(today + timedelta(days=2))
    assert 0 <= (end - clock.now()).total_seconds() - tokens["refresh_expires_in"] + 1 < 60


def test_mandate_runs_through_its_last_day_and_no_longer() -> None:
    granted_at = clock.now()
    last = clock.local_date(granted_at)
    mandate = Mandate(valid_until=last, accepted_at=granted_at, ended_at=None)
    midnight = clock.day_start(last + timedelta(days=1))

    assert mandate.state(midnight - timedelta(seconds=1)) == "accepted"
    assert mandate.state(midnight) == "expired"
    with pytest.raises(ConflictError, match="expired"):
        mandate.check_running(midnight)


async def test_hundred_equal_submissions_have_one_effect(client: ServiceClient, play: Play) -> None:
    principal, agent = await verified(play), await verified(play, OTHER_PHONE, OTHER_ID)

    offers = await asyncio.gather(*(grant(client, principal, "one") for _ in range(100)))
    mandate = offers[0].json()
    accepted = Counter(
        one.status_code
        for one in await asyncio.gather(*(accept(client, agent, mandate) for _ in range(100)))
    )
    revoked = Counter(
        one.status_code
        for one in await asyncio.gather(*(revoke(client, principal, mandate) for _ in range(100)))
    )

    assert {(one.status_code, one.content) for one in offers} == {(201, offers[0].content)}
    assert (accepted, revoked) == (Counter({409: 99, 200: 1}), Counter({409: 99, 200: 1}))
    facts = Counter(event.type.split(".")[2] for event in await published(client.database))
    assert (facts["mandate-granted"], facts["mandate-revoked"]) == (1, 1)


async def test_person_without_real_name_gives_no_mandate(
    client: ServiceClient, play: Play, token: TokenFactory
) -> None:
    answers = [await grant(client, await play.sign_in())]
    answers.append(await client.get(f"{BASE}/mandates", headers=token(kind="staff")))

    assert [answer.status_code for answer in answers] == [401, 403]
