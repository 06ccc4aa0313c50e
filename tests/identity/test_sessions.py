"""Sessions and their end, the feed that gateways read, codes and keys at their limits."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from joserfc.jwk import OKPKey

from services.identity.model import Revocation
from services.identity.use_cases.retention import delete_expired
from services.identity.use_cases.sessions import revoke
from services.identity.use_cases.systems import withdraw_system
from shared import clock
from shared.errors import NotFoundError
from shared.ids import new_id
from shared.security.tokens import TokenError
from tests.conftest import ServiceClient, once
from tests.identity.conftest import BASE, PHONE, Play, an_assertion, bearer, rows


async def refresh(client: ServiceClient, tokens: dict[str, Any]) -> int:
    body = {"refresh_token": tokens["refresh_token"]}
    return (await client.post(f"{BASE}/sessions/refresh", json=body)).status_code


async def feed(client: ServiceClient, after: str = "0") -> dict[str, Any]:
    return (await client.get("/internal/revocations", params={"after": after})).json()


async def test_signing_out_everywhere_ends_all_own_sessions_and_no_other(
    client: ServiceClient, play: Play
) -> None:
    first, other = await play.sign_in(), await play.sign_in("13700000001")
    _ = await rows(
        client.database, "UPDATE sms_code SET created_at = created_at - interval '2 minutes'"
    )
    second = await play.sign_in()

    ended = await client.delete(f"{BASE}/sessions", headers=bearer(first))
    again = await client.delete(f"{BASE}/sessions", headers=bearer(first))

    assert (ended.status_code, again.status_code) == (204, 204)
    assert [await refresh(client, tokens) for tokens in (first, second, other)] == [401, 401, 200]
    assert len((await feed(client))["items"]) == 2


async def test_feed_is_committed_in_the_order_of_its_positions(client: ServiceClient) -> None:
    first, second = new_id(), new_id()
    entered = asyncio.Event()

    async def later() -> None:
        async with client.database.transaction() as session:
            _ = await entered.wait()
            await revoke(session, [Revocation(session_id=second, at=clock.now())])

    task = asyncio.create_task(later())
    async with client.database.transaction() as session:
        await revoke(session, [Revocation(session_id=first, at=clock.now())])
        await session.flush()
        entered.set()
        await asyncio.sleep(0.3)
        seen, waiting = await feed(client), not task.done()
    await task

    assert (seen["items"], waiting) == ([], True)
    assert [item["session"] for item in (await feed(client, seen["next"]))["items"]] == [
        str(first),
        str(second),
    ]


async def test_feed_forgets_what_no_token_can_outlive(client: ServiceClient, play: Play) -> None:
    _ = await client.delete(f"{BASE}/sessions", headers=bearer(await play.sign_in()))
    _ = await rows(client.database, "UPDATE revocation SET at = at - interval '16 minutes'")

    assert (await feed(client))["items"] == []


async def test_withdrawn_system_is_in_the_feed_and_signs_in_no_more(
    client: ServiceClient, play: Play
) -> None:
    key = OKPKey.generate_key("Ed25519")
    body = {
        "name": "房管系统",
        "area_code": "540100000000",
        "department_code": "D1",
        "scopes": ["cases:push"],
        "public_key": key.as_dict(private=False),
    }
    created = await client.post(f"{BASE}/systems", json=body, headers=once(play.administrator))
    client_id = created.json()["client_id"]
    path = f"{BASE}/systems/{client_id}/withdrawal"
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": an_assertion(key, client_id),
    }

    withdrawn = await client.post(
        path, json={"reason": "the bureau moved on"}, headers=play.administrator
    )
    again = await client.post(
        path, json={"reason": "the bureau moved on"}, headers=play.administrator
    )
    refused = await client.post(f"{BASE}/oauth/token", data=form)

    assert (withdrawn.status_code, again.status_code, refused.status_code) == (204, 409, 401)
    assert [(item["session"], item["subject"]) for item in (await feed(client))["items"]] == [
        (None, client_id)
    ]


async def test_only_systems_are_withdrawn(client: ServiceClient, play: Play) -> None:
    staff = await play.staff()

    async with client.database.transaction() as session:
        with pytest.raises(NotFoundError):
            await withdraw_system(session, staff["id"], reason="not a system", now=clock.now())


async def test_fifty_parallel_uses_of_one_totp_open_one_session(
    client: ServiceClient, play: Play
) -> None:
    staff = await play.staff()

    answers = await asyncio.gather(*(play.password(staff) for _ in range(50)))

    statuses = [answer.status_code for answer in answers]
    assert statuses.count(200) == 1
    assert set(statuses) <= {200, 401, 429}


async def test_guesses_sent_at_once_are_counted_one_after_the_other(
    client: ServiceClient, play: Play
) -> None:
    staff = await play.staff()

    answers = await asyncio.gather(*(play.password(staff, password="wrong") for _ in range(30)))

    assert [answer.status_code for answer in answers].count(401) == 5


async def test_fifty_parallel_reuses_end_the_family_once(client: ServiceClient, play: Play) -> None:
    tokens = await play.sign_in()
    _ = await refresh(client, tokens)
    _ = await rows(
        client.database, "UPDATE session SET rotated_at = rotated_at - interval '11 seconds'"
    )

    statuses = await asyncio.gather(*(refresh(client, tokens) for _ in range(50)))

    assert set(statuses) == {401}
    assert len((await feed(client))["items"]) == 1


async def test_fifty_parallel_requests_for_a_code_send_one(client: ServiceClient) -> None:
    answers = await asyncio.gather(
        *(client.post(f"{BASE}/sms-codes", json={"phone": PHONE}) for _ in range(50))
    )

    assert sorted(answer.status_code for answer in answers) == [202] + [429] * 49
    assert len(await rows(client.database, "SELECT 1 FROM sms_message")) == 1


async def test_address_budget_holds_for_requests_sent_at_once(client: ServiceClient) -> None:
    answers = await asyncio.gather(
        *(client.post(f"{BASE}/sms-codes", json={"phone": f"137000000{n:02d}"}) for n in range(80))
    )

    assert [answer.status_code for answer in answers].count(202) == 60


async def test_code_lives_at_most_ten_minutes(client: ServiceClient, play: Play) -> None:
    settings = client.app.state.settings

    _ = await play.code()
    (row,) = await rows(client.database, "SELECT expires_at - created_at AS life FROM sms_code")

    assert row["life"] <= timedelta(minutes=10)
    with pytest.raises(ValueError, match="less than or equal to 600"):
        _ = type(settings)(**{**settings.model_dump(), "sms_code_seconds": 601})


async def test_retired_key_leaves_the_set_and_its_tokens_are_refused(
    client: ServiceClient, play: Play
) -> None:
    tokens = await play.sign_in()
    _ = await client.post(f"{BASE}/signing-keys/rotation", headers=play.administrator)
    published = len((await client.get(f"{BASE}/jwks")).json()["keys"])
    _ = await rows(
        client.database,
        "UPDATE signing_key SET retired_at = now() - interval '16 minutes' WHERE state = 'old'",
    )

    verifier = await play.trust()

    assert published == 3
    assert len((await client.get(f"{BASE}/jwks")).json()["keys"]) == 2
    with pytest.raises(TokenError):
        _ = await verifier.first.verify(tokens["access_token"], clock.now())  # pyright: ignore[reportAttributeAccessIssue]


async def test_old_things_are_cleared_and_fresh_ones_stay(
    client: ServiceClient, play: Play
) -> None:
    _ = await client.delete(f"{BASE}/sessions", headers=bearer(await play.sign_in()))
    _ = await play.password(await play.staff(), password="wrong")

    async def counts() -> list[int]:
        tables = ("sms_code", "sms_message", "revocation", "throttle")
        return [len(await rows(client.database, f"SELECT 1 FROM {table}")) for table in tables]

    async def prune(days: int) -> list[int]:
        async with client.database.transaction() as session:
            await delete_expired(session, clock.now() + timedelta(days=days))
        return await counts()

    assert [await prune(0), await prune(2), await prune(8)] == [
        [1, 1, 1, 3],
        [0, 1, 0, 0],
        [0, 0, 0, 0],
    ]


async def test_first_registration_of_two_codes_at_once_makes_one_account(
    client: ServiceClient, play: Play
) -> None:
    from services.identity.use_cases.sms import account_of_phone

    async def register() -> Any:
        async with client.database.transaction() as session:
            return (await account_of_phone(session, PHONE, now=clock.now())).id

    ids = await asyncio.gather(*(register() for _ in range(50)))

    assert len(set(ids)) == 1
