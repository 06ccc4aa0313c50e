"""recon/1 against the simulated region, over real HTTP.

What was planted is found, named rightly, repaired, and signed for.
"""

import base64
import random
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest

from services.exchange.peers.use_cases import receipt_keys
from services.exchange.region.timers import EVER
from services.exchange.region.use_cases import compare, reconciliations
from shared import clock
from shared.database.session import Database
from shared.events.exchange import ReconciliationFinished
from tests.conftest import DatabaseFactory, published
from tests.exchange.region import DAY, Control, Link, a_case, a_life, many_cases, simulator

FIRST = DAY - timedelta(days=5)
EQUAL = {"equal": True, "residual": 0}


async def a_link(database: Database, control: Control, number: int = 300) -> Link:
    """A ledger of so many cases that the region has taken."""
    link = Link(database, control)
    await link.enter()
    await link.take(many_cases(number))
    _ = await link.push()
    return link


async def begin(link: Link, **changes: Any) -> UUID:
    values: dict[str, Any] = {
        "resource": "cases",
        "first": FIRST,
        "last": DAY,
        "peer_code": "region",
        "actor": "test",
    }
    async with link.database.transaction() as session:
        run = reconciliations.new_run(**{**values, **changes}, now=clock.now())
        session.add(run)
    return run.id


def key(number: int) -> str:
    return a_case(number).number


def payload(token: str | bytes) -> dict[str, Any]:
    part = token.split(b".")[1] if isinstance(token, bytes) else token.split(".")[1].encode()
    return orjson.loads(base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4)))


async def test_two_equal_sides_are_equal_and_sign_it(database_of: DatabaseFactory) -> None:
    async with simulator() as control:
        link = await a_link(await database_of("exchange"), control)

        run = await link.reconcile(await begin(link))

        assert (run["state"], run["equal"], run["progress"]["residual"]) == ("finished", True, 0)
        assert run["progress"]["before"]["ours"] == run["progress"]["before"]["peer"]
        peer_keys = (await control.http.get("/keys")).json()["keys"]
        async with link.database.transaction() as session:
            own_keys = await receipt_keys.list_keys(session, clock.now())
        ours = receipt_keys.read_signed(run["statement"], own_keys)
        theirs = receipt_keys.read_signed(run["peer_statement"], peer_keys)
        assert (ours["equal"], ours["fingerprint"], ours["protocol"]) == (
            True,
            theirs["fingerprint"],
            "recon/1",
        )
        assert (theirs["agreed"], theirs["run_id"]) == (True, str(run["id"]))
        facts = [envelope.event() for envelope in await published(link.database)]
        (fact,) = [fact for fact in facts if isinstance(fact, ReconciliationFinished)]
        assert (fact.equal, fact.differences, fact.repaired, fact.residual) == (True, {}, 0, 0)
        await link.close()


async def test_everything_planted_is_found_named_repaired_and_told(
    database_of: DatabaseFactory,
) -> None:
    async with simulator() as control:
        link = await a_link(await database_of("exchange"), control)
        await link.take([a_case(900, department_code=""), *a_life(a_case(901))[:1]])
        _ = await link.push()
        planted = {
            "lose": (1, 2, 3),
            "older": (10, 11),
            "newer": (20,),
            "corrupt": (30,),
            "lossy": (40,),
        }
        for what, numbers in {**planted, "duplicate": (50,)}.items():
            await control.plant(what, *map(key, numbers))
        await control.plant("extra", "外来-1")

        run = await link.reconcile(await begin(link))

        found = await link.differences(run["id"])
        lost = ("lost_in_transport", "resend", False)
        assert found == {
            **{key(n): ("MISSING_AT_PEER", *lost) for n in planted["lose"]},
            **{key(n): ("PEER_OLDER", *lost) for n in planted["older"]},
            key(20): ("PEER_NEWER", "foreign_write", "ticket", True),
            key(30): ("SAME_VERSION_DIFFERENT", "foreign_write", "ticket", True),
            key(40): ("SAME_VERSION_DIFFERENT", "lossy_mapping", "ticket", True),
            key(50): ("EXTRA_AT_PEER", "duplicate", "ticket", True),
            "外来-1": ("EXTRA_AT_PEER", "foreign_write", "ticket", True),
            key(900): ("MISSING_AT_PEER", "rejected(org_code 为空)", "work_item", True),
        }
        assert (
            run["state"],
            run["equal"],
            run["progress"]["repaired"],
            run["progress"]["residual"],
        ) == (*("finished", False, 5, 6),)
        told = payload(run["statement"])
        assert {one["key"]: (one["cause"], one["owner"]) for one in told["residuals"]} == {
            key(20): ("foreign_write", "region"),
            key(30): ("foreign_write", "region"),
            key(40): ("lossy_mapping", "region"),
            key(50): ("duplicate", "region"),
            "外来-1": ("foreign_write", "region"),
            key(900): ("rejected(org_code 为空)", "540100000000/"),
        }
        assert all(one["due_on"] for one in told["residuals"])
        assert payload(run["peer_statement"])["agreed"] is False
        # Nothing of the peer's was deleted.
        assert (await control.truth())["held"]["cases"] == 301 + 2
        await link.close()


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_what_a_faulty_region_loses_by_itself_is_all_found(
    database_of: DatabaseFactory, seed: int
) -> None:
    faults = (
        "--lose",
        "60",
        "--duplicate",
        "20",
        "--reject",
        "20",
        "--breaks",
        "100",
        "--delay",
        "0.1",
    )
    async with simulator("--seed", str(seed), *faults) as control:
        link = await a_link(await database_of("exchange"), control, number=250)
        truth = await control.truth()
        await control.faults()

        run = await link.reconcile(await begin(link))

        found = await link.differences(run["id"])
        lost = {name for name, row in found.items() if row[1] == "lost_in_transport"}
        assert lost == set(truth["lost"])
        assert {name for name, row in found.items() if row[1] == "duplicate"} == set(
            truth["duplicated"]
        )
        assert {name for name, row in found.items() if row[1].startswith("rejected")} == set(
            truth["rejected"]
        )
        assert len(found) == len(truth["lost"]) + len(truth["duplicated"]) + len(truth["rejected"])
        assert run["progress"]["repaired"] == len(truth["lost"])
        await link.close()


