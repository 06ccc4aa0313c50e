"""Signed batches: taken in whole or refused whole, once, and every record gets its verdict."""

import asyncio
import tracemalloc
from collections import Counter
from datetime import timedelta
from typing import Any

import orjson
import pytest
from sqlalchemy import select

from services.exchange.batches.schemas import MAX_RECORDS
from services.exchange.peers.model import Peer
from shared import clock
from shared.events.exchange import BatchFinished, RecordRejected
from shared.events.ratings import RatingRecordsJudged
from shared.events.records import Fault
from tests.conftest import TokenFactory, published
from tests.exchange.batching import Bureau, Desk, a_verdict, lines, some_records

OTHER_CITY = "540200000000"


async def audited(desk: Desk) -> list[tuple[str, Any]]:
    connection = await desk.client.database.connect()
    try:
        rows = await connection.fetch("SELECT action, detail FROM audit ORDER BY id")
    finally:
        await connection.close()
    return [(row["action"], orjson.loads(row["detail"])) for row in rows]


async def test_batch_goes_out_in_sealed_chunks_in_their_order(desk: Desk) -> None:
    answer = await desk.push(*some_records(450))

    assert answer.status_code == 201, answer.text
    chunks = await desk.chunks()
    assert [
        (fact.chunk, fact.chunks, fact.first_row, len(records)) for fact, records in chunks
    ] == [
        (1, 3, 1, 200),
        (2, 3, 201, 200),
        (3, 3, 401, 50),
    ]
    assert [record for _, records in chunks for record in records] == some_records(450)
    assert {fact.key for fact, _ in chunks} == {"fangguan/cases"}
    assert "房屋登记" not in chunks[0][0].model_dump_json()


async def test_chunks_of_large_records_stay_below_the_limit_of_the_bus(desk: Desk) -> None:
    records = [{"number": n, "text": "藏" * 15_000} for n in range(60)]

    answer = await desk.push(*records)

    assert answer.status_code == 201, answer.text
    chunks = await desk.chunks()
    assert [record for _, part in chunks for record in part] == records
    assert all(len(orjson.dumps(part)) <= 500_000 for _, part in chunks)


async def test_packed_batch_is_as_a_plain_one(desk: Desk) -> None:
    answer = await desk.send(lines(*some_records(3)), 3, packed=True)

    assert answer.status_code == 201, answer.text
    assert [records for _, records in await desk.chunks()] == [some_records(3)]


async def test_repeat_gets_the_same_receipt_byte_for_byte_and_has_no_effect(desk: Desk) -> None:
    first = await desk.push(*some_records(5), number="B-1")
    again = await desk.push(*some_records(5), number="B-1")

    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    assert again.headers["idempotent-replayed"] == "true"
    assert await desk.count("batch") == 1
    assert len(await desk.chunks()) == 1


async def test_hundred_equal_batches_at_once_have_one_effect(desk: Desk) -> None:
    answers = await asyncio.gather(*(desk.push(*some_records(5), number="B-1") for _ in range(100)))

    assert Counter(answer.status_code for answer in answers) == {201: 100}
    assert len({answer.content for answer in answers}) == 1
    assert (await desk.count("batch"), await desk.count("outbox")) == (1, 1)


async def test_same_id_with_other_bytes_is_a_conflict(desk: Desk) -> None:
    _ = await desk.push(*some_records(5), number="B-1")

    other = await desk.push(*some_records(6), number="B-1")

    assert other.status_code == 409
    assert await desk.count("batch") == 1


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"forged": {"Batch-Signature": "A" * 86 + "=="}}, 401, "invalid_signature"),
        ({"key_id": "unknown"}, 401, "invalid_signature"),
        ({"created": (clock.now() - timedelta(hours=1)).isoformat()}, 401, "invalid_signature"),
        ({"created": (clock.now() + timedelta(hours=1)).isoformat()}, 401, "invalid_signature"),
        ({"created": "2026-11-27T10:00:00"}, 400, "invalid_input"),
        ({"forged": {"Batch-Id": "another"}}, 401, "invalid_signature"),
        ({"forged": {"Batch-Records": "7"}}, 401, "invalid_signature"),
        ({"records": 7}, 400, "invalid_input"),
        ({"digest": b"x" * 32}, 400, "invalid_input"),
        ({"resource": "licenses"}, 403, "forbidden"),
        ({"area_code": OTHER_CITY}, 403, "forbidden"),
    ],
)
async def test_batch_that_is_not_as_signed_or_not_allowed_is_refused_whole(
    desk: Desk, changes: dict[str, Any], status: int, code: str
) -> None:
    answer = await desk.push(*some_records(5), **changes)

    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert [
        await desk.count(table) for table in ("batch", "batch_chunk", "outbox", "record_count")
    ] == [0] * 4
    expected = [] if changes.get("created") == "2026-11-27T10:00:00" else [("batch.refuse", code)]
    assert [(action, detail["code"]) for action, detail in await audited(desk)] == expected


