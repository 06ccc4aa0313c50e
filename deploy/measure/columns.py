"""Columns of closed lists: which are enums, and which text columns look like one by their name."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from deploy.source.names import Class, CodeBase, Module

CLOSED = frozenset(
    {
        "act",
        "action",
        "channel",
        "cause",
        "decision",
        "failure",
        "grain",
        "kind",
        "level",
        "measure",
        "mode",
        "moderation",
        "op",
        "origin",
        "outcome",
        "pf",
        "remedy",
        "result",
        "role",
        "rule",
        "stage",
        "state",
        "status",
        "trust",
        "type",
    }
)
"""Last words of names that mean one of a few values: `state`, `push_state`, `matter_type`."""
OPEN = {
    "AuditRow.action": "each service names its own acts",
    "AuditRow.object_type": "each service names its own objects",
    "DeadLetter.type": "names of facts, also of services that are not there yet",
    "Delivery.cause": "names the status of an answer: `http_503`",
    "Delivery.type": "names of facts of all services",
    "GiveAgainRow.type": "names of facts of all services",
    "InboxTypeRow.type": "names of facts of all services",
    "LoggedEvent.type": "names of facts of all services",
    "RatingCount.pf": "`''` of no channel in a primary key, which takes no NULL",
    "RatingCount.sub_channel": "`''` of no channel in a primary key, which takes no NULL",
    "Reconciliation.failure": "a sentence that tells what went wrong",
    "ReconciliationDifference.cause": "quotes the code of the region: `rejected(<code>)`",
    "RecordCount.measure": "names the rule, or the code of the region: `rejected:<rule>`",
    "Statistic.measure": "names the cause: `rejected:http_503`",
    "Statistic.type": "names of facts of all services",
    "SupervisionRecord.result": "a line of text that the bureau wrote",
    "Ticket.action": "a text that tells the public what was done",
    "TicketStep.outcome": "each act on a ticket has a list of its own: `RootCause`, `PlanClass`, …",
}
"""`Class.column` → why its values are no closed list, although its name sounds like one."""


@dataclass(frozen=True)
class Columns:
    """Numbers of enums and texts; `file:line Class.column` of texts named like a closed list."""

    enums: int
    texts: int
    candidates: list[str]


def columns(code: CodeBase) -> Columns:
    """Count the `Mapped[…]` attributes of all classes."""
    enums = texts = 0
    candidates: list[str] = []
    for module in code.modules.values():
        for owner, attribute, inner in _mapped(module):
            if _is_enum(code, module, annotation=inner):
                enums += 1
            elif "str" in ast.unparse(inner).split(" | "):
                texts += 1
                name = f"{owner.name}.{attribute.id}"
                if attribute.id.rpartition("_")[2] in CLOSED and name not in OPEN:
                    candidates.append(f"{module.file}:{attribute.lineno} {name}")
    return Columns(enums, texts, candidates)


def _mapped(module: Module) -> Iterator[tuple[ast.ClassDef, ast.Name, ast.expr]]:
    for owner in ast.walk(module.source.tree):
        if not isinstance(owner, ast.ClassDef):
            continue
        for statement in owner.body:
            if not isinstance(statement, ast.AnnAssign) or not isinstance(
                statement.target, ast.Name
            ):
                continue
            annotation = statement.annotation
            if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == "Mapped":
                yield owner, statement.target, annotation.slice


def _is_enum(code: CodeBase, module: Module, *, annotation: ast.expr) -> bool:
    parts: Sequence[ast.AST] = list(ast.walk(annotation))
    for part in parts:
        meaning = code.meaning(module, part) if isinstance(part, ast.Name | ast.Attribute) else None
        if isinstance(meaning, Class) and code.base_names(meaning) & {"Enum", "StrEnum", "IntEnum"}:
            return True
    return False
