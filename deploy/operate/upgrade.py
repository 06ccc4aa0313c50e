"""Whether this release can be rolled out, and in which order: `tongban upgrade check`.

Run it from the new release, before anything of it is started. It reads the database of each service
whose `<SERVICE>_DATABASE_URL` is set: its schema, the processes that run on it (each tells its
version and the events that it knows), facts that are not published, events that are set aside
because nobody knows their version, and relays that refuse. docs/operations.md says what to do then.
"""

import asyncio
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from pkgutil import iter_modules
from typing import Literal, NamedTuple

import asyncpg
import typer
from sqlalchemy.engine import Connection

import shared.events
from deploy.command_line import new_command
from deploy.processes import SERVICES
from shared.database import migrations
from shared.database.schema import Fit, Schema, history, read_schema
from shared.events.base import registered_events
from shared.messaging.parking import OTHER_VERSION, Consumer

FRESH_SECONDS = 60
HAS = "SELECT to_regclass($1) IS NOT NULL"
RUNNING = (
    "SELECT name, version, revision, ARRAY(SELECT jsonb_array_elements_text(consumes)) AS consumes,"
    " ARRAY(SELECT jsonb_array_elements_text(produces)) AS produces FROM running_process"
    " WHERE seen_at > now() - make_interval(secs => $1::integer) ORDER BY name, started_at"
)
CONTRACTIONS = "SELECT oldest_code FROM schema_contraction"
PARKED = (
    "SELECT type, count(*) AS number FROM dead_letter WHERE error = $1::text"
    " GROUP BY type ORDER BY type"
)
IN_OUTBOX = "SELECT count(*) FROM outbox WHERE recorded_at < now() - interval '1 minute'"
UNSENT = "SELECT coalesce(sum(number - sent), 0)::bigint FROM relay_position WHERE sent < number"
REFUSED = "SELECT refused FROM relay_state"

Level = Literal["ok", "wait", "stop"]
MARKS: dict[Level, str] = {"ok": "  ", "wait": "! ", "stop": "✗ "}


class Line(NamedTuple):
    """One thing that was found; `stop`: do not roll out."""

    level: Level
    zh: str
    en: str


class Running(NamedTuple):
    """A process, as it tells itself."""

    name: str
    version: str
    revision: str
    consumes: Sequence[str]
    produces: Sequence[str]


class Parked(NamedTuple):
    """Events that wait for code which knows their version."""

    type: str
    number: int


@dataclass(slots=True)
class Found:
    """What one service's database tells."""

    service: str
    schema: Schema
    tells_processes: bool = False
    running: list[Running] = field(default_factory=list[Running])
    contracted: list[str] = field(default_factory=list[str])
    parked: list[Parked] = field(default_factory=list[Parked])
    waiting: int = 0
    """Facts that wait to be published for longer than a minute, or are not known as sent."""
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Code:
    """What this release knows: types of events by service."""

    consumes: Mapping[str, Collection[str]]
    produces: Mapping[str, Collection[str]]


def code_of_this_release() -> Code:
    """Reads the consumers and events of all services of this code."""
    for module in iter_modules(shared.events.__path__):
        _ = import_module(f"shared.events.{module.name}")
    consumes: dict[str, Collection[str]] = {}
    produces: dict[str, Collection[str]] = {}
    for service in SERVICES:
        consumer: Consumer = import_module(f"services.{service}.consumer").consumer
        consumes[service] = consumer.types
        produces[service] = set(registered_events(service))
    return Code(consumes, produces)


def _schema(service: str, connection: Connection) -> Schema:
    return read_schema(service, connection)


async def look(service: str, url: str) -> Found:
    """Read one service's database."""
    found = Found(service, await migrations.run_on(url, _schema, service))
    connection = await asyncpg.connect(url, timeout=5)
    try:
        found.tells_processes = await connection.fetchval(HAS, "running_process")
        if found.tells_processes:
            await _look_at_processes(connection, found)
        if await connection.fetchval(HAS, "relay_state"):
            found.refused = await connection.fetchval(REFUSED)
            found.waiting = await connection.fetchval(UNSENT)
        if found.schema.revision is not None:
            found.waiting += await connection.fetchval(IN_OUTBOX)
            for row in await connection.fetch(PARKED, OTHER_VERSION):
                found.parked.append(Parked(*row))
    finally:
        await connection.close()
    return found


async def _look_at_processes(connection: asyncpg.Connection, found: Found) -> None:
    for row in await connection.fetch(RUNNING, FRESH_SECONDS):
        found.running.append(Running(*row))
    found.contracted = [row[0] for row in await connection.fetch(CONTRACTIONS)]


