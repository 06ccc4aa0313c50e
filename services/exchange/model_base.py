"""What the tables of exchange have in common."""

from sqlalchemy.orm import DeclarativeBase

from shared.database.session import new_metadata


class Base(DeclarativeBase):
    metadata = new_metadata()
