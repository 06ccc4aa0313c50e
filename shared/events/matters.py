"""Facts of the matters service (事项)."""

from datetime import date
from typing import Any
from uuid import UUID

from shared.domain.guides import MatterKind
from shared.events.base import Event
from shared.events.records import RecordsJudged


class MatterEvent(Event, service="matters"):
    """About one matter; `revision` counts its changes, `version` its published texts."""

    matter_id: UUID
    code: str | None
    local_code: str | None
    area_code: str
    department_code: str

    @property
    def key(self) -> str:
        return str(self.matter_id)


class MatterPublished(MatterEvent, fact="matter-published"):
    """A version was published, with its whole document, so that no consumer has to ask for it.

    `document` is a `shared.domain.guides.MatterDocument` as JSON. `level` is the derived online
    depth 1–4, `previous_level` that of the version before (None when first published).
    """

    version: int
    type: MatterKind
    level: int
    previous_level: int | None
    situational: bool
    # Not the model itself: it forbids unknown keys, and a consumer of an older version must be able
    # to read an event with new ones.
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
    """A bundle (一件事) was published or, with `open` False, withdrawn.

    `document` is a `shared.domain.bundles.BundleSnapshot` as JSON.
    """

    bundle_id: UUID
    code: str
    area_code: str
    department_code: str
    version: int
    open: bool
    document: dict[str, Any]  # as in `MatterPublished`

    @property
    def key(self) -> str:
        return str(self.bundle_id)


class SupervisionRecorded(Event, service="matters", fact="supervision-recorded"):
    """A bureau recorded an act of supervision (监管行为).

    It is an inspection, a penalty, a compulsion or another one.
    """

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
