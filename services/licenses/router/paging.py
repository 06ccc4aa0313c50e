"""Pages of rows in the order of their ids."""

from uuid import UUID

from services.licenses.queries.licenses import FIRST
from shared.pagination import decode_cursor


def after_id(cursor: str | None) -> UUID:
    """The id after which a page begins.

    Raises:
        InvalidInputError: the cursor is not one of ours.
    """
    if not cursor:
        return FIRST
    last: UUID = decode_cursor(cursor, UUID)[0]
    return last
