"""Whether this service's database was restored to an earlier moment, so that it must not be used.

The state is kept in memory and looked at every few seconds beside the requests, so that it costs
them nothing.
"""

import asyncio

import structlog
from sqlalchemy import text

from shared.database.session import Database
from shared.events.base import topic_of
from shared.messaging.bus import Bus
from shared.messaging.fact_log import note_refusal
from shared.messaging.topic_check import ahead_of_database

REFUSED = text("SELECT refused FROM relay_state")
LOOK_EVERY = 2.0
"""Seconds between two looks at the state that the relay keeps in the database."""
START_SECONDS = 5.0
"""How long a bus that is away may hold up the start of a process.

Events wait in the outbox then, so a service works without it. The comparison follows.
"""

log = structlog.get_logger(__name__)


class RefusalWatch:
    """Follows the state of one service's database.

    Args:
        bus: compared with the database at the start; None: only the stored state is followed.
        rebuildable: the database is a read model, which may be behind its topic.
    """

    def __init__(
        self, service: str, database: Database, *, bus: Bus | None, rebuildable: bool = False
    ) -> None:
        self.reason: str | None = None
        """Why nothing may be read or written; None when all is well."""
        self.accepted = asyncio.Event()
        self.refused = asyncio.Event()
        self.accepted.set()
        self._service = service
        self._database = database
        self._bus = bus
        self._compared = bus is None or rebuildable

    async def begin(self) -> None:
        """Compare topic and database before anything is served; a bus that is away is not awaited.

        What could not be compared yet is compared by `run`.
        """
        try:
            async with asyncio.timeout(START_SECONDS):
                await self.look()
        except TimeoutError:
            log.warning("refusal.not_compared_yet")

    async def run(self) -> None:
        """Follow the state until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            await self.look()

    async def look(self) -> None:
        """Look at the state once; while database or bus are away it stays as it is known."""
        try:
            if not self._compared:
                await self._compare()
            async with self._database.reading() as session:
                reason = await session.scalar(REFUSED)
        except TimeoutError:
            raise
        except Exception as error:
            # Whatever the bus or the database raised: it is looked at again.
            log.warning("refusal.waiting", error=type(error).__name__)
            return
        if reason != self.reason:
            log.warning("refusal.changed", refused=reason is not None)
        self._note(reason)

    def _note(self, reason: str | None) -> None:
        self.reason = reason
        if reason is None:
            self.refused.clear()
            self.accepted.set()
        else:
            self.accepted.clear()
            self.refused.set()

    async def _compare(self) -> None:
        assert self._bus is not None
        connection = await self._database.connect()
        try:
            topic = topic_of(self._service)
            reason = await ahead_of_database(connection, self._bus, topic=topic)
            if reason is not None:
                log.error("refusal.database_restored", reason=reason)
                await note_refusal(connection, reason)
        finally:
            await connection.close(timeout=2)
        self._compared = True
