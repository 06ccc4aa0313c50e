"""Tracking without signing in: one answer for every wrong guess, and a budget of guesses."""

import asyncio
from collections import Counter
from datetime import timedelta
from pathlib import Path

import httpx

from services.cases.timers import forget_tracking_attempts
from shared import clock
from tests.cases.conftest import BASE, StackFixture
from tests.conftest import ClientFactory, TokenFactory

PER_NUMBER = 10
PER_ADDRESS = 30


async def track(
    stack: StackFixture, number: str, phone: str = "1234", address: str = "203.0.113.1"
) -> httpx.Response:
    body = {"number": number, "phone_last4": phone}
    return await stack.client.post(
        f"{BASE}/tracking", json=body, headers={"X-Forwarded-For": address}
    )


def other(number: str, n: int) -> str:
    return f"{number[:-4]}{9000 + n}"


async def test_guesses_at_one_case_end_even_from_many_addresses(stack: StackFixture) -> None:
    number = (await stack.apply())["number"]

    answers = [
        await track(stack, number, f"{n:04}", f"203.0.113.{n}") for n in range(PER_NUMBER + 2)
    ]
    right = await track(stack, number, address="203.0.113.99")

    assert [answer.status_code for answer in answers] == [404] * PER_NUMBER + [429] * 2
    assert (right.status_code, 0 < int(right.headers["Retry-After"]) <= 600) == (429, True)
    assert (await track(stack, other(number, 1))).status_code == 404


async def test_guesses_from_one_address_end_even_at_many_cases(stack: StackFixture) -> None:
    number = (await stack.apply())["number"]

    answers = await asyncio.gather(
        *(track(stack, other(number, n)) for n in range(PER_ADDRESS + 10))
    )

    assert Counter(answer.status_code for answer in answers) == {404: PER_ADDRESS, 429: 10}
    assert (await track(stack, number)).status_code == 429
    assert (await track(stack, number, address="203.0.113.2")).status_code == 200


async def test_window_passes_and_old_tries_are_forgotten(
    client_of: ClientFactory, token: TokenFactory, tmp_path: Path
) -> None:
    client = await client_of(
        "cases",
        tracking_window_seconds=1,
        tracking_tries_per_number=1,
        storage_url=str(tmp_path / "uploads"),
    )
    stack = StackFixture(client, token)
    await stack.publish()
    number = (await stack.apply())["number"]

    statuses = [(await track(stack, number)).status_code for _ in range(2)]
    connection = await client.database.connect()
    _ = await connection.execute("UPDATE tracking_tries SET since = since - interval '2 seconds'")
    statuses.append((await track(stack, number)).status_code)
    await forget_tracking_attempts(client.database, clock.now() + timedelta(days=2))
    kept = await connection.fetchval("SELECT count(*) FROM tracking_tries")
    await connection.close()

    assert (statuses, kept) == ([200, 429, 200], 0)


async def test_address_of_a_client_is_not_believed_behind_no_gateway(
    client_of: ClientFactory, token: TokenFactory, tmp_path: Path
) -> None:
    client = await client_of(
        "cases",
        trust_gateway=False,
        tracking_tries_per_address=2,
        storage_url=str(tmp_path / "uploads"),
    )
    stack = StackFixture(client, token)
    await stack.publish()
    number = (await stack.apply())["number"]

    statuses = [
        (await track(stack, number, address=f"203.0.113.{n}")).status_code for n in range(3)
    ]

    assert statuses == [200, 200, 429]
