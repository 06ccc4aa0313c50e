"""Reading a batch's body: to a file while it comes, then line by line.

So memory does not grow with the body. A file that attacks (a zip bomb, deep nesting, doubled names,
numbers without end, NUL, broken UTF-8) is refused whole. A line that is merely no JSON object is a
record that comes back.
"""

import asyncio
import hashlib
import json
import re
import tempfile
import zlib
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, NoReturn, Protocol

import orjson

from services.exchange.batches.schemas import MAX_BYTES, MAX_RECORDS
from shared.errors import FieldError, InvalidInputError, Rule

IN_MEMORY = 1024 * 1024
UNPACKED_AT_ONCE = 256 * 1024
MAX_LINE = 64 * 1024
"""Bytes, without the end of line."""
MAX_DEPTH = 16
# Every integer of 18 digits fits into 64 bits.
MAX_DIGITS = 18
MAX_FAULTS = 100
# Each malformed line is a row and a line of the receipt; a file of them is no NDJSON.
MAX_MALFORMED = 1_000
# A chunk is one event, sealed: its records must stay well below the bus's limit of 1 MiB.
CHUNK_ROWS = 200
CHUNK_BYTES = 500_000

# A text that never ends is taken to the end of the line: else each quote in it would be tried as a
# beginning anew.
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"?')
_NUL = re.compile(rb"\x00|(?<!\\)(?:\\\\)*\\u0000")
_INFINITE = (float("inf"), float("-inf"))

NOT_UTF8 = Rule("utf8", "the line is not UTF-8")
HOLDS_NUL = Rule("nul", "the line holds NUL")
TOO_LONG = Rule("max_bytes", "the line is longer than {limit:,} bytes", limit=MAX_LINE)
TOO_DEEP = Rule("max_depth", "the line is nested deeper than {limit}", limit=MAX_DEPTH)
DOUBLED_NAME = Rule("duplicate_name", "the line names a member twice")
TOO_LARGE_NUMBER = Rule(
    "number",
    "the line holds a number of more than {limit} digits or beyond every range",
    limit=MAX_DIGITS,
)


class HostileLineError(ValueError):
    """The line looks like an attack, not like a mistake. `rule` says what is wrong with it."""

    def __init__(self, rule: Rule) -> None:
        super().__init__(rule.name)
        self.rule = rule


@dataclass(frozen=True, slots=True)
class Chunk:
    """Neighbouring sound rows: where the first begins in the file, its row from 1, how many."""

    offset: int
    first_row: int
    rows: int


@dataclass(slots=True)
class Contents:
    """What a file holds: its chunks, and the rows that are no JSON objects."""

    chunks: list[Chunk] = field(default_factory=list[Chunk])
    malformed: list[int] = field(default_factory=list[int])
    records: int = 0


