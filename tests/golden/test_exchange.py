"""Exchange (数据共享交换): peers, event log, webhooks, signed batches, pushes, reconciliations."""

from collections.abc import AsyncGenerator
from typing import Any

import orjson
import pytest

from tests.builders.subscriber import Subscriber, listening
from tests.golden import inputs
from tests.golden.normalise import fixed
from tests.golden.recorder import CITY, DEPARTMENT, Answer, Golden, Played
from tests.golden.region import Region, region
from tests.golden.surface import Sent, Webhooks

CASE = "cn.gov.lhasa.cases.case"
TYPES = [f"{CASE}.received.v1", f"{CASE}.accepted.v1", f"{CASE}.closed.v1"]
DAYS = {"received_on": "2026-03-09", "acceptance_due_on": "2026-03-16"}
PEER = {
    "code": "fangguan",
    "name": "房管系统",
    "kind": "bureau",
    "account_id": fixed(200),
    "area_code": CITY,
    "department_code": DEPARTMENT,
    "event_types": TYPES,
    "resources": ["cases"],
    "networks": ["10.20.0.0/16"],
}
RECORDS = [
    {"source_number": "FG-1", "version": 1, "title": "房屋登记"},
    {"source_number": "FG-2", "version": 1, "title": "房屋登记"},
    {"source_number": "FG-3", "version": 2, "title": "预售许可"},
]


def lines(*records: Any) -> bytes:
    return b"".join(orjson.dumps(record) + b"\n" for record in records)


class Bureau:
    """The exchange service with a peer, its system and a key that signs receipts."""

    def __init__(self, golden: Golden, played: Played) -> None:
        self.golden = golden
        self.exchange = played
        self.administrator = golden.as_.administrator()
        self.system = golden.as_.system("exchange:events", "exchange:push")
        self.peer = ""
        self._keys = 0
        self._events = 0

    def key(self) -> str:
        self._keys += 1
        return f"exchange-{self._keys}"

    async def register(self, **changes: Any) -> Answer:
        answer = await self.exchange.post(
            "peers", self.administrator, body={**PEER, **changes}, key=self.key()
        )
        if answer.status == 201:
            self.peer = answer.json["id"]
        return answer

    async def subscribe(self, **changes: Any) -> Answer:
        body = {"name": "办件", "mode": "pull", "event_types": TYPES, **changes}
        return await self.exchange.post("subscriptions", self.system, body=body, key=self.key())

    def fact(self, name: str, case: int = 1, **data: Any) -> Sent:
        self._events += 1
        return inputs.case_event(self._events, name, case=case, **data)

    def life(self, case: int) -> list[Sent]:
        """A case is received, accepted, decided and closed."""
        due = {"promised_due_on": "2026-03-20", "legal_due_on": "2026-04-09"}
        contact = inputs.seal_for({"name": "卓玛央金", "phone": "13989001234"}, "case.contact")
        closed = {
            "state": "closed",
            "result": "0",
            "closed_on": "2026-03-10",
            "overdue": False,
            "contact": contact,
        }
        decided = {
            "result": "0",
            "decided_on": "2026-03-10",
            "overdue": False,
            "license_type_code": None,
        }
        return [
            self.fact("case-received", case, revision=1, **DAYS),
            self.fact(
                "case-accepted",
                case,
                revision=2,
                accepted_on="2026-03-09",
                deemed=False,
                contact=contact,
                **due,
            ),
            self.fact("case-decided", case, revision=3, **decided),
            self.fact("case-closed", case, revision=4, **closed),
        ]


async def enter(golden: Golden, **settings: Any) -> Bureau:
    golden.draw_in_turn()
    # Digests of documents with identifiers drawn by the code. The documents are shown.
    golden.normaliser.random |= {"push.digest", "statement_sha256", "previous_receipt_sha256"}
    played = await golden.service(
        "exchange", development=True, public_url="https://zw.example.cn", **settings
    )
    private, public = inputs.jwk_pair(fixed(6002), 13, column="receipt_key.private_key")
    await played.execute(
        "INSERT INTO receipt_key (kid, state, private_key, public_key, created_at)"
        " VALUES ($1, 'current', $2, $3, '2026-01-01')",
        fixed(6002),
        private,
        public,
    )
    return Bureau(golden, played)


