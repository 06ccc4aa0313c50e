"""办件推送: cases of a bureau's own system, pushed by it or brought by signed batch through exchange, under the same rules.

Idempotent by (source system, number, version), set by set.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.cases.imports.schemas import Contact, PushCases, PushedCase, SourceNumber
from shared.database import audit
from shared.errors import FieldError, ForbiddenError
from shared.events.cases import CaseImported, CaseRecordsJudged, ImportFinished
from shared.events.exchange import RecordReceived
from shared.events.records import Fault, Verdict, faults_of, number_of
from shared.ids import new_id
from shared.messaging import outbox
from shared.security.crypto import open_sealed, seal_for
from shared.security.tokens import Caller

ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtextextended(:source, 0))")
KNOWN = text(
    "SELECT source_number, case_id, version, revision, record FROM imported_case"
    " WHERE area_code = :area AND department_code = :department AND source_system = :source"
    " AND source_number = ANY (CAST(:numbers AS text[]))"
)
STORE = text(
    "INSERT INTO imported_case (area_code, department_code, source_system, source_number, case_id, version, revision,"
    " record, imported_at) SELECT :area, :department, :source, r->>'number', CAST(r->>'case_id' AS uuid),"
    " CAST(r->>'version' AS int), CAST(r->>'revision' AS int), r->'record', :now"
    " FROM jsonb_array_elements(CAST(:rows AS jsonb)) AS r"
    " ON CONFLICT (area_code, department_code, source_system, source_number) DO UPDATE SET"
    " version = excluded.version, revision = excluded.revision, record = excluded.record, imported_at = excluded.imported_at"
)
NUMBER: TypeAdapter[str] = TypeAdapter(SourceNumber)
FIELDS = frozenset({*PushedCase.model_fields, *Contact.model_fields})


@dataclass(frozen=True, slots=True)
class Source:
    """Whose cases these are: area and department, and the system in which they have their numbers."""

    area: str
    department: str
    system: str

    def as_dict(self) -> dict[str, str]:
        return {"area": self.area, "department": self.department, "source": self.system}


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of the records: the rows taken, and every fault of those that came back."""

    accepted: frozenset[int]
    faults: tuple[FieldError, ...]

    @property
    def rejected(self) -> set[int]:
        return {fault.row for fault in self.faults if fault.row is not None}


async def push_cases(
    session: AsyncSession, command: PushCases, system: Caller, now: datetime
) -> dict[str, Any]:
    """Take in what a bureau's system pushes directly."""
    if not system.area or not system.department:
        raise ForbiddenError("this system belongs to no department")
    source = Source(system.area, system.department, command.source_system)
    judged = await _take_in(session, source, command.records, 1, now)
    received, accepted, rejected = len(command.records), len(judged.accepted), len(judged.rejected)
    counts = {
        "accepted": accepted,
        "unchanged": received - accepted - rejected,
        "rejected": rejected,
    }
    _finish(session, source, counts, now)
    return {
        "received": received,
        **counts,
        "rejections": [fault.as_dict() for fault in judged.faults],
    }


async def judge_chunk(session: AsyncSession, event: RecordReceived, now: datetime) -> None:
    """Take in a chunk of a signed batch, and answer every row of it."""
    records: list[Any] = open_sealed(event.records, "exchange.records")
    source = Source(event.area_code, event.department_code, event.peer_code)
    judged = await _take_in(session, source, records, event.first_row, now)
    verdicts = _verdicts(records, event.first_row, judged)
    answer = CaseRecordsJudged(
        batch_id=event.batch_id,
        chunk=event.chunk,
        verdicts=verdicts,
        revision=event.chunk,
        occurred_at=now,
    )
    await outbox.add_many(session, [answer])
    counts = {
        "accepted": len(judged.accepted),
        "rejected": len(judged.rejected),
        "received": len(records),
    }
    audit.record(
        session,
        "cases.judge",
        "batch",
        event.batch_id,
        chunk=event.chunk,
        **source.as_dict(),
        counts=counts,
    )


