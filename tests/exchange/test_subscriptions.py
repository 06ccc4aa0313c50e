"""Subscriptions: within one's rights, activated by a handshake, changed, suspended, ended."""

import pytest

from tests.builders.subscriber import Subscriber
from tests.conftest import ClientFactory, TokenFactory, once
from tests.exchange.conftest import ACCEPTED, BASE, CLOSED, RECEIVED, Bureau, a_case

ENDPOINT = "http://127.0.0.1:9/hook"
REASON = {"reason": "系统升级维护"}


async def test_secret_is_shown_once(bureau: Bureau) -> None:
    made = await bureau.subscribe(mode="webhook", endpoint=ENDPOINT)
    read = await bureau.get(f"subscriptions/{made['id']}")

    assert made["secret"].startswith("whsec_")
    assert len(made["secret"]) == 6 + 44
    assert "secret" not in read
    assert (read["state"], read["endpoint"]) == ("pending", ENDPOINT)
    (row,) = await bureau.rows("SELECT secrets FROM subscription")
    assert made["secret"].encode() not in row["secrets"]


async def test_pull_is_active_at_once_and_has_no_secret(bureau: Bureau) -> None:
    made = await bureau.subscribe()

    assert (made["state"], made["secret"], made["cursor"]) == ("active", None, 0)


async def test_rights_bound_what_can_be_asked_for(bureau: Bureau) -> None:
    _ = await bureau.change_peer(event_types=[RECEIVED])

    answer = await bureau.ask(
        event_types=[RECEIVED, CLOSED],
        filters={"area_codes": ["540102000000"]},
        mode="webhook",
        endpoint="ftp://x/y",
    )

    assert answer.status_code == 400
    assert [(e["field"], e["rule"]) for e in answer.json()["errors"]] == [
        ("event_types[1]", "granted"),
        ("filters.area_codes[0]", "granted"),
        ("endpoint", "https_required"),
    ]


async def test_webhook_needs_an_endpoint_and_pull_has_none(bureau: Bureau) -> None:
    without = await bureau.ask(mode="webhook")
    with_one = await bureau.ask(mode="pull", endpoint=ENDPOINT)

    assert (without.status_code, with_one.status_code) == (400, 400)


async def test_production_asks_for_https_and_known_ports(
    client_of: ClientFactory, token: TokenFactory
) -> None:
    bureau = Bureau(await client_of("exchange"), token)
    _ = await bureau.register(networks=["10.20.0.0/16"])

    answers = [
        await bureau.ask(mode="webhook", endpoint=url)
        for url in (
            "http://bureau.example/hook",
            "https://bureau.example:22/hook",
            "https://bureau.example/hook",
        )
    ]

    rules = [
        answer.json().get("errors", [{}])[0].get("rule") if answer.is_error else None
        for answer in answers
    ]
    assert rules == ["https_required", "port_not_allowed", None]


async def test_activation_in_production_stays_within_the_peers_networks(
    client_of: ClientFactory, token: TokenFactory
) -> None:
    bureau = Bureau(await client_of("exchange"), token)
    _ = await bureau.register(networks=["10.20.0.0/16"])
    made = await bureau.subscribe(mode="webhook", endpoint="https://127.0.0.1/hook")

    answer = await bureau.act(made, "activation")

    assert (answer.status_code, answer.json()["cause"]) == (409, "address_not_allowed")


async def test_endpoint_is_activated_by_its_handshake(
    bureau: Bureau, subscriber: Subscriber
) -> None:
    active = await bureau.hooked(subscriber)

    asked, challenged = subscriber.requests
    assert active["state"] == "active"
    assert (asked.method, asked.headers["webhook-request-origin"]) == ("OPTIONS", "127.0.0.1")
    assert challenged.event["type"] == "webhook.challenge"


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ({"allowed_origin": None}, "origin_not_allowed"),
        ({"allowed_origin": "evil.example"}, "origin_not_allowed"),
        ({"echo": False}, "wrong_challenge"),
        ({"status": 404}, "http_404"),
        ({"status": 302}, "http_302"),
    ],
)
async def test_endpoint_that_does_not_answer_right_stays_pending(
    bureau: Bureau, subscriber: Subscriber, fault: dict[str, object], cause: str
) -> None:
    for name, value in fault.items():
        setattr(subscriber, name, value)
    made = await bureau.subscribe(mode="webhook", endpoint=subscriber.url)

    answer = await bureau.act(made, "activation")

    assert (answer.status_code, answer.json()["cause"]) == (409, cause)
    assert (await bureau.get(f"subscriptions/{made['id']}"))["state"] == "pending"


