"""对账 in the scenario: the regional platform, simulated, loses seven records."""

import asyncio
import base64
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta

import httpx
import orjson

from deploy.broker import die_with_parent
from deploy.demo import peer
from deploy.demo.answers import (
    Page,
    PublicKey,
    Reconciliation,
    RecordDifference,
    Statement,
)
from deploy.demo.context import ALL, DemoContext, ScenarioError, if_match
from deploy.demo.peer import Record
from deploy.postgres import is_free
from deploy.sample import catalogue
from shared import clock

LOST = 7
PUSHED = 997
"""At least what the bureau's system brought in this run."""


@asynccontextmanager
async def running_simulator(url: str) -> AsyncGenerator[httpx.AsyncClient]:
    """A simulator at `url` while the block runs, and a client for its control.

    Raises: `ScenarioError`.
    """
    port = url.rpartition(":")[2]
    if not is_free(int(port)):
        raise ScenarioError(f"port {port}, where the region is simulated, is taken; free it first")
    command = [sys.executable, "-m", "deploy.simulators.regional", "--port", port, "--seed", "7"]
    process = subprocess.Popen(command, preexec_fn=die_with_parent)
    try:
        async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as control:
            deadline = time.monotonic() + 90
            while not await _answers(control):
                if time.monotonic() > deadline or process.poll() is not None:
                    raise ScenarioError("the simulator of the regional platform does not start")
                await asyncio.sleep(0.1)
            yield control
    finally:
        process.terminate()
        _ = process.wait(10)


async def _answers(control: httpx.AsyncClient) -> bool:
    try:
        return (await control.get("/keys")).is_success
    except httpx.HTTPError:
        return False


async def reconcile(demo: DemoContext) -> None:
    """Push, reconcile, lose seven there, reconcile: exactly seven are found and repaired."""
    demo.section("The regional platform loses 7 records; reconciliation finds them")
    body: Record = {
        "name": "区一体化平台",
        "kind": "regional",
        "area_code": catalogue.CITY,
        "department_code": "region",
    }
    async with running_simulator(demo.regional_url) as control:
        keys: list[PublicKey] = (await control.get("/keys")).json()["keys"]
        pinned: PublicKey = {"kid": keys[0]["kid"], "x": keys[0]["x"]}
        region = await peer.upsert_peer(demo, "region", body=body, key=pinned)
        try:
            await _find_lost(demo, control)
        finally:
            # The simulator goes away; the platform must not push to it for ever.
            _ = await demo.send(
                "PUT",
                path=f"/exchange/peers/{region['id']}",
                who=await demo.sign_in("administrator"),
                headers=if_match(region["revision"]),
                json={**body, "active": False},
            )


async def _find_lost(demo: DemoContext, control: httpx.AsyncClient) -> None:
    async def ask() -> int | None:
        held: int = (await control.get("/control/truth")).json()["held"]["cases"]
        return held if held >= PUSHED else None

    pushed = await demo.until("the push to the region", ask, seconds=120)
    demo.say(f"   {pushed} cases were pushed in table form")
    first = await _run(demo)
    demo.check("both sides equal before", first["equal"], expected=True)
    held = (await control.get("/tables/up_pro_accept")).json()
    lost = sorted({row["project_no"] for row in held})[:LOST]
    planted = {"resource": "cases", "what": "lose", "keys": lost}
    _ = (await control.post("/control/plant", json=planted)).raise_for_status()
    run = await _run(demo)
    found = await _differences(demo, run)
    missing = sorted(one["key"] for one in found)
    demo.check("records found missing there", missing, expected=lost)
    states = {one["state"] for one in found}
    demo.check("each of them repaired", states, expected={"done"})
    demo.check("both sides equal afterwards", run["equal"], expected=True)
    await _check_statement(demo, run)


async def _check_statement(demo: DemoContext, run: Reconciliation) -> None:
    administrator = await demo.sign_in("administrator")
    path = f"/exchange/reconciliations/{run['id']}/statement"
    statement: Statement = (await demo.get(path, who=administrator)).json()
    signed = [_payload(statement["ours"]), _payload(statement["peer"])]
    agreed = orjson.loads(signed[1])["agreed"] is True
    demo.confirm("the statement is signed by both sides, and they agree", agreed)


def _payload(jws: str) -> bytes:
    return base64.urlsafe_b64decode(jws.split(".")[1] + "==")


async def _run(demo: DemoContext) -> Reconciliation:
    """A reconciliation of the last days, to its end."""
    administrator = await demo.sign_in("administrator")
    today = clock.local_date(clock.now())
    first_day = today - timedelta(days=30)
    path = "/exchange/reconciliations"
    known: Page[Reconciliation] = (await demo.get(path, who=administrator, params=ALL)).json()
    answer = await demo.post(
        path,
        who=administrator,
        headers=demo.once(f"reconciliation-{len(known['items'])}"),
        json={"resource": "cases", "first_day": str(first_day), "last_day": str(today)},
        status=201,
    )
    run: Reconciliation = answer.json()
    own_path = f"{path}/{run['id']}"

    async def ask() -> Reconciliation | None:
        seen: Reconciliation = (await demo.get(own_path, who=administrator)).json()
        # Above a size repairs need an administrator's yes.
        if seen["state"] == "needs_approval":
            _ = await demo.post(f"{own_path}/approval", who=administrator)
        if seen["state"] == "failed":
            raise ScenarioError(f"the reconciliation failed: {seen['failure']}")
        return seen if seen["state"] == "finished" else None

    return await demo.until("the end of the reconciliation", ask, seconds=180)


async def _differences(demo: DemoContext, run: Reconciliation) -> list[RecordDifference]:
    administrator = await demo.sign_in("administrator")
    path = f"/exchange/reconciliations/{run['id']}/differences"
    page: Page[RecordDifference] = (await demo.get(path, who=administrator, params=ALL)).json()
    return page["items"]
