"""What matters can do, in the order of a matter's life: write, review, publish, suspend, cancel; and whole catalogues at once."""

import asyncio
import dataclasses
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.matters import consistency, importer, model, queries
from services.matters.consistency import Breach, breaches
from services.matters.model import Area, Department, ImportRow, ImportRun, Matter, MatterVersion, State
from services.matters.schemas import AskGuide, Directory
from shared import audit, outbox
from shared.errors import ConflictError, FieldError, InvalidInputError
from shared.etags import check_version
from shared.events.matters import MatterPublished
from shared.guides import MatterDocument, PersonalGuide, personal_guide
from shared.ids import new_id

Place = tuple[str, str] | None
CHUNK = 500
PUBLISHING = frozenset({"accepted", "changed"})

EXISTING = text(
    "SELECT m.id, m.area_code, m.department_code, m.identity, m.revision, m.state, m.level, m.content_hash,"
    " m.published_version, m.draft_version FROM matter m"
    " JOIN unnest(CAST(:areas AS text[]), CAST(:departments AS text[]), CAST(:identities AS text[]))"
    " AS k (area_code, department_code, identity) USING (area_code, department_code, identity)"
    " ORDER BY m.id FOR UPDATE OF m"
)
UPSERT = text(
    "INSERT INTO matter (id, revision, state, area_code, department_code, identity, published_version, draft_version,"
    " reviewing, content_hash, name, name_bo, type, level, visits, situational, object_types, topics, haystack, search)"
    " SELECT CAST(r->>'id' AS uuid), CAST(r->>'revision' AS int), 'published', r->>'area_code', r->>'department_code',"
    " r->>'identity', CAST(r->>'version' AS int), NULL, false, decode(r->>'content_hash', 'hex'), r->>'name',"
    " r->>'name_bo', r->>'type', CAST(r->>'level' AS int), CAST(r->>'visits' AS int), CAST(r->>'situational' AS boolean),"
    " ARRAY(SELECT jsonb_array_elements_text(r->'object_types')), ARRAY(SELECT jsonb_array_elements_text(r->'topics')),"
    " r->>'haystack', array_to_tsvector(ARRAY(SELECT jsonb_array_elements_text(r->'tokens')))"
    " FROM jsonb_array_elements(CAST(:rows AS jsonb)) AS r"
    " ON CONFLICT (id) DO UPDATE SET revision = excluded.revision, state = excluded.state,"
    " published_version = excluded.published_version, draft_version = NULL, reviewing = false,"
    " content_hash = excluded.content_hash, name = excluded.name, name_bo = excluded.name_bo, type = excluded.type,"
    " level = excluded.level, visits = excluded.visits, situational = excluded.situational,"
    " object_types = excluded.object_types, topics = excluded.topics, haystack = excluded.haystack,"
    " search = excluded.search"
)
STORE_VERSIONS = text(
    "INSERT INTO matter_version (matter_id, version, document, written_by, written_at, published_at)"
    " SELECT CAST(r->>'id' AS uuid), CAST(r->>'version' AS int), r->'document', :actor, :now, :now"
    " FROM jsonb_array_elements(CAST(:rows AS jsonb)) AS r"
    " ON CONFLICT (matter_id, version) DO UPDATE SET document = excluded.document, published_at = excluded.published_at"
    " WHERE matter_version.published_at IS NULL"
)


async def store_directory(session: AsyncSession, directory: Directory) -> None:
    """Make areas and departments known, or rename them."""
    known = {area.code for area in await queries.list_areas(session)} | {area.code for area in directory.areas}
    missing = sorted({department.area_code for department in directory.departments} - known)
    if missing:
        raise InvalidInputError(
            "departments of unknown areas", [FieldError("departments.area_code", "known_area", ", ".join(missing))]
        )
    for table, keys, entries in (
        (Area, ["code"], directory.areas),
        (Department, ["area_code", "code"], directory.departments),
    ):
        rows = list({tuple(getattr(e, key) for key in keys): e.model_dump(mode="json") for e in entries}.values())
        if rows:
            statement = insert(table).values(rows)
            update = {"name": statement.excluded.name}
            _ = await session.execute(statement.on_conflict_do_update(index_elements=keys, set_=update))
    audit.record(session, "directory.store", "directory", "all", areas=len(directory.areas))


