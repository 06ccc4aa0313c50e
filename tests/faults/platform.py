"""A part of the production topology to break.

It reaches from a matter to the daily report; its tokens are signed by the tests.

`Platform` is a `Stack` of the processes that carry a case, on a real PostgreSQL and a real Kafka
broker. It lives for the whole test run, and so does its memory of everything that the platform ever
acknowledged: every check covers all of it.
"""

import secrets
import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.request import urlopen

import asyncpg
import orjson

from deploy.postgres import free_port, is_free
from deploy.processes import GATEWAY_PORT, SERVICES, Process, processes
from deploy.run_folder import RunFolder
from deploy.stack import Stack
from tests.builders.matters import CITY, DEPARTMENT
from tests.builders.subscriber import listening
from tests.builders.tokens import TestKeys
from tests.faults.partner import Partner, SentBatch

DATABASES = ("matters", "cases", "licenses", "ratings", "exchange", "assessment")
PROCESSES = (
    *(f"{service}-api" for service in DATABASES if service != "assessment"),
    *(f"{service}-worker" for service in DATABASES),
)
HOURS = 6 * 3600
DURABLE = {"fsync": "off"}
"""Nothing here cuts the power, so a commit need not reach the disk.

It must reach the kernel before it is answered.
"""

DRAIN_SECONDS = 1.0
GATEWAY = {
    "GATEWAY_DRAIN_SECONDS": str(DRAIN_SECONDS),
    "GATEWAY_PROBE_SECONDS": "0.2",
    "GATEWAY_RATE_PER_ADDRESS": "10000",
    "GATEWAY_RATE_PER_CALLER": "10000",
    "GATEWAY_RATE_PER_CLIENT": "10000",
    "GATEWAY_ROUTE_RATES": '{"ratings": [10000, 10000], "license_checks": [10000, 10000]}',
}
"""Only tests of rolling restarts start gateways."""

Headers = dict[str, str]


@dataclass
class Known:
    """A case as the platform acknowledged it.

    Its number, every act in order, and the phone that its applicant gave.
    """

    number: str
    acts: list[str] = field(default_factory=list[str])
    phone: str = ""


@dataclass
class Acknowledged:
    """Everything that was answered with success."""

    cases: dict[str, Known] = field(default_factory=dict[str, Known])
    pushes: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    pushed: dict[str, int] = field(default_factory=dict[str, int])
    """Source number of an imported case → its newest version."""
    supervised: dict[str, int] = field(default_factory=dict[str, int])
    """Source number of a record of supervision → its newest version."""
    texts: dict[str, str] = field(default_factory=dict[str, str])
    """Code of a matter → the alias that its newest text carries."""
    ratings: dict[tuple[str, int], tuple[str, int]] = field(
        default_factory=dict[tuple[str, int], tuple[str, int]]
    )
    """Case number and service number → id and grade."""
    batches: dict[str, SentBatch] = field(default_factory=dict[str, SentBatch])
    """By the peer's own number of each."""
    collected: dict[str, int] = field(default_factory=dict[str, int])
    """Source number of a collected licence → its newest version."""

    def __len__(self) -> int:
        # A copy, made in one step: the load goes on in threads of its own while this is counted.
        acts = sum(len(case.acts) for case in list(self.cases.values()))
        return acts + len(self.pushes) + len(self.ratings) + len(self.batches)

    def told(self) -> str:
        """How much of everything there is."""
        decided = sum("decide" in case.acts for case in self.cases.values())
        return (
            f"{len(self)} changes: {len(self.cases)} cases, {decided} decided,"
            f" {len(self.ratings)} ratings, {len(self.batches)} batches,"
            f" {len(self.collected)} licences collected"
        )


