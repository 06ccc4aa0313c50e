"""Base of the tables of cases."""

from sqlalchemy.orm import DeclarativeBase

from shared.database.session import new_metadata

PLACE = ("area_code", "department_code")
"""Columns that name the department in charge."""


class Base(DeclarativeBase):
    """Base of every table of this service."""

    metadata = new_metadata()
