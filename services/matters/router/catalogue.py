"""HTTP in and out of the catalogue: the directory, search, guides, a matter's life, imports."""

from typing import Annotated, Literal
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Header, Query, Request, Response

from services.matters.model.matter import ImportOutcome, State, differences
from services.matters.queries import catalogue as queries
from services.matters.queries.catalogue import (
    FIRST,
    MatterFilter,
    MatterHit,
    MatterSummaryRow,
    SearchPlace,
)
from services.matters.router.access import (
    AreaCode,
    Config,
    DepartmentCode,
    Editor,
    EditorAct,
    Language,
    PublisherAct,
    Words,
    clean_words,
    prefers_tibetan,
)
from services.matters.schemas.catalogue import (
    AreaEntry,
    AskGuide,
    Closing,
    DepartmentEntry,
    Difference,
    Directory,
    DocumentsReport,
    DraftRead,
    ImportReport,
    ImportRowRead,
    MatterHead,
    MatterRead,
    MatterSummary,
    Share,
    Statistics,
    Suggestion,
    Suggestions,
    VersionRead,
)
from services.matters.use_cases import catalogue, drafts, imports
from services.matters.use_cases.drafts import Draft
from services.matters.use_cases.place import place_of
from shared.database.acts import Headers
from shared.domain import codes
from shared.domain.guides import MatterDocument, PersonalGuide
from shared.errors import FieldError, InvalidInputError
from shared.http.bodies import file_body
from shared.http.dependencies import Now, ReadSession, Session
from shared.http.etags import etag
from shared.http.idempotency import IdempotentRoute, Once
from shared.pagination import Cursor, Limit, Page, decode_cursor, page_of
from shared.security.auth import Administrator, MaybeCaller

router = APIRouter(route_class=IdempotentRoute)

MAX_FILE = 64 * 1024 * 1024
MAX_LINES = 20_000
MAX_VERSION = 2**31 - 1
ROWS_SHOWN = 200
WHOLLY_ONLINE = 4
"""网办深度 Ⅳ: the whole process online, without any visit."""
SUGGESTIONS = 10
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@router.get("/areas")
async def list_areas(session: ReadSession, _caller: MaybeCaller) -> list[AreaEntry]:
    """区划 known here."""
    areas = await queries.list_areas(session)
    return [AreaEntry(code=area.code, name=area.name) for area in areas]


@router.get("/departments")
async def list_departments(
    session: ReadSession, _caller: MaybeCaller, area: AreaCode = None
) -> list[DepartmentEntry]:
    """实施主体, of one area or of all."""
    entries: list[DepartmentEntry] = []
    for row in await queries.list_departments(session, area):
        entries.append(DepartmentEntry(area_code=row.area_code, code=row.code, name=row.name))
    return entries


@router.put("/directory", status_code=204)
async def store_directory(
    directory: Directory, session: Session, _administrator: Administrator
) -> None:
    """Make areas and departments known, or rename them."""
    await catalogue.store_directory(session, directory)


async def _filters(
    *,
    area: AreaCode = None,
    department: DepartmentCode = None,
    type: Annotated[codes.MatterType | None, Query()] = None,
    object: Annotated[Literal["1", "2", "3", "4", "5", "6"] | None, Query()] = None,
    topic: Annotated[
        str | None, Query(min_length=1, max_length=60, pattern=r"^[^\x00-\x1f]+$")
    ] = None,
    level: Annotated[int | None, Query(ge=1, le=4)] = None,
    one_visit: bool = False,
    wholly_online: bool = False,
) -> MatterFilter:
    if wholly_online:
        # 全程网办 is level Ⅳ by definition (norms §2.5), whatever other level is asked for.
        level = WHOLLY_ONLINE
    max_visits: int | None = None
    if one_visit:
        # 最多跑一次 counts also matters without any visit.
        max_visits = 1
    return MatterFilter(
        area=area,
        department=department,
        type=type,
        object=object,
        topic=topic,
        level=level,
        max_visits=max_visits,
    )


Filters = Annotated[MatterFilter, Depends(_filters)]


def _summary(row: MatterSummaryRow | MatterHit, language: str) -> MatterSummary:
    display_name = row.name
    if row.name_bo and prefers_tibetan(language):
        display_name = row.name_bo
    return MatterSummary.model_validate(
        {
            "id": row.id,
            "name": {"zh": row.name, "bo": row.name_bo},
            "display_name": display_name,
            "identity": row.identity,
            "type": row.type,
            "area_code": row.area_code,
            "department_code": row.department_code,
            "level": row.level,
            "visits": row.visits,
            "situational": row.situational,
        }
    )


