"""HTTP in and out of one-thing bundles (一件事)."""

from uuid import UUID

from fastapi import APIRouter, Response

from services.matters.model.matter import State
from services.matters.queries import bundles as queries
from services.matters.queries.bundles import BundleSummaryRow, ChildRow
from services.matters.queries.catalogue import FIRST
from services.matters.router.access import (
    AreaCode,
    Language,
    Lead,
    LeadAct,
    Words,
    clean_words,
    prefers_tibetan,
)
from services.matters.schemas.bundles import (
    AskBundleGuide,
    BundleDraftRead,
    BundleHead,
    BundleRead,
    BundleSummary,
    ChildState,
)
from services.matters.schemas.catalogue import Closing
from services.matters.use_cases import bundles
from services.matters.use_cases.bundles import BundleDraft
from services.matters.use_cases.place import place_of
from shared.database.acts import Headers
from shared.domain.bundles import (
    BundleChild,
    BundleDocument,
    BundleGuide,
    BundleSnapshot,
    merge_materials,
)
from shared.domain.guides import Bilingual
from shared.http.dependencies import Now, ReadSession, Session
from shared.http.etags import etag
from shared.http.idempotency import IdempotentRoute, Once
from shared.pagination import Cursor, Limit, Page, decode_cursor, page_of
from shared.security.auth import MaybeCaller

router = APIRouter(prefix="/bundles", route_class=IdempotentRoute)


@router.get("")
async def list_bundles(
    *,
    session: ReadSession,
    _caller: MaybeCaller,
    q: Words = None,
    area: AreaCode = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    accept_language: Language = "zh",
) -> Page[BundleSummary]:
    """Published bundles, all or those whose name or alias holds `q`.

    `open` tells whether a bundle takes applications.
    """
    after = decode_cursor(cursor, UUID)[0] if cursor else FIRST
    if q is None:
        found = await queries.list_bundles(session, area=area, after=after, limit=limit)
    else:
        found = await queries.search_bundles(
            session, clean_words(q), area=area, after=after, limit=limit
        )
    rows, next_cursor = page_of(found, limit, "id")
    return Page(items=[_summary(row, accept_language) for row in rows], next=next_cursor)


def _summary(row: BundleSummaryRow, language: str) -> BundleSummary:
    display_name = row.name
    if row.name_bo and prefers_tibetan(language):
        display_name = row.name_bo
    return BundleSummary(
        id=row.id,
        code=row.code,
        name=Bilingual(zh=row.name, bo=row.name_bo),
        display_name=display_name,
        area_code=row.area_code,
        department_code=row.department_code,
        children=row.children,
        open=row.open,
    )


@router.get("/drafts")
async def list_bundle_drafts(
    session: ReadSession, lead: Lead, limit: Limit = 50, cursor: Cursor = None
) -> Page[BundleHead]:
    """Drafts of the bundles that the caller's department leads."""
    after = decode_cursor(cursor, UUID)[0] if cursor else FIRST
    found = await queries.list_bundle_work(session, place=place_of(lead), after=after, limit=limit)
    rows, next_cursor = page_of(found, limit, "id")
    return Page(items=[BundleHead.of(row) for row in rows], next=next_cursor)


@router.post("/drafts", status_code=201, dependencies=[Once])
async def write_bundle(
    document: BundleDocument, session: Session, lead: Lead, now: Now, response: Response
) -> BundleDraftRead:
    """A new bundle as a draft, with the rules that it breaks."""
    draft = await bundles.write_bundle(session, document, caller=lead, now=now)
    response.headers["location"] = f"/api/v1/matters/bundles/drafts/{draft.bundle.id}"
    return _draft(draft, response.headers)


@router.get("/drafts/{bundle_id}")
async def get_bundle_draft(
    bundle_id: UUID, session: Session, lead: Lead, response: Response
) -> BundleDraftRead:
    """The draft, with the rules that it breaks now."""
    draft = await bundles.read_bundle_draft(session, bundle_id, caller=lead)
    return _draft(draft, response.headers)


@router.put("/drafts/{bundle_id}")
async def change_bundle(bundle_id: UUID, document: BundleDocument, act: LeadAct) -> BundleDraftRead:
    """Rewrite the draft, or begin the next version of a published bundle."""
    return _draft(await bundles.change_bundle(act, bundle_id, document=document), act.headers)


@router.post("/drafts/{bundle_id}/publication")
async def publish_bundle(bundle_id: UUID, act: LeadAct) -> BundleDraftRead:
    """Publish the draft; refused with every breach of the rules."""
    return _draft(await bundles.publish_bundle(act, bundle_id), act.headers)


def _draft(draft: BundleDraft, headers: Headers) -> BundleDraftRead:
    headers["etag"] = etag(draft.bundle.revision)
    return BundleDraftRead.with_breaches(draft.bundle, draft.document, breaches=draft.breaches)


@router.get("/{bundle_id}")
async def get_bundle(
    bundle_id: UUID, session: ReadSession, _caller: MaybeCaller, response: Response
) -> BundleRead:
    """A published bundle: its children as they stand now, and the merged materials.

    The materials are merged from the children's present guides.
    """
    published = await queries.get_published_bundle(session, bundle_id)
    document = published.document
    ids = [child.matter_id for child in document.children]
    states = await queries.list_child_states(session, ids)
    texts = await queries.list_texts(session, ids)
    guides = [
        (child.code, texts[child.matter_id].document.materials)
        for child in document.children
        if child.matter_id in texts
    ]
    response.headers["etag"] = etag(published.revision)
    response.headers["cache-control"] = "public, max-age=60"
    return BundleRead(
        id=published.id,
        version=published.version,
        open=len(texts) == len(ids),
        document=_as_written(document),
        children=[_child(child, states.get(child.matter_id)) for child in document.children],
        materials=list(merge_materials(guides, document.results)),
    )


def _as_written(document: BundleSnapshot) -> BundleDocument:
    """What the lead department wrote, without what was computed of the children."""
    return BundleDocument(
        code=document.code,
        name=document.name,
        aliases=document.aliases,
        summary=document.summary,
        area_code=document.area_code,
        department_code=document.department_code,
        children=document.children,
        fields=document.fields,
        results=document.results,
    )


def _child(child: BundleChild, row: ChildRow | None) -> ChildState:
    if row is None:
        return ChildState(
            code=child.code, matter_id=child.matter_id, name=None, state=State.CANCELLED
        )
    name = Bilingual(zh=row.name, bo=row.name_bo)
    return ChildState(code=child.code, matter_id=child.matter_id, name=name, state=row.state)


@router.post("/{bundle_id}/personal-guide")
async def ask_bundle_guide(
    bundle_id: UUID, command: AskBundleGuide, session: ReadSession, _caller: MaybeCaller
) -> BundleGuide:
    """Answer the question trees of all children at once.

    The answer is one checklist (一次告知) with its digest.
    """
    return await bundles.ask_bundle_guide(session, bundle_id, answers=command.answers)


@router.post("/{bundle_id}/withdrawal")
async def withdraw_bundle(bundle_id: UUID, command: Closing, act: LeadAct) -> BundleHead:
    """Close the bundle to applications until another version is published."""
    bundle = await bundles.withdraw_bundle(act, bundle_id, reason=command.reason)
    act.headers["etag"] = etag(bundle.revision)
    return BundleHead.of(bundle)
