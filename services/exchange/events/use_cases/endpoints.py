"""What is said to an endpoint: its handshake, and signed events (Standard Webhooks, CloudEvents HTTP Webhook)."""

import base64
import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.exchange.events.model.subscription import Subscription
from services.exchange.peers.model import Peer
from services.exchange.settings import Settings
from shared.errors import ConflictError
from shared.ids import new_id
from shared.runtime.http_client import Answer, EndpointError, Endpoints, Reach
from shared.security.crypto import signing_seed

CONTENT_TYPE = "application/cloudevents+json; charset=UTF-8"
PURPOSE = "webhook"


@dataclass(frozen=True)
class Signer:
    """The secrets of one subscription and, where it asked for it, the platform's key. Made inside a database session."""

    secrets: Sequence[str]
    key: Ed25519PrivateKey | None

    def headers(self, message_id: str, body: bytes, now: datetime) -> dict[str, str]:
        """`webhook-id`, `-timestamp` and `-signature` over exactly these bytes."""
        stamp = str(int(now.timestamp()))
        content = f"{message_id}.{stamp}.".encode() + body
        signatures = [
            f"v1,{_b64(hmac.digest(_secret_bytes(one), content, hashlib.sha256))}"
            for one in self.secrets
        ]
        if self.key is not None:
            signatures.append(f"v1a,{_b64(self.key.sign(content))}")
        return {
            "webhook-id": message_id,
            "webhook-timestamp": stamp,
            "webhook-signature": " ".join(signatures),
        }


def _b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _secret_bytes(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix("whsec_"))


def platform_key() -> Ed25519PrivateKey:
    """Signs `v1a`; a subscriber holds its public half alone and so cannot forge it."""
    return Ed25519PrivateKey.from_private_bytes(signing_seed(PURPOSE))


def public_key() -> str:
    return "whpk_" + _b64(platform_key().public_key().public_bytes_raw())


def signer_of(subscription: Subscription, now: datetime) -> Signer:
    """What signs for this subscription now, former secrets of the last 72 hours included."""
    return Signer(
        subscription.signing_secrets(now), platform_key() if subscription.sign_ed25519 else None
    )


def reach_of(peer: Peer, settings: Settings) -> Reach:
    """Where the peer's endpoints may lie."""
    networks = tuple(ipaddress.ip_network(network) for network in peer.networks)
    ports = None if settings.development else settings.webhook_ports
    return Reach(networks, ports, loopback=settings.development)


def origin_of(settings: Settings) -> str:
    """Who asks to send, as the handshake names it."""
    return urlsplit(settings.public_url).hostname or "tongban"


async def shake_hands(
    endpoints: Endpoints, url: str, reach: Reach, signer: Signer, origin: str, now: datetime
) -> None:
    """The endpoint allows this origin (OPTIONS), and echoes a challenge whose signature it can verify; else 409."""
    try:
        await _ask(endpoints, url, reach, origin)
        await _challenge(endpoints, url, reach, signer, now)
    except EndpointError as error:
        words = f"the endpoint did not answer its handshake: {error.cause}"
        raise ConflictError(
            words, extra={"cause": error.cause, "allowed": ["activation"]}
        ) from error


async def _ask(endpoints: Endpoints, url: str, reach: Reach, origin: str) -> None:
    headers = {"webhook-request-origin": origin, "webhook-request-rate": "*"}
    answer = await endpoints.call("OPTIONS", url, reach, headers=headers)
    if not 200 <= answer.status < 300:
        raise EndpointError(f"http_{answer.status}")
    if answer.headers.get("webhook-allowed-origin") not in {origin, "*"}:
        raise EndpointError("origin_not_allowed")


async def _challenge(
    endpoints: Endpoints, url: str, reach: Reach, signer: Signer, now: datetime
) -> None:
    challenge = secrets.token_urlsafe(32)
    body = orjson.dumps({"type": "webhook.challenge", "challenge": challenge})
    headers = {"content-type": "application/json", **signer.headers(str(new_id()), body, now)}
    answer = await endpoints.call("POST", url, reach, headers=headers, content=body)
    if not 200 <= answer.status < 300:
        raise EndpointError(f"http_{answer.status}")
    if not hmac.compare_digest(_echo(answer.body), challenge.encode()):
        raise EndpointError("wrong_challenge")


def _echo(body: bytes) -> bytes:
    """The challenge as plain text or as `{"challenge": …}`."""
    try:
        document = orjson.loads(body)
        return str(document["challenge"]).encode() if isinstance(document, dict) else body.strip()
    except (ValueError, KeyError):
        return body.strip()


async def send_event(
    endpoints: Endpoints,
    url: str,
    reach: Reach,
    signer: Signer,
    event_id: str,
    body: bytes,
    now: datetime,
) -> Answer:
    """The event's exact bytes, signed."""
    headers = {"content-type": CONTENT_TYPE, **signer.headers(event_id, body, now)}
    return await endpoints.call("POST", url, reach, headers=headers, content=body)


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that `Retry-After` asks for, given as a number or a date; None for anything else."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - now).total_seconds()) if text else None
    except (ValueError, TypeError, OverflowError):
        return None
