"""recon/1: find out in what the ledger and the peer differ, level by level, within one snapshot of the ledger."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.region.model.reconciliation import Difference
from services.exchange.region.port import Region, RegionAwayError
from services.exchange.region.queries import ledger
from services.exchange.region.queries.ledger import Place
from shared.domain.recon import LEAF, Entry, Fingerprint, list_digest, stream

MAX_OPEN = 20_000
"""More keys in flight than this: what is pushed must settle first."""
PATIENCE = text("SET LOCAL idle_in_transaction_session_timeout = '180s'")
MAX_LISTED = 50_000
"""More rows than this in places that differ: listing them would cost more than sending the windows again."""
Sums = dict[Place, Fingerprint]


class TooMuchInFlightError(Exception):
    """A comparison would say nothing now."""


class TooDifferentError(Exception):
    """The sides have hardly anything in common on these days: their windows are to be pushed again as a whole."""

    def __init__(self, days: list[str]) -> None:
        super().__init__(f"{len(days)} windows differ too much to be listed")
        self.days = days


class Found(NamedTuple):
    """A key that differs, its cause as far as the two sides tell, and what is to be done."""

    key: str
    day: date
    kind: Difference
    cause: str
    our_version: int | None
    peer_version: int | None
    remedy: str
    owner: str


@dataclass
class Comparison:
    """What came out: fingerprints of both sides by window, and the keys that differ."""

    cut: int
    ours: Sums
    theirs: Sums
    rounds: int = 1
    found: list[Found] = field(default_factory=list[Found])
    open: int = 0
    """Keys that both sides left out, because they were under way."""
    our_lists: dict[date, bytes] | None = None
    """List digests by window, where they were asked for."""
    their_lists: dict[date, bytes] = field(default_factory=dict[date, bytes])

    @property
    def unequal(self) -> list[Place]:
        return unequal(self.ours, self.theirs)

    @property
    def relisted(self) -> list[Place]:
        """Windows whose sums agree and whose lists do not: somebody's sums are not those of the records."""
        ours, theirs = self.our_lists or {}, self.their_lists
        differing = {day for day in {*ours, *theirs} if ours.get(day) != theirs.get(day)}
        return [(day,) for day in sorted(differing - {day for (day,) in self.unequal})]

    @property
    def is_equal(self) -> bool:
        """Whether sums and lists agree; of nothing but keys under way nothing is proved."""
        return (self.rows > 0 or self.open == 0) and not self.unequal and not self.relisted

    @property
    def rows(self) -> int:
        return sum(one.count for one in self.ours.values())

    def totals(self) -> dict[str, Any]:
        lists = {} if self.our_lists is None else {"list": self.lists()}
        return {"ours": total(self.ours).as_list(), "peer": total(self.theirs).as_list(), **lists}

    def lists(self) -> dict[str, str]:
        """Both sides' list digests over all windows."""
        return {"ours": list_digest(self.our_lists or {}), "peer": list_digest(self.their_lists)}


def total(sums: Sums) -> Fingerprint:
    result = Fingerprint()
    for one in sums.values():
        result = result.and_also(one)
    return result


def unequal(ours: Sums, theirs: Sums) -> list[Place]:
    """Places at which the sides differ; one that has no rows is as one that is not named."""
    places = sorted({*ours, *theirs})
    return [
        place
        for place in places
        if ours.get(place, Fingerprint()) != theirs.get(place, Fingerprint())
    ]


