"""Files by the digest of their content, in a local folder or S3-compatible storage (obstore)."""

import hashlib
from pathlib import Path

import obstore
from obstore.store import LocalStore, ObjectStore, from_url

MAX_FILE = 20 * 1024 * 1024
"""Bytes."""


class Storage:
    """`url`: a local folder, or `s3://bucket/prefix`."""

    def __init__(self, url: str) -> None:
        self._store: ObjectStore
        if "://" in url:
            self._store = from_url(url)
        else:
            self._store = LocalStore(Path(url).resolve(), mkdir=True)

    async def put(self, content: bytes) -> str:
        """Store the content; its hex SHA-256. The same content is stored once."""
        digest = hashlib.sha256(content).hexdigest()
        _ = await obstore.put_async(self._store, self._path(digest), content)
        return digest

    async def get(self, digest: str) -> bytes:
        result = await obstore.get_async(self._store, self._path(digest))
        return bytes(await result.bytes_async())

    def _path(self, digest: str) -> str:
        return f"{digest[:2]}/{digest}"
