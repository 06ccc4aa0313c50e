"""The convention of commit messages, checked for every commit made since this check is there.

A subject of at most 72 characters that begins with a capital letter and ends without a period; a
blank line; and a body that says why, where more than 20 lines change. A release (`Release 1.2.3`)
and a merge need no body.

`python -m deploy.commits` ends with status 1 and one line per fault. In a shallow clone it checks
the commits that are there; outside a git repository there is nothing to check.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHECK = "deploy/commits.py"
"""Commits that descend from the one that added this file are held to the convention."""
MAX_SUBJECT = 72
SMALL = 20
"""Lines added and removed up to which a commit needs no body."""
RELEASE = re.compile(r"Release \d+\.\d+\.\d+")
RECORD, FIELD = "\x1e", "\x1f"


@dataclass(frozen=True)
class Commit:
    """One commit. `changed` counts lines added and removed; binary files count none."""

    hash: str
    parents: int
    message: str
    changed: int

    @property
    def subject(self) -> str:
        return self.message.partition("\n")[0]


def read_commits(root: Path, *arguments: str) -> list[Commit]:
    """The commits that `git log` lists for its arguments, newest first.

    Raises:
        subprocess.CalledProcessError: git refuses the arguments, or `root` is no repository.
    """
    form = f"--format={RECORD}%H{FIELD}%P{FIELD}%B{FIELD}"
    records = _git(root, "log", "--numstat", form, *arguments).split(RECORD)[1:]
    return [_parsed(record) for record in records]


def _parsed(record: str) -> Commit:
    name, parents, message, statistics = record.split(FIELD)
    numbers = re.findall(r"^(\d+)\t(\d+)\t", statistics, flags=re.MULTILINE)
    changed = sum(int(added) + int(removed) for added, removed in numbers)
    return Commit(name, len(parents.split()), message.strip("\n"), changed)


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout


def faults_of(commit: Commit) -> Iterator[str]:
    """What is wrong with a message."""
    subject, _, rest = commit.message.partition("\n")
    blank, _, body = rest.partition("\n")
    if len(subject) > MAX_SUBJECT:
        yield f"the subject has {len(subject)} characters, at most {MAX_SUBJECT} fit"
    if subject.endswith("."):
        yield "the subject ends with a period"
    if not subject[:1].isupper():
        yield "the subject does not begin with a capital letter"
    if blank.strip():
        yield "the second line is not blank"
    needs_body = (
        commit.changed > SMALL and commit.parents < 2 and RELEASE.fullmatch(subject) is None
    )
    if needs_body and not body.strip():
        yield f"{commit.changed} lines change, and no body says why"


def new_commits(root: Path) -> list[Commit]:
    """The commits that descend from the one that added this check."""
    added = _git(root, "log", "--diff-filter=A", "--format=%H", "--", CHECK).split()
    if not added:
        return []
    return read_commits(root, "--ancestry-path", f"{added[-1]}..HEAD")


def faults(root: Path = ROOT) -> Iterator[str]:
    """One line for each fault of each new commit."""
    for commit in new_commits(root):
        for fault in faults_of(commit):
            yield f"{commit.hash[:10]} {commit.subject!r}: {fault}"


def main() -> int:
    if not (ROOT / ".git").exists():
        print("not a git repository: no commits to check")
        return 0
    found = list(faults())
    for fault in found:
        _ = sys.stderr.write(f"{fault}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
