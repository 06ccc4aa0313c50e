"""Personal data at rest: sealed under the service's key, found by a keyed hash."""

import base64

import pytest
from cryptography.exceptions import InvalidTag
from hypothesis import given
from hypothesis import strategies as st

from shared.security.crypto import (
    Format,
    UnknownSealError,
    decrypt,
    encrypt,
    key_id,
    lookup_hash,
    open_sealed,
    seal_for,
    use_key,
)

KEY, OTHER = b"a" * 32, b"b" * 32


@given(st.text())
def test_what_is_sealed_opens_again(text: str) -> None:
    with use_key(KEY):
        assert decrypt(encrypt(text, purpose="person.name"), "person.name") == text


def test_a_value_sealed_twice_looks_different() -> None:
    with use_key(KEY):
        assert encrypt("540102199001010011", purpose="p.id") != encrypt(
            "540102199001010011", purpose="p.id"
        )


def test_a_value_cannot_be_moved_to_another_column_or_key() -> None:
    with use_key(KEY):
        sealed = encrypt("13889000000", purpose="person.phone")

    with use_key(KEY), pytest.raises(InvalidTag):
        _ = decrypt(sealed, "person.name")
    with use_key(OTHER), pytest.raises(InvalidTag):
        _ = decrypt(sealed, "person.phone")
    with use_key(KEY), pytest.raises(ValueError, match="format"):
        _ = decrypt(b"\x09" + sealed, "person.phone")


def test_lookup_hash_is_equal_for_equal_values_and_bound_to_key_and_purpose() -> None:
    with use_key(KEY):
        first, same, purpose = (
            lookup_hash("54x", purpose="id"),
            lookup_hash(" 54X ", purpose="id"),
            lookup_hash("54x", purpose="phone"),
        )
    with use_key(OTHER):
        other = lookup_hash("54x", purpose="id")

    assert first == same
    assert len({first, purpose, other}) == 3


FORMS = st.sampled_from(list(Format))


@given(text=st.text(), form=FORMS)
def test_every_format_opens_in_columns_and_events(text: str, form: Format) -> None:
    with use_key(KEY, platform=OTHER):
        sealed = encrypt(text, purpose="p.c", form=form)
        carried = seal_for({"text": text}, "p.c", form=form)

        assert sealed[0] == form
        assert decrypt(sealed, "p.c") == text
        assert open_sealed(carried, purpose="p.c") == {"text": text}


@given(place=st.integers(min_value=0, max_value=60), change=st.integers(1, 255), form=FORMS)
def test_no_changed_byte_goes_unnoticed(place: int, change: int, form: Format) -> None:
    with use_key(KEY):
        sealed = bytearray(encrypt("a text of some length, and more", purpose="p.c", form=form))
        place %= len(sealed)
        sealed[place] ^= change

        with pytest.raises((InvalidTag, UnknownSealError)):
            _ = decrypt(bytes(sealed), "p.c")


@given(length=st.integers(min_value=0, max_value=38), form=FORMS)
def test_no_value_that_is_cut_off_opens(length: int, form: Format) -> None:
    with use_key(KEY):
        sealed = encrypt("four", purpose="p.c", form=form)

        with pytest.raises((InvalidTag, UnknownSealError)):
            _ = decrypt(sealed[: min(length, len(sealed) - 1)], "p.c")


def test_value_names_suite_and_key() -> None:
    with use_key(KEY):
        sealed = encrypt("x", purpose="p.c", form=Format.NAMED)

    assert sealed[:3] == bytes([2, 1, 8])
    assert sealed[3:11] == key_id(KEY) != key_id(OTHER)
    with use_key(OTHER), pytest.raises(UnknownSealError, match=key_id(KEY).hex()):
        _ = decrypt(sealed, "p.c")
    with use_key(KEY), pytest.raises(UnknownSealError, match="suite 7"):
        _ = decrypt(b"\x02\x07" + sealed[2:], "p.c")


def test_columns_and_events_are_written_as_the_release_before_reads_them() -> None:
    # The second format is written by the first release that follows one that reads it.
    with use_key(KEY, platform=OTHER):
        assert encrypt("x", purpose="p.c")[0] == Format.PLAIN
        assert base64.b64decode(seal_for("x", "p.c"))[0] == Format.PLAIN


def test_value_of_one_kind_does_not_open_as_the_other() -> None:
    with use_key(KEY, platform=KEY):
        carried = seal_for("x", "p.c", form=Format.NAMED)

        with pytest.raises(InvalidTag):
            _ = decrypt(base64.b64decode(carried), "p.c")
