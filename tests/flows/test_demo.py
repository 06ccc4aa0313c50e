"""The demonstration is right on both ways of running.

One process, and the production topology on a real broker.
"""

import asyncio
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.demo.__main__ import cli, find_target, play
from deploy.postgres import free_port
from deploy.processes import GATEWAY_PORT, processes
from deploy.run_folder import RunFolder
from deploy.stack import Stack


@pytest.mark.timeout(300)
def test_scenario_is_right_in_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.demo.__main__.DEFAULT", "http://127.0.0.1:1")

    result = CliRunner().invoke(cli, [])

    assert result.exit_code == 0, result.output


@pytest.mark.timeout(300)
@pytest.mark.xdist_group("stack")
def test_scenario_is_right_on_the_production_topology(tmp_path: Path) -> None:
    with Stack(RunFolder(tmp_path / "stack", free_offset() + GATEWAY_PORT)) as stack:
        asyncio.run(stack.load_sample())

        differences = asyncio.run(play(find_target(stack.folder.url, tmp_path)))

    assert differences == []


def free_offset() -> int:
    """A shift of all ports under which none is in use."""
    for _ in range(50):
        offset = free_port() - GATEWAY_PORT
        if all(_is_free(process.port) for process in processes(offset)):
            return offset
    raise AssertionError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0 and port < 65_000
