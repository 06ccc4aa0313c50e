"""Publishing licence types."""

from datetime import datetime

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.licenses.model.types import LicenseType, LicenseTypeVersion, TypeDocument
from shared.database import audit
from shared.errors import ConflictError, PreconditionRequiredError
from shared.http.etags import check_version


async def publish_type(
    session: AsyncSession,
    code: str,
    document: TypeDocument,
    expected: int | None,
    publisher: str,
    now: datetime,
) -> LicenseType:
    """The first version of a type, or the next one on top of the version that was read; the same words change nothing."""
    content = document.model_dump(mode="json")
    first = insert(LicenseType).values(code=code, version=1, document=content, published_at=now)
    is_new = await session.scalar(first.on_conflict_do_nothing().returning(LicenseType.version))
    found = await session.get_one(LicenseType, code, with_for_update=True)
    if not is_new:
        if expected is not None:
            check_version(found.version, expected)
        if found.document == content:
            return found
        if expected is None:
            raise PreconditionRequiredError(
                "this type is published; read it first and send its ETag in If-Match"
            )
        found.version, found.document, found.published_at = found.version + 1, content, now
    elif expected is not None:
        raise ConflictError("there is no such type yet; publish its first version without If-Match")
    version = {"version": found.version, "document": content, "published_at": now}
    session.add(LicenseTypeVersion(code=code, published_by=publisher, **version))
    audit.record(session, "license-type.publish", "license_type", code, version=found.version)
    return found
