"""Whole catalogues: a file of rows, or documents line by line.

What is faulty comes back by row, the rest is published, all in one transaction.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.matters import consistency, importer
from services.matters.consistency import find_breaches
from services.matters.importer import ImportedRow
from services.matters.model import matter
from services.matters.model.matter import (
    Department,
    ImportOutcome,
    ImportRow,
    ImportRun,
    RowFault,
)
from services.matters.queries import catalogue
from services.matters.schemas.catalogue import DocumentError, DocumentsReport
from services.matters.use_cases.publishing import Outcome, publish_documents
from shared.database import audit
from shared.domain.guides import Bilingual, MatterDocument
from shared.errors import FieldError, Rule, pydantic_error
from shared.ids import new_id

MAX_ERRORS_OF_A_LINE = 20
MAX_ERRORS_TOLD = 200
LONGEST_IDENTITY = 80
"""Characters of a row's code that are kept: a faulty one may be as long as a cell."""

HELD = {
    Outcome.CANCELLED: Rule("not_cancelled", "the matter with this code is cancelled for good"),
    Outcome.SUSPENDED: Rule(
        "not_suspended",
        "the matter with this code is suspended; publish its next version by hand",
    ),
    Outcome.DRAFTED: Rule(
        "not_drafted",
        "the department is rewriting the matter with this code; publish that draft first",
    ),
}
"""Matters that no import changes, and the rule that it would break."""
OUTCOMES = {
    Outcome.ACCEPTED: ImportOutcome.ACCEPTED,
    Outcome.CHANGED: ImportOutcome.CHANGED,
    Outcome.UNCHANGED: ImportOutcome.UNCHANGED,
}


async def import_file(
    session: AsyncSession, content: bytes, *, filename: str, actor: str, now: datetime
) -> tuple[ImportRun, list[ImportRow]]:
    """Import a catalogue file; refused rows come back with their errors."""
    areas = frozenset(area.code for area in await catalogue.list_areas(session))
    # In a thread: a file of 50,000 rows is seconds of CPU, and other requests go on meanwhile.
    rows = await asyncio.to_thread(importer.read_rows, content, areas)
    await _store_new_departments(session, rows)
    by_head = await _publish_rows(session, rows, actor=actor, now=now)
    run = ImportRun(id=new_id(), filename=filename, actor=actor, at=now)
    records = [_record_of(row, by_head, import_id=run.id) for row in rows]
    _count_outcomes(run, records)
    session.add(run)
    # Before its rows, which refer to it.
    await session.flush()
    session.add_all(records)
    audit.record(
        session,
        "catalogue.import",
        object_type="import",
        object_id=run.id,
        rows=len(rows),
        refused=run.refused,
    )
    return run, records


async def _publish_rows(
    session: AsyncSession, rows: Sequence[ImportedRow], *, actor: str, now: datetime
) -> dict[int, Outcome]:
    """Publish the documents of these rows.

    Returns the outcome by the number of the row that carries the document.
    """
    heads: list[int] = []
    documents: list[MatterDocument] = []
    for row in rows:
        if row.document is not None:
            heads.append(row.row)
            documents.append(row.document)
    outcomes = await publish_documents(session, documents, actor=actor, now=now)
    return dict(zip(heads, outcomes, strict=True))


def _count_outcomes(run: ImportRun, records: Sequence[ImportRow]) -> None:
    counts = Counter(record.outcome for record in records)
    run.accepted = counts[ImportOutcome.ACCEPTED]
    run.changed = counts[ImportOutcome.CHANGED]
    run.unchanged = counts[ImportOutcome.UNCHANGED]
    run.refused = counts[ImportOutcome.REFUSED]


def _record_of(row: ImportedRow, by_head: dict[int, Outcome], *, import_id: UUID) -> ImportRow:
    """What is kept of a row: its outcome and errors."""
    # First, because a matter that is held adds an error to the row.
    outcome = _row_outcome(row, by_head)
    return ImportRow(
        import_id=import_id,
        row=row.row,
        outcome=outcome,
        identity=row.identity[:LONGEST_IDENTITY],
        errors=[_stored(error, row) for error in row.errors],
    )


def _row_outcome(row: ImportedRow, by_head: dict[int, Outcome]) -> ImportOutcome:
    """The outcome of a row: that of the document it is part of."""
    if row.errors:
        return ImportOutcome.REFUSED
    outcome = by_head[row.head]
    if outcome in HELD:
        row.add("item_code", HELD[outcome])
        return ImportOutcome.REFUSED
    return OUTCOMES[outcome]


