"""Files by the digest of their content, in a local folder or S3-compatible storage (obstore)."""

import asyncio
import hashlib
import os
import shutil
import time
from pathlib import Path
from typing import NamedTuple

import obstore
import structlog
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from shared import metrics
from shared.errors import StorageFullError

MAX_FILE = 20 * 1024 * 1024
"""Bytes."""
FULL_SECONDS = 600.0
"""How long a storage counts as full after it refused a file, unless it takes one before."""
RETRY_AFTER = 300
"""Seconds after which a refused file may be sent again: a person has to make room."""
FULL = (
    "StorageFull",
    "QuotaExceeded",
    "os error 28",
    "os error 122",
    "Errno 28]",
    "Errno 122]",
    "507 Insufficient Storage",
)
"""What obstore's errors say of a full disk (ENOSPC), a full quota (EDQUOT) and a full S3 server.

It has no class for them.
"""

log = structlog.get_logger(__name__)


class Usage(NamedTuple):
    """Bytes of a disk."""

    total: int
    free: int


class Storage:
    """`url`: a local folder, or `s3://bucket/prefix`."""

    def __init__(self, url: str) -> None:
        self._store: ObjectStore
        self._folder: Path | None = None
        self._refused_at = float("-inf")
        if "://" in url:
            self._store = from_url(url)
        else:
            self._folder = Path(url).resolve()
            self._store = LocalStore(self._folder, mkdir=True)

    async def put(self, content: bytes) -> str:
        """Store the content; its hex SHA-256. The same content is stored once.

        When it returns the file is on the disk, also after a power cut.

        Raises:
            StorageFullError: there is no room for it.
        """
        digest = hashlib.sha256(content).hexdigest()
        try:
            _ = await obstore.put_async(self._store, self._path(digest), content)
            if self._folder is not None:
                await asyncio.to_thread(_flush, self._folder / self._path(digest), self._folder)
        except (BaseError, OSError) as error:
            if not any(word in str(error) for word in FULL):
                raise
            self._refused_at = time.monotonic()
            metrics.STORAGE_REFUSALS.inc()
            log.error("storage.full", bytes=len(content))  # noqa: TRY400 - known: no traceback
            raise StorageFullError(
                "there is no room for files at the moment; send it again later",
                headers={"Retry-After": str(RETRY_AFTER)},
            ) from None
        self._refused_at = float("-inf")
        return digest

    async def get(self, digest: str) -> bytes:
        result = await obstore.get_async(self._store, self._path(digest))
        return bytes(await result.bytes_async())

    @property
    def is_full(self) -> bool:
        """Whether a file was refused a short time ago, and none was taken since."""
        return time.monotonic() - self._refused_at < FULL_SECONDS

    def disk_usage(self) -> Usage | None:
        """The disk of a local folder; None of other storage, or when it cannot be read."""
        if self._folder is None:
            return None
        try:
            found = shutil.disk_usage(self._folder)
        except OSError:
            return None
        return Usage(found.total, found.free)

    def _path(self, digest: str) -> str:
        return f"{digest[:2]}/{digest}"


def _flush(path: Path, folder: Path) -> None:
    """Have the file on the disk, and its name in each folder down from `folder`."""
    for one in (path, path.parent, folder):
        descriptor = os.open(one, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
