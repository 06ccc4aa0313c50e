"""Applying: the copy of the matter, uploads, the application itself."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.cases.applications import queries as application_queries
from services.cases.applications.queries import MatterText
from services.cases.applications.schemas.applications import Apply, Guided
from services.cases.applications.use_cases.materials import Sources, license_ids, upload_ids, use_of
from services.cases.applications.use_cases.numbers import Numbers
from services.cases.calendar import queries as calendar_queries
from services.cases.case_file.model.case import Case
from services.cases.case_file.model.materials import missing_materials
from services.cases.case_file.model.timeline import TimelineRow
from services.cases.licenses.use_cases import note_uses
from shared import context
from shared.database import audit
from shared.database.direct import UntypedDirect
from shared.database.tables import AuditRow, OutboxRow
from shared.domain import codes
from shared.domain.guides import personal_guide
from shared.domain.workdays import Moment
from shared.errors import ConflictError, FieldError, InvalidInputError
from shared.events.base import Event
from shared.ids import new_id
from shared.messaging import outbox
from shared.security.crypto import lookup_hash
from shared.security.tokens import Caller


async def apply_for(
    session: AsyncSession,
    command: Apply,
    numbers: Numbers,
    *,
    account_id: UUID | None,
    clerk: str | None,
    caller: Caller,
    now: datetime,
) -> tuple[Case, Moment]:
    """申请 and 收件: the guide must be the one shown, every required material there; number issued, clock started.

    Two statements in all: what it rests on, and the rows; a third for the licences it uses, and one when the calendar
    has changed.
    """
    given = command.materials
    ground = await application_queries.get_application(
        session, command.matter_id, upload_ids(given), license_ids(given), caller.subject
    )
    at = Moment(now, await calendar_queries.get_calendar(session, ground.calendar))
    guide = checked_guide(command, ground.matter)
    use = use_of(guide, command.applicant.id_number, account_id, caller, at)
    sources = Sources(ground.uploads, ground.licenses, use)
    id_hash = lookup_hash(command.applicant.id_number, "applicant")

    def is_applicants(earlier: Any) -> bool:
        same = (earlier.account_id, bytes(earlier.applicant_id_hash)) == (account_id, id_hash)
        return same and caller.covers(earlier.matter_id)

    await sources.find_earlier(session, given, is_applicants)
    materials, faults = sources.take(given)
    named = [{"code": material.code, "kind": material.kind} for material in given]
    faults += missing_materials(guide, named, promised_days(ground.matter))
    if faults:
        raise InvalidInputError("the materials do not fit the personal guide", faults)
    case = new_case(
        command,
        ground.matter,
        at,
        guide=guide,
        materials=materials,
        account_id=account_id,
        clerk=clerk,
    )
    case.number = await next_number(numbers, ground.matter, at)
    submitted, received = case.submitted(at), case.receive(at)
    await _store(
        session, case, [submitted.model_copy(update={"revision": case.revision}), received], at
    )
    await note_uses(session, case, materials, "intake", at)
    return case, at


def _case_code(matter: MatterText) -> str:
    """The implementing code, or one of ours where the matter has none."""
    return (
        matter.document.code or f"L{matter.document.area_code}{matter.matter_id.hex[-18:].upper()}"
    )


async def next_number(numbers: Numbers, matter: MatterText, at: Moment) -> str:
    """办件编号. Taken last, when nothing but the database can refuse the application any more."""
    code = _case_code(matter)
    return codes.case_number(code, at.today, await numbers.take(code, at.today))


def promised_days(matter: MatterText) -> int:
    """承诺时限, else the statutory one, else the law's own 20."""
    document = matter.document
    return (
        document.promised_days if document.promised_days is not None else document.legal_days or 20
    )


