"""Personal data at rest: encrypted columns, and keyed hashes for looking up by equality (norms: 个人信息保护).

The key belongs to the service's database and is set for the length of a session (`shared.db`). AES-256-GCM with a random
96-bit nonce and the column's name as associated data, so that a value cannot be moved to another column; the first byte
names the format for later algorithms (SM4). The hash is HMAC-SHA256 under a key derived for its purpose.
"""

import hashlib
import hmac
import os
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import LargeBinary
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

_FORMAT = b"\x01"
_NONCE = 12
_key: ContextVar[bytes] = ContextVar("tongban_data_key")


@contextmanager
def use_key(key: bytes) -> Generator[None]:
    """Encrypt and hash under `key` (32 bytes) within the block."""
    token = _key.set(key)
    try:
        yield
    finally:
        _key.reset(token)


@lru_cache(maxsize=256)
def _derived(key: bytes, purpose: str) -> bytes:
    return hmac.digest(key, b"tongban/" + purpose.encode(), hashlib.sha256)


def encrypt(text: str, purpose: str) -> bytes:
    """`text` sealed for `purpose` (the column's name): format byte, nonce, ciphertext and tag."""
    nonce = os.urandom(_NONCE)
    cipher = AESGCM(_derived(_key.get(), "encrypt/" + purpose))
    return _FORMAT + nonce + cipher.encrypt(nonce, text.encode(), purpose.encode())


def decrypt(sealed: bytes, purpose: str) -> str:
    """The text of `encrypt`; raises `cryptography.exceptions.InvalidTag` for a value that was tampered with or moved."""
    if sealed[:1] != _FORMAT:
        raise ValueError("unknown format of an encrypted value")
    cipher = AESGCM(_derived(_key.get(), "encrypt/" + purpose))
    return cipher.decrypt(sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :], purpose.encode()).decode()


def lookup_hash(text: str, purpose: str) -> bytes:
    """Keyed hash (32 bytes) for finding an encrypted value by equality."""
    return hmac.digest(_derived(_key.get(), "hash/" + purpose), text.strip().upper().encode(), hashlib.sha256)


class Encrypted(TypeDecorator[str]):
    """Column type: text outside, `bytea` sealed by `encrypt` inside. `purpose` is `table.column`, never changed."""

    impl = LargeBinary
    cache_ok = True

    def __init__(self, purpose: str) -> None:
        super().__init__()
        self.purpose = purpose

    def process_bind_param(self, value: str | None, dialect: Dialect) -> bytes | None:
        return None if value is None else encrypt(value, self.purpose)

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> str | None:
        return None if value is None else decrypt(value, self.purpose)
