"""评价指标: the national dictionary of tags (norms §1.4).

The first digit of a code is the grade that it belongs to. Three tags of a grade are shown first,
the others under 更多. Texts without `bo` fall back to Chinese. Departments may not add or delete
tags; a new national edition is a new version here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from services.ratings.rating.model.grades import Grade
from shared.errors import InvalidValueError

CURRENT = "2021"
"""The edition that ratings use."""
RETIRED = "2019"
FIRST_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Tag:
    """One 评价指标.

    `expanded`: shown under 更多 (expandNorm). A tag that is not `enabled` explains old ratings and
    cannot be chosen.
    """

    code: str
    zh: str
    bo: str | None = None
    dictionary: str = CURRENT
    enabled: bool = True
    expanded: bool = False

    @property
    def grade(self) -> Grade:
        return cast("Grade", int(self.code[0]))


_TEXTS: dict[str, tuple[str, str | None]] = {
    "510": ("一窗受理一次办结", None),
    "511": ("可以先受理后补材料", None),
    "512": ("不用提交证明", None),
    "513": ("可以全程网上办理", "དྲ་ཐོག་ནས་ཡོངས་སུ་སྒྲུབ་ཆོག"),
    "514": ("可以使用手机办理", "ཁ་པར་སྤྱད་ནས་སྒྲུབ་ཆོག"),
    "515": ("可以就近办理", "ཉེ་འདབས་སུ་སྒྲུབ་ཆོག"),
    "516": ("无需材料直接办理", None),
    "517": ("服务热情效率高", "ཞབས་ཞུ་ཧུར་ཞིང་ལས་ཆོད་མཐོ།"),
    "406": ("填写一张表单就可完成申报", None),
    "407": ("在线提交材料窗口核验", None),
    "408": ("一张清单告知全部申报材料", None),
    "409": ("用告知承诺减免申报材料", None),
    "410": ("可以在线预约办理", None),
    "411": ("跑大厅一次办完", None),
    "412": ("可以使用自助机办理", None),
    "413": ("服务态度较好", "ཞབས་ཞུའི་རྣམ་འགྱུར་ལེགས།"),
    "307": ("一次性告知需要补正的材料", None),
    "308": ("提供申报材料样本", None),
    "309": ("在承诺的时间内办结", None),
    "310": ("办事指南指引准确", None),
    "311": ("按办事指南要求的材料即可办理", None),
    "312": ("可以快递送达", None),
    "313": ("跑动次数与承诺的一致", None),
    "314": ("服务态度一般", "ཞབས་ཞུའི་རྣམ་འགྱུར་འབྲིང་།"),
    "207": ("没有提供材料样本", None),
    "208": ("没有提供材料清单", None),
    "209": ("未在承诺时间内办结", None),
    "210": ("同样内容的证明材料被要求多次提交", None),
    "211": ("承诺网办但无法在线办理", None),
    "212": ("在线预约办理后到实体大厅重复取号排队", None),
    "213": ("窗口人员业务不熟练", None),
    "214": ("服务态度生硬", "ཞབས་ཞུའི་རྣམ་འགྱུར་རྩུབ།"),
    "108": ("在办事指南之外增加新的审批条件", None),
    "109": ("需提供办事指南之外的申报材料", None),
    "110": ("无理由超过法定办理时间", None),
    "111": ("办事指南提供样本有错", None),
    "112": ("承诺在线收取申报材料实际无法收取", None),
    "113": ("多头跑窗口和部门", None),
    "114": ("跑动次数与承诺的不一致", None),
    "115": ("服务态度差效率低", "ཞབས་ཞུའི་རྣམ་འགྱུར་ཞན་ཞིང་ལས་ཆོད་དམའ།"),
}
_RETIRED_CODES = (
    *range(101, 108),
    *range(201, 207),
    *range(301, 307),
    401,
    402,
    404,
    405,
    *range(501, 510),
)


def _current_tags() -> dict[str, Tag]:
    tags: dict[str, Tag] = {}
    number_in_grade: dict[str, int] = {}
    for code, (zh, bo) in _TEXTS.items():
        grade = code[0]
        number = number_in_grade.get(grade, 0) + 1
        number_in_grade[grade] = number
        tags[code] = Tag(code, zh, bo, expanded=number > FIRST_SHOWN)
    return tags


def _retired_tags() -> dict[str, Tag]:
    tags: dict[str, Tag] = {}
    for number in _RETIRED_CODES:
        code = str(number)
        # Only the codes of 2019 are kept, because old ratings name them.
        text = f"2019年指标{code}（已停用）"
        tags[code] = Tag(code, text, dictionary=RETIRED, enabled=False, expanded=True)
    return tags


TAGS = _current_tags()
"""Tags that can be chosen, in the order in which they are shown."""
RETIRED_TAGS = _retired_tags()


def tags_of(grade: Grade) -> list[Tag]:
    return [tag for tag in TAGS.values() if tag.grade == grade]


def check_tags(grade: Grade, codes: Sequence[str]) -> None:
    """Raise `InvalidValueError` for the first of `codes` that cannot be chosen with this grade."""
    # The first fault is enough: a client shows one list and repairs it as a whole.
    for code in codes:
        tag = TAGS.get(code)
        if tag is None and code in RETIRED_TAGS:
            raise InvalidValueError("{code} is retired", code=code)
        if tag is None:
            raise InvalidValueError("there is no tag {code}", code=code)
        if tag.grade != grade:
            raise InvalidValueError("{code} belongs to grade {grade}", code=code, grade=tag.grade)
    if len(set(codes)) != len(codes):
        raise InvalidValueError("each tag once")
