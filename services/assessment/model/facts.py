"""Facts that are counted by themselves, not through a record."""

from collections import Counter

from services.assessment.model.base import Cell
from shared import clock
from shared.events.base import Event
from shared.events.cases import ImportFinished, LightCleared, LightRaised
from shared.events.exchange import BatchFinished, RecordsPushed
from shared.events.licenses import LicenseChanged, LicenseIssued, LicenseRevoked, LicenseUsed


def figures_of_event(event: Event) -> Counter[Cell]:
    """What the fact counts for on its day; nothing when it is counted through a record, or not at all."""
    day = clock.local_date(event.occurred_at)
    match event:
        case LightRaised():
            day, counts = clock.local_date(event.raised_at), {f"lights_{event.level}": 1}
        case LightCleared():
            counts = {"lights_cleared": 1}
        case ImportFinished() | BatchFinished():
            counts = {"pushes_accepted": event.accepted, "pushes_rejected": event.rejected}
        case RecordsPushed():
            counts = {"uploads_accepted": event.accepted, "uploads_rejected": event.rejected}
        case LicenseIssued():
            counts = {"licenses_collected" if event.origin == "collected" else "licenses_issued": 1}
        case LicenseChanged(change="signed"):
            counts = {"licenses_signed": 1}
        case LicenseRevoked():
            counts = {"licenses_revoked": 1}
        case LicenseUsed():
            counts = {"licenses_used": 1}
        case _:
            return Counter()
    return Counter(
        {
            (day, event.area_code, event.department_code, name): number
            for name, number in counts.items()
        }
    )
