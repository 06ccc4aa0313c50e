"""Signed webhooks: off-the-shelf receivers verify them, and order holds per key.

Failures block only themselves.
"""

import asyncio
import base64
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook

from shared.events.cases import CaseAccepted, CaseClosed, CaseReceived
from shared.ids import new_id
from tests.builders.subscriber import Subscriber, listening
from tests.conftest import published
from tests.exchange.conftest import ACCEPTED, CLOSED, RECEIVED, Bureau, a_case


async def test_event_arrives_signed_as_its_exact_bytes(
    bureau: Bureau, subscriber: Subscriber
) -> None:
    _ = await bureau.hooked(subscriber)
    (event_id,) = await bureau.happen(a_case())

    _ = await bureau.send()

    (received,) = subscriber.accepted
    (row,) = await bureau.rows("SELECT payload FROM logged_event")
    assert received.body == row["payload"]
    assert received.headers["webhook-id"] == event_id == received.event["id"]
    assert received.headers["content-type"] == "application/cloudevents+json; charset=UTF-8"
    _ = Webhook(subscriber.secret or "").verify(received.body, received.headers)
    assert subscriber.unverified == 0


async def test_platform_key_signs_what_nobody_else_can(
    bureau: Bureau, subscriber: Subscriber
) -> None:
    _ = await bureau.hooked(subscriber, sign_ed25519=True)
    _ = await bureau.happen(a_case())

    _ = await bureau.send()

    (received,) = subscriber.accepted
    (key,) = (await bureau.get("webhook-keys", {"x-none": ""}))["keys"]
    signature = next(
        s for s in received.headers["webhook-signature"].split(" ") if s.startswith("v1a,")
    )
    content = (
        f"{received.headers['webhook-id']}.{received.headers['webhook-timestamp']}.".encode()
        + received.body
    )
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key.removeprefix("whpk_")))
    public.verify(base64.b64decode(signature.removeprefix("v1a,")), content)


async def test_old_and_new_secret_sign_for_72_hours(bureau: Bureau, subscriber: Subscriber) -> None:
    subscription = await bureau.hooked(subscriber)
    old = subscriber.secret or ""
    new = (await bureau.act(subscription, "secret-rotation")).json()["secret"]
    subscriber.secret = None
    _ = await bureau.happen(a_case())
    _ = await bureau.send()
    within = subscriber.accepted[-1]
    bureau.now += timedelta(hours=73)
    _ = await bureau.happen(a_case())
    _ = await bureau.send()
    after = subscriber.accepted[-1]

    for secret in (old, new):
        _ = Webhook(secret).verify(within.body, within.headers)
    assert len(within.headers["webhook-signature"].split(" ")) == 2
    assert len(after.headers["webhook-signature"].split(" ")) == 1


async def test_events_of_a_key_arrive_in_order_one_at_a_time(
    bureau: Bureau, subscriber: Subscriber
) -> None:
    _ = await bureau.hooked(subscriber)
    cases = [new_id() for _ in range(20)]
    kinds = (CaseReceived, CaseAccepted, CaseClosed)
    _ = await bureau.happen(
        *(a_case(kind, case, n) for n, kind in enumerate(kinds, 1) for case in cases)
    )

    _ = await bureau.send()

    assert subscriber.by_key() == {str(case): [1, 2, 3] for case in cases}


async def test_failing_key_blocks_only_itself(bureau: Bureau, subscriber: Subscriber) -> None:
    subscription = await bureau.hooked(subscriber)
    good, bad = new_id(), new_id()
    subscriber.refuse_keys = {str(bad)}
    for n, kind in enumerate((CaseReceived, CaseAccepted, CaseClosed), 1):
        _ = await bureau.happen(a_case(kind, good, n), a_case(kind, bad, n))

    _ = await bureau.send()
    waiting = await bureau.deliveries(subscription, state="pending")
    subscriber.refuse_keys = set()
    await bureau.pass_time(timedelta(seconds=10), timedelta(seconds=5))

    assert [(d["key"], d["attempts"], d["last_status"], d["cause"]) for d in waiting] == [
        (str(bad), 1, 422, "http_422"),
        (str(bad), 0, None, None),
        (str(bad), 0, None, None),
    ]
    assert subscriber.by_key() == {str(good): [1, 2, 3], str(bad): [1, 2, 3]}


