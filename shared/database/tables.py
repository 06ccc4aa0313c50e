"""The tables of every service's database: outbox, inbox, dead letters, idempotency keys, audit.

`shared.database.migrations.create_platform_tables_v1` creates them in each service's first
migration.
"""

from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Date,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.database.columns import enum_column
from shared.database.session import new_metadata


class PlatformBase(DeclarativeBase):
    """Base of the tables that all services have."""

    metadata = new_metadata()


class OutboxRow(PlatformBase):
    """An event waiting for the relay, which numbers it and moves it to the fact log."""

    __tablename__ = "outbox"

    position: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    topic: Mapped[str] = mapped_column(Text)
    key: Mapped[str] = mapped_column(Text)
    event_id: Mapped[UUID] = mapped_column(Uuid)
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    recorded_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.clock_timestamp()
    )


class FactLogRow(PlatformBase):
    """A fact that this service published, for ever: a topic can be filled again from these.

    `number` has no gaps within topic, partition and epoch; `sequence` has none within the database;
    `event_number` counts the events of a key.
    """

    __tablename__ = "fact_log"
    __table_args__ = {"postgresql_partition_by": "RANGE (recorded_at)"}  # noqa: RUF012 - read once

    topic: Mapped[str] = mapped_column(Text, primary_key=True)
    partition: Mapped[int] = mapped_column(Integer, primary_key=True)
    epoch: Mapped[int] = mapped_column(Integer, primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    recorded_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger)
    event_id: Mapped[UUID] = mapped_column(Uuid)
    key: Mapped[str] = mapped_column(Text)
    event_number: Mapped[int] = mapped_column(BigInteger)
    payload: Mapped[bytes] = mapped_column(LargeBinary)


class EventNumberRow(PlatformBase):
    """How many events of a key this service has published."""

    __tablename__ = "event_number"

    topic: Mapped[str] = mapped_column(Text, primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger)


class RelayPosition(PlatformBase):
    """The newest number of a partition, and the newest that the bus is known to have."""

    __tablename__ = "relay_position"

    topic: Mapped[str] = mapped_column(Text, primary_key=True)
    partition: Mapped[int] = mapped_column(Integer, primary_key=True)
    epoch: Mapped[int] = mapped_column(Integer)
    number: Mapped[int] = mapped_column(BigInteger)
    sent_epoch: Mapped[int] = mapped_column(Integer)
    sent: Mapped[int] = mapped_column(BigInteger)


class RelayState(PlatformBase):
    """One row: the epoch of new numbers, the newest sequence, and why nothing is published.

    `refill_from`: facts recorded since then are to be published again. Serial numbers of days up to
    `serial_floor_until` begin above `serial_floor`, because smaller ones may have been given out
    before the database was restored.
    """

    __tablename__ = "relay_state"
    __table_args__ = (CheckConstraint("one", name="one"),)

    one: Mapped[bool] = mapped_column(Boolean, primary_key=True, server_default="true")
    epoch: Mapped[int] = mapped_column(Integer, server_default="0")
    sequence: Mapped[int] = mapped_column(BigInteger, server_default="0")
    refused: Mapped[str | None] = mapped_column(Text)
    refill_from: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    serial_floor: Mapped[int] = mapped_column(Integer, server_default="0")
    serial_floor_until: Mapped[date | None] = mapped_column(Date)


class InboxPosition(PlatformBase):
    """The newest fact of a partition that has had its effect here.

    `next_offset` says where the bus has the next one; the numbers decide what is taken.
    """

    __tablename__ = "inbox_position"

    topic: Mapped[str] = mapped_column(Text, primary_key=True)
    partition: Mapped[int] = mapped_column(Integer, primary_key=True)
    epoch: Mapped[int] = mapped_column(Integer)
    number: Mapped[int] = mapped_column(BigInteger)
    next_offset: Mapped[int] = mapped_column(BigInteger)


class InboxTypeRow(PlatformBase):
    """Facts of a type that this service took: those after one number, up to another.

    Without `until_…` it still takes them. A fact outside was passed over by code that did not
    listen to its type.
    """

    __tablename__ = "inbox_type"

    topic: Mapped[str] = mapped_column(Text, primary_key=True)
    partition: Mapped[int] = mapped_column(Integer, primary_key=True)
    type: Mapped[str] = mapped_column(Text, primary_key=True)
    after_epoch: Mapped[int] = mapped_column(Integer, primary_key=True)
    after_number: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    until_epoch: Mapped[int | None] = mapped_column(Integer)
    until_number: Mapped[int | None] = mapped_column(BigInteger)


