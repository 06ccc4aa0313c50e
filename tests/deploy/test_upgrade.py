"""`tongban upgrade check`: what it finds in real databases, and the order that it names."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from typer.testing import CliRunner

from deploy.operate import upgrade
from deploy.operate.upgrade import Code, Gap, Line, check, code_of_this_release, judge, look, order
from deploy.processes import SERVICES
from shared.database.schema import history
from shared.database.session import Database
from shared.messaging.parking import OTHER_VERSION
from shared.runtime.presence import Presence
from tests.conftest import DatabaseFactory

ACCEPTED = "tongban.cases.case-accepted"
CODE = code_of_this_release()


@pytest.fixture
async def assessment(database_of: DatabaseFactory) -> Database:
    return await database_of("assessment")


@pytest.fixture
async def running(assessment: Database) -> AsyncGenerator[Database]:
    """Its worker runs, and knows what this code knows."""
    presence = Presence(
        "assessment",
        assessment,
        name="assessment-worker",
        consumes=CODE.consumes["assessment"],
    )
    telling = asyncio.create_task(presence.keep())
    async with asyncio.timeout(5):
        while not (await look("assessment", assessment.dsn)).running:
            await asyncio.sleep(0.05)
    yield assessment
    _ = telling.cancel()
    _ = await asyncio.wait({telling})


async def execute(database: Database, statement: str, *arguments: object) -> None:
    connection = await database.connect()
    try:
        _ = await connection.execute(statement, *arguments)
    finally:
        await connection.close()


def next_release() -> Code:
    """A release in which cases publishes a second version, and assessment takes both."""
    produces = {**CODE.produces, "cases": {*CODE.produces["cases"], f"{ACCEPTED}.v2"}}
    consumes = {
        service: {*types, f"{ACCEPTED}.v2"} if f"{ACCEPTED}.v1" in types else types
        for service, types in CODE.consumes.items()
    }
    return Code(consumes, produces)


def said(lines: list[Line], level: str) -> str:
    return "\n".join(line.en for line in lines if line.level == level)


async def test_platform_that_fits_is_told_and_nothing_stops(running: Database) -> None:
    lines = judge([await look("assessment", running.dsn)], CODE)

    assert said(lines, "stop") == said(lines, "wait") == ""
    assert f"schema {history('assessment')[0]} fits" in said(lines, "ok")
    assert "running: assessment-worker" in said(lines, "ok")


async def test_process_that_ended_is_not_told_any_more(assessment: Database) -> None:
    presence = Presence("assessment", assessment, name="assessment-worker")
    telling = asyncio.create_task(presence.keep())
    async with asyncio.timeout(5):
        while not (await look("assessment", assessment.dsn)).running:
            await asyncio.sleep(0.05)

    _ = telling.cancel()
    _ = await asyncio.wait({telling})

    assert (await look("assessment", assessment.dsn)).running == []


async def test_consumer_that_lacks_a_coming_version_is_rolled_before_its_producer(
    running: Database,
) -> None:
    lines = judge([await look("assessment", running.dsn)], next_release())

    assert f"the worker of assessment goes before cases: {ACCEPTED}.v2" in said(lines, "ok")
    rolled = lines[-1].en.removeprefix("order: ").split(", ")
    assert rolled.index("assessment-worker") < rolled.index("cases-worker")
    assert rolled.index("assessment-worker") < rolled.index("cases-api")
    assert rolled[-1] == "gateway"
    assert len(rolled) == 2 * len(SERVICES) + 1
    assert said(lines, "stop") == ""


async def test_version_that_no_code_of_the_release_takes_stops_it(running: Database) -> None:
    code = Code(CODE.consumes, next_release().produces)

    lines = judge([await look("assessment", running.dsn)], code)

    assert f"assessment of this release does not know {ACCEPTED}.v2" in said(lines, "stop")


async def test_events_set_aside_in_an_unknown_version_are_named(running: Database) -> None:
    await execute(
        running,
        "INSERT INTO dead_letter (event_id, topic, key, type, payload, error)"
        " VALUES (gen_random_uuid(), 't', 'k', $1, '', $2)",
        f"{ACCEPTED}.v2",
        OTHER_VERSION,
    )
    found = await look("assessment", running.dsn)

    assert f"1 of {ACCEPTED}.v2 are set aside" in said(judge([found], CODE), "stop")
    assert f"1 of {ACCEPTED}.v2 wait for this release" in said(judge([found], next_release()), "ok")


async def test_contraction_beyond_a_process_that_runs_stops_it(running: Database) -> None:
    newest, before = history("assessment")[:2]
    await execute(running, "UPDATE running_process SET revision = $1, version = '0.1.9'", before)
    await execute(
        running, "INSERT INTO schema_contraction VALUES ('assessment_9999', $1, '0.2.0')", newest
    )

    lines = judge([await look("assessment", running.dsn)], CODE)

    assert f"assessment-worker (0.1.9) is older than {newest}" in said(lines, "stop")


async def test_facts_on_their_way_and_refusing_relays_are_named(running: Database) -> None:
    await execute(
        running,
        "INSERT INTO outbox (topic, key, event_id, payload, recorded_at)"
        " VALUES ('t', 'k', gen_random_uuid(), '', now() - interval '1 hour')",
    )
    await execute(running, "UPDATE relay_state SET refused = 'the topic knows more'")

    lines = judge([await look("assessment", running.dsn)], CODE)

    assert "assessment: 1 facts are not published yet" in said(lines, "wait")
    assert "assessment: its relay refuses: the topic knows more" in said(lines, "stop")


async def test_database_of_the_first_release_asks_to_stop_its_workers(
    running: Database,
) -> None:
    await execute(running, "UPDATE alembic_version SET version_num = 'assessment_0006'")
    await execute(running, "DROP TABLE running_process, relay_state, schema_contraction")

    lines = judge([await look("assessment", running.dsn)], CODE)

    assert "migrate assessment_0006" in said(lines, "ok")
    assert "Stop its workers before new ones start" in said(lines, "wait")


async def test_service_that_is_not_reached_is_told() -> None:
    lines = await check({"cases": "postgresql://x:y@127.0.0.1:1/cases"})

    assert "cases: its database cannot be reached" in said(lines, "stop")
    assert "matters: MATTERS_DATABASE_URL is not set" in said(lines, "stop")


def test_consumers_that_wait_for_each_other_have_no_order() -> None:
    circle = [Gap("cases", "ratings", "a.v2"), Gap("ratings", "cases", "b.v2")]

    assert order(circle) is None


def test_command_ends_with_status_1_where_something_stops_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for service in SERVICES:
        monkeypatch.delenv(f"{service.upper()}_DATABASE_URL", raising=False)

    done = CliRunner().invoke(upgrade.cli, ["check"])

    assert done.exit_code == 1
    assert "✗ cases:未设置 CASES_DATABASE_URL" in done.stdout
