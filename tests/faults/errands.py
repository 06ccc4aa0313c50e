"""What careful clients come for: they repeat what was not answered, and remember what was."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4
from zlib import crc32

import aiohttp
import orjson

from services.ratings.invitations.model.invitation import ACCEPTANCE_NUMBER, CLOSING_NUMBER
from services.ratings.invitations.model.tokens import LinkClaims, case_subject, read
from shared import clock
from shared.domain.guides import MatterDocument, personal_guide
from shared.ids import new_id
from tests.builders.matters import CITY, CODE, DEPARTMENT, a_document
from tests.faults.partner import SCOPE, SentBatch, with_faults
from tests.faults.platform import Headers, Known, Platform
from tests.licenses.conftest import TYPE, an_id_number, collected

ANSWERS = {"Q1": "rent", "Q2": "yes"}
APPLICANT = {
    "kind": "person",
    "name": "卓玛央金",
    "id_number": "540102199001010011",
    "phone": "13989001234",
}
ACTS: dict[str, tuple[str, str, dict[str, Any] | None]] = {
    "accept": ("acceptance", "window_clerk", None),
    "review": ("reviews", "approver", {"opinion": "agree", "text": "符合条件"}),
    "decide": ("decision", "leader", {"result": "0"}),
    "deliver": ("delivery", "delivery", {"method": "window"}),
}
LIFE = ("accept", "review", "review", "decide", "deliver")
NOT_NOW = {502, 503, 504}
OTHER_MATTERS = 3
BY_LINK = 0.15
"""Share of the ratings that are given by the link in a message, which takes its time to be sent."""
PATIENCE = 50.0
"""Seconds within which people expect to be invited."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: Any
    tries: int


@dataclass
class Client:
    """Sends requests until they are answered.

    `refused` counts the answers that asked to come back later.
    """

    platform: Platform
    session: aiohttp.ClientSession
    refused: list[int] = field(default_factory=list[int])

    def address(self, kind: str, path: str, tries: int) -> str:
        """Where a request to `path` of an API goes at this try."""
        names = self.platform.named(kind)
        return self.platform.url(names[tries % len(names)] if names else kind)

    def broke_off(self) -> None:
        """There was no answer."""

    async def send(
        self, kind: str, method: str, path: str, headers: Headers, body: Any = None
    ) -> Answer:
        """`kind` is the API to ask; any of its replicas will do."""
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        headers = (
            headers if isinstance(body, bytes) else {**headers, "Content-Type": "application/json"}
        )
        tries = 0
        while True:
            tries += 1
            url = self.address(kind, path, tries)
            try:
                async with self.session.request(
                    method, f"{url}{path}", data=content, headers=headers
                ) as answer:
                    read = await answer.read()
                    if answer.status not in NOT_NOW and not (
                        answer.status == 409 and "Retry-After" in answer.headers
                    ):
                        told = (
                            orjson.loads(read) if "json" in answer.content_type and read else read
                        )
                        return Answer(answer.status, told, tries)
                    self.refused.append(answer.status)
                    assert answer.headers["Retry-After"], "who asks to come back says when"
            except (aiohttp.ClientError, TimeoutError):
                self.broke_off()
            await asyncio.sleep(0.1)


