"""Facts of the exchange service (数据共享交换)."""

from typing import Literal
from uuid import UUID

from shared.events.base import Event

Resource = Literal["cases", "licenses", "supervision", "ratings"]
"""What comes by batch; the service of the same name checks it (`supervision`: matters)."""


class RecordReceived(Event, service="exchange", fact="record-received"):
    """A chunk of records of a signed batch, for the service that checks and stores them.

    `records` is a list of JSON objects, sealed (`seal_for(…, "exchange.records")`) because records
    of licenses and ratings hold personal data; the first is row `first_row` (from 1) of the batch.
    The service answers every chunk with its `records-judged`. Chunks of one peer and resource keep
    their order.
    """

    batch_id: UUID
    chunk: int
    chunks: int
    peer_code: str
    area_code: str
    department_code: str
    resource: Resource
    first_row: int
    records: str

    @property
    def key(self) -> str:
        return f"{self.peer_code}/{self.resource}"


class BatchEvent(Event, service="exchange"):
    """About one batch."""

    batch_id: UUID
    peer_code: str
    area_code: str
    department_code: str
    resource: Resource

    @property
    def key(self) -> str:
        return str(self.batch_id)


class RecordRejected(BatchEvent, fact="record-rejected"):
    """Records of a batch were refused: row, field and rule of every error, never a value."""

    faults: list[dict[str, str | int]]


class BatchFinished(BatchEvent, fact="batch-finished"):
    """Every record of a batch has its verdict."""

    accepted: int
    unchanged: int
    rejected: int


class DeliveryEvent(Event, service="exchange"):
    """About the delivery of one subscription."""

    subscription_id: UUID
    peer_code: str

    @property
    def key(self) -> str:
        return str(self.subscription_id)


class DeliveryFailed(DeliveryEvent, fact="delivery-failed"):
    """A subscriber has not accepted an event for long, or its endpoint was suspended."""

    event_id: UUID
    cause: str
    suspended: bool


class DeliveryRecovered(DeliveryEvent, fact="delivery-recovered"):
    """A subscriber accepts its events again."""


class RecordsPushed(Event, service="exchange", fact="records-pushed"):
    """One push to an upper platform has ended (数据推送); the numbers are of rows."""

    push_id: UUID
    peer_code: str
    area_code: str
    department_code: str
    resource: str
    accepted: int
    rejected: int

    @property
    def key(self) -> str:
        return str(self.push_id)


class ReconciliationFinished(Event, service="exchange", fact="reconciliation-finished"):
    """A reconciliation (对账) has ended.

    `differences`: number by class; `residual`: how many are left after the repair.
    """

    run_id: UUID
    peer_code: str
    resource: str
    equal: bool
    differences: dict[str, int]
    repaired: int
    residual: int

    @property
    def key(self) -> str:
        return str(self.run_id)
