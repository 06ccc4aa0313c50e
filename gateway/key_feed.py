"""Keeps the gateway's token verifier up to date: public keys, and sessions that ended early."""

import asyncio
import time
from typing import TypedDict

import structlog

from shared import clock
from shared.runtime import http_client
from shared.security.tokens import TokenVerifier

FRESH_SECONDS = 5.0
"""A revocation must hold within this time, so an older reading of the feed is not enough."""

log = structlog.get_logger(__name__)


class _Revocation(TypedDict, total=False):
    """An entry of the feed: a session, or all sessions of a subject."""

    session: str | None
    subject: str | None


class _Page(TypedDict):
    items: list[_Revocation]
    next: str | int


class KeyAndRevocationFeed:
    """Reads keys and revocations every `every` seconds.

    While identity is away the known ones stay.
    """

    def __init__(self, verifier: TokenVerifier, revocations_url: str, *, every: float) -> None:
        self._verifier = verifier
        self._urls = revocations_url.split()
        self._every = every
        self._cursor = "0"
        self._read_at = float("-inf")

    async def follow(self) -> None:
        """Read keys and revocations until cancelled."""
        while True:
            try:
                await self._verifier.keys.refresh()
                while await self._read_page():
                    pass
            except Exception as error:  # an unreadable feed must not end the reading
                log.warning("trust.unreadable", error=type(error).__name__)
            await asyncio.sleep(self._every)

    async def _read_page(self) -> bool:
        """Apply one page of the feed; whether there may be more."""
        urls = [f"{url}?after={self._cursor}" for url in self._urls]
        page: _Page | None = await http_client.get_json_of_any(urls)
        if page is None:
            return False
        revoked: list[str] = []
        for item in page["items"]:
            for name in (item.get("session"), item.get("subject")):
                if name:
                    revoked.append(str(name))
        self._verifier.revoke(revoked, clock.now())
        self._cursor = str(page["next"])
        self._read_at = time.monotonic()
        return bool(revoked)

    def checks(self) -> dict[str, bool]:
        """Whether tokens can be verified, and whether revoked ones are refused in time."""
        is_fresh = time.monotonic() - self._read_at <= FRESH_SECONDS + self._every
        return {"keys": self._verifier.keys.loaded, "revocations": is_fresh}
