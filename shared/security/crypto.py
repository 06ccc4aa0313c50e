"""Protection of personal data in the database and on the bus (norms: 个人信息保护).

Encrypted columns, keyed hashes for finding a value by equality, and values that one service seals
for another in an event.

The data key belongs to the service's database and is set for the length of a session
(`shared.database.session`). Values are encrypted by AES-256-GCM with a random 96-bit nonce and the
column's name as associated data, so that a value cannot be moved to another column. The hash is
HMAC-SHA256 under a key derived for its purpose.

Every sealed value has one of two formats, by its first byte (docs/adr/0021): `Format.PLAIN` is
`1 | nonce | ciphertext and tag`, `Format.NAMED` is `2 | suite | length of the key id | key id |
nonce | ciphertext and tag`. Both are read. The second one names its algorithm and its key, for
other suites (SM4) and for keys of single persons.

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
from enum import IntEnum
from functools import lru_cache
from typing import Any, NamedTuple

import orjson
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import LargeBinary
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

_NONCE = 12
_TAG = 16
KEY_ID = 8
"""Bytes of the id of a service's key or of the platform key; others may have longer ids."""


class Format(IntEnum):
    """The first byte of a sealed value."""

    PLAIN = 1
    NAMED = 2


class Suite(IntEnum):
    """How a value of `Format.NAMED` is encrypted."""

    AES_256_GCM = 1


WRITTEN = Format.PLAIN
"""What columns and events are written in.

A release that reads only the other one may stand beside this one, or come back in its place.
"""


class UnknownSealError(ValueError):
    """A sealed value that this version cannot open: its format, its suite or its key is another."""


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


def key_id(key: bytes) -> bytes:
    """The name of a key in the values that it sealed; it says nothing about the key."""
    return _derived(key, "key-id")[:KEY_ID]


class _Use(NamedTuple):
    """What a value is sealed for: `kind` keeps columns and events apart."""

    kind: str
    purpose: str


def _seal(plain: bytes, use: _Use, *, key: bytes, form: Format) -> bytes:
    nonce = os.urandom(_NONCE)
    cipher = _cipher(key, f"{use.kind}/{use.purpose}")
    if form is Format.PLAIN:
        return bytes([form]) + nonce + cipher.encrypt(nonce, plain, use.purpose.encode())
    name = key_id(key)
    header = bytes([form, Suite.AES_256_GCM, len(name)]) + name
    # The header is authenticated: nobody can say that another key or suite sealed the value.
    return header + nonce + cipher.encrypt(nonce, plain, header + use.purpose.encode())


def _open(sealed: bytes, use: _Use, *, key: bytes) -> bytes:
    """The plain bytes.

    Raises:
        UnknownSealError: it is in a format, or under a suite or key, that is not known here.
        cryptography.exceptions.InvalidTag: it was changed, or sealed for something else.
    """
    header = b""
    begin = 1
    if sealed[:1] == bytes([Format.NAMED]):
        header = _header_of(sealed, key=key)
        begin = len(header)
    elif sealed[:1] != bytes([Format.PLAIN]):
        raise UnknownSealError("unknown format of a sealed value")
    nonce, rest = sealed[begin : begin + _NONCE], sealed[begin + _NONCE :]
    if len(rest) < _TAG:
        raise UnknownSealError("a sealed value is cut off")
    cipher = _cipher(key, f"{use.kind}/{use.purpose}")
    return cipher.decrypt(nonce, rest, header + use.purpose.encode())


def _header_of(sealed: bytes, *, key: bytes) -> bytes:
    """The header of a value of `Format.NAMED`, when it is one of this key."""
    if len(sealed) < 3:
        raise UnknownSealError("a sealed value is cut off")
    suite, length = sealed[1], sealed[2]
    if suite != Suite.AES_256_GCM:
        raise UnknownSealError(f"a value is sealed under suite {suite}, which is not known here")
    name = sealed[3 : 3 + length]
    if name != key_id(key):
        raise UnknownSealError(f"a value is sealed under key {name.hex()}, which is not this one")
    return sealed[: 3 + length]


def encrypt(text: str, *, purpose: str, form: Format = WRITTEN) -> bytes:
    """`text` sealed under the data key for `purpose` (the column's name)."""
    return _seal(text.encode(), _Use("encrypt", purpose), key=_key.get(), form=form)


def decrypt(sealed: bytes, purpose: str) -> str:
    """The text of `encrypt`, whichever format it has.

    Raises:
        UnknownSealError: it is in a format, or under a suite or key, that is not known here.
        cryptography.exceptions.InvalidTag: the value was changed, or moved from another column.
    """
    return _open(sealed, _Use("encrypt", purpose), key=_key.get()).decode()


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


def seal_for(value: Any, purpose: str, *, form: Format = WRITTEN) -> str:
    """`value` (anything that JSON can hold), sealed for services with the platform key, as base64.

    `purpose` names the field of the event (`case.holder`), so that a sealed value cannot be moved
    to another.
    """
    use = _Use("seal", purpose)
    return base64.b64encode(_seal(orjson.dumps(value), use, key=_platform(), form=form)).decode()


def open_sealed(sealed: str, *, purpose: str) -> Any:
    """The value of `seal_for`, whichever format it has.

    Raises:
        UnknownSealError: it is in a format, or under a suite or key, that is not known here.
        cryptography.exceptions.InvalidTag: the value was changed, or moved from another field.
    """
    use = _Use("seal", purpose)
    return orjson.loads(_open(base64.b64decode(sealed), use, key=_platform()))


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
