"""HTTP endpoints of one-thing applications (一件事)."""

from collections.abc import Sequence
from uuid import UUID

from fastapi import APIRouter, Response

from services.cases.access import FIRST, At
from services.cases.applications.router.applications import CaseNumbers
from services.cases.applications.use_cases.apply import submitter_of
from services.cases.bundles import queries as bundle_queries
from services.cases.bundles.queries import BundleSummaryRow
from services.cases.bundles.schemas import ApplyBundle, BundleCaseRead, BundleCaseSummary
from services.cases.bundles.use_cases import apply as apply_bundle
from services.cases.bundles.views import show_bundle, summarize_bundle
from shared.http.dependencies import Now, ReadSession, Session
from shared.http.idempotency import IdempotentRoute, Once
from shared.pagination import Cursor, Limit, Page, decode_cursor, page_of
from shared.security.auth import CurrentCaller
from shared.security.tokens import CITIZENS

router = APIRouter(route_class=IdempotentRoute)


@router.post("/bundle-applications", status_code=201, dependencies=[Once])
async def apply_for_bundle(
    *,
    command: ApplyBundle,
    session: Session,
    caller: CurrentCaller,
    numbers: CaseNumbers,
    now: Now,
    response: Response,
) -> BundleCaseRead:
    """Apply for all children of a bundle at once: one form, one set of materials.

    All of it is accepted, or nothing.
    """
    # No matters here: which ones they are is known when the bundle has been read.
    submitter = submitter_of(caller, command.channel, matter_ids=[])
    parent, cases, at = await apply_bundle.apply_for_bundle(
        session, command, numbers=numbers, submitter=submitter, now=now
    )
    response.headers["location"] = f"/api/v1/cases/bundle-files/{parent.id}"
    return show_bundle(parent, cases, caller=caller, at=at)


@router.get("/bundle-files")
async def list_own_bundles(
    session: ReadSession, caller: CurrentCaller, limit: Limit = 50, cursor: Cursor = None
) -> Page[BundleCaseSummary]:
    """The caller's own one-thing applications."""
    after = FIRST
    if cursor:
        (after,) = decode_cursor(cursor, UUID)
    if caller.kind not in CITIZENS:
        return Page[BundleCaseSummary](items=[])
    found = await bundle_queries.list_own_bundles(
        session, UUID(caller.subject), matters=caller.matters, after=after, limit=limit
    )
    rows: Sequence[BundleSummaryRow]
    rows, next_cursor = page_of(found, limit, "id")
    items = [summarize_bundle(row) for row in rows]
    return Page[BundleCaseSummary](items=items, next=next_cursor)


@router.get("/bundle-files/{bundle_case_id}")
async def get_bundle_file(
    bundle_case_id: UUID, session: ReadSession, caller: CurrentCaller, at: At
) -> BundleCaseRead:
    """One application with its children.

    The applicant sees all of it, officers the children of their own department, and the clerk who
    took it in the numbers.
    """
    parent = await bundle_queries.get_bundle_case(session, bundle_case_id)
    cases = await bundle_queries.list_children(session, bundle_case_id)
    return show_bundle(parent, cases, caller=caller, at=at)
