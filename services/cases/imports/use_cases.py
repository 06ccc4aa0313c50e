"""办件推送: cases of a bureau's own system, under the same rules however they come.

The system pushes them, or exchange brings them by signed batch. A record is identified by source
system, number and version, so sending it again changes nothing. Statements handle whole sets.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict
from uuid import UUID

import orjson
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Text, bindparam, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.cases.imports import queries as import_queries
from services.cases.imports.model import SourceNumber
from services.cases.imports.queries import KnownRow
from services.cases.imports.schemas import Contact, PushCases, Pushed, PushedCase, Rejection
from services.cases.journal import Journal
from shared.database.direct import command as direct_command
from shared.errors import FieldError, ForbiddenError
from shared.events.cases import CaseImported, CaseRecordsJudged, ImportFinished
from shared.events.exchange import RecordReceived
from shared.events.records import Fault, Verdict, faults_of, number_of
from shared.ids import new_id
from shared.security.crypto import open_sealed, seal_for
from shared.security.tokens import Caller

STORE = direct_command(
    text(
        "INSERT INTO imported_case (area_code, department_code, source_system, source_number,"
        " case_id, version, revision, record, imported_at)"
        " SELECT CAST(:area AS text), CAST(:department AS text), CAST(:system AS text),"
        " r->>'number', CAST(r->>'case_id' AS uuid), CAST(r->>'version' AS int),"
        " CAST(r->>'revision' AS int), r->'record', CAST(:now AS timestamptz)"
        " FROM jsonb_array_elements(CAST(:rows AS jsonb)) AS r"
        " ON CONFLICT (area_code, department_code, source_system, source_number) DO UPDATE SET"
        " version = excluded.version, revision = excluded.revision, record = excluded.record,"
        " imported_at = excluded.imported_at"
    ).bindparams(bindparam("rows", type_=Text()))
)
NUMBER: TypeAdapter[str] = TypeAdapter(SourceNumber)
FIELDS = frozenset({*PushedCase.model_fields, *Contact.model_fields})
"""Names that an answer may repeat; any other is the sender's own word."""


@dataclass(frozen=True, slots=True)
class Source:
    """Whose cases these are: area, department, and the system that numbers them."""

    area: str
    department: str
    system: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """A correct record with its row in the push or batch."""

    row: int
    case: PushedCase


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the records: the rows accepted, and the faults of each row that came back."""

    accepted: frozenset[int]
    rejected: Mapping[int, list[Fault]]


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A record that is new, or newer than what came before; `content` is what is stored of it."""

    record: Accepted
    content: dict[str, object]
    case_id: UUID
    revision: int

    def event(self, source: Source, now: datetime) -> CaseImported:
        """What other services learn of it."""
        case = self.record.case
        contact: str | None = None
        if case.contact is not None:
            # Only services that ask for a rating need it, and they have the key (docs/adr/0012).
            contact = seal_for(case.contact.model_dump(), "case.contact")
        return CaseImported(
            case_id=self.case_id,
            number=f"{source.system}:{case.source_number}",
            area_code=source.area,
            department_code=source.department,
            # A bureau's matter is known by its code alone; it need not be in our catalogue.
            matter_id=None,
            matter_code=case.matter_code,
            matter_name=case.matter_name,
            matter_type=case.matter_type.value,
            immediate=case.immediate,
            channel="import",
            applicant_kind=case.applicant_kind,
            account_id=None,
            source_system=source.system,
            source_number=case.source_number,
            source_version=case.version,
            state=case.state,
            received_on=case.received_on,
            accepted_on=case.accepted_on,
            closed_on=case.closed_on,
            result=case.result,
            overdue=case.overdue,
            contact=contact,
            revision=self.revision,
            occurred_at=now,
        )


class StoredRow(TypedDict):
    """A record as `STORE` takes it."""

    number: str
    case_id: str
    version: int
    revision: int
    record: dict[str, object]


async def push_cases(
    session: AsyncSession, command: PushCases, *, system: Caller, now: datetime
) -> Pushed:
    """Take in what a bureau's system pushes directly."""
    if not system.area or not system.department:
        raise ForbiddenError("this system belongs to no department")
    source = Source(system.area, system.department, command.source_system)
    journal = Journal(session, now)
    outcome = await _take_in(
        session, source, records=command.records, first_row=1, journal=journal, now=now
    )
    received = len(command.records)
    accepted = len(outcome.accepted)
    rejected = len(outcome.rejected)
    unchanged = received - accepted - rejected
    finished = ImportFinished(
        import_id=new_id(),
        source_system=source.system,
        area_code=source.area,
        department_code=source.department,
        accepted=accepted,
        unchanged=unchanged,
        rejected=rejected,
        revision=1,
        occurred_at=now,
    )
    _audit_push(journal, finished)
    await journal.write()
    return Pushed(
        received=received,
        accepted=accepted,
        unchanged=unchanged,
        rejected=rejected,
        rejections=_rejections(outcome),
    )


def _audit_push(journal: Journal, finished: ImportFinished) -> None:
    counts = {
        "accepted": finished.accepted,
        "unchanged": finished.unchanged,
        "rejected": finished.rejected,
    }
    journal.audit(
        "cases.push",
        object_type="import",
        object_id=finished.import_id,
        events=[finished],
        detail={
            "area": finished.area_code,
            "department": finished.department_code,
            "source": finished.source_system,
            "counts": counts,
        },
    )


