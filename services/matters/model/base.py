"""What the tables of matters have in common."""

from sqlalchemy.orm import DeclarativeBase

from shared.database.session import new_metadata


class Base(DeclarativeBase):
    metadata = new_metadata()
