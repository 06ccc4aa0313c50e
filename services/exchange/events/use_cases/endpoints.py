"""What is said to an endpoint: its handshake, and signed events.

The formats are Standard Webhooks and CloudEvents HTTP Webhook.
"""

import base64
import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import NotRequired, TypedDict, cast
from urllib.parse import urlsplit

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.exchange.events.model.subscription import Subscription
from services.exchange.peers.model import Peer
from services.exchange.settings import Settings
from shared.errors import ConflictError
from shared.ids import new_id
from shared.runtime.http_client import Answer, EgressPolicy, EndpointError, Endpoints
from shared.security.crypto import signing_seed

CONTENT_TYPE = "application/cloudevents+json; charset=UTF-8"
PURPOSE = "webhook"


@dataclass(frozen=True)
class Signer:
    """The secrets of one subscription and, where it asked for it, the platform's key.

    Made inside a database session, because secrets can be read only there.
    """

    secrets: Sequence[str]
    key: Ed25519PrivateKey | None

    def headers(self, message_id: str, *, body: bytes, now: datetime) -> dict[str, str]:
        """`webhook-id`, `-timestamp` and `-signature` over exactly these bytes."""
        stamp = str(int(now.timestamp()))
        content = f"{message_id}.{stamp}.".encode() + body
        signatures: list[str] = []
        for secret in self.secrets:
            mac = hmac.digest(_secret_bytes(secret), content, hashlib.sha256)
            signatures.append(f"v1,{_b64(mac)}")
        if self.key is not None:
            signatures.append(f"v1a,{_b64(self.key.sign(content))}")
        return {
            "webhook-id": message_id,
            "webhook-timestamp": stamp,
            "webhook-signature": " ".join(signatures),
        }


@dataclass(frozen=True)
class Target:
    """An endpoint, where it may lie, and what signs for it."""

    url: str
    reach: EgressPolicy
    signer: Signer


def _b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _secret_bytes(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix("whsec_"))


def platform_key() -> Ed25519PrivateKey:
    """Signs `v1a`; a subscriber has only its public half and so cannot forge it."""
    return Ed25519PrivateKey.from_private_bytes(signing_seed(PURPOSE))


def public_key() -> str:
    return "whpk_" + _b64(platform_key().public_key().public_bytes_raw())


def reach_of(peer: Peer, settings: Settings) -> EgressPolicy:
    """Where the peer's endpoints may lie."""
    networks = tuple(ipaddress.ip_network(network) for network in peer.networks)
    ports = settings.webhook_ports
    if settings.development:
        ports = None
    return EgressPolicy(networks, ports, loopback=settings.development)


def target_of(
    subscription: Subscription, *, peer: Peer, settings: Settings, now: datetime
) -> Target:
    """The endpoint of a webhook, signed for by all secrets that are valid now."""
    key = None
    if subscription.sign_ed25519:
        key = platform_key()
    signer = Signer(subscription.signing_secrets(now), key)
    return Target(subscription.endpoint or "", reach_of(peer, settings), signer)


def origin_of(settings: Settings) -> str:
    """Who asks to send, as the handshake names it."""
    return urlsplit(settings.public_url).hostname or "tongban"


async def shake_hands(endpoints: Endpoints, target: Target, *, origin: str, now: datetime) -> None:
    """Ask the endpoint whether it wants events.

    It must allow this origin (OPTIONS), and echo a challenge whose signature it can verify. Raises
    `ConflictError` when it does not.
    """
    try:
        await _ask_permission(endpoints, target, origin=origin)
        await _challenge(endpoints, target, now=now)
    except EndpointError as error:
        raise ConflictError(
            "the endpoint did not answer its handshake: {cause}",
            cause=error.cause,
            extra={"cause": error.cause, "allowed": ["activation"]},
        ) from error


async def _ask_permission(endpoints: Endpoints, target: Target, *, origin: str) -> None:
    headers = {"webhook-request-origin": origin, "webhook-request-rate": "*"}
    answer = await endpoints.call("OPTIONS", url=target.url, policy=target.reach, headers=headers)
    _check_success(answer)
    if answer.headers.get("webhook-allowed-origin") not in {origin, "*"}:
        raise EndpointError("origin_not_allowed")


async def _challenge(endpoints: Endpoints, target: Target, *, now: datetime) -> None:
    challenge = secrets.token_urlsafe(32)
    body = orjson.dumps({"type": "webhook.challenge", "challenge": challenge})
    headers = {
        "content-type": "application/json",
        **target.signer.headers(str(new_id()), body=body, now=now),
    }
    answer = await endpoints.call(
        "POST", url=target.url, policy=target.reach, headers=headers, content=body
    )
    _check_success(answer)
    # In constant time, so that the challenge cannot be guessed step by step.
    if not hmac.compare_digest(_echo(answer.body), challenge.encode()):
        raise EndpointError("wrong_challenge")


def _check_success(answer: Answer) -> None:
    if not 200 <= answer.status < 300:
        raise EndpointError(f"http_{answer.status}")


class Echo(TypedDict):
    """An endpoint's answer to the handshake, where it is JSON."""

    challenge: NotRequired[object]


def _echo(body: bytes) -> bytes:
    """The challenge as plain text or as `{"challenge": …}`."""
    try:
        document: object = orjson.loads(body)
    except ValueError:
        return body.strip()
    if not isinstance(document, dict):
        return body.strip()
    members = cast("Echo", document)
    if "challenge" not in members:
        return body.strip()
    return str(members["challenge"]).encode()


async def send_event(
    endpoints: Endpoints, target: Target, *, event_id: str, body: bytes, now: datetime
) -> Answer:
    """The event's exact bytes, signed. Raises `EndpointError` when there is no answer."""
    headers = {
        "content-type": CONTENT_TYPE,
        **target.signer.headers(event_id, body=body, now=now),
    }
    return await endpoints.call(
        "POST", url=target.url, policy=target.reach, headers=headers, content=body
    )


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that `Retry-After` asks for, given as a number or a date; None for anything else."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    # `isdigit` also takes digits of other scripts, which `float` would read.
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - now).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None
