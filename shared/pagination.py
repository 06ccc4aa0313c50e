"""Cursor paging: from the last row seen and without OFFSET, so all pages cost the same."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Annotated, Any, Generic, NamedTuple, TypeVar
from urllib.parse import parse_qsl

import fastapi
import orjson
from pydantic import BaseModel

from shared.errors import FieldError, InvalidInputError

T = TypeVar("T")
MAX_LIMIT = 200
SIGNATURE_BYTES = 16

Limit = Annotated[int, fastapi.Query(ge=1, le=MAX_LIMIT, description="Rows per page")]
"""Use as `limit: Limit = 50`."""
Cursor = Annotated[
    str | None, fastapi.Query(max_length=512, description="`next` of the page before")
]
"""Use as `cursor: Cursor = None`."""


class Page(BaseModel, Generic[T]):
    """One page; `next` is the cursor of the next page, null on the last."""

    items: list[T]
    next: str | None = None


class QueryOfCursor(NamedTuple):
    """What a cursor belongs to: the key of the service, and the request without its page."""

    key: bytes
    path: str
    query_string: bytes

    def signature(self, content: bytes) -> str:
        """Binds the content of a cursor to this query; another page size is the same query."""
        parameters: list[tuple[str, str]] = []
        for name, value in parse_qsl(self.query_string.decode("latin-1"), keep_blank_values=True):
            if name not in {"cursor", "limit"}:
                parameters.append((name, value))
        bound = orjson.dumps([self.path, sorted(parameters), content.decode()])
        return _encoded(hmac.digest(self.key, bound, hashlib.sha256)[:SIGNATURE_BYTES])


OUTSIDE = QueryOfCursor(b"", "", b"")
"""Outside a request, as in commands, nobody hands a cursor back."""
_query: ContextVar[QueryOfCursor | None] = ContextVar("query", default=None)


def _current_query() -> QueryOfCursor:
    return _query.get() or OUTSIDE


@contextmanager
def cursors_for(query: QueryOfCursor) -> Generator[None]:
    """Make and read the cursors of this query within the block."""
    token = _query.set(query)
    try:
        yield
    finally:
        _query.reset(token)


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def encode_cursor(*values: object) -> str:
    """The sort values of the last row, opaque to clients, signed for the query at hand."""
    content = orjson.dumps(list(values), default=str)
    return f"{_encoded(content)}.{_current_query().signature(content)}"


def decode_cursor(cursor: str, *kinds: Any) -> list[Any]:
    """The values of a cursor, converted by `kinds` (one callable per value).

    Raises:
        InvalidInputError: it is no cursor of `encode_cursor` for this query with such values.
    """
    try:
        encoded, _, signature = cursor.partition(".")
        padded = encoded + "=" * (-len(encoded) % 4)
        content = base64.b64decode(padded, altchars=b"-_", validate=True)
        expected = _current_query().signature(content)
        if not hmac.compare_digest(expected.encode(), signature.encode()):
            raise ValueError("not signed for this query")  # noqa: TRY301 - one refusal for all
        values: list[object] = orjson.loads(content)
        return [kind(value) for kind, value in zip(kinds, values, strict=True)]
    except (ValueError, TypeError, binascii.Error, OverflowError) as error:
        fault = FieldError(
            "cursor",
            "own_cursor",
            message="send the `next` of an earlier page unchanged, with the same query, or none",
        )
        raise InvalidInputError("the cursor is not one of ours", [fault]) from error


def page_of(rows: Sequence[Any], limit: int, *keys: str) -> tuple[Sequence[Any], str | None]:
    """Cut `limit + 1` fetched rows to a page, and make its cursor.

    The cursor holds the attributes `keys` of the last row of the page; None on the last page.
    """
    if len(rows) <= limit:
        return rows, None
    last = rows[limit - 1]
    return rows[:limit], encode_cursor(*(getattr(last, key) for key in keys))