@pytest.fixture
async def bureau(golden: Golden) -> Bureau:
    return await enter(golden)


@pytest.fixture
async def webhooks(bureau: Bureau) -> AsyncGenerator[Webhooks]:
    webhooks = Webhooks(bureau.exchange.client.app.state.settings, bureau.golden.clock)
    yield webhooks
    await webhooks.close()


@pytest.fixture
async def simulated() -> AsyncGenerator[Region]:
    async with region() as simulated:
        yield simulated


async def finish(bureau: Bureau) -> None:
    bureau.golden.section("Tables")
    await bureau.exchange.dump()
    bureau.golden.check()


async def test_peers(bureau: Bureau) -> None:
    exchange, administrator = bureau.exchange, bureau.administrator
    made = await bureau.register()
    path = f"peers/{bureau.peer}"
    _ = await bureau.register()
    _ = await bureau.register(
        code="X", networks=["everywhere"], event_types=["unknown"], area_code="54"
    )
    signer = inputs.BatchSigner()
    keyed = await exchange.post(
        f"{path}/keys", administrator, body=signer.jwk, version=made.version, key=bureau.key()
    )
    _ = await exchange.post(
        f"{path}/keys", administrator, body=signer.jwk, version=keyed.version, key=bureau.key()
    )
    retired = await exchange.call(
        "DELETE", f"{path}/keys/k1", caller=administrator, version=keyed.version
    )
    changed = {name: value for name, value in PEER.items() if name != "code"}
    changed |= {"event_types": TYPES[:1], "active": False, "resources": ["cases", "licenses"]}
    _ = await exchange.put(path, administrator, body=changed, version=retired.version)
    _ = await exchange.get(path, administrator)
    _ = await exchange.get("peers", administrator)
    _ = await exchange.get(path, bureau.system)
    _ = await bureau.subscribe()
    await finish(bureau)


async def test_log_and_pull(bureau: Bureau) -> None:
    golden, exchange = bureau.golden, bureau.exchange
    _ = await bureau.register()
    filters = {
        "area_codes": [CITY],
        "department_codes": [DEPARTMENT],
        "matter_codes": [inputs.MATTER_CODE],
    }
    made = await bureau.subscribe(after=0, filters=filters)
    subscription = made.json["id"]

    golden.section("Events come and are pulled")
    await exchange.take(*bureau.life(1), *bureau.life(2))
    other = bureau.fact("case-received", 3, department_code=inputs.NEXT_DOOR, **DAYS)
    unseen = bureau.fact("case-suspended", 1, kind="检验", planned_days=5)
    await exchange.take(other, unseen, bureau.fact("case-withdrawn", 4))
    page = await exchange.get("events", bureau.system, subscription=subscription, limit=3)
    _ = await exchange.get(
        "events", bureau.system, subscription=subscription, after=page.json["next"]
    )
    _ = await exchange.get("events", bureau.system, subscription=subscription, after=99)
    _ = await exchange.get("events", bureau.system, subscription=fixed(2099))
    _ = await exchange.get(
        "events", golden.as_.system("exchange:events", number=201), subscription=subscription
    )
    _ = await exchange.get("statistics", bureau.system)

    golden.section("The life of a subscription")
    path = f"subscriptions/{subscription}"
    other_types = {"name": "办结", "event_types": TYPES[2:], "filters": filters}
    changed = await exchange.put(path, bureau.system, body=other_types, version=made.version)
    _ = await exchange.put(
        path, bureau.system, body={**other_types, "event_types": ["x"]}, version=changed.version
    )
    reason = {"reason": "系统升级, 暂停接收"}
    suspended = await exchange.post(
        f"{path}/suspension", bureau.system, body=reason, version=changed.version
    )
    _ = await exchange.get("events", bureau.system, subscription=subscription)
    active = await exchange.post(f"{path}/activation", bureau.system, version=suspended.version)
    _ = await exchange.post(f"{path}/activation", bureau.system, version=active.version)
    ended = await exchange.post(f"{path}/end", bureau.system, body=reason, version=active.version)
    _ = await exchange.post(f"{path}/suspension", bureau.system, body=reason, version=ended.version)
    _ = await exchange.get("subscriptions", bureau.system)
    _ = await exchange.get("webhook-keys")
    _ = await exchange.get("keys")
    await finish(bureau)


