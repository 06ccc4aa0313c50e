"""HTTP in and out of the catalogue: the directory, search, guides, a matter's life, imports."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from services.matters.model import matter as model_matter
from services.matters.queries import catalogue as queries_catalogue
from services.matters.router.access import (
    AreaCode,
    DepartmentCode,
    Editor,
    Language,
    Publisher,
    Words,
    clean_words,
    place_of,
)
from services.matters.schemas.catalogue import (
    AreaEntry,
    AskGuide,
    Closing,
    DepartmentEntry,
    Difference,
    Directory,
    DraftRead,
    ImportReport,
    ImportRowRead,
    MatterHead,
    MatterSummary,
    Statistics,
    Suggestions,
    VersionRead,
)
from services.matters.settings import Settings
from services.matters.use_cases import catalogue, drafts, imports
from shared import clock
from shared.domain import codes
from shared.domain.guides import MatterDocument, PersonalGuide
from shared.errors import FieldError, InvalidInputError
from shared.http.bodies import file_body
from shared.http.dependencies import ReadSession, Session
from shared.http.etags import IfMatch, etag
from shared.http.idempotency import IdempotentRoute, Once
from shared.pagination import Cursor, Limit, Page, decode_cursor, page_of
from shared.security.auth import Administrator, MaybeCaller
from shared.security.tokens import Caller

router = APIRouter(route_class=IdempotentRoute)

MAX_FILE = 64 * 1024 * 1024
ROWS_SHOWN = 200
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


# Waits for nothing and is async all the same: FastAPI hands a plain function to a thread.
async def _warnings(request: Request) -> frozenset[str]:
    settings: Settings = request.app.state.settings
    return settings.warning_rules


Warnings = Annotated[frozenset[str], Depends(_warnings)]


@router.get("/areas", response_model=list[AreaEntry])
async def list_areas(session: ReadSession, _caller: MaybeCaller) -> Any:
    """区划 known here."""
    return [
        {"code": area.code, "name": area.name}
        for area in await queries_catalogue.list_areas(session)
    ]


@router.get("/departments", response_model=list[DepartmentEntry])
async def list_departments(
    session: ReadSession, _caller: MaybeCaller, area: AreaCode = None
) -> Any:
    """实施主体, of one area or of all."""
    rows = await queries_catalogue.list_departments(session, area)
    return [{"area_code": row.area_code, "code": row.code, "name": row.name} for row in rows]


@router.put("/directory", status_code=204)
async def store_directory(
    directory: Directory, session: Session, _administrator: Administrator
) -> None:
    """Make areas and departments known, or rename them."""
    await catalogue.store_directory(session, directory)


async def _filters(
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
) -> dict[str, Any]:
    return {
        "area": area,
        "department": department,
        "type": type,
        "object": object,
        "topic": topic,
        "level": 4 if wholly_online else level,
        "max_visits": 1 if one_visit else None,
    }


Filters = Annotated[dict[str, Any], Depends(_filters)]


def _summary(row: Any, language: str) -> dict[str, Any]:
    tibetan = language.lower().startswith("bo") and row.name_bo
    name = {"zh": row.name, "bo": row.name_bo}
    return {**row._asdict(), "name": name, "display_name": row.name_bo if tibetan else row.name}


@router.get("/catalogue", response_model=Page[MatterSummary])
async def list_matters(
    session: ReadSession,
    _caller: MaybeCaller,
    filters: Filters,
    q: Words = None,
    limit: Limit = 20,
    cursor: Cursor = None,
    accept_language: Language = "zh",
) -> Any:
    """Search the published catalogue by any two characters of name, alias, department, topic, or by code."""
    if q is None:
        after = decode_cursor(cursor, UUID)[0] if cursor else queries_catalogue.FIRST
        rows, following = page_of(
            await queries_catalogue.list_matters(session, filters, after, limit), limit, "id"
        )
    else:
        rank, size, last = (
            decode_cursor(cursor, int, int, UUID) if cursor else (-1, 0, queries_catalogue.FIRST)
        )
        found = await queries_catalogue.search_matters(
            session, clean_words(q), filters, (_small(rank), _small(size), last), limit
        )
        rows, following = page_of(found, limit, "rank", "size", "id")
    return {"items": [_summary(row, accept_language) for row in rows], "next": following}


def _small(value: int) -> int:
    return max(-1, min(value, 1_000_000))


@router.get("/suggestions", response_model=Suggestions)
async def suggest(session: ReadSession, _caller: MaybeCaller, filters: Filters, q: Words) -> Any:
    """Names while typing."""
    rows = await queries_catalogue.search_matters(
        session, clean_words(q or ""), filters, (-1, 0, queries_catalogue.FIRST), 10
    )
    return {"items": [{"id": row.id, "name": row.name} for row in rows[:10]]}


@router.get("/catalogue/{matter_id}", response_model=dict[str, Any])
async def get_matter(
    matter_id: UUID, session: ReadSession, _caller: MaybeCaller, response: Response
) -> Any:
    """The published text with its guide, question tree and derived online depth."""
    row = await queries_catalogue.get_published(session, matter_id)
    response.headers["etag"] = etag(row.revision)
    response.headers["cache-control"] = "public, max-age=60"
    return {
        "id": row.id,
        "version": row.version,
        "online_level": row.level,
        "document": row.document,
    }


@router.post("/personal-guides", response_model=PersonalGuide)
async def ask_guide(command: AskGuide, session: ReadSession, _caller: MaybeCaller) -> Any:
    """Answer the question tree, get the personal guide and its digest."""
    current = await queries_catalogue.get_published(session, command.matter_id)
    version = command.version or current.version
    if version == current.version:
        document = MatterDocument.model_validate(current.document)
    else:
        document = await queries_catalogue.get_published_version(
            session, command.matter_id, version
        )
    return catalogue.ask_guide(document, command, version)


@router.get("/statistics", response_model=Statistics)
async def get_statistics(
    session: ReadSession,
    _caller: MaybeCaller,
    area: AreaCode = None,
    department: DepartmentCode = None,
) -> Any:
    """Figures of the published catalogue, each rate with numerator and denominator."""
    row = await queries_catalogue.get_statistics(
        session, sorted(codes.APPLICATION_TYPES), area, department
    )
    return {
        "published": row.published,
        "situational": {"numerator": row.situational, "denominator": row.published},
        "application_level_3": {"numerator": row.six_3, "denominator": row.six},
        "application_level_4": {"numerator": row.six_4, "denominator": row.six},
        "public_service_level_3": {"numerator": row.public_3, "denominator": row.public},
        "public_service_level_4": {"numerator": row.public_4, "denominator": row.public},
        "at_most_one_visit": row.one_visit,
        "wholly_online": row.online,
    }


def _draft(result: tuple[model_matter.Matter, Any], response: Response) -> dict[str, Any]:
    matter, found = result
    response.headers["etag"] = etag(matter.revision)
    return {**MatterHead.model_validate(matter).model_dump(), "breaches": drafts.as_read(found)}


@router.post("/drafts", response_model=DraftRead, status_code=201, dependencies=[Once])
async def write_draft(
    document: MatterDocument, session: Session, editor: Editor, response: Response
) -> Any:
    """A new matter of one's own department as a draft, with what the rules say of it."""
    result = await drafts.write_draft(
        session, document, place_of(editor), editor.subject, clock.now()
    )
    response.headers["location"] = f"/api/v1/matters/drafts/{result[0].id}"
    return _draft(result, response)


