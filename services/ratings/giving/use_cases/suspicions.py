"""What makes a rating suspicious (norms §1.6).

It is stored and counted all the same; a person looks at it.
"""

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.giving import queries
from services.ratings.giving.queries import Since
from services.ratings.invitations.model.invitation import Invitation
from services.ratings.rating.model.channels import HALL_DEVICES, Pf
from services.ratings.rating.model.grades import BORDERLINE
from services.ratings.rating.model.rating import Rating
from services.ratings.rating.model.suspicions import Suspicion

BURST = timedelta(minutes=1)
SAME_TEXT_SPAN = timedelta(days=30)
SAME_DEVICE_SPAN = timedelta(days=1)
LIMITS: dict[Suspicion, int] = {
    Suspicion.TERMINAL_BURST: 5,
    Suspicion.ADDRESS_BURST: 8,
    Suspicion.WINDOW_BURST: 6,
    Suspicion.SAME_TEXT: 3,
    Suspicion.SAME_DEVICE: 5,
}
"""Ratings from which on it is suspicious, this one included.

Those of a burst lie within `BURST`: one device, address or window does not see so many when nobody
interferes.
"""
ORDER = tuple(Suspicion)
"""In this order suspicions are stored."""
SECONDS_AFTER_CLOSE = timedelta(seconds=30)
"""Nobody has read the result of a case by then."""

COMPLAINT = re.compile(
    r"投诉|差评|态度[很太极真比较]{0,2}(差|恶劣|生硬|不好)|推诿|扯皮|踢皮球|刁难|敷衍|乱收费|不作为"
    r"|白跑|多跑|来回跑|跑了[^,。,]{0,3}[趟次]|没人管|爱答不理|骂|歧视|吃拿卡要|互相推|不耐烦|太慢"
    r"|等了[^,。,]{0,4}(小时|天|周|个月)"
)
"""Words of complaint: with a borderline grade the rating is handled like a bad one."""


async def find_suspicions(
    session: AsyncSession, rating: Rating, *, invitation: Invitation
) -> list[Suspicion]:
    """Reasons why somebody should look at `rating`, which is not stored yet."""
    address_hash = rating.address_hash
    if rating.pf in HALL_DEVICES or rating.pf == Pf.PHONE:
        # Everybody in a hall, and all telephone operators, share one address.
        address_hash = None
    since = Since(
        burst=rating.rated_at - BURST,
        text=rating.rated_at - SAME_TEXT_SPAN,
        device=rating.rated_at - SAME_DEVICE_SPAN,
    )
    earlier = await queries.count_earlier(session, rating, address_hash=address_hash, since=since)
    # This rating counts as well: it is not stored yet.
    suspicions = _over_limits(
        {
            Suspicion.TERMINAL_BURST: earlier.terminal + 1,
            Suspicion.ADDRESS_BURST: earlier.address + 1,
            Suspicion.WINDOW_BURST: earlier.window + 1,
            Suspicion.SAME_TEXT: earlier.text + 1,
            Suspicion.SAME_DEVICE: earlier.device + 1,
        }
    )
    if _is_too_soon(rating, invitation):
        suspicions.append(Suspicion.SECONDS_AFTER_CLOSE)
    if _complains(rating):
        suspicions.append(Suspicion.BAD_TEXT)
    return sorted(suspicions, key=ORDER.index)


def _over_limits(counts: Mapping[Suspicion, int]) -> list[Suspicion]:
    """The suspicions whose number of ratings reaches its limit."""
    return [suspicion for suspicion, number in counts.items() if number >= LIMITS[suspicion]]


def _is_too_soon(rating: Rating, invitation: Invitation) -> bool:
    # A visit is rated at the window, where it may well take seconds.
    if invitation.case_number is None:
        return False
    return rating.rated_at - invitation.invited_at < SECONDS_AFTER_CLOSE


class _SameSet:
    """Counts ratings of one set that have a key in common, in the order of their times."""

    def __init__(self) -> None:
        self._times: dict[object, list[datetime]] = {}

    def count(self, key: object, rating: Rating, *, span: timedelta) -> int:
        """This rating and those before it within `span`; 0 where there is no key."""
        if key is None:
            return 0
        times = self._times.setdefault(key, [])
        # The caller goes through the ratings in the order of time, so the list stays sorted.
        times.append(rating.rated_at)
        return len(times) - bisect_right(times, rating.rated_at - span)


async def find_suspicions_of_records(session: AsyncSession, ratings: Sequence[Rating]) -> None:
    """Set the suspicions of ratings from a private network, by the times they were given at.

    None of them is stored yet, so each is compared with its own set besides the stored ones. When
    their services ended is not known here, nor a device or an address.
    """
    # A system may send a week at once: what matters is when each was given.
    ordered = sorted(ratings, key=lambda rating: rating.rated_at)
    stored = await queries.count_earlier_than_records(
        session, ordered, burst=BURST, text_days=SAME_TEXT_SPAN
    )
    terminals = _SameSet()
    windows = _SameSet()
    texts = _SameSet()
    for rating, earlier in zip(ordered, stored, strict=True):
        window = None
        if rating.window:
            window = (*rating.office, rating.hall, rating.window)
        suspicions = _over_limits(
            {
                Suspicion.TERMINAL_BURST: earlier.terminal
                + terminals.count(rating.terminal, rating, span=BURST),
                Suspicion.WINDOW_BURST: earlier.window + windows.count(window, rating, span=BURST),
                Suspicion.SAME_TEXT: earlier.text
                + texts.count(rating.text_hash, rating, span=SAME_TEXT_SPAN),
            }
        )
        if _complains(rating):
            suspicions.append(Suspicion.BAD_TEXT)
        rating.suspicions = suspicions


def _complains(rating: Rating) -> bool:
    # Bad grades lead to a ticket anyway; only between good and bad the words decide.
    return rating.grade == BORDERLINE and COMPLAINT.search(rating.text or "") is not None
