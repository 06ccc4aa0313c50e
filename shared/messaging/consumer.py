"""The events that a service listens to, and their handlers."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from shared import context
from shared.context import Context
from shared.events.base import Envelope, Event, topic_of

E = TypeVar("E", bound=Event)
# `Any`: each handler takes the event types that it is registered for.
Handler = Callable[[AsyncSession, Any], Awaitable[None]]
BatchHandler = Callable[[AsyncSession, Sequence[Any]], Awaitable[None]]
EnvelopeHandler = Callable[[AsyncSession, Sequence[Envelope]], Awaitable[None]]


class Consumer:
    """The events that a service listens to, and their handlers.

    `@consumer.on(CaseAccepted)` gets one event. `@consumer.on_batch(A, B)` gets neighbouring events
    of these types together, for read models. `@consumer.on_envelopes(A, B)` gets the envelopes of
    these types, all of a batch together and in its order, besides the other handlers: for keeping
    facts as they came, with id, key, revision and causes.

    Args:
        service: name of the service.
        period: least seconds from one batch to the next, unless a batch is full. A batch costs more
            than its events, so where nobody waits for a single effect, those that come within a
            period are handled together; after a quiet time one alone is handled at once.
        rebuildable: the service's database is a read model that may be dropped and filled again.
    """

    def __init__(self, service: str, *, period: float = 0.0, rebuildable: bool = False) -> None:
        self.service = service
        self.rebuildable = rebuildable
        self.period = period
        # `Any`: each service has its own class of settings, and its handlers know it.
        self.settings: Any = None
        """The service's settings, set by whoever starts its worker; None in tests without one."""
        self._handlers: dict[str, Handler] = {}
        self._batch_handlers: dict[str, BatchHandler] = {}
        self._envelope_handlers: list[tuple[frozenset[str], EnvelopeHandler]] = []
        self._topics: set[str] = set()

    def on(
        self, kind: type[E]
    ) -> Callable[
        [Callable[[AsyncSession, E], Awaitable[None]]], Callable[[AsyncSession, E], Awaitable[None]]
    ]:
        """Register a handler of one event type."""

        def register(
            handler: Callable[[AsyncSession, E], Awaitable[None]],
        ) -> Callable[[AsyncSession, E], Awaitable[None]]:
            self._handlers[kind.wire_type] = handler
            self._topics.add(topic_of(kind.service))
            return handler

        return register

    def on_batch(self, *kinds: type[Event]) -> Callable[[BatchHandler], BatchHandler]:
        """Register a handler of neighbouring events of these types."""

        def register(handler: BatchHandler) -> BatchHandler:
            for kind in kinds:
                self._batch_handlers[kind.wire_type] = handler
                self._topics.add(topic_of(kind.service))
            return handler

        return register

    def on_envelopes(self, *kinds: type[Event]) -> Callable[[EnvelopeHandler], EnvelopeHandler]:
        """Register a handler of the envelopes of these types."""

        def register(handler: EnvelopeHandler) -> EnvelopeHandler:
            self._envelope_handlers.append((frozenset(kind.wire_type for kind in kinds), handler))
            self._topics.update(topic_of(kind.service) for kind in kinds)
            return handler

        return register

    @property
    def topics(self) -> list[str]:
        return sorted(self._topics)

    def is_other_version(self, event_type: str) -> bool:
        """Whether the service listens to this type, but not in this version."""
        stem, dot, _ = event_type.rpartition(".v")
        if not dot or self.listens_to(event_type):
            return False
        return any(known.rpartition(".v")[0] == stem for known in self.types)

    @property
    def types(self) -> set[str]:
        """The types of events that the service listens to, with their versions."""
        types = {*self._handlers, *self._batch_handlers}
        for kept, _ in self._envelope_handlers:
            types |= kept
        return types

    def listens_to(self, event_type: str) -> bool:
        typed = event_type in self._handlers or event_type in self._batch_handlers
        return typed or any(event_type in types for types, _ in self._envelope_handlers)

    async def handle(self, session: AsyncSession, envelopes: Sequence[Envelope]) -> None:
        """Give the events to their handlers, then the envelopes to those who keep them.

        In this order, because a keeper may hold a lock that its replicas wait for until the commit.
        """
        typed: list[Envelope] = []
        for envelope in envelopes:
            if envelope.type in self._handlers or envelope.type in self._batch_handlers:
                typed.append(envelope)
        await self._handle_typed(session, typed)
        for types, keep in self._envelope_handlers:
            kept = [envelope for envelope in envelopes if envelope.type in types]
            if kept:
                await keep(session, kept)

    async def _handle_typed(self, session: AsyncSession, envelopes: Sequence[Envelope]) -> None:
        """Give each event to its handler, in order.

        Neighbours with the same batch handler go together.
        """
        run: list[Event] = []
        running: BatchHandler | None = None
        for envelope in envelopes:
            event = envelope.event()
            batch_handler = self._batch_handlers.get(envelope.type)
            if running is not None and batch_handler is not running:
                await running(session, run)
                run = []
            running = batch_handler
            if event is None:
                continue
            if batch_handler is not None:
                run.append(event)
                continue
            handler = self._handlers.get(envelope.type)
            if handler is not None:
                with context.using(_context_of(envelope)):
                    await handler(session, event)
        if running is not None and run:
            await running(session, run)


def topic_of_type(event_type: str) -> str:
    """The topic of an event type: `tongban.cases.case-accepted.v1` → `tongban.cases`."""
    return ".".join(event_type.split(".")[:2])


def _context_of(envelope: Envelope) -> Context:
    return Context(
        actor=envelope.actor,
        request_id=envelope.correlation,
        traceparent=envelope.traceparent,
        causation=str(envelope.id),
    )
