"""Careful clients at work while the platform is broken.

They run in a thread with a loop of its own, so that a test can break and heal beside it, step by
step.
"""

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Self
from uuid import UUID

import aiohttp

from shared.domain.guides import MatterDocument
from shared.ids import new_id
from tests.builders.matters import CITY, DEPARTMENT
from tests.faults import region
from tests.faults.errands import Client, Errands, a_matter, publish
from tests.faults.partner import SCOPE
from tests.faults.platform import Headers, Platform, until
from tests.licenses.conftest import TYPE, a_type

DIRECTORY = {
    "areas": [{"code": CITY, "name": {"zh": "拉萨市"}}],
    "departments": [{"area_code": CITY, "code": DEPARTMENT, "name": {"zh": "市场监督管理局"}}],
}


class Load:
    """`clients` at work until the block ends, or none for a moment: `with load.quiet(): …`."""

    def __init__(
        self,
        platform: Platform,
        seed: int,
        *,
        clients: int = 3,
        pause: float = 0.03,
        client: type[Client] = Client,
    ) -> None:
        self.platform = platform
        self._client = client
        self.refused: list[int] = []
        self._seed = seed
        self._clients = clients
        self._pause = pause
        self._resting = 0
        self._go = threading.Event()
        self._end = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Self:
        self._go.set()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(30)

    def check(self) -> None:
        """Raise what a client stumbled over."""
        if self._failure is not None:
            raise self._failure

    def rest(self) -> None:
        """All clients finish what they are at; returns when all of them wait."""
        self._go.clear()
        _ = until(
            "all clients are answered", lambda: self.check() or self._resting == self._clients
        )

    def go_on(self) -> None:
        self._go.set()

    def _work(self) -> None:
        try:
            asyncio.run(self._all())
        except BaseException as error:
            self._failure = error

    async def _all(self) -> None:
        async with a_session() as session, asyncio.TaskGroup() as group:
            client = self._client(self.platform, session, self.refused)
            matter = await prepare(client)
            for number in range(self._clients):
                errands = Errands(self.platform, client, self._gate)
                await errands.prepare(matter)
                _ = group.create_task(
                    self._one(errands, random.Random(f"{self._seed}/{number}"), pusher=number == 0)
                )

    async def _one(self, errands: Errands, chance: random.Random, *, pusher: bool) -> None:
        while not self._end.is_set():
            await self._gate()
            # One pusher only: two would have to agree on the versions of the cases they send.
            kinds: Sequence[Any] = (errands.live,)
            if pusher:
                kinds = (
                    *kinds,
                    errands.push,
                    errands.change_matter,
                    errands.send_cases,
                    errands.send_licenses,
                    errands.send_supervision,
                )
            await chance.choice(kinds)(chance)

    async def _gate(self) -> None:
        await asyncio.sleep(self._pause)
        if self._go.is_set():
            return
        self._resting += 1
        while not self._go.is_set() and not self._end.is_set():
            await asyncio.sleep(0.02)
        self._resting -= 1


Work = Callable[[Errands], Awaitable[object]]


def run(platform: Platform, work: Work) -> None:
    """Send one client on its errands; it waits out whatever happens."""

    async def errands() -> None:
        async with a_session() as session:
            client = Client(platform, session)
            found = Errands(platform, client, lambda: asyncio.sleep(0))
            await found.prepare(await prepare(client))
            _ = await work(found)

    asyncio.run(errands())


def a_session() -> aiohttp.ClientSession:
    """Short of patience: a request that hangs is sent again."""
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10, connect=2))


async def prepare(client: Client) -> tuple[MatterDocument, UUID]:
    """What must be there before anybody can apply.

    The licence that is issued, the bureau beside the platform, and the matter.
    """
    administrator = client.platform.caller(kind="staff", roles=["administrator"])
    published = await client.send(
        "licenses-api", "PUT", f"/api/v1/licenses/types/{TYPE}", administrator, a_type()
    )
    assert published.status == 200, published
    await join(client, administrator)
    return await a_published_matter(client)


async def join(client: Client, administrator: Headers) -> None:
    """The bureau becomes a peer with its key pinned, and subscribes; once."""
    partner, base = client.platform.partner, "/api/v1/exchange"
    if partner.subscription is not None:
        return
    if url := client.platform.region:
        await enter(client, administrator, region.peer(), region.keys(url))
    system = client.platform.caller(kind="system", sub=str(partner.bureau.account), scope=SCOPE)
    await enter(client, administrator, partner.peer(), [partner.key()])
    made = await done(client, f"{base}/subscriptions", system, partner.wanted())
    partner.subscriber.secret = made["secret"]
    _ = await done(
        client, f"{base}/subscriptions/{made['id']}/activation", {**system, "If-Match": '"1"'}
    )
    partner.subscription = made["id"]


async def enter(client: Client, administrator: Headers, peer: Any, keys: Sequence[Any]) -> None:
    """A new peer with its keys."""
    made = await done(client, "/api/v1/exchange/peers", administrator, peer)
    for revision, key in enumerate(keys, made["revision"]):
        versioned = {**administrator, "If-Match": f'"{revision}"'}
        _ = await done(client, f"/api/v1/exchange/peers/{made['id']}/keys", versioned, key)


async def done(client: Client, path: str, headers: Headers, body: Any = None) -> Any:
    """One creation or move at exchange, however often it must be sent; its answer."""
    answer = await client.send(
        "exchange-api", "POST", path, {**headers, "Idempotency-Key": str(new_id())}, body
    )
    assert answer.status in {200, 201}, answer
    return answer.body


async def a_published_matter(client: Client) -> tuple[MatterDocument, UUID]:
    """The matter that people apply for, known to cases."""
    document = a_matter(0, "茶馆")
    administrator = client.platform.caller(kind="staff", roles=["administrator"])
    stored = await client.send(
        "matters-api", "PUT", "/api/v1/matters/directory", administrator, DIRECTORY
    )
    assert stored.status == 204, stored
    await publish(client, document)
    client.platform.acknowledged.texts[document.code or ""] = "茶馆"
    connection = await client.platform.connect("cases")
    try:
        async with asyncio.timeout(60):
            find = "SELECT matter_id FROM matter_copy WHERE document->>'code' = $1"
            while (found := await connection.fetchval(find, document.code)) is None:
                await asyncio.sleep(0.1)
    finally:
        await connection.close()
    return document, found
