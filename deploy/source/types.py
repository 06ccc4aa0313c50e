"""Types of expressions, as annotations and constructors tell them. Others are None."""

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field

from deploy.source.names import (
    Attribute,
    Class,
    CodeBase,
    Constant,
    Function,
    Meaning,
    Module,
)

WRAPPERS = frozenset({"Annotated", "Mapped", "Optional", "Awaitable", "Final", "ClassVar"})
SEQUENCES = frozenset(
    {"list", "Sequence", "Iterable", "Iterator", "AsyncIterator", "set", "frozenset", "Collection"}
)
MAPPINGS = frozenset({"dict", "Mapping"})
MAX_DEPTH = 12
"""Aliases of aliases, and attributes of attributes."""


@dataclass(frozen=True, eq=False)
class Instance:
    """A value of a class of the code base, with the type in its brackets: `Direct[CaseRow]`."""

    of: Class
    item: "Type" = None


@dataclass(frozen=True, eq=False)
class Many:
    """A list, set, iterator or mapping of values of one type."""

    item: "Type"


@dataclass(frozen=True, eq=False)
class Several:
    """A tuple."""

    items: Sequence["Type"]


Type = Instance | Many | Several | Class | Function | None


def _is_type_variable(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Call) and ast.unparse(value.func).endswith("TypeVar")


@dataclass
class Scope:
    """Where an expression stands: its module, and the variables known so far."""

    module: Module
    owner: ast.ClassDef | None = None
    variables: dict[str, Type] = field(default_factory=dict[str, Type])


