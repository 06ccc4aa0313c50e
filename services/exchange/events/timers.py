"""Time in: events whose turn has come are sent, long waits are told of, what is old is forgotten."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from services.exchange.events.model.delivery import Outcome
from services.exchange.events.model.subscription import Subscription
from services.exchange.events.queries.subscriptions import list_behind
from services.exchange.events.use_cases.deliveries import Claimed, claim, follow_log
from services.exchange.events.use_cases.endpoints import (
    Signer,
    reach_of,
    retry_after,
    send_event,
    signer_of,
)
from services.exchange.events.use_cases.health import alert_waiting, record_outcomes
from services.exchange.events.use_cases.log import prune_history, prune_log
from services.exchange.peers.model import Peer
from services.exchange.settings import Settings
from shared import clock, logs
from shared.database.session import Database
from shared.runtime.http_client import EndpointError, Endpoints, Reach

log = structlog.get_logger(__name__)

POLL = 0.1
"""Seconds between two looks for new work while something is under way."""
GATHER = 0.01
"""Seconds after an answer in which others may join it: what came of them is written together."""


@dataclass(frozen=True)
class Send:
    """One delivery with all that is needed to send it outside a database session."""

    claimed: Claimed
    url: str
    reach: Reach
    signer: Signer


class Sender:
    """Sends webhooks, many at once, few to one subscription. Any number may run beside each other.

    `run` works until nothing is due and nothing under way; the worker calls it again a moment later.
    """

    def __init__(
        self,
        settings: Settings,
        endpoints: Endpoints | None = None,
        now: Callable[[], datetime] = clock.now,
    ) -> None:
        self._settings = settings
        self._endpoints = endpoints or Endpoints()
        self._now = now
        self._busy: Counter[UUID] = Counter()

    async def run(self, database: Database, _now: datetime) -> int:
        """The number of attempts made."""
        self._busy.clear()
        under_way: set[asyncio.Task[Outcome]] = set()
        total, loop, follow_at = 0, asyncio.get_running_loop(), 0.0
        try:
            while True:
                if not under_way or loop.time() >= follow_at:
                    await self._follow(database)
                    follow_at = loop.time() + POLL
                under_way |= {
                    asyncio.create_task(self._send(s))
                    for s in await self._claim(database, len(under_way))
                }
                if not under_way:
                    return total
                _ = await asyncio.wait(under_way, timeout=POLL, return_when=asyncio.FIRST_COMPLETED)
                await asyncio.sleep(GATHER)
                done = {task for task in under_way if task.done()}
                under_way -= done
                total += len(done)
                await self._record(database, [task.result() for task in done])
        finally:
            # Their leases run out, and they are sent again.
            for task in under_way:
                _ = task.cancel()

    async def _follow(self, database: Database) -> None:
        async with database.reading() as session:
            behind = await list_behind(session)
        for subscription_id in behind:
            async with database.transaction() as session:
                _ = await follow_log(session, subscription_id, self._now())

    async def _claim(self, database: Database, under_way: int) -> Sequence[Send]:
        slots, each = self._settings.webhook_slots - under_way, self._settings.webhook_slots_each
        if slots <= 0:
            return []
        full = [subscription for subscription, number in self._busy.items() if number >= each]
        async with database.transaction() as session:
            claimed, owners = await claim(session, slots, each, full, self._now())
            # Within the session, because secrets can be read there alone.
            sends = [self._prepare(one, *owners[one.outcome.subscription_id]) for one in claimed]
        self._busy.update(send.claimed.outcome.subscription_id for send in sends)
        return sends

    def _prepare(self, claimed: Claimed, subscription: Subscription, peer: Peer) -> Send:
        signer = signer_of(subscription, self._now())
        return Send(claimed, subscription.endpoint or "", reach_of(peer, self._settings), signer)

    async def _send(self, send: Send) -> Outcome:
        outcome = send.claimed.outcome
        try:
            answer = await send_event(
                self._endpoints,
                send.url,
                send.reach,
                send.signer,
                str(outcome.event_id),
                send.claimed.payload,
                self._now(),
            )
        except EndpointError as error:
            return replace(outcome, cause=error.cause)
        except Exception as error:
            # Whatever one endpoint brings about is its own failed attempt: the others' must go on.
            log.warning(
                "webhook.failed",
                error=type(error).__name__,
                at=logs.places(error.__traceback__)[-1:],
            )
            return replace(outcome, cause="internal")
        if 200 <= answer.status < 300:
            return replace(outcome, status=answer.status)
        cause = "redirect" if 300 <= answer.status < 400 else f"http_{answer.status}"
        asked = retry_after(answer.headers, self._now())
        return replace(outcome, status=answer.status, cause=cause, retry_after=asked)

    async def _record(self, database: Database, outcomes: Sequence[Outcome]) -> None:
        if outcomes:
            self._busy.subtract(outcome.subscription_id for outcome in outcomes)
            async with database.transaction() as session:
                await record_outcomes(session, outcomes, self._now())


async def alert(database: Database, now: datetime) -> None:
    """Tell of what has waited for 15 minutes."""
    async with database.transaction() as session:
        _ = await alert_waiting(session, now)


class Pruner:
    """Forgets old events with their deliveries, and what was delivered some time ago, batch by batch."""

    def __init__(self, settings: Settings) -> None:
        self._events = timedelta(days=settings.event_days)
        self._history = timedelta(hours=settings.history_hours)

    async def run(self, database: Database, now: datetime) -> None:
        for forget, before in (
            (prune_log, now - self._events),
            (prune_history, now - self._history),
        ):
            more = 1
            while more:
                async with database.transaction() as session:
                    more = await forget(session, before)
