"""Asks every process for its state, all at the same time, each with a time-out."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

import httpx
import typer

from deploy.processes import processes
from shared import clock
from shared.runtime.status import PATH, Status


@dataclass(frozen=True, slots=True)
class Target:
    """A process, and where it tells its state."""

    name: str
    url: str


class Silence(StrEnum):
    """Why a process told nothing."""

    DOWN = "down"
    """Nothing listens there."""
    NO_ANSWER = "no answer"
    """It listens, and does not answer in time: frozen, or far too busy."""
    UNREADABLE = "unreadable"
    """Something else answers."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a process told, or why it did not; `at` is when."""

    target: Target
    found: Status | Silence
    at: datetime


def local_targets(offset: int) -> list[Target]:
    """The processes of `deploy/processes.py` on this machine, their ports moved by `offset`."""
    targets: list[Target] = []
    for process in processes(offset):
        targets.append(Target(process.name, f"http://127.0.0.1:{process.operator_port}"))
    return targets


def parse_targets(text: str) -> list[Target]:
    """`cases-api=http://host:8103,…`. Raises: `typer.BadParameter`."""
    targets: list[Target] = []
    for entry in filter(None, text.replace("\n", ",").split(",")):
        name, _, url = entry.strip().partition("=")
        if not name or not url.startswith(("http://", "https://")):
            raise typer.BadParameter(f"{entry!r} is not of the form PROCESS=http://HOST:PORT")
        targets.append(Target(name, url.rstrip("/")))
    return targets


async def ask_all(targets: Sequence[Target], *, seconds: float) -> list[Answer]:
    """What every process tells, in the order of the targets."""
    async with httpx.AsyncClient(timeout=seconds, trust_env=False) as client:
        asked = [_ask(client, target, seconds=seconds) for target in targets]
        return list(await asyncio.gather(*asked))


async def _ask(client: httpx.AsyncClient, target: Target, *, seconds: float) -> Answer:
    found: Status | Silence
    try:
        async with asyncio.timeout(seconds):
            answer = await client.get(target.url + PATH)
            found = Status.model_validate_json(answer.raise_for_status().content)
    except (TimeoutError, httpx.TimeoutException):
        found = Silence.NO_ANSWER
    except httpx.TransportError:
        found = Silence.DOWN
    except (httpx.HTTPError, ValueError):
        found = Silence.UNREADABLE
    return Answer(target, found, clock.now())


def read_textfiles(folder: Path, name: str) -> float | None:
    """The newest value of a metric in the files for the textfile collector; None without one."""
    newest: float | None = None
    for path in folder.glob("*.prom"):
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith((f"{name} ", f"{name}{{")):
                value = float(line.rpartition(" ")[2])
                newest = max(value, newest or value)
    return newest
