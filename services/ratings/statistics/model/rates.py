"""The rates of 好差评 from counted numbers, each with its numerator and denominator (norms of 好差评 bulletins).

Plain values: the answers' models (`schemas.statistics`) are made of them in one go, which costs a fraction of making each.
"""

from collections.abc import Mapping
from math import sqrt
from typing import Any

Z = 1.959963984540054
"""Two-sided 95 %."""
GRADES = {grade: f"grade_{grade}" for grade in range(1, 6)}

Counts = Mapping[str, int]
"""Every one of `statistics.MEASURES` → number."""
Values = dict[str, Any]


def rated(counts: Counts) -> int:
    """有效主动评价: valid ratings."""
    return sum([counts[name] for name in GRADES.values()])


def good(counts: Counts) -> int:
    """Ratings of grades 3 to 5."""
    return counts["grade_3"] + counts["grade_4"] + counts["grade_5"]


def rate(numerator: int, denominator: int) -> Values:
    """A share, with what it is made of; `value` None where the denominator is 0."""
    value = round(numerator / denominator, 6) if denominator else None
    return {"numerator": numerator, "denominator": denominator, "value": value}


def wilson(successes: int, number: int) -> dict[str, float] | None:
    """Where the true share lies with 95 % certainty (`low`, `high`); None without a rating."""
    if number == 0:
        return None
    share, z2 = successes / number, Z * Z
    middle = (share + z2 / (2 * number)) / (1 + z2 / number)
    half = Z * sqrt(share * (1 - share) / number + z2 / (4 * number * number)) / (1 + z2 / number)
    return {"low": round(max(middle - half, 0.0), 6), "high": round(min(middle + half, 1.0), 6)}


def public_figures(counts: Counts, whole: int) -> Values:
    """What everybody may see of one group; `whole`: ratings of all groups."""
    number, fine = rated(counts), good(counts)
    bad = number - fine
    return {
        "rated": number,
        "grades": {grade: counts[name] for grade, name in GRADES.items()},
        "participation": rate(number, counts["invited"]),
        "good": rate(fine, number),
        "good_bounds": wilson(fine, number),
        "bad": rate(bad, number),
        "satisfaction": rate(
            sum([grade * counts[name] for grade, name in GRADES.items()]), 5 * number
        ),
        "called_back": rate(counts["called_back"], counts["real_bad"]),
        "rectified": rate(counts["rectified"], bad),
        "rectified_in_time": rate(counts["rectified_in_time"], counts["rectify_due"]),
        "satisfied_after": rate(counts["satisfied"], counts["rerated"]),
        "share": rate(number, whole),
    }


def staff_figures(counts: Counts, whole: int) -> Values:
    """What staff see of it."""
    appeals = rate(counts["appeals_upheld"], counts["appeals_decided"])
    return {
        **public_figures(counts, whole),
        "excluded": counts["excluded"],
        "appeals_upheld": appeals,
    }
