"""What every part of the scenario uses: the platform, signed-in people, the checked figures."""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx

from deploy.demo.answers import SmsMessage
from deploy.sample import accounts
from deploy.sample.accounts import Account, Headers

T = TypeVar("T")
Query = Mapping[str, str | int | bool]

ALL = {"limit": 200}
"""The largest page; the demonstration makes less of everything than fits on one."""


class ScenarioError(Exception):
    """The platform did not do what the scenario needs to go on."""


def if_match(revision: int) -> Headers:
    """The header by which a change names the version that it was decided on."""
    return {"If-Match": f'"{revision}"'}


@dataclass(frozen=True)
class Target:
    """A platform to play on.

    Its address, the file of its sample accounts, where it expects the regional platform, and the
    URLs of its databases by service. Without databases nothing is counted and nothing rebuilt.
    """

    url: str
    account_file: Path
    regional_url: str
    databases: Mapping[str, str]


class DemoContext:
    """One run of the scenario against a platform."""

    def __init__(self, target: Target, client: httpx.AsyncClient) -> None:
        self.regional_url = target.regional_url
        self.databases = target.databases
        self.client = client
        self.differences: list[str] = []
        self.run_id = format(int(time.time()), "x")
        """Part of every number that must be new in each run."""
        self._accounts = accounts.read(target.account_file)
        self._signed_in: dict[str, Headers] = {}

    def say(self, message: str) -> None:
        print(message, flush=True)

    def section(self, title: str) -> None:
        # Chinese characters are two columns wide.
        self.say(f"\n── {title} " + "─" * max(3, 90 - len(title) * 2))

    def check(self, what: str, found: object, *, expected: object) -> None:
        """Print one figure. A difference ends the run with status 1, but only at its end."""
        if found == expected:
            self.say(f"   ✓ {what}: {found}")
        else:
            self.say(f"   ✗ {what}: {found}, expected {expected}")
            self.differences.append(what)

    def confirm(self, what: str, holds: bool) -> None:
        """The same for a statement that is true or not."""
        if holds:
            self.say(f"   ✓ {what}")
        else:
            self.say(f"   ✗ {what}")
            self.differences.append(what)

    def account(self, username: str) -> Account:
        """What is known of a sample account, its secrets included."""
        return self._accounts[username]

    async def sign_in(self, username: str) -> Headers:
        """The Authorization header of a sample account, which signs in once."""
        if username not in self._signed_in:
            account = self._accounts[username]
            self._signed_in[username] = await accounts.sign_in(self.client, account)
        return self._signed_in[username]

    async def get(
        self, path: str, *, who: Headers | None = None, params: Query | None = None
    ) -> httpx.Response:
        """A GET that has to succeed. Raises: `ScenarioError`."""
        answer = await self.client.get(path, headers=who, params=params)
        return _expect(answer, 200)

    async def send(
        self,
        method: str,
        *,
        path: str,
        who: Headers | None = None,
        headers: Headers | None = None,
        json: object = None,
        content: bytes | None = None,
        status: int = 200,
    ) -> httpx.Response:
        """A request that has to be answered with `status`. Raises: `ScenarioError`."""
        sent = {**(who or {}), **(headers or {})}
        answer = await self.client.request(method, path, headers=sent, json=json, content=content)
        return _expect(answer, status)

    async def post(
        self,
        path: str,
        *,
        who: Headers | None = None,
        headers: Headers | None = None,
        json: object = None,
        status: int = 200,
    ) -> httpx.Response:
        """A POST that has to be answered with `status`. Raises: `ScenarioError`."""
        return await self.send(
            "POST", path=path, who=who, headers=headers, json=json, status=status
        )

    async def until(
        self, what: str, ask: Callable[[], Awaitable[T | None]], *, seconds: float = 60
    ) -> T:
        """Ask again until there is an answer: facts travel between services in their own time.

        Raises: `ScenarioError` after so many seconds.
        """
        deadline = time.monotonic() + seconds
        while (answer := await ask()) is None:
            if time.monotonic() > deadline:
                raise ScenarioError(f"{what} did not come within {seconds:.0f} s")
            await asyncio.sleep(0.1)
        return answer

    async def read_sms_code(self, phone: str) -> str:
        """The code of the newest message, as an operator of a development system can read it."""
        administrator = await self.sign_in("administrator")
        path = "/identity/development/sms-messages"
        answer = await self.get(path, who=administrator, params={"phone": phone})
        messages: list[SmsMessage] = answer.json()
        newest = max(messages, key=lambda message: message["sent_at"])
        return re.findall(r"[0-9]{6}", newest["text"])[-1]

    def once(self, name: str) -> Headers:
        """An Idempotency-Key for one intended effect of this run."""
        return {"Idempotency-Key": f"demo-{self.run_id}-{name}"}


def _expect(answer: httpx.Response, status: int) -> httpx.Response:
    if answer.status_code != status:
        request = f"{answer.request.method} {answer.request.url.path}"
        text = answer.text[:600]
        raise ScenarioError(f"{request} answered {answer.status_code}, expected {status}: {text}")
    return answer


@asynccontextmanager
async def open_demo(target: Target) -> AsyncGenerator[DemoContext]:
    url = f"{target.url}/api/v1"
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
        yield DemoContext(target, client)
