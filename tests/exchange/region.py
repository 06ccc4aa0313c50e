"""The simulated region as a process, a ledger filled by facts, and the worker that talks to it."""

import asyncio
import random
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import orjson

from deploy.postgres import free_port
from services.exchange.consumer import consumer
from services.exchange.peers.model import PeerKey, PeerKind
from services.exchange.region.http_client import HttpRegion
from services.exchange.region.timers import Regional
from services.exchange.settings import Settings
from shared import clock
from shared.database.session import Database
from shared.events.base import Event
from shared.events.cases import CaseAccepted, CaseClosed, CaseDecided, CaseReceived
from shared.events.ratings import RatingSubmitted
from shared.ids import new_id
from shared.messaging.inbox import Inbox
from tests.builders.events import a_record
from tests.builders.matters import CITY, DEPARTMENT
from tests.conftest import DATA_KEY, PLATFORM_KEY
from tests.exchange.batching import Bureau

DAY = date(2026, 11, 20)


class Control:
    """The simulator's control endpoints."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = httpx.AsyncClient(base_url=url, timeout=30, trust_env=False)

    async def plant(self, what: str, *keys: str, resource: str = "cases") -> None:
        body = {"resource": resource, "what": what, "keys": keys}
        _ = (await self.http.post("/control/plant", json=body)).raise_for_status()

    async def faults(self, **faults: float) -> None:
        _ = (await self.http.post("/control/faults", json=faults)).raise_for_status()

    async def truth(self) -> dict[str, Any]:
        return (await self.http.get("/control/truth")).json()

    async def table(self, name: str) -> list[dict[str, Any]]:
        return (await self.http.get(f"/tables/{name}")).json()


@asynccontextmanager
async def simulator(*options: str) -> AsyncGenerator[Control]:
    port = free_port()
    command = [sys.executable, "-m", "deploy.simulators.regional", "--port", str(port), *options]
    process = await asyncio.create_subprocess_exec(*command)
    control = Control(f"http://127.0.0.1:{port}")
    try:
        for _ in range(200):
            try:
                _ = await control.truth()
                break
            except httpx.TransportError:
                await asyncio.sleep(0.1)
        yield control
    finally:
        await control.http.aclose()
        process.terminate()
        _ = await process.wait()


def settings_for(url: str, **changes: Any) -> Settings:
    return Settings(
        database_url="postgresql://unused",
        data_key=DATA_KEY,
        platform_key=PLATFORM_KEY,
        jwks_url="http://127.0.0.1:1/unused",
        bus="local",
        bus_database_url="postgresql://unused",
        regional_url=url,
        **{"regional_rows_per_second": 1_000_000, **changes},
    )


class Link:
    """The service's half towards one region."""

    def __init__(self, database: Database, control: Control) -> None:
        self.database = database
        self.control = control
        self.settings = settings_for(control.url)
        self.region = HttpRegion(control.url)
        self.regional = Regional(self.region, self.settings)

    async def enter(self) -> None:
        """Register the region as a peer, with the key that it signs with pinned."""
        keys = (await self.control.http.get("/keys")).json()["keys"]
        bureau = Bureau(code="region")
        _ = await bureau.enter(
            self.database,
            keys=[PeerKey(**key) for key in keys],
            kind=PeerKind.REGIONAL,
            name="区一体化平台",
        )

    async def take(self, events: Sequence[Event]) -> None:
        await Inbox(self.database, None, consumer=consumer).take(
            [a_record(event) for event in events]
        )  # pyright: ignore[reportArgumentType]

    async def push(self) -> int:
        """Push until nothing waits any more."""
        sent = 0
        for _ in range(200):
            sent += await self.regional.push_records(self.database, clock.now())
            if (
                await self.value(
                    "SELECT count(*) FROM ledger WHERE push_state IN ('waiting', 'sent')"
                )
                == 0
            ):
                break
            _ = await self.value(
                "UPDATE push SET next_attempt_at = now() - interval '1 second' WHERE state = 'sent'"
            )
            await asyncio.sleep(0.05)
        return sent

    async def value(self, statement: str, *arguments: Any) -> Any:
        connection = await self.database.connect()
        try:
            return await connection.fetchval(statement, *arguments)
        finally:
            await connection.close()

    async def rows(self, statement: str, *arguments: Any) -> list[Any]:
        connection = await self.database.connect()
        try:
            return await connection.fetch(statement, *arguments)
        finally:
            await connection.close()

    async def reconcile(self, run_id: UUID, *, until: str = "finished") -> dict[str, Any]:
        """Take steps, push in between, until the run is there."""
        for _ in range(100):
            _ = await self.regional.reconcile(self.database, clock.now())
            row = (await self.rows("SELECT * FROM reconciliation WHERE id = $1", run_id))[0]
            if row["state"] in {until, "finished", "failed", "needs_approval"}:
                return {**row, "progress": orjson.loads(row["progress"])}
            _ = await self.push()
            _ = await self.value(
                "UPDATE reconciliation SET next_step_at = now() - interval '1 second'"
                " WHERE id = $1",
                run_id,
            )
        raise AssertionError(f"the run does not end: {dict(row)}")

    async def differences(self, run_id: UUID) -> dict[str, tuple[str, str, str, bool]]:
        rows = await self.rows(
            "SELECT key, kind, cause, remedy, residual FROM reconciliation_difference"
            " WHERE run_id = $1",
            run_id,
        )
        return {
            row["key"]: (row["kind"], row["cause"], row["remedy"], row["residual"]) for row in rows
        }

    async def close(self) -> None:
        await self.region.close()


