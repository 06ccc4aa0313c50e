"""The one writer of what happens to cases: timeline, audit trail and events, in one statement.

Whoever changes a case appends the step with its events and writes the journal in the same
transaction. The agent who acts for the applicant is taken from the request; the time of a step is
the one given to the journal. E-licenses that a case begins to use cost a second statement.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import orjson
from sqlalchemy import Text, bindparam, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.elements import TextClause

from services.cases.case_file.model.case import Case
from services.cases.case_file.model.enums import StepRole
from services.cases.case_file.model.materials import FromLicense, StoredMaterial, licenses_among
from services.cases.case_file.model.states import CaseAct
from services.cases.case_file.model.timeline import OPINION_PURPOSE
from shared import context
from shared.database import audit
from shared.database.direct import command
from shared.domain.workdays import Moment
from shared.events.base import Event
from shared.ids import new_id
from shared.messaging import outbox
from shared.security.crypto import encrypt

ROWS = (
    "steps AS (INSERT INTO case_step (id, case_id, act, role, agent_id, note, opinion, at)"
    "  SELECT id, case_id, act, role, agent_id, note, opinion, at"
    "  FROM jsonb_to_recordset(CAST(:steps AS jsonb)) AS s (id uuid, case_id uuid, act text,"
    "  role text, agent_id text, note text, opinion bytea, at timestamptz)),"
    " trail AS (INSERT INTO audit (id, at, actor, on_behalf_of, action, object_type, object_id,"
    "  reason, detail, request_id)"
    "  SELECT id, at, actor, on_behalf_of, action, object_type, object_id, reason, detail,"
    "  request_id FROM jsonb_to_recordset(CAST(:trail AS jsonb)) AS a (id uuid, at timestamptz,"
    "  actor text, on_behalf_of text, action text, object_type text, object_id text, reason text,"
    "  detail jsonb, request_id text))"
    f" {outbox.INSERT}"
)
JSON_PARAMETERS = (bindparam("steps", type_=Text()), bindparam("trail", type_=Text()))
WRITE = command(text(f"WITH {ROWS}").bindparams(*JSON_PARAMETERS))
"""Timeline, audit rows and events of any number of cases in one round trip."""

CASE_COLUMNS = tuple(Case.__mapper__.columns)
CASE_NAMES = tuple(column.key for column in CASE_COLUMNS)


def _write_with_case() -> TextClause:
    names = ", ".join(CASE_NAMES)
    values = ", ".join(f":case_{name}" for name in CASE_NAMES)
    statement = f"WITH new_case AS (INSERT INTO case_file ({names}) VALUES ({values})), {ROWS}"
    parameters = list(JSON_PARAMETERS)
    for column in CASE_COLUMNS:
        parameters.append(bindparam(f"case_{column.key}", type_=column.type))
    return text(statement).bindparams(*parameters)


WRITE_WITH_CASE = command(_write_with_case())
"""The same with the row of a new case: applying is what officers and citizens wait for most."""

ADD_USES = command(
    "WITH used AS (SELECT * FROM unnest(CAST(:licenses AS uuid[]), CAST(:cases AS uuid[]),"
    " CAST(:codes AS text[])) AS u (license_id, case_id, material_code))"
    " INSERT INTO case_license (license_id, case_id, material_code)"
    " SELECT license_id, case_id, material_code FROM used ON CONFLICT DO NOTHING"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step in the life of a case.

    The applicant reads `note` in the timeline. `opinion` is the text of a review; it is stored
    encrypted and shown to the department alone. `reason` and `detail` go to the audit trail and
    hold no personal data.
    """

    case_id: UUID
    act: CaseAct
    role: StepRole
    note: str | None = None
    opinion: str | None = None
    reason: str | None = None
    detail: Mapping[str, object] = field(default_factory=dict[str, object])


def step_of(
    case: Case,
    act: CaseAct,
    *,
    role: StepRole,
    note: str | None = None,
    opinion: str | None = None,
) -> Step:
    """A step that has changed the case; call it after the change, for the revision."""
    return Step(
        case_id=case.id,
        act=act,
        role=role,
        note=note,
        opinion=opinion,
        reason=note,
        detail={"revision": case.revision},
    )


