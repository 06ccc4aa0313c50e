"""recon/1 (对账): how two sides compare their records without sending them.

A *stream* is what one side sends to the other (`cases>region/push/1`). Each key of a stream has one
row: its version, its operation (I, U, or D for a deleted record) and its record. The canonical
record is RFC 8785 JSON of the exchanged fields: text normalised (NFC) and trimmed, nulls left out,
no control columns. Derived from it are

- `kh` = SHA-256(stream ‖ 0x00 ‖ key); its first two bytes `b1`, `b2` place the row in the tree
  below its window (a business day);
- `rd` = SHA-256(record);
- `e` = SHA-256(kh ‖ version as 8 bytes ‖ op ‖ rd); its first two 64-bit words are `d1`, `d2`;
- the *fingerprint* of any set of rows: (count, Σd1 mod 2⁶⁴, Σd2 mod 2⁶⁴). It is a sum, so that
  doubled rows do not cancel each other out.

The sums are quick to update, but no proof against somebody who may choose rows, or whose stored
sums no longer fit the records. So a weekly comparison also uses the *list digest*: for each window
SHA-256 over the `e` of its rows in the order of `kh`, and SHA-256 over the digests of all windows
in the order of their days.

The *loose* digest is that of the record in capitals, without blanks and times of day. When it is
equal and `rd` is not, a field changed in the other side's columns, not in transport.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

WORD = 2**64
LEAF = 64
"""A set of at most this many rows is listed; a larger one is divided by the next byte of `kh`."""

Value = str | int | bool | None
Record = Mapping[str, Value]

_DAY_AND_TIME = re.compile(
    r"(\d{4}-\d{2}-\d{2})[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?"
)


def stream(resource: str) -> str:
    """The name of what the platform owes the regional platform of a resource."""
    return f"{resource}>region/push/1"


def _normal(value: Value) -> Value:
    return unicodedata.normalize("NFC", value).strip() if isinstance(value, str) else value


def canonical(record: Record) -> str:
    """The RFC 8785 form of a record.

    Keys are ASCII and values are text, integers or booleans, so sorting the keys is enough.
    """
    kept = {name: _normal(value) for name, value in record.items() if value is not None}
    return orjson.dumps(kept, option=orjson.OPT_SORT_KEYS).decode()


def loose(record: Record) -> str:
    """The canonical form without what a column may lose.

    That is letter case, blanks, the time of day and empty fields.
    """
    kept: dict[str, str] = {}
    for name, value in record.items():
        if value is None:
            continue
        bare = _bare(str(value))
        if bare:
            kept[name] = bare
    return orjson.dumps(kept, option=orjson.OPT_SORT_KEYS).decode()


def _bare(text: str) -> str:
    # Most values need none of the expensive steps, and every row of a ledger comes through here.
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    if ":" in text:
        text = _DAY_AND_TIME.sub(r"\1", text)
    return "".join(text.split()).upper()


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


@dataclass(frozen=True, slots=True)
class Entry:
    """What one row adds to a fingerprint: its place below the window, and its two words."""

    b1: int
    b2: int
    d1: int
    d2: int


def row_hash(of_stream: str, *, key: str, version: int, op: str, rd: bytes) -> tuple[bytes, bytes]:
    """`kh` and `e` of one row."""
    kh = key_hash(of_stream, key=key)
    return kh, hashlib.sha256(kh + version.to_bytes(8, "big") + op.encode() + rd).digest()


def entry(of_stream: str, *, key: str, version: int, op: str, rd: bytes) -> Entry:
    """The entry of one row."""
    kh, e = row_hash(of_stream, key=key, version=version, op=op, rd=rd)
    return Entry(kh[0], kh[1], int.from_bytes(e[:8], "big"), int.from_bytes(e[8:16], "big"))


def window_digest(rows: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The digest of a window, from the (`kh`, `e`) of its rows in any order."""
    return hashlib.sha256(b"".join(e for _, e in sorted(rows))).digest()


def list_digest(windows: Mapping[Any, bytes]) -> str:
    """The digest of all windows (day → digest), as hex."""
    return hashlib.sha256(b"".join(windows[day] for day in sorted(windows))).hexdigest()


def key_hash(of_stream: str, *, key: str) -> bytes:
    return hashlib.sha256(f"{of_stream}\0{key}".encode()).digest()


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Count and the two sums."""

    count: int = 0
    s1: int = 0
    s2: int = 0

    def plus(self, entry: Entry) -> "Fingerprint":
        return Fingerprint(self.count + 1, (self.s1 + entry.d1) % WORD, (self.s2 + entry.d2) % WORD)

    def minus(self, entry: Entry) -> "Fingerprint":
        return Fingerprint(self.count - 1, (self.s1 - entry.d1) % WORD, (self.s2 - entry.d2) % WORD)

    def and_also(self, other: "Fingerprint") -> "Fingerprint":
        return Fingerprint(
            self.count + other.count, (self.s1 + other.s1) % WORD, (self.s2 + other.s2) % WORD
        )

    def as_list(self) -> list[int | str]:
        """As it is sent: the sums as text, because many JSON parsers are exact only up to 2⁵³."""
        return [self.count, str(self.s1), str(self.s2)]


def fingerprint(entries: Iterable[Entry]) -> Fingerprint:
    """The fingerprint of rows, in any order."""
    total = Fingerprint()
    for one in entries:
        total = total.plus(one)
    return total