@router.put("/drafts/{matter_id}", response_model=DraftRead)
async def change_draft(
    matter_id: UUID,
    document: MatterDocument,
    session: Session,
    editor: Editor,
    expected: IfMatch,
    response: Response,
) -> Any:
    """Rewrite the draft, or begin the next version of a published matter."""
    place, now = place_of(editor), clock.now()
    result = await drafts.change_draft(
        session, matter_id, document, expected, place, editor.subject, now
    )
    return _draft(result, response)


@router.post("/drafts/{matter_id}/review", response_model=DraftRead)
async def review_draft(
    matter_id: UUID,
    session: Session,
    editor: Editor,
    expected: IfMatch,
    warnings: Warnings,
    response: Response,
) -> Any:
    """Send to review; refused with every breach of the consistency rules."""
    return _draft(
        await drafts.review_draft(session, matter_id, expected, place_of(editor), warnings),
        response,
    )


@router.post("/drafts/{matter_id}/publication", response_model=DraftRead)
async def publish_draft(
    matter_id: UUID,
    session: Session,
    publisher: Publisher,
    expected: IfMatch,
    warnings: Warnings,
    response: Response,
) -> Any:
    """Publish a reviewed draft."""
    place, now = place_of(publisher), clock.now()
    result = await drafts.publish_draft(
        session, matter_id, expected, place, warnings, publisher.subject, now
    )
    return _draft(result, response)


async def _close(
    session: Session,
    matter_id: UUID,
    state: model_matter.State,
    command: Closing,
    expected: int,
    caller: Caller,
    response: Response,
) -> model_matter.Matter:
    place, now = place_of(caller), clock.now()
    matter = await drafts.close_matter(
        session, matter_id, state, command.reason, expected, place, now
    )
    response.headers["etag"] = etag(matter.revision)
    return matter


