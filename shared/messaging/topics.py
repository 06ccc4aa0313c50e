"""The topics of a worker: made, made again when they are gone, and their copies counted."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from datetime import datetime

import structlog

from shared import metrics
from shared.database.session import Database
from shared.messaging.bus import Bus, LackingCopies, TopicRefusedError

RETRY_AFTER = 1.0
"""Seconds before topics are tried again at the start of a worker."""
LOOK_EVERY = 30.0
"""Seconds between two looks at the topics."""
NOTHING = LackingCopies(0, 0)
GAUGES = (
    metrics.TOPIC_REPLICAS_MISSING,
    metrics.TOPIC_BELOW_MINIMUM,
    metrics.TOPIC_MINIMUM_TOO_LOW,
)

log = structlog.get_logger(__name__)


class TopicWatch:
    """Looks after the topics that a service writes and reads.

    A client cannot give more copies to a topic that exists: the operator has to
    (docs/operations.md). So a topic with fewer copies than the settings ask for is told by metrics
    and by the log, and is used as it is.
    """

    def __init__(self, service: str, bus: Bus, *, topics: Sequence[str]) -> None:
        self.refused: str | None = None
        """Why the bus does not make the topics; None while it does."""
        self._service = service
        self._bus = bus
        self._topics = topics
        self._lacking: dict[str, LackingCopies] = {}

    async def make(self) -> None:
        """Return when all topics exist; a bus that is away or refuses is asked again."""
        while True:
            try:
                await self._ensure()
                if self.refused is None:
                    return
                self._show(await self._bus.lacking_copies(self._topics))
            except Exception as error:
                log.warning("topics.bus_waiting", error=type(error).__name__)
            await asyncio.sleep(RETRY_AFTER)

    async def look(self, _database: Database, _now: datetime) -> None:
        """Make what is gone, and count copies; nothing is told while the bus is away."""
        try:
            await self._ensure()
            self._show(await self._bus.lacking_copies(self._topics))
        except Exception as error:
            log.warning("topics.unknown", error=type(error).__name__)
            self._forget()

    async def _ensure(self) -> None:
        try:
            await self._bus.ensure_topics(self._topics)
            self.refused = None
        except TopicRefusedError as error:
            if self.refused != str(error):
                log.error("topics.refused", reason=str(error))  # noqa: TRY400 - no traceback
            self.refused = str(error)

    def _show(self, lacking: Mapping[str, LackingCopies]) -> None:
        """Set the metrics, and log what has changed."""
        for topic, lack in lacking.items():
            labels = (self._service, topic)
            metrics.TOPIC_REPLICAS_MISSING.labels(*labels).set(lack.missing)
            metrics.TOPIC_BELOW_MINIMUM.labels(*labels).set(lack.below_minimum)
            metrics.TOPIC_MINIMUM_TOO_LOW.labels(*labels).set(lack.minimum_too_low)
            if lack != self._lacking.get(topic, NOTHING):
                self._tell(topic, lack)
            self._lacking[topic] = lack

    def _tell(self, topic: str, lack: LackingCopies) -> None:
        if lack == NOTHING:
            log.info("topics.copies_complete", topic=topic)
            return
        log.error("topics.copies_missing", topic=topic, **lack._asdict())

    def _forget(self) -> None:
        """Tell no figures: nobody knows them now."""
        for topic in self._topics:
            for gauge in GAUGES:
                with contextlib.suppress(KeyError):
                    gauge.remove(self._service, topic)
