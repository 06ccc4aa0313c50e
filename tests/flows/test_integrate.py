"""docs/integrate.md as an integrator works through it.

Its own commands, a platform, a subscriber that dies, and a replay.
"""

import asyncio
import os
import re
import signal
import sqlite3
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from shutil import which
from subprocess import PIPE, STDOUT, Popen, run
from typing import Any

import httpx
import orjson
import pytest
from jsonschema import Draft202012Validator, FormatChecker

from deploy.embedded import INTERNAL_PORT_OFFSET
from deploy.postgres import free_port
from deploy.run_folder import RunFolder
from deploy.sample import accounts

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs/integrate.md").read_text(encoding="utf-8")
IMPORTED = "cn.gov.lhasa.cases.case.imported.v1"


pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("integrate"),
    pytest.mark.skipif(
        not (which("jq") and which("curl")), reason="the guide's commands need curl and jq"
    ),
]


@pytest.mark.parametrize("name", ["subscriber.py", "push_batch.py"])
def test_an_example_is_short_enough_to_copy(name: str) -> None:
    lines = (ROOT / "examples" / name).read_text(encoding="utf-8").splitlines()

    assert len(lines) <= 60
    assert not any(
        re.match(r"(from|import) (services|shared|gateway|deploy|examples)\b", line)
        for line in lines
    )


