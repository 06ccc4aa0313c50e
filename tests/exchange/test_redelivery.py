"""Retries over days, dead letters, replays.

Whatever happens to a subscriber, nothing is lost and the order per key holds.
"""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from services.exchange.events.model.delivery import Outcome
from services.exchange.events.use_cases.deliveries import claim, follow_log
from services.exchange.events.use_cases.endpoints import retry_after
from shared import clock
from shared.events.cases import CaseAccepted, CaseClosed, CaseReceived
from shared.ids import new_id
from tests.builders.subscriber import Subscriber, listening
from tests.conftest import once, published
from tests.exchange.conftest import BASE, RECEIVED, Bureau, a_case, at

KINDS = (CaseReceived, CaseAccepted, CaseClosed)


async def redeliver(bureau: Bureau, subscription: dict[str, Any], **command: Any) -> Any:
    path = f"{BASE}/subscriptions/{subscription['id']}/redeliveries"
    answer = await bureau.client.post(path, json=command, headers=once(bureau.headers))
    bureau.now = max(bureau.now, clock.now())
    return answer


async def test_subscriber_down_for_a_day_catches_up_in_order_without_hand_work(
    bureau: Bureau,
) -> None:
    with listening() as subscriber:
        subscription = await bureau.hooked(subscriber)
    cases = [new_id() for _ in range(200)]
    for n, kind in enumerate(KINDS, 1):
        _ = await bureau.happen(*(a_case(kind, case, n) for case in cases))
        await bureau.pass_time(timedelta(hours=8), timedelta(minutes=40))
    rows = await bureau.rows("SELECT count(*) AS n FROM delivery")
    told = [type(envelope.event()).__name__ for envelope in await published(bureau.client.database)]

    with listening(subscriber):
        # A new event would be the first to find that it is back; here the schedule alone does.
        await bureau.pass_time(timedelta(hours=24), timedelta(hours=1))

    assert subscriber.by_key() == {str(case): [1, 2, 3] for case in cases}
    assert len(subscriber.ids()) == len(set(subscriber.ids())) == 600
    assert told == ["DeliveryFailed"]
    assert rows[0]["n"] < 600, "the backlog stays in the log while the endpoint is down"
    told = [type(envelope.event()).__name__ for envelope in await published(bureau.client.database)]
    assert told == ["DeliveryFailed", "DeliveryRecovered"]
    assert {d["state"] for d in await bureau.deliveries(subscription)} == {"delivered"}


async def test_new_event_tries_an_endpoint_that_is_down_and_frees_the_backlog(
    bureau: Bureau,
) -> None:
    with listening() as subscriber:
        _ = await bureau.hooked(subscriber)
    _ = await bureau.happen(*(a_case() for _ in range(40)))
    await bureau.pass_time(timedelta(hours=20))

    with listening(subscriber):
        _ = await bureau.happen(a_case())
        await bureau.pass_time(timedelta(minutes=12), timedelta(minutes=6))

    assert len(set(subscriber.ids())) == len(subscriber.ids()) == 41


async def test_claims_of_a_killed_worker_are_sent_again_under_the_same_id(
    bureau: Bureau, subscriber: Subscriber
) -> None:
    subscription = await bureau.hooked(subscriber)
    ids = await bureau.happen(*(a_case() for _ in range(5)))
    database = bureau.client.database
    async with database.transaction() as session:
        _ = await follow_log(session, subscription["id"], now=bureau.now)
    async with database.transaction() as session:
        claimed, _ = await claim(session, slots=3, each=3, busy=[], now=bureau.now)

    _ = await bureau.send()
    before = set(subscriber.ids())
    bureau.now += timedelta(seconds=61)
    _ = await bureau.send()

    assert before == set(ids) - {str(one.outcome.event_id) for one in claimed}
    assert set(subscriber.ids()) == set(ids)


async def test_two_workers_send_each_event_once_and_in_order(
    bureau: Bureau, subscriber: Subscriber
) -> None:
    other = Bureau(bureau.client, bureau.token)
    _ = await bureau.hooked(subscriber)
    cases = [new_id() for _ in range(60)]
    _ = await bureau.happen(
        *(a_case(kind, case, n) for n, kind in enumerate(KINDS, 1) for case in cases)
    )

    _ = await asyncio.gather(bureau.send(), other.send())
    _ = await bureau.send()
    await other.endpoints.close()

    assert subscriber.by_key() == {str(case): [1, 2, 3] for case in cases}


async def test_gone_endpoint_is_suspended_and_its_end_takes_up_what_waited(
    bureau: Bureau, subscriber: Subscriber
) -> None:
    subscription = await bureau.hooked(subscriber)
    subscriber.status = 410
    ids = await bureau.happen(*(a_case() for _ in range(3)))
    _ = await bureau.send()
    suspended = await bureau.get(f"subscriptions/{subscription['id']}")
    dead = await bureau.deliveries(subscription, state="dead")
    ids += await bureau.happen(a_case())
    _ = await bureau.send()

    subscriber.status = 200
    answer = await bureau.act(suspended, "activation")
    _ = await bureau.send()

    assert (suspended["state"], suspended["reason"]) == (
        "suspended",
        "the endpoint answered 410 Gone",
    )
    assert len(dead) == 3
    assert answer.json()["state"] == "active"
    assert set(subscriber.ids()) == set(ids)
    facts = [envelope.event() for envelope in await published(bureau.client.database)]
    assert [type(fact).__name__ for fact in facts] == ["DeliveryFailed", "DeliveryRecovered"]
    assert facts[0].suspended  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]


