"""The rates of 好差评 from counted numbers, each with its numerator and denominator.

Source: the norms of 好差评 bulletins. The values are plain dictionaries; the answers' models
(`statistics.schemas`) are made of them all at once, which costs a fraction of making each.
"""

from collections.abc import Mapping
from math import sqrt
from typing import TypedDict

from services.ratings.rating.model.grades import Grade
from services.ratings.statistics.model.counts import GRADE_MEASURES, Measure

Z = 1.959963984540054
"""Quantile of the normal distribution for two-sided 95 %."""

Counts = Mapping[Measure, int]
"""A number for every measure."""


class RateValues(TypedDict):
    numerator: int
    denominator: int
    value: float | None


class BoundsValues(TypedDict):
    low: float
    high: float


class FiguresValues(TypedDict):
    """As `schemas.Figures`."""

    rated: int
    grades: dict[Grade, int]
    participation: RateValues
    good: RateValues
    good_bounds: BoundsValues | None
    bad: RateValues
    satisfaction: RateValues
    called_back: RateValues
    rectified: RateValues
    rectified_in_time: RateValues
    satisfied_after: RateValues
    share: RateValues


class StaffFiguresValues(FiguresValues):
    """As `schemas.StaffFigures`."""

    excluded: int
    appeals_upheld: RateValues


def rated(counts: Counts) -> int:
    """有效主动评价: valid ratings."""
    return (
        counts["grade_1"]
        + counts["grade_2"]
        + counts["grade_3"]
        + counts["grade_4"]
        + counts["grade_5"]
    )


def good(counts: Counts) -> int:
    """Ratings of grades 3 to 5."""
    return counts["grade_3"] + counts["grade_4"] + counts["grade_5"]


def stars(counts: Counts) -> int:
    """The sum of all grades."""
    total = 0
    for grade, measure in GRADE_MEASURES.items():
        total += grade * counts[measure]
    return total


def rate(numerator: int, *, denominator: int) -> RateValues:
    """A share, with what it is made of; `value` is None where the denominator is 0."""
    value = None
    if denominator:
        # Rounded, so that equal shares are written alike on every machine.
        value = round(numerator / denominator, 6)
    return {"numerator": numerator, "denominator": denominator, "value": value}


def wilson(successes: int, *, number: int) -> BoundsValues | None:
    """Wilson score interval: where the true share lies with 95 % certainty; None without a rating.

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference,
    1927.
    """
    if number == 0:
        return None
    # Written as in the source: centre and half width of the interval.
    share = successes / number
    z2 = Z * Z
    scale = 1 + z2 / number
    middle = (share + z2 / (2 * number)) / scale
    half = Z * sqrt(share * (1 - share) / number + z2 / (4 * number * number)) / scale
    return {"low": round(max(middle - half, 0.0), 6), "high": round(min(middle + half, 1.0), 6)}


def public_figures(counts: Counts, whole: int) -> FiguresValues:
    """What everybody may see of one group; `whole` is the number of ratings of all groups."""
    number = rated(counts)
    good_number = good(counts)
    bad_number = number - good_number
    return {
        "rated": number,
        "grades": {grade: counts[measure] for grade, measure in GRADE_MEASURES.items()},
        "participation": rate(number, denominator=counts["invited"]),
        "good": rate(good_number, denominator=number),
        "good_bounds": wilson(good_number, number=number),
        "bad": rate(bad_number, denominator=number),
        "satisfaction": rate(stars(counts), denominator=5 * number),
        "called_back": rate(counts["called_back"], denominator=counts["real_bad"]),
        "rectified": rate(counts["rectified"], denominator=bad_number),
        "rectified_in_time": rate(counts["rectified_in_time"], denominator=counts["rectify_due"]),
        "satisfied_after": rate(counts["satisfied"], denominator=counts["rerated"]),
        "share": rate(number, denominator=whole),
    }


def staff_figures(counts: Counts, whole: int) -> StaffFiguresValues:
    """What staff see of one group."""
    return {
        **public_figures(counts, whole),
        "excluded": counts["excluded"],
        "appeals_upheld": rate(counts["appeals_upheld"], denominator=counts["appeals_decided"]),
    }