def new_case(
    command: Apply,
    matter: MatterText,
    at: Moment,
    *,
    guide: dict[str, Any],
    materials: list[dict[str, Any]],
    account_id: UUID | None,
    clerk: str | None,
) -> Case:
    document, applicant = matter.document, command.applicant
    return Case(
        id=new_id(),
        revision=0,
        area_code=document.area_code,
        department_code=document.department_code,
        matter_id=matter.matter_id,
        matter_version=matter.version,
        matter_code=document.code or document.local_code or _case_code(matter),
        matter_name=document.name.zh,
        matter_type=document.type,
        immediate=document.project_type == "1",
        promised_days=promised_days(matter),
        legal_days=document.legal_days,
        license_type_code=document.result.license_type_code if document.result else None,
        channel=command.channel,
        account_id=account_id,
        applicant_kind=applicant.kind,
        applicant_name=applicant.name,
        applicant_id_number=applicant.id_number.upper(),
        applicant_id_hash=lookup_hash(applicant.id_number, "applicant"),
        phone=applicant.phone,
        guide_digest=command.guide_digest,
        guide=guide,
        materials=materials,
        intake_by=clerk,
        officer=clerk,
        reviewers=[],
        corrections=0,
        missing=[],
        received_at=at.now,
        deemed=False,
        extended_days=0,
        overdue=False,
    )


CASE: Any = Case.__table__
STEP: Any = TimelineRow.__table__
AUDIT: Any = AuditRow.__table__
OUTBOX: Any = OutboxRow.__table__
EVENT = ("topic", "key", "event_id", "payload")
ENTRY = ("id", "case_id", "act", "role", "agent_id", "note", "at")
TRAIL = (
    "id",
    "at",
    "actor",
    "on_behalf_of",
    "action",
    "object_type",
    "object_id",
    "reason",
    "detail",
    "request_id",
)
ROWS = {
    "case": (CASE, CASE.c.keys()),
    "step": (STEP, ENTRY),
    "audit": (AUDIT, TRAIL),
    "first": (OUTBOX, EVENT),
    "second": (OUTBOX, EVENT),
}


def _values(row: str) -> str:
    return "(" + ", ".join(f":{row}_{name}" for name in ROWS[row][1]) + ")"


def _insert(*rows: str) -> str:
    table, names = ROWS[rows[0]]
    return f"INSERT INTO {table.name} ({', '.join(names)}) VALUES {', '.join(map(_values, rows))}"


STORE = UntypedDirect(
    text(
        f"WITH stored_case AS ({_insert('case')}), stored_step AS ({_insert('step')}), stored_trail AS ({_insert('audit')})"
        f" {_insert('first', 'second')}"
    ).bindparams(
        *(
            bindparam(f"{row}_{name}", type_=table.c[name].type)
            for row, (table, names) in ROWS.items()
            for name in names
        )
    )
)
"""Case, first step, audit row and both events: five rows of four tables in one round trip."""


def _prefixed(row: str, values: dict[str, Any]) -> dict[str, Any]:
    return {f"{row}_{name}": value for name, value in values.items()}


async def _store(session: AsyncSession, case: Case, facts: Sequence[Event], at: Moment) -> None:
    step = {
        "act": "receive",
        "role": "intake",
        "agent_id": context.current().agent,
        "note": None,
        "at": at.now,
    }
    values = _prefixed("case", {name: getattr(case, name) for name in ROWS["case"][1]})
    values |= _prefixed("step", {"id": new_id(), "case_id": case.id, **step})
    values |= _prefixed("audit", audit.entry("case.receive", "case", case.id, channel=case.channel))
    values |= _prefixed("first", outbox.entry(facts[0])) | _prefixed(
        "second", outbox.entry(facts[1])
    )
    _ = await STORE.fetch(session, **values)


def checked_guide(command: Guided, matter: MatterText) -> dict[str, Any]:
    """The personal guide for these answers, which must be the one that was shown."""
    if command.matter_version != matter.version:
        raise ConflictError(
            f"the matter is at version {matter.version} now; ask for the personal guide again",
            extra={"current_version": matter.version},
        )
    guide = personal_guide(
        matter.document, command.answers, matter_id=matter.matter_id, version=matter.version
    )
    if guide.digest != command.guide_digest:
        fault = FieldError(
            "guide_digest", "shown_guide", "is not the digest of the guide for these answers"
        )
        raise InvalidInputError("another guide than the one shown", [fault])
    return guide.model_dump(mode="json")
