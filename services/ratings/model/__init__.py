"""Tables of ratings and their rules."""

from services.ratings.model.base import PLACE, Base, Moment
from services.ratings.model.calendar import CalendarDay, CalendarVersion
from services.ratings.model.invitation import Invitation
from services.ratings.model.keys import Redemption, SigningKey, TokenBatch
from services.ratings.model.rating import Rating
from services.ratings.model.uses import HotlineTry, SmsMessage, WindowUse

__all__ = [
    "PLACE",
    "Base",
    "CalendarDay",
    "CalendarVersion",
    "HotlineTry",
    "Invitation",
    "Moment",
    "Rating",
    "Redemption",
    "SigningKey",
    "SmsMessage",
    "TokenBatch",
    "WindowUse",
]
