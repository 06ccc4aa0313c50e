"""用证: the holder authorises, a bureau's system uses, a case uses; every use is logged for the holder to see."""

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import Uuid, bindparam, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.licenses.model.records import Counting, LicenseUse, UseAuthorisation
from services.licenses.model.states import Status
from services.licenses.queries import licenses, records
from services.licenses.schemas.uses import AuthorisationRead, Authorise, UseLicense
from shared import clock
from shared.database import audit
from shared.database.direct import UntypedDirect
from shared.errors import ConflictError, ForbiddenError, NotFoundError
from shared.events.cases import CaseLicenseUsed, CaseReceived
from shared.events.licenses import LicenseUsed
from shared.ids import new_id
from shared.messaging import outbox
from shared.security.crypto import lookup_hash
from shared.security.tokens import Caller

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
NO_AUTHORISATION = "no licence with such an authorisation"
LOG = text(
    "INSERT INTO license_use (id, license_id, case_id, case_number, matter_id, matter_code, matter_name, material_code,"
    " area_code, department_code, operator, reason, digest, used_at)"
    " VALUES (:id, :license_id, :case_id, :case_number, :matter_id, :matter_code, :matter_name, :material_code,"
    " :area_code, :department_code, :operator, :reason, :digest, :used_at)"
    " ON CONFLICT (license_id, case_id, material_code) WHERE case_id IS NOT NULL DO NOTHING RETURNING id"
).bindparams(
    *(bindparam(name, type_=Uuid()) for name in ("id", "license_id", "case_id", "matter_id"))
)
INTAKES = UntypedDirect(
    "INSERT INTO license_counting (area_code, department_code, type_code, license_materials, licenses_used)"
    " SELECT area, department, '-', sum(materials), sum(used)"
    " FROM unnest(CAST(:areas AS text[]), CAST(:departments AS text[]), CAST(:materials AS int[]), CAST(:used AS int[]))"
    "  AS e (area, department, materials, used) GROUP BY area, department"
)
REFUSED = (
    "INSERT INTO license_counting (area_code, department_code, type_code, refused_uses)"
    " SELECT $1, $2, coalesce((SELECT type_code FROM license WHERE id = $3), '-'), 1"
)


def _code_hash(code: str) -> bytes:
    return lookup_hash(code, "use_authorisation.code")


async def authorise(
    session: AsyncSession, license_id: UUID, command: Authorise, giver: str, now: datetime
) -> AuthorisationRead:
    """The holder lets one use happen; the code is shown this once."""
    found = await licenses.get_license(session, license_id)
    if found.status != Status.VALID:
        raise ConflictError("only a valid licence can be used", extra={"state": found.status})
    code = "".join(secrets.choice(ALPHABET) for _ in range(16))
    given = UseAuthorisation(
        id=new_id(),
        license_id=license_id,
        code_hash=_code_hash(code),
        matter_code=command.matter_code,
        given_by=giver,
        given_at=now,
        until=now + timedelta(hours=command.hours),
    )
    session.add(given)
    audit.record(session, "license.authorise", "license", license_id, matter=command.matter_code)
    return AuthorisationRead(
        id=given.id, matter_code=given.matter_code, until=given.until, auth_code=code
    )


async def withdraw_authorisation(
    session: AsyncSession, license_id: UUID, authorisation_id: UUID, now: datetime
) -> None:
    """The holder takes it back before it is used."""
    given = await session.get(UseAuthorisation, authorisation_id, with_for_update=True)
    if given is None or given.license_id != license_id:
        raise NotFoundError("no such authorisation of yours")
    if given.used_at is not None:
        raise ConflictError("it has been used; the use stands in the log")
    if given.withdrawn_at is None:
        given.withdrawn_at = now
        audit.record(session, "license.withdraw_authorisation", "license", license_id)


