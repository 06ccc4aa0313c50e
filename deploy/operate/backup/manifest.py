"""What a backup set holds: `sets/<id>/manifest.json`, written last, so that a set with it is whole.

Beside the sets lie `uploads/` (files by their digest, shared by all sets), `log/` (PostgreSQL's
write-ahead log) and `destroyed-keys.json`.
"""

import hashlib
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ValidationError

from deploy.operate.backup.store import BackupError, BackupStore

FORMAT = 1
SETS = "sets"
MANIFEST = "manifest.json"
CHECKSUM = "manifest.sha256"
KEYS = "keys.sealed"
UPLOADS = "uploads.txt"
DESTROYED = "destroyed-keys.json"
Kind = Literal["physical", "logical"]


class StoredFile(BaseModel):
    """`name` within the set; `size` in bytes."""

    name: str
    size: int
    sha256: str


class Position(BaseModel):
    """The newest number of a partition."""

    topic: str
    partition: int
    epoch: int
    number: int


class ServicePart(BaseModel):
    """One service's database at the moment of the set.

    `relay`: what it had numbered; `positions`: what it had taken of others.
    """

    database: str
    revision: str
    relay: list[Position]
    positions: list[Position]


class Manifest(BaseModel):
    """The contents of one set.

    Attributes:
        kind: `physical` is a copy of the whole server, which the log continues to any moment;
            `logical` is one dump for each database, all of one moment.
        consistent_at: the earliest moment to which the set can be restored.
        log_start: the first segment of the log that a physical copy needs.
        person_keys: keys of persons are never in a set of data; they have a set of their own.
            None while the platform has no such keys.
    """

    format: int = FORMAT
    id: str
    version: str
    kind: Kind
    postgres: int
    started_at: datetime
    consistent_at: datetime
    services: dict[str, ServicePart]
    files: list[StoredFile]
    uploads: int
    log_start: str | None = None
    person_keys: str | None = None

    def file(self, name: str) -> StoredFile:
        """Raises: `BackupError` when the set has no such file."""
        for one in self.files:
            if one.name == name:
                return one
        raise BackupError(f"备份 {self.id} 中没有 / the set {self.id} has no {name}")


def path_in(set_id: str, name: str) -> str:
    return f"{SETS}/{set_id}/{name}"


def write_manifest(store: BackupStore, manifest: Manifest) -> None:
    """Make the set valid."""
    content = manifest.model_dump_json(indent=1).encode()
    store.put(hashlib.sha256(content).hexdigest().encode(), path_in(manifest.id, CHECKSUM))
    store.put(content, path_in(manifest.id, MANIFEST))


def read_manifest(store: BackupStore, set_id: str) -> Manifest:
    """Raises: `BackupError` when it is missing, damaged or of another format."""
    content = store.get(path_in(set_id, MANIFEST))
    expected = store.get(path_in(set_id, CHECKSUM)).decode().strip()
    if hashlib.sha256(content).hexdigest() != expected:
        raise BackupError(f"备份 {set_id} 的清单已损坏 / the manifest of {set_id} is damaged")
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError:
        raise BackupError(
            f"备份 {set_id} 的清单无法读取 / the manifest of {set_id} cannot be read"
        ) from None
    if manifest.format != FORMAT:
        raise BackupError(
            f"备份 {set_id} 的格式是 {manifest.format},本程序只认识 {FORMAT}"
            f" / {set_id} has format {manifest.format}; this program knows {FORMAT}"
        )
    return manifest


def set_ids(store: BackupStore) -> list[str]:
    """The ids of all sets, whole or not, the oldest first."""
    ids: set[str] = set()
    for name in store.sizes(SETS):
        parts = name.split("/")
        if len(parts) > 2:
            ids.add(parts[1])
    return sorted(ids)


def fault_of(store: BackupStore, set_id: str, *, thorough: bool) -> str | None:
    """Why the set is not good, or None. `thorough` reads every file and not only its size."""
    try:
        manifest = read_manifest(store, set_id)
        sizes = store.sizes(path_in(set_id, ""))
        for one in manifest.files:
            name = path_in(set_id, one.name)
            if sizes.get(name) != one.size:
                return f"{one.name} 大小不符 / {one.name} has another size"
            if thorough and store.digest(name) != one.sha256:
                return f"{one.name} 校验和不符 / {one.name} has another checksum"
    except BackupError as error:
        return str(error)
    return None


def newest_good(store: BackupStore, *, until: datetime | None = None) -> Manifest:
    """The newest set that is whole, and not younger than `until`. Raises: `BackupError`."""
    for set_id in reversed(set_ids(store)):
        if fault_of(store, set_id, thorough=False) is None:
            manifest = read_manifest(store, set_id)
            if until is None or manifest.consistent_at <= until:
                return manifest
    raise BackupError(f"{store.url}: 没有合适的完整备份 / there is no whole set that fits")
