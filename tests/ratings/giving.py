"""Plays the first half of 好差评 over HTTP and the inbox.

Cases are told, invitations follow, people rate.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import orjson

from services.ratings.consumer import consumer
from services.ratings.invitations.use_cases.sms import DevelopmentSender
from services.ratings.timers import send_invitations
from shared import clock
from shared.events.base import Event
from shared.events.cases import CaseAccepted, CaseClosed, CaseImported
from shared.events.exchange import RecordReceived
from shared.ids import new_id
from shared.messaging.inbox import Inbox
from shared.security.crypto import seal_for, use_key
from tests.builders.events import a_record
from tests.builders.matters import CITY, DEPARTMENT
from tests.conftest import Headers, ServiceClient, TokenFactory, once

BASE = "/api/v1/ratings"
NAME = "卓玛央金"
PHONE = "13989001234"
SITE = {"pf": "1", "sub_channel": "site"}
HALL, WINDOW = "市政务服务大厅", "A03"
DATA_KEY = b"k" * 32
PLATFORM_KEY = b"p" * 32


def sealed(value: Any, purpose: str) -> str:
    with use_key(DATA_KEY, platform=PLATFORM_KEY):
        return seal_for(value, purpose)


def a_case(kind: type[Event], number: str = "C-1", **changes: Any) -> Any:
    """A fact about a case, with her name and phone sealed."""
    values: dict[str, Any] = {
        "case_id": new_id(),
        "number": number,
        "area_code": CITY,
        "department_code": DEPARTMENT,
        "matter_id": None,
        "matter_code": "M-1",
        "matter_name": "食品经营许可",
        "matter_type": "01",
        "immediate": False,
        "channel": "window",
        "applicant_kind": "person",
        "account_id": None,
        "revision": 3,
        "occurred_at": clock.now(),
        "contact": sealed({"name": NAME, "phone": PHONE}, "case.contact"),
        "deemed": False,
        "promised_due_on": None,
        "legal_due_on": None,
        "accepted_on": clock.local_date(clock.now()),
        "state": "closed",
        "result": "0",
        "closed_on": clock.local_date(clock.now()),
        "overdue": False,
        "source_system": "fangguan",
        "source_number": "1",
        "source_version": 1,
        "received_on": None,
    }
    return kind.model_validate({**values, **changes})


class Giving:
    """One ratings service with everybody around it."""

    def __init__(self, client: ServiceClient, token: TokenFactory) -> None:
        self.client = client
        self.token = token
        self.clerk = token(kind="staff", roles=["window_clerk"], area=CITY, department=DEPARTMENT)
        self.handler = token(
            kind="staff", roles=["rating_handler"], area=CITY, department=DEPARTMENT
        )
        self.operator = token(
            kind="staff", roles=["hotline_operator"], area=CITY, department="12345"
        )
        self.administrator = token(kind="staff", roles=["administrator"])
        self.system = token(kind="system", scope="ratings:push", area=CITY, department=DEPARTMENT)

    async def tell(self, *events: Event) -> None:
        inbox = Inbox(self.client.database, None, consumer=consumer)  # pyright: ignore[reportArgumentType]
        await inbox.take([a_record(event, n) for n, event in enumerate(events)])

    async def rows(self, query: str) -> list[dict[str, Any]]:
        connection = await self.client.database.connect()
        try:
            return [dict(row) for row in await connection.fetch(query)]
        finally:
            await connection.close()

    async def change(self, statement: str) -> None:
        connection = await self.client.database.connect()
        try:
            _ = await connection.execute(statement)
        finally:
            await connection.close()

    async def links(self, phone: str = PHONE) -> list[str]:
        """Tokens of the links that were sent to a phone, the newest first."""
        _ = await send_invitations(
            self.client.database,
            clock.now(),
            sender=DevelopmentSender(),
            public_url="http://test",
        )
        path = f"{BASE}/development/sms-messages"
        answer = await self.client.get(path, params={"phone": phone}, headers=self.administrator)
        assert answer.status_code == 200, answer.text
        return [message["text"].rpartition("/rate/")[2] for message in answer.json()]

    async def invited(self, number: str = "C-1", **changes: Any) -> str:
        """The token of the closing of a case."""
        await self.tell(a_case(CaseClosed, number, **changes))
        return (await self.links())[0]

    async def rate(self, headers: Headers | None = None, **body: Any) -> httpx.Response:
        said = {"grade": 5, **SITE, **body}
        return await self.client.post(f"{BASE}/ratings", json=said, headers=headers or {})

    async def rated(self, headers: Headers | None = None, **body: Any) -> dict[str, Any]:
        answer = await self.rate(headers, **body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def get(self, path: str, headers: Headers | None = None, **params: Any) -> Any:
        answer = await self.client.get(f"{BASE}/{path}", params=params, headers=headers or {})
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def batch(self, size: int = 3, **changes: Any) -> list[str]:
        """Tokens of a new batch."""
        place = {
            "area_code": CITY,
            "department_code": DEPARTMENT,
            "hall": "公安专网大厅",
            "window": "Z1",
        }
        body = {**place, "size": size, "expires_on": str(today() + timedelta(days=30)), **changes}
        ordered = await self.client.post(
            f"{BASE}/token-batches", json=body, headers=once(self.system)
        )
        assert ordered.status_code == 201, ordered.text
        path = f"{BASE}/token-batches/{ordered.json()['id']}/download"
        answer = await self.client.post(path, headers=self.system)
        assert answer.status_code == 200, answer.text
        return [one["token"] for one in answer.json()["tokens"]]

    async def window_code(self, **params: Any) -> str:
        place = {"hall": HALL, "window": WINDOW, **params}
        return (await self.get("window-codes", self.clerk, **place))["code"]

    async def record(self, records: Sequence[Any], **changes: Any) -> list[dict[str, Any]]:
        """Hand over records of a private network; the verdicts."""
        values = {
            "batch_id": uuid4(),
            "chunk": 0,
            "chunks": 1,
            "peer_code": "gongan",
            "area_code": CITY,
            "department_code": DEPARTMENT,
            "resource": "ratings",
            "first_row": 1,
            "revision": 1,
            "occurred_at": clock.now(),
            "records": sealed(list(records), "exchange.records"),
        }
        await self.tell(RecordReceived.model_validate({**values, **changes}))
        facts = await self.facts("ratings.records-judged")
        return facts[-1]["verdicts"] if facts else []

    async def facts(self, kind: str = "") -> list[dict[str, Any]]:
        rows = await self.rows("SELECT payload FROM outbox ORDER BY position")
        documents = [orjson.loads(row["payload"]) for row in rows]
        return [one["data"] for one in documents if kind in one["type"]]


def today() -> date:
    return clock.local_date(clock.now())


def ago(**span: Any) -> datetime:
    return clock.now() - timedelta(**span)


__all__ = ["CaseAccepted", "CaseClosed", "CaseImported"]
