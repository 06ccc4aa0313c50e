"""Fixtures of licences: published types, decided cases, collected records, officers, holders."""

from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from services.licenses.consumer import consumer
from shared import clock
from shared.domain import codes
from shared.events.base import Envelope, Event
from shared.events.cases import CaseDecided
from shared.events.exchange import RecordReceived
from shared.events.identity import IdentityVerified
from shared.ids import new_id
from shared.messaging.inbox import Inbox
from shared.security.crypto import seal_for, use_key
from tests.builders.events import a_record
from tests.builders.matters import CITY, DEPARTMENT
from tests.conftest import ClientFactory, Headers, ServiceClient, TokenFactory, once, published

BASE = "/api/v1/licenses"
TYPE = f"{DEPARTMENT}001"
BODY = {"name": "拉萨市市场监督管理局", "code": DEPARTMENT}
NAME, ID_NUMBER = "卓玛央金", "540102199001010011"
HOLDER = {"kind": "person", "name": NAME, "id_number": ID_NUMBER}
WHY = {"reason": "现场检查发现不再符合许可条件"}
FIELDS = {"place": "拉萨市城关区八廓街1号", "scope": "热食类食品制售", "phone": "13989001234"}


def a_type(**changes: Any) -> dict[str, Any]:
    return {
        "name": {"zh": "食品经营许可证", "bo": "བཟའ་ཆས་གཉེར་སྐྱོང་ཆོག་མཆན་ལག་ཁྱེར།"},
        "defining_body": BODY,
        "issuing_bodies": [BODY],
        "holder_kind": "any",
        "validity": {"unit": "years", "amount": 5},
        "fields": [
            {"name": "place", "label": {"zh": "经营场所", "bo": "གཉེར་སྐྱོང་ས་གནས།"}, "required": True},
            {
                "name": "scope",
                "label": {"zh": "经营项目"},
                "kind": "choice",
                "choices": ["热食类食品制售", "预包装食品销售"],
            },
            {
                "name": "seats",
                "label": {"zh": "座位数"},
                "kind": "number",
                "sensitivity": "internal",
            },
            {"name": "opened", "label": {"zh": "开业日期"}, "kind": "date"},
            {"name": "phone", "label": {"zh": "联系电话"}, "sensitivity": "sensitive"},
        ],
        **changes,
    }


def sealed(value: Any, purpose: str) -> str:
    """As another service would seal it."""
    with use_key(b"k" * 32, platform=b"p" * 32):
        return seal_for(value, purpose)


def an_id_number(n: int) -> str:
    """The n-th synthetic ID number with a right check character."""
    first = f"540102{1950 + n // 365 % 50}{n // 28 % 12 + 1:02}{n % 28 + 1:02}{n % 1000:03}"
    return first + codes.id_check_character(first)


def a_decision(**changes: Any) -> CaseDecided:
    holder = sealed({**changes.pop("holder", HOLDER), "phone": "13989001234"}, "case.holder")
    values: dict[str, Any] = {
        "case_id": new_id(),
        "number": "540100000001",
        "area_code": CITY,
        "department_code": DEPARTMENT,
        "matter_id": uuid4(),
        "matter_code": "11540100MB0Q01904W4540131001000",
        "matter_name": "我要开茶馆",
        "matter_type": "01",
        "immediate": False,
        "channel": "pc",
        "applicant_kind": "person",
        "account_id": None,
        "result": "0",
        "decided_on": clock.local_date(clock.now()),
        "overdue": False,
        "license_type_code": TYPE,
        "holder": holder,
        "revision": 5,
        "occurred_at": clock.now(),
    }
    return CaseDecided(**{**values, **changes})


def collected(n: int, **changes: Any) -> dict[str, Any]:
    """A record of an old licence as a bureau sends it."""
    return {
        "source_number": f"JY15401020{n:06}",
        "version": 1,
        "type_code": TYPE,
        "holder_kind": "person",
        "holder_name": "次仁旺堆",
        "holder_id_number": an_id_number(n),
        "fields": {"place": f"拉萨市城关区北京中路{n}号"},
        "issued_on": "2024-03-01",
        "valid_until": "2029-02-28",
        **changes,
    }


