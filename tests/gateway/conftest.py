"""A real gateway (uvicorn on a free port) before a real upstream that misbehaves on request."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import uvicorn

from deploy.postgres import free_port
from gateway.main import create_gateway
from gateway.protocol import corked
from gateway.settings import Settings
from tests.builders.tokens import TestKeys
from tests.conftest import ENGLISH

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter, bytes], Awaitable[None]]


class QuietServer(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


@contextlib.asynccontextmanager
async def serving(app: Any, send_timeout: float = 60.0) -> AsyncGenerator[int]:
    """Serve an ASGI app on loopback as the gateway is served; yields its port."""
    port = free_port()
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=port,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        http=corked(send_timeout),
        timeout_graceful_shutdown=1,
    )
    server = QuietServer(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield port
    finally:
        server.should_exit = True
        await task


@dataclass
class Upstream:
    """A raw server: hands each request's head to `handler`; remembers heads."""

    handler: Handler
    heads: list[bytes] = field(default_factory=list[bytes])
    port: int = 0
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: set["asyncio.Task[None]"] = field(default_factory=set["asyncio.Task[None]"])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            await self._talk(reader, writer)
        finally:
            self.closed.set()
            writer.close()

    async def stop(self) -> None:
        for task in self.tasks:
            _ = task.cancel()
        _ = await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                await self.handler(reader, writer, head)


async def plain(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _head: bytes) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Own: yes\r\n\r\nok")
    await writer.drain()


class Gate:
    """The gateway under test with its upstream."""

    def __init__(self, port: int, upstream: Upstream, client: httpx.AsyncClient) -> None:
        self.port = port
        self.upstream = upstream
        self.client = client

    @property
    def sent(self) -> dict[str, str]:
        """Headers of the last request as the upstream got them."""
        lines = self.upstream.heads[-1].decode().split("\r\n")[1:]
        return {
            name.lower(): value
            for name, _, value in (line.partition(": ") for line in lines if line)
        }


GateFactory = Callable[..., Awaitable[Gate]]


@pytest.fixture
async def gate(keys: TestKeys) -> AsyncGenerator[GateFactory]:
    """A gateway whose matters service is `handler`: `await gate(handler, read_timeout=0.3)`.

    cases is not there at all.
    """
    async with contextlib.AsyncExitStack() as stack:

        async def make(handler: Handler = plain, **changes: Any) -> Gate:
            upstream = Upstream(handler)
            server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
            upstream.port = server.sockets[0].getsockname()[1]
            stack.callback(server.close)
            _ = stack.push_async_callback(upstream.stop)
            settings = Settings(
                **{
                    "upstreams": {
                        "matters": f"http://127.0.0.1:{upstream.port}",
                        "cases": f"http://127.0.0.1:{free_port()}",
                        "identity": f"http://127.0.0.1:{upstream.port}",
                    },
                    "jwks_url": "http://127.0.0.1:1/",
                    "revocations_url": changes.pop("revocations_url", "http://127.0.0.1:1/"),
                    **changes,
                }
            )
            gateway = create_gateway(settings, verifier=keys.verifier())
            port = await stack.enter_async_context(serving(gateway, settings.send_timeout))
            client = await stack.enter_async_context(
                httpx.AsyncClient(
                    base_url=f"http://127.0.0.1:{port}",
                    timeout=20,
                    trust_env=False,
                    headers=ENGLISH,
                )
            )
            return Gate(port, upstream, client)

        yield make


async def raw(port: int, request: bytes, *, read: int = 65536) -> bytes:
    """Send bytes as they are; what comes back within two seconds."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    await writer.drain()
    answer = b""
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(2):
            while chunk := await reader.read(read):
                answer += chunk
    writer.close()
    return answer
