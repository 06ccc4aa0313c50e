"""P8: cases and licences that come by signed batch.

Through the platform: from the first byte at the gateway over exchange, broker and the judging
service to the receipt of stage 2, on the production topology. Then the judging service alone, one
process: the chunks lie ready as exchange would send them, and the inbox of cases takes them in with
its real consumer and database, also beside a million cases of the past.

The pass values were set on a machine on which pgbench made 5,043 transactions a second; the same
for each of them is 0.397.
"""

import asyncio
import base64
import hashlib
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench import proc
from bench.baseline import pgbench_tps, prepare_pgbench
from bench.harness import Figure, Options, at_least, at_most, run, say, scratch
from bench.load import Client, request
from bench.seed_data import SeedData, cpu_usage, make_seed_data, running_stack
from deploy.postgres import EmbeddedPostgres
from deploy.sample import catalogue
from deploy.stack import Stack
from services.cases.consumer import consumer
from shared import clock
from shared.database import migrations
from shared.database.session import Database
from shared.domain.codes import id_check_character
from shared.events.base import seal, topic_of
from shared.events.exchange import RecordReceived
from shared.ids import new_id
from shared.messaging.bus import Record
from shared.messaging.inbox import Inbox
from shared.security.crypto import seal_for, use_key

ROWS = 200
"""Records of a chunk."""
POLL = 10
"""Chunks that come at once."""
DATA, PLATFORM = bytes(32), bytes(range(32))
CONTACT = {"name": "央金", "phone": "13900000001"}


def _record(number: int, contact: dict[str, str] | None) -> dict[str, Any]:
    return {
        "source_number": f"B-{number:07d}",
        "version": 1,
        "matter_code": "11540100MB0Q01904W3000117051000",
        "matter_name": "商品房预售许可",
        "matter_type": "01",
        "applicant_kind": "organisation",
        "state": "closed",
        "received_on": "2026-03-02",
        "accepted_on": "2026-03-03",
        "closed_on": "2026-03-10",
        "result": "0",
        "contact": contact,
    }


def _chunks(peer: str, count: int, contact: dict[str, str] | None) -> Iterator[Record]:
    """A batch as exchange hands it on."""
    batch = new_id()
    for n in range(count):
        records = [_record(n * ROWS + row, contact) for row in range(ROWS)]
        with use_key(DATA, platform=PLATFORM):
            sealed = seal_for(records, "exchange.records")
        event = RecordReceived(
            batch_id=batch,
            chunk=n + 1,
            chunks=count,
            peer_code=peer,
            area_code=catalogue.CITY,
            department_code=catalogue.department_code(catalogue.CITY, bureau="market"),
            resource="cases",
            first_row=n * ROWS + 1,
            records=sealed,
            revision=n + 1,
            occurred_at=clock.now(),
        )
        yield Record(topic_of(event.service), event.key, seal(event)[1], 0, n)


async def _take(database: Database, chunks: Sequence[Record]) -> float:
    """Records a second."""
    inbox = Inbox(database, None, consumer=consumer)  # pyright: ignore[reportArgumentType]
    started = time.perf_counter()
    for first in range(0, len(chunks), POLL):
        await inbox.take(chunks[first : first + POLL])
    return len(chunks) * ROWS / (time.perf_counter() - started)


def _memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def _measured(dsn: str, options: Options) -> tuple[dict[str, float], float]:
    await asyncio.to_thread(asyncio.run, migrations.run_on(dsn, migrations.upgrade, "cases"))
    database = Database(dsn, data_key=DATA, platform_key=PLATFORM, pool_size=2)
    count, found = options.pick(100, 5), dict[str, float]()
    _ = await _take(database, list(_chunks("warm", POLL, None)))
    chunks = list(_chunks("plain", count, None))
    before = _memory()
    say(f"{count * ROWS:,} records, then the same again, then with contacts")
    found["new"] = await _take(database, chunks)
    grown = _memory() - before
    found["known"] = await _take(database, list(_chunks("plain", count, None)))
    found["with a contact"] = await _take(database, list(_chunks("contact", count, CONTACT)))
    connection = await database.connect()
    assert (
        await connection.fetchval("SELECT count(*) FROM imported_case") == (2 * count + POLL) * ROWS
    )
    await connection.close()
    await database.close()
    return found, grown


FILL = (
    "INSERT INTO imported_case (area_code, department_code, source_system, source_number, case_id,"
    " version, revision, record, imported_at)"
    " SELECT area_code, department_code, 'fill', 'F-' || n, gen_random_uuid(),"
    " 1, 1, record, imported_at"
    " FROM generate_series($1::int, $2::int) n, (SELECT * FROM imported_case LIMIT 1) one"
)
"""A million cases of the past: what a further batch costs beside them."""


