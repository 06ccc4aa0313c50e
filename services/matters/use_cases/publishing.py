"""Publishing many texts at once, set by set: what an import and a single publication have in common."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.matters.model import matter
from services.matters.model.matter import State
from services.matters.queries import catalogue
from shared.database import audit
from shared.domain.guides import MatterDocument
from shared.events.matters import MatterPublished
from shared.ids import new_id
from shared.messaging import outbox

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


async def publish_documents(
    session: AsyncSession,
    documents: Sequence[MatterDocument],
    actor: str,
    now: datetime,
    *,
    by_hand: bool = False,
) -> list[str]:
    """Publish many texts, set by set; the outcome of each: accepted, changed, unchanged, or why nothing was done to it.

    That is cancelled; or suspended or drafted: only a person's own publication (`by_hand`) takes a suspended matter up again,
    and an import never puts its text in the place of a draft that somebody has written and nobody reviewed.
    """
    names = await catalogue.department_names(session)
    outcomes: list[str] = []
    for start in range(0, len(documents), CHUNK):
        outcomes += await _publish_chunk(
            session, documents[start : start + CHUNK], names, actor, now, by_hand
        )
    return outcomes


async def _publish_chunk(
    session: AsyncSession,
    documents: Sequence[MatterDocument],
    names: dict[tuple[str, str], str],
    actor: str,
    now: datetime,
    by_hand: bool,
) -> list[str]:
    known = {
        (r.area_code, r.department_code, r.identity): r
        for r in await lock_known(session, documents)
    }
    rows: list[dict[str, Any]] = []
    events: list[MatterPublished] = []
    outcomes: list[str] = []
    for document in documents:
        place = (document.area_code, document.department_code)
        before, content = (
            known.get((*place, matter.identity_of(document))),
            document.model_dump(mode="json"),
        )
        digest = matter.content_hash(content)
        outcomes.append(_outcome(before, digest, by_hand=by_hand))
        if outcomes[-1] in PUBLISHING:
            row, event = _publication(before, document, content, names.get(place, ""), now)
            rows.append({**row, "content_hash": digest.hex()})
            events.append(event)
            audit.record(
                session, "matter.publish", "matter", event.matter_id, version=event.version
            )
    if rows:
        await session.flush()
        _ = await session.execute(
            UPSERT, {"rows": orjson.dumps([without(r, "document") for r in rows]).decode()}
        )
        versions = [
            {"id": r["id"], "version": r["version"], "document": r["document"]} for r in rows
        ]
        values = {"rows": orjson.dumps(versions).decode(), "actor": actor, "now": now}
        _ = await session.execute(STORE_VERSIONS, values)
        await outbox.add_many(session, events)
    return outcomes


def _outcome(before: Any, digest: bytes, *, by_hand: bool) -> str:
    """What an arriving text does to the matter that is there (`before`, a row of EXISTING)."""
    if before is None:
        return "accepted"
    if before.state == State.CANCELLED or (before.state == State.SUSPENDED and not by_hand):
        return str(before.state)
    if before.content_hash == digest and before.state == State.PUBLISHED and not by_hand:
        return "unchanged"
    if before.draft_version is not None and not by_hand:
        return "drafted"
    return "accepted" if before.published_version is None else "changed"


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
        **matter.describe(document, department),
        "id": str(matter_id),
        "revision": revision,
        "version": version,
        "identity": matter.identity_of(document),
        "area_code": document.area_code,
        "department_code": document.department_code,
        "document": content,
    }
    return row, matter.published(matter_id, revision, version, document, content, previous, now)


async def lock_known(session: AsyncSession, documents: Sequence[MatterDocument]) -> Sequence[Any]:
    """The matters that these texts are of, as far as they are there, locked in id order."""
    keys = {
        "areas": [d.area_code for d in documents],
        "departments": [d.department_code for d in documents],
        "identities": [matter.identity_of(d) for d in documents],
    }
    return (await session.execute(EXISTING, keys)).all()


def without(values: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != name}
