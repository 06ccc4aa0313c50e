"""Have a service publish its facts again: `tongban publish-again SERVICE`.

For a topic that lacks facts. Consumers drop what they have taken. The running worker does the work;
`<SERVICE>_DATABASE_URL` must be set.
"""

import asyncio
from datetime import datetime
from typing import Annotated

import typer

from shared import clock
from shared.database.session import Database
from shared.messaging.fact_log import request_refill
from shared.settings import database_url


async def _request(service: str, since: datetime | None) -> None:
    database = Database(database_url(service), data_key=b"", pool_size=1)
    try:
        await request_refill(database, since=since)
    finally:
        await database.close()


def publish_again_command(
    service: str,
    *,
    since: Annotated[
        datetime | None, typer.Option(help="recorded since then, in local time; all when left out")
    ] = None,
) -> None:
    """Publish the facts of SERVICE again, in order and under their numbers."""
    local = None
    if since is not None:
        local = since.replace(tzinfo=clock.SHANGHAI)
    asyncio.run(_request(service, local))
    typer.echo(f"{service} publishes its facts again; its worker logs relay.refilling")
