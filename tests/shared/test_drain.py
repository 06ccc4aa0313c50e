"""A process that is asked to end is not ready, answers for a while, and breaks nothing off."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncGenerator, Generator

import httpx
import uvicorn
from starlette.types import Receive, Scope, Send

from deploy.postgres import free_port
from shared.http.draining import Drain, DrainingServer


class Server(DrainingServer):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


class App:
    """Answers at once; at `/slow` when `go_on` is set."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            _ = await self.go_on.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})


class Served:
    """A server, and a client of it."""

    def __init__(self, seconds: float) -> None:
        self.app, self.drain, self.port = App(), Drain(), free_port()
        listening = socket.socket()
        listening.bind(("127.0.0.1", self.port))
        listening.setblocking(False)
        config = uvicorn.Config(
            self.app, log_config=None, access_log=False, lifespan="off", http="httptools"
        )
        self.server = Server(config, drain=self.drain, seconds=seconds)
        self.running = asyncio.create_task(self.server.serve([listening]))
        self.client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}")

    def signal(self, number: signal.Signals) -> None:
        self.server.handle_exit(number, None)

    async def seconds_to_end(self) -> float:
        begun = asyncio.get_running_loop().time()
        async with asyncio.timeout(10):
            await self.running
        return asyncio.get_running_loop().time() - begun


@contextlib.asynccontextmanager
async def served(seconds: float) -> AsyncGenerator[Served]:
    one = Served(seconds)
    while not one.server.started:
        await asyncio.sleep(0.01)
    try:
        yield one
    finally:
        one.server.should_exit = one.server.force_exit = True
        await one.running
        await one.client.aclose()


async def test_requests_are_answered_after_the_signal_each_closing_its_connection() -> None:
    async with served(0.8) as one:
        before = await one.client.get("/")
        one.signal(signal.SIGTERM)
        ready = not one.drain.began
        await asyncio.sleep(0.3)
        meanwhile = [await one.client.get("/") for _ in range(5)]
        took = await one.seconds_to_end()

    assert not ready
    assert "connection" not in before.headers
    assert [answer.status_code for answer in meanwhile] == [200] * 5
    assert {answer.headers["connection"] for answer in meanwhile} == {"close"}
    assert took < 3


async def test_nobody_is_refused_up_to_the_end_and_the_port_is_closed_then() -> None:
    answered = 0

    async with served(0.4) as one:
        one.signal(signal.SIGTERM)
        refused = False
        while not refused:
            try:
                # A connection of its own, as a new caller has.
                async with httpx.AsyncClient() as client:
                    answer = await client.get(f"http://127.0.0.1:{one.port}/")
                assert answer.status_code == 200
                answered += 1
            except httpx.ConnectError:
                refused = True

    assert answered


async def test_request_in_flight_is_finished() -> None:
    async with served(0.2) as one:
        waiting = asyncio.create_task(one.client.get("/slow"))
        await asyncio.sleep(0.2)
        one.signal(signal.SIGTERM)
        await asyncio.sleep(1.0)
        closed = not one.running.done()
        one.app.go_on.set()
        answer = await waiting
        _ = await one.seconds_to_end()

    assert closed
    assert answer.text == "ok"


async def test_interactive_stop_and_a_second_signal_do_not_wait() -> None:
    async with served(30) as one:
        one.signal(signal.SIGINT)
        interrupted = await one.seconds_to_end()
    async with served(30) as one:
        one.signal(signal.SIGTERM)
        one.signal(signal.SIGTERM)
        terminated = await one.seconds_to_end()
    async with served(0) as one:
        one.signal(signal.SIGTERM)
        unset = await one.seconds_to_end()

    assert interrupted < 1.5
    assert terminated < 2.5
    assert unset < 1.5
