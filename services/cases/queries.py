"""Every SELECT of cases."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    LargeBinary,
    Uuid,
    any_,
    bindparam,
    func,
    literal,
    select,
    text,
    tuple_,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from services.cases.model.bundles import BundleCase, BundleCopy
from services.cases.model.case import Case
from services.cases.model.clocks import Level
from services.cases.model.licenses import VALID, CaseLicense, LicenseCopy
from services.cases.model.lights import BURNS, Light
from services.cases.model.records import (
    CalendarChange,
    CalendarDay,
    CalendarVersion,
    MatterCopy,
    TimelineRow,
    TrackingTries,
    Upload,
)
from services.cases.model.states import IS_OPEN, State
from shared.database import guess_limits
from shared.database.direct import Direct
from shared.database.guess_limits import Try
from shared.domain.bundles import BundleSnapshot
from shared.domain.guides import MatterDocument
from shared.domain.workdays import WorkCalendar
from shared.errors import NotFoundError
from shared.runtime.lru import Memory

APPLICATION = Direct(
    text(
        "SELECT revision, version, CASE WHEN revision = :known THEN NULL ELSE document END AS document,"
        " (SELECT version FROM calendar_version) AS calendar,"
        " (SELECT jsonb_object_agg(u.id, jsonb_build_array(u.digest, u.media_type)) FROM upload u"
        " WHERE u.id = ANY (:uploads) AND u.owner = :owner) AS uploads,"
        " (SELECT jsonb_agg(held) FROM (SELECT * FROM license_copy WHERE license_id = ANY (:licenses)"
        " ORDER BY license_id FOR SHARE) held) AS licenses"
        " FROM matter_copy WHERE matter_id = :matter AND open"
    )
    .bindparams(
        bindparam("matter", type_=Uuid()),
        bindparam("uploads", type_=ARRAY(Uuid())),
        bindparam("licenses", type_=ARRAY(Uuid())),
    )
    .columns(
        document=JSONB(none_as_null=True),
        uploads=JSONB(none_as_null=True),
        licenses=JSONB(none_as_null=True),
        calendar=Uuid(),
    )
)
CALENDAR = text(
    "SELECT version, (SELECT jsonb_object_agg(day, is_working) FROM calendar_day) AS days FROM calendar_version"
).columns(version=Uuid(), days=JSONB())

CASE: Any = Case.__table__.c
NEWEST: Any = CalendarVersion.__table__.c.version
READ = Direct(
    select(
        *(column for column in CASE if column.key not in {"guide", "applicant_id_hash"}),
        select(NEWEST).scalar_subquery().label("calendar"),
    ).where(CASE.id == bindparam("case_id"))
)
"""What an answer shows of a case, read in one statement and without the bulky rest."""

BULKY = (Case.guide, Case.materials, Case.missing)
SECRET = (Case.applicant_name, Case.applicant_id_number, Case.phone)
"""What batches over many cases leave out: no act of theirs reads it, and opening a secret costs more than the row."""

_texts: Memory[UUID, "MatterText"] = Memory(2000)
_calendars: Memory[UUID, WorkCalendar] = Memory(8)

SUMMARY = (
    Case.id,
    Case.number,
    Case.revision,
    Case.state,
    Case.matter_name,
    Case.due_on,
    Case.received_at,
    Case.overdue,
    Case.bundle_case_id,
)


async def get_case(session: AsyncSession, case_id: UUID, *, lock: bool = False) -> Case:
    case = await session.get(Case, case_id, with_for_update=lock)
    if case is None:
        raise NotFoundError("no such case of yours")
    return case


async def read_case(session: AsyncSession, case_id: UUID) -> Any:
    """One case as answers show it, with the calendar's version."""
    row = await READ.first(session, case_id=case_id)
    if row is None:
        raise NotFoundError("no such case of yours")
    return row


TRACKED = guess_limits.counting(
    select(
        CASE.number,
        CASE.state,
        CASE.matter_name,
        CASE.due_on,
        type_coerce(CASE.phone, LargeBinary).label("sealed_phone"),
    ).where(CASE.number == bindparam("number")),
    TrackingTries,
)


