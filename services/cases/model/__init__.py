"""Tables of cases and their rules, one idea a file."""

from services.cases.model.base import Base, Moment
from services.cases.model.bundles import (
    RESULT,
    BundleCase,
    BundleCopy,
    BundleState,
    Standing,
    bundle_state,
    deliver_by,
    standing,
)
from services.cases.model.case import Case
from services.cases.model.clocks import Clocks, Lamp, Level
from services.cases.model.licenses import VALID, CaseLicense, LicenseCopy, Use, is_license
from services.cases.model.lights import BURNS, Light
from services.cases.model.materials import is_file, missing_materials
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
from services.cases.model.states import ALLOWED, FINAL, IS_OPEN, Act, State

__all__ = [
    "ALLOWED",
    "BURNS",
    "FINAL",
    "IS_OPEN",
    "RESULT",
    "VALID",
    "Act",
    "Base",
    "BundleCase",
    "BundleCopy",
    "BundleState",
    "CalendarChange",
    "CalendarDay",
    "CalendarVersion",
    "Case",
    "CaseLicense",
    "CaseSerial",
    "Clocks",
    "ImportedCase",
    "Lamp",
    "Level",
    "LicenseCopy",
    "Light",
    "MatterCopy",
    "Moment",
    "Standing",
    "State",
    "TimelineRow",
    "TrackingTries",
    "Upload",
    "Use",
    "bundle_state",
    "deliver_by",
    "is_file",
    "is_license",
    "missing_materials",
    "standing",
]