def schema_lines(found: Found) -> Iterable[Line]:
    """Whether the schema, this release and the processes that run fit together."""
    service, revision = found.service, found.schema.revision
    newest = history(service)[0]
    match found.schema.fit:
        case Fit.BEHIND:
            yield Line(
                "ok",
                f"{service}:先迁移 {revision} → {newest},运行中的旧进程不受影响",
                f"{service}: migrate {revision} → {newest} first; what runs is not affected",
            )
        case Fit.CONTRACTED:
            yield Line(
                "stop",
                f"{service}:数据库({revision})已去掉本版本需要的内容,本版本不能运行",
                f"{service}: the database ({revision}) lacks what this release needs",
            )
        case Fit.EQUAL | Fit.NEWER:
            yield Line(
                "ok", f"{service}:表结构 {revision} 可用", f"{service}: schema {revision} fits"
            )
    if not found.tells_processes and revision is not None:
        yield Line(
            "wait",
            f"{service}:由 0.2 之前的版本写入。其旧后台进程须全部停止后,才能启动新的后台进程",
            f"{service}: written by a release before 0.2. Stop its workers before new ones start",
        )
    yield from _code_lines(found)


def _code_lines(found: Found) -> Iterable[Line]:
    """Processes that run code from before a contraction."""
    known = history(found.service)
    for process in found.running:
        for oldest_code in found.contracted:
            needed = known.index(oldest_code) if oldest_code in known else -1
            at = known.index(process.revision) if process.revision in known else -1
            if at > needed:
                yield Line(
                    "stop",
                    f"{process.name}({process.version})早于 {oldest_code},不能在该数据库上运行",
                    f"{process.name} ({process.version}) is older than {oldest_code}, which its"
                    " database needs",
                )


def event_lines(found: Found, code: Code) -> Iterable[Line]:
    """Facts that are on the way or set aside."""
    service = found.service
    if found.refused:
        yield Line(
            "stop",
            f"{service}:发布进程拒绝工作:{found.refused}",
            f"{service}: its relay refuses: {found.refused}",
        )
    if found.waiting:
        yield Line(
            "wait",
            f"{service}:{found.waiting} 条事实尚未发布",
            f"{service}: {found.waiting} facts are not published yet",
        )
    for parked in found.parked:
        if parked.type in code.consumes[service]:
            yield Line(
                "ok",
                f"{service}:{parked.number} 条 {parked.type} 等待新版本,升级后自动处理",
                f"{service}: {parked.number} of {parked.type} wait for this release",
            )
        else:
            yield Line(
                "stop",
                f"{service}:{parked.number} 条 {parked.type} 被搁置,本版本也不认识",
                f"{service}: {parked.number} of {parked.type} are set aside, and this release does"
                " not know them either",
            )


class Gap(NamedTuple):
    """A version of an event that a consumer of its type does not know."""

    producer: str
    consumer: str
    type: str


def gaps(
    producer: str, produced: Collection[str], *, consumer: str, known: Collection[str]
) -> list[Gap]:
    """The versions that are produced and not known, of the types that the consumer listens to."""
    stems = {one.rpartition(".v")[0] for one in known}
    found: list[Gap] = []
    for one in sorted(produced):
        if one.rpartition(".v")[0] in stems and one not in known:
            found.append(Gap(producer, consumer, one))
    return found


def coming_gaps(all_found: Sequence[Found], code: Code) -> list[Gap]:
    """What this release will publish and consumers that run now do not know."""
    result: list[Gap] = []
    for found in all_found:
        for process in found.running:
            if not process.consumes:
                continue
            for producer, produced in code.produces.items():
                result += gaps(producer, produced, consumer=found.service, known=process.consumes)
    return sorted(set(result))


def gap_lines(all_found: Sequence[Found], code: Code) -> Iterable[Line]:
    """Versions that are published now, or by this release, without a consumer that knows them."""
    for consumer, known in code.consumes.items():
        for producer, produced in code.produces.items():
            for gap in gaps(producer, produced, consumer=consumer, known=known):
                yield Line(
                    "stop",
                    f"本版本的 {gap.consumer} 不认识 {gap.type},该事件会被搁置",
                    f"{gap.consumer} of this release does not know {gap.type}",
                )
    for consumer in all_found:
        for process in consumer.running:
            for producer in all_found:
                produced = {one for other in producer.running for one in other.produces}
                for gap in gaps(
                    producer.service, produced, consumer=process.name, known=process.consumes
                ):
                    yield Line(
                        "wait",
                        f"{gap.producer} 已在发布 {gap.type},而 {gap.consumer} 不认识:按序搁置",
                        f"{gap.producer} publishes {gap.type} already, and {gap.consumer} does not"
                        " know it: such events wait in order",
                    )


