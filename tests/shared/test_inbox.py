"""The inbox: one effect per event, whatever is redelivered.

Failures are set aside in order, and other keys go on.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared import clock
from shared.database.session import Database
from shared.errors import NotFoundError
from shared.events import base
from shared.events.base import Envelope
from shared.events.identity import AccountRegistered, IdentityVerified
from shared.ids import new_id
from shared.messaging.bus import FactNumber, Record
from shared.messaging.consumer import Consumer
from shared.messaging.dead_letters import Redrive, discard, redrive
from shared.messaging.inbox import Inbox
from shared.messaging.parking import NEXT_DUE
from tests.builders.events import a_fact, a_record
from tests.conftest import DatabaseFactory, Databases

EFFECTS = "CREATE TABLE effect (position bigserial, account text, revision int)"
RECORD = text("INSERT INTO effect (account, revision) VALUES (:account, :revision)")


class Poison(Exception):
    """What the handler raises for accounts in `bad`."""


def a_consumer(bad: set[UUID], *, batches: bool = False) -> Consumer:
    consumer = Consumer("assessment")

    async def effect(session: AsyncSession, event: IdentityVerified) -> None:
        if event.account_id in bad:
            raise Poison(str(event.account_id))
        _ = await session.execute(
            RECORD, {"account": str(event.account_id), "revision": event.revision}
        )

    async def effects(session: AsyncSession, events: Sequence[IdentityVerified]) -> None:
        for event in events:
            await effect(session, event)

    _ = (
        consumer.on_batch(IdentityVerified)(effects)
        if batches
        else consumer.on(IdentityVerified)(effect)
    )
    return consumer


async def an_inbox(database: Database, bad: set[UUID], **options: Any) -> Inbox:
    async with database.transaction() as session:
        _ = await session.execute(text(EFFECTS))
    consumer = a_consumer(bad, batches=options.pop("batches", False))
    return Inbox(database, None, consumer=consumer, **{"pauses": (0.0, 0.0), **options})  # pyright: ignore[reportArgumentType]


async def effects(database: Database) -> list[tuple[str, int]]:
    async with database.reading() as session:
        rows = await session.execute(text("SELECT account, revision FROM effect ORDER BY position"))
        return [(row.account, row.revision) for row in rows]


async def letters(database: Database) -> list[Any]:
    async with database.reading() as session:
        return list(await session.execute(text("SELECT * FROM dead_letter ORDER BY position")))


@pytest.mark.parametrize("batches", [False, True])
async def test_redelivered_event_has_one_effect(
    database_of: DatabaseFactory, batches: bool
) -> None:
    database = await database_of("assessment")
    inbox = await an_inbox(database, set(), batches=batches)
    records = [a_record(a_fact(revision=n), n) for n in range(1, 6)]

    await inbox.take(records + records[2:])
    await inbox.take(records)

    assert [revision for _, revision in await effects(database)] == [1, 2, 3, 4, 5]


async def test_failing_event_waits_with_its_key_and_others_go_on(
    database_of: DatabaseFactory,
) -> None:
    database = await database_of("assessment")
    good, bad = new_id(), new_id()
    inbox = await an_inbox(database, {bad})
    records = [a_record(a_fact(account, revision=n)) for n in (1, 2, 3) for account in (good, bad)]

    await inbox.take(records)

    assert await effects(database) == [(str(good), 1), (str(good), 2), (str(good), 3)]
    assert [row.key for row in await letters(database)] == [str(bad)] * 3
    assert "Poison" in (await letters(database))[0].error


async def test_redelivery_of_a_parked_event_parks_it_once(database_of: DatabaseFactory) -> None:
    database = await database_of("assessment")
    bad = new_id()
    inbox = await an_inbox(database, {bad})
    records = [a_record(a_fact(bad, revision=n)) for n in (1, 2)]

    await inbox.take(records)
    await inbox.take(records)

    assert len(await letters(database)) == 2


async def test_redelivery_of_a_handled_event_is_not_parked_behind_a_later_failure(
    database_of: DatabaseFactory,
) -> None:
    database = await database_of("assessment")
    account, bad = new_id(), set[UUID]()
    inbox = await an_inbox(database, bad)
    first, second = a_record(a_fact(account, revision=1)), a_record(a_fact(account, revision=2))
    await inbox.take([first])
    bad.add(account)
    await inbox.take([second])

    await inbox.take([first, second])
    bad.clear()
    while await inbox.retry_one():
        pass

    assert await effects(database) == [(str(account), 1), (str(account), 2)]
    assert await letters(database) == []


async def test_retries_heal_in_order(database_of: DatabaseFactory) -> None:
    database = await database_of("assessment")
    account = new_id()
    bad = {account}
    inbox = await an_inbox(database, bad)
    await inbox.take([a_record(a_fact(account, revision=n)) for n in (1, 2, 3)])

    _ = await inbox.retry_one()
    bad.clear()
    while await inbox.retry_one():
        pass
    await inbox.take([a_record(a_fact(account, revision=4))])

    assert await effects(database) == [(str(account), n) for n in (1, 2, 3, 4)]


async def test_after_the_last_attempt_it_waits_for_a_person(database_of: DatabaseFactory) -> None:
    database = await database_of("assessment")
    account = new_id()
    bad = {account}
    inbox = await an_inbox(database, bad)
    await inbox.take([a_record(a_fact(account, revision=n)) for n in (1, 2)])

    attempts = 0
    while await inbox.retry_one():
        attempts += 1
    given_up = [row.gave_up for row in await letters(database)]
    bad.clear()
    async with database.transaction() as session:
        made_due = await redrive(session, Redrive(key=str(account)))
    while await inbox.retry_one():
        pass

    assert (attempts, given_up, made_due) == (3, [True, False], 2)
    assert await effects(database) == [(str(account), 1), (str(account), 2)]


async def test_discarding_the_first_frees_the_next_and_never_comes_back(
    database_of: DatabaseFactory,
) -> None:
    database = await database_of("assessment")
    account = new_id()
    bad = {account}
    inbox = await an_inbox(database, bad, pauses=())
    records = [a_record(a_fact(account, revision=n)) for n in (1, 2)]
    await inbox.take(records)
    while await inbox.retry_one():
        pass
    first = (await letters(database))[0].event_id

    async with database.transaction() as session:
        await discard(session, first, reason="cannot be mended")
    bad.clear()
    while await inbox.retry_one():
        pass
    await inbox.take(records)

    assert await effects(database) == [(str(account), 2)]
    with pytest.raises(NotFoundError):
        async with database.transaction() as session:
            await discard(session, first, reason="again")


async def test_unreadable_record_is_set_aside(database_of: DatabaseFactory) -> None:
    database = await database_of("assessment")
    inbox = await an_inbox(database, set())
    garbage = [
        Record("tongban.identity", "k", value, 0, n)
        for n, value in enumerate([b"\xff", b"[]", b"{}", b"null"])
    ]

    await inbox.take([*garbage, a_record(a_fact())])

    assert [row.type for row in await letters(database)] == ["unreadable"] * 4
    assert len(await effects(database)) == 1


def in_partition(records: Sequence[Record]) -> list[Record]:
    """The records as they stand in a partition, with their numbers."""
    return [
        replace(record, offset=place, number=FactNumber(0, place + 1), event_number=place + 1)
        for place, record in enumerate(records)
    ]


def in_version(record: Record, version: int) -> Record:
    known = IdentityVerified.wire_type.encode()
    return replace(record, value=record.value.replace(known, known[:-1] + b"%d" % version))


async def test_event_in_an_unknown_version_waits_in_order_for_code_that_knows_it(
    database_of: DatabaseFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, account = await database_of("assessment"), new_id()
    inbox = await an_inbox(database, set())
    first, second, third = [a_record(a_fact(account, revision=n)) for n in (1, 2, 3)]
    other = a_record(a_fact(revision=9))

    await inbox.take(in_partition([first, in_version(second, 2), third, other]))
    while await inbox.retry_one():
        pass

    assert [revision for _, revision in await effects(database)] == [1, 9]
    waiting = await letters(database)
    assert [row.gave_up for row in waiting] == [False, False]
    assert "version" in waiting[0].error

    newer = f"{IdentityVerified.wire_type[:-1]}2"
    monkeypatch.setitem(base._registry, newer, IdentityVerified)
    monkeypatch.setitem(
        inbox._consumer._handlers, newer, inbox._consumer._handlers[IdentityVerified.wire_type]
    )
    async with database.transaction() as session:
        _ = await redrive(session, Redrive(all=True))
    while await inbox.retry_one():
        pass

    assert [revision for _, revision in await effects(database)] == [1, 9, 2, 3]
    assert await letters(database) == []


async def test_two_owners_of_a_partition_take_each_fact_once(database_of: DatabaseFactory) -> None:
    database = await database_of("assessment")
    one = await an_inbox(database, set())
    other = Inbox(database, None, consumer=a_consumer(set()))  # pyright: ignore[reportArgumentType]
    records = in_partition([a_record(a_fact(revision=n)) for n in range(1, 31)])
    await one.take(records[:5])
    await other.take(records[:5])

    halves = [records[5:20], records[5:30], records[10:30]]
    for half in halves:
        _ = await asyncio.gather(one.take(half), other.take(half))

    assert [revision for _, revision in await effects(database)] == list(range(1, 31))


async def test_numbers_of_a_new_epoch_follow_those_before(database_of: DatabaseFactory) -> None:
    database = await database_of("assessment")
    inbox = await an_inbox(database, set())
    old = in_partition([a_record(a_fact(revision=n)) for n in (1, 2, 3)])
    new = [
        replace(record, offset=3 + place, number=FactNumber(1, place + 1))
        for place, record in enumerate([a_record(a_fact(revision=n)) for n in (4, 5)])
    ]

    await inbox.take(old)
    await inbox.take([*new, *old])
    await inbox.take(new)

    assert [revision for _, revision in await effects(database)] == [1, 2, 3, 4, 5]


async def test_events_nobody_listens_to_pass_by(database_of: DatabaseFactory) -> None:
    database = await database_of("assessment")
    inbox = await an_inbox(database, set())
    other = AccountRegistered(
        account_id=new_id(), kind="person", revision=1, occurred_at=a_fact().occurred_at
    )

    await inbox.take([a_record(other)])

    assert (await effects(database), await letters(database)) == ([], [])


STEP = st.tuples(st.integers(0, 12), st.integers(1, 12), st.booleans())
"""How far back a delivery starts again, and how far beyond the furthest place it goes.

