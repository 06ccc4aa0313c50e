"""Whether a process has what it needs."""

import structlog
from sqlalchemy import text

from shared.database.schema import read_schema
from shared.database.session import Database
from shared.messaging.bus import Bus

BEGINS = text("SELECT 1")
REFUSED = text("SELECT refused FROM relay_state")

log = structlog.get_logger(__name__)


async def readiness(service: str, database: Database, *, bus: Bus | None) -> dict[str, bool]:
    """Which of the things that a process needs are there.

    `database`: a transaction can be begun and ended, as requests do. `facts`: the database knows
    all facts that its topic has; otherwise it was restored to an earlier moment, and whatever it
    gave out since then could be given out a second time. `migrations`: the schema is at or above
    what this code needs, and nothing of that was taken away. An API works without the bus, because
    events wait in the outbox.
    """
    checks = {"database": False, "migrations": False, "facts": False}
    try:
        async with database.transaction() as session:
            _ = await session.execute(BEGINS)
        checks["database"] = True
        async with database.engine.connect() as connection:
            schema = await connection.run_sync(lambda sync: read_schema(service, sync))
        checks["migrations"] = schema.fit.usable
        if not schema.fit.usable:
            log.warning("ready.schema", revision=schema.revision, fit=schema.fit.value)
        if checks["migrations"]:
            async with database.reading() as session:
                checks["facts"] = await session.scalar(REFUSED) is None
    except Exception as error:
        log.warning("ready.database", error=type(error).__name__)
    if bus is not None:
        checks["bus"] = await bus.ready()
    return checks
