"""The cases service alone, in this process, on a database of its own.

For counting statements, explaining and profiling.
"""

import asyncio
import base64
import itertools
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
from fastapi import FastAPI
from joserfc.jwk import OKPKey

from bench.seed_data import APPLICANT, PDF, a_matter
from deploy.postgres import EmbeddedPostgres
from services.cases.consumer import copy_matter
from services.cases.main import build
from services.cases.settings import Settings
from shared import clock
from shared.city import SAMPLE
from shared.database import migrations
from shared.domain.guides import MatterDocument, PersonalGuide, personal_guide
from shared.events.matters import MatterPublished
from shared.ids import new_id
from shared.security.tokens import AUDIENCE, StaticKeys, TokenVerifier, sign_access_token

BASE = "/api/v1/cases"
KEY = OKPKey.generate_key("Ed25519", {"kid": "bench"})


def token(**claims: Any) -> dict[str, str]:
    """Header of a caller, signed with this process's own key."""
    now = int(time.time())
    common = {
        "iss": "tongban",
        "aud": AUDIENCE,
        "sub": str(new_id()),
        "iat": now,
        "exp": now + 3600,
    }
    claims = {
        **common,
        "kind": "person",
        "acr": "2",
        "amr": ["sms"],
        "sid": str(new_id()),
        **claims,
    }
    return {"authorization": f"Bearer {sign_access_token(KEY, 'bench', claims=claims)}"}


def jwks() -> dict[str, Any]:
    return {"keys": [{**KEY.as_dict(private=False), "use": "sig"}]}


@dataclass
class StackFixture:
    """The cases app with a citizen, a clerk and one matter."""

    app: FastAPI
    client: httpx.AsyncClient
    dsn: str
    guide: PersonalGuide
    place: dict[str, str]
    citizen: dict[str, str] = field(default_factory=token)
    uploads: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    _numbers: Any = field(default_factory=itertools.count)

    @property
    def clerk(self) -> dict[str, str]:
        area, department = self.place["area_code"], self.place["department_code"]
        return token(kind="staff", roles=["window_clerk"], area=area, department=department)

    async def upload_materials(self) -> None:
        """Upload a file for each material."""
        for material in self.guide.materials:
            answer = await self.client.post(f"{BASE}/uploads", content=PDF, headers=self.citizen)
            self.uploads.append(
                {"code": material.code, "upload_id": answer.raise_for_status().json()["id"]}
            )

    async def apply(self) -> dict[str, Any]:
        body = {
            "matter_id": str(self.guide.matter_id),
            "matter_version": self.guide.version,
            "guide_digest": self.guide.digest,
            "applicant": APPLICANT,
            "materials": self.uploads,
        }
        keyed = {**self.citizen, "Idempotency-Key": f"bench-{next(self._numbers)}"}
        answer = await self.client.post(f"{BASE}/applications", json=body, headers=keyed)
        return answer.raise_for_status().json()

    async def get(self, path: str, headers: dict[str, str]) -> Any:
        return (await self.client.get(BASE + path, headers=headers)).raise_for_status().json()

    async def log_statements(self) -> None:
        """Let PostgreSQL log every statement of the connections that are opened from now on."""
        connection = await asyncpg.connect(self.dsn)
        _ = await connection.execute("ALTER DATABASE tongban_cases SET log_statement = 'all'")
        await connection.close()
        await self.app.state.database.engine.dispose()


@asynccontextmanager
async def open_stack_fixture(
    postgres: EmbeddedPostgres, folder: Path
) -> AsyncGenerator[StackFixture]:
    """The cases app on the migrated database `tongban_cases` of `postgres`.

    One matter is open for applications.
    """
    dsn = postgres.dsn("tongban_cases")
    settings = Settings(
        city_file=SAMPLE,
        database_url=dsn,  # pyright: ignore[reportArgumentType]
        data_key=base64.b64encode(b"b" * 32).decode(),  # pyright: ignore[reportArgumentType]
        platform_key=base64.b64encode(b"p" * 32).decode(),  # pyright: ignore[reportArgumentType]
        jwks_url="http://127.0.0.1:1/unused",
        bus="local",
        bus_database_url=dsn,  # pyright: ignore[reportArgumentType]
        storage_url=str(folder / "uploads"),
        pool_size=1,
    )
    await asyncio.to_thread(asyncio.run, migrations.run_on(dsn, migrations.upgrade, "cases"))
    app = build(settings, verifier=TokenVerifier(StaticKeys(jwks()), issuer="tongban"))
    text = a_matter()
    document = MatterDocument.model_validate(text)
    matter_id = await _publish(app, document)
    guide = personal_guide(document, {}, matter_id=matter_id, version=1)
    place = {name: text[name] for name in ("area_code", "department_code")}
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://bench") as client,
    ):
        fixture = StackFixture(app, client, dsn, guide, place)
        await fixture.upload_materials()
        yield fixture


async def _publish(app: FastAPI, document: MatterDocument) -> UUID:
    """Tell cases of the matter as matters would."""
    fact = MatterPublished(
        matter_id=new_id(),
        code=document.code,
        local_code=document.local_code,
        area_code=document.area_code,
        department_code=document.department_code,
        revision=1,
        occurred_at=clock.now(),
        version=1,
        type=document.type,
        level=3,
        previous_level=None,
        situational=False,
        document=document.model_dump(mode="json"),
    )
    async with app.state.database.transaction() as session:
        await copy_matter(session, fact)
    return fact.matter_id