class TypeReader:
    """Reads types from annotations and expressions."""

    def __init__(self, code: CodeBase) -> None:
        self.code = code

    def scope_of(self, function: Function) -> Scope:
        """The scope at the start of a function: its parameters."""
        scope = Scope(function.module, function.owner)
        for parameter in function.parameters:
            scope.variables[parameter.arg] = self.annotated(function.module, parameter.annotation)
        if function.owner is not None and function.parameters:
            first = function.parameters[0].arg
            owner = Class(function.module, function.owner)
            if first == "self":
                scope.variables[first] = Instance(owner)
            elif first == "cls":
                scope.variables[first] = owner
        return scope

    def annotated(
        self, module: Module, annotation: ast.expr | None, *, item: "Type" = None, depth: int = 0
    ) -> Type:
        """The type that an annotation names; a type variable stands for `item`."""
        if annotation is None or depth > MAX_DEPTH:
            return None
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
            annotation = ast.parse(annotation.value, mode="eval").body
        if isinstance(annotation, ast.BinOp):
            left = self.annotated(module, annotation.left, item=item, depth=depth + 1)
            return left or self.annotated(module, annotation.right, item=item, depth=depth + 1)
        if isinstance(annotation, ast.Subscript):
            return self._generic(module, annotation, item=item, depth=depth + 1)
        if isinstance(annotation, ast.Name | ast.Attribute):
            return self._plain(module, annotation, item=item, depth=depth + 1)
        return None

    def _plain(self, module: Module, annotation: ast.expr, *, item: "Type", depth: int) -> Type:
        meaning = self.code.meaning(module, annotation)
        if isinstance(meaning, Class):
            return Instance(meaning)
        if not isinstance(meaning, Constant):
            return None
        if _is_type_variable(meaning.value):
            return item
        return self.annotated(meaning.module, meaning.value, item=item, depth=depth)

    def _generic(
        self, module: Module, annotation: ast.Subscript, *, item: "Type", depth: int
    ) -> Type:
        name = ast.unparse(annotation.value).rpartition(".")[2]
        inner = annotation.slice
        parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
        if name == "Literal":
            return None
        if name in WRAPPERS:
            return self.annotated(module, parts[0], item=item, depth=depth)
        known = [self.annotated(module, part, item=item, depth=depth) for part in parts]
        if name in SEQUENCES:
            return Many(known[0])
        if name in MAPPINGS:
            return Many(known[-1])
        if name == "tuple":
            return Several(known)
        meaning = self.code.meaning(module, annotation.value)
        return Instance(meaning, known[0]) if isinstance(meaning, Class) else None

    def type_of(self, scope: Scope, expression: ast.expr | None) -> Type:
        """The type of an expression."""
        match expression:
            case ast.Await() | ast.Starred() | ast.NamedExpr():
                return self.type_of(scope, expression.value)
            case ast.Name():
                if expression.id in scope.variables:
                    return scope.variables[expression.id]
                return self._of_meaning(self.code.look_up(scope.module.name, name=expression.id))
            case ast.Attribute():
                return self._of_attribute(scope, expression)
            case ast.Call():
                return self._of_call(scope, expression)
            case ast.Subscript():
                return self._of_subscript(scope, expression)
            case _:
                return self._of_built(scope, expression)

    def _of_built(self, scope: Scope, expression: ast.expr | None) -> Type:
        """The type of what is put together of several expressions."""
        match expression:
            case ast.Tuple():
                return Several([self.type_of(scope, one) for one in expression.elts])
            case ast.List() | ast.Set():
                return Many(self._first_known(scope, expression.elts))
            case ast.IfExp():
                return self._first_known(scope, [expression.body, expression.orelse])
            case ast.BoolOp():
                return self._first_known(scope, expression.values)
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp():
                inner = Scope(scope.module, scope.owner, dict(scope.variables))
                self.bind_generators(inner, expression.generators)
                return Many(self.type_of(inner, expression.elt))
            case _:
                return None

    def _first_known(self, scope: Scope, expressions: Sequence[ast.expr]) -> Type:
        for expression in expressions:
            known = self.type_of(scope, expression)
            if known is not None:
                return known
        return None

    def _of_meaning(self, meaning: Meaning | Attribute | None) -> Type:
        if isinstance(meaning, Class | Function):
            return meaning
        if isinstance(meaning, Constant | Attribute):
            return self._of_assigned(meaning)
        return None

    def _of_assigned(self, found: Constant | Attribute) -> Type:
        known = self.annotated(found.module, found.annotation)
        if known is None and isinstance(found.value, ast.Call):
            return self.type_of(Scope(found.module), found.value)
        return known

    def _of_attribute(self, scope: Scope, expression: ast.Attribute) -> Type:
        root = expression.value
        while isinstance(root, ast.Attribute):
            root = root.value
        if not (isinstance(root, ast.Name) and root.id in scope.variables):
            meaning = self.code.meaning(scope.module, expression)
            if meaning is not None:
                return self._of_meaning(meaning)
        held = self.type_of(scope, expression.value)
        owner = held.of if isinstance(held, Instance) else held
        if not isinstance(owner, Class):
            return None
        member = self.code.member(owner, expression.attr)
        if isinstance(member, Function) and member.is_property:
            return self.annotated(member.module, member.node.returns)
        return self._of_meaning(member)

    def _of_subscript(self, scope: Scope, expression: ast.Subscript) -> Type:
        held = self.type_of(scope, expression.value)
        if isinstance(held, Class):
            # `Direct[CaseRow]`: the class, made for one type.
            return self.annotated(scope.module, expression)
        return held.item if isinstance(held, Many) else None

    def _of_call(self, scope: Scope, call: ast.Call) -> Type:
        called = self.type_of(scope, call.func)
        if isinstance(called, Class):
            return Instance(called, self._item_of(scope, call))
        if isinstance(called, Instance) and isinstance(call.func, ast.Subscript):
            return called
        if not isinstance(called, Function):
            return None
        receiver = (
            self.type_of(scope, call.func.value) if isinstance(call.func, ast.Attribute) else None
        )
        item = receiver.item if isinstance(receiver, Instance) else None
        returns = called.node.returns
        if called.owner is not None and isinstance(returns, ast.Name) and returns.id == "Self":
            return Instance(Class(called.module, called.owner))
        return self.annotated(called.module, returns, item=item)

    def _item_of(self, scope: Scope, call: ast.Call) -> Type:
        """The class that a constructor is given, as in `Direct(statement, CaseRow)`."""
        for argument in [*call.args, *(keyword.value for keyword in call.keywords)]:
            if isinstance(argument, ast.Name):
                given = self.type_of(scope, argument)
                if isinstance(given, Class):
                    return Instance(given)
        return None

    def bind(self, scope: Scope, target: ast.expr, *, known: Type) -> None:
        """Note the type of an assigned variable, or of each variable of an assigned tuple."""
        if isinstance(target, ast.Name):
            scope.variables[target.id] = known
        elif isinstance(target, ast.Tuple):
            items: Sequence[Type] = [None] * len(target.elts)
            if isinstance(known, Several) and len(known.items) == len(target.elts):
                items = known.items
            for one, item in zip(target.elts, items, strict=True):
                self.bind(scope, one, known=item)

    def bind_items(self, scope: Scope, target: ast.expr, *, held: ast.expr) -> None:
        """Note the type of the variable of a loop over `held`."""
        known = self.type_of(scope, held)
        item = known.item if isinstance(known, Many) else None
        self.bind(scope, target, known=item)

    def bind_generators(self, scope: Scope, generators: Sequence[ast.comprehension]) -> None:
        for generator in generators:
            self.bind_items(scope, generator.target, held=generator.iter)

    def bind_statement(self, scope: Scope, statement: ast.AST) -> None:
        """Note the types of the variables that one statement, or one comprehension, assigns."""
        match statement:
            case ast.Assign():
                known = self.type_of(scope, statement.value)
                for target in statement.targets:
                    self.bind(scope, target, known=known)
            case ast.AnnAssign():
                known = self.annotated(scope.module, statement.annotation)
                self.bind(
                    scope, statement.target, known=known or self.type_of(scope, statement.value)
                )
            case ast.For() | ast.AsyncFor():
                self.bind_items(scope, statement.target, held=statement.iter)
            case ast.withitem(optional_vars=ast.expr() as target):
                self.bind(scope, target, known=self.type_of(scope, statement.context_expr))
            case _:
                pass


