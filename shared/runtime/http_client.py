"""HTTP requests of a service: small documents, and calls to foreign endpoints (httpx)."""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import structlog
from cachetools import LRUCache

from shared.settings import OutgoingSettings

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """How foreign endpoints are called here: a private authority, a proxy; by default neither."""

    ca_file: Path | None = None
    proxy: str = ""


_outgoing = Outgoing()


def configure(settings: OutgoingSettings) -> None:
    """Set how this process calls others, before the first call."""
    global _outgoing
    _outgoing = Outgoing(settings.http_ca_file, settings.http_proxy)


def _tls() -> ssl.SSLContext:
    return _tls_of(_outgoing.ca_file)


@cache
def _tls_of(ca_file: Path | None) -> ssl.SSLContext:
    """Made once: reading the authorities' certificates takes 35 ms."""
    trusted = httpx.create_ssl_context(trust_env=False)
    if ca_file is not None:
        trusted.load_verify_locations(ca_file)
    return trusted


# `Any`: whoever asks for a document knows what it should hold, and checks what it reads.
async def get_json(url: str, *, timeout: float = 3.0) -> Any | None:
    """The JSON document at `url`; None when it cannot be read now, which is logged.

    `timeout` in seconds.
    """
    try:
        async with httpx.AsyncClient(
            timeout=timeout, verify=_tls(), follow_redirects=False, trust_env=False
        ) as client:
            answer = await client.get(url)
            return answer.raise_for_status().json()
    except (httpx.HTTPError, ValueError) as error:
        log.warning("http.unavailable", url=url, error=type(error).__name__)
        return None


async def get_json_of_any(urls: Sequence[str]) -> Any | None:
    """The JSON document at the first of these addresses that answers; None when none does."""
    for url in urls:
        document = await get_json(url)
        if document is not None:
            return document
    return None


IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Finds the addresses of a host and port."""


class EndpointError(Exception):
    """A foreign endpoint could not be called, or must not be.

    `cause` is one short word of ours and holds nothing that the endpoint said.
    """

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """Which foreign endpoints may be called: inside `networks`, on `ports` (None: any).

    Everything else is denied. `loopback` (development) also allows this machine and plain HTTP.
    Link-local, multicast and unspecified addresses are never called, so that no list of networks
    can open this machine or a cloud's metadata service.
    """

    networks: Sequence[IpNetwork] = ()
    ports: Collection[int] | None = (443,)
    loopback: bool = False

    def allows(self, address: IpAddress) -> bool:
        """Whether this address may be connected to."""
        mapped: IpAddress | None = getattr(address, "ipv4_mapped", None)
        if mapped is not None:
            address = mapped
        if address.is_loopback:
            return self.loopback
        if _is_special(address):
            return False
        same_version = [one for one in self.networks if one.version == address.version]
        return any(address in network for network in same_version)


def _is_special(address: IpAddress) -> bool:
    """Addresses that are never those of a peer, whatever networks are configured."""
    return (
        address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or address.is_reserved
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """What an endpoint answered: status, headers by lower-case name, and the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


