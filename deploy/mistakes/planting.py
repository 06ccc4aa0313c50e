"""Draws mistakes by a seed, plants them into a copy of the tree, and says which are found.

The type checker runs once over a copy that holds all mistakes but those in SQL: a mistake is found
when an error is reported on one of its lines. Those in SQL stand in a second copy, so that its
modules can still be imported: `deploy.checks` prepares every statement there on a migrated
database, and a mistake is found when its statement is reported.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.mistakes.place import KINDS, Place
from deploy.mistakes.places import find_places
from deploy.source.files import PRODUCT, ROOT, source_files
from deploy.source.names import CodeBase

PER_KIND = 7
SOURCES = (*PRODUCT, "deploy")
TESTING = ("tests", "bench", "docs", "examples")
"""What the tests read besides the sources."""


@dataclass(frozen=True)
class Score:
    """The mistakes that were planted and that were found. `gone` are kinds without a place left."""

    planted: list[Place]
    found: set[Place]
    gone: list[str]

    @property
    def share(self) -> float:
        """Found of planted, 0 to 1. A kind that cannot be written any more counts as found."""
        gone = PER_KIND * len(self.gone)
        return (len(self.found) + gone) / (len(self.planted) + gone)

    def of(self, kind: str) -> tuple[int, int]:
        """Found and planted of one kind."""
        planted = [place for place in self.planted if place.kind == kind]
        return len(self.found.intersection(planted)), len(planted)

    @property
    def missed(self) -> list[Place]:
        return [place for place in self.planted if place not in self.found]


def seed() -> str:
    """The version in `pyproject.toml`: each release is tried at other places."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "version"
    ]


def draw(places: dict[str, list[Place]], chosen_by: str) -> list[Place]:
    """Seven mistakes of each kind, spread over the services, at most one in a function.

    Places are drawn by a hash of the seed and of what stands there, so that a change elsewhere
    draws no other ones.
    """
    used: set[tuple[str, int]] = set()
    drawn: list[Place] = []
    for kind in KINDS:
        in_order = sorted(places[kind], key=lambda place: _lot(place, chosen_by), reverse=True)
        drawn += _draw_kind(in_order, used)
    return drawn


def _lot(place: Place, chosen_by: str) -> str:
    return hashlib.sha256(f"{chosen_by} {place.kind} {place.file} {place.old}".encode()).hexdigest()


def _draw_kind(places: Sequence[Place], used: set[tuple[str, int]]) -> list[Place]:
    """The last places of each service in turn, until there are enough."""
    services: dict[str, list[Place]] = {}
    for place in places:
        services.setdefault(place.service, []).append(place)
    drawn: list[Place] = []
    while len(drawn) < PER_KIND and services:
        for service in sorted(services):
            place = services[service].pop()
            if not services[service]:
                del services[service]
            if place.spot not in used and len(drawn) < PER_KIND:
                used.add(place.spot)
                drawn.append(place)
    return drawn


def copy_tree(target: Path, *more: str) -> None:
    """The sources and the settings of the tools, with the installed libraries beside them."""
    for name in (*SOURCES, *more):
        _ = shutil.copytree(
            ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    for path in ROOT.iterdir():
        if path.is_file():
            _ = shutil.copy(path, target)
    (target / ".venv").symlink_to(sys.prefix)


def plant(target: Path, mistakes: Iterable[Place]) -> None:
    """Write the mistakes into a copy, from the end of each file to its beginning."""
    for place in sorted(mistakes, key=lambda one: one.start, reverse=True):
        path = target / place.file
        content = path.read_bytes()
        _ = path.write_bytes(content[: place.start] + place.new.encode() + content[place.end :])


def _run(target: Path, tool: str, *arguments: str) -> str:
    command = [str(Path(sys.executable).parent / tool), *arguments]
    return subprocess.run(command, cwd=target, capture_output=True, text=True, check=False).stdout


@contextmanager
def planted(mistakes: Sequence[Place], *more: str) -> Generator[Path]:
    """A copy of the tree, and of the folders `more`, with mistakes in it."""
    with tempfile.TemporaryDirectory(prefix="tongban-mistakes-") as folder:
        target = Path(folder).resolve()
        copy_tree(target, *more)
        plant(target, mistakes)
        yield target


def found_by_types(mistakes: Sequence[Place]) -> set[Place]:
    """Those on whose lines the type checker reports an error."""
    files = sorted({place.file for place in mistakes})
    with planted(mistakes) as target:
        report = json.loads(_run(target, "basedpyright", "--outputjson", *files))
    reported: set[tuple[str, int]] = set()
    for error in report["generalDiagnostics"]:
        file = Path(error["file"]).relative_to(target).as_posix()
        first, last = error["range"]["start"]["line"], error["range"]["end"]["line"]
        reported.update((file, line + 1) for line in range(first, last + 1))
    return {place for place in mistakes if reported.intersection(place.spots)}


def found_by_preparing(mistakes: Sequence[Place]) -> set[Place]:
    """Those in whose statements the database finds a fault when they are prepared."""
    with planted(mistakes) as target:
        lines = _run(target, "python", "-m", "deploy.checks.statements").splitlines()
    found: set[Place] = set()
    for place in mistakes:
        start = f"{place.file}:{place.function}: "
        if any(line.startswith(start) for line in lines):
            found.add(place)
    return found


def found_by_tests(mistakes: Sequence[Place]) -> set[Place]:
    """Those that break a test of their service. Each takes a copy and a run: minutes.

    Raises:
        RuntimeError: the tests of a service fail without any mistake, so that they prove nothing.
    """
    for service in sorted({place.service for place in mistakes}):
        if _breaks_tests(service, []):
            raise RuntimeError(f"tests/{service} fails without a mistake")
    return {place for place in mistakes if _breaks_tests(place.service, [place])}


def _breaks_tests(service: str, mistakes: Sequence[Place]) -> bool:
    with planted(mistakes, *TESTING) as target:
        (target / "var").symlink_to(ROOT / "var")
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-n",
            "0",
            "--no-cov",
            "-x",
            "-q",
            f"tests/{service}",
        ]
        return subprocess.run(command, cwd=target, capture_output=True, check=False).returncode != 0


def score(chosen_by: str, *, with_tests: bool = False) -> Score:
    """Draw, plant and count. With `with_tests`, tests are run on what is not found otherwise."""
    places = find_places(CodeBase(source_files(ROOT, PRODUCT)))
    mistakes = draw(places, chosen_by)
    in_sql = [place for place in mistakes if place.kind == "sql"]
    in_code = [place for place in mistakes if place.kind != "sql"]
    found = found_by_types(in_code) | found_by_preparing(in_sql)
    if with_tests:
        found |= found_by_tests([place for place in mistakes if place not in found])
    return Score(mistakes, found, [kind for kind in KINDS if not places[kind]])
