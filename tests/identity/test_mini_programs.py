"""Mini-programs: their users are joined to accounts by a phone.

There is one account per person, whatever comes at the same moment.
"""

import asyncio
from typing import Any

import pytest

from tests.conftest import ServiceClient
from tests.identity.conftest import BASE, PHONE, Play, bearer, rows

OTHER_PHONE = "13700000001"
ACCOUNTS = "SELECT 1 FROM account"


async def arrive(client: ServiceClient, code: str, app: str = "app-one") -> Any:
    return await client.post(f"{BASE}/sessions/mini-program", json={"app_id": app, "code": code})


async def bind(client: ServiceClient, token: str, code: str, phone: str = PHONE) -> Any:
    body = {"binding_token": token, "phone": phone, "code": code}
    return await client.post(f"{BASE}/sessions/mini-program/binding", json=body)


async def bound(play: Play, code: str, app: str = "app-one", phone: str = PHONE) -> Any:
    """First arrival, and binding to the phone."""
    first = await arrive(play.client, code, app)
    assert (first.status_code, first.json()["code"]) == (409, "binding_required"), first.text
    return await bind(
        play.client, first.json()["binding_token"], await play.code(phone, "bind"), phone
    )


async def account_of(client: ServiceClient, tokens: dict[str, Any]) -> str:
    return (await client.get(f"{BASE}/account", headers=bearer(tokens))).json()["id"]


async def test_first_arrival_binds_to_the_existing_account_and_later_ones_sign_in(
    client: ServiceClient, play: Play
) -> None:
    by_sms = await play.sign_in()
    _ = await rows(
        client.database, "UPDATE sms_code SET created_at = created_at - interval '2 minutes'"
    )

    binding = await bound(play, "open-1:union-1")
    again = await arrive(client, "open-1:union-1")

    accounts = {
        await account_of(client, tokens) for tokens in (by_sms, binding.json(), again.json())
    }
    assert (binding.status_code, again.status_code, len(accounts)) == (200, 200, 1)


async def test_fifty_parallel_first_sign_ins_make_one_account(
    client: ServiceClient, play: Play
) -> None:
    tokens = [
        (await arrive(client, f"open-{n}:union-1", f"app-{n}")).json()["binding_token"]
        for n in range(50)
    ]
    code = await play.code(PHONE, "bind")

    bindings = await asyncio.gather(*(bind(client, token, code) for token in tokens))
    arrivals = await asyncio.gather(
        *(arrive(client, f"open-{n}:union-1", f"app-{n}") for n in range(50) for _ in "12")
    )

    assert sorted(answer.status_code for answer in bindings) == [200] + [401] * 49
    assert {answer.status_code for answer in arrivals} == {200}
    _ = await play.trust()
    assert len({await account_of(client, answer.json()) for answer in arrivals}) == 1
    assert len(await rows(client.database, ACCOUNTS)) == 1
    assert len(await rows(client.database, "SELECT 1 FROM mini_program_link")) == 50


async def test_one_user_with_two_phones_at_once_is_bound_to_one_account(
    client: ServiceClient, play: Play
) -> None:
    first, second = (
        await arrive(client, "open-1:union-1", "one"),
        await arrive(client, "open-2:union-1", "two"),
    )
    codes = await play.code(PHONE, "bind"), await play.code(OTHER_PHONE, "bind")

    answers = await asyncio.gather(
        bind(client, first.json()["binding_token"], codes[0]),
        bind(client, second.json()["binding_token"], codes[1], OTHER_PHONE),
    )

    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert len(await rows(client.database, ACCOUNTS)) == 1
    assert (
        len(await rows(client.database, "SELECT DISTINCT account_id FROM mini_program_link")) == 1
    )


async def test_unionid_joins_the_person_across_mini_programs_and_openid_alone_does_not(
    client: ServiceClient, play: Play
) -> None:
    _ = await bound(play, "open-1:union-1", "app-one")

    same_owner = await arrive(client, "open-2:union-1", "app-two")
    same_openid_elsewhere = await arrive(client, "open-1", "app-three")
    other_case = await arrive(client, "OPEN-1:UNION-1", "app-one")

    statuses = [answer.status_code for answer in (same_owner, same_openid_elsewhere, other_case)]
    assert statuses == [200, 409, 409]


async def test_binding_needs_a_code_sent_for_binding(client: ServiceClient, play: Play) -> None:
    token = (await arrive(client, "open-1")).json()["binding_token"]

    answer = await bind(client, token, await play.code(PHONE, "sign_in"))
    swapped = await client.post(
        f"{BASE}/sessions/sms",
        json={"phone": OTHER_PHONE, "code": await play.code(OTHER_PHONE, "bind")},
    )

    assert (answer.status_code, swapped.status_code) == (401, 401)
    assert await rows(client.database, ACCOUNTS) == []


@pytest.mark.parametrize("spoil", ["x" * 10, "{0}0", "00{0}", "a.b", ".", "5b5d.{1}"])
async def test_forged_binding_tokens_are_refused(
    client: ServiceClient, play: Play, spoil: str
) -> None:
    token = (await arrive(client, "open-1")).json()["binding_token"]

    answer = await bind(
        client, spoil.format(token, token.split(".")[1]), await play.code(PHONE, "bind")
    )

    assert answer.status_code == 401
    assert await rows(client.database, ACCOUNTS) == []


async def test_code_that_does_not_hold_is_refused(client: ServiceClient) -> None:
    assert (await arrive(client, "invalid")).status_code == 401


async def test_simulators_answer_in_development_alone(client: ServiceClient, play: Play) -> None:
    tokens = await play.sign_in()
    client.app.state.settings = client.app.state.settings.model_copy(update={"development": False})
    card = {"name": "卓玛央金", "id_number": "540102199001010011", "id_valid_until": "2036-01-01"}

    arrived = await arrive(client, "open-1")
    verified = await client.post(f"{BASE}/verifications", json=card, headers=bearer(tokens))

    assert (arrived.status_code, verified.status_code) == (503, 503)


async def test_ids_of_the_platform_are_stored_nowhere(client: ServiceClient, play: Play) -> None:
    _ = await bound(play, "open-secret:union-secret")

    stored = str(await rows(client.database, "SELECT * FROM mini_program_link"))
    audit = str(await rows(client.database, "SELECT * FROM audit"))

    assert "secret" not in stored + audit