def _rejections(outcome: Outcome) -> list[Rejection]:
    """Every fault of every row, in the order of rows."""
    rejections: list[Rejection] = []
    for row in sorted(outcome.rejected):
        for fault in outcome.rejected[row]:
            rejection = Rejection(
                row=row, field=fault.field, rule=fault.rule, message=fault.message
            )
            rejections.append(rejection)
    return rejections


async def import_chunk(session: AsyncSession, event: RecordReceived, *, now: datetime) -> None:
    """Take in a chunk of a signed batch, and answer every row of it."""
    records: list[object] = open_sealed(event.records, purpose="exchange.records")
    source = Source(event.area_code, event.department_code, event.peer_code)
    journal = Journal(session, now)
    outcome = await _take_in(
        session, source, records=records, first_row=event.first_row, journal=journal, now=now
    )
    judged = CaseRecordsJudged(
        batch_id=event.batch_id,
        chunk=event.chunk,
        verdicts=_verdicts(records, outcome, first_row=event.first_row),
        revision=event.chunk,
        occurred_at=now,
    )
    counts = {
        "accepted": len(outcome.accepted),
        "rejected": len(outcome.rejected),
        "received": len(records),
    }
    journal.audit(
        "cases.judge",
        object_type="batch",
        object_id=event.batch_id,
        events=[judged],
        detail={
            "chunk": event.chunk,
            "area": source.area,
            "department": source.department,
            "source": source.system,
            "counts": counts,
        },
    )
    await journal.write()


async def _take_in(
    session: AsyncSession,
    source: Source,
    *,
    records: Sequence[object],
    first_row: int,
    journal: Journal,
    now: datetime,
) -> Outcome:
    """Store what is correct; a record known at this or a newer version changes nothing."""
    # Two pushes of one record at once would both find it unknown and store it twice.
    await import_queries.lock_source(
        session, source.area, department=source.department, system=source.system
    )
    correct, rejected = _check(records, first_row=first_row)
    known = await import_queries.list_known(
        session,
        source.area,
        department=source.department,
        system=source.system,
        numbers=[record.case.source_number for record in correct],
    )
    newer = _newer_versions(correct, known, rejected=rejected)
    if newer:
        await _store(session, source, newer=newer, now=now)
        journal.publish([version.event(source, now) for version in newer])
    return Outcome(frozenset(version.record.row for version in newer), rejected)


def _newer_versions(
    correct: Iterable[Accepted],
    known: Mapping[str, KnownRow],
    *,
    rejected: dict[int, list[Fault]],
) -> list[NewVersion]:
    """The records to be stored.

    Those that contradict what came under the same version are rejected.
    """
    newer: list[NewVersion] = []
    for record in correct:
        before = known.get(record.case.source_number)
        # Without the contact: what is stored of a bureau's case holds no personal data.
        content = record.case.model_dump(mode="json", exclude={"contact"})
        if before is None:
            newer.append(NewVersion(record, content, new_id(), revision=1))
        elif before.version < record.case.version:
            revision = before.revision + 1
            newer.append(NewVersion(record, content, before.case_id, revision=revision))
        # An older version changes nothing: a slow batch may come after a newer push.
        elif before.version == record.case.version and before.record != content:
            error = FieldError(
                "version",
                "same_version_different",
                message="another content was sent under this version; raise the version",
            )
            rejected[record.row] = [_as_fault(error)]
    return newer


async def _store(
    session: AsyncSession, source: Source, *, newer: Iterable[NewVersion], now: datetime
) -> None:
    rows: list[StoredRow] = []
    for version in newer:
        row = StoredRow(
            number=version.record.case.source_number,
            case_id=str(version.case_id),
            version=version.record.case.version,
            revision=version.revision,
            record=version.content,
        )
        rows.append(row)
    await STORE.execute(
        session,
        area=source.area,
        department=source.department,
        system=source.system,
        rows=orjson.dumps(rows).decode(),
        now=now,
    )


def _check(
    records: Sequence[object], *, first_row: int
) -> tuple[list[Accepted], dict[int, list[Fault]]]:
    """The correct records, and every fault of the others by row."""
    correct: list[Accepted] = []
    rejected: dict[int, list[Fault]] = {}
    first_rows: dict[str, int] = {}
    for row, record in enumerate(records, start=first_row):
        try:
            case = PushedCase.model_validate(record)
        except ValidationError as error:
            # Other names of fields are not repeated: they may hold personal data.
            rejected[row] = faults_of(error, FIELDS)
            continue
        # Of two records with one number nobody could say which is right: the first counts.
        earlier = first_rows.setdefault(case.source_number, row)
        if earlier == row:
            correct.append(Accepted(row, case))
        else:
            fault = FieldError(
                "source_number",
                "unique",
                message="stands in row {earlier} already",
                earlier=earlier,
            )
            rejected[row] = [_as_fault(fault)]
    return correct, rejected


def _verdicts(records: Sequence[object], outcome: Outcome, *, first_row: int) -> list[Verdict]:
    verdicts: list[Verdict] = []
    for row, record in enumerate(records, start=first_row):
        key = number_of(record, NUMBER)
        if row in outcome.rejected:
            verdict = Verdict(row=row, key=key, status="rejected", faults=outcome.rejected[row])
        elif row in outcome.accepted:
            verdict = Verdict(row=row, key=key, status="accepted")
        else:
            verdict = Verdict(row=row, key=key, status="unchanged")
        verdicts.append(verdict)
    return verdicts


def _as_fault(error: FieldError) -> Fault:
    """The error as verdicts and answers show it."""
    return Fault(field=error.field, rule=error.rule, message=error.text())
