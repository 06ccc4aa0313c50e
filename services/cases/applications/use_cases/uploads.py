"""Files that applicants bring."""

from datetime import datetime

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.cases.applications.model import Upload
from shared.errors import FieldError, InvalidInputError
from shared.ids import new_id
from shared.runtime.storage import Storage, sniff


async def store_upload(
    session: AsyncSession, storage: Storage, content: bytes, owner: str, now: datetime
) -> Upload:
    """Keep a file of the caller's: PDF, PNG or JPEG by its content, whatever it is called."""
    media_type = sniff(content)
    if media_type is None:
        raise InvalidInputError(
            "the file cannot be taken", [FieldError("body", "media_type", "send PDF, PNG or JPEG")]
        )
    digest = await storage.put(content)
    values = {
        "owner": owner,
        "digest": digest,
        "media_type": media_type,
        "size": len(content),
        "at": now,
    }
    # The update changes nothing; it makes a file that was brought before come back as the upload it already is.
    statement = (
        insert(Upload)
        .values(id=new_id(), **values)
        .on_conflict_do_update(index_elements=["owner", "digest"], set_={"size": len(content)})
    )
    return (await session.scalars(statement.returning(Upload))).one()
