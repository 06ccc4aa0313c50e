"""Every SELECT of bundles."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ARRAY, TextClause, Uuid, bindparam, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.matters import search
from services.matters.model.bundles import Bundle, BundleVersion
from services.matters.model.matter import Matter, MatterVersion, State
from shared.domain.bundles import BundleSnapshot, ChildText
from shared.errors import NotFoundError


class BundleSummaryRow(NamedTuple):
    """A published bundle in a list."""

    id: UUID
    code: str
    name: str
    name_bo: str | None
    area_code: str
    department_code: str
    children: int
    open: bool


class PublishedBundle(NamedTuple):
    """The version in force of a published bundle."""

    id: UUID
    revision: int
    version: int
    document: BundleSnapshot


class ChildRow(NamedTuple):
    """State and names of a child's matter."""

    id: UUID
    state: State
    name: str
    name_bo: str | None


# A bundle is open to applications as long as every child's matter is, so both are read at once.
SUMMARY = (
    "b.id, b.code, b.name, b.name_bo, b.area_code, b.department_code,"
    " cardinality(b.matters) AS children,"
    " NOT EXISTS (SELECT FROM unnest(b.matters) AS c (id) LEFT JOIN matter m ON m.id = c.id"
    " WHERE m.state IS DISTINCT FROM 'published') AS open"
)
WHERE = (
    "b.state = 'published' AND b.id > :after"
    " AND (CAST(:area AS text) IS NULL OR b.area_code = :area)"
)
LIST = text(f"SELECT {SUMMARY} FROM bundle b WHERE {WHERE} ORDER BY b.id LIMIT :limit")
SEARCH = text(
    f"SELECT {SUMMARY} FROM bundle b WHERE b.search @@ CAST(:words AS tsquery) AND {WHERE}"
    " ORDER BY b.id LIMIT :limit"
)
TEXTS = (
    select(Matter.id, MatterVersion.version, MatterVersion.document)
    .join(
        MatterVersion,
        (MatterVersion.matter_id == Matter.id)
        & (MatterVersion.version == Matter.published_version),
    )
    .where(
        Matter.id == bindparam("ids", type_=ARRAY(Uuid())).any_(),
        Matter.state == State.PUBLISHED,
    )
)


async def _list(
    session: AsyncSession, statement: TextClause, **values: object
) -> list[BundleSummaryRow]:
    return [BundleSummaryRow(*row) for row in await session.execute(statement, values)]


async def list_bundles(
    session: AsyncSession, *, area: str | None, after: UUID, limit: int
) -> list[BundleSummaryRow]:
    """Published bundles in the order of their ids, one more than `limit`."""
    return await _list(session, LIST, area=area, after=after, limit=limit + 1)


async def search_bundles(
    session: AsyncSession, words: str, *, area: str | None, after: UUID, limit: int
) -> list[BundleSummaryRow]:
    """Published bundles whose name or alias holds `words`, or the official words for them."""
    query = search.part_query(search.variants(words), facets=[])
    if not query:
        return []
    return await _list(session, SEARCH, words=query, area=area, after=after, limit=limit + 1)


async def get_published_bundle(session: AsyncSession, bundle_id: UUID) -> PublishedBundle:
    """Raises `NotFoundError` when there is none with this id."""
    statement = (
        select(Bundle.revision, BundleVersion)
        .join(
            BundleVersion,
            (BundleVersion.bundle_id == Bundle.id)
            & (BundleVersion.version == Bundle.published_version),
        )
        .where(Bundle.id == bundle_id, Bundle.state == State.PUBLISHED)
    )
    row = (await session.execute(statement)).one_or_none()
    if row is None:
        raise NotFoundError("no published bundle with this id")
    revision, version = row
    return PublishedBundle(bundle_id, revision, version.version, version.snapshot)


async def list_texts(session: AsyncSession, matters: Sequence[UUID]) -> dict[UUID, ChildText]:
    """The published texts of those among these matters that are in use."""
    texts: dict[UUID, ChildText] = {}
    rows = await session.execute(TEXTS, {"ids": list(matters)})
    for matter_id, version, document in rows:
        texts[matter_id] = ChildText(version, document)
    return texts


async def list_child_states(session: AsyncSession, matters: Sequence[UUID]) -> dict[UUID, ChildRow]:
    """State and names of these matters, by id."""
    statement = select(Matter.id, Matter.state, Matter.name, Matter.name_bo).where(
        Matter.id.in_(matters)
    )
    rows = [ChildRow(*row) for row in await session.execute(statement)]
    return {row.id: row for row in rows}


async def find_bundle(session: AsyncSession, area: str, *, code: str) -> UUID | None:
    """The bundle with this code in the area."""
    return await session.scalar(
        select(Bundle.id).where(Bundle.area_code == area, Bundle.code == code)
    )


async def get_bundle(
    session: AsyncSession, bundle_id: UUID, *, place: tuple[str, str] | None
) -> Bundle:
    """The head, locked.

    `place` is the caller's area and department: another department's bundle is not found.
    """
    bundle = await session.get(Bundle, bundle_id, with_for_update=True)
    is_own = bundle is not None and place in {None, (bundle.area_code, bundle.department_code)}
    if bundle is None or not is_own:
        raise NotFoundError("no bundle with this id in your department")
    return bundle


async def get_bundle_version(
    session: AsyncSession, bundle_id: UUID, *, version: int | None
) -> BundleVersion:
    """Raises `NotFoundError` when there is no such version, or `version` is None."""
    found = None
    if version is not None:
        found = await session.get(BundleVersion, (bundle_id, version))
    if found is None:
        raise NotFoundError("no such version")
    return found


async def list_bundle_work(
    session: AsyncSession, *, place: tuple[str, str] | None, after: UUID, limit: int
) -> Sequence[Bundle]:
    """Bundles with a draft, of one department or (for administrators) of all."""
    # The text is the predicate of the partial index.
    statement = select(Bundle).where(text("draft_version IS NOT NULL"), Bundle.id > after)
    if place is not None:
        statement = statement.where(
            Bundle.area_code == place[0], Bundle.department_code == place[1]
        )
    return (await session.scalars(statement.order_by(Bundle.id).limit(limit + 1))).all()
