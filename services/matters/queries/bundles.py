"""Every SELECT of bundles."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, bindparam, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.matters import search
from services.matters.model.bundles import Bundle, BundleVersion
from shared.domain.bundles import ChildText
from shared.domain.guides import MatterDocument
from shared.errors import NotFoundError

# A bundle is open to applications as long as every child's matter is; both are told by one look at the children.
SUMMARY = (
    "b.id, b.code, b.name, b.name_bo, b.area_code, b.department_code, cardinality(b.matters) AS children,"
    " NOT EXISTS (SELECT FROM unnest(b.matters) AS c (id) LEFT JOIN matter m ON m.id = c.id"
    " WHERE m.state IS DISTINCT FROM 'published') AS open"
)
WHERE = "b.state = 'published' AND b.id > :after AND (CAST(:area AS text) IS NULL OR b.area_code = :area)"
LIST = text(f"SELECT {SUMMARY} FROM bundle b WHERE {WHERE} ORDER BY b.id LIMIT :limit")
SEARCH = text(
    f"SELECT {SUMMARY} FROM bundle b WHERE b.search @@ CAST(:words AS tsquery) AND {WHERE} ORDER BY b.id LIMIT :limit"
)
PUBLISHED = text(
    "SELECT b.id, b.revision, b.state, v.version, v.document FROM bundle b"
    " JOIN bundle_version v ON v.bundle_id = b.id AND v.version = b.published_version"
    " WHERE b.id = :id AND b.state = 'published'"
)
TEXTS = text(
    "SELECT m.id, v.version, v.document FROM matter m"
    " JOIN matter_version v ON v.matter_id = m.id AND v.version = m.published_version"
    " WHERE m.id = ANY (:ids) AND m.state = 'published'"
).bindparams(bindparam("ids", type_=ARRAY(Uuid())))
STATES = text("SELECT id, state, name, name_bo FROM matter WHERE id = ANY (:ids)").bindparams(
    bindparam("ids", type_=ARRAY(Uuid()))
)


async def list_bundles(
    session: AsyncSession, area: str | None, after: UUID, limit: int
) -> Sequence[Any]:
    """Published bundles in the order of their ids."""
    return (await session.execute(LIST, {"area": area, "after": after, "limit": limit + 1})).all()


async def search_bundles(
    session: AsyncSession, words: str, area: str | None, after: UUID, limit: int
) -> Sequence[Any]:
    """Published bundles whose name or alias holds `words`, or what they mean officially."""
    query = search.part_query(search.variants(words), [])
    if not query:
        return []
    values = {"words": query, "area": area, "after": after, "limit": limit + 1}
    return (await session.execute(SEARCH, values)).all()


async def get_published_bundle(session: AsyncSession, bundle_id: UUID) -> Any:
    """Id, revision, version and document of a published bundle."""
    row = (await session.execute(PUBLISHED, {"id": bundle_id})).one_or_none()
    if row is None:
        raise NotFoundError("no published bundle with this id")
    return row


async def list_texts(session: AsyncSession, matters: Sequence[UUID]) -> dict[UUID, ChildText]:
    """The published texts of those among these matters that are in use."""
    rows = await session.execute(TEXTS, {"ids": list(matters)})
    return {
        row.id: ChildText(row.version, MatterDocument.model_validate(row.document)) for row in rows
    }


async def list_child_states(session: AsyncSession, matters: Sequence[UUID]) -> dict[UUID, Any]:
    """State and name of these matters by id."""
    return {row.id: row for row in await session.execute(STATES, {"ids": list(matters)})}


async def find_bundle(session: AsyncSession, area: str, code: str) -> UUID | None:
    """The bundle with this code in the area."""
    return await session.scalar(
        select(Bundle.id).where(Bundle.area_code == area, Bundle.code == code)
    )


async def get_bundle(
    session: AsyncSession, bundle_id: UUID, place: tuple[str, str] | None
) -> Bundle:
    """The head, locked. `place` is the caller's area and department: another department's bundle is not found."""
    bundle = await session.get(Bundle, bundle_id, with_for_update=True)
    if bundle is None or (
        place is not None and place != (bundle.area_code, bundle.department_code)
    ):
        raise NotFoundError("no bundle with this id in your department")
    return bundle


async def get_bundle_version(
    session: AsyncSession, bundle_id: UUID, version: int | None
) -> BundleVersion:
    found = await session.get(BundleVersion, (bundle_id, version)) if version else None
    if found is None:
        raise NotFoundError("no such version")
    return found


async def list_bundle_work(
    session: AsyncSession, place: tuple[str, str] | None, after: UUID, limit: int
) -> Sequence[Bundle]:
    """Bundles with a draft, of one department or (for administrators) of all."""
    statement = select(Bundle).where(text("draft_version IS NOT NULL"), Bundle.id > after)
    if place is not None:
        statement = statement.where(
            Bundle.area_code == place[0], Bundle.department_code == place[1]
        )
    return (await session.scalars(statement.order_by(Bundle.id).limit(limit + 1))).all()