async def test_webhooks(bureau: Bureau, webhooks: Webhooks) -> None:
    golden, exchange = bureau.golden, bureau.exchange
    database = exchange.client.database
    subscriber = Subscriber(any_age=True)

    async def send(status: int, minutes: int = 0) -> None:
        """Everything that is due goes to an endpoint that answers so."""
        golden.clock.wait(minutes)
        subscriber.status = status
        before = len(subscriber.requests)
        await webhooks.send(database)
        show(before)
        await exchange.record_events()

    def show(before: int) -> None:
        """What came to the endpoint, sorted by identifier: many are sent at once."""
        kept = (
            "content-type",
            "webhook-id",
            "webhook-timestamp",
            "webhook-signature",
            "webhook-request-origin",
        )
        came = subscriber.requests[before:]
        for received in sorted(
            came, key=lambda one: (one.method != "OPTIONS", one.headers.get("webhook-id", ""))
        ):
            golden.line(f"@ {received.method} {received.path}")
            for name in kept:
                # The challenge has an identifier of its own, and is signed with it.
                if name in received.headers and b"webhook.challenge" not in received.body:
                    golden.line(f"@ {name}: {received.headers[name]}")
            golden.lines += [
                "@ " + line for line in golden.normaliser.lines(received.body.decode(), name="sent")
            ]

    with listening(subscriber):
        golden.normaliser.replace(f"127.0.0.1:{subscriber.port}", "endpoint")
        _ = await bureau.register()
        golden.section("A webhook is activated")
        _ = await bureau.subscribe(mode="webhook")
        made = await bureau.subscribe(
            mode="webhook", endpoint=subscriber.url, sign_ed25519=True, after=0
        )
        path = f"subscriptions/{made.json['id']}"
        subscriber.status = 500
        refused = await exchange.post(f"{path}/activation", bureau.system, version=made.version)
        assert refused.status == 409
        subscriber.status = 200
        before = len(subscriber.requests)
        active = await exchange.post(f"{path}/activation", bureau.system, version=made.version)
        show(before)

        golden.section("Delivered")
        await exchange.take(*bureau.life(1))
        await send(200)
        golden.section("Refused, delivered later, and told")
        await exchange.take(*bureau.life(2))
        await send(500)
        await send(503, 1)
        golden.clock.wait(20)
        await exchange.timer("alerts")
        _ = await exchange.get(f"{path}/deliveries", bureau.system)
        await send(200, 20)
        for _ in range(4):
            await send(200, 60)
        golden.section("Sent again")
        again = {"which": "all", "from_sequence": 1, "to_sequence": 2}
        _ = await exchange.post(f"{path}/redeliveries", bureau.system, body=again, key=bureau.key())
        _ = await exchange.post(
            f"{path}/redeliveries", bureau.system, body={"which": "all"}, key=bureau.key()
        )
        await send(200)
        golden.section("Another secret")
        rotated = await exchange.post(
            f"{path}/secret-rotation", bureau.system, version=await version_of(bureau, path)
        )
        assert rotated.status == 200
        await exchange.take(bureau.fact("case-received", 3, **DAYS))
        await send(200)
        golden.section("The endpoint is gone")
        await exchange.take(bureau.fact("case-received", 4, **DAYS))
        await send(410)
        _ = await exchange.get(path, bureau.system)
        _ = await exchange.get(f"{path}/deliveries", bureau.administrator)
        _ = await exchange.get("statistics", bureau.administrator)
    assert active.status == 200
    await finish(bureau)


async def version_of(bureau: Bureau, path: str) -> int:
    return (await bureau.exchange.get(path, bureau.system)).version


