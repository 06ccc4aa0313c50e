"""What tables and rules of several features have in common."""

from datetime import date
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.database.session import new_metadata
from shared.security.tokens import CITIZENS, Caller

OFFICE_COLUMNS = ("area_code", "department_code")


class Base(DeclarativeBase):
    metadata = new_metadata()


class Role(StrEnum):
    """Roles of staff that matter in this service, as access tokens name them."""

    ADMINISTRATOR = "administrator"
    AUDITOR = "auditor"
    DEPARTMENT_HEAD = "department_head"
    HOTLINE_OPERATOR = "hotline_operator"  # 12345 话务员
    RATING_HANDLER = "rating_handler"  # 差评处理岗
    SUPERVISOR = "supervisor"  # 督办
    WINDOW_CLERK = "window_clerk"


class Office(NamedTuple):
    """A department within an area."""

    area_code: str
    department_code: str


class Scope(NamedTuple):
    """What a member of staff oversees; None for every area, or every department."""

    area_code: str | None
    department_code: str | None

    def contains(self, office: Office) -> bool:
        if self.area_code is not None and self.area_code != office.area_code:
            return False
        return self.department_code is None or self.department_code == office.department_code


class DuePlace(NamedTuple):
    """A place in a list ordered by a day and an id."""

    day: date
    id: UUID


def owns(caller: Caller, *, account_id: UUID | None, matter_id: UUID | None) -> bool:
    """Whether a record of this account is the caller's own.

    For an agent it is so only in the matters of the mandate.
    """
    # Staff and systems have accounts too, but no matters of their own here.
    if caller.kind not in CITIZENS or account_id is None:
        return False
    return str(account_id) == caller.subject and caller.covers(matter_id)


class OfOffice:
    """Columns of a record that belongs to a department within an area."""

    area_code: Mapped[str] = mapped_column(Text)
    department_code: Mapped[str] = mapped_column(Text)

    @property
    def office(self) -> Office:
        return Office(self.area_code, self.department_code)
