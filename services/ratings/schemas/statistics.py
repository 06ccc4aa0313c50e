"""Answers of statistics: every rate with its numerator and denominator (norms of 好差评 bulletins)."""

from collections.abc import Mapping
from math import sqrt
from typing import Any

from pydantic import BaseModel, Field

from services.ratings.model import LEAST

Z = 1.959963984540054
"""Two-sided 95 %."""


class Rate(BaseModel):
    """A share, with what it is made of; `value` None where the denominator is 0."""

    numerator: int
    denominator: int
    value: float | None

    @classmethod
    def of(cls, numerator: int, denominator: int) -> "Rate":
        # Computed here of counted numbers: checking them again would cost more than the query.
        return cls.model_construct(
            numerator=numerator,
            denominator=denominator,
            value=round(numerator / denominator, 6) if denominator else None,
        )


class Bounds(BaseModel):
    """Wilson bounds at 95 %."""

    low: float
    high: float


def wilson(successes: int, number: int) -> Bounds | None:
    """Where the true share lies with 95 % certainty; None without a rating."""
    if number == 0:
        return None
    share, z2 = successes / number, Z * Z
    middle = (share + z2 / (2 * number)) / (1 + z2 / number)
    half = Z * sqrt(share * (1 - share) / number + z2 / (4 * number * number)) / (1 + z2 / number)
    return Bounds.model_construct(low=round(max(middle - half, 0.0), 6), high=round(min(middle + half, 1.0), 6))


class Figures(BaseModel):
    """One group's figures."""

    rated: int = Field(description="有效主动评价: valid ratings")
    grades: dict[int, int]
    participation: Rate = Field(description="评价率: rated ÷ invited")
    good: Rate = Field(description="好评率: grades 3 to 5")
    good_bounds: Bounds | None
    bad: Rate = Field(description="差评率: grades 1 and 2")
    satisfaction: Rate = Field(description="满意度: stars ÷ 5 × rated")
    called_back: Rate = Field(description="差评回访率, of real-name bad ratings")
    rectified: Rate = Field(description="差评整改率, of bad ratings without those excluded")
    rectified_in_time: Rate = Field(description="按期整改率, of those rectified or overdue")
    satisfied_after: Rate = Field(description="再评价满意率")
    share: Rate = Field(description="Part of all ratings in this answer (渠道占比 when grouped by channel)")

    @classmethod
    def of(cls, row: Mapping[str, int], whole: int) -> "Figures":
        grades = {grade: row[f"grade_{grade}"] for grade in range(1, 6)}
        rated, bad = sum(grades.values()), grades[1] + grades[2]
        return cls.model_construct(
            rated=rated,
            grades=grades,
            participation=Rate.of(rated, row["invited"]),
            good=Rate.of(rated - bad, rated),
            good_bounds=wilson(rated - bad, rated),
            bad=Rate.of(bad, rated),
            satisfaction=Rate.of(sum(grade * number for grade, number in grades.items()), 5 * rated),
            called_back=Rate.of(row["called_back"], row["real_bad"]),
            rectified=Rate.of(row["rectified"], bad),
            rectified_in_time=Rate.of(row["rectified_in_time"], row["rectify_due"]),
            satisfied_after=Rate.of(row["satisfied"], row["rerated"]),
            share=Rate.of(rated, whole),
        )


class StaffFigures(Figures):
    """What staff see beside it."""

    excluded: int
    appeals_upheld: Rate = Field(description="申诉成立率")

    @classmethod
    def of(cls, row: Mapping[str, int], whole: int) -> "StaffFigures":
        plain = Figures.of(row, whole)
        appeals = Rate.of(row["appeals_upheld"], row["appeals_decided"])
        return cls.model_construct(**dict(plain), excluded=row["excluded"], appeals_upheld=appeals)


class Group(BaseModel):
    """One line: its place (dimension → value), and its rank by the lower bound where there are enough ratings."""

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
    least: int = Field(default=LEAST, description="Figures of a department's month rest on at least so many ratings")
    complete: bool = Field(description="False: something was left out, here or in a group")
    total: Figures
    groups: list[PublicGroup]
    next: str | None = None


class Difference(BaseModel):
    """A counter that is not what the rows say."""

    cell: dict[str, Any]
    counted: dict[str, int]
    true: dict[str, int]


class Recounted(BaseModel):
    """Whether the counters equal a recount of every row; at most the first hundred differences. Nothing is repaired."""

    equal: bool
    differences: list[Difference]
