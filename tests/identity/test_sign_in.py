"""Signing in: by SMS, by password and TOTP, by a system's key; refresh, sign-out, revocation."""

import asyncio
import time
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import OKPKey

from services.identity import security
from shared import clock
from shared.database.migrations import drift, run_on
from shared.ids import new_id
from tests.conftest import DatabaseFactory, ServiceClient, TokenFactory, once, published
from tests.identity.conftest import BASE, PHONE, Play, an_assertion, bearer, rows


async def refresh(client: ServiceClient, token: str) -> tuple[int, str | None]:
    answer = await client.post(f"{BASE}/sessions/refresh", json={"refresh_token": token})
    return answer.status_code, answer.json().get("refresh_token")


async def test_first_sign_in_registers_and_the_second_finds_the_account(
    client: ServiceClient, play: Play
) -> None:
    first = await play.sign_in()
    account = (await client.get(f"{BASE}/account", headers=bearer(first))).json()
    _ = await rows(
        client.database, "UPDATE sms_code SET created_at = created_at - interval '2 minutes'"
    )
    second = await play.sign_in()

    assert (account["kind"], account["level"], account["phone"]) == ("person", 1, "139****1234")
    assert (await client.get(f"{BASE}/account", headers=bearer(second))).json()["id"] == account[
        "id"
    ]
    assert [e.type for e in await published(client.database)] == [
        "tongban.identity.account-registered.v1"
    ]


async def test_one_code_signs_in_once_under_parallel_use(client: ServiceClient, play: Play) -> None:
    body = {"phone": PHONE, "code": await play.code()}

    answers = await asyncio.gather(
        *(client.post(f"{BASE}/sessions/sms", json=body) for _ in range(100))
    )

    assert [a.status_code for a in answers].count(200) == 1
    assert {a.status_code for a in answers} == {200, 401}


async def test_wrong_codes_use_the_code_up(client: ServiceClient, play: Play) -> None:
    code = await play.code()
    wrong = f"{(int(code) + 1) % 1_000_000:06d}"

    statuses = [
        (await client.post(f"{BASE}/sessions/sms", json={"phone": PHONE, "code": c})).status_code
        for c in (*[wrong] * 5, code)
    ]

    assert statuses == [401] * 6


async def test_expired_code_and_unknown_phone_are_refused_alike(
    client: ServiceClient, play: Play
) -> None:
    code = await play.code()
    _ = await rows(client.database, "UPDATE sms_code SET expires_at = now() - interval '1 second'")

    expired = await client.post(f"{BASE}/sessions/sms", json={"phone": PHONE, "code": code})
    unknown = await client.post(f"{BASE}/sessions/sms", json={"phone": "13800000000", "code": code})

    assert (expired.status_code, expired.json()["detail"]) == (
        unknown.status_code,
        unknown.json()["detail"],
    )


async def test_budget_per_number_and_address(client: ServiceClient, play: Play) -> None:
    _ = await play.code()
    again = await client.post(f"{BASE}/sms-codes", json={"phone": PHONE})
    headers = {"x-forwarded-for": "spoofed, 203.0.113.9"}
    for number in range(60):
        _ = await client.post(
            f"{BASE}/sms-codes", json={"phone": f"137000000{number:02d}"}, headers=headers
        )
    flood = await client.post(f"{BASE}/sms-codes", json={"phone": "13700000099"}, headers=headers)

    assert (again.status_code, again.headers["retry-after"]) == (429, "60")
    assert (flood.status_code, flood.headers["retry-after"]) == (429, "3600")


async def test_messages_are_read_only_by_administrators_in_development(
    client: ServiceClient, play: Play, token: TokenFactory
) -> None:
    _ = await play.code()
    path, params = f"{BASE}/development/sms-messages", {"phone": PHONE}
    citizen = await client.get(path, params=params, headers=token())
    client.app.state.settings = client.app.state.settings.model_copy(update={"development": False})

    production = await client.get(path, params=params, headers=play.administrator)

    assert (citizen.status_code, production.status_code) == (403, 404)


async def test_fifty_parallel_refreshes_give_one_successor(
    client: ServiceClient, play: Play
) -> None:
    tokens = await play.sign_in()

    answers = await asyncio.gather(*(refresh(client, tokens["refresh_token"]) for _ in range(50)))
    following = {token for _, token in answers}

    assert {status for status, _ in answers} == {200}
    assert len(following) == 1
    assert (await refresh(client, str(following.pop())))[0] == 200


async def test_reuse_after_the_grace_ends_the_family(client: ServiceClient, play: Play) -> None:
    tokens = await play.sign_in()
    _, second = await refresh(client, tokens["refresh_token"])
    _ = await rows(
        client.database, "UPDATE session SET rotated_at = rotated_at - interval '11 seconds'"
    )

    reused = await refresh(client, tokens["refresh_token"])
    newest = await refresh(client, str(second))
    feed = (await client.get("/internal/revocations")).json()

    assert (reused[0], newest[0]) == (401, 401)
    assert len(feed["items"]) == 1
    assert (await client.get("/internal/revocations", params={"after": feed["next"]})).json()[
        "items"
    ] == []
    assert [e.type.split(".")[2] for e in await published(client.database)][
        -1
    ] == "sessions-revoked"


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "a.b.c",
        "018f0000-0000-7000-8000-000000000000.1.AAAA",
        "018f0000-0000-7000-8000-000000000000.x.AAAA",
    ],
)
async def test_forged_refresh_tokens_are_refused(client: ServiceClient, token: str) -> None:
    status, _ = await refresh(client, token)

    assert status in {400, 401}


