"""recon/1: find out in what the ledger and the peer differ, level by level.

A level is asked below those places whose sums differ: days, then the first and the second byte of
the keys' hashes. Where few rows are left, both sides list them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple, TypedDict, cast
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.region.model.ledger import LedgerResource, Operation, RowState
from services.exchange.region.model.reconciliation import (
    Cause,
    Difference,
    ListDigests,
    Remedy,
    Totals,
)
from services.exchange.region.port import Question, Region, RegionAwayError
from services.exchange.region.queries import ledger
from services.exchange.region.queries.ledger import LeafRow, Place, Sums, entry_of
from shared.database.direct import command
from shared.domain.recon import LEAF, Entry, Fingerprint, list_digest, stream

MAX_OPEN = 20_000
"""More keys in flight than this: what is pushed must settle first."""
MAX_LISTED = 50_000
"""More rows than this in places that differ: to list them costs more than to push them again."""
# The other side may take a minute for its cut, while our snapshot waits.
PATIENCE = command("SET LOCAL idle_in_transaction_session_timeout = '180s'")
EXCHANGE = "exchange"
"""Owner of what the platform repairs by itself."""
NO_ROWS = Fingerprint()


class TooMuchInFlightError(Exception):
    """A comparison would prove nothing now."""


class TooDifferentError(Exception):
    """The sides have hardly anything in common on these days (ISO dates).

    Their windows have to be pushed again as a whole.
    """

    def __init__(self, days: list[str]) -> None:
        super().__init__(f"{len(days)} windows differ too much to be listed")
        self.days = days


class CutAnswer(TypedDict):
    """The peer's answer to `cut`."""

    open: list[str]


class PeerRow(NamedTuple):
    """A row as the peer lists it; digests in hex, day as ISO date."""

    key: str
    version: int
    op: str
    rd: str
    loose: str
    day: str


class Found(NamedTuple):
    """A key that differs, its cause as far as the two sides show it, and what is to be done."""

    key: str
    day: date
    kind: Difference
    cause: str
    our_version: int | None
    peer_version: int | None
    remedy: Remedy
    owner: str

    def in_flight(self) -> "Found":
        """The same key, when it turns out to be on its way."""
        return self._replace(cause=Cause.IN_FLIGHT, remedy=Remedy.RESEND, owner=EXCHANGE)


@dataclass
class Comparison:
    """The result: fingerprints of both sides by window, and the keys that differ.

    `open` counts the keys that both sides left out, because they were under way. The lists are
    digests by window; `our_lists` is None where they were not asked for.
    """

    cut: int
    ours: Sums
    theirs: Sums
    rounds: int = 1
    found: list[Found] = field(default_factory=list[Found])
    open: int = 0
    our_lists: dict[date, bytes] | None = None
    their_lists: dict[date, bytes] = field(default_factory=dict[date, bytes])

    @property
    def unequal(self) -> list[Place]:
        return unequal(self.ours, theirs=self.theirs)

    @property
    def unequal_days(self) -> list[str]:
        return [place[0].isoformat() for place in self.unequal]

    @property
    def relisted(self) -> list[Place]:
        """Windows whose sums agree and whose lists do not.

        The sums of one side are not those of its records.
        """
        ours = self.our_lists or {}
        unequal_days = {place[0] for place in self.unequal}
        places: list[Place] = []
        for day in sorted({*ours, *self.their_lists} - unequal_days):
            if ours.get(day) != self.their_lists.get(day):
                places.append((day,))
        return places

    @property
    def is_equal(self) -> bool:
        """Whether sums and lists agree.

        When there are only keys under way, nothing is proved.
        """
        if self.rows == 0 and self.open > 0:
            return False
        return not self.unequal and not self.relisted

    @property
    def rows(self) -> int:
        return sum(one.count for one in self.ours.values())

    def totals(self) -> Totals:
        lists = None
        if self.our_lists is not None:
            lists = self.lists()
        return Totals(
            list=lists, ours=total(self.ours).as_list(), peer=total(self.theirs).as_list()
        )

    def lists(self) -> ListDigests:
        """Both sides' list digests over all windows."""
        return ListDigests(
            ours=list_digest(self.our_lists or {}), peer=list_digest(self.their_lists)
        )


