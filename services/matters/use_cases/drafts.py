"""A matter's life by hand, in its order: write, change, review, publish, suspend, cancel."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.matters.consistency import Breach, find_breaches
from services.matters.model.matter import Matter, MatterVersion, State, describe, identity_of
from services.matters.queries import catalogue
from services.matters.use_cases.place import Place, place_of
from services.matters.use_cases.publishing import lock_known, publish_documents
from shared.database import audit
from shared.database.acts import Act
from shared.domain.guides import MatterDocument
from shared.errors import ConflictError, FieldError, InvalidInputError
from shared.http.etags import check_version
from shared.ids import new_id
from shared.messaging import outbox
from shared.security.tokens import Caller


@dataclass(frozen=True, slots=True)
class Draft:
    """A matter and the rules that its draft breaks."""

    matter: Matter
    breaches: list[Breach]


async def write_draft(
    session: AsyncSession, document: MatterDocument, *, caller: Caller, now: datetime
) -> Draft:
    """Write a new matter as a draft.

    The same code in the same department is the same matter: `ConflictError` names it.
    """
    _check_place(document, place_of(caller))
    identity = identity_of(document)
    if not identity:
        error = FieldError(
            "local_code", "required", message="give the implementing code or the local code"
        )
        raise InvalidInputError("the matter has no code", [error])
    known = await lock_known(session, [document])
    if known:
        raise ConflictError(
            "the department has a matter with this code", extra={"matter_id": str(known[0].id)}
        )
    matter = _new_matter(document, identity)
    session.add(matter)
    await session.flush()
    session.add(_new_version(matter, document, writer=caller.subject, now=now))
    audit.record(session, "matter.draft", object_type="matter", object_id=matter.id, version=1)
    return Draft(matter, find_breaches(document))


def _new_matter(document: MatterDocument, identity: str) -> Matter:
    """The matter as its first draft describes it."""
    # Without the department's name: it is needed for search alone, which finds no draft.
    description = describe(document, "")
    return Matter(
        id=new_id(),
        revision=1,
        state=State.DRAFT,
        area_code=document.area_code,
        department_code=document.department_code,
        identity=identity,
        draft_version=1,
        reviewing=False,
        content_hash=None,
        name=description.name,
        name_bo=description.name_bo,
        type=description.type,
        level=description.level,
        visits=description.visits,
        situational=description.situational,
        object_types=description.object_types,
        topics=description.topics,
        haystack=description.haystack,
        # A draft is not found by search.
        search=text("''::tsvector"),
    )


async def change_draft(act: Act[datetime], matter_id: UUID, *, document: MatterDocument) -> Draft:
    """Rewrite the draft; of a published matter this begins the next version beside it."""
    matter = await _own_matter(act, matter_id)
    _check_same_matter(matter, document)
    _check_not_cancelled(matter)
    if matter.draft_version is None:
        matter.draft_version = (matter.published_version or 0) + 1
        act.session.add(_new_version(matter, document, writer=act.caller.subject, now=act.at))
    else:
        draft = await catalogue.get_version(act.session, matter_id, version=matter.draft_version)
        draft.document = document
        draft.written_by = act.caller.subject
        draft.written_at = act.at
    # Another text than the one that was sent to review.
    matter.reviewing = False
    matter.revision += 1
    audit.record(
        act.session,
        "matter.change-draft",
        object_type="matter",
        object_id=matter_id,
        version=matter.draft_version,
    )
    return Draft(matter, find_breaches(document))


async def review_draft(act: Act[datetime], matter_id: UUID, *, warnings: frozenset[str]) -> Draft:
    """Send the draft to review.

    Raises `ConflictError` with every breach of the consistency rules that is not among `warnings`.
    """
    matter = await _own_matter(act, matter_id)
    document = await _draft_document(act.session, matter)
    breaches = _refuse_breaches(document, warnings)
    matter.reviewing = True
    matter.revision += 1
    audit.record(
        act.session,
        "matter.review",
        object_type="matter",
        object_id=matter_id,
        version=matter.draft_version,
    )
    return Draft(matter, breaches)


async def publish_draft(act: Act[datetime], matter_id: UUID, *, warnings: frozenset[str]) -> Draft:
    """Publish a reviewed draft.

    From now on its text is immutable, and other services are told of it.
    """
    matter = await _own_matter(act, matter_id)
    document = await _draft_document(act.session, matter)
    _check_not_cancelled(matter)
    if not matter.reviewing:
        raise ConflictError("send the draft to review first")
    # Checked again: the rules, or what they look at, may have changed since the review.
    breaches = _refuse_breaches(document, warnings)
    _ = await publish_documents(
        act.session, [document], actor=act.caller.subject, now=act.at, by_hand=True
    )
    # The row was written by a direct statement, past this entity.
    await act.session.refresh(matter)
    return Draft(matter, breaches)


async def close_matter(act: Act[datetime], matter_id: UUID, *, state: State, reason: str) -> Matter:
    """Suspend (挂起) or cancel (取消) a matter."""
    matter = await _own_matter(act, matter_id)
    outbox.add(act.session, matter.close(state, reason, now=act.at))
    audit.record(
        act.session, f"matter.{state}", object_type="matter", object_id=matter_id, reason=reason
    )
    return matter


async def _own_matter(act: Act[datetime], matter_id: UUID) -> Matter:
    """The matter, locked, of the caller's department and at the version that was read."""
    matter = await catalogue.get_matter(act.session, matter_id, place=place_of(act.caller))
    check_version(matter.revision, expected=act.expected)
    return matter


async def _draft_document(session: AsyncSession, matter: Matter) -> MatterDocument:
    if matter.draft_version is None:
        raise ConflictError("there is no draft; change the matter first")
    version = await catalogue.get_version(session, matter.id, version=matter.draft_version)
    return version.document


def _refuse_breaches(document: MatterDocument, warnings: frozenset[str]) -> list[Breach]:
    """The breaches that only warn; raises `ConflictError` when any other is there."""
    breaches = find_breaches(document, warnings=warnings)
    errors = [breach.error for breach in breaches if not breach.warning]
    if errors:
        raise ConflictError(
            "{number} breach(es) of the consistency rules", errors, number=len(errors)
        )
    return breaches


def _check_not_cancelled(matter: Matter) -> None:
    if matter.state == State.CANCELLED:
        raise ConflictError("the matter is cancelled for good")


def _check_place(document: MatterDocument, place: Place) -> None:
    if place not in {None, (document.area_code, document.department_code)}:
        error = FieldError(
            "department_code",
            "own_department",
            message="write matters of your own area and department",
        )
        raise InvalidInputError("another department's matter", [error])


def _check_same_matter(matter: Matter, document: MatterDocument) -> None:
    own = (matter.area_code, matter.department_code, matter.identity)
    if own != (document.area_code, document.department_code, identity_of(document)):
        error = FieldError(
            "code", "same_matter", message="area, department and code of a matter never change"
        )
        raise InvalidInputError("another matter's text", [error])


def _new_version(
    matter: Matter, document: MatterDocument, *, writer: str, now: datetime
) -> MatterVersion:
    return MatterVersion(
        matter_id=matter.id,
        version=matter.draft_version,
        document=document,
        written_by=writer,
        written_at=now,
    )