async def test_sessions_are_listed_and_ended_by_their_owner_alone(
    client: ServiceClient, play: Play
) -> None:
    mine, other = await play.sign_in(), await play.sign_in("13700000001")
    (session,) = (await client.get(f"{BASE}/sessions", headers=bearer(mine))).json()
    path = f"{BASE}/sessions/{session['id']}"

    foreign = await client.delete(path, headers=bearer(other))
    ended = await client.delete(f"{BASE}/sessions/current", headers=bearer(mine))
    again = await client.delete(path, headers=bearer(mine))

    assert session["current"]
    assert (foreign.status_code, ended.status_code, again.status_code) == (404, 204, 404)
    assert (await refresh(client, mine["refresh_token"]))[0] == 401


async def test_staff_sign_in_with_password_and_totp(client: ServiceClient, play: Play) -> None:
    staff = await play.staff()

    answer = await play.password(staff)
    replayed = await play.password(staff)
    verifier = await play.trust()
    caller = await verifier.verify(answer.json()["access_token"], clock.now())

    assert (caller.kind, caller.roles, caller.area, caller.department) == (
        "staff",
        frozenset({"window_clerk"}),
        "540100000000",
        "D1",
    )
    assert (caller.amr, replayed.status_code) == (("pwd", "otp"), 401)


async def test_failures_make_wait_longer_and_longer_and_unknown_users_answer_alike(
    client: ServiceClient, play: Play
) -> None:
    staff = await play.staff()
    wrong = [await play.password(staff, password="wrong") for _ in range(5)]

    blocked = await play.password(staff)
    await rows(client.database, "UPDATE throttle SET blocked_until = now() - interval '1 second'")
    unknown = await play.password(staff, username="nobody.here")
    await rows(client.database, "UPDATE throttle SET blocked_until = now() - interval '1 second'")
    right = await play.password(staff)

    assert {(a.status_code, a.json()["detail"]) for a in [*wrong, unknown]} == {
        (401, unknown.json()["detail"])
    }
    assert (blocked.status_code, right.status_code) == (429, 200)
    assert int(blocked.headers["retry-after"]) >= 1


def test_pauses_double_up_to_half_an_hour() -> None:
    pauses = [security.pause_after(failures) for failures in range(1, 40)]

    assert pauses[:5] == [timedelta()] * 4 + [timedelta(seconds=1)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == timedelta(minutes=30)


@given(st.integers(0, 2**40), st.integers(-3, 3))
def test_totp_holds_for_one_step_around_now_and_never_twice(step: int, shift: int) -> None:
    secret = "JBSWY3DPEHPK3PXP" * 2
    code = security.totp(secret, max(step + shift, 0))

    found = security.totp_step(secret, code=code, moment=step * 30 + 7, last_step=-1)

    assert found is not None or abs(shift) > 1 or step + shift < 0
    if found is not None:
        assert abs(found - step) <= 1
        assert (
            security.totp_step(secret, code=code, moment=step * 30 + 7, last_step=step + 1) is None
        )


def test_totp_vector_of_rfc_6238() -> None:
    assert security.totp("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", 59 // 30) == "287082"


async def test_system_gets_a_token_by_its_key_once_per_assertion(
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

    async def ask(assertion: str, **more: str) -> int:
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": assertion,
            **more,
        }
        return (await client.post(f"{BASE}/oauth/token", data=form)).status_code

    good = an_assertion(key, client_id)
    statuses = [
        await ask(good),
        await ask(good),
        await ask(an_assertion(OKPKey.generate_key("Ed25519"), client_id)),
        await ask(an_assertion(key, client_id, aud="elsewhere")),
        await ask(an_assertion(key, client_id, exp=int(time.time()) + 3600)),
        await ask(an_assertion(key, client_id, exp=1)),
        await ask(an_assertion(key, client_id, jti=None)),
        await ask(an_assertion(key, str(new_id()))),
        await ask(an_assertion(key, client_id), scope="matters:read"),
        await ask("nonsense"),
        await ask(an_assertion(key, client_id), scope="cases:push"),
    ]

    assert statuses == [200, *[401] * 9, 200]
    refused = await client.post(
        f"{BASE}/systems",
        json={**body, "public_key": {"kty": "RSA"}},
        headers=once(play.administrator),
    )
    assert refused.status_code == 400


async def test_keys_rotate_without_a_gap(client: ServiceClient, play: Play) -> None:
    before = await play.sign_in()
    known = {key["kid"] for key in (await client.get(f"{BASE}/jwks")).json()["keys"]}
    rotated = await client.post(f"{BASE}/signing-keys/rotation", headers=play.administrator)
    _, token = await refresh(client, before["refresh_token"])
    after = (await client.post(f"{BASE}/sessions/refresh", json={"refresh_token": token})).json()
    verifier = await play.trust()

    old = await verifier.verify(before["access_token"], clock.now())
    new = await verifier.verify(after["access_token"], clock.now())

    assert rotated.status_code == 204
    assert len(known) == 2
    assert old.subject == new.subject
    assert after["access_token"].split(".")[0] != before["access_token"].split(".")[0]


async def test_models_equal_the_migrations(database_of: DatabaseFactory) -> None:
    database = await database_of("identity")

    assert await run_on(database.dsn, drift, "identity") == []