def order(needs: Sequence[Gap]) -> list[str] | None:
    """The processes in the order of rolling; None when consumers wait for each other in a circle.

    Whoever takes an event in a new version comes before whoever publishes it; the rest as they are
    listed, each service's worker before its API, and the gateways last.
    """
    ranked: list[str] = []
    for service in SERVICES:
        ranked += [f"{service}-worker", f"{service}-api"]
    sorter = _sorter(ranked, needs)
    try:
        sorter.prepare()
    except CycleError:
        return None
    rolled: list[str] = []
    waiting: list[str] = []
    while sorter.is_active():
        waiting = sorted([*waiting, *sorter.get_ready()], key=ranked.index)
        first = waiting.pop(0)
        sorter.done(first)
        rolled.append(first)
    return [*rolled, "gateway"]


def _sorter(names: Sequence[str], needs: Sequence[Gap]) -> TopologicalSorter[str]:
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for name in names:
        sorter.add(name)
    for gap in needs:
        for role in ("worker", "api"):
            if gap.producer != gap.consumer or role == "api":
                sorter.add(f"{gap.producer}-{role}", f"{gap.consumer}-worker")
    return sorter


def order_lines(needs: Sequence[Gap]) -> Iterable[Line]:
    """The order of rolling, and why."""
    for gap in needs:
        yield Line(
            "ok",
            f"{gap.consumer} 的后台进程须先于 {gap.producer} 升级:{gap.type}",
            f"the worker of {gap.consumer} goes before {gap.producer}: {gap.type}",
        )
    names = order(needs)
    if names is None:
        yield Line(
            "wait",
            "新事件版本的生产者与消费者互相依赖:先升级所有后台进程;其间的新事件按序搁置,不会丢失",
            "producers and consumers of new versions depend on each other: roll all workers first;"
            " new events wait in order meanwhile, none is lost",
        )
        return
    listed = ", ".join(names)
    yield Line("ok", f"升级顺序:{listed}", f"order: {listed}")


def judge(all_found: Sequence[Found], code: Code) -> list[Line]:
    """Everything that is to be said, the order last."""
    lines: list[Line] = []
    for found in all_found:
        lines += schema_lines(found)
        lines += event_lines(found, code)
        for process in found.running:
            text = f"{process.name} {process.version} ({process.revision})"
            lines.append(Line("ok", f"运行中:{text}", f"running: {text}"))
    lines += gap_lines(all_found, code)
    lines += order_lines(coming_gaps(all_found, code))
    return lines


async def check(urls: Mapping[str, str]) -> list[Line]:
    """Look at every service's database and judge; `urls` by service."""
    lines: list[Line] = []
    all_found: list[Found] = []
    for service in SERVICES:
        if service not in urls:
            lines.append(
                Line(
                    "stop",
                    f"{service}:未设置 {service.upper()}_DATABASE_URL,无法检查",
                    f"{service}: {service.upper()}_DATABASE_URL is not set, so it is not checked",
                )
            )
            continue
        try:
            all_found.append(await look(service, urls[service]))
        except (OSError, asyncpg.PostgresError) as error:
            what = type(error).__name__
            lines.append(
                Line(
                    "stop",
                    f"{service}:数据库无法访问({what})",
                    f"{service}: its database cannot be reached ({what})",
                )
            )
    return [*lines, *judge(all_found, code_of_this_release())]


def urls_from_environment() -> dict[str, str]:
    """The database of each service whose `<SERVICE>_DATABASE_URL` is set."""
    urls: dict[str, str] = {}
    for service in SERVICES:
        url = os.environ.get(f"{service.upper()}_DATABASE_URL")
        if url:
            urls[service] = url
    return urls


cli = new_command()


@cli.callback()
def upgrade() -> None:
    """Roll out another release. 升级。"""


@cli.command("check")
def check_command() -> None:
    """Whether this release can be rolled out, and in which order; status 1 when it cannot."""
    lines = asyncio.run(check(urls_from_environment()))
    for line in lines:
        typer.echo(f"{MARKS[line.level]}{line.zh} / {line.en}")
    if any(line.level == "stop" for line in lines):
        raise typer.Exit(1)
