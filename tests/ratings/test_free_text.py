"""Free words of a rating: what names a person is gone, everything else stays."""

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.masking import MASK, mask_free_text

ID = "540102199001010011"
HARD: tuple[tuple[str, str], ...] = (
    ("身份证540102199001010011办的", ID),
    ("身份证号是 540102 19900101 0011 。", "0011"),
    ("５４０１０２１９９００１０１００１１", "５４０１"),
    ("54010219900101001X", "54010219900101001X"),
    ("54010219900101001x。", "001x"),
    ("证件540102-1990-0101-0011", "0101"),
    ("老身份证540102900101001", "540102900101001"),
    ("五四〇一〇二一九九〇〇一〇一〇〇一一", "五四〇一"),
    ("༥༤༠༡༠༢༡༩༩༠༠༡༠༡༠༠༡༡", "༥༤༠༡༠༢"),
    ("电话13989001234", "13989001234"),
    ("电话13989001234元旦期间打不通", "13989001234"),
    ("手机 139 8900 1234 请回电", "8900"),
    ("139-8900-1234", "1234"),
    ("１３９８９００１２３４", "１３９"),
    ("一三九八九〇〇一二三四", "一三九"),
    ("幺三九八九零零幺二三四", "幺三九"),
    ("+8613989001234", "13989001234"),
    ("0086 139 8900 1234", "8900"),
    ("打013989001234", "13989001234"),
    ("1 3 9 8 9 0 0 1 2 3 4", "8 9 0 0"),
    ("139.8900.1234", "8900"),
    ("1398-900-1234", "900"),
    ("找他13989001234一次", "13989001234"),
    ("座机0891-6323456", "6323456"),
    ("座机（0891）6323456", "6323456"),
    ("0891 632 3456", "3456"),
    ("010-62345678", "62345678"),
    ("０８９１－６３２３４５６", "６３２"),
    ("联系电话6323456", "6323456"),
    ("卡号6222021234567890123", "6222021234567890123"),
    ("银行卡6222 0212 3456 7890 123", "7890"),
    ("卡 6228-4800-1234-5678", "5678"),
    ("车牌藏A·12345", "12345"),
    ("藏A12345被拍", "A12345"),
    ("新能源藏AD12345", "AD12345"),
    ("川Ａ１２３４５", "１２３"),
    ("藏a 8k123", "8k123"),
    ("邮箱dolma.y@example.com", "dolma"),
    ("邮箱ｄｏｌｍａ＠ｅｘａｍｐｌｅ．ｃｏｍ", "ｄｏｌ"),
    ("微信号：zhaxi_2020", "zhaxi_2020"),
    ("加我vx zhaxi2020a", "zhaxi2020a"),
    ("QQ：123456789", "123456789"),
    ("我家在城关区北京中路12号", "12号"),
    ("住八廓街金丝雀巷七号", "金丝雀巷"),
    ("地址：阳光小区3号楼2单元501室", "501"),
    ("寄到5栋二单元302", "302"),
    ("在203室", "203"),
    ("门牌号是 35号", "35"),
    ("我们住天海小区", "天海"),
    ("我叫扎西顿珠来办证", "扎西顿珠"),
    ("本人李娜对服务不满意", "李娜"),
    ("联系人：次仁卓玛，电话", "次仁卓玛"),
    ("我是张伟的家属", "张伟"),
    ("姓名 王小明", "王小明"),
    ("我儿子叫丹增，刚上学", "丹增"),
    ("经办人:李四", "李四"),
    ("藏 A12345", "A12345"),
    ("护照E12345678丢了", "E12345678"),
    ("地址是堆龙德庆区东嘎镇桑木村3组12号", "3组12号"),
    ("金珠西路158号阳光花园2栋1单元301室", "158"),
    ("手机号1398900 1234", "1234"),
    ("ངའི་མིང་ལ་བཀྲ་ཤིས་ཟེར།", "བཀྲ་ཤིས"),
)
HARMLESS = (
    "",
    "办得很快，态度很好！",
    "交了1350元，发票没给",
    "金额135,890,012.34元",
    "2026年11月27日去的，等了3个小时",
    "2026-11-27 13:30 取号，15:40才叫到",
    "拨打12345反映过两次",
    "3号窗口的工作人员很热情",
    "在2楼大厅排队，5号窗口没人",
    "事项编码11540100MB0Q01904W2000103004001",
    "办件编号11540100MB0Q01904W2000103004001202611270001",
    "基本编码000103004001",
    "区划代码540100000000",
    "区划130100000000",
    "法人代码11540100MB0Q01904W",
    "材料要交3份，跑了2趟，一共7天",
    "第一、第二、第三项材料都重复要",
    "承诺5个工作日，实际15个工作日",
    "本人不满意",
    "本人对结果没有意见",
    "我是来办营业执照的",
    "扎西德勒，谢谢！",
    "一窗受理一次办结，517 服务热情效率高",
    "北京中路大厅排队太久",
    "依据藏政办〔2023〕12号文",
    "ཞབས་ཞུ་ཡག་པོ་འདུག",
    "取号A012，等了40分钟",
    "微信公众号打不开",
    "我叫号叫了两小时",
    "姓名写错了还要重办",
    "联系人电话打不通",
    "申请人跑了三趟",
    "本人于11月27日办理",
    "2026年11月27日13时30分",
    "受理编号202611270001",
    "社区3号窗口",
    "利率3.85%，期限30年",
)


