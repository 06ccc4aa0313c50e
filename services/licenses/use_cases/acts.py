"""The operations on a licence by its department. Each locks the row, so once-only acts have one effect under any load."""

from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from services.licenses.model.license import License, LicenseStep
from services.licenses.model.states import Act
from services.licenses.queries import licenses, types
from services.licenses.queries.types import Type
from services.licenses.schemas.licenses import ChangeLicense, EndLicense, RenewLicense, Why
from services.licenses.use_cases.keys import get_signer
from services.licenses.use_cases.making import Draft, make, store_versions
from shared.database import audit
from shared.errors import ConflictError, FieldError, InvalidInputError, NotFoundError
from shared.events.base import Event
from shared.http.etags import check_version
from shared.ids import new_id
from shared.messaging import outbox
from shared.security.tokens import Caller


async def _departments(
    session: AsyncSession, license_id: UUID, expected: int, caller: Caller
) -> License:
    """A licence of the officer's area and department, locked, at the version that was read."""
    found = await licenses.lock_license(session, license_id)
    if (found.area_code, found.department_code) != (caller.area, caller.department):
        raise NotFoundError(licenses.NOT_YOURS)
    check_version(found.revision, expected)
    return found


def _record(
    session: AsyncSession, license: License, act: Act, fact: Event, reason: str, now: datetime
) -> None:
    """The fact, the step that the holder sees, the audit trail."""
    outbox.add(session, fact)
    step = {
        "act": act,
        "status": license.status,
        "version": license.version,
        "reason": reason,
        "at": now,
    }
    session.add(LicenseStep(id=new_id(), license_id=license.id, **step))
    audit.record(
        session, f"license.{act}", "license", license.id, reason=reason, revision=license.revision
    )


async def suspend_license(
    session: AsyncSession,
    license_id: UUID,
    command: Why,
    expected: int,
    caller: Caller,
    now: datetime,
) -> None:
    """暂扣."""
    found = await _departments(session, license_id, expected, caller)
    _record(session, found, Act.SUSPEND, found.suspend(command.reason, now), command.reason, now)


async def release_license(
    session: AsyncSession,
    license_id: UUID,
    command: Why,
    expected: int,
    caller: Caller,
    now: datetime,
) -> None:
    """暂扣发还."""
    found = await _departments(session, license_id, expected, caller)
    _record(session, found, Act.RELEASE, found.release(now), command.reason, now)


async def end_license(
    session: AsyncSession,
    license_id: UUID,
    command: EndLicense,
    expected: int,
    caller: Caller,
    now: datetime,
) -> None:
    """撤销, 注销 or 吊销."""
    found, act = await _departments(session, license_id, expected, caller), Act(command.kind)
    _record(session, found, act, found.end(act, command.reason, now), command.reason, now)


async def transfer_license(
    session: AsyncSession,
    license_id: UUID,
    command: Why,
    expected: int,
    caller: Caller,
    now: datetime,
) -> None:
    """转出."""
    found = await _departments(session, license_id, expected, caller)
    _record(session, found, Act.TRANSFER, found.transfer(now), command.reason, now)


async def change_license(
    session: AsyncSession,
    license_id: UUID,
    command: ChangeLicense,
    expected: int,
    caller: Caller,
    now: datetime,
) -> None:
    """变更: the next version, made under the newest definition of its type and signed."""
    found = await _departments(session, license_id, expected, caller)
    changes: dict[str, Any] = {"fields": command.fields}
    if command.holder_name is not None:
        changes["holder_name"] = command.holder_name
    await _next_version(session, found, Act.CHANGE, changes, command.reason, now)


async def renew_license(
    session: AsyncSession,
    license_id: UUID,
    command: RenewLicense,
    expected: int,
    caller: Caller,
    now: datetime,
) -> None:
    """延续: the next version holds until a later day."""
    found = await _departments(session, license_id, expected, caller)
    await _next_version(
        session, found, Act.RENEW, {"valid_until": command.valid_until}, command.reason, now
    )


async def _next_version(
    session: AsyncSession,
    license: License,
    act: Act,
    changes: dict[str, Any],
    reason: str,
    now: datetime,
) -> None:
    previous, last = license.identifier, license.valid_until
    version = await licenses.get_version(session, license)
    ground = await types.find_ground(session, license.type_code, license.holder, None)
    assert ground.type is not None
    before: dict[str, Any] = orjson.loads(version.record)
    license.begin_version(act, now)
    if act is Act.RENEW:
        last = _later(ground.type, license, changes.pop("valid_until"))
    draft = Draft(
        type=ground.type,
        area_code=license.area_code,
        department_code=license.department_code,
        number=license.number,
        holder_kind=license.holder_kind,
        holder_name=changes.get("holder_name", before["holder"]["name"]),
        holder_id_number=before["holder"]["number"],
        fields=_merged(
            ground.type, before["fields"], changes.get("fields", {}), complete=act is Act.CHANGE
        ),
        issuer_name=before["issuer"]["name"],
        issued_on=license.issued_on,
        valid_from=license.valid_from,
        valid_until=last,
        origin=license.origin,
        trust=license.trust,
        status=license.status,
        version=license.version,
        revision=license.revision,
        license_id=license.id,
        previous=previous,
        account_id=license.account_id,
        case_id=license.case_id,
        case_number=license.case_number,
        matter_code=license.matter_code,
        matter_name=license.matter_name,
        source_digest=license.source_digest,
        act=act,
        reason=reason,
    )
    made = make(draft, await get_signer(session, ground.kid, now), now)
    await session.flush()
    await store_versions(session, [made])
    await session.refresh(license)
    _record(session, license, act, license.renewed_version(act, now), reason, now)


def _merged(
    type_: Type, before: dict[str, str], changes: dict[str, str | None], *, complete: bool
) -> dict[str, str]:
    known = {field.name for field in type_.document.fields}
    kept = {name: value for name, value in before.items() if name in known or name in changes}
    merged = {name: value for name, value in (kept | changes).items() if value is not None}
    if faults := type_.document.faults(merged, complete=complete):
        raise InvalidInputError(f"{len(faults)} fault(s) in the licence", faults)
    return merged


def _later(type_: Type, license: License, wanted: Any) -> Any:
    """The new last day: it must be later than the present one."""
    if license.valid_until is None:
        raise ConflictError("this licence holds for good; there is nothing to renew")
    following = license.valid_until.fromordinal(license.valid_until.toordinal() + 1)
    last = wanted or type_.document.validity.last_day(following)
    if last is not None and last <= license.valid_until:
        fault = FieldError("valid_until", "later", "is not later than the present last day")
        raise InvalidInputError("a renewal lengthens", [fault])
    return last
