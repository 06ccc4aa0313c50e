"""What a day is counted in, and the table of counters."""

from datetime import date

from sqlalchemy import BigInteger, Date, Index, Text, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.database.session import new_metadata

CHANNELS = {
    "1": "pc",
    "2": "mobile",
    "3": "qr",
    "4": "hall",
    "5": "kiosk",
    "6": "phone",
    "7": "sms",
}
"""评价渠道 (norms §1.3) as the report names them."""

MEASURES = (
    "matters_published",
    "depth_raised",
    "depth_lowered",
    "cases_submitted",
    "cases_received",
    "cases_accepted",
    "cases_deemed_accepted",
    "cases_not_accepted",
    "cases_decided",
    "cases_closed",
    "cases_closed_immediate",
    "cases_closed_overdue",
    "cases_withdrawn",
    "results_delivered",
    "lights_yellow",
    "lights_red",
    "lights_deep_red",
    "lights_cleared",
    "pushes_accepted",
    "pushes_rejected",
    "uploads_accepted",
    "uploads_rejected",
    "licenses_collected",
    "licenses_issued",
    "licenses_signed",
    "licenses_revoked",
    "licenses_used",
    *(f"ratings_{channel}" for channel in CHANNELS.values()),
    "ratings_bad",
    "ratings_excluded",
    "bad_ratings_opened",
    "bad_ratings_called_back",
    "bad_ratings_escalated",
    "bad_ratings_rectified",
    "bad_ratings_open",
)
"""What a day is counted in. `pushes_…` are records of bureaus' own systems, `uploads_…` those given to the upper platform."""

STOCKS = ("matters_published", "bad_ratings_open")
"""Their daily counts are changes, and the figure of a day is their sum until then (`StockTotal`); all others are flows."""
IS_STOCK = "measure IN ('matters_published', 'bad_ratings_open')"
"""The same as SQL, in these words in every statement that the index of stocks is to serve."""

Place = tuple[str, str]
"""Area code and department code."""
Cell = tuple[date, str, str, str]
"""Day, area, department, measure."""


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
    measure: Mapped[str] = mapped_column(Text, primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)


class StockTotal(Base):
    """What all daily changes of a stock come to, so that no day's figure is a sum over all days before it."""

    __tablename__ = "stock_total"

    area_code: Mapped[str] = mapped_column(Text, primary_key=True)
    department_code: Mapped[str] = mapped_column(Text, primary_key=True)
    measure: Mapped[str] = mapped_column(Text, primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)
