"""How far a reader travels: two walks through the code, read from its syntax trees.

Both start at an endpoint and go depth first, in the order in which the code is written, into each
function that a call certainly means: by imports, by the annotations of parameters, results and
attributes, and by constructors. A function is entered once. Inner functions belong to the function
around them.

*Files opened* enters every function of the service (what is in `shared` is a library; its names
are taken on trust). It counts the files that hold the functions, the request and answer models of
the endpoint, and the files that only pass one of these names on by importing it.

*Stays* follows one value: into the functions that are handed it, one of its attributes, or a
variable made of it. The result of a function is a new value. A function of `shared` is entered,
but not followed further. A stay is an unbroken run of entered functions in one file; a stay in a
file that was left before is a return.
"""

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from deploy.source.files import FunctionNode
from deploy.source.names import Class, CodeBase, Function, Module
from deploy.source.types import ScopedVisitor, Type, TypeReader

METHODS = frozenset({"get", "post", "put", "patch", "delete"})
SHARED = "shared/"


def is_route(decorator: ast.expr) -> bool:
    """`@router.post("/applications", …)`."""
    return (
        isinstance(decorator, ast.Call)
        and isinstance(decorator.func, ast.Attribute)
        and decorator.func.attr in METHODS
        and isinstance(decorator.func.value, ast.Name)
    )


def find_endpoint(code: CodeBase, service: str, *, method: str, path: str) -> Function:
    """The endpoint of `services/<service>` that answers `method path`.

    Raises:
        LookupError: no such endpoint.
    """
    for module in code.modules.values():
        if not module.file.startswith(f"services/{service}/"):
            continue
        for statement in module.source.tree.body:
            if isinstance(statement, FunctionNode) and _is_answered_by(
                statement, method=method, path=path
            ):
                return Function(module, statement)
    raise LookupError(f"services/{service} has no endpoint {method} {path}")


def _is_answered_by(function: FunctionNode, *, method: str, path: str) -> bool:
    for decorator in function.decorator_list:
        if is_route(decorator) and ast.unparse(decorator).startswith(f"router.{method}({path!r}"):
            return True
    return False


@dataclass(frozen=True)
class FilesOpened:
    """Files by why they are opened."""

    visited: list[str]
    models: list[str]
    passed: list[str]

    @property
    def all(self) -> list[str]:
        return [*self.visited, *self.models, *self.passed]


@dataclass(frozen=True)
class Journey:
    """The functions entered, and the files stayed in, in order."""

    functions: list[Function]
    stays: list[str]

    @property
    def returns(self) -> int:
        return len(self.stays) - len(set(self.stays))


class _Walk:
    def __init__(self, code: CodeBase) -> None:
        self.code = code
        self.types = TypeReader(code)
        self.functions: list[Function] = []
        self.stays: list[str] = []
        self._entered: set[ast.AST] = set()

    def enter(self, function: Function) -> bool:
        """Note a function; False when it was entered before."""
        if function.node in self._entered:
            return False
        self._entered.add(function.node)
        self.functions.append(function)
        if self.stays[-1:] != [function.module.file]:
            self.stays.append(function.module.file)
        return True


class _CallVisitor(ScopedVisitor):
    """Enters every function of one service that the visited function calls or names."""

    def __init__(self, walk: _Walk, function: Function, *, service: str) -> None:
        super().__init__(walk.types, function)
        self.walk = walk
        self.service = service

    def visit_Call(self, node: ast.Call) -> None:
        self.generic_visit(node)
        called = self.types.type_of(self.scope, node.func)
        if isinstance(called, Class):
            for name in ("__init__", "__post_init__"):
                self._follow(self.walk.code.member(called, name))
        self._follow(called)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.generic_visit(node)
        if isinstance(node.ctx, ast.Load):
            self._follow(self._property(node))

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self._follow(self.types.type_of(self.scope, node))

    def _property(self, node: ast.Attribute) -> object:
        held = self.types.type_of(self.scope, node.value)
        owner = getattr(held, "of", None)
        if not isinstance(owner, Class):
            return None
        member = self.walk.code.member(owner, node.attr)
        return member if isinstance(member, Function) and member.is_property else None

    def _follow(self, found: object) -> None:
        if not isinstance(found, Function) or not found.module.file.startswith(self.service):
            return
        if self.walk.enter(found):
            _CallVisitor(self.walk, found, service=self.service).run()


def files_opened(code: CodeBase, endpoint: Function, *, service: str) -> FilesOpened:
    """The files of a service that a reader opens to follow an endpoint to its last effect."""
    folder = f"services/{service}/"
    walk = _Walk(code)
    _ = walk.enter(endpoint)
    _CallVisitor(walk, endpoint, service=folder).run()
    visited = list(dict.fromkeys(walk.stays))
    shown = {model.module.file for model in _models_of(code, endpoint)}
    passed = {module.file for module in _passed_modules(code, endpoint, visited=walk.functions)}
    models = sorted(name for name in shown.difference(visited) if name.startswith(folder))
    others = sorted(name for name in passed.difference(visited, shown) if name.startswith(folder))
    return FilesOpened(visited, models, others)


