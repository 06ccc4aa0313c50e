"""A bundle's life: write, change, publish, withdraw; and the guide for one situation over all of its children."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, Text, bindparam, func, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from services.matters.consistency import Breach
from services.matters.model.bundles import Bundle, BundleVersion
from services.matters.model.matter import State
from services.matters.queries import bundles, catalogue
from shared.database import audit
from shared.domain.bundles import (
    Answers,
    BundleDocument,
    BundleGuide,
    BundleSnapshot,
    bundle_guide,
    check_bundle,
    snapshot,
)
from shared.errors import ConflictError, FieldError, InvalidInputError
from shared.http.etags import check_version
from shared.ids import new_id
from shared.messaging import outbox

Place = tuple[str, str] | None
"""Area and department whose bundles the caller may touch; None for all."""
Draft = tuple[Bundle, BundleDocument, list[Breach]]


async def write_bundle(
    session: AsyncSession, document: BundleDocument, place: Place, actor: str, now: datetime
) -> Draft:
    """A new bundle as a draft. A code stands for one bundle in its area: 409 names it."""
    if place is not None and place != (document.area_code, document.department_code):
        fault = FieldError(
            "department_code", "own_department", "write bundles that your own department leads"
        )
        raise InvalidInputError("another department's bundle", [fault])
    await _check_department(session, document)
    if known := await bundles.find_bundle(session, document.area_code, document.code):
        raise ConflictError("the area has a bundle with this code", extra={"bundle_id": str(known)})
    bundle = Bundle(
        id=new_id(),
        revision=1,
        state=State.DRAFT,
        code=document.code,
        area_code=document.area_code,
        department_code=document.department_code,
        published_version=None,
        draft_version=1,
        search=text("''::tsvector"),
    )
    _ = bundle.describe(document)
    session.add(bundle)
    try:
        await session.flush()
    except IntegrityError as error:
        raise ConflictError("the area has a bundle with this code") from error
    session.add(_version(bundle, document, actor, now))
    audit.record(session, "bundle.draft", "bundle", bundle.id, version=1)
    return bundle, document, await _breaches(session, document)


async def change_bundle(
    session: AsyncSession,
    bundle_id: UUID,
    document: BundleDocument,
    expected: int,
    place: Place,
    actor: str,
    now: datetime,
) -> Draft:
    """Rewrite the draft; of a published bundle this begins the next version beside it."""
    bundle = await bundles.get_bundle(session, bundle_id, place)
    check_version(bundle.revision, expected)
    own = (bundle.area_code, bundle.department_code, bundle.code)
    if own != (document.area_code, document.department_code, document.code):
        fault = FieldError(
            "code", "same_bundle", "area, lead department and code of a bundle never change"
        )
        raise InvalidInputError("another bundle's text", [fault])
    if bundle.draft_version is None:
        bundle.draft_version = (bundle.published_version or 0) + 1
        session.add(_version(bundle, document, actor, now))
    else:
        draft = await bundles.get_bundle_version(session, bundle_id, bundle.draft_version)
        draft.document, draft.written_by, draft.written_at = (
            document.model_dump(mode="json"),
            actor,
            now,
        )
    if bundle.published_version is None:
        _ = bundle.describe(document)
    bundle.revision += 1
    audit.record(session, "bundle.change-draft", "bundle", bundle_id, version=bundle.draft_version)
    return bundle, document, await _breaches(session, document)


async def read_bundle_draft(session: AsyncSession, bundle_id: UUID, place: Place) -> Draft:
    """The draft and what the rules say of it now."""
    bundle = await bundles.get_bundle(session, bundle_id, place)
    version = await bundles.get_bundle_version(session, bundle_id, bundle.draft_version)
    document = BundleDocument.model_validate(version.document)
    return bundle, document, await _breaches(session, document)


async def publish_bundle(
    session: AsyncSession, bundle_id: UUID, expected: int, place: Place, now: datetime
) -> Draft:
    """Publish the draft; refused with every breach. Its version is immutable from now on, and everyone hears of it."""
    bundle = await bundles.get_bundle(session, bundle_id, place)
    check_version(bundle.revision, expected)
    if bundle.draft_version is None:
        raise ConflictError("there is no draft; change the bundle first")
    version = await bundles.get_bundle_version(session, bundle_id, bundle.draft_version)
    document = BundleDocument.model_validate(version.document)
    texts = await bundles.list_texts(session, [child.matter_id for child in document.children])
    if faults := check_bundle(document, texts):
        raise ConflictError(f"{len(faults)} breach(es) of the rules of bundles", faults)
    whole = snapshot(document, texts)
    version.document, version.published_at = whole.model_dump(mode="json"), now
    words = bindparam("words", bundle.describe(document), type_=ARRAY(Text))
    bundle.search = func.array_to_tsvector(words)
    outbox.add(session, bundle.publish(whole, now))
    audit.record(session, "bundle.publish", "bundle", bundle_id, version=bundle.published_version)
    await session.flush()
    return bundle, document, []


async def withdraw_bundle(
    session: AsyncSession, bundle_id: UUID, reason: str, expected: int, place: Place, now: datetime
) -> Bundle:
    """Close the bundle to applications until another version is published."""
    bundle = await bundles.get_bundle(session, bundle_id, place)
    check_version(bundle.revision, expected)
    if bundle.published_version is None:
        raise ConflictError(f"the bundle is {bundle.state}; this needs {State.PUBLISHED}")
    version = await bundles.get_bundle_version(session, bundle_id, bundle.published_version)
    outbox.add(session, bundle.withdraw(BundleSnapshot.model_validate(version.document), now))
    audit.record(session, "bundle.withdraw", "bundle", bundle_id, reason=reason)
    return bundle


async def ask_bundle_guide(session: AsyncSession, bundle_id: UUID, answers: Answers) -> BundleGuide:
    """One merged checklist for a situation, from the children's present guides, with the digest that freezes it."""
    row = await bundles.get_published_bundle(session, bundle_id)
    document = BundleSnapshot.model_validate(row.document)
    texts = await bundles.list_texts(session, [child.matter_id for child in document.children])
    if closed := [child.code for child in document.children if child.matter_id not in texts]:
        raise ConflictError(
            "the bundle takes no applications now", extra={"closed_children": closed}
        )
    return bundle_guide(document, texts, answers, bundle_id=bundle_id, version=row.version)


async def _check_department(session: AsyncSession, document: BundleDocument) -> None:
    if (document.area_code, document.department_code) not in await catalogue.department_names(
        session
    ):
        fault = FieldError(
            "department_code", "known_department", "this department is not known in this area"
        )
        raise InvalidInputError("an unknown department", [fault])


async def _breaches(session: AsyncSession, document: BundleDocument) -> list[Breach]:
    texts = await bundles.list_texts(session, [child.matter_id for child in document.children])
    return [
        Breach(fault.rule, fault.field, fault.message) for fault in check_bundle(document, texts)
    ]


def _version(bundle: Bundle, document: BundleDocument, actor: str, now: datetime) -> BundleVersion:
    return BundleVersion(
        bundle_id=bundle.id,
        version=bundle.draft_version,
        document=document.model_dump(mode="json"),
        written_by=actor,
        written_at=now,
    )
