"""Every SELECT about applications."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from cachetools import LRUCache
from sqlalchemy import ARRAY, Uuid, bindparam, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.cases.applications.model import Upload
from services.cases.case_file.model.case import Case
from services.cases.case_file.model.materials import LicenseCopy, LicenseValues, StoredMaterial
from shared.database.columns import Json
from shared.database.direct import Direct
from shared.domain.guides import MatterDocument
from shared.errors import NotFoundError


class UploadedFile(NamedTuple):
    """A file of the caller's."""

    digest: str
    media_type: str


@dataclass(frozen=True, slots=True)
class PublishedMatter:
    """The text of a published matter; its id and `revision` name the content."""

    matter_id: UUID
    revision: int
    version: int
    document: MatterDocument


@dataclass(frozen=True, slots=True)
class ApplicationInputs:
    """What an application rests on, read at one moment; `calendar` is the calendar's version."""

    matter: PublishedMatter
    uploads: dict[UUID, UploadedFile]
    licenses: dict[UUID, LicenseCopy]
    calendar: UUID


class InputsRow(NamedTuple):
    """`document` is None when this process has parsed the text before; so are empty lists."""

    revision: int
    version: int
    document: MatterDocument | None
    calendar: UUID
    uploads: dict[UUID, UploadedFile] | None
    licenses: list[LicenseValues] | None


INPUTS = Direct(
    text(
        "SELECT coalesce(event_number, revision) AS revision, version,"
        " CASE WHEN coalesce(event_number, revision) = :known THEN NULL ELSE document END"
        " AS document,"
        " (SELECT version FROM calendar_version) AS calendar,"
        " (SELECT jsonb_object_agg(u.id, jsonb_build_array(u.digest, u.media_type)) FROM upload u"
        " WHERE u.id = ANY (:uploads) AND u.owner = :owner) AS uploads,"
        " (SELECT jsonb_agg(held) FROM (SELECT * FROM license_copy"
        " WHERE license_id = ANY (:licenses) ORDER BY license_id FOR SHARE) held) AS licenses"
        " FROM matter_copy WHERE matter_id = :matter AND open"
    )
    .bindparams(
        bindparam("matter", type_=Uuid()),
        bindparam("uploads", type_=ARRAY(Uuid())),
        bindparam("licenses", type_=ARRAY(Uuid())),
    )
    .columns(
        document=Json[MatterDocument](MatterDocument),
        uploads=Json[dict[UUID, UploadedFile]](dict[UUID, UploadedFile]),
        licenses=Json[list[LicenseValues]](list[LicenseValues]),
        calendar=Uuid(),
    ),
    InputsRow,
)

# By matter. To parse a text costs more than everything else that an application needs.
_matters: LRUCache[UUID, PublishedMatter] = LRUCache(2000)


async def get_inputs(
    session: AsyncSession,
    matter_id: UUID,
    *,
    upload_ids: Sequence[UUID] = (),
    license_ids: Sequence[UUID] = (),
    owner: str = "",
) -> ApplicationInputs:
    """What an application for the matter rests on, in one statement.

    The licenses are locked until the transaction ends: an event that revokes one waits, and then
    finds the case that uses it. Raises `NotFoundError` when the matter takes no applications.
    """
    matter = _matters.get(matter_id)
    known_revision = -1
    if matter is not None:
        known_revision = matter.revision
    row = await INPUTS.first(
        session,
        matter=matter_id,
        known=known_revision,
        owner=owner,
        uploads=upload_ids,
        licenses=license_ids,
    )
    if row is None:
        raise NotFoundError("no matter that takes applications has this id")
    if row.document is not None:
        matter = PublishedMatter(matter_id, row.revision, row.version, row.document)
        _matters[matter_id] = matter
    assert matter is not None
    licenses = {values.license_id: LicenseCopy.of(values) for values in row.licenses or ()}
    return ApplicationInputs(matter, row.uploads or {}, licenses, row.calendar)


async def list_uploads(
    session: AsyncSession, ids: Sequence[UUID], *, owner: str
) -> dict[UUID, UploadedFile]:
    """The uploads of `owner` among these."""
    statement = select(Upload.id, Upload.digest, Upload.media_type)
    statement = statement.where(Upload.id.in_(ids), Upload.owner == owner)
    uploads: dict[UUID, UploadedFile] = {}
    for upload_id, digest, media_type in await session.execute(statement):
        uploads[upload_id] = UploadedFile(digest, media_type)
    return uploads


class EarlierCaseRow(NamedTuple):
    """Whose an earlier case is, in which matter, and its materials."""

    id: UUID
    account_id: UUID | None
    matter_id: UUID
    applicant_id_hash: bytes
    materials: list[StoredMaterial]


async def list_earlier_cases(session: AsyncSession, ids: Collection[UUID]) -> list[EarlierCaseRow]:
    """The cases with these ids."""
    statement = select(
        Case.id, Case.account_id, Case.matter_id, Case.applicant_id_hash, Case.materials
    ).where(Case.id.in_(ids))
    return [EarlierCaseRow(*row) for row in await session.execute(statement)]
