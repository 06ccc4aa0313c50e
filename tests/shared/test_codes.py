"""Codes: published vectors hold, a changed character is found, every refusal names its rule."""

from datetime import date

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.domain import codes
from shared.domain.masking import mask_address, mask_id_number, mask_name, mask_phone

TODAY = date(2026, 11, 24)


@pytest.mark.parametrize(
    "number",
    ["540102199001010011", "540121198512311232", "540104200002290025", "81000019900101001X"],
)
def test_id_number_vectors(number: str) -> None:
    checked = number[:17] + codes.id_check_character(number[:17])

    assert codes.check_id_number(checked.lower(), TODAY) == checked
    assert number.startswith("81") or checked == number


@pytest.mark.parametrize(
    ("number", "rule"),
    [
        ("5401021990010100", "17 digits"),
        ("540102199001010012", "check character"),
        ("540102199013010011", "no date"),
        ("540102209901010011", "not possible"),
        ("990102199001010011", "province"),
    ],
)
def test_id_number_refusals_name_the_rule(number: str, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        _ = codes.check_id_number(number, TODAY)


@given(st.integers(0, 16), st.sampled_from("0123456789"))
def test_one_changed_digit_of_an_id_number_is_found(place: int, digit: str) -> None:
    number = "540102199001010011"
    assume(number[place] != digit)

    with pytest.raises(ValueError, match=r"."):
        _ = codes.check_id_number(number[:place] + digit + number[place + 1 :], TODAY)


def test_uscc_vector_and_refusals() -> None:
    assert codes.check_uscc("11540100mb0q01904w") == "11540100MB0Q01904W"
    for text, rule in [
        ("1154", "18 characters"),
        ("11540100MB0Q01904I", "without I"),
        ("11540100MB0Q01904X", "check"),
    ]:
        with pytest.raises(ValueError, match=rule):
            _ = codes.check_uscc(text)


@given(
    st.text(codes.USCC_ALPHABET, min_size=17, max_size=17),
    st.integers(0, 16),
    st.sampled_from(codes.USCC_ALPHABET),
)
def test_one_changed_character_of_a_uscc_is_found(first: str, place: int, other: str) -> None:
    assume(first[place] != other)
    code = first + codes.uscc_check_character(first)

    assert codes.check_uscc(code) == code
    with pytest.raises(ValueError, match="check"):
        _ = codes.check_uscc(code[:place] + other + code[place + 1 :])


def test_implementing_code_vector_and_refusals() -> None:
    code = "11540100MB0Q01904W3000117051000"

    assert codes.check_implementing_code(code) == code
    assert codes.case_number(code, date(2021, 1, 22), serial=1) == code + "202101220001"
    assert len(codes.case_number(code, date(2021, 1, 22), serial=1)) == 43
    for text, rule in [
        (code[:-1], "31 characters"),
        (code[:18] + "8" + code[19:], "level"),
        (code[:19] + "009917051000", "matter type"),
    ]:
        with pytest.raises(ValueError, match=rule):
            _ = codes.check_implementing_code(text)


@given(st.integers(1, 99))
def test_every_sequence_makes_a_handling_item_code(sequence: int) -> None:
    code = f"11540100MB0Q01904W3000117051000{sequence:02d}"

    assert codes.check_handling_item_code(f" {code.lower()} ") == code


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("11540100MB0Q01904W3000117051000", "33 characters"),
        ("11540100MB0Q01904W300011705100000", "01 to 99"),
        ("11540100MB0Q01904W30001170510000A", "01 to 99"),
        ("11540100MB0Q01904W3000117051000٠١", "01 to 99"),
        ("11540100MB0Q01904W800011705100001", "level"),
        ("11540100MB0Q01904X300011705100001", "check character"),
    ],
)
def test_handling_item_code_refusals_name_the_rule(text: str, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        _ = codes.check_handling_item_code(text)


@pytest.mark.parametrize(
    ("text", "national"),
    [
        ("11540100MB0Q01904W3000117051000", True),
        ("11540100MB0Q01904W300011705100", True),
        ("511A0138000000-511602000000-000-115113010833722043-1-00", False),
        ("G-000007-001", False),
        ("10234567", False),
    ],
)
def test_which_codes_claim_to_be_national(text: str, national: bool) -> None:
    assert codes.claims_to_be_national(text) is national


@pytest.mark.parametrize(
    ("payload", "check"),
    [
        ("11540100MB0Q01904W001.11540100MB0Q01904W.2021000001.001", "A"),
        ("11100000MB03271699022.340100.000000016.001", "9"),
        ("062301.1101101102.0624001.001", "U"),
    ],
)
def test_license_check_character_vectors(payload: str, check: str) -> None:
    assert codes.license_check_character(payload) == check


def test_area_and_phone() -> None:
    assert codes.check_area("540102") == "540102000000"
    assert codes.check_phone("+86 139-8900-1234") == "13989001234"
    for check, text in [
        (codes.check_area, "54010"),
        (codes.check_area, "990102"),
        (codes.check_phone, "12345"),
    ]:
        with pytest.raises(ValueError, match=r"."):
            _ = check(text)


@pytest.mark.parametrize(
    ("name", "masked"),
    [("张三", "张*"), ("欧阳三", "欧**"), ("扎西顿珠", "扎西**"), ("བཀྲ་ཤིས", "བཀྲ**"), ("", "")],
)
def test_names_are_masked(name: str, masked: str) -> None:
    assert mask_name(name) == masked


def test_numbers_and_addresses_are_masked() -> None:
    assert mask_id_number("540102199001010011") == "540***********0011"
    assert mask_phone("13889001234") == "138****1234"
    assert mask_address("拉萨市城关区北京中路1号") == "拉萨市城关区***"
    assert (mask_address("某处"), mask_id_number("123"), mask_phone("12")) == ("***", "***", "**")
