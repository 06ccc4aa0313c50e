"""A process tells in its service's database that it runs, and which events its code knows.

`tongban upgrade check` reads it: in which order a release is rolled out depends on it.
"""

import asyncio
import tomllib
from collections.abc import Collection
from pathlib import Path

import structlog
from sqlalchemy import text

from shared.database.schema import history
from shared.database.session import Database
from shared.events.base import registered_events
from shared.ids import new_id

EVERY = 15.0
"""Seconds between two notes."""
TELL = text(
    "INSERT INTO running_process (id, name, version, revision, consumes, produces)"
    " VALUES (:id, :name, :version, :revision, to_jsonb(CAST(:consumes AS text[])),"
    "  to_jsonb(CAST(:produces AS text[])))"
    " ON CONFLICT (id) DO UPDATE SET seen_at = now()"
)
LEAVE = text("DELETE FROM running_process WHERE id = :id OR seen_at < now() - interval '1 day'")
PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"

log = structlog.get_logger(__name__)


def code_version() -> str:
    """The version of this code; `unknown` where its project file is not beside it."""
    if not PROJECT.exists():
        return "unknown"
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))
    return str(project["project"]["version"])


class Presence:
    """The note of one process.

    Args:
        name: of the process, `cases-worker`.
        consumes: the types of events, with their versions, that it handles.
    """

    def __init__(
        self, service: str, database: Database, *, name: str, consumes: Collection[str] = ()
    ) -> None:
        self._service = service
        self._database = database
        self._note = {
            "id": new_id(),
            "name": name,
            "version": code_version(),
            "revision": history(service)[0],
            "consumes": sorted(consumes),
            "produces": sorted(registered_events(service)),
        }

    async def keep(self) -> None:
        """Tell it now and every 15 seconds, until cancelled; the note is then taken away."""
        try:
            while True:
                await self._tell()
                await asyncio.sleep(EVERY)
        finally:
            await self._leave()

    async def _tell(self) -> None:
        try:
            async with self._database.transaction() as session:
                _ = await session.execute(TELL, self._note)
        except Exception as error:  # nothing else depends on it
            log.warning("presence.not_told", error=type(error).__name__)

    async def _leave(self) -> None:
        try:
            async with asyncio.timeout(1), self._database.transaction() as session:
                _ = await session.execute(LEAVE, {"id": self._note["id"]})
        except Exception as error:  # the note grows old by itself
            log.warning("presence.not_left", error=type(error).__name__)
