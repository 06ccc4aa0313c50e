"""Facts that are counted by themselves, not through a record."""

from collections import Counter

from services.assessment.model.base import Cell, Measure
from shared import clock
from shared.events.base import Event
from shared.events.cases import ImportFinished, LightCleared, LightRaised
from shared.events.exchange import BatchFinished, RecordsPushed
from shared.events.licenses import (
    LicenseChanged,
    LicenseEvent,
    LicenseIssued,
    LicenseRevoked,
    LicenseUsed,
)

LIGHTS = {
    "yellow": Measure.LIGHTS_YELLOW,
    "red": Measure.LIGHTS_RED,
    "deep_red": Measure.LIGHTS_DEEP_RED,
}


def figures_of_event(event: Event) -> Counter[Cell]:
    """What the fact counts for on its day.

    Empty when it is counted through a record, or not at all.
    """
    day = clock.local_date(event.occurred_at)
    counts: dict[Measure, int]
    match event:
        case LightRaised():
            day = clock.local_date(event.raised_at)
            counts = {LIGHTS[event.level]: 1}
        case LightCleared():
            counts = {Measure.LIGHTS_CLEARED: 1}
        case ImportFinished() | BatchFinished():
            counts = {
                Measure.PUSHES_ACCEPTED: event.accepted,
                Measure.PUSHES_REJECTED: event.rejected,
            }
        case RecordsPushed():
            counts = {
                Measure.UPLOADS_ACCEPTED: event.accepted,
                Measure.UPLOADS_REJECTED: event.rejected,
            }
        case LicenseEvent() | LicenseUsed():
            counts = _license_counts(event)
        case _:
            return Counter()
    cells = Counter[Cell]()
    for measure, number in counts.items():
        cells[Cell(day, event.area_code, event.department_code, measure)] = number
    return cells


def _license_counts(event: LicenseEvent | LicenseUsed) -> dict[Measure, int]:
    match event:
        case LicenseIssued(origin="collected"):
            return {Measure.LICENSES_COLLECTED: 1}
        case LicenseIssued():
            return {Measure.LICENSES_ISSUED: 1}
        case LicenseChanged(change="signed"):
            return {Measure.LICENSES_SIGNED: 1}
        case LicenseRevoked():
            return {Measure.LICENSES_REVOKED: 1}
        case LicenseUsed():
            return {Measure.LICENSES_USED: 1}
        case _:
            return {}
