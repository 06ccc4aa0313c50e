"""Files that applicants upload."""

from datetime import datetime

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.cases.applications.model import Upload
from shared.domain.media_types import sniff
from shared.errors import FieldError, InvalidInputError
from shared.ids import new_id
from shared.runtime.storage import Storage


async def store_upload(
    session: AsyncSession, content: bytes, *, storage: Storage, owner: str, now: datetime
) -> Upload:
    """Store a file of the owner's; its type is read from the content, not from its name.

    Raises `InvalidInputError` unless it is PDF, PNG or JPEG.
    """
    media_type = sniff(content)
    if media_type is None:
        fault = FieldError("body", "media_type", message="send PDF, PNG or JPEG")
        raise InvalidInputError("the file cannot be taken", [fault])
    digest = await storage.put(content)
    statement = insert(Upload).values(
        id=new_id(),
        owner=owner,
        digest=digest,
        media_type=media_type,
        size=len(content),
        at=now,
    )
    # The update changes nothing; it makes a file that was sent before come back as the same upload.
    statement = statement.on_conflict_do_update(
        index_elements=["owner", "digest"], set_={"size": len(content)}
    )
    return (await session.scalars(statement.returning(Upload))).one()
