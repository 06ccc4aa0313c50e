"""Code that stands twice: pairs of places with six equal normalised lines.

The normal form does not depend on how the formatter breaks lines: a statement is cut at each
comma, a trailing comma is dropped, space between tokens is one blank, and pieces without a letter
or digit are passed over. Names, strings and numbers are kept. Left out are imports, docstrings,
comments, and what only declares: the head of a class and the fields in its body. Each piece is one
normalised line, and six of them that stand again elsewhere are a pair of places, so that a run of
seven counts two. Two places of one file do not overlap.
"""

import ast
import itertools
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from deploy.measure.density import LAYOUT, tokens_of
from deploy.source.files import SourceFile, docstring_of

LENGTH = 6
CLOSING = frozenset(")]}")


@dataclass(frozen=True)
class Place:
    """A normalised line: the line of the file where it begins, and its number."""

    file: str
    line: int
    number: int

    @property
    def label(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class NormalLine:
    """A piece of code in its normal form, and the line of the file where it begins."""

    line: int
    text: str


@dataclass(frozen=True)
class Pair:
    """Where the same six normalised lines begin: `file:line` twice."""

    first: str
    second: str


def normal_lines(source: SourceFile) -> list[NormalLine]:
    """The normalised lines of a file."""
    tokens = _counted(source)
    found: list[NormalLine] = []
    piece: list[tokenize.TokenInfo] = []
    for place, token in enumerate(tokens):
        if token.string == "," and tokens[place + 1].string in CLOSING:
            continue
        if token.type != tokenize.NEWLINE and token.string != ",":
            piece.append(token)
            continue
        text = " ".join(one.string for one in piece)
        if re.search(r"\w", text):
            found.append(NormalLine(piece[0].start[0], text))
        piece = []
    return found


def _counted(source: SourceFile) -> list[tokenize.TokenInfo]:
    """The tokens that count, with the ends of statements."""
    left_out = _left_out(source.tree)
    found: list[tokenize.TokenInfo] = []
    for token in tokens_of(source):
        is_layout = token.type in LAYOUT and token.type != tokenize.NEWLINE
        if not is_layout and token.start[0] not in left_out:
            found.append(token)
    return found


def _left_out(tree: ast.AST) -> set[int]:
    """Lines of imports, of docstrings, and of what a class declares."""
    lines: set[int] = set()
    for node in ast.walk(tree):
        for statement in _declarations(node):
            lines.update(range(statement.lineno, (statement.end_lineno or statement.lineno) + 1))
        if isinstance(node, ast.ClassDef):
            lines.update(range(node.lineno, node.body[0].lineno))
    return lines


def _declarations(node: ast.AST) -> Iterator[ast.stmt]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield node
    text = docstring_of(node)
    if text is not None:
        yield text
    if isinstance(node, ast.ClassDef):
        yield from (one for one in node.body if isinstance(one, ast.Assign | ast.AnnAssign))


def duplicates(files: Sequence[SourceFile]) -> list[Pair]:
    """Every pair of places, in order of their files and lines."""
    places: dict[tuple[str, ...], list[Place]] = defaultdict(list)
    for source in files:
        for window, place in _windows(source):
            places[window].append(place)
    pairs: list[Pair] = []
    for same in places.values():
        for first, second in itertools.combinations(same, 2):
            if first.file != second.file or second.number - first.number >= LENGTH:
                pairs.append(Pair(first.label, second.label))
    return pairs


def _windows(source: SourceFile) -> Iterator[tuple[tuple[str, ...], Place]]:
    """Each six normalised lines that stand below each other, and where."""
    lines = normal_lines(source)
    for number in range(len(lines) - LENGTH + 1):
        window = lines[number : number + LENGTH]
        yield tuple(one.text for one in window), Place(source.name, window[0].line, number)
