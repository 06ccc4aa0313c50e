"""Nothing commits outside its home."""

import ast
from collections.abc import Iterator
from pathlib import Path

from deploy.source.files import PRODUCT, ROOT

MAY_COMMIT = {
    "shared/database/session.py",
    "shared/messaging/kafka.py",
    "deploy/checks/transactions.py",
}
"""Transactions, the consumer's offsets, and this rule itself."""


def commits(root: Path = ROOT) -> Iterator[str]:
    """`file:line` of every commit outside its home: an attribute of anything, a name, or SQL."""
    for path in sorted(
        path for part in (*PRODUCT, "deploy") for path in (root / part).rglob("*.py")
    ):
        name = path.relative_to(root).as_posix()
        if name not in MAY_COMMIT:
            yield from (
                f"{name}:{line}: only shared/database/session.py commits"
                for line in _commits(ast.parse(path.read_bytes()))
            )


def _commits(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        attribute = isinstance(node, ast.Attribute) and node.attr == "commit"
        word = isinstance(node, ast.Constant) and str(node.value).strip(" ;").upper() == "COMMIT"
        if isinstance(node, ast.expr) and (attribute or word):
            yield node.lineno
