"""Publishing license types."""

from datetime import datetime

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.licenses.journal import Journal
from services.licenses.model.types import LicenseType, LicenseTypeVersion, TypeDocument
from shared.errors import ConflictError, PreconditionRequiredError
from shared.http.etags import check_version


async def publish_version(
    session: AsyncSession,
    code: str,
    *,
    document: TypeDocument,
    expected: int | None,
    publisher: str,
    now: datetime,
) -> LicenseType:
    """The first version of a type, or the next one after `expected`, the version that was read.

    An equal document changes nothing.

    Raises:
        PreconditionRequiredError: the type is published and `expected` is missing.
        PreconditionFailedError: `expected` is not the newest version.
        ConflictError: `expected` is given and there is no such type.
    """
    first = insert(LicenseType).values(code=code, version=1, document=document, published_at=now)
    is_first = await session.scalar(first.on_conflict_do_nothing().returning(LicenseType.version))
    # Locked, so that two publications at once become two versions.
    found = await session.get_one(LicenseType, code, with_for_update=True)
    if is_first:
        if expected is not None:
            raise ConflictError(
                "there is no such type yet; publish its first version without If-Match"
            )
    else:
        if expected is not None:
            check_version(found.version, expected=expected)
        if found.document == document:
            return found
        if expected is None:
            raise PreconditionRequiredError(
                "this type is published; read it first and send its ETag in If-Match"
            )
        found.version += 1
        found.document = document
        found.published_at = now
    session.add(
        LicenseTypeVersion(
            code=code,
            version=found.version,
            document=document,
            published_by=publisher,
            published_at=now,
        )
    )
    journal = Journal(now)
    journal.append_audit(
        "license-type.publish", object_id=code, object_type="license_type", version=found.version
    )
    await journal.write(session)
    return found