async def _growth(postgres: EmbeddedPostgres, options: Options) -> list[float]:
    """CPU seconds of everything per 1,000 records, with 100,000 and with 1,000,000 stored cases."""
    database = Database(
        postgres.dsn("tongban_cases"), data_key=DATA, platform_key=PLATFORM, pool_size=2
    )
    found, have, count = list[float](), 0, options.pick(50, 2)
    for number in options.pick((100_000, 1_000_000), (500, 5_000)):
        say(f"adding {number - have:,} cases of the past")
        connection = await database.connect()
        _ = await connection.execute("SET statement_timeout = 0")
        _ = await connection.execute(FILL, have + 1, number, timeout=300)
        _ = await connection.execute("VACUUM ANALYZE imported_case", timeout=300)
        await connection.close()
        have = number
        chunks = list(_chunks(f"grow-{number}", count, None))
        before = time.process_time() + proc.cpu_seconds(postgres.postmaster() or 0)
        _ = await _take(database, chunks)
        spent = time.process_time() + proc.cpu_seconds(postgres.postmaster() or 0) - before
        found.append(spent / (count * ROWS) * 1000)
    await database.close()
    return found


class Bureau:
    """A peer of a running platform that signs batches."""

    def __init__(self, seed: SeedData) -> None:
        self._seed = seed
        self._key = Ed25519PrivateKey.generate()
        self._account = str(new_id())
        self._client = Client(seed.stack.folder.url)
        self._system = seed.token(
            kind="system", sub=self._account, scope="exchange:push", area=catalogue.CITY
        )

    async def enter(self) -> None:
        """Register, and publish the type of the licences that are collected."""
        administrator = self._seed.token(kind="staff", roles=["administrator"])
        body = {
            "code": "bench",
            "name": "批次",
            "kind": "bureau",
            "account_id": self._account,
            "area_code": catalogue.CITY,
        }
        body |= {
            "department_code": catalogue.department_code(catalogue.CITY, bureau="police"),
            "area_codes": [catalogue.CITY],
        }
        body |= {"resources": ["cases", "licenses"]}
        peer = await self._client.json(
            "POST", "/api/v1/exchange/peers", body, idempotency_key="p", **administrator
        )
        raw = self._key.public_key().public_bytes_raw()
        x = base64.urlsafe_b64encode(raw).decode().rstrip("=")
        path, once = (
            f"/api/v1/exchange/peers/{peer['id']}/keys",
            {"idempotency_key": "k", "if_match": '"1"'},
        )
        _ = await self._client.json("POST", path, {"kid": "k1", "x": x}, **administrator, **once)
        types = catalogue.license_types()
        self.card = next(
            code for code, document in types.items() if document["name"]["zh"] == "居民身份证"
        )
        _ = await self._client.json(
            "PUT", f"/api/v1/licenses/types/{self.card}", types[self.card], **administrator
        )

    async def push(self, resource: str, *batches: Sequence[dict[str, Any]]) -> float:
        """Records a second from the first byte to the last receipt of stage 2.

        A batch is sent when the receipt of the last one is there.
        """
        started = time.perf_counter()
        sent = [await self._send(resource, records) for records in batches]
        for batch, records in zip(sent, batches, strict=True):
            await self._wait(batch, len(records))
        return sum(map(len, batches)) / (time.perf_counter() - started)

    async def _send(self, resource: str, records: Sequence[dict[str, Any]]) -> str:
        """The batch's id, from the receipt of stage 1."""
        body = b"".join(orjson.dumps(record) + b"\n" for record in records)
        number, created = new_id().hex, clock.now().isoformat()
        digest = f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"
        fields = (
            "tongban-batch/1",
            "bench",
            resource,
            catalogue.CITY,
            number,
            str(len(records)),
            digest,
            created,
        )
        signature = base64.b64encode(
            self._key.sign("".join(f"{field}\n" for field in fields).encode())
        ).decode()
        headers = {
            "batch_id": number,
            "batch_resource": resource,
            "batch_area": catalogue.CITY,
            "batch_records": str(len(records)),
            "batch_created": created,
            "batch_key_id": "k1",
            "batch_signature": signature,
            "content_digest": digest,
            "content_type": "application/x-ndjson",
        }
        sent = request("POST", "/api/v1/exchange/batches", body, **self._system, **headers)
        status, receipt = await self._client.ask(sent)
        if status != 201:
            raise SystemExit(
                f"the batch is answered {status}: {receipt[:500].decode(errors='replace')}"
            )
        return orjson.loads(base64.urlsafe_b64decode(receipt.split(b".")[1] + b"=="))["batch_id"]

    async def _wait(self, batch: str, number: int) -> None:
        while True:
            seen = await self._client.json(
                "GET", f"/api/v1/exchange/batches/{batch}", **self._system
            )
            if seen["state"] == "finished":
                break
            await asyncio.sleep(0.2)  # more often would be a load of its own
        if seen["accepted"] != number:
            raise SystemExit(f"only {seen['accepted']} of {number} were taken")


