"""Names of the code base, followed through imports to what they mean."""

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from deploy.source.files import FunctionNode, SourceFile

MAX_HOPS = 10
"""Imports that only pass a name on, before a name counts as unknown."""


@dataclass(frozen=True, eq=False)
class Module:
    """A file and the names that it defines or imports."""

    source: SourceFile
    names: dict[str, "Definition"] = field(default_factory=dict[str, "Definition"])

    @property
    def name(self) -> str:
        return self.source.module

    @property
    def file(self) -> str:
        return self.source.name


@dataclass(frozen=True, eq=False)
class Function:
    """A function, or with `owner` a method."""

    module: Module
    node: FunctionNode
    owner: ast.ClassDef | None = None

    @property
    def label(self) -> str:
        owner = f"{self.owner.name}." if self.owner else ""
        return f"{self.module.file}:{owner}{self.node.name}"

    @property
    def parameters(self) -> list[ast.arg]:
        arguments = self.node.args
        return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]

    @property
    def is_property(self) -> bool:
        marks = {mark.id for mark in self.node.decorator_list if isinstance(mark, ast.Name)}
        return bool(marks & {"property", "cached_property"})


@dataclass(frozen=True, eq=False)
class Class:
    module: Module
    node: ast.ClassDef


@dataclass(frozen=True)
class ModuleName:
    """A module as a value: `clock` in `clock.now()`."""

    name: str


@dataclass(frozen=True)
class Imported:
    """`name` of another module; `origin` may be a library."""

    origin: str
    name: str


@dataclass(frozen=True, eq=False)
class Constant:
    """A name that is assigned at the top of a module."""

    module: Module
    value: ast.expr | None
    annotation: ast.expr | None


Definition = Function | Class | ModuleName | Imported | Constant
Meaning = Function | Class | ModuleName | Constant


@dataclass(frozen=True, eq=False)
class Attribute:
    """A declared attribute of a class: `state: Mapped[State]`, or one that `__init__` assigns."""

    module: Module
    annotation: ast.expr | None
    value: ast.expr | None


def _define(module: Module, statements: Iterable[ast.stmt]) -> None:
    for statement in statements:
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                module.names[statement.name] = Function(module, statement)
            case ast.ClassDef():
                module.names[statement.name] = Class(module, statement)
            case ast.Import() | ast.ImportFrom():
                _define_imports(module, statement)
            case ast.Assign() | ast.AnnAssign():
                _define_constant(module, statement)
            case ast.If():
                _define(module, statement.body)
                _define(module, statement.orelse)
            case _:
                pass


def _define_imports(module: Module, statement: ast.Import | ast.ImportFrom) -> None:
    for alias in statement.names:
        if isinstance(statement, ast.ImportFrom):
            module.names[alias.asname or alias.name] = Imported(statement.module or "", alias.name)
        elif alias.asname:
            module.names[alias.asname] = ModuleName(alias.name)
        else:
            top = alias.name.partition(".")[0]
            module.names[top] = ModuleName(top)


def _define_constant(module: Module, statement: ast.Assign | ast.AnnAssign) -> None:
    annotation = statement.annotation if isinstance(statement, ast.AnnAssign) else None
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    for target in targets:
        if isinstance(target, ast.Name):
            _ = module.names.setdefault(target.id, Constant(module, statement.value, annotation))


