"""Tables of ratings and their rules."""

from services.ratings.model.appeals import REVIEWERS, Appeal, Ground
from services.ratings.model.base import PLACE, Base, Moment
from services.ratings.model.calendar import CalendarDay, CalendarVersion
from services.ratings.model.invitation import Invitation
from services.ratings.model.keys import Redemption, SigningKey, TokenBatch
from services.ratings.model.publication import SHOWN, ModerationReason, Publication
from services.ratings.model.rating import Rating
from services.ratings.model.statistics import (
    GRAINS,
    KEYS,
    LEAST,
    MEASURES,
    Cell,
    Figures,
    RatingCount,
    cells_of_invitation,
    cells_of_rating,
    figures,
)
from services.ratings.model.tickets import BAD_TEXT, Deadline, PlanClass, Ticket, TicketStep
from services.ratings.model.tickets_clocks import Clock, Deadlines, Escalation, escalations
from services.ratings.model.tickets_states import IS_RUNNING, TicketAct, TicketState
from services.ratings.model.uses import HotlineTry, SmsMessage, WindowUse

__all__ = [
    "BAD_TEXT",
    "GRAINS",
    "IS_RUNNING",
    "KEYS",
    "LEAST",
    "MEASURES",
    "PLACE",
    "REVIEWERS",
    "SHOWN",
    "Appeal",
    "Base",
    "CalendarDay",
    "CalendarVersion",
    "Cell",
    "Clock",
    "Deadline",
    "Deadlines",
    "Escalation",
    "Figures",
    "Ground",
    "HotlineTry",
    "Invitation",
    "ModerationReason",
    "Moment",
    "PlanClass",
    "Publication",
    "Rating",
    "RatingCount",
    "Redemption",
    "SigningKey",
    "SmsMessage",
    "Ticket",
    "TicketAct",
    "TicketState",
    "TicketStep",
    "TokenBatch",
    "WindowUse",
    "cells_of_invitation",
    "cells_of_rating",
    "escalations",
    "figures",
]