class ScopedVisitor(ast.NodeVisitor):
    """Visits a function in the order of its code; `scope` knows the variables assigned so far."""

    def __init__(self, types: TypeReader, function: Function) -> None:
        self.types = types
        self.function = function
        self.scope = types.scope_of(function)

    def run(self) -> None:
        for statement in self.function.node.body:
            self.visit(statement)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        self.assigned(node, node.value, targets=node.targets)
        for target in node.targets:
            self.visit(target)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)
            self.assigned(node, node.value, targets=[node.target])

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        self.types.bind(self.scope, node.target, known=self.types.type_of(self.scope, node.value))

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self.visit(node.iter)
        self.assigned(node, node.iter, targets=[node.target])
        for statement in [*node.body, *node.orelse]:
            self.visit(statement)

    def visit_AsyncFor(self, node: ast.AsyncFor) -> None:
        self.visit_For(node)

    def visit_withitem(self, node: ast.withitem) -> None:
        self.visit(node.context_expr)
        targets = [node.optional_vars] if node.optional_vars is not None else []
        self.assigned(node, node.context_expr, targets=targets)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """An inner function belongs to the one around it."""
        for argument in [*node.args.args, *node.args.kwonlyargs]:
            known = self.types.annotated(self.scope.module, argument.annotation)
            _ = self.scope.variables.setdefault(argument.arg, known)
        for statement in node.body:
            self.visit(statement)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)

    def visit_ListComp(
        self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp
    ) -> None:
        for generator in node.generators:
            self.visit(generator.iter)
            self.assigned(generator, generator.iter, targets=[generator.target])
        self.types.bind_generators(self.scope, node.generators)
        for generator in node.generators:
            for condition in generator.ifs:
                self.visit(condition)
        if isinstance(node, ast.DictComp):
            self.visit(node.key)
            self.visit(node.value)
        else:
            self.visit(node.elt)

    def visit_SetComp(self, node: ast.SetComp) -> None:
        self.visit_ListComp(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> None:
        self.visit_ListComp(node)

    def visit_DictComp(self, node: ast.DictComp) -> None:
        self.visit_ListComp(node)

    def assigned(self, node: ast.AST, value: ast.expr, *, targets: Sequence[ast.expr]) -> None:
        """Note the types of the targets, once `value` has been visited. `node` is what assigns."""
        _ = value, targets
        self.types.bind_statement(self.scope, node)
