"""Fixtures of exchange: a peer with its system, a log of real facts, a sender with our clock."""

from collections.abc import Generator, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from services.exchange.consumer import consumer
from services.exchange.events.timers import Sender, alert
from shared import clock
from shared.events.base import Event
from shared.events.cases import CaseAccepted, CaseClosed, CaseReceived
from shared.ids import new_id
from shared.messaging.inbox import Inbox
from shared.runtime.http_client import Endpoints
from tests.builders.events import a_record
from tests.builders.matters import CITY, CODE, DEPARTMENT
from tests.builders.subscriber import Subscriber, listening
from tests.conftest import ClientFactory, Headers, ServiceClient, TokenFactory, once
from tests.exchange.batching import Bureau as SigningBureau
from tests.exchange.batching import Desk

BASE = "/api/v1/exchange"
RECEIVED = "cn.gov.lhasa.cases.case.received.v1"
ACCEPTED = "cn.gov.lhasa.cases.case.accepted.v1"
CLOSED = "cn.gov.lhasa.cases.case.closed.v1"
TYPES = [RECEIVED, ACCEPTED, CLOSED]


def a_case(
    kind: type[Event] = CaseReceived, case_id: UUID | None = None, revision: int = 1, **changes: Any
) -> Event:
    """A fact about a case, complete."""
    today = clock.local_date(clock.now())
    own: dict[type[Event], dict[str, Any]] = {
        CaseReceived: {"received_on": today, "acceptance_due_on": today},
        CaseAccepted: {
            "accepted_on": today,
            "deemed": False,
            "promised_due_on": today,
            "legal_due_on": today,
            "contact": "c2VhbGVk",
        },
        CaseClosed: {
            "state": "closed",
            "result": "0",
            "closed_on": today,
            "overdue": False,
            "contact": "c2VhbGVk",
        },
    }
    values: dict[str, Any] = {
        "case_id": case_id or new_id(),
        "number": "540100-2026-000001",
        "area_code": CITY,
        "department_code": DEPARTMENT,
        "matter_id": new_id(),
        "matter_code": CODE,
        "matter_name": "食品经营许可",
        "matter_type": "01",
        "immediate": False,
        "channel": "pc",
        "applicant_kind": "person",
        "account_id": new_id(),
        "revision": revision,
        "occurred_at": clock.now(),
        **own[kind],
        **changes,
    }
    return kind(**values)


class Bureau:
    """A peer with its system over HTTP, and the worker's half on a clock that tests move."""

    def __init__(self, client: ServiceClient, token: TokenFactory) -> None:
        self.client = client
        self.token = token
        self.administrator = token(kind="staff", roles=["administrator"])
        self.account = str(uuid4())
        self.headers = self.system(self.account)
        self.peer: dict[str, Any] = {}
        self.now = clock.now()
        self.endpoints = Endpoints(timeout=2.0)
        self.sender = Sender(client.app.state.settings, self.endpoints, now=lambda: self.now)

    def system(self, account: str, scope: str = "exchange:events exchange:push") -> Headers:
        return self.token(kind="system", sub=account, scope=scope, area=CITY, department=DEPARTMENT)

    async def register(self, **changes: Any) -> dict[str, Any]:
        body = {
            "code": "market-bureau",
            "name": "市场监督管理局",
            "kind": "bureau",
            "account_id": self.account,
            "area_code": CITY,
            "department_code": DEPARTMENT,
            "event_types": TYPES,
            **changes,
        }
        answer = await self.client.post(
            f"{BASE}/peers", json=body, headers=once(self.administrator)
        )
        assert answer.status_code == 201, answer.text
        self.peer = answer.json()
        return self.peer

    async def change_peer(self, **changes: Any) -> httpx.Response:
        left_out = {"id", "revision", "code", "keys", "created_at"}
        body = {
            **{name: value for name, value in self.peer.items() if name not in left_out},
            **changes,
        }
        headers = {**self.administrator, "If-Match": f'"{self.peer["revision"]}"'}
        answer = await self.client.put(
            f"{BASE}/peers/{self.peer['id']}", json=body, headers=headers
        )
        if answer.is_success:
            self.peer = answer.json()
        return answer

    async def ask(self, **changes: Any) -> httpx.Response:
        body = {"name": "办件", "mode": "pull", "event_types": TYPES, **changes}
        return await self.client.post(
            f"{BASE}/subscriptions", json=body, headers=once(self.headers)
        )

    async def subscribe(self, **changes: Any) -> dict[str, Any]:
        answer = await self.ask(**changes)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def act(
        self, subscription: dict[str, Any], verb: str, body: Any = None
    ) -> httpx.Response:
        headers = {**self.headers, "If-Match": f'"{subscription["revision"]}"'}
        path = f"{BASE}/subscriptions/{subscription['id']}/{verb}"
        answer = await self.client.post(path, json=body, headers=headers)
        self.now = max(self.now, clock.now())
        return answer

    async def get(self, path: str, headers: Headers | None = None, **params: Any) -> Any:
        answer = await self.client.get(
            f"{BASE}/{path}", params=params, headers=headers or self.headers
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def hooked(self, subscriber: Subscriber, **changes: Any) -> dict[str, Any]:
        """An active webhook to this subscriber, which from now on verifies what it gets."""
        made = await self.subscribe(mode="webhook", endpoint=subscriber.url, **changes)
        subscriber.secret, subscriber.any_age = made["secret"], True
        answer = await self.act(made, "activation")
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def happen(self, *events: Event) -> list[str]:
        """These facts reach exchange in one batch; their ids."""
        records = [a_record(event) for event in events]
        await Inbox(self.client.database, None, consumer=consumer).take(records)  # pyright: ignore[reportArgumentType]
        connection = await self.client.database.connect()
        rows = await connection.fetch(
            "SELECT event_id FROM logged_event ORDER BY sequence DESC LIMIT $1", len(events)
        )
        await connection.close()
        return [str(row["event_id"]) for row in reversed(rows)]

    async def send(self) -> int:
        """Everything that is due now goes out; the number of attempts."""
        return await self.sender.run(self.client.database, self.now)

    async def pass_time(self, whole: timedelta, step: timedelta = timedelta(minutes=20)) -> None:
        """The worker's timers, step by step."""
        end = self.now + whole
        while self.now < end:
            self.now = min(end, self.now + step)
            _ = await self.send()
            await alert(self.client.database, self.now)

    async def deliveries(self, subscription: dict[str, Any], **params: Any) -> list[dict[str, Any]]:
        return (
            await self.get(f"subscriptions/{subscription['id']}/deliveries", limit=200, **params)
        )["items"]

    async def rows(self, statement: str, *values: Any) -> Sequence[Any]:
        connection = await self.client.database.connect()
        try:
            return await connection.fetch(statement, *values)
        finally:
            await connection.close()


@pytest.fixture
async def client(client_of: ClientFactory) -> ServiceClient:
    return await client_of("exchange", development=True)


@pytest.fixture
async def bureau(client: ServiceClient, token: TokenFactory) -> Any:
    bureau = Bureau(client, token)
    _ = await bureau.register()
    yield bureau
    await bureau.endpoints.close()


@pytest.fixture
async def desk(client_of: ClientFactory, token: TokenFactory) -> Desk:
    """A peer that signs batches."""
    client, signing = await client_of("exchange"), SigningBureau()
    _ = await signing.enter(client.database)
    return Desk(client, token, signing)


@pytest.fixture
def subscriber() -> Generator[Subscriber]:
    with listening() as subscriber:
        yield subscriber


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=clock.SHANGHAI)
