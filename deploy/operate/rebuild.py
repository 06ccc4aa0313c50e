"""Make a read model anew: `tongban rebuild SERVICE`, with `<SERVICE>_DATABASE_URL` set.

Drops the database, creates it and migrates it; the running workers notice the new one and fill it
from the topics. Facts that the database holds and no topic has would be lost with it, so the
command waits for them to be published, and asks the topics themselves whether they hold them, and
all that the read model was made of. It refuses when something is missing.
"""

import asyncio
import time
from collections.abc import Sequence
from importlib import import_module

import asyncpg
import typer
from sqlalchemy.engine import make_url

from deploy.command_line import explained_errors
from deploy.errors import DeployError
from shared.database import migrations
from shared.database.address import other_database
from shared.messaging.bus import NO_FACT, Bus, FactNumber, Place, Reader, number_of
from shared.messaging.outbox import BATCH
from shared.messaging.positions import follows
from shared.runtime.worker import open_bus
from shared.settings import ServiceSettings, load

REBUILDABLE = frozenset({"assessment"})
PATIENCE = 30.0
"""Seconds to wait until everything is published."""
# Nobody adds a fact, and no relay numbers one, between the look and the end of the database.
HOLD = "LOCK TABLE outbox IN EXCLUSIVE MODE"
UNPUBLISHED = """
SELECT (SELECT count(*) FROM outbox) + (SELECT coalesce(sum(number - sent), 0)::bigint
    FROM relay_position WHERE (sent_epoch, sent) <> (epoch, number))
"""


EXPECTED = """
SELECT topic, partition, sent_epoch, sent FROM relay_position WHERE sent > 0
UNION ALL SELECT topic, partition, epoch, number FROM inbox_position WHERE number > 0
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


class TopicLacksFactsError(DeployError):
    """A topic does not hold what the database was made of, or has published."""

    def __init__(self, places: Sequence[Place]) -> None:
        named = ", ".join(f"{place.topic}/{place.partition}" for place in places)
        super().__init__(
            f"总线上的主题缺少事实,重建会丢失它们:{named}。"
            "请让其生产者重新发布(tongban publish-again)后重试。\n"
            f"Topics lack facts, and a rebuild would lose them: {named}."
            " Have their producers publish them again (tongban publish-again), and try again."
        )


async def rebuild(
    service: str, url: str, *, bus: Bus | None = None, patience: float = PATIENCE
) -> None:
    """Drop, create and migrate the database of a read model.

    Args:
        bus: its topics are asked whether they hold all; None: what the database notes is believed.

    Raises:
        UnpublishedFactsError: facts stay unpublished for `patience` seconds; nothing is changed.
        TopicLacksFactsError: a topic lacks facts; nothing is changed.
    """
    if bus is not None and (lacking := await _lacking(url, bus)):
        raise TopicLacksFactsError(lacking)
    deadline = time.monotonic() + patience
    while number := await _drop_if_published(url):
        if time.monotonic() > deadline:
            raise UnpublishedFactsError(service, number)
        await asyncio.sleep(0.2)
    # Alembic is synchronous and keeps global state.
    migrating = migrations.run_on(url, migrations.upgrade, service)
    await asyncio.to_thread(asyncio.run, migrating)


async def _lacking(url: str, bus: Bus) -> list[Place]:
    """The partitions that lack facts: own ones that were sent, or others' that were taken."""
    connection = await asyncpg.connect(url)
    try:
        expected: dict[Place, FactNumber] = {}
        for topic, partition, epoch, number in await connection.fetch(EXPECTED):
            expected[Place(topic, partition)] = FactNumber(epoch, number)
    finally:
        await connection.close()
    lacking: list[Place] = []
    for topic in sorted({place.topic for place in expected}):
        try:
            _ = await bus.partitions(topic)
        except LookupError:
            raise TopicLacksFactsError([Place(topic, 0)]) from None
    async with bus.reader() as reader:
        for place, number in sorted(expected.items()):
            if not await _holds(reader, place, number=number):
                lacking.append(place)
    return lacking


async def _holds(reader: Reader, place: Place, *, number: FactNumber) -> bool:
    """Whether a new reader of the partition gets every fact up to this number, in order."""
    reached = NO_FACT
    offset = 0
    while reached < number and (records := await reader.read(place, offset, limit=BATCH)):
        offset = records[-1].offset + 1
        for record in records:
            if follows(record, reached):
                reached = number_of(record)
    return reached >= number


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
    settings: ServiceSettings = load(import_module(f"services.{service}.settings").Settings)
    url, bus = settings.database_url.get_secret_value(), open_bus(settings)
    with explained_errors():
        asyncio.run(rebuild(service, url, bus=bus))
    typer.echo(f"{service} is empty and fills itself from the topics")
