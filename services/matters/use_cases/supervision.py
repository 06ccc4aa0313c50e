"""Supervision records (监管行为) that came by batch: each judged, stored by (source, number, version), counted; set by set."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.matters.model import matter
from services.matters.schemas.supervision import SentSupervision, SourceNumber, SupervisedObject
from shared.database import audit
from shared.events.exchange import RecordReceived
from shared.events.matters import SupervisionRecorded, SupervisionRecordsJudged
from shared.events.records import Fault, Verdict, faults_of, number_of
from shared.ids import new_id
from shared.messaging import outbox
from shared.security.crypto import open_sealed, pseudonym

ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtextextended(:source, 0))")
KNOWN = text(
    "SELECT source_number, id, version, revision, content_hash, behaviour FROM supervision_record"
    " WHERE area_code = :area AND department_code = :department AND source = :source"
    " AND source_number = ANY (CAST(:numbers AS text[]))"
)
STORE = text(
    "INSERT INTO supervision_record (area_code, department_code, source, source_number, id, version, revision,"
    " content_hash, regulatory_code, behaviour, object_kind, object, done_on, result, officers, recorded_at)"
    " SELECT :area, :department, :source, r->>'source_number', CAST(r->>'id' AS uuid), CAST(r->>'version' AS int),"
    " CAST(r->>'revision' AS int), decode(r->>'content_hash', 'hex'), r->>'regulatory_code', r->>'behaviour',"
    " r->>'object_kind', r->>'object', CAST(r->>'done_on' AS date), r->>'result', CAST(r->>'officers' AS smallint), :now"
    " FROM jsonb_array_elements(CAST(:rows AS jsonb)) AS r"
    " ON CONFLICT (area_code, department_code, source, source_number) DO UPDATE SET version = excluded.version,"
    " revision = excluded.revision, content_hash = excluded.content_hash, regulatory_code = excluded.regulatory_code,"
    " behaviour = excluded.behaviour, object_kind = excluded.object_kind, object = excluded.object,"
    " done_on = excluded.done_on, result = excluded.result, officers = excluded.officers,"
    " recorded_at = excluded.recorded_at"
)
COUNT = text(
    "INSERT INTO supervision_count (area_code, department_code, behaviour, records)"
    " SELECT :area, :department, c.behaviour, c.more"
    " FROM unnest(CAST(:behaviours AS text[]), CAST(:more AS bigint[])) AS c (behaviour, more)"
    " ON CONFLICT (area_code, department_code, behaviour) DO UPDATE"
    " SET records = supervision_count.records + excluded.records"
)

NUMBER: TypeAdapter[str] = TypeAdapter(SourceNumber)
FIELDS = frozenset({*SentSupervision.model_fields, *SupervisedObject.model_fields})


async def record_supervision(session: AsyncSession, event: RecordReceived, now: datetime) -> None:
    """Judge one chunk of a batch and answer with a verdict for every row of it."""
    place = {
        "area": event.area_code,
        "department": event.department_code,
        "source": event.peer_code,
    }
    _ = await session.execute(ONE_AT_A_TIME, {"source": "supervision/" + "/".join(place.values())})
    verdicts, sound = _judge(open_sealed(event.records, "exchange.records"), event.first_row)
    numbers = [record.source_number for _, record in sound]
    known = {
        row.source_number: row
        for row in await session.execute(KNOWN, {**place, "numbers": numbers})
    }
    rows: list[dict[str, Any]] = []
    facts: list[SupervisionRecorded] = []
    counts: Counter[str] = Counter()
    for row, record in sound:
        before, content = known.get(record.source_number), _content(record)
        verdicts[row] = _verdict(row, record, before, content)
        if verdicts[row].status == "accepted":
            identity = (before.id, before.revision + 1) if before else (new_id(), 1)
            rows.append({**content, "id": str(identity[0]), "revision": identity[1]})
            facts.append(_fact(record, identity, event, now))
            counts[record.behaviour] += 1
            if before:
                counts[before.behaviour] -= 1
    if rows:
        _ = await session.execute(STORE, {**place, "rows": orjson.dumps(rows).decode(), "now": now})
        await _count(session, place, counts)
        await outbox.add_many(session, facts)
    _answer(session, event, [verdicts[row] for row in sorted(verdicts)], now)


def _judge(
    records: Sequence[Any], first_row: int
) -> tuple[dict[int, Verdict], list[tuple[int, SentSupervision]]]:
    """Verdicts on the faulty rows, and the sound records with their rows."""
    verdicts: dict[int, Verdict] = {}
    sound: list[tuple[int, SentSupervision]] = []
    first: dict[str, int] = {}
    for row, record in enumerate(records, start=first_row):
        try:
            sent = SentSupervision.model_validate(record)
        except ValidationError as error:
            key, faults = number_of(record, NUMBER), faults_of(error, FIELDS)
            verdicts[row] = Verdict(row=row, key=key, status="rejected", faults=faults)
            continue
        if (earlier := first.setdefault(sent.source_number, row)) != row:
            fault = Fault(
                field="source_number", rule="unique", message=f"stands in row {earlier} already"
            )
            verdicts[row] = Verdict(
                row=row, key=sent.source_number, status="rejected", faults=[fault]
            )
        else:
            sound.append((row, sent))
    return verdicts, sound


def _content(record: SentSupervision) -> dict[str, Any]:
    """The record as it is stored: a person only by the pseudonym."""
    number = record.object.number
    content = {
        **record.model_dump(mode="json", exclude={"object"}),
        "object_kind": record.object.kind,
        "object": pseudonym(number) if record.object.kind == "person" else number,
    }
    return {**content, "content_hash": matter.content_hash(content).hex()}


def _verdict(row: int, record: SentSupervision, before: Any, content: dict[str, Any]) -> Verdict:
    key = record.source_number
    if before is None or before.version < record.version:
        return Verdict(row=row, key=key, status="accepted")
    if before.version == record.version and before.content_hash.hex() != content["content_hash"]:
        words = "another content was sent under this version; raise the version"
        fault = Fault(field="version", rule="same_version_different", message=words)
        return Verdict(row=row, key=key, status="rejected", faults=[fault])
    return Verdict(row=row, key=key, status="unchanged")


def _fact(
    record: SentSupervision, identity: tuple[Any, int], event: RecordReceived, now: datetime
) -> SupervisionRecorded:
    return SupervisionRecorded(
        record_id=identity[0],
        revision=identity[1],
        regulatory_code=record.regulatory_code,
        behaviour=record.behaviour,
        area_code=event.area_code,
        department_code=event.department_code,
        done_on=record.done_on,
        result=record.result,
        occurred_at=now,
    )


async def _count(session: AsyncSession, place: dict[str, str], counts: Counter[str]) -> None:
    moved = sorted((behaviour, more) for behaviour, more in counts.items() if more)
    if moved:
        where = {"area": place["area"], "department": place["department"]}
        values = {
            "behaviours": [behaviour for behaviour, _ in moved],
            "more": [more for _, more in moved],
        }
        _ = await session.execute(COUNT, {**where, **values})


def _answer(
    session: AsyncSession, event: RecordReceived, verdicts: list[Verdict], now: datetime
) -> None:
    fact = SupervisionRecordsJudged(
        batch_id=event.batch_id,
        chunk=event.chunk,
        verdicts=verdicts,
        revision=event.chunk + 1,
        occurred_at=now,
    )
    outbox.add(session, fact)
    ended = dict(Counter(verdict.status for verdict in verdicts))
    audit.record(
        session, "supervision.record", "batch", event.batch_id, chunk=event.chunk, verdicts=ended
    )