async def test_batches(bureau: Bureau) -> None:
    golden, exchange = bureau.golden, bureau.exchange
    made = await bureau.register()
    signer = inputs.BatchSigner()
    keys = f"peers/{bureau.peer}/keys"
    _ = await exchange.post(
        keys, bureau.administrator, body=signer.jwk, version=made.version, key=bureau.key()
    )
    body = lines(*RECORDS)

    async def push(content: bytes, number: str, *, records: int, **changes: str) -> Answer:
        headers = signer.headers(content, number, records=records, **changes)
        return await exchange.post("batches", bureau.system, content=content, headers=headers)

    golden.section("Taken, and repeated")
    first = await push(body, "B-1", records=3)
    assert first.status == 201
    again = await push(body, "B-1", records=3)
    assert again.content == first.content
    _ = await push(lines(*RECORDS[:2]), "B-1", records=2)

    golden.section("Refused")
    _ = await push(body, "B-2", records=3, **{"Batch-Signature": "A" * 86 + "=="})
    _ = await push(body, "B-2", records=3, **{"Batch-Key-Id": "unknown"})
    _ = await push(body, "B-2", records=3, **{"Batch-Records": "x"})
    _ = await push(body, "B-2", records=4)
    _ = await push(b"nothing\n", "B-3", records=1)
    golden.clock.wait(60)
    _ = await push(body, "B-4", records=3)

    golden.section("Judged")
    listed = await exchange.get("batches", bureau.system)
    (batch,) = [one["id"] for one in listed.json["items"] if one["number"] == "B-1"]
    golden.line(f"(the batch is {batch})")

    def verdicts(number: int, *judged: dict[str, Any]) -> Sent:
        data = {
            "revision": 1,
            "occurred_at": "2026-03-10T02:00:00+00:00",
            "batch_id": batch,
            "chunk": 1,
            "verdicts": list(judged),
        }
        return inputs.event(number, "cases", fact="records-judged", key=batch, data=data)

    fault = {"field": "matter_code", "rule": "value_error", "message": "words"}
    judged = verdicts(
        50,
        {"row": 1, "key": "FG-1", "status": "accepted", "faults": []},
        {"row": 2, "key": "FG-2", "status": "unchanged", "faults": []},
        {"row": 3, "key": None, "status": "rejected", "faults": [fault]},
    )
    await exchange.take(judged)
    _ = await exchange.get(f"batches/{batch}", bureau.system)
    for stage in ("1", "2"):
        _ = await exchange.get(f"batches/{batch}/receipts/{stage}", bureau.system)
    _ = await exchange.get("batches", bureau.administrator, number="B-1")
    _ = await exchange.get(f"batches/{fixed(2099)}", bureau.system)
    _ = await exchange.get("statistics/batches", bureau.system)

    golden.section("Another key signs receipts")
    _ = await exchange.post("keys/rotations", bureau.administrator, key=bureau.key())
    golden.normaliser.random |= {"x", "receipt_key.private_key", "receipt_key.public_key", "n"}
    _ = await exchange.get("keys")
    await finish(bureau)


async def test_region_away(golden: Golden) -> None:
    """Rows of the ledger, and the bytes of a push that nobody has taken yet."""
    bureau = await enter(golden, regional_url="http://127.0.0.1:1")
    exchange = bureau.exchange
    _ = await bureau.register(code="region", kind="regional")
    await exchange.take(
        *bureau.life(1), bureau.fact("case-received", 2, matter_id=None, account_id=None, **DAYS)
    )
    rating = {
        "revision": 2,
        "occurred_at": "2026-03-10T01:00:00+00:00",
        "subject_id": fixed(5001),
        "case_id": fixed(4001),
        "case_number": f"{inputs.MATTER_CODE}202603020001",
        "service_number": 2,
        "stage": "closing",
        "area_code": CITY,
        "department_code": DEPARTMENT,
        "matter_id": inputs.TEAHOUSE,
        "matter_code": inputs.MATTER_CODE,
        "matter_name": "我要开茶馆",
        "hall": None,
        "window": None,
        "rating_id": fixed(5002),
        "grade": 5,
        "tags": ["510", "511"],
        "contents": {"attitude": 5},
        "pf": "2",
        "sub_channel": "app",
        "real_name": True,
        "text": "很好",
        "rated_on": "2026-03-10",
    }
    await exchange.take(
        inputs.event(60, "ratings", fact="rating-submitted", key=fixed(5001), data=rating)
    )
    golden.section("Pushed to nobody")
    await exchange.timer("push")
    golden.section("Changed and excluded meanwhile")
    await exchange.take(
        bureau.fact("result-delivered", 1, revision=5, method="window", delivered_on="2026-03-10")
    )
    excluded = {name: rating[name] for name in rating if name not in {"tags", "contents", "text"}}
    excluded |= {"revision": 3, "reason": "malicious"}
    await exchange.take(
        inputs.event(61, "ratings", fact="rating-excluded", key=fixed(5001), data=excluded)
    )
    golden.section("Reconciliations are planned, and fail")
    # The cause of a failure names a class.
    golden.normaliser.random |= {"failure"}
    await exchange.timer("plan-reconciliations")
    for _ in range(6):
        await exchange.timer("reconcile")
        golden.clock.wait(5)
    _ = await exchange.get("reconciliations", bureau.administrator)
    # The event log is in `log_and_pull`.
    await exchange.dump(leave_out=("logged_event", "peer"))
    golden.check()


