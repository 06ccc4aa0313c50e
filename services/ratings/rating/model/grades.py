"""Grades of a rating and the contents that may be graded one by one."""

from enum import StrEnum
from typing import Literal, NamedTuple

Grade = Literal[1, 2, 3, 4, 5]
"""5 非常满意 … 1 非常不满意."""
BORDERLINE: Grade = 3
"""基本满意: the lowest grade that counts as a good rating."""


class GradeText(NamedTuple):
    """Name of a grade in Chinese and Tibetan."""

    zh: str
    bo: str


GRADES: dict[Grade, GradeText] = {
    5: GradeText("非常满意", "ཧ་ཅང་ཡིད་ཚིམ།"),
    4: GradeText("满意", "ཡིད་ཚིམ།"),
    3: GradeText("基本满意", "གཞི་རྩའི་ཐོག་ཡིད་ཚིམ།"),
    2: GradeText("不满意", "ཡིད་མ་ཚིམ།"),
    1: GradeText("非常不满意", "ཧ་ཅང་ཡིད་མ་ཚིམ།"),
}


class Content(StrEnum):
    """The five contents of a rating, each of which may have its own grade."""

    PROCESS = "process"
    EFFICIENCY = "efficiency"
    CONVENIENCE = "convenience"
    ATTITUDE = "attitude"
    EXPERIENCE = "experience"


CONTENT_TEXTS: dict[Content, str] = {
    Content.PROCESS: "流程",
    Content.EFFICIENCY: "效率",
    Content.CONVENIENCE: "便捷度",
    Content.ATTITUDE: "态度",
    Content.EXPERIENCE: "体验",
}


def is_bad(grade: Grade) -> bool:
    """差评: 不满意 or 非常不满意."""
    return grade < BORDERLINE