class Errands:
    """What clients come for.

    Each errand ends when the platform has acknowledged it, and is then remembered.
    """

    def __init__(
        self, platform: Platform, client: Client, gate: Callable[[], Awaitable[None]]
    ) -> None:
        self.platform = platform
        self.memory = platform.acknowledged
        self.client = client
        self.gate = gate
        self.citizen = platform.caller()
        self.officers = {act: platform.officer(role) for act, (_, role, _) in ACTS.items()}
        self.system = platform.caller(
            kind="system", scope="cases:push", area=CITY, department=DEPARTMENT
        )
        self.bureau = platform.caller(
            kind="system", sub=str(platform.partner.bureau.account), scope=SCOPE
        )
        self.administrator = platform.caller(kind="staff", roles=["administrator"])
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
            "materials": [
                {"code": m.code, "upload_id": upload.body["id"]} for m in guide.materials
            ],
            "channel": "mobile",
        }

    async def look(self, path: str) -> Any:
        """What exchange tells an administrator."""
        answer = await self.client.send("exchange-api", "GET", path, self.administrator)
        assert answer.status == 200, answer
        return answer.body

    async def apply(self, key: str | None = None) -> str:
        """One application under one key, however often it must be sent; the case's id."""
        key = key or str(new_id())
        phone = f"139{crc32(key.encode()) % 10**8:08}"
        body = {**self.body, "applicant": {**APPLICANT, "phone": phone}}
        headers = {**self.citizen, "Idempotency-Key": key}
        answer = await self.client.send(
            "cases-api", "POST", "/api/v1/cases/applications", headers, body
        )
        assert answer.status == 201, answer
        _ = self.memory.cases.setdefault(
            answer.body["id"], Known(answer.body["number"], ["receive"], phone)
        )
        return answer.body["id"]

    async def act(self, case_id: str, act: str, officer: Headers | None = None) -> None:
        """One act at the version that was read.

        After a lost answer, 412 may mean that the act was done, so it is read again.
        """
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
        steps = chance.choice((0, 1, 2, 3, 5, 5))
        for act in LIFE[:steps]:
            await self.gate()
            await self.act(
                case_id, act, self.platform.officer("approver") if act == "review" else None
            )
        if steps < 4:
            await self.gate()
            await self.withdraw(case_id)
        events = [ACCEPTANCE_NUMBER, CLOSING_NUMBER] if steps else [CLOSING_NUMBER]
        for service in chance.sample(events, chance.randint(0, len(events))):
            await self.gate()
            await self.rate(case_id, service, chance)

    async def rate(self, case_id: str, service: int, chance: random.Random) -> None:
        """评价 by her account or by the link that was sent to her.

        However often it is repeated, it is one rating.
        """
        known, grade = self.memory.cases[case_id], chance.choice((5, 5, 4, 3, 2, 1))
        said: dict[str, Any] = {"grade": grade, "pf": "1", "sub_channel": "site"}
        headers: Headers = {}
        if chance.random() < BY_LINK:
            said["token"] = await self.link(known, service)
        else:
            headers, said = (
                self.citizen,
                {**said, "case_number": known.number, "service_number": service},
            )
        for _ in range(1 + chance.randrange(2)):
            answer = await patiently(
                lambda: self.client.send(
                    "ratings-api", "POST", "/api/v1/ratings/ratings", headers, said
                )
            )
            assert answer.status == 201, answer
            rating = answer.body["id"], answer.body["grade"]
            place = answer.body["case_number"], answer.body["service_number"]
            assert (place, rating[1]) == ((known.number, service), grade), answer
            assert self.memory.ratings.setdefault(place, rating) == rating, (
                "a repeat is the same rating"
            )

    async def link(self, known: Known, service: int) -> str:
        """The token of the message that invites to rate this service event."""
        wanted, path = (
            case_subject(known.number, service),
            f"/api/v1/ratings/development/sms-messages?phone={known.phone}",
        )
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = await self.client.send("ratings-api", "GET", path, self.administrator)
            assert answer.status == 200, answer
            tokens = [message["text"].rpartition("/rate/")[2] for message in answer.body]
            if found := next(
                (token for token in tokens if read(token).claims == LinkClaims(wanted)), None
            ):
                return found
            assert time.monotonic() < deadline, (
                f"no message invites to rate {known.number}/{service}"
            )
            await asyncio.sleep(0.2)

    async def push(self, chance: random.Random) -> None:
        """A bureau's push: new cases, newer versions of known ones, and one faulty record."""
        again = some((number for number in self.memory.pushed if number.startswith("N")), chance)
        versions = next_versions(self.memory.pushed, again, "N", chance)
        records = [a_pushed_case(number, version) for number, version in versions.items()]
        command = {"source_system": "bureau", "records": [*records, {"source_number": "faulty"}]}
        headers = {**self.system, "Idempotency-Key": str(new_id())}
        answer = await self.client.send(
            "cases-api", "POST", "/api/v1/cases/imports", headers, command
        )
        assert answer.status == 200, answer
        assert (answer.body["accepted"], len({r["row"] for r in answer.body["rejections"]})) == (
            len(records),
            1,
        ), answer
        self.memory.pushes.append(answer.body)
        self.memory.pushed |= versions

    async def send_cases(self, chance: random.Random) -> None:
        """A signed batch of cases: new ones, newer versions, and what must come back."""
        again = some((number for number in self.memory.pushed if number.startswith("B")), chance)
        versions = next_versions(self.memory.pushed, again, "B", chance)
        await self.batch(
            "cases",
            [a_case_of_today(number, version) for number, version in versions.items()],
            chance,
        )
        self.memory.pushed |= versions

    async def send_licenses(self, chance: random.Random) -> None:
        """采集: old licences, some in a further version."""
        again = [
            number
            for number in some(self.memory.collected, chance)
            if self.memory.collected[number] < 999
        ]
        versions = next_versions(self.memory.collected, again, "OLD", chance)
        await self.batch(
            "licenses",
            [an_old_license(number, version) for number, version in versions.items()],
            chance,
        )
        self.memory.collected |= versions

    async def send_supervision(self, chance: random.Random) -> None:
        """监管行为: acts of supervision, some in a further version."""
        again = some(self.memory.supervised, chance)
        versions = next_versions(self.memory.supervised, again, "S", chance)
        await self.batch(
            "supervision",
            [an_act_of_supervision(number, version) for number, version in versions.items()],
            chance,
        )
        self.memory.supervised |= versions

    async def batch(self, resource: str, records: Sequence[Any], chance: random.Random) -> None:
        """Send until there is a receipt, and sometimes once more.

        The receipt is then the same byte for byte.
        """
        number, (content, size, faulty) = uuid4().hex, with_faults(records)
        for _ in range(1 + chance.randrange(2)):
            # Signed anew each time, as a bureau's system would.
            signed = self.platform.partner.bureau.headers(
                content, size, number=number, resource=resource
            )
            answer = await self.client.send(
                "exchange-api",
                "POST",
                "/api/v1/exchange/batches",
                {**signed, **self.bureau},
                content,
            )
            assert answer.status == 201, answer
            sent = SentBatch(resource, size, faulty, answer.body)
            assert self.memory.batches.setdefault(number, sent) == sent, (
                "a repeat has the same receipt"
            )

    async def change_matter(self, chance: random.Random) -> None:
        """The next text of one of the other matters; the same text sent twice changes nothing."""
        number, alias = 1 + chance.randrange(OTHER_MATTERS), f"alias {chance.randrange(10**9)}"
        document = a_matter(number, alias)
        await publish(self.client, document)
        self.memory.texts[document.code or ""] = alias


