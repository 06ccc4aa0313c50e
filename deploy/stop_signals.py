"""SIGINT and SIGTERM for the commands that run until they are stopped."""

import asyncio
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def _nothing() -> None:
    pass


class StopSignals:
    """Counts the signals from the first moment on and says so once.

    Nothing is interrupted: a KeyboardInterrupt in the middle of starting PostgreSQL would leave a
    server behind. Whoever starts things asks `received` between two steps.
    """

    def __init__(self, message: str) -> None:
        self.received = 0
        self._message = message
        self._react: Callable[[], object] = _nothing

    def install(self) -> None:
        for number in SIGNALS:
            _ = signal.signal(number, lambda _number, _frame: self._receive())

    @contextmanager
    def calling(self, react: Callable[[], object]) -> Generator[None]:
        """In a running event loop: call `react` after every signal, also one that came before."""
        loop = asyncio.get_running_loop()
        self._react = react
        for number in SIGNALS:
            loop.add_signal_handler(number, self._receive)
        if self.received:
            _ = react()
        try:
            yield
        finally:
            self._react = _nothing
            for number in SIGNALS:
                _ = loop.remove_signal_handler(number)
            # The loop has left the default handlers, which raise or kill.
            self.install()

    def _receive(self) -> None:
        self.received += 1
        if self.received == 1:
            print(self._message, flush=True)
        _ = self._react()
