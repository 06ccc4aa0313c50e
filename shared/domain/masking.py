"""Masks of personal data for every answer (norms: 个人信息保护法; common practice).

`mask_free_text` removes from a text what identifies a person: ID numbers, phones, bank cards,
number plates, addresses, e-mail, WeChat ids, names that follow 我叫, 本人, 联系人. It searches a
copy of the text in which full-width, Tibetan and Chinese digits are written as 0–9, and masks the
same places in the original. In doubt it masks.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator

MASK = "***"


def mask_name(name: str) -> str:
    """Keep the first character or, of a transliterated name, the first part: 张*, 张**, 扎西**."""
    name = name.strip()
    if not name:
        return ""
    first = 1
    if "\u0f0b" in name:
        first = name.index("\u0f0b")
    elif len(name) >= 4 and all("\u4e00" <= character <= "\u9fff" for character in name):
        first = 2
    return name[:first] + "*" * max(min(len(name) - first, 2), 1)


def mask_id_number(number: str) -> str:
    """Keep three and four: 540***********0011."""
    if len(number) <= 7:
        return "*" * len(number)
    return number[:3] + "*" * (len(number) - 7) + number[-4:]


def mask_phone(phone: str) -> str:
    """Keep three and four: 138****1234."""
    if len(phone) < 11:
        return "*" * len(phone)
    return phone[:3] + "****" + phone[-4:]


def mask_address(address: str) -> str:
    """Keep down to the district, county or street: 拉萨市城关区***."""
    for ending in ("街道", "镇", "乡", "区", "县", "市"):
        place = address.find(ending, 1)
        if 0 < place < len(address) - len(ending):
            return address[: place + len(ending)] + "***"
    return "***"


_HAN_DIGITS = dict(zip("〇零一二三四五六七八九幺", "001234567891", strict=True))
_SEPARATOR = r"[ \t\u3000\-–—_.·・,、~()|/]"
_CHAIN = re.compile(rf"[0-9](?:{_SEPARATOR}{{0,3}}[0-9])*(?:{_SEPARATOR}{{0,2}}[Xx](?![A-Za-z]))?")
_GROUP = re.compile(r"[0-9]+[Xx]?|[Xx]")
_ID_18 = re.compile(
    r"[1-9]\d{5}(?:18|19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dXx]"
)
_ID_15 = re.compile(r"[1-9]\d{7}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}")
_MOBILE = re.compile(r"1[3-9]\d{9}")
_CARD = re.compile(r"[3-689]\d{15,18}")
_NOT_PERSONAL = re.compile(
    # Item and case numbers (a USCC and more behind it), the 12-digit form of an area code, amounts,
    # dates.
    r"(?<![0-9A-Za-z])(?:11|12|13|51|52|53|54|91|92|93)[0-9A-Z]{26,44}(?![0-9A-Za-z])"
    r"|(?<![0-9A-Za-z])[1-8]\d{5}0{6}(?!\d)"
    r"|(?<![\d,.])\d{1,3}(?:,\d{3})+(?:\.\d{1,2})?(?![\d,])"
    r"|(?<!\d)(?<!\d[ \-])(?:19|20)\d\d[-/.年](?:0?[1-9]|1[0-2])[-/.月](?:[12]\d|3[01]|0?[1-9])日?"
    r"(?:[ T]+\d{1,2}:\d\d(?::\d\d)?)?(?![ \-]?\d)"
)
_LANDLINE = re.compile(
    rf"(?<!\d)\(?0(?:10|2\d|[3-9]\d\d)\)?{_SEPARATOR}{{0,2}}[2-8](?:{_SEPARATOR}?\d){{6,7}}(?!\d)"
    r"|(?:电话|座机|固话|联系方式|致电)[^0-9*]{0,4}(?P<local>[2-8]\d{2,3}[ \-]?\d{4})(?!\d)"
)
_PLATE = re.compile(
    r"[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼使领] ?[A-Za-z][·•・.\- ]{0,2}"
    r"(?=[A-Za-z]{0,2}\d)[A-Za-z0-9]{4,5}[A-Za-z0-9挂学警港澳](?![A-Za-z0-9])"
)
_EMAIL = re.compile(r"[A-Za-z0-9._%+\-]+ ?@ ?[A-Za-z0-9\-]+(?:\.[A-Za-z0-9\-]+)+")
_CHAT = re.compile(
    r"(?:微信|薇信|威信|v信|wechat|weixin|(?<![a-z])[vw]x|加我?v|qq)(?:号码|号|id|账号)?[\s::=是为加]{0,4}"
    r"(?P<chat>[a-z][a-z0-9_\-]{5,19}|[1-9]\d{4,11})",
    re.IGNORECASE,
)
_N = "[0-9一二三四五六七八九十百〇零]"
_PLACE = (
    r"(?:[^\W\d_住在到于是去从区县市州省镇乡]{1,8}?"
    r"(?:路|街|巷|大道|胡同|弄|小区|花园|家园|新村|公寓|社区|苑|村|大院))"
)
_PART = rf"{_N}{{1,5}} ?(?:号院|号楼|单元|栋|幢|室|户)"
_ADDRESS = re.compile(
    rf"{_PLACE}{{1,3}}(?:{_N}{{1,3}}[组队排])?{_N}{{1,5}}(?:-{_N}{{1,4}})?(?:号院|号楼|号(?!窗|线|台|文|公告|通知))"
    rf"(?:[ ,]?{_PART})*(?:{_N}{{1,3}}[层楼])?"
    rf"|{_PLACE}{{0,3}}{_PART}(?:[ ,]?(?:{_PART}|{_N}{{1,3}}[层楼]|{_N}{{3,5}}(?!{_N})))*"
    rf"|门牌号?(?:码)?[::是为 ]{{0,2}}(?P<door>{_N}{{1,5}}号?)"
    r"|(?P<estate>[^\W\d_住在到于是去从区县市州省镇乡我他她这那该本某们的]{2,8}小区)"
)
_PASSPORT = re.compile(
    r"(?:护照|通行证)(?:号码?)?[::是为 ]{0,2}(?P<passport>[A-Za-z]{1,2}\d{7,8})(?!\d)"
)
_PARTICLES = (
    "的了来去在于是等要说办到从和与给把已有也就都很不没对向为因被让请想能可会应该"
    "曾再又还只才刚今昨明前后上下这那电手联住家身"
)
_HAN = rf"(?:(?![{_PARTICLES}])[\u4e00-\u9fff])"
_SURNAMES = (
    "赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨朱秦许何吕施张孔曹严华金魏陶姜谢邹喻苏潘葛范彭郎鲁韦马苗袁柳唐罗薛雷贺倪汤"
    "郝邬毕伍余顾孟黄穆萧尹姚邵汪祁毛狄臧戴宋庞熊纪舒屈项祝董梁杜阮蓝闵席季贾娄童颜郭梅盛林刁钟徐邱骆蔡田樊胡凌霍万柯"
    "卢莫丁邓龚程邢裴陆荣翁刘叶龙段侯武石崔吉涂牛廖聂游欧阳文江史申傅白谭齐肖覃洪关"
)
_TIBETAN = (
    "(?:扎西|卓玛|次仁|才仁|德吉|尼玛|达瓦|格桑|拉巴|旦增|丹增|索朗|洛桑|央金|白玛|平措|巴桑|米玛|边巴|普布|仁青|仁增|强巴|"
    "多吉|贡嘎|桑珠|顿珠|旺堆|阿旺|益西|罗布|曲珍|玉珍|措姆|加措|嘉措|央宗|拉姆|旺姆|卓嘎|次旦|次旺|云丹|坚赞|群培|晋美)"
)
_RELATIVE = (
    "(?:儿子|女儿|孩子|丈夫|妻子|老公|老婆|爱人|父亲|母亲|爸爸|妈妈|哥哥|姐姐|弟弟|妹妹|朋友)"
)
_NAME = re.compile(
    rf"(?:我叫|名叫|姓名|联系人|我的名字|{_RELATIVE}叫)[叫是为::  ,]{{0,3}}"
    rf"(?P<told>{_TIBETAN}{_HAN}{{0,2}}|(?![号写错着过几半]){_HAN}{{2,4}})"
    rf"|(?:本人|我是|申请人|经办人|办事人)[叫是为::  ,]{{0,3}}"
    rf"(?P<known>{_TIBETAN}{_HAN}{{0,2}}|[{_SURNAMES}]{_HAN}{{1,2}})"
    r"|ངའི་མིང་(?:ལ་|ནི་)?(?P<tibetan>[\u0f40-\u0fbc]+(?:་[\u0f40-\u0fbc]+){0,3})"
)


def mask_free_text(text: str, known: Iterable[str] = ()) -> str:
    """The text without what identifies a person.

    `known` are names and numbers that certainly belong to her. Masking the result again changes
    nothing; a text without such data is returned as it is.
    """
    for one in known:
        name = one.strip()
        if len(name) > 1:
            text = text.replace(name, MASK)
    masked = _mask_once(text)
    while masked != text:
        text = masked
        masked = _mask_once(text)
    return text


def _mask_once(text: str) -> str:
    plain = "".join(map(_plain, text))
    numbers = "".join(_HAN_DIGITS.get(character, character) for character in plain)
    kept = [match.span() for match in _NOT_PERSONAL.finditer(plain)]
    spans: list[Span] = []
    for find in _FINDERS:
        for span in find(plain, numbers):
            if not _within(span, kept):
                spans.append(span)
    pieces: list[str] = []
    place = 0
    for start, end in sorted(spans):
        if start >= place:
            pieces += [text[place:start], MASK]
        place = max(place, end)
    return "".join([*pieces, text[place:]])


def _plain(character: str) -> str:
    """The character as ASCII where it is a full-width form or any script's digit."""
    if "！" <= character <= "～":
        return chr(ord(character) - 0xFEE0)
    if character.isascii():
        return character
    digit = unicodedata.digit(character, None)
    if digit is None:
        return character
    return str(digit)