async def system_resolver(host: str, port: int) -> list[str]:
    """The addresses that the system's resolver knows."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


def _schemes(policy: EgressPolicy) -> Collection[str]:
    if policy.loopback:
        return ("https", "http")
    return ("https",)


def check_endpoint(url: str, policy: EgressPolicy) -> httpx.URL:
    """The parsed address, if its form allows a call.

    Raises:
        EndpointError: it is no URL, not HTTPS, or on a port that the policy denies.
    """
    try:
        target = httpx.URL(url)
        port = target.port or {"https": 443, "http": 80}.get(target.scheme, 0)
    except (httpx.InvalidURL, ValueError) as error:
        raise EndpointError("invalid_url") from error
    if target.scheme not in _schemes(policy):
        raise EndpointError("https_required")
    if not target.host or target.userinfo or target.fragment or not 0 < port < 65536:
        raise EndpointError("invalid_url")
    if policy.ports is not None and port not in policy.ports:
        raise EndpointError("port_not_allowed")
    return target


class _Clients(LRUCache[tuple[str, str, int | None], httpx.AsyncClient]):
    """Clients by scheme, host and port; one that is pushed out waits in `evicted` to be closed."""

    def __init__(self, maxsize: int) -> None:
        super().__init__(maxsize)
        self.evicted: list[httpx.AsyncClient] = []

    def popitem(self) -> tuple[tuple[str, str, int | None], httpx.AsyncClient]:
        origin, client = super().popitem()
        self.evicted.append(client)
        return origin, client


class Endpoints:
    """Calls foreign endpoints so that they cannot redirect a call into our own network (SSRF).

    The name is resolved once per call; the address is checked and then connected to directly, while
    `Host` and TLS name stay those of the URL. Redirects are not followed. The whole exchange has
    one time limit, and the answer a limit of size. Connections are kept per host, so that two names
    on one address never share one.

    Args:
        resolver: finds the addresses of a host.
        timeout: seconds for a whole call.
    """

    MAX_ANSWER = 64 * 1024
    """Bytes."""
    KEPT = 200
    """Hosts whose connections are kept."""

    def __init__(self, resolver: Resolver = system_resolver, *, timeout: float = 15.0) -> None:
        self._resolver = resolver
        self._timeout = timeout
        self._clients = _Clients(self.KEPT)

    async def call(
        self,
        method: str,
        *,
        url: str,
        policy: EgressPolicy,
        headers: Mapping[str, str],
        content: bytes = b"",
    ) -> Answer:
        """One request and its answer.

        Raises:
            EndpointError: the endpoint may not be called, or did not answer properly.
        """
        target = check_endpoint(url, policy)
        try:
            async with asyncio.timeout(self._timeout):
                address = await self._pin(target, policy)
                if _outgoing.proxy:
                    # The proxy connects by the name and checks its certificate against it.
                    address = target.host
                request = _request(
                    method, target, address=address, headers=headers, content=content
                )
                return await self._exchange(target, request)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise EndpointError("timeout") from error
        except httpx.ConnectError as error:
            text = str(error)
            if "CERTIFICATE" in text or "SSL" in text:
                raise EndpointError("tls") from error
            raise EndpointError("connect") from error
        except ssl.SSLError as error:
            # Raised while reading, where httpx does not wrap it: a client certificate was wanted.
            raise EndpointError("tls") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            raise EndpointError("broken_answer") from error

    async def _pin(self, target: httpx.URL, policy: EgressPolicy) -> str:
        """The one address that this call will connect to."""
        try:
            found = await self._resolver(target.host, target.port or 0)
            addresses = [ipaddress.ip_address(text.partition("%")[0]) for text in found]
        except (OSError, ValueError, UnicodeError) as error:
            raise EndpointError("unknown_host") from error
        for address in addresses:
            if policy.allows(address):
                return str(address)
        raise EndpointError("address_not_allowed")

    async def _exchange(self, target: httpx.URL, request: httpx.Request) -> Answer:
        client = await self._client((target.scheme, target.host, target.port))
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
            client = open_client("", timeout=self._timeout)
            self._clients[origin] = client
            while self._clients.evicted:
                await self._clients.evicted.pop().aclose()
        return client

    async def close(self) -> None:
        """Close all kept connections."""
        clients = list(self._clients.values())
        self._clients.clear()
        for client in clients:
            await client.aclose()


def _request(
    method: str,
    target: httpx.URL,
    *,
    address: str,
    headers: Mapping[str, str],
    content: bytes,
) -> httpx.Request:
    """The request to `target`, sent to `address` under the target's own name."""
    sent = {
        "accept": "*/*",
        "accept-encoding": "identity",
        "user-agent": "tongban",
        **headers,
        "host": target.netloc.decode("ascii"),
    }
    return httpx.Request(
        method,
        target.copy_with(host=address),
        headers=sent,
        content=content,
        extensions={"sni_hostname": target.raw_host.decode("ascii")},
    )


def open_client(url: str, *, timeout: float) -> httpx.AsyncClient:
    """A client for many requests to one foreign address; whoever opens it closes it.

    `timeout` in seconds.
    """
    return httpx.AsyncClient(
        base_url=url,
        timeout=timeout,
        verify=_tls(),
        follow_redirects=False,
        trust_env=False,
        proxy=_outgoing.proxy or None,
    )
