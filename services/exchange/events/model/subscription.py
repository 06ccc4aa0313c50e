"""Subscriptions (订阅): which events a peer wants, and the way they go to it."""

import base64
import secrets as random
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import BigInteger, Boolean, DateTime, ForeignKey, Index, Integer, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from services.exchange.model_base import Base
from shared.database.columns import StoredModel, enum_column
from shared.errors import ConflictError
from shared.events.exchange import DeliveryFailed, DeliveryRecovered
from shared.security.crypto import Encrypted

OVERLAP = timedelta(hours=72)
"""Both secrets sign for so long after a rotation."""
MAX_SECRETS = 11
"""The present one and ten before it."""
DOWN_AFTER = 20
"""After so many failures in a row the endpoint is down, and the backlog stays in the log."""
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


class SubscriptionAct(StrEnum):
    """What changes the state of a subscription; the values are the last parts of the addresses."""

    ACTIVATION = "activation"
    SUSPENSION = "suspension"
    END = "end"


ALLOWED: Mapping[SubscriptionState, Sequence[SubscriptionAct]] = {
    SubscriptionState.PENDING: (SubscriptionAct.ACTIVATION, SubscriptionAct.END),
    SubscriptionState.ACTIVE: (SubscriptionAct.SUSPENSION, SubscriptionAct.END),
    SubscriptionState.SUSPENDED: (SubscriptionAct.ACTIVATION, SubscriptionAct.END),
    SubscriptionState.ENDED: (),
}
"""The acts that are possible in each state, as a 409 lists them."""


class StoredSecret(StoredModel):
    """A `whsec_` secret; `until` is the ISO 8601 moment at which it ends, None for the newest."""

    secret: str
    until: str | None

    def is_over(self, now: datetime) -> bool:
        return self.until is not None and datetime.fromisoformat(self.until) <= now


_secrets = TypeAdapter(list[StoredSecret])


class Subscription(Base):
    """What a peer wants to know, and how far it has got.

    `cursor` is the place in the log up to which events were looked through for a webhook, or handed
    out by pull. Empty filters take everything of the peer's areas. `secrets` (JSON of
    `StoredSecret`, newest first) sign webhooks. `failures` counts failed attempts in a row,
    `failing_since` is the first of them, `alerted_at` the alert about it. While the endpoint is
    down, `probe_at` is the next moment at which a further event may try it.
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
    mode: Mapped[Mode] = enum_column(Mode)
    state: Mapped[SubscriptionState] = enum_column(SubscriptionState)
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

    def _must_allow(self, act: SubscriptionAct) -> None:
        if act not in ALLOWED[self.state]:
            raise self._not_possible()

    def _not_possible(self) -> ConflictError:
        return ConflictError(
            "the subscription is {state}",
            state=self.state,
            extra={"allowed": list(ALLOWED[self.state])},
        )

    def _must_be_webhook(self) -> None:
        if self.mode != Mode.WEBHOOK:
            raise ConflictError(
                "events are pulled under this subscription", extra={"allowed": ["pull"]}
            )

    def must_send(self) -> None:
        """Raises `ConflictError` unless events are sent to its endpoint now."""
        self._must_be_webhook()
        self.must_be_active()

    def must_await_activation(self) -> None:
        """Raises `ConflictError` unless it can be activated."""
        self._must_allow(SubscriptionAct.ACTIVATION)

    def must_be_active(self) -> None:
        """Raises `ConflictError` otherwise."""
        if self.state != SubscriptionState.ACTIVE:
            raise self._not_possible()

    def must_not_have_ended(self) -> None:
        """Raises `ConflictError` otherwise."""
        if self.state == SubscriptionState.ENDED:
            raise self._not_possible()

    def change_endpoint(self, endpoint: str | None) -> None:
        """Another endpoint of a webhook must answer its handshake before events go to it."""
        if self.mode == Mode.WEBHOOK and endpoint != self.endpoint:
            self.state = SubscriptionState.PENDING
        self.endpoint = endpoint

    def activate(self) -> None:
        self._must_allow(SubscriptionAct.ACTIVATION)
        self.state = SubscriptionState.ACTIVE
        self.reason = None
        self.failures = 0
        self.failing_since = None
        self.revision += 1

    def suspend(self, reason: str) -> None:
        self._must_allow(SubscriptionAct.SUSPENSION)
        self.state = SubscriptionState.SUSPENDED
        self.reason = reason
        self.revision += 1

    def end(self, reason: str) -> None:
        """For good; its secrets are deleted."""
        self._must_allow(SubscriptionAct.END)
        self.state = SubscriptionState.ENDED
        self.reason = reason
        self.secrets = None
        self.revision += 1

    def signing_secrets(self, now: datetime) -> list[str]:
        """The secrets that sign now, the newest first."""
        return [entry.secret for entry in self._stored_secrets() if not entry.is_over(now)]

    def newest_secret(self) -> str | None:
        entries = self._stored_secrets()
        if not entries:
            return None
        return entries[0].secret

    def rotate(self, now: datetime) -> str:
        """A new secret; those before it go on signing for 72 hours."""
        self._must_be_webhook()
        self.must_not_have_ended()
        self.revision += 1
        return self.add_secret(now)

    def _stored_secrets(self) -> list[StoredSecret]:
        if not self.secrets:
            return []
        return _secrets.validate_json(self.secrets)

    def add_secret(self, now: datetime) -> str:
        """Sign with a new random secret of 32 bytes from now on; the secret."""
        secret = "whsec_" + base64.b64encode(random.token_bytes(32)).decode()
        until = (now + OVERLAP).isoformat()
        entries = [StoredSecret(secret=secret, until=None)]
        for entry in self._stored_secrets():
            if not entry.is_over(now):
                entries.append(StoredSecret(secret=entry.secret, until=entry.until or until))
        self.secrets = _secrets.dump_json(entries[:MAX_SECRETS]).decode()
        return secret

    @property
    def is_down(self) -> bool:
        return self.failures >= DOWN_AFTER

    def note_success(self) -> bool:
        """The endpoint took an event; whether it had been down."""
        was_down = self.is_down
        self.failures = 0
        self.failing_since = None
        self.probe_at = None
        return was_down

    def note_failures(self, number: int, *, now: datetime) -> None:
        self.failures += number
        self.failing_since = self.failing_since or now

    def is_lost(self, now: datetime) -> bool:
        """Whether nothing at all was taken for 120 hours."""
        return self.failing_since is not None and self.failing_since <= now - SUSPEND_AFTER

    def alert(self, peer_code: str, *, event_id: UUID, cause: str, now: datetime) -> DeliveryFailed:
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

    def recover(self, peer_code: str, *, now: datetime) -> DeliveryRecovered:
        self.alerted_at = None
        self.revision += 1
        return DeliveryRecovered(
            subscription_id=self.id, peer_code=peer_code, revision=self.revision, occurred_at=now
        )