def _passed_modules(
    code: CodeBase, endpoint: Function, *, visited: Sequence[Function]
) -> list[Module]:
    """The modules through which visited functions and the endpoint's models are found."""
    nodes: set[ast.AST] = {function.node for function in visited}
    passed: list[Module] = []
    for function in visited:
        passed += _modules_named(code, function, visited=nodes)
    for annotation in _model_annotations(endpoint):
        _ = code.meaning(endpoint.module, annotation, hops=passed)
    return passed


def _modules_named(code: CodeBase, function: Function, *, visited: set[ast.AST]) -> list[Module]:
    """The modules through which a function finds visited functions, or their classes."""
    passed: list[Module] = []
    for inner in ast.walk(function.node):
        if not isinstance(inner, ast.Name | ast.Attribute):
            continue
        hops: list[Module] = []
        meaning = code.meaning(function.module, inner, hops=hops)
        named: list[ast.AST] = []
        if isinstance(meaning, Function):
            named = [meaning.node]
        elif isinstance(meaning, Class):
            named = [*meaning.node.body]
        if visited.intersection(named):
            passed += hops
    return passed


def _model_annotations(endpoint: Function) -> list[ast.expr]:
    """Annotations of parameters and result, and `response_model=`."""
    found = [parameter.annotation for parameter in endpoint.parameters] + [endpoint.node.returns]
    for decorator in endpoint.node.decorator_list:
        if isinstance(decorator, ast.Call):
            found += [
                keyword.value for keyword in decorator.keywords if keyword.arg == "response_model"
            ]
    return [annotation for annotation in found if annotation is not None]


def _models_of(code: CodeBase, endpoint: Function) -> list[Class]:
    """The request and answer models of an endpoint."""
    models: list[Class] = []
    for annotation in _model_annotations(endpoint):
        for inner in ast.walk(annotation):
            if not isinstance(inner, ast.Name):
                continue
            meaning = code.meaning(endpoint.module, inner)
            if isinstance(meaning, Class) and _is_model(meaning, code):
                models.append(meaning)
    return models


class _ValueVisitor(ScopedVisitor):
    """Enters the functions that are handed the value. `carried` are the variables that hold it."""

    def __init__(self, walk: _Walk, function: Function, *, carried: set[str]) -> None:
        super().__init__(walk.types, function)
        self.walk = walk
        self.carried = carried

    def assigned(self, node: ast.AST, value: ast.expr, *, targets: Sequence[ast.expr]) -> None:
        super().assigned(node, value, targets=targets)
        if not self.carries(value):
            return
        for target in targets:
            self.carried |= {one.id for one in ast.walk(target) if isinstance(one, ast.Name)}

    def visit_Call(self, node: ast.Call) -> None:
        self.generic_visit(node)
        called = self.types.type_of(self.scope, node.func)
        if not isinstance(called, Function):
            return
        handed = _parameters_of(called, node, carried=[self.carries(one) for one in node.args])
        handed |= {keyword.arg or "" for keyword in node.keywords if self.carries(keyword.value)}
        if handed and self.walk.enter(called) and not called.module.file.startswith(SHARED):
            _ValueVisitor(self.walk, called, carried=handed).run()

    def carries(self, expression: ast.AST) -> bool:
        """Whether an expression is the value, a part of it, or made of it by a library."""
        if isinstance(expression, ast.Name):
            return expression.id in self.carried
        if isinstance(expression, ast.Compare):
            return False
        if isinstance(expression, ast.Call) and self._is_ours(
            self.types.type_of(self.scope, expression.func)
        ):
            return False
        return any(self.carries(inner) for inner in ast.iter_child_nodes(expression))

    def _is_ours(self, called: Type) -> bool:
        return isinstance(called, Function | Class)


def _parameters_of(called: Function, call: ast.Call, *, carried: Sequence[bool]) -> set[str]:
    """The names of the parameters that get the positional arguments that carry the value."""
    arguments = called.node.args
    names = [one.arg for one in [*arguments.posonlyargs, *arguments.args]]
    if called.owner is not None and names[:1] in (["self"], ["cls"]):
        names = names[1:]
    rest = arguments.vararg.arg if arguments.vararg else None
    handed: set[str] = set()
    for place, is_carried in enumerate(carried):
        name = names[place] if place < len(names) else rest
        if is_carried and name is not None:
            handed.add(name)
    return handed


def follow_command(code: CodeBase, endpoint: Function) -> Journey:
    """The journey of the request's body, from the endpoint on."""
    walk = _Walk(code)
    _ = walk.enter(endpoint)
    _ValueVisitor(walk, endpoint, carried={_body_of(code, endpoint)}).run()
    return Journey(walk.functions, walk.stays)


def _body_of(code: CodeBase, endpoint: Function) -> str:
    """The parameter whose annotation names a model."""
    for parameter in endpoint.parameters:
        names = ast.walk(parameter.annotation) if parameter.annotation else ()
        for name in names:
            if isinstance(name, ast.Name) and _is_model(code.meaning(endpoint.module, name), code):
                return parameter.arg
    raise LookupError(f"{endpoint.label} takes no body")


def _is_model(meaning: object, code: CodeBase) -> bool:
    return isinstance(meaning, Class) and "BaseModel" in code.base_names(meaning)
