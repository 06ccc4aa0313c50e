"""The demonstration is right on both ways of running: one process, and the production topology on a real broker."""

import asyncio
import socket
from pathlib import Path

import pytest

from deploy.demo.__main__ import main, play
from deploy.place import Place
from deploy.postgres import free_port
from deploy.processes import GATEWAY_PORT, processes
from deploy.stack import Stack


@pytest.mark.timeout(300)
def test_story_is_right_in_one_process(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.demo.__main__.DEFAULT", "http://127.0.0.1:1")

    status = main([])

    assert status == 0, capfd.readouterr().out


@pytest.mark.timeout(300)
@pytest.mark.xdist_group("stack")
def test_story_is_right_on_the_production_topology(tmp_path: Path) -> None:
    with Stack(Place(tmp_path / "stack", free_offset() + GATEWAY_PORT)) as stack:
        asyncio.run(stack.load_sample())

        differences = asyncio.run(play(stack.place.url, tmp_path))

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
