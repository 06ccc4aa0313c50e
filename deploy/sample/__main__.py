"""The sample for a development system that runs elsewhere: `python -m deploy.sample --help`.

It needs the settings of the identity service (`IDENTITY_…`), because before the first administrator
nobody may make an account over REST. `make run` and `make stack` load the sample by themselves.
"""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from deploy.command_line import explained_errors, new_command
from deploy.sample.load import load_once
from services.identity.settings import Settings
from shared.database.session import open_database
from shared.settings import load


async def _load(url: str, account_file: Path, *, settings: Settings) -> None:
    database = open_database(settings, 1)
    try:
        await load_once(url, account_file=account_file, identity=database)
    finally:
        await database.close()


cli = new_command()


@cli.command()
def main(
    *,
    target: Annotated[str, typer.Option(metavar="URL", help="the platform's address")],
    account_file: Annotated[
        Path, typer.Option("--accounts", metavar="FILE", help="gets the accounts and their secrets")
    ],
) -> None:
    """Load the sample accounts and catalogue, unless the file of accounts is there."""
    settings = load(Settings)
    with explained_errors():
        asyncio.run(_load(target.rstrip("/"), account_file, settings=settings))


if __name__ == "__main__":
    cli()
