"""A bureau beside the platform.

Its system signs batches. Its endpoint takes webhooks and is careless now and then.
"""

import base64
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from services.exchange.events.model.external import BY_FACT
from services.exchange.settings import OutsideSettings
from shared.events.base import Event
from shared.events.cases import CaseAccepted, CaseClosed, CaseDecided, CaseImported, ResultDelivered
from shared.events.licenses import LicenseChanged, LicenseIssued
from shared.events.ratings import BadRatingOpened, RatingSubmitted
from tests.builders.matters import CITY, DEPARTMENT
from tests.builders.subscriber import Received, Subscriber
from tests.exchange.batching import Bureau

TOLD: tuple[type[Event], ...] = (
    CaseAccepted,
    CaseDecided,
    ResultDelivered,
    CaseClosed,
    CaseImported,
    LicenseIssued,
    LicenseChanged,
    RatingSubmitted,
    BadRatingOpened,
)
"""What the subscriber asks for: several facts of one key each, and not all that there are."""
TYPES = [BY_FACT[fact.wire_type].name(OutsideSettings().city.name) for fact in TOLD]
SCOPE = "exchange:push exchange:events"
CARELESS = 0.01


@dataclass
class Careless(Subscriber):
    """Keeps what each event did: one effect per id, the newest version per key.

    Sometimes its answer is lost after that.
    """

    chance: random.Random = field(default_factory=lambda: random.Random(0))
    effects: dict[str, bytes] = field(default_factory=dict[str, bytes])
    order: dict[str, list[str]] = field(default_factory=lambda: defaultdict[str, list[str]](list))
    newest: dict[str, int] = field(default_factory=dict[str, int])
    repeated: int = 0
    cut_off: int = 0
    broken: list[str] = field(default_factory=list[str])

    def take(self, received: Received) -> tuple[int, bytes]:
        if len(received.body) != int(received.headers.get("content-length") or 0):
            # The sender died amid its request: what came is no request, and nobody waits for an
            # answer.
            self.cut_off += 1
            return 400, b""
        status, body = super().take(received)
        if (
            received.method != "POST"
            or status >= 300
            or "partitionkey" not in (event := received.event)
        ):
            return status, body
        with self.lock:
            self._handle(event, received)
            return (503, b"") if self.chance.random() < CARELESS else (status, body)

    def _handle(self, event: dict[str, Any], received: Received) -> None:
        name, key, version = event["id"], event["partitionkey"], int(event["entityversion"])
        if received.headers.get("webhook-id") != name:
            self.broken.append(f"event {name} came as {received.headers.get('webhook-id')}")
        if name in self.effects:
            self.repeated += 1
            if self.effects[name] != received.body:
                self.broken.append(f"event {name} came again with other bytes")
            return
        self.effects[name] = received.body
        self.order[key].append(name)
        if version < self.newest.get(key, 0):
            self.broken.append(f"version {version} of {key} came after {self.newest[key]}")
        self.newest[key] = max(version, self.newest.get(key, 0))


@dataclass
class Partner:
    """The bureau's code, account and key; `subscription` once the platform sends to it."""

    bureau: Bureau = field(
        default_factory=lambda: Bureau(resources=("cases", "licenses", "supervision"))
    )
    subscriber: Careless = field(default_factory=Careless)
    subscription: str | None = None

    def peer(self) -> dict[str, Any]:
        return {
            "code": self.bureau.code,
            "name": "房管系统",
            "kind": "bureau",
            "account_id": str(self.bureau.account),
            "area_code": CITY,
            "department_code": DEPARTMENT,
            "event_types": TYPES,
            "resources": self.bureau.resources,
        }

    def key(self) -> dict[str, str]:
        public = self.bureau.key.public_key().public_bytes_raw()
        return {"kid": self.bureau.kid, "x": base64.urlsafe_b64encode(public).decode().rstrip("=")}

    def wanted(self) -> dict[str, Any]:
        """From the beginning of the log on."""
        return {
            "name": "所有办件",
            "mode": "webhook",
            "event_types": TYPES,
            "endpoint": self.subscriber.url,
            "after": 0,
        }


@dataclass(frozen=True, slots=True)
class SentBatch:
    """A batch as it was acknowledged.

    Its size, the rows that must come back, and the receipt's bytes.
    """

    resource: str
    records: int
    faulty: tuple[int, ...]
    receipt: bytes


def with_faults(records: Sequence[Any]) -> tuple[bytes, int, tuple[int, ...]]:
    """The lines of a batch with two faults, and the rows of both.

    One is a record that nobody can take, the other a line that is no record.
    """
    good = [orjson.dumps(record) for record in records]
    lines = [*good[:1], b"no record", *good[1:], orjson.dumps({"source_number": "faulty"})]
    return b"".join(line + b"\n" for line in lines), len(lines), (2, len(lines))
