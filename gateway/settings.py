"""Settings of the gateway, prefix `GATEWAY_`."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shared.settings import CitySettings, Port

Rate = tuple[Annotated[float, Field(gt=0)], Annotated[int, Field(ge=1)]]
"""Requests a second, and requests at once."""


class Settings(CitySettings):
    """Times in seconds, rates per second."""

    model_config = SettingsConfigDict(
        env_prefix="GATEWAY_", frozen=True, extra="ignore", use_attribute_docstrings=True
    )

    upstreams: dict[str, str | Annotated[list[str], Field(min_length=1)]] = Field(default={})
    """Service name → base URL, or a list of them, as JSON."""
    probe_seconds: float = Field(default=1.0, gt=0, le=60)
    """How often each of several addresses of a service is asked whether it is ready."""
    jwks_url: str
    """One address, or several separated by spaces: the first that answers is read."""
    revocations_url: str
    """Like `jwks_url`."""
    public_url: str = ""
    """The address in links (`https://…`); when empty, the one that the request names."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Port = 8000
    """Where callers come in."""
    operator_port: int = Field(default=0, ge=0, le=65535)
    """Where `/internal/status`, `/metrics` and the probes are for the operator alone; 0: nowhere.

    The public must not reach this port.
    """
    shared_port: bool = False
    """Several gateways listen on `port` side by side (SO_REUSEPORT)."""
    own_port: Port | None = None
    """A further port of this gateway alone: its health and metrics, where `port` is shared."""
    drain_seconds: float = Field(default=5.0, ge=0, le=60)
    """How long a gateway that was asked to end still answers, and is not ready."""
    connect_timeout: float = Field(default=2.0, gt=0)
    """Longest time until a service takes a connection, in seconds."""
    read_timeout: float = Field(default=35.0, gt=0)
    """Longest silence of a service, in seconds."""
    body_timeout: float = Field(default=30.0, gt=0)
    """Longest silence within a request's body, in seconds."""
    body_rate: float = Field(default=1024.0, gt=0)
    """Mean bytes a second of a body once `body_timeout` is used up.

    Without it pauses could add up.
    """
    send_timeout: float = Field(default=60.0, gt=0)
    """Longest time that a caller may not read its answer, in seconds."""
    max_body_bytes: int = Field(default=64 * 1024 * 1024, ge=1024)
    """Most bytes of a request's body."""
    max_in_flight: int = Field(default=512, ge=1)
    """Most requests that are answered at the same time."""
    max_per_address: int = Field(default=64, ge=1)
    """The part of `max_in_flight` for one address, so that no address can fill the gateway.

    A whole service hall has one address.
    """
    rate_per_address: float = Field(default=50.0, gt=0)
    """Requests a second of callers without a token, by their address."""
    rate_per_caller: float = Field(default=100.0, gt=0)
    """Requests a second of one account."""
    rate_per_client: float = Field(default=200.0, gt=0)
    """Requests a second of a bureau's system."""
    burst: int = Field(default=400, ge=1)
    """Requests that each of them may make at once."""
    route_rates: dict[
        Literal["sms_codes", "sign_in", "tracking", "ratings", "license_checks"], Rate
    ] = Field(
        default={
            "sms_codes": (1.0, 120),
            "sign_in": (5.0, 200),
            "tracking": (2.0, 120),
            "ratings": (5.0, 200),
            "license_checks": (5.0, 200),
        }
    )
    """Stricter rates of some routes (`gateway/routes.py`), per address or caller."""
    retry_share: float = Field(default=0.1, ge=0, le=1)
    """Reads that may be repeated after a broken connection, as a share of all requests."""
    breaker_failures: int = Field(default=5, ge=1)
    """Failures in a row after which a service is not asked for a while."""
    breaker_seconds: float = Field(default=2.0, gt=0)
    """How long it is not asked, in seconds."""
    show_unreviewed_texts: bool = False
    """Show Tibetan texts that no native reader has approved; else the Chinese ones are shown."""
    revocation_poll_seconds: float = Field(default=2.0, gt=0, le=5)
    """Seconds between two readings of ended sessions."""
