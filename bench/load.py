"""The load: HTTP/1.1 clients that cost little, in a closed loop or at a given pace."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import orjson

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
Answer = tuple[int, bytes]
Request = Callable[[int], bytes]
"""Makes the next request of client number n."""


class _Wire(asyncio.Protocol):
    """One connection with one request at a time.

    It reads only answers that carry their length, as all of ours do.
    """

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.answer: asyncio.Future[Answer] | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def connection_lost(self, _error: Exception | None) -> None:
        self.transport = None
        if self.answer is not None and not self.answer.done():
            self.answer.set_exception(ConnectionError("the connection was closed"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 or self.answer is None:
            return
        found = LENGTH.search(self._buffer, 0, end + 2)
        whole = end + 4 + (int(found[1]) if found else 0)
        if len(self._buffer) >= whole:
            status, body = int(self._buffer[9:12]), self._buffer[end + 4 : whole]
            self._buffer = self._buffer[whole:]
            self.answer.set_result((status, body))


class Client:
    """One user: a connection kept open."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._wire = _Wire()

    async def ask(self, request: bytes) -> Answer:
        loop = asyncio.get_running_loop()
        if self._wire.transport is None:
            _, self._wire = await loop.create_connection(_Wire, self._host, self._port)
        assert self._wire.transport is not None
        self._wire.answer = loop.create_future()
        self._wire.transport.write(request)
        return await asyncio.wait_for(self._wire.answer, 60)

    async def json(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """For preparing data: the answer's JSON; anything but success ends the benchmark."""
        status, content = await self.ask(request(method, path, body, **headers))
        if not 200 <= status < 300:
            raise SystemExit(
                f"{method} {path} answered {status}: {content[:500].decode(errors='replace')}"
            )
        return orjson.loads(content) if content else None

    def close(self) -> None:
        if self._wire.transport is not None:
            self._wire.transport.close()


def request(method: str, path: str, body: Any = None, **headers: str) -> bytes:
    """The bytes of a request.

    `body` is sent as JSON, or unchanged when it is bytes. `_` in a header's name means `-`.
    """
    content = b"" if body is None else body if isinstance(body, bytes) else orjson.dumps(body)
    named = {"host": "bench", **{name.replace("_", "-"): value for name, value in headers.items()}}
    if body is not None:
        named = {"content-type": "application/json", **named, "content-length": str(len(content))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + content


@dataclass
class Outcome:
    """What a load met: `times` in seconds, one per answer."""

    seconds: float = 0.0
    times: list[float] = field(default_factory=list[float])
    statuses: Counter[int] = field(default_factory=Counter[int])
    refusal: str = ""

    @property
    def count(self) -> int:
        return len(self.times)

    @property
    def rate(self) -> float:
        return self.count / self.seconds

    def percentile(self, share: float) -> float:
        return percentile(self.times, share)

    def check(self) -> "Outcome":
        """Figures of failing requests mean nothing."""
        bad = {
            status: number for status, number in self.statuses.items() if not 200 <= status < 300
        }
        if bad or not self.times:
            raise SystemExit(
                f"requests failed: {bad or 'none was answered'}; one answer: {self.refusal}"
            )
        return self

    def note(self, started: float, answer: Answer) -> None:
        self.times.append(time.perf_counter() - started)
        self.statuses[answer[0]] += 1
        if answer[0] >= 300:
            self.refusal = answer[1][:400].decode(errors="replace")


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that is at least as large as `share` of all."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def drive(
    url: str, make: Request, *, clients: int, seconds: float = 0.0, count: int = 0
) -> Outcome:
    """Send from each client its next request when the last one is answered.

    It ends after `seconds` seconds, or when `count` requests are sent.
    """
    outcome, left = Outcome(), count
    until = time.perf_counter() + (seconds or 600.0)

    async def work(number: int) -> None:
        nonlocal left
        client = Client(url)
        while time.perf_counter() < until and (not count or left > 0):
            left -= 1
            sent = make(number)
            started = time.perf_counter()
            outcome.note(started, await client.ask(sent))
        client.close()

    begun = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(clients):
            _ = group.create_task(work(number))
    outcome.seconds = time.perf_counter() - begun
    return outcome.check()


async def pace(url: str, make: Request, *, rate: float, seconds: float) -> Outcome:
    """Send `rate` requests a second, whether or not earlier ones were answered.

    This is how people behave. Each request waits for its answer.

    Connections are kept for the next, and a new one is made when all are busy. Refused and lost
    requests are noted like answers (a lost one as status 0); nothing is checked here.
    """
    outcome, idle = Outcome(), list[Client]()
    begun = time.perf_counter()

    async def one(number: int) -> None:
        client = idle.pop() if idle else Client(url)
        started = time.perf_counter()
        try:
            outcome.note(started, await client.ask(make(number)))
            idle.append(client)
        except (OSError, TimeoutError):
            outcome.note(started, (0, b""))
            client.close()

    async with asyncio.TaskGroup() as group:
        for number in range(int(rate * seconds)):
            if (ahead := number / rate - (time.perf_counter() - begun)) > 0:
                await asyncio.sleep(ahead)
            _ = group.create_task(one(number))
    outcome.seconds = time.perf_counter() - begun
    for client in idle:
        client.close()
    return outcome