class Decompressor(Protocol):
    """What `zlib.decompressobj` makes."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def unconsumed_tail(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = 0, /) -> bytes: ...


def _refused(fault: FieldError) -> InvalidInputError:
    return InvalidInputError("the batch is refused whole; see what is wrong with its body", [fault])


@contextmanager
def spool() -> Generator[IO[bytes]]:
    """A file that goes to disk as soon as it is large, and is gone afterwards."""
    with tempfile.SpooledTemporaryFile(IN_MEMORY) as file:
        yield file


async def fill(file: IO[bytes], body: AsyncIterator[bytes], *, packed: bool) -> bytes:
    """Write the body (unpacked when it is gzip) to the file; the SHA-256 of the bytes as sent.

    Raises `InvalidInputError` when it is too large, or no gzip although it should be.
    """
    digest = hashlib.sha256()
    written = 0
    gzip: Decompressor | None = None
    if packed:
        # 31: gzip with its header and checksum, and nothing else.
        gzip = zlib.decompressobj(wbits=31)
    async for part in body:
        # Over the bytes as sent, packed ones too: those are what the peer has signed.
        digest.update(part)
        for plain in _unpack(gzip, part):
            written += len(plain)
            if written > MAX_BYTES:
                raise _refused(
                    FieldError(
                        "body",
                        "max_bytes",
                        message="it holds more than {limit:,} bytes",
                        limit=MAX_BYTES,
                    )
                )
            _ = file.write(plain)
    if gzip is not None and (not gzip.eof or gzip.unused_data):
        raise _refused(FieldError("body", "gzip", message="it is not one whole gzip stream"))
    return digest.digest()


def _unpack(gzip: Decompressor | None, part: bytes) -> Generator[bytes]:
    """The part as it is, or unpacked a little at a time, so that a zip bomb is noticed early."""
    if gzip is None:
        yield part
        return
    try:
        while part and not gzip.eof:
            yield gzip.decompress(part, UNPACKED_AT_ONCE)
            part = gzip.unconsumed_tail
    except zlib.error:
        raise _refused(FieldError("body", "gzip", message="it is not gzip")) from None
    if part or gzip.unused_data:
        raise _refused(FieldError("body", "gzip", message="something follows its gzip stream"))


def _depth(line: bytes) -> int:
    deepest = depth = 0
    for byte in _STRING.sub(b"", line):
        if byte in b"{[":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"}]":
            depth -= 1
    return deepest


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise HostileLineError(DOUBLED_NAME)
    return found


def _whole(text: str) -> int:
    if len(text.lstrip("-")) > MAX_DIGITS:
        raise HostileLineError(TOO_LARGE_NUMBER)
    return int(text)


def _fraction(text: str) -> float:
    if len(text) > 2 * MAX_DIGITS:
        raise HostileLineError(TOO_LARGE_NUMBER)
    number = float(text)
    if number in _INFINITE:
        raise HostileLineError(TOO_LARGE_NUMBER)
    return number


def _constant(name: str) -> NoReturn:
    # NaN and Infinity are no JSON.
    raise ValueError(name)


_decode: Callable[[str], object] = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_whole, parse_float=_fraction, parse_constant=_constant
).decode


def is_record(line: bytes) -> bool:
    """Whether the line is a JSON object; raises `HostileLineError` for one that attacks."""
    if len(line.rstrip(b"\r\n")) > MAX_LINE:
        raise HostileLineError(TOO_LONG)
    if _NUL.search(line):
        raise HostileLineError(HOLDS_NUL)
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise HostileLineError(NOT_UTF8) from None
    # Most lines have few brackets: only the others are worth counting exactly.
    if line.count(b"{") + line.count(b"[") > MAX_DEPTH and _depth(line) > MAX_DEPTH:
        raise HostileLineError(TOO_DEEP)
    try:
        # orjson also refuses what PostgreSQL would (lone surrogates); the decoder before it
        # notices doubled names.
        return isinstance(_decode(text), dict) and isinstance(orjson.loads(line), dict)
    except HostileLineError:
        raise
    except ValueError:
        return False


class _Chunker:
    """Puts neighbouring sound rows together, up to `CHUNK_ROWS` and `CHUNK_BYTES`."""

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self._open = False
        self._bytes = 0

    def add(self, row: int, *, offset: int, size: int) -> None:
        last = self.chunks[-1] if self._open else None
        if last is None or last.rows == CHUNK_ROWS or self._bytes + size > CHUNK_BYTES:
            self.chunks.append(Chunk(offset, row, 1))
            self._open = True
            self._bytes = size
            return
        self.chunks[-1] = Chunk(last.offset, last.first_row, last.rows + 1)
        self._bytes += size

    def interrupt(self) -> None:
        """The next row does not follow the last one."""
        self._open = False


class _Examination:
    """Looks at the lines of one file, in their order."""

    def __init__(self) -> None:
        self._contents = Contents()
        self._chunker = _Chunker()
        self._faults: list[FieldError] = []
        self._offset = 0

    def look_at(self, line: bytes) -> bool:
        """Whether the next line is worth looking at."""
        row = self._contents.records + 1
        if row > MAX_RECORDS:
            raise _refused(
                FieldError(
                    "body",
                    "max_records",
                    message="it holds more than {limit:,} records",
                    limit=MAX_RECORDS,
                )
            )
        self._contents.records = row
        try:
            is_sound = is_record(line)
        except HostileLineError as error:
            self._faults.append(FieldError.at("record", error.rule, row=row))
            is_sound = False
            # What follows a line without end is its rest.
            if len(self._faults) == MAX_FAULTS or error.rule == TOO_LONG:
                return False
        if is_sound:
            self._chunker.add(row, offset=self._offset, size=len(line))
        else:
            self._contents.malformed.append(row)
            self._chunker.interrupt()
        self._offset += len(line)
        return True

    def result(self) -> Contents:
        if self._faults:
            raise InvalidInputError(
                "the batch is refused whole: some of its lines are not acceptable",
                self._faults,
            )
        if len(self._contents.malformed) > MAX_MALFORMED:
            raise _refused(
                FieldError(
                    "body",
                    "ndjson",
                    message="more than {limit:,} of its lines are no JSON objects",
                    limit=MAX_MALFORMED,
                )
            )
        self._contents.chunks = self._chunker.chunks
        return self._contents


def examine(file: IO[bytes]) -> Contents:
    """Look at every line.

    Raises `InvalidInputError` for a file that attacks, with every fault at once.
    """
    examination = _Examination()
    _ = file.seek(0)
    # Two bytes more than a line may have, so that an end of line fits in, and one to notice that
    # it is longer.
    while line := file.readline(MAX_LINE + 3):
        if not examination.look_at(line):
            break
    return examination.result()


async def read_contents(file: IO[bytes]) -> Contents:
    """`examine` beside the event loop: 50,000 lines take a second."""
    return await asyncio.to_thread(examine, file)


# The records are the peer's own JSON; the service that judges them knows their fields.
def read_chunk(file: IO[bytes], chunk: Chunk) -> list[dict[str, object]]:
    """The records of a chunk."""
    _ = file.seek(chunk.offset)
    return [orjson.loads(file.readline()) for _ in range(chunk.rows)]
