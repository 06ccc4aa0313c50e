"""Attempts to track a case without signing in."""

from services.cases.model_base import Base
from shared.database.guess_limits import GuessCountRow


class TrackingTries(GuessCountRow, Base):
    """Attempts per client address and per requested number."""

    __tablename__ = "tracking_tries"
