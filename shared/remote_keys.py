"""Public keys read from the identity service, kept while it is away, read again when a token names an unknown one."""

import asyncio
import time
from typing import Any

from joserfc.jwk import OKPKey

from shared import http
from shared.tokens import read_jwks

REFETCH_AFTER = 5.0
"""Seconds between two reads, however many unknown key ids arrive."""


class RemoteKeys:
    """`KeySource` over a JWKS address."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: dict[str, OKPKey] = {}
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()
        self.generation = 0

    async def get(self, kid: str) -> OKPKey | None:
        if kid not in self._keys and time.monotonic() - self._read_at >= REFETCH_AFTER:
            await self._read(kid)
        return self._keys.get(kid)

    async def _read(self, kid: str) -> None:
        async with self._reading:
            if kid in self._keys or time.monotonic() - self._read_at < REFETCH_AFTER:
                return
            document: Any = await http.get_json(self._url)
            if document is None:
                return
            self._read_at = time.monotonic()
            found = read_jwks(document)
            if set(found) != set(self._keys):
                self._keys = found
                self.generation += 1
