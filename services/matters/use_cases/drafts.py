"""A matter's life by hand, in its order: write, change, review, publish, suspend, cancel."""

import dataclasses
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.matters.consistency import Breach, breaches
from services.matters.model import matter as model_matter
from services.matters.model.matter import Matter, MatterVersion, State
from services.matters.queries import catalogue
from services.matters.use_cases.publishing import lock_known, publish_documents, without
from shared.database import audit
from shared.domain.guides import MatterDocument
from shared.errors import ConflictError, FieldError, InvalidInputError
from shared.http.etags import check_version
from shared.ids import new_id
from shared.messaging import outbox

Place = tuple[str, str] | None
"""Area and department whose matters the caller may touch; None for all."""


async def write_draft(
    session: AsyncSession, document: MatterDocument, place: Place, actor: str, now: datetime
) -> tuple[Matter, list[Breach]]:
    """A new matter as a draft. The same code in the same department is the same matter: 409 names it."""
    _check_place(document, place)
    identity = model_matter.identity_of(document)
    if not identity:
        fault = FieldError("local_code", "required", "give the implementing code or the local code")
        raise InvalidInputError("the matter has no code", [fault])
    if known := await lock_known(session, [document]):
        raise ConflictError(
            "the department has a matter with this code", extra={"matter_id": str(known[0].id)}
        )
    matter = Matter(
        id=new_id(),
        revision=1,
        state=State.DRAFT,
        area_code=document.area_code,
        department_code=document.department_code,
        identity=identity,
        draft_version=1,
        reviewing=False,
        search=text("''::tsvector"),
        content_hash=None,
        **without(model_matter.describe(document, ""), "tokens"),
    )
    session.add(matter)
    await session.flush()
    session.add(_version(matter, document, actor, now))
    audit.record(session, "matter.draft", "matter", matter.id, version=1)
    return matter, breaches(document)


async def change_draft(
    session: AsyncSession,
    matter_id: UUID,
    document: MatterDocument,
    expected: int,
    place: Place,
    actor: str,
    now: datetime,
) -> tuple[Matter, list[Breach]]:
    """Rewrite the draft; of a published matter this begins the next version beside it."""
    matter = await catalogue.get_matter(session, matter_id, place)
    check_version(matter.revision, expected)
    _check_same_matter(matter, document)
    if matter.state == State.CANCELLED:
        raise ConflictError("the matter is cancelled for good")
    if matter.draft_version is None:
        matter.draft_version = (matter.published_version or 0) + 1
        session.add(_version(matter, document, actor, now))
    else:
        draft = await catalogue.get_version(session, matter_id, matter.draft_version)
        draft.document, draft.written_by, draft.written_at = (
            document.model_dump(mode="json"),
            actor,
            now,
        )
    matter.reviewing, matter.revision = False, matter.revision + 1
    audit.record(session, "matter.change-draft", "matter", matter_id, version=matter.draft_version)
    return matter, breaches(document)


async def review_draft(
    session: AsyncSession, matter_id: UUID, expected: int, place: Place, warnings: frozenset[str]
) -> tuple[Matter, list[Breach]]:
    """Send the draft to review; every breach of the consistency rules at once, or none."""
    matter, document = await _draft_of(session, matter_id, expected, place)
    found = _refuse_breaches(document, warnings)
    matter.reviewing, matter.revision = True, matter.revision + 1
    audit.record(session, "matter.review", "matter", matter_id, version=matter.draft_version)
    return matter, found


async def publish_draft(
    session: AsyncSession,
    matter_id: UUID,
    expected: int,
    place: Place,
    warnings: frozenset[str],
    actor: str,
    now: datetime,
) -> tuple[Matter, list[Breach]]:
    """Publish a reviewed draft: its text is immutable from now on, and everyone hears of it."""
    matter, document = await _draft_of(session, matter_id, expected, place)
    if matter.state == State.CANCELLED:
        raise ConflictError("the matter is cancelled for good")
    if not matter.reviewing:
        raise ConflictError("send the draft to review first")
    found = _refuse_breaches(document, warnings)
    _ = await publish_documents(session, [document], actor, now, by_hand=True)
    await session.refresh(matter)
    return matter, found


async def close_matter(
    session: AsyncSession,
    matter_id: UUID,
    state: State,
    reason: str,
    expected: int,
    place: Place,
    now: datetime,
) -> Matter:
    """Suspend (挂起) or cancel (取消)."""
    matter = await catalogue.get_matter(session, matter_id, place)
    check_version(matter.revision, expected)
    outbox.add(session, model_matter.close(matter, state, reason, now))
    audit.record(session, f"matter.{state}", "matter", matter_id, reason=reason)
    return matter


async def _draft_of(
    session: AsyncSession, matter_id: UUID, expected: int, place: Place
) -> tuple[Matter, MatterDocument]:
    matter = await catalogue.get_matter(session, matter_id, place)
    check_version(matter.revision, expected)
    if matter.draft_version is None:
        raise ConflictError("there is no draft; change the matter first")
    version = await catalogue.get_version(session, matter_id, matter.draft_version)
    return matter, MatterDocument.model_validate(version.document)


def _refuse_breaches(document: MatterDocument, warnings: frozenset[str]) -> list[Breach]:
    found = breaches(document, warnings)
    errors = [FieldError(b.field, b.rule, b.message) for b in found if not b.warning]
    if errors:
        raise ConflictError(f"{len(errors)} breach(es) of the consistency rules", errors)
    return found


def _check_place(document: MatterDocument, place: Place) -> None:
    if place is not None and place != (document.area_code, document.department_code):
        fault = FieldError(
            "department_code", "own_department", "write matters of your own area and department"
        )
        raise InvalidInputError("another department's matter", [fault])


def _check_same_matter(matter: Matter, document: MatterDocument) -> None:
    own = (matter.area_code, matter.department_code, matter.identity)
    if own != (document.area_code, document.department_code, model_matter.identity_of(document)):
        fault = FieldError(
            "code", "same_matter", "area, department and code of a matter never change"
        )
        raise InvalidInputError("another matter's text", [fault])


def _version(matter: Matter, document: MatterDocument, actor: str, now: datetime) -> MatterVersion:
    return MatterVersion(
        matter_id=matter.id,
        version=matter.draft_version,
        document=document.model_dump(mode="json"),
        written_by=actor,
        written_at=now,
    )


def as_read(found: Sequence[Breach]) -> list[dict[str, Any]]:
    """Breaches as they are answered."""
    return [dataclasses.asdict(breach) for breach in found]
