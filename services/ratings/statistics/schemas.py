"""Answers of statistics: every rate with its numerator and denominator (好差评 bulletins)."""

from pydantic import BaseModel, Field

from services.ratings.rating.model.grades import Grade
from services.ratings.statistics.model.counts import LEAST, Measure


class Rate(BaseModel):
    """A share, with what it is made of; `value` None where the denominator is 0."""

    numerator: int
    denominator: int
    value: float | None


class Bounds(BaseModel):
    """Wilson bounds at 95 %."""

    low: float
    high: float


class Figures(BaseModel):
    """One group's figures."""

    rated: int = Field(description="有效主动评价: valid ratings")
    grades: dict[Grade, int]
    participation: Rate = Field(description="评价率: rated ÷ invited")
    good: Rate = Field(description="好评率: grades 3 to 5")
    good_bounds: Bounds | None
    bad: Rate = Field(description="差评率: grades 1 and 2")
    satisfaction: Rate = Field(description="满意度: stars ÷ 5 × rated")
    called_back: Rate = Field(description="差评回访率, of real-name bad ratings")
    rectified: Rate = Field(description="差评整改率, of bad ratings without those excluded")
    rectified_in_time: Rate = Field(description="按期整改率, of those rectified or overdue")
    satisfied_after: Rate = Field(description="再评价满意率")
    share: Rate = Field(
        description="Part of all ratings in this answer (渠道占比 when grouped by channel)"
    )


class StaffFigures(Figures):
    """What staff see beside it."""

    excluded: int
    appeals_upheld: Rate = Field(description="申诉成立率")


class Group(BaseModel):
    """One line: its place (dimension → value).

    `rank` is by the lower bound of the good rate, where there are enough ratings.
    """

    group: dict[str, str]
    rank: int | None = None


class StaffGroup(Group):
    figures: StaffFigures


class PublicGroup(Group):
    """`figures` None: fewer than ten ratings in every month of it."""

    figures: Figures | None


class StaffStatistics(BaseModel):
    """Exact figures of the caller's area and department."""

    first: str
    last: str
    coverage: Rate = Field(description="部门覆盖率: departments with a rating")
    total: StaffFigures
    groups: list[StaffGroup]
    next: str | None = None


class PublicStatistics(BaseModel):
    """Published figures. Totals are the sums of what may be shown, not of everything."""

    first: str
    last: str
    coverage: Rate = Field(description="部门覆盖率: departments with a rating")
    least: int = Field(
        default=LEAST,
        description="Figures of a department's month rest on at least so many ratings",
    )
    complete: bool = Field(description="False: something was left out, here or in a group")
    total: Figures
    groups: list[PublicGroup]
    next: str | None = None


class Difference(BaseModel):
    """A counter that is not what the rows say."""

    cell: dict[str, str]
    counted: dict[Measure, int]
    true: dict[Measure, int]


class Recounted(BaseModel):
    """Whether the counters equal a recount of every row; at most the first hundred differences.

    Nothing is repaired.
    """

    equal: bool
    differences: list[Difference]
