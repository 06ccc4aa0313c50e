"""A bundle's life: write, change, publish, withdraw; and the guide over all of its children."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, Text, bindparam, func, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from services.matters.consistency import Breach
from services.matters.model.bundles import Bundle, BundleVersion
from services.matters.model.matter import State
from services.matters.queries import bundles, catalogue
from services.matters.use_cases.place import place_of
from shared.database import audit
from shared.database.acts import Act
from shared.domain.bundles import (
    Answers,
    BundleChild,
    BundleDocument,
    BundleGuide,
    ChildText,
    bundle_guide,
    check_bundle,
    snapshot,
)
from shared.errors import ConflictError, FieldError, InvalidInputError
from shared.http.etags import check_version
from shared.ids import new_id
from shared.messaging import outbox
from shared.security.tokens import Caller


@dataclass(frozen=True, slots=True)
class BundleDraft:
    """A bundle, its draft, and the rules that the draft breaks."""

    bundle: Bundle
    document: BundleDocument
    breaches: list[Breach]


async def write_bundle(
    session: AsyncSession, document: BundleDocument, *, caller: Caller, now: datetime
) -> BundleDraft:
    """Write a new bundle as a draft.

    A code stands for one bundle in its area: `ConflictError` names it.
    """
    if place_of(caller) not in {None, (document.area_code, document.department_code)}:
        error = FieldError(
            "department_code",
            "own_department",
            message="write bundles that your own department leads",
        )
        raise InvalidInputError("another department's bundle", [error])
    await _check_department(session, document)
    known = await bundles.find_bundle(session, document.area_code, code=document.code)
    if known is not None:
        raise ConflictError("the area has a bundle with this code", extra={"bundle_id": str(known)})
    bundle = _new_bundle(document)
    session.add(bundle)
    try:
        await session.flush()
    except IntegrityError as error:
        # Somebody wrote the same code at this moment.
        raise ConflictError("the area has a bundle with this code") from error
    session.add(_new_version(bundle, document, writer=caller.subject, now=now))
    audit.record(session, "bundle.draft", object_type="bundle", object_id=bundle.id, version=1)
    return BundleDraft(bundle, document, await _find_breaches(session, document))


def _new_bundle(document: BundleDocument) -> Bundle:
    """The bundle as its first draft describes it."""
    bundle = Bundle(
        id=new_id(),
        revision=1,
        state=State.DRAFT,
        code=document.code,
        area_code=document.area_code,
        department_code=document.department_code,
        published_version=None,
        draft_version=1,
        # A draft is not found by search.
        search=text("''::tsvector"),
    )
    _ = bundle.describe(document)
    return bundle


async def change_bundle(
    act: Act[datetime], bundle_id: UUID, *, document: BundleDocument
) -> BundleDraft:
    """Rewrite the draft; of a published bundle this begins the next version beside it."""
    bundle = await _own_bundle(act, bundle_id)
    _check_same_bundle(bundle, document)
    await _write_draft(act, bundle, document=document)
    # What is published keeps its name in lists and search until the draft is published.
    if bundle.published_version is None:
        _ = bundle.describe(document)
    bundle.revision += 1
    audit.record(
        act.session,
        "bundle.change-draft",
        object_type="bundle",
        object_id=bundle_id,
        version=bundle.draft_version,
    )
    return BundleDraft(bundle, document, await _find_breaches(act.session, document))


def _check_same_bundle(bundle: Bundle, document: BundleDocument) -> None:
    own = (bundle.area_code, bundle.department_code, bundle.code)
    if own != (document.area_code, document.department_code, document.code):
        error = FieldError(
            "code", "same_bundle", message="area, lead department and code of a bundle never change"
        )
        raise InvalidInputError("another bundle's text", [error])


async def _write_draft(act: Act[datetime], bundle: Bundle, *, document: BundleDocument) -> None:
    """Rewrite the draft, or begin one as the next version."""
    writer = act.caller.subject
    if bundle.draft_version is None:
        bundle.draft_version = (bundle.published_version or 0) + 1
        act.session.add(_new_version(bundle, document, writer=writer, now=act.at))
        return
    draft = await bundles.get_bundle_version(act.session, bundle.id, version=bundle.draft_version)
    draft.document = document
    draft.written_by = writer
    draft.written_at = act.at


async def read_bundle_draft(
    session: AsyncSession, bundle_id: UUID, *, caller: Caller
) -> BundleDraft:
    """The draft and the rules that it breaks now."""
    bundle = await bundles.get_bundle(session, bundle_id, place=place_of(caller))
    version = await bundles.get_bundle_version(session, bundle_id, version=bundle.draft_version)
    return BundleDraft(bundle, version.document, await _find_breaches(session, version.document))


async def publish_bundle(act: Act[datetime], bundle_id: UUID) -> BundleDraft:
    """Publish the draft: its version is immutable from now on, and other services hear of it.

    Raises `ConflictError` with every breach.
    """
    session = act.session
    bundle = await _own_bundle(act, bundle_id)
    if bundle.draft_version is None:
        raise ConflictError("there is no draft; change the bundle first")
    version = await bundles.get_bundle_version(session, bundle_id, version=bundle.draft_version)
    document = version.document
    texts = await _texts_of(session, document.children)
    _refuse_breaches(document, texts)
    # With the names that the children have now, so that a reader needs no other text.
    published = snapshot(document, texts)
    version.document = published
    version.published_at = act.at
    words = bindparam("words", bundle.describe(document), type_=ARRAY(Text))
    bundle.search = func.array_to_tsvector(words)
    outbox.add(session, bundle.publish(published, act.at))
    audit.record(
        session,
        "bundle.publish",
        object_type="bundle",
        object_id=bundle_id,
        version=bundle.published_version,
    )
    await session.flush()
    return BundleDraft(bundle, document, [])


def _refuse_breaches(document: BundleDocument, texts: dict[UUID, ChildText]) -> None:
    errors = check_bundle(document, texts)
    if errors:
        raise ConflictError(
            "{number} breach(es) of the rules of bundles", errors, number=len(errors)
        )


async def withdraw_bundle(act: Act[datetime], bundle_id: UUID, *, reason: str) -> Bundle:
    """Close the bundle to applications until another version is published."""
    bundle = await _own_bundle(act, bundle_id)
    bundle.check_published()
    version = await bundles.get_bundle_version(
        act.session, bundle_id, version=bundle.published_version
    )
    outbox.add(act.session, bundle.withdraw(version.snapshot, act.at))
    audit.record(
        act.session, "bundle.withdraw", object_type="bundle", object_id=bundle_id, reason=reason
    )
    return bundle


async def ask_bundle_guide(
    session: AsyncSession, bundle_id: UUID, *, answers: Answers
) -> BundleGuide:
    """One merged checklist for a situation, from the children's present guides.

    Its digest freezes it. Raises `ConflictError` when a child takes no applications now.
    """
    published = await bundles.get_published_bundle(session, bundle_id)
    children = published.document.children
    texts = await _texts_of(session, children)
    closed = [child.code for child in children if child.matter_id not in texts]
    if closed:
        raise ConflictError(
            "the bundle takes no applications now", extra={"closed_children": closed}
        )
    return bundle_guide(
        published.document, texts, answers=answers, bundle_id=bundle_id, version=published.version
    )


async def _own_bundle(act: Act[datetime], bundle_id: UUID) -> Bundle:
    """The bundle, locked, that the caller's department leads, at the version that was read."""
    bundle = await bundles.get_bundle(act.session, bundle_id, place=place_of(act.caller))
    check_version(bundle.revision, expected=act.expected)
    return bundle


async def _texts_of(
    session: AsyncSession, children: Sequence[BundleChild]
) -> dict[UUID, ChildText]:
    """The published texts of the children's matters that are in use."""
    return await bundles.list_texts(session, [child.matter_id for child in children])


async def _check_department(session: AsyncSession, document: BundleDocument) -> None:
    names = await catalogue.department_names(session)
    if (document.area_code, document.department_code) not in names:
        error = FieldError(
            "department_code",
            "known_department",
            message="this department is not known in this area",
        )
        raise InvalidInputError("an unknown department", [error])


async def _find_breaches(session: AsyncSession, document: BundleDocument) -> list[Breach]:
    texts = await _texts_of(session, document.children)
    return [Breach(error) for error in check_bundle(document, texts)]


def _new_version(
    bundle: Bundle, document: BundleDocument, *, writer: str, now: datetime
) -> BundleVersion:
    return BundleVersion(
        bundle_id=bundle.id,
        version=bundle.draft_version,
        document=document,
        written_by=writer,
        written_at=now,
    )
