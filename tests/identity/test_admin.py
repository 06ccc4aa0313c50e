"""The command that creates the first administrator."""

import asyncio
import re
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from services.identity import admin
from shared.database.session import Database
from tests.conftest import DATA_KEY, ServiceClient
from tests.identity.conftest import Play, rows

ARGUMENTS = {"--username": "root.one", "--area": "540100000000", "--department": "D1"}


@pytest.fixture
def environment(client: ServiceClient) -> dict[str, str]:
    database: Database = client.database
    return {
        "IDENTITY_DATABASE_URL": database.dsn,
        "IDENTITY_DATA_KEY": DATA_KEY,
        "IDENTITY_PLATFORM_KEY": DATA_KEY,
        "IDENTITY_JWKS_URL": "http://127.0.0.1:1/",
        "IDENTITY_BUS": "kafka",
        "IDENTITY_KAFKA_BOOTSTRAP": "127.0.0.1:1",
    }


async def run(environment: dict[str, str], *flags: str, **changes: str) -> Result:
    options = {**ARGUMENTS, **{f"--{name}": value for name, value in changes.items()}}
    arguments = [
        "create-administrator",
        *(part for pair in options.items() for part in pair),
        *flags,
    ]
    return await asyncio.to_thread(CliRunner().invoke, admin.cli, arguments, env=environment)


def shown(result: Result) -> dict[str, Any]:
    found = re.search(r"password +(\S+)\nTOTP secret +(\S+)\n", result.stdout)
    assert found, result.output
    return {"username": "root.one", "initial_password": found[1], "totp_secret": found[2]}


async def test_first_administrator_signs_in_with_what_was_shown_once(
    client: ServiceClient, play: Play, environment: dict[str, str]
) -> None:
    result = await run(environment)

    tokens = await play.password(shown(result))
    (row,) = await rows(client.database, "SELECT actor FROM audit WHERE action = 'staff.create'")

    assert (result.exit_code, tokens.status_code) == (0, 200)
    assert row["actor"] == "command:create-administrator"


async def test_another_administrator_only_when_said(
    client: ServiceClient, environment: dict[str, str]
) -> None:
    first = await run(environment)
    second = await run(environment, username="root.two")
    third = await run(environment, "--another", username="root.three")
    taken = await run(environment, "--another")

    assert [result.exit_code for result in (first, second, third, taken)] == [0, 1, 0, 1]
    assert "--another" in second.stderr
    assert "taken" in taken.stderr
    names = await rows(client.database, "SELECT username FROM account ORDER BY id")
    assert [row["username"] for row in names] == ["root.one", "root.three"]


async def test_two_commands_at_once_create_one_administrator(
    client: ServiceClient, environment: dict[str, str]
) -> None:
    from services.identity.schemas import NewStaff
    from services.identity.use_cases.accounts import create_administrator
    from shared import clock
    from shared.errors import ConflictError

    async def create(number: int) -> None:
        command = NewStaff(
            username=f"root.{number}",
            name="某",
            area_code="540100000000",
            department_code="D",
            roles=["administrator"],
        )
        async with client.database.transaction() as session:
            _ = await create_administrator(session, command, now=clock.now())

    outcomes = await asyncio.gather(
        *(create(number) for number in range(8)), return_exceptions=True
    )

    assert [type(outcome) for outcome in outcomes if outcome is not None] == [ConflictError] * 7
    assert len(await rows(client.database, "SELECT 1 FROM account")) == 1


async def test_faults_of_the_arguments_are_named(environment: dict[str, str]) -> None:
    result = await run(environment, username="x", area="54")

    assert result.exit_code == 2
    assert "username:" in result.stderr
    assert "area_code:" in result.stderr
