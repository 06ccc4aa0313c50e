"""Identifiers: UUIDv7, so that new rows lie together in every index."""

from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """A time-ordered identifier, made where the thing is made (a column default would come only at flush)."""
    return uuid7()
