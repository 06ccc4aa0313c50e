"""Level 3: a window clerk sees the person and the card."""

from typing import Any

import pytest

from shared import clock
from tests.conftest import Headers, ServiceClient, TokenFactory, published
from tests.identity.conftest import BASE, ID_NUMBER, PHONE, Play, bearer, rows

CARD = {"name": "卓玛央金", "id_number": ID_NUMBER, "id_valid_until": "2036-01-01"}
OTHER_PHONE, OTHER_ID = "13700000001", "540102199001010038"


@pytest.fixture
def clerk(token: TokenFactory) -> Headers:
    return token(kind="staff", roles=["window_clerk"], sub="clerk-1")


async def verify(client: ServiceClient, headers: Headers, **changes: Any) -> Any:
    body = {**CARD, "phone": PHONE, "reason": "came to the hall with her card", **changes}
    return await client.post(f"{BASE}/counter-verifications", json=body, headers=headers)


async def test_clerk_raises_to_level_three_with_reason_and_the_next_tokens_say_so(
    client: ServiceClient, play: Play, clerk: Headers
) -> None:
    tokens = await play.sign_in()

    verified = await verify(client, clerk)
    refreshed = (
        await client.post(
            f"{BASE}/sessions/refresh", json={"refresh_token": tokens["refresh_token"]}
        )
    ).json()
    caller = await (await play.trust()).verify(refreshed["access_token"], clock.now())
    (row,) = await rows(
        client.database, "SELECT actor, reason, detail FROM audit WHERE action = 'identity.verify'"
    )

    assert (verified.status_code, verified.json()) == (200, {"level": 3})
    assert (caller.acr, caller.amr) == (3, ("sms", "counter"))
    assert (row["actor"], row["reason"]) == ("clerk-1", "came to the hall with her card")
    assert ID_NUMBER not in row["detail"]
    (fact,) = [
        e for e in await published(client.database) if e.type.endswith("identity-verified.v1")
    ]
    assert (fact.data["level"], fact.data["method"]) == (3, "counter")


async def test_person_of_level_two_is_raised_by_the_same_card_alone(
    client: ServiceClient, play: Play, clerk: Headers
) -> None:
    tokens = await play.sign_in()
    _ = await client.post(f"{BASE}/verifications", json=CARD, headers=bearer(tokens))

    other = await verify(client, clerk, id_number=OTHER_ID)
    same = await verify(client, clerk)
    again = await verify(client, clerk)

    assert (other.status_code, same.status_code, again.status_code) == (409, 200, 409)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"phone": OTHER_PHONE}, 404),
        ({"phone": "1"}, 400),
        ({"name": "不符"}, 400),
        ({"id_valid_until": "2020-01-01"}, 400),
        ({"reason": ""}, 400),
        ({"reason": None}, 400),
    ],
)
async def test_counter_refusals_change_nothing(
    client: ServiceClient, play: Play, clerk: Headers, changes: dict[str, Any], status: int
) -> None:
    _ = await play.sign_in()

    answer = await verify(client, clerk, **changes)

    assert answer.status_code == status
    assert [row["level"] for row in await rows(client.database, "SELECT level FROM account")] == [1]


async def test_card_of_another_account_is_refused(
    client: ServiceClient, play: Play, clerk: Headers
) -> None:
    _, _ = await play.sign_in(), await play.sign_in(OTHER_PHONE)
    _ = await verify(client, clerk)

    assert (await verify(client, clerk, phone=OTHER_PHONE)).status_code == 409


@pytest.mark.parametrize(
    "claims", [{"kind": "staff", "roles": ["leader"]}, {"kind": "person"}, {"kind": "system"}]
)
async def test_only_window_clerks_verify_at_counters(
    client: ServiceClient, token: TokenFactory, claims: dict[str, Any]
) -> None:
    assert (await verify(client, token(**claims))).status_code == 403
