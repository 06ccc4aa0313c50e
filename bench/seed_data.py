"""A running platform to measure: the production topology with data.

One matter is published; citizens and officers have tokens.

The limits per caller are lifted, because one client here stands for a crowd; everything else runs
as in production.
"""

import base64
import itertools
import random
import socket
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from joserfc.jwk import OKPKey

from bench import proc
from bench.harness import Options, say, scratch
from bench.load import Client, request
from deploy.run_folder import RunFolder
from deploy.sample import catalogue
from deploy.stack import Stack
from services.identity.use_cases.keys import ensure_keys
from shared import clock
from shared.database.session import Database
from shared.ids import new_id
from shared.security.tokens import AUDIENCE, sign_access_token

NO_LIMITS = {
    "GATEWAY_RATE_PER_CALLER": "1000000",
    "GATEWAY_RATE_PER_ADDRESS": "1000000",
    "GATEWAY_BURST": "1000000",
    "GATEWAY_RATE_PER_CLIENT": "1000000",
    "GATEWAY_MAX_PER_ADDRESS": "1000000",
}
APPLICANT = {
    "kind": "person",
    "name": "卓玛央金",
    "id_number": "540102199001010011",
    "phone": "13989001234",
}
PDF = b"%PDF-1.7 synthetic"
OFFSETS = range(4000, 20000, 250)


def a_matter() -> dict[str, Any]:
    """A matter of the sample with three required materials and nothing asked."""
    return next(
        document
        for document in catalogue.documents()
        if len(document["materials"]) == 3
        and not document.get("questions")
        and not any(material.get("conditional") for material in document["materials"])
    )


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def free_run_folder(data: Any) -> RunFolder:
    """A gateway port from which all the others, at their fixed distances, are free too."""
    for offset in random.sample(OFFSETS, len(OFFSETS)):
        if all(_is_free(8000 + offset + step) for step in (0, *range(101, 108), *range(201, 208))):
            return RunFolder(data, 8000 + offset)
    raise SystemExit("no free ports for a platform")


@contextmanager
def running_stack(postgres: Mapping[str, str] | None = None) -> Generator[Stack]:
    """The production topology on this machine, in a folder of its own, gone afterwards."""
    with scratch() as folder:
        stack = Stack(free_run_folder(folder), settings=NO_LIMITS, postgres=postgres)
        say("starting PostgreSQL, Kafka and every process")
        with stack:
            yield stack


@dataclass
class CpuUsage:
    """CPU seconds by part."""

    parts: dict[str, float]

    def since(self, before: "CpuUsage") -> "CpuUsage":
        return CpuUsage({name: value - before.parts[name] for name, value in self.parts.items()})

    def each(self, count: int) -> dict[str, float]:
        """CPU milliseconds a request of the gateway, the APIs, the workers and PostgreSQL."""
        shares = {"gateway": 0.0, "APIs": 0.0, "workers": 0.0, "postgres": 0.0}
        for name, value in self.parts.items():
            kind = "APIs" if "-api" in name else "workers" if "-worker" in name else name
            if kind in shares:
                shares[kind] += value / count * 1000
        return shares

    @property
    def total(self) -> float:
        """Of everything that is ours or PostgreSQL; the broker is told apart."""
        return sum(value for name, value in self.parts.items() if name != "kafka")


def cpu_usage(stack: Stack) -> CpuUsage:
    """CPU seconds of every part of the platform so far."""
    parts = {name: proc.cpu_seconds(process.pid) for name, process in stack.running.items()}
    parts["postgres"] = proc.cpu_seconds(stack.postgres.postmaster())
    parts["kafka"] = proc.cpu_seconds(stack.kafka.pid)
    return CpuUsage(parts)


