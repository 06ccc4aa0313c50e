"""Settings: from the environment only, all faults at once, never a value in a message."""

from pathlib import Path
from uuid import UUID

import asyncpg
import pytest
from pydantic import BaseModel, ValidationError

from services.assessment.settings import Settings
from shared.database import migrations
from shared.errors import ConflictError
from shared.events.base import parse_envelope
from shared.messaging import dead_letters
from shared.messaging.parking import describe
from shared.settings import database_url, load
from tests.conftest import DATA_KEY, DatabaseFactory, Databases


def test_all_faults_are_told_at_once_without_values(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASSESSMENT_DATA_KEY", "c2VjcmV0")
    monkeypatch.setenv("ASSESSMENT_PORT", "99999999")

    with pytest.raises(SystemExit) as ended:
        _ = load(Settings)

    told = capsys.readouterr().err
    assert ended.value.code == 2
    for name in (
        "ASSESSMENT_DATABASE_URL",
        "ASSESSMENT_DATA_KEY",
        "ASSESSMENT_JWKS_URL",
        "ASSESSMENT_PORT",
    ):
        assert f"setting {name}:" in told
    assert "c2VjcmV0" not in told
    assert "99999999" not in told


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"bus": "kafka"}, "kafka_bootstrap is required"),
        ({"bus": "local"}, "bus_database_url is required"),
        ({"data_key": "%%%", "kafka_bootstrap": "k:1"}, "not base64"),
    ],
)
def test_settings_that_contradict_each_other(changes: dict[str, str], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        _ = Settings(
            **{
                "database_url": "x",
                "data_key": DATA_KEY,
                "platform_key": DATA_KEY,
                "jwks_url": "x",
                **changes,
            }
        )  # pyright: ignore[reportArgumentType]


async def test_migrations_command(
    databases: Databases, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import asyncio

    name, url = await databases.empty()
    monkeypatch.setenv("ASSESSMENT_DATABASE_URL", url)

    def run(*arguments: str) -> int:
        return migrations.main(arguments)

    before = await asyncio.to_thread(run, "check", "assessment")
    upgraded = await asyncio.to_thread(run, "upgrade", "assessment")
    again = await asyncio.to_thread(run, "upgrade", "assessment")
    after = await asyncio.to_thread(run, "check", "assessment")
    await databases.drop(name)

    assert (before, upgraded, again, after, run()) == (1, 0, 0, 0, 2)
    assert "add_table" in capsys.readouterr().err


async def test_dead_letter_command(
    database_of: DatabaseFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    from typer.testing import CliRunner

    database = await database_of("assessment")
    connection = await database.connect()
    event_id = await connection.fetchval(
        "INSERT INTO dead_letter (event_id, topic, key, type, payload, error, gave_up)"
        " VALUES (gen_random_uuid(), 't', 'k', 'x.v1', '{}', 'Poison', true) RETURNING event_id"
    )
    await connection.close()
    monkeypatch.setenv("ASSESSMENT_DATABASE_URL", database.dsn)

    async def run(*arguments: str) -> str:
        result = await asyncio.to_thread(CliRunner().invoke, dead_letters.cli, list(arguments))
        assert result.exit_code == 0, result.output
        return result.output

    listed = await run("list", "assessment")
    redriven = await run("redrive", "assessment", "--event-id", str(event_id))
    again = await run("list", "assessment")
    discarded = await run("discard", "assessment", str(event_id), "--reason", "sent by mistake")

    assert "waits for you" in listed
    assert "1 made due" in redriven
    assert "is retried" in again
    assert "discarded" in discarded


def test_error_texts_of_libraries_are_not_kept() -> None:
    assert describe(ValueError("540102199001010011")) == "ValueError"
    assert describe(ConflictError("rule x")) == "ConflictError: conflict: rule x"


def give_settings(monkeypatch: pytest.MonkeyPatch, **changed: str) -> None:
    """A complete environment of assessment, with some variables changed."""
    values = {
        "ASSESSMENT_DATABASE_URL": "postgresql://x@h/d",
        "ASSESSMENT_PLATFORM_KEY": DATA_KEY,
        "ASSESSMENT_JWKS_URL": "http://127.0.0.1:1/",
        "ASSESSMENT_KAFKA_BOOTSTRAP": "k:1",
        **changed,
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def test_setting_comes_from_the_file_that_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "key"
    _ = file.write_text(f"{DATA_KEY}\n")
    give_settings(monkeypatch, ASSESSMENT_DATA_KEY_FILE=str(file))

    settings = load(Settings)

    assert settings.data_key.get_secret_value() == DATA_KEY


def test_faults_of_files_are_told_with_all_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "key"
    _ = file.write_text(DATA_KEY)
    give_settings(
        monkeypatch,
        ASSESSMENT_DATA_KEY_FILE=str(tmp_path / "nothing"),
        ASSESSMENT_PLATFORM_KEY_FILE=str(file),
        ASSESSMENT_PORT="0",
    )

    with pytest.raises(SystemExit) as ended:
        _ = load(Settings)

    told = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2
    assert told == [
        "setting ASSESSMENT_DATA_KEY_FILE: cannot be read: No such file or directory",
        "setting ASSESSMENT_PLATFORM_KEY_FILE: ASSESSMENT_PLATFORM_KEY is given as well",
        "setting ASSESSMENT_PORT: Input should be greater than or equal to 1",
    ]


def test_value_in_a_file_is_checked_and_never_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "key"
    _ = file.write_text("c2VjcmV0")
    give_settings(monkeypatch, ASSESSMENT_DATA_KEY_FILE=str(file))

    with pytest.raises(SystemExit):
        _ = load(Settings)

    told = capsys.readouterr().err
    assert told == "setting ASSESSMENT_DATA_KEY: Value error, must be 32 bytes in base64, is 6\n"


def test_migrations_read_their_address_from_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "url"
    _ = file.write_text("postgresql://somebody@somewhere/cases\n")
    monkeypatch.setenv("CASES_DATABASE_URL_FILE", str(file))

    assert database_url("cases") == "postgresql://somebody@somewhere/cases"


def test_error_names_the_field_and_not_the_value() -> None:
    class Holder(BaseModel):
        account_id: UUID
        level: int
        by_number: dict[str, int]

    with pytest.raises(ValidationError) as invalid:
        _ = Holder.model_validate({"level": "13989047791x", "by_number": {"540102": "y"}})
    with pytest.raises(ValueError, match="partitionkey") as cut:
        _ = parse_envelope(b'{"id": "019a0000-0000-7000-8000-000000000000", "type": "x"}')
    refused = asyncpg.NotNullViolationError("DETAIL: (13989047791)")
    refused.table_name, refused.column_name = "case_record", "department_code"

    assert describe(invalid.value) == (
        "ValidationError: account_id (missing), level (int_parsing), by_number.* (int_parsing)"
    )
    assert describe(cut.value) == "NotAnEventError: partitionkey"
    assert describe(refused) == "NotNullViolationError: case_record.department_code"
