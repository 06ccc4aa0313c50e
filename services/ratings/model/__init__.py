"""Tables of ratings and their rules."""

from services.ratings.model.base import PLACE, Base, Moment
from services.ratings.model.invitation import Invitation
from services.ratings.model.rating import Rating

__all__ = ["PLACE", "Base", "Invitation", "Moment", "Rating"]