@dataclass
class Desk:
    """An integrator's desk: a running platform and its folder.

    The guide's commands are changed only in their addresses, to those of this test.
    """

    folder: Path
    port: int
    hook: int

    @property
    def platform(self) -> RunFolder:
        return RunFolder(self.folder / "embedded", self.port)

    def _here(self, text: str) -> str:
        own = f"--target {self.platform.url} --under {self.folder}"
        for old, new in (
            ("127.0.0.1:8000", f"127.0.0.1:{self.port}"),
            ("127.0.0.1:9000", f"127.0.0.1:{self.hook}"),
            ("db 9000 ", f"db {self.hook} "),
            ("json 9000 ", f"json {self.hook} "),
            ("deploy.sandbox_peer", f"deploy.sandbox_peer {own}"),
            ("var/", f"{self.folder}/"),
            (".venv/bin/python", sys.executable),
        ):
            text = text.replace(old, new)
        return text

    def type(self, *scripts: str) -> str:
        """Run the terminal's first commands (step 2) and then these in one shell.

        Returns what they print.
        """
        done = run(
            ["bash", "-euo", "pipefail", "-c", self._here("\n".join([*blocks(2), *scripts]))],
            cwd=ROOT,
            env=_environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def subscriber(self, token: str = "") -> Popen[bytes]:
        line = next(line for line in GUIDE.splitlines() if "examples/subscriber.py" in line)
        command = [*self._here(line).split(), *([token] if token else [])]
        with (self.folder / "printed").open("ab") as printed:
            process = Popen(command, cwd=ROOT, env=_environment(), stdout=printed, stderr=STDOUT)
        until(lambda: _listens(self.hook))
        return process

    def printed(self) -> list[list[str]]:
        """Way, type, sequence, key and version of each event that had an effect."""
        lines = (self.folder / "printed").read_text().splitlines()
        return [line.split() for line in lines if line.startswith(("webhook ", "pull "))]

    def wait_for(self, effects: int) -> list[list[str]]:
        until(lambda: len(self.printed()) >= effects)
        return self.printed()

    def import_cases(self, numbers: Iterable[int], version: int) -> None:
        """Events by the REST API, as step 5 causes one."""
        asyncio.run(self._import(list(numbers), version))

    async def _import(self, numbers: list[int], version: int) -> None:
        body = orjson.loads(re.findall(r"--json '(\{.*?\})'", blocks(5)[0], re.DOTALL)[0])
        one = body["records"][0]
        body["records"] = [
            {**one, "source_number": f"N-{number}", "version": version} for number in numbers
        ]
        async with httpx.AsyncClient(
            base_url=f"{self.platform.url}/api/v1", timeout=60, trust_env=False
        ) as client:
            headers = await accounts.sign_in(
                client, accounts.read(self.platform.account_file)[accounts.SYSTEM]
            )
            headers["Idempotency-Key"] = f"{numbers}-{version}"
            answer = await client.post("/cases/imports", json=body, headers=headers)
        assert answer.json()["accepted"] == len(numbers), answer.text

    def get(self, path: str, token: str = "", **params: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.get(
            f"{self.platform.url}/api/v1{path}",
            params=params,
            headers=headers,
            timeout=60,
            trust_env=False,
        )

    @cached_property
    def token(self) -> str:
        return self.type("echo $TOKEN").strip()

    @property
    def subscription(self) -> dict[str, Any]:
        return orjson.loads((self.folder / "try/subscription.json").read_bytes())


def blocks(step: int) -> list[str]:
    """The runnable commands (```sh) of a numbered step of the guide."""
    section = re.split(r"^## ", GUIDE, flags=re.MULTILINE)[step]
    assert section.startswith(f"{step} ")
    return re.findall(r"^```sh\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)


def _environment() -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "LANG": "C.UTF-8",
        "NO_PROXY": "127.0.0.1",
    }


def until(holds: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _listens(port: int) -> bool:
    try:
        return httpx.options(f"http://127.0.0.1:{port}/", trust_env=False).is_success
    except httpx.HTTPError:
        return False


@contextmanager
def running(desk: Desk) -> Generator[None]:
    command = [
        sys.executable,
        "-m",
        "deploy.embedded",
        "--data",
        str(desk.folder),
        "--port",
        str(desk.port),
    ]
    with Popen(command, cwd=ROOT, env=_environment(), stdout=PIPE) as platform:
        assert platform.stdout is not None
        try:
            while b"Tongban runs on" not in platform.stdout.readline():
                assert platform.poll() is None
            yield
        finally:
            platform.send_signal(signal.SIGTERM)
            _ = platform.communicate(timeout=40)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Generator[Desk]:
    """A platform in a new folder, with the sandbox peer of step 2."""
    folder = tmp_path_factory.mktemp("var")
    port = next(port for port in iter(free_port, 0) if port + INTERNAL_PORT_OFFSET < 65_000)
    desk = Desk(folder, port, free_port())
    with running(desk):
        peer = [
            sys.executable,
            "-m",
            "deploy.sandbox_peer",
            "--target",
            desk.platform.url,
            "--under",
            str(folder),
        ]
        _ = run(peer, cwd=ROOT, env=_environment(), check=True, capture_output=True, timeout=120)
        yield desk


def _deliveries(desk: Desk, state: str) -> list[Any]:
    path = f"/exchange/subscriptions/{desk.subscription['id']}/deliveries"
    return desk.get(path, desk.token, state=state).json()["items"]


def _pull(desk: Desk) -> list[dict[str, Any]]:
    """Everything of the subscription, again from where it began, as a pull has it."""
    mine = desk.subscription
    page = desk.get(
        "/exchange/events", desk.token, subscription=mine["id"], after=mine["cursor"], limit=200
    ).json()
    assert page["next"] == page["head"]
    return page["items"]


def _by_key(printed: list[list[str]]) -> dict[str, list[int]]:
    keys: dict[str, list[int]] = defaultdict(list)
    for _way, _type, _sequence, key, version in printed:
        keys[key].append(int(version))
    return keys


def _stored(
    desk: Desk, table: str = "events", key: str = "id", value: str = "event"
) -> dict[str, Any]:
    with sqlite3.connect(desk.folder / "try/events.db") as store:
        rows = store.execute(f"SELECT {key}, {value} FROM {table}").fetchall()
    store.close()
    return {name: orjson.loads(found) if value == "event" else found for name, found in rows}


def test_the_guide_leads_to_verified_events_that_survive_a_kill_and_a_replay(desk: Desk) -> None:
    subscribe, activate = blocks(4)
    _ = desk.type(subscribe)
    subscriber = desk.subscriber()
    activated = desk.type(activate)
    try:
        for version in (1, 2, 3):
            desk.import_cases(range(4), version)
        live = desk.wait_for(12)
        subscriber.send_signal(signal.SIGKILL)
        _ = subscriber.wait()
        for version in (4, 5):
            desk.import_cases(range(6), version)
        until(lambda: bool(_deliveries(desk, "pending")))
        waiting = desk.type(activate.splitlines()[0], *blocks(7))
        subscriber = desk.subscriber(desk.token)
        caught_up = desk.wait_for(24)
        until(lambda: not _deliveries(desk, "pending"), 90)
        replayed = desk.type(activate.splitlines()[0], *blocks(8))
        until(lambda: not _deliveries(desk, "pending"))
        pulled = _pull(desk)
    finally:
        subscriber.kill()
        _ = subscriber.wait()

    assert '"active"' in activated
    assert '"cause":"connect"' in waiting
    assert {line[0] for line in live} == {"webhook"}
    assert all(versions == sorted(versions) for versions in _by_key(caught_up).values())
    assert sorted(map(len, _by_key(caught_up).values())) == [2, 2, 5, 5, 5, 5]
    assert '{"queued":24,"next":null}' in replayed
    assert desk.printed() == caught_up
    assert _stored(desk) == {event["id"]: event for event in pulled}
    assert _stored(desk, "newest", "key", "version") == {
        key: versions[-1] for key, versions in _by_key(caught_up).items()
    }


def test_every_event_names_a_schema_that_is_there_and_holds(desk: Desk) -> None:
    desk.import_cases([77], 1)
    listed = desk.type(*blocks(3))
    _ = desk.type(*blocks(9))
    mine = orjson.loads((desk.folder / "try/pull.json").read_bytes())
    events: list[dict[str, Any]] = []

    def came() -> bool:
        events[:] = desk.get(
            "/exchange/events", desk.token, subscription=mine["id"], after=0
        ).json()["items"]
        return bool(events)

    until(came)
    schemas = {
        event["dataschema"]: httpx.get(event["dataschema"], trust_env=False).json()
        for event in events
    }

    assert all(name in listed for name in (IMPORTED, "matter_code"))
    for event in events:
        assert schemas[event["dataschema"]]["$id"] == event["dataschema"]
        Draft202012Validator(schemas[event["dataschema"]], format_checker=FormatChecker()).validate(
            event["data"]
        )


def test_every_event_is_as_the_contract_of_the_running_platform_says(desk: Desk) -> None:
    desk.import_cases([78], 1)
    contract = desk.get("/exchange/asyncapi.json").json()
    token = desk.token
    body = {
        "name": "all",
        "mode": "pull",
        "after": 0,
        "event_types": list(contract["channels"]["webhook"]["messages"]),
    }
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "all"}
    url = f"{desk.platform.url}/api/v1/exchange/subscriptions"
    made = httpx.post(url, json=body, headers=headers, trust_env=False).raise_for_status().json()
    page = desk.get("/exchange/events", token, subscription=made["id"], after=0, limit=200).json()

    described = contract["components"]["schemas"]["envelope"]["properties"].keys()
    assert len(page["items"]) >= 100
    assert [name for name in described - {"specversion"} if f"`{name}`" not in GUIDE] == []
    assert {name for event in page["items"] for name in event} <= described
    for event in page["items"]:
        payload = contract["components"]["messages"][event["type"]]["payload"]
        Draft202012Validator({**payload, "components": contract["components"]}).validate(event)


def test_a_batch_is_pushed_by_the_guides_commands_and_its_receipts_hold(desk: Desk) -> None:
    _ = desk.type(*blocks(10))
    printed = desk.type(*blocks(10))

    assert "'result': 'RECEIVED'" in printed
    assert "'accepted': 1" in printed
    assert [line for line in printed.splitlines() if line.startswith("row ")] == [
        line for line in GUIDE.splitlines() if line.startswith("row ")
    ]
