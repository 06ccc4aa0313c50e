"""Applying for a one-thing bundle (一件事).

Parent and children are stored in one transaction, or every fault is reported at once.
"""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.cases.applications.queries import PublishedMatter
from services.cases.applications.schemas import GivenMaterial, LicensedMaterial
from services.cases.applications.use_cases.apply import (
    Submitter,
    applicant_match,
    intake_step,
    new_case,
    next_number,
    promised_days,
)
from services.cases.applications.use_cases.materials import (
    MaterialSources,
    acts_for_another,
    check_completeness,
    license_ids,
    upload_ids,
)
from services.cases.bundles import queries as bundle_queries
from services.cases.bundles.model import FORM, BundleCase, PlanEntry, PlannedResult
from services.cases.bundles.queries import BundleInputs
from services.cases.bundles.schemas import ApplyBundle
from services.cases.bundles.use_cases.form import check_form
from services.cases.case_file.model.case import Case
from services.cases.case_file.model.enums import ApplicantKind, Channel, StepRole
from services.cases.case_file.model.materials import (
    LicenseUse,
    Promised,
    StoredMaterial,
)
from services.cases.case_file.model.states import CaseAct
from services.cases.journal import Journal
from shared.database.calendar import get_calendar
from shared.database.serials import SerialAllocator
from shared.domain import codes
from shared.domain.bundles import BundleGuide, ChildGuide, ChildText, bundle_guide
from shared.domain.workdays import Moment
from shared.errors import (
    ConflictError,
    FieldError,
    ForbiddenError,
    InvalidInputError,
)
from shared.ids import new_id
from shared.security.crypto import lookup_hash, pseudonym


@dataclass(frozen=True, slots=True)
class Child:
    """A child of the application: its guide, its matter, its materials and expected results."""

    part: ChildGuide
    matter: PublishedMatter
    materials: list[StoredMaterial]
    results: list[PlannedResult]

    @property
    def waits(self) -> bool:
        """Whether it is received only after other children were granted."""
        return bool(self.part.after)


async def apply_for_bundle(
    session: AsyncSession,
    command: ApplyBundle,
    *,
    numbers: SerialAllocator,
    submitter: Submitter,
    now: datetime,
) -> tuple[BundleCase, list[Case], Moment]:
    """Store the parent and its children.

    A child that waits for another one is not received yet. The others are, and their clocks start.
    """
    inputs = await bundle_queries.get_bundle_inputs(
        session,
        command.bundle_id,
        upload_ids=upload_ids(command.materials),
        license_ids=license_ids(command.materials),
        owner=submitter.caller.subject,
    )
    _check_open(command, inputs, submitter=submitter)
    at = Moment(now, await get_calendar(session))
    children = await _checked_children(session, command, inputs=inputs, submitter=submitter, at=at)
    parent = _new_parent(command, inputs, submitter=submitter, at=at)
    cases = _new_cases(command, parent, children=children, submitter=submitter, at=at)
    parent.matters = [child.matter.matter_id for child in children]
    parent.plan = _plan(inputs, children, cases=cases)
    # Numbers last: a refused application leaves no gap.
    parent.number = await _parent_number(command, inputs, numbers=numbers, at=at)
    await _number_cases(numbers, children, cases=cases, at=at)
    await _store(session, parent, children=children, cases=cases, at=at)
    return parent, cases, at


def _new_cases(
    command: ApplyBundle,
    parent: BundleCase,
    *,
    children: Sequence[Child],
    submitter: Submitter,
    at: Moment,
) -> list[Case]:
    """A case for each child, without number and state."""
    cases: list[Case] = []
    for child in children:
        case = new_case(
            child.matter,
            child.part.guide,
            applicant=command.applicant,
            channel=command.channel,
            materials=child.materials,
            submitter=submitter,
            at=at,
        )
        case.bundle_case_id = parent.id
        cases.append(case)
    return cases


def _check_open(command: ApplyBundle, inputs: BundleInputs, *, submitter: Submitter) -> None:
    """Refuse what no correction of the application can make possible."""
    children = inputs.document.children
    if not all(submitter.caller.covers(child.matter_id) for child in children):
        raise ForbiddenError("the mandate is not for every matter of the bundle")
    # The applicant was shown another checklist and may miss what is new in this one.
    if command.bundle_version != inputs.version:
        raise ConflictError(
            "the bundle is at version {version} now; ask for its guide again",
            version=inputs.version,
            extra={"current_version": inputs.version},
        )
    closed = [child.code for child in children if child.matter_id not in inputs.matters]
    if closed:
        raise ConflictError(
            "the bundle takes no applications now", extra={"closed_children": closed}
        )


