"""`tongban status`: what it calls sick, which runbook entry it names, and how it ends."""

import json
import socket
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from typer.testing import CliRunner

from deploy.operate.__main__ import cli
from shared.clock import SHANGHAI
from shared.runtime.status import Certificate, DatabaseState, Disk, Lag, Pool, Status

NOW = datetime.now(UTC)
WELL = DatabaseState(
    clock_skew_seconds=0.1,
    outbox_facts=0,
    outbox_age_seconds=0,
    dead_letters=0,
    dead_letters_given_up=0,
    refused=None,
)


def a_status(process: str = "cases-api", **changes: Any) -> Status:
    values: dict[str, Any] = {
        "process": process,
        "service": process.partition("-")[0],
        "now": datetime.now(UTC),
        "started_at": NOW,
        "checks": {"database": True, "migrations": True, "facts": True, "bus": True},
        "keys": {"data": "0a0a0a0a", "platform": "0b0b0b0b"},
        "database": WELL,
        "lag": [],
        "pool": Pool(in_use=0, limit=10),
        **changes,
    }
    return Status(**values)


@contextmanager
def process(state: Status) -> Generator[str]:
    """A process that tells this state; yields its address."""
    body = state.model_dump_json().encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/internal/status" else 404)
            self.end_headers()
            _ = self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def backed_up(tmp_path: Path) -> Path:
    """A folder in which a backup and a drill have just succeeded."""
    for name in ("backup", "drill"):
        line = f"tongban_{name}_last_success_timestamp_seconds {NOW.timestamp()}\n"
        _ = (tmp_path / f"tongban_{name}.prom").write_text("# TYPE x gauge\n" + line)
    return tmp_path


def run(urls: str, folder: Path, *more: str) -> tuple[int, str]:
    arguments = ["status", "--urls", urls, "--state", str(folder), *more]
    done = CliRunner().invoke(cli, arguments)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def named(state: Status, folder: Path) -> tuple[int, list[str]]:
    """Status and symptoms that the command tells of one process."""
    with process(state) as url:
        code, output = run(f"{state.process}={url}", folder, "--json")
    return code, [finding["symptom"] for finding in json.loads(output)["findings"]]


SICK: list[tuple[str, dict[str, Any]]] = [
    ("DatabaseAway", {"checks": {"database": False, "facts": False}, "database": None}),
    ("BrokerAway", {"checks": {"database": True, "bus": False}, "lag": None}),
    ("SchemaBehind", {"checks": {"database": True, "migrations": False, "facts": False}}),
    ("RelayRefused", {"checks": {"database": True, "migrations": True, "facts": False}}),
    ("WrongKey", {"checks": {"database": True, "key": False}}),
    ("NotReady", {"checks": {"revocations": False}}),
    ("OutboxStuck", {"database": WELL.model_copy(update={"outbox_age_seconds": 61})}),
    ("DeadLetters", {"database": WELL.model_copy(update={"dead_letters_given_up": 1})}),
    ("ClockSkewed", {"database": WELL.model_copy(update={"clock_skew_seconds": -6})}),
    ("ConsumerLag", {"lag": [Lag(topic="tongban.matters", facts=9, seconds=301)]}),
    ("CopiesBelowMinimum", {"copies_missing": 9, "copies_below_minimum": 8}),
    ("UploadsRefused", {"disks": [Disk(name="u", free_bytes=9, size_bytes=9, refused=True)]}),
    ("DiskFull", {"disks": [Disk(name="uploads", free_bytes=4, size_bytes=100)]}),
    (
        "CertificateEnded",
        {"certificates": [Certificate(setting="PUBLIC_URL", expires_at=NOW - timedelta(days=1))]},
    ),
]
YELLOW: list[tuple[str, dict[str, Any]]] = [
    ("DeadLettersRetried", {"database": WELL.model_copy(update={"dead_letters": 1})}),
    ("CopiesMissing", {"copies_missing": 3, "copies_below_minimum": 0}),
    ("DiskFilling", {"disks": [Disk(name="uploads", free_bytes=14, size_bytes=100)]}),
    ("PoolFull", {"pool": Pool(in_use=10, limit=10)}),
    (
        "CertificateEnding",
        {"certificates": [Certificate(setting="PUBLIC_URL", expires_at=NOW + timedelta(days=9))]},
    ),
]


