"""Go on after a service's database was restored to an earlier moment: `tongban recover SERVICE`.

Lists the facts that others hold and the database lacks. With `--new-epoch` the service goes on from
there: these facts stay as they are, new ones get numbers of a new epoch, and serial numbers begin
above all that can have been given. To restore to the end of the archived log is better: it loses
nothing, and needs no new epoch. The settings are those of the service.
"""

import asyncio
import unicodedata
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, BinaryIO, NamedTuple

import asyncpg
import orjson
import typer

from deploy.command_line import explained_errors
from deploy.errors import DeployError
from shared import clock
from shared.context import Context, using
from shared.database.session import Database
from shared.events.base import parse_envelope, topic_of
from shared.messaging.bus import Bus, Record, number_of
from shared.messaging.outbox import LEADER_LOCK
from shared.messaging.recovery import NewEpoch, NothingLostError, begin_epoch, id_of, lost_facts
from shared.runtime.worker import open_bus
from shared.settings import ServiceSettings, load

SHOWN = 100
"""Facts in the table; the file has all of them."""
HEADINGS = ("编号 / number", "时间 / time", "类型 / type", "主体 / key", "事实 / fact id")


class LostFact(NamedTuple):
    """A line of the table."""

    number: str
    time: str
    type: str
    key: str
    event_id: str


class NothingToRecoverError(DeployError):
    """The database knows all that its topic holds."""

    def __init__(self, service: str) -> None:
        super().__init__(
            f"{service} 的数据库不缺任何已发布的事实,无需新纪元。\n"
            f"The database of {service} lacks no published fact; no new epoch is needed."
        )


class NoTopicError(DeployError):
    """There is no topic to compare with."""

    def __init__(self, service: str) -> None:
        super().__init__(
            f"总线上没有 {topic_of(service)} 主题,无法比较。\n"
            f"The bus has no topic {topic_of(service)} to compare with."
        )


def _fact(record: Record) -> LostFact:
    epoch, number = number_of(record)
    time, kind = "", "?"
    try:
        envelope = parse_envelope(record.value)
        time, kind = envelope.recorded, envelope.type
    except ValueError:
        pass  # Consumers have set it aside; it is listed by its place.
    place = f"{record.partition}/{epoch}:{number}"
    return LostFact(place, time, kind, record.key, str(id_of(record)))


def _line(record: Record) -> bytes:
    """The fact with its event, as a line of JSON. Personal data in events are sealed."""
    epoch, number = number_of(record)
    fact = _fact(record)
    found: dict[str, object] = {
        "event_id": fact.event_id,
        "type": fact.type,
        "key": fact.key,
        "event_number": record.event_number,
        "time": fact.time,
        "topic": record.topic,
        "partition": record.partition,
        "epoch": epoch,
        "number": number,
    }
    try:
        found["event"] = orjson.loads(record.value)
    except ValueError:
        found["unreadable"] = record.value.hex()
    return orjson.dumps(found) + b"\n"


def _width(text: str) -> int:
    """Columns on a terminal, where Chinese characters take two."""
    width = 0
    for character in text:
        width += 1
        if unicodedata.east_asian_width(character) in "WF":
            width += 1
    return width


def table(facts: Sequence[LostFact]) -> str:
    """The facts as lines with aligned columns."""
    rows: list[Sequence[str]] = [HEADINGS, *facts]
    widths = [0] * len(HEADINGS)
    for row in rows:
        for column, cell in enumerate(row):
            widths[column] = max(widths[column], _width(cell))
    lines: list[str] = []
    for row in rows:
        cells: list[str] = []
        for cell, width in zip(row, widths, strict=True):
            cells.append(cell + " " * (width - _width(cell)))
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


