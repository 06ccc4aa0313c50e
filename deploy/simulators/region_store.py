"""What the simulated regional platform holds, and what it does wrong: by a seed, or exactly as told."""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from services.exchange.region.use_cases.tables import COLUMNS, KEY
from shared.domain.recon import (
    WORD,
    Entry,
    Fingerprint,
    canonical,
    digest,
    entry,
    loose,
    row_hash,
    stream,
    window_digest,
)

CONTROL = ("row_guid", "cd_batch", "cd_operation", "cd_time", "data_source", "version")
DAY = {"cases": "receive_date", "ratings": "assess_date"}
"""The column that is the immutable business day of a record."""


class Held(NamedTuple):
    """One record as the region holds it: `record` in canonical form, put together from the rows of its tables."""

    key: str
    version: int
    op: str
    day: str
    record: str
    b1: int
    b2: int
    d1: int
    d2: int


def held(
    resource: str, key: str, version: int, op: str, record: dict[str, Any], day: str = ""
) -> Held:
    text = canonical(record)
    weight = entry(stream(resource), key, version, op, digest(text))
    return Held(
        key,
        version,
        op,
        day or record[DAY[resource]],
        text,
        weight.b1,
        weight.b2,
        weight.d1,
        weight.d2,
    )


@dataclass
class Faults:
    """Of a thousand rows so many are lost, doubled, refused; of a thousand requests so many broken off. `delay` in seconds."""

    lose: int = 0
    duplicate: int = 0
    reject: int = 0
    breaks: int = 0
    delay: float = 0.0


@dataclass
class Batch:
    """A push as it came. Its rows are there when `ready_at` has come."""

    resource: str
    number: int
    ready_at: float
    rows: list[dict[str, dict[str, Any]]]
    rejects: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    checked: bool = False


Sums = dict[tuple[Any, ...], Fingerprint]


@dataclass
class Snapshot:
    """One reconciliation: what was there at its cut, without the open keys, by window and first byte, already summed."""

    children: dict[tuple[str, int], list[Held]]

    def __post_init__(self) -> None:
        self.sums: Sums = {place: total_of(rows) for place, rows in self.children.items()}

    def windows(self) -> Sums:
        found: Sums = {}
        for (day, _), one in self.sums.items():
            found[day,] = found.get((day,), Fingerprint()).and_also(one)
        return found

    def child(self, day: str, b1: int) -> list[Held]:
        return self.children.get((day, b1), [])


def total_of(rows: Sequence[Held]) -> Fingerprint:
    """Of some rows, column by column."""
    *_, d1, d2 = zip(*rows, strict=True)
    return Fingerprint(len(rows), sum(d1) % WORD, sum(d2) % WORD)


