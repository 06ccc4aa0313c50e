"""Receipts: signed, kept as the exact bytes, verifiable years later with the published keys."""

import base64
import hashlib
from typing import Any

import orjson
import pytest

from services.exchange.peers.use_cases.receipt_keys import read_signed
from shared.events.records import Fault
from tests.conftest import once
from tests.exchange.batching import BASE, Desk, a_verdict, lines, some_records

FAULT = Fault(field="version", rule="positive", message="must be positive")


async def keys_of(desk: Desk) -> list[dict[str, Any]]:
    return (await desk.client.get(f"{BASE}/keys")).json()["keys"]


async def test_first_receipt_tells_what_came_and_is_signed(desk: Desk) -> None:
    body = lines(*some_records(3))

    answer = await desk.send(body, 3, number="B-1")

    assert answer.headers["content-type"] == "application/jose"
    receipt = read_signed(answer.content, await keys_of(desk))
    assert (receipt["stage"], receipt["result"], receipt["records"], receipt["number"]) == (
        1,
        "RECEIVED",
        3,
        "B-1",
    )
    assert (
        receipt["digest"] == f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"
    )
    assert (await desk.get(f"batches/{receipt['batch_id']}/receipts/1")).content == answer.content


async def test_second_receipt_lists_every_reject_with_row_field_and_rule(desk: Desk) -> None:
    first = await desk.send(lines(*some_records(2)) + b"3\n", 3)
    ((fact, _),) = await desk.chunks()
    await desk.judge(a_verdict(fact, 2, row_2=[FAULT]))

    path = f"batches/{fact.batch_id}/receipts/2"
    answers = [(await desk.get(path)).content for _ in range(2)]

    assert answers[0] == answers[1]
    receipt = read_signed(answers[0], await keys_of(desk))
    assert (receipt["accepted"], receipt["unchanged"], receipt["rejected"]) == (1, 0, 2)
    assert [
        (reject["row"], reject["key"], reject["faults"][0]["rule"]) for reject in receipt["rejects"]
    ] == [
        (2, "FG-2", "positive"),
        (3, None, "json_object"),
    ]
    assert receipt["previous_receipt_sha256"] == hashlib.sha256(first.content).hexdigest()


async def test_receipts_hold_after_the_key_has_changed(desk: Desk) -> None:
    old = await desk.push(*some_records(1), number="B-1")
    rotated = await desk.client.post(f"{BASE}/keys/rotations", headers=once(desk.administrator))
    new = await desk.push(*some_records(1), number="B-2")
    repeat = await desk.push(*some_records(1), number="B-1")

    keys = await keys_of(desk)
    assert rotated.status_code == 204
    assert (
        await desk.client.post(f"{BASE}/keys/rotations", headers=once(desk.system))
    ).status_code == 403
    assert len(keys) == 2
    assert read_signed(old.content, keys)["number"] == "B-1"
    assert read_signed(new.content, keys)["number"] == "B-2"
    assert repeat.content == old.content
    with pytest.raises(ValueError, match="does not hold"):
        _ = read_signed(new.content, keys[:1])


async def test_tampered_receipt_does_not_hold(desk: Desk) -> None:
    receipt = (await desk.push(*some_records(1))).content
    header, payload, signature = receipt.split(b".")
    document = orjson.loads(base64.urlsafe_b64decode(payload + b"=="))
    document["records"] = 2
    forged = base64.urlsafe_b64encode(orjson.dumps(document)).rstrip(b"=")

    for token in (b".".join((header, forged, signature)), b"x", b"", b"a.b.c"):
        with pytest.raises(ValueError, match="does not hold"):
            _ = read_signed(token, await keys_of(desk))


async def test_published_keys_hold_nothing_private(desk: Desk) -> None:
    assert {frozenset(key) for key in await keys_of(desk)} == {
        frozenset({"kty", "crv", "x", "kid", "use", "alg"})
    }
