"""A second client with the methods of `gateway.upstreams`, on aiohttp.

The tests compare the first one with it.
"""

from collections.abc import AsyncGenerator
from urllib.parse import urlsplit

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from gateway.problems import Headers
from gateway.upstreams import ServiceError, ServiceTimeoutError, Upstream

AUTOMATIC = ("accept", "accept-encoding", "user-agent", "content-type")
"""Headers that aiohttp would add by itself."""


class AiohttpUpstream:
    """See `gateway.upstreams.Upstream`."""

    def __init__(self, url: str, connect_timeout: float, read_timeout: float) -> None:
        self._heads = Upstream(url, connect_timeout=connect_timeout, read_timeout=read_timeout)
        parts = urlsplit(url)
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._session = aiohttp.ClientSession(
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=AUTOMATIC,
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=connect_timeout, sock_read=read_timeout
            ),
        )

    async def connection(self) -> "AiohttpConnection":
        return AiohttpConnection(self._session, self._origin)

    def head(self, method: str, target: bytes, headers: Headers, *, chunked: bool) -> bytes:
        return self._heads.head(method, target, headers=headers, chunked=chunked)

    async def close(self) -> None:
        await self._session.close()


class AiohttpConnection:
    """See `gateway.upstreams.Connection`."""

    def __init__(self, session: aiohttp.ClientSession, origin: str) -> None:
        self._session = session
        self._origin = origin
        self._response: aiohttp.ClientResponse | None = None
        self.status = 0
        self.headers: Headers = []

    async def ask(
        self,
        method: str,
        head: bytes,
        *,
        content: bytes | AsyncGenerator[bytes] | None,
        chunked: bool,
    ) -> None:
        target, headers = _parsed(head)
        if chunked and isinstance(content, bytes):
            content = _stream(content)
        try:
            self._response = await self._session.request(
                method,
                URL(self._origin + target, encoded=True),
                headers=headers,
                data=content,
                chunked=chunked or None,
                allow_redirects=False,
            )
        except TimeoutError as error:
            raise ServiceTimeoutError(str(error)) from error
        except aiohttp.ClientError as error:
            raise ServiceError(str(error)) from error
        self.status = self._response.status
        self.headers = [(name.lower(), value) for name, value in self._response.raw_headers]

    async def chunk(self) -> bytes:
        assert self._response is not None
        try:
            return await self._response.content.readany()
        except TimeoutError as error:
            raise ServiceTimeoutError(str(error)) from error
        except aiohttp.ClientError as error:
            raise ServiceError(str(error)) from error

    def release(self) -> None:
        if self._response is not None:
            self._response.close()


def _parsed(head: bytes) -> tuple[str, CIMultiDict[str]]:
    """Target and headers of a head; the framing is left to aiohttp."""
    first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    headers = CIMultiDict[str]()
    for line in lines:
        name, _, value = line.partition(": ")
        if name != "transfer-encoding":
            headers.add(name, value)
    return first.split(" ")[1], headers


async def _stream(content: bytes) -> AsyncGenerator[bytes]:
    yield content
