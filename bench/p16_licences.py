"""P16: licences issued and signed for decided cases, collected, checked and printed.

All through the service, in process.

Issuing goes as it does behind the inbox: one transaction per decision, several at once, committed
to disk. Beside it stands `pgbench -N` on the same server in the same run, for what the machine
itself allows.
"""

import asyncio
import base64
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from statistics import median
from typing import Any
from uuid import uuid4

import httpx
import orjson
import uvloop
from fastapi import FastAPI

from bench.baseline import pgbench_tps, prepare_pgbench
from bench.harness import Figure, Options, at_least, at_most, run, say, scratch
from bench.stack_fixture import jwks
from deploy.postgres import EmbeddedPostgres
from deploy.sample import catalogue
from services.licenses import printing
from services.licenses.main import build
from services.licenses.model.identifiers import check_code
from services.licenses.model.record import LicenseRecord
from services.licenses.model.types import Bilingual, TypeDocument
from services.licenses.schemas.checks import CheckLicense
from services.licenses.settings import Settings
from services.licenses.use_cases import checks, collect, issue, types
from shared import clock
from shared.city import SAMPLE
from shared.database import migrations
from shared.database.guess_limits import GuessLimit
from shared.database.session import Database
from shared.domain import codes
from shared.events.cases import CaseDecided
from shared.events.exchange import RecordReceived
from shared.ids import new_id
from shared.runtime.gc_tuning import tune_gc
from shared.security.crypto import seal_for, use_key
from shared.security.tokens import StaticKeys, TokenVerifier

PAPER = "食品经营许可证"
AT_ONCE = 8
CHUNK = 1000
DATA_KEY = b"b" * 32
PLATFORM_KEY = b"p" * 32
LOTS = 10**9
BUDGET = GuessLimit(timedelta(hours=1), LOTS, LOTS)


@dataclass
class Office:
    """The licences service alone on a database of its own.

    It has the sample's type of a teahouse's licence.
    """

    app: FastAPI
    code: str
    issuer: str

    @property
    def database(self) -> Database:
        return self.app.state.database

    def decision(self, number: int) -> CaseDecided:
        holder = {
            "kind": "person",
            "name": "卓玛央金",
            "id_number": _id_number(number),
            "phone": "13989001234",
        }
        with use_key(DATA_KEY, platform=PLATFORM_KEY):
            sealed = seal_for(holder, "case.holder")
        return CaseDecided(
            case_id=new_id(),
            number=f"B{number}",
            area_code=catalogue.CITY,
            department_code=self.issuer,
            matter_id=uuid4(),
            matter_code=None,
            matter_name="我要开茶馆",
            matter_type="01",
            immediate=False,
            channel="pc",
            applicant_kind="person",
            account_id=None,
            result="0",
            decided_on=clock.local_date(clock.now()),
            overdue=False,
            license_type_code=self.code,
            holder=sealed,
            revision=5,
            occurred_at=clock.now(),
        )

    def chunk(self, number: int) -> RecordReceived:
        records = [
            {
                "source_number": f"JY{number:04}{row:06}",
                "version": 1,
                "type_code": self.code,
                "holder_kind": "person",
                "holder_name": "次仁旺堆",
                "holder_id_number": _id_number(row),
                "fields": {"place": "拉萨市城关区北京中路"},
                "issued_on": "2024-03-01",
                "valid_until": "2029-02-28",
            }
            for row in range(CHUNK)
        ]
        with use_key(DATA_KEY, platform=PLATFORM_KEY):
            sealed = seal_for(records, "exchange.records")
        return RecordReceived(
            batch_id=uuid4(),
            chunk=1,
            chunks=1,
            peer_code="bench",
            area_code=catalogue.CITY,
            department_code=self.issuer,
            resource="licenses",
            first_row=1,
            records=sealed,
            revision=1,
            occurred_at=clock.now(),
        )


def _id_number(n: int) -> str:
    first = f"540102{1950 + n // 336 % 50}{n // 28 % 12 + 1:02}{n % 28 + 1:02}{n % 1000:03}"
    return first + codes.id_check_character(first)


async def _open(postgres: EmbeddedPostgres) -> Office:
    dsn = postgres.dsn("tongban_licenses")
    settings = Settings(
        city_file=SAMPLE,
        database_url=dsn,  # pyright: ignore[reportArgumentType]
        data_key=base64.b64encode(DATA_KEY).decode(),  # pyright: ignore[reportArgumentType]
        platform_key=base64.b64encode(PLATFORM_KEY).decode(),  # pyright: ignore[reportArgumentType]
        jwks_url="http://127.0.0.1:1/unused",
        bus="local",
        bus_database_url=dsn,  # pyright: ignore[reportArgumentType]
        check_tries_per_address=LOTS,
        check_tries_per_number=LOTS,
    )
    await asyncio.to_thread(asyncio.run, migrations.run_on(dsn, migrations.upgrade, "licenses"))
    app = build(settings, verifier=TokenVerifier(StaticKeys(jwks()), issuer="tongban"))
    code = catalogue.license_type_codes()[PAPER]
    document = TypeDocument.model_validate(catalogue.license_types()[code])
    async with app.state.database.transaction() as session:
        _ = await types.publish_version(
            session, code, document=document, expected=None, publisher="bench", now=clock.now()
        )
    return Office(app, code, document.issuing_bodies[0].code)


async def _issue(office: Office, count: int) -> float:
    """Licences a second."""
    waiting = [office.decision(number) for number in range(count)]

    async def work() -> None:
        while waiting:
            event = waiting.pop()
            async with office.database.transaction() as session:
                await issue.issue_for_case(session, event, now=clock.now())

    started = time.perf_counter()
    _ = await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return count / (time.perf_counter() - started)


