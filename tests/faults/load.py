"""Careful clients at work while the platform is broken: they repeat what was not answered and remember what was.

`Load` runs in a thread with a loop of its own, so that a test can break and heal in plain order beside it.
"""

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self
from uuid import UUID

import aiohttp
import orjson

from shared.guides import MatterDocument, personal_guide
from shared.ids import new_id
from tests.builders.matters import CITY, CODE, DEPARTMENT, a_document
from tests.faults.platform import Headers, Known, Platform, until

ANSWERS = {"Q1": "rent", "Q2": "yes"}
APPLICANT = {"kind": "person", "name": "卓玛央金", "id_number": "540102199001010011", "phone": "13989001234"}
ACTS: dict[str, tuple[str, str, dict[str, Any] | None]] = {
    "accept": ("acceptance", "window_clerk", None),
    "review": ("reviews", "approver", {"opinion": "agree", "text": "符合条件"}),
    "decide": ("decision", "leader", {"result": "0"}),
    "deliver": ("delivery", "delivery", {"method": "window"}),
}
DIRECTORY = {
    "areas": [{"code": CITY, "name": {"zh": "拉萨市"}}],
    "departments": [{"area_code": CITY, "code": DEPARTMENT, "name": {"zh": "市场监督管理局"}}],
}
LIFE = ("accept", "review", "review", "decide", "deliver")
NOT_NOW = {502, 503, 504}
OTHER_MATTERS = 3


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: Any
    tries: int


@dataclass
class Client:
    """Sends requests until they are answered; `refused` counts the answers that asked to come back later."""

    platform: Platform
    session: aiohttp.ClientSession
    refused: list[int] = field(default_factory=list[int])

    async def send(self, kind: str, method: str, path: str, headers: Headers, body: Any = None) -> Answer:
        """`kind` is the API to ask; any of its replicas will do."""
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        headers = headers if isinstance(body, bytes) else {**headers, "Content-Type": "application/json"}
        tries = 0
        while True:
            tries += 1
            names = self.platform.named(kind)
            url = self.platform.url(names[tries % len(names)] if names else kind)
            try:
                async with self.session.request(method, f"{url}{path}", data=content, headers=headers) as answer:
                    read = await answer.read()
                    if answer.status not in NOT_NOW and not (answer.status == 409 and "Retry-After" in answer.headers):
                        return Answer(answer.status, orjson.loads(read) if read else None, tries)
                    self.refused.append(answer.status)
                    assert answer.headers["Retry-After"], "who asks to come back says when"
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(0.1)


class Errands:
    """What clients come for. Each ends when the platform has acknowledged it, and is then remembered."""

    def __init__(self, platform: Platform, client: Client, gate: Callable[[], Awaitable[None]]) -> None:
        self.platform = platform
        self.memory = platform.acknowledged
        self.client = client
        self.gate = gate
        self.citizen = platform.caller()
        self.officers = {act: platform.officer(role) for act, (_, role, _) in ACTS.items()}
        self.system = platform.caller(kind="system", scope="cases:push", area=CITY, department=DEPARTMENT)
        self.body: dict[str, Any] = {}

    async def prepare(self, matter: tuple[MatterDocument, UUID]) -> None:
        """A citizen with one upload, which serves for all her applications to the first matter."""
        upload = await self.client.send(
            "cases-api", "POST", "/api/v1/cases/uploads", self.citizen, b"%PDF-1.7 synthetic"
        )
        document, matter_id = matter
        guide = personal_guide(document, ANSWERS, matter_id=matter_id, version=1)
        self.body = {
            "matter_id": str(matter_id),
            "matter_version": 1,
            "answers": ANSWERS,
            "guide_digest": guide.digest,
            "applicant": APPLICANT,
            "materials": [{"code": m.code, "upload_id": upload.body["id"]} for m in guide.materials],
            "channel": "mobile",
        }

    async def apply(self, key: str | None = None) -> str:
        """One application under one key, however often it must be sent; the case's id."""
        headers = {**self.citizen, "Idempotency-Key": key or str(new_id())}
        answer = await self.client.send("cases-api", "POST", "/api/v1/cases/applications", headers, self.body)
        assert answer.status == 201, answer
        _ = self.memory.cases.setdefault(answer.body["id"], Known(answer.body["number"], ["receive"]))
        return answer.body["id"]

    async def act(self, case_id: str, act: str, officer: Headers | None = None) -> None:
        """One act at the version that was read. After a lost answer, 412 may mean that it was done: then look."""
        path, _, body = ACTS[act]
        known, headers = self.memory.cases[case_id], officer or self.officers[act]
        url, expected = f"/api/v1/cases/files/{case_id}", len(known.acts)
        versioned = {**headers, "If-Match": f'"{expected}"'}
        answer = await self.client.send("cases-api", "POST", f"{url}/{path}", versioned, body)
        if answer.status == 412 and answer.tries > 1:
            answer = await self.client.send("cases-api", "GET", url, headers)
        assert (answer.status, answer.body.get("revision")) == (200, expected + 1), answer
        known.acts.append(act)

    async def withdraw(self, case_id: str) -> None:
        """撤回 by the citizen; looked up after a lost answer, like every act."""
        known = self.memory.cases[case_id]
        url, expected = f"/api/v1/cases/files/{case_id}", len(known.acts)
        headers = {**self.citizen, "If-Match": f'"{expected}"'}
        answer = await self.client.send("cases-api", "POST", f"{url}/withdrawal", headers)
        if answer.status == 412 and answer.tries > 1:
            answer = await self.client.send("cases-api", "GET", url, self.citizen)
        assert (answer.status, answer.body.get("state")) == (200, "withdrawn"), answer
        known.acts.append("withdraw")

    async def live(self, chance: random.Random) -> None:
        """A case from application to delivery, or withdrawn on the way."""
        case_id = await self.apply()
        steps = chance.choice((0, 1, 2, 3, 5))
        for act in LIFE[:steps]:
            await self.gate()
            await self.act(case_id, act, self.platform.officer("approver") if act == "review" else None)
        if steps < 4:
            await self.gate()
            await self.withdraw(case_id)

    async def push(self, chance: random.Random) -> None:
        """A bureau's push: new cases, newer versions of known ones, and one faulty record."""
        again = chance.sample(sorted(self.memory.pushed), min(2, len(self.memory.pushed)))
        versions = {f"N{chance.randrange(10**9)}": 1 for _ in range(4)}
        versions |= {number: self.memory.pushed[number] + 1 for number in again}
        records = [a_pushed_case(number, version) for number, version in versions.items()]
        command = {"source_system": "bureau", "records": [*records, {"source_number": "faulty"}]}
        headers = {**self.system, "Idempotency-Key": str(new_id())}
        answer = await self.client.send("cases-api", "POST", "/api/v1/cases/imports", headers, command)
        assert answer.status == 200, answer
        assert (answer.body["accepted"], len({r["row"] for r in answer.body["rejections"]})) == (len(records), 1), (
            answer
        )
        self.memory.pushes.append(answer.body)
        self.memory.pushed |= versions

    async def change_matter(self, chance: random.Random) -> None:
        """The next text of one of the other matters; the same text sent twice changes nothing."""
        number, alias = 1 + chance.randrange(OTHER_MATTERS), f"alias {chance.randrange(10**9)}"
        document = a_matter(number, alias)
        await publish(self.client, document)
        self.memory.texts[document.code or ""] = alias


