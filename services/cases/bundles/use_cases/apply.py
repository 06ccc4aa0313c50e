"""Applying for a one-thing bundle (一件事): the parent and all children in one transaction, or every fault at once."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from services.cases.applications.queries import MatterText
from services.cases.applications.schemas.applications import Apply
from services.cases.applications.schemas.materials import LicensedMaterial
from services.cases.applications.use_cases.apply import new_case, next_number, promised_days
from services.cases.applications.use_cases.materials import (
    Sources,
    acts_for_another,
    license_ids,
    upload_ids,
)
from services.cases.applications.use_cases.numbers import Numbers
from services.cases.bundles import queries as bundle_queries
from services.cases.bundles.model import BundleCase
from services.cases.bundles.queries import BundleApplication
from services.cases.bundles.schemas import ApplyBundle
from services.cases.calendar import queries as calendar_queries
from services.cases.case_file.model.case import Case
from services.cases.case_file.model.license_copies import Use
from services.cases.case_file.model.materials import missing_materials
from services.cases.case_file.model.states import State
from services.cases.case_file.model.timeline import TimelineRow
from services.cases.licenses.use_cases import note_uses
from shared import context
from shared.database import audit
from shared.domain import codes
from shared.domain.bundles import BundleGuide, ChildGuide, ChildText, FormField, bundle_guide
from shared.domain.workdays import Moment
from shared.errors import ConflictError, FieldError, ForbiddenError, InvalidInputError
from shared.events.base import Event
from shared.ids import new_id
from shared.messaging import outbox
from shared.security.crypto import lookup_hash, pseudonym
from shared.security.tokens import Caller


@dataclass(frozen=True, slots=True)
class Child:
    """A child of the application: its part of the guide, its matter, and the materials that are there for it."""

    part: ChildGuide
    matter: MatterText
    materials: list[dict[str, Any]]
    results: list[dict[str, str]]

    @property
    def waits(self) -> bool:
        return bool(self.part.after)


async def apply_for_bundle(
    session: AsyncSession,
    command: ApplyBundle,
    numbers: Numbers,
    *,
    account_id: UUID | None,
    clerk: str | None,
    caller: Caller,
    now: datetime,
) -> tuple[BundleCase, list[Case], Moment]:
    """Parent and children. What waits for another child is not received yet; the rest is, and its clocks start."""
    given = command.materials
    ground = await bundle_queries.get_bundle_application(
        session, command.bundle_id, upload_ids(given), license_ids(given), caller.subject
    )
    _check_open(command, ground, caller)
    at = Moment(now, await calendar_queries.get_calendar(session, ground.calendar))
    children = await _checked(session, command, ground, account_id, caller, at)
    parent = _parent(command, ground, at, children, account_id=account_id, clerk=clerk)
    cases = [_case(child, command, parent, at) for child in children]
    parent.plan = [
        {
            "code": child.part.code,
            "case_id": str(case.id),
            "after": list(child.part.after),
            "fields": list(
                next(c.fields for c in ground.document.children if c.code == child.part.code)
            ),
            "results": child.results,
        }
        for child, case in zip(children, cases, strict=True)
    ]
    parent.number = await _parent_number(command, ground, numbers, at)
    for child, case in zip(children, cases, strict=True):
        case.number = await next_number(numbers, child.matter, at)
    await _store(session, parent, children, cases, at)
    for case in cases:
        await note_uses(session, case, case.materials, "intake", at)
    return parent, cases, at


def _check_open(command: ApplyBundle, ground: BundleApplication, caller: Caller) -> None:
    children = ground.document.children
    if not all(caller.covers(child.matter_id) for child in children):
        raise ForbiddenError("the mandate is not for every matter of the bundle")
    if command.bundle_version != ground.version:
        raise ConflictError(
            f"the bundle is at version {ground.version} now; ask for its guide again",
            extra={"current_version": ground.version},
        )
    if closed := [child.code for child in children if child.matter_id not in ground.matters]:
        raise ConflictError(
            "the bundle takes no applications now", extra={"closed_children": closed}
        )


async def _checked(
    session: AsyncSession,
    command: ApplyBundle,
    ground: BundleApplication,
    account_id: UUID | None,
    caller: Caller,
    at: Moment,
) -> list[Child]:
    """The children with what each needs; 400 with all faults of form, answers and materials of all of them."""
    faults = list(_form_faults(ground.document.fields, command.fields, at.today))
    guide: BundleGuide | None = None
    try:
        guide = _guide(command, ground)
    except InvalidInputError as error:
        faults += error.errors
    given, untaken = await _taken(session, command, ground, guide, account_id, caller, at)
    if untaken:
        faults += untaken
        guide = None  # What is missing can only be told of materials that could be taken.
    children = [_child(part, guide, ground, given) for part in guide.children] if guide else []
    if guide is not None:
        faults += _material_faults(guide, children, given)
        if guide.digest != command.guide_digest:
            words = "is not the digest of the checklist for these answers"
            faults.append(FieldError("guide_digest", "shown_guide", words))
    if faults:
        raise InvalidInputError("the application does not fit the bundle's checklist", faults)
    return children


def _guide(command: ApplyBundle, ground: BundleApplication) -> BundleGuide:
    texts = {
        matter_id: ChildText(text.version, text.document)
        for matter_id, text in ground.matters.items()
    }
    return bundle_guide(
        ground.document,
        texts,
        command.answers,
        bundle_id=command.bundle_id,
        version=command.bundle_version,
    )


async def _taken(
    session: AsyncSession,
    command: ApplyBundle,
    ground: BundleApplication,
    guide: BundleGuide | None,
    account_id: UUID | None,
    caller: Caller,
    at: Moment,
) -> tuple[list[dict[str, Any]], list[FieldError]]:
    """The materials as the cases keep them, by the codes of the merged list, and every fault of those that cannot be taken."""
    id_hash = lookup_hash(command.applicant.id_number, "applicant")

    def is_applicants(earlier: Any) -> bool:
        same = (earlier.account_id, bytes(earlier.applicant_id_hash)) == (account_id, id_hash)
        return same and caller.covers(earlier.matter_id)

    asked = {one.code: one.license_type_code for one in guide.materials} if guide else {}
    use = Use(
        pseudonym(command.applicant.id_number),
        account_id,
        acts_for_another(caller),
        asked,
        at.today,
    )
    sources = Sources(ground.uploads, ground.licenses, use)
    # Without a checklist nobody can say which licences it asks for.
    named = [one for one in command.materials if guide or not isinstance(one, LicensedMaterial)]
    await sources.find_earlier(session, named, is_applicants)
    return sources.take(named)


def _child(
    part: ChildGuide, guide: BundleGuide, ground: BundleApplication, given: Sequence[dict[str, Any]]
) -> Child:
    """Its copy of each merged material that was given, under its own code."""
    codes_of = {
        merged.code: need.material
        for merged in guide.materials
        for need in merged.needed_by
        if need.child == part.code
    }
    materials = [{**one, "code": codes_of[one["code"]]} for one in given if one["code"] in codes_of]
    results = [
        {"material": link.material, "of": link.of}
        for link in guide.results
        if link.child == part.code
    ]
    return Child(part, ground.matters[part.guide.matter_id], materials, results)


def _material_faults(
    guide: BundleGuide, children: Sequence[Child], given: Sequence[dict[str, Any]]
) -> Iterator[FieldError]:
    """What every child's own rules say of its materials, told by the codes of the merged list, each thing once."""
    merged = {
        (need.child, need.material): one.code for one in guide.materials for need in one.needed_by
    }
    unknown = {one["code"] for one in given} - {one.code for one in guide.materials}
    for code in sorted(unknown):
        yield FieldError(
            f"materials.{code}", "asked", "the checklist does not ask for this material"
        )
    told: set[tuple[str, str]] = set()
    for child in children:
        coming = [{"code": link["material"]} for link in child.results]
        text = child.part.guide.model_dump(mode="json")
        for fault in missing_materials(
            text, [*child.materials, *coming], promised_days(child.matter)
        ):
            code = merged[child.part.code, fault.field.removeprefix("materials.")]
            if (code, fault.rule) not in told:
                told.add((code, fault.rule))
                yield FieldError(f"materials.{code}", fault.rule, fault.message)


