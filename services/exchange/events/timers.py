"""Events whose turn has come are sent, long waits are reported, what is old is deleted."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from services.exchange.events.model.delivery import Outcome
from services.exchange.events.queries.subscriptions import list_behind
from services.exchange.events.use_cases.deliveries import Claimed, Owners, claim, follow_log
from services.exchange.events.use_cases.endpoints import (
    Target,
    retry_after,
    send_event,
    target_of,
)
from services.exchange.events.use_cases.health import alert_waiting, record_outcomes
from services.exchange.events.use_cases.log import prune_history, prune_log
from services.exchange.settings import Settings
from shared import clock, logs
from shared.database.session import Database
from shared.runtime.http_client import Answer, EndpointError, Endpoints

log = structlog.get_logger(__name__)

POLL = 0.1
"""Seconds between two looks for new work while something is under way."""
GATHER = 0.01
"""Seconds after an answer in which others may join it: their outcomes are written together."""


@dataclass(frozen=True)
class Send:
    """One delivery with all that is needed to send it outside a database session."""

    claimed: Claimed
    target: Target


Attempt = asyncio.Task[Outcome]


class Sender:
    """Sends webhooks, many at once, few to one subscription. Any number may run beside each other.

    `run` works until nothing is due and nothing under way; the worker calls it again a moment
    later.
    """

    def __init__(
        self,
        settings: Settings,
        endpoints: Endpoints | None = None,
        *,
        now: Callable[[], datetime] = clock.now,
    ) -> None:
        self._settings = settings
        self._endpoints = endpoints or Endpoints()
        self._now = now
        self._under_way_of: Counter[UUID] = Counter()
        """Attempts under way by subscription."""

    async def run(self, database: Database, _now: datetime) -> int:
        """The number of attempts made."""
        self._under_way_of.clear()
        under_way: set[Attempt] = set()
        total = 0
        follow_at = 0.0
        loop = asyncio.get_running_loop()
        try:
            while True:
                if not under_way or loop.time() >= follow_at:
                    await self._follow_log(database)
                    follow_at = loop.time() + POLL
                for send in await self._claim(database, len(under_way)):
                    under_way.add(asyncio.create_task(self._send(send)))
                if not under_way:
                    return total
                done = await _wait_for_some(under_way)
                under_way -= done
                total += len(done)
                await self._record(database, [task.result() for task in done])
        finally:
            _cancel(under_way)

    async def _follow_log(self, database: Database) -> None:
        async with database.reading() as session:
            behind = await list_behind(session)
        for subscription_id in behind:
            async with database.transaction() as session:
                _ = await follow_log(session, subscription_id, now=self._now())

    async def _claim(self, database: Database, under_way: int) -> Sequence[Send]:
        slots = self._settings.webhook_slots - under_way
        if slots <= 0:
            return []
        each = self._settings.webhook_slots_each
        busy = [
            subscription_id
            for subscription_id, number in self._under_way_of.items()
            if number >= each
        ]
        async with database.transaction() as session:
            now = self._now()
            claimed, owners = await claim(session, slots=slots, each=each, busy=busy, now=now)
            # Within the session, because secrets can be read only there.
            sends = [self._prepare(one, owners) for one in claimed]
        self._under_way_of.update(send.claimed.outcome.subscription_id for send in sends)
        return sends

    def _prepare(self, claimed: Claimed, owners: Owners) -> Send:
        subscription, peer = owners[claimed.outcome.subscription_id]
        target = target_of(subscription, peer=peer, settings=self._settings, now=self._now())
        return Send(claimed, target)

    async def _send(self, send: Send) -> Outcome:
        outcome = send.claimed.outcome
        try:
            answer = await send_event(
                self._endpoints,
                send.target,
                event_id=str(outcome.event_id),
                body=send.claimed.payload,
                now=self._now(),
            )
        except EndpointError as error:
            return replace(outcome, cause=error.cause)
        except Exception as error:
            # Whatever one endpoint brings about is its own failed attempt: the others must go on.
            log.warning(
                "webhook.failed",
                error=type(error).__name__,
                at=logs.places(error.__traceback__)[-1:],
            )
            return replace(outcome, cause="internal")
        return self._judge(outcome, answer)

    def _judge(self, outcome: Outcome, answer: Answer) -> Outcome:
        if 200 <= answer.status < 300:
            return replace(outcome, status=answer.status)
        cause = f"http_{answer.status}"
        if 300 <= answer.status < 400:
            cause = "redirect"
        asked = retry_after(answer.headers, self._now())
        return replace(outcome, status=answer.status, cause=cause, retry_after=asked)

    async def _record(self, database: Database, outcomes: Sequence[Outcome]) -> None:
        if not outcomes:
            return
        self._under_way_of.subtract(outcome.subscription_id for outcome in outcomes)
        async with database.transaction() as session:
            await record_outcomes(session, outcomes, now=self._now())


async def _wait_for_some(under_way: set[Attempt]) -> set[Attempt]:
    """The attempts that are done; maybe none, because there may be new work meanwhile."""
    _ = await asyncio.wait(under_way, timeout=POLL, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.sleep(GATHER)
    return {task for task in under_way if task.done()}


def _cancel(under_way: Iterable[Attempt]) -> None:
    """Break off attempts; their leases run out, and the events are sent again."""
    for task in under_way:
        _ = task.cancel()


async def alert(database: Database, now: datetime) -> None:
    """Report what has waited for 15 minutes."""
    async with database.transaction() as session:
        _ = await alert_waiting(session, now)


class Pruner:
    """Deletes old events with their deliveries, and old deliveries that arrived, in batches."""

    def __init__(self, settings: Settings) -> None:
        self._events = timedelta(days=settings.event_days)
        self._history = timedelta(hours=settings.history_hours)

    async def run(self, database: Database, now: datetime) -> None:
        for prune, before in (
            (prune_log, now - self._events),
            (prune_history, now - self._history),
        ):
            more = 1
            while more:
                async with database.transaction() as session:
                    more = await prune(session, before)
