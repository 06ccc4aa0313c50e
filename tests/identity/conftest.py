"""Fixtures of identity: its own keys verify its own tokens, as in production."""

import re
import time
from typing import Any
from uuid import uuid4

import pytest
from joserfc import jwt
from joserfc.jwk import OKPKey

from services.identity import security
from shared.database.session import Database
from shared.security.tokens import StaticKeys, TokenVerifier
from tests.builders.tokens import ISSUER
from tests.conftest import ClientFactory, Headers, ServiceClient, TokenFactory, once

BASE = "/api/v1/identity"
PHONE = "13989001234"
ID_NUMBER = "540102199001010011"


@pytest.fixture
async def client(client_of: ClientFactory) -> ServiceClient:
    return await client_of("identity", development=True)


@pytest.fixture
def administrator(token: TokenFactory) -> Headers:
    return token(kind="staff", roles=["administrator"])


class Play:
    """Signs in over HTTP; tokens made by the service itself are verified with its own keys."""

    def __init__(self, client: ServiceClient, administrator: Headers) -> None:
        self.client = client
        self.administrator = administrator

    async def code(self, phone: str = PHONE, purpose: str = "sign_in") -> str:
        sent = await self.client.post(
            f"{BASE}/sms-codes", json={"phone": phone, "purpose": purpose}
        )
        assert sent.status_code == 202, sent.text
        path = f"{BASE}/development/sms-messages"
        messages = await self.client.get(path, params={"phone": phone}, headers=self.administrator)
        found = re.search(r"[0-9]{6}", messages.json()[0]["text"])
        assert found
        return found[0]

    async def sign_in(self, phone: str = PHONE) -> dict[str, Any]:
        answer = await self.client.post(
            f"{BASE}/sessions/sms", json={"phone": phone, "code": await self.code(phone)}
        )
        assert answer.status_code == 200, answer.text
        await self.trust()
        return answer.json()

    async def trust(self) -> TokenVerifier:
        """Make the app believe its own keys beside those of the test."""
        own = (await self.client.get(f"{BASE}/jwks")).json()["keys"]
        before: TokenVerifier = self.client.app.state.verifier
        keys = StaticKeys({"keys": own})
        verifier = _Both(TokenVerifier(keys, issuer=ISSUER), before)
        self.client.app.state.verifier = verifier
        return verifier  # pyright: ignore[reportReturnType]

    async def staff(
        self, username: str = "clerk.one", roles: tuple[str, ...] = ("window_clerk",)
    ) -> dict[str, Any]:
        body = {
            "username": username,
            "name": "扎西顿珠",
            "area_code": "540100000000",
            "department_code": "D1",
            "roles": roles,
        }
        answer = await self.client.post(
            f"{BASE}/staff", json=body, headers=once(self.administrator)
        )
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def password(self, staff: dict[str, Any], **changes: str) -> Any:
        now = security.totp(staff["totp_secret"], int(time.time()) // security.TOTP_STEP)
        body = {
            "username": staff["username"],
            "password": staff["initial_password"],
            "totp": now,
            **changes,
        }
        return await self.client.post(f"{BASE}/sessions/password", json=body)


class _Both:
    """Verifies with the first verifier that knows the key."""

    def __init__(self, first: TokenVerifier, second: Any) -> None:
        self.first = first
        self.second = second

    async def verify(self, token: str, now: Any) -> Any:
        from shared.security.tokens import TokenError

        try:
            return await self.first.verify(token, now)
        except TokenError:
            return await self.second.verify(token, now)


@pytest.fixture
def play(client: ServiceClient, administrator: Headers) -> Play:
    return Play(client, administrator)


def bearer(tokens: dict[str, Any]) -> Headers:
    return {"Authorization": f"Bearer {tokens['access_token']}"}


def an_assertion(key: OKPKey, client_id: str, **changes: Any) -> str:
    now = int(time.time())
    claims = {
        "iss": client_id,
        "sub": client_id,
        "aud": f"{BASE}/oauth/token",
        "exp": now + 60,
        "jti": str(uuid4()),
        **changes,
    }
    return jwt.encode({"alg": "Ed25519"}, claims, key, algorithms=["Ed25519"])


async def rows(database: Database, statement: str) -> list[Any]:
    connection = await database.connect()
    try:
        return await connection.fetch(statement)
    finally:
        await connection.close()
