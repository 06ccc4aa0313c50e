"""The shape of functions: their size, their nested expressions, and the ways through them."""

import ast
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from radon.complexity import cc_visit
from radon.visitors import Function as Block

from deploy.source.files import COMPREHENSIONS, FunctionNode, SourceFile, named_functions, nodes_of

MAX_NODES = 200
MEDIAN_NODES = 40
MAX_COMPLEXITY = 10
TOP = "<module>"
"""The place of code that stands in no function."""


@dataclass(frozen=True)
class Fault:
    """A rule broken at `file:line`, in the function with the qualified name `function`."""

    file: str
    line: int
    function: str
    rule: str
    message: str

    @property
    def key(self) -> str:
        """How the list of allowed faults names it: lines move too often."""
        return f"{self.file}::{self.function} {self.rule}"

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.function}: {self.message}"


def sizes(files: Sequence[SourceFile]) -> Iterator[Fault]:
    """`nodes`: a function has more than 200; `median`: half of all functions have more than 40."""
    counts: list[int] = []
    for source in files:
        for name, function in named_functions(source.tree):
            count = nodes_of(function)
            counts.append(count)
            if count > MAX_NODES:
                text = f"{count} syntax nodes, at most {MAX_NODES} are allowed"
                yield Fault(source.name, function.lineno, name, "nodes", text)
    median = statistics.median(counts) if counts else 0
    if median > MEDIAN_NODES:
        text = f"the median function has {median:.0f} syntax nodes, {MEDIAN_NODES} are allowed"
        yield Fault("*", 0, "*", "median", text)


def expressions(files: Sequence[SourceFile]) -> Iterator[Fault]:
    """`comprehension`: one inside another; `conditional`: one in an f-string or in an argument."""
    for source in files:
        for name, node in _located(source.tree, TOP):
            if isinstance(node, COMPREHENSIONS) and _holds(node, COMPREHENSIONS):
                text = "a comprehension inside a comprehension"
                yield Fault(source.name, node.lineno, name, "comprehension", text)
            if isinstance(node, ast.JoinedStr) and _holds(node, ast.IfExp):
                text = "a conditional expression in an f-string"
                yield Fault(source.name, node.lineno, name, "conditional", text)
            for argument in _arguments(node):
                text = "a conditional expression in an argument"
                if isinstance(argument, ast.IfExp) or _holds(argument, ast.IfExp):
                    yield Fault(source.name, argument.lineno, name, "conditional", text)


def _arguments(node: ast.AST) -> Sequence[ast.expr | ast.keyword]:
    return [*node.args, *node.keywords] if isinstance(node, ast.Call) else []


def _located(node: ast.AST, function: str) -> Iterator[tuple[str, ast.AST]]:
    """Every node below `node`, with the qualified name of the function around it."""
    for inner in ast.iter_child_nodes(node):
        name = function
        if isinstance(inner, FunctionNode | ast.ClassDef):
            name = inner.name if function == TOP else f"{function}.{inner.name}"
        yield name, inner
        yield from _located(inner, name)


def _holds(node: ast.AST, kinds: type[ast.AST] | tuple[type[ast.AST], ...]) -> bool:
    return any(isinstance(inner, kinds) for inner in ast.walk(node) if inner is not node)


def complexities(files: Sequence[SourceFile]) -> Iterator[Fault]:
    """`complexity`: more than ten ways through a function, as radon counts them."""
    for source in files:
        for block in cc_visit(source.text):
            # A class is listed too, with the sum of its methods.
            if isinstance(block, Block) and block.complexity > MAX_COMPLEXITY:
                text = f"complexity {block.complexity}, at most {MAX_COMPLEXITY} is allowed"
                name = f"{block.classname}.{block.name}" if block.is_method else block.name
                yield Fault(source.name, block.lineno, name, "complexity", text)


def shape_faults(files: Sequence[SourceFile]) -> list[Fault]:
    """All of them, also those that are still allowed."""
    return [*sizes(files), *expressions(files), *complexities(files)]