def some(numbers: Iterable[str], chance: random.Random) -> list[str]:
    """At most two of what was sent before."""
    known = sorted(numbers)
    return chance.sample(known, min(2, len(known)))


def next_versions(
    known: dict[str, int], again: Iterable[str], prefix: str, chance: random.Random
) -> dict[str, int]:
    """Four numbers drawn at random and those to be sent again, each in the version that follows."""
    numbers = [*(f"{prefix}{chance.randrange(10**9)}" for _ in range(4)), *again]
    return {number: known.get(number, 0) + 1 for number in numbers}


async def patiently(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """Ask again while the platform does not know yet what is asked about.

    Returns the last answer in the end.
    """
    deadline = time.monotonic() + PATIENCE
    while (answer := await ask()).status == 404 and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
    return answer


def a_matter(number: int, alias: str) -> MatterDocument:
    """Matter 0 is the one that people apply for; the others change."""
    code = f"{CODE[:-2]}{number:02}"
    result = {
        "kind": "license",
        "type": "出证",
        "name": "食品经营许可证",
        "sample": "样本",
        "license_type_code": TYPE,
    }
    return a_document(code=code, catalog_code=code[19:], aliases=[alias], result=result)


async def publish(client: Client, document: MatterDocument) -> None:
    administrator = client.platform.caller(kind="staff", roles=["administrator"])
    content = document.model_dump_json().encode()
    answer = await client.send(
        "matters-api", "POST", "/api/v1/matters/catalogue-documents", administrator, content
    )
    assert answer.status == 200, answer
    assert answer.body["refused"] == 0, answer


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


def a_case_of_today(number: str, version: int) -> dict[str, Any]:
    """Closed today, so that whoever it was done for is invited to rate it."""
    today = clock.local_date(clock.now()).isoformat()
    days = {"received_on": today, "accepted_on": today, "closed_on": today}
    return {
        **a_pushed_case(number, 1),
        **days,
        "version": version,
        "matter_name": f"个体工商户登记 {version}",
    }


def an_act_of_supervision(number: str, version: int) -> dict[str, Any]:
    """Each version has another behaviour, so that a counter that counts twice shows."""
    return {
        "source_number": number,
        "version": version,
        "regulatory_code": "54011200010001",
        "behaviour": ("06", "02", "03", "10")[version % 4],
        "object": {"kind": "organisation", "number": DEPARTMENT},
        "done_on": "2026-03-10",
        "result": "合格",
        "officers": 2,
    }


def an_old_license(number: str, version: int) -> dict[str, Any]:
    holder = an_id_number(crc32(number.encode()) % 1000)
    fields = {"place": f"拉萨市城关区北京中路{version}号"}
    return collected(
        1, source_number=number, version=version, holder_id_number=holder, fields=fields
    )
