"""Give a service old facts of a type: `tongban give-again TYPE SERVICE --since …`.

For a service that began to listen to a type after facts of it had come. Its running worker does the
work; facts that it took when they came are not given again. The settings are those of the service.
"""

import asyncio
from datetime import datetime
from importlib import import_module
from typing import Annotated

import typer

from deploy.command_line import explained_errors
from deploy.errors import DeployError
from shared import clock
from shared.database.session import Database
from shared.messaging.catching_up import request
from shared.messaging.consumer import Consumer, topic_of_type
from shared.settings import database_url


class NotListenedToError(DeployError):
    """The service has no handler of the type, or no worker with one has run."""

    def __init__(self, event_type: str, service: str) -> None:
        super().__init__(
            f"{service} 不接收 {event_type},或其新版后台进程尚未运行。\n"
            f"{service} does not listen to {event_type}, or its new worker has not run yet."
        )


async def give_again(event_type: str, service: str, *, url: str, since: datetime) -> int:
    """Ask the worker of the service for it; the number of partitions that it reads.

    Raises:
        NotListenedToError: it would have no effect.
    """
    consumer: Consumer = import_module(f"services.{service}.consumer").consumer
    if not consumer.listens_to(event_type):
        raise NotListenedToError(event_type, service)
    database = Database(url, data_key=b"", pool_size=1)
    try:
        topic = topic_of_type(event_type)
        partitions = await request(database, event_type, topic=topic, since=since)
    finally:
        await database.close()
    if not partitions:
        raise NotListenedToError(event_type, service)
    return partitions


def give_again_command(
    event_type: Annotated[str, typer.Argument(metavar="TYPE")],
    service: str,
    *,
    since: Annotated[datetime, typer.Option(help="recorded since then, in local time")],
) -> None:
    """Give SERVICE the facts of TYPE that it passed over."""
    local = since.replace(tzinfo=clock.SHANGHAI)
    with explained_errors():
        partitions = asyncio.run(
            give_again(event_type, service, url=database_url(service), since=local)
        )
    typer.echo(
        f"{service} 的后台进程正在读取 {partitions} 个分区,日志 catching_up.done\n"
        f"the worker of {service} reads {partitions} partitions; it logs catching_up.done"
    )
