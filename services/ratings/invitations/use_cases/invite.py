"""评价邀请: an invitation for every service event, exactly one however often its event comes."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.ratings.invitations.model.invitation import (
    ACCEPTANCE_NUMBER,
    CLOSING_NUMBER,
    NO_CONTACT,
    Contact,
    InvitationRow,
    NewInvitation,
)
from services.ratings.invitations.model.tokens import (
    Signer,
    case_subject,
    link_claims,
    token_hash,
)
from services.ratings.invitations.use_cases.keys import get_signer
from services.ratings.journal import Action, Entry, Journal
from services.ratings.rating.model.service_event import Stage
from services.ratings.settings import Rules
from shared import clock
from shared.database.direct import Direct, command
from shared.domain.workdays import Moment, WorkCalendar
from shared.events.cases import CaseAccepted, CaseClosed, CaseImported
from shared.security.crypto import open_sealed

InvitingEvent = CaseAccepted | CaseClosed | CaseImported

ENDED = frozenset({"closed", "not_accepted", "withdrawn", "returned"})
UNDER_WAY = frozenset({"accepted", "suspended", "decided"})
"""States of cases, as `CaseImported` names them."""

SERVICE_NUMBERS = {Stage.ACCEPTANCE: ACCEPTANCE_NUMBER, Stage.CLOSING: CLOSING_NUMBER}

_COLUMN_TYPES = {
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
"""In the order of `InvitationRow`."""


class StoredId(NamedTuple):
    id: UUID


def _store_statement() -> str:
    names = ", ".join(f'"{name}"' for name in _COLUMN_TYPES)
    arrays = ", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in _COLUMN_TYPES.items())
    return (
        f"INSERT INTO invitation ({names}, revision)"
        f" SELECT i.*, 1 FROM unnest({arrays}) AS i"
        " ON CONFLICT DO NOTHING RETURNING id"
    )


STORE = Direct(_store_statement(), StoredId)

ATTACH_CASES = command(
    "UPDATE invitation i SET case_id = c.id"
    " FROM unnest(CAST(:case_ids AS uuid[]), CAST(:numbers AS text[]),"
    " CAST(:services AS smallint[]), CAST(:areas AS text[]), CAST(:departments AS text[]))"
    " AS c (id, number, service, area, department)"
    " WHERE i.case_id IS NULL AND i.case_number = c.number AND i.service_number = c.service"
    " AND i.area_code = c.area AND i.department_code = c.department"
)


async def store_invitations(
    session: AsyncSession, invitations: Sequence[NewInvitation]
) -> set[UUID]:
    """Store those that are not there yet, count and announce them; returns their ids."""
    if not invitations:
        return set()
    columns = zip(*[invitation.row() for invitation in invitations], strict=True)
    arrays = dict(zip(InvitationRow._fields, map(list, columns), strict=True))
    stored = {row.id for row in await STORE.fetch(session, **arrays)}
    if not stored:
        return stored
    made = [invitation for invitation in invitations if invitation.id in stored]
    journal = Journal(session)
    # One row for all of them, under the id of one: a push of a bureau invites thousands.
    entry = Entry(Action.INVITE, next(iter(stored)), detail={"number": len(stored)})
    journal.append(entry, *[invitation.event() for invitation in made])
    journal.count_invitations(made)
    await journal.write()
    return stored


async def invite_applicants(
    session: AsyncSession,
    events: Sequence[InvitingEvent],
    *,
    calendar: WorkCalendar,
    rules: Rules,
    now: datetime,
) -> None:
    """Invite the applicants to rate the acceptance and the end of their cases."""
    signer = await get_signer(session, now)
    invitations: dict[UUID, NewInvitation] = {}
    for event in events:
        stage = _stage_of(event, rules)
        if stage is None:
            continue
        occurred = Moment(event.occurred_at, calendar)
        invitation = _new_invitation(
            event, stage, signer=signer, at=occurred, days=rules.supplementary_days
        )
        # A batch of events may hold the same end of a case twice; the first one counts.
        _ = invitations.setdefault(invitation.id, invitation)
    # Events come again after a crash: what is stored already stays as it is.
    stored = await store_invitations(session, list(invitations.values()))
    known = [one for one in invitations.values() if one.id not in stored]
    await _attach_cases(session, known)


def _new_invitation(
    event: InvitingEvent, stage: Stage, *, signer: Signer, at: Moment, days: int
) -> NewInvitation:
    """`days`: the working days from `at` in which it can be rated."""
    service_number = SERVICE_NUMBERS[stage]
    invitation_id = case_subject(event.number, service_number)
    open_until = at.after(days)
    # Only the hash of the token is kept; the link makes the token anew when it is sent.
    token = signer.sign(link_claims(invitation_id, open_until))
    contact = NO_CONTACT
    if event.contact:
        content: dict[str, str | None] = open_sealed(event.contact, purpose="case.contact")
        contact = Contact(content.get("name"), content.get("phone"))
    return NewInvitation(
        id=invitation_id,
        stage=stage,
        service_number=service_number,
        area_code=event.area_code,
        department_code=event.department_code,
        kid=signer.kid,
        token_hash=token_hash(token),
        invited_at=event.occurred_at,
        open_until=open_until,
        case_id=event.case_id,
        case_number=event.number,
        matter_id=event.matter_id,
        matter_code=event.matter_code,
        matter_name=event.matter_name,
        account_id=event.account_id,
        contact=contact,
    )


async def _attach_cases(session: AsyncSession, known: Sequence[NewInvitation]) -> None:
    """Give invitations that a department's record made before their case: the rating is its."""
    if known:
        await ATTACH_CASES.execute(
            session,
            case_ids=[one.case_id for one in known],
            numbers=[one.case_number for one in known],
            services=[one.service_number for one in known],
            areas=[one.area_code for one in known],
            departments=[one.department_code for one in known],
        )


def _stage_of(event: InvitingEvent, rules: Rules) -> Stage | None:
    """What the applicant is asked about, or None for nothing."""
    if isinstance(event, CaseAccepted):
        return Stage.ACCEPTANCE
    if isinstance(event, CaseClosed):
        return Stage.CLOSING
    return _stage_of_import(event, rules)


def _stage_of_import(event: CaseImported, rules: Rules) -> Stage | None:
    arrived_on = clock.local_date(event.occurred_at)
    last_day = event.closed_on or event.accepted_on or event.received_on or arrived_on
    if arrived_on - last_day > timedelta(days=rules.import_days_max):
        # History that was taken over: nobody is asked about it now.
        return None
    if event.state in ENDED or event.closed_on is not None:
        return Stage.CLOSING
    if event.state in UNDER_WAY or event.accepted_on is not None:
        return Stage.ACCEPTANCE
    return None
