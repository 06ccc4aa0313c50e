"""Reconciliations over the API, and a worker that is killed in the middle of a repair."""

import asyncio
import os
import signal
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from deploy.postgres import free_port
from services.exchange.region.use_cases import reconciliations
from shared import clock
from shared.city import SAMPLE
from tests.conftest import (
    DATA_KEY,
    PLATFORM_KEY,
    ClientFactory,
    DatabaseFactory,
    Headers,
    TokenFactory,
    once,
)
from tests.exchange.batching import BASE
from tests.exchange.region import DAY, Link, a_case, many_cases, simulator

ROOT = Path(__file__).resolve().parents[2]
DAYS = {"resource": "cases", "first_day": str(DAY - timedelta(days=5)), "last_day": str(DAY)}
RUNS = f"{BASE}/reconciliations"


@pytest.fixture
def administrator(token: TokenFactory) -> Headers:
    return token(kind="staff", roles=["administrator"])


async def test_administrator_starts_follows_and_reads_a_reconciliation(
    client_of: ClientFactory, administrator: Headers
) -> None:
    client = await client_of("exchange")
    async with simulator() as control:
        link = Link(client.database, control)
        await link.enter()
        await link.take(many_cases(60))
        _ = await link.push()
        await control.plant("lose", *(a_case(n).number for n in (1, 2, 3)))
        await control.plant("newer", a_case(9).number)

        started = await client.post(RUNS, json=DAYS, headers=once(administrator))
        path = f"{RUNS}/{started.json()['id']}"
        early = await client.get(f"{path}/statement", headers=administrator)
        _ = await link.reconcile(UUID(started.json()["id"]))
        finished = (await client.get(path, headers=administrator)).json()
        first = (await client.get(f"{path}/differences?limit=3", headers=administrator)).json()
        rest = (
            await client.get(f"{path}/differences?cursor={first['next']}", headers=administrator)
        ).json()
        statement = (await client.get(f"{path}/statement", headers=administrator)).json()
        listed = (await client.get(RUNS, headers=administrator)).json()
        await link.close()

    assert (started.status_code, started.json()["state"]) == (201, "queued")
    assert early.status_code == 404
    assert (finished["state"], finished["equal"], finished["progress"]["repaired"]) == (
        "finished",
        False,
        3,
    )
    assert finished["progress"]["differences"] == {"MISSING_AT_PEER": 3, "PEER_NEWER": 1}
    assert [row["remedy"] for row in first["items"] + rest["items"]] == ["resend"] * 3 + ["ticket"]
    assert set(statement) == {"ours", "peer"}
    assert [run["id"] for run in listed["items"]] == [finished["id"]]


async def test_only_administrators_reconcile(client_of: ClientFactory, token: TokenFactory) -> None:
    client = await client_of("exchange")
    for stranger in (
        token(),
        token(kind="system", scope="exchange:push"),
        token(kind="staff", roles=["leader"]),
    ):
        assert (await client.post(RUNS, json=DAYS, headers=once(stranger))).status_code == 403
        assert (await client.get(RUNS, headers=stranger)).status_code == 403


@pytest.mark.parametrize(
    "changes",
    [
        {"resource": "licenses"},
        {"first_day": "2026-12-01"},
        {"first_day": "2020-01-01"},
        {"more": 1},
    ],
)
async def test_days_that_make_no_sense_are_refused(
    client_of: ClientFactory, administrator: Headers, changes: dict[str, Any]
) -> None:
    client = await client_of("exchange")

    assert (
        await client.post(RUNS, json={**DAYS, **changes}, headers=once(administrator))
    ).status_code == 400


async def test_hundred_approvals_are_one(client_of: ClientFactory, administrator: Headers) -> None:
    client = await client_of("exchange")
    run_id = (await client.post(RUNS, json=DAYS, headers=once(administrator))).json()["id"]
    refused = await client.post(f"{RUNS}/{run_id}/approval", headers=administrator)
    connection = await client.database.connect()
    _ = await connection.execute("UPDATE reconciliation SET state = 'needs_approval'")
    await connection.close()

    answers = await asyncio.gather(
        *(client.post(f"{RUNS}/{run_id}/approval", headers=administrator) for _ in range(100))
    )

    assert refused.status_code == 409
    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 99}


async def killed(point: tuple[str, str, int], environment: dict[str, str]) -> int:
    """Run the real worker until it is killed at `point`; its exit status."""
    target, when, number = point
    command = [
        sys.executable,
        "-m",
        "tests.faults.crash",
        target,
        when,
        str(number),
        "services.exchange.worker",
    ]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environment)
    async with asyncio.timeout(60):
        return await process.wait()


@pytest.mark.parametrize("point", [("repair", "before", 2), ("close", "after", 1)])
async def test_run_killed_in_its_middle_is_finished_by_the_next_worker(
    database_of: DatabaseFactory, empty_database: str, point: tuple[str, str, int]
) -> None:
    async with simulator() as control:
        link = Link(await database_of("exchange"), control)
        await link.enter()
        await link.take(many_cases(700))
        _ = await link.push()
        await control.plant("lose", *(a_case(n).number for n in range(600)))
        async with link.database.transaction() as session:
            first = DAY - timedelta(days=5)
            run = reconciliations.new_run(
                "cases", first=first, last=DAY, peer_code="region", actor="test", now=clock.now()
            )
            session.add(run)
        assert (await link.reconcile(run.id))["state"] == "needs_approval"
        async with link.database.transaction() as session:
            _ = await reconciliations.approve(session, run.id, actor="somebody", now=clock.now())
        environment = {
            "PATH": os.environ["PATH"],
            "EXCHANGE_DATABASE_URL": link.database.dsn,
            "EXCHANGE_DATA_KEY": DATA_KEY,
            "EXCHANGE_PLATFORM_KEY": PLATFORM_KEY,
            "EXCHANGE_JWKS_URL": "http://127.0.0.1:1/unused",
            "EXCHANGE_CITY_FILE": str(SAMPLE),
            "EXCHANGE_BUS": "local",
            "EXCHANGE_BUS_DATABASE_URL": empty_database,
            "EXCHANGE_WORKER_PORT": str(free_port()),
            "EXCHANGE_REGIONAL_URL": control.url,
        }

        name, when, number = point
        died = await killed(
            (f"services.exchange.region.use_cases.reconciliations:{name}", when, number),
            environment,
        )
        left = await link.value("SELECT state FROM reconciliation WHERE id = $1", run.id)
        # The lease of the dead worker, and of a push that it may have had in hand, run out.
        past = "now() - interval '1 second'"
        _ = await link.value(
            f"UPDATE reconciliation SET next_step_at = {past} WHERE state <> 'finished'"
        )
        finished = await link.reconcile(run.id)

        assert died == -signal.SIGKILL
        # The worker also takes the runs that its own timer plans: their end may come first.
        assert left in ({"waiting", "closing"} if name == "close" else {"repairing"})
        assert (finished["equal"], finished["progress"]["repaired"]) == (True, 600)
        assert await link.value("SELECT sum(rows) FROM push WHERE resource = 'cases'") == 1_300
        assert (await control.truth())["held"]["cases"] == 700
        await link.close()
