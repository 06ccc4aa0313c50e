"""Tables of cases and their rules, one idea a file."""

from services.cases.model.base import Base, Moment
from services.cases.model.case import Case
from services.cases.model.clocks import Clocks, Lamp, Level
from services.cases.model.lights import BURNS, Light
from services.cases.model.materials import missing_materials
from services.cases.model.records import (
    CalendarChange,
    CalendarDay,
    CalendarVersion,
    CaseSerial,
    ImportedCase,
    MatterCopy,
    TimelineRow,
    TrackingTries,
    Upload,
)
from services.cases.model.states import ALLOWED, IS_OPEN, Act, State

__all__ = [
    "ALLOWED",
    "BURNS",
    "IS_OPEN",
    "Act",
    "Base",
    "CalendarChange",
    "CalendarDay",
    "CalendarVersion",
    "Case",
    "CaseSerial",
    "Clocks",
    "ImportedCase",
    "Lamp",
    "Level",
    "Light",
    "MatterCopy",
    "Moment",
    "State",
    "TimelineRow",
    "TrackingTries",
    "Upload",
    "missing_materials",
]