class Store:
    """Tables of the region in memory, its reject tables, and the truth about what went wrong."""

    def __init__(self, seed: int, faults: Faults) -> None:
        self.faults = faults
        self.held: dict[str, dict[str, list[Held]]] = {resource: {} for resource in KEY}
        self.batches: dict[str, Batch] = {}
        self.acknowledged: dict[str, int] = dict.fromkeys(KEY, 0)
        self.snapshots: dict[str, tuple[str, Snapshot]] = {}
        self.truth: dict[str, list[str]] = defaultdict(list)
        self._chance = random.Random(seed)  # noqa: S311 - repeatable faults

    def hits(self, in_a_thousand: int) -> bool:
        return self._chance.random() * 1000 < in_a_thousand

    async def take(self, batch_id: str, batch: dict[str, Any]) -> None:
        """Acknowledge a push; a repeat of one that is known changes nothing."""
        if batch_id in self.batches:
            return
        resource: str = batch["resource"]
        rows: defaultdict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        for table, lines in batch["tables"].items():
            for line in lines:
                rows[line[KEY[resource]]][table] = line
        ready = time.monotonic() + self.faults.delay
        self.batches[batch_id] = Batch(resource, batch["number"], ready, list(rows.values()))
        self.acknowledged[resource] = max(self.acknowledged[resource], batch["number"])
        self.ripen()
        await asyncio.sleep(0)

    def ripen(self) -> None:
        """Check and store the rows of every push whose time has come."""
        now = time.monotonic()
        for batch in self.batches.values():
            if not batch.checked and batch.ready_at <= now:
                for row in batch.rows:
                    self._store(batch, row)
                batch.checked, batch.rows = True, []

    def _store(self, batch: Batch, row: dict[str, dict[str, Any]]) -> None:
        resource = batch.resource
        first = next(iter(row.values()))
        key, version, op = first[KEY[resource]], first["version"], first["cd_operation"]
        record = {
            name: value
            for part in row.values()
            for name, value in part.items()
            if name not in CONTROL
        }
        if not record.get("org_code") or self.hits(self.faults.reject):
            cause = "org_code 未登记" if record.get("org_code") else "org_code 为空"
            batch.rejects.append({**first, "error_msg": cause, "recordtime": time.time()})
            self.truth["rejected"].append(key)
        elif self.hits(self.faults.lose):
            self.truth["lost"].append(key)
        else:
            self._upsert(resource, held(resource, key, version, op, record))

    def _upsert(self, resource: str, row: Held) -> None:
        before = self.held[resource].get(row.key)
        if before is None:
            doubled = self.hits(self.faults.duplicate)
            self.held[resource][row.key] = [row, row] if doubled else [row]
            if doubled:
                self.truth["duplicated"].append(row.key)
        elif before[0].version < row.version:
            # The window of a key never changes.
            self.held[resource][row.key] = [row._replace(day=before[0].day)]

    def open_keys(self, resource: str) -> set[str]:
        waiting = [
            batch
            for batch in self.batches.values()
            if batch.resource == resource and not batch.checked
        ]
        return {next(iter(row.values()))[KEY[resource]] for batch in waiting for row in batch.rows}

    def cut(
        self, run_id: str, resource: str, first: str, last: str, without: set[str]
    ) -> list[str]:
        """Remember what is there now; the keys that are still on their way here."""
        self.ripen()
        own = self.open_keys(resource)
        hidden = without | own
        children: defaultdict[tuple[str, int], list[Held]] = defaultdict(list)
        for rows in self.held[resource].values():
            for row in rows:
                if first <= row.day <= last and row.key not in hidden:
                    children[row.day, row.b1].append(row)
        while len(self.snapshots) >= 8:
            del self.snapshots[next(iter(self.snapshots))]
        _ = self.snapshots.pop(run_id, None)
        self.snapshots[run_id] = (resource, Snapshot(dict(children)))
        return sorted(own)

    def sums(self, run_id: str, level: int, places: Sequence[Sequence[Any]]) -> list[list[Any]]:
        """Answers of recon/1 to the levels 0, 1 and 2."""
        snapshot = self.snapshots[run_id][1]
        if level == 0:
            found = snapshot.windows()
        elif level == 1:
            days = {place[0] for place in places}
            found = {place: one for place, one in snapshot.sums.items() if place[0] in days}
        else:
            smaller: defaultdict[tuple[Any, ...], list[Held]] = defaultdict(list)
            for day, b1 in places:
                for row in snapshot.child(day, b1):
                    smaller[day, b1, row.b2].append(row)
            found = {place: total_of(rows) for place, rows in smaller.items()}
        return [[*place, *one.as_list()] for place, one in sorted(found.items())]

    def leaves(self, run_id: str, places: Sequence[Sequence[Any]]) -> list[list[Any]]:
        """(key, version, op, rd, loose digest, day) of every row below the places."""
        snapshot = self.snapshots[run_id][1]
        found: list[list[Any]] = []
        for place in places:
            rows = [
                row
                for row in snapshot.child(place[0], place[1])
                if len(place) < 3 or row.b2 == place[2]
            ]
            for row in rows:
                far = digest(loose(orjson.loads(row.record))).hex()
                found.append([row.key, row.version, row.op, digest(row.record).hex(), far, row.day])
        return found

    def lists(self, run_id: str) -> dict[str, bytes]:
        """List digest of every window, of the records as they are."""
        resource, snapshot = self.snapshots[run_id]
        found: defaultdict[str, list[tuple[bytes, bytes]]] = defaultdict(list)
        for (day, _), rows in snapshot.children.items():
            found[day] += [
                row_hash(stream(resource), r.key, r.version, r.op, digest(r.record)) for r in rows
            ]
        return {day: window_digest(rows) for day, rows in found.items()}

    def total(self, run_id: str) -> Fingerprint:
        result = Fingerprint()
        for one in self.snapshots[run_id][1].windows().values():
            result = result.and_also(one)
        return result

    def table(self, name: str, batch_id: str | None) -> list[dict[str, Any]]:
        """Rows of a table, or of a reject table (`…_unqbak`), the latter of one push if named."""
        plain = name.removesuffix("_unqbak")
        resource = next(resource for resource, tables in COLUMNS.items() if plain in tables)
        first = next(iter(COLUMNS[resource]))
        if name != plain:
            chosen = [batch for key, batch in self.batches.items() if batch_id in (None, key)]
            return [
                row
                for batch in chosen
                if batch.resource == resource and plain == first
                for row in batch.rejects
            ]
        wanted = {KEY[resource], *COLUMNS[resource][plain]}
        records = [
            orjson.loads(row.record) for rows in self.held[resource].values() for row in rows
        ]
        shown = [
            {name: value for name, value in record.items() if name in wanted} for record in records
        ]
        return [row for row in shown if len(row) > 1 or plain == first]

    def plant(self, resource: str, what: str, keys: Sequence[str]) -> None:
        """Do exactly this wrong, and remember it."""
        mine = self.held[resource]
        for key in keys:
            self.truth[what].append(key)
            if what == "lose":
                del mine[key]
                continue
            if what == "extra":
                record = {KEY[resource]: key, DAY[resource]: next(iter(mine.values()))[0].day}
                mine[key] = [held(resource, key, 1, "I", record)]
                continue
            row = mine[key][0]
            record = orjson.loads(row.record)
            if what == "duplicate":
                mine[key].append(row)
            elif what == "older":
                mine[key] = [held(resource, key, row.version - 1, row.op, record, row.day)]
            elif what == "newer":
                changed = {**record, "project_name": "他处改写"}
                mine[key] = [held(resource, key, row.version + 1, "U", changed, row.day)]
            elif what == "corrupt":
                mine[key] = [
                    held(resource, key, row.version, row.op, {**record, "org_code": "0"}, row.day)
                ]
            elif what == "forge":
                mine[key] = [row._replace(record=canonical({**record, "project_name": "他处改写"}))]
            elif what == "lossy":
                short = {
                    name: str(value)[:10] if name == "event_time" else value
                    for name, value in record.items()
                }
                mine[key] = [held(resource, key, row.version, row.op, short, row.day)]

    def load(self, resource: str, lines: Iterable[bytes]) -> int:
        """Rows that are simply there: for benchmarks."""
        number = 0
        for line in lines:
            key, version, op, day, record = orjson.loads(line)
            weight: Entry = entry(stream(resource), key, version, op, digest(record))
            one = Held(key, version, op, day, record, weight.b1, weight.b2, weight.d1, weight.d2)
            self.held[resource][key] = [one]
            number += 1
        return number
