"""HTTP in and out of one-thing bundles (一件事)."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response

from services.matters.model.matter import State
from services.matters.queries import bundles, catalogue
from services.matters.router.access import AreaCode, Language, Lead, Words, clean_words, place_of
from services.matters.schemas.bundles import (
    AskBundleGuide,
    BundleDraftRead,
    BundleHead,
    BundleRead,
    BundleSummary,
)
from services.matters.schemas.catalogue import Closing
from services.matters.use_cases import bundles as use_cases_bundles
from services.matters.use_cases import drafts
from services.matters.use_cases.bundles import Draft
from shared import clock
from shared.domain.bundles import BundleDocument, BundleGuide, BundleSnapshot, merge_materials
from shared.http.dependencies import ReadSession, Session
from shared.http.etags import IfMatch, etag
from shared.http.idempotency import IdempotentRoute, Once
from shared.pagination import Cursor, Limit, Page, decode_cursor, page_of
from shared.security.auth import MaybeCaller

router = APIRouter(prefix="/bundles", route_class=IdempotentRoute)


@router.get("", response_model=Page[BundleSummary])
async def list_bundles(
    session: ReadSession,
    _caller: MaybeCaller,
    q: Words = None,
    area: AreaCode = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    accept_language: Language = "zh",
) -> Any:
    """Published bundles, all or those whose name or alias holds `q`; `open` tells whether they take applications."""
    after = decode_cursor(cursor, UUID)[0] if cursor else catalogue.FIRST
    if q is None:
        found = await bundles.list_bundles(session, area, after, limit)
    else:
        found = await bundles.search_bundles(session, clean_words(q), area, after, limit)
    rows, following = page_of(found, limit, "id")
    return {"items": [_summary(row, accept_language) for row in rows], "next": following}


def _summary(row: Any, language: str) -> dict[str, Any]:
    tibetan = language.lower().startswith("bo") and row.name_bo
    name = {"zh": row.name, "bo": row.name_bo}
    return {**row._asdict(), "name": name, "display_name": row.name_bo if tibetan else row.name}


@router.get("/drafts", response_model=Page[BundleHead])
async def list_bundle_drafts(
    session: ReadSession, lead: Lead, limit: Limit = 50, cursor: Cursor = None
) -> Any:
    """Drafts of the bundles that the caller's department leads."""
    after = decode_cursor(cursor, UUID)[0] if cursor else catalogue.FIRST
    rows, following = page_of(
        await bundles.list_bundle_work(session, place_of(lead), after, limit), limit, "id"
    )
    return {"items": rows, "next": following}


@router.post("/drafts", response_model=BundleDraftRead, status_code=201, dependencies=[Once])
async def write_bundle(
    document: BundleDocument, session: Session, lead: Lead, response: Response
) -> Any:
    """A new bundle as a draft, with what the rules say of it."""
    result = await use_cases_bundles.write_bundle(
        session, document, place_of(lead), lead.subject, clock.now()
    )
    response.headers["location"] = f"/api/v1/matters/bundles/drafts/{result[0].id}"
    return _draft(result, response)


@router.get("/drafts/{bundle_id}", response_model=BundleDraftRead)
async def get_bundle_draft(
    bundle_id: UUID, session: Session, lead: Lead, response: Response
) -> Any:
    """The draft, with what the rules say of it now."""
    return _draft(
        await use_cases_bundles.read_bundle_draft(session, bundle_id, place_of(lead)), response
    )


@router.put("/drafts/{bundle_id}", response_model=BundleDraftRead)
async def change_bundle(
    bundle_id: UUID,
    document: BundleDocument,
    session: Session,
    lead: Lead,
    expected: IfMatch,
    response: Response,
) -> Any:
    """Rewrite the draft, or begin the next version of a published bundle."""
    place, now = place_of(lead), clock.now()
    result = await use_cases_bundles.change_bundle(
        session, bundle_id, document, expected, place, lead.subject, now
    )
    return _draft(result, response)


@router.post("/drafts/{bundle_id}/publication", response_model=BundleDraftRead)
async def publish_bundle(
    bundle_id: UUID, session: Session, lead: Lead, expected: IfMatch, response: Response
) -> Any:
    """Publish the draft; refused with every breach of the rules."""
    result = await use_cases_bundles.publish_bundle(
        session, bundle_id, expected, place_of(lead), clock.now()
    )
    return _draft(result, response)


def _draft(result: Draft, response: Response) -> dict[str, Any]:
    bundle, document, found = result
    response.headers["etag"] = etag(bundle.revision)
    head = BundleHead.model_validate(bundle).model_dump()
    return {**head, "breaches": drafts.as_read(found), "document": document.model_dump(mode="json")}


@router.get("/{bundle_id}", response_model=BundleRead)
async def get_bundle(
    bundle_id: UUID, session: ReadSession, _caller: MaybeCaller, response: Response
) -> Any:
    """A published bundle: children as they stand now, and the materials merged from their present guides."""
    row = await bundles.get_published_bundle(session, bundle_id)
    document = BundleSnapshot.model_validate(row.document)
    ids = [child.matter_id for child in document.children]
    states, texts = (
        await bundles.list_child_states(session, ids),
        await bundles.list_texts(session, ids),
    )
    guides = [
        (child.code, texts[child.matter_id].document.materials)
        for child in document.children
        if child.matter_id in texts
    ]
    response.headers["etag"] = etag(row.revision)
    response.headers["cache-control"] = "public, max-age=60"
    return {
        "id": row.id,
        "version": row.version,
        "open": len(texts) == len(ids),
        "document": {name: getattr(document, name) for name in BundleDocument.model_fields},
        "children": [_child(child, states.get(child.matter_id)) for child in document.children],
        "materials": merge_materials(guides, document.results),
    }


def _child(child: Any, row: Any) -> dict[str, Any]:
    name = {"zh": row.name, "bo": row.name_bo} if row else None
    state = row.state if row else State.CANCELLED
    return {"code": child.code, "matter_id": child.matter_id, "name": name, "state": state}


@router.post("/{bundle_id}/personal-guide", response_model=BundleGuide)
async def ask_bundle_guide(
    bundle_id: UUID, command: AskBundleGuide, session: ReadSession, _caller: MaybeCaller
) -> Any:
    """Answer the question trees of all children at once, get one checklist (一次告知) and its digest."""
    return await use_cases_bundles.ask_bundle_guide(session, bundle_id, command.answers)


@router.post("/{bundle_id}/withdrawal", response_model=BundleHead)
async def withdraw_bundle(
    bundle_id: UUID,
    command: Closing,
    session: Session,
    lead: Lead,
    expected: IfMatch,
    response: Response,
) -> Any:
    """Close the bundle to applications until another version is published."""
    place, now = place_of(lead), clock.now()
    bundle = await use_cases_bundles.withdraw_bundle(
        session, bundle_id, command.reason, expected, place, now
    )
    response.headers["etag"] = etag(bundle.revision)
    return bundle
