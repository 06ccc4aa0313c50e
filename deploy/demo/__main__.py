"""`make demo`, or `python -m deploy.demo --help`: play the scenario, print each step.

It ends with status 1 when a figure differs. Without a target it plays on the platform on port
8000. When none runs there it starts one in a folder that it removes afterwards.

A platform of this machine is found by its folder. Any other development system is reached by its
address and the file of its sample accounts (`--accounts`); what is counted again from the databases
then needs `--recount` and their addresses in the environment (`<SERVICE>_DATABASE_URL`). The
demonstration listens for events on 127.0.0.1, so exchange must be able to reach it there.
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
from typing import Annotated

import httpx
import typer

from deploy.broker import die_with_parent
from deploy.command_line import explained_errors, new_command
from deploy.demo import licenses, peer, ratings, region, scenario, subscriber
from deploy.demo.answers import Case, DailyReport
from deploy.demo.context import DemoContext, ScenarioError, Target, open_demo
from deploy.demo.scenario import Cell, Citizen
from deploy.errors import DeployError
from deploy.operate.rebuild import rebuild
from deploy.operate.recount.figures import count_day
from deploy.postgres import free_port
from deploy.processes import GATEWAY_PORT, REGION_PORT_OFFSET, SERVICES
from deploy.run_folder import VAR, find_platform
from deploy.sample.accounts import SYSTEM
from shared import clock
from shared.settings import database_url

DEFAULT = f"http://127.0.0.1:{GATEWAY_PORT}"


def find_target(url: str, under: Path) -> Target:
    """The platform of this machine at `url`, with its data below `under`. Raises: `DeployError`."""
    platform = find_platform(url, under)
    if platform is None:
        raise DeployError(
            f"本机没有平台提供 {url}:请用 make run 或 make stack 启动一个,"
            "或者用 ACCOUNTS=文件 指出另一平台的示例账号。\n"
            f"no platform of this machine serves {url}; start one with make run or make stack,"
            " or name the sample accounts of another one: ACCOUNTS=FILE"
        )
    folder = platform.folder
    return Target(folder.url, folder.account_file, folder.regional_url, platform.databases)


async def play(target: Target) -> list[str]:
    """Play everything on a platform. Returns the differences that were found."""
    async with open_demo(target) as demo:
        demo.say(f"Playing on {target.url}")
        try:
            await _play_sections(demo)
        except (ScenarioError, httpx.HTTPError) as error:
            demo.differences.append(f"the scenario stopped: {error or type(error).__name__}")
        return demo.differences


async def _play_sections(demo: DemoContext) -> None:
    day = clock.local_date(clock.now())
    await scenario.import_catalogue(demo)
    citizen = scenario.invent_citizen(demo, "卓玛央金", number=1)
    visitor = scenario.invent_citizen(demo, "边巴次仁", number=2)
    await scenario.register(demo, citizen)
    await licenses.collect(demo, citizen)
    waiting = await _play_cases(demo, citizen, visitor=visitor)
    await _play_rating(demo, citizen)
    await region.reconcile(demo)
    await scenario.let_deadlines_pass(demo, waiting)
    await _count(demo, day)


async def _play_cases(demo: DemoContext, citizen: Citizen, *, visitor: Citizen) -> Case:
    """Cases and their events. Returns the visitor's case, which nobody has handled yet."""
    market = await peer.register(demo, SYSTEM, resources=["cases"], types=subscriber.TYPES)
    listener = subscriber.Subscriber()
    pull = await subscriber.subscribe(demo, market, subscriber=listener)
    guide = await scenario.find_guide(demo)
    held = await licenses.match(demo, guide, citizen=citizen)
    _ = await scenario.decide(demo, citizen, guide=guide, licenses=held)
    license_ = await licenses.issued_for(demo, citizen)
    # From here on its events have to wait.
    listener.stop()
    await licenses.use_and_cancel(demo, citizen, license_=license_)
    waiting = await scenario.apply_at_window(demo, guide, visitor=visitor)
    await scenario.push(demo, market)
    await subscriber.catch_up(demo, market, subscriber=listener, pull=pull)
    return waiting


async def _play_rating(demo: DemoContext, citizen: Citizen) -> None:
    (token,) = await ratings.invited(demo, citizen)
    rating = await ratings.rate(demo, citizen, token=token)
    await ratings.rectify(demo, citizen, token=token, rating=rating)
    await ratings.publish(demo, citizen, rating=rating)


async def _count(demo: DemoContext, day: date) -> None:
    """日报: equal to a recount of the services' own databases, before and after a rebuild."""
    if not demo.databases:
        demo.section("Not counted again: that needs --recount and the databases")
        return
    demo.section("The daily report, and a count of the services' own databases")
    # From here on nothing of the day changes, so the two must become equal.
    counted = await count_day(demo.databases, day)
    figures = await _figures_equal_to(demo, counted, day=day)
    totals: Counter[str] = Counter()
    for (_area, _department, measure), number in figures.items():
        totals[measure] += number
    for measure, number in sorted(totals.items()):
        demo.say(f"   {measure}: {number}")
    different = _differences(figures, counted=counted)
    demo.check("figures that differ from the recount", different, expected={})
    published = await _publish(demo, day)
    demo.section("Assessment's database is dropped; the facts are replayed")
    await rebuild("assessment", demo.databases["assessment"])
    figures = await _figures_equal_to(demo, counted, day=day, seconds=180)
    different = _differences(figures, counted=counted)
    demo.check("figures that differ after the replay", different, expected={})
    again = await _published_report(demo, day, revision=published["revision"])
    demo.confirm("the published report is as it was published", again == published)


