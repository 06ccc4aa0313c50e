"""Whole catalogues: a file of rows, or documents line by line. What is faulty comes back by row, the rest is published."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.matters import consistency, importer
from services.matters.consistency import breaches
from services.matters.model import matter
from services.matters.model.matter import Department, ImportRow, ImportRun
from services.matters.queries import catalogue
from services.matters.use_cases.publishing import publish_documents
from shared.database import audit
from shared.domain.guides import MatterDocument
from shared.errors import FieldError
from shared.ids import new_id

HELD = {
    "cancelled": "cancelled for good",
    "suspended": "suspended; whoever publishes its next version by hand takes it up again",
    "drafted": "being rewritten by its department; publish that draft first",
}
"""Matters that no import changes, and what the sender is told."""


async def import_file(
    session: AsyncSession, content: bytes, filename: str, actor: str, now: datetime
) -> tuple[ImportRun, list[ImportRow]]:
    """Take in a catalogue file. Refused rows come back with their faults; the others are published, all in one transaction."""
    areas = frozenset(area.code for area in await catalogue.list_areas(session))
    rows = await asyncio.to_thread(importer.read_rows, content, areas)
    good = [row for row in rows if row.document is not None]
    await _meet_departments(session, good)
    documents = [row.document for row in good if row.document is not None]
    published = await publish_documents(session, documents, actor, now)
    outcomes = {row.row: outcome for row, outcome in zip(good, published, strict=True)}
    # What became of a document became of every row that is part of it.
    outcomes = {row.row: outcomes[row.head] for row in rows if not row.faults}
    for row in rows:
        if outcomes.get(row.row) in HELD:
            row.faults.append(_held("item_code", outcomes.pop(row.row), row.row))
    run = ImportRun(id=new_id(), filename=filename, actor=actor, at=now, **_counted(rows, outcomes))
    session.add(run)
    await session.flush()
    records = [
        ImportRow(
            import_id=run.id,
            row=row.row,
            outcome=outcomes.get(row.row, "refused"),
            identity=row.identity[:80],
            errors=[fault.as_dict() for fault in row.faults],
        )
        for row in rows
    ]
    session.add_all(records)
    audit.record(session, "catalogue.import", "import", run.id, rows=len(rows), refused=run.refused)
    return run, records


async def import_documents(
    session: AsyncSession, lines: Sequence[bytes], actor: str, now: datetime
) -> dict[str, Any]:
    """Whole documents, one JSON per line; structural breaches refuse the line, others only warn."""
    areas = frozenset(area.code for area in await catalogue.list_areas(session))
    departments = (await catalogue.department_names(session)).keys()
    documents: dict[tuple[str, str, str], tuple[int, MatterDocument]] = {}
    refused: list[FieldError] = []
    for number, line in enumerate(lines, start=1):
        document, faults = _read_document(line, number)
        if document is not None and document.area_code not in areas:
            faults = [
                FieldError(
                    "area_code",
                    "known_area",
                    f"area {document.area_code} is not known here",
                    number,
                )
            ]
        elif (
            document is not None
            and (document.area_code, document.department_code) not in departments
        ):
            words = (
                f"department {document.department_code} is not known in area {document.area_code}"
            )
            faults = [FieldError("department_code", "known_department", words, number)]
        elif document is not None:
            key = (document.area_code, document.department_code, matter.identity_of(document))
            earlier, _ = documents.setdefault(key, (number, document))
            if earlier != number:
                faults = [FieldError("code", "unique", f"stands in row {earlier} already", number)]
        refused += faults
    outcomes = await publish_documents(
        session, [document for _, document in documents.values()], actor, now
    )
    numbers = [number for number, _ in documents.values()]
    refused += [
        _held("code", outcome, n)
        for n, outcome in zip(numbers, outcomes, strict=True)
        if outcome in HELD
    ]
    counts = {name: outcomes.count(name) for name in ("accepted", "changed", "unchanged")}
    errors = [fault.as_dict() for fault in refused[:200]]
    return {**counts, "refused": len({fault.row for fault in refused}), "errors": errors}


def _held(field: str, state: str, row: int) -> FieldError:
    return FieldError(field, f"not_{state}", f"the matter with this code is {HELD[state]}", row)


def _read_document(line: bytes, number: int) -> tuple[MatterDocument | None, list[FieldError]]:
    try:
        document = MatterDocument.model_validate_json(line)
    except ValidationError as error:
        faults = error.errors(include_input=False)[:20]
        return None, [
            FieldError(
                ".".join(str(p) for p in f["loc"]) or "line", str(f["type"]), str(f["msg"]), number
            )
            for f in faults
        ]
    found = breaches(document, only=consistency.STRUCTURAL)
    broken = [FieldError(b.field, b.rule, b.message, number) for b in found]
    return (None, broken) if broken else (document, [])


def _counted(rows: Sequence[importer.ImportedRow], outcomes: dict[int, str]) -> dict[str, int]:
    ended = [outcomes.get(row.row, "refused") for row in rows]
    return {name: ended.count(name) for name in ("accepted", "changed", "unchanged", "refused")}


async def _meet_departments(session: AsyncSession, rows: Sequence[importer.ImportedRow]) -> None:
    """A real catalogue names departments that nobody has entered yet."""
    met = {
        (r.document.area_code, r.document.department_code): r.department
        for r in rows
        if r.document is not None
    }
    if met:
        values = [
            {"area_code": a, "code": c, "name": {"zh": name, "bo": None}}
            for (a, c), name in met.items()
        ]
        _ = await session.execute(insert(Department).values(values).on_conflict_do_nothing())