@pytest.mark.parametrize(("text", "secret"), HARD)
def test_what_names_a_person_is_gone(text: str, secret: str) -> None:
    masked = mask_free_text(text)

    assert secret not in masked
    assert MASK in masked
    assert mask_free_text(masked) == masked


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless_words_stay(text: str) -> None:
    assert mask_free_text(text) == text


def test_name_known_of_the_case_is_gone_anywhere() -> None:
    assert mask_free_text("窗口把仁青拉姆的表弄丢了", ("仁青拉姆",)) == f"窗口把{MASK}的表弄丢了"


def _full_width(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) for c in text)


def _spaced(text: str) -> str:
    return f"{text[:3]} {text[3:7]} {text[7:]}"


# Twelve digits that end in six zeros are an area code (区划), whatever else they may be.
MOBILES = st.from_regex(r"1[3-9][0-9]{8}[1-9]", fullmatch=True)
IDS = st.builds(
    lambda area, born, rest, last: f"{area}{born:%Y%m%d}{rest}{last}",
    st.from_regex(r"[1-8][0-9]{5}", fullmatch=True),
    st.dates(min_value=date(1900, 1, 1), max_value=date(2026, 1, 1)),
    st.from_regex(r"[0-9]{3}", fullmatch=True),
    st.sampled_from("0123456789X"),
)
CARDS = st.from_regex(r"62[0-9]{14,17}", fullmatch=True)
WORDS = st.text(
    st.sampled_from("我的电话号码是，。！办证很慢 态度差ཞབསabc，请回\n我叫12345（）：、-"),
    max_size=30,
)


@given(WORDS, st.one_of(MOBILES, IDS, CARDS), WORDS, st.sampled_from([str, _full_width]))
@settings(max_examples=400, deadline=None)
def test_planted_number_is_gone_in_any_surrounding(
    before: str, number: str, after: str, form: object
) -> None:
    assert callable(form)
    planted = str(form(number))
    quiet = (
        before.rstrip("12345 -、，（）：")
        + "是"
        + planted
        + "，"
        + after.lstrip("12345 -、，（）：")
    )

    masked = mask_free_text(quiet)

    assert planted not in masked


@given(WORDS, MOBILES, WORDS)
@settings(max_examples=200, deadline=None)
def test_mobile_is_gone_even_between_other_digits(before: str, number: str, after: str) -> None:
    assert number not in mask_free_text(before + number + after)


@given(WORDS, MOBILES, WORDS)
@settings(max_examples=200, deadline=None)
def test_spaced_mobile_is_gone(before: str, number: str, after: str) -> None:
    assert _spaced(number) not in mask_free_text(before + "：" + _spaced(number) + "；" + after)


@given(st.text(max_size=80) | WORDS)
@settings(max_examples=300, deadline=None)
def test_masking_twice_is_masking_once(text: str) -> None:
    masked = mask_free_text(text)

    assert mask_free_text(masked) == masked


@given(st.text(st.sampled_from("办事很快服务热情窗口材料等候满意，。！？ "), max_size=60))
@settings(max_examples=200, deadline=None)
def test_words_without_data_come_back_as_they_are(text: str) -> None:
    assert mask_free_text(text) == text
