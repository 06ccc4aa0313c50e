"""The current time and the city's time zone.

Nothing else asks the system clock; models get the time passed in. Moments are in UTC, as the
database returns them, so that one moment has one form in every answer. Days are those of the city.
"""

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

SHANGHAI = ZoneInfo("Asia/Shanghai")


def now() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.now(UTC)


def local_date(moment: datetime) -> date:
    """The calendar day of an aware moment in the city."""
    return moment.astimezone(SHANGHAI).date()


def day_start(day: date) -> datetime:
    """The first moment of a day in the city."""
    return datetime.combine(day, time(), SHANGHAI).astimezone(UTC)