async def write_draft(
    session: AsyncSession, document: MatterDocument, place: Place, actor: str, now: datetime
) -> tuple[Matter, list[Breach]]:
    """A new matter as a draft. The same code in the same department is the same matter: 409 names it."""
    _check_place(document, place)
    identity = model.identity_of(document)
    if not identity:
        fault = FieldError("local_code", "required", "give the implementing code or the local code")
        raise InvalidInputError("the matter has no code", [fault])
    found = await session.execute(EXISTING, _keys([document]))
    if (row := found.first()) is not None:
        raise ConflictError("the department has a matter with this code", extra={"matter_id": str(row.id)})
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
        **_without(model.describe(document, ""), "tokens"),
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
    matter = await queries.get_matter(session, matter_id, place)
    check_version(matter.revision, expected)
    _check_same_matter(matter, document)
    if matter.state == State.CANCELLED:
        raise ConflictError("the matter is cancelled for good")
    if matter.draft_version is None:
        matter.draft_version = (matter.published_version or 0) + 1
        session.add(_version(matter, document, actor, now))
    else:
        draft = await queries.get_version(session, matter_id, matter.draft_version)
        draft.document, draft.written_by, draft.written_at = document.model_dump(mode="json"), actor, now
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
    _ = await publish_documents(session, [document], actor, now)
    await session.refresh(matter)
    return matter, found


async def publish_documents(
    session: AsyncSession, documents: Sequence[MatterDocument], actor: str, now: datetime
) -> list[str]:
    """Publish many texts, set by set; the outcome of each: accepted, changed, unchanged, or cancelled (nothing is done)."""
    names = await queries.department_names(session)
    outcomes: list[str] = []
    for start in range(0, len(documents), CHUNK):
        outcomes += await _publish_chunk(session, documents[start : start + CHUNK], names, actor, now)
    return outcomes


async def _publish_chunk(
    session: AsyncSession,
    documents: Sequence[MatterDocument],
    names: dict[tuple[str, str], str],
    actor: str,
    now: datetime,
) -> list[str]:
    found = await session.execute(EXISTING, _keys(documents))
    known = {(row.area_code, row.department_code, row.identity): row for row in found}
    rows: list[dict[str, Any]] = []
    events: list[MatterPublished] = []
    outcomes: list[str] = []
    for document in documents:
        place = (document.area_code, document.department_code)
        before, content = known.get((*place, model.identity_of(document))), document.model_dump(mode="json")
        digest = model.content_hash(content)
        outcomes.append(_outcome(before, digest))
        if outcomes[-1] in PUBLISHING:
            row, event = _publication(before, document, content, names.get(place, ""), now)
            rows.append({**row, "content_hash": digest.hex()})
            events.append(event)
            audit.record(session, "matter.publish", "matter", event.matter_id, version=event.version)
    if rows:
        await session.flush()
        _ = await session.execute(UPSERT, {"rows": orjson.dumps([_without(r, "document") for r in rows]).decode()})
        versions = [{"id": r["id"], "version": r["version"], "document": r["document"]} for r in rows]
        values = {"rows": orjson.dumps(versions).decode(), "actor": actor, "now": now}
        _ = await session.execute(STORE_VERSIONS, values)
        await outbox.add_many(session, events)
    return outcomes


