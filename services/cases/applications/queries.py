"""Every SELECT about applications."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from cachetools import LRUCache
from sqlalchemy import ARRAY, Uuid, bindparam, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from services.cases.applications.model import Upload
from services.cases.case_file.model.license_copies import LicenseCopy
from services.cases.case_file.queries import CASE
from shared.database.direct import UntypedDirect
from shared.domain.guides import MatterDocument
from shared.errors import NotFoundError

APPLICATION = UntypedDirect(
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
_texts: LRUCache[UUID, "MatterText"] = LRUCache(2000)


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
        known = _texts[matter_id] = MatterText(matter_id, row.revision, row.version, document)
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
