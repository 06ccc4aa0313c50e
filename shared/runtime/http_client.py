"""The one place that makes HTTP requests from a service (httpx; see docs/adr on its successor)."""

import asyncio
import ipaddress
import socket
import ssl
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
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
        async with httpx.AsyncClient(
            timeout=timeout, verify=_tls(), follow_redirects=False, trust_env=False
        ) as client:
            answer = await client.get(url)
            return answer.raise_for_status().json()
    except (httpx.HTTPError, ValueError) as error:
        log.warning("http.unavailable", url=url, error=type(error).__name__)
        return None


IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port → addresses."""


class EndpointError(Exception):
    """A foreign endpoint could not be called, or must not be. `cause` is one short word, without anything it said."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Reach:
    """Where a foreign endpoint may lie: inside `networks`, on `ports` (None: any). Deny by default.

    `loopback` (development) also allows this machine and plain HTTP. Link-local, multicast and unspecified addresses are
    never reached, and loopback only so: nobody's network list can open the machine itself or a cloud's metadata.
    """

    networks: Sequence[IpNetwork] = ()
    ports: Collection[int] | None = (443,)
    loopback: bool = False

    def allows(self, address: IpAddress) -> bool:
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if address.is_loopback:
            return self.loopback
        if (
            address.is_link_local
            or address.is_multicast
            or address.is_unspecified
            or address.is_reserved
        ):
            return False
        return any(
            address in network for network in self.networks if network.version == address.version
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """What an endpoint answered: status, headers by lower-case name, and the body's first bytes."""

    status: int
    headers: Mapping[str, str]
    body: bytes


async def system_resolver(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


def check_endpoint(url: str, reach: Reach) -> httpx.URL:
    """The address as it may be called, judged by its form alone; raises `EndpointError`."""
    try:
        target = httpx.URL(url)
        port = target.port or {"https": 443, "http": 80}.get(target.scheme, 0)
    except (httpx.InvalidURL, ValueError) as error:
        raise EndpointError("invalid_url") from error
    if target.scheme != "https" and not (target.scheme == "http" and reach.loopback):
        raise EndpointError("https_required")
    if not target.host or target.userinfo or target.fragment or not 0 < port < 65536:
        raise EndpointError("invalid_url")
    if reach.ports is not None and port not in reach.ports:
        raise EndpointError("port_not_allowed")
    return target


class Endpoints:
    """Calls foreign endpoints so that they cannot lead us elsewhere.

    The name is resolved once per call, the address is checked and then connected to itself (`Host` and TLS name stay those of
    the URL), redirects are not followed, the whole exchange has one time limit and the answer one of size. Connections are
    kept per host: two names on one address never share one.
    """

    MAX_ANSWER = 64 * 1024
    KEPT = 200

    def __init__(self, resolver: Resolver = system_resolver, *, timeout: float = 15.0) -> None:
        self._resolver = resolver
        self._timeout = timeout
        self._clients: OrderedDict[tuple[str, str, int | None], httpx.AsyncClient] = OrderedDict()

    async def call(
        self,
        method: str,
        url: str,
        reach: Reach,
        *,
        headers: Mapping[str, str],
        content: bytes = b"",
    ) -> Answer:
        """One request, one answer; raises `EndpointError` when there is none that counts."""
        target = check_endpoint(url, reach)
        try:
            async with asyncio.timeout(self._timeout):
                address = await self._pin(target, reach)
                return await self._exchange(method, target, address, headers, content)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise EndpointError("timeout") from error
        except httpx.ConnectError as error:
            raise EndpointError(
                "tls" if "CERTIFICATE" in str(error) or "SSL" in str(error) else "connect"
            ) from error
        except ssl.SSLError as error:  # met while reading, where httpx leaves it as it is: a client certificate was wanted
            raise EndpointError("tls") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            raise EndpointError("broken_answer") from error

    async def _pin(self, target: httpx.URL, reach: Reach) -> str:
        """The one address that this call will connect to."""
        try:
            found = await self._resolver(target.host, target.port or 0)
            addresses = [ipaddress.ip_address(text.partition("%")[0]) for text in found]
        except (OSError, ValueError, UnicodeError) as error:
            raise EndpointError("unknown_host") from error
        allowed = next((address for address in addresses if reach.allows(address)), None)
        if allowed is None:
            raise EndpointError("address_not_allowed")
        return str(allowed)

    async def _exchange(
        self,
        method: str,
        target: httpx.URL,
        address: str,
        headers: Mapping[str, str],
        content: bytes,
    ) -> Answer:
        client = await self._client((target.scheme, target.host, target.port))
        sent = {
            "accept": "*/*",
            "accept-encoding": "identity",
            "user-agent": "tongban",
            **headers,
            "host": target.netloc.decode("ascii"),
        }
        request = client.build_request(
            method,
            target.copy_with(host=address),
            headers=sent,
            content=content,
            extensions={"sni_hostname": target.raw_host.decode("ascii")},
        )
        answer = await client.send(request, stream=True)
        try:
            return Answer(answer.status_code, dict(answer.headers), await self._body(answer))
        finally:
            await answer.aclose()

    async def _body(self, answer: httpx.Response) -> bytes:
        # Raw bytes: nothing of a stranger's is decompressed.
        body = bytearray()
        async for chunk in answer.aiter_raw():
            body += chunk
            if len(body) > self.MAX_ANSWER:
                raise EndpointError("answer_too_large")
        return bytes(body)

    async def _client(self, origin: tuple[str, str, int | None]) -> httpx.AsyncClient:
        client = self._clients.get(origin)
        if client is None:
            client = httpx.AsyncClient(
                timeout=self._timeout, verify=_tls(), follow_redirects=False, trust_env=False
            )
            self._clients[origin] = client
            if len(self._clients) > self.KEPT:
                _, oldest = self._clients.popitem(last=False)
                await oldest.aclose()
        self._clients.move_to_end(origin)
        return client

    async def close(self) -> None:
        clients = list(self._clients.values())
        self._clients.clear()
        for client in clients:
            await client.aclose()


def open_client(url: str, *, timeout: float) -> httpx.AsyncClient:
    """A client for many requests to one address, to be closed by whoever opened it."""
    return httpx.AsyncClient(
        base_url=url, timeout=timeout, verify=_tls(), follow_redirects=False, trust_env=False
    )
