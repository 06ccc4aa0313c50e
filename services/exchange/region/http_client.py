"""The regional platform over HTTP: the adapter behind `use_cases.region.Region`.

The protocol is written down where its other side is, in `deploy/simulators/regional.py`.
"""

import asyncio
import re
import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import httpx
import orjson

from services.exchange.region.port import PushForgottenError, Region, RegionAwayError, Reject
from services.exchange.region.use_cases.tables import COLUMNS, KEY
from shared.runtime import http_client

_QUOTED = re.compile(r"[0-9A-Za-z]{6,}(?<=[0-9Xx])|\d{4,}")
TIMEOUT = 90.0
"""The cut of a reconciliation may wait for a minute on the other side."""


def _cause(words: object) -> str:
    """The words of the quality check without the values that they may quote: a cause to count by, and nobody's number."""
    return _QUOTED.sub("*", str(words))[:100]


class HttpRegion(Region):
    """One client for the life of the process. Answers are compressed, and every byte is counted."""

    def __init__(self, url: str) -> None:
        self._client = http_client.open_client(url, timeout=TIMEOUT)
        self.traffic = 0

    async def close(self) -> None:
        await self._client.aclose()

    async def _call(
        self, method: str, path: str, content: bytes | None = None, **params: str
    ) -> httpx.Response:
        headers = {"content-type": "application/json"} if content else None
        try:
            answer = await self._client.request(
                method, path, content=content, params=params, headers=headers
            )
            self.traffic += len(content or b"") + answer.num_bytes_downloaded
            return answer.raise_for_status()
        except httpx.HTTPError as error:
            raise RegionAwayError(type(error).__name__) from error

    async def _json(
        self, method: str, path: str, content: bytes | None = None, **params: str
    ) -> Any:
        answer = await self._call(method, path, content, **params)
        try:
            return orjson.loads(answer.content)
        except ValueError as error:
            raise RegionAwayError("no JSON") from error

    async def last_acknowledged(self, resource: str) -> int:
        return int((await self._json("GET", f"/streams/{resource}"))["acknowledged"])

    async def send(self, body: bytes) -> None:
        _ = await self._json("POST", "/batches", body)

    async def rejects(self, resource: str, push_id: UUID) -> Sequence[Reject] | None:
        try:
            status = await self._json("GET", f"/batches/{push_id}")
        except RegionAwayError as error:
            if (
                isinstance(error.__cause__, httpx.HTTPStatusError)
                and error.__cause__.response.status_code == 404
            ):
                raise PushForgottenError(str(push_id)) from error
            raise
        if not status["checked"]:
            return None
        tables = [f"{table}_unqbak" for table in COLUMNS[resource]]
        found = [
            await self._json("GET", f"/tables/{table}", cd_batch=str(push_id)) for table in tables
        ]
        rows = [row for table in found for row in table]
        return [
            Reject(row[KEY[resource]], int(row["version"]), _cause(row["error_msg"]))
            for row in rows
        ]

    async def ask(self, run_id: UUID, question: str, body: dict[str, Any]) -> Any:
        return await self._json("POST", f"/recon/{run_id}/{question}", orjson.dumps(body))

    async def countersign(self, run_id: UUID, statement: bytes) -> bytes:
        return (await self._call("POST", f"/recon/{run_id}/statement", statement)).content


class Bucket:
    """Token bucket: at most `rate` rows a second over time, and one push at once."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._free_at = 0.0

    async def take(self, rows: int) -> None:
        """Wait until the rows of the pushes before have had their time."""
        now = time.monotonic()
        await asyncio.sleep(max(0.0, self._free_at - now))
        self._free_at = max(now, self._free_at) + rows / self._rate