def _outcome(before: Any, digest: bytes) -> str:
    """What an arriving text does to the matter that is there (`before`, a row of EXISTING)."""
    if before is None or (before.published_version is None and before.state != State.CANCELLED):
        return "accepted"
    if before.state == State.CANCELLED:
        return "cancelled"
    return "unchanged" if before.content_hash == digest and before.state == State.PUBLISHED else "changed"


def _publication(
    before: Any, document: MatterDocument, content: dict[str, Any], department: str, now: datetime
) -> tuple[dict[str, Any], MatterPublished]:
    """The row of a matter that is published now, and the fact of it."""
    matter_id, revision, version, previous = new_id(), 1, 1, None
    if before:
        matter_id, revision = before.id, before.revision + 1
        version = before.draft_version or (before.published_version or 0) + 1
        previous = before.level if before.published_version is not None else None
    row = {
        **model.describe(document, department),
        "id": str(matter_id),
        "revision": revision,
        "version": version,
        "identity": model.identity_of(document),
        "area_code": document.area_code,
        "department_code": document.department_code,
        "document": content,
    }
    return row, model.published(matter_id, revision, version, document, content, previous, now)


async def close_matter(
    session: AsyncSession, matter_id: UUID, state: State, reason: str, expected: int, place: Place, now: datetime
) -> Matter:
    """Suspend (挂起) or cancel (取消)."""
    matter = await queries.get_matter(session, matter_id, place)
    check_version(matter.revision, expected)
    outbox.add(session, model.close(matter, state, reason, now))
    audit.record(session, f"matter.{state}", "matter", matter_id, reason=reason)
    return matter


async def import_file(
    session: AsyncSession, content: bytes, filename: str, actor: str, now: datetime
) -> tuple[ImportRun, list[ImportRow]]:
    """Take in a catalogue file. Refused rows come back with their faults; the others are published, all in one transaction."""
    areas = frozenset(area.code for area in await queries.list_areas(session))
    rows = await asyncio.to_thread(lambda: list(importer.read_rows(content, areas)))
    good = [row for row in rows if row.document is not None]
    await _meet_departments(session, good)
    documents = [row.document for row in good if row.document is not None]
    published = await publish_documents(session, documents, actor, now)
    outcomes = {row.row: outcome for row, outcome in zip(good, published, strict=True) if outcome != "cancelled"}
    for row in good:
        if row.row not in outcomes:
            row.faults.append(_cancelled("item_code", row.row))
    run = ImportRun(id=new_id(), filename=filename, actor=actor, at=now, **_counted(rows, outcomes))
    session.add(run)
    await session.flush()
    records = [
        ImportRow(
            import_id=run.id,
            row=row.row,
            outcome=outcomes.get(row.row, "refused"),
            identity=row.identity[:80],
            errors=[fault.as_dict() for fault in row.faults],
        )
        for row in rows
    ]
    session.add_all(records)
    audit.record(session, "catalogue.import", "import", run.id, rows=len(rows), refused=run.refused)
    return run, records


async def import_documents(session: AsyncSession, lines: Sequence[bytes], actor: str, now: datetime) -> dict[str, Any]:
    """Whole documents, one JSON per line; structural breaches refuse the line, others only warn."""
    areas = frozenset(area.code for area in await queries.list_areas(session))
    documents: dict[tuple[str, str, str], tuple[int, MatterDocument]] = {}
    refused: list[FieldError] = []
    for number, line in enumerate(lines, start=1):
        document, faults = _read_document(line, number)
        if document is not None and document.area_code not in areas:
            faults = [FieldError("area_code", "known_area", f"area {document.area_code} is not known here", number)]
        elif document is not None:
            key = (document.area_code, document.department_code, model.identity_of(document))
            earlier, _ = documents.setdefault(key, (number, document))
            if earlier != number:
                faults = [FieldError("code", "unique", f"stands in row {earlier} already", number)]
        refused += faults
    outcomes = await publish_documents(session, [document for _, document in documents.values()], actor, now)
    numbers = [number for number, _ in documents.values()]
    refused += [_cancelled("code", n) for n, outcome in zip(numbers, outcomes, strict=True) if outcome == "cancelled"]
    counts = {name: outcomes.count(name) for name in ("accepted", "changed", "unchanged")}
    errors = [fault.as_dict() for fault in refused[:200]]
    return {**counts, "refused": len({fault.row for fault in refused}), "errors": errors}


