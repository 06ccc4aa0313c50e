"""What functions take and what endpoints answer."""

import ast
from collections.abc import Sequence

from deploy.measure.walks import is_route
from deploy.source.files import FunctionNode, SourceFile, functions_of

MANY = 5
FEW = 2


def positional_of(function: FunctionNode) -> list[str]:
    """The parameters that a call may give by position, without `self` and `cls`."""
    names = [argument.arg for argument in [*function.args.posonlyargs, *function.args.args]]
    return names[1:] if names[:1] in (["self"], ["cls"]) else names


def is_endpoint(function: FunctionNode) -> bool:
    return any(is_route(decorator) for decorator in function.decorator_list)


def share_of_many(files: Sequence[SourceFile]) -> float:
    """Percentage of functions, endpoints too, that take more than five parameters by position."""
    functions = [function for source in files for function in functions_of(source.tree)]
    many = [function for function in functions if len(positional_of(function)) > MANY]
    return 100 * len(many) / len(functions)


HOOKS = frozenset({"settings_customise_sources"})
"""Methods whose signature a library gives: pydantic-settings."""


def more_than_two(files: Sequence[SourceFile]) -> list[str]:
    """`file:line name` of each function that takes more than two parameters by position.

    Left out is what only a framework calls: endpoints, dependencies of FastAPI (a function named
    in `Depends(…)`), listeners of SQLAlchemy (`@event.listens_for`), ASGI apps (`scope, receive,
    send`), hooks of libraries by their name, and functions with a parameter `_name`: it is there
    because a library hands it over.
    """
    dependencies = {name for source in files for name in _dependencies(source.tree)}
    found: list[str] = []
    for source in files:
        for function in functions_of(source.tree):
            names = positional_of(function)
            if len(names) > FEW and not _is_called_by_framework(
                function, names, dependencies=dependencies
            ):
                found.append(f"{source.name}:{function.lineno} {function.name}")
    return found


def _dependencies(tree: ast.AST) -> set[str]:
    """The last names of the functions in `Depends(…)`."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and ast.unparse(node.func) == "Depends":
            names.add(ast.unparse(node.args[0]).rpartition(".")[2])
    return names


def _is_called_by_framework(
    function: FunctionNode, names: Sequence[str], *, dependencies: set[str]
) -> bool:
    if (
        is_endpoint(function)
        or function.name in dependencies
        or function.name in HOOKS
        or list(names) == ["scope", "receive", "send"]
        or any(name.startswith("_") for name in names)
    ):
        return True
    return any("listens_for" in ast.unparse(decorator) for decorator in function.decorator_list)


def endpoints(files: Sequence[SourceFile]) -> list[FunctionNode]:
    return [
        function
        for source in files
        for function in functions_of(source.tree)
        if is_endpoint(function)
    ]


def is_untyped(endpoint: FunctionNode) -> bool:
    """Whether an endpoint answers `Any`, or does not say what."""
    return endpoint.returns is None or ast.unparse(endpoint.returns) == "Any"
