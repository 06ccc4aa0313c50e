"""Serving the app of a service."""

import uvicorn
from fastapi import FastAPI

from shared import logs
from shared.http.draining import DrainingServer, serve
from shared.runtime.gc_tuning import tune_gc
from shared.runtime.presence import Presence
from shared.settings import ServiceSettings


def run_api(service: str, app: FastAPI, *, settings: ServiceSettings) -> None:
    """Main of `services/<name>/main.py`: serve until SIGTERM or SIGINT.

    Requests in flight are finished, for at most 20 seconds.
    """
    logs.configure(f"{service}-api")
    tune_gc()
    app.state.presence = Presence(service, app.state.database, name=f"{service}-api")
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        # Longer than the gateway keeps a connection, so that it never uses one that was just
        # closed.
        timeout_keep_alive=75,
        timeout_graceful_shutdown=20,
    )
    serve(DrainingServer(config, drain=app.state.drain, seconds=settings.drain_seconds))