And whether the fault is mended afterwards.
"""


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    steps=st.lists(STEP, max_size=8),
    faulty=st.sets(st.integers(0, 2), max_size=2),
    numbered=st.booleans(),
)
async def test_any_redelivery_and_any_failures_leave_one_ordered_effect(
    databases: Databases, steps: list[tuple[int, int, bool]], faulty: set[int], numbered: bool
) -> None:
    name, url = await databases.fresh("assessment")
    database = Database(url, data_key=b"k" * 32)
    accounts = [new_id() for _ in range(3)]
    bad = {accounts[place] for place in faulty}
    records = [a_record(a_fact(account, revision=n)) for n in range(1, 5) for account in accounts]
    if numbered:
        records = in_partition(records)

    try:
        inbox = await an_inbox(database, bad)
        reached = 0
        for back, forth, mended in [*steps, (0, len(records), True)]:
            end = min(reached + forth, len(records))
            await inbox.take(records[max(reached - back, 0) : end])
            reached = max(reached, end)
            if mended:
                bad.clear()
                while await inbox.retry_one():
                    pass
        async with database.transaction() as session:
            _ = await redrive(session, Redrive(all=True))
        while await inbox.retry_one():
            pass
        seen = await effects(database)
    finally:
        await database.close()
        await databases.drop(name)

    for account in accounts:
        assert [revision for key, revision in seen if key == str(account)] == [1, 2, 3, 4]


async def test_envelopes_of_a_batch_are_kept_together_beside_the_typed_handlers(
    database_of: DatabaseFactory,
) -> None:
    database = await database_of("assessment")
    async with database.transaction() as session:
        _ = await session.execute(text(EFFECTS))
    consumer, kept = a_consumer(set()), list[list[Envelope]]()

    @consumer.on_envelopes(IdentityVerified, AccountRegistered)
    async def keep(_session: AsyncSession, envelopes: Sequence[Envelope]) -> None:
        kept.append(list(envelopes))

    inbox = Inbox(database, None, consumer=consumer)  # pyright: ignore[reportArgumentType]
    registered = AccountRegistered(
        account_id=new_id(), kind="person", revision=7, occurred_at=clock.now()
    )
    records = [a_record(a_fact(revision=1)), a_record(registered), a_record(a_fact(revision=2))]

    await inbox.take(records)
    await inbox.take(records)

    assert [[envelope.revision for envelope in batch] for batch in kept] == [[1, 7, 2]]
    assert kept[0][1].key == str(registered.account_id)
    assert kept[0][1].recorded
    assert [revision for _, revision in await effects(database)] == [1, 2]


async def test_failing_keeper_of_envelopes_sets_the_event_aside(
    database_of: DatabaseFactory,
) -> None:
    database = await database_of("assessment")
    consumer, bad = Consumer("assessment"), new_id()

    @consumer.on_envelopes(IdentityVerified)
    async def keep(_session: AsyncSession, envelopes: Sequence[Envelope]) -> None:
        if any(envelope.key == str(bad) for envelope in envelopes):
            raise Poison

    await Inbox(database, None, consumer=consumer).take([a_record(a_fact()), a_record(a_fact(bad))])  # pyright: ignore[reportArgumentType]

    assert [row.key for row in await letters(database)] == [str(bad)]


async def test_look_for_the_next_letter_does_not_pass_over_those_that_wait(
    database_of: DatabaseFactory,
) -> None:
    database = await database_of("assessment")
    bad = new_id()
    inbox = await an_inbox(database, {bad}, pauses=(600.0,))
    await inbox.take([a_record(a_fact(bad, revision=n), n) for n in range(300)])
    # The first has failed once more and is tried again later.
    while await inbox.retry_one():
        pass

    async with database.transaction() as session:
        _ = await session.execute(text("ANALYZE dead_letter"))
        # The table is too small for the planner to mind.
        _ = await session.execute(text("SET LOCAL enable_seqscan = off"))
        explain = text(f"EXPLAIN (ANALYZE, FORMAT JSON) {NEXT_DUE.text}")
        (plan,) = (await session.execute(explain)).scalar_one()

    assert rows_seen(plan["Plan"]) <= 3


def rows_seen(node: dict[str, Any]) -> int:
    """Rows that a plan's scans read."""
    seen = sum(rows_seen(part) for part in node.get("Plans", ()))
    if "Scan" in node["Node Type"]:
        loops = node["Actual Loops"]
        seen += int((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * loops)
    return seen


async def test_letters_of_a_key_are_freed_one_after_another(database_of: DatabaseFactory) -> None:
    database = await database_of("assessment")
    account = new_id()
    bad = {account}
    inbox = await an_inbox(database, bad, pauses=(0.0,))
    records = [a_record(a_fact(account, revision=n), n) for n in range(1, 5)]
    await inbox.take(records)
    first, second, *_ = [row.event_id for row in await letters(database)]

    async with database.transaction() as session:
        await discard(session, first, reason="wrong")
        assert await redrive(session, Redrive(all=True)) == 3
    bad.clear()
    while await inbox.retry_one():
        pass

    assert [revision for _, revision in await effects(database)] == [2, 3, 4]
    assert await letters(database) == []
    assert second != first


async def test_letter_whose_predecessor_went_unnoticed_is_freed(
    database_of: DatabaseFactory,
) -> None:
    database = await database_of("assessment")
    account = new_id()
    bad = {account}
    inbox = await an_inbox(database, bad)
    await inbox.take([a_record(a_fact(account, revision=n), n) for n in (1, 2)])
    async with database.transaction() as session:
        # As when the first is done while the second is being parked.
        _ = await session.execute(
            text("DELETE FROM dead_letter WHERE next_attempt_at < 'infinity'")
        )
    bad.clear()

    retrying = asyncio.create_task(inbox.run_retries())
    async with asyncio.timeout(10):
        while await letters(database):
            await asyncio.sleep(0.05)
    _ = retrying.cancel()

    assert [revision for _, revision in await effects(database)] == [2]
