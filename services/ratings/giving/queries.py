"""How many ratings came from the same place before: SELECTs behind suspicions.

Each count uses its own index and stops at fifty rows, however many there are.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.rating.model.rating import Rating
from shared.database.direct import Direct


class EarlierRatings(NamedTuple):
    """Numbers of stored ratings that share something with one that is not stored yet."""

    terminal: int
    address: int
    window: int
    text: int
    device: int


class Since(NamedTuple):
    """From which times on ratings are counted."""

    burst: datetime
    text: datetime
    device: datetime


_COUNT = Direct(
    "SELECT (SELECT count(*) FROM (SELECT FROM rating"
    "   WHERE terminal = CAST(:terminal AS text) AND rated_at > :burst LIMIT 50) t) AS terminal,"
    " (SELECT count(*) FROM (SELECT FROM rating"
    "   WHERE address_hash = CAST(:address AS bytea) AND rated_at > :burst LIMIT 50) a)"
    "  AS address,"
    " (SELECT count(*) FROM (SELECT FROM rating"
    "   WHERE area_code = :area AND department_code = :department"
    '   AND hall = CAST(:hall AS text) AND "window" = CAST(:window AS text)'
    '   AND rated_at > :burst LIMIT 50) w) AS "window",'
    " (SELECT count(*) FROM (SELECT FROM rating"
    "   WHERE text_hash = CAST(:text AS bytea) AND rated_at > :text_since LIMIT 50) x) AS text,"
    " (SELECT count(*) FROM (SELECT FROM rating"
    "   WHERE device_hash = CAST(:device AS bytea) AND rated_at > :device_since"
    "   AND case_number IS NOT NULL LIMIT 50) d) AS device",
    EarlierRatings,
)


async def count_earlier(
    session: AsyncSession, rating: Rating, *, address_hash: bytes | None, since: Since
) -> EarlierRatings:
    """Ratings like this one; those of an address are counted only where one is given."""
    counts = await _COUNT.first(
        session,
        terminal=rating.terminal,
        address=address_hash,
        area=rating.area_code,
        department=rating.department_code,
        hall=rating.hall,
        window=rating.window,
        text=rating.text_hash,
        device=rating.device_hash,
        burst=since.burst,
        text_since=since.text,
        device_since=since.device,
    )
    assert counts is not None
    return counts


class EarlierThanRecord(NamedTuple):
    """As `EarlierRatings`, of a record from a private network, which has no address or device."""

    terminal: int
    window: int
    text: int


_COUNT_RECORDS = Direct(
    "SELECT (SELECT count(*) FROM (SELECT FROM rating"
    "   WHERE terminal = r.terminal"
    # Up to its own time: a system may send an old record after newer ones.
    "   AND rated_at > r.rated_at - CAST(:burst AS interval) AND rated_at <= r.rated_at"
    "   LIMIT 50) t) AS terminal,"
    " (SELECT count(*) FROM (SELECT FROM rating"
    "   WHERE area_code = r.area AND department_code = r.department"
    '   AND hall = r.hall AND "window" = r."window"'
    "   AND rated_at > r.rated_at - CAST(:burst AS interval) AND rated_at <= r.rated_at"
    '   LIMIT 50) w) AS "window",'
    " (SELECT count(*) FROM (SELECT FROM rating"
    "   WHERE text_hash = r.text"
    "   AND rated_at > r.rated_at - CAST(:text_days AS interval) AND rated_at <= r.rated_at"
    "   LIMIT 50) x) AS text"
    " FROM unnest(CAST(:terminals AS text[]), CAST(:areas AS text[]),"
    "  CAST(:departments AS text[]), CAST(:halls AS text[]), CAST(:windows AS text[]),"
    "  CAST(:texts AS bytea[]), CAST(:times AS timestamptz[]))"
    '  WITH ORDINALITY AS r (terminal, area, department, hall, "window", text, rated_at, n)'
    " ORDER BY r.n",
    EarlierThanRecord,
)


async def count_earlier_than_records(
    session: AsyncSession, ratings: Sequence[Rating], *, burst: timedelta, text_days: timedelta
) -> Sequence[EarlierThanRecord]:
    """For each of `ratings`, in their order, the stored ratings like it."""
    return await _COUNT_RECORDS.fetch(
        session,
        terminals=[rating.terminal for rating in ratings],
        areas=[rating.area_code for rating in ratings],
        departments=[rating.department_code for rating in ratings],
        halls=[rating.hall for rating in ratings],
        windows=[rating.window for rating in ratings],
        texts=[rating.text_hash for rating in ratings],
        times=[rating.rated_at for rating in ratings],
        burst=burst,
        text_days=text_days,
    )
