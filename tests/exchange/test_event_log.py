"""The event log: each visible fact once, without a gap, with nothing that must stay inside."""

import asyncio
import hashlib
import time
from typing import Any

import orjson
import pytest
from cloudevents.core.v1.event import CloudEvent
from jsonschema import Draft202012Validator

from services.exchange.consumer import consumer
from services.exchange.events.model.external import BY_FACT, NEVER, TABLE, types_of
from services.exchange.events.timers import Pruner
from shared import clock
from shared.context import Context, using
from shared.events.assessment import DailyReportPublished
from shared.events.base import registered_events
from shared.events.cases import CaseAccepted, CaseClosed, CaseReceived, LightRaised
from shared.events.ratings import (
    BadRatingOpened,
    BadRatingRectified,
    RatingExcluded,
    RatingPublished,
    RatingRerated,
    RatingSupplemented,
)
from shared.ids import new_id
from shared.messaging.inbox import Inbox
from tests.builders.events import a_record
from tests.builders.matters import CITY
from tests.conftest import DatabaseFactory
from tests.exchange.conftest import ACCEPTED, BASE, Bureau, a_case
from tests.exchange.region import a_rating


async def test_envelope_tells_what_the_protocol_asks(bureau: Bureau) -> None:
    fact = a_case(CaseAccepted, revision=3)
    with using(Context(actor="somebody", request_id="request-1", causation="cause-1")):
        (event_id,) = await bureau.happen(fact)

    (row,) = await bureau.rows("SELECT payload FROM logged_event")
    document = orjson.loads(row["payload"])
    data = document.pop("data")
    canonical = orjson.dumps(data, option=orjson.OPT_SORT_KEYS)
    recorded = document.pop("recordedtime")
    assert document == {
        "specversion": "1.0",
        "id": event_id,
        "source": "/city/540100/cases/case",
        "type": ACCEPTED,
        "subject": fact.key,
        "time": orjson.loads(orjson.dumps(fact.model_dump(mode="json")["occurred_at"])),
        "datacontenttype": "application/json",
        "dataschema": f"http://127.0.0.1:8000/api/v1/exchange/schemas/{ACCEPTED}",
        "dataclassification": "2",
        "partitionkey": fact.key,
        "sequence": f"{1:020d}",
        "entityversion": "3",
        "recorddigest": hashlib.sha256(canonical).hexdigest(),
        "canonver": "1",
        "correlationid": "request-1",
        "causationid": "cause-1",
    }
    assert recorded
    attributes: dict[str, Any] = {name: value for name, value in document.items() if name != "time"}
    assert CloudEvent(attributes, data).get_id() == event_id


async def test_sealed_fields_accounts_and_actors_never_leave(bureau: Bureau) -> None:
    with using(Context(actor="clerk-17")):
        facts = [a_case(CaseAccepted, contact="SEALED"), a_case(CaseClosed, contact="SEALED")]
        _ = await bureau.happen(*facts)

    text = b"".join(
        row["payload"] for row in await bureau.rows("SELECT payload FROM logged_event")
    ).decode()
    for secret in ("SEALED", "clerk-17", *(str(fact.account_id) for fact in facts)):  # pyright: ignore[reportAttributeAccessIssue]
        assert secret not in text


def test_no_external_type_shows_a_field_that_must_stay_inside() -> None:
    assert {name for external in TABLE for name in external.shown} & NEVER == set()
    sealed = {
        name: kind
        for name, kind in registered_events().items()
        if name in BY_FACT and "sealed" in "".join(base.__doc__ or "" for base in kind.__mro__)
    }
    for name, kind in sealed.items():
        told = "".join(base.__doc__ or "" for base in kind.__mro__[:2])
        hidden = [
            field
            for field in kind.model_fields
            if f"`{field}` is sealed" in told or f"`{field}` as in" in told
        ]
        assert not set(hidden) & set(BY_FACT[name].shown), name


