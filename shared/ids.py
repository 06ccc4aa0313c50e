"""Identifiers: UUIDv7, so that new rows lie together in every index."""

from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """A time-ordered identifier.

    Made with the object and not as a column's default, which would be set only at the flush.
    """
    return uuid7()