class Comparing:
    """One run of questions and answers. The ledger is read in the snapshot of `session` (REPEATABLE READ)."""

    def __init__(
        self, session: AsyncSession, region: Region, run_id: UUID, resource: str, peer_code: str
    ) -> None:
        self._session = session
        self._region = region
        self._run_id = run_id
        self._resource = resource
        self._peer_code = peer_code
        self._open: dict[str, tuple[date, Entry]] = {}

    async def compare(
        self, first: date, last: date, *, only_windows: bool = False, listed: bool = False
    ) -> Comparison:
        """All levels, or the windows alone; `listed`: also whether the lists are those that the sums speak of."""
        _ = await self._session.execute(PATIENCE)
        cut = await self._agree_on_cut(first, last)
        ours = self._without_open(
            await ledger.sums(self._session, self._resource, 0, first=first, last=last), depth=1
        )
        theirs = await self._ask_sums(0, [])
        comparison = Comparison(cut, ours, theirs, open=len(self._open))
        if listed:
            given = (self._resource, stream(self._resource), first, last, sorted(self._open))
            comparison.our_lists = await ledger.window_digests(self._session, *given)
            comparison.their_lists = await self._ask_lists()
        if not only_windows and (comparison.unequal or comparison.relisted):
            await self._descend(comparison)
        return comparison

    async def _agree_on_cut(self, first: date, last: date) -> int:
        cut = await ledger.high_water(self._session)
        self._open = await ledger.list_in_flight(self._session, self._resource, first, last)
        if len(self._open) > MAX_OPEN:
            raise TooMuchInFlightError
        question = {
            "resource": self._resource,
            "stream": stream(self._resource),
            "first": first.isoformat(),
            "last": last.isoformat(),
            "sequence": cut,
            "open": sorted(self._open),
        }
        answer = await self._ask("cut", question)
        further = [key for key in answer["open"] if key not in self._open]
        if len(further) > MAX_OPEN:
            raise TooMuchInFlightError
        for key, row in (await ledger.read_rows(self._session, self._resource, further)).items():
            if first <= row.day <= last:
                self._open[key] = (row.day, Entry(row.b1, row.b2, row.d1 % 2**64, row.d2 % 2**64))
        if len(self._open) > MAX_OPEN:
            raise TooMuchInFlightError
        return cut

    async def _ask(self, question: str, body: dict[str, Any]) -> Any:
        return await self._region.ask(self._run_id, question, body)

    async def _ask_sums(self, level: int, places: Sequence[Place]) -> Sums:
        answer = await self._ask("sums", {"level": level, "places": _plain(places)})
        try:
            return {
                (date.fromisoformat(row[0]), *row[1 : level + 1]): Fingerprint(
                    int(row[level + 1]), int(row[level + 2]), int(row[level + 3])
                )
                for row in answer
            }
        except (ValueError, TypeError, IndexError) as error:
            raise RegionAwayError("sums that cannot be read") from error

    async def _ask_lists(self) -> dict[date, bytes]:
        answer = await self._ask("list", {})
        try:
            return {date.fromisoformat(day): bytes.fromhex(digest) for day, digest in answer}
        except (ValueError, TypeError) as error:
            raise RegionAwayError("list digests that cannot be read") from error

    def _without_open(self, sums: Sums, *, depth: int) -> Sums:
        """Our sums without the open keys, which both sides leave out."""
        for day, entry in self._open.values():
            place = (day, entry.b1, entry.b2)[:depth]
            if place in sums:
                sums[place] = sums[place].minus(entry)
        return sums

    async def _descend(self, comparison: Comparison) -> None:
        relisted = comparison.relisted
        days = [*comparison.unequal, *relisted]
        ours = await ledger.sums(self._session, self._resource, 1, days=[day for (day,) in days])
        ours, theirs = self._without_open(ours, depth=2), await self._ask_sums(1, days)
        children = [place for place in unequal(ours, theirs) if (place[0],) not in relisted]
        large = [
            place for place in children if max(_rows(ours, place), _rows(theirs, place)) > LEAF
        ]
        leaves: list[Place] = [place for place in children if place not in set(large)]
        # The sums cannot tell where such a window differs: all of it is listed.
        leaves += [place for place in sorted({*ours, *theirs}) if (place[0],) in relisted]
        sizes = {place: max(_rows(ours, place), _rows(theirs, place)) for place in leaves}
        comparison.rounds += 1
        smaller: list[Place] = []
        if large:
            given = {"days": [place[0] for place in large], "b1": [place[1] for place in large]}
            ours = self._without_open(
                await ledger.sums(self._session, self._resource, 2, **given), depth=3
            )
            ours = {place: one for place, one in ours.items() if one.count}
            theirs = await self._ask_sums(2, large)
            smaller = unequal(ours, theirs)
            sizes |= {place: max(_rows(ours, place), _rows(theirs, place)) for place in smaller}
            comparison.rounds += 1
        if sum(sizes.values()) > MAX_LISTED:
            raise TooDifferentError(sorted({place[0].isoformat() for place in sizes}))
        comparison.found = await self._list(leaves, smaller)
        comparison.rounds += 1

    async def _list(self, *groups: Sequence[Place]) -> list[Found]:
        """The leaves of both sides, and what differs in them."""
        ours: dict[str, Any] = {}
        for group in groups:
            ours |= {
                row.key: row for row in await ledger.leaves(self._session, self._resource, group)
            }
        theirs: dict[str, list[Any]] = {}
        for row in await self._ask(
            "leaves", {"places": _plain([place for group in groups for place in group])}
        ):
            theirs.setdefault(row[0], []).append(row)
        keys = sorted({*ours, *theirs} - set(self._open))
        judged = (
            classify(key, ours.get(key), theirs.get(key, []), self._peer_code) for key in keys
        )
        return [found for found in judged if found is not None]


