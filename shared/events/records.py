"""What a service answers to records that came through exchange: the base of every service's `records-judged`."""

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from shared.events.base import Event


class Fault(BaseModel):
    """One thing wrong with a record: field, rule, words."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    field: str
    rule: str
    message: str


class Verdict(BaseModel):
    """What became of one record: taken, known already in this version or a newer one, or refused with every fault.

    `row` counts from 1 within the whole batch; `key` is the record's own number, None when it has none that can be read.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    row: int
    key: str | None
    status: Literal["accepted", "unchanged", "rejected"]
    faults: list[Fault] = []


class RecordsJudged(Event):
    """The verdicts on one chunk of a batch (`shared.events.exchange.RecordReceived`), a verdict for every row of it."""

    batch_id: UUID
    chunk: int
    verdicts: list[Verdict]

    @property
    def key(self) -> str:
        return str(self.batch_id)
