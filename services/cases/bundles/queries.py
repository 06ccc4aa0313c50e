"""Every SELECT about one-thing applications."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import func, select, type_coerce
from sqlalchemy.ext.asyncio import AsyncSession

from services.cases.applications.model import MatterCopy
from services.cases.applications.queries import PublishedMatter, UploadedFile, list_uploads
from services.cases.bundles.model import BundleCase, BundleCopy
from services.cases.case_file.model.case import Case
from services.cases.case_file.model.enums import CaseResult
from services.cases.case_file.model.materials import LicenseCopy
from services.cases.case_file.model.states import State
from services.cases.case_file.queries import CASE_ROW, CaseRow
from services.cases.licenses.queries import lock_licenses
from shared.database.columns import Json
from shared.domain.bundles import BundleSnapshot
from shared.errors import NotFoundError


@dataclass(frozen=True, slots=True)
class BundleInputs:
    """What an application for a bundle rests on; `matters` are the children that take any."""

    version: int
    document: BundleSnapshot
    matters: dict[UUID, PublishedMatter]
    uploads: dict[UUID, UploadedFile]
    licenses: dict[UUID, LicenseCopy]


async def get_bundle_inputs(
    session: AsyncSession,
    bundle_id: UUID,
    *,
    upload_ids: Sequence[UUID],
    license_ids: Collection[UUID],
    owner: str,
) -> BundleInputs:
    """What an application for the bundle rests on; the licenses are locked.

    Raises `NotFoundError` when the bundle takes no applications.
    """
    bundle = await session.get(BundleCopy, bundle_id)
    if bundle is None or not bundle.open:
        raise NotFoundError("no bundle that takes applications has this id")
    ids = [child.matter_id for child in bundle.document.children]
    statement = select(MatterCopy).where(MatterCopy.matter_id.in_(ids), MatterCopy.open)
    matters: dict[UUID, PublishedMatter] = {}
    for copy in await session.scalars(statement):
        matter = PublishedMatter(copy.matter_id, copy.revision, copy.version, copy.document)
        matters[copy.matter_id] = matter
    return BundleInputs(
        version=bundle.version,
        document=bundle.document,
        matters=matters,
        uploads=await list_uploads(session, upload_ids, owner=owner),
        licenses=await lock_licenses(session, license_ids),
    )


async def get_bundle_case(session: AsyncSession, bundle_case_id: UUID) -> BundleCase:
    """The parent of a one-thing application."""
    found = await session.get(BundleCase, bundle_case_id)
    if found is None:
        raise NotFoundError("no such application of yours")
    return found


async def list_children(session: AsyncSession, bundle_case_id: UUID) -> list[CaseRow]:
    """The children of a one-thing application as answers show cases."""
    statement = select(*CASE_ROW).where(Case.bundle_case_id == bundle_case_id)
    return [CaseRow(*row) for row in await session.execute(statement)]


class ChildEnd(NamedTuple):
    """How far a child has come."""

    state: State
    result: CaseResult | None


class BundleSummaryRow(NamedTuple):
    """A one-thing application in a list."""

    id: UUID
    number: str
    name: str
    submitted_at: datetime
    children: list[ChildEnd]


async def list_own_bundles(
    session: AsyncSession,
    account_id: UUID,
    *,
    matters: frozenset[str] | None,
    after: UUID,
    limit: int,
) -> list[BundleSummaryRow]:
    """One-thing applications of an account; one more than `limit`.

    All of them, or those whose every matter is in `matters` (ids).
    """
    children = (
        select(func.jsonb_agg(func.jsonb_build_array(Case.state, Case.result)))
        .where(Case.bundle_case_id == BundleCase.id)
        .scalar_subquery()
    )
    statement = select(
        BundleCase.id,
        BundleCase.number,
        BundleCase.name,
        BundleCase.submitted_at,
        type_coerce(children, Json[list[ChildEnd]](list[ChildEnd])),
    ).where(BundleCase.account_id == account_id, BundleCase.id > after)
    if matters is not None:
        ids = [UUID(matter) for matter in matters]
        statement = statement.where(BundleCase.matters.contained_by(ids))
    rows = await session.execute(statement.order_by(BundleCase.id).limit(limit + 1))
    return [BundleSummaryRow(*row) for row in rows]


async def lock_bundle_of(session: AsyncSession, case_id: UUID) -> None:
    """Lock the parent of a case, if it has one, before the case itself.

    Acts that can end a child then follow one another.
    """
    # Without the case's own row: its lock comes after the parent's. A case that is no child
    # costs this one statement and locks nothing.
    parent = select(Case.bundle_case_id).where(Case.id == case_id).scalar_subquery()
    statement = select(BundleCase.id).where(BundleCase.id == parent).with_for_update()
    _ = await session.execute(statement)


async def list_waiting(session: AsyncSession, bundle_case_id: UUID) -> Sequence[Case]:
    """The children that wait, locked."""
    statement = select(Case).where(
        Case.bundle_case_id == bundle_case_id, Case.state == State.WAITING
    )
    return (await session.scalars(statement.order_by(Case.id).with_for_update())).all()


class ChildRow(NamedTuple):
    """A child's name and how far it has come."""

    state: State
    result: CaseResult | None
    matter_name: str


async def list_ends(session: AsyncSession, bundle_case_id: UUID) -> dict[UUID, ChildRow]:
    """The children by case id."""
    # Columns alone: the children that do not wait are neither locked nor changed.
    statement = select(Case.id, Case.state, Case.result, Case.matter_name)
    statement = statement.where(Case.bundle_case_id == bundle_case_id)
    ends: dict[UUID, ChildRow] = {}
    for case_id, state, result, matter_name in await session.execute(statement):
        ends[case_id] = ChildRow(state, result, matter_name)
    return ends