class Journal:
    """What happens in one transaction, to be written at once."""

    def __init__(self, session: AsyncSession, now: datetime) -> None:
        self._session = session
        self._now = now
        self._steps: list[dict[str, object]] = []
        self._trail: list[Mapping[str, object]] = []
        self._events: list[Event] = []
        self._uses: list[tuple[UUID, FromLicense]] = []

    def append(self, step: Step, *events: Event) -> None:
        """A step of a case, with the events that tell other services of it."""
        opinion: str | None = None
        if step.opinion is not None:
            # PostgreSQL reads `\\x…` as bytes.
            opinion = "\\x" + encrypt(step.opinion, purpose=OPINION_PURPOSE).hex()
        row: dict[str, object] = {
            "id": new_id(),
            "case_id": step.case_id,
            "act": step.act.value,
            "role": step.role.value,
            # The person who acts for an organisation, or for somebody by a mandate.
            "agent_id": context.current().agent,
            "note": step.note,
            "opinion": opinion,
            "at": self._now,
        }
        self._steps.append(row)
        self.audit(
            f"case.{step.act}",
            object_type="case",
            object_id=step.case_id,
            events=events,
            reason=step.reason,
            detail=step.detail,
        )

    def audit(
        self,
        action: str,
        *,
        object_type: str,
        object_id: UUID,
        events: Sequence[Event] = (),
        reason: str | None = None,
        detail: Mapping[str, object],
    ) -> None:
        """An entry of the audit trail, with events, for what is no step of a case."""
        entry = audit.entry(
            action, object_type=object_type, object_id=object_id, reason=reason, **detail
        )
        self._trail.append(entry)
        self._events.extend(events)

    def use_licenses(
        self, case: Case, materials: Iterable[StoredMaterial], *, role: StepRole, at: Moment
    ) -> None:
        """用证: a step with its event for each of these materials that a license meets.

        Which case uses which licenses is remembered, to find it when one of them changes.
        """
        used = licenses_among(materials)
        events = case.license_uses(used, context.current().actor, at=at)
        for material, event in zip(used, events, strict=True):
            step = Step(
                case_id=case.id,
                act=CaseAct.USE_LICENSE,
                role=role,
                note=f"{material.code}: {material.type_name.get('zh', '')}",
                detail={
                    "material": material.code,
                    "license": str(material.license_id),
                    "consent": material.consent,
                },
            )
            self.append(step, event)
            self._uses.append((case.id, material))

    def publish(self, events: Iterable[Event]) -> None:
        """Events without an entry of the audit trail: of many records that one entry counts."""
        self._events.extend(events)

    async def write(self) -> None:
        """Write everything that was appended; pending changes of entities are written first."""
        if self._trail or self._events:
            await WRITE.execute(self._session, **self._values())
        await self._add_uses()

    async def write_with(self, case: Case) -> None:
        """Write a new case, which the session does not know, and everything that was appended."""
        values = {f"case_{name}": getattr(case, name) for name in CASE_NAMES}
        await WRITE_WITH_CASE.execute(self._session, **values, **self._values())
        await self._add_uses()

    async def _add_uses(self) -> None:
        """The rows refer to their cases, which must have been written before."""
        if not self._uses:
            return
        await ADD_USES.execute(
            self._session,
            licenses=[material.license_id for _, material in self._uses],
            cases=[case_id for case_id, _ in self._uses],
            codes=[material.code for _, material in self._uses],
        )
        self._uses.clear()

    def _values(self) -> dict[str, object]:
        """Parameters of the statements."""
        # Sealed now, in the order of events: the relay publishes in this order.
        entries = [outbox.entry(event) for event in self._events]
        values: dict[str, object] = {
            "steps": _as_json(self._steps),
            "trail": _as_json(self._trail),
            "topics": [entry["topic"] for entry in entries],
            "keys": [entry["key"] for entry in entries],
            "ids": [entry["event_id"] for entry in entries],
            "payloads": [entry["payload"] for entry in entries],
        }
        # Whoever goes on with this journal must not write the same again.
        self._steps.clear()
        self._trail.clear()
        self._events.clear()
        return values


def _as_json(rows: Sequence[Mapping[str, object]]) -> str:
    # The driver has a UUID class of its own, which orjson does not know.
    return orjson.dumps(rows, default=str).decode()