async def find_tracked(session: AsyncSession, one: Try) -> Any:
    """What tracking shows of a case, and its phone still sealed. It counts as a try; 429 when the budget is used up."""
    return next(iter(await guess_limits.ask(session, TRACKED, one, number=one.number)), None)


async def list_own(
    session: AsyncSession, account_id: UUID, matters: frozenset[str] | None, after: UUID, limit: int
) -> Sequence[Any]:
    """Cases of an account, all or those in `matters` (ids)."""
    statement = (
        select(*SUMMARY).where(Case.account_id == account_id, Case.id > after).order_by(Case.id)
    )
    if matters is not None:
        statement = statement.where(Case.matter_id.in_([UUID(one) for one in matters]))
    return (await session.execute(statement.limit(limit + 1))).all()


@dataclass(frozen=True, slots=True)
class WorkFilter:
    """What of a department's work an officer asks for; `officer`: only what this one acted on last."""

    state: State | None = None
    officer: str | None = None
    due_before: date | None = None
    overdue_on: date | None = None


async def list_work(
    session: AsyncSession,
    place: tuple[str, str],
    which: WorkFilter,
    after: tuple[date, UUID],
    limit: int,
) -> Sequence[Any]:
    """Open cases of a department, the most urgent first."""
    statement = select(*SUMMARY).where(
        Case.area_code == place[0],
        Case.department_code == place[1],
        text(IS_OPEN),
        tuple_(Case.due_on, Case.id) > tuple_(*after),
    )
    if which.state is not None:
        statement = statement.where(Case.state == which.state)
    if which.officer is not None:
        statement = statement.where(Case.officer == which.officer)
    if which.due_before is not None:
        statement = statement.where(Case.due_on < which.due_before)
    if which.overdue_on is not None:
        statement = statement.where(Case.due_on < which.overdue_on, Case.state != State.SUSPENDED)
    return (await session.execute(statement.order_by(Case.due_on, Case.id).limit(limit + 1))).all()


async def list_silent(session: AsyncSession, today: date, limit: int) -> Sequence[Case]:
    """Received cases whose acceptance days are over, claimed for this worker."""
    statement = select(Case).where(text("state = 'received'"), Case.due_on < today)
    return (await session.scalars(statement.limit(limit).with_for_update(skip_locked=True))).all()


async def list_watched(session: AsyncSession, today: date, limit: int) -> Sequence[Case]:
    """Cases over which a light may go on today, claimed for this worker; without their bulky and secret parts."""
    light = [defer(column, raiseload=True) for column in (*BULKY, *SECRET)]
    statement = select(Case).options(*light).where(Case.watch_on <= today).order_by(Case.watch_on)
    return (await session.scalars(statement.limit(limit).with_for_update(skip_locked=True))).all()


async def list_lights_of(session: AsyncSession, case_ids: Sequence[UUID]) -> Sequence[Light]:
    """Every light that these cases have had."""
    return (await session.scalars(select(Light).where(Light.case_id.in_(case_ids)))).all()


async def get_light(session: AsyncSession, light_id: UUID) -> Light:
    light = await session.get(Light, light_id)
    if light is None:
        raise NotFoundError("no such light of yours")
    return light


async def list_lights(
    session: AsyncSession,
    area: str | None,
    department: str | None,
    *,
    is_open: bool | None,
    level: Level | None,
    after: UUID,
    limit: int,
) -> Sequence[Light]:
    """Lights of a department, of an area (`department` None), or of all areas (`area` None), in the order they were raised."""
    statement = select(Light).where(Light.id > after)
    if area is not None:
        statement = statement.where(Light.area_code == area)
    if department is not None:
        statement = statement.where(Light.department_code == department)
    if is_open is not None:
        statement = statement.where(text(BURNS if is_open else f"NOT ({BURNS})"))
    if level is not None:
        statement = statement.where(Light.level == level)
    return (await session.scalars(statement.order_by(Light.id).limit(limit + 1))).all()