async def test_data_holds_to_its_published_schema(bureau: Bureau) -> None:
    _ = await bureau.happen(a_case(), a_case(CaseAccepted), a_case(CaseClosed))

    for row in await bureau.rows("SELECT type, payload FROM logged_event"):
        answer = await bureau.client.get(f"{BASE}/schemas/{row['type']}")
        schema = answer.json()
        Draft202012Validator.check_schema(schema)
        Draft202012Validator(schema).validate(orjson.loads(row["payload"])["data"])
        assert schema["$id"] == orjson.loads(row["payload"])["dataschema"]


async def test_every_type_has_its_schema_at_its_address(bureau: Bureau) -> None:
    listed = (await bureau.client.get(f"{BASE}/schemas")).json()["items"]

    assert [item["type"] for item in listed] == list(types_of("lhasa"))
    for item in listed:
        answer = await bureau.client.get(f"{BASE}/schemas/{item['type']}")
        assert answer.status_code == 200
        Draft202012Validator.check_schema(answer.json())
    assert (
        await bureau.client.get(f"{BASE}/schemas/cn.gov.lhasa.cases.case.unknown.v1")
    ).status_code == 404


async def test_internal_facts_stay_inside(bureau: Bureau) -> None:
    assert not consumer.listens_to(LightRaised.wire_type)
    assert {"tongban.identity"} & set(consumer.topics) == set()


