"""E-licenses in cases (用证).

The copies follow the events of the licenses service, and open cases are rechecked when a license
that they use changes. The uses themselves are recorded by the journal.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import Text, bindparam, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.cases.case_file.model.case import Case
from services.cases.case_file.model.enums import (
    ApplicantKind,
    LicenseStatus,
    LicenseTrust,
    StepRole,
)
from services.cases.case_file.model.materials import (
    LicenseCopy,
    LicenseValues,
    StoredMaterial,
    licenses_among,
)
from services.cases.case_file.model.states import CaseAct
from services.cases.journal import Journal, Step
from services.cases.licenses import queries as license_queries
from shared.database.calendar import get_calendar
from shared.database.direct import Direct, command
from shared.domain import masking
from shared.domain.workdays import Moment
from shared.events.licenses import LicenseEvent


class KeptRow(NamedTuple):
    """A license whose copy has changed; only one that was known before can be in use."""

    license_id: UUID
    was_known: bool


COLUMNS = (
    "license_id, revision, event_number, holder_kind, holder, type_code, type_name, number, status,"
    " trust, digest, valid_from, valid_until, account_id"
)
# In the order of ids, so that two processes never wait for each other.
KEEP_NEWEST = Direct(
    text(
        f"INSERT INTO license_copy ({COLUMNS}) SELECT {COLUMNS}"
        " FROM json_to_recordset(CAST(:rows AS json)) AS r (license_id uuid, revision int,"
        " event_number bigint,"
        " holder_kind text, holder text, type_code text, type_name jsonb, number text,"
        " status text, trust text, digest text, valid_from date, valid_until date,"
        " account_id uuid) ORDER BY license_id"
        " ON CONFLICT (license_id) DO UPDATE SET revision = excluded.revision,"
        " event_number = excluded.event_number,"
        " holder_kind = excluded.holder_kind, holder = excluded.holder,"
        " type_code = excluded.type_code, type_name = excluded.type_name,"
        " number = excluded.number, status = excluded.status, trust = excluded.trust,"
        " digest = excluded.digest, valid_from = excluded.valid_from,"
        " valid_until = excluded.valid_until, account_id = excluded.account_id"
        # The facts of one act share a revision.
        " WHERE coalesce(license_copy.event_number, license_copy.revision) < excluded.event_number"
        # `xmax` of a row that was just inserted is 0: this tells an update from an insert.
        " RETURNING license_id, xmax <> 0 AS was_known"
    ).bindparams(bindparam("rows", type_=Text())),
    KeptRow,
)
FORGET_USES = command(
    "DELETE FROM case_license WHERE case_id = CAST(:case AS uuid)"
    " AND license_id = ANY (CAST(:licenses AS uuid[]))"
    " AND material_code = ANY (CAST(:codes AS text[]))"
)


async def follow_licenses(
    session: AsyncSession, events: Iterable[LicenseEvent], *, now: datetime
) -> None:
    """Keep the newest state of each license and recheck the open cases that use it.

    Events may come in any order.
    """
    changed = await _store_newest(session, _newest_of_each(events))
    # A license that nobody knew before cannot be in use.
    if not changed:
        return
    cases = await license_queries.lock_cases_using(session, changed)
    if cases:
        at = Moment(now, await get_calendar(session))
        await _recheck_cases(session, cases, licenses=changed, at=at)


def _newest_of_each(events: Iterable[LicenseEvent]) -> dict[UUID, LicenseValues]:
    """The newest state of each license among these events, by its id."""
    newest: dict[UUID, LicenseEvent] = {}
    for event in events:
        known = newest.get(event.license_id)
        if known is None or known.event_number < event.event_number:
            newest[event.license_id] = event
    values: dict[UUID, LicenseValues] = {}
    for license_id, event in newest.items():
        values[license_id] = _copy_values(event)
    return values


async def _store_newest(
    session: AsyncSession, copies: Mapping[UUID, LicenseValues]
) -> dict[UUID, LicenseCopy]:
    """Store what is newer than the known copy; the licenses that were known and have changed."""
    # The driver has a UUID class of its own, which orjson does not know.
    rows = orjson.dumps([copy._asdict() for copy in copies.values()], default=str).decode()
    changed: dict[UUID, LicenseCopy] = {}
    for row in await KEEP_NEWEST.fetch(session, rows=rows):
        if row.was_known:
            changed[row.license_id] = LicenseCopy.of(copies[row.license_id])
    return changed


def _shown_number(event: LicenseEvent) -> str:
    """The number of a person's license can be that of the ID card, so it is masked."""
    if event.holder_kind == "person":
        return masking.mask_id_number(event.number)
    return event.number


def _copy_values(event: LicenseEvent) -> LicenseValues:
    return LicenseValues(
        license_id=event.license_id,
        revision=event.revision,
        event_number=event.event_number,
        holder_kind=ApplicantKind(event.holder_kind),
        holder=event.holder,
        type_code=event.type_code,
        type_name=event.type_name,
        number=_shown_number(event),
        status=LicenseStatus(event.status),
        trust=LicenseTrust(event.trust),
        digest=event.digest,
        valid_from=event.valid_from,
        valid_until=event.valid_until,
        account_id=event.account_id,
    )


async def _recheck_cases(
    session: AsyncSession,
    cases: Sequence[Case],
    *,
    licenses: Mapping[UUID, LicenseCopy],
    at: Moment,
) -> None:
    """Note in each case which of its licenses are no evidence any more, and which are again."""
    journal = Journal(session, at.now)
    for case in cases:
        lapsed, restored = case.recheck_licenses(licenses, at)
        for event in lapsed:
            step = Step(
                case_id=case.id,
                act=CaseAct.LICENSE_LAPSED,
                role=StepRole.CLOCK,
                note=f"{event.material_code}: {event.status}",
                detail={
                    "material": event.material_code,
                    "license": str(event.license_id),
                    "status": event.status,
                },
            )
            journal.append(step, event)
        for code in restored:
            step = Step(
                case_id=case.id,
                act=CaseAct.LICENSE_RESTORED,
                role=StepRole.CLOCK,
                note=code,
                detail={"material": code},
            )
            journal.append(step)
    await journal.write()


async def forget_uses(
    session: AsyncSession, case: Case, *, materials: Iterable[StoredMaterial]
) -> None:
    """These materials use their licenses no longer: they were replaced, or the case has ended."""
    used = licenses_among(materials)
    if used:
        await FORGET_USES.execute(
            session,
            case=case.id,
            licenses=[material.license_id for material in used],
            codes=[material.code for material in used],
        )
