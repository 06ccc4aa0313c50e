"""The Python files of the project and their syntax trees."""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PRODUCT = ("services", "shared", "gateway")
"""What runs in a city. `deploy` starts it, `tests` and `bench` prove it."""

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(frozen=True)
class SourceFile:
    """One Python file. `name` is its path below the root, with `/`."""

    name: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @property
    def module(self) -> str:
        """The dotted name by which the file is imported."""
        dotted = self.name.removesuffix(".py").replace("/", ".")
        return dotted.removesuffix(".__init__")


def source_files(root: Path, parts: Iterable[str]) -> list[SourceFile]:
    """Every Python file below `parts`, sorted by path; no migrations, which never change."""
    found: list[SourceFile] = []
    for part in parts:
        for path in sorted((root / part).rglob("*.py")):
            name = path.relative_to(root).as_posix()
            if "/migrations/" not in name:
                found.append(SourceFile(name, path.read_text(encoding="utf-8")))
    return found


def functions_of(tree: ast.AST) -> Iterator[FunctionNode]:
    """Every function, method and inner function."""
    for node in ast.walk(tree):
        if isinstance(node, FunctionNode):
            yield node


def named_functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, FunctionNode]]:
    """Every function with its qualified name: `Case.accept`, `build.inner`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, FunctionNode):
            yield f"{prefix}{node.name}", node
            yield from named_functions(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.ClassDef):
            yield from named_functions(node, f"{prefix}{node.name}.")
        else:
            yield from named_functions(node, prefix)


def nodes_of(function: FunctionNode) -> int:
    """Syntax nodes of a body, its docstring and inner functions included, the signature not."""
    return sum(1 for statement in function.body for _ in ast.walk(statement))


def docstring_of(node: ast.AST) -> ast.Expr | None:
    """A statement that is only a string: a docstring, or the description below a constant."""
    if (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ):
        return node
    return None