def _card(number: int, type_code: str) -> dict[str, Any]:
    year, month, day = 50 + number // 28000 % 50, 1 + number // 28 % 12, 1 + number % 28
    first = f"54010219{year:02d}{month:02d}{day:02d}{number // 336 % 1000:03d}"
    holder = {
        "holder_kind": "person",
        "holder_name": "旦增罗布",
        "holder_id_number": first + id_check_character(first),
    }
    return {
        "source_number": f"CARD-{number:07d}",
        "version": 1,
        "type_code": type_code,
        "issued_on": "2020-03-02",
        "valid_until": "2040-03-01",
        **holder,
    }


@dataclass
class Taken:
    """What went through the platform.

    Records a second, pgbench's transactions a second before and after, CPU milliseconds a record.
    """

    rate: float
    pgbench: float
    parts: dict[str, float]


async def _through_the_platform(stack: Stack, options: Options) -> dict[str, Taken]:
    """Send signed batches through the gateway, the broker and both workers.

    It ends when the last verdict is in the second receipt.
    """
    bureau, found = Bureau(await make_seed_data(stack, 1)), dict[str, Taken]()
    await bureau.enter()
    size, batches = options.pick(10_000, 200), options.pick(10, 5)
    sets: dict[str, Callable[[int], dict[str, Any]]] = {
        "cases": lambda n: _record(n, None),
        "licenses": lambda n: _card(n, bureau.card),
    }
    for kind, make in sets.items():
        _ = await bureau.push(kind, [make(n) for n in range(400)])
        await asyncio.sleep(
            options.pick(8.0, 0.0)
        )  # not the five seconds after which the gateway ends a connection
        tps = await asyncio.to_thread(pgbench_tps, stack.postgres, options)
        before = cpu_usage(stack)
        rate = await bureau.push(
            kind,
            *(
                [make(first + n) for n in range(size)]
                for first in range(1000, 1000 + size * batches, size)
            ),
        )
        parts = cpu_usage(stack).since(before).parts
        each = 1000 / (size * batches)
        tps = (tps + await asyncio.to_thread(pgbench_tps, stack.postgres, options)) / 2
        found[kind] = Taken(
            rate, tps, {name: spent * each for name, spent in parts.items() if spent > 0.05}
        )
        await asyncio.sleep(options.pick(15.0, 0.0))
    return found


def measure(options: Options) -> Sequence[Figure]:
    with running_stack() as stack:
        prepare_pgbench(stack.postgres, options)
        whole = uvloop.run(_through_the_platform(stack, options))
    with scratch() as folder, EmbeddedPostgres(folder / "postgres") as postgres:
        postgres.create_databases(["tongban_cases"])
        found, grown = uvloop.run(_measured(postgres.dsn("tongban_cases"), options))
        small, large = uvloop.run(_growth(postgres, options))
    return [
        *(
            at_least(f"{name} by signed batch, to the last verdict", taken.rate, "/s", 2_000, 5_000)
            for name, taken in whole.items()
        ),
        *(
            at_least(
                f"{name} for each transaction of pgbench -N -c10",
                taken.rate / taken.pgbench,
                "×",
                0.397,
                0.99,
            )
            for name, taken in whole.items()
        ),
        at_least("cases, the judging service alone", found.pop("new"), "/s", 2_000, 5_000),
        at_most("CPU at 10 × the cases taken in before (P18)", large / small, "×", 1.3, 1.1),
        *(
            Figure(f"cases, the judging service alone, {name}", rate, "/s")
            for name, rate in found.items()
        ),
        *(
            Figure(f"CPU per record of {name}: {part}", spent, "ms")
            for name, taken in whole.items()
            for part, spent in taken.parts.items()
        ),
        *(
            Figure(f"pgbench -N -c10 around {name}", taken.pgbench, "tps")
            for name, taken in whole.items()
        ),
        Figure("memory that the batch has taken", grown, "MiB"),
        Figure("CPU per 1,000 at 1,000,000 cases", large, "s"),
    ]


if __name__ == "__main__":
    run(
        "P8",
        "cases and licences by signed batch, through the platform and in the judging service alone",
        measure,
    )
