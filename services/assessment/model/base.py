"""What a day is counted in, and the tables of counters."""

from datetime import date
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import BigInteger, Date, Index, Text, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.database.columns import enum_column
from shared.database.session import new_metadata


class Measure(StrEnum):
    """What a day is counted in.

    `pushes_…` are records of bureaus' own systems, `uploads_…` those given to the upper platform.
    """

    MATTERS_PUBLISHED = "matters_published"
    DEPTH_RAISED = "depth_raised"
    DEPTH_LOWERED = "depth_lowered"
    CASES_SUBMITTED = "cases_submitted"
    CASES_RECEIVED = "cases_received"
    CASES_ACCEPTED = "cases_accepted"
    CASES_DEEMED_ACCEPTED = "cases_deemed_accepted"
    CASES_NOT_ACCEPTED = "cases_not_accepted"
    CASES_DECIDED = "cases_decided"
    CASES_CLOSED = "cases_closed"
    CASES_CLOSED_IMMEDIATE = "cases_closed_immediate"
    CASES_CLOSED_OVERDUE = "cases_closed_overdue"
    CASES_WITHDRAWN = "cases_withdrawn"
    RESULTS_DELIVERED = "results_delivered"
    LIGHTS_YELLOW = "lights_yellow"
    LIGHTS_RED = "lights_red"
    LIGHTS_DEEP_RED = "lights_deep_red"
    LIGHTS_CLEARED = "lights_cleared"
    PUSHES_ACCEPTED = "pushes_accepted"
    PUSHES_REJECTED = "pushes_rejected"
    UPLOADS_ACCEPTED = "uploads_accepted"
    UPLOADS_REJECTED = "uploads_rejected"
    LICENSES_COLLECTED = "licenses_collected"
    LICENSES_ISSUED = "licenses_issued"
    LICENSES_SIGNED = "licenses_signed"
    LICENSES_REVOKED = "licenses_revoked"
    LICENSES_USED = "licenses_used"
    RATINGS_PC = "ratings_pc"
    RATINGS_MOBILE = "ratings_mobile"
    RATINGS_QR = "ratings_qr"
    RATINGS_HALL = "ratings_hall"
    RATINGS_KIOSK = "ratings_kiosk"
    RATINGS_PHONE = "ratings_phone"
    RATINGS_SMS = "ratings_sms"
    RATINGS_BAD = "ratings_bad"
    RATINGS_EXCLUDED = "ratings_excluded"
    BAD_RATINGS_OPENED = "bad_ratings_opened"
    BAD_RATINGS_CALLED_BACK = "bad_ratings_called_back"
    BAD_RATINGS_ESCALATED = "bad_ratings_escalated"
    BAD_RATINGS_RECTIFIED = "bad_ratings_rectified"
    BAD_RATINGS_OPEN = "bad_ratings_open"


STOCKS = (Measure.MATTERS_PUBLISHED, Measure.BAD_RATINGS_OPEN)
"""Their daily counts are changes, and the figure of a day is the sum until then (`StockTotal`).

All other measures are flows: the figure of a day is what happened on it.
"""
# The index of stocks serves only statements that repeat its predicate letter for letter.
IS_STOCK = "measure IN ('matters_published', 'bad_ratings_open')"
"""`STOCKS` as an SQL predicate."""

RATINGS_BY_CHANNEL = {
    "1": Measure.RATINGS_PC,
    "2": Measure.RATINGS_MOBILE,
    "3": Measure.RATINGS_QR,
    "4": Measure.RATINGS_HALL,
    "5": Measure.RATINGS_KIOSK,
    "6": Measure.RATINGS_PHONE,
    "7": Measure.RATINGS_SMS,
}
"""评价渠道 (norms §1.3) → the measure that counts its ratings."""


class Cell(NamedTuple):
    """What one counter counts: a measure of a department on a day."""

    day: date
    area_code: str
    department_code: str
    measure: Measure


class Base(DeclarativeBase):
    metadata = new_metadata()


class DayCount(Base):
    """One figure of one department on one day."""

    __tablename__ = "day_count"
    __table_args__ = (
        Index("ix_day_count_stock", "measure", "day", postgresql_where=text(IS_STOCK)),
    )

    day: Mapped[date] = mapped_column(Date, primary_key=True)
    area_code: Mapped[str] = mapped_column(Text, primary_key=True)
    department_code: Mapped[str] = mapped_column(Text, primary_key=True)
    measure: Mapped[Measure] = enum_column(Measure, primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)


class StockTotal(Base):
    """The sum of all daily changes of a stock.

    No day's figure needs a sum over all days.
    """

    __tablename__ = "stock_total"

    area_code: Mapped[str] = mapped_column(Text, primary_key=True)
    department_code: Mapped[str] = mapped_column(Text, primary_key=True)
    measure: Mapped[Measure] = enum_column(Measure, primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)
