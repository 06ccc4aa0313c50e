"""Lays stored JSON out in lines without changing any of its tokens.

A golden file must show the bytes of a document and still be readable in a diff. Each token (a
string with its escapes, a number, a key) is kept as it stands; only line breaks and indentation
are added. A document whose spacing is neither of the two known styles is marked.
"""

import re
from collections import Counter
from dataclasses import dataclass, field

WIDTH = 140
LONG = 300
"""Characters from which on a value is shown once only."""

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_SCALAR = re.compile(r"-?[0-9][0-9.eE+-]*|true|false|null")

_AGAIN = re.compile(r"\(again ([^)]+)\)")
_NAMED = re.compile(r"(?<=[{\[]) \(([^()\n]+-[0-9]+)\)$", re.MULTILINE)

COMPACT = (",", ":")
"""As orjson and pydantic write it."""
POSTGRES = (", ", ": ")
"""As PostgreSQL writes `jsonb::text`."""


@dataclass
class Node:
    """A JSON value: `raw` text of a scalar, `members` of an object, or `items` of an array."""

    kind: str
    raw: str = ""
    members: list[tuple[str, "Node"]] = field(default_factory=list["tuple[str, Node]"])
    items: list["Node"] = field(default_factory=list["Node"])


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.place = 0

    def _skip_spaces(self) -> None:
        while self.place < len(self.text) and self.text[self.place] in " \t\r\n":
            self.place += 1

    def _next_is(self, character: str) -> bool:
        self._skip_spaces()
        return self.text[self.place : self.place + 1] == character

    def _accept(self, character: str) -> bool:
        found = self._next_is(character)
        if found:
            self.place += 1
        return found

    def _demand(self, character: str) -> None:
        if not self._accept(character):
            raise ValueError(f"expected {character} at {self.place}")

    def _token(self, pattern: re.Pattern[str]) -> str:
        self._skip_spaces()
        match = pattern.match(self.text, self.place)
        if match is None:
            raise ValueError(f"no JSON value at {self.place}")
        self.place = match.end()
        return match.group()

    def value(self) -> Node:
        if self._accept("{"):
            return self._object()
        if self._accept("["):
            return self._array()
        if self._next_is('"'):
            return Node("scalar", self._token(_STRING))
        return Node("scalar", self._token(_SCALAR))

    def _object(self) -> Node:
        node = Node("object")
        if self._accept("}"):
            return node
        while True:
            key = self._token(_STRING)
            self._demand(":")
            node.members.append((key, self.value()))
            if not self._accept(","):
                break
        self._demand("}")
        return node

    def _array(self) -> Node:
        node = Node("array")
        if self._accept("]"):
            return node
        while True:
            node.items.append(self.value())
            if not self._accept(","):
                break
        self._demand("]")
        return node

    def ended(self) -> bool:
        self._skip_spaces()
        return self.place == len(self.text)


def parse(text: str) -> Node | None:
    """The value by its tokens; None where the text is not an object or array in JSON."""
    if text[:1] not in {"{", "["}:
        return None
    reader = _Reader(text)
    try:
        node = reader.value()
    except ValueError:
        return None
    if not reader.ended():
        return None
    return node


def write(node: Node, style: tuple[str, str]) -> str:
    """The value in one line, with the spacing of `style` (between members, after a key)."""
    between, after_key = style
    if node.kind == "object":
        return (
            "{"
            + between.join(key + after_key + write(value, style) for key, value in node.members)
            + "}"
        )
    if node.kind == "array":
        return "[" + between.join(write(item, style) for item in node.items) + "]"
    return node.raw


def has_known_spacing(text: str, node: Node) -> bool:
    """Whether `write` gives the same text again, so that the layout in lines hides nothing."""
    return text in {write(node, COMPACT), write(node, POSTGRES)}


class Layout:
    """Lays values out in lines. A long value that was shown before is named, not repeated."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._counts: Counter[str] = Counter()

    def lines(self, node: Node, *, name: str = "document", indent: str = "") -> list[str]:
        """The value in indented lines; what fits into `WIDTH` stays in one line."""
        text = write(node, COMPACT)
        if node.kind == "scalar" or len(indent) + len(text) <= WIDTH:
            return [indent + text]
        if len(text) < LONG:
            return self._broken(node, indent)
        if text in self._names:
            return [f"{indent}(again {self._names[text]})"]
        self._counts[name] += 1
        self._names[text] = f"{name}-{self._counts[name]}"
        lines = self._broken(node, indent)
        return [f"{lines[0]} ({self._names[text]})", *lines[1:]]

    def _broken(self, node: Node, indent: str) -> list[str]:
        opening, closing = "[", "]"
        entries = [("", item) for item in node.items]
        if node.kind == "object":
            opening, closing = "{", "}"
            entries = node.members
        lines = [indent + opening]
        for number, (key, value) in enumerate(entries, 1):
            inner = self.lines(value, name=key.strip('"') or "item", indent=indent + "  ")
            first = inner[0].lstrip(" ")
            if key:
                first = f"{key}:{first}"
            inner[0] = f"{indent}  {first}"
            if number < len(entries):
                inner[-1] += ","
            lines += inner
        return [*lines, indent + closing]


def without_lone_names(text: str) -> str:
    """The whole file without the names of values that are shown only once."""
    repeated = set(_AGAIN.findall(text))

    def kept(match: re.Match[str]) -> str:
        return match.group() if match.group(1) in repeated else ""

    return _NAMED.sub(kept, text)
