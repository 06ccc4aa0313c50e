"""A copy of the tree in which faults are planted, and the commands of `make static` run on it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCES = ("services", "shared", "gateway", "deploy")


class Tree:
    """A copy of the sources. A plant is appended to a file that is there, or makes a new one."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in SOURCES:
            _ = shutil.copytree(
                ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        _ = shutil.copy(ROOT / "pyproject.toml", root)
        (root / ".venv").symlink_to(sys.prefix)

    def plant(self, file: str, text: str) -> None:
        with (self.root / file).open("a", encoding="utf-8") as stream:
            _ = stream.write(text)

    def run(self, tool: str, *arguments: str) -> tuple[int, str]:
        """Status and output (errors included) of a tool of the environment, run in the copy."""
        command = [str(Path(sys.executable).parent / tool), *arguments]
        done = subprocess.run(
            command,
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    return Tree(tmp_path_factory.mktemp("tree"))