# Guide and materials


async def _checked_children(
    session: AsyncSession,
    command: ApplyBundle,
    *,
    inputs: BundleInputs,
    submitter: Submitter,
    at: Moment,
) -> list[Child]:
    """The children with what each needs.

    Raises `InvalidInputError` with all faults of the form, the answers and the materials.
    """
    # All faults are collected, so that the applicant can correct everything at once.
    faults = check_form(inputs.document.fields, command.fields, today=at.today)
    guide: BundleGuide | None = None
    try:
        guide = _guide(command, inputs)
    except InvalidInputError as error:
        faults += error.errors
    materials, unresolved = await _resolve_materials(
        session, command, inputs=inputs, guide=guide, submitter=submitter, at=at
    )
    faults += unresolved
    children: list[Child] = []
    # What is missing can be said only when there is a guide and all materials are usable.
    if guide is not None and not unresolved:
        for part in guide.children:
            children.append(_child(part, guide, inputs=inputs, materials=materials))
        faults += _completeness_faults(guide, children, materials=materials)
        if guide.digest != command.guide_digest:
            faults.append(
                FieldError(
                    "guide_digest",
                    "shown_guide",
                    message="is not the digest of the checklist for these answers",
                )
            )
    if faults:
        raise InvalidInputError("the application does not fit the bundle's checklist", faults)
    return children


def _guide(command: ApplyBundle, inputs: BundleInputs) -> BundleGuide:
    texts: dict[UUID, ChildText] = {}
    for matter_id, matter in inputs.matters.items():
        texts[matter_id] = ChildText(matter.version, matter.document)
    return bundle_guide(
        inputs.document,
        texts,
        answers=command.answers,
        bundle_id=command.bundle_id,
        version=command.bundle_version,
    )


async def _resolve_materials(
    session: AsyncSession,
    command: ApplyBundle,
    *,
    inputs: BundleInputs,
    guide: BundleGuide | None,
    submitter: Submitter,
    at: Moment,
) -> tuple[list[StoredMaterial], list[FieldError]]:
    """The materials by the codes of the merged list, and every fault of those that are unusable."""
    asked: dict[str, str | None] = {}
    given: list[GivenMaterial] = []
    if guide is None:
        # Without a checklist nobody can say which licenses it asks for.
        for material in command.materials:
            if not isinstance(material, LicensedMaterial):
                given.append(material)
    else:
        given = command.materials
        asked = {material.code: material.license_type_code for material in guide.materials}
    use = LicenseUse(
        holder=pseudonym(command.applicant.id_number),
        account_id=submitter.account_id,
        for_another=acts_for_another(submitter.caller),
        asked=asked,
        today=at.today,
    )
    sources = MaterialSources(inputs.uploads, inputs.licenses, use)
    applicant = applicant_match(command.applicant, submitter)
    await sources.find_earlier(session, given, applicant=applicant)
    return sources.resolve(given)


def _child(
    part: ChildGuide,
    guide: BundleGuide,
    *,
    inputs: BundleInputs,
    materials: Sequence[StoredMaterial],
) -> Child:
    """The child with its copy of each merged material, under its own code."""
    own_codes: dict[str, str] = {}
    for merged in guide.materials:
        for need in merged.needed_by:
            if need.child == part.code:
                own_codes[merged.code] = need.material
    own_materials: list[StoredMaterial] = []
    for material in materials:
        if material.code in own_codes:
            copy = material.model_copy(update={"code": own_codes[material.code]})
            own_materials.append(copy)
    results: list[PlannedResult] = []
    for link in guide.results:
        if link.child == part.code:
            results.append(PlannedResult(of=link.of, material=link.material))
    return Child(part, inputs.matters[part.guide.matter_id], own_materials, results)


def _completeness_faults(
    guide: BundleGuide, children: Iterable[Child], *, materials: Iterable[StoredMaterial]
) -> list[FieldError]:
    """What every child's guide says about its materials, by the codes of the merged list."""
    merged_codes = _merged_codes(guide)
    faults = _unknown_materials(materials, known=set(merged_codes.values()))
    # A material that several children need is reported once.
    reported: set[tuple[str, str]] = set()
    for child in children:
        for fault in _faults_of(child):
            code = merged_codes[child.part.code, fault.field.removeprefix("materials.")]
            if (code, fault.rule) not in reported:
                reported.add((code, fault.rule))
                faults.append(fault.renamed(f"materials.{code}"))
    return faults


