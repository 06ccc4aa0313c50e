"""订阅: which events a peer wants, and the way they go to it."""

import base64
import secrets as random
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import BigInteger, Boolean, DateTime, ForeignKey, Index, Integer, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from services.exchange.model_base import Base
from services.exchange.peers.model import Peer
from shared.errors import ConflictError
from shared.events.exchange import DeliveryFailed, DeliveryRecovered
from shared.ids import new_id
from shared.security.crypto import Encrypted

OVERLAP = timedelta(hours=72)
"""Both secrets sign for so long after a rotation."""
MAX_SECRETS = 11
"""The present one and ten before it."""
DOWN_AFTER = 20
"""So many failures without a success between: the endpoint is down, and the backlog stays in the log."""
PROBE_EVERY = timedelta(minutes=5)
SUSPEND_AFTER = timedelta(hours=120)


class Mode(StrEnum):
    WEBHOOK = "webhook"
    PULL = "pull"


class SubscriptionState(StrEnum):
    PENDING = "pending"  # the endpoint has not answered its handshake yet
    ACTIVE = "active"
    SUSPENDED = "suspended"  # by its peer, by an administrator, or after 120 hours of failure
    ENDED = "ended"


MOVES: Mapping[SubscriptionState, tuple[str, ...]] = {
    SubscriptionState.PENDING: ("activation", "end"),
    SubscriptionState.ACTIVE: ("suspension", "end"),
    SubscriptionState.SUSPENDED: ("activation", "end"),
    SubscriptionState.ENDED: (),
}


