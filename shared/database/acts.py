"""What an act on a shared record consists of, besides the record and the command."""

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from shared.security.tokens import Caller

T = TypeVar("T")


class Headers(Protocol):
    """Headers of an answer, to be set."""

    def __setitem__(self, key: str, value: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Act(Generic[T]):
    """Who acts, when, in which transaction, and on which version of the record.

    `at` is a `datetime`, or a `Moment` where the service counts working days. `expected` is the
    version in `If-Match`. `headers` are those of the answer.
    """

    session: AsyncSession
    caller: Caller
    at: T
    expected: int
    headers: Headers
