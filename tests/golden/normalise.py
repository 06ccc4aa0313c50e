"""Replaces what differs from one run to the next by placeholders, and keeps every other byte.

- An identifier drawn by the code becomes `<id-1>`, `<id-2>`, … in the order of first appearance,
  the same in answers, events and tables. Identifiers that the scenario chose (`fixed`) or that are
  digests stay.
- A sealed value is opened and its content shown, because only the nonce differs.
- The cursor of a page is shown by its content.
- A signed token is shown as header and payload; only its signature is left out.
- A member or column with a random value (a code, a secret) is named by the scenario and becomes
  `<random>`.
- Of errors the texts for people (`title`, `detail`, `message`) become `<text>`: they may be
  reworded and translated. Status, code, field and rule stay.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.golden.layout import COMPACT, Layout, Node, has_known_spacing, parse, write

FIXED = "00000000-0000-7000-8000-"

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_BARE_ID = re.compile(r"(?<![0-9a-fA-F])[0-9a-fA-F]{32}(?![0-9a-fA-F])")
_SIGNED = re.compile(r"eyJ[0-9A-Za-z_-]+\.eyJ[0-9A-Za-z_-]+\.[0-9A-Za-z_-]+")
_CURSOR = re.compile(
    r"(?<![0-9A-Za-z_-])(?<!w\.)(W[0-9A-Za-z_-]{5,})(?:\.[0-9A-Za-z_-]{22})?(?![0-9A-Za-z_-])"
)
_SHORT_CURSOR = re.compile(r'(?<=")(W[0-9A-Za-z_-]{2,4})\.[0-9A-Za-z_-]{22}(?=")')
"""Of a number below 10 million: shown as it is, without its signature."""
# A window's code is written as a cursor, and its own signature follows.
_WINDOW_CODE = re.compile(r"(?<=\bw\.)(W[0-9A-Za-z_-]{5,})(?![0-9A-Za-z_-])")
_SEALED = re.compile(r'"A[Q-f][0-9A-Za-z+/]{38,}={0,2}"')

PURPOSES = ("case.contact", "case.holder", "identity.person", "exchange.records")
"""What one service seals for another in an event (purpose of the seal)."""
INNER_PURPOSES = ("rating.supplements",)
"""What a service encrypts for itself within a document."""

TEXT = Node("scalar", '"<text>"')
RANDOM = Node("scalar", '"<random>"')


def fixed(number: int) -> str:
    """An identifier that the normaliser leaves as it is."""
    return f"{FIXED}{number:012d}"


def open_encrypted(sealed: bytes, key: bytes, *, purpose: str) -> str | None:
    """The text of a value encrypted for `purpose`, or None.

    Written anew and not imported, because this is the format of stored data.
    """
    if sealed[:1] != b"\x01" or len(sealed) < 29:
        return None
    derived = hmac.digest(key, b"tongban/encrypt/" + purpose.encode(), hashlib.sha256)
    return _opened(derived, sealed, purpose=purpose)


def open_sealed(sealed: bytes, key: bytes, *, purpose: str) -> str | None:
    """The JSON that one service sealed for another under the platform key, or None."""
    if sealed[:1] != b"\x01" or len(sealed) < 29:
        return None
    derived = hmac.digest(key, b"tongban/seal/" + purpose.encode(), hashlib.sha256)
    return _opened(derived, sealed, purpose=purpose)


def _opened(derived: bytes, sealed: bytes, *, purpose: str) -> str | None:
    try:
        return AESGCM(derived).decrypt(sealed[1:13], sealed[13:], purpose.encode()).decode()
    except InvalidTag:
        return None


class Normaliser:
    """Placeholders of one scenario. `random` names members and columns with random values."""

    def __init__(self, *, data_key: bytes, platform_key: bytes) -> None:
        self._data_key = data_key
        self._platform_key = platform_key
        self._numbers: dict[str, int] = {}
        self._rules: list[tuple[re.Pattern[str], str]] = []
        self._bare: dict[str, str] = {}
        self._layout = Layout()
        self.random: set[str] = set()
        self.digests_are_stable = True
        """Identifiers made from a name (version 5) stay: the name is another in no run."""
        self.tokens_are_stable = False
        """Signed tokens stay as they are: the scenario has fixed the key and the identifiers."""

    def replace(self, pattern: str, name: str) -> None:
        """From now on what matches `pattern` becomes `<name-1>`, `<name-2>`, …"""
        self._rules.append((re.compile(pattern), name))

    def text(self, text: str) -> str:
        """`text` with placeholders; new identifiers get the next number."""
        if not self.tokens_are_stable:
            text = _SIGNED.sub(lambda match: self._signed(match.group()), text)
        text = _SHORT_CURSOR.sub(lambda match: match.group(1), text)
        for pattern in (_CURSOR, _WINDOW_CODE):
            text = pattern.sub(lambda match: self._cursor(match.group(1)), text)
        for pattern, name in self._rules:
            text = pattern.sub(lambda match, name=name: self._numbered(name, match.group()), text)
        text = _ID.sub(lambda match: self._identifier(match.group()), text)
        return _BARE_ID.sub(lambda match: self._bare_identifier(match.group()), text)

    def lines(self, text: str, *, name: str = "document", problem: bool = False) -> list[str]:
        """JSON laid out in lines, or the text as it is where it is no JSON document."""
        node = parse(text)
        if node is None:
            return [self.text(line) for line in text.splitlines() or [""]]
        known = has_known_spacing(text, node)
        lines = self._layout.lines(self._changed(node, problem=problem), name=name)
        return lines if known else ["(spacing of its own)", *lines]

    def column(self, table: str, column: str, *, value: str | bytes) -> list[str]:
        """One value of a table."""
        if self.is_random(table, column):
            return ["<random>"]
        if isinstance(value, str):
            return self.lines(value, name=column)
        opened = self._decrypted(table, column, value=value)
        if opened is None:
            text = _readable(value)
            if text is None:
                return ["hex " + value.hex()]
            lines = self.lines(text, name=column)
            return ["bytes " + lines[0], *lines[1:]]
        lines = self.lines(opened, name=column)
        return ["encrypted " + lines[0], *lines[1:]]

    def sort_key(self, table: str, row: Mapping[str, str | bytes | None]) -> str:
        """What a row is sorted by: its content without what differs from run to run."""
        parts: list[str] = []
        for column, value in row.items():
            if value is None or self.is_random(table, column):
                continue
            if isinstance(value, bytes):
                value = (
                    self._decrypted(table, column, value=value) or _readable(value) or value.hex()
                )
            parts.append(f"{column}={value}")
        return self._blank("|".join(parts))

    def is_random(self, table: str, column: str) -> bool:
        return column in self.random or f"{table}.{column}" in self.random

    def _decrypted(self, table: str, column: str, *, value: bytes) -> str | None:
        for purpose in (f"{table}.{column}", column):
            opened = open_encrypted(value, self._data_key, purpose=purpose)
            if opened is not None:
                return opened
        return None

    def _blank(self, text: str) -> str:
        """`text` with known placeholders numbered and all others without number."""
        before, bare = dict(self._numbers), dict(self._bare)
        changed = self.text(text)
        self._numbers, self._bare = before, bare
        highest = len(before)

        def without_number(match: re.Match[str]) -> str:
            if int(match.group(2)) <= highest:
                return match.group()
            return f"<{match.group(1)}>"

        return re.sub(r"<([a-z-]+)-(\d+)>", without_number, changed)

    def _changed(self, node: Node, *, problem: bool) -> Node:
        if node.kind == "object":
            return self._changed_object(node, problem=problem)
        if node.kind == "array":
            return Node(
                "array", items=[self._changed(item, problem=problem) for item in node.items]
            )
        return Node("scalar", self._scalar(node.raw))

    def _changed_object(self, node: Node, *, problem: bool) -> Node:
        names = {key for key, _ in node.members}
        hidden = _texts(names, problem=problem)
        members: list[tuple[str, Node]] = []
        for key, value in node.members:
            name = key.strip('"')
            if key in hidden:
                changed = TEXT
            elif name in self.random and value.raw != "null":
                changed = RANDOM
            else:
                changed = self._changed(value, problem=False)
            members.append((self.text(key), changed))
        return Node("object", members=members)

    def _scalar(self, raw: str) -> str:
        if _SEALED.fullmatch(raw):
            sealed = _bytes_of(raw)
            for purpose in PURPOSES:
                opened = open_sealed(sealed, self._platform_key, purpose=purpose)
                if opened is not None:
                    return f'"<sealed {purpose}> {self.text(opened)}"'
            for purpose in INNER_PURPOSES:
                opened = open_encrypted(sealed, self._data_key, purpose=purpose)
                if opened is not None:
                    return f'"<encrypted {purpose}> {self.text(opened)}"'
        return self.text(raw)

    def _identifier(self, identifier: str) -> str:
        if identifier.startswith(FIXED) or self._follows_from_content(identifier):
            return identifier
        self._bare[identifier.replace("-", "")] = identifier
        return self._numbered("id", identifier)

    def _follows_from_content(self, identifier: str) -> bool:
        """Version 5 is a digest of a name."""
        return self.digests_are_stable and identifier[14] == "5"

    def _bare_identifier(self, text: str) -> str:
        """An identifier written without dashes, where it has appeared with them before."""
        identifier = self._bare.get(text.lower())
        if identifier is None:
            return text
        return self._numbered("id", identifier)

    def _numbered(self, name: str, value: str) -> str:
        number = self._numbers.setdefault(f"{name}:{value}", len(self._numbers) + 1)
        return f"<{name}-{number}>"

    def _cursor(self, cursor: str) -> str:
        """The place of a page, which is a list in JSON; another word that looks like one stays."""
        try:
            content = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
            json.loads(content)
        except (ValueError, UnicodeDecodeError):
            return cursor
        return f"<cursor {self.text(content)}>".replace('"', "'")

    def _signed(self, token: str) -> str:
        header, payload, _ = token.split(".")
        return f"<signed {self._part(header)} {self._part(payload)}>"

    def _part(self, part: str) -> str:
        """A part of a signed token: JSON, laid out as everywhere but in one line."""
        try:
            text = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)).decode()
        except (binascii.Error, UnicodeDecodeError):
            return part
        node = parse(text)
        if node is None:
            return self.text(text)
        shown = write(self._changed(node, problem=False), COMPACT).replace('"', "'")
        return shown if has_known_spacing(text, node) else f"(spacing of its own) {shown}"


def _texts(names: AbstractSet[str], *, problem: bool) -> AbstractSet[str]:
    """The members that are texts for people: of a problem, and of a fault wherever it stands."""
    hidden: set[str] = set()
    if problem:
        hidden |= {'"title"', '"detail"'}
    if {'"rule"', '"message"'} <= names:
        hidden |= {'"message"'}
    return hidden


def _readable(value: bytes) -> str | None:
    """Bytes that are JSON or a signed document, as text."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return None
    if parse(text) is None and not _SIGNED.fullmatch(text):
        return None
    return text


def _bytes_of(raw: str) -> bytes:
    return base64.b64decode(json.loads(raw))
