"""Commits made after the check exists are held to the convention of messages.

Older ones are not.
"""

import subprocess
from pathlib import Path

import pytest

from deploy.commits import CHECK, Commit, faults, faults_of, read_commits
from tests.gates.conftest import ROOT

pytestmark = pytest.mark.xdist_group("gates")

BODY = "\n\nThe reason why."
MESSAGES = [
    ("x" * 73, 1, "does not begin with a capital letter"),
    ("X" * 73, 1, "73 characters"),
    ("Add a check.", 1, "ends with a period"),
    ("add a check", 1, "does not begin with a capital letter"),
    ("Add a check\nof messages", 1, "second line is not blank"),
    ("Add a check", 21, "no body says why"),
    ("Add a check\n\n", 21, "no body says why"),
]
GOOD = [
    ("X" * 72, 20),
    ("Add a check" + BODY, 500),
    ("Release 0.2.0", 900),
    ("Revert “Add a check”" + BODY, 30),
]


@pytest.mark.parametrize(("message", "changed", "named"), MESSAGES)
def test_message_against_the_convention_is_named(message: str, changed: int, named: str) -> None:
    found = list(faults_of(Commit("0" * 40, 1, message, changed)))

    assert named in " ".join(found)


@pytest.mark.parametrize(("message", "changed"), GOOD)
def test_message_by_the_convention_passes(message: str, changed: int) -> None:
    assert list(faults_of(Commit("0" * 40, 1, message, changed))) == []


def test_merge_needs_no_body() -> None:
    assert list(faults_of(Commit("0" * 40, 2, "Merge branch 'words'", 500))) == []


class Repository:
    """A git repository of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str) -> None:
        identity = [
            "-c",
            "user.name=Nobody",
            "-c",
            "user.email=nobody@example.org",
            "-c",
            "commit.gpgsign=false",
        ]
        _ = subprocess.run(
            ["git", *identity, *arguments], cwd=self.root, check=True, capture_output=True
        )

    def commit(self, message: str, *, file: str = "notes.txt", lines: int = 1) -> None:
        path = self.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as stream:
            _ = stream.write("a line\n" * lines)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """One commit against the convention, then the check itself."""
    repository = Repository(tmp_path / "repository")
    repository.commit("an old commit, from before the check.", lines=30)
    repository.commit("Add the check", file=CHECK)
    return repository


def test_commits_before_the_check_are_not_held_to_it(repository: Repository) -> None:
    repository.commit("Change a line")

    assert list(faults(repository.root)) == []


def test_new_commit_is_held_to_it(repository: Repository) -> None:
    repository.commit("change much", lines=21)

    found = list(faults(repository.root))

    assert len(found) == 2
    assert all("'change much'" in line for line in found)


def test_commit_of_a_merged_branch_that_began_before_the_check_is_not(
    repository: Repository,
) -> None:
    repository.git("checkout", "--quiet", "-b", "older", "HEAD~1")
    repository.commit("an older branch", file="other.txt")
    repository.git("checkout", "--quiet", "main")
    repository.git("merge", "--quiet", "--no-ff", "--message", "Merge branch 'older'", "older")

    assert list(faults(repository.root)) == []


def test_shallow_clone_checks_what_is_there(repository: Repository, tmp_path: Path) -> None:
    repository.commit("bad message, but cut off")
    repository.commit("Change a line")
    repository.commit("bad message")
    url = f"file://{repository.root}"
    repository.git("clone", "--quiet", "--depth", "2", url, str(tmp_path / "shallow"))

    found = list(faults(tmp_path / "shallow"))

    assert len(found) == 1
    assert "'bad message'" in found[0]


def test_lines_added_and_removed_are_counted(repository: Repository) -> None:
    _ = (repository.root / "notes.txt").write_text("another line\n")
    repository.git("commit", "--quiet", "--all", "--message", "Shorten the notes")

    newest = read_commits(repository.root, "-1")[0]

    assert (newest.subject, newest.parents, newest.changed) == ("Shorten the notes", 1, 31)


def test_ci_checks_messages() -> None:
    assert "python -m deploy.commits" in (ROOT / ".ci/run").read_text()
