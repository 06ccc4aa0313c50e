"""Tables of the read model, and the rules that turn what is known into daily counts.

Each case, matter and rated service event has one record here, fed by its events. What a case counts for is a pure function of
its record (`figures`); when an event changes the record, the counters get the difference. So a repeated, late or corrected
fact can never be counted twice, and the counters equal a recount of the records at any time.
"""

from services.assessment.model.base import IS_STOCK, MEASURES, STOCKS, Base, Cell, DayCount, StockTotal
from services.assessment.model.cases import CaseRecord, CaseState, first_state
from services.assessment.model.facts import figures_of_event
from services.assessment.model.matters import MatterRecord, MatterState
from services.assessment.model.ratings import RatingRecord, RatingState
from services.assessment.model.reports import DailyReport

__all__ = [
    "IS_STOCK",
    "MEASURES",
    "STOCKS",
    "Base",
    "CaseRecord",
    "CaseState",
    "Cell",
    "DailyReport",
    "DayCount",
    "MatterRecord",
    "MatterState",
    "RatingRecord",
    "RatingState",
    "StockTotal",
    "figures_of_event",
    "first_state",
]
