"""The template of a path (`/api/v1/cases/files/{case_id}`), so that logs hold no ids.

The templates are those of the services' contracts; `make docs` writes them to `templates.txt`,
because the gateway imports no service.
"""

from pathlib import Path

UNMATCHED = "unmatched"
"""No template fits; the path itself could hold anything."""
FILE = Path(__file__).resolve().parent / "templates.txt"


class _Node:
    """What may follow a part of a path."""

    __slots__ = ("any", "named", "template")

    def __init__(self) -> None:
        self.named: dict[str, _Node] = {}
        self.any: _Node | None = None
        self.template = UNMATCHED

    def child(self, segment: str) -> "_Node":
        if not segment.startswith("{"):
            return self.named.setdefault(segment, _Node())
        if self.any is None:
            self.any = _Node()
        return self.any


def _tree() -> _Node:
    root = _Node()
    for template in FILE.read_text(encoding="utf-8").split():
        node = root
        for segment in template.split("/"):
            node = node.child(segment)
        node.template = template
    return root


_ROOT = _tree()


def template_of(path: str) -> str:
    """The template of a raw path, `UNMATCHED` when there is none."""
    node = _ROOT
    for segment in path.split("/"):
        following = node.named.get(segment) or node.any
        if following is None:
            return UNMATCHED
        node = following
    return node.template
