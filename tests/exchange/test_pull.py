"""Pull: the same bytes as by webhook, from any place that is kept, as often as wanted.

Only the peer itself gets them.
"""

import asyncio
import time
from typing import Any

import orjson

from services.exchange.events.timers import Pruner
from shared.events.cases import CaseAccepted, CaseClosed, CaseReceived
from tests.conftest import TokenFactory
from tests.exchange.conftest import ACCEPTED, BASE, CLOSED, RECEIVED, Bureau, a_case


async def pull(bureau: Bureau, subscription: dict[str, Any], **params: Any) -> Any:
    return await bureau.get("events", subscription=subscription["id"], **params)


async def test_pull_walks_through_the_log_page_by_page(bureau: Bureau) -> None:
    subscription = await bureau.subscribe(after=0)
    ids = await bureau.happen(*(a_case() for _ in range(5)))

    pages, after = list[list[str]](), 0
    while True:
        page = await pull(bureau, subscription, after=after, limit=2)
        if not page["items"]:
            break
        pages.append([event["id"] for event in page["items"]])
        after = page["next"]

    assert pages == [ids[:2], ids[2:4], ids[4:]]
    again = await pull(bureau, subscription, after=1, limit=200)
    assert [event["id"] for event in again["items"]] == ids[1:]
    assert [event["sequence"] for event in again["items"]] == [f"{n:020d}" for n in range(2, 6)]


async def test_pulled_bytes_are_those_of_the_log(bureau: Bureau) -> None:
    subscription = await bureau.subscribe()
    _ = await bureau.happen(a_case(), a_case(CaseClosed))

    headers = {**bureau.headers}
    answer = await bureau.client.get(
        f"{BASE}/events", params={"subscription": subscription["id"]}, headers=headers
    )

    stored = [
        row["payload"]
        for row in await bureau.rows("SELECT payload FROM logged_event ORDER BY sequence")
    ]
    assert answer.content == b'{"items":[' + b",".join(stored) + b'],"next":2,"head":2}'


async def test_place_is_remembered_for_a_client_that_forgets(bureau: Bureau) -> None:
    subscription = await bureau.subscribe()
    first = await bureau.happen(a_case())
    one = await pull(bureau, subscription)
    second = await bureau.happen(a_case())
    two = await pull(bureau, subscription)

    assert [[e["id"] for e in page["items"]] for page in (one, two)] == [first, second]


async def test_long_gap_without_matching_events_is_passed_at_once(bureau: Bureau) -> None:
    subscription = await bureau.subscribe(event_types=[CLOSED])
    _ = await bureau.happen(*(a_case(CaseReceived) for _ in range(50)))

    empty = await pull(bureau, subscription, after=0)
    (wanted,) = await bureau.happen(a_case(CaseClosed))
    page = await pull(bureau, subscription, after=empty["next"])

    assert (empty["items"], empty["next"], empty["head"]) == ([], 50, 50)
    assert [event["id"] for event in page["items"]] == [wanted]


async def test_revoked_type_is_not_handed_out_again(bureau: Bureau) -> None:
    subscription = await bureau.subscribe()
    _ = await bureau.happen(a_case(CaseReceived), a_case(CaseAccepted))
    _ = await bureau.change_peer(event_types=[RECEIVED])

    page = await pull(bureau, subscription, after=0)

    assert [event["type"] for event in page["items"]] == [RECEIVED]


async def test_area_of_another_is_never_handed_out(bureau: Bureau) -> None:
    subscription = await bureau.subscribe()
    _ = await bureau.happen(a_case(area_code="540102000000"))
    before = await pull(bureau, subscription, after=0)
    _ = await bureau.change_peer(area_codes=["540102000000"])
    after = await pull(bureau, subscription, after=0)

    assert (len(before["items"]), len(after["items"])) == (0, 1)


async def test_waiting_request_is_answered_when_something_happens(bureau: Bureau) -> None:
    subscription = await bureau.subscribe()

    started = time.monotonic()
    waiting = asyncio.create_task(pull(bureau, subscription, wait=15))
    await asyncio.sleep(0.5)
    (event_id,) = await bureau.happen(a_case())
    page = await waiting

    assert [event["id"] for event in page["items"]] == [event_id]
    assert time.monotonic() - started < 5
    assert (await pull(bureau, subscription, after=page["next"], wait=0.3))["items"] == []


async def test_events_no_longer_kept_are_told_and_not_skipped(bureau: Bureau) -> None:
    subscription = await bureau.subscribe()
    _ = await bureau.happen(*(a_case() for _ in range(3)))
    _ = await bureau.rows(
        "UPDATE logged_event SET logged_at = now() - interval '91 days' WHERE sequence <= 2"
    )
    await Pruner(bureau.client.app.state.settings).run(bureau.client.database, bureau.now)
    params = {"subscription": subscription["id"], "after": 1}

    refused = await bureau.client.get(f"{BASE}/events", params=params, headers=bureau.headers)
    beyond = await bureau.client.get(
        f"{BASE}/events", params={**params, "after": 9}, headers=bureau.headers
    )
    kept = await pull(bureau, subscription, after=0)

    assert (refused.status_code, refused.json()["oldest"]) == (409, 3)
    assert (beyond.status_code, beyond.json()["head"]) == (409, 3)
    assert [event["sequence"] for event in kept["items"]] == [f"{3:020d}"]


async def test_another_peers_subscription_is_not_there(bureau: Bureau, token: TokenFactory) -> None:
    subscription = await bureau.subscribe()
    other = Bureau(bureau.client, token)
    _ = await other.register(code="housing-bureau")
    params = {"subscription": subscription["id"]}

    foreign = await bureau.client.get(f"{BASE}/events", params=params, headers=other.headers)
    no_scope = await bureau.client.get(
        f"{BASE}/events", params=params, headers=bureau.system(bureau.account, "exchange:push")
    )
    no_peer = await bureau.client.get(f"{BASE}/events", params=params, headers=bureau.administrator)
    await other.endpoints.close()

    assert [answer.status_code for answer in (foreign, no_scope, no_peer)] == [404, 403, 403]


async def test_pulled_events_are_counted_once(bureau: Bureau) -> None:
    subscription = await bureau.subscribe()
    _ = await bureau.happen(a_case(), a_case(CaseAccepted))
    for _ in range(3):
        _ = await pull(bureau, subscription, after=0)

    figures = await bureau.get("statistics", bureau.administrator)

    assert [(t["type"], t["sent"], t["acknowledged"]) for t in figures["types"]] == [
        (ACCEPTED, 1, 1),
        (RECEIVED, 1, 1),
    ]
    assert figures["subscriptions"][0]["lag"] == 0


async def test_suspended_subscription_hands_out_nothing(bureau: Bureau) -> None:
    subscription = await bureau.subscribe()
    suspended = (await bureau.act(subscription, "suspension", {"reason": "系统升级维护"})).json()
    (event_id,) = await bureau.happen(a_case())
    params = {"subscription": subscription["id"]}

    refused = await bureau.client.get(f"{BASE}/events", params=params, headers=bureau.headers)
    active = await bureau.act(suspended, "activation")
    page = await pull(bureau, subscription)

    assert (refused.status_code, refused.json()["allowed"]) == (409, ["activation", "end"])
    assert active.json()["state"] == "active"
    assert orjson.loads(orjson.dumps(page))["items"][0]["id"] == event_id
