"""What the story is played with: the platform's address, signed-in people, and a tally of checked figures."""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx

from deploy.place import Place
from deploy.sample import accounts

Headers = dict[str, str]


class Difference(Exception):  # noqa: N818 - a finding, not a fault of the program
    """The platform did not do what the story needs to go on."""


class Stage:
    """One run of the story."""

    def __init__(self, place: Place, databases: dict[str, str], client: httpx.AsyncClient) -> None:
        self.place = place
        self.databases = databases
        self.client = client
        self.differences: list[str] = []
        self.mark = format(int(time.time()), "x")
        self._accounts = accounts.read(place.account_file)
        self._signed_in: dict[str, Headers] = {}

    def say(self, words: str) -> None:
        print(words, flush=True)

    def scene(self, title: str) -> None:
        self.say(f"\n── {title} " + "─" * max(3, 90 - len(title) * 2))

    def check(self, what: str, found: object, expected: object) -> None:
        """Print one figure; a difference is kept and ends the run with status 1."""
        if found == expected:
            self.say(f"   ✓ {what}: {found}")
        else:
            self.say(f"   ✗ {what}: {found}, expected {expected}")
            self.differences.append(what)

    def confirm(self, what: str, holds: bool) -> None:
        """The same for something that is so or is not."""
        self.say(f"   {'✓' if holds else '✗'} {what}")
        if not holds:
            self.differences.append(what)

    def account(self, username: str) -> dict[str, Any]:
        """What is known of a sample account, its secrets included."""
        return self._accounts[username]

    async def officer(self, username: str) -> Headers:
        """A sample account, signed in once."""
        if username not in self._signed_in:
            self._signed_in[username] = await accounts.sign_in(
                self.client, self._accounts[username]
            )
        return self._signed_in[username]

    async def call(
        self, method: str, path: str, who: Headers | None = None, *, status: int = 200, **more: Any
    ) -> Any:
        """One request; anything but the expected status ends the story with the answer's own words."""
        headers = {**(who or {}), **more.pop("headers", {})}
        answer = await self.client.request(method, path, headers=headers, **more)
        if answer.status_code != status:
            raise Difference(
                f"{method} {path} answered {answer.status_code}, expected {status}: {answer.text[:600]}"
            )
        return answer.json() if answer.content else None

    async def until(self, what: str, ask: Callable[[], Awaitable[Any]], seconds: float = 60) -> Any:
        """Ask again until the answer is there: facts travel between services in their own time."""
        deadline = time.monotonic() + seconds
        while (answer := await ask()) is None:
            if time.monotonic() > deadline:
                raise Difference(f"{what} did not come within {seconds:.0f} s")
            await asyncio.sleep(0.1)
        return answer

    async def read_sms(self, phone: str) -> str:
        """The code in the newest message, as an operator of a development system can read it."""
        query = {"phone": phone}
        who = await self.officer("administrator")
        messages = await self.call("GET", "/identity/development/sms-messages", who, params=query)
        newest = max(messages, key=lambda message: message["sent_at"])
        return re.findall(r"[0-9]{6}", newest["text"])[-1]

    def once(self, name: str) -> Headers:
        """An Idempotency-Key for one intended effect of this run."""
        return {"Idempotency-Key": f"demo-{self.mark}-{name}"}


@asynccontextmanager
async def on(place: Place, databases: dict[str, str]) -> AsyncGenerator[Stage]:
    async with httpx.AsyncClient(
        base_url=f"{place.url}/api/v1", timeout=60, trust_env=False
    ) as client:
        yield Stage(place, databases, client)
