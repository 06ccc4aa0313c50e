"""Signing jobs, statistics, and the timers of a development system."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel

from services.licenses.model.types import TypeCode
from services.licenses.schemas.licenses import Strict


class SignCollected(Strict):
    """签发 the department's collected licenses, of one type or all."""

    type_code: TypeCode | None = None


class JobRead(BaseModel):
    """How far a job has come; `finished_at` is set when nothing is left."""

    id: UUID
    type_code: str | None
    total: int
    done: int
    failed: int
    created_at: datetime
    finished_at: datetime | None


class Share(BaseModel):
    """A share between 0 and 1, with its parts; None when the denominator is 0."""

    numerator: int
    denominator: int
    share: float | None


class StatisticsRead(BaseModel):
    """Types, collected (采集), issued and signed (签发) licenses, uses (用证).

    `issue_rate` is signed licenses of all, `reuse_rate` licenses used of those that could be.
    """

    types: int
    collected: int
    issued: int
    signed: int
    uses: int
    refused_uses: int
    issue_rate: Share
    reuse_rate: Share


class TimerRun(Strict):
    """The moment to run the timers for, with its offset."""

    as_of: datetime


class TimerRan(BaseModel):
    """How many licenses one run expired and signed."""

    expired: int
    signed: int