class Platform(Stack):
    """Start, break, heal; knows its addresses, callers and databases."""

    def __init__(self, data: Path, keys: TestKeys, region: str = "", *, brokers: int = 1) -> None:
        self._jwks = serve_keys(keys)
        url = f"http://127.0.0.1:{self._jwks.server_port}/"
        super().__init__(
            RunFolder(data, _free_place()),
            settings={
                **{f"{name.upper()}_JWKS_URL": url for name in SERVICES},
                **{f"{name.upper()}_DRAIN_SECONDS": str(DRAIN_SECONDS) for name in SERVICES},
                **GATEWAY,
                "GATEWAY_JWKS_URL": url,
                "GATEWAY_REVOCATIONS_URL": f"{url}revocations",
                "EXCHANGE_REGIONAL_URL": region,
            },
            postgres=DURABLE,
            only=PROCESSES,
            brokers=brokers,
        )
        self._keys = keys
        self.acknowledged = Acknowledged()
        self.partner = Partner()
        self.region = region
        self._outside = ExitStack()

    def __enter__(self) -> Self:
        self.listen()
        return super().__enter__()

    def listen(self) -> None:
        """The subscriber's endpoint is there (again, at the same address)."""
        self.partner.subscriber.status = 200
        _ = self._outside.enter_context(listening(self.partner.subscriber))

    def hang_up(self) -> None:
        """The subscriber's endpoint is gone; what holds an open connection is sent away."""
        self.partner.subscriber.status = 503
        self._outside.close()

    def __exit__(self, *details: object) -> None:
        super().__exit__(*details)
        self.hang_up()
        self._jwks.shutdown()
        self._jwks.server_close()

    def caller(self, **claims: Any) -> Headers:
        """Authorization header of a new person, or of whom the claims say."""
        return {
            "Authorization": f"Bearer {self._keys.token(exp=int(time.time()) + HOURS, **claims)}"
        }

    def officer(self, role: str) -> Headers:
        return self.caller(kind="staff", roles=[role], area=CITY, department=DEPARTMENT)

    def url(self, name: str) -> str:
        """Where a process listens."""
        return f"http://127.0.0.1:{self.listed[name].port}"

    def named(self, kind: str) -> list[str]:
        """The running processes of a kind and its replicas: `cases-api`, `cases-api.2`."""
        return [name for name in self.running if name.partition(".")[0] == kind]

    async def connect(self, service: str) -> asyncpg.Connection:
        return await asyncpg.connect(self.postgres.dsn(f"tongban_{service}"))

    def leads(self, name: str) -> bool:
        """Whether this worker's relay is the one at work."""
        try:
            with urlopen(f"http://127.0.0.1:{self.listed[name].port}/readyz", timeout=3) as answer:
                return bool(orjson.loads(answer.read())["leads_relay"])
        except OSError:
            return False

    @contextmanager
    def gateways(self, number: int) -> Generator[list[str]]:
        """Gateways on one port; stopped cleanly at the end."""
        added: list[str] = []
        for one in range(1, number + 1):
            process = Process("gateway", "gateway", free_port(), one)
            self.listed[process.name] = process
            added.append(process.name)
            self.launch(process.name)
        try:
            for name in added:
                self.wait_ready(name)
            yield added
        finally:
            for name in added:
                if name in self.running:
                    self.end(name)

    @contextmanager
    def replicas(self, *names: str) -> Generator[list[str]]:
        """One further copy of each named process; stopped cleanly at the end."""
        added = [self.add_replica(name, 1 + len(self.named(name))) for name in names]
        for name in added:
            self.launch(name)
        try:
            for name in added:
                self.wait_ready(name)
            yield added
        finally:
            for name in added:
                if name in self.running:
                    self.end(name)

    @contextmanager
    def other_settings(self, settings: dict[str, str]) -> Generator[None]:
        """Whatever is launched meanwhile gets these settings too."""
        own = self._settings
        self._settings = {**own, **settings}
        try:
            yield
        finally:
            self._settings = own

    def launch(self, name: str, *through: str) -> None:
        """Workers look at topics and dead letters more often than in production."""
        if not through and self.listed[name].role == "worker":
            through = ("tests.faults.hurried",)
        super().launch(name, *through)

    def relaunch(self, name: str, *through: str) -> Self:
        """Start a process again and wait until it is ready.

        It was killed, or it is replaced while it runs.
        """
        if name in self.running:
            self.kill(name)
        self.launch(name, *through)
        self.wait_ready(name)
        return self


def until(what: str, condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Wait for a condition; its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.05)
    return value


def _free_place() -> int:
    """A gateway port whose whole family of ports is free."""
    while True:
        port = 10_000 + secrets.randbelow(20_000)
        if all(is_free(process.port) for process in processes(port - GATEWAY_PORT)):
            return port


def serve_keys(keys: TestKeys) -> ThreadingHTTPServer:
    """Serve the public keys, and a feed in which no session has ended."""
    documents = {
        "/": orjson.dumps(keys.jwks()),
        "/revocations": orjson.dumps({"items": [], "next": "0"}),
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = documents[self.path.partition("?")[0]]
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            _ = self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
