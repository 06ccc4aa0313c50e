"""Facts of the matters service (事项)."""

from datetime import date
from typing import Any
from uuid import UUID

from shared.events.base import Event
from shared.events.records import RecordsJudged


class MatterEvent(Event, service="matters"):
    """About one matter; `revision` is the number of the change, `version` that of the published text."""

    matter_id: UUID
    code: str | None
    local_code: str | None
    area_code: str
    department_code: str

    @property
    def key(self) -> str:
        return str(self.matter_id)


class MatterPublished(MatterEvent, fact="matter-published"):
    """The whole snapshot of a published version (`shared.domain.guides.MatterDocument` as JSON), so that no consumer calls back.

    `level` is the derived online depth 1–4, `previous_level` that of the version before (None when first published).
    """

    version: int
    type: str
    level: int
    previous_level: int | None
    situational: bool
    document: dict[str, Any]


class MatterSuspended(MatterEvent, fact="matter-suspended"):
    """No new applications until it is published again (挂起)."""

    version: int
    reason: str


class MatterCancelled(MatterEvent, fact="matter-cancelled"):
    """Gone for good (取消)."""

    version: int
    reason: str


class BundlePublished(Event, service="matters", fact="bundle-published"):
    """The whole snapshot of a published one-thing bundle (一件事); `open` False when it is withdrawn."""

    bundle_id: UUID
    code: str
    area_code: str
    department_code: str
    version: int
    open: bool
    document: dict[str, Any]

    @property
    def key(self) -> str:
        return str(self.bundle_id)


class SupervisionRecorded(Event, service="matters", fact="supervision-recorded"):
    """A supervision record (监管行为) of a bureau: an inspection, penalty, compulsion or other act under a regulatory matter."""

    record_id: UUID
    regulatory_code: str
    behaviour: str
    area_code: str
    department_code: str
    done_on: date
    result: str

    @property
    def key(self) -> str:
        return str(self.record_id)


class SupervisionRecordsJudged(RecordsJudged, service="matters", fact="records-judged"):
    """The verdicts on supervision records that came by batch."""
