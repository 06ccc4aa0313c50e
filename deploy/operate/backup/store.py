"""Where backups lie: a folder, or S3-compatible storage. Files are streamed, never held whole."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import obstore
from obstore.store import LocalStore, ObjectStore, from_url

from deploy.errors import DeployError

CHUNK = 1024 * 1024
"""Bytes."""


class BackupError(DeployError):
    """A backup cannot be made or restored; the text says what to do."""


class BackupStore:
    """`url`: a folder, or `s3://bucket/prefix` with the usual AWS variables."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.folder: Path | None = None
        """Where it lies on this machine; None on other storage."""
        self._store: ObjectStore
        if "://" in url:
            self._store = from_url(url)
        else:
            self.folder = Path(url).resolve()
            self.folder.mkdir(parents=True, exist_ok=True)
            self._store = LocalStore(self.folder)

    def put_file(self, path: Path, name: str) -> tuple[int, str]:
        """Store a file; its size in bytes and its hex SHA-256."""
        digest = hashlib.sha256()
        size = 0
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
                size += len(chunk)
        _ = obstore.put(self._store, name, path)
        self._flush(name)
        return size, digest.hexdigest()

    def put(self, content: bytes, name: str) -> None:
        _ = obstore.put(self._store, name, content)
        self._flush(name)

    def _flush(self, name: str) -> None:
        """Have a local file on the disk before its name is told."""
        if self.folder is not None:
            flush_file(self.folder / name)

    def get(self, name: str) -> bytes:
        """Raises: `BackupError`."""
        try:
            return bytes(obstore.get(self._store, name).bytes())
        except FileNotFoundError:
            raise BackupError(f"{self.url}: 没有 / there is no {name}") from None

    def has(self, name: str) -> bool:
        try:
            _ = obstore.head(self._store, name)
        except FileNotFoundError:
            return False
        return True

    def get_file(self, name: str, path: Path) -> str:
        """Write a stored file to `path`; its hex SHA-256. Raises: `BackupError`."""
        digest = hashlib.sha256()
        try:
            stream = obstore.get(self._store, name).stream(min_chunk_size=CHUNK)
            with path.open("wb") as file:
                for chunk in stream:
                    content = bytes(chunk)
                    digest.update(content)
                    _ = file.write(content)
        except FileNotFoundError:
            raise BackupError(f"{self.url}: 没有 / there is no {name}") from None
        return digest.hexdigest()

    def digest(self, name: str) -> str:
        """Hex SHA-256 of a stored file. Raises: `BackupError`."""
        digest = hashlib.sha256()
        try:
            for chunk in obstore.get(self._store, name).stream(min_chunk_size=CHUNK):
                digest.update(bytes(chunk))
        except FileNotFoundError:
            raise BackupError(f"{self.url}: 没有 / there is no {name}") from None
        return digest.hexdigest()

    def sizes(self, prefix: str) -> dict[str, int]:
        """The files below `prefix` by name, with their sizes in bytes."""
        return dict(listed(self._store, prefix))

    def delete(self, names: list[str]) -> None:
        if names:
            obstore.delete(self._store, names)


def listed(store: ObjectStore, prefix: str = "") -> Iterator[tuple[str, int]]:
    """Names and sizes in bytes of all files below `prefix`."""
    # One overload gives tables of a library that is not installed.
    stream = obstore.list(store, prefix=prefix, return_arrow=False)  # pyright: ignore[reportUnknownMemberType]
    for batch in stream:
        for one in batch:
            yield one["path"], one["size"]


def flush_file(path: Path) -> None:
    """Have a file and its name on the disk."""
    for one in (path, path.parent):
        descriptor = os.open(one, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
