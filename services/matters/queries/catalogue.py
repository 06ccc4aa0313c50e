"""Every SELECT of matters."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.matters import search
from services.matters.model.matter import (
    Area,
    Department,
    ImportRow,
    ImportRun,
    Matter,
    MatterVersion,
)
from shared.domain.guides import MatterDocument
from shared.errors import NotFoundError

CANDIDATES = 300
"""At most so many hits are ranked of each kind: a word that fits more does not say what is looked for."""

SUMMARY = (
    "id, name, name_bo, identity, type, area_code, department_code, level, visits, situational"
)
FILTERS = """
    AND (CAST(:area AS text) IS NULL OR area_code = :area)
    AND (CAST(:department AS text) IS NULL OR department_code = :department)
    AND (CAST(:type AS text) IS NULL OR type = :type)
    AND (CAST(:object AS text) IS NULL OR :object = ANY (object_types))
    AND (CAST(:topic AS text) IS NULL OR :topic = ANY (topics))
    AND (CAST(:level AS int) IS NULL OR level = :level)
    AND (CAST(:max_visits AS int) IS NULL OR visits <= :max_visits)
"""
LIST = text(
    f"SELECT {SUMMARY} FROM matter WHERE state = 'published' AND id > :after {FILTERS} ORDER BY id LIMIT :limit"
)
# Two kinds of hits: a name that begins with the words or a whole line (alias, topic, code), and any part. Each comes class by
# class, short names first, until there are enough: what is left out when a word is in half the catalogue are the long names.
HEAD = "(haystack LIKE ANY (CAST(:prefixes AS text[])) OR string_to_array(haystack, chr(10)) && CAST(:forms AS text[]))"
HITS = """
    SELECT hit.* FROM unnest(CAST(:sizes AS text[])) AS size (mark) CROSS JOIN LATERAL (
        SELECT {summary}, haystack, {is_head} AS head FROM matter
        WHERE search @@ (CAST({query} AS tsquery) && CAST(size.mark AS tsquery)) AND state = 'published' AND {condition}
        LIMIT {candidates}) AS hit LIMIT {candidates}