async def test_redelivered_facts_are_logged_once(database_of: DatabaseFactory) -> None:
    database = await database_of("exchange")
    inbox = Inbox(database, None, consumer=consumer)  # pyright: ignore[reportArgumentType]
    records = [a_record(a_case(revision=n), n) for n in range(1, 6)]

    await inbox.take(records + records[2:])
    await inbox.take(records)
    connection = await database.connect()
    _ = await connection.execute(
        "DELETE FROM inbox"
    )  # As after 90 days: the log itself knows them still.
    await inbox.take([*records, a_record(a_case())])
    rows = await connection.fetch("SELECT sequence, payload FROM logged_event ORDER BY sequence")
    await connection.close()

    assert [row["sequence"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [orjson.loads(row["payload"])["sequence"] for row in rows] == [
        f"{n:020d}" for n in range(1, 7)
    ]


async def test_reader_beside_many_writers_misses_nothing(database_of: DatabaseFactory) -> None:
    database = await database_of("exchange")
    seen, done = list[int](), asyncio.Event()

    async def write() -> None:
        inbox = Inbox(database, None, consumer=consumer)  # pyright: ignore[reportArgumentType]
        for _ in range(10):
            await inbox.take([a_record(a_case()) for _ in range(7)])

    async def read() -> None:
        connection = await database.connect()
        finished = False
        while not finished:
            finished = done.is_set()
            last = seen[-1] if seen else 0
            rows = await connection.fetch(
                "SELECT sequence FROM logged_event WHERE sequence > $1 ORDER BY sequence", last
            )
            seen.extend(row["sequence"] for row in rows)
        await connection.close()

    reading = asyncio.create_task(read())
    _ = await asyncio.gather(*(write() for _ in range(4)))
    done.set()
    await reading

    assert seen == list(range(1, 281))


async def test_log_forgets_by_age_with_its_deliveries_and_numbers_go_on(bureau: Bureau) -> None:
    _ = await bureau.subscribe()
    _ = await bureau.happen(*(a_case() for _ in range(4)))
    _ = await bureau.rows(
        "UPDATE logged_event SET logged_at = now() - interval '91 days' WHERE sequence <= 3"
    )

    await Pruner(bureau.client.app.state.settings).run(bureau.client.database, bureau.now)
    _ = await bureau.happen(a_case())

    assert [
        row["sequence"] for row in await bureau.rows("SELECT sequence FROM logged_event ORDER BY 1")
    ] == [4, 5]
    (head,) = await bureau.rows("SELECT sequence, pruned FROM log_head")
    assert (head["sequence"], head["pruned"]) == (5, 3)


@pytest.mark.parametrize("number", [5000])
async def test_thousands_of_facts_a_second_are_logged(
    database_of: DatabaseFactory, number: int
) -> None:
    database = await database_of("exchange")
    inbox = Inbox(database, None, consumer=consumer)  # pyright: ignore[reportArgumentType]
    records = [a_record(a_case(CaseReceived, new_id())) for _ in range(number)]

    started = time.perf_counter()
    for start in range(0, number, 500):
        await inbox.take(records[start : start + 500])
    rate = number / (time.perf_counter() - started)

    print(f"{rate:.0f} facts a second")
    assert rate > 500  # Measured about ten times that; a row at a time would be far below.


async def test_anonymous_rating_leads_to_no_case_and_keeps_its_order(bureau: Bureau) -> None:
    case_id, place = new_id(), ("area_code", "department_code", "service_number", "stage")
    first = a_rating(case_id=case_id, real_name=False, revision=1)
    nothing: dict[str, Any] = dict.fromkeys(
        ("matter_id", "matter_code", "matter_name", "hall", "window")
    )
    about: dict[str, Any] = {
        **nothing,
        **{
            name: getattr(first, name)
            for name in (*place, "case_number", "subject_id", "rating_id")
        },
        "case_id": case_id,
        "occurred_at": bureau.now,
    }
    ticket: dict[str, Any] = {**about, "ticket_id": new_id(), "grade": 2}
    due: dict[str, Any] = {
        "callback_due_on": first.rated_on,
        "rectify_due_on": first.rated_on,
        "reopened": False,
    }
    counted: dict[str, Any] = {
        name: getattr(first, name) for name in ("grade", "rated_on", "pf", "sub_channel")
    }
    _ = await bureau.happen(
        first,
        RatingSupplemented(**about, real_name=False, text="补充", revision=2),
        BadRatingOpened(**ticket, **due, real_name=False, revision=3),
        BadRatingRectified(**ticket, in_time=True, explained=False, real_name=False, revision=4),
        RatingRerated(**ticket, satisfied=True, regrade=4, real_name=False, revision=5),
        RatingPublished(
            **about, grade=2, revision=6
        ),  # As it was told before it said whether there is a name.
        RatingExcluded(**about, **counted, real_name=False, reason="误评", revision=7),
    )

    rows = await bureau.rows("SELECT key, type, payload FROM logged_event ORDER BY sequence")
    documents = [orjson.loads(row["payload"]) for row in rows]
    for secret in (case_id, first.subject_id, first.case_number):
        assert str(secret) not in str(documents)
    told = {
        (row["key"], one["partitionkey"], one["subject"])
        for row, one in zip(rows, documents, strict=True)
    }
    assert told == {(str(first.rating_id),) * 3}
    assert [one["entityversion"] for one in documents] == list("1234567")
    types = types_of("lhasa")
    for one in documents:
        Draft202012Validator(types[one["type"]].schema).validate(one["data"])


async def test_rating_under_a_name_is_told_with_its_case(bureau: Bureau) -> None:
    fact = a_rating(case_id=new_id())
    _ = await bureau.happen(fact)

    (row,) = await bureau.rows("SELECT key, payload FROM logged_event")
    document = orjson.loads(row["payload"])
    assert (row["key"], document["partitionkey"]) == (fact.key, fact.key)
    assert {name: document["data"][name] for name in ("subject_id", "case_id", "case_number")} == {
        "subject_id": str(fact.subject_id),
        "case_id": str(fact.case_id),
        "case_number": fact.case_number,
    }


async def test_public_report_leaves_out_what_ratings_come_to(bureau: Bureau) -> None:
    places = [{"area_code": CITY, "department_code": department} for department in ("D1", "D2")]
    ratings = {"ratings_mobile": 3, "ratings_bad": 1, "ratings_excluded": 1, "bad_ratings_open": 1}
    figures = [
        {**places[0], "figures": {"cases_closed": 2, **ratings}},
        {**places[1], "figures": ratings},
    ]
    fact = DailyReportPublished(
        report_id=new_id(),
        day=clock.local_date(bureau.now),
        figures=figures,
        reason=None,
        published_by="supervisor",
        published_at=bureau.now,
        revision=1,
        occurred_at=bureau.now,
    )
    _ = await bureau.happen(fact)

    (row,) = await bureau.rows("SELECT payload FROM logged_event")
    assert orjson.loads(row["payload"])["data"]["figures"] == [
        {**places[0], "figures": {"cases_closed": 2}}
    ]
