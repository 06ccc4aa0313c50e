"""Fixtures of matters: a client with the city and its department.

The callers are those who keep its catalogue.
"""

from typing import Any

import httpx
import pytest

from tests.builders.matters import CITY, DEPARTMENT
from tests.conftest import ClientFactory, Headers, ServiceClient, TokenFactory

BASE = "/api/v1/matters"


@pytest.fixture
def administrator(token: TokenFactory) -> Headers:
    return token(kind="staff", roles=["administrator"])


@pytest.fixture
def head(token: TokenFactory) -> Headers:
    """The head of the department that the builder's document belongs to."""
    return token(kind="staff", roles=["department_head"], area=CITY, department=DEPARTMENT)


@pytest.fixture
async def client(client_of: ClientFactory, administrator: Headers) -> ServiceClient:
    client = await client_of("matters")
    directory = {
        "areas": [{"code": CITY, "name": {"zh": "拉萨市", "bo": "ལྷ་ས་གྲོང་ཁྱེར།"}}],
        "departments": [{"area_code": CITY, "code": DEPARTMENT, "name": {"zh": "市场监督管理局"}}],
    }
    stored = await client.put(f"{BASE}/directory", json=directory, headers=administrator)
    assert stored.status_code == 204, stored.text
    return client


class Keeper:
    """Plays the steps of a matter's life over HTTP."""

    def __init__(self, client: ServiceClient, headers: Headers) -> None:
        self.client = client
        self.headers = headers
        self._keys = 0

    async def draft(self, document: Any) -> httpx.Response:
        self._keys += 1
        headers = {**self.headers, "Idempotency-Key": f"draft-{self._keys}"}
        return await self.client.post(
            f"{BASE}/drafts", json=document.model_dump(mode="json"), headers=headers
        )

    async def act(self, path: str, revision: int, body: Any = None) -> httpx.Response:
        headers = {**self.headers, "If-Match": f'"{revision}"'}
        return await self.client.post(f"{BASE}/{path}", json=body, headers=headers)

    async def change(self, matter_id: str, revision: int, document: Any) -> httpx.Response:
        headers = {**self.headers, "If-Match": f'"{revision}"'}
        return await self.client.put(
            f"{BASE}/drafts/{matter_id}", json=document.model_dump(mode="json"), headers=headers
        )

    async def publish(self, document: Any) -> dict[str, Any]:
        drafted = (await self.draft(document)).json()
        reviewed = await self.act(f"drafts/{drafted['id']}/review", drafted["revision"])
        assert reviewed.status_code == 200, reviewed.text
        done = await self.act(f"drafts/{drafted['id']}/publication", reviewed.json()["revision"])
        assert done.status_code == 200, done.text
        return done.json()


@pytest.fixture
def keeper(client: ServiceClient, head: Headers) -> Keeper:
    return Keeper(client, head)
