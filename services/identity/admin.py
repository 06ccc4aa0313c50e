"""Command for whoever installs the platform.

`python -m services.identity.admin create-administrator …`.

It needs the settings of the identity service (`IDENTITY_…`). It is no endpoint, because before the
first administrator nobody may call one.
"""

import asyncio
from typing import Annotated

import typer
from pydantic import ValidationError

from services.identity.model import StaffRole
from services.identity.schemas import NewStaff, StaffCreated
from services.identity.settings import Settings
from services.identity.use_cases.accounts import create_administrator
from shared import clock
from shared.context import Context, using
from shared.database.session import open_database
from shared.errors import ProblemError
from shared.settings import load

cli = typer.Typer(help="Administration of the identity service", no_args_is_help=True)


@cli.callback()
def administer() -> None:
    """Administration of the identity service."""


async def _create(command: NewStaff, settings: Settings, *, another: bool) -> StaffCreated:
    database = open_database(settings, 1)
    try:
        with using(Context(actor="command:create-administrator")):
            async with database.transaction() as session:
                return await create_administrator(
                    session, command, now=clock.now(), another=another
                )
    finally:
        await database.close()


@cli.command("create-administrator")
def create_administrator_command(
    *,
    username: Annotated[str, typer.Option(help="3 to 60 letters, digits, . _ -")],
    area: Annotated[str, typer.Option(help="12-digit area code (区划代码)")],
    department: Annotated[str, typer.Option(help="code of the department")],
    name: Annotated[str, typer.Option(help="the person's name")] = "管理员",
    another: Annotated[
        bool, typer.Option("--another", help="although there is an administrator already")
    ] = False,
) -> None:
    """Create the first administrator; password and TOTP secret are printed this once."""
    try:
        command = NewStaff(
            username=username,
            name=name,
            area_code=area,
            department_code=department,
            roles=[StaffRole.ADMINISTRATOR],
        )
        created = asyncio.run(_create(command, load(Settings), another=another))
    except ValidationError as error:
        for fault in error.errors(include_input=False, include_url=False):
            typer.echo(f"{fault['loc'][0]}: {fault['msg']}", err=True)
        raise typer.Exit(2) from None
    except ProblemError as error:
        typer.echo(error.detail, err=True)
        raise typer.Exit(1) from None
    typer.echo(f"user name    {created.username}")
    typer.echo(f"password     {created.initial_password}")
    typer.echo(f"TOTP secret  {created.totp_secret}")
    typer.echo("Shown this once: keep both in a safe place, apart from each other.")


if __name__ == "__main__":
    cli()
