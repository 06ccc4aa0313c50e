"""Every SELECT about one-thing applications."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.cases.applications.model import MatterCopy
from services.cases.applications.queries import MatterText, list_uploads
from services.cases.bundles.model import BundleCase, BundleCopy
from services.cases.calendar.model import CalendarVersion
from services.cases.case_file.model.case import Case
from services.cases.case_file.model.license_copies import LicenseCopy
from services.cases.case_file.model.states import State
from services.cases.case_file.queries import CASE
from services.cases.licenses.queries import lock_licenses
from shared.domain.bundles import BundleSnapshot
from shared.domain.guides import MatterDocument
from shared.errors import NotFoundError


@dataclass(frozen=True, slots=True)
class BundleApplication:
    """What an application for a bundle rests on: its published version, the open children, uploads, the calendar."""

    version: int
    document: BundleSnapshot
    matters: dict[UUID, MatterText]
    uploads: dict[UUID, tuple[str, str]]
    licenses: dict[UUID, LicenseCopy]
    calendar: UUID


async def get_bundle_application(
    session: AsyncSession,
    bundle_id: UUID,
    upload_ids: Sequence[UUID],
    license_ids: Collection[UUID],
    owner: str,
) -> BundleApplication:
    """The bundle's newest version, and the texts of those of its matters that take applications; licences locked."""
    row = await session.get(BundleCopy, bundle_id)
    if row is None or not row.open:
        raise NotFoundError("no bundle that takes applications has this id")
    document = BundleSnapshot.model_validate(row.document)
    ids = [child.matter_id for child in document.children]
    found = await session.scalars(
        select(MatterCopy).where(MatterCopy.matter_id.in_(ids), MatterCopy.open)
    )
    matters = {
        one.matter_id: MatterText(
            one.matter_id, one.revision, one.version, MatterDocument.model_validate(one.document)
        )
        for one in found
    }
    calendar = (await session.execute(select(CalendarVersion.version))).scalar_one()
    uploads = await list_uploads(session, upload_ids, owner)
    licenses = await lock_licenses(session, license_ids)
    return BundleApplication(row.version, document, matters, uploads, licenses, calendar)


async def get_bundle_case(session: AsyncSession, bundle_case_id: UUID) -> BundleCase:
    found = await session.get(BundleCase, bundle_case_id)
    if found is None:
        raise NotFoundError("no such application of yours")
    return found


async def list_children(session: AsyncSession, bundle_case_id: UUID) -> Sequence[Any]:
    """The children of a one-thing application as answers show cases."""
    columns = (column for column in CASE if column.key not in {"guide", "applicant_id_hash"})
    return (
        await session.execute(select(*columns).where(CASE.bundle_case_id == bundle_case_id))
    ).all()


async def list_own_bundles(
    session: AsyncSession, account_id: UUID, matters: frozenset[str] | None, after: UUID, limit: int
) -> Sequence[Any]:
    """One-thing applications of an account, all or those whose every matter is in `matters`; with its children's ends."""
    children = (
        select(func.jsonb_agg(func.jsonb_build_array(CASE.state, CASE.result)))
        .where(CASE.bundle_case_id == BundleCase.id)
        .scalar_subquery()
    )
    columns = (
        BundleCase.id,
        BundleCase.number,
        BundleCase.name,
        BundleCase.submitted_at,
        children.label("children"),
    )
    statement = select(*columns).where(BundleCase.account_id == account_id, BundleCase.id > after)
    if matters is not None:
        statement = statement.where(BundleCase.matters.contained_by([UUID(one) for one in matters]))
    return (await session.execute(statement.order_by(BundleCase.id).limit(limit + 1))).all()


async def lock_bundle_of(session: AsyncSession, case_id: UUID) -> None:
    """Lock the parent of a case, if it has one, before the case itself: acts that can end a child come one by one."""
    parent = select(Case.bundle_case_id).where(Case.id == case_id).scalar_subquery()
    _ = await session.execute(
        select(BundleCase.id).where(BundleCase.id == parent).with_for_update()
    )


async def list_waiting(session: AsyncSession, bundle_case_id: UUID) -> Sequence[Case]:
    """The children that wait, locked."""
    statement = select(Case).where(
        Case.bundle_case_id == bundle_case_id, Case.state == State.WAITING
    )
    return (await session.scalars(statement.order_by(Case.id).with_for_update())).all()


async def list_ends(session: AsyncSession, bundle_case_id: UUID) -> dict[str, Any]:
    """State, result and name of the children by case id."""
    columns = (Case.id, Case.state, Case.result, Case.matter_name)
    rows = await session.execute(select(*columns).where(Case.bundle_case_id == bundle_case_id))
    return {str(row.id): row for row in rows}
