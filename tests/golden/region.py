"""The simulated regional platform as a process of its own, on a port of its own."""

import asyncio
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Region:
    """What is told to the simulator beside the protocol."""

    def __init__(self, url: str, http: httpx.AsyncClient) -> None:
        self.url = url
        self._http = http

    async def keys(self) -> list[dict[str, Any]]:
        return list((await self._http.get("/keys")).json()["keys"])

    async def plant(self, what: str, *keys: str) -> None:
        """Make its rows differ: lose, older, newer, corrupt, lossy, extra, …"""
        body = {"resource": "cases", "what": what, "keys": keys}
        _ = (await self._http.post("/control/plant", json=body)).raise_for_status()


@asynccontextmanager
async def region() -> AsyncGenerator[Region]:
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "deploy.simulators.regional", "--port", str(port), "--seed", "7"
    )
    try:
        async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as http:
            await _wait_for(http)
            yield Region(url, http)
    finally:
        process.terminate()
        _ = await process.wait()


async def _wait_for(http: httpx.AsyncClient) -> None:
    for _ in range(300):
        try:
            _ = await http.get("/control/truth")
        except httpx.TransportError:
            await asyncio.sleep(0.1)
        else:
            return
    raise AssertionError("the simulator does not start")