@router.post("/catalogue/{matter_id}/suspension", response_model=MatterHead)
async def suspend_matter(
    matter_id: UUID,
    command: Closing,
    session: Session,
    caller: Publisher,
    expected: IfMatch,
    response: Response,
) -> Any:
    """挂起: no new applications until it is published again."""
    return await _close(
        session, matter_id, model_matter.State.SUSPENDED, command, expected, caller, response
    )


@router.post("/catalogue/{matter_id}/cancellation", response_model=MatterHead)
async def cancel_matter(
    matter_id: UUID,
    command: Closing,
    session: Session,
    caller: Publisher,
    expected: IfMatch,
    response: Response,
) -> Any:
    """取消: for good."""
    return await _close(
        session, matter_id, model_matter.State.CANCELLED, command, expected, caller, response
    )


@router.get("/work-list", response_model=Page[MatterHead])
async def list_work(
    session: ReadSession, editor: Editor, limit: Limit = 50, cursor: Cursor = None
) -> Any:
    """Pending drafts of the caller's department."""
    after = decode_cursor(cursor, UUID)[0] if cursor else queries_catalogue.FIRST
    rows, following = page_of(
        await queries_catalogue.list_work(session, place_of(editor), after, limit), limit, "id"
    )
    return {"items": rows, "next": following}


@router.get("/catalogue/{matter_id}/versions", response_model=list[VersionRead])
async def list_versions(matter_id: UUID, session: Session, editor: Editor) -> Any:
    """Who changed what, and when."""
    _ = await queries_catalogue.get_matter(session, matter_id, place_of(editor))
    rows = await queries_catalogue.list_versions(session, matter_id)
    names = ("version", "written_by", "written_at", "published_at")
    return [{name: getattr(row, name) for name in names} for row in rows]


@router.get(
    "/catalogue/{matter_id}/versions/{before}/differences/{after}", response_model=list[Difference]
)
async def list_differences(
    matter_id: UUID, before: int, after: int, session: Session, editor: Editor
) -> Any:
    """What changed between two versions, by path."""
    _ = await queries_catalogue.get_matter(session, matter_id, place_of(editor))
    if not all(0 < number < 2**31 for number in (before, after)):
        raise InvalidInputError(
            "versions are counted from 1", [FieldError("before", "version", "1 or more")]
        )
    texts = [
        (await queries_catalogue.get_version(session, matter_id, number)).document
        for number in (before, after)
    ]
    return model_matter.differences(texts[0], texts[1])


@router.post(
    "/imports",
    response_model=ImportReport,
    status_code=201,
    dependencies=[Once],
    max_body_size=MAX_FILE,
    openapi_extra=file_body("text/csv", XLSX),
)
async def import_file(
    request: Request,
    session: Session,
    caller: Administrator,
    x_filename: Annotated[str, Header(max_length=200)] = "catalogue",
) -> Any:
    """Import a catalogue (CSV in UTF-8 or GBK, or XLSX) sent as the body; every row gets its outcome."""
    content = await request.body()
    run, rows = await imports.import_file(session, content, x_filename, caller.subject, clock.now())
    shown = [_row(row) for row in rows if row.outcome == "refused"][:ROWS_SHOWN]
    return {
        **{n: getattr(run, n) for n in ("id", "accepted", "changed", "unchanged", "refused")},
        "rows": shown,
    }


def _row(row: model_matter.ImportRow) -> dict[str, Any]:
    return {"row": row.row, "outcome": row.outcome, "identity": row.identity, "errors": row.errors}


@router.get("/imports/{import_id}/rows", response_model=Page[ImportRowRead])
async def list_import_rows(
    import_id: UUID,
    session: ReadSession,
    _administrator: Administrator,
    outcome: Annotated[
        Literal["accepted", "changed", "unchanged", "refused"] | None, Query()
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Any:
    """What became of each row of an import."""
    _ = await queries_catalogue.get_import(session, import_id)
    after = _small(decode_cursor(cursor, int)[0]) if cursor else 0
    rows, following = page_of(
        await queries_catalogue.list_import_rows(session, import_id, outcome, after, limit),
        limit,
        "row",
    )
    return {"items": [_row(row) for row in rows], "next": following}


@router.post(
    "/catalogue-documents",
    response_model=dict[str, Any],
    max_body_size=MAX_FILE,
    openapi_extra=file_body("application/x-ndjson"),
)
async def import_documents(request: Request, session: Session, caller: Administrator) -> Any:
    """Publish whole documents, one JSON per line (NDJSON); faulty lines come back with row, field and reason."""
    lines = [line for line in (await request.body()).splitlines() if line.strip()]
    if len(lines) > 20_000:
        raise InvalidInputError(
            "too many lines", [FieldError("body", "max_lines", "at most 20,000 lines at once")]
        )
    return await imports.import_documents(session, lines, caller.subject, clock.now())
