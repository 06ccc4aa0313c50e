"""A place in a file where a mistake is planted, and how words are misspelt."""

import ast
from dataclasses import dataclass

from deploy.source.files import SourceFile
from deploy.source.names import CodeBase

KINDS = {
    "state": "a misspelt state: a member of an enum, or a word of a column",
    "answer": "a misspelt field of an answer",
    "command": "a misspelt attribute of a request's body",
    "event": "a misspelt field of an event that is made",
    "fact": "a misspelt attribute of an event that is read",
    "document": "a misspelt key, or attribute, of a stored document",
    "entity": "a misspelt attribute of an entity",
    "row": "a misspelt column of a raw row",
    "swap": "two swapped arguments of one type",
    "sql": "a misspelt column in SQL",
}


@dataclass(frozen=True)
class Place:
    """Bytes `start` to `end` of a file, and what a mistake writes there instead.

    `function` is the line where the function or the SQL statement around it begins; `first` and
    `last` are the lines of these bytes.
    """

    kind: str
    file: str
    function: int
    first: int
    last: int
    start: int
    end: int
    old: str
    new: str

    @property
    def service(self) -> str:
        return self.file.split("/")[1]

    @property
    def spot(self) -> tuple[str, int]:
        """The function or SQL statement: two mistakes in one would hide each other."""
        return self.file, self.function

    @property
    def spots(self) -> list[tuple[str, int]]:
        """The file with each line of the mistake."""
        return [(self.file, line) for line in range(self.first, self.last + 1)]

    @property
    def label(self) -> str:
        return f"{self.kind}: {self.file}:{self.first} {self.old} → {self.new}"


class Offsets:
    """Bytes of a file: where a syntax node begins and ends."""

    def __init__(self, source: SourceFile) -> None:
        self.content = source.text.encode()
        self._starts = [0]
        for line in self.content.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))

    def at(self, line: int, *, column: int) -> int:
        return self._starts[line - 1] + column

    def at_character(self, line: int, *, column: int) -> int:
        """As `at`, for a column in characters."""
        start = self._starts[line - 1]
        text = self.content[start : self._starts[line]].decode()
        return start + len(text[:column].encode())

    def line_of(self, offset: int) -> int:
        return self.content.count(b"\n", 0, offset) + 1

    def of(self, node: ast.expr | ast.keyword) -> tuple[int, int]:
        end = self.at(node.end_lineno or node.lineno, column=node.end_col_offset or node.col_offset)
        return self.at(node.lineno, column=node.col_offset), end


def misspelt(word: str, known: frozenset[str]) -> str:
    """The word with a letter too few, or too many where it is short; never one of the `known`."""
    for place in range(len(word) // 2, 0, -1):
        wrong = word[:place] + word[place + 1 :]
        if len(word) > 3 and wrong not in known and wrong.isidentifier():
            return wrong
    return word + word[-1]


def known_names(code: CodeBase) -> frozenset[str]:
    """Every name and attribute of the code base: a misspelt word must not become another one."""
    names: set[str] = set()
    for module in code.modules.values():
        for node in ast.walk(module.source.tree):
            if isinstance(node, ast.Name):
                names.add(node.id)
            elif isinstance(node, ast.Attribute):
                names.add(node.attr)
            elif isinstance(node, ast.arg | ast.keyword) and node.arg:
                names.add(node.arg)
    return frozenset(names)