def _rows(sums: Mapping[Place, Fingerprint], place: Place) -> int:
    return sums[place].count if place in sums else 0


def _plain(places: Sequence[Place]) -> list[list[Any]]:
    return [[place[0].isoformat(), *place[1:]] for place in places]


def classify(key: str, ours: Any, theirs: Sequence[Any], peer_code: str) -> Found | None:
    """In what a key differs and why; `theirs` are the peer's rows of it: key, version, op, rd, loose, day.

    What was lost is sent again, what the quality check refused goes to the bureau with its fault, what the peer holds
    beyond or against us is a ticket: nothing of the peer's is ever deleted by us.
    """
    if ours is None:
        return Found(
            *(key, date.fromisoformat(theirs[0][5]), Difference.EXTRA_AT_PEER, "foreign_write"),
            *(None, theirs[0][1], "ticket", peer_code),
        )
    if len(theirs) > 1:
        kind, cause, remedy, owner = Difference.EXTRA_AT_PEER, "duplicate", "ticket", peer_code
    elif not theirs or theirs[0][1] < ours.version:
        kind = Difference.PEER_OLDER if theirs else Difference.MISSING_AT_PEER
        cause, remedy, owner = _cause_of_loss(ours)
    elif theirs[0][1] > ours.version:
        kind, cause, remedy, owner = Difference.PEER_NEWER, "foreign_write", "ticket", peer_code
    elif (theirs[0][2], theirs[0][3]) == (ours.op, bytes(ours.rd).hex()):
        return None
    else:
        lossy = theirs[0][4] == bytes(ours.loose).hex()
        cause = "lossy_mapping" if lossy and theirs[0][2] == ours.op else "foreign_write"
        kind, remedy, owner = Difference.SAME_VERSION_DIFFERENT, "ticket", peer_code
    return Found(
        key, ours.day, kind, cause, ours.version, theirs[0][1] if theirs else None, remedy, owner
    )


def _cause_of_loss(ours: Any) -> tuple[str, str, str]:
    """Lost in transport, or carried and refused: the two must be kept apart."""
    if ours.push_state == "rejected":
        return (
            f"rejected({ours.reject_code})",
            "work_item",
            f"{ours.area_code}/{ours.department_code}",
        )
    return ("deleted_at_source" if ours.op == "D" else "lost_in_transport"), "resend", "exchange"
