"""The regional platform over HTTP: the implementation of `port.Region`.

The protocol is described where its other side is, in `deploy/simulators/regional.py`.
"""

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from typing import TypedDict, cast
from uuid import UUID

import httpx
import orjson

from services.exchange.region.model.ledger import LedgerResource
from services.exchange.region.port import (
    PushForgottenError,
    Question,
    Region,
    RegionAwayError,
    Reject,
)
from services.exchange.region.use_cases.tables import COLUMNS, KEY, TableRow
from shared.runtime import http_client

_QUOTED = re.compile(r"[0-9A-Za-z]{6,}(?<=[0-9Xx])|\d{4,}")
TIMEOUT = 90.0
"""Seconds; the cut of a reconciliation may wait for a minute on the other side."""


class StreamStatus(TypedDict):
    """Answer to `GET /streams/{resource}`."""

    acknowledged: int


class RefusedRow(TypedDict):
    """What the quality check (`/tables/{table}_unqbak`) tells of a row, beside its own columns."""

    version: str | int | None
    error_msg: object


class BatchStatus(TypedDict):
    """Answer to `GET /batches/{id}`."""

    checked: bool


def _cause(text: object) -> str:
    """The text of the quality check without the values that it may quote.

    A cause to count by, without anybody's number.
    """
    return _QUOTED.sub("*", str(text))[:100]


def _is_not_found(error: RegionAwayError) -> bool:
    cause = error.__cause__
    return isinstance(cause, httpx.HTTPStatusError) and cause.response.status_code == 404


class HttpRegion(Region):
    """One client for the life of the process. Answers are compressed, and every byte is counted."""

    def __init__(self, url: str) -> None:
        self._client = http_client.open_client(url, timeout=TIMEOUT)
        self.traffic = 0

    async def close(self) -> None:
        await self._client.aclose()

    async def _call(
        self, method: str, *, path: str, content: bytes | None = None, **params: str
    ) -> httpx.Response:
        headers: dict[str, str] = {}
        if content:
            headers["content-type"] = "application/json"
        try:
            answer = await self._client.request(
                method, path, content=content, params=params, headers=headers
            )
            self.traffic += len(content or b"") + answer.num_bytes_downloaded
            return answer.raise_for_status()
        except httpx.HTTPError as error:
            raise RegionAwayError(type(error).__name__) from error

    async def _json(
        self, method: str, *, path: str, content: bytes | None = None, **params: str
    ) -> object:
        answer = await self._call(method, path=path, content=content, **params)
        try:
            return orjson.loads(answer.content)
        except ValueError as error:
            raise RegionAwayError("no JSON") from error

    async def last_acknowledged(self, resource: LedgerResource) -> int:
        status = cast("StreamStatus", await self._json("GET", path=f"/streams/{resource}"))
        return int(status["acknowledged"])

    async def send(self, body: bytes) -> None:
        _ = await self._json("POST", path="/batches", content=body)

    async def rejects(self, resource: LedgerResource, push_id: UUID) -> Sequence[Reject] | None:
        try:
            status = cast("BatchStatus", await self._json("GET", path=f"/batches/{push_id}"))
        except RegionAwayError as error:
            if _is_not_found(error):
                raise PushForgottenError(str(push_id)) from error
            raise
        if not status["checked"]:
            return None
        rejects: list[Reject] = []
        for table in COLUMNS[resource]:
            answer = await self._json("GET", path=f"/tables/{table}_unqbak", cd_batch=str(push_id))
            for row in cast("list[TableRow]", answer):
                refused = cast("RefusedRow", row)
                reject = Reject(
                    key=str(row[KEY[resource]]),
                    version=int(refused["version"] or 0),
                    code=_cause(refused["error_msg"]),
                )
                rejects.append(reject)
        return rejects

    async def ask(self, run_id: UUID, question: Question, *, body: Mapping[str, object]) -> object:
        return await self._json(
            "POST", path=f"/recon/{run_id}/{question}", content=orjson.dumps(body)
        )

    async def countersign(self, run_id: UUID, statement: bytes) -> bytes:
        answer = await self._call("POST", path=f"/recon/{run_id}/statement", content=statement)
        return answer.content


class RateLimit:
    """Token bucket: at most `rate` rows a second over time, and one push at once."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._free_at = 0.0

    async def wait_for(self, rows: int) -> None:
        """Wait until the rows of the pushes before have had their time."""
        now = time.monotonic()
        await asyncio.sleep(max(0.0, self._free_at - now))
        self._free_at = max(now, self._free_at) + rows / self._rate
