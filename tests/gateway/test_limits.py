"""Limits: per address, account, client and route; what is counted."""

import asyncio
import re

import httpx
import pytest

from gateway.limits import ConcurrencyLimit
from gateway.routes import RULES, find_route
from tests.conftest import TokenFactory
from tests.gateway.conftest import GateFactory, plain

PUBLIC = "/api/v1/matters/catalogue"
CLOSED = "/api/v1/matters/work-list"
CODES = "/api/v1/identity/sms-codes"


async def statuses(
    client: httpx.AsyncClient, number: int, headers: dict[str, str], path: str = CLOSED
) -> list[int]:
    return [(await client.get(path, headers=headers)).status_code for _ in range(number)]


async def test_every_account_and_every_client_has_a_limit_of_its_own(
    gate: GateFactory, token: TokenFactory
) -> None:
    g = await gate(rate_per_caller=0.01, rate_per_client=0.01, burst=2)

    first = await statuses(g.client, 3, token(sub="a"))
    second = await statuses(g.client, 1, token(sub="b"))
    system = await statuses(g.client, 3, token(sub="c", kind="system"))

    assert (first, second, system) == ([200, 200, 429], [200], [200, 200, 429])


async def test_who_acts_for_another_has_the_limit_of_ones_own(
    gate: GateFactory, token: TokenFactory
) -> None:
    g = await gate(rate_per_caller=0.01, burst=2)

    own = await statuses(g.client, 2, token(sub="person"))
    acting = await statuses(
        g.client, 1, token(sub="company", kind="organisation", act={"sub": "person"})
    )
    other = await statuses(
        g.client, 1, token(sub="company", kind="organisation", act={"sub": "colleague"})
    )

    assert (own, acting, other) == ([200, 200], [429], [200])


async def test_route_with_a_rate_of_its_own_is_stricter_and_alone(gate: GateFactory) -> None:
    g = await gate(route_rates={"sms_codes": (0.1, 2)})

    answers = [await g.client.post(CODES, json={}) for _ in range(3)]
    elsewhere = await g.client.get(PUBLIC)

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers["ratelimit-remaining"] for answer in answers] == ["1", "0", "0"]
    assert (answers[2].headers["ratelimit-limit"], answers[2].headers["ratelimit-reset"]) == (
        "2",
        "20",
    )
    assert 9 <= int(answers[2].headers["retry-after"]) <= 11
    assert (elsewhere.status_code, elsewhere.headers["ratelimit-limit"]) == (200, "400")


async def test_tokens_that_do_not_hold_count_against_their_address(gate: GateFactory) -> None:
    g = await gate(rate_per_address=0.01, burst=3)

    found = await statuses(g.client, 4, {"Authorization": "Bearer x"})

    assert found == [401, 401, 401, 429]


@pytest.mark.parametrize(
    ("request_line", "rate", "public", "low"),
    [
        ("POST /api/v1/identity/sms-codes", "sms_codes", True, False),
        ("GET /api/v1/identity/sms-codes", "", False, False),
        ("POST /api/v1/identity/sessions/password", "sign_in", True, False),
        ("POST /api/v1/identity/sessions/mini-program/binding", "sign_in", True, False),
        ("POST /api/v1/identity/sessions/organisation", "", False, False),
        ("POST /api/v1/cases/tracking", "tracking", True, False),
        ("POST /api/v1/licenses/checks", "license_checks", True, False),
        ("GET /api/v1/licenses/checks/AbC-_d", "license_checks", True, False),
        ("GET /api/v1/licenses/types/x", "", True, False),
        ("PUT /api/v1/licenses/types/x", "", False, False),
        ("GET /api/v1/licenses/keys", "", True, False),
        ("GET /api/v1/licenses/licenses", "", False, False),
        ("GET /api/v1/licenses/statistics", "", False, True),
        ("HEAD /api/v1/matters/catalogue/x", "", True, False),
        ("GET /api/v1/assessment/daily-reports/2026-01-01", "", True, True),
        ("POST /api/v1/cases/imports", "", False, True),
        ("GET /api/v1/cases/files", "", False, False),
    ],
)
def test_route_table(request_line: str, rate: str, public: bool, low: bool) -> None:
    method, path = request_line.split()

    route = find_route(method, path=path)

    assert route is not None
    assert (route.rate, route.public, route.low_priority) == (rate, public, low)


def test_every_rule_is_one_group_so_that_the_table_stays_in_step() -> None:
    assert all(re.compile(rule.pattern).groups == 0 for rule in RULES)


async def test_one_address_has_a_share_of_the_places_and_leaves_the_rest(gate: GateFactory) -> None:
    async def storing(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes
    ) -> None:
        if b"content-length" in head.lower():
            _ = await reader.readexactly(1000)
        await plain(reader, writer, head)

    g = await gate(storing, max_per_address=3)
    unfinished = f"GET {PUBLIC} HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nx".encode()
    slow = [await asyncio.open_connection("127.0.0.1", g.port) for _ in range(3)]
    for _, writer in slow:
        writer.write(unfinished)
        await writer.drain()
    await asyncio.sleep(0.3)

    refused = await g.client.get(PUBLIC)
    nowhere = await g.client.get("/api/v1/nothing/here")
    elsewhere = httpx.AsyncHTTPTransport(local_address="127.0.0.2")
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{g.port}", transport=elsewhere
    ) as other:
        passed = await other.get(PUBLIC)
    for _, writer in slow:
        writer.close()
    await asyncio.sleep(0.3)

    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
    assert refused.headers["retry-after"] == "2"
    assert (nowhere.status_code, passed.status_code) == (429, 200)
    assert (await g.client.get(PUBLIC)).status_code == 200


def test_places_forget_addresses_that_left() -> None:
    in_flight = ConcurrencyLimit()

    assert [in_flight.enter(address) for address in ("a", "a", "b")] == [1, 2, 1]
    in_flight.leave("a")
    assert in_flight.enter("a") == 2
    for address in ("a", "a", "b"):
        in_flight.leave(address)
    assert vars(in_flight) == vars(ConcurrencyLimit())
