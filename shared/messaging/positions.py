"""Positions of a consumer: which fact of each partition comes next, and how far all are taken.

The database keeps the newest number of each partition that has had its effect
(`shared.database.tables.InboxPosition`). It moves on in the transaction of the effects, and only
from the number that this process knows. What stands at or below it is dropped; what does not follow
it directly waits. So a database that was restored to any earlier moment reads again what it lacks,
and a topic that was filled again does no harm (docs/adr/0019). Records of releases before 0.2
carry no number; they are known by their ids.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared import metrics
from shared.database.direct import Direct
from shared.database.session import Database
from shared.messaging.bus import FactNumber, Place, Record, Subscription, number_of
from shared.messaging.consumer import topic_of_type

MOVE = (
    "UPDATE inbox_position p SET epoch = g.epoch, number = g.number, next_offset = g.next_offset"
    " FROM unnest(CAST(:move_topics AS text[]), CAST(:move_partitions AS integer[]),"
    "  CAST(:known_epochs AS integer[]), CAST(:known_numbers AS bigint[]),"
    "  CAST(:epochs AS integer[]), CAST(:numbers AS bigint[]), CAST(:offsets AS bigint[]))"
    "  AS g (topic, partition, known_epoch, known_number, epoch, number, next_offset)"
    " WHERE p.topic = g.topic AND p.partition = g.partition"
    "  AND p.epoch = g.known_epoch AND p.number = g.known_number"
    " RETURNING p.topic"
)
"""Move partitions on from the numbers that are known; another owner may have moved them."""


class Counted(NamedTuple):
    """A number of rows."""

    number: int


MOVE_ALONE = Direct(f"WITH moved AS ({MOVE}) SELECT count(*) AS number FROM moved", Counted)
POSITIONS = text(
    "SELECT topic, partition, epoch, number, next_offset FROM inbox_position"
    " WHERE topic = ANY(CAST(:topics AS text[]))"
)
HAS_IDS = text("SELECT EXISTS (SELECT FROM inbox)")
BEGIN_POSITION = text(
    "INSERT INTO inbox_position (topic, partition, epoch, number, next_offset)"
    " VALUES (:topic, :partition, :epoch, :number, :next_offset) ON CONFLICT DO NOTHING"
)
# A partition without any entry was read before entries were kept, by code that took the same types.
NOTE_TYPES = text(
    "WITH p AS (SELECT topic, partition, epoch, number FROM inbox_position"
    "  WHERE (topic, partition) IN (SELECT * FROM unnest(CAST(:topics AS text[]),"
    "   CAST(:partitions AS integer[])))),"
    " ended AS (UPDATE inbox_type t SET until_epoch = p.epoch, until_number = p.number FROM p"
    "  WHERE t.topic = p.topic AND t.partition = p.partition AND t.until_number IS NULL"
    "  AND t.type <> ALL(CAST(:types AS text[])))"
    " INSERT INTO inbox_type (topic, partition, type, after_epoch, after_number)"
    " SELECT p.topic, p.partition, g.type,"
    "  CASE WHEN noted THEN p.epoch ELSE 0 END, CASE WHEN noted THEN p.number ELSE 0 END"
    " FROM p JOIN unnest(CAST(:types AS text[]), CAST(:topics_of_types AS text[]))"
    "   AS g (type, topic) ON g.topic = p.topic"
    "  CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM inbox_type t"
    "   WHERE t.topic = p.topic AND t.partition = p.partition) AS noted) n"
    " WHERE NOT EXISTS (SELECT FROM inbox_type t WHERE t.topic = p.topic"
    "  AND t.partition = p.partition AND t.type = g.type AND t.until_number IS NULL)"
    " ON CONFLICT (topic, partition, type, after_epoch, after_number)"
    " DO UPDATE SET until_epoch = NULL, until_number = NULL"
)
"""Note from which number on which types are listened to, and up to which no longer."""

log = structlog.get_logger(__name__)


class End(NamedTuple):
    """How far a partition is taken: the newest number, and the offset of what comes next."""

    number: FactNumber
    next_offset: int


@dataclass(slots=True)
class Progress:
    """One partition, as this process knows it."""

    stored: FactNumber
    """What the database has."""
    taken: End
    """Ahead of `stored` where the events since then are of no concern to this service."""


Ends = dict[Place, End]


class OtherDatabaseError(Exception):
    """The database was replaced, or restored to an earlier moment, since the subscription began.

    What was read for it does not count.
    """


class MovedError(Exception):
    """A partition stands at another number than this process knows: another owner moved it on."""


class KnownPositions:
    """The partitions of one member of a consumer group, and how far each is taken."""

    def __init__(self, database: Database, *, service: str, types: Collection[str] = ()) -> None:
        self._database = database
        self._service = service
        self._types = sorted(types)
        self._progress: dict[Place, Progress] = {}
        self._reread_at: dict[Place, int] = {}
        self._to_reread: set[Place] = set()
        self._missing: set[Place] = set()

    def forget(self) -> None:
        """Begin anew: other partitions were assigned."""
        self._progress.clear()
        self._reread_at.clear()
        self._to_reread.clear()

    async def know(self, left: Mapping[Place, int]) -> None:
        """Read the positions of places that this process does not know yet.

        A database that a release before 0.2 filled has no positions, but ids. All that stands
        before where its group left a partition was taken then; none of it carried a number.

        Args:
            left: the offset at which the group left each place.
        """
        missing = set(left) - set(self._progress)
        if not missing:
            return
        async with self._database.transaction() as session:
            was_upgraded = await session.scalar(HAS_IDS)
            for place in sorted(missing):
                taken = left[place] if was_upgraded else 0
                begin = {**place._asdict(), "epoch": 0, "number": taken, "next_offset": taken}
                _ = await session.execute(BEGIN_POSITION, begin)
            await self._note_types(session, sorted(missing))
            for place, end in (await _read_positions(session, missing)).items():
                self._progress[place] = Progress(end.number, end)

    async def _note_types(self, session: AsyncSession, places: Sequence[Place]) -> None:
        noted = {
            "topics": [place.topic for place in places],
            "partitions": [place.partition for place in places],
            "types": self._types,
            "topics_of_types": [topic_of_type(one) for one in self._types],
        }
        _ = await session.execute(NOTE_TYPES, noted)

    async def check(self, session: AsyncSession) -> None:
        """Follow what other owners have moved on.

        Raises:
            OtherDatabaseError: the database stands at an earlier number than before.
        """
        places = list(self._progress)
        found = await _read_positions(session, places)
        for place in places:
            progress, end = self._progress.get(place), found.get(place)
            if progress is None:
                continue  # Given to another member in the meantime.
            if end is None or end.number < progress.stored:
                raise OtherDatabaseError
            if end.number > progress.stored:
                self._progress[place] = Progress(end.number, end)

    async def save(self) -> None:
        """Store positions that passed events of no concern here."""
        ends: Ends = {}
        for place, progress in self._progress.items():
            if progress.taken.number != progress.stored:
                ends[place] = progress.taken
        if ends:
            async with self._database.transaction() as session:
                moved = await MOVE_ALONE.first(session, **self.moves(ends))
                if moved is None or moved.number != len(ends):
                    raise OtherDatabaseError
            self.note_stored(ends)

    def next_offset(self, place: Place) -> int:
        """The offset from which the place is read on."""
        return self._progress[place].taken.next_offset

    def stored(self, place: Place) -> FactNumber:
        """The number of the place that the database has."""
        return self._progress[place].stored

    def note_taken(self, ends: Ends) -> None:
        """What is passed has had its effect or is of no concern here."""
        for place, end in ends.items():
            self._progress[place].taken = end

    def note_stored(self, ends: Ends) -> None:
        """The database has these."""
        for place, end in ends.items():
            self._progress[place] = Progress(end.number, end)

    def moves(self, ends: Ends) -> dict[str, list[str] | list[int]]:
        """The parameters of `MOVE`."""
        known = [self._progress[place].stored for place in ends]
        return {
            "move_topics": [place.topic for place in ends],
            "move_partitions": [place.partition for place in ends],
            "known_epochs": [number.epoch for number in known],
            "known_numbers": [number.number for number in known],
            "epochs": [end.number.epoch for end in ends.values()],
            "numbers": [end.number.number for end in ends.values()],
            "offsets": [end.next_offset for end in ends.values()],
        }

    def following(self, records: Sequence[Record]) -> tuple[list[Record], Ends]:
        """The records that come next in their partitions, and how far these then are."""
        following: list[Record] = []
        ends: Ends = {}
        for record in records:
            place = record.place
            reached = ends.get(place, self._progress[place].taken)
            if self._is_next(record, reached):
                following.append(record)
                ends[place] = end_after(record, reached.number)
        return following, ends

    def _is_next(self, record: Record, reached: End) -> bool:
        """Whether the record was not taken and follows what was."""
        place = record.place
        if record.number is not None:
            if record.number <= reached.number:
                return False
            if not follows(record, reached.number):
                self._note_gap(place, reached, found=record.number)
                return False
        if place in self._reread_at:
            del self._reread_at[place]
            self._missing.discard(place)
            metrics.MISSING_FACTS.labels(self._service, *map(str, place)).set(0)
        return True

    def _note_gap(self, place: Place, reached: End, *, found: FactNumber) -> None:
        """Facts between two numbers did not come: read again from where they should be.

        First from the stored offset, then from the beginning of the partition, for a topic that was
        filled again. When they are nowhere, later facts must not have their effect before them:
        the partition waits until the producer has published them again.
        """
        if place in self._to_reread:
            return  # Seen a moment ago, in this batch.
        tried = self._reread_at.get(place)
        if tried is None:
            self._reread_at[place] = reached.next_offset
            self._to_reread.add(place)
        elif tried > 0:
            self._reread_at[place] = 0
            self._to_reread.add(place)
        elif place not in self._missing:
            self._missing.add(place)
            metrics.MISSING_FACTS.labels(self._service, *map(str, place)).set(1)
            log.error(
                "inbox.facts_missing",
                topic=place.topic,
                partition=place.partition,
                after=reached.number.number,
                next=found.number,
            )

    async def reread(self, subscription: Subscription) -> None:
        """Go back where a gap was seen."""
        while self._to_reread:
            place = self._to_reread.pop()
            await subscription.rewind(place, self._reread_at[place])


def end_after(record: Record, reached: FactNumber) -> End:
    """How far a partition is with this record.

    Records without a number are known by their ids, in whatever order they come. Only the next one
    counts; after numbers have begun, none does.
    """
    number = number_of(record)
    if record.number is None and number != reached.next:
        number = reached
    return End(number, record.offset + 1)


def follows(record: Record, reached: FactNumber) -> bool:
    """Whether the record is the next after `reached`."""
    number = number_of(record)
    if number == reached.next:
        return True
    if number.number > 1 or number.epoch <= reached.epoch:
        return False
    # The first of an epoch says which fact it follows, so that none before it is passed over.
    return record.follows is None or record.follows <= reached


async def _read_positions(session: AsyncSession, places: Collection[Place]) -> Ends:
    topics = sorted({place.topic for place in places})
    ends: Ends = {}
    for topic, partition, epoch, number, offset in await session.execute(
        POSITIONS, {"topics": topics}
    ):
        ends[Place(topic, partition)] = End(FactNumber(epoch, number), offset)
    return {place: ends[place] for place in places if place in ends}
