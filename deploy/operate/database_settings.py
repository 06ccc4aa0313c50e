"""Give the roles the settings of our connections: `tongban database-settings SERVICE…`.

PgBouncer passes no settings on when a connection starts, and in transaction mode a `SET` would
reach whoever comes next. So the role has them: each service's own, in its own database. It needs
`<SERVICE>_DATABASE_URL` (or `…_DIRECT_DATABASE_URL`) and no other right.
"""

import asyncio
from typing import Annotated

import asyncpg
import typer
from sqlalchemy.engine import make_url

from deploy.command_line import explained_errors
from deploy.processes import SERVICES
from shared.database.session import SERVER_SETTINGS
from shared.settings import database_url


async def give_settings(url: str) -> None:
    """Set them for the role and the database of the URL; connections made later have them."""
    database = make_url(url).database
    connection = await asyncpg.connect(url, timeout=5)
    try:
        for name, value in SERVER_SETTINGS.items():
            quoted = value.replace("'", "''")
            _ = await connection.execute(
                f"ALTER ROLE CURRENT_USER IN DATABASE \"{database}\" SET {name} = '{quoted}'"
            )
    finally:
        await connection.close()


def database_settings_command(
    services: Annotated[list[str], typer.Argument(metavar="SERVICE…", help="or: all")],
) -> None:
    """Give the database roles of SERVICES the settings that PgBouncer would not pass on."""
    chosen = SERVICES if services == ["all"] else services
    for service in chosen:
        if service not in SERVICES:
            raise typer.BadParameter(f"{service} is none of: {', '.join(SERVICES)}")
        with explained_errors():
            asyncio.run(give_settings(database_url(service)))
        typer.echo(service)
