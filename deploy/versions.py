"""The version of the platform, and the folders in which releases keep something."""

import tomllib
from pathlib import Path
from typing import NamedTuple, Self

from deploy.errors import DeployError

ROOT = Path(__file__).resolve().parent.parent
CONTRACTS = ROOT / "docs/api"
"""The contracts of the code as it is (`deploy.docs`)."""
KEPT_CONTRACTS = CONTRACTS / "released"
"""A folder per release with a copy of its contracts (`docs/api/*.json`)."""
KEPT_DATA = ROOT / "tests/released"
"""A folder per release with its small data set."""


class Version(NamedTuple):
    """A semantic version; ordered by its numbers, so that 0.10.0 follows 0.9.0."""

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """`0.1.0` as a version. Raises: `DeployError`."""
        numbers = text.split(".")
        if len(numbers) != 3 or not all(part.isascii() and part.isdecimal() for part in numbers):
            raise DeployError(f"{text!r} is not a version of the form MAJOR.MINOR.PATCH")
        major, minor, patch = map(int, numbers)
        return cls(major, minor, patch)

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    def may_break(self, released: "Version") -> bool:
        """Whether this version may break contracts of `released` (semver.org, items 4 and 8)."""
        if self.major == 0 and released.major == 0:
            return self.minor > released.minor
        return self.major > released.major


def current_version() -> Version:
    """The version in pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return Version.parse(project["project"]["version"])


def kept_releases(folder: Path) -> list[Version]:
    """The versions that have a folder below `folder`, oldest first."""
    found: list[Version] = []
    for path in folder.glob("*.*.*"):
        if path.is_dir():
            found.append(Version.parse(path.name))
    return sorted(found)