@pytest.mark.parametrize(("symptom", "changes"), SICK, ids=[name for name, _ in SICK])
def test_red_part_is_named(backed_up: Path, symptom: str, changes: dict[str, Any]) -> None:
    assert named(a_status(**changes), backed_up) == (1, [symptom])


@pytest.mark.parametrize(("symptom", "changes"), YELLOW, ids=[name for name, _ in YELLOW])
def test_yellow_part_is_named_and_is_no_failure(
    backed_up: Path, symptom: str, changes: dict[str, Any]
) -> None:
    assert named(a_status(**changes), backed_up) == (0, [symptom])


def test_everything_green(backed_up: Path) -> None:
    with process(a_status()) as url:
        code, output = run(f"cases-api={url}", backed_up)

    assert code == 0
    assert "everything is green" in output
    assert f"last backup: {NOW.astimezone(SHANGHAI):%Y-%m-%d %H:%M}" in output


def test_frozen_and_stopped_processes_are_told_apart_beside_a_good_one(backed_up: Path) -> None:
    # Listens, as the kernel does for a process that SIGSTOP holds, and nobody takes the connection.
    with socket.create_server(("127.0.0.1", 0)) as frozen, process(a_status()) as good:
        frozen_url = f"http://127.0.0.1:{frozen.getsockname()[1]}"
        urls = f"cases-worker={frozen_url},cases-api={good},gateway=http://127.0.0.1:1"
        code, output = run(urls, backed_up, "--timeout", "1")

    assert code == 1
    assert "cases-worker: 进程没有应答" in output
    assert "(frozen?)" in output
    assert "gateway: 进程没有应答" in output
    assert "docs/operations/stopped-process.md#processdown" in output


def test_nothing_answers(tmp_path: Path) -> None:
    code, output = run("cases-api=http://127.0.0.1:1", tmp_path)

    assert code == 2
    assert "cases-api" in output


def test_key_that_one_process_alone_has_is_named(backed_up: Path) -> None:
    other = a_status("cases-worker", keys={"data": "ffffffff", "platform": "0b0b0b0b"})
    third = a_status("ratings-api", keys={"data": "cccccccc", "platform": "0c0c0c0c"})
    with process(a_status()) as one, process(other) as two, process(third) as three:
        urls = f"cases-api={one},cases-worker={two},ratings-api={three}"
        _, output = run(urls, backed_up, "--json")

    parts = [(found["part"], found["detail"]) for found in json.loads(output)["findings"]]
    # Of two data keys nobody can say which is wrong; of three holders of the platform key, one can.
    assert sorted(parts) == [
        ("cases-api", "data"),
        ("cases-worker", "data"),
        ("ratings-api", "platform"),
    ]


def test_clock_of_the_gateway_is_compared_with_the_databases(backed_up: Path) -> None:
    ahead = datetime.now(UTC) + timedelta(seconds=30)
    gateway = a_status("gateway", now=ahead, checks={"keys": True}, database=None, keys={})
    with process(a_status()) as one, process(gateway) as two:
        _, output = run(f"cases-api={one},gateway={two}", backed_up, "--json")

    (finding,) = json.loads(output)["findings"]
    assert (finding["symptom"], finding["part"]) == ("ClockSkewed", "gateway")


def test_old_and_missing_backups(backed_up: Path, tmp_path: Path) -> None:
    old = (NOW - timedelta(hours=27)).timestamp()
    line = "tongban_backup_last_success_timestamp_seconds"
    _ = (backed_up / "tongban_backup.prom").write_text(f"{line} {old}\n")
    with process(a_status()) as url:
        code, late = run(f"cases-api={url}", backed_up)
        _ = (backed_up / "tongban_backup.prom").unlink()
        also, missing = run(f"cases-api={url}", tmp_path)

    assert (code, also) == (1, 0)
    assert "27 h" in late
    assert "没有备份记录" in missing


def test_urls_of_another_form_are_refused(tmp_path: Path) -> None:
    code, output = run("cases-api:8103", tmp_path)

    assert code == 2
    assert "PROCESS=http://HOST:PORT" in output
