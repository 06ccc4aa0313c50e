"""Several addresses of one service: load is shared, and who refuses or is not ready gets none."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field

import httpx
import pytest
from pydantic import ValidationError
from starlette.types import Receive, Scope, Send

from deploy.postgres import free_port
from gateway.main import create_gateway
from gateway.settings import Settings
from tests.gateway.conftest import serving

PATH = "/api/v1/matters/areas"


@dataclass
class Replica:
    """A service that answers with its name; `ready` is what it says at `/readyz`."""

    name: str
    ready: bool = True
    taken: list[str] = field(default_factory=list[str])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status = 200
        if scope["path"] == "/readyz":
            status = 200 if self.ready else 503
        else:
            while (await receive()).get("more_body"):
                pass
            self.taken.append(scope["method"])
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": self.name.encode()})


@contextlib.asynccontextmanager
async def gateway_over(*urls: str) -> AsyncGenerator[httpx.AsyncClient]:
    settings = Settings(
        upstreams={"matters": list(urls)},
        probe_seconds=0.05,
        jwks_url="http://127.0.0.1:1/",
        revocations_url="http://127.0.0.1:1/",
        breaker_failures=1,
        breaker_seconds=60,
    )
    async with (
        serving(create_gateway(settings)) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        yield client


def at(port: int) -> str:
    return f"http://127.0.0.1:{port}"


async def answers(client: httpx.AsyncClient, number: int) -> Counter[str]:
    found: Counter[str] = Counter()
    for _ in range(number):
        answer = await client.get(PATH)
        found[answer.text if answer.status_code == 200 else str(answer.status_code)] += 1
    return found


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(5):
        while not await condition():
            await asyncio.sleep(0.02)


async def test_load_is_shared() -> None:
    first, second = Replica("first"), Replica("second")

    async with (
        serving(first) as one,
        serving(second) as other,
        gateway_over(at(one), at(other)) as client,
    ):
        found = await answers(client, 20)

    assert found == {"first": 10, "second": 10}


async def test_requests_of_any_method_go_elsewhere_when_one_refuses() -> None:
    alive = Replica("alive")

    async with (
        serving(alive) as port,
        gateway_over(at(free_port()), at(port), at(free_port())) as client,
    ):
        found = await answers(client, 10)
        written = await client.post("/api/v1/matters/personal-guides", json={"answers": {}})

    assert found == {"alive": 10}
    assert (written.status_code, alive.taken[-1]) == (200, "POST")


async def test_one_that_is_not_ready_gets_no_requests_until_it_is() -> None:
    first, second = Replica("first"), Replica("second", ready=False)

    async with (
        serving(first) as one,
        serving(second) as other,
        gateway_over(at(one), at(other)) as client,
    ):

        async def is_left_out() -> bool:
            return set(await answers(client, 4)) == {"first"}

        async def is_back() -> bool:
            return set(await answers(client, 4)) == {"first", "second"}

        await until(is_left_out)
        second.ready = True
        await until(is_back)


async def test_when_none_is_ready_their_own_answers_are_passed_on() -> None:
    first, second = Replica("first", ready=False), Replica("second", ready=False)

    async with (
        serving(first) as one,
        serving(second) as other,
        gateway_over(at(one), at(other)) as client,
    ):
        await asyncio.sleep(0.3)
        found = await answers(client, 8)
        second.ready = True

        async def is_preferred() -> bool:
            return set(await answers(client, 4)) == {"second"}

        await until(is_preferred)

    assert sum(found.values()) == found["first"] + found["second"] == 8


async def test_when_all_refuse_the_gateway_says_so() -> None:
    async with gateway_over(at(free_port()), at(free_port())) as client:
        answer = await client.get(PATH)

    assert answer.status_code == 502
    assert answer.headers["retry-after"]


def test_service_without_an_address_is_a_faulty_setting() -> None:
    with pytest.raises(ValidationError, match="upstreams"):
        _ = Settings(upstreams={"matters": []}, jwks_url="http://x/", revocations_url="http://x/")
