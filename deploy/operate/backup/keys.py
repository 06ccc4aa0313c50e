"""The platform's keys in a backup set: sealed under a passphrase or a recovery key.

The sealed file is JSON: how the sealing key is derived, nonce and ciphertext. Each key has an id,
so that a key that was destroyed is left out of every restore.
"""

import base64
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from pydantic import BaseModel

from deploy.operate.backup.store import BackupError
from deploy.processes import SERVICES

PASSPHRASE = "TONGBAN_BACKUP_PASSPHRASE"  # noqa: S105 - the name of a variable
"""Variable that holds the passphrase; it is no argument, because arguments are visible."""
ASSOCIATED = b"tongban/backup-keys/1"
SCRYPT = {"length": 32, "n": 2**16, "r": 8, "p": 1}
"""64 MiB and a quarter of a second: guessing stays dear."""


@dataclass(frozen=True, slots=True)
class Lock:
    """What opens and closes the keys of a set: exactly one of a passphrase and a recovery key."""

    passphrase: str = ""
    recovery_key: bytes = b""

    def key(self, salt: bytes) -> bytes:
        if self.recovery_key:
            return self.recovery_key
        return Scrypt(salt=salt, **SCRYPT).derive(self.passphrase.encode())

    @property
    def kind(self) -> Literal["scrypt", "recovery-key"]:
        if self.recovery_key:
            return "recovery-key"
        return "scrypt"


class SealedKeys(BaseModel):
    """The sealed file; bytes are base64."""

    format: Literal[1] = 1
    lock: Literal["scrypt", "recovery-key"]
    salt: str
    nonce: str
    sealed: str


def lock_of(recovery_key: Path | None) -> Lock:
    """The lock that file or environment name. Raises: `BackupError` when neither does."""
    if recovery_key is not None:
        try:
            raw = base64.b64decode(recovery_key.read_bytes(), validate=False)
        except ValueError:
            raw = b""
        if len(raw) != 32:
            raise BackupError(
                f"{recovery_key} 不是 32 字节的 base64 / is not 32 bytes in base64"
                " (openssl rand -base64 32)"
            )
        return Lock(recovery_key=raw)
    passphrase = os.environ.get(PASSPHRASE, "")
    if len(passphrase) < 12:
        raise BackupError(
            f"请用 --recovery-key 给出恢复密钥文件,或设置 {PASSPHRASE}(至少 12 个字符):"
            "没有它,备份里的密钥就是明文。\n"
            f"Give --recovery-key FILE, or set {PASSPHRASE} (12 characters or more):"
            " without it the keys would lie in the backup in clear."
        )
    return Lock(passphrase=passphrase)


def keys_of_environment() -> dict[str, str]:
    """The keys of all services by their id, which is the name of the setting.

    Raises: `BackupError` when one is missing.
    """
    keys: dict[str, str] = {}
    missing: list[str] = []
    for service in SERVICES:
        for kind in ("DATA_KEY", "PLATFORM_KEY"):
            name = f"{service.upper()}_{kind}"
            if os.environ.get(name):
                keys[name] = os.environ[name]
            elif os.environ.get(f"{name}_FILE"):
                keys[name] = Path(os.environ[f"{name}_FILE"]).read_text().strip()
            else:
                missing.append(name)
    if missing:
        raise BackupError(f"请设置 / set: {', '.join(missing)}")
    return keys


def seal_keys(keys: Mapping[str, str], lock: Lock) -> bytes:
    """The sealed file of a set."""
    salt, nonce = os.urandom(16), os.urandom(12)
    sealed = AESGCM(lock.key(salt)).encrypt(nonce, orjson.dumps(dict(keys)), ASSOCIATED)
    return (
        SealedKeys(
            lock=lock.kind,
            salt=base64.b64encode(salt).decode(),
            nonce=base64.b64encode(nonce).decode(),
            sealed=base64.b64encode(sealed).decode(),
        )
        .model_dump_json()
        .encode()
    )


def open_keys(content: bytes, lock: Lock, *, destroyed: frozenset[str]) -> dict[str, str]:
    """The keys by id, without those that were destroyed.

    Raises: `BackupError` when the lock does not fit.
    """
    file = SealedKeys.model_validate_json(content)
    if file.lock != lock.kind:
        raise BackupError(
            f"这些密钥是用 {file.lock} 封存的 / these keys were sealed with a {file.lock}"
        )
    key = lock.key(base64.b64decode(file.salt))
    try:
        plain = AESGCM(key).decrypt(
            base64.b64decode(file.nonce), base64.b64decode(file.sealed), ASSOCIATED
        )
    except InvalidTag:
        raise BackupError(
            "口令或恢复密钥不对,或者文件已损坏"
            " / the passphrase or recovery key is wrong, or the file is damaged"
        ) from None
    keys: dict[str, str] = orjson.loads(plain)
    return {name: value for name, value in keys.items() if _fingerprint(value) not in destroyed}


def _fingerprint(key: str) -> str:
    """What a list of destroyed keys names a key by; it says nothing about the key."""
    return hashlib.sha256(b"tongban/destroyed/" + key.encode()).hexdigest()


def destroyed_of(content: bytes | None) -> frozenset[str]:
    """The list of destroyed keys, by their fingerprints."""
    if content is None:
        return frozenset()
    listed: list[str] = orjson.loads(content)
    return frozenset(listed)


def fingerprint_of(key: str) -> str:
    """The name of a key in `destroyed-keys.json`."""
    return _fingerprint(key)