class Subscription(Base):
    """`cursor` is the place in the log up to which events were looked through for a webhook, or handed out by pull.

    Empty filters take everything of the peer's areas. `secrets` (JSON) are the `whsec_` that sign, the newest first, each
    with the moment it ends. `failures` in a row and `failing_since` are the endpoint's health, `alerted_at` tells that
    somebody was told of it. `probe_at`: while the endpoint is down, the next moment at which a further event may try it.
    """

    __tablename__ = "subscription"
    __table_args__ = (
        Index("ix_subscription_peer_id", "peer_id", "id"),
        Index(
            "ix_subscription_sending",
            "cursor",
            postgresql_where=text("state = 'active' AND mode = 'webhook'"),
        ),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    peer_id: Mapped[UUID] = mapped_column(ForeignKey("peer.id"))
    name: Mapped[str] = mapped_column(Text)
    mode: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text)
    event_types: Mapped[list[str]] = mapped_column(ARRAY(Text))
    area_codes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    department_codes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    matter_codes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    endpoint: Mapped[str | None] = mapped_column(Text)
    sign_ed25519: Mapped[bool] = mapped_column(Boolean)
    secrets: Mapped[str | None] = mapped_column(Encrypted("subscription.secrets"))
    cursor: Mapped[int] = mapped_column(BigInteger)
    failures: Mapped[int] = mapped_column(Integer)
    failing_since: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    alerted_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    probe_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    reason: Mapped[str | None] = mapped_column(Text)
    """Why it is suspended or ended."""
    revision: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))

    @classmethod
    def new(
        cls, peer: Peer, values: Mapping[str, Any], cursor: int, now: datetime
    ) -> "Subscription":
        """A pull subscription is active at once; a webhook waits for its endpoint's handshake."""
        pulls = values["mode"] == Mode.PULL
        made = cls(
            id=new_id(),
            peer_id=peer.id,
            state=SubscriptionState.ACTIVE if pulls else SubscriptionState.PENDING,
            cursor=cursor,
            failures=0,
            revision=1,
            created_at=now,
            **values,
        )
        if not pulls:
            _ = made._add_secret(now)
        return made

    def _must_allow(self, move: str) -> None:
        allowed = MOVES[SubscriptionState(self.state)]
        if move not in allowed:
            raise ConflictError(
                f"the subscription is {self.state}", extra={"allowed": list(allowed)}
            )

    def _must_be_webhook(self) -> None:
        if self.mode != Mode.WEBHOOK:
            raise ConflictError(
                "events are pulled under this subscription", extra={"allowed": ["pull"]}
            )

    def must_send(self) -> None:
        """409 unless events are sent to its endpoint now."""
        self._must_be_webhook()
        if self.state != SubscriptionState.ACTIVE:
            self._must_allow("redeliveries")

    def must_await_activation(self) -> None:
        self._must_allow("activation")

    def change(self, values: Mapping[str, Any]) -> None:
        """Other filters hold from the next event on; another endpoint must answer its handshake first."""
        if self.state == SubscriptionState.ENDED:
            self._must_allow("change")
        moved = self.mode == Mode.WEBHOOK and values["endpoint"] != self.endpoint
        for name, value in values.items():
            setattr(self, name, value)
        if moved:
            self.state = SubscriptionState.PENDING
        self.revision += 1

    def activate(self) -> None:
        self._must_allow("activation")
        self.state, self.reason, self.failures, self.failing_since = (
            SubscriptionState.ACTIVE,
            None,
            0,
            None,
        )
        self.revision += 1

    def suspend(self, reason: str) -> None:
        self._must_allow("suspension")
        self.state, self.reason = SubscriptionState.SUSPENDED, reason
        self.revision += 1

    def end(self, reason: str) -> None:
        """For good; its secrets are forgotten."""
        self._must_allow("end")
        self.state, self.reason, self.secrets = SubscriptionState.ENDED, reason, None
        self.revision += 1

    def signing_secrets(self, now: datetime) -> list[str]:
        """The secrets that sign now, the newest first."""
        return [entry["secret"] for entry in self._entries() if not _is_over(entry, now)]

    def newest_secret(self) -> str | None:
        return next((entry["secret"] for entry in self._entries()), None)

    def rotate(self, now: datetime) -> str:
        """A new secret; those before it go on signing for 72 hours."""
        self._must_be_webhook()
        if self.state == SubscriptionState.ENDED:
            self._must_allow("secret-rotation")
        self.revision += 1
        return self._add_secret(now)

    def _entries(self) -> list[dict[str, Any]]:
        return orjson.loads(self.secrets) if self.secrets else []

    def _add_secret(self, now: datetime) -> str:
        secret = "whsec_" + base64.b64encode(random.token_bytes(32)).decode()
        until = (now + OVERLAP).isoformat()
        older = [
            {**entry, "until": entry["until"] or until}
            for entry in self._entries()
            if not _is_over(entry, now)
        ]
        self.secrets = orjson.dumps(
            [{"secret": secret, "until": None}, *older][:MAX_SECRETS]
        ).decode()
        return secret

    @property
    def is_down(self) -> bool:
        return self.failures >= DOWN_AFTER

    def note_success(self) -> bool:
        """The endpoint took an event; whether it had been down."""
        was_down = self.is_down
        self.failures, self.failing_since, self.probe_at = 0, None, None
        return was_down

    def note_failures(self, number: int, now: datetime) -> None:
        self.failures += number
        self.failing_since = self.failing_since or now

    def is_lost(self, now: datetime) -> bool:
        """Whether nothing at all was taken for 120 hours."""
        return self.failing_since is not None and self.failing_since <= now - SUSPEND_AFTER

    def alert(self, peer_code: str, event_id: UUID, cause: str, now: datetime) -> DeliveryFailed:
        """Somebody should look: an event has waited for long, or the endpoint was suspended."""
        self.alerted_at = now
        self.revision += 1
        return DeliveryFailed(
            subscription_id=self.id,
            peer_code=peer_code,
            event_id=event_id,
            cause=cause,
            suspended=self.state == SubscriptionState.SUSPENDED,
            revision=self.revision,
            occurred_at=now,
        )

    def recover(self, peer_code: str, now: datetime) -> DeliveryRecovered:
        self.alerted_at = None
        self.revision += 1
        return DeliveryRecovered(
            subscription_id=self.id, peer_code=peer_code, revision=self.revision, occurred_at=now
        )


def _is_over(entry: Mapping[str, Any], now: datetime) -> bool:
    return entry["until"] is not None and datetime.fromisoformat(entry["until"]) <= now