async def list_steps(session: AsyncSession, case_id: UUID) -> Sequence[TimelineRow]:
    return (
        await session.scalars(
            select(TimelineRow).where(TimelineRow.case_id == case_id).order_by(TimelineRow.id)
        )
    ).all()


@dataclass(frozen=True, slots=True)
class MatterText:
    """The text of a published matter; `revision` and the id name its content."""

    matter_id: UUID
    revision: int
    version: int
    document: MatterDocument


@dataclass(frozen=True, slots=True)
class Application:
    """What an application rests on, read at one moment: matter, the caller's uploads, licences, the calendar's version."""

    matter: MatterText
    uploads: dict[UUID, tuple[str, str]]
    licenses: dict[UUID, LicenseCopy]
    calendar: UUID


async def get_application(
    session: AsyncSession,
    matter_id: UUID,
    upload_ids: Sequence[UUID] = (),
    license_ids: Sequence[UUID] = (),
    owner: str = "",
) -> Application:
    """In one statement, without the matter's text when this process has parsed it already.

    Whoever reads a licence to use it locks it: the event that revokes it waits, and then finds the case.
    """
    known = _texts.get(matter_id)
    values = {"matter": matter_id, "known": known.revision if known else -1, "owner": owner}
    values |= {"uploads": upload_ids, "licenses": license_ids}
    row = await APPLICATION.first(session, **values)
    if row is None:
        raise NotFoundError("no matter that takes applications has this id")
    if known is None or row.document is not None:
        document = MatterDocument.model_validate(row.document)
        known = _texts.put(matter_id, MatterText(matter_id, row.revision, row.version, document))
    uploads = {UUID(key): (value[0], value[1]) for key, value in (row.uploads or {}).items()}
    licenses = [_license(held) for held in row.licenses or ()]
    return Application(known, uploads, {one.license_id: one for one in licenses}, row.calendar)


def _license(row: dict[str, Any]) -> LicenseCopy:
    """A row of `license_copy` that came as JSON."""
    days = {
        name: row[name] and date.fromisoformat(row[name]) for name in ("valid_from", "valid_until")
    }
    typed = {**days, "account_id": row["account_id"] and UUID(row["account_id"])}
    return LicenseCopy(**{**row, **typed, "license_id": UUID(row["license_id"])})


async def lock_licenses(session: AsyncSession, ids: Collection[UUID]) -> dict[UUID, LicenseCopy]:
    """The licences among these, locked against change until the transaction ends; lock them before the case."""
    if not ids:
        return {}
    statement = (
        select(LicenseCopy).where(LicenseCopy.license_id.in_(ids)).order_by(LicenseCopy.license_id)
    )
    return {
        one.license_id: one for one in await session.scalars(statement.with_for_update(read=True))
    }


async def list_usable(
    session: AsyncSession,
    account_id: UUID,
    type_codes: Collection[str],
    holder: str | None,
    today: date,
    limit: int,
) -> Sequence[LicenseCopy]:
    """Licences of an account that are evidence today, of these types, of `holder` alone where one is named."""
    statement = select(LicenseCopy).where(
        LicenseCopy.account_id == account_id,
        LicenseCopy.type_code.in_(type_codes),
        LicenseCopy.status == VALID,
        LicenseCopy.valid_from.is_(None) | (LicenseCopy.valid_from <= today),
        LicenseCopy.valid_until.is_(None) | (LicenseCopy.valid_until >= today),
    )
    if holder is not None:
        statement = statement.where(LicenseCopy.holder == holder)
    return (
        await session.scalars(statement.order_by(LicenseCopy.license_id.desc()).limit(limit))
    ).all()


async def list_resting_on(session: AsyncSession, license_ids: Collection[UUID]) -> Sequence[Case]:
    """The open cases that use these licences, locked; without their secret parts and guides.

    A child that waits is received with these materials later, so it must learn of it too.
    """
    ids = literal(list(license_ids), ARRAY(Uuid()))  # One statement, whatever their number.
    using = select(CaseLicense.case_id).where(CaseLicense.license_id == any_(ids))
    light = [defer(column, raiseload=True) for column in (Case.guide, Case.missing, *SECRET)]
    is_waiting = Case.state == State.WAITING
    statement = select(Case).options(*light).where(Case.id.in_(using), is_waiting | text(IS_OPEN))
    # The children that wait last, as an act that ends their predecessor locks them.
    return (await session.scalars(statement.order_by(is_waiting, Case.id).with_for_update())).all()


