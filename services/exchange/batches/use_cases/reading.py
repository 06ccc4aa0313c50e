"""Reading a batch's body: to a file while it comes, then line by line, so that memory does not grow with it.

A file that attacks (a zip bomb, deep nesting, doubled names, numbers without end, NUL, broken UTF-8) is refused whole. A line
that is merely no JSON object is a record that comes back.
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
from typing import IO, Any, NoReturn

import orjson

from services.exchange.batches.schemas import MAX_BYTES, MAX_RECORDS
from shared.errors import FieldError, InvalidInputError

IN_MEMORY = 1024 * 1024
UNFOLD = 256 * 1024
MAX_LINE = 64 * 1024
MAX_DEPTH = 16
MAX_DIGITS = 18
MAX_FAULTS = 100
MAX_MALFORMED = 1_000
CHUNK_ROWS = 200
CHUNK_BYTES = 500_000

# A text that never ends is taken to the end of the line: else each quote in it would be tried as a beginning anew.
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"?')
_NUL = re.compile(rb"\x00|(?<!\\)(?:\\\\)*\\u0000")

HOSTILE = {
    "utf8": "is not UTF-8",
    "nul": "holds NUL",
    "max_bytes": f"is longer than {MAX_LINE:,} bytes",
    "max_depth": f"is nested deeper than {MAX_DEPTH}",
    "duplicate_name": "names a member twice",
    "number": f"holds a number of more than {MAX_DIGITS} digits or beyond every range",
}


class HostileLineError(ValueError):
    """The line is no honest mistake. `rule` is one of `HOSTILE`."""

    def __init__(self, rule: str) -> None:
        super().__init__(rule)
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


def _refuse(rule: str, words: str) -> NoReturn:
    raise InvalidInputError(
        f"the batch is refused whole: {words}", [FieldError("body", rule, words)]
    )


@contextmanager
def spool() -> Generator[IO[bytes]]:
    """A file that lies on disk as soon as it is large, and is gone afterwards."""
    with tempfile.SpooledTemporaryFile(IN_MEMORY) as file:
        yield file


async def fill(file: IO[bytes], body: AsyncIterator[bytes], *, packed: bool) -> bytes:
    """Write the body (unfolded when it is gzip) to the file; the SHA-256 of the bytes as sent."""
    digest, written = hashlib.sha256(), 0
    unfold = zlib.decompressobj(wbits=31) if packed else None
    async for part in body:
        digest.update(part)
        for plain in _plain(unfold, part):
            written += len(plain)
            if written > MAX_BYTES:
                _refuse("max_bytes", f"it holds more than {MAX_BYTES:,} bytes")
            _ = file.write(plain)
    if unfold is not None and (not unfold.eof or unfold.unused_data):
        _refuse("gzip", "it is not one whole gzip stream")
    return digest.digest()


def _plain(unfold: Any, part: bytes) -> Generator[bytes]:
    if unfold is None:
        yield part
        return
    try:
        while part and not unfold.eof:
            yield unfold.decompress(part, UNFOLD)
            part = unfold.unconsumed_tail
    except zlib.error:
        _refuse("gzip", "it is not gzip")
    if part or unfold.unused_data:
        _refuse("gzip", "something follows its gzip stream")


def _depth(line: bytes) -> int:
    deepest = depth = 0
    for byte in _STRING.sub(b"", line):
        if byte in b"{[":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"}]":
            depth -= 1
    return deepest


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise HostileLineError("duplicate_name")
    return found


def _whole(text: str) -> int:
    if len(text.lstrip("-")) > MAX_DIGITS:
        raise HostileLineError("number")
    return int(text)


def _broken(text: str) -> float:
    if len(text) > 2 * MAX_DIGITS or (number := float(text)) in {float("inf"), float("-inf")}:
        raise HostileLineError("number")
    return number


def _constant(name: str) -> NoReturn:
    raise ValueError(name)


_DECODE: Callable[[str], Any] = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_whole, parse_float=_broken, parse_constant=_constant
).decode


def is_record(line: bytes) -> bool:
    """Whether the line is a JSON object; raises `HostileLineError`."""
    if len(line.rstrip(b"\r\n")) > MAX_LINE:
        raise HostileLineError("max_bytes")
    if _NUL.search(line):
        raise HostileLineError("nul")
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise HostileLineError("utf8") from None
    if line.count(b"{") + line.count(b"[") > MAX_DEPTH and _depth(line) > MAX_DEPTH:
        raise HostileLineError("max_depth")
    try:
        # orjson also refuses what PostgreSQL would (lone surrogates); the decoder before it sees names twice.
        return isinstance(_DECODE(text), dict) and isinstance(orjson.loads(line), dict)
    except HostileLineError:
        raise
    except ValueError:
        return False


def examine(file: IO[bytes]) -> Contents:
    """Look at every line; refuse the whole for what attacks, with every fault at once."""
    contents, faults = Contents(), list[FieldError]()
    open_chunk: Chunk | None = None
    offset = taken = 0
    _ = file.seek(0)
    while line := file.readline(MAX_LINE + 3):
        row = contents.records = contents.records + 1
        if row > MAX_RECORDS:
            _refuse("max_records", f"it holds more than {MAX_RECORDS:,} records")
        try:
            sound = is_record(line)
        except HostileLineError as error:
            faults.append(FieldError("record", error.rule, f"the line {HOSTILE[error.rule]}", row))
            if len(faults) == MAX_FAULTS or error.rule == "max_bytes":
                break  # What follows a line without end is its rest.
            sound = False
        if not sound:
            contents.malformed.append(row)
            open_chunk = None
        elif open_chunk is None or open_chunk.rows == CHUNK_ROWS or taken + len(line) > CHUNK_BYTES:
            open_chunk, taken = Chunk(offset, row, 1), len(line)
            contents.chunks.append(open_chunk)
        else:
            open_chunk, taken = (
                Chunk(open_chunk.offset, open_chunk.first_row, open_chunk.rows + 1),
                taken + len(line),
            )
            contents.chunks[-1] = open_chunk
        offset += len(line)
    if faults:
        raise InvalidInputError(
            "the batch is refused whole: some of its lines are not what honest records are", faults
        )
    if len(contents.malformed) > MAX_MALFORMED:
        _refuse("ndjson", f"more than {MAX_MALFORMED:,} of its lines are no JSON objects")
    return contents


async def read_contents(file: IO[bytes]) -> Contents:
    """`examine` beside the event loop: 50,000 lines take a second."""
    return await asyncio.to_thread(examine, file)


def read_chunk(file: IO[bytes], chunk: Chunk) -> list[dict[str, Any]]:
    """The records of a chunk."""
    _ = file.seek(chunk.offset)
    return [orjson.loads(file.readline()) for _ in range(chunk.rows)]