async def test_endpoint_that_takes_nothing_for_120_hours_is_suspended(
    bureau: Bureau, subscriber: Subscriber
) -> None:
    subscription = await bureau.hooked(subscriber)
    subscriber.status = 500
    _ = await bureau.happen(a_case(), a_case())

    await bureau.pass_time(timedelta(hours=110), timedelta(hours=1))
    still = (await bureau.get(f"subscriptions/{subscription['id']}"))["state"]
    await bureau.pass_time(timedelta(hours=60), timedelta(hours=1))

    suspended = await bureau.get(f"subscriptions/{subscription['id']}")
    assert (still, suspended["state"]) == ("active", "suspended")
    assert suspended["reason"] == "the endpoint took nothing for 120 hours"
    assert len(await bureau.deliveries(subscription, state="dead")) == 2


async def test_dead_letter_of_one_key_is_driven_again_by_id(
    bureau: Bureau, subscriber: Subscriber
) -> None:
    subscription = await bureau.hooked(subscriber)
    bad = new_id()
    subscriber.refuse_keys = {str(bad)}
    (event_id,) = await bureau.happen(a_case(case_id=bad))
    for _ in range(30):
        _ = await bureau.happen(a_case())  # The endpoint itself is well.
        await bureau.pass_time(timedelta(hours=6), timedelta(hours=6))
    (dead,) = await bureau.deliveries(subscription, state="dead")
    later = await bureau.happen(a_case(CaseClosed, bad, 2))
    subscriber.refuse_keys = set()

    answer = await redeliver(bureau, subscription, event_ids=[event_id])
    _ = await bureau.send()

    assert dead["event_id"] == event_id
    assert dead["attempts"] >= 10
    assert answer.json() == {"queued": 1, "next": None}
    assert subscriber.by_key()[str(bad)] == [1, 2], later


async def test_range_is_replayed_with_filter(bureau: Bureau, subscriber: Subscriber) -> None:
    subscription = await bureau.hooked(subscriber)
    ids = await bureau.happen(*(a_case(kind) for kind in KINDS for _ in range(3)))
    _ = await bureau.send()

    answer = await redeliver(
        bureau, subscription, which="all", from_sequence=2, to_sequence=6, event_types=[RECEIVED]
    )
    _ = await bureau.send()

    assert answer.json() == {"queued": 2, "next": None}
    assert sorted(subscriber.ids()[9:]) == sorted(ids[1:3])
    named = await redeliver(bureau, subscription, which="all", event_ids=[ids[8], str(new_id())])
    assert named.json()["queued"] == 1


async def test_event_of_another_is_not_driven(bureau: Bureau, subscriber: Subscriber) -> None:
    subscription = await bureau.hooked(subscriber)
    (foreign,) = await bureau.happen(a_case(area_code="540102000000"))

    answers = [
        (await redeliver(bureau, subscription, which="all", event_ids=[one])).json()
        for one in (foreign, str(new_id()))
    ]

    assert answers == [{"queued": 0, "next": None}] * 2


async def test_replay_needs_bounds_and_a_webhook(bureau: Bureau) -> None:
    pulled = await bureau.subscribe()

    unbounded = await redeliver(bureau, pulled, which="all")
    wrong = await redeliver(bureau, pulled, which="dead")

    assert unbounded.status_code == 400
    assert (wrong.status_code, wrong.json()["allowed"]) == (409, ["pull"])


@pytest.mark.parametrize(
    ("attempts", "asked", "low", "high"),
    [
        (0, None, 4, 6),
        (1, None, 24, 36),
        (2, None, 240, 360),
        (9, None, 0.8 * 86400, 1.2 * 86400),
        (30, None, 0.8 * 86400, 1.2 * 86400),
        (1, 1.0, 30, 30),
        (1, 45.0, 45, 45),
        (1, 86400.0, 60, 60),
    ],
)
def test_next_attempt_keeps_the_schedule(
    attempts: int, asked: float | None, low: float, high: float
) -> None:
    now = at("2026-11-27T09:00")
    failed = Outcome(new_id(), 1, new_id(), RECEIVED, "k", attempts, None, 503, "http_503", asked)

    pauses = [(failed.next_attempt(now) - now).total_seconds() for _ in range(200)]

    assert low <= min(pauses)
    assert max(pauses) <= high


def test_retry_after_is_read_as_number_or_date() -> None:
    now = at("2026-11-27T09:00")

    assert retry_after({"retry-after": "120"}, now) == 120
    assert retry_after({"retry-after": "Fri, 27 Nov 2026 01:02:00 GMT"}, now) == 120
    assert retry_after({"retry-after": "soon"}, now) is None
    assert retry_after({}, now) is None
