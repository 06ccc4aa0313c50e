"""Compare two sides of every check, on a platform that goes on working.

A round takes three snapshots: of the owners, then of the services that keep copies and figures,
once they have taken every fact that the owners had, then of the owners again. A value that the
owners tell in both of their snapshots was not moving, so the copy between them must be equal: if it
is not, it is wrong. A value that moved is looked at again in the next round. A difference counts
when two rounds in a row find the same one.

Most rows are compared as sums of hashes by bucket (`BUCKETS`), and only buckets that differ are
read row by row. So a recount of millions of cases needs little memory.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import NamedTuple

import asyncpg

from deploy.operate.recount.checks import CHECKS, Check, Side
from deploy.processes import SERVICES
from shared.events.base import topic_of
from shared.messaging.inbox import Consumer

BUCKETS = 1024
PATIENCE = 60.0
"""Seconds to wait for facts under way, and for values to stand still."""
LONGEST = 30.0
"""Seconds beyond that in which a first suspicion is confirmed or dropped."""
PAUSE = 0.2
"""Seconds between two looks."""

DIGEST = """
SELECT hashtextextended(key, 0) & {last} AS bucket, count(*) AS number,
    sum(hashtextextended(key || '=' || value, 0)::numeric) AS total
FROM ({rows}) AS one GROUP BY 1
"""
EXPAND = "SELECT key, value FROM ({rows}) AS one WHERE hashtextextended(key, 0) & {last} = ANY($1)"
# A row that is there twice shows as two values.
ROWS = "SELECT key, string_agg(value, ' + ' ORDER BY value) AS value FROM ({side}) AS s GROUP BY 1"
COUNTS = (
    "SELECT key, sum(value)::bigint::text AS value FROM ({side}) AS s GROUP BY 1"
    " HAVING sum(value) <> 0"
)
NEWEST_WAITING = "SELECT max(position) FROM outbox"
STILL_WAITING = "SELECT EXISTS (SELECT 1 FROM outbox WHERE position <= $1)"
NUMBERS = "SELECT topic, partition, epoch, number FROM relay_position WHERE number > 0"
POSITIONS = "SELECT topic, partition, epoch, number FROM inbox_position"
SET_ASIDE = "SELECT count(*) FROM dead_letter"

Connections = Mapping[str, asyncpg.Connection]


class Difference(NamedTuple):
    """A key of which the owners tell something else; None where there is no such row."""

    check: str
    key: str
    kept: str | None
    owned: str | None


class Lag(NamedTuple):
    """Facts of `owner` that `service` has not taken, though there was time."""

    service: str
    owner: str


@dataclass(slots=True)
class Result:
    """What one check came to; `rows` is how many the service keeps."""

    check: Check
    rows: int = 0
    differences: list[Difference] = field(default_factory=list[Difference])
    moving: int = 0
    skipped: str = ""


@dataclass(slots=True)
class Report:
    """All results, the facts that are under way, and the facts that were set aside by service."""

    results: list[Result] = field(default_factory=list[Result])
    lags: list[Lag] = field(default_factory=list[Lag])
    set_aside: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def differences(self) -> list[Difference]:
        return [one for result in self.results for one in result.differences]

    @property
    def moving(self) -> int:
        """Values that never stood still."""
        return sum(result.moving for result in self.results)


Sums = dict[int, tuple[int, object]]
"""By bucket: the number of rows, and the sum of their hashes."""
Values = dict[str, str]


def _rows(check: Check, side: Side) -> str:
    form = ROWS
    if check.kind == "counts":
        form = COUNTS
    return form.format(side=side.statement)


async def _digest(connections: Connections, check: Check, *, side: Side) -> Sums:
    statement = DIGEST.format(rows=_rows(check, side), last=BUCKETS - 1)
    rows = await connections[side.service].fetch(statement)
    return {row["bucket"]: (row["number"], row["total"]) for row in rows}


async def _expand(
    connections: Connections, check: Check, *, sides: Sequence[Side], buckets: Collection[int]
) -> Values:
    """The values of these buckets; numbers of several sides are added up."""
    found: Values = {}
    for side in sides:
        statement = EXPAND.format(rows=_rows(check, side), last=BUCKETS - 1)
        for row in await connections[side.service].fetch(statement, list(buckets)):
            value = row["value"]
            if row["key"] in found:
                value = str(int(found[row["key"]]) + int(value))
            found[row["key"]] = value
    return found


class _Judge:
    """Keeps over the rounds what is not yet settled of one check."""

    def __init__(self, check: Check) -> None:
        self.check = check
        self.result = Result(check)
        self.open: set[str] | None = None
        """Keys to look at again; None before the first round."""
        self._suspected: set[Difference] = set()

    @property
    def is_settled(self) -> bool:
        return self.open is not None and not self.open

    @property
    def is_suspicious(self) -> bool:
        """Whether another round would tell wrong from moving."""
        return bool(self._suspected) and not self.is_settled

    async def look(self, before: Connections, *, kept: Connections, after: Connections) -> None:
        """Compare once more, in these snapshots."""
        check = self.check
        asked = kept[check.kept.service]
        if check.applies is not None and not await asked.fetchval(check.applies):
            self.result.skipped = "不适用 / does not apply"
            self.open = set()
            return
        buckets = await self._differing(before, kept=kept, after=after)
        earlier = await _expand(before, check, sides=check.owners, buckets=buckets)
        found = await _expand(kept, check, sides=[check.kept], buckets=buckets)
        later = earlier
        if before is not after:
            later = await _expand(after, check, sides=check.owners, buckets=buckets)
        self._judge(earlier, found=found, later=later)

    async def _differing(
        self, before: Connections, *, kept: Connections, after: Connections
    ) -> Collection[int]:
        check = self.check
        found = await _digest(kept, check, side=check.kept)
        self.result.rows = sum(number for number, _ in found.values())
        # Hashes of sums are no sums of hashes, so numbers of several owners are all read.
        if len(check.owners) != 1:
            return range(BUCKETS)
        owner = check.owners[0]
        earlier = await _digest(before, check, side=owner)
        later = earlier
        if before is not after:
            later = await _digest(after, check, side=owner)
        every = {*found, *earlier, *later}
        return [
            bucket
            for bucket in every
            if not found.get(bucket) == earlier.get(bucket) == later.get(bucket)
        ]

    def _judge(self, earlier: Values, *, found: Values, later: Values) -> None:
        moving: set[str] = set()
        suspected: set[Difference] = set()
        for key in self._keys(earlier, found, later):
            owned = earlier.get(key)
            if owned != later.get(key):
                moving.add(key)
            elif found.get(key) != owned:
                suspected.add(Difference(self.check.name, key, found.get(key), owned))
        # One snapshot shows both sides at the same moment, so there is nothing to confirm.
        confirmed = suspected
        if not self.check.is_local:
            confirmed = suspected & self._suspected
        self._suspected = suspected - confirmed
        self.result.differences += sorted(confirmed, key=_key_of)
        self.open = moving | {one.key for one in self._suspected}
        self.result.moving = len(self.open)

    def _keys(self, *values: Values) -> set[str]:
        """The keys of these values that are not settled yet."""
        keys: set[str] = set()
        for one in values:
            keys |= one.keys()
        if self.open is None:
            return keys
        return keys & self.open


def _key_of(difference: Difference) -> str:
    return difference.key


@asynccontextmanager
async def _snapshots(
    databases: Mapping[str, str], services: Collection[str]
) -> AsyncGenerator[dict[str, asyncpg.Connection]]:
    """A connection to each service's database that sees what was committed until now."""
    async with AsyncExitStack() as stack:
        connections: dict[str, asyncpg.Connection] = {}
        for service in services:
            connection = await asyncpg.connect(databases[service], timeout=10)
            _ = stack.push_async_callback(connection.close)
            transaction = connection.transaction(isolation="repeatable_read", readonly=True)
            _ = await stack.enter_async_context(transaction)
            # The first statement fixes what is seen. Other code may have set a limit by the role.
            # Compiling each of these once would cost more than it saves.
            _ = await connection.execute("SET LOCAL statement_timeout = 0; SET LOCAL jit = off")
            _ = await connection.fetchval("SELECT 1")
            connections[service] = connection
        yield connections


def consumer_of(service: str) -> Consumer:
    """What a service listens to."""
    consumer: Consumer = import_module(f"services.{service}.consumer").consumer
    return consumer


Numbers = dict[tuple[str, int], tuple[int, int]]
"""By topic and partition: epoch and number."""


async def _ask_numbers(connection: asyncpg.Connection, statement: str) -> Numbers:
    rows = await connection.fetch(statement)
    return {(row["topic"], row["partition"]): (row["epoch"], row["number"]) for row in rows}


async def _wait_for_facts(
    databases: Mapping[str, str], owners: Connections, *, deadline: float
) -> list[Lag]:
    """Wait until every fact that these snapshots show was taken; else who lacks whose."""
    async with AsyncExitStack() as stack:
        now: dict[str, asyncpg.Connection] = {}
        for service in owners:
            now[service] = await asyncpg.connect(databases[service], timeout=10)
            _ = stack.push_async_callback(now[service].close)
        unpublished = await _wait_for_relays(owners, now, deadline=deadline)
        numbers: dict[str, Numbers] = {}
        for service, connection in now.items():
            numbers[service] = await _ask_numbers(connection, NUMBERS)
        while True:
            lags = await _lags(now, numbers=numbers, unpublished=unpublished)
            if not lags or time.monotonic() > deadline:
                return lags
            await asyncio.sleep(PAUSE)


async def _wait_for_relays(owners: Connections, now: Connections, *, deadline: float) -> set[str]:
    """The services whose relays still have facts of these snapshots."""
    waiting: dict[str, int] = {}
    for service, snapshot in owners.items():
        newest = await snapshot.fetchval(NEWEST_WAITING)
        if newest is not None:
            waiting[service] = newest
    while True:
        for service, newest in list(waiting.items()):
            if not await now[service].fetchval(STILL_WAITING, newest):
                del waiting[service]
        if not waiting or time.monotonic() > deadline:
            return set(waiting)
        await asyncio.sleep(PAUSE)


async def _lags(
    now: Connections, *, numbers: Mapping[str, Numbers], unpublished: Collection[str]
) -> list[Lag]:
    lags: list[Lag] = []
    for service, connection in now.items():
        topics = set(consumer_of(service).topics)
        taken = await _ask_numbers(connection, POSITIONS)
        for owner, told in numbers.items():
            if topic_of(owner) not in topics:
                continue
            behind = any(taken.get(place, (0, 0)) < number for place, number in told.items())
            if behind or owner in unpublished:
                lags.append(Lag(service, owner))
    return lags


async def recount(
    databases: Mapping[str, str],
    *,
    checks: Sequence[Check] = CHECKS,
    patience: float = PATIENCE,
) -> Report:
    """Compare everything; `databases` are the URLs of the services' databases.

    Checks of services that are not named are left out. It ends when everything is settled, or
    after about `patience` seconds and the time of one more round.
    """
    services = [name for name in SERVICES if name in databases]
    judges = [_Judge(check) for check in checks if _is_about(check, services)]
    report = Report(results=[judge.result for judge in judges])
    started = time.monotonic()
    while True:
        await _round(databases, services, judges=judges, report=report, deadline=started + patience)
        if _is_over(judges, waited=time.monotonic() - started, patience=patience):
            return report
        await asyncio.sleep(PAUSE)


def _is_about(check: Check, services: Collection[str]) -> bool:
    """Whether all that the check asks are among these."""
    asked = {check.kept.service, *(owner.service for owner in check.owners)}
    return asked <= set(services)


def _is_over(judges: Sequence[_Judge], *, waited: float, patience: float) -> bool:
    """Whether another round would bring nothing, or there is no time for it."""
    if all(judge.is_settled for judge in judges):
        return True
    # What the first round suspects needs a second one, however little time there was.
    if any(judge.is_suspicious for judge in judges):
        return waited > 2 * patience + LONGEST
    return waited > patience


async def _round(
    databases: Mapping[str, str],
    services: Sequence[str],
    *,
    judges: Sequence[_Judge],
    report: Report,
    deadline: float,
) -> None:
    async with _snapshots(databases, services) as before:
        report.lags = await _wait_for_facts(databases, before, deadline=deadline)
        async with (
            _snapshots(databases, services) as kept,
            _snapshots(databases, services) as after,
        ):
            for service in services:
                report.set_aside[service] = await kept[service].fetchval(SET_ASIDE)
            for judge in judges:
                if not judge.is_settled:
                    await _look(judge, before=before, kept=kept, after=after, lags=report.lags)


async def _look(
    judge: _Judge,
    *,
    before: Connections,
    kept: Connections,
    after: Connections,
    lags: Sequence[Lag],
) -> None:
    check = judge.check
    if check.is_local:
        await judge.look(kept, kept=kept, after=kept)
        return
    missing: list[str] = []
    for owner in check.owners:
        if Lag(check.kept.service, owner.service) in lags:
            missing.append(owner.service)
    if missing:
        judge.result.skipped = f"在途 / under way: {', '.join(missing)}"
        judge.open = set()
        return
    await judge.look(before, kept=kept, after=after)
