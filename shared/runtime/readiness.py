"""Whether a process has what it needs."""

import structlog

from shared.database.migrations import is_current
from shared.database.session import Database
from shared.messaging.bus import Bus

log = structlog.get_logger(__name__)


async def readiness(service: str, database: Database, *, bus: Bus | None) -> dict[str, bool]:
    """Which of the things that a process needs are there.

    An API works without the bus, because events wait in the outbox.
    """
    checks = {"database": False, "migrations": False}
    try:
        async with database.engine.connect() as connection:
            checks["database"] = True
            checks["migrations"] = await connection.run_sync(lambda sync: is_current(service, sync))
    except Exception as error:
        log.warning("ready.database", error=type(error).__name__)
    if bus is not None:
        checks["bus"] = await bus.ready()
    return checks