def total(sums: Sums) -> Fingerprint:
    result = Fingerprint()
    for one in sums.values():
        result = result.and_also(one)
    return result


def unequal(ours: Sums, *, theirs: Sums) -> list[Place]:
    """Places at which the sides differ; one without rows is as one that is not named."""
    return [
        place
        for place in sorted({*ours, *theirs})
        if ours.get(place, NO_ROWS) != theirs.get(place, NO_ROWS)
    ]


class Sides(NamedTuple):
    """The sums of both sides at one level."""

    ours: Sums
    theirs: Sums

    def unequal(self) -> list[Place]:
        """The places at which the sides differ."""
        return unequal(self.ours, theirs=self.theirs)

    def size(self, place: Place) -> int:
        """The number of rows at a place, of the side that has more."""
        return max(self.ours.get(place, NO_ROWS).count, self.theirs.get(place, NO_ROWS).count)

    def split(self, relisted_days: set[date]) -> tuple[list[Place], list[Place]]:
        """The places that are listed, and the large ones that are divided once more.

        The sums cannot tell where a relisted day differs: all of it is listed.
        """
        leaves: list[Place] = []
        large: list[Place] = []
        for place in self.unequal():
            if place[0] in relisted_days:
                continue
            if self.size(place) > LEAF:
                large.append(place)
            else:
                leaves.append(place)
        for place in sorted({*self.ours, *self.theirs}):
            if place[0] in relisted_days:
                leaves.append(place)
        return leaves, large


