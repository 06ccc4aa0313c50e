"""A second HTTP server inside a process that has its own way to end."""

from collections.abc import Generator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp


class QuietServer(uvicorn.Server):
    """Serves `app` without a lifespan, and leaves the signals to the process."""

    def __init__(self, app: ASGIApp, *, host: str, port: int) -> None:
        config = uvicorn.Config(
            app, host=host, port=port, log_config=None, access_log=False, lifespan="off"
        )
        super().__init__(config)

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield
