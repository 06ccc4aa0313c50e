"""Parts of a running platform are made sick, one after the other.

`tongban status` and the alerts name each with its runbook entry, and are quiet again after the
cure. Only `make faults` plays them, with a Prometheus that scrapes the platform.
"""

import asyncio
import os
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from deploy.operate import symptoms
from deploy.operate.symptoms import BY_NAME
from tests.builders.certificates import a_certificate
from tests.builders.full_disk import small_disk
from tests.builders.monitoring import faketime
from tests.faults.conftest import LONG
from tests.faults.load import run
from tests.faults.platform import Platform, until
from tests.faults.test_outages import in_parallel
from tests.faults.watching import Prometheus, status

pytestmark = [pytest.mark.xdist_group("stack"), pytest.mark.timeout(900)]

Sickness = Callable[[Platform, Path], AbstractContextManager[None]]
"""Makes a part sick when entered, and cures it at the end."""


@contextmanager
def database_stopped(platform: Platform, _folder: Path) -> Generator[None]:
    platform.postgres.kill()
    try:
        yield
    finally:
        platform.postgres.start()


@contextmanager
def broker_stopped(platform: Platform, _folder: Path) -> Generator[None]:
    platform.kafka.kill()
    try:
        yield
    finally:
        platform.kafka.start()


@contextmanager
def worker_frozen(platform: Platform, _folder: Path) -> Generator[None]:
    process = platform.running["cases-worker"]
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


@contextmanager
def dead_letter(platform: Platform, _folder: Path) -> Generator[None]:
    """One that every attempt failed on; cured by the operator's own command."""
    event = uuid4()

    async def plant() -> None:
        connection = await platform.connect("matters")
        _ = await connection.execute(
            "INSERT INTO dead_letter"
            " (event_id, topic, key, type, payload, error, attempts, gave_up)"
            " VALUES ($1, 'tongban.cases', $2, 'x.v1', '{}', 'Poison', 5, true)",
            event,
            f"planted-{event}",
        )
        await connection.close()

    asyncio.run(plant())
    yield
    command = [sys.executable, "-m", "shared.messaging.dead_letters", "discard", "matters"]
    command += [str(event), "--reason", "planted by a test"]
    url = platform.postgres.dsn("tongban_matters")
    _ = subprocess.run(command, env={**os.environ, "MATTERS_DATABASE_URL": url}, check=True)


@contextmanager
def changed(platform: Platform, name: str, settings: dict[str, str]) -> Generator[None]:
    """The process runs with other settings; at the end again with its own."""
    with platform.other_settings(settings):
        _ = platform.relaunch(name)
    try:
        yield
    finally:
        _ = platform.relaunch(name)


@contextmanager
def wrong_key(platform: Platform, _folder: Path) -> Generator[None]:
    other = "b" * 43 + "="
    with changed(platform, "ratings-api", {"RATINGS_PLATFORM_KEY": other}):
        yield


@contextmanager
def clock_moved(platform: Platform, _folder: Path) -> Generator[None]:
    moved = {
        "LD_PRELOAD": faketime(),
        "FAKETIME": "+90s",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with changed(platform, "ratings-api", moved):
        yield


@contextmanager
def certificate_expired(platform: Platform, folder: Path) -> Generator[None]:
    both, _ = a_certificate(folder, "127.0.0.1", datetime.now(UTC) - timedelta(days=2))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    loop, ready = asyncio.new_event_loop(), threading.Event()
    ports: list[int] = []

    async def serve() -> None:
        server = await asyncio.start_server(lambda _, w: w.close(), "127.0.0.1", 0, ssl=context)
        ports.append(server.sockets[0].getsockname()[1])
        ready.set()

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    serving = asyncio.run_coroutine_threadsafe(serve(), loop)
    serving.result(10)
    url = f"https://127.0.0.1:{ports[0]}"
    try:
        with changed(platform, "ratings-api", {"RATINGS_PUBLIC_URL": url}):
            yield
    finally:
        _ = loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


def upload(platform: Platform, size: int) -> int:
    """Send a file of about this size; the status of the answer."""
    answer = httpx.post(
        platform.url("cases-api") + "/api/v1/cases/uploads",
        content=b"%PDF-1.7 " + os.urandom(size),
        headers={**platform.caller(), "content-type": "application/pdf"},
        timeout=30,
        trust_env=False,
    )
    assert answer.status_code != 507 or answer.headers["retry-after"]
    return answer.status_code


@contextmanager
def uploads_full(platform: Platform, folder: Path) -> Generator[None]:
    with (
        small_disk(folder / "full", "1m") as disk,
        changed(platform, "cases-api", {"CASES_STORAGE_URL": str(disk)}),
    ):
        assert upload(platform, 700_000) == 201
        assert upload(platform, 700_000) == 507
        yield
        larger = ["mount", "-o", "remount,size=64m", str(disk)]
        _ = subprocess.run(larger, check=True)
        assert upload(platform, 700_000) == 201


@contextmanager
def backlog(platform: Platform, _folder: Path) -> Generator[None]:
    """A worker that is away while there is work; the limit is lowered by the test."""
    platform.end("ratings-worker")
    run(platform, lambda errands: in_parallel(errands, 3))
    try:
        yield
    finally:
        platform.launch("ratings-worker")
        platform.wait_ready("ratings-worker")


SICKNESSES: dict[str, tuple[Sickness, str]] = {
    "database stopped": (database_stopped, "DatabaseAway"),
    "broker stopped": (broker_stopped, "BrokerAway"),
    "worker frozen": (worker_frozen, "ProcessDown"),
    "dead letter": (dead_letter, "DeadLetters"),
    "wrong key": (wrong_key, "WrongKey"),
    "clock moved": (clock_moved, "ClockSkewed"),
    "certificate expired": (certificate_expired, "CertificateEnded"),
    "uploads full": (uploads_full, "UploadsRefused"),
    "backlog": (backlog, "ConsumerLag"),
}


def named(platform: Platform, symptom: str) -> bool:
    found = status(platform)
    return found.code == 1 and symptom in found.symptoms


@pytest.fixture(scope="module")
def prometheus(
    platform: Platform, rounds: int, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Prometheus | None]:
    if rounds < LONG:
        yield None
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(symptoms, "LAG_SECONDS", 2)
        symptom = BY_NAME["ConsumerLag"]
        patch.setattr(
            "deploy.operate.monitoring.SYMPTOMS",
            [lowered(one) for one in symptoms.SYMPTOMS],
        )
        assert "> 300" in symptom.expression
        with Prometheus(tmp_path_factory.mktemp("prometheus"), platform) as running:
            _ = until("all processes are read", running.has_read)
            yield running


def lowered(symptom: symptoms.Symptom) -> symptoms.Symptom:
    """With a limit that a test can reach."""
    if symptom.name != "ConsumerLag":
        return symptom
    return replace(symptom, expression=symptom.expression.replace("> 300", "> 2"))


@pytest.mark.parametrize("what", SICKNESSES)
def test_sick_part_is_named_until_it_is_cured(
    platform: Platform, prometheus: Prometheus | None, tmp_path: Path, what: str
) -> None:
    if prometheus is None:
        pytest.skip("in make faults")
    make_sick, symptom = SICKNESSES[what]
    _ = until("the platform is well", lambda: status(platform).named == set())

    with make_sick(platform, tmp_path):
        _ = until(f"{symptom} is named", lambda: named(platform, symptom))
        if prometheus is not None:
            assert prometheus.wait_for(symptom) == BY_NAME[symptom].entry
        assert BY_NAME[symptom].entry in status(platform).entries

    _ = until("the platform is well again", lambda: status(platform).named == set(), 90)
    if prometheus is not None:
        prometheus.wait_until_quiet()
