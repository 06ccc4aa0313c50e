"""办件推送: cases of a bureau's own system, idempotent by (source system, number, version), set by set."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.cases.schemas import PushCases, PushedCase
from shared import audit, outbox
from shared.errors import FieldError, ForbiddenError
from shared.events.cases import CaseImported, ImportFinished
from shared.ids import new_id
from shared.tokens import Caller

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


async def push_cases(session: AsyncSession, command: PushCases, system: Caller, now: datetime) -> dict[str, Any]:
    """Take in what is sound; a record seen before at this or a newer version changes nothing."""
    if not system.area or not system.department:
        raise ForbiddenError("this system belongs to no department")
    place = {"area": system.area, "department": system.department, "source": command.source_system}
    _ = await session.execute(ONE_AT_A_TIME, {"source": "/".join(place.values())})
    records, faults = _judge(command.records)
    found = await session.execute(KNOWN, {**place, "numbers": [record.source_number for _, record in records]})
    known = {row.source_number: row for row in found}
    rows: list[dict[str, Any]] = []
    events: list[CaseImported] = []
    for number, record in records:
        before, content = known.get(record.source_number), record.model_dump(mode="json")
        if before is None or before.version < record.version:
            case_id, revision = (before.case_id, before.revision + 1) if before else (new_id(), 1)
            entry = {"number": record.source_number, "case_id": str(case_id), "version": record.version}
            rows.append({**entry, "revision": revision, "record": content})
            events.append(_fact(record, str(case_id), revision, command.source_system, system, now))
        elif before.version == record.version and before.record != content:
            words = "another content was sent under this version; raise the version"
            faults.append(FieldError("version", "same_version_different", words, number))
    if rows:
        _ = await session.execute(STORE, {**place, "rows": orjson.dumps(rows).decode(), "now": now})
        await outbox.add_many(session, events)
    faults.sort(key=lambda fault: fault.row or 0)
    rejected = len({fault.row for fault in faults})
    counts = {"accepted": len(rows), "unchanged": len(command.records) - len(rows) - rejected, "rejected": rejected}
    _finish(session, command, system, counts, now)
    return {"received": len(command.records), **counts, "rejections": [fault.as_dict() for fault in faults]}


def _judge(records: Sequence[dict[str, Any]]) -> tuple[list[tuple[int, PushedCase]], list[FieldError]]:
    """The sound records with their rows (from 1), and every fault of the others."""
    sound: list[tuple[int, PushedCase]] = []
    faults: list[FieldError] = []
    first: dict[str, int] = {}
    for row, record in enumerate(records, start=1):
        try:
            case = PushedCase.model_validate(record)
        except ValidationError as error:
            faults += [
                FieldError(
                    ".".join(str(part) for part in fault["loc"]) or "record",
                    str(fault["type"]),
                    str(fault["msg"]).removeprefix("Value error, "),
                    row,
                )
                for fault in error.errors(include_input=False, include_url=False)
            ]
            continue
        if (earlier := first.setdefault(case.source_number, row)) != row:
            faults.append(FieldError("source_number", "unique", f"stands in row {earlier} already", row))
        else:
            sound.append((row, case))
    return sound, faults


def _fact(record: PushedCase, case_id: str, revision: int, source: str, system: Caller, now: datetime) -> CaseImported:
    return CaseImported.model_validate(
        {
            **record.model_dump(exclude={"version"}),
            "case_id": case_id,
            "number": f"{source}:{record.source_number}",
            "area_code": system.area,
            "department_code": system.department,
            "matter_id": None,
            "channel": "import",
            "account_id": None,
            "source_system": source,
            "source_version": record.version,
            "revision": revision,
            "occurred_at": now,
        }
    )


def _finish(session: AsyncSession, command: PushCases, system: Caller, counts: dict[str, int], now: datetime) -> None:
    import_id = new_id()
    fact = ImportFinished(
        import_id=import_id,
        source_system=command.source_system,
        area_code=system.area or "",
        department_code=system.department or "",
        revision=1,
        occurred_at=now,
        **counts,
    )
    outbox.add(session, fact)
    detail: dict[str, Any] = {
        "area": system.area,
        "department": system.department,
        "source": command.source_system,
        "counts": counts,
    }
    audit.record(session, "cases.push", "import", import_id, **detail)
