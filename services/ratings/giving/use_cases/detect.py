"""What makes a rating suspicious (norms §1.6). It is stored and counted all the same; somebody looks at it."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.invitations.model.invitation import Invitation
from services.ratings.rating.model.channels import HALL_DEVICES, HOTLINE
from services.ratings.rating.model.rating import Rating
from services.ratings.rating.model.suspicions import BAD_TEXT

BURST = timedelta(minutes=1)
TERMINAL, ADDRESS, WINDOW = 5, 8, 6
"""Ratings within a minute, this one included, that one device, address or window does not see by itself."""
SAME_TEXT, SAME_TEXT_DAYS = 3, timedelta(days=30)
SAME_DEVICE, SAME_DEVICE_DAYS = 5, timedelta(days=1)
SOON = timedelta(seconds=30)
"""Nobody has read the result of a case by then."""

COMPLAINT = re.compile(
    r"投诉|差评|态度[很太极真比较]{0,2}(差|恶劣|生硬|不好)|推诿|扯皮|踢皮球|刁难|敷衍|乱收费|不作为|白跑|多跑|来回跑|跑了[^,。,]{0,3}[趟次]|没人管|"
    r"爱答不理|骂|歧视|吃拿卡要|互相推|不耐烦|太慢|等了[^,。,]{0,4}(小时|天|周|个月)"
)
"""Words of complaint: with a grade of 3 they are handled like a bad rating."""

COUNT = text(
    "SELECT (SELECT count(*) FROM (SELECT FROM rating WHERE terminal = CAST(:terminal AS text)"
    "  AND rated_at > :burst LIMIT 50) t) AS terminal,"
    " (SELECT count(*) FROM (SELECT FROM rating WHERE address_hash = CAST(:address AS bytea)"
    "  AND rated_at > :burst LIMIT 50) a) AS address,"
    " (SELECT count(*) FROM (SELECT FROM rating WHERE area_code = :area AND department_code = :department"
    '  AND hall = CAST(:hall AS text) AND "window" = CAST(:window AS text) AND rated_at > :burst LIMIT 50) w) AS "window",'
    " (SELECT count(*) FROM (SELECT FROM rating WHERE text_hash = CAST(:text AS bytea)"
    "  AND rated_at > :text_since LIMIT 50) x) AS text,"
    " (SELECT count(*) FROM (SELECT FROM rating WHERE device_hash = CAST(:device AS bytea)"
    "  AND rated_at > :device_since AND case_number IS NOT NULL LIMIT 50) d) AS device"
)
"""Each by its index and never more than fifty rows, however many there are."""

COUNT_RECORDS = text(
    "SELECT (SELECT count(*) FROM (SELECT FROM rating WHERE terminal = r.terminal"
    "  AND rated_at > r.rated_at - CAST(:burst AS interval) AND rated_at <= r.rated_at LIMIT 50) t) AS terminal,"
    " (SELECT count(*) FROM (SELECT FROM rating WHERE area_code = r.area AND department_code = r.department"
    '  AND hall = r.hall AND "window" = r."window"'
    '  AND rated_at > r.rated_at - CAST(:burst AS interval) AND rated_at <= r.rated_at LIMIT 50) w) AS "window",'
    " (SELECT count(*) FROM (SELECT FROM rating WHERE text_hash = r.text"
    "  AND rated_at > r.rated_at - CAST(:text_days AS interval) AND rated_at <= r.rated_at LIMIT 50) x) AS text"
    " FROM unnest(CAST(:terminals AS text[]), CAST(:areas AS text[]), CAST(:departments AS text[]),"
    "  CAST(:halls AS text[]), CAST(:windows AS text[]), CAST(:texts AS bytea[]), CAST(:times AS timestamptz[]))"
    '  WITH ORDINALITY AS r (terminal, area, department, hall, "window", text, rated_at, n) ORDER BY r.n'
)


async def find_suspicions(
    session: AsyncSession, rating: Rating, invitation: Invitation
) -> list[str]:
    """Reasons why somebody should look at `rating`, which is not stored yet."""
    hall, hotline = rating.pf in HALL_DEVICES, rating.pf == HOTLINE
    values: dict[str, Any] = {
        "terminal": rating.terminal,
        # A hall and the telephone operators share an address.
        "address": None if hall or hotline else rating.address_hash,
        "area": rating.area_code,
        "department": rating.department_code,
        "hall": rating.hall,
        "window": rating.window,
        "text": rating.text_hash,
        "device": rating.device_hash,
        "burst": rating.rated_at - BURST,
        "text_since": rating.rated_at - SAME_TEXT_DAYS,
        "device_since": rating.rated_at - SAME_DEVICE_DAYS,
    }
    before = (await session.execute(COUNT, values)).one()
    found = {
        "terminal_burst": before.terminal + 1 >= TERMINAL,
        "address_burst": before.address + 1 >= ADDRESS,
        "window_burst": before.window + 1 >= WINDOW,
        "seconds_after_close": invitation.case_number is not None
        and rating.rated_at - invitation.invited_at < SOON,
        "same_text": before.text + 1 >= SAME_TEXT,
        "same_device": before.device + 1 >= SAME_DEVICE,
        BAD_TEXT: _is_bad_text(rating),
    }
    return [reason for reason, holds in found.items() if holds]


async def find_suspicions_of_records(session: AsyncSession, ratings: Sequence[Rating]) -> None:
    """Set what is suspicious of ratings from a private network, by the times they were given at.

    None of them is stored yet, so each sees those of its own set besides the stored ones. When their services ended is not
    known here, nor a device or an address.
    """
    ordered = sorted(ratings, key=lambda rating: rating.rated_at)
    columns = {
        "terminals": [rating.terminal for rating in ordered],
        "areas": [rating.area_code for rating in ordered],
        "departments": [rating.department_code for rating in ordered],
        "halls": [rating.hall for rating in ordered],
        "windows": [rating.window for rating in ordered],
        "texts": [rating.text_hash for rating in ordered],
        "times": [rating.rated_at for rating in ordered],
    }
    stored = (
        await session.execute(
            COUNT_RECORDS, {**columns, "burst": BURST, "text_days": SAME_TEXT_DAYS}
        )
    ).all()
    earlier: dict[Any, list[datetime]] = {}

    def together(kind: str, key: Any, span: timedelta, rating: Rating) -> int:
        """This one and those before it in the set; nothing where there is no key."""
        if key is None:
            return 0
        times = earlier.setdefault((kind, key), [])
        times.append(rating.rated_at)
        return len(times) - bisect_right(times, rating.rated_at - span)

    for rating, before in zip(ordered, stored, strict=True):
        place = (
            (rating.area_code, rating.department_code, rating.hall, rating.window)
            if rating.window
            else None
        )
        found = {
            "terminal_burst": before.terminal + together("terminal", rating.terminal, BURST, rating)
            >= TERMINAL,
            "window_burst": before.window + together("window", place, BURST, rating) >= WINDOW,
            "same_text": before.text + together("text", rating.text_hash, SAME_TEXT_DAYS, rating)
            >= SAME_TEXT,
            BAD_TEXT: _is_bad_text(rating),
        }
        rating.suspicions = [reason for reason, holds in found.items() if holds]


def _is_bad_text(rating: Rating) -> bool:
    return rating.grade == 3 and COMPLAINT.search(rating.text or "") is not None