@router.get("/catalogue")
async def list_matters(
    *,
    session: ReadSession,
    _caller: MaybeCaller,
    filters: Filters,
    q: Words = None,
    limit: Limit = 20,
    cursor: Cursor = None,
    accept_language: Language = "zh",
) -> Page[MatterSummary]:
    """Search the published catalogue.

    Any two characters of name, alias, department or topic find a matter, and so does its code.
    """
    if q is None:
        after = decode_cursor(cursor, UUID)[0] if cursor else FIRST
        found = await queries.list_matters(session, filters, after=after, limit=limit)
        rows, next_cursor = page_of(found, limit, "id")
    else:
        hits = await queries.search_matters(
            session, clean_words(q), filters=filters, after=_search_place(cursor), limit=limit
        )
        rows, next_cursor = page_of(hits, limit, "rank", "size", "id")
    return Page(items=[_summary(row, accept_language) for row in rows], next=next_cursor)


def _search_place(cursor: str | None) -> SearchPlace:
    if cursor is None:
        return SearchPlace()
    rank, size, last = decode_cursor(cursor, int, int, UUID)
    return SearchPlace(_small(rank), _small(size), last)


def _small(value: int) -> int:
    """A number from a cursor, cut to what PostgreSQL takes as an integer."""
    return max(-1, min(value, 1_000_000))


@router.get("/suggestions")
async def suggest(
    session: ReadSession, _caller: MaybeCaller, filters: Filters, q: Words
) -> Suggestions:
    """Names while typing."""
    hits = await queries.search_matters(
        session, clean_words(q or ""), filters=filters, after=SearchPlace(), limit=SUGGESTIONS
    )
    return Suggestions(items=[Suggestion(id=hit.id, name=hit.name) for hit in hits[:SUGGESTIONS]])


@router.get("/catalogue/{matter_id}", response_model=MatterRead)
async def get_matter(matter_id: UUID, session: ReadSession, _caller: MaybeCaller) -> Response:
    """The published text with its guide, question tree and derived online depth."""
    published = await queries.get_published(session, matter_id)
    # As it was stored: a text of an older version must not gain keys on the way out.
    content = orjson.dumps(
        {
            "id": str(published.id),
            "version": published.version,
            "online_level": published.level,
            "document": published.document,
        }
    )
    headers = {"etag": etag(published.revision), "cache-control": "public, max-age=60"}
    return Response(content, headers=headers, media_type="application/json")


@router.post("/personal-guides")
async def ask_guide(command: AskGuide, session: ReadSession, _caller: MaybeCaller) -> PersonalGuide:
    """Answer the question tree, get the personal guide and its digest."""
    current = await queries.get_published(session, command.matter_id)
    version = command.version or current.version
    if version == current.version:
        document = MatterDocument.model_validate(current.document)
    else:
        document = await queries.get_published_version(session, command.matter_id, version=version)
    return catalogue.ask_guide(document, command, version=version)


@router.get("/statistics")
async def get_statistics(
    session: ReadSession,
    _caller: MaybeCaller,
    area: AreaCode = None,
    department: DepartmentCode = None,
) -> Statistics:
    """Figures of the published catalogue, each rate with numerator and denominator."""
    row = await queries.get_statistics(session, area=area, department=department)
    return Statistics(
        published=row.published,
        situational=Share(numerator=row.situational, denominator=row.published),
        application_level_3=Share(numerator=row.six_3, denominator=row.six),
        application_level_4=Share(numerator=row.six_4, denominator=row.six),
        public_service_level_3=Share(numerator=row.public_3, denominator=row.public),
        public_service_level_4=Share(numerator=row.public_4, denominator=row.public),
        at_most_one_visit=row.one_visit,
        wholly_online=row.online,
    )


def _draft(draft: Draft, headers: Headers) -> DraftRead:
    headers["etag"] = etag(draft.matter.revision)
    return DraftRead.with_breaches(draft.matter, draft.breaches)


@router.post("/drafts", status_code=201, dependencies=[Once])
async def write_draft(
    document: MatterDocument, session: Session, editor: Editor, now: Now, response: Response
) -> DraftRead:
    """A new matter of one's own department as a draft, with the rules that it breaks."""
    draft = await drafts.write_draft(session, document, caller=editor, now=now)
    response.headers["location"] = f"/api/v1/matters/drafts/{draft.matter.id}"
    return _draft(draft, response.headers)


@router.put("/drafts/{matter_id}")
async def change_draft(matter_id: UUID, document: MatterDocument, act: EditorAct) -> DraftRead:
    """Rewrite the draft, or begin the next version of a published matter."""
    return _draft(await drafts.change_draft(act, matter_id, document=document), act.headers)


@router.post("/drafts/{matter_id}/review")
async def review_draft(matter_id: UUID, act: EditorAct, settings: Config) -> DraftRead:
    """Send to review; refused with every breach of the consistency rules."""
    draft = await drafts.review_draft(act, matter_id, warnings=settings.warning_rules)
    return _draft(draft, act.headers)


@router.post("/drafts/{matter_id}/publication")
async def publish_draft(matter_id: UUID, act: PublisherAct, settings: Config) -> DraftRead:
    """Publish a reviewed draft."""
    draft = await drafts.publish_draft(act, matter_id, warnings=settings.warning_rules)
    return _draft(draft, act.headers)