"""
SEARCH = text(
    f"""
    WITH hit AS (
        ({
        HITS.format(
            summary=SUMMARY, candidates=CANDIDATES, query=":head", is_head="true", condition=HEAD
        )
    })
        UNION ALL
        ({
        HITS.format(
            summary=SUMMARY,
            candidates=CANDIDATES,
            query=":part",
            is_head="false",
            condition=f"haystack LIKE ANY (CAST(:patterns AS text[])) AND NOT {HEAD}",
        )
    })),
    ranked AS (
        SELECT {SUMMARY}, length(name) AS size,
               CASE WHEN split_part(haystack, chr(10), 1) = ANY (CAST(:forms AS text[])) THEN 0
                    WHEN lower(identity) = ANY (CAST(:forms AS text[])) THEN 0
                    WHEN haystack LIKE ANY (CAST(:prefixes AS text[])) THEN 1
                    WHEN head THEN 2
                    WHEN split_part(haystack, chr(10), 1) LIKE ANY (CAST(:patterns AS text[])) THEN 3 ELSE 4 END AS rank
        FROM hit)
    SELECT * FROM ranked WHERE (rank, size, id) > (:rank, :size, :after) ORDER BY rank, size, id LIMIT :limit
    """
)
PUBLISHED = text(
    "SELECT m.id, m.revision, m.level, v.version, v.document FROM matter m"
    " JOIN matter_version v ON v.matter_id = m.id AND v.version = m.published_version"
    " WHERE m.id = :id AND m.state = 'published'"
)
STATISTICS = text(
    "SELECT count(*) AS published, count(*) FILTER (WHERE situational) AS situational,"
    " count(*) FILTER (WHERE type = ANY (CAST(:six AS text[]))) AS six,"
    " count(*) FILTER (WHERE type = ANY (CAST(:six AS text[])) AND level >= 3) AS six_3,"
    " count(*) FILTER (WHERE type = ANY (CAST(:six AS text[])) AND level = 4) AS six_4,"
    " count(*) FILTER (WHERE type = '20') AS public, count(*) FILTER (WHERE type = '20' AND level >= 3) AS public_3,"
    " count(*) FILTER (WHERE type = '20' AND level = 4) AS public_4,"
    " count(*) FILTER (WHERE visits <= 1) AS one_visit, count(*) FILTER (WHERE level = 4) AS online"
    " FROM matter WHERE state = 'published' AND (CAST(:area AS text) IS NULL OR area_code = :area)"
    " AND (CAST(:department AS text) IS NULL OR department_code = :department)"
)
FIRST = UUID(int=0)


def _escaped(words: str) -> str:
    return words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


async def list_matters(
    session: AsyncSession, filters: dict[str, Any], after: UUID, limit: int
) -> Sequence[Any]:
    """Published matters in the order of their ids."""
    return (await session.execute(LIST, {**filters, "after": after, "limit": limit + 1})).all()


async def search_matters(
    session: AsyncSession,
    words: str,
    filters: dict[str, Any],
    after: tuple[int, int, UUID],
    limit: int,
) -> Sequence[Any]:
    """Published matters that hold `words`: exact, prefix, whole line, part of the name, part of another field."""
    forms = search.variants(words)
    facets = [search.facet(name, value) for name, value in filters.items() if value is not None]
    part = search.part_query(forms, facets)
    if not part:
        return []
    values = {
        "forms": forms,
        "prefixes": [f"{_escaped(form)}%" for form in forms],
        "patterns": [f"%{_escaped(form)}%" for form in forms],
        "head": search.head_query(forms, facets),
        "part": part,
        "sizes": search.size_marks(),
        "rank": after[0],
        "size": after[1],
        "after": after[2],
        "limit": limit + 1,
    }
    return (await session.execute(SEARCH, values)).all()


async def get_published(session: AsyncSession, matter_id: UUID) -> Any:
    """Id, revision, level, version and document of a published matter."""
    row = (await session.execute(PUBLISHED, {"id": matter_id})).one_or_none()
    if row is None:
        raise NotFoundError("no published matter with this id")
    return row


async def get_matter(
    session: AsyncSession, matter_id: UUID, place: tuple[str, str] | None
) -> Matter:
    """The head, locked. `place` is the caller's area and department: another department's matter is not found."""
    matter = await session.get(Matter, matter_id, with_for_update=True)
    if matter is None or (
        place is not None and place != (matter.area_code, matter.department_code)
    ):
        raise NotFoundError("no matter with this id in your department")
    return matter


async def get_version(session: AsyncSession, matter_id: UUID, version: int | None) -> MatterVersion:
    found = await session.get(MatterVersion, (matter_id, version)) if version else None
    if found is None:
        raise NotFoundError("no such version")
    return found


async def get_published_version(
    session: AsyncSession, matter_id: UUID, version: int
) -> MatterDocument:
    found = await get_version(session, matter_id, version)
    if found.published_at is None:
        raise NotFoundError("no such published version")
    return MatterDocument.model_validate(found.document)


async def list_versions(session: AsyncSession, matter_id: UUID) -> Sequence[MatterVersion]:
    statement = (
        select(MatterVersion)
        .where(MatterVersion.matter_id == matter_id)
        .order_by(MatterVersion.version)
    )
    return (await session.scalars(statement)).all()


async def list_work(
    session: AsyncSession, place: tuple[str, str] | None, after: UUID, limit: int
) -> Sequence[Matter]:
    """Matters with a pending draft, of one department or (for administrators) of all."""
    statement = select(Matter).where(Matter.draft_version.is_not(None), Matter.id > after)
    if place is not None:
        statement = statement.where(
            Matter.area_code == place[0], Matter.department_code == place[1]
        )
    return (await session.scalars(statement.order_by(Matter.id).limit(limit + 1))).all()


async def list_areas(session: AsyncSession) -> Sequence[Area]:
    return (await session.scalars(select(Area).order_by(Area.code))).all()


async def list_departments(session: AsyncSession, area: str | None) -> Sequence[Department]:
    statement = select(Department).order_by(Department.area_code, Department.code)
    return (
        await session.scalars(statement.where(Department.area_code == area) if area else statement)
    ).all()


async def department_names(session: AsyncSession) -> dict[tuple[str, str], str]:
    """Chinese names of all departments, by area and code."""
    rows = await session.execute(select(Department.area_code, Department.code, Department.name))
    return {(area, code): name["zh"] for area, code, name in rows}


async def get_import(session: AsyncSession, import_id: UUID) -> ImportRun:
    run = await session.get(ImportRun, import_id)
    if run is None:
        raise NotFoundError("no import with this id")
    return run


async def list_import_rows(
    session: AsyncSession, import_id: UUID, outcome: str | None, after: int, limit: int
) -> Sequence[ImportRow]:
    statement = select(ImportRow).where(ImportRow.import_id == import_id, ImportRow.row > after)
    if outcome:
        statement = statement.where(ImportRow.outcome == outcome)
    return (await session.scalars(statement.order_by(ImportRow.row).limit(limit + 1))).all()


async def get_statistics(
    session: AsyncSession, six: Sequence[str], area: str | None, department: str | None
) -> Any:
    return (
        await session.execute(
            STATISTICS, {"six": list(six), "area": area, "department": department}
        )
    ).one()
