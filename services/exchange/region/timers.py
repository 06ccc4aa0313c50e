"""Time in: what is pushed to the region, and the steps of reconciliations."""

import asyncio
from datetime import date, datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from services.exchange.batches import queries as batches_queries
from services.exchange.peers.model import Peer
from services.exchange.region.http_client import Bucket
from services.exchange.region.model.ledger import Push
from services.exchange.region.port import RESOURCES, PushForgottenError, Region, RegionAwayError
from services.exchange.region.queries import ledger
from services.exchange.region.queries import reconciliations as queries_reconciliations
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

log = structlog.get_logger(__name__)


class Regional:
    """What the worker does with one regional platform."""

    def __init__(self, region: Region, settings: Settings) -> None:
        self._region = region
        self._settings = settings
        self._bucket = Bucket(settings.regional_rows_per_second)

    async def _peer(self, session: AsyncSession) -> Peer | None:
        peer = await batches_queries.find_peer(session, self._settings.regional_peer)
        return peer if peer is not None and peer.active else None

    async def push_records(self, database: Database, _now: datetime) -> int:
        """Send what waits, resource by resource, and hear what became of it; the number of rows sent."""
        async with database.reading() as session:
            peer = await self._peer(session)
        if peer is None:
            return 0
        return sum([await self._push(database, resource, peer) for resource in RESOURCES])

    async def _push(self, database: Database, resource: str, peer: Peer) -> int:
        sent = 0
        try:
            while True:
                await self._settle(database, resource, peer)
                async with database.transaction() as session:
                    source = self._settings.regional_data_source
                    push = await pushes.next_push(session, resource, source, clock.now())
                if push is None:
                    return sent
                if not await self._deliver(database, push):
                    return sent
                sent += push.rows
        except RegionAwayError as error:
            log.warning("regional.away", error=str(error))
            return sent

    async def _deliver(self, database: Database, push: Push) -> bool:
        """Whether the region has it; after a failure it is asked first what it has."""
        try:
            if (
                not push.attempts
                or await self._region.last_acknowledged(push.resource) < push.number
            ):
                await self._bucket.take(push.rows)
                await self._region.send(push.body or b"")
        except RegionAwayError:
            async with database.transaction() as session:
                await pushes.postpone(session, push.id, clock.now())
            return False
        async with database.transaction() as session:
            await pushes.acknowledge(session, push.id)
        return True

    async def _settle(self, database: Database, resource: str, peer: Peer) -> None:
        async with database.reading() as session:
            waiting = await ledger.list_acknowledged(session, resource, AT_ONCE)
        for push in waiting:
            try:
                rejects = await self._region.rejects(resource, push.id)
            except PushForgottenError:
                async with database.transaction() as session:
                    await pushes.send_again(session, push.id, clock.now())
                continue
            if rejects is None:
                return
            async with database.transaction() as session:
                await pushes.settle(session, push.id, rejects, peer, clock.now())

    async def plan(self, database: Database, now: datetime) -> None:
        """Today and yesterday every quarter of an hour, the last weeks every night, everything every week."""
        today = clock.local_date(now)
        every = timedelta(seconds=self._settings.reconciliation_every)
        async with database.transaction() as session:
            peer = await self._peer(session)
            if peer is None:
                return
            # Of two workers the second finds what the first has planned.
            await batches_queries.lock_order(session, peer.code, "reconciliations")
            for resource in RESOURCES:
                if not await queries_reconciliations.has_run_since(
                    session, resource, now - every, now, only_windows=True
                ):
                    first = today - timedelta(days=1)
                    about = (resource, first, today, peer.code, "timer", now)
                    session.add(reconciliations.new_run(*about, only_windows=True))
                night = clock.day_start(today) + timedelta(hours=NIGHT)
                await self._plan_week(session, resource, peer.code, now, night)
                if now >= night and not await queries_reconciliations.has_run_since(
                    session, resource, night, now, only_windows=False
                ):
                    first = today - timedelta(days=self._settings.reconciliation_days)
                    session.add(
                        reconciliations.new_run(resource, first, today, peer.code, "timer", now)
                    )

    async def _plan_week(
        self, session: AsyncSession, resource: str, peer_code: str, now: datetime, night: datetime
    ) -> None:
        """From the Sunday night on, once: all windows there are, with the list digests."""
        since = night - timedelta(days=clock.local_date(night).isoweekday() % 7)
        if now < since or await queries_reconciliations.has_run_since(
            session, resource, since, now, only_windows=False, listed=True
        ):
            return
        about = (EVER, clock.local_date(now), peer_code, "timer", now)
        session.add(reconciliations.new_run(resource, *about, listed=True))
        await session.flush()

    async def reconcile(self, database: Database, _now: datetime) -> int:
        """Take every step that is due; their number."""
        steps = 0
        while True:
            async with database.transaction() as session:
                claimed = await reconciliations.claim_step(session, clock.now())
            if claimed is None:
                return steps
            steps += 1
            await self._step(database, *claimed)

    async def _step(self, database: Database, run_id: UUID, state: str) -> None:
        try:
            match state:
                case "queued" | "closing":
                    await self._look(database, run_id, first=state == "queued")
                case "repairing":
                    await self._repair(database, run_id)
                case "waiting":
                    async with database.transaction() as session:
                        await reconciliations.wait(session, run_id, clock.now())
                case _:
                    await self._sign(database, run_id)
        except TooDifferentError as error:
            async with database.transaction() as session:
                await reconciliations.ask_to_push_windows(session, run_id, error.days, clock.now())
        except Exception as error:
            # A fault of the other side's answers or of our own statements: a few more times, then it ends as failed.
            known = isinstance(error, RegionAwayError | TooMuchInFlightError | ValueError)
            cause = f"{type(error).__name__}: {error}" if known else type(error).__name__
            log.warning("reconciliation.put_off", run_id=str(run_id), error=type(error).__name__)
            async with database.transaction() as session:
                await reconciliations.put_off(session, run_id, cause, clock.now())

    async def _look(self, database: Database, run_id: UUID, *, first: bool) -> None:
        async def present(resource: str, keys: list[str]) -> dict[str, int]:
            async with database.reading() as now:
                return await ledger.read_versions(now, resource, keys)

        async with database.transaction(snapshot=True) as session:
            given = (session, self._region, run_id, self._settings.ticket_days, clock.now())
            await (
                reconciliations.compare(*given) if first else reconciliations.close(*given, present)
            )

    async def _repair(self, database: Database, run_id: UUID) -> None:
        more = True
        while more:
            async with database.transaction() as session:
                more = await reconciliations.repair(session, run_id, clock.now())
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
            await reconciliations.finish(session, run_id, peer, signed, clock.now())
