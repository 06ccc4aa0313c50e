"""Every command says what it takes and refuses what it does not know, and then does nothing."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy import broker, compose, embedded, postgres, released, sandbox_peer, stack
from deploy.command_line import HIGHEST_PORT
from deploy.contracts import __main__ as contracts
from deploy.demo import __main__ as demo
from deploy.operate import __main__ as operate
from deploy.sample import accounts
from deploy.simulators import regional

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = {
    "embedded": embedded.cli,
    "stack": stack.cli,
    "demo": demo.cli,
    "broker": broker.cli,
    "operate": operate.cli,
    "sandbox_peer": sandbox_peer.cli,
    "postgres": postgres.cli,
    "compose": compose.cli,
    "contracts": contracts.cli,
    "released": released.cli,
    "sample.accounts": accounts.cli,
    "simulators.regional": regional.cli,
}
VERBS = [
    ("broker", "run"),
    ("operate", "archive", "base"),
    ("operate", "archive", "receive"),
    ("operate", "archive", "restore"),
    ("operate", "backup"),
    ("operate", "database-settings"),
    ("operate", "drill"),
    ("operate", "give-again"),
    ("operate", "new-secrets"),
    ("operate", "publish-again"),
    ("operate", "rebuild"),
    ("operate", "recount"),
    ("operate", "recover"),
    ("operate", "restore"),
    ("operate", "status"),
    ("operate", "upgrade", "check"),
    ("postgres", "start"),
    ("released", "keep"),
]
DOORS = [(name,) for name in COMMANDS] + VERBS


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The default of `--data` lies in the current directory.

    So what a command makes in these tests, it makes here.
    """
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("door", DOORS, ids=" ".join)
def test_help_is_printed_and_nothing_is_done(door: tuple[str, ...], folder: Path) -> None:
    name, *verb = door

    result = CliRunner().invoke(COMMANDS[name], [*verb, "--help"])

    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: ")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("door", DOORS, ids=" ".join)
def test_unknown_option_is_refused_and_nothing_is_done(door: tuple[str, ...], folder: Path) -> None:
    name, *verb = door

    result = CliRunner().invoke(COMMANDS[name], [*verb, "--prot", "9"])

    assert result.exit_code == 2
    assert "--prot" in result.stderr
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["embedded", "stack", "demo", "broker", "operate", "sandbox_peer"])
def test_help_is_printed_by_the_module(name: str) -> None:
    command = [sys.executable, "-m", f"deploy.{name}", "--help"]

    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"Usage: python -m deploy.{name}")


@pytest.mark.parametrize("port", ["abc", "", "8000.5", "-1", "0", "٨٠٠٠", str(HIGHEST_PORT + 1)])
@pytest.mark.parametrize("name", ["embedded", "stack"])
def test_port_that_is_none_is_refused_with_a_sentence(name: str, port: str, folder: Path) -> None:
    result = CliRunner().invoke(COMMANDS[name], ["--port", port])

    assert result.exit_code == 2
    assert "端口须是" in result.stderr
    assert "the port must be a whole number" in result.stderr
    assert list(folder.iterdir()) == []


def test_replicas_are_read_and_wrong_ones_refused(folder: Path) -> None:
    assert stack.parse_replicas("cases-worker=3,cases-api=2") == {"cases-worker": 3, "cases-api": 2}
    for wrong in ("cases-worker", "cases-worker=0", "nobody=2", "cases-api=x"):
        result = CliRunner().invoke(stack.cli, ["--replicas", wrong])
        assert result.exit_code == 2, wrong
        assert repr(wrong) in result.stderr
    assert list(folder.iterdir()) == []