async def _figures_equal_to(
    demo: DemoContext, counted: Counter[Cell], *, day: date, seconds: float = 60
) -> Counter[Cell]:
    """The live figures once they equal the count, or as they are after so many seconds."""
    last: Counter[Cell] = Counter()

    async def ask() -> Counter[Cell] | None:
        nonlocal last
        try:
            last = await scenario.live_figures(demo, day)
        except ScenarioError:
            # Assessment answers 503 while its database is made again.
            return None
        return last if last == counted else None

    try:
        return await demo.until("equal figures", ask, seconds=seconds)
    except ScenarioError:
        return last


def _differences(figures: Counter[Cell], *, counted: Counter[Cell]) -> dict[str, tuple[int, int]]:
    """What the report says and what was counted, of every cell in which the two differ."""
    different: dict[str, tuple[int, int]] = {}
    for cell in sorted(figures.keys() | counted.keys()):
        if figures[cell] != counted[cell]:
            different["/".join(cell)] = (figures[cell], counted[cell])
    return different


async def _publish(demo: DemoContext, day: date) -> DailyReport:
    """日发布, or a corrected revision when the day is published already."""
    supervisor = await demo.sign_in("supervisor")
    path = f"/assessment/daily-reports/{day}"
    headers = {**supervisor, **demo.once("publish")}
    answer = await demo.client.post(f"{path}/publication", headers=headers)
    if answer.status_code == 409:
        answer = await demo.post(
            f"{path}/revisions",
            who=supervisor,
            headers=demo.once("correct"),
            json={"reason": "演示期间又有办件"},
            status=201,
        )
    return answer.raise_for_status().json()


async def _published_report(demo: DemoContext, day: date, *, revision: int) -> DailyReport:
    """A published report, once the replay has brought it back."""
    path, query = f"/assessment/daily-reports/{day}", {"revision": revision}
    # Everybody may read it, but only supervision sees the figures of ratings.
    supervisor = await demo.sign_in("supervisor")

    async def ask() -> DailyReport | None:
        answer = await demo.client.get(path, params=query, headers=supervisor)
        return answer.json() if answer.is_success else None

    return await demo.until("the published report", ask)


@contextmanager
def _own_platform() -> Generator[tuple[str, Path]]:
    """A platform for this demonstration alone: its URL, and the folder that is removed at the end.

    Raises: `DeployError`.
    """
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="tongban-demo-") as folder:
        print(f"No platform serves {DEFAULT}: starting one for this demonstration …", flush=True)
        process = subprocess.Popen(
            [sys.executable, "-m", "deploy.embedded", "--data", folder, "--port", str(port)],
            stdout=subprocess.PIPE,
            preexec_fn=die_with_parent,
        )
        try:
            _wait_for_greeting(process)
            yield f"http://127.0.0.1:{port}", Path(folder)
        finally:
            print("Stopping the platform of this demonstration …", flush=True)
            process.send_signal(signal.SIGTERM)
            # Also reads what it still prints; a full pipe would hold it up.
            _ = process.communicate(timeout=60)


def _wait_for_greeting(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if b"Tongban runs on" in line:
            return
    raise DeployError("the platform did not start")


def _conclude(differences: list[str]) -> None:
    """Print the result. Raises: `typer.Exit` with status 1 when something differs."""
    if differences:
        print(f"\nDIFFERENT: {'; '.join(differences)}")
        raise typer.Exit(1)
    print("\nEvery figure is right.")


cli = new_command()


def _named_target(url: str, account_file: Path, *, with_databases: bool) -> Target:
    """A platform that is known by its address and the file of its sample accounts."""
    port = httpx.URL(url).port or GATEWAY_PORT
    databases: dict[str, str] = {}
    if with_databases:
        for service in SERVICES:
            databases[service] = database_url(service)
    regional_url = f"http://127.0.0.1:{port + REGION_PORT_OFFSET}"
    return Target(url.rstrip("/"), account_file, regional_url, databases)


@cli.command()
def main(
    *,
    target: Annotated[
        str | None, typer.Option(metavar="URL", help=f"the platform to play on  [{DEFAULT}]")
    ] = None,
    account_file: Annotated[
        Path | None,
        typer.Option(
            "--accounts",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="sample accounts of the target (python -m deploy.sample makes them)",
        ),
    ] = None,
    with_databases: Annotated[
        bool, typer.Option("--recount", help="count again from the databases of the environment")
    ] = False,
    under: Annotated[
        Path,
        typer.Option(
            "--data", metavar="FOLDER", show_default="var", help="folder below which its data lie"
        ),
    ] = VAR,
) -> None:
    """Play a whole day on a development system, and check every figure."""
    with explained_errors():
        if account_file is not None:
            named = _named_target(target or DEFAULT, account_file, with_databases=with_databases)
            differences = asyncio.run(play(named))
        elif target is not None or find_platform(DEFAULT, under) is not None:
            differences = asyncio.run(play(find_target(target or DEFAULT, under)))
        else:
            with _own_platform() as (url, folder):
                differences = asyncio.run(play(find_target(url, folder)))
    _conclude(differences)


if __name__ == "__main__":
    cli()
