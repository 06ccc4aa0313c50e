"""Issuing licenses: for a decided case, by a bureau's system, by the department itself."""

from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from services.licenses.model.identifiers import new_number
from services.licenses.model.states import HolderKind, Origin, Trust
from services.licenses.queries.licenses import has_license_of_case
from services.licenses.queries.types import IssueInputs, Type, find_issue_inputs
from services.licenses.schemas.licenses import IssueLicense
from services.licenses.use_cases.keys import get_signer
from services.licenses.use_cases.links import hold_links
from services.licenses.use_cases.making import Draft, make, store
from shared import clock
from shared.errors import ConflictError, FieldError, ForbiddenError, InvalidInputError
from shared.events.cases import CaseDecided
from shared.security.crypto import open_sealed, pseudonym
from shared.security.tokens import Caller

GRANTED = "0"
"""`CaseDecided.result` of 准予 / 出证."""


class Office(NamedTuple):
    """Who issues: area and department."""

    area: str
    department: str


class SealedHolder(BaseModel):
    """What cases seals of the holder of a decision's license."""

    kind: HolderKind
    name: str
    id_number: str


async def issue_for_case(session: AsyncSession, event: CaseDecided, *, now: datetime) -> None:
    """出证: exactly one license per case.

    Raises:
        ConflictError: it cannot be issued. The event waits as a dead letter until it can.
    """
    code = event.license_type_code
    if event.result != GRANTED or code is None:
        return
    holder = _holder_of(event)
    holder_pseudonym = pseudonym(holder.id_number)
    # From here on nobody links the holder, so the owner found below stays right.
    await hold_links(session, [holder_pseudonym], account=event.account_id)
    inputs = await find_issue_inputs(
        session, code, holder=holder_pseudonym, account=event.account_id
    )
    if inputs.type is None:
        raise ConflictError(
            "no licence type {type_code}; publish it and drive this event again", type_code=code
        )
    _check_issuer(inputs.type, event.department_code)
    draft = _draft_of_case(
        event, inputs.type, holder=holder, owner=_owner(inputs, event.account_id)
    )
    signer = await get_signer(session, kid=inputs.kid, now=now)
    is_new = await store(session, make(draft, signer=signer, now=now), now=now)
    # Not new because this event was handled before, or because the random number is taken.
    if not is_new and not await has_license_of_case(session, event.case_id):
        raise ConflictError("the number made for this licence is taken; drive this event again")


def _draft_of_case(
    event: CaseDecided, type_: Type, *, holder: SealedHolder, owner: UUID | None
) -> Draft:
    """The license that follows from the decision; the department adds fields by a change."""
    document = type_.document
    return Draft(
        type=type_,
        area_code=event.area_code,
        department_code=event.department_code,
        number=new_number(event.decided_on),
        holder_kind=holder.kind,
        holder_name=holder.name,
        holder_id_number=holder.id_number,
        holder=pseudonym(holder.id_number),
        issued_on=event.decided_on,
        valid_from=event.decided_on,
        valid_until=document.validity.last_day(event.decided_on),
        origin=Origin.CASE,
        trust=Trust(document.trust),
        account_id=owner,
        case_id=event.case_id,
        case_number=event.number,
        matter_code=event.matter_code,
        matter_name=event.matter_name,
    )


def _holder_of(event: CaseDecided) -> SealedHolder:
    if event.holder is None:
        raise ConflictError(
            "the decision names no holder for its licence; the case service must say it again"
        )
    return SealedHolder.model_validate(open_sealed(event.holder, purpose="case.holder"))


def _owner(inputs: IssueInputs, applicant: UUID | None) -> UUID | None:
    """The account of the verified holder.

    Else the one that applied, unless it is known as another person.
    """
    if inputs.owner is not None:
        return inputs.owner
    # Somebody applied for another person: the license is not shown to the wrong account.
    if inputs.is_other:
        return None
    return applicant


async def issue_license(
    session: AsyncSession, command: IssueLicense, *, caller: Caller, now: datetime
) -> UUID:
    """A license of the caller's own department; its id.

    Raises:
        ForbiddenError: the caller belongs to no department.
        InvalidInputError: the content does not fit the type.
        ConflictError: the department may not issue the type, or the number is taken.
    """
    if not caller.area or not caller.department:
        raise ForbiddenError("you belong to no department")
    today = clock.local_date(now)
    holder_pseudonym = pseudonym(command.holder.id_number)
    # As above: nobody links the holder until the owner that is found here is stored.
    await hold_links(session, [holder_pseudonym])
    inputs = await find_issue_inputs(session, command.type_code, holder=holder_pseudonym)
    type_ = _published(inputs)
    _check_issuer(type_, caller.department)
    _check_content(type_, command, today=today)
    office = Office(caller.area, caller.department)
    draft = _draft_of_command(command, type_, office=office, owner=inputs.owner, today=today)
    signer = await get_signer(session, kid=inputs.kid, now=now)
    made = make(draft, signer=signer, now=now)
    if not await store(session, made, now=now):
        raise ConflictError(
            "a licence of this type has this number already; change or renew that one"
        )
    return made.id


def _draft_of_command(
    command: IssueLicense, type_: Type, *, office: Office, owner: UUID | None, today: date
) -> Draft:
    document = type_.document
    holder = command.holder
    issued_on = command.issued_on or today
    valid_from = command.valid_from or issued_on
    return Draft(
        type=type_,
        area_code=office.area,
        department_code=office.department,
        number=command.number or new_number(issued_on),
        holder_kind=HolderKind(holder.kind),
        holder_name=holder.name,
        holder_id_number=holder.id_number,
        holder=pseudonym(holder.id_number),
        fields=command.fields,
        issued_on=issued_on,
        valid_from=valid_from,
        valid_until=command.valid_until or document.validity.last_day(valid_from),
        origin=Origin.API,
        trust=Trust(document.trust),
        account_id=owner,
        case_number=command.case_number,
        matter_code=command.matter_code,
    )


def _published(inputs: IssueInputs) -> Type:
    if inputs.type is None:
        raise InvalidInputError(
            "no such licence type",
            [FieldError("type_code", "known_type", message="is not published")],
        )
    return inputs.type


def _check_issuer(type_: Type, department: str) -> None:
    if type_.document.issuer(department) is None:
        raise ConflictError(
            "the department {department} is no issuing body of the licence type {type_code}",
            department=department,
            type_code=type_.code,
        )


def _check_content(type_: Type, command: IssueLicense, *, today: date) -> None:
    """Holder, fields and days against the type; every fault at once."""
    faults = type_.document.faults(command.fields)
    if not type_.document.fits_holder(command.holder.kind):
        faults.append(
            FieldError("holder.kind", "holder_kind", message="is not what this type is issued to")
        )
    if command.issued_on and command.issued_on > today:
        faults.append(FieldError("issued_on", "past", message="lies in the future"))
    if faults:
        raise InvalidInputError("{count} fault(s) in the licence", faults, count=len(faults))
