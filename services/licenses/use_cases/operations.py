"""The operations on a license by its department.

Each locks the license first, so that an operation has one effect however often it is sent at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from uuid import UUID

from services.licenses.journal import Journal
from services.licenses.model.license import License
from services.licenses.model.record import LicenseRecord, parse_record
from services.licenses.model.states import Operation
from services.licenses.queries import licenses
from services.licenses.queries.types import Type, find_issue_inputs
from services.licenses.schemas.licenses import ChangeLicense, EndLicense, RenewLicense, Why
from services.licenses.use_cases.keys import get_signer
from services.licenses.use_cases.making import Draft, make, store_versions
from shared.database.acts import Act
from shared.errors import ConflictError, FieldError, InvalidInputError
from shared.events.licenses import LicenseEvent
from shared.http.etags import check_version

# All functions below raise NotFoundError for a license of another department, and
# PreconditionFailedError when the license has changed since it was read.


async def suspend_license(act: Act[datetime], license_id: UUID, *, command: Why) -> None:
    """暂扣."""
    found = await _lock_own(act, license_id)
    event = found.suspend(command.reason, act.at)
    await _record(act, found, operation=Operation.SUSPEND, event=event, reason=command.reason)


async def release_license(act: Act[datetime], license_id: UUID, *, command: Why) -> None:
    """暂扣发还."""
    found = await _lock_own(act, license_id)
    event = found.release(act.at)
    await _record(act, found, operation=Operation.RELEASE, event=event, reason=command.reason)


async def end_license(act: Act[datetime], license_id: UUID, *, command: EndLicense) -> None:
    """撤销, 注销 or 吊销."""
    operation = Operation(command.kind)
    found = await _lock_own(act, license_id)
    event = found.end(operation, reason=command.reason, now=act.at)
    await _record(act, found, operation=operation, event=event, reason=command.reason)


async def transfer_license(act: Act[datetime], license_id: UUID, *, command: Why) -> None:
    """转出."""
    found = await _lock_own(act, license_id)
    event = found.transfer(act.at)
    await _record(act, found, operation=Operation.TRANSFER, event=event, reason=command.reason)


async def change_license(act: Act[datetime], license_id: UUID, *, command: ChangeLicense) -> None:
    """变更: the next version, made under the newest definition of its type and signed."""
    found = await _lock_own(act, license_id)
    changes = Changes(command.reason, fields=command.fields, holder_name=command.holder_name)
    await _make_version(act, found, operation=Operation.CHANGE, changes=changes)


async def renew_license(act: Act[datetime], license_id: UUID, *, command: RenewLicense) -> None:
    """延续: the next version is valid until a later day."""
    found = await _lock_own(act, license_id)
    changes = Changes(command.reason, valid_until=command.valid_until)
    await _make_version(act, found, operation=Operation.RENEW, changes=changes)


async def _lock_own(act: Act[datetime], license_id: UUID) -> License:
    """A license of the officer's area and department, at the version that was read."""
    found = await licenses.lock_license(act.session, license_id)
    own_place = (act.caller.area, act.caller.department)
    if (found.area_code, found.department_code) != own_place:
        raise licenses.no_such_license()
    check_version(found.revision, expected=act.expected)
    return found


async def _record(
    act: Act[datetime],
    license: License,
    *,
    operation: Operation,
    event: LicenseEvent,
    reason: str,
) -> None:
    journal = Journal(act.at)
    journal.append_step(license, operation, event=event, reason=reason, revision=license.revision)
    await journal.write(act.session)


@dataclass(frozen=True, slots=True)
class Changes:
    """What the next version says differently; a field with None is removed."""

    reason: str
    fields: Mapping[str, str | None] = field(default_factory=dict[str, str | None])
    holder_name: str | None = None
    valid_until: date | None = None


async def _make_version(
    act: Act[datetime], license: License, *, operation: Operation, changes: Changes
) -> None:
    previous_identifier = license.identifier
    version = await licenses.get_version(act.session, license)
    # The newest definition of the type, not the one under which the license was issued.
    inputs = await find_issue_inputs(act.session, license.type_code, holder=license.holder)
    assert inputs.type is not None
    license.begin_version(operation, act.at)
    draft = _draft(
        license,
        inputs.type,
        before=parse_record(version.record),
        operation=operation,
        changes=changes,
    )
    draft.previous = previous_identifier
    signer = await get_signer(act.session, kid=inputs.kid, now=act.at)
    made = make(draft, signer=signer, now=act.at)
    # The statement below updates the same row: the entity's changes go first, and are read again.
    await act.session.flush()
    await store_versions(act.session, [made])
    await act.session.refresh(license)
    event = license.renewed_version(operation, act.at)
    await _record(act, license, operation=operation, event=event, reason=changes.reason)


def _draft(
    license: License,
    type_: Type,
    *,
    before: LicenseRecord,
    operation: Operation,
    changes: Changes,
) -> Draft:
    """The next version, which `license` has begun; `before` is the record of the present one."""
    valid_until = license.valid_until
    if operation is Operation.RENEW:
        valid_until = _renewed_until(type_, license, wanted=changes.valid_until)
    # A renewal may keep a content that the newest definition would not accept as complete.
    complete = operation is Operation.CHANGE
    return Draft(
        type=type_,
        area_code=license.area_code,
        department_code=license.department_code,
        number=license.number,
        holder_kind=license.holder_kind,
        holder_name=changes.holder_name or before.holder.name,
        holder_id_number=before.holder.number,
        fields=_merge_fields(type_, before.fields, changes=changes, complete=complete),
        issuer_name=before.issuer.name,
        issued_on=license.issued_on,
        valid_from=license.valid_from,
        valid_until=valid_until,
        origin=license.origin,
        trust=license.trust,
        status=license.status,
        version=license.version,
        revision=license.revision,
        license_id=license.id,
        account_id=license.account_id,
        case_id=license.case_id,
        case_number=license.case_number,
        matter_code=license.matter_code,
        matter_name=license.matter_name,
        source_digest=license.source_digest,
        operation=operation,
        reason=changes.reason,
    )


def _merge_fields(
    type_: Type, before: Mapping[str, str], *, changes: Changes, complete: bool
) -> dict[str, str]:
    """The content of the next version, checked against the type's newest definition.

    Fields that the definition no longer has are dropped, unless the change names them: then they
    are a fault.
    """
    known = {field.name for field in type_.document.fields}
    kept = known | changes.fields.keys()
    merged = {name: value for name, value in before.items() if name in kept}
    for name, value in changes.fields.items():
        if value is None:
            _ = merged.pop(name, None)
        else:
            merged[name] = value
    faults = type_.document.faults(merged, complete=complete)
    if faults:
        raise InvalidInputError("{count} fault(s) in the licence", faults, count=len(faults))
    return merged


def _renewed_until(type_: Type, license: License, *, wanted: date | None) -> date | None:
    """The new last day, which must be later than the present one; None without end."""
    if license.valid_until is None:
        raise ConflictError("this licence holds for good; there is nothing to renew")
    next_first = license.valid_until + timedelta(days=1)
    last = wanted or type_.document.validity.last_day(next_first)
    if last is not None and last <= license.valid_until:
        fault = FieldError("valid_until", "later", message="is not later than the present last day")
        raise InvalidInputError("a renewal lengthens", [fault])
    return last
