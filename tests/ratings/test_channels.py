"""Channels: codes and sub-channels belong together.

A window's rotating code resists replays and bulk rating.
"""

from datetime import timedelta
from typing import Any

import pytest

from services.ratings.invitations.model.tokens import step_of, window_code
from services.ratings.timers import forget
from shared import clock
from shared.security.crypto import use_key
from tests.builders.matters import CITY, DEPARTMENT
from tests.conftest import ClientFactory, TokenFactory
from tests.ratings.giving import BASE, DATA_KEY, HALL, PLATFORM_KEY, WINDOW, Giving

SCANNED = {"pf": "3", "sub_channel": "window_qr"}
CHANNELS = [
    ("1", "site"),
    ("2", "app"),
    ("2", "mini_program"),
    ("2", "official_account"),
    ("3", "window_qr"),
    ("4", "tablet"),
    ("5", "kiosk"),
    ("5", "evaluator"),
    ("7", "sms_link"),
]


@pytest.mark.parametrize(("pf", "sub_channel"), CHANNELS)
async def test_one_contract_serves_every_channel(giving: Giving, pf: str, sub_channel: str) -> None:
    link = await giving.invited()

    rating = await giving.rated(token=link, pf=pf, sub_channel=sub_channel, terminal="T-1")

    assert (rating["pf"], rating["sub_channel"], rating["terminal"]) == (pf, sub_channel, "T-1")


@pytest.mark.parametrize(
    ("pf", "sub_channel"), [("1", "app"), ("2", "site"), ("7", "window_qr"), ("6", "kiosk")]
)
async def test_sub_channel_belongs_to_its_code(giving: Giving, pf: str, sub_channel: str) -> None:
    answer = await giving.rate(token="x", pf=pf, sub_channel=sub_channel)

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "sub_channel"


async def test_device_of_a_hall_says_which_it_is(giving: Giving) -> None:
    answer = await giving.rate(token="x", pf="5", sub_channel="kiosk")

    assert [error["field"] for error in answer.json()["errors"]] == ["terminal"]


async def test_window_shows_its_code_to_its_own_department(
    giving: Giving, token: TokenFactory
) -> None:
    path, place = f"{BASE}/window-codes", {"hall": HALL, "window": WINDOW}

    shown = [
        await giving.client.get(path, params=place, headers=who)
        for who in (giving.clerk, giving.system)
    ]
    refused = [
        await giving.client.get(path, params=place, headers=who)
        for who in (
            token(),
            giving.handler,
            token(kind="system", scope="cases:push", area=CITY, department="D"),
        )
    ]

    assert shown[0].json()["svg"].startswith("<svg")
    assert shown[0].json()["code"] == shown[1].json()["code"]
    assert [answer.status_code for answer in refused] == [403] * 3


async def test_code_is_exchanged_for_time_to_write(giving: Giving) -> None:
    code = await giving.window_code()
    offer = await giving.get(f"invitations/{code}")

    rating = await giving.rated(token=offer["rating_token"], device="phone-0001", **SCANNED)

    assert (offer["stage"], offer["window"]) == ("visit", WINDOW)
    assert (rating["source"], rating["hall"], rating["window"], rating["real_name"]) == (
        "window_code",
        HALL,
        WINDOW,
        False,
    )
    row = (await giving.rows("SELECT area_code, department_code, stage FROM rating"))[0]
    assert tuple(row.values()) == (CITY, DEPARTMENT, "visit")


async def test_same_phone_repeating_gets_its_rating_and_no_second(giving: Giving) -> None:
    code = await giving.window_code()
    body: dict[str, Any] = {"token": code, "device": "phone-0001", **SCANNED}

    first, again, other = (
        await giving.rate(**body),
        await giving.rate(**body),
        await giving.rate(**body, grade=1),
    )

    assert (first.status_code, again.content) == (201, first.content)
    assert (other.status_code, other.json()["code"]) == (409, "already_rated")
    assert len(await giving.rows("SELECT 1 FROM rating")) == 1


async def test_one_code_serves_few_ratings(giving: Giving) -> None:
    code = await giving.window_code()

    answers = [await giving.rate(token=code, device=f"phone-{n:04}", **SCANNED) for n in range(5)]

    assert [answer.status_code for answer in answers] == [201] * 3 + [409] * 2
    assert answers[-1].json()["code"] == "code_used_up"


async def test_one_phone_rates_a_window_once_in_a_while(giving: Giving) -> None:
    first = await giving.rate(token=await giving.window_code(), device="phone-0001", **SCANNED)
    await giving.change(
        "UPDATE window_use SET step = step - 5, used_at = used_at - interval '5 minutes'"
    )
    await giving.change("UPDATE invitation SET visit = visit || '-earlier'")
    soon = await giving.rate(token=await giving.window_code(), device="phone-0001", **SCANNED)
    elsewhere = await giving.rate(
        token=await giving.window_code(window="B01"), device="phone-0001", **SCANNED
    )

    assert [first.status_code, soon.status_code, elsewhere.status_code] == [201, 409, 201]


async def test_one_address_rates_a_window_only_so_often(
    client_of: ClientFactory, token: TokenFactory
) -> None:
    giving = Giving(
        await client_of("ratings", window_code_ratings=50, window_address_ratings=4), token
    )
    code = await giving.window_code()

    answers = [await giving.rate(token=code, device=f"phone-{n:04}", **SCANNED) for n in range(6)]

    assert [answer.status_code for answer in answers] == [201] * 4 + [429] * 2


async def test_budgets_of_yesterday_are_forgotten(giving: Giving) -> None:
    _ = await giving.rated(token=await giving.window_code(), device="phone-0001", **SCANNED)
    await forget(giving.client.database, clock.now())
    kept = await giving.rows("SELECT 1 FROM window_use")
    await forget(giving.client.database, clock.now() + timedelta(days=3))

    assert (len(kept), await giving.rows("SELECT 1 FROM window_use")) == (1, [])


async def test_old_and_made_up_codes_are_refused(giving: Giving) -> None:
    code = await giving.window_code()
    step = step_of(clock.now(), 60)
    with use_key(DATA_KEY, platform=PLATFORM_KEY):
        before, early, late = [
            window_code((CITY, DEPARTMENT, HALL, WINDOW), one)
            for one in (step - 1, step - 3, step + 2)
        ]
    body: dict[str, Any] = {"device": "phone-0001", **SCANNED}

    answers = [
        await giving.rate(token=one, **body) for one in (early, late, code[:-3] + "AAA", before)
    ]

    assert [answer.status_code for answer in answers] == [409, 409, 403, 201]
    assert [answer.json().get("code") for answer in answers[:3]] == [
        "token_expired",
        "token_expired",
        "token_forged",
    ]


async def test_code_without_a_phone_is_asked_for_one(giving: Giving) -> None:
    answer = await giving.rate(token=await giving.window_code(), **SCANNED)

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "device"


async def test_nobody_rates_a_visit_under_a_name_that_was_not_verified(
    giving: Giving, token: TokenFactory
) -> None:
    body: dict[str, Any] = {"token": await giving.window_code(), "real_name": True, **SCANNED}

    unknown = await giving.rate(**body, device="phone-0001")
    verified = await giving.rated(token(acr=2), **body)

    assert unknown.status_code == 400
    assert verified["real_name"] is True
