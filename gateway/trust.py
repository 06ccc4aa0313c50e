"""What the gateway believes: the public keys of tokens and the sessions that ended early, read again and again."""

import asyncio
import time
from typing import Any

import structlog

from shared import clock
from shared.runtime import http_client
from shared.security.tokens import TokenVerifier

FRESH = 5.0
"""Seconds: a revocation must hold within them, so an older reading of the feed is no longer the truth."""

log = structlog.get_logger(__name__)


class Trust:
    """Keeps a verifier up to date; while identity is away what is known stays."""

    def __init__(self, verifier: TokenVerifier, revocations_url: str, every: float) -> None:
        self._verifier = verifier
        self._url = revocations_url
        self._every = every
        self._cursor = "0"
        self._read_at = float("-inf")

    async def follow(self) -> None:
        """Read keys and feed for ever."""
        while True:
            try:
                await self._verifier.keys.refresh()
                while await self._read_page():
                    pass
            except Exception as error:  # an unreadable feed must not end the reading
                log.warning("trust.unreadable", error=type(error).__name__)
            await asyncio.sleep(self._every)

    async def _read_page(self) -> bool:
        """Take in one page of the feed; whether there may be more."""
        feed: Any = await http_client.get_json(f"{self._url}?after={self._cursor}")
        if feed is None:
            return False
        names = [
            str(item[kind])
            for item in feed["items"]
            for kind in ("session", "subject")
            if item.get(kind)
        ]
        self._verifier.revoke(names, clock.now())
        self._cursor, self._read_at = str(feed["next"]), time.monotonic()
        return bool(names)

    def checks(self) -> dict[str, bool]:
        """Whether tokens can be judged, and whether those of ended sessions are refused in time."""
        fresh = time.monotonic() - self._read_at <= FRESH + self._every
        return {"keys": self._verifier.keys.loaded, "revocations": fresh}
