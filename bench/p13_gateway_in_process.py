"""P13: CPU that the gateway adds per 1,000 requests to a direct call of the service's app.

The gateway runs in one process with the services.

The app behind it answers 1 KB and does nothing else, so that the difference is the gateway alone:
route, token, limits, headers, the way in and out. Rounds alternate.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import uvloop
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bench.harness import Figure, Options, at_most, run
from bench.stack_fixture import jwks, token
from gateway.main import create_gateway
from gateway.request_log import request_log
from gateway.settings import Settings
from shared import logs
from shared.city import SAMPLE
from shared.security.tokens import StaticKeys, TokenVerifier

PATH = "/api/v1/cases/files/019a0000-0000-7000-8000-000000000000"
START: Message = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", b"1024")],
}
BODY: Message = {"type": "http.response.body", "body": b"x" * 1024}


async def small(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send(START)
    await send(BODY)


def a_scope() -> dict[str, Any]:
    """A request as uvicorn hands it on."""
    headers = [(b"host", b"bench"), (b"accept", b"*/*"), (b"user-agent", b"bench")]
    headers.append((b"authorization", token()["authorization"].encode()))
    return {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 40000),
        "server": ("127.0.0.1", 8000),
    }


async def _spend(app: ASGIApp, scope: dict[str, Any], count: int) -> float:
    """CPU seconds per 1,000 calls."""
    statuses: set[int] = set()

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.add(message["status"])

    before = time.process_time()
    for _ in range(count):
        await app({**scope}, receive, send)
    spent = time.process_time() - before
    if statuses != {200}:
        raise SystemExit(f"requests failed: {statuses}")
    return spent / count * 1000


async def _rounds(options: Options) -> list[tuple[float, float]]:
    lots = 1e9
    settings = Settings(
        city_file=SAMPLE,
        jwks_url="http://127.0.0.1:1/",
        revocations_url="http://127.0.0.1:1/",
        rate_per_caller=lots,
        burst=int(lots),
    )
    verifier = TokenVerifier(StaticKeys(jwks()), issuer="tongban")
    gateway = create_gateway(settings, upstreams={"cases": small}, verifier=verifier)
    scope, count = a_scope(), options.pick(20_000, 500)
    _ = await _spend(gateway, scope, count // 10)
    return [
        (await _spend(small, scope, count), await _spend(gateway, scope, count))
        for _ in range(options.pick(5, 1))
    ]


def measure(options: Options) -> Sequence[Figure]:
    with Path(os.devnull).open("w") as nowhere:
        # The lines of the request log are made and written, as they always are.
        logs.configure("bench", stream=nowhere)
        rounds = uvloop.run(_rounds(options))
        request_log.flush()
    added = [through - direct for direct, through in rounds]
    return [
        at_most("CPU added per 1,000 requests (median of rounds)", median(added), "s", 0.1, 0.05),
        Figure("least", min(added), "s"),
        Figure("most", max(added), "s"),
    ]


if __name__ == "__main__":
    run("P13", "gateway in one process with the services: CPU added", measure)