class GiveAgainRow(PlatformBase):
    """A partition whose old facts of a type are being given; gone when all are.

    `next_offset` says how far it is read, `given` how many were found.
    """

    __tablename__ = "give_again"

    topic: Mapped[str] = mapped_column(Text, primary_key=True)
    partition: Mapped[int] = mapped_column(Integer, primary_key=True)
    type: Mapped[str] = mapped_column(Text, primary_key=True)
    since: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    next_offset: Mapped[int] = mapped_column(BigInteger, server_default="0")
    given: Mapped[int] = mapped_column(BigInteger, server_default="0")


class InboxRow(PlatformBase):
    """An event that has had its effect here, and that carried no number.

    Releases before 0.2 published without numbers. These ids are kept for ever.
    """

    __tablename__ = "inbox"
    # Rows come in the order of time, so a small index finds the old ones, and inserts stay cheap.
    __table_args__ = (Index("ix_inbox_handled_at", "handled_at", postgresql_using="brin"),)

    event_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    handled_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class InboxGroup(PlatformBase):
    """The name of this database's consumer group: one row, made with the database.

    A new database therefore reads from the beginning. To rebuild a read model, drop it and migrate
    an empty database.
    """

    __tablename__ = "inbox_group"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)


class KeyKind(StrEnum):
    """The keys of a service, by the setting that holds them (`…_DATA_KEY`)."""

    DATA = "data"
    PLATFORM = "platform"


class KeyCheckRow(PlatformBase):
    """A known value, sealed under a key of this database (`shared.database.key_check`)."""

    __tablename__ = "key_check"

    kind: Mapped[KeyKind] = enum_column(KeyKind, primary_key=True)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    made_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class DeadLetter(PlatformBase):
    """An event that failed here, or that waits behind a failed one of the same key.

    Only the first of a key is tried again, when `next_attempt_at` has come; of those behind it that
    is infinity. After the last attempt `gave_up` is set, and a person decides: re-drive or discard.
    """

    __tablename__ = "dead_letter"
    __table_args__ = (
        Index("ix_dead_letter_key", "topic", "key", "position"),
        Index("ix_dead_letter_due", "next_attempt_at", postgresql_where=text("NOT gave_up")),
    )

    position: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    event_id: Mapped[UUID] = mapped_column(Uuid, unique=True)
    topic: Mapped[str] = mapped_column(Text)
    key: Mapped[str] = mapped_column(Text)
    type: Mapped[str] = mapped_column(Text)
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    event_number: Mapped[int] = mapped_column(BigInteger, server_default="0")
    error: Mapped[str] = mapped_column(Text)
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")
    gave_up: Mapped[bool] = mapped_column(Boolean, server_default="false")
    parked_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    next_attempt_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )


class IdempotencyRow(PlatformBase):
    """A creating request and its answer, in the transaction of its effect."""

    __tablename__ = "idempotency"

    caller: Mapped[str] = mapped_column(Text, primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    request_hash: Mapped[bytes] = mapped_column(LargeBinary)
    status: Mapped[int | None] = mapped_column(SmallInteger)
    headers: Mapped[dict[str, str] | None] = mapped_column(JSONB)
    body: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now(), index=True
    )


class AuditRow(PlatformBase):
    """Who did what, for whom, on which object, why and when.

    Sealed into a hash chain by the worker.
    """

    __tablename__ = "audit"
    __table_args__ = (
        Index("ix_audit_unsealed", "id", postgresql_where=text("sequence IS NULL")),
        Index("ix_audit_object", "object_type", "object_id", "at"),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    actor: Mapped[str] = mapped_column(Text)
    on_behalf_of: Mapped[str | None] = mapped_column(Text)
    action: Mapped[str] = mapped_column(Text)
    object_type: Mapped[str] = mapped_column(Text)
    object_id: Mapped[str] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(Text)
    detail: Mapped[dict[str, Any]] = mapped_column(JSONB)
    request_id: Mapped[str] = mapped_column(Text)
    sequence: Mapped[int | None] = mapped_column(BigInteger, unique=True)
    previous_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    hash: Mapped[bytes | None] = mapped_column(LargeBinary)


class SchemaContraction(PlatformBase):
    """A migration that took away what earlier code uses (`shared.database.schema.contract`)."""

    __tablename__ = "schema_contraction"

    revision: Mapped[str] = mapped_column(Text, primary_key=True)
    oldest_code: Mapped[str] = mapped_column(Text)
    """Code whose history of migrations has this revision does without what was taken away."""
    unused_since: Mapped[str] = mapped_column(Text)
    """The release of that code."""
    contracted_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )


class RunningProcess(PlatformBase):
    """A process of the service, as it says itself; one that was killed is known by `seen_at`."""

    __tablename__ = "running_process"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    version: Mapped[str] = mapped_column(Text)
    revision: Mapped[str] = mapped_column(Text)
    """The newest migration that its code knows."""
    consumes: Mapped[list[str]] = mapped_column(JSONB)
    produces: Mapped[list[str]] = mapped_column(JSONB)
    """Types of events, with their versions."""
    started_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    seen_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
