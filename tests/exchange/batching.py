"""A peer with a pinned key that signs batches, and the services that judge them."""

import base64
import gzip
import hashlib
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import httpx
import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.exchange.batches.schemas import BatchClaim, digest_field
from services.exchange.consumer import consumer
from services.exchange.peers.model import Peer, PeerKey
from shared import clock
from shared.database.session import Database
from shared.events.cases import CaseRecordsJudged
from shared.events.exchange import RecordReceived
from shared.events.records import Verdict
from shared.ids import new_id
from shared.messaging.inbox import Inbox
from shared.security.crypto import open_sealed, use_key
from tests.builders.events import a_record
from tests.builders.matters import CITY, DEPARTMENT
from tests.conftest import Headers, ServiceClient, TokenFactory, published

BASE = "/api/v1/exchange"


def jwk(key: Ed25519PrivateKey, kid: str) -> dict[str, str]:
    x = base64.urlsafe_b64encode(key.public_key().public_bytes_raw()).decode().rstrip("=")
    return {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid}


@dataclass
class Bureau:
    """A bureau's system: its account, its key, and how it signs."""

    code: str = "fangguan"
    account: UUID = field(default_factory=uuid4)
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    kid: str = "k1"
    resources: tuple[str, ...] = ("cases",)

    def peer(self, **changes: Any) -> Peer:
        values: dict[str, Any] = {
            "id": new_id(),
            "code": self.code,
            "name": "房管系统",
            "kind": "bureau",
            "account_id": self.account,
            "area_code": CITY,
            "department_code": DEPARTMENT,
            "keys": [PeerKey(**jwk(self.key, self.kid))],
            "event_types": [],
            "resources": list(self.resources),
            "area_codes": [],
            "networks": [],
            "active": True,
            "revision": 1,
            "created_at": clock.now(),
        }
        return Peer(**{**values, **changes})

    async def enter(self, database: Database, **changes: Any) -> Peer:
        peer = self.peer(**changes)
        async with database.transaction() as session:
            session.add(peer)
        return peer

    def headers(self, body: bytes, count: int, **changes: Any) -> Headers:
        """The headers of a signed batch; `changes` are made before it is signed, `forged` after."""
        forged: dict[str, str] = changes.pop("forged", {})
        claim: dict[str, Any] = {
            "number": uuid4().hex,
            "resource": "cases",
            "area_code": CITY,
            "records": count,
            "digest": hashlib.sha256(body).digest(),
            "created": clock.now().isoformat(),
            "key_id": self.kid,
            "signature": b"",
            **changes,
        }
        signature = self.key.sign(BatchClaim(**claim).line(self.code))
        return {
            "Batch-Id": claim["number"],
            "Batch-Resource": claim["resource"],
            "Batch-Area": claim["area_code"],
            "Batch-Records": str(claim["records"]),
            "Batch-Created": claim["created"],
            "Batch-Key-Id": claim["key_id"],
            "Batch-Signature": base64.b64encode(signature).decode(),
            "Content-Digest": digest_field(claim["digest"]),
            "Content-Type": "application/x-ndjson",
            **forged,
        }


def lines(*records: Any) -> bytes:
    return b"".join(orjson.dumps(record) + b"\n" for record in records)


def some_records(number: int) -> list[dict[str, Any]]:
    return [
        {"source_number": f"FG-{n}", "version": 1, "title": "房屋登记"}
        for n in range(1, number + 1)
    ]


class Desk:
    """The exchange service with one peer that pushes."""

    def __init__(self, client: ServiceClient, token: TokenFactory, bureau: Bureau) -> None:
        self.client = client
        self.bureau = bureau
        self.token = token
        self.system = token(kind="system", sub=str(bureau.account), scope="exchange:push")
        self.administrator = token(kind="staff", roles=["administrator"])

    async def send(
        self, body: bytes, count: int, *, packed: bool = False, **changes: Any
    ) -> httpx.Response:
        content = gzip.compress(body) if packed else body
        headers = {**self.bureau.headers(content, count, **changes), **self.system}
        if packed:
            headers["Content-Encoding"] = "gzip"
        return await self.client.post(f"{BASE}/batches", content=content, headers=headers)

    async def push(self, *records: Any, **changes: Any) -> httpx.Response:
        return await self.send(lines(*records), len(records), **changes)

    async def get(self, path: str, headers: Headers | None = None) -> httpx.Response:
        return await self.client.get(f"{BASE}/{path}", headers=headers or self.system)

    async def chunks(self) -> list[tuple[RecordReceived, list[Any]]]:
        """What went out to be judged, opened."""
        facts = [envelope.event() for envelope in await published(self.client.database)]
        with use_key(b"k" * 32, platform=b"p" * 32):
            return [
                (fact, open_sealed(fact.records, purpose="exchange.records"))
                for fact in facts
                if isinstance(fact, RecordReceived)
            ]

    async def judge(self, *events: Any) -> None:
        await Inbox(self.client.database, None, consumer=consumer).take(
            [a_record(event) for event in events]
        )  # pyright: ignore[reportArgumentType]

    async def count(self, table: str) -> int:
        connection = await self.client.database.connect()
        try:
            return await connection.fetchval(f"SELECT count(*) FROM {table}")
        finally:
            await connection.close()


def a_verdict(
    fact: RecordReceived, rows: int, kind: Any = CaseRecordsJudged, **rejected: Any
) -> Any:
    """The verdict on a chunk: all accepted but the rows named `row_<n>` with their faults."""
    verdicts = [
        Verdict(
            row=row,
            key=f"FG-{row}",
            status="rejected" if f"row_{row}" in rejected else "accepted",
            faults=rejected.get(f"row_{row}", []),
        )
        for row in range(fact.first_row, fact.first_row + rows)
    ]
    about = {
        "batch_id": fact.batch_id,
        "chunk": fact.chunk,
        "revision": 1,
        "occurred_at": clock.now(),
    }
    return kind(verdicts=verdicts, **about)
