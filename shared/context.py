"""The context of a request or event: who acts, and the ids that connect its traces."""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Context:
    """Copied into every event, audit row and log line that is made meanwhile.

    `actor` is the account that acts, `on_behalf_of` the one it acts for (授权代办), `causation` the
    id of the event that is being handled.
    """

    actor: str = "system"
    on_behalf_of: str | None = None
    request_id: str = ""
    traceparent: str = ""
    causation: str | None = None

    @property
    def agent(self) -> str | None:
        """The account that acts for another; None when one acts for oneself."""
        return self.actor if self.on_behalf_of else None


_current: ContextVar[Context] = ContextVar("tongban_context", default=Context())  # noqa: B039 - frozen


def current() -> Context:
    """The context of the current task."""
    return _current.get()


def update(**changes: str | None) -> None:
    """Change the context for the rest of this task."""
    _ = _current.set(replace(_current.get(), **changes))


@contextmanager
def using(context: Context) -> Generator[None]:
    """Act under `context` and go back to the former one."""
    token = _current.set(context)
    try:
        yield
    finally:
        _current.reset(token)
