"""The addresses of one service: load is shared among those that are ready."""

import asyncio
from collections.abc import Sequence

import structlog

from gateway import metrics
from gateway.settings import Settings
from gateway.upstreams import Connection, ServiceError, Upstream

PROBE_TIMEOUT = 1.0
"""Seconds within which a service that is asked whether it is ready must answer."""

log = structlog.get_logger(__name__)


def base_urls(upstream: str | list[str]) -> list[str]:
    """The base URLs of a service, of which the settings name one or several."""
    if isinstance(upstream, str):
        upstream = [upstream]
    return [url.rstrip("/") for url in upstream]


class Replicas:
    """One service at one or more addresses; requests go to the ready ones in turn.

    An address is left out when it refuses a connection, or says at `/readyz` that it is not ready,
    as a process does before it ends. It is taken in again when it says that it is ready. When none
    is left, all are tried: their own answers tell more than ours.

    Raises:
        ValueError: an address is none.
    """

    def __init__(self, service: str, urls: Sequence[str], *, settings: Settings) -> None:
        self.service = service
        self._all: list[Upstream] = []
        for url in urls:
            upstream = Upstream(
                url,
                connect_timeout=settings.connect_timeout,
                read_timeout=settings.read_timeout,
            )
            self._all.append(upstream)
        self._left_out: list[Upstream] = []
        self._ready = self._all
        self._turn = 0

    @property
    def several(self) -> bool:
        return len(self._all) > 1

    async def connect(self) -> tuple[Upstream, Connection]:
        """A connection for one exchange, and the address that it leads to.

        Nothing of a request has been sent yet, so that any request may go elsewhere after a
        refusal.

        Raises:
            ServiceError: no address takes a connection.
            ServiceTimeoutError: the last one did not within its time.
        """
        ready = self._ready
        self._turn += 1
        upstream = ready[self._turn % len(ready)]
        try:
            return upstream, await upstream.connection()
        except ServiceError:
            if not self.several:
                raise
            self._note(upstream, ready=False, reason="refused")
        return await self._connect_elsewhere(upstream)

    async def _connect_elsewhere(self, refused: Upstream) -> tuple[Upstream, Connection]:
        others = [one for one in self._ready if one is not refused]
        others += [one for one in self._all if one is not refused and one not in others]
        for upstream in others[:-1]:
            try:
                return upstream, await upstream.connection()
            except ServiceError:
                self._note(upstream, ready=False, reason="refused")
        return others[-1], await others[-1].connection()

    async def watch(self, every: float) -> None:
        """Ask each address every so many seconds whether it is ready, until cancelled."""
        while True:
            answers = await asyncio.gather(
                *(upstream.is_ready(PROBE_TIMEOUT) for upstream in self._all)
            )
            for upstream, ready in zip(self._all, answers, strict=True):
                self._note(upstream, ready=ready, reason="asked")
            await asyncio.sleep(every)

    def _note(self, upstream: Upstream, *, ready: bool, reason: str) -> None:
        if not ready:
            # What it has kept open may be closed at any moment, also under a request.
            upstream.close()
        if ready == (upstream not in self._left_out):
            return
        if ready:
            self._left_out.remove(upstream)
        else:
            self._left_out.append(upstream)
        log.warning(
            "gateway.replica", service=self.service, url=upstream.url, ready=ready, reason=reason
        )
        metrics.LEFT_OUT.labels(self.service).set(len(self._left_out))
        self._ready = [one for one in self._all if one not in self._left_out] or self._all

    def close(self) -> None:
        """Close all free connections."""
        for upstream in self._all:
            upstream.close()
