"""The one place that makes HTTP requests from a service (httpx; see docs/adr on its successor)."""

import ssl
from functools import cache
from typing import Any

import httpx
import structlog

log = structlog.get_logger(__name__)


@cache
def _tls() -> ssl.SSLContext:
    """Read once: the authorities' certificates cost 35 ms, and some documents are asked for every other second."""
    return httpx.create_ssl_context(trust_env=False)


async def get_json(url: str, *, timeout: float = 3.0) -> Any | None:
    """The JSON document at `url`, or None when it cannot be had now (which is logged)."""
    try:
        async with httpx.AsyncClient(timeout=timeout, verify=_tls(), follow_redirects=False, trust_env=False) as client:
            answer = await client.get(url)
            return answer.raise_for_status().json()
    except (httpx.HTTPError, ValueError) as error:
        log.warning("http.unavailable", url=url, error=type(error).__name__)
        return None
