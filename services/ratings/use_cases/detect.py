"""What makes a rating suspicious (norms §1.6). It is stored and counted all the same; somebody looks at it."""

import re
from datetime import timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.model import BAD_TEXT, Rating
from services.ratings.model.channels import HALL_DEVICES, HOTLINE
from services.ratings.model.invitation import Invitation

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


async def find_suspicions(session: AsyncSession, rating: Rating, invitation: Invitation) -> list[str]:
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
        "seconds_after_close": invitation.case_number is not None and rating.rated_at - invitation.invited_at < SOON,
        "same_text": before.text + 1 >= SAME_TEXT,
        "same_device": before.device + 1 >= SAME_DEVICE,
        BAD_TEXT: rating.grade == 3 and COMPLAINT.search(rating.text or "") is not None,
    }
    return [reason for reason, holds in found.items() if holds]
