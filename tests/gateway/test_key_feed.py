"""The keys and revocations that the gateway applies.

Tokens of ended sessions and withdrawn subjects stop, and `/readyz` tells the truth.
"""

import asyncio
import time

import httpx
import orjson

from gateway.main import create_gateway
from gateway.settings import Settings
from tests.builders.tokens import TestKeys
from tests.conftest import TokenFactory
from tests.gateway.conftest import GateFactory, serving

CLOSED = "/api/v1/matters/work-list"
Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter


class Feed:
    """The feed of identity, page by page; `nonsense` makes it unreadable."""

    def __init__(self) -> None:
        self.items: list[dict[str, str | None]] = []
        self.nonsense = False

    async def __call__(self, _r: Reader, writer: Writer, head: bytes) -> None:
        after = int(head.partition(b"after=")[2].split()[0])
        page = self.items[after : after + 1]
        body = (
            b"[]"
            if self.nonsense
            else orjson.dumps({"items": page, "next": str(after + len(page))})
        )
        writer.write(
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b"
            % (len(body), body)
        )
        await writer.drain()
        writer.close()


async def until(
    client: httpx.AsyncClient, status: int, path: str, headers: dict[str, str] | None = None
) -> float:
    """Seconds until the path answers with this status, at most 5."""
    started = time.monotonic()
    async with asyncio.timeout(5):
        while (await client.get(path, headers=headers)).status_code != status:
            await asyncio.sleep(0.05)
    return time.monotonic() - started


async def test_ended_sessions_and_withdrawn_subjects_are_refused_within_seconds_though_cached(
    gate: GateFactory, token: TokenFactory
) -> None:
    feed = Feed()
    identity = await gate(feed)
    g = await gate(
        revocations_url=f"http://127.0.0.1:{identity.upstream.port}/internal/revocations"
    )
    session, subject, other = token(sid="gone-1"), token(sub="gone-2"), token(sid="stays-1")
    before = [
        (await g.client.get(CLOSED, headers=headers)).status_code
        for headers in (session, subject, other)
    ]

    feed.items = [{"session": "gone-1", "subject": None}, {"session": None, "subject": "gone-2"}]
    _ = await until(g.client, 401, CLOSED, session)
    _ = await until(g.client, 401, CLOSED, subject)

    assert before == [200, 200, 200]
    assert (await g.client.get(CLOSED, headers=other)).status_code == 200


async def test_unreadable_feed_is_read_again(gate: GateFactory, token: TokenFactory) -> None:
    feed = Feed()
    feed.nonsense = True
    identity = await gate(feed)
    g = await gate(
        revocations_url=f"http://127.0.0.1:{identity.upstream.port}/internal/revocations",
        revocation_poll_seconds=0.1,
    )
    await asyncio.sleep(0.3)
    feed.items, feed.nonsense = [{"session": "gone-1"}], False

    _ = await until(g.client, 401, CLOSED, token(sid="gone-1"))


async def test_ready_only_with_keys_and_a_feed_just_read(gate: GateFactory, keys: TestKeys) -> None:
    feed = Feed()
    identity = await gate(feed)
    nowhere = await gate()
    url = f"http://127.0.0.1:{identity.upstream.port}/internal/revocations"
    g = await gate(revocations_url=url, revocation_poll_seconds=0.1)
    keyless = create_gateway(Settings(jwks_url="http://127.0.0.1:1/", revocations_url=url))

    _ = await until(g.client, 200, "/readyz")
    ready = (await g.client.get("/readyz")).json()
    unfed = await nowhere.client.get("/readyz")
    async with serving(keyless) as port, httpx.AsyncClient(trust_env=False) as client:
        unkeyed = await client.get(f"http://127.0.0.1:{port}/readyz")

    assert ready["checks"] == {"keys": True, "revocations": True}
    assert ready["circuits"] == {"matters": "closed", "cases": "closed", "identity": "closed"}
    assert (unfed.status_code, unfed.json()["checks"]) == (
        503,
        {"keys": True, "revocations": False},
    )
    assert (unkeyed.status_code, unkeyed.json()["checks"]["keys"]) == (503, False)


async def test_readyz_names_an_open_circuit_and_stays_ready(
    gate: GateFactory, token: TokenFactory
) -> None:
    identity = await gate(Feed())
    url = f"http://127.0.0.1:{identity.upstream.port}/internal/revocations"
    g = await gate(revocations_url=url, revocation_poll_seconds=0.1, breaker_failures=1)
    _ = await until(g.client, 200, "/readyz")

    _ = await g.client.get("/api/v1/cases/files", headers=token())
    answer = await g.client.get("/readyz")

    assert (answer.status_code, answer.json()["circuits"]["cases"]) == (200, "open")