async def list_uploads(
    session: AsyncSession, ids: Sequence[UUID], owner: str
) -> dict[UUID, tuple[str, str]]:
    """Digest and media type of the uploads of `owner` among these."""
    statement = select(Upload.id, Upload.digest, Upload.media_type).where(
        Upload.id.in_(ids), Upload.owner == owner
    )
    return {row.id: (row.digest, row.media_type) for row in await session.execute(statement)}


async def list_earlier(session: AsyncSession, ids: Collection[UUID]) -> Sequence[Any]:
    """Whose these cases are, in which matter, and their materials."""
    columns = (CASE.id, CASE.account_id, CASE.matter_id, CASE.applicant_id_hash, CASE.materials)
    return (await session.execute(select(*columns).where(CASE.id.in_(ids)))).all()


async def get_calendar(session: AsyncSession, version: UUID | None = None) -> WorkCalendar:
    """The calendar at `version` (as another statement of this request found it) or at the newest."""
    version = version or await session.scalar(select(CalendarVersion.version))
    known = _calendars.get(version) if version else None
    if known is None:
        row = (await session.execute(CALENDAR)).one()
        days = {date.fromisoformat(day): working for day, working in (row.days or {}).items()}
        known = _calendars.put(row.version, WorkCalendar(days))
    return known


async def list_days(session: AsyncSession, days: Sequence[date]) -> dict[date, tuple[bool, str]]:
    """Working or not, and the note, of those among these days that differ from Monday to Friday."""
    statement = select(CalendarDay.day, CalendarDay.is_working, CalendarDay.note).where(
        CalendarDay.day.in_(days)
    )
    return {row.day: (row.is_working, row.note) for row in await session.execute(statement)}


async def list_year(session: AsyncSession, year: int) -> Sequence[CalendarDay]:
    within = CalendarDay.day.between(date(year, 1, 1), date(year, 12, 31))
    return (
        await session.scalars(select(CalendarDay).where(within).order_by(CalendarDay.day))
    ).all()


async def get_change(session: AsyncSession, change_id: UUID) -> CalendarChange:
    change = await session.get(CalendarChange, change_id)
    if change is None:
        raise NotFoundError("no such change of the calendar")
    return change


async def find_change(session: AsyncSession, change_id: UUID, passes: int) -> CalendarChange | None:
    """The change, locked, unless that many passes are over or another process is at it."""
    unfinished = select(CalendarChange).where(
        CalendarChange.id == change_id, CalendarChange.passes < passes
    )
    return await session.scalar(unfinished.with_for_update(skip_locked=True))


async def list_unfinished_changes(session: AsyncSession, before: datetime) -> Sequence[UUID]:
    due = (CalendarChange.passes == 0) | (CalendarChange.changed_at < before)
    statement = select(CalendarChange.id).where(text("passes < 2"), due).order_by(CalendarChange.id)
    return (await session.scalars(statement)).all()


async def list_touched(session: AsyncSession, change: CalendarChange, limit: int) -> Sequence[Case]:
    """The next cases whose running clocks span a changed day, locked; without their bulky and secret parts."""
    days = sorted(date.fromisoformat(day["day"]) for day in change.days)
    statement = select(Case).where(
        Case.id > change.reached,
        text("state IN ('received', 'accepted', 'suspended', 'decided')"),
        Case.clock_from < days[-1],
        func.greatest(Case.due_on, Case.legal_due_on, Case.step_due_on) >= days[0],
    )
    statement = statement.options(*(defer(column, raiseload=True) for column in (*BULKY, *SECRET)))
    return (await session.scalars(statement.order_by(Case.id).limit(limit).with_for_update())).all()


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
