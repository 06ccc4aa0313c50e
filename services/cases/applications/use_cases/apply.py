"""Applying for a matter (申请): the application is received (收件) in the same transaction."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.cases.applications import queries as application_queries
from services.cases.applications.queries import ApplicationInputs, PublishedMatter
from services.cases.applications.schemas import (
    Applicant,
    Apply,
    ChannelName,
    GivenMaterial,
    Guided,
    PromisedMaterial,
)
from services.cases.applications.use_cases.materials import (
    ApplicantMatch,
    MaterialSources,
    check_completeness,
    license_ids,
    license_use,
    upload_ids,
)
from services.cases.case_file.model.case import Case
from services.cases.case_file.model.enums import ApplicantKind, Channel, StepRole
from services.cases.case_file.model.materials import StoredMaterial
from services.cases.case_file.model.states import CaseAct
from services.cases.journal import Journal, Step
from shared.database.calendar import get_calendar
from shared.database.serials import SerialAllocator
from shared.domain import codes
from shared.domain.codes import MatterType
from shared.domain.guides import PersonalGuide, personal_guide
from shared.domain.workdays import Moment
from shared.errors import (
    ConflictError,
    FieldError,
    ForbiddenError,
    InvalidInputError,
    StepUpRequiredError,
)
from shared.ids import new_id
from shared.security.crypto import lookup_hash
from shared.security.tokens import CITIZENS, Caller, CallerKind

IMMEDIATE = "1"  # 办件类型 1: 即办件
DEFAULT_DAYS = 20
"""Working days of a matter that names no time limit (art. 42)."""
VERIFIED = 2
"""Level of assurance at which a citizen's real name is verified."""


@dataclass(frozen=True, slots=True)
class Submitter:
    """Who applies: the account of the applicant, or the clerk who takes the application in."""

    caller: Caller
    account_id: UUID | None
    clerk: str | None


def submitter_of(caller: Caller, channel: ChannelName, *, matter_ids: Iterable[UUID]) -> Submitter:
    """A verified citizen for herself, or a window clerk on behalf of somebody (一窗受理).

    Raises `ForbiddenError`, `StepUpRequiredError` or `InvalidInputError` for everyone else.
    """
    at_window = Channel(channel) is Channel.WINDOW
    if caller.kind is CallerKind.STAFF:
        if "window_clerk" not in caller.roles or not at_window:
            raise ForbiddenError("staff take in applications at a window, as window clerks")
        return Submitter(caller, account_id=None, clerk=caller.subject)
    if caller.kind not in CITIZENS:
        raise ForbiddenError("this is for persons and organisations")
    if not all(caller.covers(matter_id) for matter_id in matter_ids):
        raise ForbiddenError("the mandate is not for this matter")
    if caller.acr < VERIFIED:
        challenge = 'Bearer error="insufficient_user_authentication", acr_values="2"'
        raise StepUpRequiredError(
            "verify your identity first", headers={"WWW-Authenticate": challenge}
        )
    if at_window:
        fault = FieldError(
            "channel", "own_channel", message="applications at a window are taken in by its clerk"
        )
        raise InvalidInputError("the channel does not fit", [fault])
    return Submitter(caller, account_id=UUID(caller.subject), clerk=None)


async def apply_for(
    session: AsyncSession,
    command: Apply,
    *,
    numbers: SerialAllocator,
    submitter: Submitter,
    now: datetime,
) -> tuple[Case, Moment]:
    """Check guide and materials, assign the number, receive the case and start its clock.

    It takes two statements: one reads everything that is needed, one writes all rows. Licences cost
    a third, a changed calendar a fourth.
    """
    inputs = await application_queries.get_inputs(
        session,
        command.matter_id,
        upload_ids=upload_ids(command.materials),
        license_ids=license_ids(command.materials),
        owner=submitter.caller.subject,
    )
    at = Moment(now, await get_calendar(session, inputs.calendar))
    guide = checked_guide(command, inputs.matter)
    materials = await _resolve_materials(
        session, command, guide=guide, inputs=inputs, submitter=submitter, at=at
    )
    case = new_case(
        inputs.matter,
        guide,
        applicant=command.applicant,
        channel=command.channel,
        materials=materials,
        submitter=submitter,
        at=at,
    )
    # Last of all, when only the database can still refuse: a refused application leaves no gap.
    case.number = await next_number(numbers, inputs.matter, at=at)
    await _store(session, case, at=at)
    return case, at


def checked_guide(command: Guided, matter: PublishedMatter) -> PersonalGuide:
    """The personal guide for these answers.

    Raises `ConflictError` or `InvalidInputError` when it is not the one that was shown.
    """
    if command.matter_version != matter.version:
        raise ConflictError(
            "the matter is at version {version} now; ask for the personal guide again",
            version=matter.version,
            extra={"current_version": matter.version},
        )
    guide = personal_guide(
        matter.document, command.answers, matter_id=matter.matter_id, version=matter.version
    )
    if guide.digest != command.guide_digest:
        fault = FieldError(
            "guide_digest",
            "shown_guide",
            message="is not the digest of the guide for these answers",
        )
        raise InvalidInputError("another guide than the one shown", [fault])
    return guide


