"""E-licences in cases (用证): the copy follows their events, every use is told, and open cases learn of a licence that lapses."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.cases.calendar import queries as calendar_queries
from services.cases.case_file.model.case import Case
from services.cases.case_file.model.license_copies import LicenseCopy, is_license
from services.cases.licenses import queries as license_queries
from shared import context
from shared.database import audit
from shared.domain import masking
from shared.domain.workdays import Moment
from shared.events.base import Event
from shared.events.licenses import LicenseEvent
from shared.ids import new_id
from shared.messaging import outbox

COLUMNS = (
    "license_id, revision, holder_kind, holder, type_code, type_name, number, status, trust, digest, valid_from,"
    " valid_until, account_id"
)
KEEP = text(
    f"INSERT INTO license_copy ({COLUMNS}) SELECT {COLUMNS} FROM json_to_recordset(CAST(:rows AS json)) AS r"
    " (license_id uuid, revision int, holder_kind text, holder text, type_code text, type_name jsonb, number text,"
    " status text, trust text, digest text, valid_from date, valid_until date, account_id uuid) ORDER BY license_id"
    " ON CONFLICT (license_id) DO UPDATE SET revision = excluded.revision, holder_kind = excluded.holder_kind,"
    " holder = excluded.holder, type_code = excluded.type_code, type_name = excluded.type_name,"
    " number = excluded.number, status = excluded.status, trust = excluded.trust, digest = excluded.digest,"
    " valid_from = excluded.valid_from, valid_until = excluded.valid_until, account_id = excluded.account_id"
    " WHERE license_copy.revision < excluded.revision"
    " RETURNING license_id, xmax <> 0 AS was_known"
)
"""In the order of ids, so that two processes never wait for each other; only what was known before can be in use."""
NOTE = text(
    "WITH steps AS (INSERT INTO case_step (id, case_id, act, role, agent_id, note, at)"
    "  SELECT id, case_id, act, role, agent_id, note, at FROM jsonb_to_recordset(CAST(:steps AS jsonb)) AS s"
    "  (id uuid, case_id uuid, act text, role text, agent_id text, note text, at timestamptz)),"
    " used AS (INSERT INTO case_license (license_id, case_id, material_code)"
    "  SELECT license_id, case_id, material_code FROM jsonb_to_recordset(CAST(:uses AS jsonb)) AS u"
    "  (license_id uuid, case_id uuid, material_code text) ON CONFLICT DO NOTHING),"
    " trail AS (INSERT INTO audit (id, at, actor, on_behalf_of, action, object_type, object_id, reason, detail, request_id)"
    "  SELECT id, at, actor, on_behalf_of, action, object_type, object_id, reason, detail, request_id"
    "  FROM jsonb_to_recordset(CAST(:trail AS jsonb)) AS a (id uuid, at timestamptz, actor text, on_behalf_of text,"
    "  action text, object_type text, object_id text, reason text, detail jsonb, request_id text))"
    f" {outbox.INSERT}"
)
"""Timeline, uses, audit rows and events of any number of cases in one round trip."""
FORGET = text(
    "DELETE FROM case_license WHERE case_id = :case AND license_id = ANY (CAST(:licenses AS uuid[]))"
    " AND material_code = ANY (CAST(:codes AS text[]))"
)


def _json(rows: Sequence[Mapping[str, Any]]) -> str:
    return orjson.dumps(rows, default=str).decode()  # asyncpg has a UUID of its own


@dataclass
class _Notes:
    """What happened to cases, to be written at once."""

    steps: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    uses: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    trail: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    facts: list[Event] = field(default_factory=list[Event])

    def step(self, case: Case, act: str, role: str, note: str, at: Moment) -> None:
        """An entry of the timeline."""
        entry = {
            "act": act,
            "role": role,
            "agent_id": context.current().agent,
            "note": note,
            "at": at.now,
        }
        self.steps.append({"id": new_id(), "case_id": case.id, **entry})

    async def write(self, session: AsyncSession) -> None:
        if not self.steps:
            return
        await session.flush()  # The statement refers to cases that may be new.
        rows = {name: _json(getattr(self, name)) for name in ("steps", "uses", "trail")}
        sealed = [outbox.entry(fact) for fact in self.facts]
        names = {"topics": "topic", "keys": "key", "ids": "event_id", "payloads": "payload"}
        events = {name: [row[column] for row in sealed] for name, column in names.items()}
        _ = await session.execute(NOTE, {**rows, **events})


async def follow_licenses(
    session: AsyncSession, events: Iterable[LicenseEvent], now: datetime
) -> None:
    """Keep the newest state of each licence, whatever the order of its events, and recheck the open cases that use it."""
    newest: dict[UUID, LicenseEvent] = {}
    for event in events:
        known = newest.setdefault(event.license_id, event)
        if known.revision < event.revision:
            newest[event.license_id] = event
    kept = await session.execute(KEEP, {"rows": _json([_row(event) for event in newest.values()])})
    changed = {row.license_id: _copy(newest[row.license_id]) for row in kept if row.was_known}
    if changed and (cases := await license_queries.list_resting_on(session, changed)):
        await _recheck(
            session, cases, changed, Moment(now, await calendar_queries.get_calendar(session))
        )


def _row(event: LicenseEvent) -> dict[str, Any]:
    same = (
        "license_id",
        "revision",
        "holder_kind",
        "holder",
        "type_code",
        "type_name",
        "status",
        "trust",
        "digest",
    )
    is_personal = event.holder_kind == "person"
    number = masking.mask_id_number(event.number) if is_personal else event.number
    values = {
        name: getattr(event, name) for name in (*same, "valid_from", "valid_until", "account_id")
    }
    return {**values, "number": number}


def _copy(event: LicenseEvent) -> LicenseCopy:
    return LicenseCopy(**_row(event))


async def _recheck(
    session: AsyncSession, cases: Sequence[Case], licenses: Mapping[UUID, LicenseCopy], at: Moment
) -> None:
    notes = _Notes()
    for case in cases:
        lapsed, restored = case.recheck(licenses, at)
        notes.facts += lapsed
        for fact in lapsed:
            notes.step(case, "license_lapsed", "clock", f"{fact.material_code}: {fact.status}", at)
            detail = {
                "material": fact.material_code,
                "license": str(fact.license_id),
                "status": fact.status,
            }
            notes.trail.append(audit.entry("case.license_lapsed", "case", case.id, **detail))
        for code in restored:
            notes.step(case, "license_restored", "clock", code, at)
            notes.trail.append(audit.entry("case.license_restored", "case", case.id, material=code))
    await notes.write(session)


async def note_uses(
    session: AsyncSession, case: Case, materials: Sequence[dict[str, Any]], role: str, at: Moment
) -> None:
    """用证: fact, audit row and timeline entry of each of these materials that a licence meets."""
    used = [material for material in materials if is_license(material)]
    notes = _Notes(facts=[*case.uses(used, context.current().actor, at)])
    for material in used:
        code, license_id = material["code"], material["license_id"]
        notes.step(case, "use_license", role, f"{code}: {material['type_name'].get('zh', '')}", at)
        notes.uses.append({"license_id": license_id, "case_id": case.id, "material_code": code})
        detail = {"material": code, "license": license_id, "consent": material["consent"]}
        notes.trail.append(audit.entry("case.use_license", "case", case.id, **detail))
    await notes.write(session)


async def forget_uses(
    session: AsyncSession, case: Case, materials: Iterable[dict[str, Any]]
) -> None:
    """These materials rest on their licences no longer: they were replaced, or the case has come to its end."""
    used = [material for material in materials if is_license(material)]
    if used:
        keys = {
            "licenses": [one["license_id"] for one in used],
            "codes": [one["code"] for one in used],
        }
        _ = await session.execute(FORGET, {"case": case.id, **keys})