def _cancelled(field: str, row: int) -> FieldError:
    return FieldError(field, "not_cancelled", "the matter with this code is cancelled for good", row)


def ask_guide(document: MatterDocument, command: AskGuide, version: int) -> PersonalGuide:
    """The guide and checklist for one situation, with the digest that freezes it."""
    return personal_guide(document, command.answers, matter_id=command.matter_id, version=version)


def _read_document(line: bytes, number: int) -> tuple[MatterDocument | None, list[FieldError]]:
    try:
        document = MatterDocument.model_validate_json(line)
    except ValueError as error:
        faults: list[Any] = error.errors(include_input=False)[:20] if hasattr(error, "errors") else []  # pyright: ignore[reportAttributeAccessIssue]
        return None, [
            FieldError(".".join(str(p) for p in f["loc"]) or "line", str(f["type"]), str(f["msg"]), number)
            for f in faults
        ]
    found = breaches(document, only=consistency.STRUCTURAL)
    broken = [FieldError(b.field, b.rule, b.message, number) for b in found]
    return (None, broken) if broken else (document, [])


def _counted(rows: Sequence[importer.ImportedRow], outcomes: dict[int, str]) -> dict[str, int]:
    ended = [outcomes.get(row.row, "refused") for row in rows]
    return {name: ended.count(name) for name in ("accepted", "changed", "unchanged", "refused")}


async def _meet_departments(session: AsyncSession, rows: Sequence[importer.ImportedRow]) -> None:
    """A real catalogue names departments that nobody has entered yet."""
    met = {(r.document.area_code, r.document.department_code): r.department for r in rows if r.document is not None}
    if met:
        values = [{"area_code": a, "code": c, "name": {"zh": name, "bo": None}} for (a, c), name in met.items()]
        _ = await session.execute(insert(Department).values(values).on_conflict_do_nothing())


async def _draft_of(
    session: AsyncSession, matter_id: UUID, expected: int, place: Place
) -> tuple[Matter, MatterDocument]:
    matter = await queries.get_matter(session, matter_id, place)
    check_version(matter.revision, expected)
    if matter.draft_version is None:
        raise ConflictError("there is no draft; change the matter first")
    version = await queries.get_version(session, matter_id, matter.draft_version)
    return matter, MatterDocument.model_validate(version.document)


def _refuse_breaches(document: MatterDocument, warnings: frozenset[str]) -> list[Breach]:
    found = breaches(document, warnings)
    errors = [FieldError(b.field, b.rule, b.message) for b in found if not b.warning]
    if errors:
        raise ConflictError(f"{len(errors)} breach(es) of the consistency rules", errors)
    return found


def _check_place(document: MatterDocument, place: Place) -> None:
    if place is not None and place != (document.area_code, document.department_code):
        fault = FieldError("department_code", "own_department", "write matters of your own area and department")
        raise InvalidInputError("another department's matter", [fault])


def _check_same_matter(matter: Matter, document: MatterDocument) -> None:
    own = (matter.area_code, matter.department_code, matter.identity)
    if own != (document.area_code, document.department_code, model.identity_of(document)):
        fault = FieldError("code", "same_matter", "area, department and code of a matter never change")
        raise InvalidInputError("another matter's text", [fault])


def _keys(documents: Sequence[MatterDocument]) -> dict[str, list[str]]:
    return {
        "areas": [d.area_code for d in documents],
        "departments": [d.department_code for d in documents],
        "identities": [model.identity_of(d) for d in documents],
    }


def _without(values: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != name}


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
