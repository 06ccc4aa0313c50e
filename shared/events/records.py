"""The answer of a service to records that came by batch: the base of each `records-judged`."""

from collections.abc import Set as AbstractSet
from itertools import takewhile
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from shared.events.base import Event


class Fault(BaseModel):
    """One error of a record."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    field: str
    rule: str
    message: str


def faults_of(error: ValidationError, known: AbstractSet[str]) -> list[Fault]:
    """All errors of a record, each with the part of its place that consists of `known` fields.

    The name of another field comes from the sender and could be anything, even a value in the wrong
    place. A record may have any number of them; they are one fault, so that the answer to a chunk
    stays small enough to be sent.
    """
    found: dict[Fault, None] = {}
    for fault in error.errors(include_input=False, include_url=False, include_context=False):
        ours = takewhile(known.__contains__, map(str, fault["loc"]))
        message = fault["msg"].removeprefix("Value error, ")
        one = Fault(field=".".join(ours) or "record", rule=fault["type"], message=message)
        found[one] = None
    return list(found)


def number_of(record: Any, kind: TypeAdapter[str]) -> str | None:
    """The record's own number, where it can be read as one."""
    try:
        return kind.validate_python(record["source_number"])
    except (KeyError, TypeError, ValidationError):
        return None


class Verdict(BaseModel):
    """What became of one record.

    `unchanged`: it was known in this version or a newer one. `row` counts from 1 within the whole
    batch; `key` is the record's own number, None when it has none that can be read.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    row: int
    key: str | None
    status: Literal["accepted", "unchanged", "rejected"]
    faults: list[Fault] = []


class RecordsJudged(Event):
    """The verdicts on one chunk (`shared.events.exchange.RecordReceived`), one for every row."""

    batch_id: UUID
    chunk: int
    verdicts: list[Verdict]

    @property
    def key(self) -> str:
        return str(self.batch_id)
