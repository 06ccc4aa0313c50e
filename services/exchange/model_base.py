"""Base of all tables of exchange."""

from sqlalchemy.orm import DeclarativeBase

from shared.database.session import new_metadata


class Base(DeclarativeBase):
    metadata = new_metadata()