class CodeBase:
    """Modules by their dotted name. A name that leads to a library has no meaning here (None)."""

    def __init__(self, files: Sequence[SourceFile]) -> None:
        self.modules: dict[str, Module] = {}
        for source in files:
            module = Module(source)
            _define(module, source.tree.body)
            self.modules[module.name] = module

    def look_up(
        self, module: str, *, name: str, hops: list[Module] | None = None
    ) -> Meaning | None:
        """What `name` means in `module`. Every module that the search passes is added to `hops`."""
        passed = hops if hops is not None else []
        for _ in range(MAX_HOPS):
            here = self.modules.get(module)
            found = here.names.get(name) if here is not None else None
            if here is None or found is None:
                return self._submodule(module, name=name)
            passed.append(here)
            if not isinstance(found, Imported):
                return found
            module, name = found.origin, found.name
        return None

    def _submodule(self, package: str, *, name: str) -> ModuleName | None:
        dotted = f"{package}.{name}"
        return ModuleName(dotted) if dotted in self.modules else None

    def meaning(
        self, module: Module, expression: ast.expr, *, hops: list[Module] | None = None
    ) -> Meaning | Attribute | None:
        """What a name, or a chain of names with dots, means at the top of a module."""
        if isinstance(expression, ast.Subscript):
            return self.meaning(module, expression.value, hops=hops)
        if isinstance(expression, ast.Name):
            return self.look_up(module.name, name=expression.id, hops=hops)
        if not isinstance(expression, ast.Attribute):
            return None
        owner = self.meaning(module, expression.value, hops=hops)
        if isinstance(owner, ModuleName):
            return self.look_up(owner.name, name=expression.attr, hops=hops)
        if isinstance(owner, Class):
            return self.member(owner, expression.attr)
        return None

    def bases(self, owner: Class) -> list[Class]:
        """The classes of the code base that a class is made of, itself first."""
        found = [owner]
        for one in found:
            for base in one.node.bases:
                parent = self.meaning(one.module, base)
                if isinstance(parent, Class) and all(
                    parent.node is not known.node for known in found
                ):
                    found.append(parent)
        return found

    def base_names(self, owner: Class) -> set[str]:
        """The last names of all bases, those of libraries too: `Event`, `BaseModel`, `StrEnum`."""
        names: set[str] = set()
        for one in self.bases(owner):
            names.add(one.node.name)
            names.update(
                ast.unparse(base).partition("[")[0].rpartition(".")[2] for base in one.node.bases
            )
        return names

    def member(self, owner: Class, name: str) -> Function | Attribute | None:
        for one in self.bases(owner):
            found = _own_member(one, name)
            if found is not None:
                return found
        return None


def _own_member(owner: Class, name: str) -> Function | Attribute | None:
    for statement in owner.node.body:
        found = _declared_member(owner, statement, name=name)
        if found is not None:
            return found
    for statement in owner.node.body:
        if isinstance(statement, FunctionNode) and statement.name == "__init__":
            return _assigned_member(owner, statement, name=name)
    return None


def _declared_member(
    owner: Class, statement: ast.stmt, *, name: str
) -> Function | Attribute | None:
    if isinstance(statement, FunctionNode) and statement.name == name:
        return Function(owner.module, statement, owner.node)
    if isinstance(statement, ast.AnnAssign) and _is_name(statement.target, name):
        return Attribute(owner.module, statement.annotation, statement.value)
    if isinstance(statement, ast.Assign) and any(
        _is_name(target, name) for target in statement.targets
    ):
        return Attribute(owner.module, None, statement.value)
    return None


def _is_name(expression: ast.expr, name: str) -> bool:
    return isinstance(expression, ast.Name) and expression.id == name


def _assigned_member(owner: Class, start: FunctionNode, *, name: str) -> Attribute | None:
    """`self.name = …` of an `__init__`; an assigned parameter lends its annotation."""
    annotations = {
        argument.arg: argument.annotation for argument in [*start.args.args, *start.args.kwonlyargs]
    }
    for statement in ast.walk(start):
        if not isinstance(statement, ast.Assign | ast.AnnAssign):
            continue
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        if not any(_is_self(target, name) for target in targets):
            continue
        if isinstance(statement, ast.AnnAssign):
            return Attribute(owner.module, statement.annotation, statement.value)
        if isinstance(statement.value, ast.Name) and statement.value.id in annotations:
            return Attribute(owner.module, annotations[statement.value.id], None)
        return Attribute(owner.module, None, statement.value)
    return None


def _is_self(target: ast.expr, name: str) -> bool:
    return (
        isinstance(target, ast.Attribute) and target.attr == name and _is_name(target.value, "self")
    )
