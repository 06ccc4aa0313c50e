"""Places in functions, by the types that annotations tell.

Where code is untyped they are found by their form: a column that is compared with a word, a key of
a dict, an attribute of what a statement returned.
"""

import ast
import itertools
from collections.abc import Sequence

from deploy.measure.columns import CLOSED
from deploy.measure.walks import is_route
from deploy.mistakes.place import Offsets, Place, misspelt
from deploy.source.names import Attribute, Class, Function
from deploy.source.types import Instance, ScopedVisitor, TypeReader

ENUMS = frozenset({"Enum", "StrEnum", "IntEnum"})
LIBRARY_DICTS = ("headers", "environ", "claims")
"""Dicts whose keys are not ours: HTTP headers, the environment, the claims of a token."""
FETCHING = frozenset({"first", "fetch", "fetchrow", "one", "one_or_none", "all", "execute"})


class FunctionPlaces(ScopedVisitor):
    """Finds the places of one function."""

    def __init__(self, types: TypeReader, function: Function, *, known: frozenset[str]) -> None:
        super().__init__(types, function)
        self.code = types.code
        self.known = known
        self.offsets = Offsets(function.module.source)
        self.found: list[Place] = []
        self._rows: set[str] = set()
        self._methods: set[ast.expr] = set()
        self._is_endpoint = any(is_route(decorator) for decorator in function.node.decorator_list)

    def assigned(self, node: ast.AST, value: ast.expr, *, targets: Sequence[ast.expr]) -> None:
        super().assigned(node, value, targets=targets)
        if _fetches(value):
            self._rows |= {target.id for target in targets if isinstance(target, ast.Name)}
        if isinstance(node, ast.Assign) and isinstance(value, ast.Constant):
            names = {target.attr for target in targets if isinstance(target, ast.Attribute)}
            self._word(value, names)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.generic_visit(node)
        kind = self._kind_of(node) if isinstance(node.ctx, ast.Load) else None
        if kind is not None:
            end = self.offsets.of(node)[1]
            self._misspell(kind, (end - len(node.attr.encode()), end), word=node.attr)

    def _kind_of(self, node: ast.Attribute) -> str | None:
        held = self.types.type_of(self.scope, node.value)
        if held is None:
            return "row" if self._is_row(node) else None
        owner = held.of if isinstance(held, Instance) else held
        if not isinstance(owner, Class) or not isinstance(
            self.code.member(owner, node.attr), Attribute
        ):
            return None
        if isinstance(held, Instance):
            return self._kind_of_class(owner)
        return "state" if self.code.base_names(owner) & ENUMS else None

    def _is_row(self, node: ast.Attribute) -> bool:
        """Whether this reads a column of a row without a type."""
        if node in self._methods or node.attr == "rowcount" or not isinstance(node.value, ast.Name):
            return False
        return node.value.id in self._rows

    def _kind_of_class(self, owner: Class) -> str | None:
        bases = self.code.base_names(owner)
        if "Event" in bases:
            return "fact"
        if "BaseModel" in bases:
            return "command" if "schemas" in owner.module.name.split(".") else "document"
        if "__tablename__" in _assigned_names(owner.node):
            return "entity"
        is_row = "NamedTuple" in bases or owner.node.name.endswith("Row")
        return "row" if is_row else None

    def visit_Compare(self, node: ast.Compare) -> None:
        self.generic_visit(node)
        if not isinstance(node.left, ast.Attribute):
            return
        for operand in node.comparators:
            words = (
                operand.elts if isinstance(operand, ast.Tuple | ast.Set | ast.List) else [operand]
            )
            for word in words:
                self._word(word, {node.left.attr})

    def _word(self, value: ast.expr, names: set[str]) -> None:
        """A word that is compared with, or assigned to, a column of a closed list."""
        if (
            not isinstance(value, ast.Constant)
            or not isinstance(value.value, str)
            or len(value.value) < 3
        ):
            return
        if any(name.rpartition("_")[2] in CLOSED for name in names):
            start, end = self.offsets.of(value)
            self._misspell("state", (start + 1, end - 1), word=value.value)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self.generic_visit(node)
        key = node.slice
        if not isinstance(key, ast.Constant) or not isinstance(key.value, str):
            return
        if ast.unparse(node.value).endswith(LIBRARY_DICTS):
            return
        if key.value.isidentifier() and self.types.type_of(self.scope, node.value) is None:
            start, end = self.offsets.of(key)
            self._misspell("document", (start + 1, end - 1), word=key.value)

    def visit_Return(self, node: ast.Return) -> None:
        """The keys of a dict that an endpoint answers."""
        self.generic_visit(node)
        if not self._is_endpoint or not isinstance(node.value, ast.Dict):
            return
        for key in node.value.keys:
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                start, end = self.offsets.of(key)
                self._misspell("answer", (start + 1, end - 1), word=key.value)

    def visit_Call(self, node: ast.Call) -> None:
        self._methods.add(node.func)
        self.generic_visit(node)
        called = self.types.type_of(self.scope, node.func)
        if isinstance(called, Class):
            self._keywords(called, node)
        elif isinstance(called, Function):
            self._swaps(called, node)

    def _keywords(self, called: Class, call: ast.Call) -> None:
        kind = {"fact": "event", "command": "answer"}.get(self._kind_of_class(called) or "")
        for keyword in call.keywords:
            if keyword.arg is None:
                continue
            if kind is not None:
                start, _ = self.offsets.of(keyword)
                self._misspell(kind, (start, start + len(keyword.arg.encode())), word=keyword.arg)
            self._word(keyword.value, {keyword.arg})

    def _swaps(self, called: Function, call: ast.Call) -> None:
        arguments = called.node.args
        parameters = [*arguments.posonlyargs, *arguments.args]
        if called.owner is not None and parameters[:1] and parameters[0].arg in {"self", "cls"}:
            parameters = parameters[1:]
        given = list(zip(parameters, call.args, strict=False))
        for (parameter, argument), (other, following) in itertools.pairwise(given):
            if _is_swappable(parameter, other=other) and ast.dump(argument) != ast.dump(following):
                self._swap(argument, following=following)

    def _swap(self, argument: ast.expr, *, following: ast.expr) -> None:
        (start, middle), (again, end) = self.offsets.of(argument), self.offsets.of(following)
        content = self.offsets.content
        first, second = content[start:middle].decode(), content[again:end].decode()
        between = content[middle:again].decode()
        self._note(
            "swap", (start, end), old=f"{first}{between}{second}", new=f"{second}{between}{first}"
        )

    def _misspell(self, kind: str, span: tuple[int, int], *, word: str) -> None:
        if self.offsets.content[span[0] : span[1]] == word.encode():
            self._note(kind, span, old=word, new=misspelt(word, self.known))

    def _note(self, kind: str, span: tuple[int, int], *, old: str, new: str) -> None:
        first, last = self.offsets.line_of(span[0]), self.offsets.line_of(span[1])
        file = self.function.module.file
        self.found.append(
            Place(kind, file, self.function.node.lineno, first, last, *span, old, new)
        )


def _fetches(value: ast.expr) -> bool:
    """Whether rows come from this: `await STATEMENT.fetch(…)`."""
    for node in ast.walk(value):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in FETCHING
        ):
            return True
    return False


def _is_swappable(parameter: ast.arg, *, other: ast.arg) -> bool:
    if parameter.annotation is None or other.annotation is None:
        return False
    return ast.unparse(parameter.annotation) == ast.unparse(other.annotation) != "Any"


def _assigned_names(owner: ast.ClassDef) -> set[str]:
    names: set[str] = set()
    for statement in owner.body:
        if isinstance(statement, ast.Assign):
            names.update(target.id for target in statement.targets if isinstance(target, ast.Name))
    return names
