"""Protection of personal data in the database and on the bus (norms: 个人信息保护).

Encrypted columns, keyed hashes for finding a value by equality, and values that one service seals
for another in an event.

The data key belongs to the service's database and is set for the length of a session
(`shared.database.session`). Values are encrypted by AES-256-GCM with a random 96-bit nonce and the
column's name as associated data, so that a value cannot be moved to another column. The first byte
names the format, for later algorithms (SM4). The hash is HMAC-SHA256 under a key derived for its
purpose.

The platform key is the same in every service. With it `seal_for` hides personal data in an event
from everybody who only carries or keeps the event, and `pseudonym` gives all services one name for
a person that says nothing about her.
"""

import base64
import hashlib
import hmac
import os
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import orjson
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import LargeBinary
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

_FORMAT = b"\x01"
_NONCE = 12
_key: ContextVar[bytes] = ContextVar("tongban_data_key")
_platform_key: ContextVar[bytes] = ContextVar("tongban_platform_key")


@contextmanager
def use_key(key: bytes, *, platform: bytes = b"") -> Generator[None]:
    """Use these keys (32 bytes each) within the block: the data key and the platform key."""
    token, other = _key.set(key), _platform_key.set(platform)
    try:
        yield
    finally:
        _platform_key.reset(other)
        _key.reset(token)


@lru_cache(maxsize=256)
def _derived(key: bytes, purpose: str) -> bytes:
    return hmac.digest(key, b"tongban/" + purpose.encode(), hashlib.sha256)


def derived_key(key: bytes, *, purpose: str) -> bytes:
    """A key (32 bytes) for one purpose, derived from a key of which others are derived too."""
    return _derived(key, purpose)


@lru_cache(maxsize=256)
def _cipher(key: bytes, purpose: str) -> AESGCM:
    return AESGCM(_derived(key, purpose))


def encrypt(text: str, *, purpose: str) -> bytes:
    """`text` sealed for `purpose` (the column's name): format byte, nonce, ciphertext and tag."""
    nonce = os.urandom(_NONCE)
    cipher = _cipher(_key.get(), "encrypt/" + purpose)
    return _FORMAT + nonce + cipher.encrypt(nonce, text.encode(), purpose.encode())


def decrypt(sealed: bytes, purpose: str) -> str:
    """The text of `encrypt`.

    Raises:
        cryptography.exceptions.InvalidTag: the value was changed, or moved from another column.
    """
    if sealed[:1] != _FORMAT:
        raise ValueError("unknown format of an encrypted value")
    cipher = _cipher(_key.get(), "encrypt/" + purpose)
    return cipher.decrypt(sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :], purpose.encode()).decode()


def lookup_hash(text: str, *, purpose: str) -> bytes:
    """Keyed hash (32 bytes) for finding an encrypted value by equality."""
    return hmac.digest(
        _derived(_key.get(), "hash/" + purpose), text.strip().upper().encode(), hashlib.sha256
    )


def signing_seed(purpose: str) -> bytes:
    """32 bytes for a service's own Ed25519 key for `purpose`, derived from its data key."""
    return _derived(_key.get(), "sign/" + purpose)


def _platform() -> bytes:
    key = _platform_key.get()
    if not key:
        raise ValueError(
            "no platform key: nothing can be sealed for or opened from another service"
        )
    return key


def seal_for(value: Any, purpose: str) -> str:
    """`value` (anything that JSON can hold), sealed for services with the platform key, as base64.

    `purpose` names the field of the event (`case.holder`), so that a sealed value cannot be moved
    to another.
    """
    nonce = os.urandom(_NONCE)
    cipher = _cipher(_platform(), "seal/" + purpose)
    return base64.b64encode(
        _FORMAT + nonce + cipher.encrypt(nonce, orjson.dumps(value), purpose.encode())
    ).decode()


def open_sealed(sealed: str, *, purpose: str) -> Any:
    """The value of `seal_for`.

    Raises:
        cryptography.exceptions.InvalidTag: the value was changed, or moved from another field.
    """
    raw = base64.b64decode(sealed)
    if raw[:1] != _FORMAT:
        raise ValueError("unknown format of a sealed value")
    cipher = _cipher(_platform(), "seal/" + purpose)
    return orjson.loads(cipher.decrypt(raw[1 : 1 + _NONCE], raw[1 + _NONCE :], purpose.encode()))


def pseudonym(number: str) -> str:
    """43 characters for an ID number or USCC, the same in every service.

    They say nothing about the number to anybody without the platform key.
    """
    digest = hmac.digest(
        _derived(_platform(), "pseudonym"), number.strip().upper().encode(), hashlib.sha256
    )
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


class Encrypted(TypeDecorator[str]):
    """A column of encrypted text. `purpose` is `table.column` and must never change."""

    impl = LargeBinary
    cache_ok = True

    def __init__(self, purpose: str) -> None:
        super().__init__()
        self.purpose = purpose

    def process_bind_param(self, value: str | None, dialect: Dialect) -> bytes | None:
        return None if value is None else encrypt(value, purpose=self.purpose)

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> str | None:
        return None if value is None else decrypt(value, self.purpose)
