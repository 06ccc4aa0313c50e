"""Push to the region over real HTTP.

Every row arrives or comes back with its cause, whatever breaks on the way.
"""

import asyncio
from collections import Counter
from typing import Any

import orjson
import pytest

from services.exchange.region import http_client
from services.exchange.region.use_cases import pushes
from services.exchange.region.use_cases.ledger import case_after
from services.exchange.region.use_cases.tables import COLUMNS
from services.exchange.worker import timers
from shared import clock
from shared.events.exchange import RecordsPushed
from tests.conftest import DatabaseFactory, published
from tests.exchange.region import (
    Link,
    a_case,
    a_life,
    a_rating,
    many_cases,
    settings_for,
    simulator,
)

STATES = "SELECT push_state, count(*) AS n FROM ledger GROUP BY push_state"


async def states(link: Link) -> dict[str, int]:
    return {row["push_state"]: row["n"] for row in await link.rows(STATES)}


async def test_rows_arrive_in_their_tables_with_the_control_columns(
    database_of: DatabaseFactory,
) -> None:
    async with simulator() as control:
        link = Link(await database_of("exchange"), control)
        await link.enter()
        await link.take([*a_life(a_case(1)), a_case(2), a_rating()])

        assert await link.push() == 3

        accepts, results = (
            await control.table("up_pro_accept"),
            await control.table("up_pro_result"),
        )
        ratings = await control.table("up_pro_evaluate")
        assert [row["project_no"] for row in accepts] == ["540100000001", "540100000002"]
        assert {row["result_type"] for row in results if "result_type" in row} == {"0"}
        assert len(results) == 1
        assert ratings[0]["satisfaction"] == "5"
        assert await states(link) == {"accepted": 3}
        facts = [envelope.event() for envelope in await published(link.database)]
        pushed = [fact for fact in facts if isinstance(fact, RecordsPushed)]
        assert Counter((fact.resource, fact.accepted, fact.rejected) for fact in pushed) == {
            ("cases", 2, 0): 1,
            ("ratings", 1, 0): 1,
        }
        await link.close()


async def test_every_column_of_a_record_has_its_table() -> None:
    record = {"project_no"}
    for event_type in COLUMNS["cases"].values():
        record |= set(event_type)
    owed = None
    for event in a_life(a_case(1)):
        owed = case_after(owed, event, key="k")  # pyright: ignore[reportArgumentType]

    assert owed is not None
    assert set(owed.record) <= record


async def test_refused_rows_are_harvested_with_their_cause_and_wait_for_a_new_version(
    database_of: DatabaseFactory,
) -> None:
    async with simulator() as control:
        link = Link(await database_of("exchange"), control)
        await link.enter()
        bad, good = a_case(1, department_code=""), a_case(2)
        await link.take([bad, good])

        _ = await link.push()
        again = await link.push()

        assert again == 0
        assert await states(link) == {"accepted": 1, "rejected": 1}
        assert (
            await link.value("SELECT reject_code FROM ledger WHERE push_state = 'rejected'")
            == "org_code 为空"
        )
        figures = {
            row["measure"]: row["value"] for row in await link.rows("SELECT * FROM record_count")
        }
        assert figures == {"pushed": 1, "push_rejected": 1, "push_rejected:org_code 为空": 1}
        await link.close()


async def test_all_arrives_once_though_pushes_break_off_before_and_after(
    database_of: DatabaseFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pushes, "MAX_ROWS", 20)
    async with simulator("--seed", "5", "--breaks", "400") as control:
        link = Link(await database_of("exchange"), control)
        await link.enter()
        await link.take(many_cases(300))

        _ = await link.push()

        numbers = [
            row["number"] for row in await link.rows("SELECT number FROM push ORDER BY number")
        ]
        assert numbers == list(range(1, 16))
        assert await link.value("SELECT sum(attempts) FROM push") > 0
        assert (await control.truth())["held"]["cases"] == 300
        assert await states(link) == {"accepted": 300}
        await link.close()


