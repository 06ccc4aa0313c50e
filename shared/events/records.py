"""What a service answers to records that came through exchange: the base of every service's `records-judged`."""

from collections.abc import Set as AbstractSet
from itertools import takewhile
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from shared.events.base import Event


class Fault(BaseModel):
    """One thing wrong with a record: field, rule, words."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    field: str
    rule: str
    message: str


def faults_of(error: ValidationError, known: AbstractSet[str]) -> list[Fault]:
    """Everything wrong with a record, its place named as far as that is by fields of ours (`known`).

    The name of another field is the sender's word and could be anything, also a value in the wrong place. A record may have
    any number of those: they are one fault, so that the answer to a chunk stays small enough to be sent.
    """
    found = (
        Fault(
            field=".".join(takewhile(known.__contains__, map(str, fault["loc"]))) or "record",
            rule=str(fault["type"]),
            message=str(fault["msg"]).removeprefix("Value error, "),
        )
        for fault in error.errors(include_input=False, include_url=False, include_context=False)
    )
    return list(dict.fromkeys(found))


def number_of(record: Any, kind: TypeAdapter[str]) -> str | None:
    """The record's own number, where it can be read as one."""
    try:
        return kind.validate_python(record["source_number"])
    except (KeyError, TypeError, ValidationError):
        return None


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
