"""What the simulated regional platform holds, and its mistakes: at random by a seed, or planted."""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypedDict

import orjson

from services.exchange.region.use_cases.tables import COLUMNS, KEY
from shared.domain.recon import (
    WORD,
    Fingerprint,
    Value,
    canonical,
    digest,
    entry,
    loose,
    row_hash,
    stream,
    window_digest,
)

CONTROL_COLUMNS = ("row_guid", "cd_batch", "cd_operation", "cd_time", "data_source", "version")
DAY_COLUMN = {"cases": "receive_date", "ratings": "assess_date"}
"""The column that is the immutable business day of a record."""
SNAPSHOTS_KEPT = 8

Row = dict[str, Value]
Node = tuple[str | int, ...]
"""A place in the tree of recon/1: (day), (day, b1) or (day, b1, b2)."""
Sums = dict[Node, Fingerprint]
Mistake = Literal["lose", "extra", "duplicate", "older", "newer", "corrupt", "forge", "lossy"]


class Push(TypedDict):
    """The body of `POST /batches`."""

    cd_batch: str
    resource: str
    number: int
    tables: dict[str, list[Row]]


class StoredRecord(NamedTuple):
    """One record as the region holds it: `text` is its canonical form, from the rows of all tables.

    `b1`, `b2`, `d1` and `d2` are its weight in recon/1.
    """

    key: str
    version: int
    op: str
    day: str
    text: str
    b1: int
    b2: int
    d1: int
    d2: int


def _stored(
    resource: str, *, key: str, version: int, op: str, record: Row, day: str = ""
) -> StoredRecord:
    return _stored_text(
        resource,
        key=key,
        version=version,
        op=op,
        day=day or str(record[DAY_COLUMN[resource]]),
        text=canonical(record),
    )


def _stored_text(
    resource: str, *, key: str, version: int, op: str, day: str, text: str
) -> StoredRecord:
    weight = entry(stream(resource), key=key, version=version, op=op, rd=digest(text))
    return StoredRecord(key, version, op, day, text, weight.b1, weight.b2, weight.d1, weight.d2)


@dataclass
class FaultRates:
    """How many of a thousand rows are lost, doubled or refused, and of a thousand requests broken.

    `delay` is in seconds.
    """

    lose: int = 0
    duplicate: int = 0
    reject: int = 0
    breaks: int = 0
    delay: float = 0.0


@dataclass
class Batch:
    """A push as it came. Its rows are checked and stored once `ready_at` has come."""

    resource: str
    number: int
    ready_at: float
    rows: list[dict[str, Row]]
    """For every record, its row in each table."""
    rejects: list[dict[str, Value | float]] = field(default_factory=list[dict[str, Value | float]])
    checked: bool = False

    @property
    def keys(self) -> set[str]:
        return {_key_of(self.resource, row) for row in self.rows}


def _key_of(resource: str, rows: Mapping[str, Row]) -> str:
    first = next(iter(rows.values()))
    return str(first[KEY[resource]])


@dataclass
class Snapshot:
    """What was there at the cut of a reconciliation, without the open keys, already summed."""

    resource: str
    children: dict[tuple[str, int], list[StoredRecord]]
    """By window and first byte."""

    def __post_init__(self) -> None:
        self.sums = {node: total_of(records) for node, records in self.children.items()}

    def windows(self) -> Sums:
        found: dict[str, Fingerprint] = defaultdict(Fingerprint)
        for (day, _), fingerprint in self.sums.items():
            found[day] = found[day].and_also(fingerprint)
        return {(day,): fingerprint for day, fingerprint in found.items()}

    def child(self, day: str, b1: int) -> list[StoredRecord]:
        return self.children.get((day, b1), [])


def total_of(records: Sequence[StoredRecord]) -> Fingerprint:
    # Column by column: a benchmark sums a million of them.
    *_, d1, d2 = zip(*records, strict=True)
    return Fingerprint(len(records), sum(d1) % WORD, sum(d2) % WORD)


