"""证照标识: every published vector, and that one changed character is found."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum.iso7064 import mod_37_36

from services.licenses.model.identifiers import (
    check_identifier,
    identifier,
    masked_number,
    new_number,
    serial_of,
)
from services.licenses.model.types import Validity, check_type_code
from shared.domain.codes import license_check_character
from shared.security.crypto import pseudonym, use_key

LHASA = "11540100MB0Q01904W"
TYPE = f"{LHASA}001"
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@pytest.mark.parametrize(
    ("payload", "check"),
    [
        ("11100000000013338W009.11330105002500287C.2025052201.002", "0"),
        ("11100000000013338W011.11430000006122244L.20230000403.001", "U"),
        ("11100000000013338W032.11220000013544541J.2430599.001", "F"),
        ("11100000MB03271699022.340100.000000016.001", "9"),
        ("062301.1101101102.0624001.001", "U"),
        (f"{TYPE}.{LHASA}.2021000001.001", "A"),
    ],
)
def test_check_character_of_the_vectors(payload: str, check: str) -> None:
    assert license_check_character(payload) == check


def test_identifier_of_lhasa_is_built_and_checked() -> None:
    made = identifier(TYPE, issuer=LHASA, serial="2021000001", version=1)

    assert made == f"1.2.156.3005.2.{TYPE}.{LHASA}.2021000001.001.A"
    assert check_identifier(f" {made.lower()} ") == made


SERIALS = st.text(ALPHABET, min_size=4, max_size=20)


@given(SERIALS, st.integers(1, 999), st.data())
def test_one_changed_character_is_found(serial: str, version: int, data: st.DataObject) -> None:
    made = identifier(TYPE, issuer=LHASA, serial=serial, version=version)
    places = [i for i in range(len("1.2.156.3005.2."), len(made)) if made[i] != "."]
    place = data.draw(st.sampled_from(places))
    other = data.draw(st.sampled_from(ALPHABET.replace(made[place], "")))

    with pytest.raises(ValueError, match="identifier"):
        _ = check_identifier(made[:place] + other + made[place + 1 :])


@given(st.text(ALPHABET, min_size=1, max_size=80))
def test_check_character_is_that_of_the_library(payload: str) -> None:
    assert license_check_character(payload) == mod_37_36.calc_check_digit(payload)


@given(SERIALS, st.integers(1, 999))
def test_every_made_identifier_holds(serial: str, version: int) -> None:
    made = identifier(TYPE, issuer=LHASA, serial=serial, version=version)

    assert check_identifier(made) == made


@given(st.text(max_size=60))
def test_serial_of_any_number_has_the_form_and_is_always_the_same(number: str) -> None:
    serial = serial_of(LHASA, type_code=TYPE, number=number)

    assert serial == serial_of(LHASA, type_code=TYPE, number=number)
    assert check_identifier(identifier(TYPE, issuer=LHASA, serial=serial, version=1))


def test_serial_of_her_own_id_number_is_one_that_only_the_key_finds() -> None:
    """In the number itself it is masked, whatever stands around it.

    An organisation's number is public.
    """
    number = "540102199001010011"
    with use_key(b"k" * 32, platform=b"p" * 32):
        her, firm = pseudonym(number), pseudonym("915401001234567890")
        numbers = [number, f"9{number}", f"证字{number}号"]
        serials = [
            serial_of(LHASA, type_code=TYPE, number=one, holder_pseudonym=her) for one in numbers
        ]
        shown = [masked_number(one, person=her) for one in numbers]
        others = [
            serial_of(LHASA, type_code=TYPE, number=number, holder_pseudonym=firm),
            serial_of(LHASA, type_code=TYPE, number=number),
        ]
        public = masked_number("915401001234567890", person=None)
    with use_key(b"j" * 32, platform=b"p" * 32):
        under_another_key = [
            serial_of(LHASA, type_code=TYPE, number=one, holder_pseudonym=her) for one in numbers
        ]

    assert all(len(serial) == 20 and number not in serial for serial in serials)
    assert len({*serials, *under_another_key}) == 6
    assert shown == ["540***********0011", "9540***********0011", "证字540***********0011号"]
    assert others == [number, number]
    assert public == "915401001234567890"


def test_made_numbers_differ_and_serve_as_serials() -> None:
    numbers = {new_number(date(2026, 11, 27)) for _ in range(1000)}

    assert len(numbers) == 1000
    assert all(serial_of(LHASA, type_code=TYPE, number=number) == number for number in numbers)


@pytest.mark.parametrize("code", ["SPJY", LHASA, f"{LHASA}0A1", f"{LHASA[:17]}X001", f"{TYPE}1"])
def test_type_code_that_is_not_national_is_refused(code: str) -> None:
    with pytest.raises(ValueError, match="code"):
        _ = check_type_code(code)


@pytest.mark.parametrize(
    ("unit", "amount", "first", "last"),
    [
        ("none", 0, date(2026, 1, 1), None),
        ("days", 30, date(2026, 2, 1), date(2026, 3, 2)),
        ("months", 1, date(2026, 1, 31), date(2026, 2, 27)),
        ("months", 12, date(2026, 11, 27), date(2027, 11, 26)),
        ("years", 5, date(2024, 2, 29), date(2029, 2, 27)),
        ("years", 5, date(2026, 1, 1), date(2030, 12, 31)),
    ],
)
def test_last_day_of_a_validity(unit: str, amount: int, first: date, last: date | None) -> None:
    assert Validity.model_validate({"unit": unit, "amount": amount}).last_day(first) == last
