"""Every SELECT of matters."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from services.matters import search
from services.matters.model.matter import (
    Area,
    Department,
    ImportOutcome,
    ImportRow,
    ImportRun,
    Matter,
    MatterVersion,
)
from shared.domain.codes import APPLICATION_TYPES, MatterType
from shared.domain.guides import MatterDocument
from shared.errors import NotFoundError


class MatterSummaryRow(NamedTuple):
    """A published matter in a list."""

    id: UUID
    name: str
    name_bo: str | None
    identity: str
    type: str
    area_code: str
    department_code: str
    level: int
    visits: int
    situational: bool


class MatterHit(NamedTuple):
    """A published matter that was found; hits are ordered by `rank`, `size` and `id`."""

    id: UUID
    name: str
    name_bo: str | None
    identity: str
    type: str
    area_code: str
    department_code: str
    level: int
    visits: int
    situational: bool
    size: int
    rank: int


class PublishedMatter(NamedTuple):
    """The version in force of a published matter; `document` is the stored JSON."""

    id: UUID
    revision: int
    level: int
    version: int
    document: dict[str, object]


class StatisticsRow(NamedTuple):
    """Counts over published matters.

    `six` are the application types (依申请六类), `public` public services; `_3` those of at least
    online level 3, `_4` those of level 4.
    """

    published: int
    situational: int
    six: int
    six_3: int
    six_4: int
    public: int
    public_3: int
    public_4: int
    one_visit: int
    online: int


@dataclass(frozen=True, slots=True)
class MatterFilter:
    """Which published matters are asked for; None does not filter."""

    area: str | None = None
    department: str | None = None
    type: MatterType | None = None
    object: str | None = None
    topic: str | None = None
    level: int | None = None
    max_visits: int | None = None

    def values(self) -> dict[str, str | int | None]:
        """By the name of the parameter and of the search mark."""
        return {
            "area": self.area,
            "department": self.department,
            "type": None if self.type is None else self.type.value,
            "object": self.object,
            "topic": self.topic,
            "level": self.level,
            "max_visits": self.max_visits,
        }


class SearchPlace(NamedTuple):
    """The place after the last hit seen."""

    rank: int = -1
    size: int = 0
    id: UUID = UUID(int=0)


CANDIDATES = 300
"""Most hits of each kind that are ranked: a word that fits more says too little."""

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
    f"SELECT {SUMMARY} FROM matter WHERE state = 'published' AND id > :after {FILTERS}"
    " ORDER BY id LIMIT :limit"
)
# Two kinds of hits: a name that begins with the words or a whole line (alias, topic, code), and any
# part. Each comes class by class, short names first, until there are enough: what is left out when
# a word is in half the catalogue are the long names.
HEAD = (
    "(haystack LIKE ANY (CAST(:prefixes AS text[]))"
    " OR string_to_array(haystack, chr(10)) && CAST(:forms AS text[]))"
)
HITS = """
    SELECT hit.* FROM unnest(CAST(:sizes AS text[])) AS size (mark) CROSS JOIN LATERAL (
        SELECT {summary}, haystack, {is_head} AS head FROM matter
        WHERE search @@ (CAST({query} AS tsquery) && CAST(size.mark AS tsquery))
            AND state = 'published' AND {condition}
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
                    WHEN split_part(haystack, chr(10), 1)
                        LIKE ANY (CAST(:patterns AS text[])) THEN 3
                    ELSE 4 END AS rank
        FROM hit)
    SELECT * FROM ranked WHERE (rank, size, id) > (:rank, :size, :after)
    ORDER BY rank, size, id LIMIT :limit
    """
)
PUBLISHED = text(
    "SELECT m.id, m.revision, m.level, v.version, v.document FROM matter m"
    " JOIN matter_version v ON v.matter_id = m.id AND v.version = m.published_version"
    " WHERE m.id = :id AND m.state = 'published'"
).columns(document=JSONB())
STATISTICS = text(
    "SELECT count(*) AS published, count(*) FILTER (WHERE situational) AS situational,"
    " count(*) FILTER (WHERE type = ANY (CAST(:six AS text[]))) AS six,"
    " count(*) FILTER (WHERE type = ANY (CAST(:six AS text[])) AND level >= 3) AS six_3,"
    " count(*) FILTER (WHERE type = ANY (CAST(:six AS text[])) AND level = 4) AS six_4,"
    " count(*) FILTER (WHERE type = '20') AS public,"
    " count(*) FILTER (WHERE type = '20' AND level >= 3) AS public_3,"
    " count(*) FILTER (WHERE type = '20' AND level = 4) AS public_4,"
    " count(*) FILTER (WHERE visits <= 1) AS one_visit, count(*) FILTER (WHERE level = 4) AS online"
    " FROM matter WHERE state = 'published' AND (CAST(:area AS text) IS NULL OR area_code = :area)"
    " AND (CAST(:department AS text) IS NULL OR department_code = :department)"
)
FIRST = UUID(int=0)


def _escaped(words: str) -> str:
    return words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


async def list_matters(
    session: AsyncSession, filters: MatterFilter, *, after: UUID, limit: int
) -> list[MatterSummaryRow]:
    """Published matters in the order of their ids, one more than `limit`."""
    values = {**filters.values(), "after": after, "limit": limit + 1}
    return [MatterSummaryRow(*row) for row in await session.execute(LIST, values)]


async def search_matters(
    session: AsyncSession,
    words: str,
    *,
    filters: MatterFilter,
    after: SearchPlace,
    limit: int,
) -> list[MatterHit]:
    """Published matters that hold `words`, one more than `limit`.

    The order: exact name or code, beginning of the name, a whole line (alias, topic), part of the
    name, part of another field; within each the shortest names first.
    """
    forms = search.variants(words)
    facets: list[str] = []
    for name, value in filters.values().items():
        if value is not None:
            facets.append(search.facet(name, value))
    part = search.part_query(forms, facets=facets)
    if not part:
        return []
    values = {
        "forms": forms,
        "prefixes": [f"{_escaped(form)}%" for form in forms],
        "patterns": [f"%{_escaped(form)}%" for form in forms],
        "head": search.head_query(forms, facets=facets),
        "part": part,
        "sizes": search.size_marks(),
        "rank": after.rank,
        "size": after.size,
        "after": after.id,
        "limit": limit + 1,
    }
    return [MatterHit(*row) for row in await session.execute(SEARCH, values)]


async def get_published(session: AsyncSession, matter_id: UUID) -> PublishedMatter:
    """Raises `NotFoundError` when no matter with this id is published."""
    row = (await session.execute(PUBLISHED, {"id": matter_id})).one_or_none()
    if row is None:
        raise NotFoundError("no published matter with this id")
    return PublishedMatter(*row)


async def get_matter(
    session: AsyncSession, matter_id: UUID, *, place: tuple[str, str] | None
) -> Matter:
    """The head, locked.

    `place` is the caller's area and department: another department's matter is not found.
    """
    matter = await session.get(Matter, matter_id, with_for_update=True)
    is_own = matter is not None and place in {None, (matter.area_code, matter.department_code)}
    if matter is None or not is_own:
        raise NotFoundError("no matter with this id in your department")
    return matter


async def get_version(
    session: AsyncSession, matter_id: UUID, *, version: int | None
) -> MatterVersion:
    """Raises `NotFoundError` when there is no such version, or `version` is None."""
    found = None
    if version is not None:
        found = await session.get(MatterVersion, (matter_id, version))
    if found is None:
        raise NotFoundError("no such version")
    return found


async def get_published_version(
    session: AsyncSession, matter_id: UUID, *, version: int
) -> MatterDocument:
    """The text of a version that is or was in force."""
    found = await get_version(session, matter_id, version=version)
    if found.published_at is None:
        raise NotFoundError("no such published version")
    return found.document


async def list_versions(session: AsyncSession, matter_id: UUID) -> Sequence[MatterVersion]:
    """The versions of a matter, the oldest first."""
    statement = (
        select(MatterVersion)
        .where(MatterVersion.matter_id == matter_id)
        .order_by(MatterVersion.version)
    )
    return (await session.scalars(statement)).all()


async def list_work(
    session: AsyncSession, *, place: tuple[str, str] | None, after: UUID, limit: int
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
    """Departments of an area, or of all."""
    statement = select(Department).order_by(Department.area_code, Department.code)
    if area is not None:
        statement = statement.where(Department.area_code == area)
    return (await session.scalars(statement)).all()


async def department_names(session: AsyncSession) -> dict[tuple[str, str], str]:
    """Chinese names of all departments, by area and code."""
    statement = select(Department.area_code, Department.code, Department.name)
    names: dict[tuple[str, str], str] = {}
    for area, code, name in await session.execute(statement):
        names[area, code] = name.zh
    return names


async def get_import(session: AsyncSession, import_id: UUID) -> ImportRun:
    run = await session.get(ImportRun, import_id)
    if run is None:
        raise NotFoundError("no import with this id")
    return run


async def list_import_rows(
    session: AsyncSession,
    import_id: UUID,
    *,
    outcome: ImportOutcome | None,
    after: int,
    limit: int,
) -> Sequence[ImportRow]:
    """Rows of an import in their order, one more than `limit`."""
    statement = select(ImportRow).where(ImportRow.import_id == import_id, ImportRow.row > after)
    if outcome is not None:
        statement = statement.where(ImportRow.outcome == outcome)
    return (await session.scalars(statement.order_by(ImportRow.row).limit(limit + 1))).all()


async def get_statistics(
    session: AsyncSession, *, area: str | None, department: str | None
) -> StatisticsRow:
    """Counts of an area and department, or of all."""
    values = {"six": sorted(APPLICATION_TYPES), "area": area, "department": department}
    return StatisticsRow(*(await session.execute(STATISTICS, values)).one())