@dataclass
class SeedData:
    """A running stack with citizens who have tokens, and one matter that takes applications."""

    stack: Stack
    key: OKPKey
    kid: str
    guide: dict[str, Any] = field(default_factory=dict[str, Any])
    citizens: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    applications: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    place: dict[str, str] = field(default_factory=dict[str, str])
    _numbers: Any = field(default_factory=itertools.count)

    def token(self, **claims: Any) -> dict[str, str]:
        """Header of a caller, signed with the key of this platform's identity service."""
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
        return {"authorization": f"Bearer {sign_access_token(self.key, self.kid, claims=claims)}"}

    def officer(self, *roles: str) -> dict[str, str]:
        """A staff member of the department that the matter belongs to."""
        area, department = self.place["area_code"], self.place["department_code"]
        return self.token(kind="staff", roles=list(roles), area=area, department=department)

    def application(self, number: int) -> bytes:
        """The next application of citizen `number`.

        It has a key of its own, so it creates a case of its own.
        """
        citizen = number % len(self.citizens)
        keyed = {**self.citizens[citizen], "idempotency_key": f"bench-{next(self._numbers)}"}
        return request("POST", "/api/v1/cases/applications", self.applications[citizen], **keyed)

    async def apply(self, client: Client, number: int = 0) -> dict[str, Any]:
        """One application, as data for what follows."""
        status, body = await client.ask(self.application(number))
        if status != 201:
            raise SystemExit(
                f"an application is answered {status}: {body[:500].decode(errors='replace')}"
            )
        return orjson.loads(body)


async def make_seed_data(stack: Stack, citizens: int = 10) -> SeedData:
    """Publish the sample's matter through the API, and add `citizens` citizens with uploads."""
    key = await _signing_key(stack)
    seed = SeedData(stack, key, str(key.kid))
    client = Client(stack.folder.url)
    document = a_matter()
    seed.place = {name: document[name] for name in ("area_code", "department_code")}
    administrator = seed.token(kind="staff", roles=["administrator"])
    _ = await client.json(
        "PUT", "/api/v1/matters/directory", catalogue.directory(), **administrator
    )
    lines = orjson.dumps(document)
    report = await client.json(
        "POST", "/api/v1/matters/catalogue-documents", lines, **administrator
    )
    assert report["accepted"] == 1, report
    found = await client.json("GET", f"/api/v1/matters/catalogue?area={document['area_code']}")
    wish = {"matter_id": found["items"][0]["id"], "answers": {}}
    seed.guide = await client.json("POST", "/api/v1/matters/personal-guides", wish)
    await _wait_for_copy(stack, UUID(seed.guide["matter_id"]))
    for _ in range(citizens):
        await _add_citizen(seed, client)
    client.close()
    return seed


async def _signing_key(stack: Stack) -> OKPKey:
    database = Database(
        stack.postgres.dsn("tongban_identity"),
        data_key=base64.b64decode(stack.folder.key("data")),
        pool_size=1,
    )
    try:
        async with database.transaction() as session:
            key = await ensure_keys(session, clock.now())
            return OKPKey.import_key({**orjson.loads(key.private_key), "kid": key.kid})
    finally:
        await database.close()


async def _wait_for_copy(stack: Stack, matter_id: UUID) -> None:
    """The publication travels to cases as an event."""
    connection = await asyncpg.connect(stack.postgres.dsn("tongban_cases"))
    try:
        for _ in range(300):
            if await connection.fetchval(
                "SELECT true FROM matter_copy WHERE matter_id = $1", matter_id
            ):
                return
            _ = await connection.execute("SELECT pg_sleep(0.1)")
        raise SystemExit("the published matter did not reach cases within 30 s")
    finally:
        await connection.close()


async def _add_citizen(seed: SeedData, client: Client) -> None:
    """A citizen with an upload for each material of the guide."""
    citizen = seed.token()
    materials = [
        {
            "code": m["code"],
            "upload_id": (await client.json("POST", "/api/v1/cases/uploads", PDF, **citizen))["id"],
        }
        for m in seed.guide["materials"]
    ]
    assert len(materials) == 3, materials
    seed.citizens.append(citizen)
    seed.applications.append(
        {
            "matter_id": seed.guide["matter_id"],
            "matter_version": seed.guide["version"],
            "answers": {},
            "guide_digest": seed.guide["digest"],
            "applicant": APPLICANT,
            "materials": materials,
            "channel": "mobile",
        }
    )


def seconds(options: Options, whole: float = 20.0) -> float:
    """Length of one measurement."""
    return options.pick(whole, 1.5)
