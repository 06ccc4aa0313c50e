"""用证: the holder authorises, a bureau's system or a case uses; the holder sees every use."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.licenses.journal import Journal
from services.licenses.model.identifiers import random_code
from services.licenses.model.license import License
from services.licenses.model.records import NO_TYPE, Counting, LicenseUse, UseAuthorisation
from services.licenses.model.states import Status
from services.licenses.queries import licenses, records
from services.licenses.schemas.uses import AuthorisationRead, Authorise, UsedLicense, UseLicense
from shared import clock
from shared.database import direct
from shared.database.session import Database
from shared.errors import ConflictError, ForbiddenError, NotFoundError
from shared.events.cases import CaseLicenseUsed, CaseReceived
from shared.events.licenses import LicenseUsed
from shared.ids import new_id
from shared.security.crypto import lookup_hash
from shared.security.tokens import Caller

CODE_LENGTH = 16
COUNT_INTAKES = direct.command(
    f"""INSERT INTO license_counting
    (area_code, department_code, type_code, license_materials, licenses_used)
SELECT area, department, '{NO_TYPE}', sum(materials), sum(used)
FROM unnest(
    CAST(:areas AS text[]), CAST(:departments AS text[]),
    CAST(:materials AS int[]), CAST(:used AS int[])
) AS e (area, department, materials, used) GROUP BY area, department"""
)
COUNT_REFUSAL = f"""INSERT INTO license_counting
    (area_code, department_code, type_code, refused_uses)