async def test_random_damage_is_all_found_and_named(database_of: DatabaseFactory) -> None:
    async with simulator() as control:
        link = await a_link(await database_of("exchange"), control, number=400)
        kinds = {
            "lose": "MISSING_AT_PEER",
            "older": "PEER_OLDER",
            "newer": "PEER_NEWER",
            "corrupt": "SAME_VERSION_DIFFERENT",
            "duplicate": "EXTRA_AT_PEER",
        }
        for seed in range(3):
            chance = random.Random(seed)
            keys = chance.sample(range(400), 15)
            expected: dict[str, str] = {}
            for place, what in enumerate(kinds):
                mine = [key(n) for n in keys[place * 3 : place * 3 + 3]]
                await control.plant(what, *mine)
                expected |= dict.fromkeys(mine, kinds[what])
            run_id = await begin(link)
            _ = await link.regional._step(link.database, run_id, state="queued")

            found = await link.differences(run_id)

            assert {name: row[0] for name, row in found.items()} == expected
            # Back to two equal sides.
            await link.value("UPDATE reconciliation SET state = 'failed'")
            await link.close()
            await restore(link)
        await link.close()


async def restore(link: Link) -> None:
    """Give the region what the ledger says, as if nothing had been."""
    rows = await link.rows(
        "SELECT key, version, op, day, record FROM ledger WHERE resource = 'cases'"
    )
    lines = [
        orjson.dumps([r["key"], r["version"], r["op"], str(r["day"]), r["record"]]) for r in rows
    ]
    _ = (
        await link.control.http.post("/control/load/cases", content=b"\n".join(lines))
    ).raise_for_status()
    fresh = Link(link.database, link.control)
    link.region, link.regional = fresh.region, fresh.regional


async def test_rows_in_flight_are_left_out_by_both_sides(database_of: DatabaseFactory) -> None:
    async with simulator() as control:
        link = await a_link(await database_of("exchange"), control, number=50)
        await control.faults(delay=60)
        await link.take([a_case(500), a_case(501)])
        _ = await link.regional.push_records(link.database, clock.now())
        await link.take([a_case(502)])
        run_id = await begin(link)

        _ = await link.regional._step(link.database, run_id, state="queued")

        assert await link.differences(run_id) == {}
        await link.close()


async def test_change_after_the_cut_is_no_ticket(database_of: DatabaseFactory) -> None:
    async with simulator() as control:
        link = await a_link(await database_of("exchange"), control, number=50)
        await control.plant("newer", key(7))
        run_id = await begin(link)
        _ = await link.regional._step(link.database, run_id, state="queued")
        assert (await link.differences(run_id))[key(7)][2] == "ticket"
        # As if the newer version had been ours, on its way while the sides were compared.
        _ = await link.value(
            "UPDATE ledger SET version = version + 1, last_seq = nextval('ledger_seq')"
            " WHERE key = $1",
            key(7),
        )

        _ = await link.regional._step(link.database, run_id, state="repairing")

        assert (await link.differences(run_id))[key(7)][1:3] == ("in_flight", "resend")
        await link.close()


