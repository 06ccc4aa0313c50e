"""The rates' counters, and the rule that turns one rating with its ticket and appeal into them.

What a rating counts for is a pure function of its rows (`figures`); an act changes the counters by the difference between
before and after. So they equal a recount of the rows at any time (`queries.statistics.RECOUNT` says the same rule as SQL).
Everything about a rating counts in the month in which it was given, an invitation in the month in which it was sent.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import date
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Date, Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from services.ratings.model_base import PLACE, Base
from services.ratings.rating.model.rating import Rating
from services.ratings.tickets.model.appeal import Appeal
from services.ratings.tickets.model.ticket import Ticket
from shared import clock

GRAINS = ("department", "matter", "hall", "window")
"""Each rating counts once in every grain; a grain tells apart what its name says, by month and channel."""
KEYS = ("grain", *PLACE, "month", "item", "part", "pf", "sub_channel")
LEAST = 10
"""Published figures rest on at least so many ratings."""
MEASURES = (
    "invited",
    "grade_1",
    "grade_2",
    "grade_3",
    "grade_4",
    "grade_5",
    "real_bad",
    "called_back",
    "rectify_due",
    "rectified",
    "rectified_in_time",
    "rerated",
    "satisfied",
    "excluded",
    "appeals_decided",
    "appeals_upheld",
)
"""`rectify_due`: bad ratings put right, or whose time for that is over."""


class RatingCount(Base):
    """One cell: `item` is the matter's code or the hall of its grain, `part` the window; '' where there is none."""

    __tablename__ = "rating_count"
    __table_args__ = (
        Index("ix_rating_count_month", "month", postgresql_where=text("grain = 'department'")),
        # A part for each grain: most questions are about departments, whose rows are few and would lie among many others.
        {"postgresql_partition_by": "LIST (grain)"},
    )

    grain: Mapped[str] = mapped_column(Text, primary_key=True)
    area_code: Mapped[str] = mapped_column(Text, primary_key=True)
    department_code: Mapped[str] = mapped_column(Text, primary_key=True)
    month: Mapped[date] = mapped_column(Date, primary_key=True)
    item: Mapped[str] = mapped_column(Text, primary_key=True)
    part: Mapped[str] = mapped_column(Text, primary_key=True)
    pf: Mapped[str] = mapped_column(Text, primary_key=True)
    sub_channel: Mapped[str] = mapped_column(Text, primary_key=True)
    invited: Mapped[int] = mapped_column(BigInteger)
    grade_1: Mapped[int] = mapped_column(BigInteger)
    grade_2: Mapped[int] = mapped_column(BigInteger)
    grade_3: Mapped[int] = mapped_column(BigInteger)
    grade_4: Mapped[int] = mapped_column(BigInteger)
    grade_5: Mapped[int] = mapped_column(BigInteger)
    real_bad: Mapped[int] = mapped_column(BigInteger)
    called_back: Mapped[int] = mapped_column(BigInteger)
    rectify_due: Mapped[int] = mapped_column(BigInteger)
    rectified: Mapped[int] = mapped_column(BigInteger)
    rectified_in_time: Mapped[int] = mapped_column(BigInteger)
    rerated: Mapped[int] = mapped_column(BigInteger)
    satisfied: Mapped[int] = mapped_column(BigInteger)
    excluded: Mapped[int] = mapped_column(BigInteger)
    appeals_decided: Mapped[int] = mapped_column(BigInteger)
    appeals_upheld: Mapped[int] = mapped_column(BigInteger)


class Cell(NamedTuple):
    """Key of a counter, in the order of `KEYS`."""

    grain: str
    area_code: str
    department_code: str
    month: date
    item: str
    part: str
    pf: str
    sub_channel: str


Figures = Counter[str]
"""Measure → number."""


def figures(rating: Rating, ticket: Ticket | None, appeal: Appeal | None) -> Figures:
    """What a rating counts for as things stand."""
    valid = rating.excluded_on is None
    bad = valid and rating.is_bad
    found = {
        f"grade_{rating.grade}": valid,
        "real_bad": bad and rating.real_name,
        "excluded": not valid,
    }
    if ticket is not None:
        rectified = bad and ticket.rectified_on is not None
        found["called_back"] = bad and rating.real_name and ticket.called_back_on is not None
        found["rectified"] = rectified
        found["rectify_due"] = rectified or (bad and ticket.rectify_late)
        found["rectified_in_time"] = (
            rectified and (ticket.rectified_on or date.max) <= ticket.rectify_due_on
        )
        found["rerated"] = valid and ticket.satisfied is not None
        found["satisfied"] = valid and bool(ticket.satisfied)
    if appeal is not None:
        found["appeals_decided"] = appeal.decided_on is not None
        found["appeals_upheld"] = appeal.upheld
    return Counter({measure: 1 for measure, counts in found.items() if counts})


Invitable = Any
"""An invitation, or one that is about to be stored (`use_cases.invite.Invited`): both tell where and when."""


def cells(
    about: Rating | Invitable, day: date, pf: str = "", sub_channel: str = ""
) -> Iterator[Cell]:
    """Where it counts: one cell in every grain. An invitation has no channel yet."""
    hall = about.hall or ""
    items = {
        "department": ("", ""),
        "matter": (about.matter_code or "", ""),
        "hall": (hall, ""),
        "window": (hall, about.window or ""),
    }
    for grain, (item, part) in items.items():
        yield Cell(
            grain,
            about.area_code,
            about.department_code,
            day.replace(day=1),
            item,
            part,
            pf,
            sub_channel,
        )


def cells_of_rating(rating: Rating) -> Iterator[Cell]:
    return cells(rating, rating.rated_on, rating.pf, rating.sub_channel)


def cells_of_invitation(invitation: Invitable) -> Iterator[Cell]:
    return cells(invitation, clock.local_date(invitation.invited_at))
