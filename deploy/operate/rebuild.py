"""Make a read model anew: `tongban rebuild SERVICE`, with `<SERVICE>_DATABASE_URL` set.

Drops the database, creates it and migrates it; the running workers notice the new one and fill it
from the topics. Facts that the database holds and no topic has yet would be lost with it, so the
command waits for them to be published, and refuses when they are not.
"""

import asyncio
import time

import asyncpg
import typer
from sqlalchemy.engine import make_url

from deploy.command_line import explained_errors
from deploy.errors import DeployError
from shared.database import migrations
from shared.database.address import other_database
from shared.settings import database_url

REBUILDABLE = frozenset({"assessment"})
PATIENCE = 30.0
"""Seconds to wait until everything is published."""
# Nobody adds a fact, and no relay numbers one, between the look and the end of the database.
HOLD = "LOCK TABLE outbox IN EXCLUSIVE MODE"
UNPUBLISHED = """
SELECT (SELECT count(*) FROM outbox) + (SELECT coalesce(sum(number - sent), 0)::bigint
    FROM relay_position WHERE (sent_epoch, sent) <> (epoch, number))
"""


class UnpublishedFactsError(DeployError):
    """The database holds facts that would be lost with it."""

    def __init__(self, service: str, number: int) -> None:
        super().__init__(
            f"{service} 的数据库中还有 {number} 条事实没有发布,重建会丢失它们。"
            "请确认其后台进程和消息总线正常后重试。\n"
            f"The database of {service} holds {number} facts that are not published;"
            " a rebuild would lose them. See that its worker and the bus are well, and try again."
        )


async def rebuild(service: str, url: str, *, patience: float = PATIENCE) -> None:
    """Drop, create and migrate the database of a read model.

    Raises:
        UnpublishedFactsError: facts stay unpublished for `patience` seconds; nothing is changed.
    """
    deadline = time.monotonic() + patience
    while number := await _drop_if_published(url):
        if time.monotonic() > deadline:
            raise UnpublishedFactsError(service, number)
        await asyncio.sleep(0.2)
    # Alembic is synchronous and keeps global state.
    migrating = migrations.run_on(url, migrations.upgrade, service)
    await asyncio.to_thread(asyncio.run, migrating)


async def _drop_if_published(url: str) -> int:
    """Replace the database by an empty one, unless facts are unpublished: then their number."""
    name = make_url(url).database
    held = await asyncpg.connect(url)
    try:
        async with held.transaction():
            _ = await held.execute(HOLD)
            if number := await held.fetchval(UNPUBLISHED):
                return number
            administration = await asyncpg.connect(other_database(url, "postgres"))
            try:
                # Ends the connection above, too.
                _ = await administration.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
                _ = await administration.execute(f'CREATE DATABASE "{name}"')
            finally:
                await administration.close()
            return 0
    except (asyncpg.InterfaceError, asyncpg.PostgresError):
        if not held.is_closed():
            raise
        return 0
    finally:
        held.terminate()


def rebuild_command(service: str) -> None:
    """Make the database of SERVICE anew from the facts on the topics."""
    if service not in REBUILDABLE:
        raise typer.BadParameter(f"{service} is no read model; there is: {', '.join(REBUILDABLE)}")
    with explained_errors():
        asyncio.run(rebuild(service, database_url(service)))
    typer.echo(f"{service} is empty and fills itself from the topics")
