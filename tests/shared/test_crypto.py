"""Personal data at rest: sealed under the service's key, found by a keyed hash."""

import pytest
from cryptography.exceptions import InvalidTag
from hypothesis import given
from hypothesis import strategies as st

from shared.security.crypto import decrypt, encrypt, lookup_hash, use_key

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