class Store:
    """Tables of the region in memory, its reject tables, and the truth about what went wrong."""

    def __init__(self, seed: int, rates: FaultRates) -> None:
        self.rates = rates
        self.records: dict[str, dict[str, list[StoredRecord]]] = {name: {} for name in KEY}
        self.batches: dict[str, Batch] = {}
        self.acknowledged: dict[str, int] = dict.fromkeys(KEY, 0)
        self.snapshots: dict[str, Snapshot] = {}
        self.truth: dict[str, list[str]] = defaultdict(list)
        self._chance = random.Random(seed)  # noqa: S311 - repeatable faults

    def fails(self, of_a_thousand: int) -> bool:
        """Whether a fault that happens this often happens now."""
        return self._chance.random() * 1000 < of_a_thousand

    async def receive(self, push: Push) -> None:
        """Acknowledge a push; a repeat of one that is known changes nothing."""
        batch_id, resource = push["cd_batch"], push["resource"]
        if batch_id in self.batches:
            return
        records: dict[Value, dict[str, Row]] = defaultdict(dict)
        for table, rows in push["tables"].items():
            for row in rows:
                records[row[KEY[resource]]][table] = row
        ready_at = time.monotonic() + self.rates.delay
        batch = Batch(resource, push["number"], ready_at, list(records.values()))
        self.batches[batch_id] = batch
        self.acknowledged[resource] = max(self.acknowledged[resource], push["number"])
        self.check_due_batches()
        # A large push takes long; other requests get a turn.
        await asyncio.sleep(0)

    def check_due_batches(self) -> None:
        """Check and store the rows of every push whose time has come."""
        now = time.monotonic()
        for batch in self.batches.values():
            if not batch.checked and batch.ready_at <= now:
                for rows in batch.rows:
                    self._check(batch, rows)
                batch.checked, batch.rows = True, []

    def _check(self, batch: Batch, rows: Mapping[str, Row]) -> None:
        """The quality check of one record; then it is refused, lost or stored."""
        first = next(iter(rows.values()))
        key = _key_of(batch.resource, rows)
        record: Row = {}
        for row in rows.values():
            record |= {name: row[name] for name in row if name not in CONTROL_COLUMNS}
        cause = ""
        if not record.get("org_code"):
            cause = "org_code 为空"
        elif self.fails(self.rates.reject):
            cause = "org_code 未登记"
        if cause:
            batch.rejects.append({**first, "error_msg": cause, "recordtime": time.time()})
            self.truth["rejected"].append(key)
        elif self.fails(self.rates.lose):
            self.truth["lost"].append(key)
        else:
            version, op = int(first["version"] or 0), str(first["cd_operation"])
            stored = _stored(batch.resource, key=key, version=version, op=op, record=record)
            self._upsert(batch.resource, stored)

    def _upsert(self, resource: str, record: StoredRecord) -> None:
        mine = self.records[resource]
        known = mine.get(record.key)
        if known is None:
            mine[record.key] = [record]
            if self.fails(self.rates.duplicate):
                mine[record.key].append(record)
                self.truth["duplicated"].append(record.key)
        elif known[0].version < record.version:
            # The window of a key never changes.
            mine[record.key] = [record._replace(day=known[0].day)]

    def open_keys(self, resource: str) -> set[str]:
        """The keys that were pushed and are not yet checked."""
        keys: set[str] = set()
        for batch in self.batches.values():
            if batch.resource == resource and not batch.checked:
                keys |= batch.keys
        return keys

    def cut(
        self, run_id: str, *, resource: str, first: str, last: str, without: set[str]
    ) -> list[str]:
        """Keep what is there now, of the days `first` to `last`, for a reconciliation.

        Returns the keys that are still open here.
        """
        self.check_due_batches()
        own = self.open_keys(resource)
        hidden = without | own
        children: dict[tuple[str, int], list[StoredRecord]] = defaultdict(list)
        for records in self.records[resource].values():
            for record in records:
                if first <= record.day <= last and record.key not in hidden:
                    children[record.day, record.b1].append(record)
        # A cut that is asked for again replaces the first, and old ones make room.
        _ = self.snapshots.pop(run_id, None)
        while len(self.snapshots) >= SNAPSHOTS_KEPT:
            del self.snapshots[next(iter(self.snapshots))]
        self.snapshots[run_id] = Snapshot(resource, dict(children))
        return sorted(own)

    def sums(
        self, run_id: str, level: int, *, nodes: Sequence[tuple[str, int]]
    ) -> list[list[Value]]:
        """Count and sums of every node of level 0, or of those below the `nodes`."""
        snapshot = self.snapshots[run_id]
        found: Sums
        if level == 0:
            found = snapshot.windows()
        elif level == 1:
            days = {node[0] for node in nodes}
            found = {node: total for node, total in snapshot.sums.items() if node[0] in days}
        else:
            smaller: dict[Node, list[StoredRecord]] = defaultdict(list)
            for day, b1 in nodes:
                for record in snapshot.child(day, b1):
                    smaller[day, b1, record.b2].append(record)
            found = {node: total_of(records) for node, records in smaller.items()}
        return [[*node, *total.as_list()] for node, total in sorted(found.items())]

    def leaves(
        self, run_id: str, nodes: Sequence[tuple[str, int] | tuple[str, int, int]]
    ) -> list[list[Value]]:
        """(key, version, op, rd, loose digest, day) of every record below the nodes."""
        snapshot = self.snapshots[run_id]
        found: list[list[Value]] = []
        for node in nodes:
            for record in snapshot.child(node[0], node[1]):
                if len(node) < 3 or record.b2 == node[2]:
                    far = digest(loose(orjson.loads(record.text))).hex()
                    near = digest(record.text).hex()
                    found.append([record.key, record.version, record.op, near, far, record.day])
        return found

    def lists(self, run_id: str) -> dict[str, bytes]:
        """List digest of every window, of the records as they are now."""
        snapshot = self.snapshots[run_id]
        name = stream(snapshot.resource)
        found: dict[str, list[tuple[bytes, bytes]]] = defaultdict(list)
        for (day, _), records in snapshot.children.items():
            for r in records:
                found[day].append(
                    row_hash(name, key=r.key, version=r.version, op=r.op, rd=digest(r.text))
                )
        return {day: window_digest(hashes) for day, hashes in found.items()}

    def total(self, run_id: str) -> Fingerprint:
        result = Fingerprint()
        for fingerprint in self.snapshots[run_id].windows().values():
            result = result.and_also(fingerprint)
        return result

    def table(self, name: str, batch_id: str | None) -> Sequence[Mapping[str, Value | float]]:
        """Rows of a table or of a reject table (`…_unqbak`), the latter of one push if named."""
        plain = name.removesuffix("_unqbak")
        resource = next(resource for resource, tables in COLUMNS.items() if plain in tables)
        if name != plain:
            return self._rejects(resource, table=plain, batch_id=batch_id)
        wanted = {KEY[resource], *COLUMNS[resource][plain]}
        shown: list[Row] = []
        for records in self.records[resource].values():
            for record in records:
                values: Row = orjson.loads(record.text)
                row = {column: values[column] for column in values if column in wanted}
                # Only the first table has a row of every record; the others need a column of it.
                if len(row) > 1 or _is_first_table(resource, table=plain):
                    shown.append(row)
        return shown

    def _rejects(
        self, resource: str, *, table: str, batch_id: str | None
    ) -> Sequence[Mapping[str, Value | float]]:
        found: list[dict[str, Value | float]] = []
        if not _is_first_table(resource, table=table):
            return found
        for key, batch in self.batches.items():
            if batch.resource == resource and batch_id in (None, key):
                found += batch.rejects
        return found

    def plant(self, resource: str, mistake: Mistake, *, keys: Sequence[str]) -> None:
        """Make exactly this mistake with every key, and remember it."""
        mine = self.records[resource]
        for key in keys:
            self.truth[mistake].append(key)
            if mistake == "lose":
                del mine[key]
            elif mistake == "extra":
                mine[key] = [self._invent(resource, key=key)]
            elif mistake == "duplicate":
                mine[key].append(mine[key][0])
            else:
                mine[key] = [_spoiled(resource, mine[key][0], mistake=mistake)]

    def _invent(self, resource: str, *, key: str) -> StoredRecord:
        day = next(iter(self.records[resource].values()))[0].day
        record: Row = {KEY[resource]: key, DAY_COLUMN[resource]: day}
        return _stored(resource, key=key, version=1, op="I", record=record)

    def load(self, resource: str, lines: Iterable[bytes]) -> int:
        """Store records as they are, for benchmarks; returns their number."""
        number = 0
        for line in lines:
            key, version, op, day, text = orjson.loads(line)
            stored = _stored_text(resource, key=key, version=version, op=op, day=day, text=text)
            self.records[resource][key] = [stored]
            number += 1
        return number


def _is_first_table(resource: str, *, table: str) -> bool:
    return table == next(iter(COLUMNS[resource]))


def _spoiled(resource: str, stored: StoredRecord, *, mistake: Mistake) -> StoredRecord:
    """The record with one mistake in it."""
    record: Row = orjson.loads(stored.text)
    version, op = stored.version, stored.op
    if mistake == "older":
        version -= 1
    elif mistake == "newer":
        version, op = version + 1, "U"
        record["project_name"] = "他处改写"
    elif mistake == "corrupt":
        record["org_code"] = "0"
    elif mistake == "lossy" and "event_time" in record:
        record["event_time"] = str(record["event_time"])[:10]
    elif mistake == "forge":
        record["project_name"] = "他处改写"
        # Its sums stay, so that only the list of the records shows it.
        return stored._replace(text=canonical(record))
    return _stored(resource, key=stored.key, version=version, op=op, record=record, day=stored.day)
