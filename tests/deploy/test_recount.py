"""`tongban recount` finds every wrong figure, lost row and doubled row, and nothing else."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg
import orjson
import pytest
from typer.testing import CliRunner

from deploy.operate.__main__ import cli
from deploy.operate.recount.command import status_of
from deploy.operate.recount.compare import Report, recount

pytestmark = pytest.mark.xdist_group("released")


def told(report: Report) -> list[str]:
    return [f"{one.check} {one.key}: {one.kept} {one.owned}" for one in report.differences]


async def test_platform_of_a_whole_day_is_equal(kept_platform: Mapping[str, str]) -> None:
    report = await recount(kept_platform, patience=1)

    assert told(report) == []
    assert [result.check.name for result in report.results if result.skipped] == []
    assert sum(result.rows > 0 for result in report.results) >= 25
    assert status_of(report) == 0


COPY_OF_A_CASE = (
    "INSERT INTO case_record SELECT (jsonb_populate_record(c, jsonb_build_object('case_id',"
    " gen_random_uuid()))).* FROM case_record c LIMIT 1"
)
WRONG = [
    ("assessment", "day_count", "UPDATE {} SET value = value + 1 WHERE measure = 'cases_accepted'"),
    ("assessment", "stock_total", "UPDATE {} SET value = value - 1"),
    ("assessment", "rating_record", "UPDATE {} SET ticket_open = NOT ticket_open"),
    ("ratings", "rating_count", "UPDATE {} SET grade_1 = grade_1 + 1"),
    ("licenses", "license_count", "UPDATE {} SET issued = issued + 1"),
    ("cases", "bundle_copy", "UPDATE {} SET open = NOT open"),
    ("exchange", "record_count", "UPDATE {} SET value = value + 1 WHERE measure = 'accepted'"),
    ("matters", "supervision_count", "INSERT INTO {} VALUES ('540000', 'X', '02', 1)"),
]
LOST = [
    ("assessment", "case_record", "DELETE FROM {}"),
    ("assessment", "matter_record", "DELETE FROM {}"),
    ("ratings", "invitation", "DELETE FROM {} WHERE matter_id IS NOT NULL"),
    ("licenses", "license_use", "DELETE FROM {} WHERE case_id IS NOT NULL"),
    ("cases", "matter_copy", "DELETE FROM {}"),
    ("exchange", "ledger", "DELETE FROM {} WHERE resource = 'cases'"),
]
DOUBLED = [
    ("assessment", "case_record", COPY_OF_A_CASE),
    (
        "ratings",
        "invitation",
        (
            "INSERT INTO {0} SELECT (jsonb_populate_record(i, jsonb_build_object('id',"
            " gen_random_uuid(), 'token_hash', 'x', 'area_code', '540000'))).* FROM {0} i"
            " WHERE matter_id IS NOT NULL LIMIT 1"
        ),
    ),
    (
        "licenses",
        "license_use",
        (
            "INSERT INTO {0} SELECT (jsonb_populate_record(u, jsonb_build_object('id',"
            " gen_random_uuid(), 'material_code', 'X'))).* FROM {0} u"
            " WHERE case_id IS NOT NULL LIMIT 1"
        ),
    ),
    (
        "cases",
        "license_copy",
        (
            "INSERT INTO {0} SELECT (jsonb_populate_record(l, jsonb_build_object('license_id',"
            " gen_random_uuid()))).* FROM {0} l LIMIT 1"
        ),
    ),
    (
        "exchange",
        "logged_event",
        (
            "INSERT INTO {0} SELECT (jsonb_populate_record(e, jsonb_build_object('event_id',"
            " gen_random_uuid(), 'sequence', sequence + 100000))).* FROM {0} e"
            " WHERE type LIKE '%cases.case.submitted%' LIMIT 1"
        ),
    ),
]


@asynccontextmanager
async def planted(url: str, table: str, *, statement: str) -> AsyncGenerator[None]:
    """The table with this fault in one of its rows, and as it was afterwards."""
    connection = await asyncpg.connect(url)
    try:
        # Rows are taken out and put back whatever refers to them.
        _ = await connection.execute("SET session_replication_role = replica")
        _ = await connection.execute(f"CREATE TEMPORARY TABLE kept AS TABLE {table}")
        done = statement.format(table)
        if not done.startswith("INSERT"):
            word = "AND" if " WHERE " in done else "WHERE"
            condition = done.partition(" WHERE ")[2] or "true"
            one = f"(SELECT tableoid, ctid FROM {table} WHERE {condition} LIMIT 1)"
            done = f"{done} {word} (tableoid, ctid) = {one}"
        try:
            status = await connection.execute(done)
            assert status.rpartition(" ")[2] == "1"
            yield
        finally:
            _ = await connection.execute(f"DELETE FROM {table}")
            _ = await connection.execute(f"INSERT INTO {table} SELECT * FROM kept")
    finally:
        await connection.close()


@pytest.mark.parametrize("faults", [WRONG, LOST, DOUBLED], ids=["wrong", "lost", "doubled"])
async def test_planted_faults_are_found_and_named(
    kept_platform: Mapping[str, str], faults: list[tuple[str, str, str]]
) -> None:
    async with AsyncExitStack() as stack:
        for service, table, statement in faults:
            await stack.enter_async_context(
                planted(kept_platform[service], table, statement=statement)
            )
        report = await recount(kept_platform, patience=0)

    names = {one.check.partition(" ")[0] for one in report.differences}
    assert names >= {f"{service}.{table}" for service, table, _ in faults}
    # Assessment keeps some figures twice, so that a fault in its records shows in two places.
    assert len(report.differences) < 25
    assert all(one.key for one in report.differences)
    assert status_of(report) == 1


async def test_facts_under_way_are_told_apart_from_faults(kept_platform: Mapping[str, str]) -> None:
    connection = await asyncpg.connect(kept_platform["matters"])
    _ = await connection.execute(
        "INSERT INTO relay_position VALUES ('tongban.matters', 0, 0, 7, 0, 7)"
    )

    report = await recount(kept_platform, patience=0.3)
    _ = await connection.execute("DELETE FROM relay_position")
    await connection.close()

    assert {(lag.service, lag.owner) for lag in report.lags} >= {
        ("cases", "matters"),
        ("assessment", "matters"),
    }
    assert told(report) == []
    assert status_of(report) == 2


async def test_command_prints_keys_and_ends_with_status(
    kept_platform: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for service, url in kept_platform.items():
        monkeypatch.setenv(f"{service.upper()}_DATABASE_URL", url)
    statement = "UPDATE {} SET value = value + 1 WHERE measure = 'cases_accepted'"

    equal = await asyncio.to_thread(CliRunner().invoke, cli, ["recount", "--patience", "0"])
    async with planted(kept_platform["assessment"], "day_count", statement=statement):
        found = await asyncio.to_thread(CliRunner().invoke, cli, ["recount", "--patience", "0"])
        json = await asyncio.to_thread(
            CliRunner().invoke, cli, ["recount", "--json", "--patience", "0"]
        )

    assert equal.exit_code == 0, equal.output
    assert "全部相符" in equal.output
    assert found.exit_code == 1
    assert "/cases_accepted: 现为" in found.output
    assert orjson.loads(json.stdout)["differences"] == 2
