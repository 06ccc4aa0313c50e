"""The rows of the table: a measure, today's value, and what is to be reached."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from deploy.commits import read_commits
from deploy.measure.columns import columns
from deploy.measure.density import density, median_nodes
from deploy.measure.duplicates import duplicates
from deploy.measure.signatures import endpoints, is_untyped, more_than_two, share_of_many
from deploy.measure.walks import files_opened, find_endpoint, follow_command
from deploy.mistakes.planting import score, seed
from deploy.source.files import PRODUCT, ROOT, SourceFile, source_files
from deploy.source.names import CodeBase

COMMITS = 100
"""The newest ones whose subjects are measured; merges do not count."""


@dataclass(frozen=True)
class Row:
    """One measure. `least` and `most` are to be reached; without them the row only informs.

    `places` lists what is still to do, where that can be listed.
    """

    key: str
    name: str
    value: float
    text: str
    least: float | None = None
    most: float | None = None
    places: list[str] = field(default_factory=list[str])

    @property
    def goal(self) -> str:
        if self.least is not None and self.most is not None:
            return f"{self.least:g} – {self.most:g}"
        if self.most is not None:
            return f"≤ {self.most:g}" if self.most else "0"
        return f"≥ {self.least:g}" if self.least is not None else "–"

    @property
    def is_reached(self) -> bool:
        at_least = self.least is None or self.value >= self.least
        return at_least and (self.most is None or self.value <= self.most)


class Tree:
    """The code below a root, read once."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root

    @cached_property
    def product(self) -> list[SourceFile]:
        return source_files(self.root, PRODUCT)

    @cached_property
    def services(self) -> list[SourceFile]:
        return [source for source in self.product if source.name.startswith("services/")]

    @cached_property
    def code(self) -> CodeBase:
        return CodeBase(self.product)


def line_rows(tree: Tree) -> list[Row]:
    tokens = density(tree.product).tokens_per_line
    of_tests = density(source_files(tree.root, ["tests"])).tokens_per_line
    nodes = median_nodes(tree.product)
    return [
        Row("tokens", "tokens per line", tokens, f"{tokens:.1f}", most=6.5),
        Row("test_tokens", "tokens per line of the tests", of_tests, f"{of_tests:.1f}"),
        Row("nodes", "syntax nodes per function, median", nodes, f"{nodes:.0f}", most=40),
    ]


def density_rows(tree: Tree) -> list[Row]:
    whole = density(tree.product)
    cases = density(
        [source for source in tree.services if source.name.startswith("services/cases/")]
    )
    nested, conditional = (
        whole.per_thousand(whole.comprehensions),
        whole.per_thousand(whole.conditionals),
    )
    loose, in_cases = whole.per_thousand(whole.loose_dicts), cases.per_thousand(cases.loose_dicts)
    comments = whole.comments_per_hundred
    return [
        Row("comprehensions", "comprehensions per 1,000 lines", nested, f"{nested:.1f}", most=14),
        Row(
            "conditionals",
            "conditional expressions per 1,000 lines",
            conditional,
            f"{conditional:.1f}",
            most=8,
        ),
        Row(
            "dicts",
            "dict[str, Any] per 1,000 lines",
            loose,
            f"{loose:.1f} (cases {in_cases:.1f})",
            most=2,
        ),
        Row("comments", "comments per 100 lines", comments, f"{comments:.1f}", least=2, most=4),
    ]


def signature_rows(tree: Tree) -> list[Row]:
    share, more = share_of_many(tree.product), more_than_two(tree.product)
    known = endpoints(tree.product)
    untyped = sum(is_untyped(endpoint) for endpoint in known)
    found = columns(tree.code)
    left = len(found.candidates)
    return [
        Row(
            "five",
            "functions with more than 5 positional parameters, %",
            share,
            f"{share:.1f}",
            most=0,
        ),
        Row(
            "two",
            "functions with more than 2, but endpoints",
            len(more),
            str(len(more)),
            most=0,
            places=more,
        ),
        Row(
            "endpoints", "endpoints that return Any", untyped, f"{untyped} of {len(known)}", most=0
        ),
        Row(
            "columns",
            "text columns named like a closed list",
            left,
            f"{left} of {found.texts}, {found.enums} enums",
            most=0,
            places=found.candidates,
        ),
    ]


def mistake_rows(_tree: Tree) -> list[Row]:
    result = score(seed())
    share = 100 * result.share
    places = [place.label for place in result.missed]
    text = f"{share:.0f} % of {len(result.planted)}"
    return [
        Row("mistakes", "planted mistakes that are found", share, text, least=95, places=places)
    ]


def walk_rows(tree: Tree) -> list[Row]:
    opened = files_opened(
        tree.code,
        find_endpoint(tree.code, "cases", method="post", path="/applications"),
        service="cases",
    )
    journey = follow_command(
        tree.code, find_endpoint(tree.code, "ratings", method="post", path="/ratings")
    )
    files, stays, returns = len(opened.all), len(journey.stays), journey.returns
    return [
        Row("files", "files opened to follow apply", files, str(files), most=10, places=opened.all),
        Row(
            "stays", "stays of a rating's command", stays, str(stays), most=12, places=journey.stays
        ),
        Row("returns", "returns of it to a file already left", returns, str(returns), most=2),
    ]


def commit_rows(tree: Tree) -> list[Row]:
    if not (tree.root / ".git").exists():
        return []
    subjects = [commit.subject for commit in read_commits(tree.root, "--no-merges", f"-{COMMITS}")]
    median = statistics.median(len(subject) for subject in subjects)
    return [
        Row(
            "subjects",
            f"commit subject, median of {len(subjects)}",
            median,
            f"{median:.0f}",
            most=72,
        )
    ]


def duplicate_rows(tree: Tree) -> list[Row]:
    pairs = duplicates(tree.services)
    places = [f"{pair.first} ~ {pair.second}" for pair in pairs]
    name = "pairs of places with six equal lines in services"
    return [Row("duplicates", name, len(pairs), str(len(pairs)), most=120, places=places)]


SECTIONS: Sequence[Callable[[Tree], list[Row]]] = (
    line_rows,
    density_rows,
    signature_rows,
    mistake_rows,
    walk_rows,
    commit_rows,
    duplicate_rows,
)


def measure(tree: Tree, *, quick: bool = False) -> list[Row]:
    """All rows. `quick` leaves out the planted mistakes, which take half a minute."""
    sections = [section for section in SECTIONS if not (quick and section is mistake_rows)]
    return [row for section in sections for row in section(tree)]
