"""Capture what is sent to a database by SQLAlchemy and, past it, by `shared.database.direct`."""

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import event

from shared.database.session import Database

OF_THE_DRIVER = re.compile(
    r"(BEGIN|COMMIT|ROLLBACK)\b|\s*(WITH RECURSIVE typeinfo_tree|SELECT\s+current_setting\(.jit)"
)
"""Frames of transactions, and how asyncpg learns of a type that it does not know yet."""
CapturedSql = list[tuple[str, Sequence[Any]]]
"""Statements with their parameters, in order."""


@asynccontextmanager
async def capture_sql(database: Database) -> AsyncGenerator[CapturedSql]:
    """Capture every statement on connections of the pool, without the frame of transactions."""
    captured: CapturedSql = []
    drivers: list[Any] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        captured.append((statement, parameters))

    def note_direct(query: Any) -> None:
        if not OF_THE_DRIVER.match(query.query):
            captured.append((query.query, query.args))

    def attach(adapter: Any, *_: Any) -> None:
        drivers.append(adapter.driver_connection)
        adapter.driver_connection.add_query_logger(note_direct)

    engine = database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    event.listen(engine, "checkout", attach)
    try:
        yield captured
        await asyncio.sleep(0)  # the driver tells of a statement in the next turn
    finally:
        event.remove(engine, "before_cursor_execute", note)
        event.remove(engine, "checkout", attach)
        for driver in drivers:
            driver.remove_query_logger(note_direct)