Span = tuple[int, int]


def _within(span: Span, kept: list[Span]) -> bool:
    return any(start <= span[0] and span[1] <= end for start, end in kept)


def _of(pattern: re.Pattern[str]) -> Callable[[str, str], Iterator[Span]]:
    """A finder of the first named group that took part in a match, or of the whole match."""

    def find(plain: str, _numbers: str) -> Iterator[Span]:
        for match in pattern.finditer(plain):
            taking_part = [name for name, value in match.groupdict().items() if value is not None]
            if taking_part:
                yield match.span(taking_part[0])
            else:
                yield match.span()

    return find


def _landlines(_plain: str, numbers: str) -> Iterator[Span]:
    yield from _of(_LANDLINE)(numbers, numbers)


def _numbers(_plain: str, numbers: str) -> Iterator[Span]:
    """ID numbers, mobiles and cards: neighbouring groups of digits, or a part of one group."""
    for chain in _CHAIN.finditer(numbers):
        groups = [(m.start() + chain.start(), m.group()) for m in _GROUP.finditer(chain.group())]
        for first, (start, digits) in enumerate(groups):
            for pattern in (_ID_18, _MOBILE):
                yield from ((start + m.start(), start + m.end()) for m in pattern.finditer(digits))
            joined = ""
            for begin, more in groups[first:]:
                joined += more
                if len(joined) > 21:
                    break
                if _is_personal(joined):
                    yield start, begin + len(more)


def _is_personal(digits: str) -> bool:
    digits = re.sub(r"^(?:00)?86(?=1[3-9]\d{9}$)|^0(?=1[3-9]\d{9}$)", "", digits)
    return any(pattern.fullmatch(digits) for pattern in (_ID_18, _ID_15, _MOBILE, _CARD))


_FINDERS: tuple[Callable[[str, str], Iterator[Span]], ...] = (
    _numbers,
    _landlines,
    *map(_of, (_PLATE, _EMAIL, _CHAT, _ADDRESS, _PASSPORT, _NAME)),
)