async def use_license(
    session: AsyncSession, license_id: UUID, command: UseLicense, system: Caller, now: datetime
) -> dict[str, Any]:
    """A system gets the record under the holder's authorisation: once, in its matter, within its term."""
    if not system.area or not system.department:
        raise ForbiddenError("this system belongs to no department")
    given = await records.lock_authorisation(session, _code_hash(command.auth_code))
    if given is None or given.license_id != license_id:
        raise NotFoundError(NO_AUTHORISATION)
    _check(given, command, now)
    found = await licenses.lock_license(session, license_id)
    if found.status != Status.VALID:
        raise ConflictError(
            "only a valid licence counts as evidence", extra={"state": found.status}
        )
    today = clock.local_date(now)
    if today < found.valid_from or (found.valid_until is not None and found.valid_until < today):
        raise ConflictError("today lies outside the days for which the licence is valid")
    version = await licenses.get_version(session, found)
    given.used_at = now
    use = LicenseUse(
        id=new_id(),
        license_id=license_id,
        case_number=command.case_number,
        matter_code=command.matter_code,
        area_code=system.area,
        department_code=system.department,
        operator=system.subject,
        reason=command.reason,
        authorisation_id=given.id,
        digest=found.digest,
        used_at=now,
    )
    session.add(use)
    _publish(session, use, found.type_code, found.revision, now)
    return {
        "use_id": use.id,
        "record": version.record,
        "digest": found.digest,
        "signature": version.signature,
    }


def _check(given: UseAuthorisation, command: UseLicense, now: datetime) -> None:
    if given.used_at is not None:
        raise ConflictError("this authorisation has served its one use")
    if given.withdrawn_at is not None:
        raise ConflictError("the holder has withdrawn this authorisation")
    if given.until <= now:
        raise ConflictError("the term of this authorisation is over")
    if given.matter_code != command.matter_code:
        raise ConflictError("this authorisation is for another matter")


async def count_refusal(connection: asyncpg.Connection, license_id: UUID, system: Caller) -> None:
    """Over-asking is counted, on a connection of its own: the refusal undoes the rest."""
    _ = await connection.execute(REFUSED, system.area or "-", system.department or "-", license_id)


async def log_case_use(session: AsyncSession, event: CaseLicenseUsed, now: datetime) -> None:
    """A case used it instead of an upload: one row per case and material."""
    found = await licenses.get_license(session, event.license_id)
    same = (
        "license_id",
        "case_id",
        "matter_id",
        "matter_code",
        "matter_name",
        "material_code",
        "area_code",
    )
    same += ("department_code", "operator", "reason", "digest")
    values = {name: getattr(event, name) for name in same}
    values |= {"id": new_id(), "case_number": event.number, "used_at": event.occurred_at}
    if await session.scalar(LOG, values):
        _publish(session, LicenseUse(**values), found.type_code, found.revision, now)


def _publish(
    session: AsyncSession, use: LicenseUse, type_code: str, revision: int, now: datetime
) -> None:
    fact = LicenseUsed(
        license_id=use.license_id,
        type_code=type_code,
        use_id=use.id,
        case_id=use.case_id,
        case_number=use.case_number,
        matter_id=use.matter_id,
        area_code=use.area_code,
        department_code=use.department_code,
        revision=revision,
        occurred_at=now,
    )
    outbox.add(session, fact)
    place = {"area_code": use.area_code, "department_code": use.department_code}
    session.add(Counting(**place, type_code=type_code, uses=1))
    audit.record(
        session, "license.use", "license", use.license_id, reason=use.reason, use=str(use.id)
    )


async def count_intakes(session: AsyncSession, events: Sequence[CaseReceived]) -> None:
    """免提交: of the materials that a licence could meet at intake, how many one met."""
    told = [event for event in events if event.license_materials]
    if told:
        _ = await INTAKES.fetch(
            session,
            areas=[event.area_code for event in told],
            departments=[event.department_code for event in told],
            materials=[event.license_materials for event in told],
            used=[event.licenses_used for event in told],
        )
