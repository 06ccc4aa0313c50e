"""The request log: one JSON line for each request that comes to the gateway, also for refused ones.

It holds no personal data: the template of the path instead of the path, no query, no address, the
caller's kind and nothing else about her. `request_id` is the `trace_id` of the answer. Keeping the
lines (norms §7: six months at least) is the work of whatever collects standard error.

Lines are formatted where the request ends, and written by a thread, so that a collector that stands
still holds up no request. What it does not take within `MAX_LINES` lines is dropped and counted.
"""

import atexit
import threading
import time
from collections import deque
from datetime import UTC, datetime

import orjson
from prometheus_client import Counter

from shared import logs

PAUSE = 0.1
"""Seconds between two writes; what a crash loses."""
FLUSH_SECONDS = 2.0
"""How long the end of the process waits for a writer that is held up."""
MAX_LINES = 100_000
"""About 30 MB."""
PIPE_BYTES = 4096
"""What a pipe takes as a whole: longer writes could mix with lines of other threads."""
OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE

DROPPED = Counter(
    "tongban_log_lines_dropped_total", "Lines of the request log that nobody took in time"
)


class RequestLog:
    """Collects lines and writes them in another thread."""

    def __init__(self) -> None:
        self._lines: deque[bytes] = deque()
        self._wake = threading.Event()
        self._writing = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(
        self,
        method: str,
        route: str,
        *,
        status: int,
        seconds: float,
        service: str,
        caller: str,
        request_id: str,
    ) -> None:
        """Log a request that has ended; `service` is where it went."""
        if len(self._lines) >= MAX_LINES:
            DROPPED.inc()
            return
        line = {
            "event": "request",
            "timestamp": datetime.now(UTC),
            "level": "info",
            "service": "gateway",
            "method": method,
            "route": route,
            "upstream": service,
            "status": status,
            "ms": int(seconds * 1000),
            "caller": caller,
            "request_id": request_id,
        }
        self._lines.append(orjson.dumps(line, option=OPTIONS))
        if not self._wake.is_set():
            self._begin()

    def _begin(self) -> None:
        self._wake.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, name="request-log", daemon=True)
            self._thread.start()
            _ = atexit.register(self.flush)

    def _write(self) -> None:
        while self._wake.wait():
            time.sleep(PAUSE)
            # Before the lines are taken: whatever comes later wakes this thread again.
            self._wake.clear()
            self.flush()

    def flush(self) -> None:
        """Write what was collected; not while another thread is held up by its reader."""
        if not self._writing.acquire(timeout=FLUSH_SECONDS):
            return
        try:
            while self._lines:
                self._write_piece()
        finally:
            self._writing.release()

    def _write_piece(self) -> None:
        """Write the next lines, as many as a pipe takes as a whole."""
        lines = [self._lines.popleft()]
        size = len(lines[0])
        while self._lines and size + len(self._lines[0]) <= PIPE_BYTES:
            lines.append(self._lines.popleft())
            size += len(lines[-1])
        try:
            logs.write(b"".join(lines))
        except OSError:
            # Its reader is gone, or its disk is full.
            DROPPED.inc(len(lines))


request_log = RequestLog()
"""That of this process."""