async def test_change_while_the_last_comparison_runs_accuses_nobody(
    database_of: DatabaseFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with simulator() as control:
        link = await a_link(await database_of("exchange"), control, number=50)
        run_id = await begin(link)
        ask = link.region.ask

        async def late(run: UUID, question: Any, *, body: dict[str, Any]) -> Any:
            if question == "cut":
                # Written, sent and taken between our snapshot and theirs.
                _ = await link.value(
                    "UPDATE ledger SET version = version + 1 WHERE key = $1", key(7)
                )
                await control.plant("newer", key(7))
            return await ask(run, question, body=body)

        for state in ("queued", "repairing", "waiting"):
            await link.regional._step(link.database, run_id, state=state)
        monkeypatch.setattr(link.region, "ask", late)
        await link.regional._step(link.database, run_id, state="closing")

        assert await link.differences(run_id) == {
            key(7): ("PEER_NEWER", "in_flight", "resend", True)
        }
        assert await link.value("SELECT equal FROM reconciliation") is False
        await link.close()


@pytest.mark.parametrize("all_of_them", [True, False])
async def test_keys_under_way_prove_nothing(
    database_of: DatabaseFactory, *, all_of_them: bool
) -> None:
    async with simulator() as control:
        link = await a_link(await database_of("exchange"), control, number=20)
        if all_of_them:
            _ = await link.value(
                "UPDATE ledger SET push_state = 'sent', push_id = gen_random_uuid()"
            )
        else:
            await control.plant("newer", key(3))
        run_id = await begin(link)
        for state in ("queued", "repairing", "waiting"):
            await link.regional._step(link.database, run_id, state=state)
        if not all_of_them:  # a ticket, whose key has changed since
            _ = await link.value("UPDATE ledger SET push_state = 'waiting' WHERE key = $1", key(3))

        await link.regional._step(link.database, run_id, state="closing")

        row = (await link.rows("SELECT equal, statement FROM reconciliation"))[0]
        assert (row["equal"], payload(row["statement"])["equal"]) == (False, False)
        assert payload(row["statement"])["open"] == (20 if all_of_them else 1)
        await link.close()


async def test_answers_that_make_no_sense_end_a_run_at_last(
    database_of: DatabaseFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with simulator() as control:
        link = await a_link(await database_of("exchange"), control, number=5)

        async def nonsense(*_: Any, **__: Any) -> Any:
            return {"closed": []}

        monkeypatch.setattr(link.region, "ask", nonsense)
        run = await link.reconcile(await begin(link))

        assert (run["state"], run["failure"]) == ("failed", "KeyError")
        await link.close()


async def test_run_that_failed_is_planned_again_after_an_hour(database_of: DatabaseFactory) -> None:
    async with simulator() as control:
        link = Link(await database_of("exchange"), control)
        await link.enter()
        night = clock.day_start(DAY) + timedelta(hours=1)

        for minutes in (0, 30, 61, 90):
            await link.regional.plan(link.database, night + timedelta(minutes=minutes))
            _ = await link.value("UPDATE reconciliation SET state = 'failed' WHERE $1 = 0", minutes)

        listed = "SELECT count(*) FROM reconciliation WHERE listed AND resource = 'cases'"
        assert await link.value(listed) == 2
        await link.close()


async def test_repair_beyond_the_budget_waits_for_a_person(database_of: DatabaseFactory) -> None:
    async with simulator() as control:
        link = await a_link(await database_of("exchange"), control, number=100)
        await control.plant("lose", *(key(n) for n in range(30)))
        run_id = await begin(link)

        stopped = await link.reconcile(run_id)
        async with link.database.transaction() as session:
            _ = await reconciliations.approve(session, run_id, actor="somebody", now=clock.now())
        finished = await link.reconcile(run_id)

        assert stopped["state"] == "needs_approval"
        assert (finished["equal"], finished["approved_by"], finished["progress"]["repaired"]) == (
            True,
            "somebody",
            30,
        )
        await link.close()


async def test_windows_that_differ_too_much_are_pushed_again_as_a_whole(
    database_of: DatabaseFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "MAX_LISTED", 40)
    async with simulator() as control:
        link = await a_link(await database_of("exchange"), control, number=120)
        # All of one window (every third case), and nothing of the others.
        await control.plant("lose", *(key(n) for n in range(0, 120, 3)))
        await control.plant("corrupt", key(1))
        run_id = await begin(link)

        stopped = await link.reconcile(run_id)
        async with link.database.transaction() as session:
            _ = await reconciliations.approve(session, run_id, actor="somebody", now=clock.now())
        finished = await link.reconcile(run_id)

        assert (stopped["state"], len(stopped["progress"]["push_windows"])) == ("needs_approval", 2)
        assert (finished["state"], finished["equal"], finished["progress"]["residual"]) == (
            "finished",
            False,
            1,
        )
        assert list(await link.differences(run_id)) == [key(1)]
        assert (await control.truth())["held"]["cases"] == 120
        await link.close()


async def test_comparison_of_windows_alone_repairs_nothing(database_of: DatabaseFactory) -> None:
    async with simulator() as control:
        link = await a_link(await database_of("exchange"), control, number=30)
        await control.plant("lose", key(0))

        run = await link.reconcile(await begin(link, only_windows=True))

        assert (run["equal"], run["progress"]["unequal_days"]) == (False, [str(DAY)])
        assert await link.differences(run["id"]) == {}
        await link.close()


async def test_run_whose_peer_is_away_is_tried_again_and_fails_at_last(
    database_of: DatabaseFactory,
) -> None:
    async with simulator() as control:
        link = await a_link(await database_of("exchange"), control, number=5)
    run_id = await begin(link)

    run = await link.reconcile(run_id)

    assert (run["state"], run["failure"]) == ("failed", "RegionAwayError: ConnectError")
    await link.close()


async def test_statement_under_another_key_is_not_taken(database_of: DatabaseFactory) -> None:
    async with simulator() as control:
        link = await a_link(await database_of("exchange"), control, number=5)
        _ = await link.value(
            "UPDATE peer SET keys = jsonb_set(keys, '{0,x}',"
            " '\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"')"
        )

        run = await link.reconcile(await begin(link))

        assert (run["state"], run["failure"]) == (
            "failed",
            "ValueError: the signature does not hold",
        )
        assert run["peer_statement"] is None
        await link.close()


async def test_record_changed_beneath_its_sums_is_found_by_the_lists_alone(
    database_of: DatabaseFactory,
) -> None:
    async with simulator() as control:
        link = await a_link(await database_of("exchange"), control)
        whole = await link.reconcile(await begin(link, listed=True))
        await control.plant("forge", key(7), key(200))

        by_sums = await link.reconcile(await begin(link))
        by_lists = await link.reconcile(await begin(link, listed=True))

        signed, answer = payload(by_lists["statement"]), payload(by_lists["peer_statement"])
        assert (whole["equal"], by_sums["equal"], by_lists["equal"]) == (True, True, False)
        assert "list_sha256" not in payload(by_sums["statement"])
        assert (
            payload(whole["statement"])["list_sha256"]
            == payload(whole["peer_statement"])["list_sha256"]
        )
        assert signed["list_sha256"] != answer["list_sha256"]
        assert signed["fingerprint"] == answer["fingerprint"]
        assert answer["agreed"] is False
        assert await link.differences(by_lists["id"]) == dict.fromkeys(
            (key(7), key(200)), ("SAME_VERSION_DIFFERENT", "foreign_write", "ticket", True)
        )
        await link.close()


async def test_rows_in_flight_are_in_neither_list(database_of: DatabaseFactory) -> None:
    async with simulator() as control:
        link = await a_link(await database_of("exchange"), control, number=20)
        await link.take([a_case(500), a_case(501)])

        run = await link.reconcile(await begin(link, listed=True), until="closing")

        lists = run["progress"]["before"]["list"]
        assert lists["ours"] == lists["peer"]
        await link.close()


async def test_cadence_plans_windows_every_quarter_weeks_every_night_and_all_every_week(
    database_of: DatabaseFactory,
) -> None:
    async with simulator() as control:
        link = Link(await database_of("exchange"), control)
        await link.enter()
        friday = clock.day_start(DAY) + timedelta(hours=9)

        for hours in (0, 0.1, 0.24, 0.26, 24, 48, 72):
            await link.regional.plan(link.database, friday + timedelta(hours=hours))

        rows = await link.rows(
            "SELECT (created_at AT TIME ZONE 'Asia/Shanghai')::date - $1::date AS after,"
            " only_windows, listed, last_day - first_day AS days, count(*) AS n"
            " FROM reconciliation WHERE resource = 'cases'"
            " GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3",
            DAY,
        )
        windows = (True, False, 1)
        assert [tuple(row) for row in rows] == [
            (
                0,
                False,
                True,
                (DAY - EVER).days,
                1,
            ),  # none in this week yet: everything at once, also the night's
            (0, *windows, 2),
            (1, False, False, 35, 1),
            (1, *windows, 1),
            (2, False, True, (DAY - EVER).days + 2, 1),  # Sunday
            (2, *windows, 1),
            (3, False, False, 35, 1),
            (3, *windows, 1),
        ]
        await link.close()


async def test_statement_under_a_retired_key_is_not_taken(database_of: DatabaseFactory) -> None:
    async with simulator() as control:
        link = await a_link(await database_of("exchange"), control, number=5)
        _ = await link.value(
            "UPDATE peer SET keys = jsonb_set(keys, '{0,retired_at}', '\"2026-11-01T00:00:00Z\"')"
        )

        run = await link.reconcile(await begin(link))

        assert (run["state"], run["failure"]) == (
            "failed",
            "ValueError: the signature does not hold",
        )
        await link.close()
