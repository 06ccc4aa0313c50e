"""The ledger: one row per key, fed by facts, with digests that PostgreSQL and Python make alike."""

import random
from datetime import date, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.exchange.consumer import consumer
from services.exchange.region.queries import ledger as queries_ledger
from services.exchange.region.use_cases import ledger
from shared import clock
from shared.database.session import Database
from shared.domain.recon import WORD, Entry, canonical, digest, entry, fingerprint, loose, stream
from shared.events.base import Event
from shared.events.cases import CaseImported, CaseWithdrawn, ResultDelivered
from shared.events.ratings import RatingExcluded
from shared.messaging.inbox import Inbox
from tests.builders.events import a_record
from tests.conftest import DatabaseFactory
from tests.exchange.region import DAY, a_case, a_life, a_rating, many_cases


@pytest.fixture
async def database(database_of: DatabaseFactory) -> Database:
    return await database_of("exchange")


async def take(database: Database, *events: Event) -> None:
    await Inbox(database, None, consumer=consumer).take([a_record(event) for event in events])  # pyright: ignore[reportArgumentType]


async def rows(database: Database) -> list[Any]:
    connection = await database.connect()
    try:
        return await connection.fetch("SELECT * FROM ledger ORDER BY resource, key")
    finally:
        await connection.close()


async def test_life_of_a_case_is_one_row_in_its_newest_version(database: Database) -> None:
    life = a_life(a_case(1))

    await take(database, *life)
    (row,) = await rows(database)

    record = orjson.loads(row["record"])
    assert (row["resource"], row["key"], row["version"], row["day"]) == (
        "cases",
        "540100000001",
        5,
        DAY,
    )
    assert (record["receive_date"], record["accept_date"], record["result_date"]) == (
        str(DAY),
        str(DAY),
        str(DAY),
    )
    assert (record["event_name"], record["event_time"], record["result_type"]) == (
        "办结",
        "2026-11-20T08:00:01Z",
        "0",
    )
    assert row["record"] == canonical(record)


async def test_change_after_a_row_is_there_is_an_update_and_waits_to_be_sent(
    database: Database,
) -> None:
    case, *later = a_life(a_case(1))
    await take(database, case)
    (first,) = await rows(database)
    connection = await database.connect()
    _ = await connection.execute("UPDATE ledger SET push_state = 'accepted'")
    await connection.close()

    await take(database, *later)
    (second,) = await rows(database)

    assert (first["op"], second["op"], second["push_state"]) == ("I", "U", "waiting")
    assert second["last_seq"] > first["last_seq"]


async def test_older_fact_that_comes_late_changes_nothing(database: Database) -> None:
    case, accepted, decided, _ = a_life(a_case(1))
    await take(database, case, accepted, decided)
    before = await rows(database)

    await take(database, accepted, case)

    assert await rows(database) == before


async def test_window_stays_the_day_of_receipt_whatever_comes_later(database: Database) -> None:
    case = a_case(1)
    moved = case.model_copy(update={"received_on": DAY + timedelta(days=3), "revision": 9})

    await take(database, case)
    await take(database, moved)
    (row,) = await rows(database)

    assert (row["version"], row["day"]) == (9, DAY)


async def test_withdrawn_and_delivered_cases_tell_so(database: Database) -> None:
    one, two = a_case(1), a_case(2)
    about = one.model_dump(
        exclude={"received_on", "acceptance_due_on", "license_materials", "licenses_used"}
    )
    other = {**about, "case_id": two.case_id, "number": two.number}
    await take(database, one, two)

    await take(
        database,
        CaseWithdrawn(**{**about, "revision": 3}),
        ResultDelivered(**{**other, "revision": 3}, method="post", delivered_on=DAY),
    )

    first, second = [orjson.loads(row["record"]) for row in await rows(database)]
    assert first["event_name"] == "撤回"
    assert (second["event_name"], second["delivery_type"], second["delivery_date"]) == (
        "送达",
        "post",
        str(DAY),
    )


async def test_imported_cases_of_two_bureaus_with_one_number_are_two_rows(
    database: Database,
) -> None:
    about = a_case(1).model_dump(
        exclude={"received_on", "acceptance_due_on", "license_materials", "licenses_used"}
    )
    imported = {
        **about,
        "number": "fangguan:1",
        "channel": "import",
        "source_system": "fangguan",
        "source_number": "1",
        "source_version": 1,
        "state": "closed",
        "received_on": DAY,
        "accepted_on": DAY,
        "closed_on": DAY,
        "result": "0",
        "overdue": True,
    }
    elsewhere = {
        **imported,
        "area_code": "540200000000",
        "received_on": None,
        "accepted_on": None,
        "closed_on": None,
    }

    await take(database, CaseImported(**imported), CaseImported(**elsewhere))

    first, second = await rows(database)
    assert (first["day"], second["day"]) == (DAY, clock.local_date(about["occurred_at"]))
    assert (
        orjson.loads(first["record"])["is_overdue"],
        "result_state" in orjson.loads(second["record"]),
    ) == (
        "1",
        False,
    )


async def test_excluded_rating_stays_and_is_told_as_not_counting(database: Database) -> None:
    rating = a_rating()
    excluded = RatingExcluded.model_validate(
        {**rating.model_dump(), "revision": 3, "reason": "恶意差评，两人复核"},
    )

    await take(database, rating, excluded)
    (row,) = await rows(database)

    record = orjson.loads(row["record"])
    assert (row["resource"], row["version"], record["is_effective"], record["satisfaction"]) == (
        "ratings",
        3,
        "0",
        "5",
    )
    assert (record["eval_detail"], record["writing_evaluation"]) == ("510,511", "很好")


