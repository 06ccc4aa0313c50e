"""National codes: structure and check characters (GB 11643, GB 32100, GB/T 36904, GB/T 39554).

Each `check_…` returns the normalised code or raises `InvalidValueError`, whose text names the
broken rule: for Pydantic validators and for importers. `stdnum.cn.ric` is not used for ID numbers,
because it refuses people born before their county's code existed.
"""

import re
from datetime import date
from enum import StrEnum
from functools import lru_cache
from operator import mul

from shared.errors import InvalidValueError

ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
ID_CHECK = "10X98765432"
USCC_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
USCC = re.compile(f"[{USCC_ALPHABET}]{{18}}")
USCC_WEIGHTS = (1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28)
ISO_7064_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _iso_7064_steps() -> dict[str, list[int]]:
    """MOD 37,36: the next product for each character, by the product so far."""
    steps: dict[str, list[int]] = {}
    for value, character in enumerate(ISO_7064_ALPHABET):
        steps[character] = [((product + value) % 36 or 36) * 2 % 37 for product in range(37)]
    return steps


ISO_7064_STEPS = _iso_7064_steps()
PROVINCES = frozenset(
    str(number)
    for number in (
        *range(11, 16),
        *range(21, 24),
        *range(31, 38),
        *range(41, 47),
        *range(50, 55),
        *range(61, 66),
        71,
        81,
        82,
        83,
        91,
    )
)
"""First two digits of area codes."""


class MatterType(StrEnum):
    """事项类型 (GB/T 39046 Annex A).

    The six application types and public service are reported apart.
    """

    LICENSING = "01"  # 行政许可
    PENALTY = "02"  # 行政处罚
    COERCION = "03"  # 行政强制
    LEVY = "04"  # 行政征收
    GRANT = "05"  # 行政给付
    INSPECTION = "06"  # 行政检查
    CONFIRMATION = "07"  # 行政确认
    REWARD = "08"  # 行政奖励
    RULING = "09"  # 行政裁决
    OTHER = "10"  # 其他行政权力
    PUBLIC_SERVICE = "20"  # 公共服务


APPLICATION_TYPES = frozenset({"01", "05", "07", "08", "09", "10"})
"""依申请六类."""


def check_area(text: str) -> str:
    """区划代码, 6 or 12 digits; the 12-digit form comes back."""
    if not re.fullmatch(r"[0-9]{6}|[0-9]{12}", text):
        raise InvalidValueError("an area code has 6 or 12 digits")
    if text[:2] not in PROVINCES:
        raise InvalidValueError("an area code begins with a province")
    return text.ljust(12, "0")


def id_check_character(first17: str) -> str:
    """Check character of an ID number (GB 11643)."""
    return ID_CHECK[sum(map(mul, map(int, first17), ID_WEIGHTS)) % 11]


def check_id_number(text: str, today: date) -> str:
    """公民身份号码, also residence permits (81, 82, 83).

    The birth date must be real and not after `today`.
    """
    number = text.strip().upper()
    if not re.fullmatch(r"[0-9]{17}[0-9X]", number):
        raise InvalidValueError("an ID number has 17 digits and a digit or X")
    if number[:2] not in PROVINCES:
        raise InvalidValueError("the first two digits name no province")
    try:
        born = date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        raise InvalidValueError("digits 7 to 14 are no date") from None
    if born > today or born.year < 1850:
        raise InvalidValueError("the birth date is not possible")
    if id_check_character(number[:17]) != number[17]:
        raise InvalidValueError("the check character does not fit")
    return number


def uscc_check_character(first17: str) -> str:
    """Check character of a unified social credit code (GB 32100)."""
    total = sum(map(mul, map(USCC_ALPHABET.index, first17), USCC_WEIGHTS))
    return USCC_ALPHABET[(31 - total % 31) % 31]


@lru_cache(maxsize=4096)  # departments and types come again and again
def check_uscc(text: str) -> str:
    """统一社会信用代码: 18 characters with its check character.

    The alphabet has no I, O, S, V and Z.
    """
    code = text.strip().upper()
    if len(code) != 18:
        raise InvalidValueError(
            "a unified social credit code has 18 characters, this has {length}", length=len(code)
        )
    if not USCC.fullmatch(code):
        raise InvalidValueError(
            "a unified social credit code has digits and capital letters without I, O, S, V, Z"
        )
    if uscc_check_character(code[:17]) != code[17]:
        raise InvalidValueError(
            "the check character of the unified social credit code does not fit"
        )
    return code


def check_catalog_code(text: str) -> str:
    """基本编码: 12 digits; 2 source, 2 matter type, 2 department, 3 main item, 3 sub-item."""
    if not re.fullmatch(r"[0-9]{12}", text):
        raise InvalidValueError("a basic code (基本编码) has 12 digits")
    if text[2:4] not in set(MatterType):
        raise InvalidValueError("digits 3 and 4 of a basic code name a matter type")
    return text


def check_implementing_code(text: str) -> str:
    """实施编码: 31 characters; USCC of the implementing unit, exercise level 1 to 7, basic code."""
    code = text.strip().upper()
    if len(code) != 31:
        raise InvalidValueError(
            "an implementing code (实施编码) has 31 characters, this has {length}", length=len(code)
        )
    _ = check_uscc(code[:18])
    if code[18] not in "1234567":
        raise InvalidValueError("character 19 of an implementing code is the exercise level 1 to 7")
    _ = check_catalog_code(code[19:])
    return code


def check_handling_item_code(text: str) -> str:
    """业务办理项编码: 33 characters; implementing code, sequence 01 to 99."""
    code = text.strip().upper()
    if len(code) != 33:
        raise InvalidValueError(
            "a handling item code (业务办理项编码) has 33 characters, this has {length}",
            length=len(code),
        )
    _ = check_implementing_code(code[:31])
    if not re.fullmatch(r"[0-9]{2}", code[31:]) or code[31:] == "00":
        raise InvalidValueError("a handling item code ends in its sequence, 01 to 99")
    return code


def claims_to_be_national(text: str) -> bool:
    """Whether a code must be checked as a national one: 28 to 34 characters, begun like a USCC.

    Local codes have separators or another length; they are kept as they are.
    """
    return (
        re.fullmatch(r"(11|12|13|51|52|53|91|92|93|54)[0-9A-Z]{26,32}", text.strip().upper())
        is not None
    )


def case_number(implementing_code: str, day: date, *, serial: int) -> str:
    """办件编号: implementing code, date, serial of at least four digits."""
    return f"{implementing_code}{day:%Y%m%d}{serial:04d}"


def check_phone(text: str) -> str:
    """A mobile number of the mainland, 11 digits; +86 and separators are taken off."""
    number = re.sub(r"[\s-]", "", text)
    number = number.removeprefix("+86")
    if not re.fullmatch(r"1[3-9][0-9]{9}", number):
        raise InvalidValueError("a mobile number has 11 digits and begins with 13 to 19")
    return number


def license_check_character(payload: str) -> str:
    """Check character of a license identifier (GB/T 36904): ISO 7064 MOD 37,36.

    Only letters and digits count.
    """
    product = 36
    for character in re.sub(r"[^0-9A-Z]", "", payload.upper()):
        product = ISO_7064_STEPS[character][product]
    return ISO_7064_ALPHABET[(37 - product) % 36]
