"""What was tried on real engines, and whether it is still true: `docs/conformance.md`.

`make containers` and `make kubernetes` write a line each when they succeed: the date, the commit,
the result, and a digest over the contents of the files that were tried. `python -m
deploy.conformance` ends with status 1 when a digest is not that of the files any more, so that CI
notices a changed image that nobody has tried again. The digest is of contents and not of commits:
merging other work changes nothing.
"""

import hashlib
import re
import subprocess
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from deploy.errors import DeployError
from deploy.versions import ROOT
from shared import clock

PAGE = ROOT / "docs/conformance.md"


class Check(StrEnum):
    """What can be tried; the value is the target of `make`."""

    CONTAINERS = "containers"
    KUBERNETES = "kubernetes"


# What decides whether images, containers and chart work. Not the code of the platform, which tests
# cover and which changes with every commit, nor documents.
CONTAINER_FILES = (
    ".dockerignore",
    "docker-compose.yml",
    "requirements-runtime.lock",
    "deploy/Dockerfile",
    "deploy/bill_of_materials.py",
    "deploy/health.py",
    "deploy/containers/**/*",
)
CHART_FILES = ("deploy/chart/**/*", "deploy/kubernetes/**/*")
TRIED = {
    Check.CONTAINERS: CONTAINER_FILES,
    Check.KUBERNETES: CHART_FILES,
}
LINE = re.compile(
    r"^\| `make (?P<check>[a-z]+)` \| (?P<day>[0-9-]+) \| (?P<revision>\w+)"
    r" \| `(?P<digest>[0-9a-f]{64})` \| (?P<result>.*) \|$",
    re.MULTILINE,
)


class ConformanceError(DeployError):
    """The page has no line for a check, or an old one."""


@dataclass(frozen=True)
class Line:
    """What one check found: on which day, at which commit, with files of which digest."""

    check: Check
    day: str
    revision: str
    digest: str
    result: str

    def __str__(self) -> str:
        return (
            f"| `make {self.check}` | {self.day} | {self.revision}"
            f" | `{self.digest}` | {self.result} |"
        )


def _files(root: Path, patterns: tuple[str, ...]) -> list[Path]:
    found: set[Path] = set()
    for pattern in patterns:
        for path in root.glob(pattern):
            if path.is_file() and "__pycache__" not in path.parts:
                found.add(path)
    return sorted(found)


def digest_of(check: Check, root: Path = ROOT) -> str:
    """SHA-256 over names and contents of the files that a check tries."""
    whole = hashlib.sha256()
    for path in _files(root, TRIED[check]):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        whole.update(f"{path.relative_to(root).as_posix()} {content}\n".encode())
    return whole.hexdigest()


def read_lines(page: Path = PAGE) -> dict[Check, Line]:
    """The lines of the page."""
    found: dict[Check, Line] = {}
    for match in LINE.finditer(page.read_text(encoding="utf-8")):
        check = Check(match["check"])
        found[check] = Line(
            check, match["day"], match["revision"], match["digest"], match["result"]
        )
    return found


def stale(page: Path = PAGE, root: Path = ROOT) -> list[str]:
    """A sentence for each check whose files are not those that were tried."""
    lines = read_lines(page)
    told: list[str] = []
    for check in Check:
        line = lines.get(check)
        if line is None:
            told.append(f"`make {check}` was never run: run it and commit {page.name}")
        elif line.digest != digest_of(check, root):
            files = ", ".join(TRIED[check])
            told.append(
                f"`make {check}` was run on {line.day} at {line.revision}, and one of its files has"
                f" changed since ({files}): run it again and commit {page.name}"
            )
    return told


def _revision() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short=10", "HEAD"],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    return done.stdout.strip() or "unknown"


def record(check: Check, result: str, *, page: Path = PAGE) -> None:
    """Replace the line of a check by today's. Raises: `ConformanceError` if there is none."""
    day = str(clock.local_date(clock.now()))
    new = Line(check, day, _revision(), digest_of(check), result)
    text = page.read_text(encoding="utf-8")
    for match in LINE.finditer(text):
        if match["check"] == check:
            changed = f"{text[: match.start()]}{new}{text[match.end() :]}"
            _ = page.write_text(changed, encoding="utf-8")
            return
    raise ConformanceError(f"{page} has no line for `make {check}`")


def main() -> int:
    told = stale()
    for sentence in told:
        _ = sys.stderr.write(f"{sentence}\n")
    return int(bool(told))


if __name__ == "__main__":
    sys.exit(main())
