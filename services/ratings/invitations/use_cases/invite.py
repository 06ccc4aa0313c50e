"""评价邀请: an invitation for every service event of a case, exactly one however often its fact is told."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.invitations.model.tokens import case_subject, invitation_claims, token_hash
from services.ratings.invitations.use_cases.keys import get_signer
from services.ratings.settings import Rules
from services.ratings.statistics.use_cases import count_invitations
from shared import clock
from shared.database import audit
from shared.domain.workdays import Moment, WorkCalendar
from shared.events.cases import CaseAccepted, CaseClosed, CaseEvent, CaseImported
from shared.events.ratings import RatingInvited
from shared.messaging import outbox
from shared.security.crypto import encrypt, open_sealed

ACCEPTANCE, CLOSING = 1, 2
"""Service numbers (办件服务次数). A closing is 2 also where nothing was accepted, so that no order of facts changes a number."""
ENDED = frozenset({"closed", "not_accepted", "withdrawn", "returned"})
UNDER_WAY = frozenset({"accepted", "suspended", "decided"})

COLUMNS = {
    "id": "uuid",
    "stage": "text",
    "case_id": "uuid",
    "case_number": "text",
    "service_number": "smallint",
    "visit": "text",
    "area_code": "text",
    "department_code": "text",
    "matter_id": "uuid",
    "matter_code": "text",
    "matter_name": "text",
    "hall": "text",
    "window": "text",
    "account_id": "uuid",
    "contact_name": "bytea",
    "phone": "bytea",
    "token_hash": "text",
    "kid": "text",
    "invited_at": "timestamptz",
    "open_until": "date",
    "sms_pending": "boolean",
}
_NAMES = ", ".join(f'"{name}"' for name in COLUMNS)
STORE = text(
    f"INSERT INTO invitation ({_NAMES}, revision) SELECT i.*, 1 FROM unnest("
    + ", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in COLUMNS.items())
    + ") AS i ON CONFLICT DO NOTHING RETURNING id"
)

JOIN = text(
    "UPDATE invitation i SET case_id = c.id FROM unnest(CAST(:case_ids AS uuid[]), CAST(:numbers AS text[]),"
    " CAST(:services AS smallint[]), CAST(:areas AS text[]), CAST(:departments AS text[]))"
    " AS c (id, number, service, area, department) WHERE i.case_id IS NULL AND i.case_number = c.number"
    " AND i.service_number = c.service AND i.area_code = c.area AND i.department_code = c.department"
)


@dataclass(frozen=True, slots=True)
class Invited:
    """One invitation about to be stored; `phone` and `contact_name` in clear."""

    id: UUID
    stage: str
    service_number: int
    area_code: str
    department_code: str
    kid: str
    token_hash: str
    invited_at: datetime
    open_until: date
    case_id: UUID | None = None
    case_number: str | None = None
    visit: str | None = None
    matter_id: UUID | None = None
    matter_code: str | None = None
    matter_name: str | None = None
    hall: str | None = None
    window: str | None = None
    account_id: UUID | None = None
    contact: dict[str, str] = field(default_factory=dict[str, str])

    def values(self) -> dict[str, Any]:
        own = {
            name: getattr(self, name)
            for name in COLUMNS
            if name not in {"contact_name", "phone", "sms_pending"}
        }
        name, phone = self.contact.get("name"), self.contact.get("phone")
        return {
            **own,
            "contact_name": encrypt(name, "invitation.contact_name") if name else None,
            "phone": encrypt(phone, "invitation.phone") if phone else None,
            "sms_pending": bool(phone),
        }

    def fact(self) -> RatingInvited:
        shared = RatingInvited.model_fields.keys() - {"subject_id", "revision", "occurred_at"}
        values = {name: getattr(self, name) for name in shared}
        return RatingInvited(subject_id=self.id, revision=1, occurred_at=self.invited_at, **values)


async def store_invitations(session: AsyncSession, invited: Sequence[Invited]) -> set[UUID]:
    """Store those that are not there yet and tell of them; their ids."""
    if not invited:
        return set()
    rows = [one.values() for one in invited]
    columns = {name: [row[name] for row in rows] for name in COLUMNS}
    stored = set((await session.scalars(STORE, columns)).all())
    await outbox.add_many(session, [one.fact() for one in invited if one.id in stored])
    if stored:
        await count_invitations(session, [one for one in invited if one.id in stored])
        audit.record(
            session, "invitations.make", "invitation", next(iter(stored)), number=len(stored)
        )
    return stored


async def invite_applicants(
    session: AsyncSession,
    events: Sequence[CaseEvent],
    calendar: WorkCalendar,
    rules: Rules,
    now: datetime,
) -> None:
    """Invite to rate what these facts tell of: an acceptance, and every end of a case."""
    signer = await get_signer(session, now)
    invited: dict[UUID, Invited] = {}
    for event, stage in ((one, stage) for one in events for stage in _stages(one, rules)):
        number = ACCEPTANCE if stage == "acceptance" else CLOSING
        subject = case_subject(event.number, number)
        at = Moment(event.occurred_at, calendar)
        open_until = at.after(rules.supplementary_days)
        contact: str | None = getattr(event, "contact", None)
        invitation = Invited(
            id=subject,
            stage=stage,
            service_number=number,
            area_code=event.area_code,
            department_code=event.department_code,
            kid=signer.kid,
            token_hash=token_hash(signer.sign(invitation_claims(subject, open_until))),
            invited_at=event.occurred_at,
            open_until=open_until,
            case_id=event.case_id,
            case_number=event.number,
            matter_id=event.matter_id,
            matter_code=event.matter_code,
            matter_name=event.matter_name,
            account_id=event.account_id,
            contact=open_sealed(contact, "case.contact") if contact else {},
        )
        _ = invited.setdefault(subject, invitation)
    stored = await store_invitations(session, list(invited.values()))
    await _join(session, [one for one in invited.values() if one.id not in stored])


async def _join(session: AsyncSession, known: Sequence[Invited]) -> None:
    """Where a record of the same department was there first, its rating is the case's."""
    if known:
        columns = {
            "case_ids": [one.case_id for one in known],
            "numbers": [one.case_number for one in known],
            "services": [one.service_number for one in known],
            "areas": [one.area_code for one in known],
            "departments": [one.department_code for one in known],
        }
        _ = await session.execute(JOIN, columns)


def _stages(event: CaseEvent, rules: Rules) -> Iterator[str]:
    if isinstance(event, CaseAccepted):
        yield "acceptance"
    elif isinstance(event, CaseClosed):
        yield "closing"
    elif isinstance(event, CaseImported):
        came = clock.local_date(event.occurred_at)
        last = event.closed_on or event.accepted_on or event.received_on or came
        if came - last > timedelta(days=rules.import_days_max):
            return  # History that was taken over: nobody is asked about it now.
        if event.state in ENDED or event.closed_on is not None:
            yield "closing"
        elif event.state in UNDER_WAY or event.accepted_on is not None:
            yield "acceptance"
