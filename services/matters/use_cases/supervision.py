"""Supervision records (监管行为) that came by batch: each judged, stored, counted; set by set.

A record is known by its source, its number there and its version.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, TypedDict
from uuid import UUID

import orjson
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.matters.model.matter import content_hash
from services.matters.model.supervision import ObjectKind
from services.matters.queries import supervision
from services.matters.queries.supervision import KnownRecord
from services.matters.schemas.supervision import SentSupervision, SourceNumber, SupervisedObject
from shared.database import audit
from shared.database.direct import command
from shared.errors import FieldError
from shared.events.exchange import RecordReceived
from shared.events.matters import SupervisionRecorded, SupervisionRecordsJudged
from shared.events.records import Fault, Verdict, faults_of, number_of
from shared.ids import new_id
from shared.messaging import outbox
from shared.security.crypto import open_sealed, pseudonym

# Two chunks of one source wait for each other, so that the second sees the versions of the first.
LOCK_SOURCE = command(text("SELECT pg_advisory_xact_lock(hashtextextended(:source, 0))"))
STORE = command(
    text(
        "INSERT INTO supervision_record (area_code, department_code, source, source_number, id,"
        " version, revision, content_hash, regulatory_code, behaviour, object_kind, object,"
        " done_on, result, officers, recorded_at)"
        " SELECT :area, :department, :source, r->>'source_number', CAST(r->>'id' AS uuid),"
        " CAST(r->>'version' AS int), CAST(r->>'revision' AS int),"
        " decode(r->>'content_hash', 'hex'), r->>'regulatory_code', r->>'behaviour',"
        " r->>'object_kind', r->>'object', CAST(r->>'done_on' AS date), r->>'result',"
        " CAST(r->>'officers' AS smallint), CAST(:now AS timestamptz)"
        " FROM jsonb_array_elements(CAST(:rows AS jsonb)) AS r"
        " ON CONFLICT (area_code, department_code, source, source_number) DO UPDATE SET"
        " version = excluded.version, revision = excluded.revision,"
        " content_hash = excluded.content_hash, regulatory_code = excluded.regulatory_code,"
        " behaviour = excluded.behaviour, object_kind = excluded.object_kind,"
        " object = excluded.object, done_on = excluded.done_on, result = excluded.result,"
        " officers = excluded.officers, recorded_at = excluded.recorded_at"
    )
)
COUNT = command(
    text(
        "INSERT INTO supervision_count (area_code, department_code, behaviour, records)"
        " SELECT :area, :department, c.behaviour, c.change"
        " FROM unnest(CAST(:behaviours AS text[]), CAST(:changes AS bigint[]))"
        " AS c (behaviour, change)"
        " ON CONFLICT (area_code, department_code, behaviour) DO UPDATE"
        " SET records = supervision_count.records + excluded.records"
    )
)

NUMBER: TypeAdapter[str] = TypeAdapter(SourceNumber)
FIELDS = frozenset({*SentSupervision.model_fields, *SupervisedObject.model_fields})


class Content(TypedDict):
    """A record as it is stored; a person is named by the pseudonym alone."""

    source_number: str
    version: int
    regulatory_code: str
    behaviour: str
    done_on: str
    result: str
    officers: int
    object_kind: str
    object: str


class StoredRow(Content):
    """A row of `supervision_record` as the statement reads it."""

    content_hash: str
    id: str
    revision: int


class Place(NamedTuple):
    """Whose records a chunk holds."""

    area: str
    department: str
    source: str


class Judged(NamedTuple):
    """Verdicts on the faulty rows, and the sound records with their rows."""

    verdicts: dict[int, Verdict]
    sound: list[tuple[int, SentSupervision]]


class Accepted(NamedTuple):
    """What is stored of a chunk: rows, their facts, and the change of the number by behaviour."""

    rows: list[StoredRow]
    facts: list[SupervisionRecorded]
    counts: Counter[str]

    def count_behaviour(self, record: SentSupervision, before: KnownRecord | None) -> None:
        """The record counts for its behaviour, and no longer for the one of the version before."""
        if before is not None:
            self.counts[before.behaviour] -= 1
        self.counts[record.behaviour] += 1


async def record_supervision(
    session: AsyncSession, event: RecordReceived, *, now: datetime
) -> None:
    """Judge one chunk of a batch and answer with a verdict for every row of it."""
    place = Place(event.area_code, event.department_code, event.peer_code)
    await LOCK_SOURCE.execute(session, source="supervision/" + "/".join(place))
    verdicts, sound = _judge(
        open_sealed(event.records, purpose="exchange.records"), event.first_row
    )
    known = await _find_known(session, place, sound=sound)
    accepted = Accepted([], [], Counter[str]())
    for row, record in sound:
        before = known.get(record.source_number)
        content = _content(record)
        digest = content_hash(content)
        verdict = _verdict(row, record, before=before, digest=digest)
        verdicts[row] = verdict
        if verdict.status == "accepted":
            stored = _stored_row(content, digest, before=before)
            accepted.rows.append(stored)
            accepted.facts.append(_fact(record, event, stored=stored, now=now))
            accepted.count_behaviour(record, before)
    await _store(session, place, accepted=accepted, now=now)
    in_order = [verdicts[row] for row in sorted(verdicts)]
    _answer(session, event, verdicts=in_order, now=now)


async def _find_known(
    session: AsyncSession, place: Place, *, sound: Sequence[tuple[int, SentSupervision]]
) -> dict[str, KnownRecord]:
    return await supervision.find_records(
        session,
        area=place.area,
        department=place.department,
        source=place.source,
        numbers=[record.source_number for _, record in sound],
    )


def _stored_row(content: Content, digest: bytes, *, before: KnownRecord | None) -> StoredRow:
    record_id = new_id()
    revision = 1
    if before is not None:
        record_id = before.id
        revision = before.revision + 1
    return {
        **content,
        "content_hash": digest.hex(),
        "id": str(record_id),
        "revision": revision,
    }


async def _store(session: AsyncSession, place: Place, *, accepted: Accepted, now: datetime) -> None:
    if not accepted.rows:
        return
    await STORE.execute(
        session,
        area=place.area,
        department=place.department,
        source=place.source,
        rows=orjson.dumps(accepted.rows).decode(),
        now=now,
    )
    await _count(session, place, counts=accepted.counts)
    await outbox.add_many(session, accepted.facts)


def _judge(records: Sequence[object], first_row: int) -> Judged:
    verdicts: dict[int, Verdict] = {}
    sound: list[tuple[int, SentSupervision]] = []
    first_rows: dict[str, int] = {}
    for row, record in enumerate(records, start=first_row):
        try:
            sent = SentSupervision.model_validate(record)
        except ValidationError as error:
            key = number_of(record, NUMBER)
            verdicts[row] = Verdict(
                row=row, key=key, status="rejected", faults=faults_of(error, FIELDS)
            )
            continue
        earlier = first_rows.setdefault(sent.source_number, row)
        if earlier == row:
            sound.append((row, sent))
            continue
        error = FieldError(
            "source_number", "unique", message="is used in row {earlier} already", earlier=earlier
        )
        verdicts[row] = _rejected(row, sent, error=error)
    return Judged(verdicts, sound)


def _rejected(row: int, record: SentSupervision, *, error: FieldError) -> Verdict:
    fault = Fault(field=error.field, rule=error.rule, message=error.text())
    return Verdict(row=row, key=record.source_number, status="rejected", faults=[fault])


def _content(record: SentSupervision) -> Content:
    number = record.object.number
    if record.object.kind == ObjectKind.PERSON:
        # Who was inspected is recognised again, but not named (docs/adr/0012).
        number = pseudonym(number)
    return {
        "source_number": record.source_number,
        "version": record.version,
        "regulatory_code": record.regulatory_code,
        "behaviour": record.behaviour,
        "done_on": record.done_on.isoformat(),
        "result": record.result,
        "officers": record.officers,
        "object_kind": record.object.kind,
        "object": number,
    }


def _verdict(
    row: int, record: SentSupervision, *, before: KnownRecord | None, digest: bytes
) -> Verdict:
    if before is None or before.version < record.version:
        return Verdict(row=row, key=record.source_number, status="accepted")
    if before.version == record.version and before.content_hash != digest:
        error = FieldError(
            "version",
            "same_version_different",
            message="another content was sent under this version; raise the version",
        )
        return _rejected(row, record, error=error)
    return Verdict(row=row, key=record.source_number, status="unchanged")


def _fact(
    record: SentSupervision, event: RecordReceived, *, stored: StoredRow, now: datetime
) -> SupervisionRecorded:
    return SupervisionRecorded(
        record_id=UUID(stored["id"]),
        revision=stored["revision"],
        regulatory_code=record.regulatory_code,
        behaviour=record.behaviour,
        area_code=event.area_code,
        department_code=event.department_code,
        done_on=record.done_on,
        result=record.result,
        occurred_at=now,
    )


async def _count(session: AsyncSession, place: Place, *, counts: Counter[str]) -> None:
    # Sorted, so that two transactions lock the counters in one order.
    changes = sorted((behaviour, change) for behaviour, change in counts.items() if change)
    if changes:
        await COUNT.execute(
            session,
            area=place.area,
            department=place.department,
            behaviours=[behaviour for behaviour, _ in changes],
            changes=[change for _, change in changes],
        )


def _answer(
    session: AsyncSession, event: RecordReceived, *, verdicts: list[Verdict], now: datetime
) -> None:
    fact = SupervisionRecordsJudged(
        batch_id=event.batch_id,
        chunk=event.chunk,
        verdicts=verdicts,
        revision=event.chunk + 1,
        occurred_at=now,
    )
    outbox.add(session, fact)
    audit.record(
        session,
        "supervision.record",
        object_type="batch",
        object_id=event.batch_id,
        chunk=event.chunk,
        verdicts=dict(Counter(verdict.status for verdict in verdicts)),
    )