async def list_lost(
    database: Database, bus: Bus, *, service: str, to: BinaryIO | None = None
) -> tuple[list[LostFact], int]:
    """The first lost facts, for the table, and the number of all; all of them go to `to`.

    Raises:
        NoTopicError: there is nothing to compare with.
    """
    shown: list[LostFact] = []
    number = 0
    connection = await database.connect()
    try:
        async for record in lost_facts(connection, bus, topic=topic_of(service)):
            number += 1
            if number <= SHOWN:
                shown.append(_fact(record))
            if to is not None:
                _ = to.write(_line(record))
    except LookupError:
        raise NoTopicError(service) from None
    finally:
        await connection.close(timeout=2)
    return shown, number


def _open(service: str) -> tuple[Database, Bus]:
    try:
        settings: ServiceSettings = load(import_module(f"services.{service}.settings").Settings)
    except ModuleNotFoundError:
        raise typer.BadParameter(f"{service}: 没有这个服务 / there is no such service") from None
    database = Database(settings.database_url.get_secret_value(), data_key=b"", pool_size=1)
    return database, open_bus(settings)


async def _list(service: str, to: Path | None) -> None:
    database, bus = _open(service)
    try:
        if to is None:
            shown, number = await list_lost(database, bus, service=service)
        else:
            with to.open("wb") as file:
                shown, number = await list_lost(database, bus, service=service, to=file)
    finally:
        await database.close()
    if not number:
        typer.echo(f"{service} 不缺任何事实 / lacks no fact")
        return
    typer.echo(table(shown))
    if number > len(shown):
        typer.echo(f"… 另有 {number - len(shown)} 条,见 --to / more, see --to")
    typer.echo(f"共 {number} 条事实不在数据库中 / facts that the database lacks: {number}")
    if to is not None:
        typer.echo(f"全部写入 / all are in {to}")


async def start_epoch(database: Database, bus: Bus, *, service: str, reason: str) -> NewEpoch:
    """Begin a new epoch of numbers.

    Raises:
        NothingToRecoverError: none is needed.
        NoTopicError: there is nothing to compare with.
    """
    try:
        with using(Context(actor="command:recover")):
            return await begin_epoch(
                database,
                bus,
                topic=topic_of(service),
                leader_lock=LEADER_LOCK,
                now=clock.now(),
                reason=reason,
            )
    except NothingLostError:
        raise NothingToRecoverError(service) from None
    except LookupError:
        raise NoTopicError(service) from None


async def _begin(service: str, reason: str) -> None:
    database, bus = _open(service)
    try:
        begun = await start_epoch(database, bus, service=service, reason=reason)
    finally:
        await database.close()
    typer.echo(
        f"{service} 从第 {begun.epoch} 纪元继续,收录事实 {begun.adopted} 条;"
        f"{begun.serial_floor_until} 及以前的流水号从 {begun.serial_floor + 1} 起\n"
        f"{service} goes on in epoch {begun.epoch}; facts taken into its log: {begun.adopted};"
        f" serial numbers of days up to {begun.serial_floor_until} begin at"
        f" {begun.serial_floor + 1}"
    )


def recover_command(
    service: str,
    *,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="JSON lines of all lost facts")
    ] = None,
    new_epoch: Annotated[
        bool, typer.Option("--new-epoch", help="go on without them, with new numbers")
    ] = False,
    reason: Annotated[str, typer.Option(help="why; kept in the audit trail")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
) -> None:
    """List the facts that others hold and the restored database of SERVICE lacks; go on."""
    with explained_errors(to, more=asyncpg.PostgresError):
        asyncio.run(_list(service, to))
        if not new_epoch:
            return
        if not reason.strip():
            raise typer.BadParameter("--reason 必填 / is required with --new-epoch")
        if not yes:
            question = (
                "恢复到归档日志的末尾不会丢失任何事实。确定放弃以上事实并从新纪元继续吗?"
                " / A restore to the end of the archived log loses nothing."
                " Go on without these facts?"
            )
            _ = typer.confirm(question, abort=True)
        asyncio.run(_begin(service, reason))