def a_case(number: int, day: date = DAY, **changes: Any) -> CaseReceived:
    moment = datetime(day.year, day.month, day.day, 3, 0, tzinfo=UTC) + timedelta(
        seconds=number % 3600
    )
    values: dict[str, Any] = {
        "case_id": new_id(),
        "number": f"5401{number:08}",
        "area_code": CITY,
        "department_code": DEPARTMENT,
        "matter_id": None,
        "matter_code": "11540100MB0Q01905U4000131001000",
        "matter_name": "食品经营许可",
        "matter_type": "01",
        "immediate": False,
        "channel": "window",
        "applicant_kind": "person",
        "account_id": None,
        "revision": 2,
        "occurred_at": moment,
        "received_on": day,
        "acceptance_due_on": day + timedelta(days=7),
    }
    return CaseReceived(**{**values, **changes})


def _next(case: CaseReceived, kind: type[Event], revision: int, **fields: Any) -> Any:
    about = case.model_dump(
        exclude={"received_on", "acceptance_due_on", "license_materials", "licenses_used"}
    )
    return kind(
        **{
            **about,
            "revision": revision,
            "occurred_at": case.occurred_at + timedelta(hours=revision),
            **fields,
        }
    )


def a_life(case: CaseReceived) -> list[Event]:
    """The case is accepted, decided and closed."""
    day = case.received_on
    due = {"promised_due_on": day + timedelta(days=9), "legal_due_on": day + timedelta(days=30)}
    return [
        case,
        _next(case, CaseAccepted, 3, accepted_on=day, deemed=False, **due),
        _next(
            case, CaseDecided, 4, result="0", decided_on=day, overdue=False, license_type_code=None
        ),
        _next(case, CaseClosed, 5, state="closed", result="0", closed_on=day, overdue=False),
    ]


def many_cases(number: int, days: int = 3, seed: int = 1) -> list[Event]:
    """Cases over some days, some of them through their life."""
    chance = random.Random(seed)
    events: list[Event] = []
    for n in range(number):
        case = a_case(n, DAY - timedelta(days=n % days))
        events += a_life(case)[: chance.randint(1, 4)]
    return events


def a_rating(**changes: Any) -> RatingSubmitted:
    values: dict[str, Any] = {
        "subject_id": new_id(),
        "rating_id": new_id(),
        "case_id": None,
        "case_number": "540100000001",
        "service_number": 1,
        "stage": "closing",
        "area_code": CITY,
        "department_code": DEPARTMENT,
        "matter_id": None,
        "matter_code": None,
        "matter_name": None,
        "hall": None,
        "window": None,
        "grade": 5,
        "tags": ["510", "511"],
        "contents": {},
        "pf": "2",
        "sub_channel": "app",
        "real_name": True,
        "text": "很好",
        "rated_on": DAY,
        "revision": 2,
        "occurred_at": clock.now(),
    }
    return RatingSubmitted(**{**values, **changes})