async def test_pending_webhook_gets_nothing_and_then_everything_since_it_was_made(
    bureau: Bureau, subscriber: Subscriber
) -> None:
    _ = await bureau.happen(a_case())
    made = await bureau.subscribe(mode="webhook", endpoint=subscriber.url)
    ids = await bureau.happen(a_case(), a_case())
    _ = await bureau.send()
    before = subscriber.ids()

    _ = await bureau.act(made, "activation")
    _ = await bureau.send()

    assert before == []
    assert set(subscriber.ids()) == set(ids)


async def test_subscription_can_begin_at_any_kept_place(
    bureau: Bureau, subscriber: Subscriber
) -> None:
    ids = await bureau.happen(*(a_case() for _ in range(4)))

    _ = await bureau.hooked(subscriber, after=2)
    _ = await bureau.send()

    assert set(subscriber.ids()) == set(ids[2:])


async def test_other_endpoint_must_answer_first(bureau: Bureau, subscriber: Subscriber) -> None:
    subscription = await bureau.hooked(subscriber)
    body = {"name": "办件", "event_types": [ACCEPTED], "endpoint": ENDPOINT}
    headers = {**bureau.headers, "If-Match": f'"{subscription["revision"]}"'}

    answer = await bureau.client.put(
        f"{BASE}/subscriptions/{subscription['id']}", json=body, headers=headers
    )
    _ = await bureau.happen(a_case())
    _ = await bureau.send()

    assert (answer.json()["state"], answer.json()["event_types"]) == ("pending", [ACCEPTED])
    assert subscriber.accepted == []


async def test_suspended_gets_nothing_and_loses_nothing(
    bureau: Bureau, subscriber: Subscriber
) -> None:
    subscription = await bureau.hooked(subscriber)
    suspended = (await bureau.act(subscription, "suspension", REASON)).json()
    ids = await bureau.happen(a_case(), a_case())
    _ = await bureau.send()
    meanwhile = subscriber.ids()

    _ = await bureau.act(suspended, "activation")
    _ = await bureau.send()

    assert (suspended["state"], suspended["reason"]) == ("suspended", REASON["reason"])
    assert meanwhile == []
    assert set(subscriber.ids()) == set(ids)


async def test_ended_is_for_good(bureau: Bureau, subscriber: Subscriber) -> None:
    subscription = await bureau.hooked(subscriber)
    subscriber.status = 503
    _ = await bureau.happen(a_case())
    _ = await bureau.send()

    ended = (await bureau.act(subscription, "end", REASON)).json()
    again = await bureau.act(ended, "activation")

    assert ended["state"] == "ended"
    assert (again.status_code, again.json()["allowed"]) == (409, [])
    assert [d["state"] for d in await bureau.deliveries(subscription)] == ["cancelled"]
    (row,) = await bureau.rows("SELECT secrets FROM subscription")
    assert row["secrets"] is None


async def test_stale_version_is_refused(bureau: Bureau) -> None:
    made = await bureau.subscribe()
    _ = await bureau.act(made, "suspension", REASON)

    answer = await bureau.act(made, "end", REASON)

    assert answer.status_code == 412


async def test_peer_sees_its_own_alone_and_administrators_all(
    bureau: Bureau, token: TokenFactory
) -> None:
    mine = await bureau.subscribe()
    other = Bureau(bureau.client, token)
    _ = await other.register(code="housing-bureau")
    theirs = await other.subscribe()

    own = [s["id"] for s in (await bureau.get("subscriptions"))["items"]]
    everything = [
        s["id"] for s in (await bureau.get("subscriptions", bureau.administrator))["items"]
    ]
    foreign = [
        await bureau.client.get(
            f"{BASE}/subscriptions/{theirs['id']}{part}", headers=bureau.headers
        )
        for part in ("", "/deliveries")
    ]
    changed = await bureau.act(theirs, "end", REASON)
    await other.endpoints.close()

    assert own == [mine["id"]]
    assert sorted(everything) == sorted([mine["id"], theirs["id"]])
    assert [answer.status_code for answer in (*foreign, changed)] == [404, 404, 404]
    statistics = await other.get("statistics")
    assert [s["subscription_id"] for s in statistics["subscriptions"]] == [theirs["id"]]


async def test_system_without_scope_or_peer_is_refused(bureau: Bureau, token: TokenFactory) -> None:
    for headers in (
        bureau.system(bureau.account, "exchange:push"),
        bureau.system("018f0000-0000-7000-8000-000000000001"),
        token(sub=bureau.account),
    ):
        answer = await bureau.client.post(
            f"{BASE}/subscriptions",
            json={"name": "办件", "mode": "pull", "event_types": [RECEIVED]},
            headers=once(headers),
        )
        assert answer.status_code == 403