async def _collect(office: Office, chunks: int) -> float:
    """Records a second, one chunk after the other as the inbox takes them."""
    events = [office.chunk(number) for number in range(chunks)]
    started = time.perf_counter()
    for event in events:
        async with office.database.transaction() as session:
            await collect.collect_records(session, event, now=clock.now())
    return chunks * CHUNK / (time.perf_counter() - started)


async def _papers(office: Office) -> list[dict[str, str]]:
    """What stands on some of the issued papers."""
    connection = await office.database.connect()
    rows = await connection.fetch(
        "SELECT id, identifier FROM license WHERE origin = 'case' ORDER BY id LIMIT 500"
    )
    await connection.close()
    with use_key(DATA_KEY, platform=PLATFORM_KEY):
        return [{"identifier": row["identifier"], "code": check_code(row["id"])} for row in rows]


async def _check(office: Office, count: int) -> tuple[float, float]:
    """Checks a second through the app, and of the use case alone."""
    papers = await _papers(office)
    transport = httpx.ASGITransport(app=office.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://bench") as client:
        answer = await client.post("/api/v1/licenses/checks", json=papers[0])
        _ = answer.raise_for_status()
    through = await _rate(count, lambda n: _call(office.app, papers[n % len(papers)], n))
    return through, await _rate(count, lambda n: _look(office, papers[n % len(papers)], n))


async def _rate(count: int, act: Any) -> float:
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            await act(number)

    started = time.perf_counter()
    _ = await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return count / (time.perf_counter() - started)


async def _call(app: FastAPI, paper: dict[str, str], number: int) -> None:
    """One request as uvicorn would hand it on, from one of 250 addresses."""
    body, statuses = orjson.dumps(paper), list[int]()
    scope: dict[str, Any] = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/api/v1/licenses/checks",
        "raw_path": b"/api/v1/licenses/checks",
        "query_string": b"",
        "headers": [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ],
        "client": (f"10.0.0.{number % 250}", 1),
        "server": ("bench", 80),
    }

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await app(scope, receive, send)
    if statuses != [200]:
        raise SystemExit(f"a check failed: {statuses}")


async def _look(office: Office, paper: dict[str, str], number: int) -> None:
    command = CheckLicense.model_validate(paper)
    async with office.database.reading() as session:
        _ = await checks.check_license(
            session,
            command,
            address=f"10.1.0.{number % 250}",
            budget=BUDGET,
            now=clock.now(),
        )


def _pages(office: Office, count: int) -> list[float]:
    """Milliseconds of each page."""
    document = catalogue.license_types()[office.code]
    labels = {
        entry["name"]: Bilingual.model_validate(entry["label"]) for entry in document["fields"]
    }
    times: list[float] = []
    for number in range(count + 3):
        serial = f"20261127ABCD{number:08}"
        record: dict[str, Any] = {
            "identifier": f"1.2.156.3005.2.{office.code}.{office.issuer}.{serial}.001.A",
            "number": serial,
            "version": 1,
            "type": {"code": office.code, "version": 1, "name": document["name"]},
            "issuer": {"name": document["issuing_bodies"][0]["name"], "code": office.issuer},
            "holder": {
                "kind": "organisation",
                "name": "拉萨市城关区八廓甜茶馆",
                "number": "91540100MA6T1CCC1A",
            },
            "fields": {"place": f"拉萨市城关区八廓街{number}号", "scope": "热食类食品制售"},
            "issued_on": "2026-11-27",
            "valid_from": "2026-11-27",
        }
        url = f"https://zw.example.cn/check/{number:040}"
        page = printing.Page(
            record=LicenseRecord.model_validate(record),
            labels=labels,
            template="permit",
            digest="ab" * 32,
            check_url=url,
            check_code="7K3M9PXQ",
        )
        started = time.perf_counter()
        _ = printing.render(page)
        times.append((time.perf_counter() - started) * 1000)
    return times[3:]


async def _measure(postgres: EmbeddedPostgres, options: Options) -> dict[str, Any]:
    office = await _open(postgres)
    tune_gc()
    try:
        _ = await _issue(office, 50)
        say("issuing")
        issued = await _issue(office, options.pick(4000, 100))
        say("checking")
        through, alone = await _check(office, options.pick(4000, 100))
        say("collecting")
        collected = await _collect(office, options.pick(10, 1))
        say("printing")
        return {
            "issued": issued,
            "through": through,
            "alone": alone,
            "collected": collected,
            "pages": _pages(office, options.pick(100, 3)),
        }
    finally:
        await office.database.close()


def measure(options: Options) -> Sequence[Figure]:
    with scratch() as folder, EmbeddedPostgres(folder / "postgres") as postgres:
        postgres.create_databases(["tongban_licenses"])
        prepare_pgbench(postgres, options)
        tps = pgbench_tps(postgres, options)
        found = uvloop.run(_measure(postgres, options))
    return [
        at_least("licences issued and signed", found["issued"], "/s", 300, 1000),
        at_least("checks through the service", found["through"], "/s", 800, 2000),
        at_most("a page in PDF (median)", median(found["pages"]), "ms", 20, 10),
        at_least("old records collected", found["collected"], "/s", 2000, 2000),
        Figure("checks without HTTP", found["alone"], "/s"),
        Figure("pgbench -N -c10 beside it", tps, "tps"),
        Figure("issued ÷ pgbench", found["issued"] / tps, ""),
    ]


if __name__ == "__main__":
    run("P16", "licences issued, checked, collected, printed", measure)