async def test_pushes_are_chained_and_never_larger_than_agreed(
    database_of: DatabaseFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pushes, "MAX_ROWS", 10)
    database = await database_of("exchange")
    async with simulator() as control:
        link = Link(database, control)
        await link.take(many_cases(25))
        bodies: list[dict[str, Any]] = []
        for _ in range(3):
            async with database.transaction() as session:
                push = await pushes.next_push(session, "cases", data_source="154", now=clock.now())
                assert push is not None
                bodies.append(orjson.loads(push.body or b""))
                busy = await pushes.next_push(session, "cases", data_source="154", now=clock.now())
            async with database.transaction() as session:
                await pushes.acknowledge(session, push.id)

        assert busy is None
        digests = [
            row["digest"].hex()
            for row in await link.rows("SELECT digest FROM push ORDER BY number")
        ]
        assert [body["previous"] for body in bodies] == ["00" * 32, *digests[:2]]
        assert [len(body["tables"]["up_pro_accept"]) for body in bodies] == [10, 10, 5]
        row = bodies[0]["tables"]["up_pro_accept"][0]
        assert {"row_guid", "cd_batch", "cd_operation", "cd_time", "data_source", "version"} <= set(
            row
        )
        assert (row["cd_batch"], row["data_source"]) == (bodies[0]["cd_batch"], "154")
        await link.close()


async def test_row_that_changes_while_its_push_is_out_goes_again(
    database_of: DatabaseFactory,
) -> None:
    async with simulator("--delay", "0.4") as control:
        link = Link(await database_of("exchange"), control)
        await link.enter()
        case, accepted, *_ = a_life(a_case(1))
        await link.take([case])
        _ = await link.regional.push_records(link.database, clock.now())
        await link.take([accepted])
        await asyncio.sleep(0.5)

        _ = await link.push()

        assert await states(link) == {"accepted": 1}
        (row,) = await control.table("up_pro_process")
        assert row["event_name"] == "受理"
        assert await link.value("SELECT count(*) FROM push") == 2
        await link.close()


async def test_nothing_is_lost_while_the_region_is_away(database_of: DatabaseFactory) -> None:
    async with simulator() as control:
        link = Link(await database_of("exchange"), control)
        await link.enter()
        await link.take(many_cases(5))
    assert await link.regional.push_records(link.database, clock.now()) == 0
    push = (await link.rows("SELECT state, attempts, next_attempt_at > now() AS later FROM push"))[
        0
    ]

    assert (push["state"], push["attempts"], push["later"]) == ("sent", 1, True)
    assert await link.regional.push_records(link.database, clock.now()) == 0
    assert await link.value("SELECT attempts FROM push") == 1
    await link.close()


async def test_push_that_the_region_forgot_before_its_check_goes_again(
    database_of: DatabaseFactory,
) -> None:
    async with simulator("--delay", "60") as control:
        link = Link(await database_of("exchange"), control)
        await link.enter()
        await link.take(many_cases(5))
        _ = await link.regional.push_records(link.database, clock.now())
        rows = await link.value("SELECT count(*) FROM ledger WHERE push_state = 'sent'")
        await link.close()
    async with simulator() as control:
        anew = Link(link.database, control)

        sent = await anew.push()

        assert (rows, sent) == (5, 5)
        assert (await control.truth())["held"]["cases"] == 5
        assert await anew.value("SELECT count(*) FROM ledger WHERE push_state = 'accepted'") == 5
        await anew.close()


async def test_unregistered_region_gets_nothing(database_of: DatabaseFactory) -> None:
    async with simulator() as control:
        link = Link(await database_of("exchange"), control)
        await link.take(many_cases(5))

        assert await link.regional.push_records(link.database, clock.now()) == 0
        await link.regional.plan(link.database, clock.now())

        assert await link.value("SELECT count(*) FROM push") == 0
        assert await link.value("SELECT count(*) FROM reconciliation") == 0
        await link.close()


def test_worker_pushes_only_when_a_region_is_named() -> None:
    without, with_region = (
        {timer.name for timer in timers(settings_for(url))} for url in ("", "http://127.0.0.1:1")
    )

    assert with_region - without == {"push", "plan-reconciliations", "reconcile"}


def test_cause_of_a_refusal_quotes_nobody_s_number() -> None:
    assert http_client._cause("page_code 540102199001010011 校验位错误") == "page_code * 校验位错误"
    assert (
        http_client._cause("电话 13989001234 / 统一代码 91540100MA6T1B2C3X 不符")
        == "电话 * / 统一代码 * 不符"
    )
    assert http_client._cause("org_code 为空") == "org_code 为空"