class Comparing:
    """One run of questions and answers.

    The ledger is read in the snapshot of `session`, which must be REPEATABLE READ.
    """

    def __init__(
        self,
        session: AsyncSession,
        region: Region,
        *,
        run_id: UUID,
        resource: LedgerResource,
        peer_code: str,
    ) -> None:
        self._session = session
        self._region = region
        self._run_id = run_id
        self._resource: LedgerResource = resource
        self._peer_code = peer_code
        self._open: dict[str, tuple[date, Entry]] = {}

    async def compare(
        self, first: date, *, last: date, only_windows: bool = False, listed: bool = False
    ) -> Comparison:
        """Compare all levels, or the windows alone.

        With `listed` also whether the lists are those that the sums speak of. Raises
        `TooMuchInFlightError`, `TooDifferentError` and `RegionAwayError`.
        """
        await PATIENCE.execute(self._session)
        cut = await self._agree_on_cut(first, last=last)
        ours = await ledger.sums_of_days(self._session, self._resource, first=first, last=last)
        self._leave_out_open(ours, depth=1)
        theirs = await self._ask_sums(0, [])
        comparison = Comparison(cut, ours, theirs, open=len(self._open))
        if listed:
            comparison.our_lists = await ledger.window_digests(
                self._session, self._resource, first=first, last=last, without=sorted(self._open)
            )
            comparison.their_lists = await self._ask_lists()
        if not only_windows and (comparison.unequal or comparison.relisted):
            await self._descend(comparison)
        return comparison

    async def _agree_on_cut(self, first: date, *, last: date) -> int:
        """The place in the ledger up to which is compared; both sides leave out the open keys."""
        cut = await ledger.high_water(self._session)
        self._open = await ledger.list_in_flight(
            self._session, self._resource, first=first, last=last
        )
        self._check_open(len(self._open))
        body = {
            "resource": self._resource,
            "stream": stream(self._resource),
            "first": first.isoformat(),
            "last": last.isoformat(),
            "sequence": cut,
            "open": sorted(self._open),
        }
        answer = cast("CutAnswer", await self._ask("cut", body))
        await self._leave_out_of(answer["open"], first=first, last=last)
        return cut

    async def _leave_out_of(self, theirs: Sequence[str], *, first: date, last: date) -> None:
        """Leave out the keys that are open for the peer, too."""
        further = [key for key in theirs if key not in self._open]
        # An answer of any size must not make us read the whole ledger.
        self._check_open(len(further))
        rows = await ledger.read_rows(self._session, self._resource, keys=further)
        for key, row in rows.items():
            # Rows of other days are not compared.
            if first <= row.day <= last:
                self._open[key] = (row.day, entry_of(row))
        self._check_open(len(self._open))

    def _check_open(self, number: int) -> None:
        if number > MAX_OPEN:
            raise TooMuchInFlightError

    async def _ask(self, question: Question, body: Mapping[str, object]) -> object:
        return await self._region.ask(self._run_id, question, body=body)

    async def _ask_sums(self, level: int, places: Sequence[Place]) -> Sums:
        """The peer's sums below these places: rows of place, count and two sums as text."""
        body = {"level": level, "places": _plain(places)}
        answer = cast("list[list[str]]", await self._ask("sums", body))
        sums: Sums = {}
        try:
            for row in answer:
                day = date.fromisoformat(row[0])
                below = cast("list[int]", row[1 : level + 1])
                count, s1, s2 = row[level + 1 : level + 4]
                sums[day, *below] = Fingerprint(int(count), int(s1), int(s2))
        except (ValueError, TypeError, IndexError) as error:
            raise RegionAwayError("sums that cannot be read") from error
        return sums

    async def _ask_lists(self) -> dict[date, bytes]:
        answer = cast("list[tuple[str, str]]", await self._ask("list", {}))
        try:
            return {date.fromisoformat(day): bytes.fromhex(digest) for day, digest in answer}
        except (ValueError, TypeError) as error:
            raise RegionAwayError("list digests that cannot be read") from error

    async def _ask_leaves(self, places: Sequence[Place]) -> dict[str, list[PeerRow]]:
        """The peer's rows by key, of which it may have several."""
        answer = cast(
            "list[tuple[str, int, str, str, str, str]]",
            await self._ask("leaves", {"places": _plain(places)}),
        )
        rows: dict[str, list[PeerRow]] = {}
        try:
            for given in answer:
                row = PeerRow(*given)
                rows.setdefault(row.key, []).append(row)
        except TypeError as error:
            raise RegionAwayError("rows that cannot be read") from error
        return rows

    def _leave_out_open(self, sums: Sums, *, depth: int) -> None:
        """Take the open keys, which both sides leave out, off our sums."""
        for day, entry in self._open.values():
            place: Place = (day, *(entry.b1, entry.b2)[: depth - 1])
            if place in sums:
                sums[place] = sums[place].minus(entry)

    async def _descend(self, comparison: Comparison) -> None:
        """Find the keys that differ below the days that do."""
        relisted = comparison.relisted
        days = await self._below_days([*comparison.unequal, *relisted])
        comparison.rounds += 1
        leaves, large = days.split({place[0] for place in relisted})
        sizes = {place: days.size(place) for place in leaves}
        smaller: list[Place] = []
        if large:
            below = await self._below_first_bytes(large)
            comparison.rounds += 1
            smaller = below.unequal()
            sizes |= {place: below.size(place) for place in smaller}
        if sum(sizes.values()) > MAX_LISTED:
            raise TooDifferentError(sorted({place[0].isoformat() for place in sizes}))
        comparison.found = await self._list(leaves, smaller=smaller)
        comparison.rounds += 1

    async def _below_days(self, places: Sequence[Place]) -> Sides:
        days = [place[0] for place in places]
        ours = await ledger.sums_below_days(self._session, self._resource, days=days)
        self._leave_out_open(ours, depth=2)
        return Sides(ours, await self._ask_sums(1, places))

    async def _below_first_bytes(self, places: Sequence[Place]) -> Sides:
        ours = await ledger.sums_below_first_bytes(self._session, self._resource, places=places)
        self._leave_out_open(ours, depth=3)
        return Sides(ours, await self._ask_sums(2, places))

    async def _list(self, leaves: Sequence[Place], *, smaller: Sequence[Place]) -> list[Found]:
        """Both sides list their rows at these places of two depths; what differs in them."""
        ours: dict[str, LeafRow] = {}
        for places in (leaves, smaller):
            for row in await ledger.leaves(self._session, self._resource, places=places):
                ours[row.key] = row
        theirs = await self._ask_leaves([*leaves, *smaller])
        found: list[Found] = []
        for key in sorted({*ours, *theirs} - set(self._open)):
            one = classify(ours.get(key), theirs=theirs.get(key, []), peer=self._peer_code)
            if one is not None:
                found.append(one)
        return found