async def test_filters_and_types_choose_what_is_sent(
    bureau: Bureau, subscriber: Subscriber
) -> None:
    filters = {"department_codes": ["D9"], "matter_codes": ["M-1"]}
    _ = await bureau.hooked(subscriber, event_types=[ACCEPTED], filters=filters)
    fits = a_case(CaseAccepted, department_code="D9", matter_code="M-1")
    others = [
        a_case(CaseReceived, department_code="D9", matter_code="M-1"),
        a_case(CaseAccepted, department_code="D8", matter_code="M-1"),
        a_case(CaseAccepted, department_code="D9", matter_code="M-2"),
        a_case(CaseAccepted, department_code="D9", matter_code="M-1", area_code="540102000000"),
    ]
    _ = await bureau.happen(*others[:2], fits, *others[2:])

    _ = await bureau.send()

    assert [received.event["partitionkey"] for received in subscriber.accepted] == [fits.key]


async def test_revoked_type_is_sent_no_more_and_what_waited_is_cancelled(
    bureau: Bureau, subscriber: Subscriber
) -> None:
    subscription = await bureau.hooked(subscriber)
    subscriber.status = 503
    _ = await bureau.happen(a_case(CaseAccepted), a_case(CaseClosed))
    _ = await bureau.send()
    subscriber.status = 200

    changed = await bureau.change_peer(event_types=[RECEIVED, CLOSED])
    _ = await bureau.happen(a_case(CaseAccepted))
    await bureau.pass_time(timedelta(minutes=1), timedelta(seconds=10))

    assert changed.status_code == 200
    assert [received.event["type"] for received in subscriber.accepted] == [CLOSED]
    states = {d["type"]: d["state"] for d in await bureau.deliveries(subscription)}
    assert states == {ACCEPTED: "cancelled", CLOSED: "delivered"}


async def test_deactivated_peer_gets_nothing_from_then_on(
    bureau: Bureau, subscriber: Subscriber
) -> None:
    _ = await bureau.hooked(subscriber)
    _ = await bureau.happen(a_case())

    _ = await bureau.change_peer(active=False)
    _ = await bureau.send()

    assert subscriber.accepted == []
    assert (
        await bureau.client.get("/api/v1/exchange/subscriptions", headers=bureau.headers)
    ).status_code == 403


async def test_slow_subscriber_does_not_hold_up_the_others(
    bureau: Bureau, subscriber: Subscriber
) -> None:
    with listening(Subscriber(sleep=1.5)) as slow:
        _ = await bureau.hooked(slow)
        _ = await bureau.hooked(subscriber)
        _ = await bureau.happen(*(a_case() for _ in range(100)))

        sending = asyncio.create_task(bureau.send())
        async with asyncio.timeout(60):
            while len(subscriber.ids()) < 100:
                await asyncio.sleep(0.05)
        meanwhile = len(slow.ids())
        _ = sending.cancel()
        _ = await asyncio.gather(sending, return_exceptions=True)

    assert meanwhile < 60, "the one was done long before the other"


async def test_statistics_count_what_became_of_events(
    bureau: Bureau, subscriber: Subscriber
) -> None:
    subscription = await bureau.hooked(subscriber)
    bad = new_id()
    subscriber.refuse_keys = {str(bad)}
    _ = await bureau.happen(a_case(), a_case(), a_case(case_id=bad), a_case(CaseClosed, bad, 2))
    _ = await bureau.send()

    figures = await bureau.get("statistics")

    assert figures["head"] == 4
    assert figures["types"] == [
        {
            "peer_code": "market-bureau",
            "type": RECEIVED,
            "sent": 3,
            "acknowledged": 2,
            "rejected": {"http_422": 1},
        }
    ]
    (load,) = figures["subscriptions"]
    assert {
        name: load[name] for name in ("subscription_id", "in_flight", "failing", "dead", "lag")
    } == {
        "subscription_id": subscription["id"],
        "in_flight": 2,
        "failing": 1,
        "dead": 0,
        "lag": 2,
    }
    assert await published(bureau.client.database) == []


async def test_fault_that_nobody_foresaw_is_one_endpoint_s_failed_attempt(
    bureau: Bureau, subscriber: Subscriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening(Subscriber()) as other:
        bad = await bureau.hooked(other)
        _ = await bureau.hooked(subscriber)
        call = bureau.endpoints.call

        async def failing(method: str, url: str, **given: Any) -> Any:
            if url == other.url:
                raise RuntimeError("something new")
            return await call(method, url=url, **given)

        monkeypatch.setattr(bureau.endpoints, "call", failing)
        _ = await bureau.happen(*(a_case() for _ in range(5)))

        _ = await bureau.send()

    assert len(subscriber.accepted) == 5
    rows = await bureau.rows(
        "SELECT attempts, cause FROM delivery WHERE subscription_id = $1", UUID(bad["id"])
    )
    assert {(row["attempts"] > 0, row["cause"]) for row in rows} == {(True, "internal")}
