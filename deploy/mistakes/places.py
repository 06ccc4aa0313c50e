"""Where the services can be got wrong: every place, by kind of mistake."""

import ast
import re
import tokenize
from collections.abc import Iterator

from deploy.measure.density import tokens_of
from deploy.mistakes.functions import FunctionPlaces
from deploy.mistakes.place import KINDS, Offsets, Place, known_names, misspelt
from deploy.source.files import FunctionNode
from deploy.source.names import CodeBase, Function, Module
from deploy.source.types import TypeReader

SQL = re.compile(r"\b(SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH|FROM|WHERE|SET|RETURNING|AND)\b")
WORD = re.compile(r"(?<![:\w])[a-z]+(?:_[a-z]+)+\b(?! *\()")
"""In SQL: a name of two words, neither a parameter nor a function."""


def _module_functions(module: Module) -> Iterator[Function]:
    for statement in module.source.tree.body:
        if isinstance(statement, FunctionNode):
            yield Function(module, statement)
        elif isinstance(statement, ast.ClassDef):
            for inner in statement.body:
                if isinstance(inner, FunctionNode):
                    yield Function(module, inner, statement)


def _sql_places(
    module: Module, columns: frozenset[str], *, known: frozenset[str]
) -> Iterator[Place]:
    """Columns in the SQL of a module's constants."""
    offsets = Offsets(module.source)
    for statement, start, text in _sql_strings(module, offsets):
        for word in WORD.finditer(text):
            if word.group() not in columns:
                continue
            first = start + len(text[: word.start()].encode())
            end = first + len(word.group())
            line, wrong = offsets.line_of(first), misspelt(word.group(), known)
            yield Place("sql", module.file, statement, line, line, first, end, word.group(), wrong)


def _sql_strings(module: Module, offsets: Offsets) -> Iterator[tuple[int, int, str]]:
    """The strings of SQL statements: the statement's line, where the string begins, its code."""
    statements = _statement_lines(module)
    for token in tokens_of(module.source):
        if (
            token.type != tokenize.STRING
            or token.start[0] not in statements
            or " " not in token.string
        ):
            continue
        # What an f-string computes is not SQL yet.
        text = re.sub(r"\{[^}]*\}", lambda part: " " * len(part.group()), token.string)
        line, column = token.start
        yield statements[line], offsets.at_character(line, column=column), text


def _statement_lines(module: Module) -> dict[int, int]:
    """Lines of the constants that are SQL, and for each the line where its statement begins."""
    lines: dict[int, int] = {}
    for statement in module.source.tree.body:
        if not isinstance(statement, ast.Assign | ast.AnnAssign) or statement.value is None:
            continue
        text = ast.get_source_segment(module.source.text, statement.value) or ""
        if re.match(r"(Direct|text)\b", text) and SQL.search(text):
            last = statement.end_lineno or statement.lineno
            lines.update(dict.fromkeys(range(statement.lineno, last + 1), statement.lineno))
    return lines


def _column_names(code: CodeBase) -> frozenset[str]:
    names: set[str] = set()
    for module in code.modules.values():
        for node in ast.walk(module.source.tree):
            if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
                continue
            if ast.unparse(node.annotation).startswith("Mapped["):
                names.add(node.target.id)
    return frozenset(names)


def find_places(code: CodeBase) -> dict[str, list[Place]]:
    """All places of the services, by kind, in order of file and line."""
    found: dict[str, list[Place]] = {kind: [] for kind in KINDS}
    types, known, columns = TypeReader(code), known_names(code), _column_names(code)
    for module in code.modules.values():
        if not module.file.startswith("services/"):
            continue
        for function in _module_functions(module):
            finder = FunctionPlaces(types, function, known=known)
            finder.run()
            for place in finder.found:
                found[place.kind].append(place)
        found["sql"].extend(_sql_places(module, columns, known=known))
    return found
