"""Declarative base of the license tables."""

from sqlalchemy.orm import DeclarativeBase

from shared.database.session import new_metadata

PLACE = ("area_code", "department_code")


class Base(DeclarativeBase):
    metadata = new_metadata()
