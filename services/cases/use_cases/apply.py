"""Applying: the copy of the matter, uploads, the application itself."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.cases import queries
from services.cases.model import Case, MatterCopy, Moment, State, TimelineRow, Upload, missing_materials
from services.cases.schemas import Apply, GivenMaterial
from shared import audit, codes, outbox
from shared.crypto import lookup_hash
from shared.errors import ConflictError, FieldError, InvalidInputError
from shared.events.matters import MatterCancelled, MatterPublished, MatterSuspended
from shared.guides import MatterDocument, personal_guide
from shared.ids import new_id
from shared.storage import Storage, sniff

NEXT_SERIAL = text(
    "INSERT INTO case_serial (code, day, last) VALUES (:code, :day, 1)"
    " ON CONFLICT (code, day) DO UPDATE SET last = case_serial.last + 1 RETURNING last"
)


async def copy_matter(session: AsyncSession, event: MatterPublished) -> None:
    """Keep the newest published text."""
    values = {"revision": event.revision, "version": event.version, "open": True, "document": event.document}
    statement = insert(MatterCopy).values(matter_id=event.matter_id, **values)
    newer = MatterCopy.revision < event.revision
    _ = await session.execute(statement.on_conflict_do_update(index_elements=["matter_id"], set_=values, where=newer))


async def close_copy(session: AsyncSession, event: MatterSuspended | MatterCancelled) -> None:
    """No new applications."""
    matter = await session.get(MatterCopy, event.matter_id, with_for_update=True)
    if matter is not None and matter.revision < event.revision:
        matter.open, matter.revision = False, event.revision


async def store_upload(session: AsyncSession, storage: Storage, content: bytes, owner: str, now: datetime) -> Upload:
    """Keep a file of the caller's: PDF, PNG or JPEG by its content, whatever it is called."""
    media_type = sniff(content)
    if media_type is None:
        raise InvalidInputError("the file cannot be taken", [FieldError("body", "media_type", "send PDF, PNG or JPEG")])
    digest = await storage.put(content)
    upload = Upload(id=new_id(), owner=owner, digest=digest, media_type=media_type, size=len(content), at=now)
    session.add(upload)
    return upload


async def take_materials(session: AsyncSession, given: Sequence[GivenMaterial], owner: str) -> list[dict[str, Any]]:
    """The uploads that meet the materials; 400 naming each that is not the caller's."""
    uploads = await queries.list_uploads(session, [material.upload_id for material in given], owner)
    faults = [
        FieldError(f"materials.{m.code}.upload_id", "own_upload", "no upload of yours has this id")
        for m in given
        if m.upload_id not in uploads
    ]
    if len({material.code for material in given}) < len(given):
        faults.append(FieldError("materials", "unique", "each material is met once"))
    if faults:
        raise InvalidInputError("the materials cannot be taken", faults)
    return [
        {"code": m.code, "digest": uploads[m.upload_id].digest, "media_type": uploads[m.upload_id].media_type}
        for m in given
    ]


async def apply_for(
    session: AsyncSession, command: Apply, *, account_id: UUID | None, clerk: str | None, owner: str, at: Moment
) -> Case:
    """申请 and 收件: the guide must be the one shown, every required material there; number issued, clock started."""
    matter = await queries.get_open_matter(session, command.matter_id)
    document = MatterDocument.model_validate(matter.document)
    guide = _checked_guide(command, matter, document)
    materials = await take_materials(session, command.materials, owner)
    faults = missing_materials(guide, {material["code"] for material in materials})
    if faults:
        raise InvalidInputError("the materials do not fit the personal guide", faults)
    code = document.code or f"L{document.area_code}{matter.matter_id.hex[-18:].upper()}"
    serial = await session.scalar(NEXT_SERIAL, {"code": code, "day": at.today})
    case = Case(
        id=new_id(),
        number=codes.case_number(code, at.today, serial or 1),
        revision=0,
        area_code=document.area_code,
        department_code=document.department_code,
        matter_id=matter.matter_id,
        matter_version=matter.version,
        matter_code=document.code or document.local_code or code,
        matter_name=document.name.zh,
        matter_type=document.type,
        immediate=document.project_type == "1",
        promised_days=document.promised_days if document.promised_days is not None else document.legal_days or 20,
        legal_days=document.legal_days,
        license_type_code=document.result.license_type_code if document.result else None,
        channel=command.channel,
        account_id=account_id,
        applicant_kind=command.applicant.kind,
        applicant_name=command.applicant.name,
        applicant_id_number=command.applicant.id_number.upper(),
        applicant_id_hash=lookup_hash(command.applicant.id_number, "applicant"),
        phone=command.applicant.phone,
        guide_digest=command.guide_digest,
        guide=guide,
        materials=materials,
        intake_by=clerk,
        reviewers=[],
        corrections=0,
        missing=[],
        received_at=at.now,
        state=State.RECEIVED,
        deemed=False,
        extended_days=0,
        officer=clerk,
        overdue=False,
    )
    submitted = case.submitted(at)
    received = case.receive(at)
    session.add(case)
    await session.flush()
    outbox.add(session, submitted.model_copy(update={"revision": case.revision}))
    outbox.add(session, received)
    session.add(TimelineRow(id=new_id(), case_id=case.id, act="receive", role="intake", at=at.now))
    audit.record(session, "case.receive", "case", case.id, channel=command.channel)
    return case


def _checked_guide(command: Apply, matter: MatterCopy, document: MatterDocument) -> dict[str, Any]:
    if command.matter_version != matter.version:
        raise ConflictError(
            f"the matter is at version {matter.version} now; ask for the personal guide again",
            extra={"current_version": matter.version},
        )
    guide = personal_guide(document, command.answers, matter_id=matter.matter_id, version=matter.version)
    if guide.digest != command.guide_digest:
        fault = FieldError("guide_digest", "shown_guide", "is not the digest of the guide for these answers")
        raise InvalidInputError("another guide than the one shown", [fault])
    return guide.model_dump(mode="json")