class Office:
    """The licences service with everybody before it."""

    def __init__(self, client: ServiceClient, token: TokenFactory) -> None:
        self.client = client
        self.token = token
        self.inbox = Inbox(client.database, None, consumer=consumer, pauses=(0.0,) * 5)  # pyright: ignore[reportArgumentType]
        self.administrator = token(kind="staff", roles=["administrator"])
        self.officer = self.staff("leader")
        self.system = token(
            kind="system", scope="licenses:issue licenses:read", area=CITY, department=DEPARTMENT
        )
        self._offset = 0

    def staff(self, *roles: str, area: str = CITY, department: str = DEPARTMENT) -> Headers:
        return self.token(kind="staff", roles=list(roles), area=area, department=department)

    async def publish(
        self, document: dict[str, Any] | None = None, code: str = TYPE, **headers: str
    ) -> httpx.Response:
        sent = {**self.administrator, **headers}
        return await self.client.put(
            f"{BASE}/types/{code}", json=document or a_type(), headers=sent
        )

    async def take(self, *events: Event) -> None:
        await self.inbox.take([a_record(event, self._next()) for event in events])

    def _next(self) -> int:
        self._offset += 1
        return self._offset

    async def issue(self, headers: Headers | None = None, **changes: Any) -> httpx.Response:
        body = {"type_code": TYPE, "holder": HOLDER, "fields": FIELDS, **changes}
        return await self.client.post(
            f"{BASE}/licenses", json=body, headers=once(headers or self.officer)
        )

    async def issued(self, **changes: Any) -> dict[str, Any]:
        answer = await self.issue(**changes)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def get(self, path: str, headers: Headers | None = None, **params: Any) -> Any:
        answer = await self.client.get(
            f"{BASE}/{path}", params=params, headers=headers or self.officer
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def act(
        self, licence: dict[str, Any], path: str, body: Any = None, headers: Headers | None = None
    ) -> httpx.Response:
        sent = {**(headers or self.officer), "If-Match": f'"{licence["revision"]}"'}
        return await self.client.post(
            f"{BASE}/licenses/{licence['id']}/{path}", json=body or WHY, headers=sent
        )

    async def do(self, licence: dict[str, Any], path: str, body: Any = None) -> dict[str, Any]:
        answer = await self.act(licence, path, body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def verify(self, number: str = ID_NUMBER, name: str = NAME) -> tuple[UUID, Headers]:
        """A person whose number identity has verified, and her token."""
        account = uuid4()
        holder = sealed({"name": name, "id_number": number}, "identity.person")
        fact = {"level": 2, "method": "simulator", "revision": 2, "occurred_at": clock.now()}
        await self.take(IdentityVerified(account_id=account, holder=holder, **fact))  # pyright: ignore[reportArgumentType]
        return account, self.token(sub=str(account))

    async def collect(
        self, records: Sequence[Any], first_row: int = 1, **changes: Any
    ) -> dict[str, Any]:
        """Send a chunk; the answer to it."""
        await self.take(a_chunk(records, first_row=first_row, **changes))
        judged = [e for e in await self.facts() if e.type == "tongban.licenses.records-judged.v1"]
        return judged[-1].data

    async def facts(self) -> list[Envelope]:
        return await published(self.client.database)

    async def names(self) -> list[str]:
        return [fact.type.split(".")[2] for fact in await self.facts()]

    async def fetch(self, query: str, *arguments: Any) -> list[Any]:
        connection = await self.client.database.connect()
        try:
            return await connection.fetch(query, *arguments)
        finally:
            await connection.close()

    async def timers(self, day: date) -> dict[str, int]:
        """Run the timers as if it were one past midnight of `day` in the city."""
        body = {"as_of": f"{day}T00:01:00+08:00"}
        answer = await self.client.post(
            f"{BASE}/development/timer-runs", json=body, headers=self.administrator
        )
        assert answer.status_code == 200, answer.text
        return answer.json()


def a_chunk(records: Sequence[Any], **changes: Any) -> RecordReceived:
    values: dict[str, Any] = {
        "batch_id": uuid4(),
        "chunk": 1,
        "chunks": 1,
        "peer_code": "market",
        "area_code": CITY,
        "department_code": DEPARTMENT,
        "resource": "licenses",
        "first_row": 1,
        "records": sealed(list(records), "exchange.records"),
        "revision": 1,
        "occurred_at": clock.now(),
    }
    return RecordReceived(**{**values, **changes})


@pytest.fixture
async def client(client_of: ClientFactory) -> ServiceClient:
    return await client_of("licenses", development=True, public_url="https://zw.example.cn")


@pytest.fixture
async def office(client: ServiceClient, token: TokenFactory) -> Office:
    office = Office(client, token)
    answer = await office.publish()
    assert answer.status_code == 200, answer.text
    return office