def _merged_codes(guide: BundleGuide) -> dict[tuple[str, str], str]:
    """The code in the merged list, by the code of a child and its own code of the material."""
    merged_codes: dict[tuple[str, str], str] = {}
    for merged in guide.materials:
        for need in merged.needed_by:
            merged_codes[need.child, need.material] = merged.code
    return merged_codes


def _unknown_materials(
    materials: Iterable[StoredMaterial], *, known: AbstractSet[str]
) -> list[FieldError]:
    """A fault for each material that the merged list (its codes: `known`) does not have."""
    given: set[str] = set()
    for material in materials:
        given.add(material.code)
    faults: list[FieldError] = []
    for code in sorted(given - known):
        field = f"materials.{code}"
        fault = FieldError(field, "asked", message="the checklist does not ask for this material")
        faults.append(fault)
    return faults


def _faults_of(child: Child) -> list[FieldError]:
    """What is missing; the results of other children will come by themselves."""
    promised: list[str] = []
    for material in child.materials:
        if isinstance(material, Promised):
            promised.append(material.code)
    given = [material.code for material in child.materials]
    given += [result.material for result in child.results]
    return check_completeness(
        child.part.guide, given, promised=promised, promised_days=promised_days(child.matter)
    )


# Parent, numbers, rows


def _new_parent(
    command: ApplyBundle, inputs: BundleInputs, *, submitter: Submitter, at: Moment
) -> BundleCase:
    """The parent without number, matters and plan."""
    applicant = command.applicant
    document = inputs.document
    return BundleCase(
        id=new_id(),
        bundle_id=command.bundle_id,
        bundle_version=inputs.version,
        name=document.name.zh,
        area_code=document.area_code,
        department_code=document.department_code,
        channel=Channel(command.channel),
        account_id=submitter.account_id,
        applicant_kind=ApplicantKind(applicant.kind),
        applicant_name=applicant.name,
        applicant_id_number=applicant.id_number.upper(),
        applicant_id_hash=lookup_hash(applicant.id_number, purpose="applicant"),
        phone=applicant.phone,
        fields=FORM.dump_json(command.fields).decode(),
        guide_digest=command.guide_digest,
        intake_by=submitter.clerk,
        submitted_at=at.now,
    )


def _plan(
    inputs: BundleInputs, children: Iterable[Child], *, cases: Iterable[Case]
) -> list[PlanEntry]:
    fields = {child.code: child.fields for child in inputs.document.children}
    plan: list[PlanEntry] = []
    for child, case in zip(children, cases, strict=True):
        entry = PlanEntry(
            code=child.part.code,
            case_id=case.id,
            after=list(child.part.after),
            fields=list(fields[child.part.code]),
            results=child.results,
        )
        plan.append(entry)
    return plan


async def _parent_number(
    command: ApplyBundle, inputs: BundleInputs, *, numbers: SerialAllocator, at: Moment
) -> str:
    """A number of our own: there is no national structure for the parent of an application."""
    code = f"B{inputs.document.area_code}{command.bundle_id.hex[-18:].upper()}"
    return codes.case_number(code, at.today, serial=await numbers.allocate(code, at.today))


async def _number_cases(
    numbers: SerialAllocator, children: Sequence[Child], *, cases: Sequence[Case], at: Moment
) -> None:
    for child, case in zip(children, cases, strict=True):
        case.number = await next_number(numbers, child.matter, at=at)


async def _store(
    session: AsyncSession,
    parent: BundleCase,
    *,
    children: Sequence[Child],
    cases: Sequence[Case],
    at: Moment,
) -> None:
    """Receive the children that need not wait, and write all rows."""
    journal = Journal(session, at.now)
    _receive(journal, children, cases=cases, at=at)
    journal.audit(
        "bundle.apply",
        object_type="bundle_case",
        object_id=parent.id,
        detail={"channel": parent.channel.value, "children": len(cases)},
    )
    for case in cases:
        # One license may meet a material of several children: each of them uses it.
        journal.use_licenses(case, case.materials, role=StepRole.INTAKE, at=at)
    # The journal writes what the session knows before its own rows, which refer to it.
    session.add(parent)
    session.add_all(cases)
    await journal.write()


def _receive(
    journal: Journal, children: Sequence[Child], *, cases: Sequence[Case], at: Moment
) -> None:
    for child, case in zip(children, cases, strict=True):
        if child.waits:
            submitted = case.wait(at)
            journal.append(intake_step(case, CaseAct.WAIT), submitted)
        else:
            submitted, received = case.submit(at)
            journal.append(intake_step(case, CaseAct.RECEIVE), submitted, received)