def _stored(error: FieldError, row: ImportedRow) -> RowFault:
    return RowFault(row=row.row, field=error.field, rule=error.rule, message=error.text())


async def _store_new_departments(session: AsyncSession, rows: Sequence[ImportedRow]) -> None:
    """A real catalogue names departments that nobody has entered yet."""
    names: dict[tuple[str, str], str] = {}
    for row in rows:
        if row.document is not None:
            names[row.document.area_code, row.document.department_code] = row.department
    if not names:
        return
    values = [
        {"area_code": area, "code": code, "name": Bilingual(zh=name)}
        for (area, code), name in names.items()
    ]
    _ = await session.execute(insert(Department).values(values).on_conflict_do_nothing())


MatterKey = tuple[str, str, str]
"""What makes two texts those of one matter: area, department and code."""


class NumberedDocument(NamedTuple):
    """A document and its 1-based line."""

    line: int
    document: MatterDocument


async def import_documents(
    session: AsyncSession, lines: Sequence[bytes], *, actor: str, now: datetime
) -> DocumentsReport:
    """Publish whole documents, one JSON per line.

    Structural breaches refuse the line; all others only warn.
    """
    numbered, refused = await _read_documents(session, lines)
    outcomes = await publish_documents(
        session, [one.document for one in numbered], actor=actor, now=now
    )
    for one, outcome in zip(numbered, outcomes, strict=True):
        if outcome in HELD:
            refused.append(FieldError.at("code", HELD[outcome], row=one.line))
    # A line may have many errors, and is refused once.
    refused_lines = {error.row for error in refused}
    return DocumentsReport(
        accepted=outcomes.count(Outcome.ACCEPTED),
        changed=outcomes.count(Outcome.CHANGED),
        unchanged=outcomes.count(Outcome.UNCHANGED),
        refused=len(refused_lines),
        errors=[_document_error(error) for error in refused[:MAX_ERRORS_TOLD]],
    )


async def _read_documents(
    session: AsyncSession, lines: Sequence[bytes]
) -> tuple[list[NumberedDocument], list[FieldError]]:
    """The sound documents, one for each matter, and every error of the other lines."""
    areas = frozenset(area.code for area in await catalogue.list_areas(session))
    departments = frozenset(await catalogue.department_names(session))
    documents: dict[MatterKey, NumberedDocument] = {}
    refused: list[FieldError] = []
    for line, content in enumerate(lines, start=1):
        document, errors = _read_document(content)
        if document is not None:
            errors = _place_errors(document, areas=areas, departments=departments)
            if not errors:
                errors = _add(documents, NumberedDocument(line, document))
        for error in errors:
            refused.append(error.in_row(line))
    return list(documents.values()), refused


def _add(documents: dict[MatterKey, NumberedDocument], new: NumberedDocument) -> list[FieldError]:
    """Add a document; an error where an earlier line is of the same matter."""
    document = new.document
    key = (document.area_code, document.department_code, matter.identity_of(document))
    earlier = documents.setdefault(key, new).line
    if earlier == new.line:
        return []
    error = FieldError(
        "code", "unique", message="is used in row {earlier} already", earlier=earlier
    )
    return [error]


def _document_error(error: FieldError) -> DocumentError:
    assert error.row is not None
    return DocumentError(row=error.row, field=error.field, rule=error.rule, message=error.text())


def _place_errors(
    document: MatterDocument, *, areas: frozenset[str], departments: frozenset[tuple[str, str]]
) -> list[FieldError]:
    """Whether area and department are known here."""
    area, department = document.area_code, document.department_code
    if area not in areas:
        return [
            FieldError(
                "area_code", "known_area", message="area {area} is not known here", area=area
            )
        ]
    if (area, department) not in departments:
        return [
            FieldError(
                "department_code",
                "known_department",
                message="department {department} is not known in area {area}",
                department=department,
                area=area,
            )
        ]
    return []


def _read_document(content: bytes) -> tuple[MatterDocument | None, list[FieldError]]:
    """The document of a line, or everything that is wrong with it."""
    try:
        document = MatterDocument.model_validate_json(content)
    except ValidationError as error:
        errors: list[FieldError] = []
        for found in error.errors(include_input=False)[:MAX_ERRORS_OF_A_LINE]:
            field = ".".join(str(part) for part in found["loc"])
            errors.append(pydantic_error(found, field or "line"))
        return None, errors
    breaches = find_breaches(document, only=consistency.STRUCTURAL)
    if breaches:
        return None, [breach.error for breach in breaches]
    return document, []