async def test_batch_under_a_retired_key_is_refused_whole(desk: Desk) -> None:
    first = await desk.push(*some_records(5))
    async with desk.client.database.transaction() as session:
        peer = await session.scalar(select(Peer))
        assert peer is not None
        peer.retire_key("k1", now=clock.now())

    answer = await desk.push(*some_records(6))

    assert first.status_code == 201
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_signature")
    assert await desk.count("batch") == 1


async def test_malformed_headers_are_told_all_at_once(desk: Desk) -> None:
    answer = await desk.push(
        *some_records(1), forged={"Batch-Area": "54", "Batch-Records": "0", "Content-Digest": "md5"}
    )

    assert answer.status_code == 400
    assert {fault["field"] for fault in answer.json()["errors"]} == {
        "batch-area",
        "batch-records",
        "content-digest",
    }


async def test_only_an_active_peer_with_the_scope_may_push(desk: Desk, token: TokenFactory) -> None:
    body = lines(*some_records(1))
    strangers = [
        token(kind="system", scope="exchange:push"),
        token(kind="system", sub=str(desk.bureau.account), scope="cases:push"),
        token(sub=str(desk.bureau.account)),
        desk.administrator,
    ]
    for stranger in strangers:
        desk.system = stranger
        assert (await desk.send(body, 1)).status_code == 403
    sleeping = Bureau(code="sleeping")
    _ = await sleeping.enter(desk.client.database, active=False)
    desk.bureau, desk.system = (
        sleeping,
        token(kind="system", sub=str(sleeping.account), scope="exchange:push"),
    )
    assert (await desk.send(body, 1)).status_code == 403


async def test_lines_that_are_no_objects_come_back_with_their_row_and_the_others_go_on(
    desk: Desk,
) -> None:
    body = b'{"number":1}\nnot json\n[1]\n\n{"number":5}\n{"number":6}'

    answer = await desk.send(body, 6)

    assert answer.status_code == 201, answer.text
    chunks = await desk.chunks()
    assert [(fact.first_row, records) for fact, records in chunks] == [
        (1, [{"number": 1}]),
        (5, [{"number": 5}, {"number": 6}]),
    ]
    await desk.judge(a_verdict(chunks[0][0], 1), a_verdict(chunks[1][0], 2))
    batch = (await desk.get("batches")).json()["items"][0]
    assert (batch["state"], batch["accepted"], batch["rejected"]) == ("finished", 3, 3)


async def test_batch_without_one_sound_line_is_finished_at_once(desk: Desk) -> None:
    answer = await desk.send(b"1\n2\n", 2)

    assert answer.status_code == 201, answer.text
    batch = (await desk.get("batches")).json()["items"][0]
    assert (batch["state"], batch["rejected"], batch["chunks"]) == ("finished", 2, 0)
    facts = [envelope.event() for envelope in await published(desk.client.database)]
    assert [type(fact) for fact in facts] == [RecordRejected, BatchFinished]


async def test_last_verdict_finishes_the_batch_and_a_repeat_changes_nothing(desk: Desk) -> None:
    _ = await desk.push(*some_records(250))
    (first, _), (second, _) = await desk.chunks()
    fault = Fault(field="matter_code", rule="known_matter", message="no such matter")

    await desk.judge(a_verdict(first, 200, row_3=[fault]))
    half = (await desk.get(f"batches/{first.batch_id}")).json()
    early = await desk.get(f"batches/{first.batch_id}/receipts/2")
    # The same answers under new event ids: the services may say it twice.
    await desk.judge(
        a_verdict(first, 200, row_3=[fault]), a_verdict(second, 50), a_verdict(second, 50)
    )
    whole = (await desk.get(f"batches/{first.batch_id}")).json()

    assert (half["state"], half["chunks_judged"], half["accepted"], half["rejected"]) == (
        "judging",
        1,
        199,
        1,
    )
    assert early.status_code == 404
    assert (whole["state"], whole["accepted"], whole["rejected"], whole["waiting_seconds"]) == (
        "finished",
        249,
        1,
        0,
    )
    facts = [envelope.event() for envelope in await published(desk.client.database)]
    rejected = [fact for fact in facts if isinstance(fact, RecordRejected)]
    finished = [fact for fact in facts if isinstance(fact, BatchFinished)]
    assert [fact.faults for fact in rejected] == [[{"row": 3, **fault.model_dump()}]]
    assert [(fact.accepted, fact.unchanged, fact.rejected) for fact in finished] == [(249, 0, 1)]


