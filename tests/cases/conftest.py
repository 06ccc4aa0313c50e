"""Fixtures of cases: a published matter, a citizen with uploads, and officers.

There is every officer of the department.
"""

from datetime import date, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.cases.consumer import consumer
from shared import clock
from shared.domain.guides import MatterDocument, personal_guide
from shared.ids import new_id
from shared.messaging.inbox import Inbox
from tests.assessment.test_daily_report import a_matter
from tests.builders.events import a_record
from tests.builders.matters import CITY, CODE, DEPARTMENT, a_document
from tests.conftest import ClientFactory, Headers, ServiceClient, TokenFactory

BASE = "/api/v1/cases"
PDF = b"%PDF-1.7 synthetic"
ANSWERS = {"Q1": "rent", "Q2": "yes"}
APPLICANT = {
    "kind": "person",
    "name": "卓玛央金",
    "id_number": "540102199001010011",
    "phone": "13989001234",
}


@pytest.fixture
async def client(client_of: ClientFactory, tmp_path: Path) -> ServiceClient:
    return await client_of("cases", development=True, storage_url=str(tmp_path / "uploads"))


class StackFixture:
    """Plays a case over HTTP."""

    def __init__(self, client: ServiceClient, token: TokenFactory) -> None:
        self.client = client
        self.matter_id = new_id()
        self.document: MatterDocument = a_document()
        self.citizen = token()
        self._token = token
        self._keys = 0

    def officer(self, *roles: str, area: str = CITY, department: str = DEPARTMENT) -> Headers:
        return self._token(kind="staff", roles=list(roles), area=area, department=department)

    async def publish(self, document: MatterDocument | None = None, revision: int = 1) -> None:
        self.document = document or self.document
        event = a_matter(
            self.matter_id,
            code=CODE,
            local_code=None,
            revision=revision,
            version=revision,
            document=self.document.model_dump(mode="json"),
            occurred_at=clock.now(),
        )
        await Inbox(self.client.database, None, consumer=consumer).take([a_record(event)])  # pyright: ignore[reportArgumentType]

    async def upload(self, headers: Headers, content: bytes = PDF) -> httpx.Response:
        return await self.client.post(f"{BASE}/uploads", content=content, headers=headers)

    async def application(self, headers: Headers, **changes: Any) -> dict[str, Any]:
        answers = changes.get("answers", ANSWERS)
        guide = personal_guide(
            self.document,
            answers,
            matter_id=self.matter_id,
            version=changes.get("matter_version", 1),
        )
        upload = (await self.upload(headers)).json()["id"]
        return {
            "matter_id": str(self.matter_id),
            "matter_version": 1,
            "answers": answers,
            "guide_digest": guide.digest,
            "applicant": APPLICANT,
            "materials": [{"code": m.code, "upload_id": upload} for m in guide.materials],
            **changes,
        }

    async def post(self, body: dict[str, Any], headers: Headers) -> httpx.Response:
        self._keys += 1
        keyed = {**headers, "Idempotency-Key": f"apply-{self._keys}"}
        return await self.client.post(f"{BASE}/applications", json=body, headers=keyed)

    async def apply(self, headers: Headers | None = None, **changes: Any) -> dict[str, Any]:
        headers = headers or self.citizen
        answer = await self.post(await self.application(headers, **changes), headers)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def act(
        self, case: dict[str, Any], path: str, headers: Headers, body: Any = None
    ) -> httpx.Response:
        headers = {**headers, "If-Match": f'"{case["revision"]}"'}
        return await self.client.post(
            f"{BASE}/files/{case['id']}/{path}", json=body, headers=headers
        )

    async def do(
        self, case: dict[str, Any], path: str, headers: Headers, body: Any = None
    ) -> dict[str, Any]:
        answer = await self.act(case, path, headers, body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def clocks(self, day: date) -> dict[str, int]:
        """Run the timers as if it were noon of `day`."""
        body = {"as_of": f"{day}T12:00:00+08:00"}
        administrator = self._token(kind="staff", roles=["administrator"])
        return (
            await self.client.post(
                f"{BASE}/development/timer-runs", json=body, headers=administrator
            )
        ).json()

    async def get(self, path: str, headers: Headers, **params: Any) -> Any:
        answer = await self.client.get(f"{BASE}/{path}", params=params, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def accepted(self, **changes: Any) -> dict[str, Any]:
        return await self.do(
            await self.apply(**changes), "acceptance", self.officer("window_clerk")
        )

    async def reviewed(self, times: int = 2) -> dict[str, Any]:
        case = await self.accepted()
        for _ in range(times):
            case = await self.do(
                case, "reviews", self.officer("approver"), {"opinion": "agree", "text": "符合条件"}
            )
        return case


@pytest.fixture
async def stack(client: ServiceClient, token: TokenFactory) -> StackFixture:
    stack = StackFixture(client, token)
    await stack.publish()
    return stack


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=clock.SHANGHAI)