class Load:
    """`clients` at work until the block ends, or none for a moment: `with load.quiet(): …`."""

    def __init__(self, platform: Platform, seed: int, *, clients: int = 3, pause: float = 0.03) -> None:
        self.platform = platform
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
        _ = until("all clients are answered", lambda: self.check() or self._resting == self._clients)

    def go_on(self) -> None:
        self._go.set()

    def _work(self) -> None:
        try:
            asyncio.run(self._all())
        except BaseException as error:
            self._failure = error

    async def _all(self) -> None:
        async with a_session() as session, asyncio.TaskGroup() as group:
            client = Client(self.platform, session, self.refused)
            matter = await a_published_matter(client)
            for number in range(self._clients):
                errands = Errands(self.platform, client, self._gate)
                await errands.prepare(matter)
                _ = group.create_task(self._one(errands, random.Random(f"{self._seed}/{number}"), pusher=number == 0))

    async def _one(self, errands: Errands, chance: random.Random, *, pusher: bool) -> None:
        while not self._end.is_set():
            await self._gate()
            # One pusher only: two would have to agree on the versions of the cases they send.
            kinds: Sequence[Any] = (errands.live, errands.push, errands.change_matter) if pusher else (errands.live,)
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
            await found.prepare(await a_published_matter(client))
            _ = await work(found)

    asyncio.run(errands())


def a_session() -> aiohttp.ClientSession:
    """Short of patience: a request that hangs is sent again."""
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10, connect=2))


def a_matter(number: int, alias: str) -> MatterDocument:
    """Matter 0 is the one that people apply for; the others change."""
    code = f"{CODE[:-2]}{number:02}"
    return a_document(code=code, catalog_code=code[19:], aliases=[alias])


async def publish(client: Client, document: MatterDocument) -> None:
    administrator = client.platform.caller(kind="staff", roles=["administrator"])
    content = document.model_dump_json().encode()
    answer = await client.send("matters-api", "POST", "/api/v1/matters/catalogue-documents", administrator, content)
    assert answer.status == 200, answer
    assert answer.body["refused"] == 0, answer


async def a_published_matter(client: Client) -> tuple[MatterDocument, UUID]:
    """The matter that people apply for, known to cases."""
    document = a_matter(0, "茶馆")
    administrator = client.platform.caller(kind="staff", roles=["administrator"])
    stored = await client.send("matters-api", "PUT", "/api/v1/matters/directory", administrator, DIRECTORY)
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


def a_pushed_case(number: str, version: int) -> dict[str, Any]:
    return {
        "source_number": number,
        "version": version,
        "matter_code": "L1",
        "matter_name": "个体工商户登记",
        "matter_type": "01",
        "applicant_kind": "person",
        "state": "closed" if version % 2 else "received",
        "received_on": "2026-03-10",
        "accepted_on": "2026-03-10" if version % 2 else None,
        "closed_on": "2026-03-10" if version % 2 else None,
        "result": "0" if version % 2 else None,
    }