@router.post("/catalogue/{matter_id}/suspension")
async def suspend_matter(matter_id: UUID, command: Closing, act: PublisherAct) -> MatterHead:
    """挂起: no new applications until it is published again."""
    matter = await drafts.close_matter(act, matter_id, state=State.SUSPENDED, reason=command.reason)
    act.headers["etag"] = etag(matter.revision)
    return MatterHead.of(matter)


@router.post("/catalogue/{matter_id}/cancellation")
async def cancel_matter(matter_id: UUID, command: Closing, act: PublisherAct) -> MatterHead:
    """取消: for good."""
    matter = await drafts.close_matter(act, matter_id, state=State.CANCELLED, reason=command.reason)
    act.headers["etag"] = etag(matter.revision)
    return MatterHead.of(matter)


@router.get("/work-list")
async def list_work(
    session: ReadSession, editor: Editor, limit: Limit = 50, cursor: Cursor = None
) -> Page[MatterHead]:
    """Pending drafts of the caller's department."""
    after = decode_cursor(cursor, UUID)[0] if cursor else FIRST
    found = await queries.list_work(session, place=place_of(editor), after=after, limit=limit)
    matters, next_cursor = page_of(found, limit, "id")
    return Page(items=[MatterHead.of(matter) for matter in matters], next=next_cursor)


@router.get("/catalogue/{matter_id}/versions")
async def list_versions(matter_id: UUID, session: Session, editor: Editor) -> list[VersionRead]:
    """Who changed what, and when."""
    _ = await queries.get_matter(session, matter_id, place=place_of(editor))
    versions: list[VersionRead] = []
    for row in await queries.list_versions(session, matter_id):
        versions.append(
            VersionRead(
                version=row.version,
                written_by=row.written_by,
                written_at=row.written_at,
                published_at=row.published_at,
            )
        )
    return versions


@router.get("/catalogue/{matter_id}/versions/{before}/differences/{after}")
async def list_differences(
    matter_id: UUID, before: int, after: int, session: Session, editor: Editor
) -> list[Difference]:
    """What changed between two versions, by path."""
    _ = await queries.get_matter(session, matter_id, place=place_of(editor))
    if not (0 < before <= MAX_VERSION and 0 < after <= MAX_VERSION):
        raise InvalidInputError(
            "versions are counted from 1", [FieldError("before", "version", message="1 or more")]
        )
    old = await queries.get_version(session, matter_id, version=before)
    new = await queries.get_version(session, matter_id, version=after)
    changes = differences(
        old.document.model_dump(mode="json"), after=new.document.model_dump(mode="json")
    )
    return [Difference.of(change) for change in changes]


@router.post(
    "/imports",
    status_code=201,
    dependencies=[Once],
    max_body_size=MAX_FILE,
    openapi_extra=file_body("text/csv", XLSX),
)
async def import_file(
    request: Request,
    session: Session,
    caller: Administrator,
    now: Now,
    x_filename: Annotated[str, Header(max_length=200)] = "catalogue",
) -> ImportReport:
    """Import a catalogue sent as the body (CSV in UTF-8 or GBK, or XLSX).

    Every row gets its outcome.
    """
    content = await request.body()
    run, rows = await imports.import_file(
        session, content, filename=x_filename, actor=caller.subject, now=now
    )
    refused = [row for row in rows if row.outcome is ImportOutcome.REFUSED]
    return ImportReport.of(run, refused[:ROWS_SHOWN])


@router.get("/imports/{import_id}/rows")
async def list_import_rows(
    *,
    import_id: UUID,
    session: ReadSession,
    _administrator: Administrator,
    outcome: Annotated[
        Literal["accepted", "changed", "unchanged", "refused"] | None, Query()
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[ImportRowRead]:
    """What became of each row of an import."""
    _ = await queries.get_import(session, import_id)
    after = _small(decode_cursor(cursor, int)[0]) if cursor else 0
    only: ImportOutcome | None = None
    if outcome is not None:
        only = ImportOutcome(outcome)
    found = await queries.list_import_rows(
        session,
        import_id,
        outcome=only,
        after=after,
        limit=limit,
    )
    rows, next_cursor = page_of(found, limit, "row")
    return Page(items=[ImportRowRead.of(row) for row in rows], next=next_cursor)


@router.post(
    "/catalogue-documents",
    max_body_size=MAX_FILE,
    openapi_extra=file_body("application/x-ndjson"),
)
async def import_documents(
    request: Request, session: Session, caller: Administrator, now: Now
) -> DocumentsReport:
    """Publish whole documents, one JSON per line (NDJSON).

    Faulty lines come back with row, field and reason.
    """
    body = await request.body()
    lines = [line for line in body.splitlines() if line.strip()]
    if len(lines) > MAX_LINES:
        raise InvalidInputError(
            "too many lines",
            [FieldError("body", "max_lines", message="at most 20,000 lines at once")],
        )
    return await imports.import_documents(session, lines, actor=caller.subject, now=now)