def _plain(places: Sequence[Place]) -> list[list[str | int]]:
    return [[place[0].isoformat(), *place[1:]] for place in places]


def classify(ours: LeafRow | None, *, theirs: Sequence[PeerRow], peer: str) -> Found | None:
    """In what a key differs and why; None when it does not.

    `theirs` are the peer's rows of it. What was lost is sent again, what the quality check refused
    goes to the bureau with its fault. What the peer holds beyond or against us is a ticket for
    `peer`: we never delete anything of the peer's.
    """
    if ours is None:
        return _extra(theirs[0], peer)
    if not theirs:
        return _lost(ours, Difference.MISSING_AT_PEER, peer_version=None)
    first = theirs[0]
    if len(theirs) > 1:
        return _ticket(ours, first, kind=Difference.EXTRA_AT_PEER, cause=Cause.DUPLICATE, peer=peer)
    if first.version < ours.version:
        return _lost(ours, Difference.PEER_OLDER, peer_version=first.version)
    if first.version > ours.version:
        return _ticket(
            ours, first, kind=Difference.PEER_NEWER, cause=Cause.FOREIGN_WRITE, peer=peer
        )
    return _same_version(ours, first, peer=peer)


def _same_version(ours: LeafRow, first: PeerRow, *, peer: str) -> Found | None:
    if first.op == ours.op and first.rd == ours.rd.hex():
        return None
    cause = Cause.FOREIGN_WRITE
    if first.op == ours.op and first.loose == ours.loose.hex():
        # Only case, blanks or times of day were lost on the way into the peer's columns.
        cause = Cause.LOSSY_MAPPING
    return _ticket(ours, first, kind=Difference.SAME_VERSION_DIFFERENT, cause=cause, peer=peer)


def _extra(first: PeerRow, peer: str) -> Found:
    return Found(
        key=first.key,
        day=date.fromisoformat(first.day),
        kind=Difference.EXTRA_AT_PEER,
        cause=Cause.FOREIGN_WRITE,
        our_version=None,
        peer_version=first.version,
        remedy=Remedy.TICKET,
        owner=peer,
    )


def _ticket(ours: LeafRow, first: PeerRow, *, kind: Difference, cause: Cause, peer: str) -> Found:
    return Found(
        key=ours.key,
        day=ours.day,
        kind=kind,
        cause=cause,
        our_version=ours.version,
        peer_version=first.version,
        remedy=Remedy.TICKET,
        owner=peer,
    )


def _lost(ours: LeafRow, kind: Difference, *, peer_version: int | None) -> Found:
    """Lost in transport, or carried and refused: the two must be kept apart."""
    cause: str = Cause.LOST_IN_TRANSPORT
    remedy = Remedy.RESEND
    owner = EXCHANGE
    if ours.push_state == RowState.REJECTED:
        cause = f"{Cause.REJECTED}({ours.reject_code})"
        remedy = Remedy.WORK_ITEM
        owner = f"{ours.area_code}/{ours.department_code}"
    elif ours.op == Operation.DELETE:
        cause = Cause.DELETED_AT_SOURCE
    return Found(
        key=ours.key,
        day=ours.day,
        kind=kind,
        cause=cause,
        our_version=ours.version,
        peer_version=peer_version,
        remedy=remedy,
        owner=owner,
    )