async def _resolve_materials(
    session: AsyncSession,
    command: Apply,
    *,
    guide: PersonalGuide,
    inputs: ApplicationInputs,
    submitter: Submitter,
    at: Moment,
) -> list[StoredMaterial]:
    """The materials as the case keeps them; `InvalidInputError` names every fault."""
    given = command.materials
    use = license_use(
        guide,
        command.applicant.id_number,
        account_id=submitter.account_id,
        caller=submitter.caller,
        at=at,
    )
    sources = MaterialSources(inputs.uploads, inputs.licenses, use)
    applicant = applicant_match(command.applicant, submitter)
    await sources.find_earlier(session, given, applicant=applicant)
    materials, faults = sources.resolve(given)
    faults += check_completeness(
        guide,
        [material.code for material in given],
        promised=promised_codes(given),
        promised_days=promised_days(inputs.matter),
    )
    if faults:
        raise InvalidInputError("the materials do not fit the personal guide", faults)
    return materials


def applicant_match(applicant: Applicant, submitter: Submitter) -> ApplicantMatch:
    """Recognises earlier cases of this applicant."""
    id_hash = lookup_hash(applicant.id_number, purpose="applicant")
    return ApplicantMatch(submitter.account_id, id_hash, submitter.caller)


def promised_codes(given: Sequence[GivenMaterial]) -> list[str]:
    """The materials that are promised for later."""
    return [material.code for material in given if isinstance(material, PromisedMaterial)]


def promised_days(matter: PublishedMatter) -> int:
    """The promised working days (承诺时限), else the statutory limit, else the law's own 20."""
    if matter.document.promised_days is not None:
        return matter.document.promised_days
    return matter.document.legal_days or DEFAULT_DAYS


def new_case(
    matter: PublishedMatter,
    guide: PersonalGuide,
    *,
    applicant: Applicant,
    channel: ChannelName,
    materials: list[StoredMaterial],
    submitter: Submitter,
    at: Moment,
) -> Case:
    """A case that has neither a number nor a state yet."""
    document = matter.document
    license_type_code: str | None = None
    if document.result is not None:
        license_type_code = document.result.license_type_code
    return Case(
        id=new_id(),
        revision=0,
        area_code=document.area_code,
        department_code=document.department_code,
        matter_id=matter.matter_id,
        matter_version=matter.version,
        matter_code=document.code or document.local_code or _number_code(matter),
        matter_name=document.name.zh,
        matter_type=MatterType(document.type),
        immediate=document.project_type == IMMEDIATE,
        promised_days=promised_days(matter),
        legal_days=document.legal_days,
        license_type_code=license_type_code,
        channel=Channel(channel),
        account_id=submitter.account_id,
        applicant_kind=ApplicantKind(applicant.kind),
        applicant_name=applicant.name,
        applicant_id_number=applicant.id_number.upper(),
        applicant_id_hash=lookup_hash(applicant.id_number, purpose="applicant"),
        phone=applicant.phone,
        guide_digest=guide.digest,
        guide=guide,
        materials=materials,
        intake_by=submitter.clerk,
        officer=submitter.clerk,
        # Written past the session, so no default of a column would be set.
        reviewers=[],
        corrections=0,
        missing=[],
        received_at=at.now,
        deemed=False,
        extended_days=0,
        overdue=False,
    )


def _number_code(matter: PublishedMatter) -> str:
    """The implementing code, or one of ours where the matter has none."""
    if matter.document.code:
        return matter.document.code
    return f"L{matter.document.area_code}{matter.matter_id.hex[-18:].upper()}"


async def next_number(numbers: SerialAllocator, matter: PublishedMatter, *, at: Moment) -> str:
    """办件编号: the code of the matter, the day, and the serial number of the day."""
    code = _number_code(matter)
    return codes.case_number(code, at.today, serial=await numbers.allocate(code, at.today))


async def _store(session: AsyncSession, case: Case, *, at: Moment) -> None:
    """Receive the case and write it with its first steps, audit rows and events."""
    # The journal writes the case with everything else, in one statement.
    journal = Journal(session, at.now)
    submitted, received = case.submit(at)
    journal.append(intake_step(case, CaseAct.RECEIVE), submitted, received)
    journal.use_licenses(case, case.materials, role=StepRole.INTAKE, at=at)
    await journal.write_with(case)


def intake_step(case: Case, act: CaseAct) -> Step:
    """The first step of a case."""
    return Step(
        case_id=case.id, act=act, role=StepRole.INTAKE, detail={"channel": case.channel.value}
    )