KINDS: dict[str, re.Pattern[str]] = {
    "number": re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,6})?"),
    "yes_no": re.compile(r"yes|no"),
}


def _form_faults(
    asked: Sequence[FormField], filled: dict[str, str], today: date
) -> Iterator[FieldError]:
    """一表申请: every required field, no other, each as its kind says."""
    known = {one.code: one for one in asked}
    for code in sorted(filled.keys() - known.keys()):
        yield FieldError(f"fields.{code}", "asked", "the form has no such field")
    for code, one in known.items():
        value = filled.get(code)
        if value is None and one.required:
            yield FieldError(f"fields.{code}", "required", f"{one.label.zh} is required")
        elif value is not None and (message := _kind_fault(one.kind, value, today)):
            yield FieldError(f"fields.{code}", one.kind, message)


def _kind_fault(kind: str, value: str, today: date) -> str | None:
    try:
        match kind:
            case "date":
                _ = date.fromisoformat(value)
            case "phone":
                _ = codes.check_phone(value)
            case "id_number":
                _ = codes.check_id_number(value, today)
            case "uscc":
                _ = codes.check_uscc(value)
            case _:
                fits = kind not in KINDS or KINDS[kind].fullmatch(value)
                return None if fits else f"does not read as {kind}"
    except ValueError as error:
        return "is no date, as 2026-03-10" if kind == "date" else str(error)
    return None


