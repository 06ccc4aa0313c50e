"""Cursor paging: from the last row seen and without OFFSET, so all pages cost the same."""

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Any, Generic, TypeVar, cast

import orjson
from fastapi import Query
from pydantic import BaseModel

from shared.errors import FieldError, InvalidInputError

T = TypeVar("T")
MAX_LIMIT = 200

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Rows per page")]
"""Use as `limit: Limit = 50`."""
Cursor = Annotated[str | None, Query(max_length=512, description="`next` of the page before")]
"""Use as `cursor: Cursor = None`."""


class Page(BaseModel, Generic[T]):
    """One page; `next` is the cursor of the next page, null on the last."""

    items: list[T]
    next: str | None = None


def encode_cursor(*values: object) -> str:
    """The sort values of the last row, opaque to clients."""
    return base64.urlsafe_b64encode(orjson.dumps(list(values), default=str)).rstrip(b"=").decode()


def decode_cursor(cursor: str, *kinds: Any) -> list[Any]:
    """The values of a cursor, converted by `kinds` (one callable per value).

    Raises:
        InvalidInputError: it is no cursor of `encode_cursor` with such values.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        values: object = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if not isinstance(values, list):
            raise ValueError("no list")  # noqa: TRY301, TRY004 - one refusal for every error
        found = cast("list[object]", values)
        return [kind(value) for kind, value in zip(kinds, found, strict=True)]
    except (ValueError, TypeError, binascii.Error, OverflowError) as error:
        fault = FieldError(
            "cursor", "own_cursor", message="send the `next` of an earlier page unchanged, or none"
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
