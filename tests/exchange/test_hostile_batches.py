"""Batches that attack are refused whole with a reason, and nothing of them is stored."""

import gzip
import zlib

import pytest

from services.exchange.batches.use_cases import reading
from tests.exchange.batching import Desk, lines, some_records

GOOD = b'{"number":"1"}\n'
LEFT = {"batch", "batch_chunk", "batch_reject", "outbox", "record_count", "receipt_key"}


async def refused(
    desk: Desk, body: bytes, count: int, *, packed: bool = False
) -> list[tuple[int | None, str]]:
    """The faults by row and rule, when the batch is refused and has left nothing."""
    answer = await desk.send(body, count, packed=packed)
    assert answer.status_code == 400, answer.text
    assert {table: await desk.count(table) for table in LEFT} == dict.fromkeys(LEFT, 0)
    assert await desk.count("audit") == 1
    return [(fault.get("row"), fault["rule"]) for fault in answer.json()["errors"]]


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        (b'{"a":' * 17 + b"1" + b"}" * 17, "max_depth"),
        (b"[" * 30_000, "max_depth"),
        (b'{"a":"\x00"}', "nul"),
        (b'{"a":"\\u0000"}', "nul"),
        (b'{"a":"\xff\xfe"}', "utf8"),
        (b'{"a":"\xed\xa0\x80"}', "utf8"),
        (b'{"a":1,"a":2}', "duplicate_name"),
        (b'{"b":{"a":1,"\\u0061":2}}', "duplicate_name"),
        (b'{"a":' + b"9" * 19 + b"}", "number"),
        (b'{"a":1e999}', "number"),
        (b'{"a":0.' + b"1" * 60_000 + b"}", "number"),
        (b'{"a":"' + b"x" * 70_000 + b'"}', "max_bytes"),
    ],
    ids=[
        "deep",
        "open",
        "nul",
        "escaped-nul",
        "utf8",
        "surrogate",
        "twice",
        "twice-escaped",
        "int",
        "inf",
        "digits",
        "long",
    ],
)
async def test_line_that_attacks_refuses_the_whole(desk: Desk, line: bytes, rule: str) -> None:
    assert (2, rule) in await refused(desk, GOOD + line + b"\n" + GOOD, 3)


async def test_every_attack_is_told_at_once(desk: Desk) -> None:
    body = GOOD + b'{"a":1,"a":2}\n' + GOOD + b'{"a":"\x00"}\n'

    assert await refused(desk, body, 4) == [(2, "duplicate_name"), (4, "nul")]


async def test_deep_brackets_inside_text_are_no_depth(desk: Desk) -> None:
    answer = await desk.push({"text": "[" * 100 + '"\\' + "{" * 100})

    assert answer.status_code == 201, answer.text


async def test_backslash_before_u_is_no_nul(desk: Desk) -> None:
    answer = await desk.push({"text": "\\u0000"})

    assert answer.status_code == 201, answer.text


async def test_lone_surrogate_and_nan_are_malformed_records(desk: Desk) -> None:
    answer = await desk.send(b'{"a":"\\ud800"}\n{"a":NaN}\n{"a":1}\n', 3)

    assert answer.status_code == 201, answer.text
    assert await desk.count("batch_reject") == 2


async def test_zip_bomb_is_stopped_on_the_way(desk: Desk) -> None:
    packer = zlib.compressobj(9, wbits=31)
    block = b" " * 1_048_576
    bomb = b"".join(packer.compress(block) for _ in range(400)) + packer.flush()
    headers = {**desk.bureau.headers(bomb, 1), **desk.system, "Content-Encoding": "gzip"}

    answer = await desk.client.post("/api/v1/exchange/batches", content=bomb, headers=headers)

    assert (answer.status_code, answer.json()["errors"][0]["rule"]) == (400, "max_bytes")
    assert await desk.count("batch") == 0


@pytest.mark.parametrize(
    "body",
    [
        b"plain",
        gzip.compress(GOOD)[:-4],
        gzip.compress(GOOD) + b"more",
        gzip.compress(GOOD) + gzip.compress(GOOD),
    ],
    ids=["plain", "cut", "tail", "two"],
)
async def test_what_is_not_one_whole_gzip_stream_is_refused(desk: Desk, body: bytes) -> None:
    headers = {**desk.bureau.headers(body, 1), **desk.system, "Content-Encoding": "gzip"}

    answer = await desk.client.post("/api/v1/exchange/batches", content=body, headers=headers)

    assert (answer.status_code, answer.json()["errors"][0]["rule"]) == (400, "gzip")


async def test_body_over_the_limit_is_refused_unread(desk: Desk) -> None:
    body = b"x" * (32 * 1024 * 1024 + 1)

    answer = await desk.send(body, 1)

    assert answer.status_code == 413
    assert await desk.count("batch") == 0


async def test_too_many_records_are_refused(desk: Desk) -> None:
    assert await refused(desk, b"{}\n" * 50_001, 50_000) == [(None, "max_records")]


async def test_file_that_is_no_ndjson_at_all_is_refused(desk: Desk) -> None:
    assert await refused(desk, b"x\n" * 1_001, 1_001) == [(None, "ndjson")]


async def test_empty_body_is_refused(desk: Desk) -> None:
    assert await refused(desk, b"", 1) == [(None, "count")]


async def test_two_batches_side_by_side_keep_their_chunks_apart(desk: Desk) -> None:
    with reading.spool() as one, reading.spool() as two:
        for file, number in ((one, 201), (two, 1)):
            _ = file.write(lines(*some_records(number)))
        sizes = [[chunk.rows for chunk in reading.examine(file).chunks] for file in (one, two)]

    assert sizes == [[200, 1], [1]]


@pytest.mark.timeout(20)
async def test_text_without_an_end_costs_no_more_than_its_length(desk: Desk) -> None:
    line = b'{"a":' + b"[]" * 17 + b'"' + b'\\"' * 30_000
    assert len(line) < reading.MAX_LINE

    answer = await desk.send(GOOD + (line + b"\n") * 20, 21)

    assert answer.status_code in {201, 400}
