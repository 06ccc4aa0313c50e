"""A real HTTP subscriber.

It takes webhooks, verifies them with an off-the-shelf library, and misbehaves on demand.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson
from standardwebhooks import Webhook


@dataclass
class Received:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        return orjson.loads(self.body)


@dataclass
class Subscriber:
    """`status` is the answer that it gives.

    `secret` verifies, when it is known; `any_age` also accepts what was signed at another time.
    """

    status: int = 200
    secret: str | None = None
    allowed_origin: str | None = "*"
    echo: bool = True
    headers: dict[str, str] = field(default_factory=dict[str, str])
    refuse_keys: set[str] = field(default_factory=set[str])
    """Keys whose events are refused with 422."""
    any_age: bool = False
    sleep: float = 0.0
    body: bytes = b""
    requests: list[Received] = field(default_factory=list[Received])
    accepted: list[Received] = field(default_factory=list[Received])
    unverified: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def ids(self) -> list[str]:
        """Ids of the events taken, in order, repetitions included."""
        with self.lock:
            return [received.event["id"] for received in self.accepted]

    def by_key(self) -> dict[str, list[int]]:
        """The versions taken of each key, in order."""
        versions: dict[str, list[int]] = defaultdict(list)
        with self.lock:
            for received in self.accepted:
                versions[received.event["partitionkey"]].append(
                    int(received.event["entityversion"])
                )
        return dict(versions)

    def take(self, received: Received) -> tuple[int, bytes]:
        """Status and body of the answer."""
        with self.lock:
            self.requests.append(received)
        if received.method == "OPTIONS":
            return self.status, b""
        if not self._is_verified(received):
            return 401, b""
        document = received.event
        if document.get("type") == "webhook.challenge":
            return self.status, orjson.dumps(
                {"challenge": document["challenge"] if self.echo else "something else"}
            )
        time.sleep(self.sleep)
        status = 422 if document["partitionkey"] in self.refuse_keys else self.status
        if status < 300:
            with self.lock:
                self.accepted.append(received)
        return status, self.body

    def _is_verified(self, received: Received) -> bool:
        if self.secret is None:
            return True
        try:
            if self.any_age:
                return self._signed_then(received)
            _ = Webhook(self.secret).verify(received.body, received.headers)
        except Exception:
            self.unverified += 1
            return False
        return True

    def _signed_then(self, received: Received) -> bool:
        """The library's own signature for the time that the message names.

        For tests that move the clock.
        """
        stamp = datetime.fromtimestamp(int(received.headers["webhook-timestamp"]), UTC)
        wanted = Webhook(self.secret or "").sign(
            received.headers["webhook-id"], stamp, received.body.decode()
        )
        return wanted in received.headers["webhook-signature"].split(" ")


@contextmanager
def listening(subscriber: Subscriber | None = None) -> Generator[Subscriber]:
    """The subscriber on a port of its own, until the block ends.

    It uses `subscriber.port` again when it had one.
    """
    own = subscriber or Subscriber()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, body = own.take(
                Received(self.command, self.path, headers, self.rfile.read(length))
            )
            self.send_response(status)
            if self.command == "OPTIONS" and own.allowed_origin is not None:
                self.send_header("WebHook-Allowed-Origin", own.allowed_origin)
            for name, value in own.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            try:
                _ = self.wfile.write(body)
            except OSError:
                self.close_connection = True

        do_POST = do_OPTIONS = do_GET = _answer  # noqa: N815 - the names that the library calls

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False
        request_queue_size = 128
        allow_reuse_address = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A caller that hangs up is no news."""

    server = Server(("127.0.0.1", own.port), Handler)
    own.port = server.server_port
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    )
    thread.start()
    try:
        yield own
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