async def test_reconciliation(golden: Golden, simulated: Region) -> None:
    golden.normaliser.replace(simulated.url, "region")
    bureau = await enter(golden, regional_url=simulated.url, regional_rows_per_second=1_000_000)
    exchange = bureau.exchange
    made = await bureau.register(code="region", kind="regional")
    (key,) = await simulated.keys()
    pinned = {name: key[name] for name in ("kty", "crv", "kid", "x")}
    keys = f"peers/{bureau.peer}/keys"
    _ = await exchange.post(
        keys, bureau.administrator, body=pinned, version=made.version, key=bureau.key()
    )
    facts: list[Sent] = []
    for case in range(1, 7):
        facts += bureau.life(case)
    await exchange.take(*facts, bureau.fact("case-received", 7, department_code="", **DAYS))
    golden.section("Pushed; the region refuses a row")
    await exchange.timer("push")
    _ = await exchange.get("statistics/batches", bureau.administrator)

    async def reconcile(body: dict[str, Any]) -> str:
        started = await exchange.post(
            "reconciliations", bureau.administrator, body=body, key=bureau.key()
        )
        run = str(started.json["id"])
        for _ in range(3):
            await exchange.timer("reconcile")
            await exchange.timer("push")
            golden.clock.wait(1)
        _ = await exchange.get(f"reconciliations/{run}", bureau.administrator)
        return run

    days = {"resource": "cases", "first_day": "2026-03-01", "last_day": "2026-03-10"}
    golden.section("Equal, but for the row")
    _ = await reconcile({**days, "listed": True})
    await exchange.dump("ledger")

    golden.section("Differences of every kind")

    def number(case: int) -> str:
        return f"{inputs.MATTER_CODE}20260302{case:04d}"

    for case, what in enumerate(("lose", "older", "newer", "corrupt", "lossy"), 1):
        await simulated.plant(what, number(case))
    await simulated.plant("extra", "EXTRA-1")
    run = await reconcile(days)
    _ = await exchange.get(f"reconciliations/{run}/differences", bureau.administrator)
    _ = await exchange.get(f"reconciliations/{run}/statement", bureau.administrator)
    _ = await exchange.post(f"reconciliations/{run}/approval", bureau.administrator)
    golden.section("Too many for a repair without a person")
    lost = range(11, 36)
    for case in lost:
        await exchange.take(bureau.fact("case-received", case, **DAYS))
    await exchange.timer("push")
    await simulated.plant("lose", *map(number, lost))
    run = await reconcile(days)
    _ = await exchange.post(f"reconciliations/{run}/approval", bureau.administrator)
    await exchange.timer("reconcile")
    await exchange.timer("push")
    golden.clock.wait(1)
    await exchange.timer("reconcile")
    _ = await exchange.get(f"reconciliations/{run}", bureau.administrator)
    backwards = {**days, "last_day": "2026-02-01"}
    _ = await exchange.post(
        "reconciliations", bureau.administrator, body=backwards, key=bureau.key()
    )
    await exchange.dump(leave_out=("ledger", "logged_event", "peer"))
    golden.check()
