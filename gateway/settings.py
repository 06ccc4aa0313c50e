"""Settings of the gateway, prefix `GATEWAY_`."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.settings import Port


class Settings(BaseSettings):
    """`upstreams`: service name → base URL, as JSON. Times in seconds, rates per second."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_", frozen=True, extra="ignore")

    upstreams: dict[str, str] = Field(default={})
    jwks_url: str
    revocations_url: str
    host: str = "127.0.0.1"
    port: Port = 8000
    connect_timeout: float = Field(default=2.0, gt=0)
    read_timeout: float = Field(default=35.0, gt=0)
    max_body_bytes: int = Field(default=64 * 1024 * 1024, ge=1024)
    max_in_flight: int = Field(default=512, ge=1)
    rate_per_address: float = Field(default=50.0, gt=0)
    rate_per_caller: float = Field(default=100.0, gt=0)
    burst: int = Field(default=400, ge=1)
    breaker_failures: int = Field(default=5, ge=1)
    breaker_seconds: float = Field(default=2.0, gt=0)
    revocation_poll_seconds: float = Field(default=2.0, gt=0, le=5)