async def _take_in(
    session: AsyncSession, source: Source, given: Sequence[Any], first_row: int, now: datetime
) -> Judged:
    """Store what is sound; a record seen before at this or a newer version changes nothing."""
    place = source.as_dict()
    _ = await session.execute(ONE_AT_A_TIME, {"source": "/".join(place.values())})
    records, faults = _judge(given, first_row)
    found = await session.execute(
        KNOWN, {**place, "numbers": [record.source_number for _, record in records]}
    )
    known = {row.source_number: row for row in found}
    rows: list[dict[str, Any]] = []
    events: list[CaseImported] = []
    accepted: set[int] = set()
    for number, record in records:
        before, content = (
            known.get(record.source_number),
            record.model_dump(mode="json", exclude={"contact"}),
        )
        if before is None or before.version < record.version:
            case_id, revision = (before.case_id, before.revision + 1) if before else (new_id(), 1)
            entry = {
                "number": record.source_number,
                "case_id": str(case_id),
                "version": record.version,
            }
            rows.append({**entry, "revision": revision, "record": content})
            events.append(_fact(record, str(case_id), revision, source, now))
            accepted.add(number)
        elif before.version == record.version and before.record != content:
            words = "another content was sent under this version; raise the version"
            faults.append(FieldError("version", "same_version_different", words, number))
    if rows:
        _ = await session.execute(STORE, {**place, "rows": orjson.dumps(rows).decode(), "now": now})
        await outbox.add_many(session, events)
    return Judged(frozenset(accepted), tuple(sorted(faults, key=lambda fault: fault.row or 0)))


def _judge(
    records: Sequence[Any], first_row: int
) -> tuple[list[tuple[int, PushedCase]], list[FieldError]]:
    """The sound records with their rows, and every fault of the others."""
    sound: list[tuple[int, PushedCase]] = []
    faults: list[FieldError] = []
    first: dict[str, int] = {}
    for row, record in enumerate(records, start=first_row):
        try:
            case = PushedCase.model_validate(record)
        except ValidationError as error:
            faults += [
                FieldError(one.field, one.rule, one.message, row)
                for one in faults_of(error, FIELDS)
            ]
            continue
        if (earlier := first.setdefault(case.source_number, row)) != row:
            faults.append(
                FieldError("source_number", "unique", f"stands in row {earlier} already", row)
            )
        else:
            sound.append((row, case))
    return sound, faults


def _verdicts(records: Sequence[Any], first_row: int, judged: Judged) -> list[Verdict]:
    faults: dict[int | None, list[Fault]] = {}
    for fault in judged.faults:
        found = Fault(field=fault.field, rule=fault.rule, message=fault.message)
        faults.setdefault(fault.row, []).append(found)
    return [
        Verdict(
            row=row,
            key=number_of(record, NUMBER),
            status="rejected"
            if row in faults
            else "accepted"
            if row in judged.accepted
            else "unchanged",
            faults=faults.get(row, []),
        )
        for row, record in enumerate(records, start=first_row)
    ]


def _fact(
    record: PushedCase, case_id: str, revision: int, source: Source, now: datetime
) -> CaseImported:
    contact = record.contact
    return CaseImported.model_validate(
        {
            **record.model_dump(exclude={"version", "contact"}),
            "case_id": case_id,
            "number": f"{source.system}:{record.source_number}",
            "area_code": source.area,
            "department_code": source.department,
            "matter_id": None,
            "channel": "import",
            "account_id": None,
            "source_system": source.system,
            "source_version": record.version,
            "contact": None if contact is None else seal_for(contact.model_dump(), "case.contact"),
            "revision": revision,
            "occurred_at": now,
        }
    )


def _finish(session: AsyncSession, source: Source, counts: dict[str, int], now: datetime) -> None:
    import_id = new_id()
    fact = ImportFinished(
        import_id=import_id,
        source_system=source.system,
        area_code=source.area,
        department_code=source.department,
        revision=1,
        occurred_at=now,
        **counts,
    )
    outbox.add(session, fact)
    audit.record(session, "cases.push", "import", import_id, **source.as_dict(), counts=counts)
