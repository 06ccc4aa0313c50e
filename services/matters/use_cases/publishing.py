"""Publishing many texts at once, set by set: for an import and for a single publication."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple, TypedDict
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.matters.model import matter
from services.matters.model.matter import State
from services.matters.queries import catalogue
from shared.database import audit
from shared.database.direct import Direct, command
from shared.domain.guides import MatterDocument
from shared.events.matters import MatterPublished
from shared.ids import new_id
from shared.messaging import outbox

# Bounds the size of one statement's parameters, whatever the size of the import.
CHUNK = 500
"""Texts per set of statements."""


class Outcome(StrEnum):
    """What happened to an arriving text."""

    ACCEPTED = "accepted"  # published for the first time
    CHANGED = "changed"  # published as the next version
    UNCHANGED = "unchanged"  # the text in force is the same
    CANCELLED = "cancelled"  # refused: the matter is cancelled
    SUSPENDED = "suspended"  # refused: only a person publishes a suspended matter again
    DRAFTED = "drafted"  # refused: somebody is writing the next version


PUBLISHING = frozenset({Outcome.ACCEPTED, Outcome.CHANGED})


class KnownMatter(NamedTuple):
    """What an arriving text is compared with."""

    id: UUID
    area_code: str
    department_code: str
    identity: str
    revision: int
    state: str
    level: int
    content_hash: bytes | None
    published_version: int | None
    draft_version: int | None


class MatterRow(TypedDict):
    """A row of `matter` as the statement reads it."""

    id: str
    revision: int
    version: int
    identity: str
    area_code: str
    department_code: str
    content_hash: str
    name: str
    name_bo: str | None
    type: str
    level: int
    visits: int
    situational: bool
    object_types: list[str]
    topics: list[str]
    haystack: str
    tokens: list[str]


class Publication(NamedTuple):
    """A text that is published now: its row, its stored JSON, and the fact of it."""

    row: MatterRow
    content: dict[str, Any]
    event: MatterPublished


EXISTING = Direct(
    text(
        "SELECT m.id, m.area_code, m.department_code, m.identity, m.revision, m.state, m.level,"
        " m.content_hash, m.published_version, m.draft_version FROM matter m"
        " JOIN unnest(CAST(:areas AS text[]), CAST(:departments AS text[]),"
        "  CAST(:identities AS text[])) AS k (area_code, department_code, identity)"
        " USING (area_code, department_code, identity) ORDER BY m.id FOR UPDATE OF m"
    ),
    KnownMatter,
)
UPSERT = command(
    text(
        "INSERT INTO matter (id, revision, state, area_code, department_code, identity,"
        " published_version, draft_version, reviewing, content_hash, name, name_bo, type, level,"
        " visits, situational, object_types, topics, haystack, search)"
        " SELECT CAST(r->>'id' AS uuid), CAST(r->>'revision' AS int), 'published',"
        " r->>'area_code', r->>'department_code', r->>'identity', CAST(r->>'version' AS int),"
        " NULL, false, decode(r->>'content_hash', 'hex'), r->>'name', r->>'name_bo', r->>'type',"
        " CAST(r->>'level' AS int), CAST(r->>'visits' AS int),"
        " CAST(r->>'situational' AS boolean),"
        " ARRAY(SELECT jsonb_array_elements_text(r->'object_types')),"
        " ARRAY(SELECT jsonb_array_elements_text(r->'topics')), r->>'haystack',"
        " array_to_tsvector(ARRAY(SELECT jsonb_array_elements_text(r->'tokens')))"
        " FROM jsonb_array_elements(CAST(:rows AS jsonb)) AS r"
        " ON CONFLICT (id) DO UPDATE SET revision = excluded.revision, state = excluded.state,"
        " published_version = excluded.published_version, draft_version = NULL,"
        " reviewing = false, content_hash = excluded.content_hash, name = excluded.name,"
        " name_bo = excluded.name_bo, type = excluded.type, level = excluded.level,"
        " visits = excluded.visits, situational = excluded.situational,"
        " object_types = excluded.object_types, topics = excluded.topics,"
        " haystack = excluded.haystack, search = excluded.search"
    )
)
STORE_VERSIONS = command(
    text(
        "INSERT INTO matter_version"
        " (matter_id, version, document, written_by, written_at, published_at)"
        " SELECT CAST(r->>'id' AS uuid), CAST(r->>'version' AS int), r->'document',"
        " :actor, CAST(:now AS timestamptz), CAST(:now AS timestamptz)"
        " FROM jsonb_array_elements(CAST(:rows AS jsonb)) AS r"
        " ON CONFLICT (matter_id, version) DO UPDATE SET document = excluded.document,"
        " published_at = excluded.published_at WHERE matter_version.published_at IS NULL"
    )
)


async def publish_documents(
    session: AsyncSession,
    documents: Sequence[MatterDocument],
    *,
    actor: str,
    now: datetime,
    by_hand: bool = False,
) -> list[Outcome]:
    """Publish many texts; the outcome of each.

    Only a person's own publication (`by_hand`) publishes a suspended matter again. An import never
    replaces a draft that somebody has written and nobody has reviewed.
    """
    names = await catalogue.department_names(session)
    outcomes: list[Outcome] = []
    for start in range(0, len(documents), CHUNK):
        chunk = documents[start : start + CHUNK]
        outcomes += await _publish_chunk(
            session, chunk, names=names, actor=actor, now=now, by_hand=by_hand
        )
    return outcomes


async def _publish_chunk(
    session: AsyncSession,
    documents: Sequence[MatterDocument],
    *,
    names: dict[tuple[str, str], str],
    actor: str,
    now: datetime,
    by_hand: bool,
) -> list[Outcome]:
    known = await _lock_by_key(session, documents)
    outcomes: list[Outcome] = []
    publications: list[Publication] = []
    for document in documents:
        place = (document.area_code, document.department_code)
        before = known.get((*place, matter.identity_of(document)))
        content = document.model_dump(mode="json")
        digest = matter.content_hash(content)
        outcome = _outcome(before, digest, by_hand=by_hand)
        outcomes.append(outcome)
        if outcome not in PUBLISHING:
            continue
        publication = _publication(
            document,
            before,
            content=content,
            digest=digest,
            department_name=names.get(place, ""),
            now=now,
        )
        publications.append(publication)
    if publications:
        await _store(session, publications, actor=actor, now=now)
    return outcomes


async def _lock_by_key(
    session: AsyncSession, documents: Sequence[MatterDocument]
) -> dict[tuple[str, str, str], KnownMatter]:
    """The known matters of these texts, locked, by area, department and code."""
    known: dict[tuple[str, str, str], KnownMatter] = {}
    for row in await lock_known(session, documents):
        known[row.area_code, row.department_code, row.identity] = row
    return known


async def _store(
    session: AsyncSession, publications: Sequence[Publication], *, actor: str, now: datetime
) -> None:
    rows: list[MatterRow] = []
    versions: list[dict[str, object]] = []
    for publication in publications:
        row = publication.row
        rows.append(row)
        versions.append(
            {"id": row["id"], "version": row["version"], "document": publication.content}
        )
        event = publication.event
        audit.record(
            session,
            "matter.publish",
            object_type="matter",
            object_id=event.matter_id,
            version=event.version,
        )
    await UPSERT.execute(session, rows=orjson.dumps(rows).decode())
    await STORE_VERSIONS.execute(
        session, rows=orjson.dumps(versions).decode(), actor=actor, now=now
    )
    await outbox.add_many(session, [publication.event for publication in publications])


def _outcome(before: KnownMatter | None, digest: bytes, *, by_hand: bool) -> Outcome:
    """What an arriving text does to the matter that is there."""
    if before is None:
        return Outcome.ACCEPTED
    if before.state == State.CANCELLED:
        return Outcome.CANCELLED
    # A person who publishes has seen the text; an import must not undo what somebody decided.
    if not by_hand:
        if before.state == State.SUSPENDED:
            return Outcome.SUSPENDED
        if before.state == State.PUBLISHED and before.content_hash == digest:
            return Outcome.UNCHANGED
        if before.draft_version is not None:
            return Outcome.DRAFTED
    return Outcome.ACCEPTED if before.published_version is None else Outcome.CHANGED


def _publication(
    document: MatterDocument,
    before: KnownMatter | None,
    *,
    content: dict[str, Any],
    digest: bytes,
    department_name: str,
    now: datetime,
) -> Publication:
    matter_id = new_id()
    revision = 1
    version = 1
    previous_level: int | None = None
    if before is not None:
        matter_id = before.id
        revision = before.revision + 1
        version = before.draft_version or (before.published_version or 0) + 1
        # The level of a draft was never in force.
        if before.published_version is not None:
            previous_level = before.level
    event = matter.published(
        matter_id,
        document,
        content=content,
        revision=revision,
        version=version,
        previous_level=previous_level,
        now=now,
    )
    row = _row(document, event, digest=digest, department_name=department_name)
    return Publication(row, content, event)


def _row(
    document: MatterDocument, event: MatterPublished, *, digest: bytes, department_name: str
) -> MatterRow:
    description = matter.describe(document, department_name)
    return MatterRow(
        id=str(event.matter_id),
        revision=event.revision,
        version=event.version,
        identity=matter.identity_of(document),
        area_code=document.area_code,
        department_code=document.department_code,
        content_hash=digest.hex(),
        name=description.name,
        name_bo=description.name_bo,
        type=description.type,
        level=description.level,
        visits=description.visits,
        situational=description.situational,
        object_types=description.object_types,
        topics=description.topics,
        haystack=description.haystack,
        tokens=description.tokens,
    )


async def lock_known(
    session: AsyncSession, documents: Sequence[MatterDocument]
) -> Sequence[KnownMatter]:
    """The known matters that these texts are of, locked in id order."""
    return await EXISTING.fetch(
        session,
        areas=[document.area_code for document in documents],
        departments=[document.department_code for document in documents],
        identities=[matter.identity_of(document) for document in documents],
    )
