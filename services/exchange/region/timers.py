"""What is pushed to the region by time, and the steps of reconciliations."""

import asyncio
from datetime import date, datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.peers.model import Peer
from services.exchange.peers.queries import find_active_peer, lock_stream
from services.exchange.region.http_client import RateLimit
from services.exchange.region.model.ledger import LedgerResource, Push
from services.exchange.region.model.reconciliation import RunState
from services.exchange.region.port import RESOURCES, PushForgottenError, Region, RegionAwayError
from services.exchange.region.queries import ledger
from services.exchange.region.queries import reconciliations as reconciliations_queries
from services.exchange.region.use_cases import pushes, reconciliations
from services.exchange.region.use_cases.compare import TooDifferentError, TooMuchInFlightError
from services.exchange.settings import Settings
from shared import clock
from shared.database.session import Database

NIGHT = 1
"""Hour from which the nightly reconciliation is due."""
EVER = date(1949, 10, 1)
"""Before any record of either side."""
AT_ONCE = 20
"""Pushes whose quality check is asked for in one go."""

log = structlog.get_logger(__name__)


class Regional:
    """What the worker does with one regional platform."""

    def __init__(self, region: Region, settings: Settings) -> None:
        self._region = region
        self._settings = settings
        self._rate_limit = RateLimit(settings.regional_rows_per_second)

    async def _peer(self, session: AsyncSession) -> Peer | None:
        return await find_active_peer(session, self._settings.regional_peer)

    async def push_records(self, database: Database, _now: datetime) -> int:
        """Send what waits, resource by resource, and ask what became of it.

        The number of rows sent.
        """
        async with database.reading() as session:
            peer = await self._peer(session)
        # A region that is not registered, or deactivated, gets nothing.
        if peer is None:
            return 0
        sent = 0
        for resource in RESOURCES:
            sent += await self._push(database, resource, peer=peer)
        return sent

    async def _push(self, database: Database, resource: LedgerResource, *, peer: Peer) -> int:
        sent = 0
        source = self._settings.regional_data_source
        try:
            while True:
                await self._apply_quality_checks(database, resource, peer=peer)
                async with database.transaction() as session:
                    push = await pushes.next_push(
                        session, resource, data_source=source, now=clock.now()
                    )
                if push is None or not await self._deliver(database, push):
                    return sent
                sent += push.rows
        except RegionAwayError as error:
            log.warning("regional.away", error=str(error))
            return sent

    async def _deliver(self, database: Database, push: Push) -> bool:
        """Whether the region has it; after a failure it is asked first what it has."""
        try:
            if not await self._has(push):
                await self._rate_limit.wait_for(push.rows)
                await self._region.send(push.body or b"")
        except RegionAwayError:
            async with database.transaction() as session:
                await pushes.postpone(session, push.id, now=clock.now())
            return False
        async with database.transaction() as session:
            await pushes.acknowledge(session, push.id)
        return True

    async def _has(self, push: Push) -> bool:
        if not push.attempts:
            return False
        return await self._region.last_acknowledged(push.resource) >= push.number

    async def _apply_quality_checks(
        self, database: Database, resource: LedgerResource, *, peer: Peer
    ) -> None:
        async with database.reading() as session:
            waiting = await ledger.list_acknowledged(session, resource, limit=AT_ONCE)
        for push in waiting:
            try:
                rejects = await self._region.rejects(resource, push.id)
            except PushForgottenError:
                async with database.transaction() as session:
                    await pushes.send_again(session, push.id, now=clock.now())
                continue
            if rejects is None:
                return  # The region checks one after the other.
            async with database.transaction() as session:
                await pushes.apply_quality_check(
                    session, push.id, rejects=rejects, peer=peer, now=clock.now()
                )

    async def plan(self, database: Database, now: datetime) -> None:
        """Plan the reconciliations that are due.

        Today and yesterday every quarter of an hour, the last weeks every night, everything every
        week.
        """
        async with database.transaction() as session:
            peer = await self._peer(session)
            if peer is None:
                return
            # Of two workers the second finds what the first has planned.
            await lock_stream(session, peer.code, resource="reconciliations")
            for resource in RESOURCES:
                await self._plan_windows(session, resource, peer=peer, now=now)
                await self._plan_week(session, resource, peer=peer, now=now)
                await self._plan_night(session, resource, peer=peer, now=now)

    async def _plan_windows(
        self, session: AsyncSession, resource: LedgerResource, *, peer: Peer, now: datetime
    ) -> None:
        """Only the fingerprints of today and yesterday."""
        every = timedelta(seconds=self._settings.reconciliation_every)
        if await reconciliations_queries.has_run_since(
            session, resource, since=now - every, now=now, only_windows=True
        ):
            return
        today = clock.local_date(now)
        run = reconciliations.new_run(
            resource,
            first=today - timedelta(days=1),
            last=today,
            peer_code=peer.code,
            actor="timer",
            now=now,
            only_windows=True,
        )
        session.add(run)

    async def _plan_week(
        self, session: AsyncSession, resource: LedgerResource, *, peer: Peer, now: datetime
    ) -> None:
        """From the Sunday night on, once: all windows there are, with the list digests."""
        night = _night_of(now)
        since = night - timedelta(days=clock.local_date(night).isoweekday() % 7)
        if now < since or await reconciliations_queries.has_run_since(
            session, resource, since=since, now=now, only_windows=False, listed=True
        ):
            return
        run = reconciliations.new_run(
            resource,
            first=EVER,
            last=clock.local_date(now),
            peer_code=peer.code,
            actor="timer",
            now=now,
            listed=True,
        )
        session.add(run)
        # The nightly run looks for this one.
        await session.flush()

    async def _plan_night(
        self, session: AsyncSession, resource: LedgerResource, *, peer: Peer, now: datetime
    ) -> None:
        night = _night_of(now)
        if now < night or await reconciliations_queries.has_run_since(
            session, resource, since=night, now=now, only_windows=False
        ):
            return
        today = clock.local_date(now)
        run = reconciliations.new_run(
            resource,
            first=today - timedelta(days=self._settings.reconciliation_days),
            last=today,
            peer_code=peer.code,
            actor="timer",
            now=now,
        )
        session.add(run)

    async def reconcile(self, database: Database, _now: datetime) -> int:
        """Take every step that is due; their number."""
        steps = 0
        while True:
            async with database.transaction() as session:
                claimed = await reconciliations.claim_step(session, clock.now())
            if claimed is None:
                return steps
            steps += 1
            run_id, state = claimed
            await self._step(database, run_id, state=state)

    async def _step(self, database: Database, run_id: UUID, *, state: RunState | str) -> None:
        try:
            await self._take_step(database, run_id, state=RunState(state))
        except TooDifferentError as error:
            async with database.transaction() as session:
                await reconciliations.ask_to_push_windows(
                    session, run_id, days=error.days, now=clock.now()
                )
        except Exception as error:
            # A fault of the other side's answers or of our own statements: a few more times, then
            # the run ends as failed.
            log.warning("reconciliation.put_off", run_id=str(run_id), error=type(error).__name__)
            async with database.transaction() as session:
                await reconciliations.put_off(
                    session, run_id, cause=_describe(error), now=clock.now()
                )

    async def _take_step(self, database: Database, run_id: UUID, *, state: RunState) -> None:
        match state:
            case RunState.QUEUED:
                await self._compare(database, run_id)
            case RunState.REPAIRING:
                await self._repair(database, run_id)
            case RunState.WAITING:
                async with database.transaction() as session:
                    await reconciliations.wait(session, run_id, now=clock.now())
            case RunState.CLOSING:
                await self._close(database, run_id)
            case _:
                await self._sign(database, run_id)

    async def _compare(self, database: Database, run_id: UUID) -> None:
        async with database.transaction(snapshot=True) as session:
            await reconciliations.compare(
                session,
                self._region,
                run_id=run_id,
                ticket_days=self._settings.ticket_days,
                now=clock.now(),
            )

    async def _close(self, database: Database, run_id: UUID) -> None:
        async def present(resource: LedgerResource, keys: list[str]) -> dict[str, int]:
            async with database.reading() as outside:
                return await ledger.read_versions(outside, resource, keys=keys)

        async with database.transaction(snapshot=True) as session:
            await reconciliations.close(
                session,
                self._region,
                run_id=run_id,
                ticket_days=self._settings.ticket_days,
                now=clock.now(),
                present=present,
            )

    async def _repair(self, database: Database, run_id: UUID) -> None:
        more = True
        while more:
            async with database.transaction() as session:
                more = await reconciliations.repair(session, run_id, now=clock.now())
            if more:
                await asyncio.sleep(1)

    async def _sign(self, database: Database, run_id: UUID) -> None:
        async with database.reading() as session:
            peer = await self._peer(session)
            statement = await reconciliations.read_statement(session, run_id)
        if peer is None:
            raise RegionAwayError("no such peer")
        signed = await self._region.countersign(run_id, statement)
        async with database.transaction() as session:
            await reconciliations.finish(
                session, run_id, peer=peer, peer_statement=signed, now=clock.now()
            )


def _night_of(now: datetime) -> datetime:
    """The moment of today from which the nightly reconciliation is due."""
    return clock.day_start(clock.local_date(now)) + timedelta(hours=NIGHT)


def _describe(error: Exception) -> str:
    """The cause of a failure; texts of unknown errors could quote personal data."""
    name = type(error).__name__
    if isinstance(error, RegionAwayError | TooMuchInFlightError | ValueError):
        return f"{name}: {error}"
    return name
