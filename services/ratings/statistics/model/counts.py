"""The counters behind the rates, and where and as what a rating or an invitation counts.

What a rating counts for is a pure function of its rows (`figures_of_rating`, and with its ticket
`tickets.model.figures`). An act changes the counters by the difference between before and after,
so they equal a recount of the rows at any time (`queries.RECOUNT` has the same rule as SQL).
A rating counts in the month in which it was given, an invitation in the month in which it was sent.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime
from enum import StrEnum
from typing import Literal, NamedTuple, Protocol, get_args

from sqlalchemy import BigInteger, Date, Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from services.ratings.model_base import OFFICE_COLUMNS, Base
from services.ratings.rating.model.grades import Grade
from services.ratings.rating.model.rating import Rating
from shared import clock
from shared.database.columns import enum_column

KEYS = ("grain", *OFFICE_COLUMNS, "month", "item", "part", "pf", "sub_channel")
LEAST = 10
"""Published figures rest on at least so many ratings."""

Measure = Literal[
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
]
"""`real_bad`: bad ratings under a real name.

`rectify_due`: bad ratings that are rectified, or whose time for that is over.
"""
MEASURES: tuple[Measure, ...] = get_args(Measure)
GRADE_MEASURES: dict[Grade, Measure] = {
    1: "grade_1",
    2: "grade_2",
    3: "grade_3",
    4: "grade_4",
    5: "grade_5",
}


class Grain(StrEnum):
    """What a counter tells apart besides month and channel; each rating counts once in each."""

    DEPARTMENT = "department"
    MATTER = "matter"
    HALL = "hall"
    WINDOW = "window"


class RatingCount(Base):
    """One counter of every measure.

    `item` is the matter's code or the hall, `part` the window; both are '' where the grain has
    none. `pf` and `sub_channel` are '' for invitations, which have no channel yet.
    """

    __tablename__ = "rating_count"
    __table_args__ = (
        Index("ix_rating_count_month", "month", postgresql_where=text("grain = 'department'")),
        # Most questions are about departments, whose rows are few and would lie among many others.
        {"postgresql_partition_by": "LIST (grain)"},
    )

    grain: Mapped[Grain] = enum_column(Grain, primary_key=True)
    area_code: Mapped[str] = mapped_column(Text, primary_key=True)
    department_code: Mapped[str] = mapped_column(Text, primary_key=True)
    month: Mapped[date] = mapped_column(Date, primary_key=True)
    item: Mapped[str] = mapped_column(Text, primary_key=True)
    part: Mapped[str] = mapped_column(Text, primary_key=True)
    # No enum: the empty text stands for "no channel" in a primary key, which takes no NULL.
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


Figures = Counter[Measure]
"""How often something counts for each measure."""


def figures_of_rating(rating: Rating) -> Figures:
    """What a rating counts for by itself, without its ticket and appeal."""
    # An excluded rating is left out of every rate, and counted by itself.
    if rating.excluded_on is not None:
        return Counter({"excluded": 1})
    figures: Figures = Counter({GRADE_MEASURES[rating.grade]: 1})
    if rating.is_bad and rating.real_name:
        figures["real_bad"] = 1
    return figures


class Countable(Protocol):
    """An invitation, stored or about to be stored: where and when it counts."""

    @property
    def area_code(self) -> str: ...
    @property
    def department_code(self) -> str: ...
    @property
    def matter_code(self) -> str | None: ...
    @property
    def hall(self) -> str | None: ...
    @property
    def window(self) -> str | None: ...
    @property
    def invited_at(self) -> datetime: ...


def _cells(
    about: Rating | Countable, day: date, *, pf: str = "", sub_channel: str = ""
) -> Iterator[Cell]:
    """One cell in every grain."""
    hall = about.hall or ""
    window = about.window or ""
    places = {
        Grain.DEPARTMENT: ("", ""),
        Grain.MATTER: (about.matter_code or "", ""),
        Grain.HALL: (hall, ""),
        Grain.WINDOW: (hall, window),
    }
    # Months are compared as their first day.
    month = day.replace(day=1)
    for grain, (item, part) in places.items():
        yield Cell(
            grain=grain.value,
            area_code=about.area_code,
            department_code=about.department_code,
            month=month,
            item=item,
            part=part,
            pf=pf,
            sub_channel=sub_channel,
        )


def cells_of_rating(rating: Rating) -> Iterator[Cell]:
    return _cells(rating, rating.rated_on, pf=rating.pf.value, sub_channel=rating.sub_channel.value)


def cells_of_invitation(invitation: Countable) -> Iterator[Cell]:
    return _cells(invitation, clock.local_date(invitation.invited_at))
