"""How much stands on a line: tokens, comprehensions, conditionals, `dict[str, Any]`, comments.

A line counts unless it is blank; lines of comments and docstrings count. A token is what
`tokenize` calls one, without comments, line ends and indents; a docstring is one token.
"""

import ast
import io
import statistics
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from deploy.source.files import COMPREHENSIONS, SourceFile, functions_of, nodes_of

LAYOUT = frozenset(
    {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENCODING,
        tokenize.ENDMARKER,
    }
)


@dataclass(frozen=True)
class Density:
    """Counts over a number of files. The properties are the figures of the table."""

    lines: int
    tokens: int
    comments: int
    comprehensions: int
    conditionals: int
    loose_dicts: int

    @property
    def tokens_per_line(self) -> float:
        return self.tokens / self.lines

    @property
    def comments_per_hundred(self) -> float:
        return 100 * self.comments / self.lines

    def per_thousand(self, count: int) -> float:
        return 1000 * count / self.lines


def tokens_of(source: SourceFile) -> Iterator[tokenize.TokenInfo]:
    return tokenize.generate_tokens(io.StringIO(source.text).readline)


def density(files: Sequence[SourceFile]) -> Density:
    """Count over all files together."""
    tokens = comments = comprehensions = conditionals = loose = 0
    for source in files:
        for token in tokens_of(source):
            comments += token.type == tokenize.COMMENT
            tokens += token.type not in LAYOUT
        for node in ast.walk(source.tree):
            comprehensions += isinstance(node, COMPREHENSIONS)
            conditionals += isinstance(node, ast.IfExp)
            loose += isinstance(node, ast.Subscript) and ast.unparse(node) == "dict[str, Any]"
    lines = sum(1 for source in files for line in source.lines if line.strip())
    return Density(lines, tokens, comments, comprehensions, conditionals, loose)


def median_nodes(files: Sequence[SourceFile]) -> float:
    return statistics.median(
        nodes_of(function) for source in files for function in functions_of(source.tree)
    )
