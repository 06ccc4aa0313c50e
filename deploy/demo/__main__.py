"""`make demo`, or `python -m deploy.demo [--target URL]`: play the story, print each step, end with 1 when a figure differs.

Without a target it plays on the platform on port 8000, and starts one of its own (in a folder that it removes) when none
runs. The recount needs the databases, so the platform must run on this machine.
"""

import asyncio
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from deploy.broker import die_with_parent
from deploy.demo import licences, peer, ratings, region, stage, story, subscriber
from deploy.demo.recount import recount
from deploy.demo.stage import Difference, Stage
from deploy.place import VAR, find_platform
from deploy.postgres import free_port
from deploy.sample.accounts import SYSTEM
from shared import clock
from shared.database import migrations

DEFAULT = "http://127.0.0.1:8000"
START_SECONDS = 120


async def play(target: str, under: Path) -> list[str]:
    """Play everything on the platform at `target`; the differences found."""
    found = find_platform(target, under)
    if found is None:
        raise SystemExit(
            f"no platform of this machine serves {target}; start one with make run or make stack"
        )
    place, state = found
    async with stage.on(place, state["databases"]) as scene:
        scene.say(f"Playing on {place.url} ({state['kind']})")
        try:
            await _scenes(scene)
        except (Difference, httpx.HTTPError) as error:
            scene.differences.append(f"the story stopped: {error or type(error).__name__}")
        return scene.differences


async def _scenes(scene: Stage) -> None:
    day = clock.local_date(clock.now())
    await story.import_catalogue(scene)
    citizen, old_man = story.invent(scene, "卓玛央金", 1), story.invent(scene, "边巴次仁", 2)
    await story.register(scene, citizen)
    await licences.collect(scene, citizen)
    market = await peer.register(scene, SYSTEM, ["cases"], subscriber.TYPES)
    listening = subscriber.Subscriber()
    pull = await subscriber.subscribe(scene, market, listening)
    guide = await story.find_guide(scene)
    held = await licences.match(scene, guide, citizen)
    _ = await story.decide(scene, citizen, guide, held)
    licence = await licences.issued_for(scene, citizen)
    listening.down()
    _ = await licences.withdraw(scene, citizen, licence)
    waiting = await story.take_in(scene, guide, old_man)
    await story.push(scene, market)
    await subscriber.catch_up(scene, market, listening, pull)
    (link,) = await ratings.invited(scene, citizen)
    rating = await ratings.rate(scene, citizen, link)
    await ratings.put_right(scene, citizen, link, rating)
    await ratings.publish(scene, citizen, rating)
    await region.reconcile(scene)
    await story.leave_alone(scene, waiting)
    await _count(scene, day)


async def _count(scene: Stage, day: date) -> None:
    """日报: equal to a recount of the services' own databases, before and after a rebuild."""
    scene.scene("The daily report, and a count of the services' own databases")
    counted = await recount(scene.databases, day)
    report = await _report_equal_to(scene, day, counted)
    totals: Counter[str] = Counter()
    for (_area, _department, measure), number in report.items():
        totals[measure] += number
    for measure, number in sorted(totals.items()):
        scene.say(f"   {measure}: {number}")
    scene.check("figures that differ from the recount", _differences(report, counted), {})
    frozen = await _publish(scene, day)
    scene.scene("Assessment's database is dropped; the facts are replayed")
    await _drop_assessment(scene.databases["assessment"])
    rebuilt = await _report_equal_to(scene, day, counted, seconds=180)
    scene.check("figures that differ after the replay", _differences(rebuilt, counted), {})
    path, query = f"/assessment/daily-reports/{day}", {"revision": frozen["revision"]}
    supervisor = await scene.officer(
        "supervisor"
    )  # Everybody else sees it without the figures of ratings.

    async def reopened() -> Any:
        answer = await scene.client.get(path, params=query, headers=supervisor)
        return answer.json() if answer.status_code == 200 else None

    again = await scene.until("the published report", reopened)
    scene.confirm("the published report is as it was published", again == frozen)


async def _report_equal_to(
    scene: Stage, day: date, counted: Counter[tuple[str, str, str]], seconds: float = 60
) -> Counter[tuple[str, str, str]]:
    """The live figures once they equal the count, or as they are when the time is over."""
    last: list[Counter[tuple[str, str, str]]] = [Counter()]

    async def ask() -> Any:
        try:
            last[0] = await story.live_figures(scene, day)
        except Difference:
            return None  # Its database is just being made anew.
        return last[0] if last[0] == counted else None

    try:
        return await scene.until("equal figures", ask, seconds)
    except Difference:
        return last[0]


def _differences(report: Counter[Any], counted: Counter[Any]) -> dict[str, Any]:
    cells = sorted(report.keys() | counted.keys())
    return {
        "/".join(cell): (report[cell], counted[cell])
        for cell in cells
        if report[cell] != counted[cell]
    }


async def _publish(scene: Stage, day: date) -> Any:
    """日发布, or a corrected revision when the day is published already."""
    supervisor, path = await scene.officer("supervisor"), f"/assessment/daily-reports/{day}"
    answer = await scene.client.post(
        f"{path}/publication", headers={**supervisor, **scene.once("publish")}
    )
    if answer.status_code == 409:
        reason, once = {"reason": "演示期间又有办件"}, scene.once("correct")
        return await scene.call(
            "POST", f"{path}/revisions", supervisor, status=201, json=reason, headers=once
        )
    return answer.raise_for_status().json()


async def _drop_assessment(url: str) -> None:
    """What an operator does: drop, create, migrate. The running workers notice the new database and fill it."""
    server, _, name = url.rpartition("/")
    connection = await asyncpg.connect(f"{server}/postgres")
    try:
        _ = await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        _ = await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()
    await asyncio.to_thread(asyncio.run, migrations.run_on(url, migrations.upgrade, "assessment"))


@contextmanager
def _own_platform() -> Generator[tuple[str, Path]]:
    """A platform of the demonstration's own, removed with its data at the end."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="tongban-demo-") as folder:
        print("No platform runs on port 8000: starting one for this demonstration …", flush=True)
        process = subprocess.Popen(
            [sys.executable, "-m", "deploy.embedded", "--data", folder, "--port", str(port)],
            stdout=subprocess.PIPE,
            preexec_fn=die_with_parent,
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if b"Tongban runs on" in line:
                    break
            else:
                raise SystemExit("the platform did not start")
            yield f"http://127.0.0.1:{port}", Path(folder)
        finally:
            process.send_signal(signal.SIGTERM)
            _ = process.communicate(timeout=60)


def main(arguments: list[str]) -> int:
    """`[--target URL]`."""
    options = dict(zip(arguments[::2], arguments[1::2], strict=False))
    target = options.get("--target") or DEFAULT
    if "--target" in options or find_platform(target) is not None:
        differences = asyncio.run(play(target, VAR))
    else:
        with _own_platform() as (url, under):
            differences = asyncio.run(play(url, under))
    print(
        f"\n{'Every figure is right.' if not differences else 'DIFFERENT: ' + '; '.join(differences)}"
    )
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