def _parent(
    command: ApplyBundle,
    ground: BundleApplication,
    at: Moment,
    children: Sequence[Child],
    *,
    account_id: UUID | None,
    clerk: str | None,
) -> BundleCase:
    applicant, document = command.applicant, ground.document
    return BundleCase(
        id=new_id(),
        bundle_id=command.bundle_id,
        bundle_version=ground.version,
        name=document.name.zh,
        area_code=document.area_code,
        department_code=document.department_code,
        channel=command.channel,
        account_id=account_id,
        applicant_kind=applicant.kind,
        applicant_name=applicant.name,
        applicant_id_number=applicant.id_number.upper(),
        applicant_id_hash=lookup_hash(applicant.id_number, "applicant"),
        phone=applicant.phone,
        fields=orjson.dumps(command.fields).decode(),
        guide_digest=command.guide_digest,
        matters=[child.matter.matter_id for child in children],
        intake_by=clerk,
        submitted_at=at.now,
    )


def _case(child: Child, command: ApplyBundle, parent: BundleCase, at: Moment) -> Case:
    guide = child.part.guide
    own = Apply(
        matter_id=guide.matter_id,
        matter_version=guide.version,
        answers=guide.answers,
        guide_digest=guide.digest,
        applicant=command.applicant,
        channel=command.channel,
    )
    case = new_case(
        own,
        child.matter,
        at,
        guide=guide.model_dump(mode="json"),
        materials=child.materials,
        account_id=parent.account_id,
        clerk=parent.intake_by,
    )
    case.bundle_case_id = parent.id
    return case


async def _parent_number(
    command: ApplyBundle, ground: BundleApplication, numbers: Numbers, at: Moment
) -> str:
    """A number of our own: no national structure is known for the parent of a one-thing application."""
    code = f"B{ground.document.area_code}{command.bundle_id.hex[-18:].upper()}"
    return codes.case_number(code, at.today, await numbers.take(code, at.today))


def _begin(child: Child, case: Case, at: Moment) -> list[Event]:
    if child.waits:
        return [case.wait(at)]
    submitted, received = case.submitted(at), case.receive(at)
    return [submitted.model_copy(update={"revision": case.revision}), received]


async def _store(
    session: AsyncSession,
    parent: BundleCase,
    children: Sequence[Child],
    cases: Sequence[Case],
    at: Moment,
) -> None:
    facts = [
        fact
        for child, case in zip(children, cases, strict=True)
        for fact in _begin(child, case, at)
    ]
    session.add(parent)
    session.add_all(cases)
    await session.flush()
    for case in cases:
        act = "wait" if case.state == State.WAITING else "receive"
        step = {
            "act": act,
            "role": "intake",
            "agent_id": context.current().agent,
            "note": None,
            "at": at.now,
        }
        session.add(TimelineRow(id=new_id(), case_id=case.id, **step))
        audit.record(session, f"case.{act}", "case", case.id, channel=case.channel)
    audit.record(
        session,
        "bundle.apply",
        "bundle_case",
        parent.id,
        channel=parent.channel,
        children=len(cases),
    )
    await outbox.add_many(session, facts)
