"""Public keys read from the identity service.

They are kept while it is away. They are read again when a token names an unknown key (with a pause
between two reads), and once a minute, so that a key taken out of the set is refused soon.
"""

import asyncio
import time
from typing import Any

import structlog
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from shared.runtime import http_client
from shared.security.tokens import read_jwks

REFETCH_AFTER = 5.0
"""Seconds between two reads for unknown key ids."""
REFRESH_AFTER = 60.0
"""Seconds after which known keys are read again."""
RETRY_AFTER = 1.0
"""Seconds between two reads while the source is away."""

log = structlog.get_logger(__name__)


class RemoteKeys:
    """`KeySource` over a JWKS address, or several separated by spaces."""

    def __init__(self, url: str) -> None:
        self._urls = url.split()
        self._keys: dict[str, OKPKey] = {}
        self._read_at = float("-inf")
        self._not_before = float("-inf")
        self._reading = asyncio.Lock()
        self._refreshing: asyncio.Task[None] | None = None
        self.generation = 0
        self.loaded = False

    async def get(self, kid: str) -> OKPKey | None:
        if kid not in self._keys:
            await self._read(REFETCH_AFTER, pause=RETRY_AFTER)
        elif self._age() >= REFRESH_AFTER and (self._refreshing is None or self._refreshing.done()):
            # Nobody waits for it: the known keys are used meanwhile.
            self._refreshing = asyncio.create_task(self._read(REFRESH_AFTER, pause=RETRY_AFTER))
        return self._keys.get(kid)

    async def refresh(self) -> None:
        # No pause after a failure: the caller reads by the clock anyway, and a failure before the
        # source is up must not refuse the first token.
        await self._read(REFRESH_AFTER, pause=0.0)

    def _age(self) -> float:
        return time.monotonic() - self._read_at

    async def _read(self, older_than: float, *, pause: float) -> None:
        async with self._reading:
            if self._age() < older_than or time.monotonic() < self._not_before:
                return
            found = _keys_of(await http_client.get_json_of_any(self._urls))
            if not found:
                self._not_before = time.monotonic() + pause
                return
            self._read_at = time.monotonic()
            self.loaded = True
            if set(found) != set(self._keys):
                self._keys = found
                self.generation += 1


def _keys_of(document: Any | None) -> dict[str, OKPKey]:
    """The keys of a JWK set; none when it could not be read or is no JWK set."""
    try:
        return read_jwks(document) if document is not None else {}
    except (AttributeError, KeyError, TypeError, ValueError, JoseError) as error:
        log.warning("keys.unreadable", error=type(error).__name__)
        return {}
