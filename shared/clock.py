"""The present moment and the city's time zone. Nothing else asks the system clock; models get the time passed in."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

SHANGHAI = ZoneInfo("Asia/Shanghai")


def now() -> datetime:
    """The present moment, aware, in the city's time zone."""
    return datetime.now(SHANGHAI)


def local_date(moment: datetime) -> date:
    """The calendar day of an aware moment in the city."""
    return moment.astimezone(SHANGHAI).date()
