"""对账 in the story: the regional platform, a simulator in a process of its own, loses seven records."""

import asyncio
import base64
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import date, timedelta
from typing import Any

import httpx
import orjson

from deploy.broker import die_with_parent
from deploy.demo import peer
from deploy.demo.stage import Difference, Stage
from deploy.sample import catalogue
from shared import clock

LOST = 7
PUSHED = 997
"""At least what the bureau's system brought in this run."""


@asynccontextmanager
async def running(url: str) -> AsyncGenerator[httpx.AsyncClient]:
    """The simulator at `url`, ended afterwards; with a client for its control."""
    port = url.rpartition(":")[2]
    command = [sys.executable, "-m", "deploy.simulators.regional", "--port", port, "--seed", "7"]
    process = subprocess.Popen(command, preexec_fn=die_with_parent)
    try:
        async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as control:
            deadline = time.monotonic() + 30
            while not await _answers(control):
                if time.monotonic() > deadline or process.poll() is not None:
                    raise Difference("the simulator of the regional platform does not start")
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


async def reconcile(stage: Stage) -> None:
    """Everything is pushed; seven records are lost there; reconciliation finds and repairs exactly these."""
    stage.scene("The regional platform loses 7 records; reconciliation finds them")
    administrator = await stage.officer("administrator")
    async with running(stage.place.regional_url) as control:
        keys = (await control.get("/keys")).json()["keys"]
        body = {
            "name": "区一体化平台",
            "kind": "regional",
            "area_code": catalogue.CITY,
            "department_code": "region",
        }
        pinned = {"kid": keys[0]["kid"], "x": keys[0]["x"]}
        region = await peer.keep_peer(stage, administrator, "region", body, pinned)
        try:
            await _find_lost(stage, control)
        finally:
            versioned = {"If-Match": f'"{region["revision"]}"'}
            path = f"/exchange/peers/{region['id']}"
            off = {**body, "active": False}
            await stage.call("PUT", path, administrator, json=off, headers=versioned)


async def _find_lost(stage: Stage, control: httpx.AsyncClient) -> None:
    async def pushed() -> Any:
        held = (await control.get("/control/truth")).json()["held"]["cases"]
        return held if held >= PUSHED else None

    stage.say(
        f"   {await stage.until('the push to the region', pushed, 120)} cases were pushed in table form"
    )
    first = await _run(stage)
    stage.check("both sides equal before", first["equal"], True)
    held = (await control.get("/tables/up_pro_accept")).json()
    lost = sorted({row["project_no"] for row in held})[:LOST]
    planted = {"resource": "cases", "what": "lose", "keys": lost}
    _ = (await control.post("/control/plant", json=planted)).raise_for_status()
    run = await _run(stage)
    found = await _differences(stage, run["id"])
    stage.check("records found missing there", sorted(one["key"] for one in found), lost)
    stage.check("each of them repaired", {one["state"] for one in found}, {"done"})
    stage.check("both sides equal afterwards", run["equal"], True)
    statement = await stage.call(
        "GET",
        f"/exchange/reconciliations/{run['id']}/statement",
        await stage.officer("administrator"),
    )
    signed = [
        orjson.loads(base64.urlsafe_b64decode(statement[side].split(".")[1] + "=="))
        for side in ("ours", "peer")
    ]
    stage.confirm(
        "the statement is signed by both sides, and they agree", signed[1]["agreed"] is True
    )


async def _run(stage: Stage) -> Any:
    """A reconciliation of the last days, to its end."""
    administrator = await stage.officer("administrator")
    today: date = clock.local_date(clock.now())
    body = {
        "resource": "cases",
        "first_day": str(today - timedelta(days=30)),
        "last_day": str(today),
    }
    number = len(
        (
            await stage.call(
                "GET", "/exchange/reconciliations", administrator, params={"limit": 200}
            )
        )["items"]
    )
    once = stage.once(f"reconciliation-{number}")
    run = await stage.call(
        "POST", "/exchange/reconciliations", administrator, status=201, json=body, headers=once
    )
    path = f"/exchange/reconciliations/{run['id']}"

    async def ask() -> Any:
        seen = await stage.call("GET", path, administrator)
        if seen["state"] == "needs_approval":
            await stage.call("POST", f"{path}/approval", administrator)
        if seen["state"] == "failed":
            raise Difference(f"the reconciliation failed: {seen['failure']}")
        return seen if seen["state"] == "finished" else None

    return await stage.until("the end of the reconciliation", ask, 180)


async def _differences(stage: Stage, run_id: str) -> list[Any]:
    query = {"limit": 200}
    path = f"/exchange/reconciliations/{run_id}/differences"
    return (await stage.call("GET", path, await stage.officer("administrator"), params=query))[
        "items"
    ]