def python_entry(row: Any) -> Entry:
    return entry(
        stream(row["resource"]),
        key=row["key"],
        version=row["version"],
        op=row["op"],
        rd=digest(row["record"]),
    )


async def test_digests_of_postgresql_equal_those_of_python(database: Database) -> None:
    await take(database, *many_cases(300), *(a_rating(text=f"好 {n}") for n in range(5)))

    for row in await rows(database):
        assert python_entry(row) == Entry(row["b1"], row["b2"], row["d1"] % WORD, row["d2"] % WORD)
        assert bytes(row["rd"]) == digest(row["record"])
        assert bytes(row["loose"]) == digest(loose(orjson.loads(row["record"])))


async def test_sums_of_every_level_equal_those_of_python(database: Database) -> None:
    await take(database, *many_cases(300))
    found = [row for row in await rows(database) if row["resource"] == "cases"]
    random.Random(3).shuffle(found)

    async with database.reading() as session:
        days = await queries_ledger.sums_of_days(
            session, "cases", first=DAY - timedelta(days=9), last=DAY
        )
        children = await queries_ledger.sums_below_days(session, "cases", days=[DAY])
        places = list(children)
        smaller = await queries_ledger.sums_below_first_bytes(session, "cases", places=places)

    def expected(*names: str, only: date | None = None) -> dict[Any, Any]:
        groups: dict[Any, list[Entry]] = {}
        for row in found:
            if only in (None, row["day"]):
                groups.setdefault(tuple(row[name] for name in names), []).append(python_entry(row))
        return {place: fingerprint(entries) for place, entries in groups.items()}

    assert days == expected("day")
    assert children == expected("day", "b1", only=DAY)
    assert smaller == expected("day", "b1", "b2", only=DAY)


async def test_strange_text_weighs_the_same_on_both_sides(database: Database) -> None:
    texts = [
        "e\u0301",
        "é",
        " 空白 ",
        "\u3000全角　",
        '"引号"\\',
        "\u0007\u001f",
        "ལྷ་ས།",
        "😀",
        "ｆｕｌｌ",
        "a\nb\t",
    ]
    async with database.transaction() as session:
        given = [
            {
                "key": f"键-{number}-{text.strip()}"[:30],
                "version": 2**40 + number,
                "op": "U",
                "day": str(DAY),
                "area": "a",
                "department": "d",
                "record": canonical({"text": text, "number": number, "none": None}),
                "loose": loose({"text": text, "number": number, "none": None}),
            }
            for number, text in enumerate(texts)
        ]
        await ledger.store(session, "cases", rows=given, now=clock.now())

    for row in await rows(database):
        assert python_entry(row) == Entry(row["b1"], row["b2"], row["d1"] % WORD, row["d2"] % WORD)


TEXT = st.text(max_size=20)
CALM = settings(deadline=None, suppress_health_check=list(HealthCheck))
RECORDS = st.dictionaries(
    st.sampled_from(["a", "b", "c"]), TEXT | st.integers(-(2**53), 2**53) | st.none()
)


@CALM
@given(RECORDS)
def test_canonical_form_is_its_own_canonical_form(record: dict[str, Any]) -> None:
    once = canonical(record)

    assert canonical(orjson.loads(once)) == once
    assert None not in orjson.loads(once).values()


@CALM
@given(st.lists(st.tuples(TEXT, st.integers(1, 9)), min_size=1, max_size=20))
def test_fingerprint_knows_no_order_and_no_doubled_row_cancels(
    items: list[tuple[str, int]],
) -> None:
    entries = [
        entry("s", key=key, version=version, op="I", rd=digest(key)) for key, version in items
    ]
    shuffled = sorted(entries, key=lambda one: one.d1)
    whole = fingerprint(entries)

    assert fingerprint(shuffled) == whole
    assert whole.plus(entries[0]).plus(entries[0]) != whole
    assert whole.plus(entries[0]).minus(entries[0]) == whole


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2026-11-20T08:00:01Z", "2026-11-20"),
        ("2026-11-20 08:00:01", "2026-11-20"),
        ("abc", "ABC"),
        ("食品 经营", "食品经营"),
        ("ｆ", "F"),
    ],
)
def test_loose_form_does_not_see_what_a_column_may_lose(one: str, other: str) -> None:
    assert loose({"a": one, "b": ""}) == loose({"a": other})
    assert canonical({"a": one}) != canonical({"a": other})


def test_loose_form_sees_another_value() -> None:
    assert loose({"a": "1"}) != loose({"a": "2"})


async def test_newer_version_that_is_not_closed_takes_the_result_back(database: Database) -> None:
    about = a_case(1).model_dump(
        exclude={"received_on", "acceptance_due_on", "license_materials", "licenses_used"}
    )
    closed = CaseImported(
        **{
            **about,
            "channel": "import",
            "source_system": "fangguan",
            "source_number": "1",
            "source_version": 1,
            "state": "closed",
            "received_on": DAY,
            "accepted_on": DAY,
            "closed_on": DAY,
            "result": "0",
            "overdue": True,
        }
    )
    reopened = closed.model_copy(
        update={
            "source_version": 2,
            "revision": closed.revision + 1,
            "state": "accepted",
            "closed_on": None,
            "result": None,
        }
    )

    await take(database, closed)
    await take(database, reopened)

    (row,) = await rows(database)
    record = orjson.loads(row["record"])
    assert record["accept_date"] == DAY.isoformat()
    assert not {"result_state", "result_date", "is_overdue", "result_type"} & record.keys()