async def test_verdict_of_another_service_or_on_an_unknown_batch_counts_for_nothing(
    desk: Desk,
) -> None:
    _ = await desk.push(*some_records(2))
    ((fact, _),) = await desk.chunks()
    stranger = fact.model_copy(update={"batch_id": Bureau().account})

    await desk.judge(a_verdict(fact, 2, kind=RatingRecordsJudged), a_verdict(stranger, 2))

    assert (await desk.get(f"batches/{fact.batch_id}")).json()["state"] == "received"
    assert await desk.count("dead_letter") == 0


async def test_verdict_that_leaves_a_row_out_is_set_aside_for_a_person(desk: Desk) -> None:
    _ = await desk.push(*some_records(3))
    ((fact, _),) = await desk.chunks()

    await desk.judge(a_verdict(fact, 2))

    assert (await desk.get(f"batches/{fact.batch_id}")).json()["state"] == "received"
    assert await desk.count("dead_letter") == 1


async def test_batch_that_waits_too_long_is_told_as_overdue(desk: Desk) -> None:
    _ = await desk.push(*some_records(1))
    connection = await desk.client.database.connect()
    _ = await connection.execute(
        "UPDATE batch SET received_at = received_at - interval '31 minutes'"
    )
    await connection.close()

    batch = (await desk.get("batches")).json()["items"][0]
    figures = (await desk.get("statistics/batches")).json()

    assert (batch["state"], batch["overdue"]) == ("judging", True)
    assert 1860 <= batch["waiting_seconds"] <= 1900
    assert (figures[0]["in_judgement"], figures[0]["oldest_waiting_seconds"] >= 1860) == (1, True)


async def test_peer_sees_its_own_batches_and_figures_alone_and_an_administrator_all(
    desk: Desk, token: TokenFactory
) -> None:
    _ = await desk.push(*some_records(4), number="B-1")
    ((fact, _),) = await desk.chunks()
    fault = Fault(field="version", rule="positive", message="must be positive")
    await desk.judge(a_verdict(fact, 4, row_1=[fault], row_4=[fault]))
    other = Bureau(code="other")
    _ = await other.enter(desk.client.database)
    stranger = token(kind="system", sub=str(other.account), scope="exchange:push")

    for path in ("", "/receipts/1", "/receipts/2"):
        assert (await desk.get(f"batches/{fact.batch_id}{path}", stranger)).status_code == 404
    assert (await desk.get("batches", stranger)).json()["items"] == []
    assert (await desk.get("statistics/batches", stranger)).json() == []
    for reader in (desk.system, desk.administrator):
        assert (await desk.get("batches?number=B-1", reader)).json()["items"][0]["id"] == str(
            fact.batch_id
        )
        (figures,) = (await desk.get("statistics/batches", reader)).json()
        assert (figures["received"], figures["accepted"], figures["rejected"]) == (4, 2, 2)
        assert figures["rejected_by_rule"] == {"positive": 2}
    assert (await desk.get("batches?number=B-2")).json()["items"] == []
    assert (
        await desk.get(f"batches/{fact.batch_id}/receipts/1", desk.administrator)
    ).status_code == 403


async def test_list_goes_on_where_the_page_before_ended(desk: Desk) -> None:
    for number in range(5):
        _ = await desk.push(*some_records(1), number=f"B-{number}")

    first = (await desk.get("batches?limit=3")).json()
    second = (await desk.get(f"batches?limit=3&cursor={first['next']}")).json()

    assert [row["number"] for row in first["items"] + second["items"]] == [
        "B-4",
        "B-3",
        "B-2",
        "B-1",
        "B-0",
    ]
    assert second["next"] is None


async def test_memory_stays_flat_at_the_limit(desk: Desk) -> None:
    body = lines(
        *(
            {"source_number": f"FG-{n}", "version": 1, "title": "登" * 180}
            for n in range(MAX_RECORDS)
        )
    )

    async def parts() -> Any:
        for start in range(0, len(body), 65_536):
            yield body[start : start + 65_536]

    headers = {**desk.bureau.headers(body, MAX_RECORDS), **desk.system}
    _ = await desk.push(*some_records(1))
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    answer = await desk.client.post("/api/v1/exchange/batches", content=parts(), headers=headers)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert answer.status_code == 201, answer.text
    assert len(body) > 28_000_000
    assert peak - before < 24_000_000, f"{(peak - before) / 1e6:.0f} MB"
    assert await desk.count("batch_chunk") == 251