SELECT $1, $2, coalesce((SELECT type_code FROM license WHERE id = $3), '{NO_TYPE}'), 1"""


def _code_hash(code: str) -> bytes:
    # Only the hash is stored: whoever reads the table cannot use a license.
    return lookup_hash(code, purpose="use_authorisation.code")


async def authorise(
    session: AsyncSession, license_id: UUID, *, command: Authorise, giver: str, now: datetime
) -> AuthorisationRead:
    """The holder allows one use; the answer is the only place that shows the code.

    Raises:
        ConflictError: the license is not valid.
    """
    found = await licenses.get_license(session, license_id)
    if found.status is not Status.VALID:
        raise ConflictError("only a valid licence can be used", extra={"state": found.status})
    code = random_code(CODE_LENGTH)
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
    journal = Journal(now)
    journal.append_audit("license.authorise", object_id=license_id, matter=command.matter_code)
    await journal.write(session)
    return AuthorisationRead(
        id=given.id, matter_code=given.matter_code, until=given.until, auth_code=code
    )


async def withdraw_authorisation(
    session: AsyncSession, license_id: UUID, *, authorisation_id: UUID, now: datetime
) -> None:
    """The holder withdraws it before it is used. Withdrawing twice changes nothing.

    Raises:
        NotFoundError: the license has no such authorisation.
        ConflictError: it has been used.
    """
    given = await session.get(UseAuthorisation, authorisation_id, with_for_update=True)
    if given is None or given.license_id != license_id:
        raise NotFoundError("no such authorisation of yours")
    if given.used_at is not None:
        raise ConflictError("it has been used; the use stands in the log")
    if given.withdrawn_at is None:
        given.withdrawn_at = now
        journal = Journal(now)
        journal.append_audit("license.withdraw_authorisation", object_id=license_id)
        await journal.write(session)


async def use_license(
    session: AsyncSession, license_id: UUID, *, command: UseLicense, system: Caller, now: datetime
) -> UsedLicense:
    """Give a system the record under the holder's authorisation: once, in its matter and term.

    Raises:
        ForbiddenError: the system belongs to no department.
        NotFoundError: no license with such an authorisation.
        ConflictError: authorisation or license does not hold.
    """
    if not system.area or not system.department:
        raise ForbiddenError("this system belongs to no department")
    # Locked: of two uses at once the second finds the authorisation used.
    given = await records.lock_authorisation(session, _code_hash(command.auth_code))
    if given is None or given.license_id != license_id:
        raise NotFoundError("no licence with such an authorisation")
    _check_authorisation(given, command, now=now)
    # Locked, so that a suspension at the same moment comes before or after this use.
    found = await licenses.lock_license(session, license_id)
    _check_usable(found, now)
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
    await _record_use(session, use, license=found, now=now)
    return UsedLicense(
        use_id=use.id, record=version.record, digest=found.digest, signature=version.signature
    )


def _check_authorisation(given: UseAuthorisation, command: UseLicense, *, now: datetime) -> None:
    if given.used_at is not None:
        raise ConflictError("this authorisation has served its one use")
    if given.withdrawn_at is not None:
        raise ConflictError("the holder has withdrawn this authorisation")
    if given.until <= now:
        raise ConflictError("the term of this authorisation is over")
    if given.matter_code != command.matter_code:
        raise ConflictError("this authorisation is for another matter")


def _check_usable(license: License, now: datetime) -> None:
    # Only state 01 counts as evidence (norms §4).
    if license.status is not Status.VALID:
        raise ConflictError(
            "only a valid licence counts as evidence", extra={"state": license.status}
        )
    # The timer that expires licenses may be late, so the days are looked at as well.
    today = clock.local_date(now)
    is_over = license.valid_until is not None and license.valid_until < today
    if today < license.valid_from or is_over:
        raise ConflictError("today lies outside the days for which the licence is valid")


async def count_refusal(database: Database, license_id: UUID, *, system: Caller) -> None:
    """Count a refused use, on a connection of its own: the refusal rolls its transaction back."""
    # The driver's methods are only partly typed.
    connection: Any = await database.connect()
    try:
        await connection.execute(
            COUNT_REFUSAL, system.area or "-", system.department or "-", license_id
        )
    finally:
        await connection.close()


async def log_case_use(session: AsyncSession, event: CaseLicenseUsed, *, now: datetime) -> None:
    """A case used the license in place of an upload: one use per case and material."""
    found = await licenses.get_license(session, event.license_id)
    statement = (
        insert(LicenseUse)
        .values(
            id=new_id(),
            license_id=event.license_id,
            case_id=event.case_id,
            case_number=event.number,
            matter_id=event.matter_id,
            matter_code=event.matter_code,
            matter_name=event.matter_name,
            material_code=event.material_code,
            area_code=event.area_code,
            department_code=event.department_code,
            operator=event.operator,
            reason=event.reason,
            digest=event.digest,
            used_at=event.occurred_at,
        )
        # The event may come again.
        .on_conflict_do_nothing(
            index_elements=["license_id", "case_id", "material_code"],
            index_where=LicenseUse.case_id.is_not(None),
        )
        .returning(LicenseUse)
    )
    use = await session.scalar(statement)
    if use is not None:
        await _record_use(session, use, license=found, now=now)


async def _record_use(
    session: AsyncSession, use: LicenseUse, *, license: License, now: datetime
) -> None:
    """Count the use, audit it and publish it."""
    session.add(
        Counting(
            area_code=use.area_code,
            department_code=use.department_code,
            type_code=license.type_code,
            uses=1,
        )
    )
    journal = Journal(now)
    journal.append_events(
        LicenseUsed(
            license_id=use.license_id,
            type_code=license.type_code,
            use_id=use.id,
            case_id=use.case_id,
            case_number=use.case_number,
            matter_id=use.matter_id,
            area_code=use.area_code,
            department_code=use.department_code,
            revision=license.revision,
            occurred_at=now,
        )
    )
    journal.append_audit(
        "license.use", object_id=use.license_id, reason=use.reason, use=str(use.id)
    )
    await journal.write(session)


async def count_intakes(session: AsyncSession, events: Sequence[CaseReceived]) -> None:
    """免提交: of the materials that a license could replace at intake, how many one replaced."""
    counted = [event for event in events if event.license_materials]
    if not counted:
        return
    await COUNT_INTAKES.execute(
        session,
        areas=[event.area_code for event in counted],
        departments=[event.department_code for event in counted],
        materials=[event.license_materials for event in counted],
        used=[event.licenses_used for event in counted],
    )
