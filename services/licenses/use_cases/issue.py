"""Issuing licences: for a decided case, by a bureau's system, by the department itself."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.licenses.model.identifiers import new_number
from services.licenses.model.license import License
from services.licenses.queries import types
from services.licenses.queries.types import Type
from services.licenses.schemas.licenses import IssueLicense
from services.licenses.use_cases.keys import get_signer
from services.licenses.use_cases.links import keep_links
from services.licenses.use_cases.making import Draft, make, store
from shared import clock
from shared.errors import ConflictError, FieldError, ForbiddenError, InvalidInputError
from shared.events.cases import CaseDecided
from shared.security.crypto import open_sealed, pseudonym
from shared.security.tokens import Caller

GRANTED = "0"


async def issue_for_case(session: AsyncSession, event: CaseDecided, now: datetime) -> None:
    """出证: exactly one licence per case. What cannot be issued raises, and waits as a dead letter until it can."""
    code = event.license_type_code
    if event.result != GRANTED or code is None:
        return
    if event.holder is None:
        raise ConflictError(
            "the decision names no holder for its licence; the case service must say it again"
        )
    holder: dict[str, str] = open_sealed(event.holder, "case.holder")
    owner = pseudonym(holder["id_number"])
    await keep_links(session, [owner], event.account_id)
    ground = await types.find_ground(session, code, owner, event.account_id)
    if ground.type is None:
        raise ConflictError(f"no licence type {code}; publish it and drive this event again")
    _check_issuer(ground.type, event.department_code)
    first = event.decided_on
    draft = Draft(
        type=ground.type,
        area_code=event.area_code,
        department_code=event.department_code,
        number=new_number(first),
        holder_kind=holder["kind"],
        holder_name=holder["name"],
        holder_id_number=holder["id_number"],
        issued_on=first,
        valid_from=first,
        valid_until=ground.type.document.validity.last_day(first),
        origin="case",
        trust=ground.type.document.trust,
        account_id=ground.owner or (None if ground.is_other else event.account_id),
        case_id=event.case_id,
        case_number=event.number,
        matter_code=event.matter_code,
        matter_name=event.matter_name,
    )
    made = make(draft, await get_signer(session, ground.kid, now), now)
    if (
        not await store(session, [made], now)
        and await session.scalar(select(License.id).where(License.case_id == event.case_id)) is None
    ):
        raise ConflictError("the number made for this licence is taken; drive this event again")


async def issue_license(
    session: AsyncSession, command: IssueLicense, caller: Caller, now: datetime
) -> UUID:
    """A licence of the caller's own department; one with this number is refused when there is one already."""
    if not caller.area or not caller.department:
        raise ForbiddenError("you belong to no department")
    holder = command.holder
    owner = pseudonym(holder.id_number)
    await keep_links(session, [owner])
    ground = await types.find_ground(session, command.type_code, owner, None)
    if ground.type is None:
        raise InvalidInputError(
            "no such licence type", [FieldError("type_code", "known_type", "is not published")]
        )
    _check_issuer(ground.type, caller.department)
    check_content(ground.type, command, clock.local_date(now))
    issued_on = command.issued_on or clock.local_date(now)
    first = command.valid_from or issued_on
    draft = Draft(
        type=ground.type,
        area_code=caller.area,
        department_code=caller.department,
        number=command.number or new_number(issued_on),
        holder_kind=holder.kind,
        holder_name=holder.name,
        holder_id_number=holder.id_number,
        fields=command.fields,
        issued_on=issued_on,
        valid_from=first,
        valid_until=command.valid_until or ground.type.document.validity.last_day(first),
        origin="api",
        trust=ground.type.document.trust,
        account_id=ground.owner,
        case_number=command.case_number,
        matter_code=command.matter_code,
    )
    made = make(draft, await get_signer(session, ground.kid, now), now)
    if not await store(session, [made], now):
        raise ConflictError(
            "a licence of this type has this number already; change or renew that one"
        )
    return made.id


def _check_issuer(type_: Type, department: str) -> None:
    if type_.document.issuer(department) is None:
        raise ConflictError(
            f"the department {department} is no issuing body of the licence type {type_.code}"
        )


def check_content(type_: Type, command: IssueLicense, today: date) -> None:
    """Holder, fields and days against the type; every fault at once."""
    faults = type_.document.faults(command.fields)
    if type_.document.holder_kind not in {"any", command.holder.kind}:
        faults.append(
            FieldError("holder.kind", "holder_kind", "is not what this type is issued to")
        )
    if command.issued_on and command.issued_on > today:
        faults.append(FieldError("issued_on", "past", "lies in the future"))
    if faults:
        raise InvalidInputError(f"{len(faults)} fault(s) in the licence", faults)
